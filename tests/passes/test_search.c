/* SPDX-License-Identifier: Apache-2.0 */
/* The search over tables equals exhaustive enumeration: random problems of one or two phases, with
 * values that several variables read, forks that meet again, equal blocks, tied weights, and memory
 * limits. tests/passes/test_search_graphs.c does so for graphs. */
#include "passes/partition/search_problem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t state = 1;
static uint32_t draw(uint32_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33) % n;
}

/* Multiples of a power of two, so that sums are exact in any order. */
static double draw_time(void) { return (1 + draw(1000)) * 0x1p-10; }

static uint16_t *draw_classes(struct arena *a, uint32_t n, uint32_t n_classes) {
  uint16_t *out = ARENA_ARRAY(a, uint16_t, n);
  for (uint32_t i = 0; i < n; i++)
    out[i] = (uint16_t)draw(n_classes);
  return out;
}

static void make_value(struct arena *a, uint32_t n_classes, struct search_value *out) {
  double *convert = ARENA_ARRAY(a, double, n_classes *n_classes);
  for (uint32_t i = 0; i < n_classes * n_classes; i++) {
    convert[i] = draw(4) == 0 ? 0 : draw_time();
    if (draw(12) == 0)
      convert[i] = INFINITY;
    if (i / n_classes == i % n_classes)
      convert[i] = 0;
  }
  *out = (struct search_value){n_classes, convert};
}

struct shape {
  uint32_t n_variables, n_choices, n_classes, n_weights, n_layouts;
  uint32_t in, out; /* classes of the ends; 0: none */
};

/* Variable i makes value i; each reads up to three of those before it. */
static const struct search_block *make_block(struct arena *a, const struct shape *s) {
  struct search_block *b = ARENA_NEW(a, struct search_block);
  struct search_variable *variables = ARENA_ARRAY(a, struct search_variable, s->n_variables);
  struct search_value *values = ARENA_ARRAY(a, struct search_value, s->n_variables + 1);
  uint32_t n = s->n_variables, input = s->in ? n : SEARCH_NONE;
  for (uint32_t i = 0; i < n; i++)
    make_value(a, i == n - 1 && s->out ? s->out : 1 + draw(s->n_classes), &values[i]);
  if (s->in)
    make_value(a, s->in, &values[n]);
  for (uint32_t i = 0; i < n; i++) {
    struct search_variable *x = &variables[i];
    struct search_use *makes = ARENA_ARRAY(a, struct search_use, 1);
    struct search_use *reads = ARENA_ARRAY(a, struct search_use, 3);
    struct search_tie *ties = ARENA_ARRAY(a, struct search_tie, 1);
    x->n_choices = 1 + draw(s->n_choices);
    double *time = ARENA_ARRAY(a, double, x->n_choices),
           *bytes = ARENA_ARRAY(a, double, x->n_choices);
    for (uint32_t c = 0; c < x->n_choices; c++) {
      time[c] = draw_time();
      bytes[c] = draw(8);
    }
    makes[0] = (struct search_use){i, draw_classes(a, x->n_choices, values[i].n_classes)};
    for (uint32_t k = 0; k < 3; k++) {
      uint32_t v = draw(i + 1 + (s->in != 0));
      if (v == i || (v == n && !s->in))
        continue;
      v = v > i ? input : v;
      reads[x->n_reads++] =
          (struct search_use){v, draw_classes(a, x->n_choices, values[v].n_classes)};
    }
    if (s->n_weights && draw(2)) {
      ties[0] =
          (struct search_tie){draw(s->n_weights), draw_classes(a, x->n_choices, s->n_layouts)};
      x->n_ties = 1;
    }
    x->time = time, x->bytes = bytes;
    x->n_makes = 1, x->makes = makes, x->reads = reads, x->ties = ties;
  }
  *b = (struct search_block){.n_variables = n,
                             .n_values = s->n_variables + (s->in != 0),
                             .variables = variables,
                             .values = values,
                             .input = input,
                             .output = s->out ? n - 1 : SEARCH_NONE};
  return b;
}

