/* SPDX-License-Identifier: Apache-2.0 */
/* The search of whole graphs equals exhaustive enumeration, wherever the space is small enough for
 * that: random modules go through preparation, grouping, blocks and prices; for every mesh of up to
 * three axes every plan is looked at, without blocks, chains and elimination.
 *
 * A third is searched with a memory limit that the fastest plan breaks. Once more without time:
 * what is then taken is within the limit, and no better than the optimum, and its bound no worse.
 *
 * SINTER_ALL=1: 600 graphs with spaces of up to 10^7 plans; SINTER_TEST_SEED=n: that one alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/random_graph.h"
#include "ir/shard_index.h"
#include "ir/text.h"
#include "passes/partition/prepare_sharding.h"
#include "passes/partition/role_assignment.h"
#include "passes/partition/search.h"
#include "passes/partition/search_report.h"
#include "passes/partition/space.h"
#include "passes/pipeline.h"
#include "tests/support/flat_problem.h"
#include "tests/support/split_graph.h"

#include <cmocka.h>

#define MOST_AXES 3
#define ROUNDED 1e-9

static double most_plans = 2e4;

/* One graph, what it is split for, and what every mesh gives at best. */
struct trial {
  uint64_t seed, state;
  struct arena arena;
  struct diags d;
  struct module *m;
  struct machine machine;
  struct workload workload;
  const char *parallel;
  struct search_request request;
  struct space spaces[WORKLOAD_MAX_PHASES];
  double scales[WORKLOAD_MAX_PHASES], base;
  uint32_t n_ties, n_meshes;
  struct mesh meshes[64];
  double size;           /* of all spaces */
  struct flat_best best; /* of all meshes, within no limit */
  double limited;        /* time within the limit */
  double limit;          /* of bytes, weights that are everywhere included */
};

static uint32_t draw(struct trial *t, uint32_t n) { return split_draw(&t->state, n); }

/* ---- modules ---- */

static struct module *random_module(struct trial *t) {
  struct random_graph_options options = {.seed = t->seed,
                                         .ops = 2 + draw(t, 7),
                                         .symbolic = draw(t, 2),
                                         .exact_bodies = true,
                                         .kinds = RANDOM_GRAPH_ALL & ~RANDOM_GRAPH_OP(FUSED) &
                                                  ~RANDOM_GRAPH_OP(HOST),
                                         .dtypes = RANDOM_GRAPH_COMMON_DTYPES};
  struct pipeline_options before = {.passes = "check_shapes,cse,fold,simplify,dce"};
  struct module *m = random_graph(&options, &t->d);
  assert_non_null(m);
  assert_int_equal(pipeline_run(m, &before, &t->d), STATUS_OK);
  return m;
}

static struct module *decoder_like(struct trial *t) {
  struct split_graph_options options = {.seed = t->seed,
                                        .layers = 1 + draw(t, 3),
                                        .steps = draw(t, 5),
                                        .stars = draw(t, 2),
                                        .phases = draw(t, 3) == 0,
                                        .distinct_dims = draw(t, 2)};
  if (options.phases) { /* two functions, and attention in each */
    options.layers = 1;
    options.steps = draw(t, 2);
  }
  return split_graph(&options);
}

/* ---- what is asked ---- */

static const char *draw_parallel(struct trial *t, int64_t devices) {
  static const char *const roles[] = {"tp", "dp", "cp", "cache", "x"};
  struct strbuf text = {0};
  uint32_t first = draw(t, t->m->functions.len > 1 ? 4 : 5);
  int64_t left = devices;
  for (uint32_t i = 0; i < MOST_AXES && left > 1; i++) {
    int64_t size = left % 2 == 0 && i + 1 < MOST_AXES ? 2 : left;
    strbuf_printf(&text, "%s%s=%lld", i ? "," : "", roles[(first + i) % 5], (long long)size);
    left /= size;
  }
  const char *out = arena_strdup(&t->arena, strbuf_c(&text));
  strbuf_deinit(&text);
  return out;
}

