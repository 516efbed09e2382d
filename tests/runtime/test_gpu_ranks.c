/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks on GPUs (simulated ones) that exchange elements by NCCL: every step and every collective of
 * a run may fail, stall, run out of memory or deliver something else, in runs step by step and in
 * recorded ones. The caller gets the first cause in time, and the session goes on. Runs are
 * recorded once.
 */
#include "tests/support/gpu_plan.h"

#include "base/clock.h"
#include "tests/support/ranks_plan.h"
#include "tests/support/state_plan.h"

#include "runtime/session.h"

enum { DEADLINE_MS = 1000, RANKS = 4 };

static double slowest;

struct gpu_options {
  const char *faults;
  int no_graphs, check;
};

static sinter_session *create(struct fixture *f, struct gpu_options o) {
  sinter_session_options options = {.struct_size = sizeof options,
                                    .devices = "sim:4",
                                    .deadline_ms = DEADLINE_MS,
                                    .faults = o.faults,
                                    .no_graphs = o.no_graphs,
                                    .check_collectives = o.check};
  sinter_session *session;
  assert_ok(sinter_session_create(f->engine, &options, &session));
  return session;
}

static void open_plan(struct fixture *f) {
  engine_maker_for_gpu(&f->maker);
  f->bytes = engine_maker_bytes(&f->maker, &f->n);
  f->engine = engine_maker_open(f->bytes, f->n);
  f->session = NULL;
}

/* --- Recordings --- */

static void graphs_of(sinter_session *session, uint64_t made, uint64_t launched) {
  sinter_session_stats stats = {.struct_size = sizeof stats};
  assert_ok(sinter_session_get_stats(session, &stats));
  assert_int_equal(stats.graphs_made, made);
  assert_int_equal(stats.graphs_launched, launched);
  assert_int_equal(stats.launches, 2 * RANKS);
}

static void runs_are_recorded_once(void **state) {
  (void)state;
  struct fixture f;
  make_graph_plan(&f.maker);
  open_plan(&f);
  sinter_session *session = create(&f, (struct gpu_options){0});
  for (int i = 0; i < 5; i++)
    assert_ok(run_graph_plan(session, 40));
  graphs_of(session, 1, 4);
  sinter_exchange counted = {.struct_size = sizeof counted};
  for (uint32_t i = 0; i < 5; i++) {
    assert_ok(sinter_session_get_exchange(session, i, &counted));
    assert_int_equal(counted.times, 1);
    assert_int_equal(counted.bytes, counted.expected);
    assert_true(counted.bytes >= 4 * 40 * 8);
  }
  for (int i = 0; i < 3; i++)
    assert_ok(run_graph_plan(session, 4000)); /* memory grows */
  graphs_of(session, 2, 6);
  for (int i = 0; i < 3; i++) /* so this one is recorded anew, in place of the one before */
    assert_ok(run_graph_plan(session, 40));
  graphs_of(session, 3, 9);
  for (int i = 0; i < 12; i++) /* more shapes than are kept */
    assert_ok(run_graph_plan(session, 50 + i));
  graphs_of(session, 3, 9);
  assert_ok(run_graph_plan(session, 61));
  graphs_of(session, 4, 10);
  sinter_session_destroy(session);

  session = create(&f, (struct gpu_options){.no_graphs = 1});
  for (int i = 0; i < 3; i++)
    assert_ok(run_graph_plan(session, 40));
  graphs_of(session, 0, 0);
  sinter_session_destroy(session);
  fixture_close(&f);
}

/* A decoder's shape: tokens [b, 1] and a state [b, capacity]; y = tokens + length, and summed over
 * the ranks. */
static void make_decoder(struct engine_maker *e) {
  engine_maker_init(e, 0);
  struct manifest_build *b = &e->build;
  uint32_t axis = manifest_build_axis(b, "a", RANKS), one = engine_const(e, 1);
  uint32_t batch = manifest_build_symbol_expr(b, manifest_build_symbol(b, "batch", 1, 8));
  uint32_t sc = manifest_build_symbol(b, "capacity", 1, 4096);
  uint32_t capacity = manifest_build_symbol_expr(b, sc);
  uint32_t all = manifest_build_expr(b, EXPR_MUL, batch, capacity, 0);
  struct state_plan p = state_plan_begin(e, sc, batch, (uint32_t[]){batch, capacity}, 2, all);
  uint32_t sum = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_I64, batch, 0, 9);
  uint32_t wide = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_I64, all, 0, 9);
  engine_launch(e, p.block, KERNEL_add_i64, (uint32_t[]){p.past, p.past, wide},
                (uint32_t[]){all, one}, all);
  engine_launch(e, p.block, KERNEL_add_i64, (uint32_t[]){p.tokens, p.length, sum},
                (uint32_t[]){batch, one}, batch);
  Engine__Exchange *ex = manifest_build_step_exchange(b, p.block);
  manifest_build_exchange_axis(b, ex, axis, 0, 0);
  manifest_build_exchange_part(b, ex, sum, p.y, batch);
}

