/* SPDX-License-Identifier: Apache-2.0 */
/* simplify: views. The builders give back the operand of a view that changes nothing. */
#include "passes/pattern.h"
#include "passes/simplify_rules.h"

#include <string.h>

static const struct type *type_of(const struct rewriter *w, value_id v) {
  return value_type(w->f, v);
}

/* ---- reshape ---- */

/* reshape (broadcast %x), where only 1s come and go => broadcast (reshape %x) */
static value_id reshape_of_broadcast(struct rewriter *w, const struct op *broadcast,
                                     const struct type *to) {
  const struct type *x = type_of(w, broadcast->operands[0]);
  int64_t axis[IR_MAX_RANK];
  dim dims[IR_MAX_RANK];
  if (!reshape_moves_ones(w->dims, type_of(w, broadcast->results[0]), to, axis))
    return VALUE_NONE;
  for (uint32_t i = 0; i < to->rank; i++)
    dims[i] = axis[i] < 0 ? dim_const(w->dims, 1) : x->dims[axis[i]];
  value_id v = build_reshape(&w->b, broadcast->operands[0], dims, to->rank);
  return build_broadcast(&w->b, v, to->dims, to->rank);
}

/* reshape (transpose (reshape %x)), where the inner one merges dims that the outer one splits again
 * => transpose %x, or a reshape of it that merges */
static value_id reshape_of_transpose(struct rewriter *w, const struct op *transpose,
                                     const struct type *to) {
  const struct op *inner = def_of_kind(w->f, transpose->operands[0], OP_RESHAPE);
  uint32_t start[IR_MAX_RANK + 1], n = 0;
  if (!inner)
    return VALUE_NONE;
  const struct type x = *type_of(w, inner->operands[0]);
  const struct type *merged = type_of(w, inner->results[0]);
  if (x.rank <= merged->rank || !reshape_merges(w->dims, &x, merged, start))
    return VALUE_NONE;
  struct ints perm = OP_ATTRS(transpose, transpose)->perm;
  int64_t wide[IR_MAX_RANK];
  for (uint32_t i = 0; i < perm.len; i++) {
    for (uint32_t k = start[perm.data[i]]; k < start[perm.data[i] + 1]; k++)
      wide[n++] = k;
  }
  struct type moved = x;
  for (uint32_t i = 0; i < n; i++)
    moved.dims[i] = x.dims[wide[i]];
  if (!reshape_merges(w->dims, &moved, to, start))
    return VALUE_NONE;
  return build_reshape(&w->b, build_transpose(&w->b, inner->operands[0], wide), to->dims, to->rank);
}

/* reshape (transpose %x), where 1s go => transpose (reshape %x) */
static value_id drop_ones_first(struct rewriter *w, const struct op *transpose,
                                const struct type *to) {
  const struct type x = *type_of(w, transpose->operands[0]);
  struct ints perm = OP_ATTRS(transpose, transpose)->perm;
  int64_t axis[IR_MAX_RANK], place[IR_MAX_RANK], order[IR_MAX_RANK];
  dim dims[IR_MAX_RANK];
  uint32_t kept = 0;
  if (to->rank >= x.rank ||
      !reshape_moves_ones(w->dims, type_of(w, transpose->results[0]), to, axis))
    return VALUE_NONE;
  for (uint32_t d = 0; d < x.rank; d++) {
    place[d] = -1;
    for (uint32_t i = 0; i < to->rank; i++) {
      if (axis[i] < 0)
        return VALUE_NONE;
      if (perm.data[axis[i]] == d)
        place[d] = kept;
    }
    if (place[d] >= 0)
      dims[kept++] = x.dims[d];
  }
  for (uint32_t i = 0; i < to->rank; i++)
    order[i] = place[perm.data[axis[i]]];
  return build_transpose(&w->b, build_reshape(&w->b, transpose->operands[0], dims, kept), order);
}

/* reshape to what is there => operand   reshape (reshape %x) => reshape %x */
static value_id simplify_reshape(struct rewriter *w, const struct op *op) {
  const struct type to = *type_of(w, op->results[0]);
  const struct op *x = value_def(w->f, op->operands[0]);
  const struct type *from = type_of(w, op->operands[0]);
  if (from->rank == to.rank && dims_known_eq(w->dims, from->dims, to.dims, to.rank))
    return op->operands[0];
  if (!x)
    return VALUE_NONE;
  if (x->kind == OP_RESHAPE)
    return build_reshape(&w->b, x->operands[0], to.dims, to.rank);
  if (x->kind == OP_BROADCAST)
    return reshape_of_broadcast(w, x, &to);
  if (x->kind != OP_TRANSPOSE)
    return VALUE_NONE;
  const struct op transpose = *x;
  value_id v = drop_ones_first(w, &transpose, &to);
  return v != VALUE_NONE ? v : reshape_of_transpose(w, &transpose, &to);
}

