/* SPDX-License-Identifier: Apache-2.0 */
/* partition: makes of every function of an entry the program that each rank of a mesh runs.
 *
 *     @main of whole values  =>  assignment  =>  shardings and collectives  =>  local ops,
 * exchanges
 *
 * Runs where a mesh (--parallel) or a machine (--machine) was asked for; a function that has
 * shardings already, as text may, is only localised. Else nothing changes. Requires: check_shapes
 * ran, nothing is fused. Inputs and outputs of entries stay whole on every rank. */
#include "ir/sharding.h"
#include "passes/partition/apply_sharding.h"
#include "passes/partition/localise.h"
#include "passes/partition/partition_choose.h"
#include "passes/partition/prepare_sharding.h"
#include "passes/partition/role_assignment.h"
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

static status shard(struct pass_context *ctx, struct function *f, uint32_t mesh) {
  struct assignment a;
  struct partition_request request = {
      .machine = ctx->machine, .workload = ctx->workload, .parallel = ctx->parallel};
  status st = prepare_sharding(f, ctx->diags);
  if (st == STATUS_OK && ctx->machine)
    st = partition_search(ctx->module, &request, ctx->scratch, ctx->diags, &a);
  else if (st == STATUS_OK)
    st = partition_choose(f, mesh, ctx->scratch, ctx->diags, &a);
  if (st == STATUS_OK)
    st = apply_sharding(f, &a, ctx->diags);
  return st == STATUS_OK ? finish_sharding(f, ctx->diags) : st;
}

/* What callers of an entry give and get is whole. */
static status check_ports(const struct function *f, struct diags *diags) {
  const struct region *body = &f->regions.data[0];
  bool whole = true;
  for (uint32_t i = 0; i < body->params.len; i++)
    whole &= !value_type(f, body->params.data[i])->sharding;
  for (uint32_t i = 0; i < body->results.len; i++)
    whole &= !value_type(f, body->results.data[i])->sharding;
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

static status partition_function(struct pass_context *ctx, struct function **f, bool forced,
                                 uint32_t mesh) {
  struct function *from = *f;
  bool sharded = is_sharded(from);
  status st = STATUS_OK;
  if (!sharded && !forced)
    return st;
  if (!sharded)
    st = shard(ctx, from, mesh);
  if (st == STATUS_OK)
    st = check_ports(from, ctx->diags);
  if (st != STATUS_OK)
    return st;
  *f = localise(from, ctx->diags);
  if (!*f)
    return STATUS_UNSUPPORTED;
  (*f)->name = from->name;
  function_sweep(*f);
  replace(ctx->module, from, *f);
  return STATUS_OK;
}

status pass_partition(struct pass_context *ctx) {
  struct module *m = ctx->module;
  uint32_t mesh = 0;
  bool forced = ctx->parallel || ctx->machine;
  status st = STATUS_OK;
  if (ctx->parallel && !ctx->machine)
    st = parallel_parse(m, ctx->parallel, ctx->diags, &mesh);
  for (uint32_t i = 0; i < m->entries.len && st == STATUS_OK; i++)
    for (uint32_t k = 0; k < m->entries.data[i].variants.len && st == STATUS_OK; k++)
      st = partition_function(ctx, &m->entries.data[i].variants.data[k].function, forced, mesh);
  return st;
}
