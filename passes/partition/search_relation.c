/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and rows of relations: see search_relation.h. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "passes/partition/search_relation.h"

#define MOST_ROWS (4u << 20)
/* Of fronts with a slack, which are only made to close a gap. */
#define MOST_SLACK_ROWS (1u << 20)

/* ---- keys ---- */

static uint32_t bits_for(uint32_t n) {
  uint32_t bits = 0;
  while (n >> bits)
    bits++;
  return bits;
}

void search_content_read(const struct column *c, row_key key, struct content *out) {
  uint32_t mask = (1u << c->bits) - 1;
  out->made = c->made ? (uint32_t)(key >> c->shift_made) & mask : SEARCH_NONE;
  out->n = 0;
  for (uint32_t i = 0; i < c->n_wanted; i++) {
    uint32_t x = (uint32_t)(key >> (c->shift_wanted + i * c->bits)) & mask;
    if (!x)
      break;
    out->wanted[out->n++] = (uint16_t)(x - 1);
  }
}

row_key search_content_key(const struct column *c, const struct content *x) {
  row_key key = c->made ? (row_key)x->made << c->shift_made : 0;
  for (uint32_t i = 0; i < x->n; i++)
    key |= (row_key)(x->wanted[i] + 1) << (c->shift_wanted + i * c->bits);
  return key;
}

void search_content_add(struct content *x, uint16_t wanted) {
  uint32_t i = x->n;
  for (uint32_t k = 0; k < x->n; k++)
    if (x->wanted[k] == wanted)
      return;
  for (; i > 0 && x->wanted[i - 1] > wanted; i--)
    x->wanted[i] = x->wanted[i - 1];
  x->wanted[i] = wanted;
  x->n++;
}

/* Whether a value has nothing more to meet; the ends of the block stay in the key. */
static bool is_complete(const struct reducer *r, uint32_t v, const struct column *c) {
  return c->made && c->n_readers == r->n_readers[v];
}
bool search_is_end(const struct reducer *r, uint32_t v) {
  return v == r->block->input || v == r->block->output;
}

/* Places the columns; false where the key has too few bits. */
bool search_columns_place(const struct reducer *r, struct column *columns) {
  uint32_t shift = 0;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    struct column *c = &columns[v];
    bool complete = is_complete(r, v, c);
    if (!c->open || (complete && !search_is_end(r, v))) {
      c->open = c->open && search_is_end(r, v);
      c->n_wanted = 0;
      if (!c->open)
        c->made = false;
      continue;
    }
    c->bits = bits_for(r->block->values[v].n_classes);
    c->n_wanted = complete ? 0 : c->n_wanted;
    c->shift_made = shift;
    shift += c->made ? c->bits : 0;
    c->shift_wanted = shift;
    shift += c->n_wanted * c->bits;
  }
  return shift <= 8 * sizeof(row_key);
}

/* ---- Pareto fronts by key ---- */

uint64_t row_key_hash(row_key key) {
  uint64_t h = (uint64_t)key * 0x9E3779B97F4A7C15u ^ (uint64_t)(key >> 64) * 0xC2B2AE3D27D4EB4Fu;
  return h ^ h >> 29;
}

static void row_map_resize(struct row_map *m, const struct relation *x, uint32_t n_slots) {
  mem_free(m->slots);
  m->slots = mem_alloc(n_slots * sizeof *m->slots);
  memset(m->slots, 0xff, n_slots * sizeof *m->slots);
  m->n_slots = n_slots;
  for (uint32_t i = 0; i < x->n; i++) {
    uint32_t *slot = &m->slots[row_key_hash(x->rows[i].key) & (n_slots - 1)];
    m->next[i] = *slot;
    *slot = i;
  }
}

static void relation_push(struct reducer *r, struct relation *x, struct row_map *m,
                          const struct row *row) {
  if (x->n == (isinf(r->slack) ? MOST_ROWS : MOST_SLACK_ROWS)) {
    r->overflow = true;
    return;
  }
  if (x->n == x->cap) {
    x->cap = x->cap ? 2 * x->cap : 256;
    x->rows = mem_realloc(x->rows, (size_t)x->cap * sizeof *x->rows);
    m->next = mem_realloc(m->next, (size_t)x->cap * sizeof *m->next);
  }
  if (2 * (uint64_t)x->n >= m->n_slots)
    row_map_resize(m, x, m->n_slots ? 2 * m->n_slots : 512);
  uint32_t *slot = &m->slots[row_key_hash(row->key) & (m->n_slots - 1)];
  x->rows[x->n] = *row;
  m->next[x->n] = *slot;
  *slot = x->n++;
}

