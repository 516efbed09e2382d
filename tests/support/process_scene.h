/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are ranks of a session, forked by a test, and what each of them has to say. */
#ifndef SINTER_TESTS_PROCESS_SCENE_H
#define SINTER_TESTS_PROCESS_SCENE_H

#include "tests/support/ranks_plan.h"

#include "base/clock.h"
#include "runtime/process/world.h"
#include "runtime/session.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RANKS = 4 };

#ifdef __SANITIZE_THREAD__
/* A child that is reported ends, and so has nothing to say. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "halt_on_error=1"; }
#endif
#ifndef DEADLINE_MS
#define DEADLINE_MS 300
#endif
#define SCENE_EVERY 5 /* so many faults, one of which is tried without SINTER_ALL */

/* What a process has to say, in memory that it shares with the test. */
struct outcome {
  sinter_status st;
  char code[8];
  char text[256];
  uint64_t steps; /* of a run */
  double seconds; /* of the call that failed */
};

struct scene {
  struct fixture *f;
  const char *meeting, *faults, *devices; /* NULL: cpu:1 */
  bool sockets_only, check;
  int runs;
  uint32_t size; /* processes */
  void (*act)(const struct scene *s, uint32_t rank, sinter_world *world, struct outcome *out);
  struct outcome *outcomes;
  pid_t children[RANKS];
};

static inline void say(struct outcome *out, sinter_status st) {
  out->st = st;
  snprintf(out->code, sizeof out->code, "%s", sinter_last_error_code());
  snprintf(out->text, sizeof out->text, "%s", sinter_last_error());
}

static inline sinter_status make_session(const struct scene *s, sinter_world *world,
                                         sinter_session **out) {
  sinter_session_options options = {.struct_size = sizeof options,
                                    .devices = s->devices ? s->devices : "cpu:1",
                                    .threads = 1,
                                    .deadline_ms = DEADLINE_MS,
                                    .faults = s->faults,
                                    .check_collectives = s->check,
                                    .world = world};
  return sinter_session_create(s->f->engine, &options, out);
}

/* As many runs as are asked for; the first error counts. */
static inline void act_runs(const struct scene *s, uint32_t rank, sinter_world *world,
                            struct outcome *out) {
  sinter_session *session = NULL;
  (void)rank;
  double start = clock_now_s();
  sinter_status st = make_session(s, world, &session);
  for (int i = 0; i < s->runs && !st; i++) {
    start = clock_now_s();
    st = ranks_plan_run(session, i % 5 ? 40 + i % 300 : 4096, RANKS);
  }
  out->steps = session ? session->ranks[0].steps : 0;
  say(out, st);
  out->seconds = clock_now_s() - start;
  if (st && session) { /* a world's failure is final, and says so at once */
    double again = clock_now_s();
    if (ranks_plan_run(session, 40, RANKS) != st || strcmp(sinter_last_error_code(), out->code) ||
        clock_now_s() - again > 1)
      snprintf(out->code, sizeof out->code, "again");
  }
  sinter_session_destroy(session);
}

static inline _Noreturn void child_main(struct scene *s, uint32_t rank) {
  sinter_world *world = NULL;
  sinter_world_options options = {.struct_size = sizeof options,
                                  .rank = rank,
                                  .size = s->size,
                                  .meeting = s->meeting,
                                  .timeout_ms = 20000,
                                  .sockets_only = s->sockets_only};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sinter_status st = sinter_world_join(&options, &world);
  if (st)
    say(&s->outcomes[rank], st);
  else
    s->act(s, rank, world, &s->outcomes[rank]);
  sinter_world_leave(world);
  _exit(0);
}

/* A place of this test's own. */
static inline const char *new_place(char buffer[40]) {
  static int number;
  snprintf(buffer, 40, "unix:test-%ld-%d", (long)getpid(), number++);
  return buffer;
}

static inline void begin_scene(struct scene *s) {
  if (!s->size)
    s->size = RANKS;
  s->outcomes = mmap(NULL, sizeof(struct outcome) * RANKS, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(s->outcomes != MAP_FAILED);
  for (uint32_t i = 0; i < s->size; i++) {
    snprintf(s->outcomes[i].code, sizeof s->outcomes[i].code, "none");
    s->children[i] = fork();
    if (s->children[i] == 0)
      child_main(s, i);
    assert_true(s->children[i] > 0);
  }
}

static inline void end_scene(struct scene *s) {
  for (uint32_t i = 0; i < s->size; i++) {
    int how;
    assert_int_equal(waitpid(s->children[i], &how, 0), s->children[i]);
  }
}

static inline void forget_scene(struct scene *s) {
  munmap(s->outcomes, sizeof(struct outcome) * RANKS);
}

static inline void play(struct scene *s) {
  char place[40];
  if (!s->meeting)
    s->meeting = new_place(place);
  begin_scene(s);
  end_scene(s);
}

static inline void expect_all(struct scene *s, const char *code, const char *text) {
  for (uint32_t i = 0; i < s->size; i++) {
    const struct outcome *o = &s->outcomes[i];
    if (strcmp(o->code, code) != 0 || !strstr(o->text, text))
      fail_msg("rank %u of '%s': wanted %s '%s', found %d %s: %s", i, s->faults ? s->faults : "",
               code, text, o->st, o->code, o->text);
  }
  forget_scene(s);
}

/* Every fault in every step, or a part of them without SINTER_ALL. */
static inline void play_every_fault(struct fixture *f, const char *devices, const char *where) {
  static const struct {
    const char *word, *code, *text;
  } kinds[] = {{"fail", "E0705", "failed in step"},
               {"oom", "E0615", "step"},
               {"stall", "E0703", ""},
               {"kill", "E0708", "has ended"},
               {"corrupt", "E0707", "damaged"},
               {"corrupt-payload", "E0732", "damaged"}};
  struct slowest_fault slowest = {0};
  struct scene sound = {.f = f, .devices = devices, .runs = 1, .act = act_runs};
  play(&sound);
  int steps = (int)sound.outcomes[0].steps, every = getenv("SINTER_ALL") ? 1 : SCENE_EVERY;
  expect_all(&sound, "", "");
  assert_true(steps > 20);
  for (int step = 1; step <= steps; step++)
    for (int kind = 0; kind < 6; kind++) {
      char faults[64];
      int rank = (step + kind) % RANKS;
      if ((step * 6 + kind) % every || (kind == 5 && step > steps - RANKS_PLAN_LAST_STEPS))
        continue; /* behind the last exchange no elements are given */
      snprintf(faults, sizeof faults, "rank=%d step=%d %s", rank, step, kinds[kind].word);
      struct scene s = {.f = f,
                        .faults = faults,
                        .devices = devices,
                        .runs = 1,
                        .check = kind == 5,
                        .sockets_only = (step + kind) % 3 == 0,
                        .act = act_runs};
      play(&s);
      for (int i = 0; i < RANKS; i++)
        slowest_fault_note(&slowest, faults, s.outcomes[i].seconds, DEADLINE_MS);
      if (kind == 3) { /* it says nothing any more */
        assert_string_equal(s.outcomes[rank].code, "none");
        s.outcomes[rank] = s.outcomes[(rank + 1) % RANKS];
      }
      expect_all(&s, kinds[kind].code, kinds[kind].text);
    }
  slowest_fault_print(&slowest, where);
}

#endif
