/* SPDX-License-Identifier: Apache-2.0 */
/* ptxas, NVIDIA's assembler: a GPU's own code (a cubin) of PTX, where the program is at hand. It is
 * never needed: the driver translates PTX when an engine is loaded. */
#ifndef SINTER_CODEGEN_NVPTX_PTXAS_H
#define SINTER_CODEGEN_NVPTX_PTXAS_H

#include "base/diag.h"
#include "codegen/target.h"

struct ptxas {
  char path[4096];  /* "": none */
  char version[64]; /* "ptxas 13.0.88" */
};

/* `wish`: a path; "none"; or NULL: what PATH, then CUDA_HOME, then /usr/local/cuda has, which may
 * be nothing. Nothing comes also of one that cannot be run. Errors: E0413, of a path only. */
status ptxas_find(struct diags *diags, const char *wish, struct ptxas *out);

/* Whether it makes code for this GPU of PTX as we write it; it may be too old. */
bool ptxas_knows(const struct ptxas *p, const struct target_isa *isa);

/* Names of the kernels in a text, and where each came from, for messages. */
struct ptxas_names {
  const char *(*name)(void *user, uint32_t kernel);
  struct diag_where (*where)(void *user, uint32_t kernel); /* may be NULL */
  void *user;
  uint32_t first, last;
};

/* The cubin of a PTX text, which the caller frees with mem_free. The program works in a private
 * folder beneath TMPDIR, which is gone afterwards, for at most a few minutes. What it says names
 * the kernel's node: errors E0414, or E0413 if it could not be run; warnings W0413. From any
 * thread. */
status ptxas_assemble(const struct ptxas *p, const struct target_isa *isa, const char *ptx,
                      size_t bytes, const struct ptxas_names *names, struct diags *diags,
                      uint8_t **out_cubin, size_t *out_bytes);

#endif
