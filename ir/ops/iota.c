/* SPDX-License-Identifier: Apache-2.0 */
/* iota: the index along one axis. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct iota_attrs *a = VIEW_ATTRS(iota, op);
  if (!op_check_type(why, op_dim_table(op), a->type) || !op_check_axis(why, a->axis, a->type->rank))
    return false;
  if (!dtype_is_number(a->type->dtype))
    return op_refuse(why, "iota does not make %s", dtype_name(a->type->dtype));
  *out_types = *a->type;
  *out_n_types = 1;
  return true;
}

const struct op_hooks iota_hooks = {
    .infer = infer,
};