/* ---- transpose ---- */

/* A transpose that moves 1s only is the same bytes. */
static bool moves_ones(const struct rewriter *w, const struct type *to, struct ints perm) {
  int64_t last = -1;
  for (uint32_t i = 0; i < perm.len; i++) {
    if (dim_is_one(w->dims, to->dims[i]))
      continue;
    if (perm.data[i] < last)
      return false;
    last = perm.data[i];
  }
  return true;
}

/* transpose of dims of 1 => reshape   transpose (transpose %x) => transpose %x
 * transpose (broadcast %x) => broadcast (transpose %x) */
static value_id simplify_transpose(struct rewriter *w, const struct op *op) {
  const struct type to = *type_of(w, op->results[0]);
  struct ints perm = OP_ATTRS(transpose, op)->perm;
  const struct op *x = value_def(w->f, op->operands[0]);
  if (moves_ones(w, &to, perm))
    return build_reshape(&w->b, op->operands[0], to.dims, to.rank);
  if (x && x->kind == OP_TRANSPOSE) {
    int64_t both[IR_MAX_RANK];
    for (uint32_t i = 0; i < perm.len; i++)
      both[i] = OP_ATTRS(transpose, x)->perm.data[perm.data[i]];
    return build_transpose(&w->b, x->operands[0], both);
  }
  if (x && x->kind == OP_BROADCAST)
    return build_broadcast(&w->b, build_transpose(&w->b, x->operands[0], perm.data), to.dims,
                           to.rank);
  return VALUE_NONE;
}

/* ---- broadcast ---- */

/* broadcast to what is there => operand   broadcast (broadcast %x) => broadcast %x */
static value_id simplify_broadcast(struct rewriter *w, const struct op *op) {
  const struct type to = *type_of(w, op->results[0]);
  const struct op *x = def_of_kind(w->f, op->operands[0], OP_BROADCAST);
  if (dims_known_eq(w->dims, type_of(w, op->operands[0])->dims, to.dims, to.rank))
    return op->operands[0];
  return x ? build_broadcast(&w->b, x->operands[0], to.dims, to.rank) : VALUE_NONE;
}

/* ---- slice ---- */

static bool is_whole_axis(struct rewriter *w, const struct op *op, uint32_t d) {
  const struct slice_attrs *a = OP_ATTRS(slice, op);
  return a->step.data[d] == 1 && dim_is_const_value(w->dims, a->start.data[d], 0) &&
         dim_known_eq(w->dims, a->size.data[d], type_of(w, op->operands[0])->dims[d]);
}

/* slice (slice %x) => slice %x */
static value_id slice_of_slice(struct rewriter *w, const struct op *op, const struct op *x) {
  const struct slice_attrs *outer = OP_ATTRS(slice, op), *inner = OP_ATTRS(slice, x);
  dim start[IR_MAX_RANK];
  int64_t step[IR_MAX_RANK];
  for (uint32_t i = 0; i < outer->step.len; i++) {
    dim stride = dim_const(w->dims, inner->step.data[i]);
    start[i] =
        dim_add(w->dims, inner->start.data[i], dim_mul(w->dims, outer->start.data[i], stride));
    if (start[i] == DIM_NONE ||
        __builtin_mul_overflow(inner->step.data[i], outer->step.data[i], &step[i]))
      return VALUE_NONE;
  }
  return build_slice(&w->b, x->operands[0], start, outer->size.data, step);
}

/* slice (broadcast %x) => broadcast (slice %x), cutting only what is not repeated. Where it is, the
 * range must be one that was there, or its check would be lost. */
static value_id slice_of_broadcast(struct rewriter *w, const struct op *op, const struct op *x) {
  const struct slice_attrs *a = OP_ATTRS(slice, op);
  const struct type from = *type_of(w, x->operands[0]);
  dim start[IR_MAX_RANK], size[IR_MAX_RANK];
  int64_t step[IR_MAX_RANK];
  for (uint32_t i = 0; i < from.rank; i++) {
    bool repeated = dim_is_one(w->dims, from.dims[i]);
    if (!repeated && !dim_known_eq(w->dims, from.dims[i], type_of(w, x->results[0])->dims[i]))
      return VALUE_NONE;
    start[i] = repeated ? dim_const(w->dims, 0) : a->start.data[i];
    size[i] = repeated ? from.dims[i] : a->size.data[i];
    step[i] = repeated ? 1 : a->step.data[i];
  }
  value_id v = build_slice(&w->b, x->operands[0], start, size, step);
  return build_broadcast(&w->b, v, a->size.data, a->size.len);
}

