/* SPDX-License-Identifier: Apache-2.0 */
/* Forks and joins, at once.
 *
 * Queries, keys and values of one norm go to one attention. Joined two by two, the set of classes
 * in which they want the norm would be part of the key. All at once it need not be: for each row of
 * the hub and each class that the producer makes, readers that want the same share a conversion, so
 * the best is the best partition of the readers into such sets. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "passes/partition/search_relation.h"

static struct relation *relation_with(const struct reducer *r, uint32_t v, bool made,
                                      uint32_t from) {
  for (uint32_t i = from; i < r->open.len; i++)
    if (r->open.data[i]->columns[v].open && r->open.data[i]->columns[v].made == made)
      return r->open.data[i];
  return NULL;
}

/* The one other value of a reader, made there and read once, by the hub. */
static bool star_reader(const struct reducer *r, struct star *s, struct relation *x) {
  uint32_t passed = SEARCH_NONE;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    if (!x->columns[v].open || v == s->value)
      continue;
    if (passed != SEARCH_NONE || !x->columns[v].made || r->n_readers[v] != 1 || search_is_end(r, v))
      return false;
    passed = v;
  }
  struct relation *hub = passed == SEARCH_NONE ? NULL : relation_with(r, passed, false, 0);
  if (!hub || hub == x || x->columns[s->value].n_readers != 1 || (s->hub && s->hub != hub) ||
      s->n == STAR_READERS)
    return false;
  s->hub = hub;
  s->passed[s->n] = passed;
  s->readers[s->n++] = x;
  return true;
}

/* The columns of a fork, joined; false where its key is too wide. */
static bool star_columns(const struct reducer *r, const struct star *s, struct column *out) {
  bool end = search_is_end(r, s->value);
  search_columns_join(r, s->producer, s->hub, end ? SEARCH_NONE : s->value, out);
  out[s->value].n_readers = r->n_readers[s->value];
  for (uint32_t i = 0; i < s->n; i++)
    out[s->passed[i]] = (struct column){0};
  return search_columns_place(r, out);
}

/* The hub may read the value itself, and hub and producer other values too. */
bool star_find(const struct reducer *r, struct star *out) {
  struct column columns[r->block->n_values + 1];
  for (uint32_t v = 0; v < r->block->n_values && !r->with_bytes; v++) {
    struct star s = {.value = v, .producer = relation_with(r, v, true, 0)};
    const struct relation *other = NULL;
    bool fits = s.producer && v != r->block->output && r->n_readers[v] > 1 &&
                !s.producer->columns[v].n_readers;
    for (uint32_t i = 0; i < r->open.len && fits; i++) {
      struct relation *x = r->open.data[i];
      if (!x->columns[v].open || x == s.producer || star_reader(r, &s, x))
        continue;
      fits = !other;
      other = x;
    }
    uint32_t apart = other ? other->columns[v].n_readers : 0;
    if (!fits || s.n < 2 || s.n + apart != r->n_readers[v] || s.hub == s.producer ||
        (other && other != s.hub) || !star_columns(r, &s, columns))
      continue;
    *out = s;
    return true;
  }
  return false;
}

/* The cheapest row of a reader by (class that the hub wants, class wanted of the value). */
struct star_table {
  double *time;
  uint32_t *row;
};

static void star_table_build(struct reducer *r, const struct star *s, uint32_t i, uint32_t n_wanted,
                             struct star_table *out) {
  const struct relation *x = s->readers[i];
  const struct search_value *passed = &r->block->values[s->passed[i]];
  size_t n = (size_t)passed->n_classes * n_wanted;
  out->time = ARENA_ARRAY(&r->scratch, double, n);
  out->row = ARENA_ARRAY(&r->scratch, uint32_t, n);
  for (size_t k = 0; k < n; k++)
    out->time[k] = INFINITY;
  for (uint32_t k = 0; k < x->n; k++) {
    struct content made, wanted;
    search_content_read(&x->columns[s->passed[i]], x->rows[k].key, &made);
    search_content_read(&x->columns[s->value], x->rows[k].key, &wanted);
    for (uint32_t c = 0; c < passed->n_classes; c++) {
      double time = x->rows[k].time + passed->convert[made.made * passed->n_classes + c];
      size_t at = (size_t)c * n_wanted + wanted.wanted[0];
      if (time >= out->time[at])
        continue;
      out->time[at] = time;
      out->row[at] = k;
    }
  }
}

