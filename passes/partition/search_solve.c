/* SPDX-License-Identifier: Apache-2.0 */
/* Phases solved together: branch and bound over the layouts of the weights that tie them. A node
 * fixes the layouts of some weights; its bound is the sum of the phases' optima under that alone,
 * and where these agree on every layout the node is a solution. The best bound goes first, so the
 * first solution is the optimum.
 *
 * Where memory counts and fronts would be too long, a node's bound is Lagrangian, and there may be
 * a gap to the best way found. It is closed by fronts of what costs less than the gap more than the
 * cheapest, at the price of the bound: a better way has nothing else. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "passes/partition/search_chain.h"

#define MAX_NODES 20000
#define MOST_DIVES 20

/* A block's table under the layouts that its own ties are fixed to. */
struct cached {
  struct cached *next; /* of the same hash */
  const struct search_block *block;
  const uint16_t *fixed; /* of the block's ties, in order of appearance */
  struct search_aim aim;
  struct search_table table;
};

struct block_memo {
  const struct search_block *block;
  struct search_memo *memo;
};

struct solver {
  const struct search_problem *p;
  bool limited;    /* the limit counts */
  bool fronts;     /* blocks are small enough for fronts of time and bytes */
  bool truncated;  /* a table that was asked for since this was last cleared is */
  double given_up; /* a bound on what was left out */
  double cutoff;
  struct search_clock clock;
  struct arena arena; /* tables, nodes, paths */
  VEC(struct block_memo) memos;
  struct map cache;  /* hash -> struct cached * */
  uint32_t n_blocks; /* of all phases, which are one chain as far as time and bytes go */
  struct node *best; /* a solution, perhaps not the optimum; NULL: none yet */
};

typedef const struct search_table *const *table_list;

/* The layouts of some weights are fixed; the best that the phases can do then. */
struct node {
  uint16_t *fixed; /* by weight */
  double bound;    /* on the time of what has these layouts */
  struct search_path path;
  table_list points;        /* entries that are best at some price, to look among; NULL: no more */
  double price, lagrangian; /* the bound at its best price */
  bool closed;              /* no more can be done about a bound below the path's time */
};

/* ---- tables ---- */

static uint32_t ties_of_block(const struct search_block *b, const uint16_t *fixed, uint16_t *out) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < b->n_variables; i++)
    for (uint32_t k = 0; k < b->variables[i].n_ties; k++, n++)
      if (out)
        out[n] = fixed[b->variables[i].ties[k].weight];
  return n;
}

static struct search_memo *memo_of(struct solver *s, const struct search_block *b) {
  for (uint32_t i = 0; i < s->memos.len; i++)
    if (s->memos.data[i].block == b)
      return s->memos.data[i].memo;
  struct block_memo x = {b, search_memo_create(b, &s->arena)};
  vec_push(&s->memos, x);
  return x.memo;
}

static const struct search_table *table_of(struct solver *s, const struct search_block *b,
                                           const uint16_t *fixed, struct search_aim aim) {
  uint32_t n = ties_of_block(b, fixed, NULL);
  uint16_t *ties = ARENA_ARRAY(&s->arena, uint16_t, n);
  ties_of_block(b, fixed, ties);
  double key[] = {aim.price, aim.slack};
  uint64_t hash = hash_bytes(key, sizeof key, (uintptr_t)b + aim.fronts), head = 0;
  for (uint32_t i = 0; i < n; i++)
    hash = (hash ^ ties[i]) * 0x100000001B3u;
  map_get(&s->cache, hash, &head);
  for (struct cached *c = (struct cached *)(uintptr_t)head; c; c = c->next)
    if (c->block == b && c->aim.fronts == aim.fronts && c->aim.price == aim.price &&
        c->aim.slack == aim.slack && !memcmp(c->fixed, ties, n * sizeof *ties)) {
      s->truncated |= c->table.truncated;
      return &c->table;
    }
  struct cached *c = ARENA_NEW(&s->arena, struct cached);
  *c = (struct cached){(struct cached *)(uintptr_t)head, b, ties, aim, {0}};
  search_table_build(memo_of(s, b), fixed, aim, s->clock, &s->arena, &c->table);
  s->truncated |= c->table.truncated;
  map_put(&s->cache, hash, (uintptr_t)c);
  return &c->table;
}

