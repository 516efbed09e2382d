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
#ifndef SINTER_SIM_EXEC_MACHINE_H
#define SINTER_SIM_EXEC_MACHINE_H

#include "base/map.h"
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
_Static_assert(MOD_COUNT < 192, "struct binding holds three words of them");

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
  IN_SHARED,
  IN_LOCAL,
  IN_CONST,
  IN_ENTRY_PARAM,
  IN_FRAME_PARAM
};
enum rounding { ROUND_NEAREST, ROUND_ZERO, ROUND_DOWN, ROUND_UP, ROUND_AWAY };

struct inst {
  exec_fn fn, inner;
  const struct operand *op; /* destinations first */
  struct operand guard;
  int64_t imm;     /* address offset */
  uint32_t target; /* of a branch */
  uint32_t line;
  uint16_t count, writes;
  bool guarded, leader; /* a leader may be jumped to */
  bool copies;          /* unwritten lanes pass through instead of being an error */
  bool ftz, sat, relu, abs, integral, noncoherent, uniform;
  uint8_t flow;
  uint8_t type, source_type; /* enum ptx_type */
  uint8_t space, vector, rounding;
  uint8_t compare, combine; /* enum modifier */
  uint8_t operation;        /* enum modifier: of atomics, votes, shuffles */
  uint8_t member;           /* FLOW_JOIN: the operand that holds the mask; 255: every lane */
  bool barrier_count;
  const char *opcode;
  struct function *callee; /* direct call */
  const uint32_t *targets; /* brx.idx */
  uint32_t target_count;
  struct function **callees; /* addresses are indices into program->functions, plus 1 */
  uint32_t *call_args;       /* pairs: offset in the caller's parameters, bytes; see call */
  uint32_t call_results;     /* results come first in call_args */
};

struct parameter {
  const char *name;
  uint32_t offset, size, align;
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
  uint32_t param_bytes;       /* of the launch's block (entry) */
  uint32_t frame_param_bytes; /* of each lane: formals of a .func, and declared .param variables */
  uint32_t local_bytes;
  uint32_t shared_bytes;     /* static shared memory that the function or its module names */
  int32_t attribute_dynamic; /* cuFuncSetAttribute's limit; 48 KiB unless raised */
  const struct program *program;
};

struct symbol {
  const char *name;
  uint64_t address, size;
  uint8_t space; /* enum ptx_space */
};

struct program {
  struct ptx_module source;
  struct arena arena;
  struct function *functions;
  uint32_t function_count;
  VEC(struct symbol) symbols; /* global, const: device addresses; shared: offsets */
  struct strmap symbol_map, function_map;
  uint32_t module_shared; /* of the module's own shared variables */
  uint32_t shared_bytes;  /* of all variables together; dynamic memory follows */
  uint32_t device;
  bool calls;       /* some function is called */
  const char *text; /* the arena's copy */
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
  uint8_t *params; /* 32 lanes of frame_param_bytes */
  uint32_t depth;
  uint32_t local_base;
  uint32_t return_pc;
  const struct inst *call;
  uint32_t live; /* lanes inside */
  uint32_t carry;
};

enum group_state { GROUP_READY, GROUP_JOINING, GROUP_BARRIER };
struct group {
  struct frame *frame;
  uint32_t pc, mask;
  enum group_state state;
  uint8_t barrier;
  uint64_t last; /* when it last ran */
};

struct warp {
  uint8_t *bank[BANKS];
  struct frame *frame; /* of the current group */
  struct group groups[32];
  uint32_t group_count, current;
  uint32_t pc; /* of the current group while it runs */
  bool reschedule;
  uint32_t live; /* lanes that have not exited */
  uint32_t id;
  uint64_t clock, executed; /* selections; warp instructions */
  uint64_t lane_instructions;
  struct cta *cta;
  uint8_t *local;
  uint32_t local_bytes;                           /* of each lane */
  uint64_t cached_low, cached_high, cached_epoch; /* the allocation last hit */
  bool cached_readonly;
  uint32_t specials[48][32];
  uint32_t async_pending; /* cp.async groups */
};

struct barrier {
  uint32_t arrived, expected;
  uint32_t all_true, any_true, count_true;
  uint32_t line;
};

struct cta {
  struct launch *launch;
  uint32_t index[3];
  uint64_t linear;
  uint32_t warp_count, threads;
  struct warp *warps;
  uint8_t *shared, *shared_written;
  uint32_t shared_bytes;
  struct barrier barriers[16];
  bool progress;
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
};

struct launch {
  const struct program *program;
  struct function *kernel;
  uint32_t grid[3], block[3];
  uint32_t dynamic_shared;
  uint32_t device;
  bool cooperative;
  uint8_t *params; /* the kernel's parameter block */
  uint64_t next_cta, cta_count;
  uint64_t budget; /* warp instructions of a warp before it counts as endless */
  int failed;      /* enum fault; atomic */
  pthread_mutex_t report_lock;
  uint64_t lane_instructions; /* executed, for speed figures */
};

/* Runs a kernel to its end. Checks the shape, reports the first fault on stderr. `params` holds
 * kernel->param_bytes bytes. */
enum fault launch_run(struct launch *l);

/* The windows through which generic addresses reach shared and local memory. */
#define WINDOW_BYTES (UINT64_C(1) << 24)
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
  case 0:
    return pred_get(w, o) >> lane & 1;
  case 1:
    return p[lane];
  case 2:
    return ((const uint16_t *)p)[lane];
  case 4:
    return ((const uint32_t *)p)[lane];
  default:
    return ((const uint64_t *)p)[lane];
  }
}
static inline void lane_set(struct warp *w, const struct operand *o, uint32_t lane, uint64_t v) {
  uint8_t *p = lanes(w, o);
  switch (o->width) {
  case 0:
    pred_set(w, o, UINT32_C(1) << lane, (uint32_t)v << lane);
    break;
  case 1:
    p[lane] = (uint8_t)v;
    break;
  case 2:
    ((uint16_t *)p)[lane] = (uint16_t)v;
    break;
  case 4:
    ((uint32_t *)p)[lane] = (uint32_t)v;
    break;
  default:
    ((uint64_t *)p)[lane] = v;
    break;
  }
}

/* for each lane of a mask */
#define EACH_LANE(l, mask)                                                                         \
  for (uint32_t l##_rest = (mask), l; l##_rest && (l = (uint32_t)__builtin_ctz(l##_rest), 1);      \
       l##_rest &= l##_rest - 1)

/* For control instructions: the current group's lanes in `mask` go to `pc`, the rest stays. */
void warp_split(struct warp *w, uint32_t mask, struct frame *frame, uint32_t pc);
/* Releases barriers whose last missing threads have exited; whether there was one. */
bool barrier_settle(struct cta *c);
/* Lanes leave for good. */
void warp_exit(struct warp *w, uint32_t mask);

#endif
