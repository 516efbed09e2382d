/* SPDX-License-Identifier: Apache-2.0 */
/* LLVM: which processor or GPU a --target names, and one LLVM context plus target machine per
 * worker thread.
 *
 * Everything that LLVM has to say arrives as a diagnostic. Even its fatal errors (an instruction
 * that cannot be selected) come back as DIAG_E0402 from the function that provoked them; the target
 * is then poisoned: every later call on it fails the same way, and destroying it leaks what LLVM
 * may have left half-made. */
#ifndef SINTER_CODEGEN_TARGET_H
#define SINTER_CODEGEN_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "base/status.h"

struct diags;

enum target_kind { TARGET_CPU, TARGET_NVPTX };

/* One resolved --target. Plain data: copy it, share it between threads. */
struct target_isa {
  enum target_kind kind;
  char name[64];         /* as given: "x86-64-v3", "native", "sm_90a" */
  char cpu[48];          /* LLVM's -mcpu */
  char features[2048];   /* LLVM's -mattr, "" for the named levels */
  uint32_t vector_bytes; /* of the widest vector to use: 16, 32 or 64; on a GPU, per thread */
  bool fma, f16c;        /* has them: a fused multiply-add, conversions of f16 */
  bool avx2, avx512;
  bool vnni;             /* adds products of 16 bits to sums of 32, in vectors of vector_bytes */
  uint32_t capability;   /* of a GPU: 90 of sm_90a */
  uint32_t shared_bytes; /* of a GPU: shared memory that a block can have (nvptx/sm.def) */
};

/* `name` is x86-64-v2, x86-64-v3, x86-64-v4 (with features: x86-64-v3+avxvnni,
 * x86-64-v4+avx512vnni), native, or a row of nvptx/sm.def. Every x86 one has
 * SSE4.2 at least; a native host without it is DIAG_E0404 (unsupported), an unknown name DIAG_E0403
 * (usage). */
status target_isa_resolve(struct diags *diags, const char *name, struct target_isa *out_isa);

/* Whether this machine's processor can run code made for `isa`. */
bool target_isa_runs_here(const struct target_isa *isa);

struct target;

/* Sets LLVM up on first use in the process (thread safe). The target belongs to one thread at a
 * time. `isa` is copied. Out of memory is DIAG_E0901, never a jump. */
status target_create(struct diags *diags, const struct target_isa *isa, struct target **out_target);
void target_destroy(struct target *target);

/* Whether a fatal error made this target useless. Then its modules must not be touched, not even
 * disposed of. */
bool target_poisoned(const struct target *target);

const struct target_isa *target_isa(const struct target *target);
LLVMContextRef target_context(const struct target *target);

/* A new module with this target's triple and data layout. The caller disposes of it
 * (LLVMDisposeModule) before the target. */
LLVMModuleRef target_module_create(struct target *target, const char *name);

/* A function with external linkage and the attributes that all of ours have: target CPU and
 * features, "no-builtins" (so that LLVM never makes up a call to memset or libm), nounwind,
 * prefer-vector-width. On a GPU it is a device function, not a kernel. */
LLVMValueRef target_function_create(struct target *target, LLVMModuleRef module, const char *name,
                                    LLVMTypeRef type);

/* The same with internal linkage: helpers. On a GPU they are inlined. */
LLVMValueRef target_helper_create(struct target *target, LLVMModuleRef module, const char *name,
                                  LLVMTypeRef type);

/* A pointer to device memory whose address is the i64 `address`. On a GPU it is known to be global.
 */
LLVMValueRef target_pointer(struct target *target, LLVMBuilderRef builder, LLVMValueRef address);

/* The verifier; DIAG_E0401 names the first broken function. */
status target_verify(struct target *target, LLVMModuleRef module, struct diags *diags);

/* The short pass list (see target.c). The module must have passed the verifier. */
status target_optimize(struct target *target, LLVMModuleRef module, struct diags *diags);

/* An ELF relocatable object (or assembly text, which is all that there is for GPUs) in a buffer
 * that the caller disposes of with LLVMDisposeMemoryBuffer. */
status target_emit(struct target *target, LLVMModuleRef module, LLVMCodeGenFileType type,
                   struct diags *diags, LLVMMemoryBufferRef *out_buffer);

#endif
