/* SPDX-License-Identifier: Apache-2.0 */
/* What runs: decoded programs, and the state of launches, CTAs, warps and groups of lanes.
 *
 * Registers of a frame lie register by register, each as 32 lanes of its width; a predicate is one
 * word with a bit per lane. Immediates and special registers have the same form in other banks, so
 * that an instruction reads every operand alike. For each register a word says which lanes were
 * written: reading others is an error, copying them copies that fact.
 *
 * Lanes of a warp that stand at one place of one frame form a group. A divergent branch splits a
 * group; groups that meet merge. The group in the deepest call at the lowest address goes first,
 * which makes lanes meet where branches join; now and then the one that waited longest goes, so
 * that a lane that spins cannot starve the one it waits for. Instructions that need lanes together
 * (.sync, .aligned) hold a group until the named lanes have come. */
#ifndef SINTER_SIM_EXEC_SIMT_H
#define SINTER_SIM_EXEC_SIMT_H

#include "base/map.h"
#include "base/vec.h"
#include "sim/ptx/ptx.h"

#include <pthread.h>
#include <string.h>

struct warp;
struct inst;
/* Runs one instruction for the lanes in `mask`, never 0. */
typedef void (*exec_fn)(struct warp *w, const struct inst *i, uint32_t mask);

enum modifier {
#define MODIFIER(name, word) MOD_##name,
#include "sim/ptx/modifier.def"
#undef MODIFIER
  MOD_COUNT
};
enum { MOD_WORDS = 8 };
_Static_assert(MOD_COUNT < 64 * MOD_WORDS, "struct binding holds eight words of them");

enum bank { BANK_REGISTER, BANK_CONSTANT, BANK_SPECIAL, BANKS };

struct operand {
  uint32_t offset; /* of its lanes in the bank, bytes */
  uint32_t reg;    /* index into the frame's words of written lanes */
  uint8_t bank;
  uint8_t width; /* bytes of a lane; 0: predicate */
  bool negated;  /* predicates */
};

enum flow {
  FLOW_NEXT,    /* go on behind it */
  FLOW_CONTROL, /* the function moves the group */
  FLOW_JOIN,    /* as NEXT, once all lanes of the member mask have come */
};

enum inst_space {
  IN_GENERIC,
  IN_GLOBAL,
  IN_SHARED, /* also of another CTA of the cluster: the address says which */
  IN_LOCAL,  /* also parameters of calls */
  IN_CONST,
  IN_ENTRY_PARAM,
};
enum rounding { ROUND_NEAREST, ROUND_ZERO, ROUND_DOWN, ROUND_UP, ROUND_AWAY };

/* Where one argument of a call comes from: bytes of a variable in local memory or an operand. */
struct call_argument {
  bool in_memory;
  uint32_t offset, size; /* in the caller's frame */
  struct operand value;
};
struct call_site {
  struct function *callee;       /* NULL: by the operand */
  const struct builtin *builtin; /* vprintf and its like */
  uint32_t count, results;       /* results come first */
  struct call_argument *arguments;
};

struct inst {
  exec_fn fn, inner;
  const struct operand *op; /* destinations first */
  struct operand guard;
  int64_t imm, more[2]; /* offsets of the first address and of those that follow */
  uint32_t target;      /* of a branch */
  uint32_t line;
  uint16_t count, writes;
  bool guarded, leader; /* a leader may be jumped to */
  bool copies;          /* unwritten lanes pass through instead of being an error */
  bool ftz, sat, relu, abs, integral, noncoherent, uniform;
  bool strong; /* volatile, relaxed, acquire, release: orders instead of racing */
  bool orders; /* a join after which the lanes see each other's memory */
  bool matrix; /* wgmma and its waits: may touch registers that are in flight */
  uint8_t flow;
  uint8_t type, source_type; /* enum ptx_type */
  uint8_t space, vector, rounding;
  uint8_t member;                       /* FLOW_JOIN: the operand of the mask; 255: every lane */
  uint16_t compare, combine, operation; /* enum modifier */
  uint16_t part[10];                    /* operand that each letter of the pattern begins with */
  uint16_t parts;
  uint16_t shape[3]; /* m, n, k */
  uint32_t aux[4];   /* as the function likes */
  const char *opcode;
  const struct call_site *call;
  const uint32_t *targets; /* brx.idx */
  uint32_t target_count;
};

