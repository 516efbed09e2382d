/* SPDX-License-Identifier: Apache-2.0 */
/* transpose: the dims in another order. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct ints *perm = &VIEW_ATTRS(transpose, op)->perm;
  const struct type *x = op_operand(op, 0);
  if (!op_check_len(why, "perm", perm->len, x->rank) ||
      !op_check_axes(why, "perm", perm, x->rank, NULL))
    return false;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++)
    dims[i] = x->dims[perm->data[i]];
  *out_n_types = 1;
  return op_make_type(why, op_dim_table(op), x->dtype, dims, x->rank, out_types);
}

static status eval(struct interp *in, const struct op *op) {
  const struct ints *perm = &OP_ATTRS(transpose, op)->perm;
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *t = interp_result(in, op, 0);
  if (!t)
    return in->failure;
  int64_t strides[IR_MAX_RANK], from[IR_MAX_RANK], to[IR_MAX_RANK], dims[IR_MAX_RANK];
  strides_of(x->dims, x->rank, strides);
  for (uint32_t d = 0; d < t->rank; d++) {
    from[d] = strides[perm->data[d]];
    dims[d] = x->dims[perm->data[d]];
  }
  status s = interp_check_dims(in, op, t, dims, false);
  if (s)
    return s;
  strides_of(t->dims, t->rank, to);
  strided_copy(t->data, to, x->data, from, t->dims, t->rank);
  return STATUS_OK;
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct ints *perm = &OP_ATTRS(transpose, op)->perm;
  for (uint32_t d = 0; d < perm->len; d++) {
    struct factor *x = factor_add(out, "dim", value_type(f, op->results[0])->dims[d]);
    factor_operand(x, 0, (uint32_t)perm->data[d]);
    factor_result(x, 0, d);
  }
}

const struct op_hooks transpose_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
