/* SPDX-License-Identifier: Apache-2.0 */
/* Normalizations: statistics along some dims, then scale and shift. */
#include "frontend/onnx/import_build.h"

static bool at_least_rank(struct import_node *n, uint32_t least) {
  if (import_rank(n, 0) >= least)
    return true;
  import_invalid(n, "its operand has rank %u, below %u", import_rank(n, 0), least);
  return false;
}

/* y * scale + shift, with operands of either put at the channel dim; VALUE_NONE leaves a step out.
 */
static value_id scale_and_shift(struct import_node *n, value_id y, value_id scale, value_id shift) {
  if (scale != VALUE_NONE)
    y = build_binary(n->b, SCALAR_MUL, y, scale);
  if (shift != VALUE_NONE)
    y = build_binary(n->b, SCALAR_ADD, y, shift);
  return y;
}

static value_id channel_operand(struct import_node *n, uint32_t i, enum dtype dtype) {
  return import_along_axis(n, build_cast(n->b, import_in(n, i), dtype), import_rank(n, 0), 1);
}

/* ---- batch ---- */

/* All dims but the channels. */
static struct ints batch_axes(struct import_node *n) {
  uint32_t rank = import_rank(n, 0), len = 0;
  int64_t *axes = ARENA_ARRAY(import_arena(n), int64_t, rank);
  for (uint32_t i = 0; i < rank; i++)
    if (i != 1)
      axes[len++] = i;
  return (struct ints){axes, len};
}

/* running * momentum + current * (1 - momentum) */
static void running_output(struct import_node *n, uint32_t output, uint32_t operand,
                           value_id current, double momentum) {
  if (!import_wants(n, output) || current == VALUE_NONE)
    return;
  value_id running = import_in(n, operand);
  enum dtype dtype = import_dtype(n, operand);
  current = build_cast(n->b, current, dtype);
  current = build_reshape(n->b, current, import_type(n, operand)->dims, 1);
  value_id old = build_binary_f64(n->b, SCALAR_MUL, running, momentum);
  value_id new = build_binary_f64(n->b, SCALAR_MUL, current, 1 - momentum);
  import_out(n, output, build_binary(n->b, SCALAR_ADD, old, new));
}

void import_batch_normalization(struct import_node *n) {
  double epsilon = import_attr_float(n, "epsilon", 1e-5);
  double momentum = import_attr_float(n, "momentum", 0.9);
  bool training = import_attr_int(n, "training_mode", 0) != 0;
  if (!import_arity(n, 5, 5, 5) || !at_least_rank(n, 1))
    return;
  if (import_attr_int(n, "spatial", 1) != 1 || (!training && n->n_outputs > 1)) {
    import_unsupported(n, "statistics per element, or outputs of training");
    return;
  }
  enum dtype dtype = import_dtype(n, 0);
  enum dtype work = dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
  value_id x = build_cast(n->b, import_in(n, 0), work), mean, variance;
  if (training) {
    struct ints axes = batch_axes(n);
    mean = import_reduce_mean(n, x, axes);
    value_id centered = build_binary(n->b, SCALAR_SUB, x, mean);
    variance = import_reduce_mean(n, build_binary(n->b, SCALAR_MUL, centered, centered), axes);
    running_output(n, 1, 3, mean, momentum);
    running_output(n, 2, 4, variance, momentum);
  } else {
    mean = channel_operand(n, 3, work);
    variance = channel_operand(n, 4, work);
  }
  value_id root =
      build_unary(n->b, SCALAR_SQRT, build_binary_f64(n->b, SCALAR_ADD, variance, epsilon));
  value_id factor = build_binary(n->b, SCALAR_DIV, channel_operand(n, 1, work), root);
  value_id y = build_binary(n->b, SCALAR_SUB, x, mean);
  y = scale_and_shift(n, y, factor, channel_operand(n, 2, work));
  import_out(n, 0, build_cast(n->b, y, dtype));
}

void import_instance_normalization(struct import_node *n) {
  double epsilon = import_attr_float(n, "epsilon", 1e-5);
  if (!import_arity(n, 3, 3, 1) || !at_least_rank(n, 3))
    return;
  enum dtype dtype = import_dtype(n, 0), work = dtype_compute(dtype);
  value_id x = build_cast(n->b, import_in(n, 0), work);
  struct ints axes = import_range(n, 2, import_rank(n, 0));
  value_id y = import_normalize(n, x, axes, epsilon, NULL, NULL);
  y = scale_and_shift(n, y, channel_operand(n, 1, work), channel_operand(n, 2, work));
  import_out(n, 0, build_cast(n->b, y, dtype));
}

