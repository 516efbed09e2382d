/* SPDX-License-Identifier: Apache-2.0 */
/* LLVM for x86-64: which processor a --target names, and one LLVM context plus target machine per
 * worker thread.
 *
 * Everything that LLVM has to say arrives as a diagnostic. Even its fatal errors (an instruction
 * that cannot be selected) come back as DIAG_E0402 from the function that provoked them; the target
 * is then poisoned: every later call on it fails the same way, and destroying it leaks what LLVM
 * may have left half-made. */
#ifndef SINTER_CODEGEN_CPU_TARGET_H
#define SINTER_CODEGEN_CPU_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "base/status.h"

struct diags;

/* One resolved --target. Plain data: copy it, share it between threads. */
struct cpu_isa {
  char name[16];         /* as given: "x86-64-v3", "native" */
  char cpu[48];          /* LLVM's -mcpu */
  char features[2048];   /* LLVM's -mattr, "" for the named levels */
  uint32_t vector_bytes; /* of the widest vector to use: 16, 32 or 64 */
  bool fma, f16c, avx2, avx512;
};

/* `name` is x86-64-v2, x86-64-v3, x86-64-v4 or native. Every one has SSE4.2 at least; a native host
 * without it is DIAG_E0404 (unsupported), an unknown name DIAG_E0403 (usage). */
status cpu_isa_resolve(struct diags *diags, const char *name, struct cpu_isa *out_isa);

/* Whether this machine can run code made for `isa`. */
bool cpu_isa_runs_here(const struct cpu_isa *isa);

struct cpu_target;

/* Sets LLVM up on first use in the process (thread safe). The target belongs to one thread at a
 * time. `isa` is copied. Out of memory is DIAG_E0901, never a jump. */
status cpu_target_create(struct diags *diags, const struct cpu_isa *isa,
                         struct cpu_target **out_target);
void cpu_target_destroy(struct cpu_target *target);

/* Whether a fatal error made this target useless. Then its modules must not be touched, not even
 * disposed of. */
bool cpu_target_poisoned(const struct cpu_target *target);

const struct cpu_isa *cpu_target_isa(const struct cpu_target *target);
LLVMContextRef cpu_target_context(const struct cpu_target *target);

/* A new module with this target's triple and data layout. The caller disposes of it
 * (LLVMDisposeModule) before the target. */
LLVMModuleRef cpu_target_module_create(struct cpu_target *target, const char *name);

/* A function with external linkage and the attributes that all of ours have: target CPU and
 * features, "no-builtins" (so that LLVM never makes up a call to memset or libm), nounwind,
 * prefer-vector-width. */
LLVMValueRef cpu_target_function_create(struct cpu_target *target, LLVMModuleRef module,
                                        const char *name, LLVMTypeRef type);

/* The same with internal linkage: helpers. */
LLVMValueRef cpu_target_helper_create(struct cpu_target *target, LLVMModuleRef module,
                                      const char *name, LLVMTypeRef type);

/* The verifier; DIAG_E0401 names the first broken function. */
status cpu_target_verify(struct cpu_target *target, LLVMModuleRef module, struct diags *diags);

/* The short pass list (see target.c). The module must have passed the verifier. */
status cpu_target_optimize(struct cpu_target *target, LLVMModuleRef module, struct diags *diags);

/* An ELF relocatable object (or assembly text) in a buffer that the caller disposes of with
 * LLVMDisposeMemoryBuffer. */
status cpu_target_emit(struct cpu_target *target, LLVMModuleRef module, LLVMCodeGenFileType type,
                       struct diags *diags, LLVMMemoryBufferRef *out_buffer);

#endif
