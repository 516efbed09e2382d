/* SPDX-License-Identifier: Apache-2.0 */
/* Operations between ranks, and groups of them. */
#include "sim/cuda/sim_work.h"

#include "base/clock.h"
#include "sim/nccl/nccl_comm.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

extern CUresult cuCtxGetCurrent(CUcontext *);
extern CUresult cuCtxSetCurrent(CUcontext);

struct call {
  enum call_kind kind;
  struct sim_comm *comm;
  const uint8_t *from;
  uint8_t *to;
  uint64_t count;
  int type, op;
  uint32_t root; /* or the peer */
  double scale;
  CUstream stream;
};
struct calls { /* of one stream, submitted together */
  VEC(struct call) all;
};
struct running {
  struct call call;
  uint64_t number;
  uint64_t gone; /* of comm_missing */
  bool posted, finished;
};
struct run {
  VEC(struct running) all;
  double since, failed_since;
};

const char *call_name(enum call_kind k) {
  static const char *const names[] = {"AllReduce",     "Reduce",   "Broadcast", "AllGather",
                                      "ReduceScatter", "AlltoAll", "Gather",    "Scatter",
                                      "CommSplit",     "Send",     "Recv"};
  return (uint32_t)k < sizeof names / sizeof *names ? names[k] : "?";
}

/* Bytes that a rank contributes and takes. */
static uint64_t posted_bytes(const struct call *c) {
  uint64_t n = c->count * type_bytes(c->type);
  bool root = c->root == c->comm->rank;
  switch (c->kind) {
  case CALL_BROADCAST: return root ? n : 0;
  case CALL_REDUCE_SCATTER:
  case CALL_ALL_TO_ALL: return n * c->comm->ranks;
  case CALL_SCATTER: return root ? n * c->comm->ranks : 0;
  case CALL_RECV: return 0;
  default: return n;
  }
}
static uint64_t taken_bytes(const struct call *c) {
  uint64_t n = c->count * type_bytes(c->type);
  bool root = c->root == c->comm->rank;
  switch (c->kind) {
  case CALL_ALL_GATHER:
  case CALL_ALL_TO_ALL: return n * c->comm->ranks;
  case CALL_GATHER: return root ? n * c->comm->ranks : 0;
  case CALL_REDUCE: return root ? n : 0;
  case CALL_SEND: return 0;
  default: return n;
  }
}

/* Posting. */

static bool put(struct sim_comm *c, uint64_t slot, const uint8_t *from, uint64_t bytes,
                bool corrupt) {
  uint8_t *to = comm_map(c, c->rank, slot, bytes, true);
  if (!to) {
    comm_fail(c, ncclSystemError, "no shared memory for %llu bytes", (unsigned long long)bytes);
    return false;
  }
  if (bytes)
    memcpy(to, from, bytes);
  if (corrupt && bytes)
    to[bytes - 1] ^= 0x10;
  comm_unmap(to, bytes);
  return true;
}

/* What the fault script has for this operation; whether it goes on. */
static bool fault(struct sim_comm *c, bool *corrupt) {
  switch (fault_at(c->world_rank, c->root->steps++)) {
  case FAULT_KILL:
    fprintf(stderr, "sim: fault: rank %u dies\n", c->world_rank);
    if (getenv("SINTER_SIM_FAULT_PROCESS"))
      kill(getpid(), SIGKILL);
    c->stalled = true;
    __atomic_store_n(&c->control->members[c->rank].dead, 1, __ATOMIC_SEQ_CST);
    comm_fail(c, ncclSystemError, "killed by the fault script");
    return false;
  case FAULT_STALL:
    fprintf(stderr, "sim: fault: rank %u stalls\n", c->world_rank);
    c->stalled = true;
    return false;
  case FAULT_CORRUPT: *corrupt = true; return true;
  default: return true;
  }
}

