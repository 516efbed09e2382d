/* SPDX-License-Identifier: Apache-2.0 */
/* slice: an evenly spaced part of every dim. */
#include "base/checked.h"
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

/* Whether start + i * step can be inside [0, n) for all i < size. Only a slice that is known to
 * have elements can be provably outside. */
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

static bool slice_inside(int64_t n, int64_t start, int64_t size, int64_t step) {
  int64_t last;
  if (size <= 0)
    return size == 0;
  if (!i64_mul(size - 1, step, &last) || !i64_add(start, last, &last))
    return false;
  return start >= 0 && start < n && last >= 0 && last < n;
}

static status eval(struct interp *in, const struct op *op) {
  const struct slice_attrs *a = OP_ATTRS(slice, op);
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *t = interp_result(in, op, 0);
  int64_t start[IR_MAX_RANK], from[IR_MAX_RANK], to[IR_MAX_RANK];
  if (!t || !interp_dims(in, op, a->start.data, x->rank, start))
    return in->failure;
  const union scalar *at = x->data;
  strides_of(x->dims, x->rank, from);
  strides_of(t->dims, t->rank, to);
  for (uint32_t d = 0; d < x->rank; d++) {
    if (!slice_inside(x->dims[d], start[d], t->dims[d], a->step.data[d]))
      return interp_fail(in, op, DIAG_E0620,
                         "dim %u: %" PRId64 " elements from %" PRId64 " by %" PRId64 " of %" PRId64,
                         d, t->dims[d], start[d], a->step.data[d], x->dims[d]);
    if (t->count > 0)
      at += start[d] * from[d];
    from[d] *= t->dims[d] > 1 ? a->step.data[d] : 0;
  }
  strided_copy(t->data, to, at, from, t->dims, t->rank);
  return STATUS_OK;
}

/* Dims that are taken whole, in order. */
static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct slice_attrs *a = OP_ATTRS(slice, op);
  const struct type *x = value_type(f, op->operands[0]);
  struct dim_table *t = f->module->dims;
  uint32_t keep = 0;
  for (uint32_t d = 0; d < x->rank; d++)
    keep |= (uint32_t)(a->step.data[d] == 1 && dim_is_const_value(t, a->start.data[d], 0) &&
                       dim_known_eq(t, a->size.data[d], x->dims[d]))
            << d;
  factors_same_dims(f, op, keep, out);
}

const struct op_hooks slice_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
