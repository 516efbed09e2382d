/* SPDX-License-Identifier: Apache-2.0 */
/* In-place results; see in_place.h. From the operand to the result there must be maps of one shape
 * only: a view or a root on the way would read it where another element is being written. */
#include "codegen/in_place.h"

/* Whether all that follows from region value `v` is maps of its shape. */
static bool only_maps_follow(const struct function *f, const struct region *r, value_id v,
                             uint32_t from, const struct type *shape) {
  for (uint32_t i = from; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    bool reads = false;
    for (uint32_t j = 0; j < op->n_operands; j++)
      reads |= op->operands[j] == v;
    if (!reads)
      continue;
    if (op->kind != OP_MAP || !type_same_dims(value_type(f, op->results[0]), shape))
      return false;
    if (!only_maps_follow(f, r, op->results[0], i + 1, shape))
      return false;
  }
  return true;
}

bool in_place_allowed(const struct function *f, const struct op *fused, uint32_t i) {
  if (fused->n_results != 1)
    return false;
  const struct region *r = &f->regions.data[fused->regions[0]];
  const struct type *result = value_type(f, fused->results[0]);
  const struct type *operand = value_type(f, fused->operands[i]);
  if (!type_same_dims(result, operand))
    return false;
  if (dtype_unpacked_bytes(result->dtype) != dtype_unpacked_bytes(operand->dtype))
    return false;
  return only_maps_follow(f, r, r->params.data[i], 0, result);
}
