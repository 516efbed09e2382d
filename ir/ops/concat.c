/* SPDX-License-Identifier: Apache-2.0 */
/* concat: tensors one after the other along an axis. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  int64_t axis = VIEW_ATTRS(concat, op)->axis;
  struct dim_table *t = op_dim_table(op);
  const struct type *first = op_operand(op, 0);
  if (!op_check_axis(why, axis, first->rank))
    return false;
  struct type type = *first;
  for (uint32_t i = 1; i < op->n_operands; i++) {
    const struct type *x = op_operand(op, i);
    if (!op_check_operand(op, why, i, first->dtype, first->rank))
      return false;
    for (uint32_t d = 0; d < first->rank; d++) {
      type.dims[d] = d == (uint32_t)axis ? dim_add(t, type.dims[d], x->dims[d])
                                         : op_dim_merge(t, type.dims[d], x->dims[d]);
      if (type.dims[d] == DIM_NONE)
        return op_refuse(why, "dim %u of operand %u does not match the others", d, i);
    }
  }
  *out_n_types = 1;
  return op_make_type(why, t, first->dtype, type.dims, first->rank, out_types);
}

static status eval(struct interp *in, const struct op *op) {
  uint32_t axis = (uint32_t)OP_ATTRS(concat, op)->axis;
  struct tensor *t = interp_result(in, op, 0);
  if (!t)
    return in->failure;
  int64_t from[IR_MAX_RANK], to[IR_MAX_RANK], dims[IR_MAX_RANK], at = 0;
  strides_of(t->dims, t->rank, to);
  memcpy(dims, t->dims, sizeof dims);
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct tensor *x = interp_operand(in, op, i);
    dims[axis] = x->dims[axis];
    status s = interp_check_dims(in, op, x, dims, false);
    if (s)
      return s;
    if (x->dims[axis] > t->dims[axis] - at)
      break;
    strides_of(x->dims, x->rank, from);
    strided_copy(tensor_slots(t) + at * to[axis], to, x->data, from, x->dims, x->rank);
    at += x->dims[axis];
  }
  if (at == t->dims[axis])
    return STATUS_OK;
  return interp_fail(in, op, DIAG_E0620, "the operands do not fill dim %u of %" PRId64, axis,
                     t->dims[axis]);
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  factors_same_dims(f, op, ~(1u << OP_ATTRS(concat, op)->axis), out);
}

const struct op_hooks concat_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
