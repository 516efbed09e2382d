/* SPDX-License-Identifier: Apache-2.0 */
/* scan: prefix combinations along an axis. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct scan_attrs *a = VIEW_ATTRS(scan, op);
  const struct type *x = op_operand(op, 0);
  if (combiner_is_arg(a->kind))
    return op_refuse(why, "scan does not take %s",
                     keyword_text(KEYWORD_KIND_combiner, (int)a->kind));
  if (!op_check_combiner(why, a->kind, x->dtype) || !op_check_axis(why, a->axis, x->rank))
    return false;
  *out_n_types = 1;
  return op_make_type(why, op_dim_table(op), x->dtype, x->dims, x->rank, out_types);
}

static status eval(struct interp *in, const struct op *op) {
  const struct scan_attrs *a = OP_ATTRS(scan, op);
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *t = interp_result(in, op, 0);
  status failed = t ? interp_check_dims(in, op, x, t->dims, false) : in->failure;
  if (failed || t->count == 0)
    return failed;
  enum arithmetic how = interp_arithmetic(in, x->dtype);
  struct axis_split s = split_at(x->dims, x->rank, a->axis);
  for (int64_t i = 0; i < s.outer * s.inner; i++) {
    int64_t first = i / s.inner * s.n * s.inner + i % s.inner;
    union scalar acc = interp_identity(in, a->kind, x->dtype);
    for (int64_t k = 0; k < s.n; k++) {
      int64_t at = first + (a->reverse ? s.n - 1 - k : k) * s.inner;
      union scalar next = accumulate(how, a->kind, x->dtype, acc, tensor_slots(x)[at]);
      tensor_slots(t)[at] = a->exclusive ? acc : next;
      acc = next;
    }
  }
  interp_settle(in, t);
  return STATUS_OK;
}

static dim flops(const struct function *f, const struct op *op) {
  return flops_per_element(f, op->operands[0], 1);
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  factors_same_dims(f, op, ~(1u << OP_ATTRS(scan, op)->axis), out);
}

const struct op_hooks scan_hooks = {
    .infer = infer,
    .eval = eval,
    .flops = flops,
    .factors = factors,
};
