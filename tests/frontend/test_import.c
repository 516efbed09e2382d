/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of an import: signature, symbols, known values, functions, failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/onnx/import.h"
#include "tests/support/onnx_text.h"

/* Runs one f32 input of rank 1 through a model with one f32 output. */
static void expect_map(const char *text, const double *x, const double *y, int64_t n) {
  struct onnx_run r;
  onnx_run_open(&r, text, NULL);
  diags_print(&r.diags, stderr);
  assert_non_null(r.module);
  struct tensor *in = onnx_run_tensor(&r, DTYPE_F32, &n, 1, x), *out;
  assert_int_equal(onnx_run_call(&r, &in, &out), STATUS_OK);
  assert_int_equal(out->count, n);
  for (int64_t i = 0; i < n; i++)
    assert_float_equal(out->f64[i], y[i], 1e-5);
  onnx_run_close(&r);
}

static void expect_codes(const char *text, const struct onnx_import_options *options,
                         const char *codes) {
  struct onnx_run r;
  onnx_run_open(&r, text, options);
  if (strcmp(onnx_run_codes(&r), codes))
    diags_print(&r.diags, stderr);
  assert_string_equal(onnx_run_codes(&r), codes);
  assert_true((r.module != NULL) == (diags_errors(&r.diags) == 0));
  onnx_run_close(&r);
}

static void nodes_run_in_order(void **state) {
  (void)state;
  expect_map("in x f32 [n]\n init two f32 [] = 2\n a = Mul(x, two)\n y = Relu(a)\n out y",
             (double[]){-1, 0, 3}, (double[]){0, 0, 6}, 3);
}

static void nodes_out_of_order_are_sorted(void **state) {
  (void)state;
  expect_map("in x f32 [n]\n y = Neg(a)\n a = Abs(x)\n out y", (double[]){-1, 2},
             (double[]){-1, -2}, 2);
}

static void entry_keeps_the_signature(void **state) {
  (void)state;
  struct onnx_run r;
  onnx_run_open(
      &r, "in x f32 [n]\n in w f32 [1]\n init w f32 [1] = 5\n y = Add(x, w)\n out y\n out x", NULL);
  assert_non_null(r.module);
  const struct entry *e = &r.module->entries.data[0];
  assert_string_equal(e->name, "main");
  assert_int_equal(e->input_names.len, 1);
  assert_string_equal(e->input_names.data[0], "x");
  assert_int_equal(e->output_names.len, 2);
  assert_string_equal(e->output_names.data[1], "x");
  onnx_run_close(&r);
}

static dim first_dim(const struct onnx_run *r) {
  const struct function *f = r->module->entries.data[0].variants.data[0].function;
  return value_type(f, f->regions.data[0].params.data[0])->dims[0];
}

static void options_bound_symbols_and_fix_dims(void **state) {
  (void)state;
  struct onnx_run r;
  int64_t lo, hi;
  const char *symbol = "n=1..8", *shape = "x:4", *free = "x:2x3";
  struct onnx_import_options o = {.symbols = &symbol, .n_symbols = 1};
  onnx_run_open(&r, "in x f32 [n]\n y = Relu(x)\n out y", &o);
  dim_bounds(r.module->dims, first_dim(&r), &lo, &hi);
  assert_int_equal(lo, 1);
  assert_int_equal(hi, 8);
  onnx_run_close(&r);
  o = (struct onnx_import_options){.shapes = &shape, .n_shapes = 1};
  onnx_run_open(&r, "in x f32 [n]\n y = Relu(x)\n out y", &o);
  assert_true(dim_is_const_value(r.module->dims, first_dim(&r), 4));
  onnx_run_close(&r);
  o.shapes = &free;
  onnx_run_open(&r, "in x f32 *\n y = Relu(x)\n out y", &o);
  assert_true(dim_is_const_value(r.module->dims, first_dim(&r), 2));
  onnx_run_close(&r);
}

static void wrong_options_are_refused(void **state) {
  (void)state;
  static const char *const wrong[] = {
      "x:4x4", "x:5", "z:4", "x:a..b", "x", "x:x", "x:99999999999999999999"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct onnx_import_options o = {.shapes = &wrong[i], .n_shapes = 1};
    struct onnx_run r;
    onnx_run_open(&r, "in x f32 [4]\n y = Relu(x)\n out y", &o);
    assert_null(r.module);
    assert_int_equal(diags_status(&r.diags), STATUS_USAGE);
    onnx_run_close(&r);
  }
}

static void inputs_without_rank_are_refused(void **state) {
  (void)state;
  expect_codes("in x f32 *\n y = Relu(x)\n out y", NULL, "E0150");
}

static void unknown_operators_are_all_reported_once(void **state) {
  (void)state;
  expect_codes("in x f32 [n]\n a = Foo(x)\n b = Bar(a)\n c = Foo(b)\n y = Relu(c)\n out y", NULL,
               "E0140 E0140");
}

static void an_attribute_that_nobody_reads_is_refused(void **state) {
  (void)state;
  expect_codes("in x f32 [n]\n y = Relu(x) {novel=1}\n out y", NULL, "E0147");
}

