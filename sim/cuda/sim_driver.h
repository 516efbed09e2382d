/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the simulated driver: contexts, streams, and the operations that streams and graphs
 * hold.
 *
 * An operation runs in the thread that submits it if its stream is free; if it must wait (for an
 * event, a value, other ranks) it stays at the head of its stream, and every call that waits or
 * asks tries all streams again. So work is asynchronous where a program can see it, and otherwise
 * over when it was submitted. Operations are shared by streams and graphs and counted. */
#ifndef SINTER_SIM_CUDA_SIM_DRIVER_H
#define SINTER_SIM_CUDA_SIM_DRIVER_H

#include "sim/cuda/sim_work.h"
#include "sim/exec/device.h"
#include "sim/exec/simt.h"
#include "sim/exec/written.h"

#include "base/mem.h"
#include "base/vec.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_DEVICES = 64, LIMITS = 16 };

struct sim_context {
  int device;
  int sticky; /* CUresult; atomic */
  bool primary, destroyed;
  unsigned flags, retained;
  size_t limits[LIMITS];
  struct sim_stream *legacy;
  uint64_t id;
};
struct sim_module {
  struct program *program;
  uint32_t references;
};
struct sim_pool {
  int device;
  size_t most, threshold;
  uint64_t used, high;
};
struct sim_event {
  CUcontext context;
  unsigned flags;
  uint64_t recorded, completed; /* generations; completed is atomic */
  double seconds;
  struct sim_graph *capture; /* recorded into a capture: what it stands for */
  VEC(struct sim_graph_node *) captured;
};

enum op_kind {
  OP_KERNEL,
  OP_COPY,
  OP_SET,
  OP_HOST,
  OP_CHILD,
  OP_EMPTY,
  OP_WAIT,
  OP_RECORD,
  OP_ALLOC = 10,
  OP_FREE = 11,
  OP_WRITE_VALUE = 12,
  OP_WAIT_VALUE = 112,
  OP_CUSTOM = 113,
};

struct op {
  enum op_kind kind;
  uint32_t references; /* atomic */
  CUcontext context;
  union {
    struct {
      struct function *function;
      uint32_t grid[3], block[3], cluster[3], shared;
      bool cooperative;
      uint8_t *params; /* aligned to 64 bytes */
      void **pointers; /* to each of them; NULL until somebody asks */
      CUevent completion;
    } kernel;
    CUDA_MEMCPY3D copy;
    CUDA_MEMSET_NODE_PARAMS set;
    CUDA_HOST_NODE_PARAMS host;
    CUevent event;
    struct sim_graph *child;
    CUdeviceptr address; /* of ALLOC and FREE */
    struct {
      CUdeviceptr address;
      uint64_t value;
      unsigned flags;
      bool wide;
    } value;
    struct {
      const struct sim_work *work;
      void *data;
    } custom;
  };
};

struct op *op_create(enum op_kind kind, CUcontext context);
void op_retain(struct op *o);
void op_release(struct op *o);

struct after {
  struct sim_stream *stream;
  uint64_t count;
};
struct item {
  struct op *op;
  struct item *next;
  uint64_t generation; /* of events */
  void *run;           /* of custom work */
  VEC(struct after) after;
};
struct sim_stream {
  CUcontext context;
  unsigned flags;
  int priority;
  uint64_t id;
  bool legacy, destroyed, running;
  pthread_mutex_t lock;
  struct item *head, *tail;
  uint64_t submitted, completed; /* completed is atomic */
  struct sim_graph *capture;     /* NULL: not capturing */
  bool capture_origin, capture_broken;
  int capture_mode;
  VEC(struct sim_graph_node *) capture_last;
};

struct sim_graph_node {
  struct sim_graph *graph;
  struct op *op;
  VEC(struct sim_graph_node *) dependencies;
  uint32_t mark;
};
struct sim_graph {
  VEC(struct sim_graph_node *) nodes;
  VEC(struct sim_stream *) streams; /* that take part in its capture */
  VEC(struct user_reference {
    struct sim_user_object *object;
    unsigned count;
  })
  objects; /* that live as long as the graph and what was instantiated of it */
  uint64_t id;
  bool given; /* the capture goes into a graph that the program made */
};

