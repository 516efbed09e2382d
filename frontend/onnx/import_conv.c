/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions. A transposed one is a convolution of the operand spread out by its strides with the
 * kernel reversed. */
#include "frontend/onnx/import_build.h"
#include "frontend/onnx/import_window.h"

/* x and w as build_op takes them; `dtype` of the result. */
static value_id build_conv(struct import_node *n, value_id x, value_id w,
                           const struct import_window *window, int64_t groups, enum dtype dtype) {
  value_id operands[2] = {x, w};
  struct conv_attrs attrs = {.stride = {window->stride, window->n},
                             .dilation = {window->dilation, window->n},
                             .low = {window->low, window->n},
                             .high = {window->high, window->n},
                             .groups = groups,
                             .dtype = dtype};
  return build_op1(n->b, OP_CONV, operands, 2, &attrs);
}

/* What a convolution sums in: with a bias it is rounded to the dtype only after that is added. */
static enum dtype sum_dtype(struct import_node *n, uint32_t bias) {
  enum dtype dtype = import_dtype(n, 0);
  return import_has(n, bias) ? dtype_compute(dtype) : dtype;
}

/* y + bias per channel, in the dtype of operand 0. */
static value_id add_channel_bias(struct import_node *n, value_id y, uint32_t operand) {
  if (!import_has(n, operand) || y == VALUE_NONE)
    return y;
  value_id bias = build_cast(n->b, import_in(n, operand), sum_dtype(n, operand));
  y = build_binary(n->b, SCALAR_ADD, y, import_along_axis(n, bias, import_rank(n, 0), 1));
  return build_cast(n->b, y, import_dtype(n, 0));
}

/* Reads the window of a convolution whose weight is operand 1. */
static bool read_conv(struct import_node *n, struct import_window *w, int64_t *groups) {
  *groups = import_attr_int(n, "group", 1);
  if (import_rank(n, 1) != import_rank(n, 0)) {
    import_invalid(n, "operand and weight have ranks %u and %u", import_rank(n, 0),
                   import_rank(n, 1));
    return false;
  }
  if (*groups < 1 || *groups > INT32_MAX) {
    import_invalid(n, "'group' is not positive");
    return false;
  }
  return import_window_read(n, &import_type(n, 1)->dims[2], w);
}

void import_conv(struct import_node *n) {
  struct import_window w;
  int64_t groups;
  if (!import_arity(n, 2, 3, 1) || !read_conv(n, &w, &groups))
    return;
  import_window_auto_pad(n, &import_type(n, 0)->dims[2], &w);
  value_id y = build_conv(n, import_in(n, 0), import_in(n, 1), &w, groups, sum_dtype(n, 2));
  import_out(n, 0, add_channel_bias(n, y, 2));
}

/* Operand i less its zero point, operand `zero`, which has one element or one per channel (of
 * `axis`). 16 bits hold the difference. */
static value_id less_zero_point(struct import_node *n, uint32_t i, uint32_t zero, uint32_t axis) {
  value_id x = build_cast(n->b, import_in(n, i), DTYPE_I16);
  if (!import_has(n, zero))
    return x;
  value_id z = build_cast(n->b, import_in(n, zero), DTYPE_I16);
  return build_binary(n->b, SCALAR_SUB, x, import_along_axis(n, z, import_rank(n, i), axis));
}

void import_conv_integer(struct import_node *n) {
  struct import_window w;
  int64_t groups;
  if (!import_arity(n, 2, 4, 1) || !read_conv(n, &w, &groups))
    return;
  import_window_auto_pad(n, &import_type(n, 0)->dims[2], &w);
  value_id x = less_zero_point(n, 0, 2, 1), weight = less_zero_point(n, 1, 3, 0);
  import_out(n, 0, build_conv(n, x, weight, &w, groups, DTYPE_I32));
}

/* ---- transposed ---- */

/* [groups * ci, co, k...] to [groups * co, ci, k...], with the kernel reversed. */
static value_id turn_weight(struct import_node *n, value_id w, int64_t groups) {
  struct type type = *value_type(n->f, w);
  uint32_t rank = type.rank;
  dim g = dim_const(n->dims, groups), split[IR_MAX_RANK + 1];
  int64_t perm[IR_MAX_RANK + 1];
  if (rank + 1 > IR_MAX_RANK)
    return VALUE_NONE;
  dim inputs = dim_exactdiv(n->dims, type.dims[0], g);
  split[0] = g, split[1] = inputs;
  perm[0] = 0, perm[1] = 2, perm[2] = 1;
  for (uint32_t i = 1; i < rank; i++) {
    split[i + 1] = type.dims[i];
    if (i >= 2)
      perm[i + 1] = i + 1;
  }
  value_id v = build_transpose(n->b, build_reshape(n->b, w, split, rank + 1), perm);
  type.dims[0] = dim_mul(n->dims, g, type.dims[1]);
  type.dims[1] = inputs;
  v = build_reshape(n->b, v, type.dims, rank);
  for (uint32_t i = 2; i < rank; i++)
    v = build_reverse(n->b, v, i);
  return v;
}

