/* SPDX-License-Identifier: Apache-2.0 */
/* dce: what nothing uses goes.
 *
 *     %0 = map %x { exp($0) }
 *     %1 = map %x { neg($0) }      =>     %1 = map %x { neg($0) }
 *     return %1                           return %1
 *
 * Ops without uses and effects, from the end backwards; and results of an `if` that nobody reads,
 * so that its branches need not compute them.
 *
 * Requires: nothing. Preserves: values bit by bit, checks. */
#include "passes/pass.h"

#include <string.h>

/* A copy of the attributes with the types of the results that stay. */
static void narrow_if(struct function *f, op_id id, const bool *used) {
  struct op *op = &f->ops.data[id];
  struct arena *arena = &f->module->arena;
  uint32_t n = op->n_results, kept = 0;
  struct type *types = ARENA_ARRAY(arena, struct type, n + 1u);
  value_id *results = ARENA_ARRAY(arena, value_id, n + 1u);
  for (uint32_t i = 0; i < n; i++) {
    if (!used[i])
      continue;
    types[kept] = OP_ATTRS(if, op)->types.data[i];
    results[kept] = op->results[i];
    f->values.data[op->results[i]].index = kept;
    for (uint32_t r = 0; r < op->n_regions; r++) {
      struct region *region = function_region(f, op->regions[r]);
      region->results.data[kept] = region->results.data[i];
    }
    kept++;
  }
  for (uint32_t r = 0; r < op->n_regions; r++)
    function_region(f, op->regions[r])->results.len = kept;
  struct if_attrs attrs = {.types = {types, kept}};
  op->attrs = attrs_copy(f->module, OP_IF, &attrs);
  op->results = results;
  op->n_results = kept;
}

/* Whether a dim of a result is a symbol that the op binds: then it is needed though the value is
 * not. */
static bool is_static(const struct function *f, value_id v) {
  int64_t dims[IR_MAX_RANK];
  return type_static_dims(f->module->dims, value_type(f, v), dims);
}

static bool narrow_ifs(struct function *f, struct arena *scratch) {
  struct uses uses;
  bool changed = false;
  uses_build(f, scratch, &uses);
  for (op_id id = 1; id < f->ops.len; id++) {
    const struct op *op = function_op(f, id);
    if (op->kind != OP_IF || op->n_results == 0)
      continue;
    bool *used = ARENA_ARRAY(scratch, bool, op->n_results), all = true;
    for (uint32_t i = 0; i < op->n_results; i++) {
      used[i] = uses_count(&uses, op->results[i]) || !is_static(f, op->results[i]);
      all &= used[i];
    }
    if (!all)
      narrow_if(f, id, used);
    changed |= !all;
  }
  return changed;
}

status pass_dce(struct pass_context *ctx) {
  for (uint32_t i = 0; i < ctx->module->functions.len; i++) {
    struct function *f = ctx->module->functions.data[i];
    function_sweep(f);
    if (narrow_ifs(f, ctx->scratch))
      function_sweep(f);
  }
  return STATUS_OK;
}
