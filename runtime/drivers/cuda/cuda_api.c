/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and loading the driver; see cuda_api.h. */
#include "runtime/drivers/cuda/cuda_api.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/fault.h"
#include "runtime/shared_library.h"

struct library {
  struct shared_library shared; /* first: `start` is handed this */
  struct cuda_api api;
};

static struct library real = {SHARED_LIBRARY_INIT, {0}};
static struct library simulated = {SHARED_LIBRARY_INIT, {0}};

static const struct shared_symbol functions[] = {
#define CUDA_FN(name, symbol, parameters) {#symbol, offsetof(struct cuda_api, name), true},
#define CUDA_FN_NEWER(name, symbol, parameters) {#symbol, offsetof(struct cuda_api, name), false},
#include "runtime/drivers/cuda/cuda_api.def"
#undef CUDA_FN
};

static bool start(struct shared_library *shared, const char *path) {
  struct library *l = (struct library *)shared;
  if (!shared_library_open(shared, path, functions, sizeof functions / sizeof *functions, &l->api,
                           "a newer driver"))
    return false;
  /* By its name alone the loader takes what is loaded already. */
  if (l == &real && simulated.shared.loaded && l->api.init == simulated.api.init) {
    snprintf(shared->problem, sizeof shared->problem,
             "this process uses the simulated driver already");
    return false;
  }
  int result = l->api.init(0);
  if (result == CUDA_SUCCESS)
    return true;
  const char *name = NULL;
  l->api.error_name(result, &name);
  snprintf(shared->problem, sizeof shared->problem, "cuInit of %s: %s", path,
           name ? name : "unknown error");
  return false;
}

static status load(struct library *l, const char *path, const char *hint,
                   const struct cuda_api **out_api) {
  *out_api = &l->api;
  return shared_library_load(&l->shared, path, start)
             ? STATUS_OK
             : fault_report(DIAG_E0720, NULL, hint, "%s", l->shared.problem);
}

status cuda_api_load(const struct cuda_api **out_api) {
  return load(&real, "libcuda.so.1", "install NVIDIA's driver, or run on sim:1 or cpu", out_api);
}

/* Devices cost little, and a later session may want more of them. */
#define LEAST_SIMULATED 16u

/* Beside this program or library, in the build folder or an install prefix. */
void cuda_simulated_path(char *out, size_t n) {
  static const char *const places[] = {"sim/libcuda.so.1", "sinter/sim/libcuda.so.1",
                                       "../lib/sinter/sim/libcuda.so.1"};
  const char *given = getenv("SINTER_SIM_LIBRARY");
  Dl_info info;
  snprintf(out, n, "%s", given ? given : "libcuda.so.1 of the simulator");
  if (given || !dladdr(&simulated, &info) || !info.dli_fname)
    return;
  char self[PATH_MAX];
  if (!realpath(info.dli_fname, self))
    return;
  char *slash = strrchr(self, '/');
  *slash = '\0';
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    char path[PATH_MAX + 64], whole[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", self, places[i]);
    if (!realpath(path, whole))
      continue;
    snprintf(out, n, "%s", whole);
    return;
  }
}

status cuda_api_load_simulated(uint32_t devices, const struct cuda_api **out_api) {
  char path[PATH_MAX], number[16];
  snprintf(number, sizeof number, "%u", devices > LEAST_SIMULATED ? devices : LEAST_SIMULATED);
  setenv("SINTER_SIM_DEVICES", number, false);
  cuda_simulated_path(path, sizeof path);
  return load(&simulated, path,
              "the simulator lies beside the program as sim/libcuda.so.1, or where "
              "SINTER_SIM_LIBRARY says",
              out_api);
}

/* Of the driver's list those after which a context serves nobody, as its reference says of each. */
enum cuda_class cuda_classify(int result) {
  switch (result) {
  case CUDA_OUT_OF_MEMORY: return CUDA_MEMORY;
  case 209: /* no binary for GPU */
  case 217: /* no peer access */
  case 222: /* PTX version */
  case 801: /* not supported */
  case 803: /* driver mismatch */
  case 804: return CUDA_UNSUPPORTED;
  case 4:   /* shut down */
  case 201: /* invalid context */
  case 214: /* uncorrectable ECC error */
  case 220: /* uncorrectable NVLink error */
  case 226: /* contained error */
  case 700: /* illegal address */
  case 702: /* launch timeout */
  case 709: /* context destroyed */
  case 710: /* assert */
  case 714: /* hardware stack error */
  case 715: /* illegal instruction */
  case 716: /* misaligned address */
  case 717: /* invalid address space */
  case 718: /* invalid pc */
  case 719: /* launch failed */
  case 721: /* tensor memory leak */
  case 999: return CUDA_STICKY;
  default: return CUDA_PASSES;
  }
}

status cuda_fail(const struct cuda_api *api, int result, const char *what) {
  const char *name = NULL;
  api->error_name(result, &name);
  name = name ? name : "unknown error";
  switch (cuda_classify(result)) {
  case CUDA_MEMORY:
    return fault_report(DIAG_E0615, NULL, NULL, "the GPU is out of memory: %s", what);
  case CUDA_UNSUPPORTED:
    return fault_report(DIAG_E0726, NULL, NULL, "%s: %s (%d)", what, name, result);
  default: return fault_report(DIAG_E0722, NULL, NULL, "%s: %s (%d)", what, name, result);
  }
}