/* The padding that gives the wanted output size, from output_shape or SAME_*. */
static bool transposed_pads(struct import_node *n, const dim *spatial, const struct ints *extra,
                            struct import_window *w) {
  struct ints shape;
  struct dim_table *t = n->dims;
  bool given = import_attr_ints(n, "output_shape", &shape);
  bool same = w->mode == PAD_SAME_UPPER || w->mode == PAD_SAME_LOWER;
  if (given && shape.len != w->n) {
    if (shape.len != w->n + 2) {
      import_invalid(n, "'output_shape' has %u entries where %u are due", shape.len, w->n);
      return false;
    }
    shape.data += 2; /* batch and channels, as older files write them */
  }
  for (uint32_t i = 0; (given || same) && i < w->n; i++) {
    dim stride = dim_const(t, w->stride[i]);
    dim full = dim_add(t, dim_mul(t, stride, dim_sub(t, spatial[i], dim_const(t, 1))),
                       dim_add(t, import_window_reach(n, w, i), dim_const(t, extra->data[i])));
    dim want = given ? dim_const(t, shape.data[i]) : dim_mul(t, spatial[i], stride);
    import_window_split(n, w, i, dim_sub(t, full, want), w->mode == PAD_SAME_UPPER);
  }
  return true;
}

/* Spreads x by the strides and pads it so that a plain convolution gives the transposed one: by
 * reach - 1 - pad at each end, which is negative (a cut) where the pad is large. */
static value_id spread(struct import_node *n, value_id x, const struct ints *extra,
                       struct import_window *w) {
  struct dim_table *t = n->dims;
  uint32_t rank = w->n + 2;
  dim low[IR_MAX_RANK], high[IR_MAX_RANK], zero = dim_const(t, 0);
  int64_t interior[IR_MAX_RANK] = {0};
  low[0] = low[1] = high[0] = high[1] = zero;
  for (uint32_t i = 0; i < w->n; i++) {
    dim most = dim_sub(t, import_window_reach(n, w, i), dim_const(t, 1));
    low[i + 2] = dim_sub(t, most, w->low[i]);
    high[i + 2] = dim_add(t, dim_sub(t, most, w->high[i]), dim_const(t, extra->data[i]));
    interior[i + 2] = w->stride[i] - 1;
    w->low[i] = w->high[i] = zero;
    w->stride[i] = 1;
  }
  dim pad_low[IR_MAX_RANK], pad_high[IR_MAX_RANK], start[IR_MAX_RANK], size[IR_MAX_RANK];
  struct type type = *value_type(n->f, x);
  for (uint32_t i = 0; i < rank; i++) {
    dim steps = dim_max(t, zero, dim_sub(t, type.dims[i], dim_const(t, 1)));
    dim spread_size = dim_add(t, type.dims[i], dim_mul(t, steps, dim_const(t, interior[i])));
    pad_low[i] = dim_max(t, low[i], zero);
    pad_high[i] = dim_max(t, high[i], zero);
    start[i] = dim_sub(t, pad_low[i], low[i]);
    size[i] = dim_add(t, spread_size, dim_add(t, low[i], high[i]));
  }
  value_id fill = build_scalar_i64(n->b, type.dtype, 0);
  value_id v = build_pad(n->b, x, fill, pad_low, pad_high, interior);
  return build_slice(n->b, v, start, size, NULL);
}

void import_conv_transpose(struct import_node *n) {
  struct import_window w;
  int64_t groups, none[IR_MAX_RANK] = {0};
  struct ints extra;
  if (!import_arity(n, 2, 3, 1) || !read_conv(n, &w, &groups))
    return;
  import_attr_ints(n, "output_padding", &extra);
  if (extra.len == 0)
    extra = (struct ints){none, w.n};
  if (extra.len != w.n) {
    import_invalid(n, "'output_padding' has %u entries where %u are due", extra.len, w.n);
    return;
  }
  if (!transposed_pads(n, &import_type(n, 0)->dims[2], &extra, &w))
    return;
  value_id weight = turn_weight(n, import_in(n, 1), groups);
  value_id x = spread(n, import_in(n, 0), &extra, &w);
  value_id y = build_conv(n, x, weight, &w, groups, sum_dtype(n, 2));
  import_out(n, 0, add_channel_bias(n, y, 2));
}
