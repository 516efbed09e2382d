/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated NCCL: between threads, between processes, in groups of one thread and in graphs;
 * what differs between ranks or never comes is an error, and no call hangs. */
#include "tests/sim/sim_api.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RANKS = 4, N = 1000 };

static int open_all(void **state) {
  (void)state;
  setenv("SINTER_SIM_DEVICES", "4", 1);
  setenv("SINTER_SIM_NCCL_TIMEOUT", "2", 1);
  return sim_open_cuda() && sim_open_nccl() ? 0 : -1;
}

struct rank {
  int rank;
  ncclUniqueId id;
  ncclComm_t comm;
  CUstream stream;
  float *from, *to; /* managed memory */
  int failures;
};
#define EXPECT(condition)                                                                          \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: rank %d: %s\n", __FILE__, __LINE__, r->rank, #condition);            \
      r->failures++;                                                                               \
    }                                                                                              \
  } while (0)

static void device_of(struct rank *r) {
  CUcontext c;
  EXPECT(!cuDevicePrimaryCtxRetain(&c, r->rank) && !cuCtxSetCurrent(c));
  EXPECT(!cuMemAllocManaged((CUdeviceptr *)&r->from, 4 * N * RANKS, 1));
  EXPECT(!cuMemAllocManaged((CUdeviceptr *)&r->to, 4 * N * RANKS, 1));
  EXPECT(!cuStreamCreate(&r->stream, 1));
}
static void fill(struct rank *r) {
  for (int k = 0; k < N * RANKS; k++)
    r->from[k] = (float)(r->rank * 100 + k % 97);
}

static void collectives(struct rank *r) {
  fill(r);
  EXPECT(!ncclAllReduce(r->from, r->to, N, ncclFloat32, ncclSum, r->comm, r->stream));
  EXPECT(!cuStreamSynchronize(r->stream));
  for (int k = 0; k < N; k += 37)
    EXPECT(r->to[k] == 600 + RANKS * (float)(k % 97));
  EXPECT(!ncclAllReduce(r->from, r->to, N, ncclFloat32, ncclAvg, r->comm, r->stream));
  EXPECT(!ncclAllReduce(r->to, r->to, N, ncclFloat32, ncclMax, r->comm, r->stream)); /* in place */
  EXPECT(!cuStreamSynchronize(r->stream));
  EXPECT(r->to[5] == 155);
  EXPECT(!ncclBroadcast(r->from, r->to, N, ncclFloat32, 2, r->comm, r->stream));
  EXPECT(!cuStreamSynchronize(r->stream));
  EXPECT(r->to[3] == 203);
  EXPECT(!ncclAllGather(r->from, r->to, N, ncclFloat32, r->comm, r->stream));
  EXPECT(!cuStreamSynchronize(r->stream));
  for (int k = 0; k < RANKS; k++)
    EXPECT(r->to[k * N + 7] == (float)(k * 100 + 7));
  EXPECT(!ncclReduceScatter(r->from, r->to, N, ncclFloat32, ncclSum, r->comm, r->stream));
  EXPECT(!cuStreamSynchronize(r->stream));
  EXPECT(r->to[11] == 600 + RANKS * (float)((r->rank * N + 11) % 97));
  EXPECT(!ncclAlltoAll(r->from, r->to, N, ncclFloat32, r->comm, r->stream));
  EXPECT(!cuStreamSynchronize(r->stream));
  for (int k = 0; k < RANKS; k++)
    EXPECT(r->to[k * N + 1] == (float)(k * 100 + (r->rank * N + 1) % 97));
  EXPECT(!ncclReduce(r->from, r->to, N, ncclFloat32, ncclMin, 1, r->comm, r->stream));
  EXPECT(!cuStreamSynchronize(r->stream));
  EXPECT(r->rank != 1 || r->to[9] == 9);
  /* a ring */
  EXPECT(!ncclGroupStart());
  EXPECT(!ncclSend(r->from, N, ncclFloat32, (r->rank + 1) % RANKS, r->comm, r->stream));
  EXPECT(!ncclRecv(r->to, N, ncclFloat32, (r->rank + RANKS - 1) % RANKS, r->comm, r->stream));
  EXPECT(!ncclGroupEnd());
  EXPECT(!cuStreamSynchronize(r->stream));
  EXPECT(r->to[4] == (float)((r->rank + RANKS - 1) % RANKS * 100 + 4));
  /* each rank multiplies what it gives */
  float scale = (float)(r->rank + 1);
  int op;
  EXPECT(!ncclRedOpCreatePreMulSum(&op, &scale, ncclFloat32, 1, r->comm));
  EXPECT(!ncclAllReduce(r->from, r->to, N, ncclFloat32, op, r->comm, r->stream));
  EXPECT(!cuStreamSynchronize(r->stream));
  EXPECT(r->to[1] == 0 * 1 + 1 + 101 * 2 + 201 * 3 + 301 * 4);
}

