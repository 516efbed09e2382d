/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and loading NCCL; see nccl_api.h. */
#include "runtime/comm/nccl/nccl_api.h"

#include "runtime/fault.h"
#include "runtime/shared_library.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first with ncclCommSplit. */
#define OLDEST 21800

struct library {
  struct shared_library shared; /* first: `start` is handed this */
  struct nccl_api api;
};

static struct library real = {SHARED_LIBRARY_INIT, {0}};
static struct library simulated_one = {SHARED_LIBRARY_INIT, {0}};

static const struct shared_symbol functions[] = {
#define NCCL_FN(name, symbol, parameters) {#symbol, offsetof(struct nccl_api, name), true},
#include "runtime/comm/nccl/nccl_api.def"
#undef NCCL_FN
    {"ncclGetErrorString", offsetof(struct nccl_api, error_text), true},
    {"ncclGetLastError", offsetof(struct nccl_api, last_error), false},
};

static bool start(struct shared_library *shared, const char *path) {
  struct library *l = (struct library *)shared;
  if (!shared_library_open(shared, path, functions, sizeof functions / sizeof *functions, &l->api,
                           "NCCL 2.18 or newer"))
    return false;
  if (l->api.version(&l->api.number) == NCCL_SUCCESS && l->api.number >= OLDEST)
    return true;
  snprintf(shared->problem, sizeof shared->problem, "%.200s is NCCL %d.%d.%d, and 2.18 is needed",
           path, l->api.number / 10000, l->api.number / 100 % 100, l->api.number % 100);
  return false;
}

/* A file in the folder of the simulated driver. */
static void beside_driver(char *out, size_t n) {
  char driver[PATH_MAX];
  cuda_simulated_path(driver, sizeof driver);
  char *slash = strrchr(driver, '/');
  *(slash ? slash + 1 : driver) = '\0';
  snprintf(out, n, "%slibnccl.so.2", driver);
}

status nccl_api_load(bool simulated, const struct nccl_api **out_api) {
  struct library *l = simulated ? &simulated_one : &real;
  char path[PATH_MAX + 16];
  const char *given = getenv("SINTER_NCCL_LIBRARY");
  if (simulated)
    beside_driver(path, sizeof path);
  else
    snprintf(path, sizeof path, "%s", given ? given : "libnccl.so.2");
  *out_api = &l->api;
  return shared_library_load(&l->shared, path, start)
             ? STATUS_OK
             : fault_report(DIAG_E0730, NULL,
                            simulated ? "libnccl.so.2 of the simulator lies beside its driver"
                                      : "install NCCL, or name it by SINTER_NCCL_LIBRARY",
                            "%s", l->shared.problem);
}
