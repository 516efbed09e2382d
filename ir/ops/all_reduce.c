/* SPDX-License-Identifier: Apache-2.0 */
/* all_reduce: a partial merged, whole on every rank. */
#include "ir/ops/collective_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct all_reduce_attrs *a = VIEW_ATTRS(all_reduce, op);
  return collective_infer(op, why, &a->axes, out_types, out_n_types);
}

const struct op_hooks all_reduce_hooks = {
    .infer = infer,
    .eval = collective_eval,
};
