/* SPDX-License-Identifier: Apache-2.0 */
/* sinter check: import a model and list every problem, with a table of its operators. */
#include "cli/verb.h"
#include "compiler/compile_driver.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/model_load.h"
#include "ir/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An operator of the model. */
struct op_row {
  const char *domain, *op;
  uint32_t nodes;
  uint32_t problems; /* reported for its nodes */
};

struct checker {
  struct invocation *v;
  VEC(struct op_row) rows;
  struct strmap index; /* "domain::op" to rows */
};

/* As diagnostics name operators. */
static const char *full_name(struct arena *arena, const char *domain, const char *op) {
  bool onnx = !domain || !*domain || !strcmp(domain, "ai.onnx");
  return onnx ? op : arena_printf(arena, "%s::%s", domain, op);
}

static void count_node(struct checker *c, const Onnx__NodeProto *node) {
  const char *name = full_name(&c->v->arena, node->domain, node->op_type);
  uint64_t at;
  if (!strmap_get_c(&c->index, name, &at)) {
    at = c->rows.len;
    vec_push(&c->rows, ((struct op_row){.domain = node->domain ? node->domain : "", .op = name}));
    strmap_put_c(&c->index, name, at);
  }
  c->rows.data[at].nodes++;
}

/* The loader bounds the depth of nesting. */
static void count_nodes(struct checker *c, Onnx__NodeProto *const *nodes, size_t n) {
  for (size_t i = 0; i < n; i++) {
    count_node(c, nodes[i]);
    for (size_t a = 0; a < nodes[i]->n_attribute; a++) {
      const Onnx__AttributeProto *attr = nodes[i]->attribute[a];
      if (attr->g)
        count_nodes(c, attr->g->node, attr->g->n_node);
      for (size_t g = 0; g < attr->n_graphs; g++)
        count_nodes(c, attr->graphs[g]->node, attr->graphs[g]->n_node);
    }
  }
}

static void count_problems(struct checker *c) {
  const struct diags *d = &c->v->diags;
  for (uint32_t i = 0; i < diags_count(d); i++) {
    const struct diag *diag = diags_get(d, i);
    uint64_t at;
    if (diag_code_status(diag->code) && diag->where.op &&
        strmap_get_c(&c->index, diag->where.op, &at))
      c->rows.data[at].problems++;
  }
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const struct op_row *)a)->op, ((const struct op_row *)b)->op);
}

static void print_table(const struct checker *c, const char *model, uint32_t errors) {
  printf("%-40s %8s  %s\n", "operator", "nodes", "supported");
  for (uint32_t i = 0; i < c->rows.len; i++) {
    const struct op_row *r = &c->rows.data[i];
    printf("%-40s %8u  %s\n", r->op, r->nodes, r->problems ? "no, see below" : "yes");
  }
  if (errors)
    printf("%s: %u problem%s\n", model, errors, errors == 1 ? "" : "s");
  else
    printf("%s: can be compiled\n", model);
}

static void json_table(const struct checker *c, const char *model, uint32_t errors) {
  struct json *j = &c->v->json;
  json_key(j, "model"), json_string(j, model);
  json_key(j, "problems"), json_u64(j, errors);
  json_key(j, "operators");
  json_array_begin(j);
  for (uint32_t i = 0; i < c->rows.len; i++) {
    const struct op_row *r = &c->rows.data[i];
    json_object_begin(j);
    json_key(j, "name"), json_string(j, r->op);
    json_key(j, "nodes"), json_u64(j, r->nodes);
    json_key(j, "problems"), json_u64(j, r->problems);
    json_object_end(j);
  }
  json_array_end(j);
}

static void report(struct checker *c, const struct onnx_model *model) {
  const Onnx__GraphProto *graph = model->proto->graph;
  uint32_t errors = diags_errors(&c->v->diags);
  count_nodes(c, graph->node, graph->n_node);
  for (size_t i = 0; i < model->proto->n_functions; i++)
    count_nodes(c, model->proto->functions[i]->node, model->proto->functions[i]->n_node);
  count_problems(c);
  if (c->rows.len)
    qsort(c->rows.data, c->rows.len, sizeof *c->rows.data, by_name);
  if (c->v->as_json)
    json_table(c, model->path, errors);
  else
    print_table(c, model->path, errors);
}

status verb_check(struct invocation *v) {
  const struct options *o = &v->options;
  struct onnx_load_options load = {.external_data_root = option_text(o, OPT_EXTERNAL_DATA_ROOT)};
  struct onnx_import_options import = {.shapes = o->values[OPT_SHAPE].texts,
                                       .n_shapes = o->values[OPT_SHAPE].count};
  struct checker c = {.v = v};
  struct onnx_model *model;
  struct module *module;
  status s = onnx_model_load(o->arguments[0], &load, &v->diags, &model);
  if (s)
    return s;
  s = onnx_import(model, &import, &v->diags, &module);
  if (model->proto->graph)
    report(&c, model);
  if (!s)
    module_destroy(module);
  onnx_model_destroy(model);
  strmap_deinit(&c.index);
  vec_deinit(&c.rows);
  return s;
}
