/* SPDX-License-Identifier: Apache-2.0 */
/* partition: makes of every function of an entry the program that each rank of a mesh runs.
 *
 *     @main of whole values  =>  assignment  =>  shardings and collectives  =>  local ops,
 * exchanges
 *
 * Runs where a mesh (--parallel) or a machine (--machine) was asked for; a function that has
 * shardings already, as text may, is only localised. Else nothing changes. Requires: check_shapes
 * ran, nothing is fused. Inputs and outputs of entries stay whole on every rank. */
#include "base/vec.h"
#include "ir/sharding.h"
#include "passes/partition/annotations.h"
#include "passes/partition/apply_sharding.h"
#include "passes/partition/deal_rows.h"
#include "passes/partition/localise.h"
#include "passes/partition/partition_choose.h"
#include "passes/partition/prepare_sharding.h"
#include "passes/partition/role_assignment.h"
#include "passes/partition/spread_experts.h"
#include "passes/pass.h"

static bool is_sharded(const struct function *f) {
  bool sharded = false;
  for (uint32_t i = 1; i < f->ops.len; i++) {
    uint32_t flags = op_infos[f->ops.data[i].kind].flags;
    sharded |= (flags & (OP_FLAG_RANKS | OP_FLAG_MESH)) == OP_FLAG_RANKS;
  }
  for (uint32_t i = 1; i < f->values.len; i++)
    sharded |= f->values.data[i].type.sharding != 0;
  return sharded;
}

/* The state that a parameter or result of the function is, as an entry has it. */
static bool is_state(const struct module *m, const struct function *f, uint32_t port, bool result) {
  for (uint32_t i = 0; i < m->entries.len; i++) {
    const struct entry *e = &m->entries.data[i];
    for (uint32_t k = 0; k < e->variants.len; k++)
      for (uint32_t n = 0; n < e->states.len && e->variants.data[k].function == f; n++)
        if ((result ? e->states.data[n].output : e->states.data[n].input) == port)
          return true;
  }
  return false;
}

/* What callers of an entry give and get is whole; states, which the session keeps, may be split. */
static status check_ports(const struct module *m, const struct function *f, struct diags *diags) {
  const struct region *body = &f->regions.data[0];
  bool whole = true;
  for (uint32_t i = 0; i < body->params.len; i++)
    whole &= !value_type(f, body->params.data[i])->sharding || is_state(m, f, i, false);
  for (uint32_t i = 0; i < body->results.len; i++)
    whole &= !value_type(f, body->results.data[i])->sharding || is_state(m, f, i, true);
  if (whole)
    return STATUS_OK;
  return diag_report(diags, DIAG_E0351, NULL, "gather results, and shard parameters inside",
                     "a parameter or a result of @%s is split", f->name);
}

/* Entries may share a function. */
static void replace(struct module *m, struct function *from, struct function *to) {
  for (uint32_t i = 0; i < m->entries.len; i++)
    for (uint32_t k = 0; k < m->entries.data[i].variants.len; k++)
      if (m->entries.data[i].variants.data[k].function == from)
        m->entries.data[i].variants.data[k].function = to;
  module_drop_function(m, from);
}

static status make_local(struct pass_context *ctx, struct function *from) {
  status st = check_ports(ctx->module, from, ctx->diags);
  if (st != STATUS_OK)
    return st;
  struct function *to = localise(from, ctx->diags);
  if (!to)
    return STATUS_UNSUPPORTED;
  to->name = from->name;
  function_sweep(to);
  replace(ctx->module, from, to);
  return STATUS_OK;
}

typedef VEC(struct partition_part) part_list;

/* Each function of the entries once: those that have shardings, or those that have none. */
static void find_parts(const struct module *m, bool sharded, part_list *out) {
  for (uint32_t i = 0; i < m->entries.len; i++)
    for (uint32_t k = 0; k < m->entries.data[i].variants.len; k++) {
      struct function *f = m->entries.data[i].variants.data[k].function;
      bool again = is_sharded(f) != sharded;
      for (uint32_t n = 0; n < out->len; n++)
        again |= out->data[n].function == f;
      if (!again)
        vec_push(out, (struct partition_part){.function = f});
    }
}

/* The batch of the states that a function has; DIM_NONE: it has none. */
static dim batch_of_states(const struct module *m, const struct function *f) {
  for (uint32_t i = 0; i < m->entries.len; i++) {
    const struct entry *e = &m->entries.data[i];
    for (uint32_t k = 0; k < e->variants.len && e->states.len; k++)
      if (e->variants.data[k].function == f)
        return value_type(f, f->regions.data[0].params.data[e->length - 1])->dims[0];
  }
  return DIM_NONE;
}

/* Shards what has no shardings. */
static status shard_all(struct pass_context *ctx) {
  part_list parts = {0};
  struct partition_request request = {.machine = ctx->machine,
                                      .workload = ctx->workload,
                                      .parallel = ctx->parallel,
                                      .throughput = ctx->throughput,
                                      .search_seconds = ctx->search_seconds};
  status st = STATUS_OK;
  find_parts(ctx->module, false, &parts);
  if (ctx->parallel)
    annotations_drop(ctx->module, ctx->diags);
  bool experts = parallel_has_experts(ctx->parallel);
  for (uint32_t i = 0; i < parts.len && st == STATUS_OK; i++) {
    st = experts ? spread_experts(parts.data[i].function, ctx->diags) : st;
    if (st == STATUS_OK)
      st = prepare_sharding(parts.data[i].function, ctx->diags);
  }
  if (st == STATUS_OK && ctx->parallel && !parts.len) {
    uint32_t unused; /* that the text is sound is asked for all the same */
    st = parallel_parse(ctx->module, ctx->parallel, ctx->diags, &unused);
  }
  if (st == STATUS_OK && parts.len)
    st = partition_choose(ctx->module, &request, parts.data, parts.len, ctx->scratch, ctx->diags);
  for (uint32_t i = 0; i < parts.len && st == STATUS_OK; i++) {
    dim batch = batch_of_states(ctx->module, parts.data[i].function);
    if (batch != DIM_NONE)
      deal_rows(parts.data[i].function, batch, ctx->scratch, &parts.data[i].assignment);
    st = apply_sharding(parts.data[i].function, &parts.data[i].assignment, ctx->diags);
    if (st == STATUS_OK)
      st = finish_sharding(parts.data[i].function, ctx->diags);
    if (st == STATUS_OK && i == 0)
      annotations_note(parts.data[i].function);
    if (st == STATUS_OK)
      st = make_local(ctx, parts.data[i].function);
  }
  vec_deinit(&parts);
  return st;
}

status pass_partition(struct pass_context *ctx) {
  part_list sharded = {0};
  status st = STATUS_OK;
  find_parts(ctx->module, true, &sharded);
  if (ctx->parallel || ctx->machine || ctx->module->annotated_mesh)
    st = shard_all(ctx);
  for (uint32_t i = 0; i < sharded.len && st == STATUS_OK; i++)
    st = make_local(ctx, sharded.data[i].function);
  vec_deinit(&sharded);
  return st;
}