/* The only dim that a slice cuts; -1 where there are more or none. */
static int64_t cut_axis(struct rewriter *w, const struct op *op) {
  int64_t axis = -1;
  for (uint32_t i = 0; i < OP_ATTRS(slice, op)->start.len; i++) {
    if (is_whole_axis(w, op, i))
      continue;
    if (axis >= 0)
      return -1;
    axis = i;
  }
  return axis;
}

/* slice (concat ..., %x, ...) inside %x => slice %x */
static value_id slice_of_concat(struct rewriter *w, const struct op *op, const struct op *x) {
  const struct slice_attrs *a = OP_ATTRS(slice, op);
  uint32_t axis = (uint32_t)OP_ATTRS(concat, x)->axis;
  dim begin = dim_const(w->dims, 0), first = a->start.data[axis];
  dim end = dim_add(w->dims, first, a->size.data[axis]);
  if (cut_axis(w, op) != axis || a->step.data[axis] != 1)
    return VALUE_NONE;
  for (uint32_t i = 0; i < x->n_operands; i++) {
    dim next = dim_add(w->dims, begin, type_of(w, x->operands[i])->dims[axis]);
    if (dim_known_le(w->dims, begin, first) && dim_known_le(w->dims, end, next))
      return build_slice_axis(&w->b, x->operands[i], axis, dim_sub(w->dims, first, begin),
                              a->size.data[axis]);
    begin = next;
  }
  return VALUE_NONE;
}

/* slice (pad %x) inside %x => slice %x */
static value_id slice_of_pad(struct rewriter *w, const struct op *op, const struct op *x) {
  const struct slice_attrs *a = OP_ATTRS(slice, op);
  const struct pad_attrs *p = OP_ATTRS(pad, x);
  const struct type *inner = type_of(w, x->operands[0]);
  dim start[IR_MAX_RANK];
  for (uint32_t i = 0; i < inner->rank; i++) {
    start[i] = dim_sub(w->dims, a->start.data[i], p->low.data[i]);
    if (a->step.data[i] != 1 || p->interior.data[i] != 0 ||
        !dim_known_le(w->dims, dim_const(w->dims, 0), start[i]) ||
        !dim_known_le(w->dims, dim_add(w->dims, start[i], a->size.data[i]), inner->dims[i]))
      return VALUE_NONE;
  }
  return build_slice(&w->b, x->operands[0], start, a->size.data, NULL);
}

/* slice of everything => operand; and the above */
static value_id simplify_slice(struct rewriter *w, const struct op *op) {
  const struct op *x = value_def(w->f, op->operands[0]);
  bool whole = true;
  for (uint32_t i = 0; i < OP_ATTRS(slice, op)->start.len; i++)
    whole &= is_whole_axis(w, op, i);
  if (whole)
    return op->operands[0];
  if (!x)
    return VALUE_NONE;
  switch (x->kind) {
  case OP_SLICE: return slice_of_slice(w, op, x);
  case OP_BROADCAST: return slice_of_broadcast(w, op, x);
  case OP_CONCAT: return slice_of_concat(w, op, x);
  case OP_PAD: return slice_of_pad(w, op, x);
  default: return VALUE_NONE;
  }
}

/* ---- concat, pad, bitcast ---- */

/* Whether b continues where a ends: slices of one value along `axis`, alike in the other dims. */
static bool adjoin(struct rewriter *w, const struct op *a, const struct op *b, uint32_t axis) {
  const struct slice_attrs *x = OP_ATTRS(slice, a), *y = OP_ATTRS(slice, b);
  if (a->operands[0] != b->operands[0])
    return false;
  for (uint32_t i = 0; i < x->start.len; i++) {
    dim next = dim_add(w->dims, x->start.data[i], x->size.data[i]);
    if (i == axis) {
      if (x->step.data[i] != 1 || y->step.data[i] != 1 ||
          !dim_known_eq(w->dims, next, y->start.data[i]))
        return false;
    } else if (x->step.data[i] != y->step.data[i] || x->start.data[i] != y->start.data[i] ||
               x->size.data[i] != y->size.data[i]) {
      return false;
    }
  }
  return true;
}

