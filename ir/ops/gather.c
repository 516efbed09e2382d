/* SPDX-License-Identifier: Apache-2.0 */
/* gather: elements of data at given indices. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct gather_attrs *a = VIEW_ATTRS(gather, op);
  const struct type *data = op_operand(op, 0);
  dim dims[2 * IR_MAX_RANK];
  uint32_t rank, index_rank;
  if (!op_indexed_dims(op, why, data, &a->axes, 1, dims, &rank, &index_rank))
    return false;
  *out_n_types = 1;
  return op_make_type(why, op_dim_table(op), data->dtype, dims, rank, out_types);
}

const struct op_hooks gather_hooks = {
    .infer = infer,
};