struct parameter {
  const char *name;
  uint32_t offset, size, align; /* of a .func: in the frame's local memory */
  bool in_register;
  struct operand reg;
};

struct function {
  const char *name;
  const struct ptx_function *source;
  bool entry, decoded;
  struct inst *code;
  uint32_t length;
  uint32_t register_bytes, register_count;
  uint8_t *constants;
  VEC(struct parameter) params; /* results first */
  uint32_t results;
  uint32_t param_bytes;      /* of the launch's block (entry) */
  uint32_t local_bytes;      /* of a frame: variables, parameters of calls */
  uint64_t stack_bytes;      /* with everything it calls; valid unless `recursive` */
  bool recursive, visiting;  /* recursive: calls itself, or what is not known */
  uint32_t shared_bytes;     /* static shared memory that the function or its module names */
  uint32_t shared_end;       /* of what is static */
  bool large_clusters;       /* of more than 8 CTAs, cuFuncSetAttribute */
  int32_t attribute_dynamic; /* cuFuncSetAttribute's limit; 48 KiB unless raised */
  const struct program *program;
};

struct symbol {
  const char *name;
  uint64_t address, size;
  uint8_t space; /* enum ptx_space */
  bool managed;
};

struct program {
  struct ptx_module source;
  struct arena arena;
  struct function *functions;
  uint32_t function_count;
  VEC(struct symbol) symbols; /* global, const: device addresses; shared: offsets */
  struct strmap symbol_map, function_map;
  uint32_t next_shared;  /* where the shared variables of the next function begin */
  uint64_t specials;     /* a bit for each special register that is read */
  bool functions_called; /* there are .func bodies, whose shared variables lie apart */
  uint32_t shared_bytes; /* of all variables together; dynamic memory follows */
  uint32_t device;
  uint8_t grain_shift; /* log2 of the bytes that one record of shared memory stands for */
  void *owner;         /* as the driver likes */
  const char *text;    /* the arena's copy */
  size_t text_size;
};

/* Parses, allocates and fills global variables on `device`, decodes every function. Errors E0750 to
 * E0752, each with its line. */
status program_load(const char *text, size_t size, uint32_t device, struct diags *d,
                    struct program **out);
void program_unload(struct program *p);
/* NULL if there is none; entries only if `entry`. */
struct function *program_function(const struct program *p, const char *name);

/* Run time. */

struct frame {
  struct frame *parent;
  const struct function *function;
  uint8_t *registers;
  uint32_t *written;
  uint32_t depth;
  uint32_t local_base;
  uint32_t allocated; /* by alloca, behind what the function declares */
  uint32_t return_pc;
  const struct call_site *call;
  uint32_t live; /* lanes inside */
  uint32_t carry;
  uint32_t *in_flight; /* of each register: the wgmma group that still uses it; NULL if none did */
};

enum group_state {
  GROUP_READY,
  GROUP_JOINING,
  GROUP_BARRIER,
  GROUP_RETRY, /* waits for an event, then runs its instruction again */
};
struct group {
  struct frame *frame;
  uint32_t pc, mask;
  enum group_state state;
  uint8_t barrier;
  uint64_t last;   /* when it last ran */
  uint64_t events; /* GROUP_RETRY: what the cluster had counted */
};

/* Asynchronous groups of one kind: how far operations were issued and committed, by lane. */
enum { KEPT_COMMITS = 64 };
struct async_groups {
  uint32_t issued; /* operations of the warp */
  uint32_t commits[32];
  uint32_t committed[32][KEPT_COMMITS]; /* ring: `issued` at each commit */
};

