/* SPDX-License-Identifier: Apache-2.0 */
/* pad: a fill value before, after and between elements. */
#include "ir/ops/op_util.h"

/* low + n + max(n - 1, 0) * interior + high. */
static dim padded_dim(struct dim_table *t, dim n, dim low, dim high, int64_t interior) {
  dim sum = dim_add(t, n, dim_add(t, low, high));
  if (interior == 0)
    return sum;
  dim gaps = dim_max(t, dim_sub(t, n, dim_const(t, 1)), dim_const(t, 0));
  return dim_add(t, sum, dim_mul(t, gaps, dim_const(t, interior)));
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct pad_attrs *a = VIEW_ATTRS(pad, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (!op_check_operand(op, why, 1, x->dtype, 0) ||
      !op_check_len(why, "low", a->low.len, x->rank) ||
      !op_check_len(why, "high", a->high.len, x->rank) ||
      !op_check_len(why, "interior", a->interior.len, x->rank) ||
      !op_check_sizes(why, t, "low", &a->low) || !op_check_sizes(why, t, "high", &a->high) ||
      !op_check_ints(why, "interior", &a->interior, 0))
    return false;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++)
    dims[i] = padded_dim(t, x->dims[i], a->low.data[i], a->high.data[i], a->interior.data[i]);
  *out_n_types = 1;
  return op_make_type(why, t, x->dtype, dims, x->rank, out_types);
}

const struct op_hooks pad_hooks = {
    .infer = infer,
};
