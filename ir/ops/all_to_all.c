/* SPDX-License-Identifier: Apache-2.0 */
/* all_to_all: split along one dim becomes split along another. */
#include "ir/ops/collective_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct all_to_all_attrs *a = VIEW_ATTRS(all_to_all, op);
  return collective_check_dim(op, why, a->gather) && collective_check_dim(op, why, a->split) &&
         collective_infer(op, why, out_types, out_n_types);
}

const struct op_hooks all_to_all_hooks = {
    .infer = infer,
    .eval = collective_eval,
};
