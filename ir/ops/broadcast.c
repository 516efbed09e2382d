/* SPDX-License-Identifier: Apache-2.0 */
/* broadcast: dims of 1 repeated. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct dims *dims = &VIEW_ATTRS(broadcast, op)->dims;
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (!op_check_len(why, "dims", dims->len, x->rank))
    return false;
  for (uint32_t i = 0; i < x->rank; i++)
    if (dim_known_ne(t, x->dims[i], dims->data[i]) && dim_known_ne(t, x->dims[i], dim_const(t, 1)))
      return op_refuse(why, "dim %u of the operand is neither 1 nor the result's", i);
  *out_n_types = 1;
  return op_make_type(why, t, x->dtype, dims->data, dims->len, out_types);
}

static status eval(struct interp *in, const struct op *op) {
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *t = interp_result(in, op, 0);
  status s = t ? interp_check_dims(in, op, x, t->dims, true) : in->failure;
  if (s)
    return s;
  int64_t from[IR_MAX_RANK], to[IR_MAX_RANK];
  strides_broadcast(x, from);
  strides_of(t->dims, t->rank, to);
  strided_copy(t->data, to, x->data, from, t->dims, t->rank);
  return STATUS_OK;
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  factors_same_dims(f, op, UINT32_MAX, out);
}

const struct op_hooks broadcast_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
