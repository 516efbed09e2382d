/* SPDX-License-Identifier: Apache-2.0 */
/* dims: dim expressions as a tensor. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct dims *dims = &VIEW_ATTRS(dims, op)->dims;
  for (uint32_t i = 0; i < dims->len; i++)
    if (dims->data[i] == DIM_NONE)
      return op_refuse(why, "entry %u of 'dims' is not an expression", i);
  dim n = dim_const(op_dim_table(op), dims->len);
  *out_n_types = 1;
  return op_make_type(why, op_dim_table(op), DTYPE_I64, &n, 1, out_types);
}

static status eval(struct interp *in, const struct op *op) {
  const struct dims *dims = &OP_ATTRS(dims, op)->dims;
  struct tensor *t = interp_result(in, op, 0);
  if (!t || !interp_dims(in, op, dims->data, dims->len, t->i64))
    return in->failure;
  return STATUS_OK;
}

const struct op_hooks dims_hooks = {
    .infer = infer,
    .eval = eval,
};
