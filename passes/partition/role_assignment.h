/* SPDX-License-Identifier: Apache-2.0 */
/* Assignments by the roles of axes: what "tp=2,cp=2" means without a search. The well-known
 * layouts: batch rows over dp, heads, columns and rows of weights over tp, query positions over cp,
 * keys over cache, experts over ep. */
#ifndef SINTER_PASSES_ROLE_ASSIGNMENT_H
#define SINTER_PASSES_ROLE_ASSIGNMENT_H

#include "passes/partition/assignment.h"

/* The mesh of a text like "dp=2,tp=4", the outer axis first. Adds it to the module. Errors: E0343
 * for text that is none, sizes out of 1..4096, too many axes, a name twice. */
status parallel_parse(struct module *m, const char *text, struct diags *diags, uint32_t *out_mesh);

/* One assignment for f, by the names of the mesh's axes:
 *
 *   dp     batch rows: the first dim of inputs, attention's batch
 *   cp     query positions of attention, and what is computed per position around it;
 *          dealt from both ends where attention is causal, so that ranks have as many
 *          keys to read
 *   ring   as cp, but keys that were to be gathered go round the ranks, part by part:
 *          attention is marked so
 *   cache  key positions of attention, in interleaved blocks, where it gives an lse
 *   ep     experts: the batch dims of products with constant weights
 *   tp     (and any other name) heads of attention; of products with constants the
 *          columns, or the rows where the other operand comes in parts of them already;
 *          channels of convolutions likewise; rows of tables
 *
 * States (parameters that an `update` writes in place) are split as attention reads them: heads,
 * batch rows, and keys in the blocks of `cache`; their shardings are the assignment's `params` and
 * `results`. `states` has one for each, in order: LAYOUT_FREE is replaced by what is found, any
 * other is kept, as other functions have the same states. NULL: they stay whole. Attention says
 * first what it wants of the values before it; else an op goes on with the split that its operands
 * have. Call prepare_sharding before. The assignment lives in the arena. Errors: E0344 for an axis
 * of more than one rank that splits no op; not of a function with states, as what a phase has no
 * use for another has.
 */
status role_assignment(struct function *f, uint32_t mesh, sharding_id *states, struct arena *arena,
                       struct diags *diags, struct assignment *out);

#endif
