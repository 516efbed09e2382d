/* SPDX-License-Identifier: Apache-2.0 */
/* slice: an evenly spaced part of every dim. */
#include "ir/ops/op_util.h"

/* Whether start + i * step can be inside [0, n) for all i < size. Only a slice that is known to have
 * elements can be provably outside. */
static bool range_possible(struct dim_table *t, dim n, dim start, dim size, int64_t step) {
  dim zero = dim_const(t, 0);
  if (!dim_known_positive(t, size))
    return true;
  dim span = dim_mul(t, dim_sub(t, size, dim_const(t, 1)), dim_const(t, step));
  dim last = dim_add(t, start, span);
  return !dim_known_lt(t, start, zero) && !dim_known_le(t, n, start) &&
         !dim_known_lt(t, last, zero) && !dim_known_le(t, n, last);
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct slice_attrs *a = VIEW_ATTRS(slice, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (!op_check_len(why, "start", a->start.len, x->rank) ||
      !op_check_len(why, "size", a->size.len, x->rank) ||
      !op_check_len(why, "step", a->step.len, x->rank))
    return false;
  for (uint32_t i = 0; i < x->rank; i++) {
    if (a->step.data[i] == 0)
      return op_refuse(why, "the step of dim %u is 0", i);
    if (a->start.data[i] == DIM_NONE)
      return op_refuse(why, "entry %u of 'start' is not an expression", i);
    if (!range_possible(t, x->dims[i], a->start.data[i], a->size.data[i], a->step.data[i]))
      return op_refuse(why, "the slice leaves dim %u of the operand", i);
  }
  *out_n_types = 1;
  return op_make_type(why, t, x->dtype, a->size.data, a->size.len, out_types);
}

const struct op_hooks slice_hooks = {
    .infer = infer,
};
