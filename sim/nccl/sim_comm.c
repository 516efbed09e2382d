/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators: how ranks find each other, and how it ends. */
#include "sim/cuda/sim_work.h"

#include "base/clock.h"
#include "sim/nccl/nccl_comm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

extern CUresult cuCtxGetCurrent(CUcontext *);
extern CUresult cuCtxGetDevice(CUdevice *);
extern CUresult cuCtxSetCurrent(CUcontext);
extern CUresult cuDevicePrimaryCtxRetain(CUcontext *, CUdevice);
extern CUresult cuInit(unsigned);
extern CUresult cuMemAlloc_v2(CUdeviceptr *, size_t);
extern CUresult cuMemFree_v2(CUdeviceptr);

static _Thread_local char last_error[400];

double comm_timeout(void) {
  const char *text = getenv("SINTER_SIM_NCCL_TIMEOUT");
  double t = text ? strtod(text, NULL) : 30;
  return t > 0 ? t : 30;
}

ncclResult_t comm_fail(struct sim_comm *c, ncclResult_t r, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(last_error, sizeof last_error, format, args);
  va_end(args);
  if (!c) {
    fprintf(stderr, "sim: nccl error: %s\n", last_error);
    return r;
  }
  ncclResult_t none = ncclSuccess, making = ncclInProgress;
  bool first = atomic_compare_exchange_strong(&c->state, &none, r) ||
               atomic_compare_exchange_strong(&c->state, &making, r);
  if (first) {
    c->failed_at = clock_now_s();
    fprintf(stderr, "sim: nccl error: rank %u of %u (device %d): %s\n", c->rank, c->ranks,
            c->device, last_error);
  }
  return r;
}

bool comm_missing(struct sim_comm *c, uint64_t missing, uint64_t *gone, char *out, size_t size) {
  size_t n = 0;
  uint64_t before = *gone;
  *gone = 0;
  out[0] = 0;
  for (uint32_t r = 0; r < c->ranks; r++) {
    const struct member *m = &c->control->members[r];
    if (!(missing >> r & 1))
      continue;
    bool dead = m->dead || m->left || (m->joined && kill((pid_t)m->process, 0) && errno == ESRCH);
    *gone |= (uint64_t)dead << r;
    if (n + 40 < size)
      n += (size_t)snprintf(out + n, size - n, "%s%u%s", n ? ", " : "", r, dead ? " (gone)" : "");
  }
  return before & missing;
}

/* Shared memory. */

static int open_shared(const char *name, uint64_t bytes) {
  char path[128];
  snprintf(path, sizeof path, "/%s", name);
  int file = shm_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file >= 0 && ftruncate(file, (off_t)bytes)) {
    close(file);
    return -1;
  }
  return file;
}
static void data_name(const struct sim_comm *c, uint32_t rank, char *out, size_t size) {
  snprintf(out, size, "%s.%u", c->name, rank);
}

void *comm_map(struct sim_comm *c, uint32_t rank, uint64_t slot, uint64_t bytes, bool write) {
  static char nothing[8];
  if (!bytes)
    return nothing;
  if (bytes > SLOT_BYTES)
    return NULL;
  void *p = mmap(NULL, bytes, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                 c->files[rank], (off_t)(slot * SLOT_BYTES));
  return p == MAP_FAILED ? NULL : p;
}
void comm_unmap(void *p, uint64_t bytes) {
  if (bytes && p)
    munmap(p, bytes);
}

/* Operations end in any order; `done` counts those before the first that has not. */
void comm_done(struct sim_comm *c, uint64_t number) {
  struct member *m = &c->control->members[c->rank];
  c->finished[number % 64] = true;
  while (m->done < c->issued && c->finished[m->done % 64]) {
    c->finished[m->done % 64] = false;
    __atomic_add_fetch(&m->done, 1, __ATOMIC_RELEASE);
  }
}

static struct sim_comm *comm_create(uint32_t ranks, uint32_t rank, bool blocking) {
  struct sim_comm *c = mem_calloc(1, sizeof *c);
  c->rank = c->world_rank = rank;
  c->ranks = ranks;
  c->blocking = blocking;
  c->state = ncclInProgress;
  c->control_file = -1;
  c->root = c;
  c->references = 1;
  for (uint32_t k = 0; k < MAX_RANKS; k++)
    c->files[k] = -1;
  return c;
}

