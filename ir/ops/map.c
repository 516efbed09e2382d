/* SPDX-License-Identifier: Apache-2.0 */
/* map: a scalar body applied element by element. */
#include "ir/ops/op_util.h"

/* The body is well typed in itself and reads the operands as what they are. */
static bool check_body(const struct op_view *op, struct strbuf *why, enum dtype *out_dtype) {
  const struct scalar_body *body = VIEW_ATTRS(map, op)->body;
  if (!scalar_body_check(body, why))
    return false;
  if (body->n_args != op->n_operands)
    return op_refuse(why, "has %u operands and a body of %u", op->n_operands, body->n_args);
  for (uint32_t i = 0; i < body->len; i++) {
    const struct scalar_inst *inst = &body->insts[i];
    if (inst->op != SCALAR_ARG)
      continue;
    enum dtype has = op_operand(op, inst->args[0])->dtype;
    if (inst->dtype != has)
      return op_refuse(why, "the body reads operand %u as %s, which is %s", inst->args[0],
                       dtype_name(inst->dtype), dtype_name(has));
  }
  *out_dtype = body->insts[body->len - 1].dtype;
  return true;
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  struct dim_table *t = op_dim_table(op);
  enum dtype dtype;
  if (!check_body(op, why, &dtype))
    return false;
  uint32_t rank = op->n_operands ? op_operand(op, 0)->rank : 0;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct type *x = op_operand(op, i);
    if (!op_check_rank(op, why, i, rank))
      return false;
    for (uint32_t d = 0; d < rank; d++) {
      dims[d] = i ? op_dim_broadcast(t, dims[d], x->dims[d]) : x->dims[d];
      if (dims[d] == DIM_NONE)
        return op_refuse(why, "dim %u of operand %u does not broadcast with those before", d, i);
    }
  }
  *out_n_types = 1;
  return op_make_type(why, t, dtype, dims, rank, out_types);
}

const struct op_hooks map_hooks = {
    .infer = infer,
};
