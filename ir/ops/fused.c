/* SPDX-License-Identifier: Apache-2.0 */
/* fused: a region that becomes one kernel. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  struct dim_table *t = op_dim_table(op);
  struct function *f = op->function;
  if (op->n_regions != 1)
    return op_refuse(why, "has %u regions, not 1", op->n_regions);
  const struct region *r = function_region(f, op->regions[0]);
  if (r->params.len != op->n_operands)
    return op_refuse(why, "the region has %u parameters, not %u", r->params.len, op->n_operands);
  if (r->results.len == 0)
    return op_refuse(why, "the region has no results");
  for (uint32_t i = 0; i < op->n_operands; i++)
    if (!op_check_same_type(why, t, "parameter of the region", value_type(f, r->params.data[i]),
                            op_operand(op, i)))
      return false;
  for (uint32_t i = 0; i < r->results.len; i++)
    out_types[i] = *value_type(f, r->results.data[i]);
  *out_n_types = r->results.len;
  return true;
}

static status eval(struct interp *in, const struct op *op) {
  struct tensor **params = ARENA_ARRAY(in->arena, struct tensor *, op->n_operands);
  struct tensor **results = ARENA_ARRAY(in->arena, struct tensor *, op->n_results);
  for (uint32_t i = 0; i < op->n_operands; i++)
    params[i] = interp_operand(in, op, i);
  status s = interp_region(in, op->regions[0], params, results);
  for (uint32_t i = 0; !s && i < op->n_results; i++)
    interp_set_result(in, op, i, results[i]);
  return s;
}

const struct op_hooks fused_hooks = {
    .infer = infer,
    .eval = eval,
};