static const struct search_block *block_at(const struct search_problem *p, uint32_t at) {
  uint32_t phase = 0;
  for (; at >= p->phases[phase].n_blocks; phase++)
    at -= p->phases[phase].n_blocks;
  return p->phases[phase].blocks[at];
}

/* ---- nodes ---- */

static table_list tables_of(struct solver *s, const struct node *node, struct search_aim aim) {
  const struct search_table **tables =
      ARENA_ARRAY(&s->arena, const struct search_table *, s->n_blocks);
  for (uint32_t i = 0; i < s->n_blocks; i++)
    tables[i] = table_of(s, block_at(s->p, i), node->fixed, aim);
  return tables;
}

/* Entries of both, for the same ends. */
static table_list join_tables(struct solver *s, table_list a, table_list b) {
  struct search_table **tables = ARENA_ARRAY(&s->arena, struct search_table *, s->n_blocks);
  for (uint32_t i = 0; i < s->n_blocks; i++) {
    uint32_t k = 0;
    while (k < i && (a[k] != a[i] || b[k] != b[i]))
      k++;
    tables[i] = k < i ? tables[k] : search_table_join(a[i], b[i], &s->arena);
  }
  return (table_list)tables;
}

#define MOST_PRICES 8

/* Fronts would be too long: entries that are best at some prices, and the Lagrangian bound. The
 * price goes to where the best way goes from above the limit to below it. Ends early once the bound
 * is at the cutoff. */
static bool solve_priced(struct solver *s, struct node *node) {
  struct search_path fast, small, middle;
  table_list all = tables_of(s, node, (struct search_aim){.slack = INFINITY});
  if (!search_chain_best(all, s->n_blocks, 0, &s->arena, &fast))
    return false;
  node->bound = node->lagrangian = fast.time;
  node->price = 0;
  node->path = fast;
  if (fast.bytes <= s->p->limit || node->bound >= s->cutoff)
    return true;
  double price = 1e6 * fast.time / fast.bytes;
  table_list more = tables_of(s, node, (struct search_aim){.price = price, .slack = INFINITY});
  search_chain_best(more, s->n_blocks, price, &s->arena, &small);
  node->path = small;
  if (small.bytes > s->p->limit)
    return false;
  all = join_tables(s, all, more);
  for (uint32_t i = 0; i < MOST_PRICES && fast.bytes > small.bytes && node->bound < s->cutoff;
       i++) {
    double corner =
        fast.time + (price = (small.time - fast.time) / (fast.bytes - small.bytes)) * fast.bytes;
    if (!(price > 0))
      break;
    more = tables_of(s, node, (struct search_aim){.price = price, .slack = INFINITY});
    search_chain_best(more, s->n_blocks, price, &s->arena, &middle);
    all = join_tables(s, all, more);
    double cost = middle.time + price * middle.bytes;
    if (cost - price * s->p->limit > node->lagrangian) {
      node->lagrangian = node->bound = cost - price * s->p->limit;
      node->price = price;
    }
    if (middle.bytes <= s->p->limit && middle.time < node->path.time)
      node->path = middle;
    if (cost >= corner * (1 - 1e-9))
      break;
    *(middle.bytes > s->p->limit ? &fast : &small) = middle;
  }
  node->points = all;
  node->bound = fmin(node->bound, node->path.time);
  return true;
}

/* Finds the node's best path, or one within the limit and where to look for better ones; false
 * where there is none. */
static bool node_solve(struct solver *s, struct node *node) {
  s->truncated = false;
  if (s->limited && !s->fronts)
    return solve_priced(s, node);
  node->closed = true;
  table_list tables =
      tables_of(s, node, (struct search_aim){.fronts = s->limited, .slack = INFINITY});
  if (s->limited)
    return search_chain_limited(tables, s->n_blocks, s->p->limit, INFINITY, &s->arena, &node->path,
                                &node->bound);
  bool found = search_chain_best(tables, s->n_blocks, 0, &s->arena, &node->path);
  node->bound = found ? node->path.time : INFINITY;
  return found;
}

