/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each function of the driver and of NCCL fails, one at a time: out of memory, unsupported, context
 * lost. A run, directly, recorded or replayed, gives an error with a code, in time; afterwards the
 * session works, or says that it is dead.
 */
#include "tests/support/gpu_plan.h"

#include "base/clock.h"

#include "runtime/comm/nccl/nccl_api.h"

enum { DEADLINE_MS = 1000, RANKS = 4 };

/* The tables are the program's own memory, and hold nothing but pointers in front. */
struct row {
  const char *name;
  void **place;
};

static int code, failures;
static int failing(void) { return code; }

/* These end what another call began, and do so when they fail too. */
static int (*real_group_end)(void);
static int (*real_capture_end)(cuda_stream *stream, cuda_graph **graph);

static int failing_group_end(void) {
  real_group_end();
  return code;
}

static int failing_capture_end(cuda_stream *stream, cuda_graph **graph) {
  real_capture_end(stream, graph);
  return code;
}

/* What frees does so, or the look-alikes would count it as lost. */
static int (*real_free)(void *a, void *b);

static int failing_free(void *a, void *b) {
  real_free(a, b);
  return code;
}

static bool frees(const char *name) {
  static const char *const words[] = {"Destroy", "Free", "Unload", "Abort", "Release"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strstr(name, words[i]))
      return true;
  return false;
}

static uint32_t find_rows(struct row *rows) {
  const struct cuda_api *cuda;
  const struct nccl_api *nccl;
  uint32_t n = 0;
  assert_int_equal(cuda_api_load_simulated(8, &cuda), STATUS_OK);
  assert_int_equal(nccl_api_load(true, &nccl), STATUS_OK);
#define CUDA_FN(name, symbol, parameters)                                                          \
  rows[n++] = (struct row){#symbol, (void **)(uintptr_t)&cuda->name};
#include "runtime/drivers/cuda/cuda_api.def"
#undef CUDA_FN
#define NCCL_FN(name, symbol, parameters)                                                          \
  rows[n++] = (struct row){#symbol, (void **)(uintptr_t)&nccl->name};
#include "runtime/comm/nccl/nccl_api.def"
#undef NCCL_FN
  return n;
}

static sinter_status create(struct fixture *f, sinter_session **out) {
  sinter_session_options options = {
      .struct_size = sizeof options, .devices = "sim:4", .deadline_ms = DEADLINE_MS};
  return sinter_session_create(f->engine, &options, out);
}

static void coded(const struct row *row, sinter_status st) {
  if (st && (st == SINTER_MISMATCH || sinter_last_error_code()[0] != 'E'))
    fail_msg("%s gives %d: %d %s", row->name, code, st, sinter_last_error());
}

/* Fails from the run of that number on (0: when the session is made), for one run. */
static void try_row(struct fixture *f, const struct row *row, int at) {
  sinter_session *session = NULL;
  void *real = *row->place;
  void *stub = (void *)(uintptr_t)failing;
  if (!strcmp(row->name, "ncclGroupEnd")) {
    memcpy(&real_group_end, &real, sizeof real);
    stub = (void *)(uintptr_t)failing_group_end;
  } else if (!strcmp(row->name, "cuStreamEndCapture")) {
    memcpy(&real_capture_end, &real, sizeof real);
    stub = (void *)(uintptr_t)failing_capture_end;
  } else if (frees(row->name)) {
    memcpy(&real_free, &real, sizeof real);
    stub = (void *)(uintptr_t)failing_free;
  }
  double start = clock_now_s();
  sinter_status st = SINTER_OK;
  for (int run = 0; run <= at && !st; run++) {
    if (run == at)
      *row->place = stub;
    st = run ? run_graph_plan(session, 40) : create(f, &session);
    if (run < at && st)
      fail_msg("before %s: %s", row->name, sinter_last_error());
  }
  *row->place = real;
  coded(row, st);
  failures += st != SINTER_OK;
  if (session && st) {
    st = run_graph_plan(session, 40);
    if (st && strcmp(sinter_last_error_code(), "E0725"))
      fail_msg("%s, after %d: %s", row->name, code, sinter_last_error());
  }
  sinter_session_destroy(session);
  if (clock_now_s() - start > DEADLINE_MS * 1e-3 + 9)
    fail_msg("%s gives %d: %.1f s", row->name, code, clock_now_s() - start);
}

static void every_call_may_fail(void **state) {
  (void)state;
  static const int codes[] = {2, 5, 700}; /* in NCCL's list something too */
  static struct row rows[128];
  uint32_t n = find_rows(rows);
  struct fixture f;
  make_graph_plan(&f.maker);
  engine_maker_for_gpu(&f.maker);
  f.bytes = engine_maker_bytes(&f.maker, &f.n);
  f.engine = engine_maker_open(f.bytes, f.n);
  f.session = NULL;
  for (uint32_t i = 0; i < n; i++)
    for (size_t k = 0; k < sizeof codes / sizeof *codes; k++)
      for (int at = 0; at <= 3; at++) { /* creation; directly, recorded, replayed */
        code = codes[k];
        try_row(&f, &rows[i], at);
      }
  assert_true(failures > 100); /* of those that a run calls */
  printf("%d of %u failed\n", failures, n * 12);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_call_may_fail)};
  setenv("SINTER_SIM_DEVICES", "8", 1);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
