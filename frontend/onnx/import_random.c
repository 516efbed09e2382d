/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers. A node without a seed has one of its own, from its place in the model, so that
 * nodes draw differently and a model always draws the same. */
#include "frontend/onnx/import_util.h"

#include "base/hash.h"

#include <string.h>

static int64_t seed_of(struct import_node *n) {
  if (import_attr_has(n, "seed")) {
    float seed = (float)import_attr_float(n, "seed", 0);
    uint32_t bits;
    memcpy(&bits, &seed, sizeof bits);
    return bits;
  }
  const char *name = n->proto->n_output ? n->proto->output[0] : "";
  return (int64_t)(hash_bytes(name, strlen(name), (uint64_t)n->index) >> 1);
}

static value_id draw(struct import_node *n, enum random_kind kind, const struct type *type) {
  struct type wide = type_make(dtype_compute(type->dtype), type->dims, type->rank);
  struct random_attrs attrs = {.type = &wide, .kind = kind, .seed = seed_of(n)};
  return build_op1(n->b, OP_RANDOM, NULL, 0, &attrs);
}

static value_id draw_scaled(struct import_node *n, enum random_kind kind, const struct type *type) {
  bool normal = kind == RANDOM_KIND_NORMAL;
  double add = import_attr_float(n, normal ? "mean" : "low", 0);
  double scale = import_attr_float(n, normal ? "scale" : "high", 1) - (normal ? 0 : add);
  value_id x = draw(n, kind, type);
  x = build_binary_f64(n->b, SCALAR_MUL, x, scale);
  return build_cast(n->b, build_binary_f64(n->b, SCALAR_ADD, x, add), type->dtype);
}

static bool float_only(struct import_node *n, enum dtype dtype) {
  if (!n->failed && !dtype_is_float(dtype))
    import_invalid(n, "random numbers of %s", dtype_name(dtype));
  return !n->failed;
}

void import_random(struct import_node *n) {
  struct ints shape = {0};
  dim dims[IR_MAX_RANK];
  enum dtype dtype = import_attr_dtype(n, "dtype", DTYPE_F32);
  if (!import_attr_ints(n, "shape", &shape)) {
    import_invalid(n, "its shape is missing");
    return;
  }
  if (!import_arity(n, 0, 0, 1) || !float_only(n, dtype))
    return;
  if (shape.len > IR_MAX_RANK) {
    import_unsupported(n, "rank %u is above %d", shape.len, IR_MAX_RANK);
    return;
  }
  for (uint32_t i = 0; i < shape.len; i++)
    dims[i] = dim_const(n->dims, shape.data[i]);
  struct type type = type_make(dtype, dims, shape.len);
  import_out(n, 0, draw_scaled(n, (enum random_kind)n->arg, &type));
}

void import_random_like(struct import_node *n) {
  if (!import_arity(n, 1, 1, 1))
    return;
  struct type type = *import_type(n, 0);
  type.dtype = import_attr_dtype(n, "dtype", type.dtype);
  if (float_only(n, type.dtype))
    import_out(n, 0, draw_scaled(n, (enum random_kind)n->arg, &type));
}

void import_bernoulli(struct import_node *n) {
  if (!import_arity(n, 1, 1, 1))
    return;
  const struct type type = *import_type(n, 0);
  enum dtype dtype = import_attr_dtype(n, "dtype", type.dtype);
  if (!float_only(n, type.dtype))
    return;
  value_id p = build_cast(n->b, import_in(n, 0), dtype_compute(type.dtype));
  value_id hit = build_binary(n->b, SCALAR_LT, draw(n, RANDOM_KIND_UNIFORM, &type), p);
  import_out(n, 0, build_cast(n->b, hit, dtype));
}

/* Each sample is the class of the greatest log-probability plus Gumbel noise, which needs no sum.
 */
void import_multinomial(struct import_node *n) {
  int64_t samples = import_attr_int(n, "sample_size", 1);
  enum dtype dtype = import_attr_dtype(n, "dtype", DTYPE_I32);
  if (!import_arity(n, 1, 1, 1))
    return;
  const struct type type = *import_type(n, 0);
  if (type.rank != 2 || samples < 1) {
    import_invalid(n, "%lld samples of an operand of rank %u", (long long)samples, type.rank);
    return;
  }
  if (!float_only(n, type.dtype))
    return;
  struct builder *b = n->b;
  dim dims[3] = {type.dims[0], dim_const(n->dims, samples), type.dims[1]};
  struct type noise_type = type_make(DTYPE_F64, dims, 3);
  value_id u = draw(n, RANDOM_KIND_UNIFORM, &noise_type);
  u = build_binary_f64(b, SCALAR_MAX, u, 0x1p-60);
  value_id exponential = build_unary(b, SCALAR_NEG, build_unary(b, SCALAR_LOG, u));
  value_id gumbel = build_unary(b, SCALAR_NEG, build_unary(b, SCALAR_LOG, exponential));
  value_id logits =
      build_unsqueeze(b, build_cast(b, import_in(n, 0), DTYPE_F64), (int64_t[]){1}, 1);
  value_id score = value_add(b, logits, gumbel);
  struct reduce_attrs attrs = {.axes = {(int64_t[]){2}, 1}, .kind = COMBINER_ARGMAX};
  op_id best = build_op(b, OP_REDUCE, &score, 1, NULL, 0, &attrs);
  value_id index = build_reshape(b, op_result(n->f, best, 1), dims, 2);
  import_out(n, 0, build_cast(b, index, dtype));
}