void comm_release(struct sim_comm *c) {
  if (__atomic_sub_fetch(&c->references, 1, __ATOMIC_ACQ_REL))
    return;
  if (c->root != c)
    comm_release(c->root);
  if (c->control)
    munmap(c->control, sizeof *c->control);
  if (c->control_file >= 0)
    close(c->control_file);
  for (uint32_t k = 0; k < c->ranks; k++)
    if (c->files[k] >= 0)
      close(c->files[k]);
  vec_deinit(&c->scalars);
  mem_free(c->task);
  mem_free(c);
}

/* Joins the ranks that share a name; the rest is waited for by task_poll. */
static ncclResult_t join(struct sim_comm *c, const char *name) {
  char own[128];
  snprintf(c->name, sizeof c->name, "%s", name);
  c->control_file = open_shared(c->name, sizeof *c->control);
  void *p = c->control_file < 0 ? MAP_FAILED
                                : mmap(NULL, sizeof *c->control, PROT_READ | PROT_WRITE, MAP_SHARED,
                                       c->control_file, 0);
  data_name(c, c->rank, own, sizeof own);
  int data = open_shared(own, (SLOTS + (uint64_t)MAX_RANKS * SLOTS) * SLOT_BYTES);
  if (p == MAP_FAILED || data < 0)
    return comm_fail(c, ncclSystemError, "no shared memory for the communicator: %s",
                     strerror(errno));
  c->control = p;
  c->files[c->rank] = data;
  uint32_t none = 0;
  if (!__atomic_compare_exchange_n(&c->control->ranks, &none, c->ranks, false, __ATOMIC_SEQ_CST,
                                   __ATOMIC_SEQ_CST) &&
      none != c->ranks)
    return comm_fail(c, ncclInvalidArgument,
                     "%u ranks are named here, %u by those that came before", c->ranks, none);
  struct member *m = &c->control->members[c->rank];
  uint32_t unjoined = 0;
  if (!__atomic_compare_exchange_n(&m->joined, &unjoined, 1, false, __ATOMIC_SEQ_CST,
                                   __ATOMIC_SEQ_CST))
    return comm_fail(c, ncclInvalidUsage, "rank %u came twice", c->rank);
  m->process = getpid();
  __atomic_store_n(&m->joined, 2, __ATOMIC_RELEASE);
  return ncclSuccess;
}

static bool all_joined(struct task *t) {
  struct sim_comm *c = t->comm;
  uint64_t missing = 0;
  char who[300];
  for (uint32_t r = 0; r < c->ranks; r++)
    if (__atomic_load_n(&c->control->members[r].joined, __ATOMIC_ACQUIRE) < 2)
      missing |= UINT64_C(1) << r;
  if (missing) {
    if (clock_now_s() - t->since > comm_timeout()) {
      comm_missing(c, missing, &t->gone, who, sizeof who);
      comm_fail(c, ncclRemoteError, "ranks %s never came to make the communicator", who);
      return true;
    }
    return false;
  }
  for (uint32_t r = 0; r < c->ranks; r++) {
    char name[128];
    data_name(c, r, name, sizeof name);
    if (c->files[r] < 0)
      c->files[r] = open_shared(name, (SLOTS + (uint64_t)MAX_RANKS * SLOTS) * SLOT_BYTES);
    if (c->files[r] < 0) {
      comm_fail(c, ncclSystemError, "no data of rank %u: %s", r, strerror(errno));
      return true;
    }
  }
  /* the last to have opened all files takes the names away */
  if (__atomic_add_fetch(&c->control->opened, 1, __ATOMIC_SEQ_CST) == c->ranks)
    for (uint32_t r = 0; r <= c->ranks; r++) {
      char name[128], path[136];
      data_name(c, r, name, sizeof name);
      snprintf(path, sizeof path, "/%s", r == c->ranks ? c->name : name);
      shm_unlink(path);
    }
  ncclResult_t making = ncclInProgress;
  atomic_compare_exchange_strong(&c->state, &making, ncclSuccess);
  return true;
}

/* Split: colours and keys are posted as an operation of the parent. */

