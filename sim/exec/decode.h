/* SPDX-License-Identifier: Apache-2.0 */
/* What decoding hands to the function that chooses an instruction's meaning. */
#ifndef SINTER_SIM_EXEC_DECODE_H
#define SINTER_SIM_EXEC_DECODE_H

#include "sim/exec/simt.h"

struct binding {
  struct inst *inst; /* types, modifiers and operands are filled in */
  uint64_t mods[MOD_WORDS];
  enum ptx_type types[5];
  uint32_t type_count;
  enum modifier order[16]; /* modifiers as written */
  uint32_t order_count;
  const char *why; /* a binder that returns NULL may say what it lacks */
};

static inline bool has(const struct binding *b, enum modifier m) {
  return b->mods[m / 64] >> m % 64 & 1;
}

/* Each returns the function that runs the form, NULL if it is not simulated. */
typedef exec_fn (*bind_fn)(struct binding *b);
#define INST(opcode, pattern, modifiers, bind) exec_fn bind_##bind(struct binding *b);
#include "sim/instruction.def"
#undef INST

/* Moves whose operands have forms of their own. */
exec_fn bind_mov_vector(struct binding *b);
exec_fn bind_mov_clock(struct binding *b);

exec_fn bind_cluster_barrier(struct binding *b);

/* fn under the instruction's rounding mode, which the host's is set to around it. */
exec_fn bind_rounded(struct binding *b, exec_fn fn);

/* What the first of `list`, which ends with MOD_COUNT, is that was written; MOD_COUNT if none. */
enum modifier first_of(const struct binding *b, const enum modifier *list);

/* Functions that a program declares and the driver has. */
struct builtin {
  const char *name;
  void (*run)(struct warp *w, const struct inst *i, uint32_t mask);
};
const struct builtin *builtin_find(const char *name);
extern const exec_fn call_exec;

/* Decodes a function whose program has its symbols. */
status decode_function(struct program *p, struct function *f, struct diags *d);

#endif
