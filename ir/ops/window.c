/* SPDX-License-Identifier: Apache-2.0 */
/* window: a combiner over a sliding window. */
#include "base/checked.h"
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
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
      !op_check_ints(why, "dilation", &a->dilation, 1) || !op_check_sizes(why, t, "low", &a->low) ||
      !op_check_sizes(why, t, "high", &a->high))
    return false;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++)
    dims[i] = op_dim_window(t, x->dims[i], a->low.data[i], a->high.data[i],
                            dim_const(t, a->size.data[i]), a->stride.data[i], a->dilation.data[i]);
  bool arg = combiner_is_arg(a->kind);
  *out_n_types = arg ? 2 : 1;
  return op_make_type(why, t, x->dtype, dims, x->rank, out_types) &&
         (!arg || op_make_type(why, t, DTYPE_I64, dims, x->rank, out_types + 1));
}

struct place {
  union scalar value;
  int64_t position;
  bool any; /* an element was seen; else value is the identity */
};

/* Combines the elements [first, end) of the window at `base`, per dim. */
static struct place window_at(const struct interp *in, enum arithmetic how,
                              const struct window_attrs *a, const struct tensor *x,
                              const int64_t *base, const int64_t *strides) {
  int64_t first[IR_MAX_RANK], count[IR_MAX_RANK], index[IR_MAX_RANK] = {0};
  struct place p = {.value = interp_identity(in, a->kind, x->dtype)};
  int64_t origin = 0;
  for (uint32_t d = 0; d < x->rank; d++) {
    int64_t end;
    range_inside_of(base[d], a->dilation.data[d], a->size.data[d], x->dims[d], &first[d], &end);
    count[d] = end - first[d];
    if (count[d] <= 0)
      return p;
    origin += (base[d] + first[d] * a->dilation.data[d]) * strides[d];
  }
  bool arg = combiner_is_arg(a->kind), least = a->kind == COMBINER_ARGMIN;
  do {
    int64_t at = origin;
    for (uint32_t d = 0; d < x->rank; d++)
      at += index[d] * a->dilation.data[d] * strides[d];
    union scalar v = tensor_slots(x)[at];
    if (!arg) {
      p.value = accumulate(how, a->kind, x->dtype, p.value, v);
    } else if (!p.any || slot_better(least, interp_order_dtype(in, x->dtype), v, p.value)) {
      p = (struct place){v, at, true};
    }
  } while (index_next(index, count, x->rank));
  return p;
}

static status check_result(struct interp *in, const struct op *op, const struct tensor *x,
                           const struct tensor *t, const int64_t *low, const int64_t *high) {
  const struct window_attrs *a = OP_ATTRS(window, op);
  for (uint32_t d = 0; d < x->rank; d++)
    if (low[d] < 0 || high[d] < 0 ||
        !window_fits(x->dims[d], low[d], high[d], a->size.data[d], a->stride.data[d],
                     a->dilation.data[d], t->dims[d]))
      return interp_fail(in, op, DIAG_E0620, "dim %u: %" PRId64 " places over %" PRId64, d,
                         t->dims[d], x->dims[d]);
  return STATUS_OK;
}

static status eval(struct interp *in, const struct op *op) {
  const struct window_attrs *a = OP_ATTRS(window, op);
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *t = interp_result(in, op, 0);
  bool arg = combiner_is_arg(a->kind);
  struct tensor *position = t && arg ? interp_result(in, op, 1) : NULL;
  int64_t low[IR_MAX_RANK], high[IR_MAX_RANK], strides[IR_MAX_RANK], base[IR_MAX_RANK];
  if (!t || (arg && !position) || !interp_dims(in, op, a->low.data, x->rank, low) ||
      !interp_dims(in, op, a->high.data, x->rank, high))
    return in->failure;
  status s = check_result(in, op, x, t, low, high);
  if (s || t->count == 0)
    return s;
  strides_of(x->dims, x->rank, strides);
  enum arithmetic how = interp_arithmetic(in, x->dtype);
  int64_t index[IR_MAX_RANK] = {0}, at = 0;
  do {
    for (uint32_t d = 0; d < x->rank; d++)
      base[d] = index[d] * a->stride.data[d] - low[d];
    struct place p = window_at(in, how, a, x, base, strides);
    tensor_slots(t)[at] = p.value;
    if (arg)
      position->i64[at] = p.position;
    at++;
  } while (index_next(index, t->dims, t->rank));
  interp_settle(in, t);
  return STATUS_OK;
}

static dim flops(const struct function *f, const struct op *op) {
  const struct ints *size = &OP_ATTRS(window, op)->size;
  int64_t each = 1;
  for (uint32_t d = 0; d < size->len; d++)
    if (!i64_mul(each, size->data[d], &each))
      return DIM_NONE;
  return flops_per_element(f, op->results[0], each);
}

/* Dims without a window. argmax gives positions in the whole operand, which a part does not know.
 */
static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct window_attrs *a = OP_ATTRS(window, op);
  struct dim_table *t = f->module->dims;
  uint32_t keep = 0;
  for (uint32_t d = 0; d < a->size.len; d++)
    keep |= (uint32_t)(a->size.data[d] == 1 && a->stride.data[d] == 1 &&
                       dim_is_const_value(t, a->low.data[d], 0) &&
                       dim_is_const_value(t, a->high.data[d], 0))
            << d;
  if (!combiner_is_arg(a->kind))
    factors_same_dims(f, op, keep, out);
}

const struct op_hooks window_hooks = {
    .infer = infer,
    .eval = eval,
    .flops = flops,
    .factors = factors,
};