static void split_post(struct task *t) {
  struct sim_comm *p = t->parent;
  struct post *mine = &p->control->members[p->rank].posts[t->number % SLOTS];
  *mine = (struct post){.kind = CALL_SPLIT, .type = (uint32_t)t->key, .op = (uint32_t)t->color};
  __atomic_store_n(&mine->number, t->number + 1, __ATOMIC_RELEASE);
  t->posted = true;
}
static bool before(int key, uint32_t rank, int other_key, uint32_t other_rank) {
  return other_key < key || (other_key == key && other_rank < rank);
}
static bool split_poll(struct task *t) {
  struct sim_comm *p = t->parent, *c = t->comm;
  uint64_t missing = 0;
  char who[300];
  uint32_t rank = 0, ranks = 0, leader = UINT32_MAX;
  for (uint32_t r = 0; r < p->ranks; r++)
    if (!t->posted && t->number >= SLOTS &&
        __atomic_load_n(&p->control->members[r].done, __ATOMIC_ACQUIRE) + SLOTS <= t->number)
      missing |= UINT64_C(1) << r;
  if (!missing && !t->posted)
    split_post(t);
  for (uint32_t r = 0; r < p->ranks && t->posted; r++) {
    const struct post *x = &p->control->members[r].posts[t->number % SLOTS];
    if (__atomic_load_n(&x->number, __ATOMIC_ACQUIRE) != t->number + 1) {
      missing |= UINT64_C(1) << r;
    } else if (x->kind != CALL_SPLIT) {
      comm_fail(c, ncclInvalidUsage, "rank %u called %s where others split", r,
                call_name((enum call_kind)x->kind));
      return true;
    } else if ((int)x->op == t->color && t->color >= 0) {
      ranks++;
      rank += before(t->key, p->rank, (int)x->type, r);
      leader = r < leader ? r : leader;
    }
  }
  if (missing) {
    bool gone = comm_missing(p, missing, &t->gone, who, sizeof who);
    if (!gone && clock_now_s() - t->since <= comm_timeout())
      return false;
    comm_fail(c, ncclRemoteError, "ranks %s never split the communicator", who);
    return true;
  }
  comm_done(p, t->number);
  char name[100];
  snprintf(name, sizeof name, "%.60s-%llu-%u", p->name, (unsigned long long)t->number, leader);
  t->parent = NULL;
  if (t->color < 0) { /* a rank of no part */
    c->state = ncclSuccess;
    return true;
  }
  c->rank = rank;
  c->ranks = ranks;
  t->since = clock_now_s();
  return join(c, name) != ncclSuccess;
}

bool task_poll(struct task *t) {
  if (t->comm->state != ncclInProgress || t->comm->aborted)
    return true;
  if (t->parent && !split_poll(t))
    return false;
  return t->comm->state != ncclInProgress || (!t->parent && all_joined(t));
}

ncclResult_t task_begin(struct task *t) {
  struct sim_comm *c = t->comm;
  t->since = clock_now_s();
  c->task = t;
  if (group_open()) {
    group_add_task(t);
    return ncclSuccess;
  }
  if (!c->blocking)
    return task_poll(t) ? c->state : ncclInProgress;
  while (!task_poll(t))
    usleep(100);
  return c->state;
}

/* Interface. */

NCCL_DECLARE(ncclGetVersion, (int *version)) {
  if (!version)
    return ncclInvalidArgument;
  *version = 22809;
  return ncclSuccess;
}
NCCL_DECLARE(ncclGetUniqueId, (ncclUniqueId * id)) {
  unsigned char noise[12];
  if (!id)
    return ncclInvalidArgument;
  memset(id, 0, sizeof *id);
  if (getenv("NCCL_COMM_ID")) {
    snprintf(id->internal, sizeof id->internal, "sinter-nccl-%.60s", getenv("NCCL_COMM_ID"));
  } else {
    if (getrandom(noise, sizeof noise, 0) != sizeof noise)
      return ncclSystemError;
    int n = snprintf(id->internal, sizeof id->internal, "sinter-nccl-");
    for (uint32_t k = 0; k < sizeof noise; k++)
      n += snprintf(id->internal + n, 4, "%02x", noise[k]);
  }
  for (char *p = id->internal; *p; p++)
    if (*p == '/')
      *p = '_';
  return ncclSuccess;
}

static ncclResult_t bind_device(struct sim_comm *c) {
  if (!cuCtxGetCurrent(&c->context) && c->context && !cuCtxGetDevice(&c->device))
    return ncclSuccess;
  return comm_fail(NULL, ncclUnhandledCudaError, "no current context: set the device first");
}

