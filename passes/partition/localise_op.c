/* SPDX-License-Identifier: Apache-2.0 */
/* localise: ops of which a rank's part is not the same op. What counts in global indices gets them
 * from a table of the part's own: the part of iota, which is a view. */
#include <string.h>

#include "passes/partition/localise_parts.h"
#include "passes/partition/part_views.h"

static struct dim_table *dims_of(const struct localise *l) { return l->m->dims; }
static dim num(const struct localise *l, int64_t n) { return dim_const(l->m->dims, n); }

static bool is_split(const struct localise *l, value_id v, uint32_t d) {
  return localise_sharding(l, v)->dims[d].n_axes != 0;
}

/* What a rank has of a value of which all is there. */
static value_id take(struct localise *l, value_id whole, value_id of) {
  uint32_t rank = value_type(l->from, of)->rank;
  for (uint32_t d = 0; d < rank; d++) {
    struct part_dims p = localise_part(l, of, d);
    whole = part_view_take(&l->b, &p, whole, d);
  }
  return whole;
}

/* ---- data ---- */

static void local_const(struct localise *l, const struct op *op) {
  const struct type *whole = value_type(l->from, op->results[0]);
  if (!whole->sharding) {
    localise_same(l, op, NULL);
    return;
  }
  struct part_attrs attrs = {OP_ATTRS(const, op)->value, whole};
  localise_set(l, op, 0, build_op1(&l->b, OP_PART, NULL, 0, &attrs));
}

/* The part of what all ranks could compute: nothing is, but for the elements that are read. */
static void local_whole(struct localise *l, const struct op *op) {
  value_id operand = op->n_operands ? localise_operand(l, op, 0) : VALUE_NONE;
  value_id whole = build_op1(&l->b, op->kind, &operand, op->n_operands, op->attrs);
  localise_set(l, op, 0, take(l, whole, op->results[0]));
}

/* ---- global indices of what was found in a part ---- */

value_id localise_dim_value(struct localise *l, dim d) {
  int64_t n;
  if (dim_is_const(dims_of(l), d, &n))
    return build_scalar_i64(&l->b, DTYPE_I64, n);
  return build_reshape(&l->b, build_dims(&l->b, &d, 1), NULL, 0);
}

/* Indices into the part to indices into the whole; INT64_MAX for index 0 of an empty part. */
static value_id globalise(struct localise *l, const struct part_dims *p, value_id index) {
  struct dim_table *t = dims_of(l);
  dim n = p->n, zero = num(l, 0), one = num(l, 1);
  value_id table = part_view_take(&l->b, p, build_iota(&l->b, DTYPE_I64, &n, 1, 0), 0);
  if (!dim_known_positive(t, part_dims_count(t, p))) {
    value_id none = build_scalar_i64(&l->b, DTYPE_I64, INT64_MAX);
    table = build_pad(&l->b, table, none, &zero, &one, NULL);
  }
  return build_gather(&l->b, table, &index, (int64_t[]){0}, 1, OUT_OF_RANGE_CLAMP);
}

static void local_arg_reduce(struct localise *l, const struct op *op) {
  uint32_t axis = (uint32_t)OP_ATTRS(reduce, op)->axes.data[0];
  struct part_dims p = localise_part(l, op->operands[0], axis);
  localise_same(l, op, op->attrs);
  localise_set(l, op, 1, globalise(l, &p, l->map[op->results[1]]));
}

/* The last `more` places along an axis, filled. */
static value_id pad_axis(struct localise *l, value_id x, uint32_t axis, dim more, value_id fill) {
  dim low[IR_MAX_RANK], high[IR_MAX_RANK];
  uint32_t rank = x ? value_type(l->b.function, x)->rank : 0;
  if (dim_is_const_value(dims_of(l), more, 0))
    return x;
  for (uint32_t d = 0; d < rank; d++)
    low[d] = high[d] = num(l, 0);
  high[axis] = more;
  return x ? build_pad(&l->b, x, fill, low, high, NULL) : x;
}

