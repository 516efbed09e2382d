/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks as processes: the results of threads, in shared memory and by TCP; strangers at the door;
 * and what goes wrong on one of them, in every step: all processes get the first cause in time.
 * SINTER_ALL=1 tries every fault in every step, else a part of them.
 */
#include "tests/support/process_scene.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static void open_engine(struct fixture *f) {
  *f = (struct fixture){0};
  ranks_plan_make(&f->maker, 2, 2);
  f->bytes = engine_maker_bytes(&f->maker, &f->n);
  f->engine = engine_maker_open(f->bytes, f->n);
}

/* --- Results --- */

static void runs_in_shared_memory_and_by_tcp(void **state) {
  (void)state;
  struct fixture f;
  open_engine(&f);
  for (int tcp = 0; tcp < 2; tcp++)
    for (int check = 0; check < 2; check++) {
      struct scene s = {.f = &f, .sockets_only = tcp, .check = check, .runs = 60, .act = act_runs};
      play(&s);
      expect_all(&s, "", "");
    }
  fixture_close(&f);
}

static void act_blobs(const struct scene *s, uint32_t rank, sinter_world *world,
                      struct outcome *out) {
  uint32_t mine[256] = {rank}, all[RANKS][256];
  sinter_status st = SINTER_OK;
  for (uint32_t i = 0; i < 300 && !st; i++) { /* the fast ones begin the next while others read */
    mine[1] = mine[255] = i * 10 + rank;
    st = sinter_world_exchange(world, mine, sizeof mine, all);
    for (uint32_t k = 0; k < s->size && !st; k++)
      st = all[k][0] == k && all[k][1] == i * 10 + k && all[k][255] == all[k][1] ? SINTER_OK
                                                                                 : SINTER_MISMATCH;
  }
  say(out, st);
  if (st == SINTER_MISMATCH)
    snprintf(out->code, sizeof out->code, "differ");
}

static void blobs_reach_all(void **state) {
  (void)state;
  struct scene s = {.act = act_blobs};
  play(&s);
  expect_all(&s, "", "");
}

/* --- Strangers --- */

static int connect_to_port(uint16_t port) {
  struct sockaddr_in in = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (int i = 0; i < 500; i++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!connect(fd, (struct sockaddr *)&in, sizeof in))
      return fd;
    close(fd);
    usleep(10000);
  }
  return -1;
}

static uint16_t free_port(void) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof in;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
  close(fd);
  return ntohs(in.sin_port);
}

