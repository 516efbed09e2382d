/* SPDX-License-Identifier: Apache-2.0 */
/* The search equals an integer linear program of the same tables, solved by GLPK's glpsol: random
 * graphs of some ten groups, and a decoder of two layers with both phases tied by weights and
 * states, whose spaces are too large to be enumerated; each once more with a memory limit that the
 * fastest plan breaks.
 *
 * SINTER_ALL=1: more of them, and meshes of two axes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ir/shard_index.h"
#include "passes/partition/prepare_sharding.h"
#include "passes/partition/space.h"
#include "tests/support/flat_problem.h"
#include "tests/support/split_graph.h"

#include <cmocka.h>

#define UNIT 1e-6
/* GLPK's tolerance of a reduced cost, relative to a problem's time. */
#define NEAR 1e-6

/* The optimum by GLPK; INFINITY: there is none; NAN: it did not finish. */
static double solve_ilp(const struct flat_problem *p) {
  char lp[] = "/tmp/sinter-lp-XXXXXX", out[] = "/tmp/sinter-out-XXXXXX", line[512];
  int file = mkstemp(lp), other = mkstemp(out);
  assert_true(file >= 0 && other >= 0);
  FILE *f = fdopen(file, "w");
  assert_true(flat_problem_write_lp(p, UNIT, f));
  assert_int_equal(fclose(f), 0);
  close(other);
  char command[4096];
  snprintf(command, sizeof command, "%s --lp %s --tmlim 120 --cuts -o %s >/dev/null 2>&1",
           SINTER_GLPSOL, lp, out);
  int rc = system(command);
  double found = NAN;
  bool optimal = false;
  f = rc == 0 ? fopen(out, "r") : NULL;
  while (f && fgets(line, sizeof line, f)) {
    if (!strncmp(line, "Status:", 7)) {
      optimal = strstr(line, "INTEGER OPTIMAL") != NULL;
      found = strstr(line, "EMPTY") ? INFINITY : NAN;
    }
    const char *at = strstr(line, "time = ");
    if (!strncmp(line, "Objective:", 10) && at && optimal) {
      found = strtod(at + 7, NULL) * UNIT;
      break;
    }
  }
  if (f)
    fclose(f);
  unlink(lp);
  unlink(out);
  return found;
}

struct subject {
  struct arena arena;
  struct diags d;
  struct module *m;
  struct machine machine;
  struct workload workload;
  struct space spaces[WORKLOAD_MAX_PHASES];
  struct search_chain chains[WORKLOAD_MAX_PHASES];
  struct space_tables tables[WORKLOAD_MAX_PHASES];
  struct search_problem problem;
  double size;
};

static void subject_make(const struct split_graph_options *options, const char *work,
                         const struct mesh *mesh, struct subject *out) {
  struct strbuf text = {0};
  uint32_t roles[MESH_MAX_AXES];
  *out = (struct subject){.m = split_graph(options)};
  for (uint32_t i = 0; i < out->m->functions.len; i++)
    assert_int_equal(prepare_sharding(out->m->functions.data[i], &out->d), STATUS_OK);
  split_machine(options->seed, mesh_ranks(mesh), &text);
  const char *copy = arena_strdup(&out->arena, strbuf_c(&text));
  strbuf_deinit(&text);
  assert_int_equal(machine_parse("drawn", copy, strlen(copy), &out->arena, &out->d, &out->machine),
                   STATUS_OK);
  assert_int_equal(workload_parse(out->m, work, &out->arena, &out->d, &out->workload), STATUS_OK);
  uint32_t n = out->workload.n_phases, id = module_add_mesh(out->m, mesh);
  for (uint32_t i = 0; i < n; i++)
    space_build(out->m, &out->workload.phases[i], i, &out->arena, &out->spaces[i]);
  uint32_t n_ties = space_tie(out->spaces, n);
  for (uint32_t a = 0; a < MESH_MAX_AXES; a++)
    roles[a] = SPACE_ANY;
  for (uint32_t i = 0; i < n; i++) {
    space_tables_build(&out->spaces[i], &out->machine, id, roles, out->workload.phases[i].weight,
                       &out->arena, &out->tables[i]);
    out->chains[i] = out->tables[i].chain;
    out->size += out->tables[i].space_size;
  }
  out->problem = (struct search_problem){
      .n_phases = n, .phases = out->chains, .n_weights = n_ties, .limit = INFINITY};
}

