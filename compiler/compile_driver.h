/* SPDX-License-Identifier: Apache-2.0 */
/* The compile driver: from a model file to an engine file, through every stage. */
#ifndef SINTER_COMPILER_COMPILE_DRIVER_H
#define SINTER_COMPILER_COMPILE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "passes/pipeline.h"

/* Called as each phase begins; see sinter/compiler.h. Not 0: STATUS_CANCELLED. */
typedef int compiler_progress(void *user, const char *phase, uint32_t done, uint32_t total);

struct compiler_options {
  const char *model_path;
  const char *output_path; /* the engine; or, with `emit`, the text (NULL: stdout) */
  const char *target;      /* "native", "x86-64-v3", ...; NULL: native */
  const char *ptxas;       /* as ptxas_find takes it (codegen/nvptx/ptxas.h) */
  const char *emit;        /* NULL: an engine; "graph", "plan", "costs", "llvm", "asm", "onnx" */
  const char *external_data_root; /* NULL: the model's folder */
  const char *const *shapes;      /* as onnx_import takes them */
  uint32_t n_shapes;
  const char *const *specialize; /* as entry_specialize takes them (passes/entry_variant.h) */
  uint32_t n_specialize;
  bool
      by_reference; /* weights stay in the files that hold the external data (weight_reference.h) */
  uint32_t threads; /* 0: one per processor */
  struct pipeline_options pipeline;
  compiler_progress *progress; /* may be NULL */
  void *progress_user;
};

/* Everything that is wrong is in `diags`. */
status compiler_compile(const struct compiler_options *o, struct diags *diags);

/* A path in the temporary folder ($TMPDIR, else /tmp) that no other call of this process gives. */
struct strbuf;
const char *compiler_temporary_path(struct strbuf *out);

/* The assembler for GPUs that is found if none is named: its version and its path. */
bool compiler_ptxas(char *out, size_t n);

/* The first stages alone: load and import. The caller owns both; destroy the module first. A path
 * that ends in .sir is text IR, which comes without a model (NULL). */
struct onnx_model;
struct module;
status compiler_import(const struct compiler_options *o, struct diags *diags,
                       struct onnx_model **out_model, struct module **out_module);
/* The other stages: passes over the module, then the engine (or the text) to ->output_path. */
status compiler_build(const struct compiler_options *o, struct module *m, struct diags *diags);

#endif