static const char *draw_workload(struct trial *t, bool phases) {
  static const int64_t sizes[] = {1, 2, 3, 8, 64, 1000};
  if (!phases)
    return arena_printf(&t->arena, "main:batch=%lld,tokens=%lld", (long long)sizes[draw(t, 5)],
                        (long long)sizes[draw(t, 6)]);
  return arena_printf(&t->arena,
                      "prefill:batch=%lld,tokens=%lld,capacity=%lld;"
                      "decode:batch=%lld,capacity=4096,weight=%u",
                      (long long)sizes[draw(t, 4)], (long long)sizes[draw(t, 6)], 4096ll,
                      (long long)sizes[draw(t, 4)], 1 + draw(t, 300));
}

static void add_meshes(struct trial *t, int64_t left, struct mesh mesh) {
  static const char *const names[] = {"x", "y", "z"};
  if (left == 1)
    t->meshes[t->n_meshes++] = mesh;
  for (int64_t size = 2; size <= left && mesh.n_axes < MOST_AXES; size++) {
    struct mesh next = mesh;
    if (left % size)
      continue;
    next.axes[next.n_axes++] = (struct mesh_axis){names[mesh.n_axes], size};
    add_meshes(t, left / size, next);
  }
}

/* False where the text of --parallel is refused. */
static void find_meshes(struct trial *t, int64_t devices) {
  uint32_t id;
  t->n_meshes = 0;
  if (!t->parallel) {
    add_meshes(t, devices, (struct mesh){0});
    return;
  }
  assert_int_equal(parallel_parse(t->m, t->parallel, &t->d, &id), STATUS_OK);
  t->meshes[t->n_meshes++] = *t->m->meshes.data[id];
}

static void begin(struct trial *t) {
  static const int64_t counts[] = {2, 3, 4, 6, 8, 8};
  bool decoder = t->seed % 2;
  int64_t devices = counts[draw(t, 6)];
  uint32_t free_meshes = devices == 8 ? 2 : 4; /* one in so many is not */
  struct strbuf text = {0};
  t->m = decoder ? decoder_like(t) : random_module(t);
  for (uint32_t i = 0; i < t->m->functions.len; i++)
    assert_int_equal(prepare_sharding(t->m->functions.data[i], &t->d), STATUS_OK);
  split_machine(t->seed, devices, &text);
  const char *copy = arena_strdup(&t->arena, strbuf_c(&text));
  status st = machine_parse("drawn", copy, strlen(copy), &t->arena, &t->d, &t->machine);
  assert_int_equal(st, STATUS_OK);
  strbuf_deinit(&text);
  bool forced = t->m->functions.len > 1 || draw(t, free_meshes) == 0;
  t->parallel = forced ? draw_parallel(t, devices) : NULL;
  const char *work = decoder ? draw_workload(t, t->m->functions.len > 1) : NULL;
  assert_int_equal(workload_parse(t->m, work, &t->arena, &t->d, &t->workload), STATUS_OK);
  t->request = (struct search_request){.machine = &t->machine,
                                       .workload = &t->workload,
                                       .parallel = t->parallel,
                                       .objective = draw(t, 2) ? SEARCH_THROUGHPUT : SEARCH_LATENCY,
                                       .threads = 1};
  find_meshes(t, devices);
}

/* ---- by enumeration ---- */

static void spaces_make(struct trial *t) {
  const struct workload *w = &t->workload;
  for (uint32_t i = 0; i < w->n_phases; i++) {
    space_build(t->m, &w->phases[i], i, &t->arena, &t->spaces[i]);
    t->scales[i] = w->phases[i].weight;
    if (t->request.objective == SEARCH_THROUGHPUT)
      t->scales[i] /= space_batch(&t->spaces[i]);
  }
  t->n_ties = space_tie(t->spaces, w->n_phases);
  t->base = 0;
  for (uint32_t i = 0; i < w->n_phases; i++)
    t->base += t->spaces[i].base_bytes;
}

