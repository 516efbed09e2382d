/* SPDX-License-Identifier: Apache-2.0 */
/* Building ONNX models; see zoo_builder.h. */
#include "models/zoo/zoo_builder.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- strings and small messages ---- */

/* protobuf-c's structs hold char *, which nobody writes to. */
static char *text(struct zoo *z, const char *s) { return arena_strdup(&z->arena, s); }

static char *made_name(struct zoo *z, const char *what) {
  return arena_printf(&z->arena, "%s/%s_%u", z->scope ? z->scope : "", what, z->n_values++);
}

void zoo_scope(struct zoo *z, const char *format, ...) {
  char buffer[256];
  va_list args;
  va_start(args, format);
  vsnprintf(buffer, sizeof buffer, format, args);
  va_end(args);
  z->scope = text(z, buffer);
}

void zoo_case(struct zoo *z, const char *name, const char *format, ...) {
  char buffer[8192];
  va_list args;
  va_start(args, format);
  vsnprintf(buffer, sizeof buffer, format, args);
  va_end(args);
  struct zoo_case c = {name, text(z, buffer)};
  vec_push(&z->cases, c);
}

static Onnx__TensorShapeProto__Dimension *dimension(struct zoo *z, const char *word, size_t n) {
  Onnx__TensorShapeProto__Dimension *d = ARENA_NEW(&z->arena, Onnx__TensorShapeProto__Dimension);
  onnx__tensor_shape_proto__dimension__init(d);
  if (isdigit((unsigned char)word[0])) {
    d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    d->dim_value = atoll(word);
  } else {
    d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    d->dim_param = arena_strndup(&z->arena, word, n);
  }
  return d;
}

static Onnx__ValueInfoProto *value_info(struct zoo *z, const char *name, int32_t type,
                                        const char *dims) {
  Onnx__TensorShapeProto *shape = ARENA_NEW(&z->arena, Onnx__TensorShapeProto);
  Onnx__TypeProto__Tensor *tensor = ARENA_NEW(&z->arena, Onnx__TypeProto__Tensor);
  Onnx__TypeProto *t = ARENA_NEW(&z->arena, Onnx__TypeProto);
  Onnx__ValueInfoProto *info = ARENA_NEW(&z->arena, Onnx__ValueInfoProto);
  onnx__tensor_shape_proto__init(shape);
  onnx__type_proto__tensor__init(tensor);
  onnx__type_proto__init(t);
  onnx__value_info_proto__init(info);
  shape->dim = ARENA_ARRAY(&z->arena, Onnx__TensorShapeProto__Dimension *, strlen(dims) + 1);
  for (const char *at = dims; *at;) {
    size_t n = strcspn(at, ",");
    shape->dim[shape->n_dim++] = dimension(z, at, n);
    at += n + (at[n] == ',');
  }
  tensor->elem_type = type;
  tensor->shape = shape;
  t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  t->tensor_type = tensor;
  info->name = text(z, name);
  info->type = t;
  return info;
}

zoo_value zoo_input(struct zoo *z, const char *name, int32_t type, const char *dims) {
  Onnx__ValueInfoProto *info = value_info(z, name, type, dims);
  vec_push(&z->inputs, info);
  return info->name;
}

void zoo_output(struct zoo *z, const char *name, zoo_value v, int32_t type, const char *dims) {
  for (uint32_t i = 0; i < z->nodes.len; i++) {
    Onnx__NodeProto *node = z->nodes.data[i];
    for (size_t k = 0; k < node->n_output; k++)
      if (node->output[k] == v)
        node->output[k] = text(z, name);
    for (size_t k = 0; k < node->n_input; k++)
      if (node->input[k] == v)
        node->input[k] = text(z, name);
  }
  Onnx__ValueInfoProto *info = value_info(z, name, type, dims);
  vec_push(&z->outputs, info);
}

/* ---- weights ---- */

static uint64_t next_random(struct zoo *z) { /* xorshift64*, Vigna 2016 */
  uint64_t x = z->state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  z->state = x;
  return x * UINT64_C(0x2545F4914F6CDD1D);
}

