/* SPDX-License-Identifier: Apache-2.0 */
/* Which two relations are joined next.
 *
 * What is open is laid out as sketches (rows and distinct contents per value, as logarithms), and
 * on these whole orders are tried: one that takes the cheapest join at each step, and, where that
 * is dear, others that weigh results and work differently, with some noise. The first join of the
 * cheapest order is made; then all is looked at anew, since real results are pruned. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "passes/partition/search_relation.h"

/* Orders tried where joins of more than so many pairs lie ahead. */
#define DEAR_PAIRS 3e5
#define MOST_TRIES 24
/* More rows than this are not counted for distinct contents, but bounded by classes. */
#define MOST_COUNTED (1u << 16)

struct sketch {
  struct column *columns;
  double rows;      /* log2 */
  double *distinct; /* log2, by value: contents of an open column */
};

struct sketches {
  const struct reducer *r;
  struct arena *arena;
  uint32_t n;
  struct sketch *of; /* by open relation; a join takes the place of its first side */
  uint64_t noise;    /* 0: none */
  double weight;     /* of work against results */
};

/* ---- sketches of relations ---- */

static int by_key(const void *a, const void *b) {
  row_key x = *(const row_key *)a, y = *(const row_key *)b;
  return (x > y) - (x < y);
}

static double count_distinct(const struct relation *x, const struct column *c) {
  row_key *keys = mem_alloc((x->n + 1) * sizeof *keys);
  uint32_t n = 0;
  for (uint32_t i = 0; i < x->n; i++) {
    struct content content;
    search_content_read(c, x->rows[i].key, &content);
    if (content.made == SEARCH_NONE)
      content.made = 0;
    keys[i] = search_content_key(c, &content);
  }
  if (x->n)
    qsort(keys, x->n, sizeof *keys, by_key);
  for (uint32_t i = 0; i < x->n; i++)
    n += !i || keys[i] != keys[i - 1];
  mem_free(keys);
  return log2(1.0 + n);
}

static void sketch_of(struct reducer *r, struct relation *x, struct sketch *out) {
  uint32_t n = r->block->n_values;
  if (!x->distinct) {
    x->distinct = ARENA_ARRAY(&r->scratch, double, n);
    for (uint32_t v = 0; v < n; v++) {
      const struct column *c = &x->columns[v];
      double classes = log2(1.0 + r->block->values[v].n_classes) * (c->made + c->n_wanted);
      if (c->open)
        x->distinct[v] = x->n > MOST_COUNTED ? classes : fmin(classes, count_distinct(x, c));
    }
  }
  *out = (struct sketch){x->columns, log2(1.0 + x->n), x->distinct};
}

struct estimate {
  double work, rows; /* log2 */
  bool meet, late;
  uint32_t matched;
};

/* What a join takes and gives; false where its key is too wide. */
static bool estimate_join(const struct reducer *r, const struct sketch *a, const struct sketch *b,
                          struct column *columns, struct estimate *out) {
  struct relation x = {.columns = a->columns}, y = {.columns = b->columns};
  double domain = 0;
  *out = (struct estimate){.work = a->rows + b->rows, .matched = join_matched(r, &x, &y)};
  out->late = out->matched != SEARCH_NONE && breaks_star(r, &x, &y);
  if (out->matched == SEARCH_NONE) {
    out->matched = join_matched(r, &y, &x);
    out->late = out->matched != SEARCH_NONE && breaks_star(r, &y, &x);
  }
  if (out->matched != SEARCH_NONE)
    out->work -= log2(1.0 + r->block->values[out->matched].n_classes);
  if (!search_columns_join(r, &x, &y, out->matched, columns))
    return false;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    out->meet |= a->columns[v].open && b->columns[v].open;
    if (columns[v].open)
      domain +=
          (a->columns[v].open ? a->distinct[v] : 0) + (b->columns[v].open ? b->distinct[v] : 0);
  }
  out->rows = fmin(out->work, domain);
  return true;
}