static bool post_collective(struct running *r) {
  struct sim_comm *c = r->call.comm;
  bool corrupt = false;
  for (uint32_t k = 0; k < c->ranks && r->number >= SLOTS; k++)
    if (__atomic_load_n(&c->control->members[k].done, __ATOMIC_ACQUIRE) + SLOTS <= r->number)
      return false;
  if (!fault(c, &corrupt))
    return false;
  uint64_t slot = r->number % SLOTS, bytes = posted_bytes(&r->call);
  const struct call *x = &r->call;
  uint8_t *scaled = NULL, *wide = NULL;
  if (x->op >= FIRST_CUSTOM_OP && bytes) { /* the rank's own scalar */
    uint64_t n = bytes / type_bytes(x->type);
    scaled = malloc(bytes), wide = malloc(8 * n);
    if (scaled && wide) {
      reduce_begin(x->type, x->op, x->scale, x->from, n, wide);
      reduce_finish(x->type, x->op, 1, wide, n, scaled);
    }
  }
  bool good = put(c, slot, scaled ? scaled : x->from, bytes, corrupt);
  free(scaled);
  free(wide);
  if (!good)
    return false;
  struct post *p = &c->control->members[c->rank].posts[slot];
  p->kind = r->call.kind, p->type = (uint32_t)r->call.type, p->root = r->call.root;
  p->op = (uint32_t)(r->call.op >= FIRST_CUSTOM_OP ? FIRST_CUSTOM_OP : r->call.op);
  p->count = r->call.count;
  __atomic_store_n(&p->number, r->number + 1, __ATOMIC_RELEASE);
  r->posted = true;
  return true;
}

/* Ranks whose posts are needed and have not come. */
static uint64_t missing_posts(const struct running *r) {
  const struct sim_comm *c = r->call.comm;
  uint64_t missing = 0;
  bool root = r->call.root == c->rank;
  for (uint32_t k = 0; k < c->ranks; k++) {
    bool needed = true;
    if (r->call.kind == CALL_BROADCAST || r->call.kind == CALL_SCATTER)
      needed = k == r->call.root;
    else if (r->call.kind == CALL_REDUCE || r->call.kind == CALL_GATHER)
      needed = root || k == c->rank;
    const struct post *p = &c->control->members[k].posts[r->number % SLOTS];
    if (needed && __atomic_load_n(&p->number, __ATOMIC_ACQUIRE) != r->number + 1)
      missing |= UINT64_C(1) << k;
  }
  return missing;
}

/* Ranks that have posted must have called the same. */
static bool agree(struct running *r) {
  struct sim_comm *c = r->call.comm;
  const struct post *mine = &c->control->members[c->rank].posts[r->number % SLOTS];
  for (uint32_t k = 0; k < c->ranks; k++) {
    const struct post *p = &c->control->members[k].posts[r->number % SLOTS];
    if (__atomic_load_n(&p->number, __ATOMIC_ACQUIRE) != r->number + 1)
      continue;
    if (p->kind == mine->kind && p->type == mine->type && p->op == mine->op &&
        p->root == mine->root && p->count == mine->count)
      continue;
    comm_fail(c, ncclInvalidUsage,
              "operation %llu differs between ranks: %s of %llu elements (type %u, op %u, root %u) "
              "here, %s of %llu (type %u, op %u, root %u) at rank %u",
              (unsigned long long)r->number, call_name((enum call_kind)mine->kind),
              (unsigned long long)mine->count, mine->type, mine->op, mine->root,
              call_name((enum call_kind)p->kind), (unsigned long long)p->count, p->type, p->op,
              p->root, k);
    return false;
  }
  return true;
}

/* Taking. */

static bool copy_from(struct running *r, uint32_t rank, uint64_t offset, uint64_t bytes,
                      uint8_t *to) {
  struct sim_comm *c = r->call.comm;
  uint8_t *from = comm_map(c, rank, r->number % SLOTS, offset + bytes, false);
  if (!from)
    return comm_fail(c, ncclSystemError, "the data of rank %u cannot be mapped", rank) ==
           ncclSuccess;
  if (bytes)
    memcpy(to, from + offset, bytes);
  comm_unmap(from, offset + bytes);
  return true;
}

