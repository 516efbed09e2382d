/* SPDX-License-Identifier: Apache-2.0 */
/* Assignments at random, for tests: anything that apply_sharding must get right. */
#ifndef SINTER_PASSES_RANDOM_ASSIGNMENT_H
#define SINTER_PASSES_RANDOM_ASSIGNMENT_H

#include "passes/partition/assignment.h"

/* For each op a random choice of factors for the axes of the mesh and parts of axes, of orders,
 * granules and blocks, and of partials that linear ops pass on; whatever op_split_shardings
 * accepts. The same seed gives the same. Lives in the arena. */
void random_assignment(struct function *f, uint32_t mesh, uint64_t seed, struct arena *arena,
                       struct assignment *out);

#endif
