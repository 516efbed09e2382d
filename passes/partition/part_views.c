/* SPDX-License-Identifier: Apache-2.0 */
/* Views of parts, and of buffers between ranks. */
#include "passes/partition/part_views.h"

#include <string.h>

static struct dim_table *dims_of(const struct builder *b) { return b->function->module->dims; }
static const struct type *type_of(const struct builder *b, value_id v) {
  return value_type(b->function, v);
}
static dim num(const struct builder *b, int64_t n) { return dim_const(dims_of(b), n); }

/* ---- one dim of a value ---- */

value_id part_view_cut(struct builder *b, value_id x, uint32_t d, dim start, dim size) {
  bool all = x && dim_is_const_value(dims_of(b), start, 0) &&
             dim_known_eq(dims_of(b), type_of(b, x)->dims[d], size);
  return all ? x : build_slice_axis(b, x, d, start, size);
}

value_id part_view_pad(struct builder *b, value_id x, uint32_t d, dim size) {
  dim low[IR_MAX_RANK], high[IR_MAX_RANK];
  if (!x || dim_known_eq(dims_of(b), type_of(b, x)->dims[d], size))
    return x;
  const struct type type = *type_of(b, x);
  for (uint32_t i = 0; i < type.rank; i++)
    low[i] = high[i] = num(b, 0);
  high[d] = dim_sub(dims_of(b), size, type.dims[d]);
  value_id zero = dtype_is_float(type.dtype) ? build_scalar_f64(b, type.dtype, 0)
                                             : build_scalar_i64(b, type.dtype, 0);
  return build_pad(b, x, zero, low, high, NULL);
}

/* Dims [d, d + n) as the m dims `to`. */
static value_id regroup(struct builder *b, value_id x, uint32_t d, uint32_t n, const dim *to,
                        uint32_t m) {
  dim dims[IR_MAX_RANK + 4];
  if (!x)
    return x;
  const struct type type = *type_of(b, x);
  if (type.rank - n + m > IR_MAX_RANK)
    return builder_fail(b, "a part of a value of %u dims cannot be written", type.rank);
  memcpy(dims, type.dims, d * sizeof *dims);
  memcpy(dims + d, to, m * sizeof *dims);
  memcpy(dims + d + m, type.dims + d + n, (type.rank - d - n) * sizeof *dims);
  return build_reshape(b, x, dims, type.rank - n + m);
}

static value_id split_dim(struct builder *b, value_id x, uint32_t d, dim outer, dim inner) {
  return regroup(b, x, d, 1, (dim[]){outer, inner}, 2);
}

static value_id join_dims(struct builder *b, value_id x, uint32_t d, uint32_t n) {
  dim product = x ? dim_product(dims_of(b), type_of(b, x)->dims + d, n) : DIM_NONE;
  return regroup(b, x, d, n, &product, 1);
}

value_id part_view_move(struct builder *b, value_id x, uint32_t from, uint32_t to) {
  int64_t perm[IR_MAX_RANK];
  uint32_t rank = x ? type_of(b, x)->rank : 0, next = 0;
  for (uint32_t i = 0; i < rank; i++) {
    next += i != to && next == from;
    perm[i] = i == to ? from : next++;
  }
  return x && from != to ? build_transpose(b, x, perm) : x;
}

/* ---- chunks of a part ---- */

/* Elements of the longest chunk. */
static dim chunk_size(struct builder *b, const struct part_dims *p) {
  struct dim_table *t = dims_of(b);
  if (p->order == SPLIT_INTERLEAVED)
    return num(b, p->block);
  dim granules, more;
  part_dims_deal(t, p, &granules, &more);
  if (!dim_is_const_value(t, more, 0))
    granules = dim_add(t, granules, num(b, 1));
  return dim_mul(t, granules, num(b, p->granule));
}