/* A head, some equal blocks, a tail. */
static struct search_chain make_chain(struct arena *a, uint32_t n_equal, struct shape s) {
  const struct search_block **blocks = ARENA_ARRAY(a, const struct search_block *, n_equal + 2);
  uint32_t passed = 1 + draw(3), n = 0;
  s.out = n_equal ? passed : 0;
  blocks[n++] = make_block(a, &s);
  if (n_equal) {
    s.in = s.out;
    const struct search_block *middle = n_equal > 1 ? make_block(a, &s) : NULL;
    for (uint32_t i = 1; i < n_equal; i++)
      blocks[n++] = middle;
    s.out = 0;
    blocks[n++] = make_block(a, &s);
  }
  return (struct search_chain){n, blocks};
}

struct cursor {
  uint32_t n;
  uint32_t *slots[64], counts[64];
  uint32_t ***choices;
};

static double begin(struct arena *a, const struct search_problem *p, struct cursor *out) {
  double space = 1;
  *out = (struct cursor){.choices = ARENA_ARRAY(a, uint32_t **, p->n_phases)};
  for (uint32_t i = 0; i < p->n_phases; i++) {
    out->choices[i] = ARENA_ARRAY(a, uint32_t *, p->phases[i].n_blocks);
    for (uint32_t b = 0; b < p->phases[i].n_blocks; b++) {
      const struct search_block *block = p->phases[i].blocks[b];
      out->choices[i][b] = ARENA_ARRAY(a, uint32_t, block->n_variables);
      for (uint32_t v = 0; v < block->n_variables; v++) {
        assert_true(out->n < 64);
        out->slots[out->n] = &out->choices[i][b][v];
        out->counts[out->n++] = block->variables[v].n_choices;
        space *= block->variables[v].n_choices;
      }
    }
  }
  return space;
}

static bool advance(struct cursor *c) {
  for (uint32_t i = 0; i < c->n; i++) {
    if (++*c->slots[i] < c->counts[i])
      return true;
    *c->slots[i] = 0;
  }
  return false;
}

static double enumerate(const struct search_problem *p, struct cursor *c) {
  double best = INFINITY, time, bytes;
  do {
    search_evaluate(p, (uint32_t *const *const *)c->choices, &time, &bytes, NULL);
    if (bytes <= p->limit && time < best)
      best = time;
  } while (advance(c));
  return best;
}

/* Draws until the space has between `least` and `most` choices. */
static double draw_problem(struct arena *a, double least, double most, struct search_problem *p,
                           struct cursor *c) {
  for (;;) {
    uint32_t n_phases = 1 + draw(2);
    struct search_chain *phases = ARENA_ARRAY(a, struct search_chain, n_phases);
    struct shape s = {
        .n_variables = 1 + draw(4), .n_choices = 2 + draw(4), .n_classes = 1 + draw(4)};
    if (n_phases > 1 || draw(3) == 0) {
      s.n_weights = 1 + draw(3);
      s.n_layouts = 1 + draw(3);
    }
    for (uint32_t i = 0; i < n_phases; i++)
      phases[i] = make_chain(a, draw(4), s);
    *p = (struct search_problem){
        .n_phases = n_phases, .phases = phases, .n_weights = s.n_weights, .limit = INFINITY};
    double space = begin(a, p, c);
    if (space >= least && space <= most)
      return space;
  }
}

static void check_solution(const struct search_problem *p, double wanted, uint32_t *feasible) {
  struct arena a = {0};
  struct search_solution found;
  double time, bytes;
  search_solve(p, INFINITY, &a, &found);
  assert_int_equal(found.feasible, !isinf(wanted));
  if (found.feasible) {
    (*feasible)++;
    assert_true(found.time == wanted);
    assert_true(found.bound == wanted);
    assert_true(found.bytes <= p->limit);
    search_evaluate(p, (uint32_t *const *const *)found.choices, &time, &bytes, NULL);
    assert_true(time == found.time && bytes == found.bytes);
  }
  arena_deinit(&a);
}

/* Where memory is limited: by fronts, and by prices with what closes their gaps. */
static void check(struct search_problem *p, struct cursor *c, uint32_t *feasible) {
  double wanted = enumerate(p, c);
  uint32_t again = 0;
  check_solution(p, wanted, feasible);
  p->no_fronts = !isinf(p->limit);
  if (p->no_fronts)
    check_solution(p, wanted, &again);
  p->no_fronts = false;
}

