/* SPDX-License-Identifier: Apache-2.0 */
/* An assignment: for each op of a function, which factors (ir/factor.h) are split over which axes of
 * a mesh. It is what the search finds, what --parallel and annotations constrain and what
 * apply_sharding turns into shardings of types and collectives. Everything else follows: operands
 * are wanted, and results are made, in the shardings that the factors' maps give. */
#ifndef SINTER_PASSES_ASSIGNMENT_H
#define SINTER_PASSES_ASSIGNMENT_H

#include "ir/factor.h"
#include "ir/sharding.h"

/* One factor over one list of axes, the outer first. */
struct factor_split {
  uint32_t factor; /* number in factors_of() of the op */
  uint32_t n_axes;
  struct axis_ref axes[SHARDING_MAX_AXES_PER_DIM];
  enum split_order order;
  int64_t block; /* of SPLIT_INTERLEAVED, in units of the factor */
};

struct op_split {
  uint32_t n; /* 0: every rank computes all of it */
  struct factor_split *splits;
  /* An op that is linear in an operand may read it partial and gives a partial result: over these
   * axes, none of which a factor is split over. kind NONE: operands are read merged. */
  struct partial passed;
};

struct assignment {
  uint32_t mesh; /* into module.meshes */
  struct op_split *ops; /* by op_id of the function, regions' ops too; `n_ops` entries */
  uint32_t n_ops;
  /* Shardings of the function's results; SHARDING_NONE (0) and NULL: whole on every rank. Inputs
   * come whole to every rank, and states as their update leaves them. */
  const sharding_id *results;
};

#endif
