/* SPDX-License-Identifier: Apache-2.0 */
/* Small ONNX models written as text. */
#include "tests/support/onnx_text.h"

#include "frontend/onnx/import.h"
#include "frontend/onnx/model_load.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
  const char *p;
  struct arena *arena;
  Onnx__ModelProto *model;
};

static void bad(struct reader *r, const char *what) {
  fprintf(stderr, "onnx_text: %s at '%.40s'\n", what, r->p);
  abort();
}

/* Adds a pointer to a list of the protobuf tree. */
#define APPEND(r, list, count, item)                                                               \
  do {                                                                                             \
    void *grown = arena_alloc((r)->arena, ((count) + 1) * sizeof *(list));                         \
    if (count)                                                                                     \
      memcpy(grown, (list), (count) * sizeof *(list));                                             \
    (list) = grown;                                                                                \
    (list)[(count)++] = (item);                                                                    \
  } while (0)

static void blank(struct reader *r) { r->p += strspn(r->p, " \t"); }

static bool accept(struct reader *r, const char *text) {
  blank(r);
  if (strncmp(r->p, text, strlen(text)))
    return false;
  r->p += strlen(text);
  return true;
}

static void demand(struct reader *r, const char *text) {
  if (!accept(r, text))
    bad(r, text);
}

static char *word(struct reader *r) {
  blank(r);
  size_t n = strcspn(r->p, " \t\n,()[]{}=<>");
  char *s = arena_strndup(r->arena, r->p, n);
  r->p += n;
  return s;
}

/* A keyword stands alone. */
static bool keyword(struct reader *r, const char *text) {
  blank(r);
  size_t n = strlen(text);
  if (strncmp(r->p, text, n) || isalnum((unsigned char)r->p[n]) || r->p[n] == '_')
    return false;
  const char *after = r->p + n + strspn(r->p + n, " \t");
  if (*after == '=' || *after == ',')
    return false;
  r->p += n;
  return true;
}

static int32_t type_code(struct reader *r) {
  enum dtype dtype;
  char *name = word(r);
  if (!dtype_from_name(name, strlen(name), &dtype))
    bad(r, "unknown dtype");
  return dtype_infos[dtype].onnx;
}

static void read_attr_number(struct reader *r, Onnx__AttributeProto *a, bool list) {
  char *end, *text;
  double x = strtod(r->p, &end);
  text = arena_strndup(r->arena, r->p, (size_t)(end - r->p));
  if (end == r->p)
    bad(r, "number");
  bool is_float = strpbrk(text, ".en");
  r->p = end;
  if (!list) {
    a->type = is_float ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT
                       : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    a->f = (float)x;
    a->i = (int64_t)x;
  } else if (is_float) {
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
    APPEND(r, a->floats, a->n_floats, (float)x);
  } else {
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    APPEND(r, a->ints, a->n_ints, (int64_t)x);
  }
}

static void read_body(struct reader *r, Onnx__GraphProto *g, const char *end);

/* The rest of a string, up to its quote. */
static ProtobufCBinaryData read_string(struct reader *r) {
  size_t n = strcspn(r->p, "\"");
  ProtobufCBinaryData s = {n, (uint8_t *)arena_strndup(r->arena, r->p, n)};
  r->p += n + 1;
  return s;
}

static void read_attr(struct reader *r, Onnx__NodeProto *node) {
  Onnx__AttributeProto *a = ARENA_NEW(r->arena, Onnx__AttributeProto);
  onnx__attribute_proto__init(a);
  a->name = word(r);
  demand(r, "=");
  if (accept(r, "@")) {
    a->ref_attr_name = word(r);
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
  } else if (accept(r, "\"")) {
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
    a->s = read_string(r);
  } else if (accept(r, "[")) {
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    while (!accept(r, "]")) {
      if (accept(r, "\"")) {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS;
        APPEND(r, a->strings, a->n_strings, read_string(r));
      } else {
        read_attr_number(r, a, true);
      }
      accept(r, ",");
    }
  } else if (accept(r, "<")) {
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
    a->g = ARENA_NEW(r->arena, Onnx__GraphProto);
    onnx__graph_proto__init(a->g);
    a->g->name = a->name;
    read_body(r, a->g, ">");
  } else {
    blank(r);
    read_attr_number(r, a, false);
  }
  APPEND(r, node->attribute, node->n_attribute, a);
}

