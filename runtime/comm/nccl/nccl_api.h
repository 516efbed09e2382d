/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL, found at run time: own declarations, as for the driver (runtime/drivers/cuda/cuda_api.h).
 * Types and numbers are of NCCL's binary interface, version 2.18 and later. */
#ifndef SINTER_RUNTIME_NCCL_API_H
#define SINTER_RUNTIME_NCCL_API_H

#include "base/dtype.h"
#include "runtime/drivers/cuda/cuda_api.h"

typedef struct ncclComm nccl_handle;

struct nccl_id {
  char bytes[128];
};

/* ncclConfig_t as of 2.18: NCCL takes the fields that `size` covers. */
struct nccl_config {
  size_t size;
  unsigned magic, version;
  int blocking, cga_cluster, min_ctas, max_ctas;
  const char *network;
  int split_share;
};
#define NCCL_CONFIG_MAGIC 0xcafebeefu
#define NCCL_CONFIG_VERSION 21800u
#define NCCL_CONFIG_UNDEFINED (-2147483647 - 1)

/* ncclResult_t, where one is told from the others. */
enum { NCCL_SUCCESS = 0, NCCL_IN_PROGRESS = 7 };
enum { NCCL_NO_COLOR = -1 };
/* ncclRedOp_t. */
enum { NCCL_SUM, NCCL_PROD, NCCL_MAX, NCCL_MIN };
/* ncclDataType_t. */
enum {
  NCCL_I8,
  NCCL_U8,
  NCCL_I32,
  NCCL_U32,
  NCCL_I64,
  NCCL_U64,
  NCCL_F16,
  NCCL_F32,
  NCCL_F64,
  NCCL_BF16,
  NCCL_NO_TYPE = -1
};

struct nccl_api {
#define NCCL_FN(name, symbol, parameters) int(*name) parameters;
#include "runtime/comm/nccl/nccl_api.def"
#undef NCCL_FN
  const char *(*error_text)(int result);
  const char *(*last_error)(nccl_handle *handle); /* NULL: before 2.13 */
  int number;                                     /* 22809: 2.28.9 */
};

/*
 * Behind the driver (cuda_api_load): libnccl.so.2 of the system, or what SINTER_NCCL_LIBRARY names;
 * simulated: the look-alike that lies beside that of the driver. Loaded once per process. Errors:
 * E0730, which says what is missing.
 */
status nccl_api_load(bool simulated, const struct nccl_api **out_api);

#endif
