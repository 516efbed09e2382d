/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, opsets, names, order and functions of models made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/onnx/model_load.h"
#include "tests/support/pb_build.h"

static void add_node(struct strbuf *g, const char *op, const char *a, const char *b,
                     const char *output) {
  struct strbuf n = pb_node(op, a, b, output);
  pb_message(g, 1, &n);
}

static void add_value(struct strbuf *g, uint32_t field, const char *name) {
  const int64_t dims[] = {2};
  struct strbuf v = pb_value_info(name, 1, dims);
  pb_message(g, field, &v);
}

static void add_opset(struct strbuf *m, uint32_t field, const char *domain, int64_t version) {
  struct strbuf o = {0};
  pb_str(&o, 1, domain);
  pb_int(&o, 2, version);
  pb_message(m, field, &o);
}

/* Graph y = Relu(x) without its nodes. */
static struct strbuf graph_of_x_and_y(void) {
  struct strbuf g = {0};
  add_value(&g, 11, "x");
  add_value(&g, 12, "y");
  return g;
}

static struct strbuf relu_graph(void) {
  struct strbuf g = graph_of_x_and_y();
  add_node(&g, "Relu", "x", NULL, "y");
  return g;
}

/* Loads and frees `m`; expects exactly the given codes, in order, as "E0113 E0114". */
static void expect(struct strbuf *m, const char *codes) {
  struct diags diags = {0};
  struct onnx_model *model;
  status st = onnx_model_load_memory(m->data, m->len, NULL, &diags, &model);
  struct strbuf found = {0};
  for (uint32_t i = 0; i < diags_count(&diags); i++) {
    strbuf_printf(&found, "%s%s", i ? " " : "", diag_code_name(diags_get(&diags, i)->code));
  }
  if (strcmp(strbuf_c(&found), codes) != 0)
    diags_print(&diags, stderr);
  assert_string_equal(strbuf_c(&found), codes);
  assert_int_equal(st == STATUS_OK, diags_errors(&diags) == 0);
  assert_int_equal(model != NULL, st == STATUS_OK);
  onnx_model_destroy(model);
  strbuf_deinit(&found);
  diags_deinit(&diags);
  strbuf_deinit(m);
}

static void expect_graph(struct strbuf *g, const char *codes) {
  struct strbuf m = pb_model(g);
  expect(&m, codes);
}

static struct strbuf versions(int64_t ir, int64_t opset) {
  struct strbuf m = {0}, g = relu_graph();
  if (ir)
    pb_int(&m, 1, ir);
  pb_message(&m, 7, &g);
  if (opset)
    add_opset(&m, 8, "", opset);
  return m;
}

