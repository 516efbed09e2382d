/* SPDX-License-Identifier: Apache-2.0 */
/* Phases solved together: branch and bound over the layouts of the weights that tie them. A node
 * fixes the layouts of some weights; its bound is the sum of the phases' optima under that alone,
 * and where these agree on every layout the node is a solution. The best bound goes first, so the
 * first solution is the optimum. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "passes/partition/search_chain.h"

#define MAX_NODES 20000

/* A block's table under the layouts that its own ties are fixed to. */
struct cached {
  struct cached *next; /* of the same hash */
  const struct search_block *block;
  const uint16_t *fixed; /* of the block's ties, in order of appearance */
  struct search_aim aim;
  struct search_table table;
};

struct solver {
  const struct search_problem *p;
  bool limited; /* the limit counts */
  bool fronts;  /* blocks are small enough for fronts of time and bytes */
  double cutoff;
  struct arena arena; /* tables, nodes, paths */
  struct map cache;   /* hash -> struct cached * */
  uint32_t n_blocks;  /* of all phases, which are one chain as far as time and bytes go */
};

/* The layouts of some weights are fixed; the best that the phases can do then. */
struct node {
  uint16_t *fixed; /* by weight */
  double bound;    /* on the time of what has these layouts */
  struct search_path path;
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

static const struct search_table *table_of(struct solver *s, const struct search_block *b,
                                           const uint16_t *fixed, struct search_aim aim) {
  uint32_t n = ties_of_block(b, fixed, NULL);
  uint16_t *ties = ARENA_ARRAY(&s->arena, uint16_t, n);
  ties_of_block(b, fixed, ties);
  uint64_t hash = hash_bytes(&aim.price, sizeof aim.price, (uintptr_t)b + aim.fronts), head = 0;
  for (uint32_t i = 0; i < n; i++)
    hash = (hash ^ ties[i]) * 0x100000001B3u;
  map_get(&s->cache, hash, &head);
  for (struct cached *c = (struct cached *)(uintptr_t)head; c; c = c->next)
    if (c->block == b && c->aim.fronts == aim.fronts && c->aim.price == aim.price &&
        !memcmp(c->fixed, ties, n * sizeof *ties))
      return &c->table;
  struct cached *c = ARENA_NEW(&s->arena, struct cached);
  *c = (struct cached){(struct cached *)(uintptr_t)head, b, ties, aim, {0}};
  search_table_build(b, fixed, aim, &s->arena, &c->table);
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

typedef const struct search_table *const *table_list;

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
 * price goes to where the best way goes from above the limit to below it. */
static bool solve_priced(struct solver *s, struct node *node) {
  struct search_path fast, small, middle;
  table_list all = tables_of(s, node, (struct search_aim){.price = 0});
  if (!search_chain_best(all, s->n_blocks, 0, &s->arena, &fast))
    return false;
  node->bound = fast.time;
  if (fast.bytes <= s->p->limit) {
    node->path = fast;
    return true;
  }
  double price = 1e6 * fast.time / fast.bytes;
  table_list more = tables_of(s, node, (struct search_aim){.price = price});
  search_chain_best(more, s->n_blocks, price, &s->arena, &small);
  node->path = small;
  if (small.bytes > s->p->limit)
    return false;
  all = join_tables(s, all, more);
  for (uint32_t i = 0; i < MOST_PRICES && fast.bytes > small.bytes; i++) {
    double corner =
        fast.time + (price = (small.time - fast.time) / (fast.bytes - small.bytes)) * fast.bytes;
    if (!(price > 0))
      break;
    more = tables_of(s, node, (struct search_aim){.price = price});
    search_chain_best(more, s->n_blocks, price, &s->arena, &middle);
    all = join_tables(s, all, more);
    double cost = middle.time + price * middle.bytes;
    node->bound = fmax(node->bound, cost - price * s->p->limit);
    if (cost >= corner * (1 - 1e-9))
      break;
    *(middle.bytes > s->p->limit ? &fast : &small) = middle;
  }
  double ignored;
  bool found =
      search_chain_limited(all, s->n_blocks, s->p->limit, &s->arena, &node->path, &ignored);
  node->bound = fmin(node->bound, node->path.time);
  return found;
}

/* Finds the node's best path; false where it has none within the limit. */
static bool node_solve(struct solver *s, struct node *node) {
  if (s->limited && !s->fronts)
    return solve_priced(s, node);
  table_list tables = tables_of(s, node, (struct search_aim){.fronts = s->limited});
  if (s->limited)
    return search_chain_limited(tables, s->n_blocks, s->p->limit, &s->arena, &node->path,
                                &node->bound);
  bool found = search_chain_best(tables, s->n_blocks, 0, &s->arena, &node->path);
  node->bound = found ? node->path.time : INFINITY;
  return found;
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

static uint32_t n_layouts(const struct solver *s, uint32_t weight) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->n_blocks; i++) {
    const struct search_block *b = block_at(s->p, i);
    for (uint32_t v = 0; v < b->n_variables; v++)
      for (uint32_t k = 0; k < b->variables[v].n_ties; k++)
        for (uint32_t c = 0;
             b->variables[v].ties[k].weight == weight && c < b->variables[v].n_choices; c++)
          if (b->variables[v].ties[k].layouts[c] >= n)
            n = b->variables[v].ties[k].layouts[c] + 1;
  }
  return n;
}

static void branch(struct solver *s, struct queue *q, const struct node *from, uint32_t weight) {
  uint32_t n = n_layouts(s, weight);
  for (uint32_t layout = 0; layout < n; layout++) {
    struct node *x = ARENA_NEW(&s->arena, struct node);
    x->fixed = arena_memdup(&s->arena, from->fixed, s->p->n_weights * sizeof *x->fixed);
    x->fixed[weight] = (uint16_t)layout;
    if (!node_solve(s, x))
      continue;
    x->bound = fmax(x->bound, from->bound);
    if (x->bound < s->cutoff)
      queue_push(q, x);
  }
}

struct search_outcome {
  const struct node *solution; /* NULL: none below the cutoff */
  double bound, least_bytes;
  uint64_t nodes;
};

static struct search_outcome run(struct solver *s) {
  struct search_outcome out = {.bound = s->cutoff};
  struct queue q = {0};
  struct node *root = ARENA_NEW(&s->arena, struct node);
  uint16_t *layouts = mem_alloc((s->p->n_weights + 1) * sizeof *layouts);
  root->fixed = ARENA_ARRAY(&s->arena, uint16_t, s->p->n_weights);
  for (uint32_t i = 0; i < s->p->n_weights; i++)
    root->fixed[i] = SEARCH_ANY_LAYOUT;
  if (node_solve(s, root)) {
    if (root->bound < s->cutoff)
      queue_push(&q, root);
  } else {
    out.bound = INFINITY;
    out.least_bytes = s->limited && root->path.entries ? root->path.bytes : INFINITY;
  }
  for (; q.heap.len && out.nodes < MAX_NODES; out.nodes++) {
    struct node *x = queue_pop(&q);
    uint32_t weight = find_conflict(s, x, layouts);
    if (weight == SEARCH_NONE) {
      out.solution = x;
      out.bound = x->bound;
      break;
    }
    branch(s, &q, x, weight);
  }
  if (!out.solution && q.heap.len)
    out.bound = q.heap.data[0]->bound;
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

void search_solve(const struct search_problem *p, double cutoff, struct arena *arena,
                  struct search_solution *out) {
  struct solver s = {.p = p, .cutoff = cutoff};
  *out = (struct search_solution){0};
  for (uint32_t i = 0; i < p->n_phases; i++)
    s.n_blocks += p->phases[i].n_blocks;
  struct search_outcome found = run(&s);
  if (found.solution && found.solution->path.bytes > p->limit) {
    /* The fastest does not fit. */
    s.limited = true;
    s.fronts = fronts_are_short(p);
    found = run(&s);
  }
  out->nodes = found.nodes;
  out->bound = found.bound;
  out->least_bytes = found.least_bytes;
  if (found.solution)
    take_solution(&s, found.solution, arena, out);
  map_deinit(&s.cache);
  arena_deinit(&s.arena);
}

/* ---- the definition ---- */

/* What converting a value to the distinct classes that its readers want costs. */
static double convert_value(const struct search_block *b, uint32_t v, uint32_t made,
                            const uint32_t *choices) {
  const struct search_value *value = &b->values[v];
  bool *paid = mem_calloc(value->n_classes, sizeof *paid);
  double time = 0;
  for (uint32_t i = 0; i < b->n_variables; i++) {
    const struct search_variable *x = &b->variables[i];
    for (uint32_t k = 0; k < x->n_reads; k++) {
      uint32_t wanted = x->reads[k].classes[choices[i]];
      if (x->reads[k].value != v || paid[wanted])
        continue;
      paid[wanted] = true;
      time += value->convert[made * value->n_classes + wanted];
    }
  }
  mem_free(paid);
  return time;
}

static uint32_t made_in(const struct search_block *b, uint32_t v, const uint32_t *choices) {
  for (uint32_t i = 0; i < b->n_variables; i++)
    for (uint32_t k = 0; k < b->variables[i].n_makes; k++)
      if (b->variables[i].makes[k].value == v)
        return b->variables[i].makes[k].classes[choices[i]];
  return SEARCH_NONE;
}

static double block_time(const struct search_block *b, const uint32_t *choices, uint32_t input,
                         double *bytes) {
  double time = 0;
  for (uint32_t i = 0; i < b->n_variables; i++) {
    time += b->variables[i].time[choices[i]];
    *bytes += b->variables[i].bytes[choices[i]];
  }
  for (uint32_t v = 0; v < b->n_values; v++) {
    uint32_t made = v == b->input ? input : made_in(b, v, choices);
    if (made != SEARCH_NONE)
      time += convert_value(b, v, made, choices);
  }
  return time;
}

static bool ties_hold(const struct search_problem *p, uint32_t *const *const *choices) {
  uint32_t *layouts = mem_calloc(p->n_weights + 1, sizeof *layouts); /* 0: none yet */
  bool hold = true;
  for (uint32_t i = 0; i < p->n_phases; i++)
    for (uint32_t n = 0; n < p->phases[i].n_blocks; n++) {
      const struct search_block *b = p->phases[i].blocks[n];
      for (uint32_t v = 0; v < b->n_variables; v++)
        for (uint32_t k = 0; k < b->variables[v].n_ties; k++) {
          const struct search_tie *tie = &b->variables[v].ties[k];
          uint32_t here = 1u + tie->layouts[choices[i][n][v]], *layout = &layouts[tie->weight];
          hold &= !*layout || *layout == here;
          *layout = here;
        }
    }
  mem_free(layouts);
  return hold;
}

void search_evaluate(const struct search_problem *p, uint32_t *const *const *choices,
                     double *out_time, double *out_bytes, double *out_phase_time) {
  *out_time = ties_hold(p, choices) ? 0 : INFINITY;
  *out_bytes = 0;
  for (uint32_t i = 0; i < p->n_phases; i++) {
    double time = 0;
    uint32_t passed = SEARCH_NONE;
    for (uint32_t n = 0; n < p->phases[i].n_blocks; n++) {
      const struct search_block *b = p->phases[i].blocks[n];
      time += block_time(b, choices[i][n], passed, out_bytes);
      passed = b->output == SEARCH_NONE ? SEARCH_NONE : made_in(b, b->output, choices[i][n]);
    }
    if (out_phase_time)
      out_phase_time[i] = time;
    *out_time += time;
  }
}
