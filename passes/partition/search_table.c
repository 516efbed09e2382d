/* SPDX-License-Identifier: Apache-2.0 */
/* Elimination within one block: see search_table.h. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "passes/partition/search_relation.h"

/* ---- relations of variables ---- */

static row_key choice_key(const struct reducer *r, const struct search_variable *x,
                          const struct column *columns, uint32_t choice) {
  row_key key = 0;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    if (!columns[v].open)
      continue;
    struct content content = {.made = SEARCH_NONE};
    for (uint32_t i = 0; i < x->n_makes; i++)
      if (x->makes[i].value == v)
        content.made = x->makes[i].classes[choice];
    for (uint32_t i = 0; i < x->n_reads; i++)
      if (x->reads[i].value == v)
        search_content_add(&content, x->reads[i].classes[choice]);
    key |= search_content_key(&columns[v], &content);
  }
  return key;
}

static void relation_of_variable(struct reducer *r, uint32_t variable) {
  const struct search_variable *x = &r->block->variables[variable];
  struct relation *out = relation_create(r);
  struct row_map map = {0};
  out->variable = variable;
  for (uint32_t i = 0; i < x->n_makes; i++)
    out->columns[x->makes[i].value].open = out->columns[x->makes[i].value].made = true;
  for (uint32_t i = 0; i < x->n_reads; i++) {
    struct column *c = &out->columns[x->reads[i].value];
    c->open = true;
    c->n_readers++;
    c->n_wanted++;
  }
  bool fits = search_columns_place(r, out->columns);
  assert(fits);
  (void)fits;
  for (uint32_t i = 0; i < x->n_choices; i++) {
    if (!search_is_allowed(r, x, i) || search_is_dead_end(r, x, i))
      continue;
    struct row row = {choice_key(r, x, out->columns, i), search_priced(r, x, i), x->bytes[i], i, 0};
    relation_add(r, out, &map, &row);
  }
  relation_thin(r, out, &map);
}

/* The input: free in every class. */
static void relation_of_input(struct reducer *r) {
  struct relation *out = relation_create(r);
  struct row_map map = {0};
  struct column *c = &out->columns[r->block->input];
  *c = (struct column){.open = true, .made = true};
  search_columns_place(r, out->columns);
  uint32_t n = r->block->n_given ? r->block->n_given : r->block->values[r->block->input].n_classes;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t made = r->block->n_given ? r->block->given[i] : i;
    struct row row = {search_content_key(c, &(struct content){.made = made}), 0, 0, i, 0};
    relation_add(r, out, &map, &row);
  }
  relation_thin(r, out, &map);
}

/* ---- the order ---- */

static void drop_open(struct reducer *r, const struct relation *x) {
  for (uint32_t i = 0; i < r->open.len; i++) {
    if (r->open.data[i] != x)
      continue;
    r->open.data[i] = r->open.data[--r->open.len];
    return;
  }
}

/* Joins until one relation is left. */
static struct relation *eliminate(struct reducer *r) {
  while (r->open.len > 1 && !r->overflow) {
    struct star star;
    if (star_find(r, &star)) {
      star_join(r, &star);
      drop_open(r, star.producer);
      drop_open(r, star.hub);
      for (uint32_t i = 0; i < star.n; i++)
        drop_open(r, star.readers[i]);
      continue;
    }
    uint32_t a, b;
    if (!search_next_join(r, &a, &b)) { /* no key is wide enough */
      r->overflow = true;
      break;
    }
    struct relation *first = r->open.data[a], *second = r->open.data[b];
    relation_join(r, first, second);
    drop_open(r, first);
    drop_open(r, second);
  }
  return r->open.data[0];
}

/* ---- the table ---- */