/* Below this nothing better is sought. */
static double cutoff_of(const struct solver *s) {
  return s->best ? fmin(s->cutoff, s->best->path.time) : s->cutoff;
}

#define FIRST_SLACK (1.0 / 64)
#define MORE_SLACK 4
/* Sums in another order differ in their last bits. */
#define LAST_BITS 1e-12

/* Raises the bound to the time of the best path, which it finds, or to the cutoff; less far where
 * the fronts for that have no room. Small slacks first: a better path makes the gap small. */
static void node_close(struct solver *s, struct node *node) {
  double most = fmin(node->path.time, cutoff_of(s));
  double slack = (most - node->lagrangian) * FIRST_SLACK;
  node->closed = true;
  for (; node->bound < most * (1 - LAST_BITS); slack *= MORE_SLACK) {
    struct search_path path;
    double bound;
    s->truncated = false;
    table_list tables =
        tables_of(s, node, (struct search_aim){true, node->price, slack * (1 + 1e-9)});
    if (s->truncated)
      return;
    if (search_chain_limited(tables, s->n_blocks, s->p->limit, most, &s->arena, &path, &bound) &&
        path.time < node->path.time)
      node->path = path;
    most = fmin(most, node->path.time);
    node->bound = fmax(node->bound, fmin(most, fmin(bound, node->lagrangian + slack)));
  }
}

/* The best way among a node's points; the bound stays what it is. */
static void node_sweep(struct solver *s, struct node *node) {
  struct search_path path;
  double ignored;
  if (search_chain_limited(node->points, s->n_blocks, s->p->limit, node->path.time, &s->arena,
                           &path, &ignored) &&
      path.time < node->path.time)
    node->path = path;
  node->points = NULL;
}

/* The layout that each weight has on the node's path; a weight that has two is returned. */
static uint32_t find_conflict(const struct solver *s, const struct node *node, uint16_t *layouts) {
  for (uint32_t w = 0; w < s->p->n_weights; w++)
    layouts[w] = SEARCH_ANY_LAYOUT;
  for (uint32_t i = 0; i < s->n_blocks; i++) {
    const struct search_block *b = block_at(s->p, i);
    for (uint32_t v = 0; v < b->n_variables; v++) {
      uint32_t choice = node->path.entries[i]->choices[v];
      for (uint32_t k = 0; k < b->variables[v].n_ties; k++) {
        const struct search_tie *tie = &b->variables[v].ties[k];
        uint16_t *layout = &layouts[tie->weight], here = tie->layouts[choice];
        if (*layout != SEARCH_ANY_LAYOUT && *layout != here)
          return tie->weight;
        *layout = here;
      }
    }
  }
  return SEARCH_NONE;
}

/* ---- the queue, a binary heap by bound ---- */

struct queue {
  VEC(struct node *) heap;
};

static void queue_push(struct queue *q, struct node *x) {
  vec_push(&q->heap, x);
  uint32_t i = q->heap.len - 1;
  for (; i && q->heap.data[(i - 1) / 2]->bound > x->bound; i = (i - 1) / 2)
    q->heap.data[i] = q->heap.data[(i - 1) / 2];
  q->heap.data[i] = x;
}

static struct node *queue_pop(struct queue *q) {
  struct node *top = q->heap.data[0], *last = vec_pop(&q->heap);
  uint32_t i = 0, n = q->heap.len;
  while (2 * i + 1 < n) {
    uint32_t child = 2 * i + 1;
    if (child + 1 < n && q->heap.data[child + 1]->bound < q->heap.data[child]->bound)
      child++;
    if (q->heap.data[child]->bound >= last->bound)
      break;
    q->heap.data[i] = q->heap.data[child];
    i = child;
  }
  if (n)
    q->heap.data[i] = last;
  return top;
}

