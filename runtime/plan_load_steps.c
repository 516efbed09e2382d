/* SPDX-License-Identifier: Apache-2.0 */
/* Checking the steps of a plan: one function per row of plan_op.def. */
#include "runtime/plan_load.h"

#include "base/host_op.h"
#include "runtime/fault.h"

/* Every id of a list below a table's size. */
static status check_list(struct plan_loader *l, const char *what, const uint32_t *ids, size_t n,
                         size_t count) {
  for (size_t i = 0; i < n; i++) {
    status s = loader_index(l, what, ids[i], count);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status check_values_exprs(struct plan_loader *l, uint32_t dst, uint32_t src, uint32_t expr) {
  status s = loader_value(l, dst);
  if (!s)
    s = loader_value(l, src);
  return s ? s : loader_expr(l, expr);
}

static status check_symbol(struct plan_loader *l, uint32_t symbol) {
  return symbol ? loader_index(l, "symbol", symbol, l->m->n_symbols)
                : loader_fail(l, "a symbol is missing");
}

static bool is_storage(const struct plan_loader *l, uint32_t value, Engine__Storage storage) {
  return l->m->values[value]->storage == storage;
}

/* What the host reads as a number: integers and bool. */
static status check_integer_value(struct plan_loader *l, uint32_t value) {
  status s = loader_value(l, value);
  if (s)
    return s;
  enum dtype t = (enum dtype)l->m->values[value]->dtype;
  if (!dtype_is_int(t) && t != DTYPE_BOOL)
    return loader_fail(l, "value %u of type %s is read as an integer", value, dtype_name(t));
  return STATUS_OK;
}

static status check_optional_integer(struct plan_loader *l, uint32_t value) {
  return value ? check_integer_value(l, value) : STATUS_OK;
}

static status step_load_layout(struct plan_loader *l, const Engine__Layout *layout) {
  return loader_index(l, "phase", layout->phase, l->m->phases);
}

static status step_load_launch(struct plan_loader *l, const Engine__Launch *launch) {
  status s = loader_index(l, "kernel", launch->kernel, l->m->n_kernels);
  if (s)
    return s;
  const Engine__Kernel *kernel = l->m->kernels[launch->kernel];
  if (launch->n_buffers != kernel->buffer_count || launch->n_dims != kernel->dim_count)
    return loader_fail(l, "kernel '%s' takes %u buffers and %u dims, the launch has %zu and %zu",
                       plan_string(l->plan, kernel->name), kernel->buffer_count, kernel->dim_count,
                       launch->n_buffers, launch->n_dims);
  s = check_list(l, "value", launch->buffers, launch->n_buffers, l->m->n_values);
  if (!s)
    s = check_list(l, "dim expression", launch->dims, launch->n_dims, l->m->n_dim_exprs);
  const uint32_t exprs[] = {launch->tiles, launch->scratch, launch->flops, launch->traffic};
  if (!s)
    s = check_list(l, "dim expression", exprs, sizeof exprs / sizeof exprs[0], l->m->n_dim_exprs);
  uint32_t arguments = kernel->buffer_count + kernel->dim_count + 1;
  if (arguments > l->plan->most_arguments)
    l->plan->most_arguments = arguments;
  return s;
}

static status step_load_copy(struct plan_loader *l, const Engine__Copy *copy) {
  return check_values_exprs(l, copy->dst, copy->src, copy->bytes);
}

static status step_load_fill(struct plan_loader *l, const Engine__Fill *fill) {
  if (fill->byte > 255)
    return loader_fail(l, "fill byte %u", fill->byte);
  return check_values_exprs(l, fill->dst, fill->dst, fill->bytes);
}

static status check_packing(struct plan_loader *l, uint32_t dst, uint32_t src, uint32_t elements,
                            uint32_t dtype) {
  if (dtype >= DTYPE_COUNT || !dtype_is_sub_byte((enum dtype)dtype))
    return loader_fail(l, "element type %u is not of less than a byte", dtype);
  return check_values_exprs(l, dst, src, elements);
}

static status step_load_host(struct plan_loader *l, const Engine__Host *host) {
  if (host->function >= HOST_OP_COUNT)
    return loader_fail(l, "host function %u", host->function);
  uint32_t n = host_op_operands(host->function);
  if (host->n_operands != n || host->n_operand_elements != n)
    return loader_fail(l, "host function '%s' takes %u operands, the step has %zu",
                       host_op_name(host->function), n, host->n_operands);
  status s = loader_value(l, host->result);
  if (!s)
    s = loader_expr(l, host->elements);
  for (uint32_t i = 0; i < n && !s; i++) {
    s = loader_value(l, host->operands[i]);
    if (!s)
      s = loader_expr(l, host->operand_elements[i]);
  }
  for (uint32_t i = 0; i <= n && !s; i++) {
    enum dtype dtype = (enum dtype)l->m->values[i < n ? host->operands[i] : host->result]->dtype;
    if (!host_op_letter_takes(host_op_letter(host->function, i), dtype))
      s = loader_fail(l, "host function '%s' does not take type %s", host_op_name(host->function),
                      dtype_name(dtype));
  }
  return s;
}

static status step_load_unpack(struct plan_loader *l, const Engine__Unpack *unpack) {
  return check_packing(l, unpack->dst, unpack->src, unpack->elements, unpack->dtype);
}

static status step_load_pack(struct plan_loader *l, const Engine__Pack *pack) {
  return check_packing(l, pack->dst, pack->src, pack->elements, pack->dtype);
}

static status step_load_bind_symbol(struct plan_loader *l, const Engine__BindSymbol *bind) {
  status s = check_symbol(l, bind->symbol);
  if (!s)
    s = check_integer_value(l, bind->value);
  return s ? s : loader_expr(l, bind->element);
}

static status step_load_set_symbol(struct plan_loader *l, const Engine__SetSymbol *set) {
  status s = check_symbol(l, set->symbol);
  return s ? s : loader_expr(l, set->expr);
}

static status step_load_reserve(struct plan_loader *l, const Engine__Reserve *reserve) {
  status s = loader_value(l, reserve->value);
  if (!s && !is_storage(l, reserve->value, ENGINE__STORAGE__DYNAMIC) &&
      !is_storage(l, reserve->value, ENGINE__STORAGE__OUTPUT))
    s = loader_fail(l, "value %u has no buffer of its own to reserve", reserve->value);
  return s;
}

static status step_load_check(struct plan_loader *l, const Engine__Check *check) {
  if (!check->condition)
    return loader_fail(l, "a check without a condition");
  status s = loader_relate(l, check->condition);
  return s ? s : loader_index(l, "string", check->message, l->m->n_strings);
}

static status step_load_if_(struct plan_loader *l, const Engine__If *branch) {
  status s = check_optional_integer(l, branch->condition);
  for (size_t i = 0; !s && i < branch->n_guards; i++)
    s = loader_relate(l, branch->guards[i]);
  if (!s)
    s = loader_child_block(l, branch->then_block);
  return s ? s : loader_child_block(l, branch->else_block);
}

/* A DYNAMIC value that this loop owns alone: no other loop's param or scan result. */
static status claim_dynamic(struct plan_loader *l, uint32_t value) {
  status s = loader_value(l, value);
  if (!s && (!is_storage(l, value, ENGINE__STORAGE__DYNAMIC) || l->is_param[value]))
    s = loader_fail(l, "value %u is not a loop's own dynamic value", value);
  if (!s)
    l->is_param[value] = 1;
  return s;
}

static status load_carried(struct plan_loader *l, const Engine__Carried *carried) {
  status s = loader_value(l, carried->init);
  if (!s)
    s = loader_value(l, carried->next);
  if (!s)
    s = claim_dynamic(l, carried->param);
  if (!s && l->plan->values[carried->init].root == carried->param)
    s = loader_fail(l, "value %u is its own initial value", carried->param);
  if (s)
    return s;
  l->next_uses[carried->next]++;
  l->plan->values[carried->param].spare = l->plan->buffer_count++;
  for (size_t i = 0; i < carried->n_dims; i++) {
    s = check_symbol(l, carried->dims[i]->symbol);
    if (!s)
      s = loader_expr(l, carried->dims[i]->init);
    if (!s)
      s = loader_expr(l, carried->dims[i]->next);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status load_trip(struct plan_loader *l, const Engine__Loop *loop) {
  switch (loop->trip) {
  case ENGINE__TRIP__UNLIMITED: return STATUS_OK;
  case ENGINE__TRIP__FROM_VALUE: return check_integer_value(l, loop->trip_value);
  case ENGINE__TRIP__FROM_EXPR: return loader_expr(l, loop->trip_expr);
  default: return loader_fail(l, "trip count of kind %d", loop->trip);
  }
}

static status load_loop_scalars(struct plan_loader *l, const Engine__Loop *loop) {
  status s = load_trip(l, loop);
  if (!s)
    s = check_optional_integer(l, loop->condition);
  if (!s)
    s = check_optional_integer(l, loop->body_condition);
  if (!s)
    s = loader_index(l, "value", loop->iteration, l->m->n_values);
  if (!s)
    s = loader_index(l, "symbol", loop->iteration_symbol, l->m->n_symbols);
  return s ? s : loader_index(l, "symbol", loop->trip_symbol, l->m->n_symbols);
}

static status step_load_loop(struct plan_loader *l, const Engine__Loop *loop) {
  status s = load_loop_scalars(l, loop);
  uint64_t dims = 0;
  for (size_t i = 0; !s && i < loop->n_carried; i++) {
    dims += loop->carried[i]->n_dims;
    s = load_carried(l, loop->carried[i]);
  }
  for (size_t i = 0; !s && i < loop->n_scans; i++) {
    s = loader_value(l, loop->scans[i]->element);
    if (!s)
      s = claim_dynamic(l, loop->scans[i]->result);
    if (!s && l->plan->values[loop->scans[i]->element].root == loop->scans[i]->result)
      s = loader_fail(l, "value %u is a part of itself", loop->scans[i]->result);
  }
  if (!s && (dims > ENGINE_MAX_ROWS || loop->n_carried > ENGINE_MAX_ROWS))
    s = loader_fail(l, "a loop carries too many dims");
  if (s)
    return s;
  if (loop->n_carried > l->plan->most_carried)
    l->plan->most_carried = (uint32_t)loop->n_carried;
  if (dims > l->plan->most_carried_dims)
    l->plan->most_carried_dims = (uint32_t)dims;
  return loader_child_block(l, loop->body);
}

static status step_load_exchange(struct plan_loader *l, const Engine__Exchange *exchange) {
  return loader_exchange(l, l->m->blocks[l->block]->steps[l->step], exchange);
}

static status load_step(struct plan_loader *l, const Engine__Step *step) {
  status s = check_list(l, "provenance", step->provenance, step->n_provenance, l->m->n_provenance);
  if (s)
    return s;
  switch ((unsigned)step->body_case) {
#define PLAN_OP(name, field, number, text)                                                         \
  case number: return step_load_##field(l, step->field);
#include "runtime/plan_op.def"
#undef PLAN_OP
  default: return loader_fail(l, "a step of an unknown kind");
  }
}

/*
 * Blocks come after the block that holds them, so going up the table meets each after it was
 * claimed. A block that nothing holds is refused: it would be dead weight or a mistake.
 */
status loader_blocks(struct plan_loader *l) {
  for (uint32_t b = 1; b < l->m->n_blocks; b++) {
    l->block = b;
    l->step = 0;
    if (!l->block_depth[b])
      return loader_fail(l, "block %u is not held by any other", b);
    for (; l->step < l->m->blocks[b]->n_steps; l->step++) {
      status s = load_step(l, l->m->blocks[b]->steps[l->step]);
      if (s)
        return s;
    }
  }
  for (uint32_t v = 1; v < l->m->n_values; v++)
    l->plan->values[v].exchange =
        is_storage(l, v, ENGINE__STORAGE__DYNAMIC) && l->next_uses[v] == 1 && !l->is_param[v];
  return STATUS_OK;
}
