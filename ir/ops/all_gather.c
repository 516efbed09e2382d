/* SPDX-License-Identifier: Apache-2.0 */
/* all_gather: parts put together on every rank. */
#include "ir/ops/collective_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct all_gather_attrs *a = VIEW_ATTRS(all_gather, op);
  return collective_check_dim(op, why, a->dim) && collective_infer(op, why, out_types, out_n_types);
}

const struct op_hooks all_gather_hooks = {
    .infer = infer,
    .eval = collective_eval,
};
