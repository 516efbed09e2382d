/* SPDX-License-Identifier: Apache-2.0 */
/* check: a relation of dims that must hold at run time. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  (void)out_types;
  const struct check_attrs *a = VIEW_ATTRS(check, op);
  if (a->lhs == DIM_NONE || a->rhs == DIM_NONE)
    return op_refuse(why, "a side of the check is not an expression");
  *out_n_types = 0;
  return true;
}

const struct op_hooks check_hooks = {
    .infer = infer,
};
