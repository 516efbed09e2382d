/* SPDX-License-Identifier: Apache-2.0 */
/* hoist: what is the same in every iteration of a loop is computed before it.
 *
 *     loop region (%i, %x) {                    %w = transpose %a
 *       %w = transpose %a                =>     loop region (%i, %x) {
 *       %y = contract %x, %w                      %y = contract %x, %w
 *
 * An op moves if its operands are defined outside and no dim of it is bound in the loop. A loop may
 * run no iteration at all, so what can fail stays (checks, gathers that report their range), and so
 * do broadcasts, which are cheaper to make than to load, and ops with regions. Constants and
 * positions stay beside their readers inside and are copied for those that move.
 *
 * Requires: nothing. Preserves: values bit by bit. */
#include <string.h>

#include "ir/symbols.h"
#include "passes/pass.h"

struct hoist {
  struct function *f;
  struct symbol_sets symbols;
  bool *bound; /* by symbol: in the loop at hand */
  bool refers; /* the op at hand mentions one of them */
};

static void note_bound(void *user, uint32_t symbol, bool unless_bound) {
  struct hoist *h = user;
  (void)unless_bound;
  h->bound[symbol] = true;
}

static void note_dim(void *user, dim d) {
  struct hoist *h = user;
  const uint32_t *symbols;
  uint32_t n = symbols_of(&h->symbols, d, &symbols);
  for (uint32_t i = 0; i < n; i++)
    h->refers |= h->bound[symbols[i]];
}

static void find_bound(struct hoist *h, const struct region *r) {
  memset(h->bound, 0, dim_symbol_count(h->f->module->dims) * sizeof *h->bound);
  for (uint32_t i = 0; i < r->params.len; i++) {
    const struct type *type = value_type(h->f, r->params.data[i]);
    for (uint32_t d = 0; d < type->rank; d++) {
      const uint32_t *symbols;
      uint32_t n = symbols_of(&h->symbols, type->dims[d], &symbols);
      for (uint32_t k = 0; k < n; k++)
        h->bound[symbols[k]] = true;
    }
  }
  for (uint32_t i = 0; i < r->ops.len; i++)
    op_visit_bound(&h->symbols, h->f, function_op(h->f, r->ops.data[i]), note_bound, h);
}

static bool mentions_bound(struct hoist *h, const struct op *op) {
  h->refers = false;
  op_visit_dims(h->f, op, note_dim, h);
  return h->refers;
}

static bool is_leaf(const struct op *op) {
  return op->kind == OP_CONST || op->kind == OP_IOTA || op->kind == OP_DIMS;
}

static bool may_move(const struct op *op) {
  if (op->n_regions || (op_infos[op->kind].flags & (OP_FLAG_EFFECT | OP_FLAG_RANKS)))
    return false;
  switch (op->kind) {
  case OP_RANDOM:
  case OP_BROADCAST:
  case OP_SCATTER: return false;
  case OP_GATHER: return OP_ATTRS(gather, op)->mode != OUT_OF_RANGE_ERROR;
  default: return !is_leaf(op);
  }
}

/* Defined inside, and not by a leaf that can be had outside as well. */
static bool is_inner(struct hoist *h, region_id region, value_id v) {
  const struct value *value = function_value(h->f, v);
  if (value->region != region)
    return false;
  const struct op *def = value_def(h->f, v);
  return !def || !is_leaf(def) || mentions_bound(h, def);
}

static bool is_invariant(struct hoist *h, region_id region, const struct op *op) {
  if (!may_move(op))
    return false;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    if (is_inner(h, region, op->operands[i]))
      return false;
  }
  return !mentions_bound(h, op);
}

/* Copies of leaves stay next to their readers, where kernels take them in. */
static void copy_leaves(struct hoist *h, region_id outer, op_id id) {
  const struct op op = *function_op(h->f, id);
  for (uint32_t i = 0; i < op.n_operands; i++) {
    const struct op *def = value_def(h->f, op.operands[i]);
    if (!def || def->parent == outer || !is_leaf(def))
      continue;
    struct builder b;
    builder_init(&b, h->f, outer, NULL);
    const struct op leaf = *def;
    b.provenance = leaf.provenance;
    value_id copy = build_op1(&b, leaf.kind, NULL, 0, leaf.attrs);
    ((value_id *)op.operands)[i] = copy; /* the function's own list */
  }
}

static void move(struct hoist *h, region_id outer, op_id id) {
  copy_leaves(h, outer, id);
  struct op *op = &h->f->ops.data[id];
  op->parent = outer;
  for (uint32_t i = 0; i < op->n_results; i++)
    h->f->values.data[op->results[i]].region = outer;
  vec_push(&function_region(h->f, outer)->ops, id);
}

static uint32_t hoist_from(struct hoist *h, region_id region) {
  region_id outer = function_op(h->f, h->f->regions.data[region].parent)->parent;
  uint32_t kept = 0, n = h->f->regions.data[region].ops.len;
  find_bound(h, &h->f->regions.data[region]);
  for (uint32_t i = 0; i < n; i++) {
    op_id id = h->f->regions.data[region].ops.data[i];
    if (is_invariant(h, region, function_op(h->f, id)))
      move(h, outer, id);
    else
      h->f->regions.data[region].ops.data[kept++] = id;
  }
  h->f->regions.data[region].ops.len = kept;
  return n - kept;
}

/* Regions made later, which inner ones mostly are, come first. */
static void hoist_function(struct pass_context *ctx, struct function *f) {
  struct hoist h = {.f = f};
  uint32_t moved = 0, n = f->regions.len;
  symbol_sets_init(&h.symbols, f->module->dims);
  h.bound = ARENA_ARRAY(ctx->scratch, bool, dim_symbol_count(f->module->dims) + 1u);
  for (region_id r = n; r-- > 1;) {
    op_id parent = f->regions.data[r].parent;
    if (parent != OP_ID_NONE && function_op(f, parent)->kind == OP_LOOP)
      moved += hoist_from(&h, r);
  }
  symbol_sets_deinit(&h.symbols);
  if (moved)
    function_sort(f);
}

status pass_hoist(struct pass_context *ctx) {
  for (uint32_t i = 0; i < ctx->module->functions.len; i++)
    hoist_function(ctx, ctx->module->functions.data[i]);
  return STATUS_OK;
}
