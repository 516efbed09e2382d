/* SPDX-License-Identifier: Apache-2.0 */
/* What would be fused: the clusters of a region, for the pass and for the search, which prices
 * them. And step 3 of fuse, moving clusters into regions. */
#ifndef SINTER_PASSES_FUSE_REGION_H
#define SINTER_PASSES_FUSE_REGION_H

#include "ir/graph.h"

#define NO_CLUSTER UINT32_MAX

struct cluster {
  enum root_kind root;
  VEC(op_id) ops;
  uint32_t first; /* position of its first op */
};

/* What computing a light op in a reader entails, inlined producers included. */
struct light {
  uint32_t ops, cost, operands;
  bool fixed;             /* made of constants only */
  bool branches, gathers; /* holds a concat or pad; reads by index */
};

struct fuse {
  struct function *f;
  region_id region;
  struct diags *diags;
  struct uses uses;
  VEC(struct cluster) clusters;
  uint32_t *cluster_of; /* by op; NO_CLUSTER: none */
  bool *inlined;        /* by op: computed inside its readers */
  struct light *light;
  uint32_t *position; /* by op, in the region */
  uint32_t *seen, stamp;
  uint32_t uses_ops; /* ops of before: those made here are not inlined */
};

/* Whether ops of the kind may be computed inside of their readers. */
bool fuse_is_light(enum op_kind kind);

/* No concat of more operands than a kernel should have. */
status fuse_split_concats(struct function *f, struct diags *diags);

/* Steps 1 and 2 of fuse for one region: which ops become one kernel, and which are computed inside
 * of their readers. The function stays as it is. */
void fuse_plan(struct function *f, region_id region, struct arena *scratch, struct diags *diags,
               struct fuse *out);
void fuse_plan_deinit(struct fuse *s);

/* No contraction of a transpose, where the dims may as well be named as they are stored. */
status fuse_turned_operands(struct function *f, struct diags *diags);

/* Replaces every cluster by a `fused` op. Ops that were inlined everywhere are left without uses.
 */
status fuse_build_regions(struct fuse *s);

#endif