/* What goes from block to block is one value, which only the next block reads. */
static void check_blocks(const struct space *s) {
  for (uint32_t i = 0; i < s->n_groups; i++)
    for (uint32_t k = 0; k < s->groups[i].n_ops; k++) {
      const struct op *op = function_op(s->function, s->groups[i].ops[k]);
      for (uint32_t n = 0; n < op->n_operands; n++) {
        const struct op *def = value_def(s->function, op->operands[n]);
        uint32_t from = def ? s->group_of[def - s->function->ops.data] : SEARCH_NONE;
        if (from == SEARCH_NONE || s->given[op->operands[n]] ||
            s->groups[from].block == s->groups[i].block)
          continue;
        assert_int_equal(s->groups[from].block + 1, s->groups[i].block);
        assert_int_equal(s->blocks[s->groups[i].block].input, op->operands[n]);
      }
    }
}

/* Whether all spaces are small enough; then what they give at best within `limit` bytes. */
static bool enumerate(struct trial *t, double limit, struct flat_best *best) {
  *best = (struct flat_best){INFINITY, INFINITY, INFINITY, INFINITY};
  t->size = 0;
  for (uint32_t i = 0; i < t->n_meshes; i++) {
    struct arena a = {0};
    struct search_chain chains[WORKLOAD_MAX_PHASES];
    struct space_tables tables[WORKLOAD_MAX_PHASES];
    struct flat_problem flat;
    struct flat_best found;
    uint32_t meshes = t->m->meshes.len, shardings = t->m->shardings.len, roles[MESH_MAX_AXES];
    for (uint32_t k = 0; k < MESH_MAX_AXES; k++)
      roles[k] = t->parallel && k < t->meshes[i].n_axes ? space_role_of(t->meshes[i].axes[k].name)
                                                        : SPACE_ANY;
    uint32_t id = module_add_mesh(t->m, &t->meshes[i]);
    for (uint32_t k = 0; k < t->workload.n_phases; k++) {
      space_tables_build(&t->spaces[k], &t->machine, id, roles, t->scales[k], &a, &tables[k]);
      chains[k] = tables[k].chain;
    }
    struct search_problem p = {.n_phases = t->workload.n_phases,
                               .phases = chains,
                               .n_weights = t->n_ties,
                               .limit = limit - t->base};
    flat_problem_of(&p, &a, &flat);
    t->size += flat.size;
    if (t->size <= most_plans) {
      flat_problem_enumerate(&flat, &found);
      if (found.free_time < best->free_time ||
          (found.free_time == best->free_time && found.free_bytes < best->free_bytes)) {
        best->free_time = found.free_time;
        best->free_bytes = found.free_bytes;
      }
      best->time = fmin(best->time, found.time);
      best->least_bytes = fmin(best->least_bytes, found.least_bytes);
    }
    t->m->meshes.len = meshes;
    t->m->shardings.len = shardings;
    arena_deinit(&a);
    if (t->size > most_plans)
      return false;
  }
  return true;
}

/* ---- by search ---- */

static void fail_at(const struct trial *t, const char *what, double wanted, double found) {
  struct strbuf text = {0};
  module_print(t->m, &text);
  fprintf(stderr, "%s\n", strbuf_c(&text));
  diags_print(&t->d, stderr);
  strbuf_deinit(&text);
  fail_msg("SINTER_TEST_SEED=%llu: %s: %.17g, wanted %.17g (%s)", (unsigned long long)t->seed, what,
           found, wanted, t->parallel ? t->parallel : "any mesh");
}

static bool is_near(double a, double b) { return fabs(a - b) <= ROUNDED * fmax(a, b); }

static void check_report(const struct trial *t, const struct search_result *found) {
  double sum = 0;
  for (uint32_t i = 0; i < t->workload.n_phases; i++) {
    const struct report_time *x = &found->report->phases[i].time;
    double seconds = x->compute + x->memory + x->launch + x->communication;
    if (!is_near(seconds, found->winner.phase_seconds[i]))
      fail_at(t, "time of a phase in the report", found->winner.phase_seconds[i], seconds);
    sum += seconds * t->scales[i];
  }
  if (!is_near(sum, found->winner.seconds))
    fail_at(t, "time of all phases", found->winner.seconds, sum);
}

