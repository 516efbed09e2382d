/* SPDX-License-Identifier: Apache-2.0 */
/* Definition-before-use order: a depth-first walk over the ops of each region in their present
 * order, each emitted after what it needs from the same region. An op needs the ops that define the
 * values it or anything in its regions uses, and those that bind the symbols it mentions. */
#include "ir/symbols.h"

#include <string.h>

enum { UNSEEN, OPEN, DONE };

struct sorter {
  struct function *f;
  struct symbol_sets symbols;
  uint32_t *binder; /* per symbol: the op that binds it in the region at hand, or OP_ID_NONE */
  uint32_t n_binder;
  bool *bound;          /* per symbol: by inputs, or in a region around */
  op_id *owner;         /* per op: the op of the region at hand that it is or is inside of */
  uint8_t *state;       /* per op */
  uint32_t *need_start; /* per place in the region, into needs */
  uint32_t *place;      /* per op: its place in the region at hand */
  VEC(op_id) needs;
  op_id current;
};

static void need(struct sorter *s, op_id op) {
  if (op != OP_ID_NONE && s->owner[op] != OP_ID_NONE && s->owner[op] != s->current)
    vec_push(&s->needs, s->owner[op]);
}

static void need_symbols(void *user, dim d) {
  struct sorter *s = user;
  const uint32_t *symbols;
  uint32_t n = symbols_of(&s->symbols, d, &symbols);
  for (uint32_t i = 0; i < n; i++)
    need(s, s->binder[symbols[i]]);
}

static void need_value(struct sorter *s, value_id v) { need(s, s->f->values.data[v].def); }

static void collect_needs(struct sorter *s, op_id id) {
  const struct op *op = &s->f->ops.data[id];
  for (uint32_t i = 0; i < op->n_operands; i++)
    need_value(s, op->operands[i]);
  op_visit_dims(s->f, op, need_symbols, s);
  for (uint32_t i = 0; i < op->n_regions; i++) {
    const struct region *r = &s->f->regions.data[op->regions[i]];
    for (uint32_t k = 0; k < r->ops.len; k++)
      collect_needs(s, r->ops.data[k]);
    for (uint32_t k = 0; k < r->results.len; k++)
      need_value(s, r->results.data[k]);
  }
}

static void own(struct sorter *s, op_id id, op_id owner) {
  const struct op *op = &s->f->ops.data[id];
  s->owner[id] = owner;
  for (uint32_t i = 0; i < op->n_regions; i++) {
    const struct region *r = &s->f->regions.data[op->regions[i]];
    for (uint32_t k = 0; k < r->ops.len; k++)
      own(s, r->ops.data[k], owner);
  }
}

static void note_binder(void *user, uint32_t symbol, bool unless_bound) {
  struct sorter *s = user;
  if (!unless_bound && s->binder[symbol] == OP_ID_NONE)
    s->binder[symbol] = s->current;
}

static void note_result_binder(void *user, uint32_t symbol, bool unless_bound) {
  struct sorter *s = user;
  if (unless_bound && !s->bound[symbol] && s->binder[symbol] == OP_ID_NONE)
    s->binder[symbol] = s->current;
}

/* Who binds which symbol in a region: `symbol` ops before the results of control ops. */
static void find_binders(struct sorter *s, const struct region *r) {
  memset(s->binder, 0, s->n_binder * sizeof *s->binder);
  for (uint32_t i = 0; i < r->ops.len; i++) {
    s->current = r->ops.data[i];
    op_visit_bound(&s->symbols, s->f, &s->f->ops.data[s->current], note_binder, s);
  }
  for (uint32_t i = 0; i < r->ops.len; i++) {
    s->current = r->ops.data[i];
    op_visit_bound(&s->symbols, s->f, &s->f->ops.data[s->current], note_result_binder, s);
  }
}

