/* SPDX-License-Identifier: Apache-2.0 */
/* How partial results of ranks merge into whole ones: one rule per kind of partial (DESIGN:
 * Partials). What all_reduce, reduce_scatter and merge compute. */
#ifndef SINTER_IR_RANK_MERGE_H
#define SINTER_IR_RANK_MERGE_H

#include "ir/interp.h"
#include "ir/sharding.h"

/* Tensors of a partial of that kind: 2 for tuples. */
uint32_t partial_tuple(enum partial_kind kind);
/* Whether its elements merge one by one with those of other ranks. */
static inline bool partial_is_sum_like(enum partial_kind kind) {
  return kind >= PARTIAL_SUM && kind <= PARTIAL_PROD;
}

/* Merges the partials of n >= 1 ranks, in that order, into fresh tensors. parts[r] are the
 * partial_tuple(kind) tensors of rank r, of the same dims on all ranks; `axis` is that of topk and
 * bottomk. False where dims differ. In the field, the lse of softmax is the sum of weights.
 */
bool rank_merge(enum interp_mode mode, enum partial_kind kind, uint32_t axis,
                struct tensor *const (*parts)[2], uint32_t n, struct arena *arena,
                struct tensor *out[2]);

#endif
