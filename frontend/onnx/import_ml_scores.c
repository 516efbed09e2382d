/* SPDX-License-Identifier: Apache-2.0 */
/* What classifiers and regressors of ai.onnx.ml share: numbers in attributes, post transforms of
 * scores, class labels. */
#include "frontend/onnx/import_ml.h"
#include "frontend/onnx/import_string.h"
#include "frontend/onnx/import_util.h"

#include <math.h>
#include <string.h>

/* ---- numbers ---- */

static const struct constant *tensor_attr(struct import_node *n, const char *name,
                                          uint32_t *out_len) {
  const Onnx__TensorProto *t = name ? import_attr_tensor(n, name) : NULL;
  value_id v = t ? import_tensor_const(n, t) : VALUE_NONE;
  const struct op *op = v == VALUE_NONE ? NULL : value_def(n->f, v);
  if (!op || op->kind != OP_CONST)
    return NULL;
  const struct constant *c = &n->f->module->constants.data[OP_ATTRS(const, op)->value];
  uint64_t len = 1;
  for (uint32_t i = 0; i < c->rank; i++)
    len *= (uint64_t)c->dims[i];
  if (len > UINT32_MAX) {
    import_unsupported(n, "attribute '%s' has %llu elements", name, (unsigned long long)len);
    return NULL;
  }
  *out_len = (uint32_t)len;
  return c;
}

bool ml_numbers(struct import_node *n, const char *floats, const char *tensor,
                struct ml_numbers *out) {
  const float *list;
  uint32_t len;
  *out = (struct ml_numbers){0};
  if (floats && import_attr_floats(n, floats, &list, &len) && (len || !tensor)) {
    double *data = ARENA_ARRAY(import_arena(n), double, len);
    for (uint32_t i = 0; i < len; i++)
      data[i] = (double)list[i];
    *out = (struct ml_numbers){data, len, false};
    return true;
  }
  const struct constant *c = tensor_attr(n, tensor, &len);
  if (!c)
    return false;
  double *data = ARENA_ARRAY(import_arena(n), double, len);
  for (uint32_t i = 0; i < len; i++) {
    int64_t whole;
    constant_element(c, i, &data[i], &whole);
    data[i] = dtype_is_float(c->dtype) ? data[i] : (double)whole;
  }
  *out = (struct ml_numbers){data, len, c->dtype == DTYPE_F64};
  return true;
}

bool ml_integers(struct import_node *n, const char *ints, const char *tensor, struct ints *out) {
  uint32_t len;
  *out = (struct ints){0};
  if (ints && import_attr_ints(n, ints, out))
    return true;
  const struct constant *c = tensor_attr(n, tensor, &len);
  if (!c || dtype_is_float(c->dtype))
    return false;
  int64_t *data = ARENA_ARRAY(import_arena(n), int64_t, len);
  for (uint32_t i = 0; i < len; i++) {
    double fraction;
    constant_element(c, i, &fraction, &data[i]);
  }
  *out = (struct ints){data, len};
  return true;
}

value_id ml_const(struct import_node *n, enum dtype dtype, const double *data, const int64_t *dims,
                  uint32_t rank) {
  uint64_t len = 1;
  for (uint32_t i = 0; i < rank; i++)
    len *= (uint64_t)dims[i];
  if (dtype == DTYPE_F64)
    return build_const_data(n->b, dtype, dims, rank, data, len * sizeof *data);
  float *narrow = mem_alloc(len * sizeof *narrow);
  for (uint64_t i = 0; i < len; i++)
    narrow[i] = (float)data[i];
  value_id v = build_const_data(n->b, DTYPE_F32, dims, rank, narrow, len * sizeof *narrow);
  mem_free(narrow);
  return build_cast(n->b, v, dtype);
}

value_id ml_const_ints(struct import_node *n, enum dtype dtype, const int64_t *data,
                       const int64_t *dims, uint32_t rank) {
  uint64_t len = 1;
  for (uint32_t i = 0; i < rank; i++)
    len *= (uint64_t)dims[i];
  return build_cast(n->b, build_const_data(n->b, DTYPE_I64, dims, rank, data, len * sizeof *data),
                    dtype);
}

value_id ml_matrix(struct import_node *n, uint32_t i) {
  value_id x = import_in(n, i);
  if (x == VALUE_NONE)
    return x;
  const struct type *type = import_type(n, i);
  x = build_cast(n->b, x, type->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32);
  if (type->rank == 2)
    return x;
  dim dims[2] = {dim_const(n->dims, 1), type->dims[0]};
  if (type->rank == 1)
    return build_reshape(n->b, x, dims, 2);
  import_invalid(n, "operand %u has rank %u, not 2", i, type->rank);
  return VALUE_NONE;
}

/* ---- transforms ---- */

bool ml_read_transform(struct import_node *n, enum ml_transform *out) {
  static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  const char *name = import_attr_string(n, "post_transform", "NONE");
  for (int i = 0; i < 5; i++)
    if (!strcmp(name, names[i])) {
      *out = (enum ml_transform)i;
      return true;
    }
  import_invalid(n, "post_transform is '%s'", name);
  return false;
}

