/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and loading NCCL; see nccl_api.h. */
#include "runtime/comm/nccl/nccl_api.h"

#include "runtime/fault.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first with ncclCommSplit. */
#define OLDEST 21800

struct library {
  pthread_mutex_t lock;
  struct nccl_api api;
  bool tried, loaded;
  char problem[320];
};

static struct library real = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct library simulated_one = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct {
  const char *symbol;
  size_t offset;
} functions[] = {
#define NCCL_FN(name, symbol, parameters) {#symbol, offsetof(struct nccl_api, name)},
#include "runtime/comm/nccl/nccl_api.def"
#undef NCCL_FN
};

static bool find_functions(struct library *l, void *handle, const char *path) {
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void *f = dlsym(handle, functions[i].symbol);
    if (!f) {
      snprintf(l->problem, sizeof l->problem, "%.200s has no %s: NCCL 2.18 or newer is needed",
               path, functions[i].symbol);
      return false;
    }
    memcpy((char *)&l->api + functions[i].offset, &f, sizeof f);
  }
  void *text = dlsym(handle, "ncclGetErrorString"), *last = dlsym(handle, "ncclGetLastError");
  memcpy(&l->api.error_text, &text, sizeof text);
  memcpy(&l->api.last_error, &last, sizeof last);
  return text != NULL;
}

static bool start(struct library *l, const char *path) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    snprintf(l->problem, sizeof l->problem, "%s", dlerror());
    return false;
  }
  if (!find_functions(l, handle, path))
    return false;
  if (l->api.version(&l->api.number) == NCCL_SUCCESS && l->api.number >= OLDEST)
    return true;
  snprintf(l->problem, sizeof l->problem, "%.200s is NCCL %d.%d.%d, and 2.18 is needed", path,
           l->api.number / 10000, l->api.number / 100 % 100, l->api.number % 100);
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
  pthread_mutex_lock(&l->lock);
  if (!l->tried) {
    if (simulated)
      beside_driver(path, sizeof path);
    else
      snprintf(path, sizeof path, "%s", given ? given : "libnccl.so.2");
    l->loaded = start(l, path);
    l->tried = true;
  }
  pthread_mutex_unlock(&l->lock);
  *out_api = &l->api;
  return l->loaded ? STATUS_OK
                   : fault_report(DIAG_E0730, NULL,
                                  simulated ? "libnccl.so.2 of the simulator lies beside its driver"
                                            : "install NCCL, or name it by SINTER_NCCL_LIBRARY",
                                  "%s", l->problem);
}