static void splits(struct rank *r) {
  ncclComm_t part;
  int count, rank;
  EXPECT(!ncclCommSplit(r->comm, r->rank % 2, -r->rank, &part, NULL));
  EXPECT(!ncclCommCount(part, &count) && count == 2);
  EXPECT(!ncclCommUserRank(part, &rank) && rank == (r->rank < 2)); /* keys turn the order */
  fill(r);
  EXPECT(!ncclAllReduce(r->from, r->to, N, ncclFloat32, ncclSum, part, r->stream));
  EXPECT(!cuStreamSynchronize(r->stream));
  EXPECT(r->to[2] == (r->rank % 2 ? 404 : 204));
  EXPECT(!ncclCommDestroy(part));
}

/* A captured collective runs at each launch. */
static void captured(struct rank *r) {
  CUgraph g;
  CUgraphExec e;
  EXPECT(!cuStreamBeginCapture_v2(r->stream, 1));
  EXPECT(!ncclAllReduce(r->from, r->from, N, ncclFloat32, ncclSum, r->comm, r->stream));
  EXPECT(!cuStreamEndCapture(r->stream, &g));
  EXPECT(!cuGraphInstantiateWithFlags(&e, g, 0));
  for (int k = 0; k < N; k++)
    r->from[k] = 1;
  for (int k = 0; k < 3; k++)
    EXPECT(!cuGraphLaunch(e, r->stream));
  EXPECT(!cuStreamSynchronize(r->stream));
  EXPECT(r->from[0] == RANKS * RANKS * RANKS);
  EXPECT(!cuGraphExecDestroy(e) && !cuGraphDestroy(g));
}

static void *all_of_a_rank(void *p) {
  struct rank *r = p;
  device_of(r);
  EXPECT(!ncclCommInitRank(&r->comm, RANKS, r->id, r->rank));
  collectives(r);
  splits(r);
  captured(r);
  EXPECT(!ncclCommDestroy(r->comm));
  return NULL;
}

static void run_threads(void *(*body)(void *), struct rank *ranks) {
  pthread_t threads[RANKS];
  ncclUniqueId id;
  assert_int_equal(ncclGetUniqueId(&id), 0);
  for (int k = 0; k < RANKS; k++) {
    ranks[k] = (struct rank){.rank = k, .id = id};
    assert_int_equal(pthread_create(&threads[k], NULL, body, &ranks[k]), 0);
  }
  for (int k = 0; k < RANKS; k++) {
    pthread_join(threads[k], NULL);
    assert_int_equal(ranks[k].failures, 0);
  }
}
static void threads_of_a_process(void **state) {
  (void)state;
  struct rank ranks[RANKS];
  run_threads(all_of_a_rank, ranks);
}

static void processes_of_a_host(void **state) {
  (void)state;
  ncclUniqueId id;
  pid_t children[RANKS];
  assert_int_equal(ncclGetUniqueId(&id), 0);
  for (int k = 0; k < RANKS; k++) {
    children[k] = fork();
    assert_true(children[k] >= 0);
    if (!children[k]) {
      struct rank r = {.rank = k, .id = id};
      all_of_a_rank(&r);
      _exit(r.failures != 0);
    }
  }
  for (int k = 0; k < RANKS; k++) {
    int status;
    waitpid(children[k], &status, 0);
    assert_int_equal(status, 0);
  }
}

/* One thread for all devices: what belongs together is a group. */
static void one_thread(void **state) {
  (void)state;
  ncclComm_t comms[RANKS];
  struct rank ranks[RANKS];
  assert_int_equal(ncclCommInitAll(comms, RANKS, NULL), 0);
  for (int k = 0; k < RANKS; k++) {
    ranks[k] = (struct rank){.rank = k, .comm = comms[k]};
    device_of(&ranks[k]);
    fill(&ranks[k]);
  }
  assert_int_equal(ncclGroupStart(), 0);
  for (int k = 0; k < RANKS; k++)
    assert_int_equal(ncclAllReduce(ranks[k].from, ranks[k].to, N, ncclFloat32, ncclSum, comms[k],
                                   ranks[k].stream),
                     0);
  assert_int_equal(ncclGroupEnd(), 0);
  for (int k = 0; k < RANKS; k++) {
    assert_int_equal(cuStreamSynchronize(ranks[k].stream), 0);
    assert_true(ranks[k].to[10] == 640);
    assert_int_equal(ncclCommDestroy(comms[k]), 0);
  }
  assert_int_equal(ncclCommInitAll(comms, 2, (int[]){1, 1}), ncclInvalidUsage);
}