static void collect_choices(const struct relation *x, uint32_t row, uint32_t *out) {
  if (x->star) {
    const struct star_record *record = &x->star->records[x->rows[row].left];
    collect_choices(x->star->producer, x->rows[row].right, out);
    collect_choices(x->star->hub, record->hub, out);
    for (uint32_t i = 0; i < x->star->n; i++)
      collect_choices(x->star->readers[i], record->readers[i], out);
    return;
  }
  if (x->left) {
    if (x->right)
      collect_choices(x->right, x->rows[row].right, out);
    collect_choices(x->left, x->rows[row].left, out);
    return;
  }
  if (x->variable != SEARCH_NONE)
    out[x->variable] = x->rows[row].left;
}

static uint32_t end_class(const struct relation *x, uint32_t value, row_key key) {
  struct content content;
  if (value == SEARCH_NONE)
    return 0;
  search_content_read(&x->columns[value], key, &content);
  return content.made;
}

static int by_ends(const void *a, const void *b) {
  const struct search_entry *x = a, *y = b;
  if (x->in != y->in)
    return x->in < y->in ? -1 : 1;
  if (x->out != y->out)
    return x->out < y->out ? -1 : 1;
  return (x->time > y->time) - (x->time < y->time);
}

static void table_fill(const struct reducer *r, const struct relation *x, struct arena *arena,
                       struct search_table *out) {
  const struct search_block *b = r->block;
  out->n_in = b->input == SEARCH_NONE ? 1 : b->values[b->input].n_classes;
  out->n_out = b->output == SEARCH_NONE ? 1 : b->values[b->output].n_classes;
  out->n = x->n;
  out->entries = ARENA_ARRAY(arena, struct search_entry, x->n);
  for (uint32_t i = 0; i < x->n; i++) {
    uint32_t *choices = ARENA_ARRAY(arena, uint32_t, b->n_variables);
    collect_choices(x, i, choices);
    struct search_entry *to = &out->entries[i];
    *to = (struct search_entry){end_class(x, b->input, x->rows[i].key),
                                end_class(x, b->output, x->rows[i].key), x->rows[i].time,
                                x->rows[i].bytes, choices};
    if (r->price > 0) { /* of a dear byte's price little would be left of the time */
      double bytes = 0;
      to->time = search_block_time(b, choices, to->in, &bytes);
    }
  }
  if (x->n)
    qsort(out->entries, x->n, sizeof *out->entries, by_ends);
}

static void free_rows(struct relation *x) {
  if (x->star) {
    free_rows(x->star->producer);
    free_rows(x->star->hub);
    for (uint32_t i = 0; i < x->star->n; i++)
      free_rows(x->star->readers[i]);
  }
  if (x->left) {
    free_rows(x->left);
    if (x->right)
      free_rows(x->right);
  }
  mem_free(x->rows);
}

/* False where relations outgrew their room or the time. */
static bool table_try(struct reducer *r, struct arena *arena, struct search_table *out) {
  const struct search_block *block = r->block;
  for (uint32_t i = 0; i < block->n_variables; i++)
    relation_of_variable(r, i);
  if (block->input != SEARCH_NONE)
    relation_of_input(r);
  bool any = r->open.len != 0;
  if (any) {
    struct relation *last = eliminate(r);
    if (!r->overflow)
      table_fill(r, last, arena, out);
  }
  for (uint32_t i = 0; i < r->open.len; i++)
    free_rows(r->open.data[i]);
  vec_deinit(&r->open);
  arena_deinit(&r->scratch);
  return !r->overflow;
}

/* The cheapest choices there are, without a thought for what they make of each other. */
static double least_cost(const struct reducer *r) {
  double sum = 0;
  for (uint32_t i = 0; i < r->block->n_variables; i++) {
    const struct search_variable *x = &r->block->variables[i];
    double least = INFINITY;
    for (uint32_t c = 0; c < x->n_choices; c++)
      if (search_is_allowed(r, x, c))
        least = fmin(least, search_priced(r, x, c));
    sum += least;
  }
  return sum;
}

/* Where even few rows have too wide a key: the first choice of every variable, which splits nothing
 * where no layout is fixed. */
