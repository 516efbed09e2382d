/* SPDX-License-Identifier: Apache-2.0 */
/* Constant, in all its spellings, and Identity. */
#include "frontend/onnx/import_internal.h"

#include <string.h>

/* A tensor of strings, as an initializer would hold it. */
static struct import_value *string_value(struct import_node *n, const struct str *list,
                                         uint32_t len, bool scalar) {
  Onnx__TensorProto *t = ARENA_NEW(import_arena(n), Onnx__TensorProto);
  onnx__tensor_proto__init(t);
  t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
  t->n_dims = scalar ? 0 : 1;
  t->dims = ARENA_NEW(import_arena(n), int64_t);
  t->dims[0] = len;
  t->n_string_data = len;
  t->string_data = ARENA_ARRAY(import_arena(n), ProtobufCBinaryData, len);
  for (uint32_t i = 0; i < len; i++)
    t->string_data[i] = (ProtobufCBinaryData){list[i].len, (uint8_t *)list[i].data};
  return import_tensor_value(n, t);
}

static struct import_value *data_value(struct import_node *n, enum dtype dtype, const void *data,
                                       uint32_t len, bool scalar) {
  int64_t dims[1] = {len};
  value_id v = build_const_data(n->b, dtype, dims, scalar ? 0 : 1, data,
                                (uint64_t)len * dtype_bits(dtype) / 8);
  return import_value_tensor(n, v);
}

static struct import_value *sparse_value(struct import_node *n) {
  const Onnx__AttributeProto *a = import_attr(n, "sparse_value");
  struct diag_where where = import_where(n);
  struct onnx_tensor view;
  if (!a || !a->sparse_tensor) {
    import_fail(n, DIAG_E0143, "it has no value");
    return NULL;
  }
  if (onnx_sparse_resolve(n->im->model, a->sparse_tensor, &where, n->im->diags, &view)) {
    n->failed = true;
    return NULL;
  }
  constant_id c = import_constant_of(n->im, &view, &where);
  n->failed |= c == CONSTANT_NONE;
  return c == CONSTANT_NONE ? NULL : import_value_tensor(n, build_const(n->b, c));
}

static struct import_value *constant_value(struct import_node *n) {
  struct ints ints;
  const float *floats;
  const struct str *strings;
  uint32_t len;
  const Onnx__TensorProto *t = import_attr_tensor(n, "value");
  if (t)
    return import_tensor_value(n, t);
  if (import_attr_ints(n, "value_ints", &ints))
    return data_value(n, DTYPE_I64, ints.data, ints.len, false);
  if (import_attr_floats(n, "value_floats", &floats, &len))
    return data_value(n, DTYPE_F32, floats, len, false);
  if (import_attr_strings(n, "value_strings", &strings, &len))
    return string_value(n, strings, len, false);
  if (import_attr_has(n, "value_int")) {
    int64_t x = import_attr_int(n, "value_int", 0);
    return data_value(n, DTYPE_I64, &x, 1, true);
  }
  if (import_attr_has(n, "value_float")) {
    float x = (float)import_attr_float(n, "value_float", 0);
    return data_value(n, DTYPE_F32, &x, 1, true);
  }
  const Onnx__AttributeProto *a = import_attr(n, "value_string");
  if (a) {
    struct str s = {(const char *)a->s.data, a->s.len};
    return string_value(n, &s, 1, true);
  }
  return sparse_value(n);
}

void import_constant_op(struct import_node *n) {
  if (!import_arity(n, 0, 0, 1))
    return;
  struct import_value *v = constant_value(n);
  if (v && !n->failed)
    import_out_value(n, 0, v);
}

void import_identity(struct import_node *n) {
  if (n->n_inputs != 1 || !import_has(n, 0) || n->n_outputs > 1)
    import_fail(n, DIAG_E0144, "it must have one operand and one output");
  else
    import_out_value(n, 0, n->inputs[0]);
}
