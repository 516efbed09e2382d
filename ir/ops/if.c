/* SPDX-License-Identifier: Apache-2.0 */
/* if: one of two regions. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

/* A dim that differs between the branches is a symbol, bound when the op has run; any other dim
 * must be able to equal the branch's. */
static bool check_branch(const struct op_view *op, struct strbuf *why, uint32_t branch) {
  struct dim_table *t = op_dim_table(op);
  const struct types *types = &VIEW_ATTRS(if, op)->types;
  const struct region *r = function_region(op->function, op->regions[branch]);
  if (r->params.len != 0)
    return op_refuse(why, "branch %u has parameters", branch);
  if (r->results.len != types->len)
    return op_refuse(why, "branch %u has %u results, not %u", branch, r->results.len, types->len);
  for (uint32_t i = 0; i < types->len; i++)
    if (!op_check_same_type(why, t, branch ? "result of branch 1" : "result of branch 0",
                            value_type(op->function, r->results.data[i]), &types->data[i]))
      return false;
  return true;
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct types *types = &VIEW_ATTRS(if, op)->types;
  if (!op_check_operand(op, why, 0, DTYPE_BOOL, 0))
    return false;
  if (op->n_regions != 2)
    return op_refuse(why, "has %u regions, not 2", op->n_regions);
  for (uint32_t i = 0; i < types->len; i++)
    if (!op_check_type(why, op_dim_table(op), &types->data[i]))
      return false;
  if (!check_branch(op, why, 0) || !check_branch(op, why, 1))
    return false;
  for (uint32_t i = 0; i < types->len; i++)
    out_types[i] = types->data[i];
  *out_n_types = types->len;
  return true;
}

static status eval(struct interp *in, const struct op *op) {
  uint32_t n_symbols = dim_symbol_count(in->function->module->dims);
  int64_t *outside = arena_memdup(in->arena, in->symbols, n_symbols * sizeof *outside);
  struct tensor **results = ARENA_ARRAY(in->arena, struct tensor *, op->n_results);
  region_id taken = op->regions[interp_operand(in, op, 0)->i64[0] ? 0 : 1];
  status s = interp_region(in, taken, NULL, results);
  memcpy(in->symbols, outside, n_symbols * sizeof *outside);
  for (uint32_t i = 0; !s && i < op->n_results; i++) {
    s = interp_bind_type(in, op, value_type(in->function, op->results[i]), results[i]);
    interp_set_result(in, op, i, results[i]);
  }
  return s;
}

const struct op_hooks if_hooks = {
    .infer = infer,
    .eval = eval,
};
