/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA driver API, found at run time: own declarations, so that neither headers nor a driver
 * are needed to build. Types and numbers are of the driver's binary interface. */
#ifndef SINTER_RUNTIME_CUDA_API_H
#define SINTER_RUNTIME_CUDA_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct CUctx_st cuda_context;
typedef struct CUstream_st cuda_stream;
typedef struct CUmod_st cuda_module;
typedef struct CUfunc_st cuda_function;
typedef struct CUevent_st cuda_event;
typedef struct CUgraph_st cuda_graph;
typedef struct CUgraphExec_st cuda_exec;

/* CUresult, where one is told from the others. */
enum { CUDA_SUCCESS = 0, CUDA_OUT_OF_MEMORY = 2, CUDA_NO_DEVICE = 100, CUDA_NOT_READY = 600 };
enum { CUDA_CAPTURE_THREAD_LOCAL = 1 }; /* CUstreamCaptureMode */
enum { CUDA_EVENT_DISABLE_TIMING = 2 };
/* CUgraphExecUpdateResultInfo. */
struct cuda_update {
  int result;
  void *node, *from;
};
/* CUdevice_attribute. */
enum {
  CUDA_MULTIPROCESSORS = 16,
  CUDA_CAPABILITY_MAJOR = 75,
  CUDA_CAPABILITY_MINOR = 76,
  CUDA_MOST_SHARED = 97, /* of a block that asks for it */
  CUDA_MEMORY_POOLS = 115,
};
enum { CUDA_STREAM_NON_BLOCKING = 1 };
enum { CUDA_FUNCTION_MOST_DYNAMIC = 8 }; /* CUfunction_attribute */
/* CUjit_option. */
enum { CUDA_JIT_ERROR_LOG = 5, CUDA_JIT_ERROR_LOG_BYTES = 6 };

struct cuda_api {
#define CUDA_FN(name, symbol, parameters) int(*name) parameters;
#include "runtime/drivers/cuda/cuda_api.def"
#undef CUDA_FN
};

/*
 * The functions of a library, which is loaded and initialised once per process. Errors: E0720,
 * which says what is missing.
 */
status cuda_api_load(const struct cuda_api **out_api); /* libcuda.so.1 of the system's driver */
/* The look-alike of sim/, with at least that many devices if it is the first to ask. */
status cuda_api_load_simulated(uint32_t devices, const struct cuda_api **out_api);

/* Where the look-alike of the driver lies: what SINTER_SIM_LIBRARY names, or beside this program or
 * library; its name alone where it was not found. */
void cuda_simulated_path(char *out, size_t n);

/* What an error means for those that go on. */
enum cuda_class {
  CUDA_PASSES,      /* nothing: the call failed */
  CUDA_MEMORY,      /* memory ran out */
  CUDA_UNSUPPORTED, /* it would fail again */
  CUDA_STICKY,      /* the context is lost: every later call fails too */
};
enum cuda_class cuda_classify(int result);

/* Reports a CUresult other than success, by its class: E0615 for lack of memory, E0726, else E0722.
 * `what` was tried. */
status cuda_fail(const struct cuda_api *api, int result, const char *what);

#endif
