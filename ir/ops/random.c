/* SPDX-License-Identifier: Apache-2.0 */
/* random: counter-based random numbers. */
#include "base/philox.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct random_attrs *a = VIEW_ATTRS(random, op);
  if (!op_check_type(why, op_dim_table(op), a->type))
    return false;
  if (!dtype_is_float(a->type->dtype))
    return op_refuse(why, "random does not make %s", dtype_name(a->type->dtype));
  if (op->n_operands && !op_check_operand(op, why, 0, DTYPE_I64, 0))
    return false;
  *out_types = *a->type;
  *out_n_types = 1;
  return true;
}

static status eval(struct interp *in, const struct op *op) {
  const struct random_attrs *a = OP_ATTRS(random, op);
  struct tensor *t = interp_result(in, op, 0);
  if (!t)
    return in->failure;
  uint64_t seed = (uint64_t)(op->n_operands ? interp_operand(in, op, 0)->i64[0] : a->seed);
  unsigned bits = philox_uniform_bits(t->dtype);
  for (int64_t e = 0; e < t->count; e++) {
    uint32_t words[4];
    philox_4x32_10((uint64_t)e, seed, words);
    double x = a->kind == RANDOM_KIND_UNIFORM ? philox_uniform(words, bits) : philox_normal(words);
    t->f64[e] = interp_round(in, t->dtype, x);
  }
  return STATUS_OK;
}

const struct op_hooks random_hooks = {
    .infer = infer,
    .eval = eval,
};