static void subject_deinit(struct subject *s) {
  module_destroy(s->m);
  diags_deinit(&s->d);
  arena_deinit(&s->arena);
}

/* Returns false where GLPK did not finish. */
static bool compare(struct subject *s, const char *what) {
  struct flat_problem flat;
  struct search_solution found;
  flat_problem_of(&s->problem, &s->arena, &flat);
  double begin = clock_now_s();
  search_solve(&s->problem, INFINITY, &s->arena, &found);
  double solved = clock_now_s(), wanted = solve_ilp(&flat), end = clock_now_s();
  print_message(
      "%s: %u variables, 10^%.1f plans: %.9g us in %.3f s, gap %.3g %%; by GLPK %.9g us in "
      "%.3f s\n",
      what, flat.n_variables, s->size, found.time / UNIT, solved - begin,
      found.feasible ? 100 * (found.time - found.bound) / found.time : 0, wanted / UNIT,
      end - solved);
  if (isnan(wanted))
    return false;
  assert_int_equal(found.feasible, !isinf(wanted));
  if (!found.feasible)
    return true;
  assert_true(found.time >= wanted * (1 - NEAR));
  assert_true(found.bound <= wanted * (1 + NEAR));
  if (isinf(s->problem.limit) || found.bound == found.time)
    assert_true(found.time <= wanted * (1 + NEAR));
  assert_true(found.bytes <= s->problem.limit);
  return true;
}

/* With the limit half way from the least there is to what the fastest takes. */
static bool limit_memory(struct subject *s) {
  struct search_solution fast, least;
  search_solve(&s->problem, INFINITY, &s->arena, &fast);
  s->problem.limit = 0;
  search_solve(&s->problem, INFINITY, &s->arena, &least);
  s->problem.limit = floor((fast.bytes + least.least_bytes) / 2);
  return fast.bytes > least.least_bytes + 1;
}

static void compare_both(struct subject *s, const char *what, uint32_t *done, uint32_t *limited) {
  *done += compare(s, what);
  if (limit_memory(s))
    *limited += compare(s, "  with a limit");
}

static void test_graphs(void **unused) {
  (void)unused;
  static const struct mesh meshes[] = {
      {1, {{"x", 2}}}, {1, {{"x", 4}}}, {1, {{"x", 6}}}, {2, {{"x", 2}, {"y", 2}}}};
  bool all = getenv("SINTER_ALL") != NULL;
  uint32_t n = all ? 24 : 8, done = 0, limited = 0;
  for (uint32_t i = 0; i < n; i++) {
    struct split_graph_options options = {.seed = 100 + i,
                                          .layers = 1 + i % 2,
                                          .steps = 4,
                                          .stars = true,
                                          .distinct_dims = i % 3 == 0};
    struct subject s;
    subject_make(&options, "main:batch=4,tokens=64", &meshes[i % (all ? 4 : 3)], &s);
    compare_both(&s, "graph", &done, &limited);
    subject_deinit(&s);
  }
  print_message("%u of %u graphs, %u with a limit\n", done, n, limited);
  assert_true(done >= (all ? n * 3 / 4 : n) && limited >= n / 2);
}

static void test_decoder(void **unused) {
  (void)unused;
  static const struct mesh meshes[] = {{1, {{"x", 2}}}, {1, {{"x", 4}}}, {2, {{"x", 2}, {"y", 2}}}};
  uint32_t n = getenv("SINTER_ALL") ? 3 : 2, done = 0, limited = 0;
  for (uint32_t i = 0; i < n; i++) {
    struct split_graph_options options = {.seed = 7 + i, .layers = 2, .steps = 2, .phases = true};
    struct subject s;
    subject_make(&options,
                 "prefill:batch=2,tokens=512,capacity=4096;decode:batch=8,capacity=4096,weight=64",
                 &meshes[i], &s);
    compare_both(&s, "decoder of two layers, both phases", &done, &limited);
    subject_deinit(&s);
  }
  assert_true(done == n);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_graphs), cmocka_unit_test(test_decoder)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
