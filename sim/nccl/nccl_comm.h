/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the simulated NCCL: ranks are threads or processes of one host that share a control
 * block and a file of data each. A rank posts what it contributes under the number of the operation
 * and reads what the others posted; nobody waits for a reader, so an operation is a thing that can
 * be polled. Control and data are shared memory that has no name any more once all have joined. */
#ifndef SINTER_SIM_NCCL_NCCL_COMM_H
#define SINTER_SIM_NCCL_NCCL_COMM_H

#include "sim/nccl/nccl_types.h"

#include "base/mem.h"
#include "base/vec.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MAX_RANKS = 64, SLOTS = 8 };
#define SLOT_BYTES (UINT64_C(1) << 34)

enum call_kind {
  CALL_ALL_REDUCE,
  CALL_REDUCE,
  CALL_BROADCAST,
  CALL_ALL_GATHER,
  CALL_REDUCE_SCATTER,
  CALL_ALL_TO_ALL,
  CALL_GATHER,
  CALL_SCATTER,
  CALL_SPLIT, /* of the library itself: colours and keys */
  CALL_SEND,
  CALL_RECV,
};
const char *call_name(enum call_kind k);

/* What a rank says of an operation. */
struct post {
  uint64_t number; /* of the operation, plus 1; written last; atomic */
  uint32_t kind, type, op, root;
  uint64_t count;
};
struct channel {     /* of a pair, in one direction */
  uint64_t received; /* atomic */
  struct {
    uint64_t number, bytes;
  } sent[SLOTS];
};
struct member {
  int64_t process;
  uint32_t joined, dead, left; /* atomic */
  uint64_t done;               /* operations that it has finished with; atomic */
  struct post posts[SLOTS];
};
struct control {
  uint32_t ranks;  /* atomic: 0 until the first rank has come */
  uint32_t opened; /* ranks that have opened all files; atomic */
  struct member members[MAX_RANKS];
  struct channel channels[MAX_RANKS][MAX_RANKS]; /* from, to */
};

struct sim_comm {
  uint32_t rank, ranks, world_rank;
  int device;
  CUcontext context;
  bool blocking;
  struct control *control;
  int control_file, files[MAX_RANKS]; /* of data; -1: not open */
  char name[100];
  _Atomic uint64_t issued; /* collective operations; others' threads read how many */
  bool finished[64];
  uint64_t sent[MAX_RANKS], received[MAX_RANKS];
  _Atomic uint64_t steps; /* operations of the rank, also in communicators made by split */
  struct sim_comm *root;
  VEC(double) scalars;        /* of operations made by ncclRedOpCreatePreMulSum */
  _Atomic ncclResult_t state; /* ncclInProgress while it is made; then the first error */
  double failed_at;
  _Atomic bool aborted;
  bool stalled;
  struct task *task;
  uint32_t references; /* atomic: the handle, operations under way */
};

/* A communicator in the making. */
struct task {
  struct sim_comm *comm, *parent;
  int color, key;
  uint64_t number; /* of the parent's operation */
  bool posted;
  uint64_t gone; /* of comm_missing */
  double since;
};

double comm_timeout(void);
/* Notes the first error, with a line on stderr. */
ncclResult_t comm_fail(struct sim_comm *c, ncclResult_t r, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void comm_release(struct sim_comm *c);
/* The names of ranks that `missing` holds, and whether one of them was gone when this was last
 * asked: one that gives its part and leaves may do both between a look at its part and this. *gone
 * is 0 at first. */
bool comm_missing(struct sim_comm *c, uint64_t missing, uint64_t *gone, char *out, size_t size);
/* Maps n bytes of a rank's data; NULL if it cannot. */
void *comm_map(struct sim_comm *c, uint32_t rank, uint64_t slot, uint64_t bytes, bool write);
void comm_unmap(void *p, uint64_t bytes);
void comm_done(struct sim_comm *c, uint64_t number);
/* Whether a task has come to its end. */
bool task_poll(struct task *t);
ncclResult_t task_begin(struct task *t);

/* Groups. */
bool group_open(void);
void group_add_task(struct task *t);

uint32_t type_bytes(int type);
/* The scalar of a pre-multiplied sum. */
double scalar_value(int type, const void *p);
/* to[k] = to[k] op from[k]; after the last rank `reduce_finish`. `wide` has 8 bytes an element. */
void reduce_begin(int type, int op, double scale, const uint8_t *from, uint64_t n, uint8_t *wide);
void reduce_step(int type, int op, double scale, const uint8_t *from, uint64_t n, uint8_t *wide);
void reduce_finish(int type, int op, uint32_t ranks, const uint8_t *wide, uint64_t n, uint8_t *to);

/* The fault script: what happens to the world's rank at its n-th operation. */
enum fault_kind { NO_FAULT, FAULT_KILL, FAULT_STALL, FAULT_CORRUPT, FAULT_OOM };
enum fault_kind fault_at(uint32_t rank, uint64_t step);

#define NCCL_API __attribute__((visibility("default"))) ncclResult_t
#define NCCL_DECLARE(name, parameters)                                                             \
  NCCL_API name parameters;                                                                        \
  NCCL_API name parameters

#endif
