/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions with something added: a state between calls, or sampling places that are data. */
#include "frontend/onnx/import_activation.h"
#include "frontend/onnx/import_util.h"
#include "frontend/onnx/import_window.h"

#include <string.h>

/* ---- CausalConvWithState: input [b, c, n], weight [c, 1, k], bias [c], state [b, c, k - 1] ----
 */

static bool read_causal(struct import_node *n, int64_t *channels, bool *silu) {
  const char *activation = import_attr_string(n, "activation", "none");
  *silu = !strcmp(activation, "silu") || !strcmp(activation, "swish");
  if (!*silu && strcmp(activation, "none")) {
    import_invalid(n, "activation is '%s'", activation);
    return false;
  }
  if (!import_arity(n, 2, 4, 2))
    return false;
  if (import_rank(n, 0) != 3 || import_rank(n, 1) != 3) {
    import_invalid(n, "input and weight have ranks %u and %u, not 3", import_rank(n, 0),
                   import_rank(n, 1));
    return false;
  }
  if (!dim_is_const(n->dims, import_dim(n, 1, 0), channels)) {
    import_unsupported(n, "a number of channels that is not known");
    return false;
  }
  return true;
}

void import_causal_conv(struct import_node *n) {
  int64_t channels, one = 1;
  bool silu;
  if (!read_causal(n, &channels, &silu))
    return;
  struct dim_table *t = n->dims;
  struct type type = *import_type(n, 0), state = type;
  enum dtype work = dtype_compute(type.dtype);
  dim kept = dim_sub(t, import_dim(n, 1, 2), dim_const(t, 1)), zero = dim_const(t, 0);
  state.dims[2] = kept;
  value_id before =
      import_has(n, 3)
          ? import_in(n, 3)
          : build_broadcast_to(n->b, build_scalar_i64(n->b, type.dtype, 0), state.dims, 3);
  value_id both[2] = {before, import_in(n, 0)};
  value_id x = build_concat(n->b, both, 2, 2), operands[2] = {x, import_in(n, 1)};
  struct conv_attrs attrs = {.stride = {&one, 1},
                             .dilation = {&one, 1},
                             .low = {&zero, 1},
                             .high = {&zero, 1},
                             .groups = channels,
                             .dtype = work};
  value_id y = build_op1(n->b, OP_CONV, operands, 2, &attrs);
  if (import_has(n, 2)) {
    value_id bias = build_cast(n->b, import_in(n, 2), work);
    y = value_add(n->b, y, import_along_axis(n, bias, 3, 1));
  }
  if (silu)
    y = import_build_activation(n->b, y, ACTIVATION_SWISH, 1, 0);
  import_out(n, 0, build_cast(n->b, y, type.dtype));
  import_out(n, 1, build_slice_axis(n->b, x, 2, type.dims[2], kept));
}

/* ---- DeformConv ---- */

/* x [n, c, h, w], weight [oc, c / group, kh, kw], offset [n, g * kh * kw * 2, oh, ow], where g is
 * the number of offset groups, mask [n, g * kh * kw, oh, ow]. */
struct deform {
  struct import_window w;
  int64_t groups, offset_groups;
  dim batch, channels, oh, ow, size[2];
  dim space[6]; /* n, g, kh, kw, oh, ow: one entry per sample */
};

static bool read_deform(struct import_node *n, struct deform *d) {
  d->groups = import_attr_int(n, "group", 1);
  d->offset_groups = import_attr_int(n, "offset_group", 1);
  if (!import_arity(n, 3, 5, 1))
    return false;
  for (uint32_t i = 0; i < 5; i++)
    if (i != 3 && import_has(n, i) && import_rank(n, i) != 4) {
      import_unsupported(n, "operands of rank %u; two spatial dims are", import_rank(n, i));
      return false;
    }
  if (d->groups < 1 || d->offset_groups < 1) {
    import_invalid(n, "its groups are not positive");
    return false;
  }
  if (!import_window_read(n, &import_type(n, 1)->dims[2], &d->w))
    return false;
  d->batch = import_dim(n, 0, 0);
  d->channels = import_dim(n, 0, 1);
  d->size[0] = import_dim(n, 0, 2);
  d->size[1] = import_dim(n, 0, 3);
  dim space[6] = {d->batch,
                  dim_const(n->dims, d->offset_groups),
                  d->w.kernel[0],
                  d->w.kernel[1],
                  import_dim(n, 2, 2),
                  import_dim(n, 2, 3)};
  memcpy(d->space, space, sizeof space);
  return true;
}

/* Coordinate `which` (0: row) of every sample: place * stride - pad + tap * dilation + offset. */
static value_id sample_coordinate(struct import_node *n, const struct deform *d, uint32_t which) {
  struct builder *b = n->b;
  dim dims[7] = {d->space[0],           d->space[1], d->space[2], d->space[3],
                 dim_const(n->dims, 2), d->space[4], d->space[5]};
  value_id offset = build_reshape(b, build_cast(b, import_in(n, 2), DTYPE_F32), dims, 7);
  offset = build_slice_axis(b, offset, 4, dim_const(n->dims, which), dim_const(n->dims, 1));
  offset = build_reshape(b, offset, d->space, 6);
  value_id tap = import_axis_iota(n, DTYPE_F32, 6, 2 + which, d->space[2 + which]);
  value_id place = import_axis_iota(n, DTYPE_F32, 6, 4 + which, d->space[4 + which]);
  tap = build_binary_f64(b, SCALAR_MUL, tap, (double)d->w.dilation[which]);
  place = build_binary_f64(b, SCALAR_MUL, place, (double)d->w.stride[which]);
  value_id pad = import_dim_scalar(n, d->w.low[which], DTYPE_F32);
  return value_add(b, value_sub(b, value_add(b, place, tap), pad), offset);
}

