/* SPDX-License-Identifier: Apache-2.0 */
/* window: a combiner over a sliding window. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct window_attrs *a = VIEW_ATTRS(window, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (!op_check_combiner(why, a->kind, x->dtype) ||
      !op_check_len(why, "size", a->size.len, x->rank) ||
      !op_check_len(why, "stride", a->stride.len, x->rank) ||
      !op_check_len(why, "dilation", a->dilation.len, x->rank) ||
      !op_check_len(why, "low", a->low.len, x->rank) ||
      !op_check_len(why, "high", a->high.len, x->rank) ||
      !op_check_ints(why, "size", &a->size, 1) || !op_check_ints(why, "stride", &a->stride, 1) ||
      !op_check_ints(why, "dilation", &a->dilation, 1) ||
      !op_check_sizes(why, t, "low", &a->low) || !op_check_sizes(why, t, "high", &a->high))
    return false;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++)
    dims[i] = op_dim_window(t, x->dims[i], a->low.data[i], a->high.data[i],
                            dim_const(t, a->size.data[i]), a->stride.data[i],
                            a->dilation.data[i]);
  bool arg = combiner_is_arg(a->kind);
  *out_n_types = arg ? 2 : 1;
  return op_make_type(why, t, x->dtype, dims, x->rank, out_types) &&
         (!arg || op_make_type(why, t, DTYPE_I64, dims, x->rank, out_types + 1));
}

const struct op_hooks window_hooks = {
    .infer = infer,
};
