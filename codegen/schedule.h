/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules: how the tiles of one fused region are computed on one target. A schedule is a row of
 * kernels.def and a file codegen/<target>/schedule_<name>.c; the first row that matches is taken,
 * and the last row of each root matches everything. */
#ifndef SINTER_CODEGEN_SCHEDULE_H
#define SINTER_CODEGEN_SCHEDULE_H

#include "codegen/emit.h"
#include "codegen/kernel.h"

struct schedule {
  const char *name;
  enum root_kind root;
  /* Serial, before code is emitted: may make dims. Fills kernel->grid and kernel->scratch and
   * whatever else the schedule keeps in the kernel. Returns false where it does not apply. */
  bool (*plan)(struct kernel *k, const struct target_isa *isa);
  /* Emits the code of one tile; runs on a worker thread, must not make dims. */
  void (*emit)(struct emit *e, LLVMValueRef tile);
};

#define KERNEL(target, root, name) extern const struct schedule schedule_##name;
#include "codegen/kernels.def"
#undef KERNEL

/* Helpers of schedules. */
void kernel_grid(struct kernel *k, const dim *dims, uint32_t n); /* appends factors */
void kernel_scratch(struct kernel *k, const dim *dims, uint32_t n, int64_t bytes);
const struct op *kernel_op(const struct kernel *k);
/* The single op of the region that is of this kind; NULL if there is none. */
const struct op *kernel_root_op(const struct kernel *k, enum op_kind kind);
/* Asks for a convolution's weights w [outputs, ...], an operand of the fused op, in panels of so
 * many outputs; pairs as in struct pack. */
void kernel_pack_outputs(struct kernel *k, uint32_t operand, const struct type *w, uint32_t columns,
                         uint32_t pairs);
/* Whether an operand of the fused op is a constant that the engine may hold in a packed form. */
bool kernel_may_pack(const struct kernel *k, uint32_t operand);
/* The region's result i and its buffer number. */
value_id kernel_result(const struct kernel *k, uint32_t i);
uint32_t kernel_result_buffer(const struct kernel *k, uint32_t i);
/* The dims of an op's first operand, 1 in place of `axis`: a point for each line along it. */
void kernel_lines(const struct kernel *k, const struct op *op, int64_t axis, dim *out);
/* Of point-wise regions: the first of the trailing dims that are walked as one. A point there has
 * the linear index as one coordinate (type_flat_axis), and zeros for the others. */
uint32_t kernel_flat_from(const struct kernel *k);
/* The lse that attention gives, if it is a result of the region; else VALUE_NONE. */
value_id kernel_lse(const struct kernel *k);
/* Stores every result of the region at the point; all of them but an lse have its space. */
void kernel_store_results(struct emit *e, const struct point *p);
/* The lse at its point; nothing where there is none. */
void kernel_store_lse(struct emit *e, const struct point *p);

#endif