/* Candidates of a part, which may be fewer than k: the others have index INT64_MAX. */
static void local_topk(struct localise *l, const struct op *op) {
  struct topk_attrs a = *OP_ATTRS(topk, op);
  uint32_t axis = (uint32_t)a.axis;
  struct part_dims p = localise_part(l, op->operands[0], axis);
  struct dim_table *t = dims_of(l);
  dim k = a.k, count = part_dims_count(t, &p);
  a.k = dim_known_le(t, k, count) ? k : dim_min(t, k, count);
  value_id x = localise_operand(l, op, 0);
  op_id made = build_op(&l->b, OP_TOPK, &x, 1, NULL, 0, &a);
  value_id v = op_result(l->b.function, made, 0), i = op_result(l->b.function, made, 1);
  enum dtype dtype = value_type(l->from, op->results[0])->dtype;
  dim missing = dim_sub(t, k, a.k);
  if (i && !dim_is_const_value(t, missing, 0)) {
    value_id zero = dtype_is_float(dtype) ? build_scalar_f64(&l->b, dtype, 0)
                                          : build_scalar_i64(&l->b, dtype, 0);
    v = pad_axis(l, v, axis, missing, zero);
    i = pad_axis(l, i ? globalise(l, &p, i) : i, axis, missing,
                 build_scalar_i64(&l->b, DTYPE_I64, INT64_MAX));
  } else {
    i = globalise(l, &p, i);
  }
  localise_set(l, op, 0, v);
  localise_set(l, op, 1, i);
}

/* ---- gathers from a part of the rows ---- */

static value_id above(struct localise *l, value_id x, dim d) {
  return build_binary(&l->b, SCALAR_SUB, x, localise_dim_value(l, d));
}

/* `index` where it lies in [first, first + count), counted from there on and from `at` up; else
 * `other`. */
static value_id within(struct localise *l, value_id index, dim first, dim count, dim at,
                       value_id other) {
  value_id local = above(l, index, first);
  value_id low = build_binary_i64(&l->b, SCALAR_GE, local, 0);
  value_id high = build_binary(&l->b, SCALAR_LT, local, localise_dim_value(l, count));
  value_id inside = build_binary(&l->b, SCALAR_AND, low, high);
  if (!dim_is_const_value(dims_of(l), at, 0))
    local = build_binary(&l->b, SCALAR_ADD, local, localise_dim_value(l, at));
  return build_select(&l->b, inside, local, other);
}

/* Where the part has row `index` of the whole; -1: nowhere. */
static value_id local_index(struct localise *l, const struct part_dims *p, value_id index) {
  struct dim_table *t = dims_of(l);
  value_id none = build_scalar_i64(&l->b, DTYPE_I64, -1);
  if (p->order == SPLIT_INTERLEAVED) {
    value_id block = build_binary_i64(&l->b, SCALAR_DIV, index, p->block);
    value_id round = build_binary_i64(&l->b, SCALAR_DIV, block, p->parts);
    value_id place = build_binary(&l->b, SCALAR_SUB, block,
                                  build_binary_i64(&l->b, SCALAR_MUL, round, p->parts));
    value_id rest = build_binary(&l->b, SCALAR_SUB, index,
                                 build_binary_i64(&l->b, SCALAR_MUL, block, p->block));
    value_id local =
        build_binary(&l->b, SCALAR_ADD, rest, build_binary_i64(&l->b, SCALAR_MUL, round, p->block));
    value_id mine = build_binary(&l->b, SCALAR_EQ, place, localise_dim_value(l, p->part));
    value_id valid = build_binary_i64(&l->b, SCALAR_GE, index, 0);
    return build_select(&l->b, build_binary(&l->b, SCALAR_AND, mine, valid), local, none);
  }
  dim first[2], count[2];
  uint32_t n = part_dims_chunks(p);
  for (uint32_t i = 0; i < n; i++)
    part_dims_chunk(t, p, i, &first[i], &count[i]);
  value_id found = within(l, index, first[0], count[0], num(l, 0), none);
  return n == 1 ? found : within(l, index, first[1], count[1], count[0], found);
}

/* An index that the gather would clamp, or refuse, with regard to the whole. */
static value_id checked_index(struct localise *l, const struct gather_attrs *a, dim n,
                              value_id index) {
  index = build_cast(&l->b, index, DTYPE_I64);
  if (a->mode == OUT_OF_RANGE_FILL)
    return index;
  /* A table of all indices clamps and refuses as the gather does. */
  value_id table = build_iota(&l->b, DTYPE_I64, &n, 1, 0);
  return build_gather(&l->b, table, &index, (int64_t[]){0}, 1, a->mode);
}

/* Rows that the part does not have are 0. */
static void local_gather(struct localise *l, const struct op *op) {
  struct gather_attrs a = *OP_ATTRS(gather, op);
  value_id indices[IR_MAX_RANK], data = localise_operand(l, op, 0);
  for (uint32_t j = 0; j < a.axes.len; j++) {
    uint32_t axis = (uint32_t)a.axes.data[j];
    struct part_dims p = localise_part(l, op->operands[0], axis);
    indices[j] = checked_index(l, &a, p.n, localise_operand(l, op, 1 + j));
    /* The table's rows are counted from 0: what lies beyond the whole is nobody's. */
    if (p.parts > 1)
      indices[j] = local_index(l, &p, indices[j]);
  }
  localise_set(l, op, 0,
               build_gather(&l->b, data, indices, a.axes.data, a.axes.len, OUT_OF_RANGE_FILL));
}

