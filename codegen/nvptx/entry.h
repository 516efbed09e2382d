/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel (.entry) around a schedule's tiles.
 *
 * Parameters: the argument slots as one array by value (runtime/engine_format.h), u32 tiles, the
 * address of scratch, u64 bytes of scratch per thread (0: none). Threads of the grid take tiles in
 * turn: thread t of n takes t, t + n, ... and has the t-th part of scratch. So any grid is right.
 */
#ifndef SINTER_CODEGEN_NVPTX_ENTRY_H
#define SINTER_CODEGEN_NVPTX_ENTRY_H

#include <llvm-c/Core.h>

#include "codegen/target.h"

/* Makes the kernel `name`, which calls tiles(args, first, last, scratch) for a tile at a time.
 * `slots`: how many argument slots there are. `block_threads`: of a block that computes a tile
 * together, 0 where a tile is a thread's. */
void nvptx_entry_create(struct target *target, LLVMModuleRef module, const char *name,
                        LLVMValueRef tiles, uint32_t slots, uint32_t block_threads);

/* i64: this thread's place in its block. */
LLVMValueRef nvptx_lane(struct target *target, LLVMModuleRef module, LLVMBuilderRef builder);

#endif
