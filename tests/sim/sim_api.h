/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated libraries as a program has them: by dlopen. */
#ifndef SINTER_TESTS_SIM_API_H
#define SINTER_TESTS_SIM_API_H

#include "sim/nccl/nccl_types.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIM_CUDA(F)                                                                                \
  F(CUresult, cuInit, (unsigned))                                                                  \
  F(CUresult, cuDevicePrimaryCtxRetain, (CUcontext *, CUdevice))                                   \
  F(CUresult, cuDevicePrimaryCtxReset_v2, (CUdevice))                                              \
  F(CUresult, cuCtxSetCurrent, (CUcontext))                                                        \
  F(CUresult, cuCtxCreate_v2, (CUcontext *, unsigned, CUdevice))                                   \
  F(CUresult, cuCtxDestroy_v2, (CUcontext))                                                        \
  F(CUresult, cuCtxGetCurrent, (CUcontext *))                                                      \
  F(CUresult, cuCtxSynchronize, (void))                                                            \
  F(CUresult, cuCtxSetLimit, (int, size_t))                                                        \
  F(CUresult, cuCtxEnablePeerAccess, (CUcontext, unsigned))                                        \
  F(CUresult, cuModuleLoadData, (CUmodule *, const void *))                                        \
  F(CUresult, cuModuleLoad, (CUmodule *, const char *))                                            \
  F(CUresult, cuModuleGetFunction, (CUfunction *, CUmodule, const char *))                         \
  F(CUresult, cuModuleGetGlobal_v2, (CUdeviceptr *, size_t *, CUmodule, const char *))             \
  F(CUresult, cuModuleUnload, (CUmodule))                                                          \
  F(CUresult, cuFuncSetAttribute, (CUfunction, int, int))                                          \
  F(CUresult, cuOccupancyMaxActiveBlocksPerMultiprocessor, (int *, CUfunction, int, size_t))       \
  F(CUresult, cuMemAlloc_v2, (CUdeviceptr *, size_t))                                              \
  F(CUresult, cuMemAllocManaged, (CUdeviceptr *, size_t, unsigned))                                \
  F(CUresult, cuMemFree_v2, (CUdeviceptr))                                                         \
  F(CUresult, cuMemAllocAsync, (CUdeviceptr *, size_t, CUstream))                                  \
  F(CUresult, cuMemFreeAsync, (CUdeviceptr, CUstream))                                             \
  F(CUresult, cuMemcpyHtoD_v2, (CUdeviceptr, const void *, size_t))                                \
  F(CUresult, cuMemcpyDtoH_v2, (void *, CUdeviceptr, size_t))                                      \
  F(CUresult, cuMemcpyHtoDAsync_v2, (CUdeviceptr, const void *, size_t, CUstream))                 \
  F(CUresult, cuMemsetD32Async, (CUdeviceptr, unsigned, size_t, CUstream))                         \
  F(CUresult, cuMemsetD8_v2, (CUdeviceptr, unsigned char, size_t))                                 \
  F(CUresult, cuMemAddressReserve, (CUdeviceptr *, size_t, size_t, CUdeviceptr, uint64_t))         \
  F(CUresult, cuMemCreate,                                                                         \
    (CUmemGenericAllocationHandle *, size_t, const CUmemAllocationProp *, uint64_t))               \
  F(CUresult, cuMemMap, (CUdeviceptr, size_t, size_t, CUmemGenericAllocationHandle, uint64_t))     \
  F(CUresult, cuMemUnmap, (CUdeviceptr, size_t))                                                   \
  F(CUresult, cuMemRelease, (CUmemGenericAllocationHandle))                                        \
  F(CUresult, cuMemSetAccess, (CUdeviceptr, size_t, const CUmemAccessDesc *, size_t))              \
  F(CUresult, cuStreamCreate, (CUstream *, unsigned))                                              \
  F(CUresult, cuStreamDestroy_v2, (CUstream))                                                      \
  F(CUresult, cuStreamSynchronize, (CUstream))                                                     \
  F(CUresult, cuStreamQuery, (CUstream))                                                           \
  F(CUresult, cuStreamWaitEvent, (CUstream, CUevent, unsigned))                                    \
  F(CUresult, cuStreamWaitValue32_v2, (CUstream, CUdeviceptr, uint32_t, unsigned))                 \
  F(CUresult, cuStreamBeginCapture_v2, (CUstream, int))                                            \
  F(CUresult, cuStreamEndCapture, (CUstream, CUgraph *))                                           \
  F(CUresult, cuEventCreate, (CUevent *, unsigned))                                                \
  F(CUresult, cuEventDestroy_v2, (CUevent))                                                        \
  F(CUresult, cuEventRecord, (CUevent, CUstream))                                                  \
  F(CUresult, cuEventQuery, (CUevent))                                                             \
  F(CUresult, cuEventSynchronize, (CUevent))                                                       \
  F(CUresult, cuGraphCreate, (CUgraph *, unsigned))                                                \
  F(CUresult, cuGraphDestroy, (CUgraph))                                                           \
  F(CUresult, cuGraphGetNodes, (CUgraph, CUgraphNode *, size_t *))                                 \
  F(CUresult, cuGraphAddKernelNode_v2,                                                             \
    (CUgraphNode *, CUgraph, const CUgraphNode *, size_t, const CUDA_KERNEL_NODE_PARAMS *))        \
  F(CUresult, cuGraphExecKernelNodeSetParams_v2,                                                   \
    (CUgraphExec, CUgraphNode, const CUDA_KERNEL_NODE_PARAMS *))                                   \
  F(CUresult, cuGraphInstantiateWithFlags, (CUgraphExec *, CUgraph, uint64_t))                     \
  F(CUresult, cuGraphExecUpdate_v2, (CUgraphExec, CUgraph, void *))                                \
  F(CUresult, cuGraphExecDestroy, (CUgraphExec))                                                   \
  F(CUresult, cuGraphLaunch, (CUgraphExec, CUstream))                                              \
  F(CUresult, cuLaunchKernel,                                                                      \
    (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream,   \
     void **, void **))                                                                            \
  F(CUresult, cuLaunchKernelEx, (const CUlaunchConfig *, CUfunction, void **, void **))            \
  F(CUresult, cuLaunchHostFunc, (CUstream, CUhostFn, void *))                                      \
  F(CUresult, cuGetErrorName, (CUresult, const char **))                                           \
  F(CUresult, cuGetProcAddress_v2, (const char *, void **, int, uint64_t, int *))                  \
  F(CUresult, cuTensorMapEncodeTiled,                                                              \
    (CUtensorMap *, unsigned, unsigned, void *, const uint64_t *, const uint64_t *,                \
     const uint32_t *, const uint32_t *, int, int, int, int))                                      \
  F(CUresult, cuTensorMapEncodeIm2col,                                                             \
    (CUtensorMap *, unsigned, unsigned, void *, const uint64_t *, const uint64_t *, const int *,   \
     const int *, unsigned, unsigned, const uint32_t *, int, int, int, int))

