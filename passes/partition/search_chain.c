/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of transfer tables: see search_chain.h. */
#include "passes/partition/search_chain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/vec.h"

#define MAX_FRONT 20000

/* The classes that the ends of a chain have. */
static uint32_t states_before(const struct search_table *const *tables, uint32_t n, uint32_t i) {
  return i < n ? tables[i]->n_in : n ? tables[n - 1]->n_out : 1;
}

/* ---- scalars: time + price * bytes ---- */

struct priced {
  double cost, bytes;
};

static bool less(double cost, double bytes, const struct priced *than) {
  return cost < than->cost || (cost == than->cost && bytes < than->bytes);
}

/* The cheapest way from each state before block i to the end; rows of `width`. */
static struct priced *costs_to_go(const struct search_table *const *tables, uint32_t n,
                                  double price, uint32_t width) {
  struct priced *to_go = mem_alloc((size_t)(n + 1) * width * sizeof *to_go);
  for (uint32_t s = 0; s < width; s++)
    to_go[(size_t)n * width + s] = (struct priced){0, 0};
  for (uint32_t i = n; i-- > 0;) {
    struct priced *here = to_go + (size_t)i * width, *next = here + width;
    for (uint32_t s = 0; s < width; s++)
      here[s] = (struct priced){INFINITY, INFINITY};
    for (uint32_t e = 0; e < tables[i]->n; e++) {
      const struct search_entry *x = &tables[i]->entries[e];
      double cost = x->time + price * x->bytes + next[x->out].cost;
      double bytes = x->bytes + next[x->out].bytes;
      if (less(cost, bytes, &here[x->in]))
        here[x->in] = (struct priced){cost, bytes};
    }
  }
  return to_go;
}

static uint32_t widest(const struct search_table *const *tables, uint32_t n) {
  uint32_t width = 1;
  for (uint32_t i = 0; i <= n; i++) {
    uint32_t states = states_before(tables, n, i);
    width = states > width ? states : width;
  }
  return width;
}

/* Walks forward along what costs_to_go promised. */
static void follow(const struct search_table *const *tables, uint32_t n, double price,
                   const struct priced *to_go, uint32_t width, uint32_t state,
                   struct search_path *out) {
  out->time = out->bytes = 0;
  for (uint32_t i = 0; i < n; i++) {
    const struct priced *next = to_go + (size_t)(i + 1) * width;
    const struct search_entry *best = NULL;
    struct priced found = {INFINITY, INFINITY};
    for (uint32_t e = 0; e < tables[i]->n; e++) {
      const struct search_entry *x = &tables[i]->entries[e];
      double cost = x->time + price * x->bytes + next[x->out].cost;
      double bytes = x->bytes + next[x->out].bytes;
      if (x->in != state || !less(cost, bytes, &found))
        continue;
      found = (struct priced){cost, bytes};
      best = x;
    }
    out->entries[i] = best;
    out->time += best->time;
    out->bytes += best->bytes;
    state = best->out;
  }
}

bool search_chain_best(const struct search_table *const *tables, uint32_t n, double price,
                       struct arena *arena, struct search_path *out) {
  uint32_t width = widest(tables, n), start = 0;
  struct priced *to_go = costs_to_go(tables, n, price, width);
  for (uint32_t s = 1; s < states_before(tables, n, 0); s++)
    if (less(to_go[s].cost, to_go[s].bytes, &to_go[start]))
      start = s;
  bool found = !isinf(to_go[start].cost);
  if (found) {
    out->entries = ARENA_ARRAY(arena, const struct search_entry *, n);
    follow(tables, n, price, to_go, width, start, out);
  }
  mem_free(to_go);
  return found;
}

/* ---- fronts ---- */

/* A point on the way: it came from point `before` of the layer before by `entry`. */
struct step {
  double time, bytes;
  uint32_t state, before;
  const struct search_entry *entry;
};
struct layer {
  VEC(struct step) steps;
};

struct limited {
  const struct search_table *const *tables;
  uint32_t n, width;
  double limit, price; /* the price of bytes at which the bound is best */
  double known;        /* time of a way within the limit; INFINITY: none yet */
  struct priced *priced_to_go, *fast_to_go, *small_to_go;
  bool truncated;
  double truncated_bound;
};

/* No way through the point within the limit takes less than this; INFINITY: there is none. */
static double bound_of(const struct limited *l, uint32_t i, double time, double bytes,
                       uint32_t state) {
  size_t at = (size_t)i * l->width + state;
  if (isinf(l->small_to_go[at].bytes) || bytes + l->small_to_go[at].bytes > l->limit)
    return INFINITY;
  double fast = time + l->fast_to_go[at].cost;
  double priced = time + l->priced_to_go[at].cost - l->price * (l->limit - bytes);
  return fmax(fast, priced);
}

