/* SPDX-License-Identifier: Apache-2.0 */
/* check_shapes: makes what type rules could not prove a run-time check.
 *
 *     %1 = concat %a, %b { axis = 0 }           check { lhs = x, relation = eq, rhs = y }
 *       (dim 1 of %a is x, of %b is y)    =>    %1 = concat %a, %b { axis = 0 }
 *
 * A type rule refuses what is provably wrong. Where it can neither prove nor refute, compiled code
 * would read outside of its operands for shapes that do not fit; with the checks in front such a
 * run ends with an error instead. Relations that a `where` or an earlier check of the same function
 * states already are not repeated. Requires: nothing. Preserves: values of all runs that are well
 * defined. */
#include "base/map.h"
#include "ir/build.h"
#include "ir/ops/conditions.h"
#include "passes/pass.h"

struct checker {
  struct builder b;
  struct map *known; /* relations that hold already, by hash */
  struct map *names; /* dims to symbols that are bound to them */
  bool failed;
};

static uint64_t key_of(dim lhs, enum relation relation, dim rhs) {
  if (relation == RELATION_EQ && rhs < lhs) {
    dim swap = lhs;
    lhs = rhs;
    rhs = swap;
  }
  return (uint64_t)lhs << 34 | (uint64_t)rhs << 4 | (uint64_t)relation;
}

static void on_condition(void *user, dim lhs, enum relation relation, dim rhs) {
  struct checker *c = user;
  uint64_t seen;
  if (lhs == DIM_NONE || rhs == DIM_NONE) {
    c->failed = true;
    builder_fail(&c->b, "its dims are too long expressions to be compared");
    return;
  }
  if (map_get(c->known, key_of(lhs, relation, rhs), &seen))
    return;
  map_put(c->known, key_of(lhs, relation, rhs), 1);
  build_check(&c->b, lhs, relation, rhs, "the shapes of its operands do not fit together");
}

static dim on_name(void *user, dim d) {
  struct checker *c = user;
  struct dim_table *t = builder_dims(&c->b);
  uint64_t seen;
  int64_t lo, hi;
  if (map_get(c->names, d, &seen))
    return (dim)seen;
  dim_bounds(t, d, &lo, &hi);
  dim symbol = dim_fresh(t, "d", lo, hi);
  build_symbol(&c->b, build_dims(&c->b, &d, 1), 0, symbol);
  map_put(c->names, d, symbol);
  return symbol;
}

static void visit(struct checker *c, struct function *f, op_id id) {
  const struct op op = *function_op(f, id);
  struct arena scratch = {0};
  struct type *results = ARENA_ARRAY(&scratch, struct type, op.n_results + 1);
  for (uint32_t i = 0; i < op.n_results; i++)
    results[i] = *value_type(f, op.results[i]);
  struct op_view view = {.function = f,
                         .kind = op.kind,
                         .n_operands = op.n_operands,
                         .operands = op.operands,
                         .n_regions = op.n_regions,
                         .regions = op.regions,
                         .attrs = op.attrs};
  c->b.provenance = op.provenance;
  op_conditions(&view, results, on_condition, on_name, c);
  arena_deinit(&scratch);
}

/* The region's ops again, each behind its checks. What a check of an outer region has established
 * holds inside; what one of an inner region has, is forgotten after it. */
static void check_region(struct checker *c, struct function *f, region_id region) {
  VEC(op_id) ops = {0};
  for (uint32_t i = 0; i < f->regions.data[region].ops.len; i++) {
    vec_push(&ops, f->regions.data[region].ops.data[i]);
  }
  function_region(f, region)->ops.len = 0;
  for (uint32_t i = 0; i < ops.len; i++) {
    const struct op *op = function_op(f, ops.data[i]);
    c->b.region = region;
    if (op->kind == OP_CHECK) {
      const struct check_attrs *a = OP_ATTRS(check, op);
      map_put(c->known, key_of(a->lhs, a->relation, a->rhs), 1);
    } else if (!(op_infos[op->kind].flags & OP_FLAG_CONTROL)) {
      visit(c, f, ops.data[i]);
    }
    vec_push(&function_region(f, region)->ops, ops.data[i]);
  }
  vec_deinit(&ops);
}

status pass_check_shapes(struct pass_context *ctx) {
  struct checker c = {0};
  for (uint32_t i = 0; i < ctx->module->functions.len; i++) {
    struct function *f = ctx->module->functions.data[i];
    uint32_t n = f->regions.len;
    for (region_id r = 0; r < n; r++) {
      op_id parent = f->regions.data[r].parent;
      if (r && (parent == OP_ID_NONE || function_op(f, parent)->kind == OP_NONE))
        continue;
      struct map known, names;
      map_init(&known);
      map_init(&names);
      c.known = &known;
      c.names = &names;
      builder_init(&c.b, f, r, ctx->diags);
      for (uint32_t g = 0; g < f->where.len; g++) {
        const struct guard *w = &f->where.data[g];
        map_put(&known, key_of(w->lhs, w->relation, w->rhs), 1);
      }
      check_region(&c, f, r);
      map_deinit(&known);
      map_deinit(&names);
    }
  }
  return c.failed ? STATUS_INVALID : STATUS_OK;
}