static void test_versions(void **state) {
  (void)state;
  const struct {
    int64_t ir, opset;
    const char *codes;
  } cases[] = {{13, 27, ""},           {3, 8, ""},        {1, 0, ""},
               {8, 0, "E0111"},        {0, 20, "E0110"},  {-1, 20, "E0110"},
               {14, 20, "E0112"},      {10, 28, "E0112"}, {10, -1, "E0111"},
               {14, 28, "E0112 E0112"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct strbuf m = versions(cases[i].ir, cases[i].opset);
    expect(&m, cases[i].codes);
  }
}

static void test_opsets(void **state) {
  (void)state;
  struct strbuf m = versions(10, 20);
  add_opset(&m, 8, "ai.onnx", 20); /* the same domain, the same version */
  expect(&m, "");
  m = versions(10, 20);
  add_opset(&m, 8, "ai.onnx", 19);
  expect(&m, "E0111");
  m = versions(10, 20);
  add_opset(&m, 8, "ai.onnx.ml", 6);
  add_opset(&m, 8, "com.example", 1000);
  expect(&m, "E0112");
  struct strbuf g = graph_of_x_and_y(), node = pb_node("Thing", "x", NULL, "y");
  pb_str(&node, 7, "com.example");
  pb_message(&g, 1, &node);
  node = pb_node("Thing", "x", NULL, "z");
  pb_str(&node, 7, "com.example");
  pb_message(&g, 1, &node);
  expect_graph(&g, "E0111"); /* once a domain, not once a node */
}

static void test_parts(void **state) {
  (void)state;
  struct strbuf m = {0};
  pb_int(&m, 1, 10);
  add_opset(&m, 8, "", 20);
  expect(&m, "E0121");
  const int64_t dims[] = {2};
  struct strbuf t = pb_tensor("w", 1, 1, dims); /* a tensor is no model: no IR version, no graph */
  pb_bytes(&t, 9, "12345678", 8);
  struct diags diags = {0};
  struct onnx_model *model;
  assert_int_not_equal(onnx_model_load_memory(t.data, t.len, NULL, &diags, &model), STATUS_OK);
  diags_deinit(&diags);
  strbuf_deinit(&t);
  struct strbuf g = graph_of_x_and_y(), node = {0};
  pb_str(&node, 2, "y");
  pb_message(&g, 1, &node);
  expect_graph(&g, "E0121");
}

static void test_names(void **state) {
  (void)state;
  const int64_t dims[] = {0};
  struct strbuf g = relu_graph();
  add_node(&g, "Neg", "x", NULL, "y");
  expect_graph(&g, "E0113"); /* y twice */
  g = relu_graph();
  add_value(&g, 11, "x");
  expect_graph(&g, "E0113"); /* input twice */
  g = relu_graph();
  add_value(&g, 11, "");
  expect_graph(&g, "E0113");
  g = relu_graph();
  struct strbuf t = pb_tensor("x", 1, 1, dims);
  pb_message(&g, 5, &t);
  expect_graph(&g, ""); /* a default for an input */
  g = relu_graph();
  t = pb_tensor("y", 1, 1, dims);
  pb_message(&g, 5, &t);
  expect_graph(&g, "E0113");
  g = relu_graph();
  t = pb_tensor("", 1, 1, dims);
  pb_message(&g, 5, &t);
  expect_graph(&g, "E0113");
  g = graph_of_x_and_y();
  add_node(&g, "Relu", "nowhere", "also_nowhere", "z");
  expect_graph(&g, "E0114 E0114 E0114"); /* two inputs and the output y */
}

static void test_order_and_cycles(void **state) {
  (void)state;
  struct strbuf g = graph_of_x_and_y();
  add_node(&g, "Relu", "b", NULL, "y");
  add_node(&g, "Neg", "x", NULL, "a");
  add_node(&g, "Abs", "a", "x", "b");
  struct strbuf m = pb_model(&g);
  struct diags diags = {0};
  struct onnx_model *model;
  assert_int_equal(onnx_model_load_memory(m.data, m.len, NULL, &diags, &model), STATUS_OK);
  assert_int_equal(diags_get(&diags, 0)->code, DIAG_W0102);
  const char *order[] = {"Neg", "Abs", "Relu"};
  for (int i = 0; i < 3; i++)
    assert_string_equal(model->proto->graph->node[i]->op_type, order[i]);
  onnx_model_destroy(model);
  diags_deinit(&diags);
  strbuf_deinit(&m);

  g = graph_of_x_and_y();
  add_node(&g, "Add", "x", "b", "y");
  add_node(&g, "Neg", "y", NULL, "b");
  expect_graph(&g, "E0115");
  g = graph_of_x_and_y();
  add_node(&g, "Relu", "y", NULL, "y");
  expect_graph(&g, "E0115");
}

/* A node with a subgraph whose one node reads `captured` and makes `made`. */
static struct strbuf subgraph_node(const char *captured, const char *made, const char *output) {
  struct strbuf inner = {0}, attribute = {0}, node = pb_node("If", "x", NULL, output);
  add_node(&inner, "Neg", captured, NULL, made);
  add_value(&inner, 12, made);
  pb_str(&attribute, 1, "then_branch");
  pb_message(&attribute, 6, &inner);
  pb_int(&attribute, 20, 5);
  pb_message(&node, 5, &attribute);
  return node;
}

static void test_captures(void **state) {
  (void)state;
  struct strbuf g = graph_of_x_and_y(), node = subgraph_node("x", "i", "y");
  pb_message(&g, 1, &node);
  expect_graph(&g, "");
  g = graph_of_x_and_y();
  node = subgraph_node("nowhere", "i", "y");
  pb_message(&g, 1, &node);
  expect_graph(&g, "E0114");
  g = graph_of_x_and_y();
  node = subgraph_node("later", "i", "y");
  pb_message(&g, 1, &node);
  add_node(&g, "Neg", "x", NULL, "later");
  expect_graph(&g, "W0102");
  g = graph_of_x_and_y();
  node = subgraph_node("y", "i", "y");
  pb_message(&g, 1, &node);
  expect_graph(&g, "E0115");
  g = graph_of_x_and_y();
  node = subgraph_node("x", "i", "a");
  pb_message(&g, 1, &node);
  add_node(&g, "Neg", "i", NULL, "y"); /* names of a subgraph are not seen outside */
  expect_graph(&g, "E0114");
}

static void test_attributes(void **state) {
  (void)state;
  struct strbuf g = graph_of_x_and_y(), node = pb_node("Relu", "x", NULL, "y"), a = {0}, b = {0};
  pb_str(&a, 1, "k");
  pb_int(&a, 3, 5);
  pb_int(&a, 20, 2);
  pb_str(&b, 1, "k");
  pb_int(&b, 20, 4); /* a tensor that is not there */
  pb_message(&node, 5, &a);
  pb_message(&node, 5, &b);
  pb_message(&g, 1, &node);
  expect_graph(&g, "E0113 E0121");

  g = graph_of_x_and_y();
  node = pb_node("Relu", "x", NULL, "y");
  struct strbuf untyped = {0};
  pb_str(&untyped, 1, "axes");
  pb_int(&untyped, 8, 1);
  pb_message(&node, 5, &untyped);
  pb_message(&g, 1, &node);
  struct strbuf m = pb_model(&g);
  struct onnx_model *model;
  assert_int_equal(onnx_model_load_memory(m.data, m.len, NULL, NULL, &model), STATUS_OK);
  assert_int_equal(model->proto->graph->node[0]->attribute[0]->type,
                   ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
  onnx_model_destroy(model);
  strbuf_deinit(&m);
}

static void add_function(struct strbuf *m, const char *name, const char *calls) {
  struct strbuf f = {0}, body = pb_node(calls, "a", NULL, "r");
  pb_str(&f, 1, name);
  pb_str(&f, 4, "a");
  pb_str(&f, 5, "r");
  pb_str(&body, 7, strcmp(calls, "Relu") ? "local" : "");
  pb_message(&f, 7, &body);
  add_opset(&f, 9, "", 20);
  add_opset(&f, 9, "local", 1);
  pb_str(&f, 10, "local");
  pb_message(m, 25, &f);
}

static void test_functions(void **state) {
  (void)state;
  struct strbuf m = versions(10, 20);
  add_function(&m, "F", "G");
  add_function(&m, "G", "Relu");
  expect(&m, "");
  m = versions(10, 20);
  add_function(&m, "F", "Relu");
  add_function(&m, "F", "Relu");
  expect(&m, "E0120");
  m = versions(10, 20);
  add_function(&m, "F", "F");
  expect(&m, "E0120");
  m = versions(10, 20);
  add_function(&m, "F", "G");
  add_function(&m, "G", "H");
  add_function(&m, "H", "F");
  expect(&m, "E0120");
}

/* Work must stay linear: a chain in reverse order, where recursion or rescans would show. */
static void test_a_long_chain_in_reverse(void **state) {
  (void)state;
  struct strbuf g = graph_of_x_and_y();
  enum { LENGTH = 20000 };
  for (int i = LENGTH; i > 0; i--) {
    char from[16], to[16];
    snprintf(from, sizeof from, "v%d", i - 1);
    snprintf(to, sizeof to, "v%d", i);
    add_node(&g, "Neg", i == 1 ? "x" : from, NULL, i == LENGTH ? "y" : to);
  }
  expect_graph(&g, "W0102");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_versions),
      cmocka_unit_test(test_opsets),
      cmocka_unit_test(test_parts),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_order_and_cycles),
      cmocka_unit_test(test_captures),
      cmocka_unit_test(test_attributes),
      cmocka_unit_test(test_functions),
      cmocka_unit_test(test_a_long_chain_in_reverse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