static int by_state(const void *a, const void *b) {
  const struct step *x = a, *y = b;
  if (x->state != y->state)
    return x->state < y->state ? -1 : 1;
  if (x->time != y->time)
    return x->time < y->time ? -1 : 1;
  return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Each state's points become a strict front. */
static void layer_thin(struct limited *l, uint32_t i, struct layer *x) {
  struct step *steps = x->steps.data;
  uint32_t kept = 0;
  if (x->steps.len)
    qsort(steps, x->steps.len, sizeof *steps, by_state);
  for (uint32_t k = 0; k < x->steps.len; k++) {
    if (kept && steps[kept - 1].state == steps[k].state && steps[kept - 1].bytes <= steps[k].bytes)
      continue;
    steps[kept++] = steps[k];
  }
  x->steps.len = kept;
  if (kept <= MAX_FRONT)
    return;
  /* Every so many points stay; the bounds of those that go are kept. */
  uint32_t every = (kept + MAX_FRONT - 1) / MAX_FRONT, left = 0;
  for (uint32_t k = 0; k < kept; k++) {
    if (k % every == 0) {
      steps[left++] = steps[k];
      continue;
    }
    l->truncated = true;
    l->truncated_bound =
        fmin(l->truncated_bound, bound_of(l, i, steps[k].time, steps[k].bytes, steps[k].state));
  }
  x->steps.len = left;
}

static void layer_next(struct limited *l, uint32_t i, const struct layer *from, struct layer *to) {
  const struct search_table *t = l->tables[i];
  uint32_t *first = mem_calloc(t->n_in + 2, sizeof *first);
  for (uint32_t e = t->n; e-- > 0;)
    first[t->entries[e].in] = e;
  for (uint32_t k = 0; k < from->steps.len; k++) {
    const struct step *s = &from->steps.data[k];
    for (uint32_t e = first[s->state]; e < t->n && t->entries[e].in == s->state; e++) {
      const struct search_entry *x = &t->entries[e];
      struct step next = {s->time + x->time, s->bytes + x->bytes, x->out, k, x};
      /* A margin, since the bound adds in another order. */
      if (bound_of(l, i + 1, next.time, next.bytes, x->out) <= l->known * (1 + 1e-12))
        vec_push(&to->steps, next);
    }
  }
  mem_free(first);
  layer_thin(l, i + 1, to);
}

static bool read_back(const struct limited *l, const struct layer *layers, struct arena *arena,
                      struct search_path *out) {
  const struct layer *last = &layers[l->n];
  uint32_t best = SEARCH_NONE;
  for (uint32_t k = 0; k < last->steps.len; k++)
    if (best == SEARCH_NONE || last->steps.data[k].time < last->steps.data[best].time)
      best = k;
  if (best == SEARCH_NONE)
    return false;
  out->time = last->steps.data[best].time;
  out->bytes = last->steps.data[best].bytes;
  out->entries = ARENA_ARRAY(arena, const struct search_entry *, l->n);
  for (uint32_t i = l->n; i-- > 0;) {
    const struct step *s = &layers[i + 1].steps.data[best];
    out->entries[i] = s->entry;
    best = s->before;
  }
  return true;
}

static bool sweep(struct limited *l, struct arena *arena, struct search_path *out) {
  struct layer *layers = mem_calloc(l->n + 1, sizeof *layers);
  for (uint32_t s = 0; s < states_before(l->tables, l->n, 0); s++) {
    struct step step = {.state = s};
    if (bound_of(l, 0, 0, 0, s) <= l->known * (1 + 1e-12))
      vec_push(&layers[0].steps, step);
  }
  for (uint32_t i = 0; i < l->n; i++)
    layer_next(l, i, &layers[i], &layers[i + 1]);
  bool found = read_back(l, layers, arena, out);
  for (uint32_t i = 0; i <= l->n; i++)
    vec_deinit(&layers[i].steps);
  mem_free(layers);
  return found;
}

/* The price at which the bound time + price * (bytes - limit) is highest: between one whose best
 * way breaks the limit and one whose best way keeps it. Ways found on the way that keep it are
 * known. */
static void find_price(struct limited *l, struct search_path fast, struct search_path small,
                       struct arena *arena, struct search_path *best) {
  *best = small;
  for (uint32_t i = 0; i < 60; i++) {
    double price = (small.time - fast.time) / (fast.bytes - small.bytes);
    struct search_path middle;
    if (!(price > 0) || !search_chain_best(l->tables, l->n, price, arena, &middle))
      break;
    l->price = price;
    double corner = fast.time + price * fast.bytes;
    if (middle.time + price * middle.bytes >= corner * (1 - 1e-12))
      break;
    if (middle.bytes > l->limit) {
      fast = middle;
    } else {
      small = middle;
      if (middle.time < best->time)
        *best = middle;
    }
  }
}

bool search_chain_limited(const struct search_table *const *tables, uint32_t n, double limit,
                          double known_time, struct arena *arena, struct search_path *out,
                          double *out_bound) {
  struct limited l = {.tables = tables,
                      .n = n,
                      .width = widest(tables, n),
                      .limit = limit,
                      .known = INFINITY,
                      .truncated_bound = INFINITY};
  struct search_path fast, small, known;
  *out_bound = INFINITY;
  if (!search_chain_best(tables, n, 0, arena, &fast))
    return false;
  *out_bound = fast.time;
  if (fast.bytes <= limit) {
    *out = fast;
    return true;
  }
  /* Fewest bytes, by a price at which no time counts. */
  l.small_to_go = costs_to_go(tables, n, 1e30, l.width);
  double price = 1e30;
  search_chain_best(tables, n, price, arena, &small);
  bool feasible = small.bytes <= limit;
  if (feasible) {
    find_price(&l, fast, small, arena, &known);
    l.known = fmin(known.time, known_time);
    l.fast_to_go = costs_to_go(tables, n, 0, l.width);
    l.priced_to_go = costs_to_go(tables, n, l.price, l.width);
    if (!sweep(&l, arena, out) || out->time > known.time)
      *out = known;
    *out_bound = fmin(fmin(out->time, l.known), l.truncated_bound);
    mem_free(l.fast_to_go);
    mem_free(l.priced_to_go);
  } else {
    *out_bound = INFINITY;
    *out = small;
  }
  mem_free(l.small_to_go);
  return feasible;
}
