/* SPDX-License-Identifier: Apache-2.0 */
/* The end of prefill: only the last valid token of each row goes on to the logits.
 *
 *     %x : [batch, sequence, d]                     %y = gather %x, (row, count - 1)
 *     %l = contract %x, %head                 =>    %l = contract %y, %head
 *     return %l, states                             return %l, states
 *
 * What the states need is needed of every token. Behind it, ops that treat tokens one by one (as
 * their attributes show) are built again with one token per row, that is with `sequence` = 1, up to
 * the first that does not, or whose operand is needed whole: there the rows are gathered. Ops that
 * were only there for the logits are swept away. */
#include <string.h>

#include "base/mem.h"
#include "passes/pattern.h"
#include "passes/phases/phase_build.h"
#include "passes/substitute.h"

struct tail {
  struct phase *p;
  uint32_t symbol;     /* of the tokens */
  dim *one;            /* dim_substitute's form: one token */
  bool *whole;         /* by value: needed of every token */
  value_id *taken;     /* by value: for one token per row */
  uint32_t n;          /* values when it began */
  value_id rows, last; /* i64 [batch] each: which to gather */
};

static value_id take(struct tail *t, value_id v, uint32_t depth);

static const struct type *type_of(const struct tail *t, value_id v) {
  return value_type(t->p->to, v);
}

/* The dim that has the tokens, alone or as the inner part of batch * tokens; rank if none, rank + 1
 * if several have. */
static uint32_t token_dim(const struct tail *t, const struct type *type) {
  uint32_t found = type->rank;
  for (uint32_t d = 0; d < type->rank; d++) {
    if (!dim_uses_symbol(t->p->t, type->dims[d], t->symbol))
      continue;
    if (found != type->rank)
      return type->rank + 1;
    found = d;
  }
  return found;
}

/* ---- gathering ---- */

/* Rows of v : [batch, ..., tokens, ...] or [batch * tokens, ...]; VALUE_NONE where it is neither.
 */
static value_id gather_last(struct tail *t, value_id v) {
  struct phase *p = t->p;
  struct type type = *type_of(t, v), result = type;
  uint32_t d = token_dim(t, &type);
  dim batch = p->roles->batch;
  if (d >= type.rank)
    return VALUE_NONE;
  result.dims[d] = dim_substitute(p->t, type.dims[d], t->one);
  if (d == 0 && dim_known_eq(p->t, type.dims[0], dim_mul(p->t, batch, p->tokens)) &&
      type.rank < IR_MAX_RANK) {
    memmove(type.dims + 2, type.dims + 1, (type.rank - 1) * sizeof(dim));
    type.rank++;
    type.dims[0] = batch;
    type.dims[1] = p->tokens;
    v = build_reshape(&p->b, v, type.dims, type.rank);
    d = 1;
  }
  if (d == 0 || type.dims[0] != batch || type.dims[d] != p->tokens)
    return VALUE_NONE;
  const value_id indices[2] = {t->rows, t->last};
  value_id x = build_gather(&p->b, v, indices, (const int64_t[]){0, d}, 2, OUT_OF_RANGE_CLAMP);
  return build_reshape(&p->b, x, result.dims, result.rank);
}

/* ---- ops that treat tokens one by one ---- */

static dim product(const struct tail *t, const struct type *type, uint32_t n) {
  return dim_product(t->p->t, type->dims, n);
}

/* The tokens stay between the same outer and inner elements. */
static bool reshape_keeps(const struct tail *t, const struct op *op) {
  const struct type *from = type_of(t, op->operands[0]), *to = type_of(t, op->results[0]);
  uint32_t a = token_dim(t, from), b = token_dim(t, to);
  if (a >= from->rank || b >= to->rank)
    return false;
  dim x = product(t, from, a + 1), y = product(t, to, b + 1);
  return x != DIM_NONE && y != DIM_NONE && dim_known_eq(t->p->t, x, y);
}

static bool lists(const struct ints *axes, uint32_t d) {
  for (uint32_t i = 0; i < axes->len; i++)
    if (axes->data[i] == d)
      return true;
  return false;
}

static bool slice_keeps(const struct tail *t, const struct op *op, uint32_t d) {
  const struct slice_attrs *a = OP_ATTRS(slice, op);
  return dim_is_const_value(t->p->t, a->start.data[d], 0) && a->step.data[d] == 1 &&
         dim_known_eq(t->p->t, a->size.data[d], type_of(t, op->operands[0])->dims[d]);
}

/* Operand i, whose dim d has the tokens, meets the others token by token. */
static bool keeps_tokens(const struct tail *t, const struct op *op, uint32_t i, uint32_t d) {
  switch (op->kind) {
  case OP_MAP:
  case OP_TRANSPOSE:
  case OP_BITCAST:
  case OP_BROADCAST: return true;
  case OP_RESHAPE: return reshape_keeps(t, op);
  case OP_SLICE: return slice_keeps(t, op, d);
  case OP_CONCAT: return OP_ATTRS(concat, op)->axis != d;
  case OP_REDUCE: return !lists(&OP_ATTRS(reduce, op)->axes, d);
  case OP_TOPK: return OP_ATTRS(topk, op)->axis != d;
  case OP_CONTRACT:
    return !lists(i ? &OP_ATTRS(contract, op)->rhs_k : &OP_ATTRS(contract, op)->lhs_k, d);
  case OP_GATHER: return i > 0;
  case OP_ATTENTION: return i == 0 || i > 2;
  default: return false;
  }
}

