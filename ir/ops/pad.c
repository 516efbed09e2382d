/* SPDX-License-Identifier: Apache-2.0 */
/* pad: a fill value before, after and between elements. */
#include "base/checked.h"
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
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

/* low + n + gaps + high, or false. */
static bool padded_size(int64_t n, int64_t low, int64_t high, int64_t interior, int64_t *out) {
  int64_t gaps;
  return low >= 0 && high >= 0 && i64_mul(n > 0 ? n - 1 : 0, interior, &gaps) &&
         i64_add(n, gaps, out) && i64_add(*out, low, out) && i64_add(*out, high, out);
}

static status eval(struct interp *in, const struct op *op) {
  const struct pad_attrs *a = OP_ATTRS(pad, op);
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *t = interp_result(in, op, 0);
  int64_t low[IR_MAX_RANK], high[IR_MAX_RANK], from[IR_MAX_RANK], to[IR_MAX_RANK];
  if (!t || !interp_dims(in, op, a->low.data, x->rank, low) ||
      !interp_dims(in, op, a->high.data, x->rank, high))
    return in->failure;
  union scalar *at = t->data;
  union scalar fill = tensor_slots(interp_operand(in, op, 1))[0];
  for (int64_t i = 0; i < t->count; i++)
    at[i] = fill;
  int64_t first = 0;
  strides_of(x->dims, x->rank, from);
  strides_of(t->dims, t->rank, to);
  for (uint32_t d = 0; d < x->rank; d++) {
    int64_t size;
    if (!padded_size(x->dims[d], low[d], high[d], a->interior.data[d], &size) || size != t->dims[d])
      return interp_fail(in, op, DIAG_E0620, "dim %u cannot be padded by %" PRId64 " and %" PRId64,
                         d, low[d], high[d]);
    first += low[d] * to[d];
    to[d] *= x->dims[d] > 1 ? a->interior.data[d] + 1 : 0;
  }
  strided_copy(at + (x->count > 0 ? first : 0), to, x->data, from, x->dims, x->rank);
  return STATUS_OK;
}

/* Dims that stay as they are; the fill is whole. */
static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct pad_attrs *a = OP_ATTRS(pad, op);
  const struct type *type = value_type(f, op->results[0]);
  struct dim_table *t = f->module->dims;
  for (uint32_t d = 0; d < type->rank; d++) {
    if (a->interior.data[d] || !dim_is_const_value(t, a->low.data[d], 0) ||
        !dim_is_const_value(t, a->high.data[d], 0))
      continue;
    struct factor *x = factor_add(out, "dim", type->dims[d]);
    x->index = d;
    factor_operand(x, 0, d);
    factor_result(x, 0, d);
  }
}

const struct op_hooks pad_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