/* Two 24-bit fractions from each number. */
static void fill(struct zoo *z, float *out, uint64_t n, float center, float bound) {
  float scale = bound * 0x1p-23f, low = center - bound;
  for (uint64_t i = 0; i < n; i += 2) {
    uint64_t r = next_random(z);
    out[i] = low + (float)(uint32_t)(r >> 40) * scale;
    if (i + 1 < n)
      out[i + 1] = low + (float)(uint32_t)(r >> 16 & 0xFFFFFF) * scale;
  }
}

static Onnx__TensorProto *add_tensor(struct zoo *z, const char *name, int32_t type,
                                     const int64_t *dims, uint32_t rank) {
  Onnx__TensorProto *t = ARENA_NEW(&z->arena, Onnx__TensorProto);
  onnx__tensor_proto__init(t);
  t->name = text(z, name);
  t->data_type = type;
  t->n_dims = rank;
  t->dims = arena_memdup(&z->arena, dims, rank * sizeof *dims);
  vec_push(&z->weights, t);
  return t;
}

static zoo_value add_raw(struct zoo *z, const char *name, int32_t type, const int64_t *dims,
                         uint32_t rank, const void *data, size_t bytes) {
  Onnx__TensorProto *t = add_tensor(z, name, type, dims, rank);
  t->raw_data.len = bytes;
  t->raw_data.data = arena_memdup(&z->arena, data, bytes);
  return t->name;
}

static void die(const char *path) {
  perror(path);
  exit(4);
}

static const char *in_folder(struct zoo *z, const char *name) {
  return arena_printf(&z->arena, "%s/%s", z->folder, name);
}

static Onnx__StringStringEntryProto *entry(struct zoo *z, const char *key, const char *value) {
  Onnx__StringStringEntryProto *e = ARENA_NEW(&z->arena, Onnx__StringStringEntryProto);
  onnx__string_string_entry_proto__init(e);
  e->key = text(z, key);
  e->value = text(z, value);
  return e;
}

/* Space in the external file, on a page of its own, as exporters lay it out for mapping. */
static void place_outside(struct zoo *z, Onnx__TensorProto *t, uint64_t bytes) {
  char number[32];
  z->data_bytes = (z->data_bytes + 4095) / 4096 * 4096;
  t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
  t->external_data = ARENA_ARRAY(&z->arena, Onnx__StringStringEntryProto *, 3);
  t->external_data[t->n_external_data++] = entry(z, "location", z->external);
  snprintf(number, sizeof number, "%llu", (unsigned long long)z->data_bytes);
  t->external_data[t->n_external_data++] = entry(z, "offset", number);
  snprintf(number, sizeof number, "%llu", (unsigned long long)bytes);
  t->external_data[t->n_external_data++] = entry(z, "length", number);
}

static void write_outside(struct zoo *z, uint64_t n, float center, float bound) {
  static float block[1 << 16];
  const uint64_t room = sizeof block / sizeof *block;
  if (!z->data && !(z->data = fopen(in_folder(z, z->external), "wb")))
    die(z->external);
  if (z->sparse)
    return;
  fseeko(z->data, (off_t)z->data_bytes, SEEK_SET);
  for (uint64_t i = 0; i < n; i += room) {
    uint64_t count = n - i < room ? n - i : room;
    fill(z, block, count, center, bound);
    if (fwrite(block, sizeof *block, count, z->data) != count)
      die(z->external);
  }
}

float zoo_bound(int64_t fan_in) { return sqrtf(3.0f / (float)fan_in); }

zoo_value zoo_weight(struct zoo *z, const char *name, const int64_t *dims, uint32_t rank,
                     float center, float bound) {
  Onnx__TensorProto *t = add_tensor(z, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, dims, rank);
  uint64_t n = 1;
  for (uint32_t i = 0; i < rank; i++)
    n *= (uint64_t)dims[i];
  if (z->describe)
    return t->name;
  if (z->external && n >= 256) {
    place_outside(z, t, n * sizeof(float));
    write_outside(z, n, center, bound);
    z->data_bytes += n * sizeof(float);
    return t->name;
  }
  float *data = arena_alloc(&z->arena, n * sizeof *data);
  fill(z, data, n, center, bound);
  t->raw_data.data = (uint8_t *)data;
  t->raw_data.len = n * sizeof *data;
  return t->name;
}

