/* SPDX-License-Identifier: Apache-2.0 */
/* simplify: small integer tensors whose elements are dim expressions.
 *
 *     %0 = dims { dims = [batch, sequence] }
 *     %1 = slice %0 { start = [1], size = [1] }
 *     %2 = map %1 { mul($0, 4) }                  =>  %2 = dims { dims = [4*sequence] }
 *
 * Operands are in that form already where they can be: a constant, `dims`, or a reshape of one. */
#include "passes/pattern.h"
#include "passes/simplify_rules.h"

#include <string.h>

#define MAX_ELEMENTS 16

/* The elements of an i64 tensor of static shape, in row-major order. */
struct elements {
  uint32_t n, rank;
  int64_t dims[IR_MAX_RANK];
  dim list[MAX_ELEMENTS];
};

static bool elements_room(const struct rewriter *w, value_id v, struct elements *e) {
  const struct type *type = value_type(w->f, v);
  if (type->dtype != DTYPE_I64 || !type_static_dims(w->dims, type, e->dims))
    return false;
  e->rank = type->rank;
  e->n = 1;
  for (uint32_t i = 0; i < e->rank; i++) {
    if (e->dims[i] < 1 || e->dims[i] > MAX_ELEMENTS)
      return false;
    e->n *= (uint32_t)e->dims[i];
    if (e->n > MAX_ELEMENTS)
      return false;
  }
  return true;
}

/* What is in that form already. */
static bool elements_of(const struct rewriter *w, value_id v, struct elements *e) {
  if (!elements_room(w, v, e))
    return false;
  const struct constant *c = value_constant(w->f, v);
  for (uint32_t i = 0; c && i < e->n; i++) {
    double ignored;
    int64_t x;
    constant_element(c, i, &ignored, &x);
    e->list[i] = dim_const(w->dims, x);
  }
  if (c)
    return c->data != NULL;
  const struct op *op = value_def(w->f, v);
  while (op && op->kind == OP_RESHAPE)
    op = value_def(w->f, op->operands[0]);
  if (!op || op->kind != OP_DIMS || OP_ATTRS(dims, op)->dims.len != e->n)
    return false;
  memcpy(e->list, OP_ATTRS(dims, op)->dims.data, e->n * sizeof *e->list);
  return true;
}

/* ---- the ops ---- */

/* i64 arithmetic does not wrap where dims are valid, and dims do not wrap at all. Division
 * truncates, floordiv does not: they agree on what is not negative. */
static dim scalar_on_dims(struct dim_table *t, enum scalar_op op, dim a, dim b) {
  int64_t lo, hi, divisor;
  dim_bounds(t, a, &lo, &hi);
  bool divides = dim_is_const(t, b, &divisor) && divisor > 0;
  switch (op) {
  case SCALAR_ADD: return dim_add(t, a, b);
  case SCALAR_SUB: return dim_sub(t, a, b);
  case SCALAR_MUL: return dim_mul(t, a, b);
  case SCALAR_NEG: return dim_neg(t, a);
  case SCALAR_MAX: return dim_max(t, a, b);
  case SCALAR_MIN: return dim_min(t, a, b);
  case SCALAR_DIV: return divides && lo >= 0 ? dim_floordiv(t, a, b) : DIM_NONE;
  case SCALAR_MOD: return divides ? dim_mod(t, a, b) : DIM_NONE;
  case SCALAR_REM: return divides && lo >= 0 ? dim_mod(t, a, b) : DIM_NONE;
  default: return DIM_NONE;
  }
}

/* Place of element i of the result in an operand that may have dims of 1. */
static uint32_t broadcast_place(const struct elements *to, const struct elements *from,
                                uint32_t i) {
  uint32_t place = 0, step = 1;
  for (uint32_t d = to->rank; d-- > 0;) {
    uint32_t at = i % (uint32_t)to->dims[d];
    i /= (uint32_t)to->dims[d];
    place += from->dims[d] == 1 ? 0 : at * step;
    step *= (uint32_t)from->dims[d];
  }
  return place;
}

#define MAX_OPERANDS 4
#define MAX_BODY 16

static bool of_map(const struct rewriter *w, const struct op *op, struct elements *e) {
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  struct elements x[MAX_OPERANDS];
  if (op->n_operands > MAX_OPERANDS || body->len > MAX_BODY)
    return false;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    if (!elements_of(w, op->operands[i], &x[i]))
      return false;
  }
  for (uint32_t i = 0; i < e->n; i++) {
    dim done[MAX_BODY];
    for (uint32_t k = 0; k < body->len; k++) {
      const struct scalar_inst *inst = &body->insts[k];
      if (inst->dtype != DTYPE_I64)
        return false;
      if (inst->op == SCALAR_ARG)
        done[k] = x[inst->args[0]].list[broadcast_place(e, &x[inst->args[0]], i)];
      else if (inst->op == SCALAR_CONST)
        done[k] = dim_const(w->dims, inst->imm.i64);
      else
        done[k] = scalar_on_dims(w->dims, inst->op, done[inst->args[0]], done[inst->args[1]]);
    }
    e->list[i] = done[body->len - 1];
  }
  return true;
}

