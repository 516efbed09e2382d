/* SPDX-License-Identifier: Apache-2.0 */
/* reduce: axes combined into one element each. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct reduce_attrs *a = VIEW_ATTRS(reduce, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  uint32_t mask;
  if (!op_check_combiner(why, a->kind, x->dtype) ||
      !op_check_axes(why, "axes", &a->axes, x->rank, &mask))
    return false;
  bool arg = combiner_is_arg(a->kind);
  if (arg && a->axes.len != 1)
    return op_refuse(why, "%s takes one axis, not %u",
                     keyword_text(KEYWORD_KIND_combiner, (int)a->kind), a->axes.len);
  if (a->last && !arg)
    return op_refuse(why, "'last' is for argmax and argmin");
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++)
    dims[i] = mask >> i & 1 ? dim_const(t, 1) : x->dims[i];
  *out_n_types = arg ? 2 : 1;
  return op_make_type(why, t, x->dtype, dims, x->rank, out_types) &&
         (!arg || op_make_type(why, t, DTYPE_I64, dims, x->rank, out_types + 1));
}

const struct op_hooks reduce_hooks = {
    .infer = infer,
};