zoo_value zoo_ints(struct zoo *z, const int64_t *values, uint32_t n, bool scalar) {
  int64_t dims[1] = {n};
  return add_raw(z, made_name(z, "Constant"), ONNX__TENSOR_PROTO__DATA_TYPE__INT64, dims, !scalar,
                 values, n * sizeof *values);
}

zoo_value zoo_float(struct zoo *z, float value) {
  return add_raw(z, made_name(z, "Constant"), ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, NULL, 0, &value,
                 sizeof value);
}

zoo_value zoo_floats(struct zoo *z, const float *values, uint32_t n) {
  int64_t dims[1] = {n};
  return add_raw(z, made_name(z, "Constant"), ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, dims, 1, values,
                 n * sizeof *values);
}

zoo_value zoo_bools(struct zoo *z, const uint8_t *values, const int64_t *dims, uint32_t rank) {
  size_t n = 1;
  for (uint32_t i = 0; i < rank; i++)
    n *= (size_t)dims[i];
  return add_raw(z, made_name(z, "Constant"), ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, dims, rank,
                 values, n);
}

/* ---- nodes ---- */

zoo_value zoo_node(struct zoo *z, const char *op, const zoo_value *inputs, uint32_t n) {
  Onnx__NodeProto *node = ARENA_NEW(&z->arena, Onnx__NodeProto);
  onnx__node_proto__init(node);
  node->op_type = text(z, op);
  node->name = made_name(z, op);
  node->input = ARENA_ARRAY(&z->arena, char *, n ? n : 1);
  for (uint32_t i = 0; i < n; i++)
    node->input[i] = (char *)inputs[i];
  node->n_input = n;
  node->output = ARENA_ARRAY(&z->arena, char *, 1);
  node->output[0] = arena_printf(&z->arena, "%s_output_0", node->name);
  node->n_output = 1;
  vec_push(&z->nodes, node);
  return node->output[0];
}

void zoo_more_outputs(struct zoo *z, uint32_t n, zoo_value *out) {
  Onnx__NodeProto *node = vec_last(&z->nodes);
  char **all = ARENA_ARRAY(&z->arena, char *, n);
  for (uint32_t i = 0; i < n; i++) {
    all[i] = i ? arena_printf(&z->arena, "%s_output_%u", node->name, i) : node->output[0];
    out[i] = all[i];
  }
  node->output = all;
  node->n_output = n;
}

static Onnx__AttributeProto *add_attribute(struct zoo *z, const char *name,
                                           Onnx__AttributeProto__AttributeType type) {
  Onnx__NodeProto *node = vec_last(&z->nodes);
  Onnx__AttributeProto **all =
      ARENA_ARRAY(&z->arena, Onnx__AttributeProto *, node->n_attribute + 1);
  for (size_t i = 0; i < node->n_attribute; i++)
    all[i] = node->attribute[i];
  Onnx__AttributeProto *a = ARENA_NEW(&z->arena, Onnx__AttributeProto);
  onnx__attribute_proto__init(a);
  a->name = text(z, name);
  a->type = type;
  all[node->n_attribute++] = a;
  node->attribute = all;
  return a;
}

void zoo_attr_int(struct zoo *z, const char *name, int64_t value) {
  add_attribute(z, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT)->i = value;
}

void zoo_attr_float(struct zoo *z, const char *name, float value) {
  add_attribute(z, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT)->f = value;
}