static bool reduce_from_all(struct running *r, uint64_t offset) {
  struct sim_comm *c = r->call.comm;
  const struct call *x = &r->call;
  uint64_t bytes = x->count * type_bytes(x->type);
  uint8_t *wide = malloc(x->count * 8 + 8);
  bool good = wide != NULL;
  for (uint32_t k = 0; k < c->ranks && good; k++) {
    uint8_t *from = comm_map(c, k, r->number % SLOTS, offset + bytes, false);
    good = from != NULL;
    if (!good)
      break;
    int op = x->op >= FIRST_CUSTOM_OP ? ncclSum : x->op;
    if (k)
      reduce_step(x->type, op, 1, from + offset, x->count, wide);
    else
      reduce_begin(x->type, op, 1, from + offset, x->count, wide);
    comm_unmap(from, offset + bytes);
  }
  if (good)
    reduce_finish(x->type, x->op, c->ranks, wide, x->count, x->to);
  free(wide);
  return good;
}

static bool take(struct running *r) {
  const struct call *x = &r->call;
  struct sim_comm *c = x->comm;
  uint64_t n = x->count * type_bytes(x->type);
  bool root = x->root == c->rank, good = true;
  switch (x->kind) {
  case CALL_ALL_REDUCE: return reduce_from_all(r, 0);
  case CALL_REDUCE: return !root || reduce_from_all(r, 0);
  case CALL_REDUCE_SCATTER: return reduce_from_all(r, c->rank * n);
  case CALL_BROADCAST: return copy_from(r, x->root, 0, n, x->to);
  case CALL_SCATTER: return copy_from(r, x->root, c->rank * n, n, x->to);
  default:
    for (uint32_t k = 0; k < c->ranks && good; k++)
      if (x->kind == CALL_ALL_GATHER || (x->kind == CALL_GATHER && root))
        good = copy_from(r, k, 0, n, x->to + k * n);
      else if (x->kind == CALL_ALL_TO_ALL)
        good = copy_from(r, k, c->rank * n, n, x->to + k * n);
    return good;
  }
}

/* Between two ranks. */

static uint64_t pair_slot(uint32_t to, uint64_t number) {
  return SLOTS + (uint64_t)to * SLOTS + number % SLOTS;
}
static bool poll_send(struct running *r) {
  struct sim_comm *c = r->call.comm;
  struct channel *ch = &c->control->channels[c->rank][r->call.root];
  uint64_t bytes = posted_bytes(&r->call), slot = r->number % SLOTS;
  bool corrupt = false;
  if (r->number >= SLOTS && __atomic_load_n(&ch->received, __ATOMIC_ACQUIRE) + SLOTS <= r->number)
    return false;
  if (!fault(c, &corrupt) ||
      !put(c, pair_slot(r->call.root, r->number), r->call.from, bytes, corrupt))
    return false;
  ch->sent[slot].bytes = bytes;
  __atomic_store_n(&ch->sent[slot].number, r->number + 1, __ATOMIC_RELEASE);
  return true;
}
static bool poll_receive(struct running *r) {
  struct sim_comm *c = r->call.comm;
  struct channel *ch = &c->control->channels[r->call.root][c->rank];
  uint64_t bytes = taken_bytes(&r->call), slot = r->number % SLOTS;
  bool corrupt = false;
  if (__atomic_load_n(&ch->sent[slot].number, __ATOMIC_ACQUIRE) != r->number + 1)
    return false;
  if (!fault(c, &corrupt))
    return false;
  if (ch->sent[slot].bytes != bytes) {
    comm_fail(c, ncclInvalidUsage, "Recv of %llu bytes from rank %u, which sent %llu",
              (unsigned long long)bytes, r->call.root, (unsigned long long)ch->sent[slot].bytes);
    return false;
  }
  uint8_t *from = comm_map(c, r->call.root, pair_slot(c->rank, r->number), bytes, false);
  if (!from) {
    comm_fail(c, ncclSystemError, "the data of rank %u cannot be mapped", r->call.root);
    return false;
  }
  if (bytes)
    memcpy(r->call.to, from, bytes);
  comm_unmap(from, bytes);
  __atomic_store_n(&ch->received, r->number + 1, __ATOMIC_RELEASE);
  return true;
}

/* Runs. */