/* For every set of readers and class: what the readers take if all want it. */
static void star_sums(const struct star *s, const double *const *times, uint32_t n, double *sums) {
  for (uint32_t m = 1; m < 1u << s->n; m++) {
    uint32_t first = (uint32_t)__builtin_ctz(m), rest = m & (m - 1);
    for (uint32_t w = 0; w < n; w++)
      sums[m * n + w] = times[first][w] + (rest ? sums[rest * n + w] : 0);
  }
}

static double star_least(const double *sums, const double *convert, uint32_t n) {
  double least = INFINITY;
  for (uint32_t w = 0; w < n; w++) {
    double time = sums[w] + convert[w];
    least = time < least ? time : least;
  }
  return least;
}

/* The best class for each set of readers, then the best partition into sets. */
static double star_best(const struct star *s, const double *sums, const double *convert, uint32_t n,
                        uint32_t *out_classes) {
  double set[1 << STAR_READERS], best[1 << STAR_READERS] = {0};
  uint32_t taken[1 << STAR_READERS], all = (1u << s->n) - 1;
  for (uint32_t m = 1; m <= all; m++) {
    set[m] = star_least(sums + (size_t)m * n, convert, n);
    best[m] = INFINITY;
    for (uint32_t sub = m; sub; sub = (sub - 1) & m) {
      if (!(sub & (m & -m)) || set[sub] + best[m ^ sub] >= best[m])
        continue;
      best[m] = set[sub] + best[m ^ sub];
      taken[m] = sub;
    }
  }
  for (uint32_t m = all; m && !isinf(best[all]); m ^= taken[m]) {
    uint32_t w = 0;
    while (sums[(size_t)taken[m] * n + w] + convert[w] != set[taken[m]])
      w++;
    for (uint32_t i = 0; i < s->n; i++)
      if (taken[m] >> i & 1)
        out_classes[i] = w;
  }
  return best[all];
}

/* By the class that the producer makes, so that each is looked at once. */
static void star_sort(struct star *s) {
  struct relation *x = s->producer;
  const struct column *c = &x->columns[s->value];
  for (uint32_t i = 1; i < x->n; i++) {
    struct row row = x->rows[i];
    struct content a, b;
    uint32_t k = i;
    search_content_read(c, row.key, &a);
    for (; k > 0; k--) {
      search_content_read(c, x->rows[k - 1].key, &b);
      if (b.made <= a.made)
        break;
      x->rows[k] = x->rows[k - 1];
    }
    x->rows[k] = row;
  }
}

/* The tables of the readers, and the costs of one row of the hub. */
struct star_costs {
  struct star_table tables[STAR_READERS];
  size_t at[STAR_READERS]; /* into the tables: what the hub's row wants */
  struct content apart;    /* what it wants of the value itself */
  double *sums, *convert;
};

static void star_open_hub(struct reducer *r, const struct star *s, uint32_t hub,
                          struct star_costs *c) {
  uint32_t n = r->block->values[s->value].n_classes;
  const double *times[STAR_READERS];
  row_key key = s->hub->rows[hub].key;
  for (uint32_t i = 0; i < s->n; i++) {
    struct content content;
    search_content_read(&s->hub->columns[s->passed[i]], key, &content);
    c->at[i] = (size_t)content.wanted[0] * n;
    times[i] = c->tables[i].time + c->at[i];
  }
  c->apart.n = 0;
  if (s->hub->columns[s->value].open)
    search_content_read(&s->hub->columns[s->value], key, &c->apart);
  star_sums(s, times, n, c->sums);
}

/* The best that readers and the hub's own wants take where the producer makes that class; INFINITY,
 * or the readers' rows are written down. */
static double star_cost(struct reducer *r, const struct star *s, struct star_costs *c,
                        uint32_t made, struct star_record *out) {
  const struct search_value *value = &r->block->values[s->value];
  uint32_t n = value->n_classes, classes[STAR_READERS];
  double paid = 0;
  memcpy(c->convert, value->convert + (size_t)made * n, n * sizeof *c->convert);
  for (uint32_t i = 0; i < c->apart.n; i++) {
    paid += c->convert[c->apart.wanted[i]];
    c->convert[c->apart.wanted[i]] = 0;
  }
  double time = paid + star_best(s, c->sums, c->convert, n, classes);
  for (uint32_t i = 0; i < s->n && !isinf(time); i++)
    out->readers[i] = c->tables[i].row[c->at[i] + classes[i]];
  return time;
}