void zoo_attr_text(struct zoo *z, const char *name, const char *value) {
  Onnx__AttributeProto *a = add_attribute(z, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
  a->s.data = (uint8_t *)text(z, value);
  a->s.len = strlen(value);
}

void zoo_attr_ints(struct zoo *z, const char *name, const int64_t *values, uint32_t n) {
  Onnx__AttributeProto *a = add_attribute(z, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
  a->ints = arena_memdup(&z->arena, values, n * sizeof *values);
  a->n_ints = n;
}

/* ---- shorthands ---- */

zoo_value zoo_reshape(struct zoo *z, zoo_value x, const int64_t *dims, uint32_t n) {
  return ZOO(z, "Reshape", x, zoo_ints(z, dims, n, false));
}

zoo_value zoo_transpose(struct zoo *z, zoo_value x, const int64_t *perm, uint32_t n) {
  zoo_value y = ZOO(z, "Transpose", x);
  zoo_attr_ints(z, "perm", perm, n);
  return y;
}

zoo_value zoo_linear(struct zoo *z, const char *name, zoo_value x, int64_t in, int64_t out,
                     bool bias) {
  zoo_value w =
      ZOO_WEIGHT(z, arena_printf(&z->arena, "%s.weight", name), 0, zoo_bound(in), in, out);
  zoo_value y = ZOO(z, "MatMul", x, w);
  if (!bias)
    return y;
  zoo_value b = ZOO_WEIGHT(z, arena_printf(&z->arena, "%s.bias", name), 0, 0.1f, out);
  return ZOO(z, "Add", b, y);
}

zoo_value zoo_layer_norm(struct zoo *z, const char *name, zoo_value x, int64_t n, float epsilon) {
  zoo_value w = ZOO_WEIGHT(z, arena_printf(&z->arena, "%s.weight", name), 1, 0.1f, n);
  zoo_value b = ZOO_WEIGHT(z, arena_printf(&z->arena, "%s.bias", name), 0, 0.1f, n);
  zoo_value y = ZOO(z, "LayerNormalization", x, w, b);
  zoo_attr_int(z, "axis", -1);
  zoo_attr_float(z, "epsilon", epsilon);
  return y;
}

zoo_value zoo_dim(struct zoo *z, zoo_value x, int64_t axis) {
  zoo_value shape = ZOO(z, "Shape", x);
  zoo_value d = ZOO(z, "Gather", shape, ZOO_INT(z, axis));
  zoo_attr_int(z, "axis", 0);
  return d;
}

zoo_value zoo_softmax(struct zoo *z, zoo_value x) {
  zoo_value y = ZOO(z, "Softmax", x);
  zoo_attr_int(z, "axis", -1);
  return y;
}

/* ---- the file ---- */

static void write_model(struct zoo *z, const Onnx__ModelProto *model) {
  const char *path = in_folder(z, "model.onnx");
  size_t size = onnx__model_proto__get_packed_size(model);
  uint8_t *bytes = malloc(size + 1);
  FILE *f = fopen(path, "wb");
  if (!bytes || !f)
    die(path);
  onnx__model_proto__pack(model, bytes);
  if (fwrite(bytes, 1, size, f) != size || fclose(f))
    die(path);
  free(bytes);
}

void zoo_finish(struct zoo *z, const char *name) {
  Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
  Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
  Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets[1] = {&opset};
  opset.version = 17;
  graph.name = text(z, name);
  graph.node = z->nodes.data, graph.n_node = z->nodes.len;
  graph.initializer = z->weights.data, graph.n_initializer = z->weights.len;
  graph.input = z->inputs.data, graph.n_input = z->inputs.len;
  graph.output = z->outputs.data, graph.n_output = z->outputs.len;
  model.ir_version = 8;
  model.producer_name = text(z, "sinter-zoo");
  model.graph = &graph;
  model.opset_import = opsets, model.n_opset_import = 1;
  if (!z->describe)
    write_model(z, &model);
  if (z->data) {
    if (ftruncate(fileno(z->data), (off_t)z->data_bytes) || fclose(z->data))
      die(z->external);
  }
  vec_deinit(&z->nodes);
  vec_deinit(&z->weights);
  vec_deinit(&z->inputs);
  vec_deinit(&z->outputs);
  vec_deinit(&z->cases);
  arena_deinit(&z->arena);
}
