/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles that the threads of a block compute together: kernel->block_threads is a multiple of 32,
 * and emit->lane is the thread's place in the block. */
#ifndef SINTER_CODEGEN_NVPTX_BLOCK_H
#define SINTER_CODEGEN_NVPTX_BLOCK_H

#include "codegen/emit.h"

/* The threads' x combined, on every thread, in an order that depends on the block's size alone: a
 * butterfly within each warp, then the warps in turn. All threads of the block get here together.
 */
LLVMValueRef block_combine(struct emit *e, enum combiner kind, enum dtype dtype, LLVMValueRef x);

/* The same for groups of `lanes` neighbours of a warp, a power of two. All threads of the warp get
 * here together. */
LLVMValueRef warp_combine(struct emit *e, enum combiner kind, enum dtype dtype, LLVMValueRef x,
                          uint32_t lanes);

/* The x of the thread of this warp whose number differs in the bit `distance`. All threads of the
 * warp get here together. */
LLVMValueRef warp_partner(struct emit *e, LLVMValueRef x, uint32_t distance);

/* Shared memory of the block for `elements` of a type; the name is one within the kernel, and
 * asking again for it gives the same. */
LLVMValueRef block_shared(struct emit *e, const char *name, LLVMTypeRef type, uint32_t elements);

/* Shared memory of the block that a launch asks for, at a multiple of 1 KiB; kernel->shared_bytes
 * says how much. The isa's shared_bytes are the most that it and all of block_shared may be
 * together. */
LLVMValueRef block_dynamic(struct emit *e);

/* Waits for all threads of the block; what they stored is seen after it. */
void block_barrier(struct emit *e);

#endif
