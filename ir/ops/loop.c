/* SPDX-License-Identifier: Apache-2.0 */
/* loop: a region repeated over carried values. */
#include "ir/ops/op_util.h"

/* Types of one carried value on two sides of the loop. A dim may change from one iteration to the
 * next where the parameter has a symbol there, so only constants are compared. */
static bool check_carried(const struct op_view *op, struct strbuf *why, const char *what, uint32_t i,
                          const struct type *from, const struct type *to) {
  struct dim_table *t = op_dim_table(op);
  if (from->dtype != to->dtype || from->rank != to->rank)
    return op_refuse(why, "%s %u: %s of rank %u against %s of rank %u", what, i,
                     dtype_name(from->dtype), from->rank, dtype_name(to->dtype), to->rank);
  for (uint32_t d = 0; d < from->rank; d++)
    if (dim_is_const(t, from->dims[d], NULL) && dim_known_ne(t, from->dims[d], to->dims[d]))
      return op_refuse(why, "%s %u: dim %u differs", what, i, d);
  return true;
}

static bool check_counts(const struct op_view *op, struct strbuf *why, uint32_t carried) {
  const struct loop_attrs *a = VIEW_ATTRS(loop, op);
  if (a->carried < 0 || op->n_operands != 2 + (uint64_t)a->carried)
    return op_refuse(why, "has %u operands and %lld carried values", op->n_operands,
                     (long long)a->carried);
  if (op->n_regions != 1)
    return op_refuse(why, "has %u regions, not 1", op->n_regions);
  const struct region *r = function_region(op->function, op->regions[0]);
  if (r->params.len != 1 + carried)
    return op_refuse(why, "the body has %u parameters, not %u", r->params.len, 1 + carried);
  if (a->types.len < carried || r->results.len != 1 + a->types.len)
    return op_refuse(why, "the body has %u results for %u of the loop", r->results.len,
                     a->types.len);
  if (a->types.len > carried && a->trip == DIM_NONE)
    return op_refuse(why, "'trip' is not an expression");
  return true;
}

/* Output i of an iteration against the result that stacks it. */
static bool check_stacked(const struct op_view *op, struct strbuf *why, uint32_t i,
                          const struct type *step, const struct type *stacked) {
  struct dim_table *t = op_dim_table(op);
  if (step->dtype != stacked->dtype || step->rank + 1 != stacked->rank)
    return op_refuse(why, "result %u does not stack the body's: %s of rank %u over %s of rank %u",
                     i, dtype_name(stacked->dtype), stacked->rank, dtype_name(step->dtype),
                     step->rank);
  if (dim_known_ne(t, stacked->dims[0], VIEW_ATTRS(loop, op)->trip))
    return op_refuse(why, "the first dim of result %u is not the number of iterations", i);
  return true;
}

static bool check_body(const struct op_view *op, struct strbuf *why, uint32_t carried) {
  const struct types *types = &VIEW_ATTRS(loop, op)->types;
  struct function *f = op->function;
  const struct region *r = function_region(f, op->regions[0]);
  const struct type iteration = type_make(DTYPE_I64, NULL, 0);
  const struct type go_on = type_make(DTYPE_BOOL, NULL, 0);
  if (!check_carried(op, why, "iteration number", 0, &iteration, value_type(f, r->params.data[0])) ||
      !check_carried(op, why, "condition", 0, &go_on, value_type(f, r->results.data[0])))
    return false;
  for (uint32_t i = 0; i < carried; i++) {
    const struct type *param = value_type(f, r->params.data[1 + i]);
    if (!check_carried(op, why, "carried operand", i, param, op_operand(op, 2 + i)) ||
        !check_carried(op, why, "carried result", i, param, value_type(f, r->results.data[1 + i])) ||
        !check_carried(op, why, "result", i, param, &types->data[i]))
      return false;
  }
  for (uint32_t i = carried; i < types->len; i++)
    if (!check_stacked(op, why, i, value_type(f, r->results.data[1 + i]), &types->data[i]))
      return false;
  return true;
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct loop_attrs *a = VIEW_ATTRS(loop, op);
  uint32_t carried = op->n_operands - 2;
  if (!op_check_operand(op, why, 0, DTYPE_I64, 0) || !op_check_operand(op, why, 1, DTYPE_BOOL, 0) ||
      !check_counts(op, why, carried))
    return false;
  for (uint32_t i = 0; i < a->types.len; i++) {
    if (!op_check_type(why, op_dim_table(op), &a->types.data[i]))
      return false;
    out_types[i] = a->types.data[i];
  }
  *out_n_types = a->types.len;
  return check_body(op, why, carried);
}

const struct op_hooks loop_hooks = {
    .infer = infer,
};