static bool treats_tokens_alone(const struct tail *t, const struct op *op) {
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct type *type = type_of(t, op->operands[i]);
    uint32_t d = token_dim(t, type);
    if (d > type->rank || (d < type->rank && !keeps_tokens(t, op, i, d)))
      return false;
  }
  for (uint32_t i = 0; i < op->n_results; i++)
    if (token_dim(t, type_of(t, op->results[i])) > type_of(t, op->results[i])->rank)
      return false;
  return op->n_operands > 0 && op->n_regions == 0;
}

/* The op for one token per row. */
static bool take_op(struct tail *t, op_id id, uint32_t depth) {
  struct phase *p = t->p;
  struct op op = *function_op(p->to, id);
  value_id operands[16];
  if (op.n_operands > 16 || !treats_tokens_alone(t, &op))
    return false;
  for (uint32_t i = 0; i < op.n_operands; i++) {
    operands[i] = take(t, op.operands[i], depth + 1);
    if (operands[i] == VALUE_NONE)
      return false;
  }
  void *attrs = (void *)attrs_copy(p->to->module, op.kind, op.attrs);
  attrs_substitute(p->t, op.kind, attrs, t->one);
  struct builder b = p->b;
  b.provenance = op.provenance;
  op_id copy = build_op(&b, op.kind, operands, op.n_operands, NULL, 0, attrs);
  for (uint32_t i = 0; copy != OP_ID_NONE && i < op.n_results; i++)
    t->taken[op.results[i]] = op_result(p->to, copy, i);
  return copy != OP_ID_NONE;
}

/* Deeper chains behind the last state are gathered where the walk stops. */
#define MAX_DEPTH 2000

static value_id take(struct tail *t, value_id v, uint32_t depth) {
  const struct type *type = type_of(t, v);
  if (token_dim(t, type) == type->rank)
    return v;
  if (v >= t->n)
    return VALUE_NONE;
  op_id def = function_value(t->p->to, v)->def;
  if (!t->taken[v] && def != OP_ID_NONE && !t->whole[v] && depth < MAX_DEPTH)
    take_op(t, def, depth);
  if (!t->taken[v])
    t->taken[v] = gather_last(t, v);
  return t->taken[v];
}

/* ---- what is needed whole ---- */

static void mark_whole(struct tail *t, value_id logits) {
  struct function *f = t->p->to;
  const struct region *r = &f->regions.data[0];
  for (uint32_t i = 0; i < r->results.len; i++)
    if (r->results.data[i] != logits)
      t->whole[r->results.data[i]] = true;
  for (uint32_t i = r->ops.len; i-- > 0;) {
    const struct op *op = function_op(f, r->ops.data[i]);
    bool needed = op->n_regions || (op_infos[op->kind].flags & OP_FLAG_EFFECT);
    for (uint32_t k = 0; k < op->n_results; k++)
      needed |= t->whole[op->results[k]];
    for (uint32_t k = 0; needed && k < op->n_operands; k++)
      t->whole[op->operands[k]] = true;
  }
}

static void make_indices(struct tail *t) {
  struct phase *p = t->p;
  t->rows = build_iota(&p->b, DTYPE_I64, &p->roles->batch, 1, 0);
  value_id count = build_binary(&p->b, SCALAR_MIN, p->count, build_dims(&p->b, &p->tokens, 1));
  t->last = build_binary_i64(&p->b, SCALAR_ADD, count, -1);
}

/* [batch, 1, ...] without the 1. */
static value_id without_token(struct phase *p, value_id v) {
  const struct type type = *value_type(p->to, v);
  dim dims[IR_MAX_RANK] = {type.dims[0]};
  memcpy(dims + 1, type.dims + 2, (type.rank - 2) * sizeof *dims);
  return build_reshape(&p->b, v, dims, type.rank - 1);
}

value_id phase_tail(struct phase *p, value_id logits) {
  const struct type *type = value_type(p->to, logits);
  if (type->rank < 2 || type->dims[0] != p->roles->batch || type->dims[1] != p->tokens)
    return VALUE_NONE;
  if (p->decode)
    return without_token(p, logits);
  struct tail t = {.p = p, .symbol = p->roles->sequence, .n = p->to->values.len};
  t.one = mem_calloc(dim_symbol_count(p->t), sizeof *t.one);
  t.whole = mem_calloc(t.n, sizeof *t.whole);
  t.taken = mem_calloc(t.n, sizeof *t.taken);
  t.one[t.symbol] = dim_const(p->t, 1);
  mark_whole(&t, logits);
  make_indices(&t);
  value_id v = take(&t, logits, 0);
  mem_free(t.one);
  mem_free(t.whole);
  mem_free(t.taken);
  return v == VALUE_NONE ? v : without_token(p, v);
}
