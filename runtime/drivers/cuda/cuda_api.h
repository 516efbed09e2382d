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

/* CUresult, where one is told from the others. */
enum { CUDA_SUCCESS = 0, CUDA_OUT_OF_MEMORY = 2, CUDA_NO_DEVICE = 100 };
/* CUdevice_attribute. */
enum {
  CUDA_MULTIPROCESSORS = 16,
  CUDA_CAPABILITY_MAJOR = 75,
  CUDA_CAPABILITY_MINOR = 76,
};
enum { CUDA_STREAM_NON_BLOCKING = 1 };
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

/* Reports a CUresult other than success: E0615 for lack of memory, else E0722. `what` was tried. */
status cuda_fail(const struct cuda_api *api, int result, const char *what);

#endif
