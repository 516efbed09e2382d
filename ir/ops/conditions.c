/* SPDX-License-Identifier: Apache-2.0 */
/* Relations of dims that the type rules could not decide, one function per kind of op. */
#include "ir/ops/conditions.h"

#include "ir/ops/op_util.h"

struct conditions {
  const struct op_view *op;
  struct dim_table *t;
  op_condition_fn fn;
  op_name_fn name;
  void *user;
};

/* d in short, for an expression of it that was too long. */
static dim named(struct conditions *c, dim d) {
  bool whole = d == DIM_NONE || !c->name || dim_size(c->t, d) == 1;
  return whole ? d : c->name(c->user, d);
}

static dim product(struct conditions *c, dim a, dim b) {
  dim d = dim_mul(c->t, a, b);
  if (d != DIM_NONE)
    return d;
  a = named(c, a), b = named(c, b);
  return dim_mul(c->t, a, b);
}

static dim elements(struct conditions *c, const struct type *type) {
  dim n = dim_const(c->t, 1);
  for (uint32_t i = 0; i < type->rank; i++)
    n = product(c, n, type->dims[i]);
  return n;
}

static void need(struct conditions *c, dim lhs, enum relation relation, dim rhs) {
  if (!relation_known(c->t, lhs, relation, rhs))
    c->fn(c->user, lhs, relation, rhs);
}

static void need_size(struct conditions *c, dim d) { need(c, dim_const(c->t, 0), RELATION_LE, d); }

/* d is `size` or 1, which is (d - 1) * (d - size) == 0. */
static void need_read(struct conditions *c, dim d, dim size) {
  dim one = dim_const(c->t, 1);
  if (dim_known_eq(c->t, d, one) || dim_known_eq(c->t, d, size))
    return;
  dim other = dim_sub(c->t, d, size);
  if (other == DIM_NONE) {
    d = named(c, d), size = named(c, size);
    other = dim_sub(c->t, d, size);
  }
  need(c, product(c, dim_sub(c->t, d, one), other), RELATION_EQ, dim_const(c->t, 0));
}

static void need_reads(struct conditions *c, uint32_t operand, const dim *sizes) {
  const struct type *x = op_operand(c->op, operand);
  for (uint32_t i = 0; i < x->rank; i++)
    need_read(c, x->dims[i], sizes[i]);
}

static void need_sizes(struct conditions *c, const struct dims *xs) {
  for (uint32_t i = 0; i < xs->len; i++)
    need_size(c, xs->data[i]);
}

/* One axis of a slice: start and start + (size - 1) * step are in [0, n) unless size is 0: `some`
 * is 1 where it is not. `under` and `over` are what must be >= 0 and <= 0. */
struct slice_span {
  dim first, size, n;
  int64_t step;
  dim under, over;
};

static bool span_in_short(struct dim_table *t, struct slice_span *s) {
  dim one = dim_const(t, 1), zero = dim_const(t, 0);
  dim some = dim_known_positive(t, s->size) ? one : dim_min(t, s->size, one);
  dim last = dim_add(t, s->first, dim_mul(t, dim_sub(t, s->size, one), dim_const(t, s->step)));
  dim low = s->step > 0 ? s->first : last, high = s->step > 0 ? last : s->first;
  s->under = s->over = zero;
  if (!dim_known_le(t, zero, low))
    s->under = dim_mul(t, some, low);
  if (!dim_known_lt(t, high, s->n))
    s->over = dim_mul(t, some, dim_add(t, dim_sub(t, high, s->n), one));
  return s->under != DIM_NONE && s->over != DIM_NONE;
}

static void slice_conditions(struct conditions *c, const struct slice_attrs *a) {
  const struct type *x = op_operand(c->op, 0);
  dim zero = dim_const(c->t, 0);
  for (uint32_t i = 0; i < x->rank; i++) {
    struct slice_span s = {a->start.data[i], a->size.data[i], x->dims[i], a->step.data[i], 0, 0};
    if (dim_known_eq(c->t, s.size, zero))
      continue;
    if (!span_in_short(c->t, &s)) {
      s.first = named(c, s.first), s.size = named(c, s.size), s.n = named(c, s.n);
      span_in_short(c->t, &s);
    }
    need(c, zero, RELATION_LE, s.under);
    need(c, s.over, RELATION_LE, zero);
  }
}

static void concat_conditions(struct conditions *c, int64_t axis, const struct type *result) {
  for (uint32_t i = 0; i < c->op->n_operands; i++)
    for (uint32_t d = 0; d < result->rank; d++)
      if (d != (uint32_t)axis)
        need(c, op_operand(c->op, i)->dims[d], RELATION_EQ, result->dims[d]);
}

static void need_pairs(struct conditions *c, const struct ints *lhs, const struct ints *rhs) {
  for (uint32_t i = 0; i < lhs->len; i++)
    need(c, op_operand(c->op, 0)->dims[lhs->data[i]], RELATION_EQ,
         op_operand(c->op, 1)->dims[rhs->data[i]]);
}

static void conv_conditions(struct conditions *c, const struct conv_attrs *a) {
  const struct type *x = op_operand(c->op, 0), *w = op_operand(c->op, 1);
  dim groups = dim_const(c->t, a->groups);
  need(c, x->dims[1], RELATION_EQ, dim_mul(c->t, w->dims[1], groups));
  need(c, groups, RELATION_DIVIDES, w->dims[0]);
  need_sizes(c, &a->low);
  need_sizes(c, &a->high);
}

