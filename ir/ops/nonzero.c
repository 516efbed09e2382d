/* SPDX-License-Identifier: Apache-2.0 */
/* nonzero: coordinates of the elements that are not zero. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (x->dtype == DTYPE_STRING)
    return op_refuse(why, "nonzero does not take strings");
  dim dims[2] = {dim_const(t, x->rank), type_elements(t, x)};
  *out_n_types = 2;
  return op_make_type(why, t, DTYPE_I64, dims, 2, out_types) &&
         op_make_type(why, t, DTYPE_I64, NULL, 0, out_types + 1);
}

const struct op_hooks nonzero_hooks = {
    .infer = infer,
};
