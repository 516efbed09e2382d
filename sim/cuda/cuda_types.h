/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the driver's interface that is simulated, declared anew from its documentation. */
#ifndef SINTER_SIM_CUDA_TYPES_H
#define SINTER_SIM_CUDA_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef unsigned long long CUmemGenericAllocationHandle;
typedef struct sim_context *CUcontext;
typedef struct sim_module *CUmodule;
typedef struct sim_module *CUlibrary;
typedef struct function *CUfunction;
typedef struct function *CUkernel;
typedef struct sim_stream *CUstream;
typedef struct sim_event *CUevent;
typedef struct sim_graph *CUgraph;
typedef struct sim_graph_node *CUgraphNode;
typedef struct sim_graph_exec *CUgraphExec;
typedef struct sim_pool *CUmemoryPool;
typedef void (*CUhostFn)(void *data);

#define CUERROR(number, name, text) name = number,
enum {
#include "sim/cuda/cuda_errors.def"
};
#undef CUERROR

/* Streams that are named by a number. */
#define STREAM_LEGACY ((CUstream)1)
#define STREAM_PER_THREAD ((CUstream)2)

enum launch_attribute {
  ATTRIBUTE_IGNORE = 0,
  ATTRIBUTE_ACCESS_POLICY_WINDOW = 1,
  ATTRIBUTE_COOPERATIVE = 2,
  ATTRIBUTE_CLUSTER = 4,
  ATTRIBUTE_CLUSTER_SCHEDULING = 5,
  ATTRIBUTE_PROGRAMMATIC_SERIALIZATION = 6,
  ATTRIBUTE_PROGRAMMATIC_EVENT = 7,
  ATTRIBUTE_PRIORITY = 8,
  ATTRIBUTE_MEM_SYNC_DOMAIN_MAP = 9,
  ATTRIBUTE_MEM_SYNC_DOMAIN = 10,
  ATTRIBUTE_PREFERRED_CLUSTER = 11,
  ATTRIBUTE_COMPLETION_EVENT = 12,
  ATTRIBUTE_SHARED_CARVEOUT = 14,
};
typedef struct {
  int id;
  int pad;
  union {
    char bytes[64];
    int number;
    struct {
      unsigned x, y, z;
    } cluster;
    struct {
      CUevent event;
      int flags;
    } event;
  } value;
} CUlaunchAttribute;
typedef struct {
  unsigned grid[3], block[3], shared_bytes;
  CUstream stream;
  CUlaunchAttribute *attributes;
  unsigned attribute_count;
} CUlaunchConfig;

enum { MEMORY_HOST = 1, MEMORY_DEVICE = 2, MEMORY_ARRAY = 3, MEMORY_UNIFIED = 4 };
typedef struct {
  size_t x, y;
  unsigned type;
  const void *host;
  CUdeviceptr device;
  void *array;
  size_t pitch;
} sim_copy_side2d;
typedef struct {
  sim_copy_side2d from, to;
  size_t width, height;
} CUDA_MEMCPY2D;
typedef struct {
  size_t x, y, z, lod;
  unsigned type;
  const void *host;
  CUdeviceptr device;
  void *array, *reserved;
  size_t pitch, height;
} sim_copy_side;
typedef struct {
  sim_copy_side from, to;
  size_t width, height, depth;
} CUDA_MEMCPY3D;
typedef struct {
  CUdeviceptr to;
  size_t pitch;
  unsigned value, element;
  size_t width, height;
} CUDA_MEMSET_NODE_PARAMS;
typedef struct {
  CUfunction function;
  unsigned grid[3], block[3], shared_bytes;
  void **params, **extra;
  CUkernel kernel;
  CUcontext context;
} CUDA_KERNEL_NODE_PARAMS;
typedef struct {
  CUhostFn fn;
  void *data;
} CUDA_HOST_NODE_PARAMS;

typedef struct {
  int type, id;
} CUmemLocation;
typedef struct {
  int type, handle_types;
  CUmemLocation location;
  void *reserved;
  unsigned char flags[8];
} CUmemAllocationProp;
typedef struct {
  CUmemLocation location;
  int flags; /* 0 none, 1 read, 3 read and write */
} CUmemAccessDesc;
typedef struct {
  int type, handle_types;
  CUmemLocation location;
  void *reserved;
  size_t most;
  unsigned short usage;
  unsigned char pad[54];
} CUmemPoolProps;

typedef struct {
  _Alignas(64) uint64_t words[16];
} CUtensorMap;

#endif