struct warp {
  uint8_t *bank[BANKS];
  struct frame *frame; /* of the current group */
  struct frame *root;  /* the kernel's */
  struct group groups[32];
  uint32_t group_count, current;
  uint32_t pc;            /* of the current group while it runs */
  bool reschedule, pause; /* pause: others may have the core */
  uint32_t live;          /* lanes that have not exited */
  uint32_t id;
  uint64_t clock, executed; /* selections; warp instructions */
  uint64_t lane_instructions;
  struct cta *cta;
  uint8_t *local;
  uint32_t local_bytes; /* of each lane */
  struct {
    uint64_t low, high, epoch;
    bool readonly, watched;
  } cached[4]; /* allocations last hit */
  uint32_t hit;
  struct {
    uint32_t any;      /* lanes whose load found memory that nobody wrote, by register it went to */
    uint32_t lanes[8]; /* zeros unless there is any */
    uint32_t line;     /* of the last such load */
    uint64_t address;
  } unwritten;
  struct vclock *order;                   /* NULL: nothing shared that needs it */
  struct async_groups *copies, *stores;   /* cp.async; bulk copies out of shared memory */
  uint32_t wgmma_issued, wgmma_committed; /* groups, from 1 */
  uint32_t wgmma_done;
  uint32_t in_flight;                           /* registers that wgmma uses */
  uint32_t cluster_arrived, cluster_generation; /* lanes at the cluster's barrier */
  uint32_t specials[64][32];                    /* last: only those that are read are set */
};

struct barrier {
  uint32_t arrived, expected;
  uint32_t all_true, any_true, count_true; /* of bar.red */
  uint32_t line;
  struct vclock *order;
};

struct cta {
  struct launch *launch;
  struct cluster *cluster;
  uint32_t rank; /* in the cluster */
  uint32_t index[3];
  uint64_t linear;
  uint32_t warp_count, threads;
  struct warp *warps;
  uint8_t *shared;
  uint32_t shared_bytes;
  bool finished;         /* all threads have exited */
  struct shadow *shadow; /* what is known of each byte of shared memory */
  struct barrier barriers[16];
  struct mbarriers *mbarriers;
};

struct cluster {
  struct launch *launch;
  uint32_t size, shape[3], index[3];
  struct cta *ctas;
  uint32_t arrived; /* threads at its barrier */
  uint32_t generation;
  uint64_t events; /* counts what may wake a group */
  uint64_t random; /* state of the shuffled order; 0: in order */
};

/* Mirrors the CUresult that hardware gives; kept as its numbers. */
enum fault {
  FAULT_NONE = 0,
  FAULT_INVALID_VALUE = 1,
  FAULT_OUT_OF_MEMORY = 2,
  FAULT_ILLEGAL_ADDRESS = 700,
  FAULT_LAUNCH_RESOURCES = 701,
  FAULT_TIMEOUT = 702,
  FAULT_ASSERT = 710,
  FAULT_ILLEGAL_INSTRUCTION = 715,
  FAULT_MISALIGNED = 716,
  FAULT_LAUNCH_FAILED = 719,
  FAULT_COOPERATIVE_TOO_LARGE = 720,
  FAULT_INVALID_CLUSTER = 912,
};

struct launch {
  const struct program *program;
  struct function *kernel;
  uint32_t grid[3], block[3];
  uint32_t dynamic_shared;
  uint32_t device;
  bool cooperative;
  uint8_t *params;     /* the kernel's parameter block */
  uint32_t cluster[3]; /* shape; ones without clusters */
  uint64_t next_cluster, cluster_count;
  uint64_t seed;   /* of the order of warps; 0: in order */
  uint32_t stack;  /* bytes that recursion may use of each lane */
  uint64_t budget; /* warp instructions of a warp before it counts as endless */
  int failed;      /* enum fault; atomic */
  pthread_mutex_t report_lock;
  uint64_t lane_instructions; /* executed, for speed figures */
  uint64_t workspace;         /* of a cooperative launch: its bytes, and a barrier; else 0 */
};

/* Runs a kernel to its end. Checks the shape, reports the first fault on stderr. `params` holds
 * kernel->param_bytes bytes. */
enum fault launch_run(struct launch *l);