static uint64_t waits_for(const struct running *r) {
  return r->call.kind >= CALL_SEND ? UINT64_C(1) << r->call.root : missing_posts(r);
}

/* One step of an operation; true when it is finished. */
static bool step(struct running *r, double since) {
  struct sim_comm *c = r->call.comm;
  char who[300];
  if (c->aborted)
    return true;
  if (c->state > ncclSuccess && c->state != ncclInProgress)
    return false; /* as a kernel that waits: until the communicator is aborted */
  bool finished = false;
  if (!c->stalled) {
    if (r->call.kind == CALL_SEND)
      finished = poll_send(r);
    else if (r->call.kind == CALL_RECV)
      finished = poll_receive(r);
    else if (r->posted || post_collective(r)) {
      if (!agree(r))
        return false;
      finished = !missing_posts(r) && take(r);
      if (finished)
        comm_done(c, r->number);
    }
  }
  if (finished || c->state != ncclSuccess || c->stalled)
    return finished;
  uint64_t missing = waits_for(r);
  bool gone = comm_missing(c, missing, &r->gone, who, sizeof who);
  if (missing && (gone || clock_now_s() - since > comm_timeout()))
    comm_fail(c, ncclRemoteError, "%s %llu waits for ranks %s%s", call_name(r->call.kind),
              (unsigned long long)r->number, who, gone ? "" : ", which never came");
  return false;
}

static void *run_begin(void *data) {
  const struct calls *all = data;
  struct run *run = mem_calloc(1, sizeof *run);
  run->since = clock_now_s();
  for (uint32_t k = 0; k < all->all.len; k++) {
    struct running r = {.call = all->all.data[k]};
    struct sim_comm *c = r.call.comm;
    r.number = r.call.kind == CALL_SEND   ? c->sent[r.call.root]++
               : r.call.kind == CALL_RECV ? c->received[r.call.root]++
                                          : c->issued++;
    __atomic_add_fetch(&c->references, 1, __ATOMIC_RELAXED);
    vec_push(&run->all, r);
  }
  return run;
}
static bool run_poll(void *p, int *result) {
  struct run *run = p;
  bool all = true;
  for (uint32_t k = 0; k < run->all.len; k++) {
    struct running *r = &run->all.data[k];
    struct sim_comm *c = r->call.comm;
    if (r->finished)
      continue;
    r->finished = step(r, run->since);
    double grace = comm_timeout() < 5 ? comm_timeout() : 5;
    if (!r->finished && c->state > ncclSuccess && c->state != ncclInProgress && c->failed_at > 0 &&
        clock_now_s() - c->failed_at > grace) {
      *result = CUDA_ERROR_LAUNCH_FAILED; /* nobody aborts: no call may hang */
      r->finished = true;
    }
    all &= r->finished;
  }
  return all;
}
static void run_end(void *p) {
  struct run *run = p;
  for (uint32_t k = 0; k < run->all.len; k++)
    comm_release(run->all.data[k].call.comm);
  vec_deinit(&run->all);
  mem_free(run);
}
static void calls_release(void *p) {
  struct calls *c = p;
  for (uint32_t k = 0; k < c->all.len; k++)
    comm_release(c->all.data[k].comm);
  vec_deinit(&c->all);
  mem_free(c);
}
static const struct sim_work work = {run_begin, run_poll, run_end, calls_release};

static ncclResult_t submit(const struct call *all, uint32_t n) {
  struct calls *c = mem_calloc(1, sizeof *c);
  CUcontext before = NULL;
  for (uint32_t k = 0; k < n; k++) {
    __atomic_add_fetch(&all[k].comm->references, 1, __ATOMIC_RELAXED);
    vec_push(&c->all, all[k]);
  }
  cuCtxGetCurrent(&before);
  cuCtxSetCurrent(all[0].comm->context);
  CUresult r = cuSinterSubmit(all[0].stream, &work, c);
  cuCtxSetCurrent(before);
  return r ? ncclUnhandledCudaError : ncclSuccess;
}

/* Groups. */

static _Thread_local uint32_t depth;
static _Thread_local VEC(struct call) pending;
static _Thread_local VEC(struct task *) pending_tasks;
static _Thread_local ncclResult_t group_error;