/* ---- rows written into a part of a state ---- */

/* How many of the first `x` elements of the whole the part has; x is an i64 value of any shape. */
static value_id count_below(struct localise *l, const struct part_dims *p, value_id x) {
  value_id zero = build_scalar_i64(&l->b, DTYPE_I64, 0);
  if (p->parts == 1)
    return x;
  if (p->order == SPLIT_INTERLEAVED) {
    int64_t round = p->block * p->parts;
    value_id full = build_binary_i64(&l->b, SCALAR_DIV, x, round);
    value_id rest =
        build_binary(&l->b, SCALAR_SUB, x, build_binary_i64(&l->b, SCALAR_MUL, full, round));
    rest = above(l, rest, dim_mul(dims_of(l), p->part, num(l, p->block)));
    rest =
        build_binary_i64(&l->b, SCALAR_MIN, build_binary(&l->b, SCALAR_MAX, rest, zero), p->block);
    return build_binary(&l->b, SCALAR_ADD, build_binary_i64(&l->b, SCALAR_MUL, full, p->block),
                        rest);
  }
  value_id count = VALUE_NONE;
  for (uint32_t i = 0; i < part_dims_chunks(p); i++) {
    dim first, size;
    part_dims_chunk(dims_of(l), p, i, &first, &size);
    value_id own = build_binary(&l->b, SCALAR_MAX, above(l, x, first), zero);
    own = build_binary(&l->b, SCALAR_MIN, own, localise_dim_value(l, size));
    count = count ? build_binary(&l->b, SCALAR_ADD, count, own) : own;
  }
  return count;
}

/* Index `local` of the part as an index into the whole. */
static value_id global_index(struct localise *l, const struct part_dims *p, value_id local) {
  if (p->order == SPLIT_INTERLEAVED) {
    value_id round = build_binary_i64(&l->b, SCALAR_DIV, local, p->block);
    dim shift = dim_mul(dims_of(l), p->part, num(l, p->block));
    value_id rounds = build_binary_i64(&l->b, SCALAR_MUL, round, p->block * (p->parts - 1));
    local = build_binary(&l->b, SCALAR_ADD, local, rounds);
    return build_binary(&l->b, SCALAR_ADD, local, localise_dim_value(l, shift));
  }
  dim first[2], count[2];
  for (uint32_t i = 0; i < part_dims_chunks(p); i++)
    part_dims_chunk(dims_of(l), p, i, &first[i], &count[i]);
  value_id at = build_binary(&l->b, SCALAR_ADD, local, localise_dim_value(l, first[0]));
  if (part_dims_chunks(p) == 1)
    return at;
  dim shift = dim_sub(dims_of(l), first[1], count[0]);
  value_id second = build_binary(&l->b, SCALAR_ADD, local, localise_dim_value(l, shift));
  value_id below = build_binary(&l->b, SCALAR_LT, local, localise_dim_value(l, count[0]));
  return build_select(&l->b, below, at, second);
}

/* The most elements of a run of n that one part has. */
static dim most_of_run(struct localise *l, const struct part_dims *p, dim n) {
  struct dim_table *t = dims_of(l);
  if (p->order != SPLIT_INTERLEAVED)
    return n;
  struct part_dims first = *p;
  first.n = n;
  first.part = num(l, 0);
  return part_dims_count(t, &first);
}

/* rows[b, ..., index[b, i], ...] for i along the axis. */
static value_id take_rows(struct localise *l, value_id rows, uint32_t axis, value_id index) {
  const struct type type = *value_type(l->b.function, rows);
  dim batch[2] = {type.dims[0], num(l, 1)};
  value_id indices[2] = {build_iota(&l->b, DTYPE_I64, batch, 2, 0), index};
  value_id x =
      build_gather(&l->b, rows, indices, (const int64_t[]){0, axis}, 2, OUT_OF_RANGE_CLAMP);
  return part_view_move(&l->b, x, 1, axis);
}

/* A rank's part of the rows is in order, so what it has of rows that follow each other follows each
 * other too:
 *
 *     update %data, %new, %start, %count          %first = how many of its rows lie before %start
 *                                           =>    %n = how many lie before %start + %count, less
 * %first update %part, gather %new, (global(%first + i) - %start), %first, %n
 */
