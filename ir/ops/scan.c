/* SPDX-License-Identifier: Apache-2.0 */
/* scan: prefix combinations along an axis. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct scan_attrs *a = VIEW_ATTRS(scan, op);
  const struct type *x = op_operand(op, 0);
  if (combiner_is_arg(a->kind))
    return op_refuse(why, "scan does not take %s",
                     keyword_text(KEYWORD_KIND_combiner, (int)a->kind));
  if (!op_check_combiner(why, a->kind, x->dtype) || !op_check_axis(why, a->axis, x->rank))
    return false;
  *out_n_types = 1;
  return op_make_type(why, op_dim_table(op), x->dtype, x->dims, x->rank, out_types);
}

const struct op_hooks scan_hooks = {
    .infer = infer,
};