/* The sketch of a join. */
static struct sketch sketch_join(struct sketches *s, const struct sketch *a,
                                 const struct sketch *b) {
  uint32_t n = s->r->block->n_values;
  struct sketch out = {.columns = ARENA_ARRAY(s->arena, struct column, n),
                       .distinct = ARENA_ARRAY(s->arena, double, n)};
  struct estimate e;
  estimate_join(s->r, a, b, out.columns, &e);
  out.rows = e.rows;
  for (uint32_t v = 0; v < n; v++) {
    double sides =
        (a->columns[v].open ? a->distinct[v] : 0) + (b->columns[v].open ? b->distinct[v] : 0);
    if (out.columns[v].open)
      out.distinct[v] = fmin(sides, out.rows);
  }
  return out;
}

/* ---- an order ---- */

static double draw_noise(struct sketches *s) {
  if (!s->noise)
    return 0;
  s->noise = s->noise * 6364136223846793005u + 1442695040888963407u;
  return 4 * (double)(s->noise >> 40) / (double)(1 << 24);
}

/* How good a next step a join is, the less the better; INFINITY where it cannot be. Relations that
 * share nothing are joined last. */
static double score_join(struct sketches *s, const struct sketch *a, const struct sketch *b) {
  struct column columns[s->r->block->n_values + 1];
  struct estimate e;
  if (!estimate_join(s->r, a, b, columns, &e))
    return INFINITY;
  return e.rows + s->weight * e.work + (e.meet ? 0 : 1e6) + (e.late ? 24 : 0) + draw_noise(s);
}

struct order {
  uint32_t a, b; /* the first join */
  double cost;   /* pairs and rows of all joins; INFINITY: some key is too wide */
};

/* Lays out an order to its end; leaves early once it costs more than `most`. */
static void order_lay(struct sketches *s, double most, struct order *out) {
  uint32_t n = s->n;
  double *scores = ARENA_ARRAY(s->arena, double, (size_t)n *n);
  bool *gone = ARENA_ARRAY(s->arena, bool, n);
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = i + 1; k < n; k++)
      scores[i * n + k] = score_join(s, &s->of[i], &s->of[k]);
  *out = (struct order){SEARCH_NONE, SEARCH_NONE, 0};
  for (uint32_t left = n; left > 1 && out->cost < most; left--) {
    uint32_t a = SEARCH_NONE, b = SEARCH_NONE;
    for (uint32_t i = 0; i < n; i++)
      for (uint32_t k = i + 1; k < n && !gone[i]; k++)
        if (!gone[k] && !isinf(scores[i * n + k]) &&
            (a == SEARCH_NONE || scores[i * n + k] < scores[a * n + b])) {
          a = i;
          b = k;
        }
    if (a == SEARCH_NONE) {
      out->cost = INFINITY;
      return;
    }
    if (left == n) {
      out->a = a;
      out->b = b;
    }
    struct column columns[s->r->block->n_values + 1];
    struct estimate e;
    estimate_join(s->r, &s->of[a], &s->of[b], columns, &e);
    out->cost += exp2(e.work) + 4 * exp2(e.rows);
    s->of[a] = sketch_join(s, &s->of[a], &s->of[b]);
    gone[b] = true;
    for (uint32_t i = 0; i < n; i++)
      if (i != a && !gone[i])
        scores[(i < a ? i : a) * n + (i < a ? a : i)] = score_join(s, &s->of[i], &s->of[a]);
  }
}

bool search_next_join(struct reducer *r, uint32_t *out_a, uint32_t *out_b) {
  static const double weights[] = {0.5, 0, 1, 0.25, 2, 0.1};
  struct arena arena = {0};
  struct order best = {SEARCH_NONE, SEARCH_NONE, INFINITY};
  struct sketch *from = ARENA_ARRAY(&arena, struct sketch, r->open.len);
  for (uint32_t i = 0; i < r->open.len; i++)
    sketch_of(r, r->open.data[i], &from[i]);
  for (uint32_t i = 0; i < MOST_TRIES && (!i || best.cost > DEAR_PAIRS); i++) {
    struct sketches s = {.r = r,
                         .arena = &arena,
                         .n = r->open.len,
                         .of = arena_memdup(&arena, from, r->open.len * sizeof *from),
                         .noise = i < 6 ? 0 : i,
                         .weight = weights[i % 6]};
    struct order order;
    order_lay(&s, best.cost, &order);
    if (order.a != SEARCH_NONE && (best.a == SEARCH_NONE || order.cost < best.cost))
      best = order;
  }
  arena_deinit(&arena);
  *out_a = best.a;
  *out_b = best.b;
  return best.a != SEARCH_NONE;
}
