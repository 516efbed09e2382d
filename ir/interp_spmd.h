/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter of all ranks of a mesh in lock-step: what a sharded function means. Each rank
 * interprets the same function on its parts of the values; collectives are executed among them. In
 * INTERP_FIELD a sharded function that is right gives what the function gives without shardings,
 * element by element. */
#ifndef SINTER_IR_INTERP_SPMD_H
#define SINTER_IR_INTERP_SPMD_H

#include "ir/interp.h"
#include "ir/sharding.h"

#define INTERP_SPMD_MAX_RANKS 64

/* Runs `f`, whose shardings are of `mesh`, on whole inputs, which each rank takes its parts of, and
 * puts the results together into whole tensors in `arena`. Errors: those of interp_run; E0623 where
 * ranks do not all issue the same collective; E0624 where an input or a result is partial, or the
 * parts of a result leave elements out or disagree. Ranks run one at a time, each on a thread of
 * its own, so that a collective may stand inside of a region. */
status interp_spmd_run(const struct function *f, const struct mesh *mesh, enum interp_mode mode,
                       struct tensor *const *inputs, struct arena *arena, struct diags *diags,
                       struct tensor **out_results);

/* The same for a function that computes one rank's part, without shardings: its parameters and
 * results are the parts that the types of `sharded`, a function of the same module, say. */
status interp_spmd_run_local(const struct function *f, const struct function *sharded,
                             const struct mesh *mesh, enum interp_mode mode,
                             struct tensor *const *inputs, struct arena *arena, struct diags *diags,
                             struct tensor **out_results);

#endif
