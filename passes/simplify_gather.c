/* SPDX-License-Identifier: Apache-2.0 */
/* simplify: gathers whose indices are evenly spaced.
 *
 *     %i = iota : i64[n]                                check { n <= 512 }
 *     %2 = gather %w, %i { axes = [0] }            =>   %2 = slice %w { size = [n, 64] }
 *
 * Every index operand may walk along one dim of the index space at most, and no two along the same
 * one: then each indexed axis of the data is a slice of its own, put in place by a transpose. */
#include "passes/pattern.h"
#include "passes/simplify_rules.h"

#include <string.h>

struct gathering {
  struct rewriter *w;
  struct op op;
  const struct gather_attrs *attrs;
  struct type data;
  struct type result;
  uint32_t index_rank;                       /* of the result's dims, those that the indices give */
  dim start[IR_MAX_RANK], size[IR_MAX_RANK]; /* by data axis */
  int64_t step[IR_MAX_RANK];
  int64_t
      along[IR_MAX_RANK]; /* by data axis: the index dim that it walks along; -1: none, size 1 */
  bool indexed[IR_MAX_RANK];
};

/* 0 <= first, last < n; what is not provable is checked where out of range is an error. */
static bool range_holds(struct gathering *g, uint32_t axis, dim first, dim last) {
  struct dim_table *t = g->w->dims;
  dim lo = g->step[axis] > 0 ? first : last, hi = g->step[axis] > 0 ? last : first;
  return dim_known_le(t, dim_const(t, 0), lo) && dim_known_lt(t, hi, g->data.dims[axis]);
}

static bool take_index(struct gathering *g, uint32_t i) {
  struct dim_table *t = g->w->dims;
  uint32_t axis = (uint32_t)g->attrs->axes.data[i];
  struct affine x = affine_of(&simplify_of(g->w)->affines, g->op.operands[1 + i]);
  if (!x.known)
    return false;
  g->indexed[axis] = true;
  g->start[axis] = x.base;
  g->size[axis] = dim_const(t, 1);
  g->step[axis] = 1;
  g->along[axis] = -1;
  for (uint32_t d = 0; d < g->index_rank; d++) {
    if (dim_is_const_value(t, x.stride[d], 0))
      continue;
    if (g->along[axis] >= 0 || !dim_is_const(t, x.stride[d], &g->step[axis]))
      return false;
    g->along[axis] = d;
    g->size[axis] = g->result.dims[d];
  }
  dim steps = dim_mul(t, dim_sub(t, g->size[axis], dim_const(t, 1)), dim_const(t, g->step[axis]));
  dim last = dim_add(t, x.base, steps);
  if (range_holds(g, axis, x.base, last))
    return true;
  /* A check must not fail where nothing is read: start at 0 and go up. */
  if (g->attrs->mode != OUT_OF_RANGE_ERROR || g->step[axis] < 0 ||
      !dim_known_le(t, dim_const(t, 0), x.base))
    return false;
  build_check(&g->w->b, last, RELATION_LT, g->data.dims[axis], "an index is out of range");
  return true;
}

static bool take_indices(struct gathering *g) {
  struct dim_table *t = g->w->dims;
  bool taken[IR_MAX_RANK] = {false};
  for (uint32_t i = 0; i < g->attrs->axes.len; i++) {
    if (!take_index(g, i))
      return false;
    int64_t d = g->along[g->attrs->axes.data[i]];
    if (d >= 0 && taken[d])
      return false;
    if (d >= 0)
      taken[d] = true;
  }
  for (uint32_t d = 0; d < g->data.rank; d++) {
    if (g->indexed[d])
      continue;
    g->start[d] = dim_const(t, 0);
    g->size[d] = g->data.dims[d];
    g->step[d] = 1;
  }
  return true;
}

/* Indexed axes in the order of the index dims that they walk along, the dims of 1 after them, then
 * the rest of the data. */
static value_id arrange(struct gathering *g, value_id sliced) {
  int64_t perm[IR_MAX_RANK];
  uint32_t n = 0;
  for (uint32_t d = 0; d < g->index_rank; d++) {
    for (uint32_t a = 0; a < g->data.rank; a++) {
      if (g->indexed[a] && g->along[a] == (int64_t)d)
        perm[n++] = a;
    }
  }
  for (uint32_t a = 0; a < g->data.rank; a++) {
    if (g->indexed[a] && g->along[a] < 0)
      perm[n++] = a;
  }
  for (uint32_t a = 0; a < g->data.rank; a++) {
    if (!g->indexed[a])
      perm[n++] = a;
  }
  return build_transpose(&g->w->b, sliced, perm);
}

static bool walked(const struct gathering *g, uint32_t d) {
  for (uint32_t a = 0; a < g->data.rank; a++) {
    if (g->indexed[a] && g->along[a] == (int64_t)d)
      return true;
  }
  return false;
}

static value_id spread(struct gathering *g, value_id v) {
  dim dims[IR_MAX_RANK];
  memcpy(dims, g->result.dims, sizeof dims);
  for (uint32_t d = 0; d < g->index_rank; d++) {
    if (!walked(g, d))
      dims[d] = dim_const(g->w->dims, 1);
  }
  v = build_reshape(&g->w->b, v, dims, g->result.rank);
  return build_broadcast(&g->w->b, v, g->result.dims, g->result.rank);
}

enum rewrite simplify_gather(struct rewriter *w, op_id id) {
  struct gathering g = {.w = w, .op = *function_op(w->f, id)};
  g.attrs = OP_ATTRS(gather, &g.op);
  g.data = *value_type(w->f, g.op.operands[0]);
  g.result = *value_type(w->f, g.op.results[0]);
  if (g.attrs->axes.len == 0)
    return NO_MATCH;
  g.index_rank = value_type(w->f, g.op.operands[1])->rank;
  if (!take_indices(&g))
    return NO_MATCH;
  value_id v = build_slice(&w->b, g.op.operands[0], g.start, g.size, g.step);
  return rewrite_with(w, id, spread(&g, arrange(&g, v)));
}
