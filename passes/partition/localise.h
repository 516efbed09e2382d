/* SPDX-License-Identifier: Apache-2.0 */
/* localise: from a function with shardings to the program that every rank runs.
 *
 *     %h = contract %x, %w : f32[6, 512] @ {dp, -} partial(sum, tp)
 *     %y = all_reduce %h { axes = [1] } : f32[6, 512] @ {dp, -}
 *
 *     %h = contract %x', %w' : f32[3, 512]
 *     %y = exchange %h { kind = all_reduce, reduce = sum, group = [1, 4, 1] } : f32[3, 512]
 *
 * Types lose their shardings; their dims become those of the part, which are the same on all ranks
 * where a split is even and expressions of coord(axis) where it is not. Constants become `part`s;
 * iota, random, arg-reductions, topk and gathers from split rows count in global indices by
 * arithmetic; collectives become exchanges of equal buffers, uneven parts padded, with the
 * reordering around them as views. Parameters and results are the parts that their types say. */
#ifndef SINTER_PASSES_LOCALISE_H
#define SINTER_PASSES_LOCALISE_H

#include "ir/graph.h"

/* The local form, a new function of the same module; NULL after a report. Requires: the checker
 * accepts `sharded`, and its relations of dims are checked already (check_shapes). Errors: E0350,
 * an op of which a rank's part is no op, or a conversion between splits that do not nest. */
struct function *localise(struct function *sharded, struct diags *diags);

#endif
