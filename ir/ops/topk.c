/* SPDX-License-Identifier: Apache-2.0 */
/* topk: the first k of each row in sorted order. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct topk_attrs *a = VIEW_ATTRS(topk, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (!dtype_is_number(x->dtype))
    return op_refuse(why, "topk does not take %s", dtype_name(x->dtype));
  if (!op_check_axis(why, a->axis, x->rank))
    return false;
  if (dim_known_lt(t, x->dims[a->axis], a->k))
    return op_refuse(why, "k is above the dim of the axis");
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++)
    dims[i] = i == (uint32_t)a->axis ? a->k : x->dims[i];
  *out_n_types = 2;
  return op_make_type(why, t, x->dtype, dims, x->rank, out_types) &&
         op_make_type(why, t, DTYPE_I64, dims, x->rank, out_types + 1);
}

const struct op_hooks topk_hooks = {
    .infer = infer,
};