/* Errors: what a watchdog sees, and that the stream ends after an abort. */
static ncclResult_t until_error(struct rank *r) {
  ncclResult_t e = ncclSuccess;
  for (int k = 0; k < 20000 && (!e || e == ncclInProgress); k++) {
    EXPECT(!ncclCommGetAsyncError(r->comm, &e));
    usleep(1000);
  }
  return e;
}

static void *differs(void *p) {
  struct rank *r = p;
  device_of(r);
  EXPECT(!ncclCommInitRank(&r->comm, RANKS, r->id, r->rank));
  fill(r);
  EXPECT(!ncclAllReduce(r->from, r->to, r->rank == 2 ? N / 2 : N, ncclFloat32, ncclSum, r->comm,
                        r->stream));
  EXPECT(until_error(r) == ncclInvalidUsage);
  EXPECT(ncclAllReduce(r->from, r->to, N, ncclFloat32, ncclSum, r->comm, r->stream) ==
         ncclInvalidUsage);
  EXPECT(!ncclCommAbort(r->comm));
  EXPECT(!cuStreamSynchronize(r->stream));
  return NULL;
}
static void *misses(void *p) {
  struct rank *r = p;
  device_of(r);
  EXPECT(!ncclCommInitRank(&r->comm, RANKS, r->id, r->rank));
  if (r->rank == 3) { /* and never calls */
    sleep(4);
    EXPECT(!ncclCommAbort(r->comm));
    return NULL;
  }
  EXPECT(!ncclAllReduce(r->from, r->to, N, ncclFloat32, ncclSum, r->comm, r->stream));
  EXPECT(cuStreamQuery(r->stream) == CUDA_ERROR_NOT_READY);
  EXPECT(until_error(r) == ncclRemoteError);
  EXPECT(!ncclCommAbort(r->comm));
  EXPECT(!cuStreamSynchronize(r->stream));
  return NULL;
}
static void *is_killed(void *p) {
  struct rank *r = p;
  device_of(r);
  ncclConfig_t config = {.blocking = 0};
  ncclResult_t e = ncclCommInitRankConfig(&r->comm, RANKS, r->id, r->rank, &config);
  EXPECT(!e || e == ncclInProgress);
  do
    EXPECT(!ncclCommGetAsyncError(r->comm, &e));
  while (e == ncclInProgress);
  EXPECT(!e);
  fill(r);
  for (int k = 0; k < 2 && !e; k++)
    e = ncclAllReduce(r->from, r->to, N, ncclFloat32, ncclSum, r->comm, r->stream);
  EXPECT(until_error(r) == (r->rank == 1 ? ncclSystemError : ncclRemoteError));
  EXPECT(!ncclCommAbort(r->comm));
  EXPECT(!cuStreamSynchronize(r->stream));
  return NULL;
}
static void errors_are_reported(void **state) {
  (void)state;
  struct rank ranks[RANKS];
  run_threads(differs, ranks);
  run_threads(misses, ranks);
  setenv("SINTER_SIM_FAULT", "rank=1 step=1 kill", 1);
  run_threads(is_killed, ranks);
  unsetenv("SINTER_SIM_FAULT");
}

static void *is_corrupted(void *p) {
  struct rank *r = p;
  device_of(r);
  EXPECT(!ncclCommInitRank(&r->comm, RANKS, r->id, r->rank));
  fill(r);
  EXPECT(!ncclAllReduce(r->from, r->to, N, ncclFloat32, ncclSum, r->comm, r->stream));
  EXPECT(!cuStreamSynchronize(r->stream));
  int wrong = 0;
  for (int k = 0; k < N; k++)
    wrong += r->to[k] != 600 + RANKS * (float)(k % 97);
  EXPECT(wrong == 1);
  ncclResult_t e = ncclAllReduce(r->from, r->to, N, ncclFloat32, ncclSum, r->comm, r->stream);
  EXPECT(e == (r->rank == 3 ? ncclUnhandledCudaError : ncclSuccess));
  EXPECT(!ncclCommAbort(r->comm));
  return NULL;
}
static void a_script_of_faults(void **state) {
  (void)state;
  struct rank ranks[RANKS];
  setenv("SINTER_SIM_FAULT", "rank=0 step=0 corrupt; rank=3 step=1 oom", 1);
  run_threads(is_corrupted, ranks);
  unsetenv("SINTER_SIM_FAULT");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(processes_of_a_host), /* before there are threads */
      cmocka_unit_test(threads_of_a_process), cmocka_unit_test(one_thread),
      cmocka_unit_test(errors_are_reported),  cmocka_unit_test(a_script_of_faults),
  };
  return cmocka_run_group_tests(tests, open_all, NULL);
}