/* A slice that covers two that adjoin. */
static value_id join_slices(struct rewriter *w, const struct op *a, const struct op *b,
                            uint32_t axis) {
  const struct slice_attrs *x = OP_ATTRS(slice, a);
  dim size[IR_MAX_RANK];
  memcpy(size, x->size.data, x->size.len * sizeof *size);
  size[axis] = dim_add(w->dims, size[axis], OP_ATTRS(slice, b)->size.data[axis]);
  return build_slice(&w->b, a->operands[0], x->start.data, size, x->step.data);
}

/* The operands of a concat after those before: empty ones are left out, a concat along the same
 * axis that nobody else reads is taken apart, slices that adjoin are joined. */
struct pieces {
  uint32_t n;
  bool changed;
  value_id list[64];
};

static bool add_piece(struct rewriter *w, struct pieces *p, value_id v, int64_t axis) {
  if (dim_is_const_value(w->dims, type_of(w, v)->dims[axis], 0)) {
    p->changed = true;
    return true;
  }
  const struct op *last = p->n ? def_of_kind(w->f, p->list[p->n - 1], OP_SLICE) : NULL;
  const struct op *next = def_of_kind(w->f, v, OP_SLICE);
  if (last && next && adjoin(w, last, next, (uint32_t)axis)) {
    p->list[p->n - 1] = join_slices(w, last, next, (uint32_t)axis);
    p->changed = true;
    return p->list[p->n - 1] != VALUE_NONE;
  }
  if (p->n == sizeof p->list / sizeof *p->list)
    return false;
  p->list[p->n++] = v;
  return true;
}

/* concat %x => %x   concat ..., (concat ...), ... => concat ...   and the above */
static value_id simplify_concat(struct rewriter *w, const struct op *op) {
  int64_t axis = OP_ATTRS(concat, op)->axis;
  struct pieces p = {.changed = op->n_operands == 1};
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct op *inner = def_of_kind(w->f, op->operands[i], OP_CONCAT);
    bool apart =
        inner && OP_ATTRS(concat, inner)->axis == axis && simplify_used_once(w, op->operands[i]);
    const value_id *list = apart ? inner->operands : &op->operands[i]; /* of the arena: they stay */
    uint32_t n = apart ? inner->n_operands : 1;
    p.changed |= apart;
    for (uint32_t k = 0; k < n; k++) {
      if (!add_piece(w, &p, list[k], axis))
        return VALUE_NONE;
    }
  }
  if (!p.changed)
    return VALUE_NONE;
  return p.n ? build_concat(&w->b, p.list, p.n, (uint32_t)axis) : op->operands[0];
}

/* pad by nothing => operand */
static value_id simplify_pad(struct rewriter *w, const struct op *op) {
  const struct pad_attrs *a = OP_ATTRS(pad, op);
  for (uint32_t i = 0; i < a->low.len; i++) {
    if (a->interior.data[i] != 0 || !dim_is_const_value(w->dims, a->low.data[i], 0) ||
        !dim_is_const_value(w->dims, a->high.data[i], 0))
      return VALUE_NONE;
  }
  return op->operands[0];
}

/* bitcast (bitcast %x) => bitcast %x, or %x */
static value_id simplify_bitcast(struct rewriter *w, const struct op *op) {
  const struct op *x = def_of_kind(w->f, op->operands[0], OP_BITCAST);
  return x ? build_bitcast(&w->b, x->operands[0], OP_ATTRS(bitcast, op)->dtype) : VALUE_NONE;
}

enum rewrite simplify_view(struct rewriter *w, op_id id) {
  /* A copy: building moves the table of ops. */
  const struct op op = *function_op(w->f, id);
  value_id v = VALUE_NONE;
  switch (op.kind) {
  case OP_RESHAPE: v = simplify_reshape(w, &op); break;
  case OP_TRANSPOSE: v = simplify_transpose(w, &op); break;
  case OP_BROADCAST: v = simplify_broadcast(w, &op); break;
  case OP_SLICE: v = simplify_slice(w, &op); break;
  case OP_CONCAT: v = simplify_concat(w, &op); break;
  case OP_PAD: v = simplify_pad(w, &op); break;
  case OP_BITCAST: v = simplify_bitcast(w, &op); break;
  default: break;
  }
  return rewrite_with(w, id, v);
}
