/* SPDX-License-Identifier: Apache-2.0 */
/* The plan writer: branches and loops, and the symbols that they bind. */
#include "codegen/plan_writer.h"

#include <string.h>

static void set_symbol(struct plan_writer *w, uint32_t block, uint32_t symbol, dim value) {
  Engine__SetSymbol *step = manifest_build_step_set_symbol(w->b, block);
  step->symbol = plan_symbol_row(symbol);
  step->expr = plan_expr(w, value);
  w->stale = true;
}

/* Symbols of `to` get the values of `from`'s dims, by a SET_SYMBOL each, where they differ. */
static void set_symbols(struct plan_writer *w, uint32_t block, const struct type *to,
                        const struct type *from) {
  for (uint32_t i = 0; i < to->rank; i++) {
    uint32_t symbol;
    if (to->dims[i] == from->dims[i] || !dim_symbol_of(w->m->dims, to->dims[i], &symbol))
      continue;
    set_symbol(w, block, symbol, from->dims[i]);
  }
}

/* The element dims of a stacked loop result: those of the last iteration's element (all are alike);
 * `element` NULL: 0, for a loop that makes no iteration. */
static void set_stacked_symbols(struct plan_writer *w, uint32_t block, const struct type *stacked,
                                const struct type *element) {
  for (uint32_t i = 1; i < stacked->rank; i++) {
    uint32_t symbol;
    bool plain = dim_symbol_of(w->m->dims, stacked->dims[i], &symbol);
    if (!plain || (element && element->dims[i - 1] == stacked->dims[i]))
      continue;
    set_symbol(w, block, symbol, element ? element->dims[i - 1] : dim_const(w->m->dims, 0));
  }
}

/* A nested block: its own phases; what it reads from outside lives on until it ends. */
struct nested {
  uint32_t phase, mark;
  bool stale;
};

static struct nested enter(struct plan_writer *w, uint32_t block) {
  struct nested n = {.phase = w->phase, .mark = w->borrowed.len, .stale = w->stale};
  w->depth++;
  plan_begin_phase(w, block);
  return n;
}

static void leave(struct plan_writer *w, struct nested n) {
  w->depth--;
  w->clock++;
  uint32_t end = w->borrowed.len;
  for (uint32_t i = n.mark; i < end; i++) {
    uint32_t v = w->borrowed.data[i];
    plan_row(w, v)->last = w->clock;
    if (w->depth_of[v] < w->depth)
      vec_push(&w->borrowed, v);
  }
  /* Those still borrowed by the block around move down. */
  uint32_t kept = w->borrowed.len - end;
  if (kept)
    memmove(w->borrowed.data + n.mark, w->borrowed.data + end, kept * sizeof *w->borrowed.data);
  w->borrowed.len = n.mark + kept;
  w->phase = n.phase;
  w->stale = true; /* symbols may have been bound inside */
}

static void write_branch(struct plan_writer *w, uint32_t block, const struct op *op,
                         region_id region) {
  struct nested n = enter(w, block);
  plan_write_region(w, block, region);
  w->clock++;
  const struct region *r = &w->f->regions.data[region];
  for (uint32_t i = 0; i < op->n_results; i++) {
    set_symbols(w, block, value_type(w->f, op->results[i]), value_type(w->f, r->results.data[i]));
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    const struct type *type = value_type(w->f, r->results.data[i]);
    uint32_t from = plan_use_unpacked(w, block, r->results.data[i]);
    manifest_build_step_reserve(w->b, block)->value = w->value[op->results[i]];
    plan_copy(w, block, w->value[op->results[i]], from, plan_value_bytes(w, type));
  }
  leave(w, n);
}

void plan_write_if(struct plan_writer *w, uint32_t block, const struct op *op) {
  w->clock++;
  uint32_t condition = plan_use(w, op->operands[0]);
  for (uint32_t i = 0; i < op->n_results; i++) {
    value_id v = op->results[i];
    w->value[v] = plan_add_typed(w, value_type(w->f, v), w->f->values.data[v].name,
                                 ENGINE__STORAGE__DYNAMIC, 0);
  }
  Engine__If *step = manifest_build_step_if_(w->b, block);
  plan_provenance(w, block, op->provenance);
  step->condition = condition;
  step->then_block = manifest_build_block(w->b);
  write_branch(w, step->then_block, op, op->regions[0]);
  step->else_block = manifest_build_block(w->b);
  write_branch(w, step->else_block, op, op->regions[1]);
}

/* What of a carried value's shape changes: symbols of the parameter against init and next. */
static void carried_dims(struct plan_writer *w, Engine__Carried *c, const struct type *init,
                         const struct type *param, const struct type *next) {
  for (uint32_t i = 0; i < param->rank; i++) {
    uint32_t symbol;
    bool changes = param->dims[i] != init->dims[i] || param->dims[i] != next->dims[i];
    if (!changes || !dim_symbol_of(w->m->dims, param->dims[i], &symbol))
      continue;
    manifest_build_carried_dim(w->b, c, plan_symbol_row(symbol), plan_expr(w, init->dims[i]),
                               plan_expr(w, next->dims[i]));
  }
}

