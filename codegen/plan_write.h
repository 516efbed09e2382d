/* SPDX-License-Identifier: Apache-2.0 */
/* The plan writer: from a fused module and its kernels to the manifest of an engine. */
#ifndef SINTER_CODEGEN_PLAN_WRITE_H
#define SINTER_CODEGEN_PLAN_WRITE_H

#include "base/diag.h"
#include "codegen/kernel.h"
#include "codegen/manifest_build.h"

/* A constant that the plan uses, in manifest order, at this offset of the weights section. */
struct plan_constant {
  constant_id id;
  struct pack pack;
  uint64_t offset, bytes; /* as stored */
  bool outside;           /* in a weight file, which the engine refers to */
  uint32_t row, value;    /* in the manifest */
};

struct plan {
  struct manifest_build build;
  VEC(struct plan_constant) constants;
  uint64_t weight_bytes;
};

/* Every function must be fused: only const, fused, reshape, symbol, check, if and loop at the level
 * of control flow. `set` is assembled, `blob` its code for `target`, whose section number in the file
 * will be `section`. Tables live in `arena`. */
status plan_init(struct plan *p, struct module *m, const struct kernel_set *set,
                 const struct code_blob *blob, const char *target, uint32_t section,
                 struct arena *arena, struct diags *diags);
void plan_deinit(struct plan *p);

#endif