/* ---- branching ---- */

static bool has_layout(const struct search_variable *x, const struct search_tie *tie,
                       uint16_t layout) {
  for (uint32_t c = 0; c < x->n_choices; c++)
    if (tie->layouts[c] == layout)
      return true;
  return false;
}

/* The layouts that every reader of a weight can have it in. */
static uint16_t *find_layouts(struct solver *s, uint32_t weight, uint32_t *out_n) {
  uint16_t *layouts = NULL;
  *out_n = 0;
  for (uint32_t i = 0; i < s->n_blocks; i++) {
    const struct search_block *b = block_at(s->p, i);
    if (i && b == block_at(s->p, i - 1))
      continue;
    for (uint32_t v = 0; v < b->n_variables; v++)
      for (uint32_t k = 0; k < b->variables[v].n_ties; k++) {
        const struct search_variable *x = &b->variables[v];
        uint32_t kept = 0;
        if (x->ties[k].weight != weight)
          continue;
        if (!layouts) {
          layouts = ARENA_ARRAY(&s->arena, uint16_t, x->n_choices);
          for (uint32_t c = 0; c < x->n_choices; c++) {
            bool again = false;
            for (uint32_t n = 0; n < *out_n && !again; n++)
              again = layouts[n] == x->ties[k].layouts[c];
            if (!again)
              layouts[(*out_n)++] = x->ties[k].layouts[c];
          }
          continue;
        }
        for (uint32_t n = 0; n < *out_n; n++)
          if (has_layout(x, &x->ties[k], layouts[n]))
            layouts[kept++] = layouts[n];
        *out_n = kept;
      }
  }
  return layouts;
}

/* False where time ran out before all children were there. */
static bool branch(struct solver *s, struct queue *q, const struct node *from, uint32_t weight) {
  uint32_t n;
  const uint16_t *layouts = find_layouts(s, weight, &n);
  for (uint32_t i = 0; i < n; i++) {
    if (search_is_late(&s->clock))
      return false;
    struct node *x = ARENA_NEW(&s->arena, struct node);
    x->fixed = arena_memdup(&s->arena, from->fixed, s->p->n_weights * sizeof *x->fixed);
    x->fixed[weight] = layouts[i];
    bool found = node_solve(s, x);
    if (!found && s->truncated)
      s->given_up = fmin(s->given_up, from->bound);
    if (!found)
      continue;
    x->bound = s->truncated ? from->bound : fmax(x->bound, from->bound);
    x->closed |= s->truncated;
    if (x->bound < cutoff_of(s))
      queue_push(q, x);
  }
  return true;
}

struct search_outcome {
  const struct node *solution; /* NULL: none below the cutoff */
  double bound, least_bytes;
  uint64_t nodes;
};

static struct node *root_create(struct solver *s) {
  struct node *root = ARENA_NEW(&s->arena, struct node);
  root->fixed = ARENA_ARRAY(&s->arena, uint16_t, s->p->n_weights);
  for (uint32_t i = 0; i < s->p->n_weights; i++)
    root->fixed[i] = SEARCH_ANY_LAYOUT;
  return root;
}

/* It is late, or there were too many nodes: the first weight that has two layouts gets one, that of
 * the path if all its readers can have it, until none has two. */
static const struct node *dive(struct solver *s, const struct node *from, uint16_t *layouts) {
  struct node *x = arena_memdup(&s->arena, from, sizeof *from);
  uint32_t weight, n;
  x->fixed = arena_memdup(&s->arena, from->fixed, s->p->n_weights * sizeof *x->fixed);
  while ((weight = find_conflict(s, x, layouts)) != SEARCH_NONE) {
    uint16_t had = layouts[weight], *all = find_layouts(s, weight, &n);
    bool found = false;
    for (uint32_t i = 0; i < n; i++)
      if (all[i] == had) {
        all[i] = all[0];
        all[0] = had;
      }
    for (uint32_t i = 0; i < n && !found; i++) {
      x->fixed[weight] = all[i];
      x->points = NULL;
      found = node_solve(s, x);
    }
    if (!found)
      return NULL;
  }
  return x;
}

