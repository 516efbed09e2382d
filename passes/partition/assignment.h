/* SPDX-License-Identifier: Apache-2.0 */
/* An assignment: for each op of a function, which factors (ir/factor.h) are split over which axes
 * of a mesh. It is what the search finds, what --parallel and annotations constrain and what
 * apply_sharding turns into shardings of types and collectives. Everything else follows: operands
 * are wanted, and results are made, in the shardings that the factors' maps give. */
#ifndef SINTER_PASSES_ASSIGNMENT_H
#define SINTER_PASSES_ASSIGNMENT_H

#include "ir/op_split.h"

struct assignment {
  uint32_t mesh;        /* into module.meshes */
  struct op_split *ops; /* by op_id of the function, regions' ops too; `n_ops` entries */
  uint32_t n_ops;
  /* Shardings of the function's parameters and results; 0 and NULL: whole on every rank. What an
   * engine holds between runs may be split; a model's own inputs and outputs are whole. */
  const sharding_id *params, *results;
};

/* Layouts that functions which follow others keep: what of the model is held is held once. */
#define LAYOUT_FREE UINT32_MAX
struct kept_layouts {
  uint32_t mesh;              /* of the module */
  const sharding_id *weights; /* by constant; LAYOUT_FREE: any */
  uint32_t n_states;
  const sharding_id *states; /* by state of an entry */
  uint64_t bytes;            /* of them, on each device */
};

#endif
