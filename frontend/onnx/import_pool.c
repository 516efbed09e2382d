/* SPDX-License-Identifier: Apache-2.0 */
/* Pools: a window with a combiner, and what goes before and after it. */
#include "frontend/onnx/import_build.h"
#include "frontend/onnx/import_window.h"

/* ceil_mode gives one more window where the stride leaves a rest, unless it would start in the high
 * padding. The padding that a window op needs for it replaces `high`. */
static void extend_for_ceil(struct import_node *n, const dim *spatial, struct import_window *w) {
  struct dim_table *t = n->dims;
  for (uint32_t i = 0; i < w->n; i++) {
    dim stride = dim_const(t, w->stride[i]), one = dim_const(t, 1);
    dim from_low = dim_add(t, spatial[i], w->low[i]);
    dim reach = import_window_reach(n, w, i);
    dim room = dim_sub(t, dim_add(t, from_low, w->high[i]), reach);
    dim count = dim_add(t, dim_ceildiv(t, room, stride), one);
    count = dim_min(t, count, dim_ceildiv(t, from_low, stride));
    dim last_end = dim_add(t, dim_mul(t, dim_sub(t, count, one), stride), reach);
    w->high[i] = dim_max(t, w->high[i], dim_sub(t, last_end, from_low));
  }
}

struct pool {
  struct import_window w;
  dim high[IR_MAX_RANK]; /* the padding proper, before ceil_mode */
};

static bool read_pool(struct import_node *n, struct pool *p) {
  bool ceil_mode = import_attr_int(n, "ceil_mode", 0) != 0;
  if (!import_window_read(n, NULL, &p->w))
    return false;
  const dim *spatial = &import_type(n, 0)->dims[2];
  import_window_auto_pad(n, spatial, &p->w);
  for (uint32_t i = 0; i < p->w.n; i++)
    p->high[i] = p->w.high[i];
  if (ceil_mode && p->w.mode != PAD_SAME_UPPER && p->w.mode != PAD_SAME_LOWER)
    extend_for_ceil(n, spatial, &p->w);
  return true;
}

/* The window op over dims 2.. of x. */
static op_id build_window(struct import_node *n, value_id x, const struct import_window *w,
                          const dim *low, const dim *high, enum combiner kind) {
  int64_t size[IR_MAX_RANK], stride[IR_MAX_RANK], dilation[IR_MAX_RANK];
  dim lows[IR_MAX_RANK], highs[IR_MAX_RANK];
  for (uint32_t i = 0; i < w->n + 2; i++) {
    bool spatial = i >= 2;
    size[i] = 1;
    if (spatial)
      dim_is_const(n->dims, w->kernel[i - 2], &size[i]);
    stride[i] = spatial ? w->stride[i - 2] : 1;
    dilation[i] = spatial ? w->dilation[i - 2] : 1;
    lows[i] = spatial ? low[i - 2] : dim_const(n->dims, 0);
    highs[i] = spatial ? high[i - 2] : dim_const(n->dims, 0);
  }
  uint32_t rank = w->n + 2;
  struct window_attrs attrs = {.kind = kind,
                               .size = {size, rank},
                               .stride = {stride, rank},
                               .dilation = {dilation, rank},
                               .low = {lows, rank},
                               .high = {highs, rank}};
  return build_op(n->b, OP_WINDOW, &x, 1, NULL, 0, &attrs);
}

static value_id window_sum(struct import_node *n, value_id x, const struct import_window *w) {
  return op_result(n->f, build_window(n, x, w, w->low, w->high, COMBINER_SUM), 0);
}

/* How many elements each window averages over: [1, 1, spatial...]. With the padding counted it is
 * part of the operand; what ceil_mode adds never counts. */
static value_id window_counts(struct import_node *n, const struct pool *p, bool include_padding,
                              enum dtype dtype) {
  struct dim_table *t = n->dims;
  const struct type *type = import_type(n, 0);
  dim dims[IR_MAX_RANK], low[IR_MAX_RANK], high[IR_MAX_RANK], zero = dim_const(t, 0);
  dims[0] = dims[1] = dim_const(t, 1);
  for (uint32_t i = 0; i < p->w.n; i++) {
    dim padded = dim_add(t, p->w.low[i], p->high[i]);
    dims[i + 2] = include_padding ? dim_add(t, type->dims[i + 2], padded) : type->dims[i + 2];
    low[i] = include_padding ? zero : p->w.low[i];
    high[i] = include_padding ? dim_sub(t, p->w.high[i], p->high[i]) : p->w.high[i];
  }
  value_id one = build_scalar_f64(n->b, dtype, 1);
  value_id ones = build_broadcast_to(n->b, one, dims, p->w.n + 2);
  return op_result(n->f, build_window(n, ones, &p->w, low, high, COMBINER_SUM), 0);
}