/* Keeps a node as it is, if it is better than what there is. */
static void keep_best(struct solver *s, const struct node *x) {
  if (!s->best || x->path.time < s->best->path.time)
    s->best = arena_memdup(&s->arena, x, sizeof *x);
}

/* Looks at the best node as far as needed to know whether it is the solution; or closes its gap,
 * after which it is the turn of others; or branches. Late, or where no more may be looked at, any
 * solution does. */
static const struct node *look_at(struct solver *s, struct queue *q, struct node *x, bool last,
                                  uint16_t *layouts) {
  uint32_t weight = find_conflict(s, x, layouts);
  if (weight == SEARCH_NONE && x->points && !last) {
    node_sweep(s, x);
    weight = find_conflict(s, x, layouts);
  }
  if (weight == SEARCH_NONE && x->bound >= x->path.time * (1 - LAST_BITS))
    x->bound = x->path.time;
  if (weight == SEARCH_NONE && (x->closed || last || x->bound == x->path.time))
    return x;
  if (weight == SEARCH_NONE) {
    keep_best(s, x);
    node_close(s, x);
    if (x->bound < s->cutoff)
      queue_push(q, x);
    return NULL;
  }
  if (last && s->best)
    return s->best;
  return last || !branch(s, q, x, weight) ? dive(s, x, layouts) : NULL;
}

/* The cheapest that tables which lack choices leave. */
static double least_of_tables(struct solver *s, const struct node *root) {
  table_list tables = tables_of(s, root, (struct search_aim){.slack = INFINITY});
  double sum = 0;
  for (uint32_t i = 0; i < s->n_blocks; i++) {
    double least = tables[i]->truncated ? tables[i]->bound : INFINITY;
    for (uint32_t e = 0; e < tables[i]->n && !tables[i]->truncated; e++)
      least = fmin(least, tables[i]->entries[e].time);
    sum += least;
  }
  return sum;
}

/* The bound holds where it returns false, too: INFINITY, unless something was left out. */
static bool root_solve(struct solver *s, struct node *root) {
  bool found = node_solve(s, root);
  if (!found)
    root->bound = INFINITY;
  if (s->truncated) {
    root->bound = fmin(root->bound, least_of_tables(s, root));
    root->closed = true;
  }
  return found;
}

static struct search_outcome run(struct solver *s) {
  struct search_outcome out = {.bound = s->cutoff};
  struct queue q = {0};
  uint32_t n_dives = 0; /* in vain */
  uint16_t *layouts = mem_alloc((s->p->n_weights + 1) * sizeof *layouts);
  struct node *root = root_create(s);
  s->given_up = INFINITY;
  s->best = NULL;
  if (root_solve(s, root)) {
    if (root->bound < s->cutoff)
      queue_push(&q, root);
  } else {
    out.bound = root->bound;
    out.least_bytes = s->limited && root->path.entries ? root->path.bytes : INFINITY;
  }
  for (; q.heap.len && !out.solution && n_dives < MOST_DIVES; out.nodes++) {
    struct node *x = queue_pop(&q);
    if (s->best && s->best->path.time <= x->bound)
      break;
    bool last = out.nodes >= MAX_NODES || search_is_late(&s->clock);
    out.solution = look_at(s, &q, x, last, layouts);
    last |= search_is_late(&s->clock);
    n_dives += last && !out.solution;
    if (last || out.solution)
      out.bound = fmin(out.bound, x->bound);
  }
  if (!out.solution && s->best) {
    out.solution = s->best;
    out.bound = fmin(out.bound, s->best->path.time);
  }
  out.bound = fmin(out.bound, s->given_up);
  vec_deinit(&q.heap);
  mem_free(layouts);
  return out;
}

/* ---- the result ---- */

