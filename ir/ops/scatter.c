/* SPDX-License-Identifier: Apache-2.0 */
/* scatter: updates combined into data at given indices. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct scatter_attrs *a = VIEW_ATTRS(scatter, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *data = op_operand(op, 0);
  struct type updates;
  dim dims[2 * IR_MAX_RANK];
  uint32_t rank, index_rank;
  if (combiner_is_arg(a->kind))
    return op_refuse(why, "scatter does not take %s",
                     keyword_text(KEYWORD_KIND_combiner, (int)a->kind));
  if ((a->kind != COMBINER_NONE && !op_check_combiner(why, a->kind, data->dtype)) ||
      !op_indexed_dims(op, why, data, &a->axes, 2, dims, &rank, &index_rank) ||
      !op_make_type(why, t, data->dtype, dims, rank, &updates) ||
      !op_check_same_type(why, t, "updates", op_operand(op, 1), &updates))
    return false;
  *out_n_types = 1;
  return op_make_type(why, t, data->dtype, data->dims, data->rank, out_types);
}

const struct op_hooks scatter_hooks = {
    .infer = infer,
};
