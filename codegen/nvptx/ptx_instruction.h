/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of NVIDIA GPUs: LLVM's intrinsics by name, and as inline assembly what it has none
 * for.
 *
 * LLVM ends the process where it cannot select an intrinsic, so whoever calls these has asked for
 * the target's capability before (a schedule's `plan`). */
#ifndef SINTER_CODEGEN_NVPTX_PTX_INSTRUCTION_H
#define SINTER_CODEGEN_NVPTX_PTX_INSTRUCTION_H

#include "codegen/emit.h"

enum nvptx_instruction {
#define INSTRUCTION(name, capability, effect, result, constraints, text) NVPTX_##name,
#include "codegen/nvptx/ptx_instruction.def"
#undef INSTRUCTION
  NVPTX_INSTRUCTION_COUNT
};

/* Of the row; 0 behind the last. */
uint32_t nvptx_least_capability(enum nvptx_instruction which);
LLVMValueRef nvptx_instruction(struct emit *e, enum nvptx_instruction which, LLVMValueRef *args,
                               unsigned n);

/* A call of an LLVM intrinsic that is not overloaded; `nvptx_call_on` of one that is, by the type
 * of its first argument. */
LLVMValueRef nvptx_call(struct emit *e, const char *intrinsic, LLVMValueRef *args, unsigned n);
LLVMValueRef nvptx_call_on(struct emit *e, const char *intrinsic, LLVMValueRef *args, unsigned n);

#endif