bool group_open(void) { return depth != 0; }
void group_add_task(struct task *t) { vec_push(&pending_tasks, t); }

NCCL_DECLARE(ncclGroupStart, (void)) {
  depth++;
  return ncclSuccess;
}

static ncclResult_t end_tasks(void) {
  bool waiting = true;
  ncclResult_t r = ncclSuccess;
  while (waiting) {
    waiting = false;
    for (uint32_t k = 0; k < pending_tasks.len; k++)
      waiting |= !task_poll(pending_tasks.data[k]) && pending_tasks.data[k]->comm->blocking;
    if (waiting)
      usleep(100);
  }
  for (uint32_t k = 0; k < pending_tasks.len; k++) {
    ncclResult_t s = pending_tasks.data[k]->comm->state;
    r = r && r != ncclInProgress ? r : s ? s : r;
  }
  vec_deinit(&pending_tasks);
  return r;
}

NCCL_DECLARE(ncclGroupEnd, (void)) {
  if (!depth)
    return comm_fail(NULL, ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
  if (--depth)
    return ncclSuccess;
  ncclResult_t r = group_error, made = end_tasks();
  group_error = ncclSuccess;
  r = r ? r : made;
  while (pending.len) { /* those of the first one's stream and context together */
    VEC(struct call) same = {0};
    uint32_t left = 0;
    struct call first = pending.data[0];
    for (uint32_t k = 0; k < pending.len; k++) {
      struct call c = pending.data[k];
      if (c.stream == first.stream && c.comm->context == first.comm->context)
        vec_push(&same, c);
      else
        pending.data[left++] = c;
    }
    pending.len = left;
    if (!r || r == ncclInProgress) {
      ncclResult_t s = submit(same.data, same.len);
      r = s ? s : r;
    }
    vec_deinit(&same);
  }
  vec_deinit(&pending);
  return r;
}
NCCL_DECLARE(ncclGroupSimulateEnd, (void *info)) {
  (void)info;
  vec_clear(&pending);
  return ncclGroupEnd();
}

static ncclResult_t enqueue(struct call c) {
  ncclResult_t r = ncclSuccess;
  if (!c.comm)
    return comm_fail(NULL, ncclInvalidArgument, "%s without a communicator", call_name(c.kind));
  uint64_t out = 0, in = 0;
  bool reduces =
      c.kind == CALL_ALL_REDUCE || c.kind == CALL_REDUCE || c.kind == CALL_REDUCE_SCATTER;
  if (c.comm->state && c.comm->state != ncclInProgress)
    r = c.comm->state;
  else if (c.comm->state == ncclInProgress && !group_open())
    r = comm_fail(NULL, ncclInvalidUsage, "%s while the communicator is being made",
                  call_name(c.kind));
  else if (!type_bytes(c.type) || c.count > SLOT_BYTES / 8 || c.root >= c.comm->ranks)
    r = comm_fail(NULL, ncclInvalidArgument, "%s of type %d, %llu elements, rank %u of %u",
                  call_name(c.kind), c.type, (unsigned long long)c.count, c.root, c.comm->ranks);
  else if (reduces && (c.op < 0 || c.op >= FIRST_CUSTOM_OP + (int)c.comm->scalars.len))
    r = comm_fail(NULL, ncclInvalidArgument, "reduction %d is none", c.op);
  else if (fault_at(c.comm->world_rank, c.comm->root->steps) == FAULT_OOM) {
    c.comm->root->steps++;
    r = comm_fail(NULL, ncclUnhandledCudaError, "rank %u: out of memory (fault script)",
                  c.comm->world_rank);
  }
  if (!r) {
    CUcontext before = NULL;
    cuCtxGetCurrent(&before);
    cuCtxSetCurrent(c.comm->context);
    out = posted_bytes(&c), in = taken_bytes(&c);
    if ((out && cuSinterReachable((uint64_t)(uintptr_t)c.from, out)) ||
        (in && cuSinterReachable((uint64_t)(uintptr_t)c.to, in)))
      r = comm_fail(NULL, ncclInvalidArgument,
                    "%s: a buffer is no memory of device %d, or too small", call_name(c.kind),
                    c.comm->device);
    if (in && !r)
      cuSinterWritten((uint64_t)(uintptr_t)c.to, in);
    cuCtxSetCurrent(before);
  }
  if (!r && reduces && c.op >= FIRST_CUSTOM_OP)
    c.scale = c.comm->scalars.data[c.op - FIRST_CUSTOM_OP];
  if (!group_open())
    return r ? r : submit(&c, 1);
  group_error = group_error ? group_error : r;
  if (!r)
    vec_push(&pending, c);
  return r;
}

/* Interface. */

#define FROM(p) .from = (const uint8_t *)(p)
#define TO(p) .to = (uint8_t *)(p)
NCCL_DECLARE(ncclAllReduce, (const void *from, void *to, size_t n, int type, int op,
                             ncclComm_t comm, CUstream s)) {
  return enqueue((struct call){CALL_ALL_REDUCE, comm, FROM(from), TO(to), .count = n, .type = type,
                               .op = op, .stream = s});
}
NCCL_DECLARE(ncclReduce, (const void *from, void *to, size_t n, int type, int op, int root,
                          ncclComm_t comm, CUstream s)) {
  return enqueue((struct call){CALL_REDUCE, comm, FROM(from), TO(to), .count = n, .type = type,
                               .op = op, .root = (uint32_t)root, .stream = s});
}
NCCL_DECLARE(ncclBroadcast, (const void *from, void *to, size_t n, int type, int root,
                             ncclComm_t comm, CUstream s)) {
  return enqueue((struct call){CALL_BROADCAST, comm, FROM(from), TO(to), .count = n, .type = type,
                               .root = (uint32_t)root, .stream = s});
}
NCCL_DECLARE(ncclBcast, (void *p, size_t n, int type, int root, ncclComm_t comm, CUstream s)) {
  return ncclBroadcast(p, p, n, type, root, comm, s);
}
NCCL_DECLARE(ncclAllGather,
             (const void *from, void *to, size_t n, int type, ncclComm_t comm, CUstream s)) {
  return enqueue((struct call){CALL_ALL_GATHER, comm, FROM(from), TO(to), .count = n, .type = type,
                               .stream = s});
}
NCCL_DECLARE(ncclReduceScatter, (const void *from, void *to, size_t n, int type, int op,
                                 ncclComm_t comm, CUstream s)) {
  return enqueue((struct call){CALL_REDUCE_SCATTER, comm, FROM(from), TO(to), .count = n,
                               .type = type, .op = op, .stream = s});
}
NCCL_DECLARE(ncclAlltoAll,
             (const void *from, void *to, size_t n, int type, ncclComm_t comm, CUstream s)) {
  return enqueue((struct call){CALL_ALL_TO_ALL, comm, FROM(from), TO(to), .count = n, .type = type,
                               .stream = s});
}
NCCL_DECLARE(ncclGather, (const void *from, void *to, size_t n, int type, int root, ncclComm_t comm,
                          CUstream s)) {
  return enqueue((struct call){CALL_GATHER, comm, FROM(from), TO(to), .count = n, .type = type,
                               .root = (uint32_t)root, .stream = s});
}
NCCL_DECLARE(ncclScatter, (const void *from, void *to, size_t n, int type, int root,
                           ncclComm_t comm, CUstream s)) {
  return enqueue((struct call){CALL_SCATTER, comm, FROM(from), TO(to), .count = n, .type = type,
                               .root = (uint32_t)root, .stream = s});
}
NCCL_DECLARE(ncclSend,
             (const void *from, size_t n, int type, int peer, ncclComm_t comm, CUstream s)) {
  return enqueue((struct call){CALL_SEND, comm, FROM(from), .count = n, .type = type,
                               .root = (uint32_t)peer, .stream = s});
}
NCCL_DECLARE(ncclRecv, (void *to, size_t n, int type, int peer, ncclComm_t comm, CUstream s)) {
  return enqueue((struct call){CALL_RECV, comm, TO(to), .count = n, .type = type,
                               .root = (uint32_t)peer, .stream = s});
}