NCCL_DECLARE(ncclCommInitRankConfig,
             (ncclComm_t * comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t *config)) {
  if (!comm || ranks < 1 || rank < 0 || rank >= ranks)
    return comm_fail(NULL, ncclInvalidArgument, "rank %d of %d", rank, ranks);
  if (ranks > MAX_RANKS)
    return comm_fail(NULL, ncclInvalidArgument, "more than %d ranks are not simulated", MAX_RANKS);
  if (strncmp(id.internal, "sinter-nccl-", 12) || id.internal[99])
    return comm_fail(NULL, ncclInvalidArgument, "the unique id is none that ncclGetUniqueId gave");
  bool blocking = !config || config->blocking != 0;
  struct sim_comm *c = comm_create((uint32_t)ranks, (uint32_t)rank, blocking);
  ncclResult_t r = bind_device(c);
  if (!r)
    r = join(c, id.internal);
  if (r) {
    comm_release(c);
    *comm = NULL;
    return r;
  }
  *comm = c;
  struct task *t = mem_calloc(1, sizeof *t);
  t->comm = c;
  return task_begin(t);
}
NCCL_DECLARE(ncclCommInitRank, (ncclComm_t * comm, int ranks, ncclUniqueId id, int rank)) {
  return ncclCommInitRankConfig(comm, ranks, id, rank, NULL);
}
NCCL_DECLARE(ncclCommInitRankScalable, (ncclComm_t * comm, int ranks, int rank, int ids,
                                        ncclUniqueId *id, ncclConfig_t *config)) {
  return !id || ids < 1 ? ncclInvalidArgument
                        : ncclCommInitRankConfig(comm, ranks, id[0], rank, config);
}
NCCL_DECLARE(ncclCommInitAll, (ncclComm_t * comms, int count, const int *devices)) {
  ncclUniqueId id;
  CUcontext before = NULL;
  if (!comms || count < 1 || count > MAX_RANKS)
    return ncclInvalidArgument;
  for (int k = 0; devices && k < count; k++)
    for (int j = 0; j < k; j++)
      if (devices[k] == devices[j])
        return comm_fail(NULL, ncclInvalidUsage,
                         "duplicate GPU detected: ranks %d and %d on device %d", j, k, devices[k]);
  cuInit(0);
  cuCtxGetCurrent(&before);
  ncclResult_t r = ncclGetUniqueId(&id);
  struct task tasks[MAX_RANKS] = {0};
  int made = 0;
  for (; made < count && !r; made++) {
    struct sim_comm *c = comm_create((uint32_t)count, (uint32_t)made, true);
    CUcontext context;
    if (cuDevicePrimaryCtxRetain(&context, devices ? devices[made] : made) ||
        cuCtxSetCurrent(context))
      r = ncclUnhandledCudaError;
    r = r ? r : bind_device(c);
    r = r ? r : join(c, id.internal);
    tasks[made] = (struct task){.comm = c, .since = clock_now_s()};
    comms[made] = c;
  }
  for (int k = 0; k < made && !r; k++)
    if (!task_poll(&tasks[k]))
      r = ncclInternalError;
  cuCtxSetCurrent(before);
  for (int k = 0; k < made && r; k++)
    comm_release(comms[k]);
  return r;
}

NCCL_DECLARE(ncclCommSplit,
             (ncclComm_t parent, int color, int key, ncclComm_t *comm, ncclConfig_t *config)) {
  if (!parent || !comm || color < -1)
    return ncclInvalidArgument;
  if (parent->state)
    return parent->state;
  bool blocking = config ? config->blocking != 0 : parent->blocking;
  struct sim_comm *c = comm_create(parent->ranks, parent->rank, blocking);
  c->device = parent->device;
  c->context = parent->context;
  c->root = parent->root;
  c->world_rank = parent->world_rank;
  __atomic_add_fetch(&parent->root->references, 1, __ATOMIC_RELAXED);
  struct task *t = mem_calloc(1, sizeof *t);
  *t = (struct task){
      .comm = c, .parent = parent, .color = color, .key = key, .number = parent->issued++};
  *comm = color < 0 ? NULL : c;
  ncclResult_t r = task_begin(t);
  if (color < 0 && !group_open() && c->blocking)
    comm_release(c);
  return r;
}

NCCL_DECLARE(ncclCommGetAsyncError, (ncclComm_t comm, ncclResult_t *error)) {
  if (!comm || !error)
    return ncclInvalidArgument;
  if (comm->state == ncclInProgress && comm->task)
    task_poll(comm->task);
  cuSinterAdvance();
  *error = comm->state;
  return ncclSuccess;
}
NCCL_DECLARE(ncclCommFinalize, (ncclComm_t comm)) {
  return comm ? ncclSuccess : ncclInvalidArgument;
}

