/* SPDX-License-Identifier: Apache-2.0 */
/* simplify: contractions with weights that have batch dims of 1.
 *
 *     %y = contract %x, %w { lhs_batch = [0],              %y = contract %x, %v { lhs_k = [2],
 *                            rhs_batch = [0], ... }   =>                           rhs_k = [1] }
 *       x f32[1, 8, 256], w f32[1, 1024, 256]                v f32[1024, 256]
 *
 * A batch of one is a row dim of the left side, and the weights (of the one direction of a
 * recurrent network, say) are then packed like any others. Only where the result stays as it is: a
 * reshape behind a contraction would end its kernel. */
#include "passes/pattern.h"
#include "passes/simplify_rules.h"

/* The constant without those of its dims; `place` says where the others are then. */
static value_id drop_dims(struct rewriter *w, constant_id id, const bool *dropped, int64_t *place) {
  struct constant c = w->f->module->constants.data[id];
  uint32_t n = 0;
  for (uint32_t d = 0; d < c.rank; d++) {
    place[d] = n;
    if (!dropped[d])
      c.dims[n++] = c.dims[d];
  }
  c.rank = n;
  return build_const(&w->b, module_add_constant(w->f->module, &c));
}

/* Which dims of the weights go; the batch lists keep the others. False if there are none. */
static bool split_batch(const struct rewriter *w, const struct op *op, struct contract_attrs *a,
                        int64_t (*rooms)[IR_MAX_RANK], bool *dropped) {
  const struct contract_attrs *from = OP_ATTRS(contract, op);
  const struct type *lhs = value_type(w->f, op->operands[0]);
  const struct type *rhs = value_type(w->f, op->operands[1]);
  uint32_t n = 0;
  for (uint32_t i = 0; i < from->lhs_batch.len; i++) {
    int64_t l = from->lhs_batch.data[i], r = from->rhs_batch.data[i];
    dropped[r] = dim_is_one(w->dims, lhs->dims[l]) && dim_is_one(w->dims, rhs->dims[r]);
    if (dropped[r])
      continue;
    rooms[0][n] = l;
    rooms[1][n++] = r;
  }
  a->lhs_batch = (struct ints){rooms[0], n};
  a->rhs_batch = (struct ints){rooms[1], n};
  return n < from->lhs_batch.len;
}

/* Whether the result's dims stay: batch, then the left side's, in order. */
static bool keeps_result(const struct rewriter *w, const struct op *op,
                         const struct contract_attrs *a) {
  const struct type *lhs = value_type(w->f, op->operands[0]);
  const struct type *result = value_type(w->f, op->results[0]);
  uint32_t at = 0;
  bool same = true, batch[IR_MAX_RANK] = {0}, k[IR_MAX_RANK] = {0};
  for (uint32_t i = 0; i < a->lhs_batch.len; i++) {
    batch[a->lhs_batch.data[i]] = true;
    same &= lhs->dims[a->lhs_batch.data[i]] == result->dims[at++];
  }
  for (uint32_t i = 0; i < a->lhs_k.len; i++)
    k[a->lhs_k.data[i]] = true;
  for (uint32_t d = 0; d < lhs->rank; d++)
    if (!batch[d] && !k[d])
      same &= lhs->dims[d] == result->dims[at++];
  return same;
}

enum rewrite simplify_contract(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  const struct op *weights = def_of_kind(w->f, op.operands[1], OP_CONST);
  struct contract_attrs a = *OP_ATTRS(contract, &op);
  int64_t rooms[3][IR_MAX_RANK], place[IR_MAX_RANK];
  bool dropped[IR_MAX_RANK] = {0};
  if (!weights || !split_batch(w, &op, &a, rooms, dropped) || !keeps_result(w, &op, &a))
    return NO_MATCH;
  value_id rhs = drop_dims(w, OP_ATTRS(const, weights)->value, dropped, place);
  for (uint32_t i = 0; i < a.rhs_batch.len; i++)
    rooms[1][i] = place[rooms[1][i]];
  for (uint32_t i = 0; i < a.rhs_k.len; i++)
    rooms[2][i] = place[a.rhs_k.data[i]];
  a.rhs_k = (struct ints){rooms[2], a.rhs_k.len};
  return rewrite_with(w, id, build_contract(&w->b, op.operands[0], rhs, &a));
}