static void take_solution(const struct solver *s, const struct node *x, struct arena *arena,
                          struct search_solution *out) {
  const struct search_problem *p = s->p;
  uint32_t at = 0;
  out->phase_time = ARENA_ARRAY(arena, double, p->n_phases);
  out->choices = ARENA_ARRAY(arena, uint32_t **, p->n_phases);
  for (uint32_t i = 0; i < p->n_phases; i++) {
    out->choices[i] = ARENA_ARRAY(arena, uint32_t *, p->phases[i].n_blocks);
    for (uint32_t b = 0; b < p->phases[i].n_blocks; b++, at++)
      out->choices[i][b] = arena_memdup(arena, x->path.entries[at]->choices,
                                        p->phases[i].blocks[b]->n_variables * sizeof(uint32_t));
  }
  out->feasible = true;
  search_evaluate(p, (uint32_t *const *const *)out->choices, &out->time, &out->bytes,
                  out->phase_time);
}

/* Whether every block has at most 2^24 plans. */
static bool fronts_are_short(const struct search_problem *p) {
  if (p->no_fronts)
    return false;
  for (uint32_t i = 0; i < p->n_phases; i++)
    for (uint32_t n = 0; n < p->phases[i].n_blocks; n++) {
      double bits = 0;
      for (uint32_t v = 0; v < p->phases[i].blocks[n]->n_variables; v++)
        bits += log2((double)p->phases[i].blocks[n]->variables[v].n_choices);
      if (bits > 24)
        return false;
    }
  return true;
}

/* ---- in steps ---- */

struct search_solver {
  struct solver s;
  struct search_path path; /* of the root; entries NULL: not looked at */
  double bound;
};

bool search_is_late(const struct search_clock *c) {
  return !isinf(c->deadline) && clock_now_s() >= c->deadline;
}

struct search_solver *search_open(const struct search_problem *p, struct search_clock clock) {
  struct search_solver *s = mem_calloc(1, sizeof *s);
  s->s = (struct solver){.p = p, .clock = clock, .cutoff = INFINITY};
  for (uint32_t i = 0; i < p->n_phases; i++)
    s->s.n_blocks += p->phases[i].n_blocks;
  return s;
}

void search_close(struct search_solver *s) {
  vec_deinit(&s->s.memos);
  map_deinit(&s->s.cache);
  arena_deinit(&s->s.arena);
  mem_free(s);
}

double search_bound(struct search_solver *s) {
  struct node *root = root_create(&s->s);
  root_solve(&s->s, root);
  s->bound = root->bound;
  s->path = root->path;
  return s->bound;
}

bool search_is_tight(const struct search_solver *s) {
  return s->path.entries && s->path.bytes > s->s.p->limit;
}

bool search_improve_bound(struct search_solver *s, double cutoff, double *out_bound) {
  if (!search_is_tight(s) || s->s.limited)
    return false;
  s->s.limited = true;
  s->s.fronts = fronts_are_short(s->s.p);
  if (s->s.fronts)
    return false; /* what it takes is no less than solving it */
  s->s.cutoff = cutoff;
  struct node *root = root_create(&s->s);
  bool found = root_solve(&s->s, root);
  s->s.cutoff = INFINITY;
  if (found)
    *out_bound = fmax(s->bound, root->bound);
  return found;
}

void search_finish(struct search_solver *x, double cutoff, struct arena *arena,
                   struct search_solution *out) {
  struct solver *s = &x->s;
  *out = (struct search_solution){0};
  s->cutoff = cutoff;
  struct search_outcome found = {.bound = 0};
  if (!s->limited) {
    found = run(s);
    if (found.solution && found.solution->path.bytes > s->p->limit) {
      /* The fastest does not fit. */
      s->limited = true;
      s->fronts = fronts_are_short(s->p);
    }
  }
  if (s->limited)
    found = run(s);
  out->nodes = found.nodes;
  out->bound = found.bound;
  out->least_bytes = found.least_bytes;
  if (found.solution)
    take_solution(s, found.solution, arena, out);
}

void search_solve(const struct search_problem *p, double cutoff, struct arena *arena,
                  struct search_solution *out) {
  struct search_solver *s = search_open(p, (struct search_clock){INFINITY});
  search_finish(s, cutoff, arena, out);
  search_close(s);
}