static dim rounds(struct builder *b, const struct part_dims *p) {
  struct dim_table *t = dims_of(b);
  dim round = dim_mul(t, num(b, p->block), num(b, p->parts));
  return part_dims_even(t, p) ? dim_exactdiv(t, p->n, round) : dim_ceildiv(t, p->n, round);
}

value_id part_view_take(struct builder *b, const struct part_dims *p, value_id x, uint32_t d) {
  struct dim_table *t = dims_of(b);
  if (p->parts == 1)
    return x;
  if (p->order == SPLIT_INTERLEAVED) {
    dim all = dim_mul(t, rounds(b, p), num(b, p->parts * p->block));
    x = part_view_pad(b, x, d, all);
    x = regroup(b, x, d, 1, (dim[]){rounds(b, p), num(b, p->parts), num(b, p->block)}, 3);
    x = part_view_cut(b, x, d + 1, p->part, num(b, 1));
    return part_view_cut(b, join_dims(b, x, d, 3), d, num(b, 0), part_dims_count(t, p));
  }
  value_id pieces[2];
  for (uint32_t i = 0; i < part_dims_chunks(p); i++) {
    dim first, count;
    part_dims_chunk(t, p, i, &first, &count);
    pieces[i] = part_view_cut(b, x, d, first, count);
  }
  return part_dims_chunks(p) == 1 ? pieces[0] : build_concat(b, pieces, 2, d);
}

value_id part_view_chunk(struct builder *b, const struct part_dims *p, value_id x, uint32_t d) {
  struct dim_table *t = dims_of(b);
  if (p->order == SPLIT_INTERLEAVED) {
    x = part_view_pad(b, x, d, dim_mul(t, rounds(b, p), num(b, p->block)));
    return split_dim(b, x, d, rounds(b, p), num(b, p->block));
  }
  dim size = chunk_size(b, p), at = num(b, 0);
  uint32_t n = part_dims_chunks(p);
  if (n == 1 || part_dims_even(t, p))
    return split_dim(b, part_view_pad(b, x, d, dim_mul(t, size, num(b, n))), d, num(b, n), size);
  value_id pieces[2];
  for (uint32_t i = 0; i < n; i++) {
    dim first, count;
    part_dims_chunk(t, p, i, &first, &count);
    pieces[i] = split_dim(b, part_view_pad(b, part_view_cut(b, x, d, at, count), d, size), d,
                          num(b, 1), size);
    at = dim_add(t, at, count);
  }
  return build_concat(b, pieces, n, d);
}

value_id part_view_unchunk(struct builder *b, const struct part_dims *p, value_id x, uint32_t d) {
  struct dim_table *t = dims_of(b);
  uint32_t n = part_dims_chunks(p);
  if (p->order == SPLIT_INTERLEAVED || n == 1 || part_dims_even(t, p))
    return part_view_cut(b, join_dims(b, x, d, 2), d, num(b, 0), part_dims_count(t, p));
  value_id pieces[2];
  for (uint32_t i = 0; i < n; i++) {
    dim first, count;
    part_dims_chunk(t, p, i, &first, &count);
    pieces[i] = join_dims(
        b, part_view_cut(b, part_view_cut(b, x, d, num(b, i), num(b, 1)), d + 1, num(b, 0), count),
        d, 2);
  }
  return build_concat(b, pieces, n, d);
}

/* ---- all chunks of a dim ---- */

/* [n] as [chunks, size] in ascending order: the first `more` are full, the others a granule short.
 */
