/* SPDX-License-Identifier: Apache-2.0 */
/* unique: distinct rows, with their places and counts. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (x->dtype == DTYPE_STRING)
    return op_refuse(why, "unique does not take strings");
  if (!op_check_rank(op, why, 0, 2))
    return false;
  *out_n_types = 4;
  for (uint32_t i = 0; i < 3; i++)
    if (!op_make_type(why, t, DTYPE_I64, x->dims, 1, out_types + i))
      return false;
  return op_make_type(why, t, DTYPE_I64, NULL, 0, out_types + 3);
}

const struct op_hooks unique_hooks = {
    .infer = infer,
};
