/* SPDX-License-Identifier: Apache-2.0 */
/* The walk; see rewrite.h. Each region's list of ops is taken away and filled anew: what rules
 * build lands before the ops that come after. */
#include "passes/rewrite.h"

#include <string.h>

#include "base/mem.h"

/* Rules go downhill, so a longer chain is a pair of rules that undo each other. */
#define MAX_DEPTH 64

value_id rewrite_resolve(struct rewriter *w, value_id v) {
  value_id last = v;
  while (last < w->to.len && w->to.data[last] != VALUE_NONE)
    last = w->to.data[last];
  while (v < w->to.len && w->to.data[v] != VALUE_NONE) { /* so that chains stay short */
    value_id next = w->to.data[v];
    w->to.data[v] = last;
    v = next;
  }
  return last;
}

static bool types_agree(struct dim_table *t, const struct type *a, const struct type *b) {
  if (a->dtype != b->dtype || a->rank != b->rank || a->sharding != b->sharding)
    return false;
  for (uint32_t i = 0; i < a->rank; i++) {
    if (!dim_known_eq(t, a->dims[i], b->dims[i]))
      return false;
  }
  return true;
}

bool rewrite_result(struct rewriter *w, op_id op, uint32_t i, value_id v) {
  value_id old = op_result(w->f, op, i);
  if (v == VALUE_NONE || v == old ||
      !types_agree(w->dims, value_type(w->f, old), value_type(w->f, v)))
    return false;
  while (w->to.len <= old)
    vec_push(&w->to, VALUE_NONE);
  w->to.data[old] = v;
  return true;
}

enum rewrite rewrite_with(struct rewriter *w, op_id op, value_id v) {
  return rewrite_result(w, op, 0, v) ? REPLACED : NO_MATCH;
}

static void visit_region(struct rewriter *w, region_id id);

static void resolve_operands(struct rewriter *w, op_id id) {
  const struct op *op = function_op(w->f, id);
  for (uint32_t i = 0; i < op->n_operands; i++) {
    /* Operand lists are the function's own copies. */
    ((value_id *)op->operands)[i] = rewrite_resolve(w, op->operands[i]);
  }
}

static void keep(struct rewriter *w, region_id region, op_id op) {
  vec_push(&function_region(w->f, region)->ops, op);
}

/* Takes back what a rule built before it gave up. */
static void unbuild(struct rewriter *w, region_id region, uint32_t first) {
  struct region *r = function_region(w->f, region);
  while (r->ops.len > first) {
    op_id id = vec_pop(&r->ops);
    w->f->ops.data[id] = (struct op){.kind = OP_NONE, .parent = region};
  }
}

static void visit(struct rewriter *w, region_id region, op_id id);

/* The ops that a rule has put at the end of the list, from `first` on, are visited like others. */
static void visit_built(struct rewriter *w, region_id region, uint32_t first) {
  struct region *r = function_region(w->f, region);
  uint32_t n = r->ops.len - first;
  if (!n)
    return;
  op_id *built = mem_alloc(n * sizeof *built);
  memcpy(built, r->ops.data + first, n * sizeof *built);
  r->ops.len = first;
  w->depth++;
  for (uint32_t i = 0; i < n; i++)
    visit(w, region, built[i]);
  w->depth--;
  mem_free(built);
}

static void visit(struct rewriter *w, region_id region, op_id id) {
  resolve_operands(w, id);
  for (uint32_t i = 0; i < function_op(w->f, id)->n_regions; i++)
    visit_region(w, function_op(w->f, id)->regions[i]);
  uint32_t first = function_region(w->f, region)->ops.len;
  w->b.region = region;
  w->b.provenance = function_op(w->f, id)->provenance;
  if (w->depth >= MAX_DEPTH || w->rule(w, id) == NO_MATCH) {
    unbuild(w, region, first);
    keep(w, region, id);
    return;
  }
  w->replaced++;
  visit_built(w, region, first);
  const struct op *op = function_op(w->f, id);
  if (op->n_results && !op->n_regions)
    keep(w, region, id); /* after what stands for it, without uses */
  else
    function_erase_op(w->f, id); /* a sweep might take it for an effect */
}

static void visit_region(struct rewriter *w, region_id id) {
  struct region *r = function_region(w->f, id);
  uint32_t n = r->ops.len;
  op_id *ops = mem_alloc((n + 1u) * sizeof *ops);
  if (n)
    memcpy(ops, r->ops.data, n * sizeof *ops);
  r->ops.len = 0;
  uint32_t depth = w->depth;
  w->depth = 0;
  for (uint32_t i = 0; i < n; i++)
    visit(w, id, ops[i]);
  w->depth = depth;
  mem_free(ops);
  r = function_region(w->f, id);
  for (uint32_t i = 0; i < r->results.len; i++)
    r->results.data[i] = rewrite_resolve(w, r->results.data[i]);
}

uint32_t rewrite_function(struct function *f, struct diags *diags,
                          const struct rewrite_options *options, status *out_status) {
  struct rewriter w = {
      .f = f, .dims = f->module->dims, .rule = options->rule, .user = options->user};
  builder_init(&w.b, f, 0, diags);
  visit_region(&w, 0);
  vec_deinit(&w.to);
  function_sweep(f);
  *out_status = w.b.failures ? STATUS_INTERNAL : STATUS_OK;
  return w.replaced;
}