static void local_update(struct localise *l, const struct op *op) {
  const struct update_attrs *a = OP_ATTRS(update, op);
  uint32_t axis = (uint32_t)a->axis;
  struct part_dims p = localise_part(l, op->operands[0], axis);
  value_id rows = localise_operand(l, op, 1), start = localise_operand(l, op, 2);
  dim n = value_type(l->b.function, rows)->dims[axis], one = num(l, 1);
  value_id count = localise_dim_value(l, n);
  if (op->n_operands > 3)
    count = build_binary(&l->b, SCALAR_MIN, localise_operand(l, op, 3), count);
  value_id end =
      build_binary(&l->b, SCALAR_ADD, start, build_binary_i64(&l->b, SCALAR_MAX, count, 0));
  value_id first = count_below(l, &p, start);
  value_id added = build_binary(&l->b, SCALAR_SUB, count_below(l, &p, end), first);
  if (!dim_is_const_value(dims_of(l), n, 1)) {
    dim each[2] = {value_type(l->b.function, start)->dims[0], one};
    dim run[2] = {one, most_of_run(l, &p, n)};
    value_id local = build_binary(&l->b, SCALAR_ADD, build_reshape(&l->b, first, each, 2),
                                  build_iota(&l->b, DTYPE_I64, run, 2, 1));
    value_id from = build_binary(&l->b, SCALAR_SUB, global_index(l, &p, local),
                                 build_reshape(&l->b, start, each, 2));
    rows = take_rows(l, rows, axis, from);
  }
  value_id operands[4] = {localise_operand(l, op, 0), rows, first, added};
  localise_set(l, op, 0, build_op1(&l->b, OP_UPDATE, operands, 4, a));
}

/* ---- the table ---- */

/* Groups that not all ranks have as many of: on all of them as many as one has, of zeros. */
static void local_uneven_conv(struct localise *l, const struct op *op, struct conv_attrs *a) {
  struct dim_table *t = dims_of(l);
  struct part_dims x = localise_part(l, op->operands[0], 1);
  struct part_dims w = localise_part(l, op->operands[1], 0);
  dim channels = part_dims_most(t, &x), filters = part_dims_most(t, &w);
  dim groups = dim_exactdiv(t, channels, localise_type(l, op->operands[1]).dims[1]);
  if (!dim_is_const(t, groups, &a->groups)) {
    localise_fail(l, op, "ranks have different numbers of groups");
    return;
  }
  value_id operands[] = {part_view_pad(&l->b, localise_operand(l, op, 0), 1, channels),
                         part_view_pad(&l->b, localise_operand(l, op, 1), 0, filters)};
  value_id y = build_op1(&l->b, OP_CONV, operands, 2, a);
  dim count = localise_type(l, op->results[0]).dims[1];
  localise_set(l, op, 0, part_view_cut(&l->b, y, 1, num(l, 0), count));
}

/* The groups that a rank has, where groups are split. */
static void local_conv(struct localise *l, const struct op *op) {
  struct conv_attrs a = *OP_ATTRS(conv, op);
  struct type x = localise_type(l, op->operands[0]), w = localise_type(l, op->operands[1]);
  dim groups = dim_exactdiv(dims_of(l), x.dims[1], w.dims[1]);
  if (a.groups > 1 && !dim_is_const(dims_of(l), groups, &a.groups))
    local_uneven_conv(l, op, &a);
  else
    localise_same(l, op, &a);
}

bool localise_special(struct localise *l, const struct op *op) {
  switch (op->kind) {
  case OP_CONST: local_const(l, op); return true;
  case OP_IOTA:
  case OP_RANDOM: local_whole(l, op); return true;
  case OP_CONV: local_conv(l, op); return true;
  case OP_ATTENTION: return localise_ring(l, op);
  case OP_REDUCE:
    if (op->n_results < 2 ||
        !is_split(l, op->operands[0], (uint32_t)OP_ATTRS(reduce, op)->axes.data[0]))
      return false;
    local_arg_reduce(l, op);
    return true;
  case OP_TOPK:
    if (!is_split(l, op->operands[0], (uint32_t)OP_ATTRS(topk, op)->axis))
      return false;
    local_topk(l, op);
    return true;
  case OP_UPDATE:
    if (!is_split(l, op->operands[0], (uint32_t)OP_ATTRS(update, op)->axis))
      return false;
    local_update(l, op);
    return true;
  case OP_GATHER: {
    bool rows = false;
    for (uint32_t j = 0; j < OP_ATTRS(gather, op)->axes.len; j++)
      rows |= is_split(l, op->operands[0], (uint32_t)OP_ATTRS(gather, op)->axes.data[j]);
    if (rows)
      local_gather(l, op);
    return rows;
  }
  default: return false;
  }
}