/* a is as good as b in both, or in time alone where bytes do not count (ties by bytes). */
static bool dominates(const struct reducer *r, const struct row *a, const struct row *b) {
  if (r->with_bytes)
    return a->time <= b->time && a->bytes <= b->bytes;
  return a->time < b->time || (a->time == b->time && a->bytes <= b->bytes);
}

/* By more than the slack. */
static bool is_dearer(const struct reducer *r, const struct row *a, const struct row *b) {
  return search_row_cost(r, a->time, a->bytes) * (1 - 1e-12) >
         search_row_cost(r, b->time, b->bytes) + r->slack;
}

/* Adds a row unless its front has a better one; takes the place of one that it beats. Others that
 * it beats stay until relation_thin. */
void relation_add(struct reducer *r, struct relation *x, struct row_map *m, const struct row *row) {
  if (m->n_slots) {
    uint32_t beaten = SEARCH_NONE;
    for (uint32_t i = m->slots[row_key_hash(row->key) & (m->n_slots - 1)]; i != SEARCH_NONE;
         i = m->next[i]) {
      if (x->rows[i].key != row->key)
        continue;
      if (dominates(r, &x->rows[i], row) || (r->with_bytes && is_dearer(r, row, &x->rows[i])))
        return;
      if (dominates(r, row, &x->rows[i]))
        beaten = i;
    }
    if (beaten != SEARCH_NONE) {
      x->rows[beaten] = *row;
      return;
    }
  }
  relation_push(r, x, m, row);
}

static int by_key(const void *a, const void *b) {
  const struct row *x = a, *y = b;
  if (x->key != y->key)
    return x->key < y->key ? -1 : 1;
  if (x->time != y->time)
    return x->time < y->time ? -1 : 1;
  if (x->bytes != y->bytes)
    return x->bytes < y->bytes ? -1 : 1;
  return x->left != y->left ? (x->left < y->left ? -1 : 1)
                            : (x->right > y->right) - (x->right < y->right);
}

/* Of each key, rows stay that are within the slack of its cheapest. */
static void thin_by_slack(const struct reducer *r, struct relation *x) {
  uint32_t kept = 0;
  for (uint32_t i = 0, end; i < x->n; i = end) {
    uint32_t best = i;
    for (end = i; end < x->n && x->rows[end].key == x->rows[i].key; end++)
      if (search_row_cost(r, x->rows[end].time, x->rows[end].bytes) <
          search_row_cost(r, x->rows[best].time, x->rows[best].bytes))
        best = end;
    struct row least = x->rows[best];
    for (uint32_t k = i; k < end; k++)
      if (!is_dearer(r, &x->rows[k], &least))
        x->rows[kept++] = x->rows[k];
  }
  x->n = kept;
}

/* In order of keys, each key's rows a strict front. */
void relation_thin(const struct reducer *r, struct relation *x, struct row_map *m) {
  mem_free(m->slots);
  mem_free(m->next);
  if (x->n)
    qsort(x->rows, x->n, sizeof *x->rows, by_key);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < x->n; i++) {
    if (kept && x->rows[kept - 1].key == x->rows[i].key &&
        dominates(r, &x->rows[kept - 1], &x->rows[i]))
      continue;
    x->rows[kept++] = x->rows[i];
  }
  x->n = kept;
  if (!isinf(r->slack))
    thin_by_slack(r, x);
}

/* ---- columns ---- */

struct relation *relation_create(struct reducer *r) {
  struct relation *out = ARENA_NEW(&r->scratch, struct relation);
  out->columns = ARENA_ARRAY(&r->scratch, struct column, r->block->n_values);
  out->variable = SEARCH_NONE;
  vec_push(&r->open, out);
  return out;
}

/* The columns of a join. `matched`: a value that both sides agree on already, and that is closed.
 */
bool search_columns_join(const struct reducer *r, const struct relation *a,
                         const struct relation *b, uint32_t matched, struct column *out) {
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    const struct column *x = &a->columns[v], *y = &b->columns[v];
    out[v] = (struct column){.open = (x->open || y->open) && v != matched,
                             .made = (x->made || y->made) && v != matched,
                             .n_readers = x->n_readers + y->n_readers,
                             .n_wanted = x->n_wanted + y->n_wanted};
  }
  return search_columns_place(r, out);
}

row_key join_carry(const struct join *j, const struct relation *side, row_key key) {
  row_key out = 0;
  for (uint32_t i = 0; i < j->n_one; i++) {
    const struct column *c = &side->columns[j->one[i]];
    struct content x;
    if (!c->open)
      continue;
    search_content_read(c, key, &x);
    out |= search_content_key(&j->columns[j->one[i]], &x);
  }
  return out;
}
