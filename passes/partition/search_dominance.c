/* SPDX-License-Identifier: Apache-2.0 */
/* Dominated choices and rows: those that another beats whatever the rest does (dead-end
 * elimination, Goldstein 1994). */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "passes/partition/search_relation.h"

/* ---- what other classes may cost ---- */

/* The most that making class `to` instead of `from` may cost: what the readers' conversions cost
 * more, in the worst set of as many classes as there are readers. */
static double penalty_made(const struct search_value *v, uint32_t n_readers, uint32_t from,
                           uint32_t to) {
  double worst[SEARCH_MAX_READERS] = {0};
  if (from == to)
    return 0;
  for (uint32_t w = 0; w < v->n_classes; w++) {
    double a = v->convert[from * v->n_classes + w], b = v->convert[to * v->n_classes + w];
    double more = isinf(a) ? 0 : b - a;
    for (uint32_t i = 0; i < n_readers; i++) {
      if (more <= worst[i])
        continue;
      double held = worst[i];
      worst[i] = more;
      more = held;
    }
  }
  double sum = 0;
  for (uint32_t i = 0; i < n_readers; i++)
    sum += worst[i];
  return sum;
}

/* The same, remembered. */
static double made_instead(struct reducer *r, uint32_t v, uint32_t from, uint32_t to) {
  const struct search_value *value = &r->block->values[v];
  struct penalties *p = &r->memo->penalties[v];
  if (from == to)
    return 0;
  if (v == r->block->output || v == r->block->input)
    return INFINITY;
  if (!p->made) {
    p->made = ARENA_ARRAY(r->memo->arena, double, (size_t)value->n_classes * value->n_classes);
    for (uint32_t i = 0; i < value->n_classes * value->n_classes; i++)
      p->made[i] = -1;
  }
  double *cell = &p->made[from * value->n_classes + to];
  if (*cell < 0)
    *cell = penalty_made(value, r->n_readers[v], from, to);
  return *cell;
}

/* The most that wanting a class costs. */
static double wanted_too(struct reducer *r, uint32_t v, uint32_t to) {
  const struct search_value *value = &r->block->values[v];
  struct penalties *p = &r->memo->penalties[v];
  if (!p->wanted) {
    p->wanted = ARENA_ARRAY(r->memo->arena, double, value->n_classes);
    for (uint32_t made = 0; made < value->n_classes; made++)
      for (uint32_t w = 0; w < value->n_classes; w++)
        p->wanted[w] = fmax(p->wanted[w], value->convert[made * value->n_classes + w]);
  }
  return p->wanted[to];
}

/* An upper bound of what taking choice b instead of a may cost elsewhere. */
static double penalty_of(struct reducer *r, const struct search_variable *x, uint32_t a,
                         uint32_t b) {
  double sum = 0;
  for (uint32_t i = 0; i < x->n_ties; i++)
    if (x->ties[i].layouts[a] != x->ties[i].layouts[b])
      return INFINITY;
  for (uint32_t i = 0; i < x->n_makes; i++)
    sum += made_instead(r, x->makes[i].value, x->makes[i].classes[a], x->makes[i].classes[b]);
  for (uint32_t i = 0; i < x->n_reads; i++)
    if (x->reads[i].classes[a] != x->reads[i].classes[b])
      sum += wanted_too(r, x->reads[i].value, x->reads[i].classes[b]);
  return sum;
}

double search_priced(const struct reducer *r, const struct search_variable *x, uint32_t choice) {
  return x->time[choice] + r->price * x->bytes[choice];
}

double search_row_cost(const struct reducer *r, double time, double bytes) {
  return time + r->slack_price * bytes;
}

bool search_is_allowed(const struct reducer *r, const struct search_variable *x, uint32_t choice) {
  for (uint32_t i = 0; r->fixed && i < x->n_ties; i++) {
    uint16_t fixed = r->fixed[x->ties[i].weight];
    if (fixed != SEARCH_ANY_LAYOUT && fixed != x->ties[i].layouts[choice])
      return false;
  }
  return !isinf(x->time[choice]);
}

/* How much having b instead of a may cost elsewhere if a is to go; not above 0: it stays. With
 * bytes, b must be better in both, or by the slack in what it costs. */
static double margin_over(const struct reducer *r, const struct row *a, const struct row *b) {
  /* A margin, since sums of the rest are rounded. */
  double margin = a->time * (1 - 1e-12) - b->time;
  if (!r->with_bytes)
    return margin;
  double cost = search_row_cost(r, a->time, a->bytes) * (1 - 1e-12) -
                search_row_cost(r, b->time, b->bytes) - r->slack;
  return b->bytes <= a->bytes ? fmax(margin, cost) : cost;
}

/* Goldstein's criterion: a choice goes if another is better whatever the rest does. Strictly, so
 * that of equals none goes for another that went. */
bool search_is_dead_end(struct reducer *r, const struct search_variable *x, uint32_t a) {
  struct row of_a = {.time = search_priced(r, x, a), .bytes = x->bytes[a]};
  for (uint32_t b = 0; b < x->n_choices; b++) {
    struct row of_b = {.time = search_priced(r, x, b), .bytes = x->bytes[b]};
    if (a == b || !search_is_allowed(r, x, b))
      continue;
    double margin = margin_over(r, &of_a, &of_b);
    if (margin > 0 && penalty_of(r, x, a, b) < margin)
      return true;
  }
  return false;
}

/* ---- dominated rows ---- */