static void a_thousand_tokens(void **state) {
  (void)state;
  struct fixture f;
  make_decoder(&f.maker);
  open_plan(&f);
  sinter_session *session = create(&f, (struct gpu_options){0});
  int64_t token[2] = {7, 8};
  sinter_tensor input = {
      .dtype = SINTER_I64, .rank = 2, .dims = {2, 1}, .data = token, .bytes = sizeof token};
  for (int64_t i = 0; i < 1000; i++) {
    sinter_tensor output = {0};
    assert_ok(sinter_session_run(session, "decode", &input, 1, &output, 1));
    assert_int_equal(((int64_t *)output.data)[0], RANKS * (7 + i));
    assert_int_equal(((int64_t *)output.data)[1], RANKS * (8 + i));
  }
  graphs_of(session, 5, 1000 - 5); /* capacities 64, 128, 256, 512, 1024 */
  sinter_session_destroy(session);
  fixture_close(&f);
}

/* --- Failures --- */

static void in_time(double start, const char *what) {
  double took = clock_now_s() - start;
  slowest = took > slowest ? took : slowest;
  if (took > DEADLINE_MS * 1e-3 + 9) /* a busy machine takes its time */
    fail_msg("'%s' took %.1f s", what, took);
}

static void every_step_may_fail(void **state) {
  (void)state;
  struct fixture f;
  ranks_plan_make(&f.maker, 2, 2);
  open_plan(&f);
  sinter_session *session = create(&f, (struct gpu_options){0});
  assert_ok(ranks_plan_run(session, 40, RANKS));
  uint64_t steps = session->ranks[2].steps;
  struct slowest_fault slowest_of_all = {0};
  sinter_session_destroy(session);
  assert_true(steps > 20);
  for (uint64_t step = 1; step <= steps; step++)
    for (int kind = 0; kind < RANKS_PLAN_FAULTS; kind++) {
      const struct ranks_plan_fault *fault = &ranks_plan_faults[kind];
      char faults[64];
      if ((fault->check && step > steps - RANKS_PLAN_LAST_STEPS) ||
          (!getenv("SINTER_ALL") && kind >= 3 && step % 4 != (uint64_t)kind % 4))
        continue;
      snprintf(faults, sizeof faults, "rank=%d step=%d %s", (int)(step + (uint64_t)kind) % RANKS,
               (int)step, fault->word);
      session = create(&f, (struct gpu_options){.faults = faults, .check = fault->check});
      double start = clock_now_s();
      sinter_status st = ranks_plan_run(session, 40, RANKS);
      slowest_fault_note(&slowest_of_all, faults, clock_now_s() - start, DEADLINE_MS + 1000);
      if (st != fault->status || strcmp(sinter_last_error_code(), fault->code))
        fail_msg("'%s': %d %s", faults, st, sinter_last_error());
      assert_ok(ranks_plan_run(session, 40, RANKS));
      sinter_session_destroy(session);
    }
  slowest_fault_print(&slowest_of_all, "threads on sim:4");
  fixture_close(&f);
}

/* The n-th operation of NCCL on a rank, and all that follow, so that it need not be known which one
 * that is. */
static void set_fault(int rank, int first, int last, const char *word) {
  static char script[1 << 16];
  int n = 0;
  for (int i = first; i <= last; i++)
    n += snprintf(script + n, sizeof script - (size_t)n, "%srank=%d step=%d %s", n ? "; " : "",
                  rank, i, word);
  setenv("SINTER_SIM_FAULT", script, 1);
}

struct nccl_fault {
  const char *word;
  const char *codes[3]; /* any of them */
};

static const struct nccl_fault nccl_faults[] = {
    {"kill", {"E0731"}}, {"stall", {"E0703"}}, {"oom", {"E0615"}}};

static void expect_codes(const struct nccl_fault *fault, sinter_status st, int rank, int at) {
  for (int i = 0; i < 3 && fault->codes[i]; i++)
    if (st && !strcmp(fault->codes[i], sinter_last_error_code()))
      return;
  fail_msg("rank %d operation %d %s: %d %s", rank, at, fault->word, st, sinter_last_error());
}

