/* SPDX-License-Identifier: Apache-2.0 */
/* transpose: the dims in another order. */
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

const struct op_hooks transpose_hooks = {
    .infer = infer,
};