/* The most that having the contents `to` of a value instead of `from` may cost. */
static double content_instead(struct reducer *r, uint32_t v, const struct content *from,
                              const struct content *to) {
  const struct search_value *value = &r->block->values[v];
  bool known = from->made != SEARCH_NONE;
  const struct content *lost = known ? from : to, *kept = known ? to : from;
  double sum = known ? made_instead(r, v, from->made, to->made) : 0;
  for (uint32_t i = 0, k = 0; i < lost->n; i++) {
    while (k < kept->n && kept->wanted[k] < lost->wanted[i])
      k++;
    if (k == kept->n || kept->wanted[k] != lost->wanted[i])
      sum += known ? value->convert[to->made * value->n_classes + lost->wanted[i]]
                   : wanted_too(r, v, lost->wanted[i]);
  }
  return sum;
}

static double row_instead(struct reducer *r, const struct relation *x, row_key from, row_key to,
                          double most) {
  double sum = 0;
  for (uint32_t v = 0; v < r->block->n_values && sum < most; v++) {
    struct content a, b;
    if (!x->columns[v].open)
      continue;
    search_content_read(&x->columns[v], from, &a);
    search_content_read(&x->columns[v], to, &b);
    sum += content_instead(r, v, &a, &b);
  }
  return sum;
}

/* The bits of the block's ends. */
static row_key end_mask(const struct reducer *r, const struct relation *x) {
  row_key mask = 0;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    const struct column *c = &x->columns[v];
    if (c->open && c->made && search_is_end(r, v))
      mask |= (((row_key)1 << c->bits) - 1) << c->shift_made;
  }
  return mask;
}

#define CHAMPIONS 12

/* The cheapest rows of each pair of ends. */
struct champions {
  uint32_t n;
  uint32_t rows[CHAMPIONS];
};

static double cost_of(const struct reducer *r, const struct relation *x, uint32_t row) {
  return search_row_cost(r, x->rows[row].time, x->rows[row].bytes);
}

static void champion_add(const struct reducer *r, const struct relation *x, struct champions *c,
                         uint32_t row) {
  uint32_t i = c->n < CHAMPIONS ? c->n++ : CHAMPIONS;
  double cost = cost_of(r, x, row);
  if (i == CHAMPIONS && cost >= cost_of(r, x, c->rows[CHAMPIONS - 1]))
    return;
  for (i = i == CHAMPIONS ? CHAMPIONS - 1 : i; i > 0 && cost_of(r, x, c->rows[i - 1]) > cost; i--)
    c->rows[i] = c->rows[i - 1];
  c->rows[i] = row;
}

/* Goldstein's criterion once more: rows go that one of the fastest beats whatever is still to come.
 */
void relation_prune(struct reducer *r, struct relation *x) {
  row_key mask = end_mask(r, x);
  struct map index = {0};
  VEC(struct champions) groups = {0};
  uint32_t *group = mem_alloc((x->n + 1) * sizeof *group), kept = 0;
  bool *dead = mem_calloc(x->n + 1, sizeof *dead);
  for (uint32_t i = 0; i < x->n; i++) {
    uint64_t at, key = row_key_hash(x->rows[i].key & mask);
    if (!map_get(&index, key, &at)) {
      at = groups.len;
      map_put(&index, key, at);
      vec_push(&groups, (struct champions){0});
    }
    group[i] = (uint32_t)at;
    champion_add(r, x, &groups.data[at], i);
  }
  for (uint32_t i = 0; i < x->n; i++) {
    const struct champions *c = &groups.data[group[i]];
    for (uint32_t k = 0; k < c->n && !dead[i]; k++) {
      const struct row *a = &x->rows[i], *b = &x->rows[c->rows[k]];
      double margin = margin_over(r, a, b);
      if (margin > 0)
        dead[i] = row_instead(r, x, a->key, b->key, margin) < margin;
    }
  }
  for (uint32_t i = 0; i < x->n; i++)
    if (!dead[i])
      x->rows[kept++] = x->rows[i];
  x->n = kept;
  vec_deinit(&groups);
  map_deinit(&index);
  mem_free(group);
  mem_free(dead);
}

static int by_time(const void *a, const void *b) {
  const struct row *x = a, *y = b;
  if (x->time != y->time)
    return x->time < y->time ? -1 : 1;
  return (x->key > y->key) - (x->key < y->key);
}

#define LEAST_PER_ENDS 3

/* The row of fewest bytes for each pair of ends. */
static void find_smallest(const struct relation *x, row_key mask, struct map *out) {
  for (uint32_t i = 0; i < x->n; i++) {
    uint64_t key = row_key_hash(x->rows[i].key & mask), at;
    if (!map_get(out, key, &at) || x->rows[i].bytes < x->rows[at].bytes)
      map_put(out, key, i);
  }
}

void relation_trim(struct reducer *r, struct relation *x) {
  row_key mask = end_mask(r, x);
  struct map seen = {0}, smallest = {0};
  uint32_t kept = 0;
  if (!r->beam || x->n <= r->beam)
    return;
  qsort(x->rows, x->n, sizeof *x->rows, by_time);
  find_smallest(x, mask, &smallest);
  for (uint32_t i = 0; i < x->n; i++) {
    uint64_t key = row_key_hash(x->rows[i].key & mask), n = 0, least = 0;
    map_get(&seen, key, &n);
    map_get(&smallest, key, &least);
    if (kept >= r->beam && n >= LEAST_PER_ENDS && least != i)
      continue;
    map_put(&seen, key, n + 1);
    x->rows[kept++] = x->rows[i];
  }
  x->n = kept;
  map_deinit(&seen);
  map_deinit(&smallest);
}
