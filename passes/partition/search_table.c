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

/* ---- joins ---- */

/* A value that both sides speak of, brought together. What the side that has the producer wants is
 * paid for; what the other side wants is paid for now. */
static double content_join(const struct search_value *v, const struct content *a,
                           const struct content *b, struct content *out) {
  const struct content *paid = a->made != SEARCH_NONE ? a : b, *other = paid == a ? b : a;
  *out = *paid;
  double time = 0;
  for (uint32_t i = 0; i < other->n; i++) {
    uint32_t before = out->n;
    double cost =
        out->made == SEARCH_NONE ? 0 : v->convert[out->made * v->n_classes + other->wanted[i]];
    if (out->made != SEARCH_NONE && cost == 0)
      continue;
    search_content_add(out, other->wanted[i]);
    time += out->n > before ? cost : 0;
  }
  return time;
}

/* What of a row's key a join looks at. */
struct joint_row {
  row_key carried;
  uint32_t match;           /* class of the matched value */
  struct content *contents; /* by j->both */
};

static struct joint_row *joint_rows(const struct join *j, const struct relation *x) {
  struct joint_row *out = mem_alloc((x->n + 1) * sizeof *out);
  struct content *room = mem_alloc(((size_t)x->n * j->n_both + 1) * sizeof *room);
  out[x->n].contents = room; /* to free */
  for (uint32_t i = 0; i < x->n; i++) {
    struct content match = {0};
    if (j->matched != SEARCH_NONE)
      search_content_read(&x->columns[j->matched], x->rows[i].key, &match);
    out[i].match = match.n ? match.wanted[0] : 0;
    out[i].carried = join_carry(j, x, x->rows[i].key);
    out[i].contents = room + (size_t)i * j->n_both;
    for (uint32_t k = 0; k < j->n_both; k++)
      search_content_read(&x->columns[j->both[k]], x->rows[i].key, &out[i].contents[k]);
  }
  return out;
}

static void joint_rows_free(struct joint_row *rows, uint32_t n) {
  mem_free(rows[n].contents);
  mem_free(rows);
}

/* Row k of b joined to row i of a. */
static void join_pair(struct reducer *r, const struct join *j, const struct joint_row *a,
                      const struct joint_row *b, struct row row, struct relation *out,
                      struct row_map *map) {
  row.key = a->carried | b->carried;
  for (uint32_t n = 0; n < j->n_both; n++) {
    uint32_t v = j->both[n];
    struct content content;
    row.time += content_join(&r->block->values[v], &a->contents[n], &b->contents[n], &content);
    if (!j->columns[v].open)
      continue;
    if (!j->columns[v].n_wanted)
      content.n = 0;
    row.key |= search_content_key(&j->columns[v], &content);
  }
  if (!isinf(row.time))
    relation_add(r, out, map, &row);
}

/* Rows of b by their class of the matched value: a list per class. */
static uint32_t *rows_by_match(const struct reducer *r, const struct join *j,
                               const struct joint_row *rows, uint32_t n, uint32_t **out_next) {
  uint32_t classes = j->matched == SEARCH_NONE ? 1 : r->block->values[j->matched].n_classes;
  uint32_t *first = mem_alloc(classes * sizeof *first), *next = mem_alloc((n + 1) * sizeof *next);
  memset(first, 0xff, classes * sizeof *first);
  for (uint32_t k = n; k-- > 0;) {
    next[k] = first[rows[k].match];
    first[rows[k].match] = k;
  }
  *out_next = next;
  return first;
}

#define PAIRS_PER_LOOK (1u << 18)

static void look_at_clock(struct reducer *r) {
  if (r->pairs < PAIRS_PER_LOOK || r->beam)
    return;
  r->pairs = 0;
  r->overflow |= search_is_late(&r->clock);
}

static void join_rows(struct reducer *r, const struct join *j, struct relation *out) {
  struct row_map map = {0};
  struct joint_row *as = joint_rows(j, j->a), *bs = joint_rows(j, j->b);
  uint32_t *next, *first = rows_by_match(r, j, bs, j->b->n, &next);
  for (uint32_t i = 0; i < j->a->n && !r->overflow; i++) {
    for (uint32_t k = first[as[i].match]; k != SEARCH_NONE; k = next[k]) {
      r->pairs++;
      const struct row *x = &j->a->rows[i], *y = &j->b->rows[k];
      struct row row = {0, x->time + y->time, x->bytes + y->bytes, i, k};
      join_pair(r, j, &as[i], &bs[k], row, out, &map);
    }
    look_at_clock(r);
  }
  joint_rows_free(as, j->a->n);
  joint_rows_free(bs, j->b->n);
  mem_free(first);
  mem_free(next);
  relation_thin(r, out, &map);
}

static void find_values(const struct reducer *r, struct join *j) {
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    if (v != j->matched && j->a->columns[v].open && j->b->columns[v].open)
      j->both[j->n_both++] = v;
    else if (j->columns[v].open)
      j->one[j->n_one++] = v;
  }
}

