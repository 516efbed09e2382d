/* SPDX-License-Identifier: Apache-2.0 */
/* From kernels to machine code: builds, verifies, optimises and emits many LLVM modules on several
 * threads, and links the objects.
 *
 * Kernels are grouped by index, kernels_per_module to a module, so which module a kernel is in, and
 * with it every byte of the result, depends on neither the thread count nor the timing. */
#ifndef SINTER_CODEGEN_ASSEMBLE_H
#define SINTER_CODEGEN_ASSEMBLE_H

#include "base/diag.h"
#include "codegen/cpu/link.h"
#include "codegen/target.h"

struct ptxas;

#define CUBIN_ALIGNMENT 64u

/* Adds kernel `index` to `module`, as an external function from target_function_create whose
 * name no other kernel has. Runs on a worker thread: `user` must be safe to read from several at
 * once; `target`, `module` and `diags` are this worker's own. A status other than OK stops the
 * compilation and must have been reported to `diags`. */
typedef status (*assemble_build)(void *user, uint32_t index, struct target *target,
                                 LLVMModuleRef module, struct diags *diags);

enum assemble_emit {
  ASSEMBLE_BLOB, /* machine code */
  ASSEMBLE_LLVM, /* LLVM IR text after our passes, module after module */
  ASSEMBLE_ASM,  /* assembly text */
};

struct assemble_options {
  const struct target_isa *isa;
  assemble_build build;
  const char *(*name)(void *user, uint32_t kernel);        /* its symbol; asked for GPUs only */
  struct diag_where (*where)(void *user, uint32_t kernel); /* what it came from; may be NULL */
  const struct ptxas *ptxas; /* ASSEMBLE_BLOB of a GPU: makes cubins too; NULL: none */
  void *user;
  uint32_t kernel_count;
  uint32_t kernels_per_module; /* 0: 16 */
  uint32_t threads;            /* 0: one per online processor */
  enum assemble_emit emit;
  bool skip_passes; /* ASSEMBLE_LLVM of what the builders wrote */
};

struct assemble_result {
  struct code_blob blob; /* ASSEMBLE_BLOB */
  struct code_blob
      cubins;       /* with ptxas: of the same modules, each at a multiple of CUBIN_ALIGNMENT */
  char *text;       /* the others: NUL-terminated */
  size_t text_size; /* without the NUL */
};

/* The result lives in `arena`. Diagnostics appear in module order, whichever thread found them. */
status assemble(const struct assemble_options *options, struct arena *arena, struct diags *diags,
                struct assemble_result *out_result);

#endif