static bool of_slice(const struct rewriter *w, const struct op *op, struct elements *e) {
  const struct slice_attrs *a = OP_ATTRS(slice, op);
  struct elements x;
  int64_t start;
  if (e->rank != 1 || !elements_of(w, op->operands[0], &x) ||
      !dim_is_const(w->dims, a->start.data[0], &start))
    return false;
  for (uint32_t i = 0; i < e->n; i++) {
    int64_t at = start + (int64_t)i * a->step.data[0];
    if (at < 0 || at >= x.n)
      return false;
    e->list[i] = x.list[at];
  }
  return true;
}

static bool of_concat(const struct rewriter *w, const struct op *op, struct elements *e) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    struct elements x;
    if (e->rank != 1 || !elements_of(w, op->operands[i], &x) || n + x.n > e->n)
      return false;
    memcpy(e->list + n, x.list, x.n * sizeof *x.list);
    n += x.n;
  }
  return n == e->n;
}

static bool of_gather(const struct rewriter *w, const struct op *op, struct elements *e) {
  struct elements x, index;
  if (op->n_operands != 2 || !elements_of(w, op->operands[0], &x) || x.rank != 1 ||
      !elements_of(w, op->operands[1], &index) || index.n != e->n)
    return false;
  for (uint32_t i = 0; i < e->n; i++) {
    int64_t at;
    if (!dim_is_const(w->dims, index.list[i], &at) || at < 0 || at >= x.n)
      return false;
    e->list[i] = x.list[at];
  }
  return true;
}

static bool of_reduce(const struct rewriter *w, const struct op *op, struct elements *e) {
  struct elements x;
  enum combiner kind = OP_ATTRS(reduce, op)->kind;
  enum scalar_op by = kind == COMBINER_SUM    ? SCALAR_ADD
                      : kind == COMBINER_PROD ? SCALAR_MUL
                      : kind == COMBINER_MAX  ? SCALAR_MAX
                      : kind == COMBINER_MIN  ? SCALAR_MIN
                                              : SCALAR_ARG;
  if (by == SCALAR_ARG || e->n != 1 || !elements_of(w, op->operands[0], &x))
    return false;
  e->list[0] = x.list[0];
  for (uint32_t i = 1; i < x.n; i++)
    e->list[0] = scalar_on_dims(w->dims, by, e->list[0], x.list[i]);
  return true;
}

static bool compute(const struct rewriter *w, const struct op *op, struct elements *e) {
  struct elements x;
  switch (op->kind) {
  case OP_MAP: return of_map(w, op, e);
  case OP_SLICE: return of_slice(w, op, e);
  case OP_CONCAT: return of_concat(w, op, e);
  case OP_GATHER: return of_gather(w, op, e);
  case OP_REDUCE: return of_reduce(w, op, e);
  case OP_BROADCAST:
    if (!elements_of(w, op->operands[0], &x))
      return false;
    for (uint32_t i = 0; i < e->n; i++)
      e->list[i] = x.list[broadcast_place(e, &x, i)];
    return true;
  default: return false;
  }
}

/* ---- the result ---- */

static value_id build(struct rewriter *w, const struct elements *e) {
  dim dims[IR_MAX_RANK];
  int64_t numbers[MAX_ELEMENTS];
  bool constant = true;
  for (uint32_t i = 0; i < e->n; i++)
    constant &= dim_is_const(w->dims, e->list[i], &numbers[i]);
  if (constant)
    return build_const_data(&w->b, DTYPE_I64, e->dims, e->rank, numbers, e->n * sizeof *numbers);
  for (uint32_t i = 0; i < e->rank; i++)
    dims[i] = dim_const(w->dims, e->dims[i]);
  return build_reshape(&w->b, build_dims(&w->b, e->list, e->n), dims, e->rank);
}

static bool all_constant(const struct rewriter *w, const struct op *op) {
  for (uint32_t i = 0; i < OP_ATTRS(dims, op)->dims.len; i++) {
    if (!dim_is_const(w->dims, OP_ATTRS(dims, op)->dims.data[i], NULL))
      return false;
  }
  return true;
}

enum rewrite simplify_shape(struct rewriter *w, op_id id) {
  const struct op *op = function_op(w->f, id);
  struct elements e;
  if (op->n_results != 1 || !elements_room(w, op->results[0], &e))
    return NO_MATCH;
  if (op->kind == OP_DIMS) {
    memcpy(e.list, OP_ATTRS(dims, op)->dims.data, e.n * sizeof *e.list);
    return all_constant(w, op) ? rewrite_with(w, id, build(w, &e)) : NO_MATCH;
  }
  if (!compute(w, op, &e))
    return NO_MATCH;
  for (uint32_t i = 0; i < e.n; i++) {
    if (e.list[i] == DIM_NONE)
      return NO_MATCH;
  }
  return rewrite_with(w, id, build(w, &e));
}
