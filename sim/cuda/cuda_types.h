/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the driver's interface that is simulated, declared anew from its documentation. */
#ifndef SINTER_SIM_CUDA_TYPES_H
#define SINTER_SIM_CUDA_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct sim_context *CUcontext;
typedef struct sim_module *CUmodule;
typedef struct function *CUfunction;
typedef struct sim_stream *CUstream;
typedef struct sim_event *CUevent;

#define CUDA_SUCCESS 0
#define CUDA_ERROR_INVALID_VALUE 1
#define CUDA_ERROR_OUT_OF_MEMORY 2
#define CUDA_ERROR_NOT_INITIALIZED 3
#define CUDA_ERROR_NO_DEVICE 100
#define CUDA_ERROR_INVALID_DEVICE 101
#define CUDA_ERROR_INVALID_IMAGE 200
#define CUDA_ERROR_INVALID_CONTEXT 201
#define CUDA_ERROR_NO_BINARY_FOR_GPU 209
#define CUDA_ERROR_INVALID_PTX 218
#define CUDA_ERROR_INVALID_HANDLE 400
#define CUDA_ERROR_NOT_FOUND 500
#define CUDA_ERROR_NOT_SUPPORTED 801

/* cuLaunchKernelEx's configuration; attributes are refused, so their layout is not needed. */
typedef struct {
  unsigned grid[3], block[3], shared_bytes;
  CUstream stream;
  void *attributes;
  unsigned attribute_count;
} CUlaunchConfig;

#endif
