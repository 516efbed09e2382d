/* SPDX-License-Identifier: Apache-2.0 */
/* permute: parts change places. */
#include "ir/ops/collective_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct permute_attrs *a = VIEW_ATTRS(permute, op);
  return op_check_ints(why, "from", &a->from, 0) &&
         collective_infer(op, why, out_types, out_n_types);
}

const struct op_hooks permute_hooks = {
    .infer = infer,
    .eval = collective_eval,
};