static void attention_conditions(struct conditions *c, const struct attention_attrs *a) {
  const struct type *q = op_operand(c->op, 0), *k = op_operand(c->op, 1), *v = op_operand(c->op, 2);
  need(c, q->dims[0], RELATION_EQ, k->dims[0]);
  need(c, k->dims[0], RELATION_EQ, v->dims[0]);
  need(c, k->dims[1], RELATION_EQ, v->dims[1]);
  need(c, k->dims[1], RELATION_DIVIDES, q->dims[1]);
  need(c, k->dims[2], RELATION_EQ, v->dims[2]);
  need(c, q->dims[3], RELATION_EQ, k->dims[3]);
  uint32_t next = 3;
  if (a->has_bias)
    need_reads(c, next++, (dim[]){q->dims[0], q->dims[1], q->dims[2], k->dims[2]});
  if (a->has_pos) {
    need_reads(c, next, (dim[]){q->dims[0], q->dims[2]});
    need_reads(c, next + 1, (dim[]){q->dims[0], k->dims[2]});
  }
}

/* The index operands from `first` on broadcast to the leading dims of `whole`, whose others are
 * those of the data that `axes` leaves. */
static void indexed_conditions(struct conditions *c, const struct ints *axes, uint32_t first,
                               const struct type *whole) {
  const struct type *data = op_operand(c->op, 0);
  uint32_t mask = 0, at = op_operand(c->op, first)->rank;
  dim space[IR_MAX_RANK];
  for (uint32_t j = 0; j < axes->len; j++) {
    const struct type *index = op_operand(c->op, first + j);
    mask |= 1u << axes->data[j];
    for (uint32_t d = 0; d < index->rank; d++)
      space[d] = j ? op_dim_broadcast(c->t, space[d], index->dims[d]) : index->dims[d];
  }
  for (uint32_t d = 0; d < at; d++)
    need(c, whole->dims[d], RELATION_EQ, space[d]);
  for (uint32_t j = 0; j < axes->len; j++)
    need_reads(c, first + j, space);
  for (uint32_t d = 0; d < data->rank; d++)
    if (!(mask >> d & 1))
      need(c, whole->dims[at++], RELATION_EQ, data->dims[d]);
}

static void op_own_conditions(struct conditions *c, const struct type *results) {
  const struct op_view *op = c->op;
  switch (op->kind) {
  case OP_MAP:
    for (uint32_t i = 0; i < op->n_operands; i++)
      need_reads(c, i, results->dims);
    break;
  case OP_BROADCAST: need_reads(c, 0, results->dims); break;
  case OP_RESHAPE:
    need(c, elements(c, op_operand(op, 0)), RELATION_EQ, elements(c, results));
    break;
  case OP_SLICE: slice_conditions(c, VIEW_ATTRS(slice, op)); break;
  case OP_PAD:
    need_sizes(c, &VIEW_ATTRS(pad, op)->low);
    need_sizes(c, &VIEW_ATTRS(pad, op)->high);
    break;
  case OP_CONCAT: concat_conditions(c, VIEW_ATTRS(concat, op)->axis, results); break;
  case OP_WINDOW:
    need_sizes(c, &VIEW_ATTRS(window, op)->low);
    need_sizes(c, &VIEW_ATTRS(window, op)->high);
    break;
  case OP_CONTRACT:
    need_pairs(c, &VIEW_ATTRS(contract, op)->lhs_batch, &VIEW_ATTRS(contract, op)->rhs_batch);
    need_pairs(c, &VIEW_ATTRS(contract, op)->lhs_k, &VIEW_ATTRS(contract, op)->rhs_k);
    break;
  case OP_CONV: conv_conditions(c, VIEW_ATTRS(conv, op)); break;
  case OP_ATTENTION: attention_conditions(c, VIEW_ATTRS(attention, op)); break;
  case OP_GATHER: indexed_conditions(c, &VIEW_ATTRS(gather, op)->axes, 1, results); break;
  case OP_SCATTER:
    indexed_conditions(c, &VIEW_ATTRS(scatter, op)->axes, 2, op_operand(op, 1));
    break;
  case OP_UPDATE: {
    const struct type *data = op_operand(op, 0), *rows = op_operand(op, 1);
    for (uint32_t i = 0; i < data->rank; i++)
      if ((int64_t)i != VIEW_ATTRS(update, op)->axis)
        need(c, rows->dims[i], RELATION_EQ, data->dims[i]);
    for (uint32_t i = 2; i < op->n_operands; i++)
      need(c, op_operand(op, i)->dims[0], RELATION_EQ, data->dims[0]);
    break;
  }
  case OP_TOPK: {
    const struct topk_attrs *a = VIEW_ATTRS(topk, op);
    need(c, a->k, RELATION_LE, op_operand(op, 0)->dims[a->axis]);
    break;
  }
  case OP_NMS:
    need(c, op_operand(op, 0)->dims[0], RELATION_EQ, op_operand(op, 1)->dims[0]);
    need(c, op_operand(op, 0)->dims[1], RELATION_EQ, op_operand(op, 1)->dims[2]);
    need(c, op_operand(op, 0)->dims[2], RELATION_EQ, dim_const(c->t, 4));
    break;
  default: break;
  }
}

void op_conditions(const struct op_view *op, const struct type *results, op_condition_fn fn,
                   op_name_fn name, void *user) {
  struct conditions c = {op, op_dim_table(op), fn, name, user};
  const struct op_info *info = &op_infos[op->kind];
  if (info->flags & OP_FLAG_CONTROL)
    return;
  op_own_conditions(&c, results);
  /* The other results have the dims of the first, or none that can be negative. */
  for (uint32_t i = 0; info->results_min > 0 && i < results->rank; i++)
    need_size(&c, results->dims[i]);
}