static value_id deal(struct builder *b, const struct part_dims *p, value_id x, uint32_t d) {
  struct dim_table *t = dims_of(b);
  dim granules, more, zero = num(b, 0), size = chunk_size(b, p);
  dim chunks = num(b, p->parts * part_dims_chunks(p));
  part_dims_deal(t, p, &granules, &more);
  dim shorter = dim_mul(t, granules, num(b, p->granule)), fewer = dim_sub(t, chunks, more);
  dim head = dim_mul(t, more, size), tail = dim_mul(t, fewer, shorter);
  if (dim_is_const_value(t, more, 0))
    return split_dim(b, part_view_pad(b, x, d, tail), d, chunks, size);
  x = part_view_pad(b, x, d, dim_add(t, head, tail));
  value_id pieces[2] = {split_dim(b, part_view_cut(b, x, d, zero, head), d, more, size),
                        split_dim(b, part_view_cut(b, x, d, head, tail), d, fewer, shorter)};
  pieces[1] = part_view_pad(b, pieces[1], d + 1, size);
  return build_concat(b, pieces, 2, d);
}

static value_id undeal(struct builder *b, const struct part_dims *p, value_id x, uint32_t d) {
  struct dim_table *t = dims_of(b);
  dim granules, more, zero = num(b, 0);
  dim chunks = num(b, p->parts * part_dims_chunks(p));
  part_dims_deal(t, p, &granules, &more);
  if (!dim_is_const_value(t, more, 0)) {
    dim shorter = dim_mul(t, granules, num(b, p->granule));
    value_id pieces[2] = {join_dims(b, part_view_cut(b, x, d, zero, more), d, 2)};
    pieces[1] = part_view_cut(b, part_view_cut(b, x, d, more, dim_sub(t, chunks, more)), d + 1,
                              zero, shorter);
    pieces[1] = join_dims(b, pieces[1], d, 2);
    x = build_concat(b, pieces, 2, d);
  } else {
    x = join_dims(b, x, d, 2);
  }
  return part_view_cut(b, x, d, zero, p->n);
}

/* Halves of a dim of 2 k entries, the second in reverse, as [2, k]; and back. */
static value_id fold(struct builder *b, value_id x, uint32_t d, int64_t k) {
  value_id halves[2];
  for (uint32_t i = 0; i < 2; i++)
    halves[i] = part_view_cut(b, x, d, num(b, i * k), num(b, k));
  halves[1] = build_reverse(b, halves[1], d);
  return split_dim(b, build_concat(b, halves, 2, d), d, num(b, 2), num(b, k));
}

static value_id unfold(struct builder *b, value_id x, uint32_t d) {
  value_id halves[2];
  for (uint32_t i = 0; i < 2; i++)
    halves[i] = join_dims(b, part_view_cut(b, x, d, num(b, i), num(b, 1)), d, 2);
  halves[1] = build_reverse(b, halves[1], d);
  return build_concat(b, halves, 2, d);
}

value_id part_view_group(struct builder *b, const struct part_dims *p, value_id x, uint32_t d) {
  struct dim_table *t = dims_of(b);
  dim parts = num(b, p->parts);
  if (p->order == SPLIT_INTERLEAVED) {
    x = part_view_pad(b, x, d, dim_mul(t, rounds(b, p), num(b, p->parts * p->block)));
    x = regroup(b, x, d, 1, (dim[]){rounds(b, p), parts, num(b, p->block)}, 3);
    return part_view_move(b, x, d + 1, 0);
  }
  x = deal(b, p, x, d);
  if (p->order == SPLIT_ZIGZAG)
    return part_view_move(b, fold(b, x, d, p->parts), d + 1, 0);
  x = regroup(b, x, d, 1, (dim[]){parts, num(b, 1)}, 2);
  return part_view_move(b, x, d, 0);
}

value_id part_view_ungroup(struct builder *b, const struct part_dims *p, value_id x, uint32_t d) {
  if (p->order == SPLIT_INTERLEAVED) {
    x = join_dims(b, part_view_move(b, x, 0, d + 1), d, 3);
    return part_view_cut(b, x, d, num(b, 0), p->n);
  }
  if (p->order == SPLIT_ZIGZAG)
    x = unfold(b, part_view_move(b, x, 0, d + 1), d);
  else
    x = join_dims(b, part_view_move(b, x, 0, d), d, 2);
  return undeal(b, p, x, d);
}