/* Operations of NCCL so far on a rank's communicators, as the script counts: found by trying. */
static void every_collective_may_fail(void **state) {
  (void)state;
  struct fixture f;
  make_graph_plan(&f.maker);
  open_plan(&f);
  for (int before = 0; before <= 3; before++) /* runs before: directly, recorded, replayed */
    for (size_t k = 0; k < sizeof nccl_faults / sizeof *nccl_faults; k++)
      for (int rank = 0; rank < RANKS; rank += 3) {
        const struct nccl_fault *fault = &nccl_faults[k];
        if (before > 1 && !strcmp(fault->word, "oom"))
          continue; /* a replay asks NCCL for nothing */
        sinter_session *session = create(&f, (struct gpu_options){.no_graphs = before == 0});
        for (int i = 0; i < before; i++)
          assert_ok(run_graph_plan(session, 40));
        set_fault(rank, 0, 900, fault->word);
        double start = clock_now_s();
        sinter_status st = run_graph_plan(session, 40);
        in_time(start, fault->word);
        expect_codes(fault, st, rank, before);
        unsetenv("SINTER_SIM_FAULT");
        for (int i = 0; i < 3; i++)
          assert_ok(run_graph_plan(session, 40)); /* with new communicators */
        sinter_session_destroy(session);
      }
  fixture_close(&f);
}

/* Each single collective of a run, of every kind: the trials before any run take `trials`
 * operations. */
static void each_collective_by_itself(void **state) {
  (void)state;
  struct fixture f;
  make_graph_plan(&f.maker);
  open_plan(&f);
  const int trials = 8, operations = 9; /* two groups of four; sends and receives count apart */
  for (int at = trials; at < trials + operations; at++)
    for (size_t k = 0; k < sizeof nccl_faults / sizeof *nccl_faults; k++) {
      const struct nccl_fault *fault = &nccl_faults[k];
      bool oom = strcmp(fault->word, "oom") == 0; /* noticed before its turn has come */
      if (oom && at > trials)
        continue;
      set_fault(2, at, oom ? 900 : at, fault->word);
      sinter_session *session = create(&f, (struct gpu_options){0});
      double start = clock_now_s();
      sinter_status st = run_graph_plan(session, 40);
      in_time(start, fault->word);
      expect_codes(fault, st, 2, at);
      unsetenv("SINTER_SIM_FAULT");
      assert_ok(run_graph_plan(session, 40));
      sinter_session_destroy(session);
    }
  fixture_close(&f);
}

static void other_elements(void **state) {
  (void)state;
  struct fixture f;
  make_graph_plan(&f.maker);
  open_plan(&f);
  const int trials = 8;
  int changed = 0, noticed = 0;
  for (int at = trials; at < trials + 6; at++) {
    set_fault(1, at, at, "corrupt");
    sinter_session *session = create(&f, (struct gpu_options){0});
    sinter_status st = run_graph_plan(session, 40);
    if (st && st != SINTER_MISMATCH)
      fail_msg("operation %d: %s", at, sinter_last_error());
    changed += st != SINTER_OK;
    sinter_session_destroy(session);
    session = create(&f, (struct gpu_options){.check = 1});
    st = run_graph_plan(session, 40);
    unsetenv("SINTER_SIM_FAULT");
    if (st != SINTER_OK) /* a receive gives nothing that could be changed */
      assert_error(st, SINTER_DEVICE, "E0732", "is not what the ranks gave");
    noticed += st != SINTER_OK;
    assert_ok(run_graph_plan(session, 40));
    sinter_session_destroy(session);
  }
  assert_true(changed >= 1); /* rank 0 shows what reaches it */
  assert_true(noticed >= 4);
  fixture_close(&f);
}

/* In the trials: the session is not made. */
static void failures_before_any_run(void **state) {
  (void)state;
  static const struct nccl_fault faults[] = {
      {"kill", {"E0731"}}, {"stall", {"E0703"}}, {"oom", {"E0615"}}, {"corrupt", {"E0732"}}};
  struct fixture f;
  make_graph_plan(&f.maker);
  open_plan(&f);
  for (size_t k = 0; k < sizeof faults / sizeof *faults; k++)
    for (int at = 0; at < 2; at++) {
      set_fault(3, at, at ? 900 : 0, faults[k].word);
      sinter_session_options options = {
          .struct_size = sizeof options, .devices = "sim:4", .deadline_ms = DEADLINE_MS};
      sinter_session *session = NULL;
      double start = clock_now_s();
      sinter_status st = sinter_session_create(f.engine, &options, &session);
      in_time(start, faults[k].word);
      expect_codes(&faults[k], st, 3, at);
      unsetenv("SINTER_SIM_FAULT");
    }
  fixture_close(&f);
}