static Onnx__NodeProto *read_node(struct reader *r) {
  Onnx__NodeProto *node = ARENA_NEW(r->arena, Onnx__NodeProto);
  onnx__node_proto__init(node);
  do
    APPEND(r, node->output, node->n_output, word(r));
  while (accept(r, ","));
  demand(r, "=");
  char *op = word(r), *split = strstr(op, "::");
  node->op_type = split ? split + 2 : op;
  if (split) {
    *split = 0;
    node->domain = op;
  }
  demand(r, "(");
  while (!accept(r, ")")) {
    APPEND(r, node->input, node->n_input, word(r));
    accept(r, ",");
  }
  if (accept(r, "{"))
    while (!accept(r, "}")) {
      read_attr(r, node);
      accept(r, ",");
    }
  return node;
}

static Onnx__ValueInfoProto *read_value(struct reader *r, bool typed) {
  Onnx__ValueInfoProto *v = ARENA_NEW(r->arena, Onnx__ValueInfoProto);
  onnx__value_info_proto__init(v);
  v->name = word(r);
  blank(r);
  Onnx__TypeProto *type = ARENA_NEW(r->arena, Onnx__TypeProto);
  Onnx__TypeProto__Tensor *tensor = ARENA_NEW(r->arena, Onnx__TypeProto__Tensor);
  onnx__type_proto__init(type);
  onnx__type_proto__tensor__init(tensor);
  type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  type->tensor_type = tensor;
  v->type = type;
  tensor->elem_type = 1;
  if (!typed)
    return v;
  tensor->elem_type = type_code(r);
  if (accept(r, "*"))
    return v;
  demand(r, "[");
  tensor->shape = ARENA_NEW(r->arena, Onnx__TensorShapeProto);
  onnx__tensor_shape_proto__init(tensor->shape);
  while (!accept(r, "]")) {
    Onnx__TensorShapeProto__Dimension *d = ARENA_NEW(r->arena, Onnx__TensorShapeProto__Dimension);
    onnx__tensor_shape_proto__dimension__init(d);
    char *text = word(r);
    if (isdigit((unsigned char)text[0])) {
      d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
      d->dim_value = atoll(text);
    } else if (text[0] != '?') {
      d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
      d->dim_param = text;
    }
    APPEND(r, tensor->shape->dim, tensor->shape->n_dim, d);
    accept(r, ",");
  }
  return v;
}

