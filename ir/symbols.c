/* SPDX-License-Identifier: Apache-2.0 */
/* Symbols of dims, by flattening each dim once. */
#include "ir/symbols.h"

#include <stdlib.h>

void symbol_sets_init(struct symbol_sets *s, struct dim_table *dims) {
  *s = (struct symbol_sets){.dims = dims};
}

void symbol_sets_deinit(struct symbol_sets *s) {
  map_deinit(&s->found);
  vec_deinit(&s->pool);
}

static void note_row(void *user, uint32_t row, const struct dim_row *content) {
  struct symbol_sets *s = user;
  (void)row;
  if (content->kind == DIM_KIND_SYMBOL)
    vec_push(&s->pool, content->leaf);
}

static int by_number(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

uint32_t symbols_of(struct symbol_sets *s, dim d, const uint32_t **out) {
  uint64_t place;
  if (!map_get(&s->found, d, &place)) {
    place = s->pool.len;
    vec_push(&s->pool, 0);
    uint32_t row;
    if (d != DIM_NONE)
      dim_flatten(s->dims, &d, 1, note_row, s, &row);
    uint32_t n = s->pool.len - (uint32_t)place - 1;
    s->pool.data[place] = n;
    qsort(s->pool.data + place + 1, n, sizeof(uint32_t), by_number);
    map_put(&s->found, d, place);
  }
  *out = s->pool.data + place + 1;
  return s->pool.data[place];
}

static void visit_dim(struct symbol_sets *s, dim d, bool unless_bound, symbol_visit_fn fn,
                      void *user) {
  const uint32_t *symbols;
  uint32_t n = symbols_of(s, d, &symbols);
  for (uint32_t i = 0; i < n; i++)
    fn(user, symbols[i], unless_bound);
}

void op_visit_bound(struct symbol_sets *s, const struct function *f, const struct op *op,
                    symbol_visit_fn fn, void *user) {
  if (op->kind == OP_SYMBOL)
    visit_dim(s, OP_ATTRS(symbol, op)->symbol, false, fn, user);
  if (op->kind == OP_LOOP)
    visit_dim(s, OP_ATTRS(loop, op)->trip, false, fn, user);
  if (op->kind != OP_LOOP && op->kind != OP_IF)
    return;
  for (uint32_t i = 0; i < op->n_results; i++) {
    const struct type *type = value_type(f, op->results[i]);
    for (uint32_t k = 0; k < type->rank; k++)
      visit_dim(s, type->dims[k], true, fn, user);
  }
}