/* Hub and producer as a join, but for the value: what the hub wants of it is paid for. */
static void star_sides(struct reducer *r, const struct star *s, struct column *columns,
                       struct join *hub, struct join *producer) {
  uint32_t n = r->block->n_values;
  *hub = (struct join){.a = s->hub, .b = s->producer, .columns = columns, .matched = SEARCH_NONE};
  hub->both = ARENA_ARRAY(&r->scratch, uint32_t, n);
  hub->one = ARENA_ARRAY(&r->scratch, uint32_t, n);
  for (uint32_t v = 0; v < n; v++) {
    if (v == s->value)
      continue;
    if (s->hub->columns[v].open && s->producer->columns[v].open)
      hub->both[hub->n_both++] = v;
    else if (columns[v].open)
      hub->one[hub->n_one++] = v;
  }
  *producer = *hub; /* which has the value in the key where that is an end */
  if (search_is_end(r, s->value))
    producer->one[producer->n_one++] = s->value;
}

struct relation *star_join(struct reducer *r, const struct star *found) {
  struct relation *out = relation_create(r);
  struct star *s = arena_memdup(&r->scratch, found, sizeof *found);
  star_sort(s);
  uint32_t n = r->block->values[s->value].n_classes, n_records = 0;
  struct join hub_side, producer_side;
  struct star_costs costs = {.sums = ARENA_ARRAY(&r->scratch, double, (size_t)n << s->n),
                             .convert = ARENA_ARRAY(&r->scratch, double, n)};
  struct row_map map = {0};
  star_columns(r, s, out->columns);
  star_sides(r, s, out->columns, &hub_side, &producer_side);
  for (uint32_t i = 0; i < s->n; i++)
    star_table_build(r, s, i, n, &costs.tables[i]);
  struct joint_row *hubs = joint_rows(&hub_side, s->hub);
  struct joint_row *producers = joint_rows(&producer_side, s->producer);
  s->records = ARENA_ARRAY(&r->scratch, struct star_record, (size_t)s->hub->n * n);
  for (uint32_t h = 0; h < s->hub->n && !r->overflow; h++) {
    uint32_t last = SEARCH_NONE;
    double time = INFINITY, bytes = 0;
    star_open_hub(r, s, h, &costs);
    for (uint32_t k = 0; k < s->producer->n; k++) {
      struct content made;
      const struct row *x = &s->hub->rows[h], *y = &s->producer->rows[k];
      search_content_read(&s->producer->columns[s->value], y->key, &made);
      if (made.made != last) {
        struct star_record *record = &s->records[n_records];
        last = made.made;
        time = star_cost(r, s, &costs, last, record);
        record->hub = h;
        bytes = 0;
        for (uint32_t i = 0; i < s->n && !isinf(time); i++)
          bytes += s->readers[i]->rows[record->readers[i]].bytes;
        n_records += !isinf(time);
      }
      if (isinf(time))
        continue;
      struct row row = {0, x->time + time + y->time, x->bytes + y->bytes + bytes, n_records - 1, k};
      join_pair(r, &hub_side, &hubs[h], &producers[k], row, out, &map);
    }
  }
  joint_rows_free(hubs, s->hub->n);
  joint_rows_free(producers, s->producer->n);
  out->star = s;
  relation_thin(r, out, &map);
  relation_trim(r, out);
  relation_prune(r, out);
  LOG("search", 2, "fork of %u into %u rows: %u", s->n, s->hub->n, out->n);
  return out;
}

/* Whether joining a reader to a hub would break a fork that star_find may yet find: the reader
 * wants a value that others want too, and the hub waits for several. */
bool breaks_star(const struct reducer *r, const struct relation *reader,
                 const struct relation *hub) {
  uint32_t shared = 0, waited = 0;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    shared += reader->columns[v].open && !reader->columns[v].made && r->n_readers[v] > 1 &&
              !hub->columns[v].open;
    waited += hub->columns[v].open && !hub->columns[v].made;
  }
  return shared == 1 && waited > 1 && !r->with_bytes;
}
