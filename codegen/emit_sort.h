/* SPDX-License-Identifier: Apache-2.0 */
/* A stable merge sort of indices as LLVM IR, for top-k, unique and non-maximum suppression. */
#ifndef SINTER_CODEGEN_EMIT_SORT_H
#define SINTER_CODEGEN_EMIT_SORT_H

#include "codegen/emit.h"

/* i1: index `a` comes strictly before index `b`. Both are i64 values. */
typedef LLVMValueRef (*sort_before)(struct emit *e, void *user, LLVMValueRef a, LLVMValueRef b);

/* Sorts n i64 indices at `from`; `other` is as much scratch. Bottom-up, n log n comparisons; equal
 * ones keep their order. Returns the pointer (one of the two) that holds the result. */
LLVMValueRef emit_sort(struct emit *e, LLVMValueRef from, LLVMValueRef other, LLVMValueRef n,
                       sort_before before, void *user);

/* Total order of scalars of a dtype: NaN after everything. */
LLVMValueRef emit_less(struct emit *e, enum dtype dtype, LLVMValueRef a, LLVMValueRef b);

LLVMValueRef emit_load_index(struct emit *e, LLVMValueRef base, LLVMValueRef i);
void emit_store_index(struct emit *e, LLVMValueRef base, LLVMValueRef i, LLVMValueRef x);
/* scratch + words * 8 bytes. */
LLVMValueRef emit_scratch_at(struct emit *e, LLVMValueRef words);

#endif
