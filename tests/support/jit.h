/* SPDX-License-Identifier: Apache-2.0 */
/* Runs generated code inside a test: assembles kernels and maps the blob executable, as the runtime
 * does from a file. */
#ifndef SINTER_TESTS_SUPPORT_JIT_H
#define SINTER_TESTS_SUPPORT_JIT_H

#include "base/arena.h"
#include "codegen/assemble.h"

struct jit {
  struct arena arena;
  struct assemble_result result;
  void *code;
};

/* Fails the process with the diagnostics on stderr if anything goes wrong. */
void jit_open(struct jit *jit, const struct assemble_options *options);
void jit_close(struct jit *jit);

/* The address of a kernel; fails the process if there is none. */
void *jit_function(const struct jit *jit, const char *name);

#endif