static void bind_params(struct sorter *s, region_id id) {
  const struct region *r = &s->f->regions.data[id];
  for (uint32_t i = 0; i < r->params.len; i++) {
    const struct type *type = value_type(s->f, r->params.data[i]);
    for (uint32_t k = 0; k < type->rank; k++) {
      const uint32_t *symbols;
      uint32_t n = symbols_of(&s->symbols, type->dims[k], &symbols);
      for (uint32_t j = 0; j < n; j++)
        s->bound[symbols[j]] = true;
    }
  }
}

static void emit_from(struct sorter *s, op_id root, op_id *out, uint32_t *out_len, op_id *stack,
                      uint32_t *next) {
  uint32_t depth = 0;
  stack[depth++] = root;
  s->state[root] = OPEN;
  while (depth) {
    op_id op = stack[depth - 1];
    uint32_t at = s->place[op];
    if (next[at] < s->need_start[at + 1]) {
      op_id on = s->needs.data[next[at]++];
      /* An op that is OPEN already would close a cycle, which no order satisfies: passed over. */
      if (s->state[on] == UNSEEN) {
        s->state[on] = OPEN;
        stack[depth++] = on;
      }
      continue;
    }
    s->state[op] = DONE;
    out[(*out_len)++] = op;
    depth--;
  }
}

static void sort_region(struct sorter *s, region_id id);

static void sort_inner(struct sorter *s, region_id id) {
  for (uint32_t i = 0; i < s->f->regions.data[id].ops.len; i++) {
    const struct op *op = &s->f->ops.data[s->f->regions.data[id].ops.data[i]];
    for (uint32_t k = 0; k < op->n_regions; k++)
      sort_region(s, op->regions[k]);
  }
}

static void sort_region(struct sorter *s, region_id id) {
  struct region *r = &s->f->regions.data[id];
  uint32_t n = r->ops.len, len = 0;
  struct arena scratch = {0};
  op_id *out = ARENA_ARRAY(&scratch, op_id, n), *stack = ARENA_ARRAY(&scratch, op_id, n);
  uint32_t *next = ARENA_ARRAY(&scratch, uint32_t, n);
  s->need_start = ARENA_ARRAY(&scratch, uint32_t, (size_t)n + 1);
  memset(s->owner, 0, s->f->ops.len * sizeof *s->owner);
  vec_clear(&s->needs);
  bind_params(s, id);
  for (uint32_t i = 0; i < n; i++)
    own(s, r->ops.data[i], r->ops.data[i]);
  find_binders(s, r);
  for (uint32_t i = 0; i < n; i++) {
    s->current = r->ops.data[i];
    s->place[s->current] = i;
    s->state[s->current] = UNSEEN;
    s->need_start[i] = next[i] = s->needs.len;
    collect_needs(s, s->current);
    s->need_start[i + 1] = s->needs.len;
  }
  for (uint32_t i = 0; i < n; i++) {
    if (s->state[r->ops.data[i]] == UNSEEN)
      emit_from(s, r->ops.data[i], out, &len, stack, next);
  }
  if (n)
    memcpy(r->ops.data, out, n * sizeof *out);
  for (uint32_t i = 0; i < s->n_binder; i++)
    s->bound[i] |= s->binder[i] != OP_ID_NONE;
  arena_deinit(&scratch);
  sort_inner(s, id);
}

void function_sort(struct function *f) {
  struct arena scratch = {0};
  struct sorter s = {.f = f, .n_binder = dim_symbol_count(f->module->dims)};
  s.binder = ARENA_ARRAY(&scratch, uint32_t, s.n_binder);
  s.bound = ARENA_ARRAY(&scratch, bool, s.n_binder);
  s.owner = ARENA_ARRAY(&scratch, op_id, f->ops.len);
  s.state = ARENA_ARRAY(&scratch, uint8_t, f->ops.len);
  s.place = ARENA_ARRAY(&scratch, uint32_t, f->ops.len);
  symbol_sets_init(&s.symbols, f->module->dims);
  sort_region(&s, 0);
  symbol_sets_deinit(&s.symbols);
  vec_deinit(&s.needs);
  arena_deinit(&scratch);
}