/* Softmax in which scores near 0 keep that: they are scaled, not raised. */
static value_id softmax_zero(struct import_node *n, value_id x) {
  struct builder *b = n->b;
  int64_t axis = 1;
  value_id max = build_reduce(b, x, &axis, 1, COMBINER_MAX);
  value_id e = build_unary(b, SCALAR_EXP, value_sub(b, x, max));
  value_id flat = value_mul(b, x, build_unary(b, SCALAR_EXP, build_unary(b, SCALAR_NEG, max)));
  value_id far = build_binary_f64(b, SCALAR_GT, build_unary(b, SCALAR_ABS, x), 1e-7);
  value_id y = build_select(b, far, e, flat);
  value_id sum = build_reduce(b, y, &axis, 1, COMBINER_SUM);
  value_id empty = build_binary_f64(b, SCALAR_EQ, sum, 0);
  value_id half = y == VALUE_NONE ? y : build_scalar_f64(b, import_value_type(n, y)->dtype, 0.5);
  return build_select(b, empty, half, value_div(b, y, sum));
}

/* sqrt(2) erfinv(2 x - 1) by Winitzki's approximation, which onnxruntime has:
 * erfinv(u) = sign(u) sqrt(sqrt(v^2 - w) - v), v = 2 / (pi a) + log(1 - u^2) / 2,
 * w = log(1 - u^2) / a, a = 0.147. */
static value_id probit(struct import_node *n, value_id x) {
  struct builder *b = n->b;
  value_id u = build_binary_f64(b, SCALAR_SUB, build_binary_f64(b, SCALAR_MUL, x, 2), 1);
  value_id one = x == VALUE_NONE ? x : build_scalar_f64(b, import_value_type(n, x)->dtype, 1);
  value_id rest = value_mul(b, value_sub(b, one, u), value_add(b, one, u));
  value_id log = build_unary(b, SCALAR_LOG, rest);
  value_id v = build_binary_f64(b, SCALAR_MUL, log, 0.5);
  v = build_binary_f64(b, SCALAR_ADD, v, 2 / (M_PI * 0.147));
  value_id w = build_binary_f64(b, SCALAR_MUL, log, 1 / 0.147);
  value_id root = build_unary(b, SCALAR_SQRT, value_sub(b, value_mul(b, v, v), w));
  value_id y = build_unary(b, SCALAR_SQRT, value_sub(b, root, v));
  y = build_binary_f64(b, SCALAR_MUL, value_mul(b, build_unary(b, SCALAR_SIGN, u), y), M_SQRT2);
  value_id zero = x == VALUE_NONE ? x : build_scalar_f64(b, import_value_type(n, x)->dtype, 0);
  return build_select(b, build_binary_f64(b, SCALAR_EQ, rest, 0), zero, y);
}

value_id ml_transform(struct import_node *n, value_id scores, enum ml_transform kind) {
  switch (kind) {
  case ML_TRANSFORM_NONE: break;
  case ML_TRANSFORM_SOFTMAX: return import_softmax_over(n, scores, import_range(n, 1, 2));
  case ML_TRANSFORM_LOGISTIC: return build_unary(n->b, SCALAR_SIGMOID, scores);
  case ML_TRANSFORM_SOFTMAX_ZERO: return softmax_zero(n, scores);
  case ML_TRANSFORM_PROBIT: return probit(n, scores);
  }
  return scores;
}

/* ---- labels ---- */

bool ml_read_labels(struct import_node *n, const char *ints, const char *strings,
                    struct ml_labels *out) {
  const struct str *names;
  uint32_t count;
  *out = (struct ml_labels){0};
  if (import_attr_ints(n, ints, &out->ints) && out->ints.len)
    out->count = out->ints.len;
  else if (import_attr_strings(n, strings, &names, &count)) {
    out->count = count;
    out->names = names;
  }
  if (!out->count && !n->failed)
    import_fail(n, DIAG_E0143, "neither '%s' nor '%s' names classes", ints, strings);
  return out->count;
}

value_id ml_label_names(struct import_node *n, const struct ml_labels *labels) {
  int64_t dims[1] = {labels->count};
  return labels->ints.len ? ml_const_ints(n, DTYPE_I64, labels->ints.data, dims, 1)
                          : import_strings(n, labels->names, labels->count);
}

void ml_out_label(struct import_node *n, value_id index, const struct ml_labels *labels) {
  int64_t axis = 0;
  if (import_wants(n, 0))
    import_out(n, 0,
               build_gather(n->b, ml_label_names(n, labels), &index, &axis, 1, OUT_OF_RANGE_CLAMP));
}

value_id ml_best_class(struct import_node *n, value_id scores) {
  int64_t axis = 1;
  struct reduce_attrs attrs = {.axes = {&axis, 1}, .kind = COMBINER_ARGMAX};
  op_id op =
      scores == VALUE_NONE ? OP_ID_NONE : build_op(n->b, OP_REDUCE, &scores, 1, NULL, 0, &attrs);
  return build_squeeze(n->b, op_result(n->f, op, 1), &axis, 1);
}

value_id ml_two_classes(struct import_node *n, value_id x, bool probability) {
  if (x == VALUE_NONE)
    return x;
  value_id one = build_scalar_f64(n->b, import_value_type(n, x)->dtype, 1);
  value_id both[2] = {probability ? value_sub(n->b, one, x) : build_unary(n->b, SCALAR_NEG, x), x};
  return build_concat(n->b, both, 2, 1);
}
