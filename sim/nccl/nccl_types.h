/* SPDX-License-Identifier: Apache-2.0 */
/* The part of NCCL's interface that is simulated, declared anew from its documentation. */
#ifndef SINTER_SIM_NCCL_TYPES_H
#define SINTER_SIM_NCCL_TYPES_H

#include "sim/cuda/cuda_types.h"

typedef struct sim_comm *ncclComm_t;
typedef struct {
  char internal[128];
} ncclUniqueId;
typedef enum {
  ncclSuccess,
  ncclUnhandledCudaError,
  ncclSystemError,
  ncclInternalError,
  ncclInvalidArgument,
  ncclInvalidUsage,
  ncclRemoteError,
  ncclInProgress,
} ncclResult_t;
/* What follows `blocking` tunes hardware that is not there. */
typedef struct {
  size_t size;
  unsigned magic, version;
  int blocking;
} ncclConfig_t;

#define NCCLTYPE(number, name, bytes, ptx) name = number,
enum {
#include "sim/nccl/nccl_types.def"
};
#undef NCCLTYPE
enum { ncclSum, ncclProd, ncclMax, ncclMin, ncclAvg, FIRST_CUSTOM_OP };

#endif