/* The pixels at integer coordinates, times a weight, 0 outside: [n, g, kh, kw, oh, ow, c / g]. */
static value_id corner(struct import_node *n, const struct deform *d, value_id image, value_id y,
                       value_id x, value_id weight) {
  static const int64_t axes[] = {0, 1, 3, 4};
  struct builder *b = n->b;
  value_id at[2] = {y, x}, index[4], zero = build_scalar_f64(b, DTYPE_F32, 0);
  int64_t last = 6;
  index[0] = import_axis_iota(n, DTYPE_I64, 6, 0, d->space[0]);
  index[1] = import_axis_iota(n, DTYPE_I64, 6, 1, d->space[1]);
  for (int i = 0; i < 2; i++) {
    value_id most =
        import_dim_scalar(n, dim_sub(n->dims, d->size[i], dim_const(n->dims, 1)), DTYPE_F32);
    value_id inside = build_binary(b, SCALAR_AND, build_binary(b, SCALAR_GE, at[i], zero),
                                   build_binary(b, SCALAR_LE, at[i], most));
    weight = build_select(b, inside, weight, zero);
    index[2 + i] = build_cast(b, value_max(b, value_min(b, at[i], most), zero), DTYPE_I64);
  }
  value_id pixels = build_gather(b, image, index, axes, 4, OUT_OF_RANGE_CLAMP);
  return value_mul(b, pixels, build_unsqueeze(b, weight, &last, 1));
}

/* Bilinear samples of all channels at all places. */
static value_id samples(struct import_node *n, const struct deform *d) {
  struct builder *b = n->b;
  dim g = d->space[1];
  dim image_dims[5] = {d->batch, g, dim_exactdiv(n->dims, d->channels, g), d->size[0], d->size[1]};
  value_id image = build_reshape(b, build_cast(b, import_in(n, 0), DTYPE_F32), image_dims, 5);
  value_id low[2], part[2], sum = VALUE_NONE;
  for (uint32_t i = 0; i < 2; i++) {
    value_id c = sample_coordinate(n, d, i);
    low[i] = build_unary(b, SCALAR_FLOOR, c);
    part[i] = value_sub(b, c, low[i]);
  }
  value_id one = build_scalar_f64(b, DTYPE_F32, 1), mask = one;
  if (import_has(n, 4))
    mask = build_reshape(b, build_cast(b, import_in(n, 4), DTYPE_F32), d->space, 6);
  for (int k = 0; k < 4; k++) {
    value_id at[2], weight = mask;
    for (int i = 0; i < 2; i++) {
      bool high = k >> i & 1;
      at[i] = high ? value_add(b, low[i], one) : low[i];
      weight = value_mul(b, weight, high ? part[i] : value_sub(b, one, part[i]));
    }
    value_id x = corner(n, d, image, at[0], at[1], weight);
    sum = k == 0 ? x : value_add(b, sum, x);
  }
  return sum;
}

void import_deform_conv(struct import_node *n) {
  static const int64_t order[] = {0, 1, 6, 2, 3, 4, 5}, back[] = {1, 0, 4, 2, 3};
  static const int64_t lhs_k[] = {2, 3, 4}, rhs_k[] = {2, 3, 4};
  int64_t lhs_batch = 1, rhs_batch = 0;
  struct deform d;
  if (!read_deform(n, &d))
    return;
  struct builder *b = n->b;
  struct dim_table *t = n->dims;
  dim groups = dim_const(t, d.groups), out = import_dim(n, 1, 0);
  dim x_dims[7] = {d.batch,    groups,     dim_exactdiv(t, d.channels, groups),
                   d.space[2], d.space[3], d.space[4],
                   d.space[5]};
  dim w_dims[5] = {groups, dim_exactdiv(t, out, groups), import_dim(n, 1, 1), d.space[2],
                   d.space[3]};
  dim y_dims[4] = {d.batch, out, d.space[4], d.space[5]};
  struct contract_attrs attrs = {.lhs_batch = {&lhs_batch, 1},
                                 .rhs_batch = {&rhs_batch, 1},
                                 .lhs_k = {lhs_k, 3},
                                 .rhs_k = {rhs_k, 3},
                                 .dtype = DTYPE_F32};
  value_id x = build_reshape(b, build_transpose(b, samples(n, &d), order), x_dims, 7);
  value_id w = build_reshape(b, build_cast(b, import_in(n, 1), DTYPE_F32), w_dims, 5);
  /* [groups, n, oh, ow, oc / groups] */
  value_id y = build_transpose(b, build_contract(b, x, w, &attrs), back);
  y = build_reshape(b, y, y_dims, 4);
  if (import_has(n, 3)) {
    value_id bias = build_cast(b, import_in(n, 3), DTYPE_F32);
    y = value_add(b, y, import_along_axis(n, bias, 4, 1));
  }
  import_out(n, 0, build_cast(b, y, import_dtype(n, 0)));
}
