/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels: what the plan needs to know of one fused region's code. */
#ifndef SINTER_CODEGEN_KERNEL_H
#define SINTER_CODEGEN_KERNEL_H

#include "base/vec.h"
#include "ir/graph.h"

/* A kernel's arguments are 8-byte slots: [0] the error word, then one pointer per operand of the fused
 * op, one per result, then the values of `dims` in order. */
struct kernel {
  const struct function *function;
  op_id op;            /* the fused op; of several with the same key, the first */
  const char *symbol;
  VEC(dim) dims;       /* filled while code is emitted */
  dim grid;            /* tiles of a launch */
  dim scratch_bytes;   /* per thread; const 0 where none */
  uint64_t key;        /* equal keys: equal code */
  const char *schedule; /* the row of kernels.def that made it */
};

/* Content key of a fused region: ops, attributes, types, literals; not value names or ids. */
uint64_t kernel_key(const struct function *f, const struct op *fused);

#endif
