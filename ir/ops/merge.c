/* SPDX-License-Identifier: Apache-2.0 */
/* merge: a partial tuple merged, whole on every rank. */
#include "ir/ops/collective_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct merge_attrs *a = VIEW_ATTRS(merge, op);
  return op_check_ints(why, "axis", &(struct ints){&a->axis, 1}, 0) &&
         collective_infer(op, why, out_types, out_n_types);
}

const struct op_hooks merge_hooks = {
    .infer = infer,
    .eval = collective_eval,
};
