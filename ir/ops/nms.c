/* SPDX-License-Identifier: Apache-2.0 */
/* nms: greedy suppression of overlapping boxes. */
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  struct dim_table *t = op_dim_table(op);
  const struct type *boxes = op_operand(op, 0), *scores = op_operand(op, 1);
  if (!op_check_operand(op, why, 0, DTYPE_F32, 3) || !op_check_operand(op, why, 1, DTYPE_F32, 3) ||
      !op_check_operand(op, why, 2, DTYPE_I64, 0) || !op_check_operand(op, why, 3, DTYPE_F32, 0) ||
      !op_check_operand(op, why, 4, DTYPE_F32, 0))
    return false;
  if (dim_known_ne(t, boxes->dims[2], dim_const(t, 4)))
    return op_refuse(why, "a box has 4 coordinates");
  if (dim_known_ne(t, boxes->dims[0], scores->dims[0]) ||
      dim_known_ne(t, boxes->dims[1], scores->dims[2]))
    return op_refuse(why, "boxes and scores do not match");
  dim dims[2] = {dim_product(t, scores->dims, 3), dim_const(t, 3)};
  *out_n_types = 2;
  return op_make_type(why, t, DTYPE_I64, dims, 2, out_types) &&
         op_make_type(why, t, DTYPE_I64, NULL, 0, out_types + 1);
}

const struct op_hooks nms_hooks = {
    .infer = infer,
};