/* Whether every window lies inside of what counts, so that the count is the kernel's size. */
static bool counts_are_full(struct import_node *n, const struct pool *p, bool include_padding) {
  for (uint32_t i = 0; i < p->w.n; i++) {
    bool padded =
        !dim_is_const_value(n->dims, p->w.low[i], 0) || !dim_is_const_value(n->dims, p->high[i], 0);
    if (!dim_known_eq(n->dims, p->w.high[i], p->high[i]) || (padded && !include_padding))
      return false;
  }
  return true;
}

void import_average_pool(struct import_node *n) {
  struct pool p;
  bool include = import_attr_int(n, "count_include_pad", 0) != 0;
  if (!import_arity(n, 1, 1, 1) || !read_pool(n, &p))
    return;
  enum dtype dtype = import_dtype(n, 0), work = dtype_compute(dtype);
  value_id sum = window_sum(n, build_cast(n->b, import_in(n, 0), work), &p.w);
  value_id count = counts_are_full(n, &p, include)
                       ? import_dim_scalar(n, dim_product(n->dims, p.w.kernel, p.w.n), work)
                       : window_counts(n, &p, include, work);
  import_out(n, 0, build_cast(n->b, build_binary(n->b, SCALAR_DIV, sum, count), dtype));
}

/* Positions in row-major order, of the last `spatial` dims in column-major order instead. */
static value_id column_major(struct import_node *n, value_id index, const dim *spatial,
                             uint32_t count) {
  struct dim_table *t = n->dims;
  dim plane = dim_product(t, spatial, count), stride = dim_const(t, 1), rest = plane;
  value_id in_plane = build_binary(n->b, SCALAR_MOD, index, import_dim_scalar(n, plane, DTYPE_I64));
  value_id result = build_binary(n->b, SCALAR_SUB, index, in_plane);
  for (uint32_t i = 0; i < count; i++) {
    rest = dim_exactdiv(t, rest, spatial[i]);
    value_id at = build_binary(n->b, SCALAR_DIV, in_plane, import_dim_scalar(n, rest, DTYPE_I64));
    at = build_binary(n->b, SCALAR_MOD, at, import_dim_scalar(n, spatial[i], DTYPE_I64));
    at = build_binary(n->b, SCALAR_MUL, at, import_dim_scalar(n, stride, DTYPE_I64));
    result = build_binary(n->b, SCALAR_ADD, result, at);
    stride = dim_mul(t, stride, spatial[i]);
  }
  return result;
}

void import_max_pool(struct import_node *n) {
  struct pool p;
  bool columns = import_attr_int(n, "storage_order", 0) != 0;
  if (!import_arity(n, 1, 1, 2) || !read_pool(n, &p))
    return;
  bool indices = import_wants(n, 1);
  op_id op = build_window(n, import_in(n, 0), &p.w, p.w.low, p.w.high,
                          indices ? COMBINER_ARGMAX : COMBINER_MAX);
  import_out(n, 0, op_result(n->f, op, 0));
  if (!indices)
    return;
  value_id at = op_result(n->f, op, 1);
  import_out(n, 1, columns ? column_major(n, at, &import_type(n, 0)->dims[2], p.w.n) : at);
}

/* (sum |x|^p)^(1/p), with the sum given by `sum`. */
static value_id power_before(struct import_node *n, value_id x, double p) {
  value_id a = build_unary(n->b, SCALAR_ABS, x);
  return p == 1   ? a
         : p == 2 ? build_binary(n->b, SCALAR_MUL, x, x)
                  : build_binary_f64(n->b, SCALAR_POW, a, p);
}

static value_id power_after(struct import_node *n, value_id x, double p) {
  return p == 1   ? x
         : p == 2 ? build_unary(n->b, SCALAR_SQRT, x)
                  : build_binary_f64(n->b, SCALAR_POW, x, 1 / p);
}