static void leave(struct sim_comm *c) {
  if (c->control && c->state != ncclInProgress)
    __atomic_store_n(&c->control->members[c->rank].left, 1, __ATOMIC_SEQ_CST);
}
NCCL_DECLARE(ncclCommDestroy, (ncclComm_t comm)) {
  if (!comm)
    return ncclSuccess;
  leave(comm);
  comm_release(comm); /* operations under way keep it */
  return ncclSuccess;
}
NCCL_DECLARE(ncclCommAbort, (ncclComm_t comm)) {
  if (!comm)
    return ncclSuccess;
  comm->aborted = true;
  leave(comm);
  comm_release(comm);
  return ncclSuccess;
}
NCCL_DECLARE(ncclCommRevoke, (ncclComm_t comm, int flags)) {
  if (!comm || flags)
    return ncclInvalidArgument;
  comm->aborted = true;
  leave(comm);
  return ncclSuccess;
}

NCCL_DECLARE(ncclCommCount, (const ncclComm_t comm, int *count)) {
  if (!comm || !count)
    return ncclInvalidArgument;
  *count = (int)comm->ranks;
  return ncclSuccess;
}
NCCL_DECLARE(ncclCommCuDevice, (const ncclComm_t comm, int *device)) {
  if (!comm || !device)
    return ncclInvalidArgument;
  *device = comm->device;
  return ncclSuccess;
}
NCCL_DECLARE(ncclCommUserRank, (const ncclComm_t comm, int *rank)) {
  if (!comm || !rank)
    return ncclInvalidArgument;
  *rank = (int)comm->rank;
  return ncclSuccess;
}

__attribute__((visibility("default"))) const char *ncclGetErrorString(ncclResult_t r);
const char *ncclGetErrorString(ncclResult_t r) {
  static const char *const texts[] = {"no error",
                                      "unhandled cuda error",
                                      "unhandled system error",
                                      "internal error",
                                      "invalid argument",
                                      "invalid usage",
                                      "remote process exited or there was a network error",
                                      "NCCL operation in progress"};
  return r <= ncclInProgress ? texts[r] : "unknown result code";
}
__attribute__((visibility("default"))) const char *ncclGetLastError(ncclComm_t comm);
const char *ncclGetLastError(ncclComm_t comm) {
  (void)comm;
  return last_error;
}
/* Deprecated, and nothing. */
__attribute__((visibility("default"))) void ncclResetDebugInit(void);
void ncclResetDebugInit(void) {}

NCCL_DECLARE(ncclMemAlloc, (void **p, size_t bytes)) {
  CUdeviceptr address;
  if (!p || cuMemAlloc_v2(&address, bytes))
    return ncclUnhandledCudaError;
  *p = (void *)(uintptr_t)address;
  return ncclSuccess;
}
NCCL_DECLARE(ncclMemFree, (void *p)) {
  return cuMemFree_v2((CUdeviceptr)(uintptr_t)p) ? ncclUnhandledCudaError : ncclSuccess;
}
/* Registration changes nothing here. */
NCCL_DECLARE(ncclCommRegister, (const ncclComm_t comm, void *p, size_t bytes, void **handle)) {
  (void)bytes;
  if (!comm || !handle)
    return ncclInvalidArgument;
  *handle = p;
  return ncclSuccess;
}
NCCL_DECLARE(ncclCommDeregister, (const ncclComm_t comm, void *handle)) {
  (void)handle;
  return comm ? ncclSuccess : ncclInvalidArgument;
}

NCCL_DECLARE(ncclRedOpCreatePreMulSum,
             (int *op, void *scalar, int type, int residence, ncclComm_t comm)) {
  (void)residence; /* device memory is the host's */
  if (!op || !scalar || !comm || !type_bytes(type))
    return ncclInvalidArgument;
  vec_push(&comm->scalars, scalar_value(type, scalar));
  *op = FIRST_CUSTOM_OP + (int)comm->scalars.len - 1;
  return ncclSuccess;
}
NCCL_DECLARE(ncclRedOpDestroy, (int op, ncclComm_t comm)) {
  return comm && op >= FIRST_CUSTOM_OP && op < FIRST_CUSTOM_OP + (int)comm->scalars.len
             ? ncclSuccess
             : ncclInvalidArgument;
}