/* Some say nothing, some nonsense, some a part of it; more than may wait. */
static void strangers_do_no_harm(void **state) {
  (void)state;
  struct fixture f;
  open_engine(&f);
  char place[40];
  uint16_t port = free_port();
  snprintf(place, sizeof place, "127.0.0.1:%u", port);
  int strangers[50];
  struct scene s = {.f = &f, .meeting = place, .runs = 3, .act = act_runs};
  s.outcomes = mmap(NULL, sizeof(struct outcome) * RANKS, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  s.size = RANKS;
  for (uint32_t rank = 0; rank < RANKS; rank++) {
    s.children[rank] = fork();
    if (!s.children[rank])
      child_main(&s, rank);
    for (int i = 0; rank == 0 && i < 50; i++) {
      static uint8_t noise[300];
      strangers[i] = connect_to_port(port);
      assert_true(strangers[i] >= 0);
      for (size_t k = 0; k < sizeof noise; k++)
        noise[k] = (uint8_t)(k * 7 + (size_t)i * 13);
      if (i % 3)
        send(strangers[i], noise, i % 3 == 1 ? sizeof noise : 20, MSG_NOSIGNAL);
    }
  }
  end_scene(&s);
  for (int i = 0; i < 50; i++)
    close(strangers[i]);
  expect_all(&s, "", "");
  fixture_close(&f);
}

static void nobody_comes(void **state) {
  (void)state;
  sinter_world *world;
  char place[40];
  sinter_world_options options = {
      .struct_size = sizeof options, .size = 3, .meeting = new_place(place), .timeout_ms = 200};
  assert_error(sinter_world_join(&options, &world), SINTER_DEVICE, "E0709", "1 of 3 ranks came to");
  options.rank = 2;
  assert_error(sinter_world_join(&options, &world), SINTER_DEVICE, "E0709",
               "rank 2 did not find rank 0");
  options.rank = 3;
  assert_error(sinter_world_join(&options, &world), SINTER_USAGE, "E0710", "no rank 3 among 3");
  options.rank = 0, options.meeting = "nowhere";
  assert_error(sinter_world_join(&options, &world), SINTER_USAGE, "E0710", "no place to meet");
}

/* --- Different things --- */

static void wrong_number_of_processes(void **state) {
  (void)state;
  struct fixture f;
  open_engine(&f);
  struct scene s = {.f = &f, .runs = 1, .size = 3, .act = act_runs};
  play(&s);
  expect_all(&s, "E0512", "for 4 ranks, there are 3 processes");
  fixture_close(&f);
}

static void act_other_entry(const struct scene *s, uint32_t rank, sinter_world *world,
                            struct outcome *out) {
  sinter_session *session = NULL;
  sinter_tensor outputs[2] = {0};
  sinter_status st = make_session(s, world, &session);
  if (!st && rank == 2)
    st = sinter_session_run(session, "other", NULL, 0, outputs, 2);
  else if (!st)
    st = ranks_plan_run(session, 40, RANKS);
  say(out, st);
  sinter_session_destroy(session);
}

static void act_other_sizes(const struct scene *s, uint32_t rank, sinter_world *world,
                            struct outcome *out) {
  sinter_session *session = NULL;
  sinter_status st = make_session(s, world, &session);
  if (!st)
    st = ranks_plan_run(session, rank == 1 ? 41 : 40, RANKS);
  say(out, st);
  sinter_session_destroy(session);
}

static void act_leave(const struct scene *s, uint32_t rank, sinter_world *world,
                      struct outcome *out) {
  if (rank == 3) { /* as after an error of its own */
    snprintf(out->code, sizeof out->code, "E0708");
    snprintf(out->text, sizeof out->text, "rank 3 has left");
    return;
  }
  act_runs(s, rank, world, out);
}

static void act_stop(const struct scene *s, uint32_t rank, sinter_world *world,
                     struct outcome *out) {
  sinter_session *session = NULL;
  sinter_status st = make_session(s, world, &session);
  if (!st && rank == 1)
    raise(SIGSTOP); /* all of its threads */
  if (!st)
    st = ranks_plan_run(session, 40, RANKS);
  say(out, st);
  sinter_session_destroy(session);
}

static void processes_that_part(void **state) {
  (void)state;
  struct fixture f;
  open_engine(&f);
  struct scene entry = {.f = &f, .act = act_other_entry}, sizes = {.f = &f, .act = act_other_sizes},
               leave = {.f = &f, .act = act_leave};
  play(&entry);
  expect_all(&entry, "E0601", "no entry point 'other'");
  play(&sizes);
  expect_all(&sizes, "E0704", "shapes of inputs");
  leave.runs = 1;
  play(&leave);
  expect_all(&leave, "E0708", "rank 3 has left");
  fixture_close(&f);
}

static void a_stopped_process_is_named(void **state) {
  (void)state;
  struct fixture f;
  char place[40];
  open_engine(&f);
  struct scene s = {.f = &f, .act = act_stop, .meeting = new_place(place)};
  begin_scene(&s);
  for (double start = clock_now_s(); clock_now_s() - start < 20;) {
    usleep(50000);
    if (strcmp(s.outcomes[0].code, "none") && strcmp(s.outcomes[2].code, "none") &&
        strcmp(s.outcomes[3].code, "none"))
      break;
  }
  kill(s.children[1], SIGCONT);
  end_scene(&s);
  expect_all(&s, "E0703", "rank 1");
  fixture_close(&f);
}

/* --- Faults --- */

static void every_step_may_fail(void **state) {
  (void)state;
  struct fixture f;
  open_engine(&f);
  play_every_fault(&f, "cpu:1", "processes on cpu");
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(runs_in_shared_memory_and_by_tcp),
      cmocka_unit_test(blobs_reach_all),
      cmocka_unit_test(strangers_do_no_harm),
      cmocka_unit_test(nobody_comes),
      cmocka_unit_test(wrong_number_of_processes),
      cmocka_unit_test(processes_that_part),
      cmocka_unit_test(a_stopped_process_is_named),
      cmocka_unit_test(every_step_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