/* ---- groups ---- */

/* Scale and bias have one entry per channel (21 on) or per group (18). */
static value_id group_operand(struct import_node *n, uint32_t i, enum dtype dtype, dim groups,
                              dim per_group) {
  const struct type *type = import_type(n, i);
  value_id v = build_cast(n->b, import_in(n, i), dtype);
  if (n->opset >= 21 || type->rank != 1)
    return import_along_axis(n, v, import_rank(n, 0), 1);
  dim dims[2] = {groups, dim_const(n->dims, 1)}, wide[2] = {groups, per_group};
  dim all = dim_mul(n->dims, groups, per_group);
  v = build_broadcast(n->b, build_reshape(n->b, v, dims, 2), wide, 2);
  return import_along_axis(n, build_reshape(n->b, v, &all, 1), import_rank(n, 0), 1);
}

void import_group_normalization(struct import_node *n) {
  double epsilon = import_attr_float(n, "epsilon", 1e-5);
  int64_t count = import_attr_int(n, "num_groups", 0);
  bool stash = import_attr_int(n, "stash_type", 1) == 1;
  if (!import_arity(n, 3, 3, 1) || !at_least_rank(n, 2))
    return;
  if (count < 1) {
    import_invalid(n, "'num_groups' is missing or not positive");
    return;
  }
  struct type type = *import_type(n, 0);
  enum dtype work = stash && dtype_bits(type.dtype) < 32 ? DTYPE_F32 : type.dtype;
  dim groups = dim_const(n->dims, count);
  dim per_group = dim_exactdiv(n->dims, type.dims[1], groups);
  dim rest = dim_const(n->dims, 1);
  for (uint32_t i = 2; i < type.rank; i++)
    rest = dim_mul(n->dims, rest, type.dims[i]);
  dim flat[3] = {type.dims[0], groups, dim_mul(n->dims, per_group, rest)};
  value_id x = build_reshape(n->b, build_cast(n->b, import_in(n, 0), work), flat, 3);
  value_id y = import_normalize(n, x, import_range(n, 2, 3), epsilon, NULL, NULL);
  y = build_cast(n->b, build_reshape(n->b, y, type.dims, type.rank), type.dtype);
  value_id scale = group_operand(n, 1, type.dtype, groups, per_group);
  value_id shift = group_operand(n, 2, type.dtype, groups, per_group);
  import_out(n, 0, scale_and_shift(n, y, scale, shift));
}

/* ---- layers ---- */

static bool trailing_axes(struct import_node *n, struct ints *out) {
  uint32_t axis;
  int64_t given = import_attr_int(n, "axis", -1);
  if (!import_axis(n, given, import_rank(n, 0), &axis))
    return false;
  *out = import_range(n, axis, import_rank(n, 0));
  return true;
}

/* Statistics are computed in f32 at least, or in what stash_type names. */
static enum dtype stash_dtype(struct import_node *n) {
  enum dtype stash = import_attr_dtype(n, "stash_type", DTYPE_F32), own = import_dtype(n, 0);
  return dtype_is_float(stash) && dtype_bits(stash) > dtype_bits(own) ? stash : own;
}

void import_layer_normalization(struct import_node *n) {
  double epsilon = import_attr_float(n, "epsilon", 1e-5);
  struct ints axes;
  if (!import_arity(n, 2, 3, 3) || !trailing_axes(n, &axes))
    return;
  enum dtype dtype = import_dtype(n, 0), work = stash_dtype(n);
  value_id x = build_cast(n->b, import_in(n, 0), work), mean, inverse;
  value_id y = import_normalize(n, x, axes, epsilon, &mean, &inverse);
  y = build_cast(n->b, y, dtype);
  y = scale_and_shift(n, y, build_cast(n->b, import_in(n, 1), dtype),
                      import_has(n, 2) ? build_cast(n->b, import_in(n, 2), dtype) : VALUE_NONE);
  import_out(n, 0, y);
  import_out(n, 1, mean);
  import_out(n, 2, inverse);
}

void import_rms_normalization(struct import_node *n) {
  double epsilon = import_attr_float(n, "epsilon", 1e-5);
  struct ints axes;
  if (!import_arity(n, 2, 2, 1) || !trailing_axes(n, &axes))
    return;
  value_id x = build_cast(n->b, import_in(n, 0), stash_dtype(n));
  value_id y = import_rms_normalize(n, x, axes, epsilon, NULL);
  y = build_cast(n->b, y, import_dtype(n, 1));
  import_out(n, 0, build_binary(n->b, SCALAR_MUL, y, import_in(n, 1)));
}