static void wrong_nodes_are_refused(void **state) {
  (void)state;
  expect_codes("in x f32 [n]\n y = Add(x)\n out y", NULL, "E0144");
  expect_codes("in x f32 [n]\n y = Add(x, )\n out y", NULL, "E0144");
  expect_codes("in x f32 [n]\n y = LeakyRelu(x) {alpha=\"a\"}\n out y", NULL, "E0143");
  expect_codes("in x f32 [n]\n y = Softmax(x) {axis=5}\n out y", NULL, "E0142");
  expect_codes("in x f32 [n]\n in z i64 [n]\n y = Add(x, z)\n out y", NULL, "E0301");
}

static void reports_go_on_after_a_failure(void **state) {
  (void)state;
  expect_codes("in x f32 [n]\n a = Softmax(x) {axis=5}\n b = Relu(a)\n c = Softmax(x) {axis=7}\n"
               "out b\n out c",
               NULL, "E0142 E0142");
}

static void functions_are_inlined_with_their_attributes(void **state) {
  (void)state;
  expect_map(
      "func leaky (a) -> (b) alpha\n b = LeakyRelu(a) {alpha=@alpha}\n end\n"
      "in x f32 [n]\n h = local::leaky(x) {alpha=0.5}\n y = local::leaky(h) {alpha=0.1}\n out y",
      (double[]){-2, 2}, (double[]){-0.1, 2}, 2);
}

static void functions_may_call_functions(void **state) {
  (void)state;
  expect_map("func twice (a) -> (b)\n b = Add(a, a)\n end\n"
             "func four (a) -> (b)\n c = local::twice(a)\n b = local::twice(c)\n end\n"
             "in x f32 [n]\n y = local::four(x)\n out y",
             (double[]){1, 2}, (double[]){4, 8}, 2);
}

static void expansion_of_functions_is_bounded(void **state) {
  (void)state;
  struct strbuf text = {0};
  strbuf_append_c(&text, "func f0 (a) -> (b)\n b = Neg(a)\n end\n");
  for (int i = 1; i < 30; i++) {
    strbuf_printf(&text, "func f%d (a) -> (b)\n", i);
    for (int j = 0; j < 8; j++)
      strbuf_printf(&text, " %s%d = local::f%d(%s%d)\n", "c", j + 1, i - 1, j ? "c" : "a", j);
    strbuf_append_c(&text, " b = Neg(c8)\n end\n");
  }
  /* The first call of each takes the function's own operand. */
  for (char *p = text.data; (p = strstr(p, "(a0)")); p++)
    memcpy(p, "(a) ", 4);
  strbuf_append_c(&text, "in x f32 [1]\n y = local::f29(x)\n out y");
  struct onnx_run r;
  onnx_run_open(&r, strbuf_c(&text), NULL);
  assert_null(r.module);
  assert_int_equal(diags_status(&r.diags), STATUS_RESOURCES);
  onnx_run_close(&r);
  strbuf_deinit(&text);
}

static void reductions_take_axes_at_run_time(void **state) {
  (void)state;
  struct onnx_run r;
  onnx_run_open(
      &r, "in x f32 [n,3]\n in axes i64 [1]\n y = ReduceSum(x, axes) {keepdims=0}\n out y", NULL);
  diags_print(&r.diags, stderr);
  assert_non_null(r.module);
  const int64_t dims[2] = {2, 3}, one = 1;
  for (int axis = -2; axis < 2; axis++) {
    struct tensor *in[2] = {onnx_run_tensor(&r, DTYPE_F32, dims, 2, (double[]){1, 2, 3, 4, 5, 6}),
                            onnx_run_tensor(&r, DTYPE_I64, &one, 1, (double[]){axis})};
    struct tensor *out;
    assert_int_equal(onnx_run_call(&r, in, &out), STATUS_OK);
    bool rows = axis == 0 || axis == -2;
    assert_int_equal(out->count, rows ? 3 : 2);
    assert_float_equal(out->f64[0], rows ? 5 : 6, 0);
  }
  struct tensor *in[2] = {onnx_run_tensor(&r, DTYPE_F32, dims, 2, (double[6]){0}),
                          onnx_run_tensor(&r, DTYPE_I64, &one, 1, (double[]){2})};
  struct tensor *out;
  assert_int_not_equal(onnx_run_call(&r, in, &out), STATUS_OK);
  onnx_run_close(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nodes_run_in_order),
      cmocka_unit_test(nodes_out_of_order_are_sorted),
      cmocka_unit_test(entry_keeps_the_signature),
      cmocka_unit_test(options_bound_symbols_and_fix_dims),
      cmocka_unit_test(wrong_options_are_refused),
      cmocka_unit_test(inputs_without_rank_are_refused),
      cmocka_unit_test(unknown_operators_are_all_reported_once),
      cmocka_unit_test(an_attribute_that_nobody_reads_is_refused),
      cmocka_unit_test(wrong_nodes_are_refused),
      cmocka_unit_test(reports_go_on_after_a_failure),
      cmocka_unit_test(functions_are_inlined_with_their_attributes),
      cmocka_unit_test(functions_may_call_functions),
      cmocka_unit_test(expansion_of_functions_is_bounded),
      cmocka_unit_test(reductions_take_axes_at_run_time),
  };
  return cmocka_run_group_tests_name("frontend/import", tests, NULL, NULL);
}