static void table_of_first(const struct reducer *r, struct arena *arena, struct search_table *out) {
  const struct search_block *b = r->block;
  uint32_t *choices = ARENA_ARRAY(arena, uint32_t, b->n_variables);
  uint32_t made = 0;
  for (uint32_t i = 0; i < b->n_variables; i++) {
    while (choices[i] < b->variables[i].n_choices &&
           !search_is_allowed(r, &b->variables[i], choices[i]))
      choices[i]++;
    if (choices[i] == b->variables[i].n_choices)
      return;
    for (uint32_t k = 0; k < b->variables[i].n_makes; k++)
      if (b->variables[i].makes[k].value == b->output)
        made = b->variables[i].makes[k].classes[choices[i]];
  }
  out->n_in = b->input == SEARCH_NONE ? 1 : b->values[b->input].n_classes;
  out->n_out = b->output == SEARCH_NONE ? 1 : b->values[b->output].n_classes;
  out->n = 0;
  out->entries = ARENA_ARRAY(arena, struct search_entry, out->n_in);
  for (uint32_t in = 0; in < out->n_in; in++) {
    double bytes = 0, time = search_block_time(b, choices, in, &bytes);
    if (!isinf(time))
      out->entries[out->n++] = (struct search_entry){in, made, time, bytes, choices};
  }
}

/* The rows that are kept when it is late. */
#define BEAM 400

struct search_memo *search_memo_create(const struct search_block *block, struct arena *arena) {
  struct search_memo *memo = ARENA_NEW(arena, struct search_memo);
  *memo = (struct search_memo){.block = block, .arena = arena};
  memo->n_readers = ARENA_ARRAY(arena, uint32_t, block->n_values + 1);
  memo->penalties = ARENA_ARRAY(arena, struct penalties, block->n_values + 1);
  for (uint32_t i = 0; i < block->n_variables; i++)
    for (uint32_t k = 0; k < block->variables[i].n_reads; k++)
      memo->n_readers[block->variables[i].reads[k].value]++;
  return memo;
}

void search_table_build(struct search_memo *memo, const uint16_t *fixed, struct search_aim aim,
                        struct search_clock clock, struct arena *arena, struct search_table *out) {
  struct reducer r = {.block = memo->block,
                      .memo = memo,
                      .n_readers = memo->n_readers,
                      .fixed = fixed,
                      .with_bytes = aim.fronts,
                      .price = aim.fronts ? 0 : aim.price,
                      .slack = aim.fronts ? aim.slack : INFINITY,
                      .slack_price = aim.fronts && !isinf(aim.slack) ? aim.price : 0,
                      .clock = clock};
  *out = (struct search_table){.n_in = 1, .n_out = 1};
  out->bound = least_cost(&r);
  struct reducer again = r;
  if (!search_is_late(&clock) && table_try(&r, arena, out))
    return;
  again.beam = BEAM;
  out->truncated = true;
  if (!isinf(r.slack))
    return;
  if (!table_try(&again, arena, out) || !out->n)
    table_of_first(&again, arena, out);
}

struct search_table *search_table_join(const struct search_table *a, const struct search_table *b,
                                       struct arena *arena) {
  struct search_table *out = ARENA_NEW(arena, struct search_table);
  *out = (struct search_table){
      .n_in = a->n_in, .n_out = a->n_out, .truncated = a->truncated || b->truncated, .bound = 0};
  struct search_entry *all = ARENA_ARRAY(arena, struct search_entry, a->n + b->n);
  memcpy(all, a->entries, a->n * sizeof *all);
  memcpy(all + a->n, b->entries, b->n * sizeof *all);
  if (a->n + b->n)
    qsort(all, a->n + b->n, sizeof *all, by_ends);
  for (uint32_t i = 0; i < a->n + b->n; i++) {
    const struct search_entry *last = out->n ? &all[out->n - 1] : NULL;
    bool again =
        last && last->in == all[i].in && last->out == all[i].out && last->bytes <= all[i].bytes;
    if (!again)
      all[out->n++] = all[i];
  }
  out->entries = all;
  return out;
}
