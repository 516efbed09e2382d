/* SPDX-License-Identifier: Apache-2.0 */
/* random: counter-based random numbers. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct random_attrs *a = VIEW_ATTRS(random, op);
  if (!op_check_type(why, op_dim_table(op), a->type))
    return false;
  if (!dtype_is_float(a->type->dtype))
    return op_refuse(why, "random does not make %s", dtype_name(a->type->dtype));
  if (op->n_operands && !op_check_operand(op, why, 0, DTYPE_I64, 0))
    return false;
  *out_types = *a->type;
  *out_n_types = 1;
  return true;
}

const struct op_hooks random_hooks = {
    .infer = infer,
};