static void write_loop_results(struct plan_writer *w, uint32_t block, const struct op *op) {
  const struct region *r = &w->f->regions.data[op->regions[0]];
  uint32_t carried = (uint32_t)OP_ATTRS(loop, op)->carried;
  for (uint32_t i = 0; i < carried; i++) {
    w->value[op->results[i]] = w->value[r->params.data[1 + i]];
    set_symbols(w, block, value_type(w->f, op->results[i]),
                value_type(w->f, r->params.data[1 + i]));
  }
}

/* What a carried value becomes. The runtime exchanges buffers with a DYNAMIC one, so that one from
 * outside of the body, which the next iteration reads again, is copied. */
static uint32_t use_next(struct plan_writer *w, uint32_t block, value_id v) {
  uint32_t from = plan_use_unpacked(w, block, v), root = plan_alias_root(w, from);
  if (plan_row(w, root)->storage != ENGINE__STORAGE__DYNAMIC || w->depth_of[root] == w->depth)
    return from;
  const struct type *type = value_type(w->f, v);
  plan_begin_phase(w, block);
  uint32_t to = plan_add_typed(w, type, NULL, ENGINE__STORAGE__ARENA, 0);
  plan_copy(w, block, to, from, plan_value_bytes(w, type));
  plan_touch(w, to);
  return to;
}

void plan_write_loop(struct plan_writer *w, uint32_t block, const struct op *op) {
  const struct loop_attrs *a = OP_ATTRS(loop, op);
  const struct region *r = &w->f->regions.data[op->regions[0]];
  uint32_t carried = (uint32_t)a->carried, symbol;
  w->clock++;
  uint32_t trip = plan_use(w, op->operands[0]), condition = plan_use(w, op->operands[1]);
  uint32_t *init = ARENA_ARRAY(w->b->arena, uint32_t, carried + 1);
  if (w->stale)
    plan_begin_phase(w, block);
  for (uint32_t i = 0; i < carried; i++)
    init[i] = plan_use_unpacked(w, block, op->operands[2 + i]);
  for (uint32_t i = 0; i < r->params.len; i++) {
    value_id v = r->params.data[i];
    w->value[v] = plan_add_typed(w, value_type(w->f, v), w->f->values.data[v].name,
                                 i ? ENGINE__STORAGE__DYNAMIC : ENGINE__STORAGE__ARENA, 0);
  }
  uint32_t iteration = w->value[r->params.data[0]];
  for (uint32_t i = carried; i < op->n_results; i++) {
    value_id v = op->results[i];
    w->value[v] = plan_add_typed(w, value_type(w->f, v), w->f->values.data[v].name,
                                 ENGINE__STORAGE__DYNAMIC, 0);
  }
  for (uint32_t i = carried; i < op->n_results; i++) {
    const struct type *element = value_type(w->f, r->results.data[1 + i]);
    struct type stacked = *value_type(w->f, op->results[i]);
    for (uint32_t d = 1; d < stacked.rank; d++) { /* only what the loop itself binds */
      if (stacked.dims[d] == element->dims[d - 1])
        stacked.dims[d] = dim_const(w->m->dims, 0);
    }
    set_stacked_symbols(w, block, &stacked, NULL);
  }
  Engine__Loop *step = manifest_build_step_loop(w->b, block);
  plan_provenance(w, block, op->provenance);
  step->trip = ENGINE__TRIP__FROM_VALUE;
  step->trip_value = trip;
  step->condition = condition;
  step->iteration = iteration;
  if (a->trip != DIM_NONE && dim_symbol_of(w->m->dims, a->trip, &symbol)) {
    step->trip_symbol = plan_symbol_row(symbol);
  }
  step->body = manifest_build_block(w->b);
  struct nested n = enter(w, step->body);
  plan_write_region(w, step->body, op->regions[0]);
  w->clock++;
  step->body_condition = plan_use(w, r->results.data[0]);
  for (uint32_t i = 0; i < carried; i++) {
    value_id param = r->params.data[1 + i], next = r->results.data[1 + i];
    Engine__Carried *c =
        manifest_build_carried(w->b, step, init[i], w->value[param], use_next(w, step->body, next));
    carried_dims(w, c, value_type(w->f, op->operands[2 + i]), value_type(w->f, param),
                 value_type(w->f, next));
  }
  for (uint32_t i = carried; i < op->n_results; i++) {
    set_stacked_symbols(w, step->body, value_type(w->f, op->results[i]),
                        value_type(w->f, r->results.data[1 + i]));
    uint32_t element = plan_use_unpacked(w, step->body, r->results.data[1 + i]);
    manifest_build_scan(w->b, step, element, w->value[op->results[i]]);
  }
  plan_touch(w, iteration);
  leave(w, n);
  plan_row(w, iteration)->last = w->clock;
  write_loop_results(w, block, op);
}
