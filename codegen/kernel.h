/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels: what the plan needs to know of one fused region's code. */
#ifndef SINTER_CODEGEN_KERNEL_H
#define SINTER_CODEGEN_KERNEL_H

#include "base/vec.h"
#include "codegen/assemble.h"
#include "codegen/pack.h"
#include "codegen/reshape_groups.h"
#include "ir/graph.h"

/* A kernel's arguments are 8-byte slots: [0] the error word, then one pointer per operand of the
 * fused op, one per result, then the values of `dims` in order. */
/* An operand (a constant) that the kernel reads in packed form. */
struct kernel_pack {
  uint32_t operand;
  struct pack pack;
};

/* What a launch passes behind the buffers. */
struct kernel_dim {
  dim d;             /* its value; or, DIM_NONE, what the error word is to be after an error of */
  uint32_t reporter; /* this op of the region, from 1 */
};

struct kernel {
  const struct function *function;
  op_id op;                    /* the fused op; of several with the same key, the first */
  char symbol[48];             /* k<number>_<root>, unique in the module */
  VEC(struct kernel_dim) dims; /* filled while code is emitted */
  VEC(dim)
  grid;             /* tiles of a launch: the product of these (a product of symbolic sums may
                       be too long for one dim) */
  VEC(dim) scratch; /* bytes per thread: the product of these; empty: none */
  VEC(dim) kept;    /* dims that the schedule's plan makes for its emit, which must not make any */
  VEC(struct kernel_pack) packs;
  struct reshape_table reshapes;
  uint32_t block_threads; /* on a GPU, of a block that computes a tile together; 0: a tile is a
                             thread's */
  uint32_t shared_bytes;  /* on a GPU, of a block: shared memory that a launch asks for (beside what
                             block_shared has) */
  uint32_t choice;        /* the schedule's own: which of its shapes its plan took */
  uint64_t key[2];        /* equal keys: equal code */
  const struct schedule *schedule;
};

/* Every distinct fused region of a module. */
struct kernel_set {
  VEC(struct kernel) kernels;
  uint32_t **of_op; /* [function index][op id]: kernel number + 1; 0: not a fused op */
  struct module *module;
};

/* Finds the kernels and chooses their schedules; may make dims. Everything lives until deinit. */
status kernel_set_init(struct kernel_set *set, struct module *m, const struct target_isa *isa,
                       struct diags *diags);
void kernel_set_deinit(struct kernel_set *set);
struct kernel *kernel_of(const struct kernel_set *set, const struct function *f, op_id op);

/* Emits and links all of them; fills kernel->dims. ptxas: NULL, or what makes cubins too. */
status kernel_set_assemble(struct kernel_set *set, const struct target_isa *isa,
                           const struct ptxas *ptxas, uint32_t threads, enum assemble_emit emit,
                           struct arena *arena, struct diags *diags,
                           struct assemble_result *out_result);

/* Whether a kernel's operand is a constant that may be stored in another form than its own: one
 * that the engine holds, all of it or parts that are all of one shape. */
bool operand_may_pack(const struct function *f, value_id v);

/* Content key of a fused region: ops, attributes, types, literals; not value names or ids. */
void kernel_key(const struct function *f, const struct op *fused, uint64_t out_key[2]);

#endif
