/* SPDX-License-Identifier: Apache-2.0 */
/* Relations joined two by two: see search_relation.h. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "passes/partition/search_relation.h"

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

struct joint_row *joint_rows(const struct join *j, const struct relation *x) {
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

void joint_rows_free(struct joint_row *rows, uint32_t n) {
  mem_free(rows[n].contents);
  mem_free(rows);
}

void join_pair(struct reducer *r, const struct join *j, const struct joint_row *a,
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
/* To close a gap. */
#define MOST_SLACK_PAIRS (UINT64_C(1) << 25)

static void look_at_clock(struct reducer *r) {
  if (r->pairs < PAIRS_PER_LOOK || r->beam)
    return;
  r->all_pairs += r->pairs;
  r->pairs = 0;
  r->overflow |= !isinf(r->slack) && r->all_pairs > MOST_SLACK_PAIRS;
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

uint32_t join_matched(const struct reducer *r, const struct relation *a, const struct relation *b) {
  for (uint32_t v = 0; v < r->block->n_values; v++)
    if (a->columns[v].open && b->columns[v].open && r->n_readers[v] == 1 && a->columns[v].made &&
        !search_is_end(r, v))
      return v;
  return SEARCH_NONE;
}

struct relation *relation_join(struct reducer *r, struct relation *a, struct relation *b) {
  uint32_t matched = join_matched(r, a, b);
  if (matched == SEARCH_NONE) {
    struct relation *held = a;
    matched = join_matched(r, b, a);
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
