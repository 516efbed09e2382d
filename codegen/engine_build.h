/* SPDX-License-Identifier: Apache-2.0 */
/* From a fused module to an engine file. */
#ifndef SINTER_CODEGEN_ENGINE_BUILD_H
#define SINTER_CODEGEN_ENGINE_BUILD_H

#include "codegen/plan_write.h"

struct engine_build_options {
  const struct target_isa *isa; /* the targets, of one kind, the least demanding first */
  uint32_t n_isas;              /* at most TARGETS_MAX; 0: one */
  const struct ptxas *ptxas;    /* of GPUs: makes cubins beside the PTX, where it knows the target;
                                   NULL: none */
  uint32_t threads;             /* of the compiler; 0: one per processor */
  bool no_weights;              /* leave a hole where they would be: the engine is only looked at */
};

/* Compiles the kernels, writes the plan, and puts weights, code and manifest into `path`, which
 * appears only when complete. The module stays as it is, apart from new dims. */
status engine_build(struct module *m, const struct engine_build_options *options, const char *path,
                    struct diags *diags);

/* The kernels alone, as LLVM IR or assembly text, for the first target; *out_text lives in `arena`.
 */
status engine_build_text(struct module *m, const struct engine_build_options *options,
                         enum assemble_emit emit, struct arena *arena, struct diags *diags,
                         const char **out_text);

#endif