/* wanted: seconds; INFINITY where nothing fits. */
static void check_search(struct trial *t, double wanted) {
  struct search_result found;
  uint32_t meshes = t->m->meshes.len;
  struct diags quiet = {0};
  t->request.seconds = 0;
  status st = search_plan(t->m, &t->request, &t->arena, &quiet, &found);
  bool unused = diags_count(&quiet) && diags_get(&quiet, 0)->code == DIAG_E0344;
  if ((st == STATUS_OK) == (bool)isinf(wanted) && !unused)
    fail_at(t, "a plan", !isinf(wanted), st == STATUS_OK);
  if (st == STATUS_OK) {
    if (!is_near(found.winner.seconds, wanted))
      fail_at(t, "seconds", wanted, found.winner.seconds);
    if (found.gap != 0)
      fail_at(t, "gap", 0, found.gap);
    if ((double)found.winner.bytes > t->limit)
      fail_at(t, "bytes", t->limit, (double)found.winner.bytes);
    check_report(t, &found);
    t->request.seconds = 1e-9;
    t->m->meshes.len = meshes;
    st = search_plan(t->m, &t->request, &t->arena, &quiet, &found);
    if (st)
      fail_at(t, "a plan when it is late", wanted, 0);
    if (found.winner.seconds < wanted * (1 - ROUNDED))
      fail_at(t, "seconds when it is late", wanted, found.winner.seconds);
    if (found.winner.seconds - found.gap > wanted * (1 + ROUNDED))
      fail_at(t, "bound when it is late", wanted, found.winner.seconds - found.gap);
    if ((double)found.winner.bytes > t->limit)
      fail_at(t, "bytes when it is late", t->limit, (double)found.winner.bytes);
  }
  t->m->meshes.len = meshes;
  diags_deinit(&quiet);
}

struct counts {
  uint32_t graphs, limited, three_axes, large, phases;
};

/* False where the space is too large to be looked at. */
static bool try_seed(uint64_t seed, struct counts *n) {
  struct trial t = {.seed = seed, .state = seed};
  begin(&t);
  spaces_make(&t);
  for (uint32_t i = 0; i < t.workload.n_phases; i++)
    check_blocks(&t.spaces[i]);
  t.limit = (double)t.machine.memory;
  bool small = enumerate(&t, t.limit, &t.best);
  if (small && t.size < 50 && draw(&t, 8)) /* few plans teach little */
    small = false;
  if (small) {
    check_search(&t, t.best.free_time);
    double least = t.best.least_bytes, most = t.best.free_bytes;
    bool limited = !isinf(t.best.free_time) && most > least + 1;
    if (limited) {
      t.limit = floor(t.base + least + (most - least - 1) * draw(&t, 100) / 100);
      t.machine.memory = (uint64_t)t.limit;
      struct flat_best best;
      enumerate(&t, t.limit, &best);
      check_search(&t, best.time);
    }
    n->graphs++;
    n->limited += limited;
    n->three_axes += t.meshes[t.n_meshes - 1].n_axes == 3;
    n->large += t.size > most_plans / 100;
    n->phases += t.workload.n_phases > 1;
  }
  module_destroy(t.m);
  diags_deinit(&t.d);
  arena_deinit(&t.arena);
  return small;
}

static void test_graphs(void **unused) {
  (void)unused;
  const char *text = getenv("SINTER_TEST_SEED");
  struct counts n = {0};
  bool all = getenv("SINTER_ALL") || text;
  uint32_t wanted = all ? 600 : 120;
  most_plans = all ? 1e7 : 2e4;
  if (text) {
    try_seed(strtoull(text, NULL, 10), &n);
    return;
  }
  for (uint64_t seed = 1; n.graphs < wanted; seed++)
    try_seed(seed, &n);
  print_message("%u graphs, %u also with an active limit, %u with three axes, %u of two phases, "
                "%u of more than %g plans\n",
                n.graphs, n.limited, n.three_axes, n.phases, n.large, most_plans / 100);
  assert_true(3 * n.limited >= n.graphs);
  assert_true(n.three_axes > n.graphs / 20 && n.phases > 0 && n.large > n.graphs / 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_graphs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
