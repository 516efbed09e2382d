/* SPDX-License-Identifier: Apache-2.0 */
/* Builders of views. What changes nothing gives its operand back. */
#include "ir/build.h"

#include <string.h>

bool builder_rank_allowed(struct builder *b, uint32_t rank) {
  if (rank <= IR_MAX_RANK)
    return true;
  builder_fail(b, "rank %u is above the limit of %d", rank, IR_MAX_RANK);
  return false;
}

static bool dims_are(const struct type *type, const dim *dims, uint32_t rank) {
  /* dims may be NULL for a scalar. */
  return type->rank == rank && (!rank || !memcmp(type->dims, dims, rank * sizeof *dims));
}

value_id build_reshape(struct builder *b, value_id x, const dim *dims, uint32_t rank) {
  if (x == VALUE_NONE || !builder_rank_allowed(b, rank))
    return VALUE_NONE;
  if (dims_are(builder_type(b, x), dims, rank))
    return x;
  struct reshape_attrs attrs = {.dims = {dims, rank}};
  return build_op1(b, OP_RESHAPE, &x, 1, &attrs);
}

value_id build_transpose(struct builder *b, value_id x, const int64_t *perm) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  uint32_t rank = builder_type(b, x)->rank;
  bool identity = true;
  for (uint32_t i = 0; i < rank; i++)
    identity &= perm[i] == i;
  if (identity)
    return x;
  struct transpose_attrs attrs = {.perm = {perm, rank}};
  return build_op1(b, OP_TRANSPOSE, &x, 1, &attrs);
}

value_id build_broadcast(struct builder *b, value_id x, const dim *dims, uint32_t rank) {
  if (x == VALUE_NONE || !builder_rank_allowed(b, rank))
    return VALUE_NONE;
  if (dims_are(builder_type(b, x), dims, rank))
    return x;
  struct broadcast_attrs attrs = {.dims = {dims, rank}};
  return build_op1(b, OP_BROADCAST, &x, 1, &attrs);
}

value_id build_broadcast_to(struct builder *b, value_id x, const dim *dims, uint32_t rank) {
  if (x == VALUE_NONE || !builder_rank_allowed(b, rank))
    return VALUE_NONE;
  const struct type type = *builder_type(b, x);
  if (type.rank > rank)
    return builder_fail(b, "rank %u does not broadcast to rank %u", type.rank, rank);
  dim wide[IR_MAX_RANK];
  for (uint32_t i = 0; i < rank; i++)
    wide[i] =
        i < rank - type.rank ? dim_const(builder_dims(b), 1) : type.dims[i - (rank - type.rank)];
  return build_broadcast(b, build_reshape(b, x, wide, rank), dims, rank);
}

static bool slice_is_whole(struct builder *b, const struct type *type, const dim *start,
                           const dim *size, const int64_t *step) {
  for (uint32_t i = 0; i < type->rank; i++) {
    if (step[i] != 1 || size[i] != type->dims[i] ||
        !dim_is_const_value(builder_dims(b), start[i], 0))
      return false;
  }
  return true;
}

value_id build_slice(struct builder *b, value_id x, const dim *start, const dim *size,
                     const int64_t *step) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  const struct type *type = builder_type(b, x);
  int64_t ones[IR_MAX_RANK];
  for (uint32_t i = 0; i < type->rank; i++)
    ones[i] = 1;
  if (!step)
    step = ones;
  if (slice_is_whole(b, type, start, size, step))
    return x;
  struct slice_attrs attrs = {
      .start = {start, type->rank}, .size = {size, type->rank}, .step = {step, type->rank}};
  return build_op1(b, OP_SLICE, &x, 1, &attrs);
}

static value_id slice_one_axis(struct builder *b, value_id x, uint32_t axis, dim start, dim size,
                               int64_t step) {
  const struct type type = *builder_type(b, x);
  dim starts[IR_MAX_RANK], sizes[IR_MAX_RANK];
  int64_t steps[IR_MAX_RANK];
  for (uint32_t i = 0; i < type.rank; i++) {
    starts[i] = i == axis ? start : dim_const(builder_dims(b), 0);
    sizes[i] = i == axis ? size : type.dims[i];
    steps[i] = i == axis ? step : 1;
  }
  return build_slice(b, x, starts, sizes, steps);
}

