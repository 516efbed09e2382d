/* SPDX-License-Identifier: Apache-2.0 */
/* random: counter-based random numbers. */
#include "base/philox.h"
#include "ir/factor.h"
#include "ir/field.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"
#include "ir/shard_index.h"

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
  struct shard_part parts[IR_MAX_RANK];
  for (uint32_t d = 0; d < t->rank; d++)
    if (!interp_part(in, op, op->results[0], d, &parts[d]))
      return in->failure;
  int64_t index[IR_MAX_RANK] = {0};
  for (int64_t e = 0; e < t->count; e++, index_next(index, t->dims, t->rank)) {
    uint32_t words[4];
    uint64_t counter = 0;
    for (uint32_t d = 0; d < t->rank; d++)
      counter = counter * (uint64_t)parts[d].n + (uint64_t)shard_part_global(&parts[d], index[d]);
    philox_4x32_10(counter, seed, words);
    double x = a->kind == RANDOM_KIND_UNIFORM ? philox_uniform(words, bits) : philox_normal(words);
    if (in->mode == INTERP_FIELD)
      t->i64[e] = field_from_f64(x);
    else
      t->f64[e] = interp_round(in, t->dtype, x);
  }
  return STATUS_OK;
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct type *type = value_type(f, op->results[0]);
  for (uint32_t d = 0; d < type->rank; d++) {
    factor_result(factor_add(out, "dim", type->dims[d]), 0, d);
  }
}

const struct op_hooks random_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
