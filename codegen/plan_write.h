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
  const struct type
      *whole;     /* of a constant that is stored part by part (const_part.h); NULL: whole */
  uint32_t parts; /* 1 where it is whole */
  struct pack pack;
  uint64_t offset, bytes; /* as stored; `bytes / parts` from part to part */
  bool outside;           /* in a weight file, which the engine refers to */
  uint32_t row, value;    /* in the manifest */
};

struct plan {
  struct manifest_build build;
  VEC(struct plan_constant) constants;
  uint64_t weight_bytes;
};

/* Targets that one engine may have; a GPU's have two code sections. */
#define TARGETS_MAX 7u
#define CODE_SECTIONS_MAX (2 * TARGETS_MAX)

/* What the plan's kernels were assembled to for one target. */
struct plan_target {
  const char *name;
  const char *assembler; /* "", or what made cubins of PTX */
  struct code_blob blob;
  uint32_t section; /* its number in the file */
};

/* Every function must be fused: only const, part, exchange, fused, reshape, symbol, check, if and
 * loop at the level of control flow. `set` is assembled for all `targets`, the least demanding
 * first. Tables live in `arena`. */
status plan_init(struct plan *p, struct module *m, const struct kernel_set *set,
                 const struct plan_target *targets, uint32_t n_targets, struct arena *arena,
                 struct diags *diags);
void plan_deinit(struct plan *p);

#endif
