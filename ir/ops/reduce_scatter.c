/* SPDX-License-Identifier: Apache-2.0 */
/* reduce_scatter: a partial merged, split over the ranks. */
#include "ir/ops/collective_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct reduce_scatter_attrs *a = VIEW_ATTRS(reduce_scatter, op);
  return collective_check_dim(op, why, a->dim) && collective_infer(op, why, out_types, out_n_types);
}

const struct op_hooks reduce_scatter_hooks = {
    .infer = infer,
    .eval = collective_eval,
};