/* A relation that makes a value, as one that has it in the class that its only reader wants. */
static struct relation *relation_convert(struct reducer *r, struct relation *a, uint32_t v,
                                         const struct relation *reader) {
  struct relation *out = relation_create(r);
  const struct search_value *value = &r->block->values[v];
  uint32_t one[r->block->n_values + 1];
  struct join j = {.columns = out->columns, .one = one, .matched = v};
  bool *needed = ARENA_ARRAY(&r->scratch, bool, value->n_classes);
  struct row_map map = {0};
  struct content content;
  r->open.len--; /* it goes into a join at once */
  for (uint32_t i = 0; i < reader->n; i++) {
    search_content_read(&reader->columns[v], reader->rows[i].key, &content);
    needed[content.wanted[0]] = true;
  }
  memcpy(out->columns, a->columns, r->block->n_values * sizeof *out->columns);
  out->columns[v] = (struct column){.open = true, .n_readers = 1, .n_wanted = 1};
  search_columns_place(r, out->columns);
  for (uint32_t k = 0; k < r->block->n_values; k++)
    if (k != v && out->columns[k].open)
      one[j.n_one++] = k;
  for (uint32_t i = 0; i < a->n; i++) {
    row_key carried = join_carry(&j, a, a->rows[i].key);
    search_content_read(&a->columns[v], a->rows[i].key, &content);
    for (uint32_t w = 0; w < value->n_classes; w++) {
      struct content to = {.made = SEARCH_NONE, .n = 1, .wanted = {(uint16_t)w}};
      struct row row = {carried | search_content_key(&out->columns[v], &to),
                        a->rows[i].time + value->convert[content.made * value->n_classes + w],
                        a->rows[i].bytes, i, 0};
      if (needed[w] && !isinf(row.time))
        relation_add(r, out, &map, &row);
    }
  }
  out->left = a;
  relation_thin(r, out, &map);
  return out;
}

/* A value made on one side, and read once, on the other. */
static uint32_t find_matched(const struct reducer *r, const struct relation *a,
                             const struct relation *b) {
  for (uint32_t v = 0; v < r->block->n_values; v++)
    if (a->columns[v].open && b->columns[v].open && r->n_readers[v] == 1 && a->columns[v].made &&
        !search_is_end(r, v))
      return v;
  return SEARCH_NONE;
}

static struct relation *relation_join(struct reducer *r, struct relation *a, struct relation *b) {
  uint32_t matched = find_matched(r, a, b);
  if (matched == SEARCH_NONE) {
    struct relation *held = a;
    matched = find_matched(r, b, a);
    a = matched == SEARCH_NONE ? a : b;
    b = matched == SEARCH_NONE ? b : held;
  }
  if (matched != SEARCH_NONE)
    a = relation_convert(r, a, matched, b);
  struct relation *out = relation_create(r);
  struct join j = {.a = a, .b = b, .columns = out->columns, .matched = matched};
  j.both = ARENA_ARRAY(&r->scratch, uint32_t, r->block->n_values);
  j.one = ARENA_ARRAY(&r->scratch, uint32_t, r->block->n_values);
  search_columns_join(r, a, b, matched, out->columns);
  find_values(r, &j);
  out->left = a;
  out->right = b;
  join_rows(r, &j, out);
  uint32_t before = out->n;
  relation_trim(r, out);
  relation_prune(r, out);
  LOG("search", 2, "join %u x %u rows: %u, %u after pruning", a->n, b->n, before, out->n);
  return out;
}

/* ---- the order ---- */

/* How much work a join is, and how large its result may be, as logarithms; INFINITY where its key
 * is too wide. Relations that share nothing are joined last. */
static double join_size(const struct reducer *r, const struct relation *a,
                        const struct relation *b) {
  struct column columns[r->block->n_values + 1];
  uint32_t matched = find_matched(r, a, b);
  bool meet = false, late = matched != SEARCH_NONE && breaks_star(r, a, b);
  if (matched == SEARCH_NONE) {
    matched = find_matched(r, b, a);
    late = matched != SEARCH_NONE && breaks_star(r, b, a);
  }
  double work = log2(1.0 + a->n) + log2(1.0 + b->n), keys = 0;
  if (matched != SEARCH_NONE)
    work -= log2(1.0 + r->block->values[matched].n_classes);
  if (!search_columns_join(r, a, b, matched, columns))
    return INFINITY;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    meet |= a->columns[v].open && b->columns[v].open;
    if (columns[v].open)
      keys += log2(r->block->values[v].n_classes) * (columns[v].made + columns[v].n_wanted);
  }
  return fmin(work, keys) + 0.5 * work + (meet ? 0 : 1e6) + (late ? 24 : 0);
}

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
    struct relation *a = NULL, *b = NULL;
    double best = INFINITY;
    for (uint32_t i = 0; i < r->open.len; i++) {
      for (uint32_t k = i + 1; k < r->open.len; k++) {
        double size = join_size(r, r->open.data[i], r->open.data[k]);
        if (a && size >= best)
          continue;
        best = size;
        a = r->open.data[i];
        b = r->open.data[k];
      }
    }
    if (isinf(best)) { /* no key is wide enough */
      r->overflow = true;
      break;
    }
    relation_join(r, a, b);
    drop_open(r, a);
    drop_open(r, b);
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
    out->entries[i] = (struct search_entry){
        end_class(x, b->input, x->rows[i].key), end_class(x, b->output, x->rows[i].key),
        x->rows[i].time - r->price * x->rows[i].bytes, x->rows[i].bytes, choices};
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
                      .clock = clock};
  *out = (struct search_table){.n_in = 1, .n_out = 1};
  out->bound = least_cost(&r);
  struct reducer again = r;
  if (!search_is_late(&clock) && table_try(&r, arena, out))
    return;
  again.beam = BEAM;
  out->truncated = true;
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