#define SIM_NCCL(F)                                                                                \
  F(ncclResult_t, ncclGetUniqueId, (ncclUniqueId *))                                               \
  F(ncclResult_t, ncclCommInitRank, (ncclComm_t *, int, ncclUniqueId, int))                        \
  F(ncclResult_t, ncclCommInitRankConfig, (ncclComm_t *, int, ncclUniqueId, int, ncclConfig_t *))  \
  F(ncclResult_t, ncclCommInitAll, (ncclComm_t *, int, const int *))                               \
  F(ncclResult_t, ncclCommSplit, (ncclComm_t, int, int, ncclComm_t *, ncclConfig_t *))             \
  F(ncclResult_t, ncclCommGetAsyncError, (ncclComm_t, ncclResult_t *))                             \
  F(ncclResult_t, ncclCommDestroy, (ncclComm_t))                                                   \
  F(ncclResult_t, ncclCommAbort, (ncclComm_t))                                                     \
  F(ncclResult_t, ncclCommCount, (ncclComm_t, int *))                                              \
  F(ncclResult_t, ncclCommUserRank, (ncclComm_t, int *))                                           \
  F(ncclResult_t, ncclRedOpCreatePreMulSum, (int *, void *, int, int, ncclComm_t))                 \
  F(ncclResult_t, ncclGroupStart, (void))                                                          \
  F(ncclResult_t, ncclGroupEnd, (void))                                                            \
  F(ncclResult_t, ncclAllReduce, (const void *, void *, size_t, int, int, ncclComm_t, CUstream))   \
  F(ncclResult_t, ncclReduce, (const void *, void *, size_t, int, int, int, ncclComm_t, CUstream)) \
  F(ncclResult_t, ncclBroadcast, (const void *, void *, size_t, int, int, ncclComm_t, CUstream))   \
  F(ncclResult_t, ncclAllGather, (const void *, void *, size_t, int, ncclComm_t, CUstream))        \
  F(ncclResult_t, ncclReduceScatter,                                                               \
    (const void *, void *, size_t, int, int, ncclComm_t, CUstream))                                \
  F(ncclResult_t, ncclAlltoAll, (const void *, void *, size_t, int, ncclComm_t, CUstream))         \
  F(ncclResult_t, ncclSend, (const void *, size_t, int, int, ncclComm_t, CUstream))                \
  F(ncclResult_t, ncclRecv, (void *, size_t, int, int, ncclComm_t, CUstream))

#define SIM_POINTER(result, name, parameters)                                                      \
  __attribute__((unused)) static result(*name) parameters;
SIM_CUDA(SIM_POINTER)
SIM_NCCL(SIM_POINTER)

static void *sim_find(void *library, const char *name) {
  void *p = library ? dlsym(library, name) : NULL;
  if (!p)
    fprintf(stderr, "%s: %s\n", name, dlerror());
  return p;
}
#define SIM_LOAD(result, name, parameters)                                                         \
  *(void **)&name = sim_find(library, #name);                                                      \
  good &= name != NULL;

__attribute__((unused)) static bool sim_open_cuda(void) {
  void *library = dlopen(SINTER_TEST_BUILD_DIR "/sim/libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  bool good = library != NULL;
  SIM_CUDA(SIM_LOAD)
  CUcontext context;
  return good && !cuInit(0) && !cuDevicePrimaryCtxRetain(&context, 0) && !cuCtxSetCurrent(context);
}
__attribute__((unused)) static bool sim_open_nccl(void) {
  void *library = dlopen(SINTER_TEST_BUILD_DIR "/sim/libnccl.so.2", RTLD_NOW);
  bool good = library != NULL;
  SIM_NCCL(SIM_LOAD)
  return good;
}

#endif