void import_lp_pool(struct import_node *n) {
  struct pool pool;
  double p = n->opset < 2 ? import_attr_float(n, "p", 2) : (double)import_attr_int(n, "p", 2);
  if (!import_arity(n, 1, 1, 1) || !read_pool(n, &pool))
    return;
  enum dtype dtype = import_dtype(n, 0);
  value_id x = build_cast(n->b, import_in(n, 0), dtype_compute(dtype));
  value_id sum = window_sum(n, power_before(n, x, p), &pool.w);
  import_out(n, 0, build_cast(n->b, power_after(n, sum, p), dtype));
}

/* ---- over all of a channel ---- */

static bool global_axes(struct import_node *n, struct ints *out) {
  if (!import_arity(n, 1, 1, 1))
    return false;
  if (import_rank(n, 0) < 2) {
    import_invalid(n, "its operand has rank %u, below 2", import_rank(n, 0));
    return false;
  }
  *out = import_range(n, 2, import_rank(n, 0));
  return true;
}

void import_global_average_pool(struct import_node *n) {
  struct ints axes;
  if (!global_axes(n, &axes))
    return;
  enum dtype dtype = import_dtype(n, 0);
  value_id x = build_cast(n->b, import_in(n, 0), dtype_compute(dtype));
  import_out(n, 0, build_cast(n->b, import_reduce_mean(n, x, axes), dtype));
}

void import_global_max_pool(struct import_node *n) {
  struct ints axes;
  if (global_axes(n, &axes))
    import_out(n, 0, import_reduce(n, import_in(n, 0), axes, COMBINER_MAX));
}

void import_global_lp_pool(struct import_node *n) {
  struct ints axes;
  double p = n->opset < 2 ? import_attr_float(n, "p", 2) : (double)import_attr_int(n, "p", 2);
  if (!global_axes(n, &axes))
    return;
  enum dtype dtype = import_dtype(n, 0);
  value_id x = build_cast(n->b, import_in(n, 0), dtype_compute(dtype));
  value_id sum = import_reduce(n, power_before(n, x, p), axes, COMBINER_SUM);
  import_out(n, 0, build_cast(n->b, power_after(n, sum, p), dtype));
}

/* Each value goes to the place that its index names; the rest is 0. */
void import_max_unpool(struct import_node *n) {
  struct import_window w;
  struct dims shape = {0};
  struct dim_table *t = n->dims;
  if (!import_arity(n, 2, 3, 1) || !import_window_read(n, NULL, &w))
    return;
  struct type type = *import_type(n, 0);
  dim inferred[IR_MAX_RANK];
  for (uint32_t i = 0; i < type.rank; i++)
    inferred[i] = type.dims[i];
  for (uint32_t i = 0; i < w.n; i++) {
    dim steps = dim_sub(t, type.dims[i + 2], dim_const(t, 1));
    dim full = dim_add(t, dim_mul(t, steps, dim_const(t, w.stride[i])), w.kernel[i]);
    inferred[i + 2] = dim_sub(t, full, dim_add(t, w.low[i], w.high[i]));
  }
  if (import_has(n, 2) && !import_dims_or_symbols(n, 2, "output_shape", &shape))
    return;
  if (shape.len && shape.len != type.rank) {
    import_invalid(n, "output_shape has %u entries where %u are due", shape.len, type.rank);
    return;
  }
  /* The indices count in the inferred shape; a larger output keeps the places. */
  dim all = dim_product(t, inferred, type.rank), count = dim_product(t, type.dims, type.rank);
  value_id operands[3] = {build_broadcast_to(n->b, build_scalar_i64(n->b, type.dtype, 0), &all, 1),
                          build_reshape(n->b, import_in(n, 0), &count, 1),
                          build_reshape(n->b, import_in(n, 1), &count, 1)};
  int64_t axis = 0;
  struct scatter_attrs attrs = {.axes = {&axis, 1}, .kind = COMBINER_NONE};
  value_id flat = build_op1(n->b, OP_SCATTER, operands, 3, &attrs);
  value_id y = build_reshape(n->b, flat, inferred, type.rank);
  if (shape.len) {
    dim low[IR_MAX_RANK], high[IR_MAX_RANK];
    for (uint32_t i = 0; i < type.rank; i++) {
      low[i] = dim_const(t, 0);
      high[i] = dim_sub(t, import_size(n, shape.data[i]), inferred[i]);
    }
    y = build_pad(n->b, y, build_scalar_i64(n->b, type.dtype, 0), low, high, NULL);
  }
  import_out(n, 0, y);
}
