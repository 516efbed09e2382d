/* SPDX-License-Identifier: Apache-2.0 */
/* loop: a region repeated over carried values. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

/* Types of one carried value on two sides of the loop. A dim may change from one iteration to the
 * next where the parameter has a symbol there, so only constants are compared. */
static bool check_carried(const struct op_view *op, struct strbuf *why, const char *what,
                          uint32_t i, const struct type *from, const struct type *to) {
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
  if (!check_carried(op, why, "iteration number", 0, &iteration,
                     value_type(f, r->params.data[0])) ||
      !check_carried(op, why, "condition", 0, &go_on, value_type(f, r->results.data[0])))
    return false;
  for (uint32_t i = 0; i < carried; i++) {
    const struct type *param = value_type(f, r->params.data[1 + i]);
    if (!check_carried(op, why, "carried operand", i, param, op_operand(op, 2 + i)) ||
        !check_carried(op, why, "carried result", i, param,
                       value_type(f, r->results.data[1 + i])) ||
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

/* A run of the loop. Symbols are set back to what they were outside before each iteration, so that
 * what the body binds is bound anew. */
struct loop_run {
  uint32_t carried, outputs, n_symbols;
  int64_t *outside;
  struct tensor **params;    /* iteration number, then carried */
  struct tensor **results;   /* go on, then carried, then outputs */
  VEC(struct tensor *) made; /* `outputs` for each iteration */
};

static void forget_symbols(struct interp *in, const struct loop_run *l) {
  memcpy(in->symbols, l->outside, l->n_symbols * sizeof *l->outside);
}

static status iterate(struct interp *in, const struct op *op, struct loop_run *l, int64_t number) {
  const struct region *body = &in->function->regions.data[op->regions[0]];
  struct tensor *iteration = interp_tensor(in, op, DTYPE_I64, NULL, 0);
  if (!iteration)
    return in->failure;
  iteration->i64[0] = number;
  l->params[0] = iteration;
  forget_symbols(in, l);
  for (uint32_t i = 0; i < l->carried; i++) {
    const struct type *type = value_type(in->function, body->params.data[1 + i]);
    status s = interp_bind_type(in, op, type, l->params[1 + i]);
    if (s)
      return s;
  }
  status s = interp_region(in, op->regions[0], l->params, l->results);
  for (uint32_t i = 0; !s && i < l->carried; i++)
    l->params[1 + i] = l->results[1 + i];
  for (uint32_t i = 0; !s && i < l->outputs; i++)
    vec_push(&l->made, l->results[1 + l->carried + i]);
  return s;
}

/* The dims that output i of each iteration has; without iterations a dim that nothing binds is its
 * least value. */
static void output_dims(struct interp *in, const struct op *op, const struct loop_run *l,
                        uint32_t i, int64_t trips, int64_t *dims) {
  const struct type *type = value_type(in->function, op->results[l->carried + i]);
  struct dim_table *t = in->function->module->dims;
  dims[0] = trips;
  for (uint32_t d = 1; d < type->rank; d++) {
    uint32_t symbol;
    if (trips > 0)
      dims[d] = l->made.data[i]->dims[d - 1];
    else if (!interp_dim(in, type->dims[d], &dims[d]))
      dims[d] = dim_symbol_of(t, type->dims[d], &symbol) && dim_symbol_lo(t, symbol) > 0
                    ? dim_symbol_lo(t, symbol)
                    : 0;
  }
  if (trips == 0)
    interp_local_dims(in, type, dims);
}

static status stack_output(struct interp *in, const struct op *op, struct loop_run *l, uint32_t i,
                           int64_t trips) {
  const struct type *type = value_type(in->function, op->results[l->carried + i]);
  int64_t dims[IR_MAX_RANK];
  output_dims(in, op, l, i, trips, dims);
  struct tensor *t = interp_tensor(in, op, type->dtype, dims, type->rank);
  if (!t)
    return in->failure;
  union scalar *to = t->data;
  for (int64_t k = 0; k < trips; k++) {
    const struct tensor *x = l->made.data[k * l->outputs + i];
    for (uint32_t d = 0; d < x->rank; d++)
      if (x->dims[d] != dims[d + 1])
        return interp_fail(in, op, DIAG_E0614,
                           "dim %u is %" PRId64 " in iteration %" PRId64 " and %" PRId64 " before",
                           d, x->dims[d], k, dims[d + 1]);
    memcpy(to, x->data, (size_t)x->count * sizeof *to);
    to += x->count;
  }
  interp_set_result(in, op, l->carried + i, t);
  return interp_bind_type(in, op, type, t);
}

static status finish(struct interp *in, const struct op *op, struct loop_run *l, int64_t trips) {
  uint32_t symbol;
  status s = STATUS_OK;
  forget_symbols(in, l);
  if (dim_symbol_of(in->function->module->dims, OP_ATTRS(loop, op)->trip, &symbol))
    s = interp_bind(in, op, symbol, trips);
  for (uint32_t i = 0; !s && i < l->carried; i++) {
    s = interp_bind_type(in, op, value_type(in->function, op->results[i]), l->params[1 + i]);
    interp_set_result(in, op, i, l->params[1 + i]);
  }
  for (uint32_t i = 0; !s && i < l->outputs; i++)
    s = stack_output(in, op, l, i, trips);
  return s;
}

static status eval(struct interp *in, const struct op *op) {
  struct loop_run l = {.carried = op->n_operands - 2,
                       .outputs = op->n_results - (op->n_operands - 2),
                       .n_symbols = dim_symbol_count(in->function->module->dims)};
  l.outside = arena_memdup(in->arena, in->symbols, l.n_symbols * sizeof *l.outside);
  l.params = ARENA_ARRAY(in->arena, struct tensor *, l.carried + 1u);
  l.results = ARENA_ARRAY(in->arena, struct tensor *, op->n_results + 1u);
  for (uint32_t i = 0; i < l.carried; i++)
    l.params[1 + i] = interp_operand(in, op, 2 + i);
  int64_t most = interp_operand(in, op, 0)->i64[0], trips = 0;
  bool go_on = interp_operand(in, op, 1)->i64[0] != 0;
  status s = STATUS_OK;
  while (!s && go_on && (most < 0 || trips < most)) {
    s = iterate(in, op, &l, trips);
    trips += !s;
    go_on = !s && l.results[0]->i64[0] != 0;
  }
  if (!s)
    s = finish(in, op, &l, trips);
  vec_deinit(&l.made);
  return s;
}

const struct op_hooks loop_hooks = {
    .infer = infer,
    .eval = eval,
};