/* The windows through which generic addresses reach shared and local memory. */
#define WINDOW_BYTES (UINT64_C(1) << 24)
/* A shared address is an offset into the CTA's own memory, or ((rank + 1) << 24) + offset. */
enum { CLUSTER_MOST = 16, SHARED_WINDOWS = CLUSTER_MOST + 1 };
extern uint64_t window_shared, window_local;
bool windows_init(void);

/* Reports the first fault of a launch and ends it. lane may be -1: the whole warp. */
void memory_fault_report(struct warp *w, const struct inst *i, int lane, enum fault fault,
                         const char *format, ...) __attribute__((format(printf, 5, 6)));

static inline void *lanes(struct warp *w, const struct operand *o) {
  return w->bank[o->bank] + o->offset;
}
static inline uint32_t pred_get(struct warp *w, const struct operand *o) {
  uint32_t v = *(uint32_t *)lanes(w, o);
  return o->negated ? ~v : v;
}
static inline void pred_set(struct warp *w, const struct operand *o, uint32_t mask, uint32_t v) {
  uint32_t *d = lanes(w, o);
  *d = (*d & ~mask) | (v & mask);
}
/* A lane of any width, zero-extended; predicates as 0 or 1. */
static inline uint64_t lane_get(struct warp *w, const struct operand *o, uint32_t lane) {
  const uint8_t *p = lanes(w, o);
  switch (o->width) {
  case 0: return pred_get(w, o) >> lane & 1;
  case 1: return p[lane];
  case 2: return ((const uint16_t *)p)[lane];
  case 4: return ((const uint32_t *)p)[lane];
  default: return ((const uint64_t *)p)[lane];
  }
}
static inline void lane_set(struct warp *w, const struct operand *o, uint32_t lane, uint64_t v) {
  uint8_t *p = lanes(w, o);
  switch (o->width) {
  case 0: pred_set(w, o, UINT32_C(1) << lane, (uint32_t)v << lane); break;
  case 1: p[lane] = (uint8_t)v; break;
  case 2: ((uint16_t *)p)[lane] = (uint16_t)v; break;
  case 4: ((uint32_t *)p)[lane] = (uint32_t)v; break;
  default: ((uint64_t *)p)[lane] = v; break;
  }
}

/* for each lane of a mask */
#define EACH_LANE(l, mask)                                                                         \
  for (uint32_t l##_rest = (mask), l; l##_rest && (l = (uint32_t)__builtin_ctz(l##_rest), 1);      \
       l##_rest &= l##_rest - 1)

/* For control instructions: the current group's lanes in `mask` go to `pc`, the rest stays. */
void warp_split(struct warp *w, uint32_t mask, struct frame *frame, uint32_t pc);
/* The current group runs its instruction again after the next event of its cluster. */
void warp_retry(struct warp *w);
/* Releases barriers whose last missing threads have exited; whether there was one. */
bool barrier_settle(struct cta *c);
bool cluster_settle(struct cluster *c);
/* Lanes leave for good. */
void warp_exit(struct warp *w, uint32_t mask);
/* One turn of a warp of up to `budget` instructions. False when it waits or has ended. */
bool warp_run(struct warp *w, uint32_t budget);
static inline bool launch_failed(const struct launch *l) {
  return __atomic_load_n(&l->failed, __ATOMIC_RELAXED) != FAULT_NONE;
}

struct frame *frame_create(const struct function *f, struct frame *parent, uint32_t mask);
void frame_destroy(struct frame *f);

/* Where the lane's n bytes at an address lie on the host; NULL after a fault was reported. */
enum { ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_ATOMIC = 4, ACCESS_UNALIGNED = 8 };
uint8_t *resolve(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a, uint64_t n,
                 uint32_t access);
/* The CTA and offset of a shared address, generic or not; NULL after a fault was reported. */
struct cta *resolve_shared(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a,
                           uint64_t n, uint32_t *out_offset);
/* Global memory only; for asynchronous copies. */
uint8_t *resolve_global(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a, uint64_t n,
                        bool write);

#endif
