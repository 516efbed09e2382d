/* SPDX-License-Identifier: Apache-2.0 */
/* The sweep of what is unused, from the end of each region, so that an op comes after all its
 * users.
 *
 * A control op may be needed for the symbols that it binds, though its results are not: such
 * symbols count the ops that mention them. */
#include "ir/change.h"
#include "ir/symbols.h"

struct sweep {
  struct function *f;
  uint32_t *uses; /* per value */
  struct symbol_sets symbols;
  uint32_t *mentions; /* per symbol: by dims of live ops */
  bool *bound;        /* per symbol: by parameters or `symbol` ops */
  uint32_t erased;
};

static void count_use(void *user, value_id v, op_id by) {
  (void)by;
  ((struct sweep *)user)->uses[v]++;
}

/* ---- mentions of symbols ---- */

static void add_mentions(void *user, dim d) {
  struct sweep *s = user;
  const uint32_t *symbols;
  uint32_t n = symbols_of(&s->symbols, d, &symbols);
  for (uint32_t i = 0; i < n; i++)
    s->mentions[symbols[i]]++;
}

static void take_mentions(void *user, dim d) {
  struct sweep *s = user;
  const uint32_t *symbols;
  uint32_t n = symbols_of(&s->symbols, d, &symbols);
  for (uint32_t i = 0; i < n; i++)
    s->mentions[symbols[i]]--;
}

static void note_bound(void *user, uint32_t symbol, bool unless_bound) {
  if (!unless_bound)
    ((struct sweep *)user)->bound[symbol] = true;
}

static void count_mentions(struct sweep *s) {
  struct function *f = s->f;
  for (uint32_t i = 0; i < f->regions.len; i++) {
    const struct region *r = &f->regions.data[i];
    for (uint32_t k = 0; k < r->params.len; k++) {
      const struct type *type = value_type(f, r->params.data[k]);
      for (uint32_t d = 0; d < type->rank; d++) {
        const uint32_t *symbols;
        uint32_t n = symbols_of(&s->symbols, type->dims[d], &symbols);
        for (uint32_t j = 0; j < n; j++)
          s->bound[symbols[j]] = true;
      }
    }
  }
  for (uint32_t i = 1; i < f->ops.len; i++) {
    const struct op *op = &f->ops.data[i];
    if (op->kind == OP_NONE)
      continue;
    op_visit_dims(f, op, add_mentions, s);
    if (op->kind == OP_SYMBOL)
      op_visit_bound(&s->symbols, f, op, note_bound, s);
  }
}

struct needed {
  struct sweep *sweep;
  bool yes;
};

static void note_needed(void *user, uint32_t symbol, bool unless_bound) {
  struct needed *n = user;
  bool binds = !unless_bound || !n->sweep->bound[symbol];
  n->yes |= binds && n->sweep->mentions[symbol] > 0;
}

/* Whether ops other than this one mention a symbol that it binds. */
static bool symbols_needed(struct sweep *s, const struct op *op) {
  struct needed n = {.sweep = s};
  if (!(op_infos[op->kind].flags & OP_FLAG_CONTROL))
    return false;
  op_visit_dims(s->f, op, take_mentions, s);
  op_visit_bound(&s->symbols, s->f, op, note_needed, &n);
  op_visit_dims(s->f, op, add_mentions, s);
  return n.yes;
}

/* ---- the walk ---- */

static bool has_effect(const struct function *f, const struct op *op) {
  if (op_infos[op->kind].flags & OP_FLAG_EFFECT)
    return true;
  for (uint32_t i = 0; i < op->n_regions; i++) {
    const struct region *r = &f->regions.data[op->regions[i]];
    for (uint32_t k = 0; k < r->ops.len; k++) {
      if (has_effect(f, &f->ops.data[r->ops.data[k]]))
        return true;
    }
  }
  return false;
}

static void release(struct sweep *s, const struct op *op) {
  op_visit_dims(s->f, op, take_mentions, s);
  s->erased++;
  for (uint32_t i = 0; i < op->n_operands; i++)
    s->uses[op->operands[i]]--;
  for (uint32_t i = 0; i < op->n_regions; i++) {
    const struct region *r = &s->f->regions.data[op->regions[i]];
    for (uint32_t k = 0; k < r->results.len; k++)
      s->uses[r->results.data[k]]--;
    for (uint32_t k = 0; k < r->ops.len; k++)
      release(s, &s->f->ops.data[r->ops.data[k]]);
  }
}

static bool is_dead(struct sweep *s, const struct op *op) {
  for (uint32_t i = 0; i < op->n_results; i++) {
    if (s->uses[op->results[i]])
      return false;
  }
  return !has_effect(s->f, op) && !symbols_needed(s, op);
}

static void sweep_region(struct sweep *s, region_id id) {
  struct region *r = &s->f->regions.data[id];
  for (uint32_t i = r->ops.len; i-- > 0;) {
    op_id number = r->ops.data[i];
    const struct op *op = &s->f->ops.data[number];
    if (is_dead(s, op)) {
      release(s, op);
      op_bury(s->f, number);
      continue;
    }
    for (uint32_t k = 0; k < op->n_regions; k++)
      sweep_region(s, op->regions[k]);
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    if (s->f->ops.data[r->ops.data[i]].kind != OP_NONE)
      r->ops.data[kept++] = r->ops.data[i];
  }
  r->ops.len = kept;
}

uint32_t function_sweep(struct function *f) {
  struct arena scratch = {0};
  uint32_t n_symbols = dim_symbol_count(f->module->dims);
  struct sweep s = {.f = f,
                    .uses = ARENA_ARRAY(&scratch, uint32_t, f->values.len),
                    .mentions = ARENA_ARRAY(&scratch, uint32_t, n_symbols),
                    .bound = ARENA_ARRAY(&scratch, bool, n_symbols)};
  symbol_sets_init(&s.symbols, f->module->dims);
  function_visit_uses(f, count_use, &s);
  count_mentions(&s);
  sweep_region(&s, 0);
  symbol_sets_deinit(&s.symbols);
  arena_deinit(&scratch);
  return s.erased;
}