value_id build_slice_axis(struct builder *b, value_id x, uint32_t axis, dim start, dim size) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  if (axis >= builder_type(b, x)->rank)
    return builder_fail(b, "axis %u of rank %u", axis, builder_type(b, x)->rank);
  return slice_one_axis(b, x, axis, start, size, 1);
}

value_id build_reverse(struct builder *b, value_id x, uint32_t axis) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  if (axis >= builder_type(b, x)->rank)
    return builder_fail(b, "axis %u of rank %u", axis, builder_type(b, x)->rank);
  dim n = builder_type(b, x)->dims[axis];
  dim last = dim_sub(builder_dims(b), n, dim_const(builder_dims(b), 1));
  return slice_one_axis(b, x, axis, last, n, -1);
}

value_id build_pad(struct builder *b, value_id x, value_id fill, const dim *low, const dim *high,
                   const int64_t *interior) {
  if (x == VALUE_NONE || fill == VALUE_NONE)
    return VALUE_NONE;
  uint32_t rank = builder_type(b, x)->rank;
  int64_t zeros[IR_MAX_RANK] = {0};
  if (!interior)
    interior = zeros;
  bool nothing = true;
  for (uint32_t i = 0; i < rank; i++)
    nothing &= interior[i] == 0 && dim_is_const_value(builder_dims(b), low[i], 0) &&
               dim_is_const_value(builder_dims(b), high[i], 0);
  if (nothing)
    return x;
  struct pad_attrs attrs = {.low = {low, rank}, .high = {high, rank}, .interior = {interior, rank}};
  return build_op1(b, OP_PAD, (value_id[]){x, fill}, 2, &attrs);
}

value_id build_concat(struct builder *b, const value_id *xs, uint32_t n, uint32_t axis) {
  if (n == 1 && xs[0] != VALUE_NONE && axis < builder_type(b, xs[0])->rank)
    return xs[0];
  struct concat_attrs attrs = {.axis = axis};
  return build_op1(b, OP_CONCAT, xs, n, &attrs);
}

value_id build_bitcast(struct builder *b, value_id x, enum dtype dtype) {
  if (x == VALUE_NONE || builder_type(b, x)->dtype == dtype)
    return x;
  struct bitcast_attrs attrs = {.dtype = dtype};
  return build_op1(b, OP_BITCAST, &x, 1, &attrs);
}

/* Marks each of n axes below `rank`; false with a report where one is not, or comes twice. */
static bool mark_axes(struct builder *b, const int64_t *axes, uint32_t n, uint32_t rank,
                      bool *marks) {
  for (uint32_t i = 0; i < n; i++) {
    if (axes[i] < 0 || axes[i] >= rank || marks[axes[i]]) {
      builder_fail(b, "axis %lld of rank %u is out of range or repeated", (long long)axes[i], rank);
      return false;
    }
    marks[axes[i]] = true;
  }
  return true;
}

value_id build_squeeze(struct builder *b, value_id x, const int64_t *axes, uint32_t n) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  const struct type type = *builder_type(b, x);
  bool gone[IR_MAX_RANK] = {false};
  if (!mark_axes(b, axes, n, type.rank, gone))
    return VALUE_NONE;
  dim dims[IR_MAX_RANK];
  uint32_t rank = 0;
  for (uint32_t i = 0; i < type.rank; i++) {
    if (!gone[i])
      dims[rank++] = type.dims[i];
    else if (dim_known_ne(builder_dims(b), type.dims[i], dim_const(builder_dims(b), 1)))
      return builder_fail(b, "axis %u to squeeze is not 1", i);
    else
      build_check(b, type.dims[i], RELATION_EQ, dim_const(builder_dims(b), 1),
                  "a squeezed dim is not 1");
  }
  return build_reshape(b, x, dims, rank);
}

value_id build_unsqueeze(struct builder *b, value_id x, const int64_t *axes, uint32_t n) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  const struct type type = *builder_type(b, x);
  bool fresh[IR_MAX_RANK] = {false};
  if (n > IR_MAX_RANK || !builder_rank_allowed(b, type.rank + n))
    return n > IR_MAX_RANK ? builder_fail(b, "%u axes to insert", n) : VALUE_NONE;
  if (!mark_axes(b, axes, n, type.rank + n, fresh))
    return VALUE_NONE;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0, from = 0; i < type.rank + n; i++)
    dims[i] = fresh[i] ? dim_const(builder_dims(b), 1) : type.dims[from++];
  return build_reshape(b, x, dims, type.rank + n);
}