/* The limit lies between what the fastest takes and the least there is. */
static void limit_memory(struct search_problem *p, struct cursor *c) {
  struct arena a = {0};
  struct search_solution fastest;
  double least = INFINITY, time, bytes;
  search_solve(p, INFINITY, &a, &fastest);
  do {
    search_evaluate(p, (uint32_t *const *const *)c->choices, &time, &bytes, NULL);
    least = !isinf(time) && bytes < least ? bytes : least;
  } while (advance(c));
  if (fastest.feasible && fastest.bytes > least)
    p->limit = least + draw((uint32_t)(fastest.bytes - least));
  arena_deinit(&a);
}

static void test_enumeration(void **unused) {
  (void)unused;
  uint32_t feasible = 0, limited = 0, big = 0;
  for (uint32_t i = 0; i < 900; i++) {
    struct arena a = {0};
    struct search_problem p;
    struct cursor c;
    double space = i % 300 == 0 ? draw_problem(&a, 3e5, 6e5, &p, &c)
                                : draw_problem(&a, 1, i % 10 == 0 ? 5e4 : 4e3, &p, &c);
    big += space > 3e5;
    if (i % 5 < 3)
      limit_memory(&p, &c);
    limited += !isinf(p.limit);
    check(&p, &c, &feasible);
    arena_deinit(&a);
  }
  print_message("%u feasible, %u with an active limit, %u of more than 3e5 choices\n", feasible,
                limited, big);
  assert_true(feasible > 600 && 3 * limited > 900 && big == 3);
}

static void add_read(struct arena *a, struct search_variable *x, const struct search_value *values,
                     uint32_t v) {
  ((struct search_use *)x->reads)[x->n_reads++] =
      (struct search_use){v, draw_classes(a, x->n_choices, values[v].n_classes)};
}

/* A value that two to four variables read, each of which makes one thing for one hub, and around
 * it: the hub may read the value as well, hub, producer and a late reader may share another one,
 * the value may come from the block before. */
static const struct search_block *make_fork(struct arena *a, uint32_t in, uint32_t out) {
  uint32_t n_readers = 2 + draw(3), n = n_readers + 4, hub = n_readers + 2;
  struct search_block *b = ARENA_NEW(a, struct search_block);
  struct search_variable *x = ARENA_ARRAY(a, struct search_variable, n);
  struct search_value *values = ARENA_ARRAY(a, struct search_value, n + 1);
  for (uint32_t i = 0; i <= n; i++)
    make_value(a, i == n - 1 && out ? out : i == n && in ? in : 1 + draw(4), &values[i]);
  for (uint32_t i = 0; i < n; i++) {
    struct search_use *makes = ARENA_ARRAY(a, struct search_use, 1);
    x[i].n_choices = 1 + draw(3);
    x[i].reads = ARENA_ARRAY(a, struct search_use, SEARCH_MAX_READERS);
    double *time = ARENA_ARRAY(a, double, 2 * x[i].n_choices), *bytes = time + x[i].n_choices;
    for (uint32_t c = 0; c < x[i].n_choices; c++) {
      time[c] = draw_time();
      bytes[c] = draw(8);
    }
    makes[0] = (struct search_use){i, draw_classes(a, x[i].n_choices, values[i].n_classes)};
    x[i].time = time, x[i].bytes = bytes, x[i].n_makes = 1, x[i].makes = makes;
  }
  /* 0: what is shared; 1: the producer; then readers, the hub, and what follows. */
  bool from_input = in && draw(2);
  if (in)
    add_read(a, &x[from_input ? 0 : draw(2)], values, n);
  if (draw(3))
    add_read(a, &x[1], values, 0);
  for (uint32_t i = 0; i < n_readers; i++) {
    add_read(a, &x[2 + i], values, from_input ? n : 1);
    add_read(a, &x[hub], values, 2 + i);
  }
  if (draw(2))
    add_read(a, &x[hub], values, from_input ? n : 1);
  if (draw(2))
    add_read(a, &x[hub], values, 0);
  if (draw(3) == 0)
    add_read(a, &x[2 + draw(n_readers)], values, 0);
  add_read(a, &x[hub + 1], values, hub);
  if (draw(2))
    add_read(a, &x[hub + 1], values, draw(2));
  *b = (struct search_block){.n_variables = n,
                             .n_values = n + (in != 0),
                             .variables = x,
                             .values = values,
                             .input = in ? n : SEARCH_NONE,
                             .output = out ? n - 1 : SEARCH_NONE};
  return b;
}