extern int device_count;
extern _Thread_local CUcontext current;
CUcontext context_primary(int device);

/* Calls of the thread take NULL for its own stream (the forms _ptsz and _ptds). */
extern _Thread_local unsigned null_is_per_thread;
/* Resolves NULL and the numbered streams; NULL if the handle is of no stream. */
struct sim_stream *stream_of(CUstream s);
struct sim_stream *stream_create(CUcontext c, unsigned flags, int priority);
/* Takes the reference over. The result of the operation if it ran at once, else success. */
CUresult stream_submit(struct sim_stream *s, struct op *o);
CUresult stream_wait(struct sim_stream *s);
/* Waits for all streams of a context. */
CUresult context_wait(CUcontext c);
/* Tries every stream once. */
void streams_advance(void);
/* Before a call that waits as a copy on the default stream does. */
CUresult legacy_wait(void);
/* CUDA_SUCCESS unless some capture forbids calls that wait. */
CUresult capture_allows_waiting(void);
/* Fills a run of an operation; whether it is done. */
bool op_poll(struct item *i, CUresult *result);
struct sim_graph_node *graph_add(struct sim_graph *g, struct op *o,
                                 struct sim_graph_node *const *dependencies, size_t count);
struct sim_graph *graph_create(void);
void graph_destroy(struct sim_graph *g);
/* A capturing stream's next node. */
CUresult capture_op(struct sim_stream *s, struct op *o);
/* Takes the operation over: it is a new node, or released. */
CUresult graph_add_op(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                      size_t count, struct op *o);
/* The operation of an instance that came of a node; NULL if there is none. */
struct op **graph_exec_op(CUgraphExec e, CUgraphNode node);
/* An operation takes another's place if they are of one kind; `made` is taken over. */
CUresult op_exchange(struct op **slot, struct op *made);
/* References that one owner has are had by another too; and given up. */
void user_objects_share(const struct sim_graph *from, struct sim_graph *to);
void user_objects_release(struct sim_graph *g);

/* Calls of the interface that other files make. */
CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s);
CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D *c);
CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *c, CUstream s);
CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device);
CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device);
CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool);
CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *count);
CUresult cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode *out, size_t *count);
CUresult cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode *out, size_t *count);
CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                size_t count);
CUresult cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   size_t count);
CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child);

/* The operations of nodes: sim_graph.c. */
CUresult op_of_kernel_node(const CUDA_KERNEL_NODE_PARAMS *p, struct op **out);
CUresult op_of_copy_node(const CUDA_MEMCPY3D *p, struct op **out);
CUresult op_of_set_node(const CUDA_MEMSET_NODE_PARAMS *p, struct op **out);
CUresult op_of_host_node(const CUDA_HOST_NODE_PARAMS *p, struct op **out);
CUresult op_of_event_node(CUevent event, enum op_kind kind, struct op **out);
CUresult op_of_child_node(CUgraph child, struct op **out);
CUresult op_of_launch(const CUlaunchConfig *c, CUfunction f, void **params, void **extra,
                      struct op **out);
CUresult op_of_set(CUdeviceptr to, size_t pitch, unsigned value, unsigned element, size_t width,
                   size_t height, struct op **out);
CUresult op_of_copy(const CUDA_MEMCPY3D *copy, struct op **out);

#define API __attribute__((visibility("default"))) CUresult
#define DECLARE(name, parameters)                                                                  \
  API name parameters;                                                                             \
  API name parameters

/* The current context works. */
#define NEED_CONTEXT()                                                                             \
  do {                                                                                             \
    if (device_count < 0)                                                                          \
      return CUDA_ERROR_NOT_INITIALIZED;                                                           \
    if (!current)                                                                                  \
      return CUDA_ERROR_INVALID_CONTEXT;                                                           \
    if (current->destroyed)                                                                        \
      return CUDA_ERROR_CONTEXT_IS_DESTROYED;                                                      \
    if (current->sticky)                                                                           \
      return current->sticky;                                                                      \
  } while (0)
#define NEED(condition)                                                                            \
  do {                                                                                             \
    if (!(condition))                                                                              \
      return CUDA_ERROR_INVALID_VALUE;                                                             \
  } while (0)
#define P(address) ((void *)(uintptr_t)(address))

#endif