static void without_nccl(void **state) {
  (void)state;
  struct fixture f;
  make_graph_plan(&f.maker);
  open_plan(&f);
  setenv("SINTER_COMM", "host", 1);
  sinter_session *session = create(&f, (struct gpu_options){0});
  unsetenv("SINTER_COMM");
  for (int i = 0; i < 3; i++)
    assert_ok(run_graph_plan(session, 40));
  graphs_of(session, 0, 0);
  sinter_session_destroy(session);
  fixture_close(&f);
}

/* Another number of devices, or devices that are not there. */
static void wrong_devices(void **state) {
  (void)state;
  static const struct {
    const char *devices, *code;
  } cases[] = {{"sim:2", "E0512"},    {"sim", "E0512"},          {"sim:0-7", "E0512"},
               {"cuda:0,1", "E0512"}, {"cuda:0,1,2,2", "E0701"}, {"cuda:0,1,", "E0701"},
               {"sim:40-43", "E0721"}};
  struct fixture f;
  make_graph_plan(&f.maker);
  open_plan(&f);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    sinter_session_options options = {.struct_size = sizeof options, .devices = cases[i].devices};
    sinter_session *session;
    assert_int_not_equal(sinter_session_create(f.engine, &options, &session), SINTER_OK);
    assert_string_equal(sinter_last_error_code(), cases[i].code);
  }
  sinter_session_options options = {.struct_size = sizeof options, .devices = "sim:3,1,0,2"};
  sinter_session *session;
  assert_ok(sinter_session_create(f.engine, &options, &session));
  assert_ok(run_graph_plan(session, 12));
  sinter_session_destroy(session);
  fixture_close(&f);
}

/* A kernel writes where nothing is: the GPU is lost, and every later call says why. */
static void lost_gpus(void **state) {
  (void)state;
  struct fixture f;
  engine_maker_init(&f.maker, 0);
  struct engine_maker *e = &f.maker;
  struct manifest_build *b = &e->build;
  uint32_t axis = manifest_build_axis(b, "a", 4),
           coord = manifest_build_expr(b, EXPR_COORD, axis, 0, 4);
  uint32_t n = engine_const(e, 8), one = engine_const(e, 1);
  uint32_t entry = manifest_build_entry(b, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_I64, n),
           y = engine_output(e, entry, 0, "y", DTYPE_I64, n);
  uint32_t block = manifest_build_block(b);
  manifest_build_variant(b, entry, block);
  manifest_build_step_layout(b, block);
  engine_launch(e, block, KERNEL_thread_sum_i64, (uint32_t[]){x, y}, (uint32_t[]){n, one}, n);
  uint32_t on_rank_2 = manifest_build_expr(b, EXPR_FLOORDIV, coord, engine_const(e, 2), 0);
  engine_launch(e, block, KERNEL_sum_i64, (uint32_t[]){x, y}, (uint32_t[]){n}, on_rank_2);
  Engine__Exchange *ex = manifest_build_step_exchange(b, block);
  manifest_build_exchange_axis(b, ex, axis, 0, 0);
  manifest_build_exchange_part(b, ex, y, y, n);
  open_plan(&f);
  sinter_session *session = create(&f, (struct gpu_options){0});
  int64_t data[8] = {0};
  sinter_tensor input = engine_tensor(SINTER_I64, 8, data, sizeof data), output = {0};
  double start = clock_now_s();
  assert_error(sinter_session_run(session, "main", &input, 1, &output, 1), SINTER_DEVICE, "E0722",
               "kernel 'sum_i64'");
  in_time(start, "a lost GPU");
  assert_non_null(strstr(sinter_last_error(), "ILLEGAL_ADDRESS"));
  for (int i = 0; i < 2; i++) {
    assert_error(sinter_session_run(session, "main", &input, 1, &output, 1), SINTER_DEVICE, "E0725",
                 "cannot be used any more since: launching a kernel");
    assert_non_null(strstr(sinter_last_error(), "kernel 'sum_i64'"));
  }
  sinter_session_destroy(session);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(runs_are_recorded_once),
      cmocka_unit_test(a_thousand_tokens),
      cmocka_unit_test(every_collective_may_fail),
      cmocka_unit_test(each_collective_by_itself),
      cmocka_unit_test(other_elements),
      cmocka_unit_test(failures_before_any_run),
      cmocka_unit_test(every_step_may_fail),
      cmocka_unit_test(without_nccl),
      cmocka_unit_test(wrong_devices),
      cmocka_unit_test(lost_gpus), /* last: the process has no use of them any more */
  };
  setenv("SINTER_SIM_DEVICES", "8", 1);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  printf("the slowest failure took %.2f s\n", slowest);
  return failed;
}