/* The values go to the typed list that onnx.proto names for the dtype. */
static Onnx__TensorProto *read_init(struct reader *r) {
  Onnx__TensorProto *t = ARENA_NEW(r->arena, Onnx__TensorProto);
  onnx__tensor_proto__init(t);
  t->name = word(r);
  t->data_type = type_code(r);
  demand(r, "[");
  while (!accept(r, "]")) {
    APPEND(r, t->dims, t->n_dims, atoll(word(r)));
    accept(r, ",");
  }
  demand(r, "=");
  for (blank(r); *r->p && *r->p != '\n'; blank(r)) {
    char *end;
    double x = strtod(r->p, &end);
    if (end == r->p)
      bad(r, "number");
    r->p = end;
    if (t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
      APPEND(r, t->float_data, t->n_float_data, (float)x);
    else if (t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE)
      APPEND(r, t->double_data, t->n_double_data, x);
    else if (t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64)
      APPEND(r, t->int64_data, t->n_int64_data, (int64_t)x);
    else
      APPEND(r, t->int32_data, t->n_int32_data, (int32_t)x);
  }
  return t;
}

static void add_opset(struct reader *r, const char *domain, int64_t version) {
  for (size_t i = 0; i < r->model->n_opset_import; i++)
    if (!strcmp(r->model->opset_import[i]->domain, domain)) {
      r->model->opset_import[i]->version = version;
      return;
    }
  Onnx__OperatorSetIdProto *o = ARENA_NEW(r->arena, Onnx__OperatorSetIdProto);
  onnx__operator_set_id_proto__init(o);
  o->version = version;
  o->domain = arena_strdup(r->arena, domain);
  APPEND(r, r->model->opset_import, r->model->n_opset_import, o);
}

static void read_opset(struct reader *r) {
  int64_t version = atoll(word(r));
  add_opset(r, word(r), version);
}

static void next_line(struct reader *r) { r->p += strspn(r->p, " \t\n"); }

static void read_function(struct reader *r) {
  Onnx__FunctionProto *f = ARENA_NEW(r->arena, Onnx__FunctionProto);
  onnx__function_proto__init(f);
  f->domain = (char *)"local";
  f->name = word(r);
  demand(r, "(");
  while (!accept(r, ")")) {
    APPEND(r, f->input, f->n_input, word(r));
    accept(r, ",");
  }
  demand(r, "->");
  demand(r, "(");
  while (!accept(r, ")")) {
    APPEND(r, f->output, f->n_output, word(r));
    accept(r, ",");
  }
  for (blank(r); *r->p != '\n'; blank(r))
    APPEND(r, f->attribute, f->n_attribute, word(r));
  f->n_opset_import = r->model->n_opset_import;
  f->opset_import = r->model->opset_import;
  for (next_line(r); !keyword(r, "end"); next_line(r))
    APPEND(r, f->node, f->n_node, read_node(r));
  APPEND(r, r->model->functions, r->model->n_functions, f);
}

static void read_body(struct reader *r, Onnx__GraphProto *g, const char *end) {
  for (next_line(r); end ? !accept(r, end) : *r->p; next_line(r)) {
    if (keyword(r, "in"))
      APPEND(r, g->input, g->n_input, read_value(r, true));
    else if (keyword(r, "out"))
      APPEND(r, g->output, g->n_output, read_value(r, false));
    else if (keyword(r, "init"))
      APPEND(r, g->initializer, g->n_initializer, read_init(r));
    else if (keyword(r, "opset"))
      read_opset(r);
    else if (keyword(r, "func"))
      read_function(r);
    else
      APPEND(r, g->node, g->n_node, read_node(r));
  }
}

uint8_t *onnx_text_pack(const char *text, struct arena *arena, size_t *out_size) {
  Onnx__ModelProto model;
  Onnx__GraphProto graph;
  onnx__model_proto__init(&model);
  onnx__graph_proto__init(&graph);
  graph.name = (char *)"test";
  model.ir_version = 8;
  model.graph = &graph;
  struct reader r = {text, arena, &model};
  add_opset(&r, "", 18);
  read_body(&r, &graph, NULL);
  if (model.n_functions)
    add_opset(&r, "local", 1);
  *out_size = onnx__model_proto__get_packed_size(&model);
  uint8_t *bytes = arena_alloc(arena, *out_size);
  onnx__model_proto__pack(&model, bytes);
  return bytes;
}

void onnx_run_open(struct onnx_run *run, const char *text,
                   const struct onnx_import_options *options) {
  *run = (struct onnx_run){0};
  size_t size;
  run->bytes = onnx_text_pack(text, &run->arena, &size);
  if (onnx_model_load_memory(run->bytes, size, NULL, &run->diags, &run->model) == STATUS_OK)
    onnx_import(run->model, options, &run->diags, &run->module);
}

void onnx_run_close(struct onnx_run *r) {
  if (r->module)
    module_destroy(r->module);
  onnx_model_destroy(r->model);
  diags_deinit(&r->diags);
  arena_deinit(&r->arena);
}

struct tensor *onnx_run_tensor(struct onnx_run *r, enum dtype dtype, const int64_t *dims,
                               uint32_t rank, const double *values) {
  struct tensor *t = tensor_create(&r->arena, dtype, dims, rank);
  for (int64_t i = 0; t && i < t->count; i++) {
    if (dtype_is_float(dtype))
      t->f64[i] = values[i];
    else
      t->i64[i] = (int64_t)values[i];
  }
  return t;
}

status onnx_run_call(struct onnx_run *r, struct tensor *const *inputs,
                     struct tensor **out_results) {
  const struct function *f = r->module->entries.data[0].variants.data[0].function;
  return interp_run(f, INTERP_TYPED, inputs, &r->arena, &r->diags, out_results);
}

const char *onnx_run_codes(struct onnx_run *r) {
  const char *all = "";
  for (uint32_t i = 0; i < diags_count(&r->diags); i++)
    all = arena_printf(&r->arena, "%s%s%s", all, i ? " " : "",
                       diag_code_name(diags_get(&r->diags, i)->code));
  return all;
}