/* Late: some solution within the limit, and a bound that holds. */
static void check_late(const struct search_problem *p, struct cursor *c) {
  struct arena a = {0};
  struct search_solution found;
  struct search_solver *s = search_open(p, (struct search_clock){0});
  double wanted = enumerate(p, c);
  search_bound(s);
  search_finish(s, INFINITY, &a, &found);
  assert_true(found.bound <= wanted);
  if (found.feasible)
    assert_true(found.time >= wanted && found.bytes <= p->limit);
  search_close(s);
  arena_deinit(&a);
}

static void test_forks(void **unused) {
  (void)unused;
  uint32_t feasible = 0, checked = 0;
  for (uint32_t i = 0; i < 600; i++) {
    struct arena a = {0};
    struct cursor c;
    const struct search_block *blocks[2];
    uint32_t passed = 1 + draw(4), n = 1 + draw(2);
    blocks[0] = n == 1 ? make_fork(&a, 0, 0)
                       : make_block(&a, &(struct shape){1, 3, 3, 0, 0, .out = passed});
    blocks[1] = n > 1 ? make_fork(&a, passed, 0) : NULL;
    struct search_chain chain = {n, blocks};
    struct search_problem p = {.n_phases = 1, .phases = &chain, .n_weights = 0, .limit = INFINITY};
    if (begin(&a, &p, &c) <= 2e4) {
      checked++;
      check(&p, &c, &feasible);
      check_late(&p, &c);
      if (i % 3 == 0) {
        limit_memory(&p, &c);
        check(&p, &c, &feasible);
        check_late(&p, &c);
      }
    }
    arena_deinit(&a);
  }
  print_message("%u forks, %u feasible\n", checked, feasible);
  assert_true(checked > 400 && feasible > 300);
}

/* A cutoff below the optimum leaves nothing, one above it the optimum. */
static void test_cutoff(void **unused) {
  (void)unused;
  for (uint32_t i = 0; i < 100; i++) {
    struct arena a = {0};
    struct search_problem p;
    struct cursor c;
    struct search_solution free_, below, above;
    draw_problem(&a, 1, 4e3, &p, &c);
    search_solve(&p, INFINITY, &a, &free_);
    if (free_.feasible) {
      search_solve(&p, free_.time, &a, &below);
      search_solve(&p, free_.time + 0x1p-10, &a, &above);
      assert_false(below.feasible);
      assert_true(below.bound == free_.time);
      assert_true(above.feasible && above.time == free_.time);
    }
    arena_deinit(&a);
  }
}

/* Nothing fits: the least bytes are said. */
static void test_nothing_fits(void **unused) {
  (void)unused;
  struct arena a = {0};
  struct search_solution found;
  double time[] = {1, 2}, bytes[] = {8, 5};
  struct search_variable x = {.n_choices = 2, .time = time, .bytes = bytes};
  struct search_block block = {
      .n_variables = 1, .variables = &x, .input = SEARCH_NONE, .output = SEARCH_NONE};
  const struct search_block *blocks[] = {&block, &block};
  struct search_chain chain = {2, blocks};
  struct search_problem p = {.n_phases = 1, .phases = &chain, .n_weights = 0, .limit = 9};
  search_solve(&p, INFINITY, &a, &found);
  assert_false(found.feasible);
  assert_true(found.least_bytes == 10);
  p.limit = 13; /* equal blocks may differ */
  search_solve(&p, INFINITY, &a, &found);
  assert_true(found.feasible && found.time == 3 && found.bytes == 13);
  arena_deinit(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_enumeration),
      cmocka_unit_test(test_forks),
      cmocka_unit_test(test_cutoff),
      cmocka_unit_test(test_nothing_fits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