/* ---- others ---- */

/* A norm of 0 gives 0. */
void import_lp_normalization(struct import_node *n) {
  uint32_t axis;
  int64_t given = import_attr_int(n, "axis", -1), p = import_attr_int(n, "p", 2);
  if (!import_arity(n, 1, 1, 1) || !import_axis(n, given, import_rank(n, 0), &axis))
    return;
  if (p != 1 && p != 2) {
    import_invalid(n, "'p' is neither 1 nor 2");
    return;
  }
  enum dtype dtype = import_dtype(n, 0), work = dtype_compute(dtype);
  struct ints axes = import_range(n, axis, axis + 1);
  value_id x = build_cast(n->b, import_in(n, 0), work);
  value_id size = p == 1 ? build_unary(n->b, SCALAR_ABS, x) : build_binary(n->b, SCALAR_MUL, x, x);
  value_id norm = import_reduce(n, size, axes, COMBINER_SUM);
  if (p == 2)
    norm = build_unary(n->b, SCALAR_SQRT, norm);
  value_id zero = build_scalar_f64(n->b, work, 0);
  value_id y = build_select(n->b, build_binary(n->b, SCALAR_EQ, norm, zero), zero,
                            build_binary(n->b, SCALAR_DIV, x, norm));
  import_out(n, 0, build_cast(n->b, y, dtype));
}

void import_mean_variance_normalization(struct import_node *n) {
  static const int64_t usual[] = {0, 2, 3};
  struct ints axes;
  if (!import_attr_ints(n, "axes", &axes))
    axes = (struct ints){usual, 3};
  if (!import_arity(n, 1, 1, 1) || !import_axes(n, axes, import_rank(n, 0), true, &axes))
    return;
  enum dtype dtype = import_dtype(n, 0);
  value_id x = build_cast(n->b, import_in(n, 0), dtype_compute(dtype));
  value_id centered = build_binary(n->b, SCALAR_SUB, x, import_reduce_mean(n, x, axes));
  value_id variance =
      import_reduce_mean(n, build_binary(n->b, SCALAR_MUL, centered, centered), axes);
  value_id deviation =
      build_binary_f64(n->b, SCALAR_ADD, build_unary(n->b, SCALAR_SQRT, variance), 1e-9);
  import_out(n, 0, build_cast(n->b, build_binary(n->b, SCALAR_DIV, centered, deviation), dtype));
}

/* x / (bias + alpha / size * the sum of squares of `size` channels around) ^ beta */
void import_lrn(struct import_node *n) {
  double alpha = import_attr_float(n, "alpha", 1e-4), beta = import_attr_float(n, "beta", 0.75);
  double bias = import_attr_float(n, "bias", 1);
  int64_t size = import_attr_int(n, "size", 0);
  if (!import_arity(n, 1, 1, 1) || !at_least_rank(n, 2))
    return;
  if (size < 1 || size > INT32_MAX) {
    import_invalid(n, "'size' is missing or not positive");
    return;
  }
  enum dtype dtype = import_dtype(n, 0);
  uint32_t rank = import_rank(n, 0);
  value_id x = build_cast(n->b, import_in(n, 0), dtype_compute(dtype));
  value_id square = build_binary(n->b, SCALAR_MUL, x, x);
  int64_t sizes[IR_MAX_RANK], ones[IR_MAX_RANK];
  dim low[IR_MAX_RANK], high[IR_MAX_RANK];
  for (uint32_t i = 0; i < rank; i++) {
    sizes[i] = i == 1 ? size : 1;
    ones[i] = 1;
    low[i] = dim_const(n->dims, i == 1 ? (size - 1) / 2 : 0);
    high[i] = dim_const(n->dims, i == 1 ? size / 2 : 0);
  }
  struct window_attrs attrs = {.kind = COMBINER_SUM,
                               .size = {sizes, rank},
                               .stride = {ones, rank},
                               .dilation = {ones, rank},
                               .low = {low, rank},
                               .high = {high, rank}};
  value_id sum = build_op1(n->b, OP_WINDOW, &square, 1, &attrs);
  value_id base = build_binary_f64(n->b, SCALAR_MUL, sum, alpha / (double)size);
  base = build_binary_f64(n->b, SCALAR_ADD, base, bias);
  value_id y = build_binary(n->b, SCALAR_DIV, x, build_binary_f64(n->b, SCALAR_POW, base, beta));
  import_out(n, 0, build_cast(n->b, y, dtype));
}
