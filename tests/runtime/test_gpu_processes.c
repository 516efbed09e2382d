/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks as processes, each with a GPU (a simulated one), that exchange elements by NCCL and agree
 * by the world's links: the results of threads, recorded runs, exchanges by way of the host; and
 * what goes wrong on one of them, in every step: all processes get the first cause in time.
 */
#define DEADLINE_MS 2000
#include "tests/support/gpu_plan.h"

#include "base/clock.h"
#include "tests/support/process_scene.h"

/* make: of the engine. No GPU is touched before processes are forked. */
static void open_plan(struct fixture *f, void (*make)(struct engine_maker *e)) {
  *f = (struct fixture){0};
  make(&f->maker);
  engine_maker_for_gpu(&f->maker);
  f->bytes = engine_maker_bytes(&f->maker, &f->n);
  f->engine = engine_maker_open(f->bytes, f->n);
}

static void make_ranks_plan(struct engine_maker *e) { ranks_plan_make(e, 2, 2); }

static void runs_by_nccl_and_by_the_host(void **state) {
  (void)state;
  struct fixture f;
  open_plan(&f, make_ranks_plan);
  for (int by_host = 0; by_host < 2; by_host++)
    for (int check = 0; check < 2; check++) {
      struct scene s = {.f = &f,
                        .devices = check ? "sim:4" : "sim:1",
                        .check = check,
                        .runs = 6,
                        .act = act_runs};
      if (by_host)
        setenv("SINTER_COMM", "host", 1);
      play(&s);
      unsetenv("SINTER_COMM");
      expect_all(&s, "", "");
    }
  fixture_close(&f);
}

/* Directly, recorded, and launched as one. */
static void act_recorded(const struct scene *s, uint32_t rank, sinter_world *world,
                         struct outcome *out) {
  sinter_session *session = NULL;
  sinter_session_stats stats = {.struct_size = sizeof stats};
  sinter_exchange counted = {.struct_size = sizeof counted};
  (void)rank;
  sinter_status st = make_session(s, world, &session);
  for (int i = 0; i < 5 && !st; i++)
    st = run_graph_plan(session, 40);
  if (!st)
    st = sinter_session_get_stats(session, &stats);
  if (!st)
    st = sinter_session_get_exchange(session, 0, &counted);
  say(out, st);
  if (!st && (stats.graphs_made != 1 || stats.graphs_launched != 4 || counted.times != 1 ||
              !counted.bytes))
    snprintf(out->code, sizeof out->code, "counts");
  sinter_session_destroy(session);
}

static void runs_are_recorded(void **state) {
  (void)state;
  struct fixture f;
  open_plan(&f, make_graph_plan);
  struct scene s = {.f = &f, .devices = "sim:1", .act = act_recorded};
  play(&s);
  expect_all(&s, "", "");
  fixture_close(&f);
}

/* A process ends in a launch of a recording: the others are told, though their GPUs wait for it. */
static void act_killed_in_recording(const struct scene *s, uint32_t rank, sinter_world *world,
                                    struct outcome *out) {
  sinter_session *session = NULL;
  sinter_status st = make_session(s, world, &session);
  for (int i = 0; i < 3 && !st; i++)
    st = run_graph_plan(session, 40);
  if (rank == 2 && !st)
    raise(SIGKILL);
  double start = clock_now_s();
  if (!st)
    st = run_graph_plan(session, 40);
  say(out, st);
  out->seconds = clock_now_s() - start;
  sinter_session_destroy(session);
}

static void a_process_ends_beside_recordings(void **state) {
  (void)state;
  struct fixture f;
  open_plan(&f, make_graph_plan);
  struct scene s = {.f = &f, .devices = "sim:1", .act = act_killed_in_recording};
  play(&s);
  s.outcomes[2] = s.outcomes[0];
  for (int i = 0; i < RANKS; i++)
    assert_true(s.outcomes[i].seconds < 10);
  expect_all(&s, "E0708", "rank 2 has ended");
  fixture_close(&f);
}

/* One process has no NCCL: none creates a session. */
static void act_without_nccl(const struct scene *s, uint32_t rank, sinter_world *world,
                             struct outcome *out) {
  sinter_session *session = NULL;
  if (rank == 1)
    setenv("SINTER_COMM", "host", 1);
  say(out, make_session(s, world, &session));
  sinter_session_destroy(session);
}

static void processes_agree_on_how(void **state) {
  (void)state;
  struct fixture f;
  open_plan(&f, make_ranks_plan);
  struct scene s = {.f = &f, .devices = "sim:1", .act = act_without_nccl},
               devices = {.f = &f, .devices = "sim:3", .runs = 1, .act = act_runs};
  play(&s);
  expect_all(&s, "E0704", "with other options");
  play(&devices);
  expect_all(&devices, "E0512", "4 processes are here");
  fixture_close(&f);
}

static void every_step_may_fail(void **state) {
  (void)state;
  struct fixture f;
  open_plan(&f, make_ranks_plan);
  play_every_fault(&f, "sim:1", "processes on sim");
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(runs_by_nccl_and_by_the_host),
      cmocka_unit_test(runs_are_recorded),
      cmocka_unit_test(a_process_ends_beside_recordings),
      cmocka_unit_test(processes_agree_on_how),
      cmocka_unit_test(every_step_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
