/* SPDX-License-Identifier: Apache-2.0 */
/* From one sharding of a value to another: the steps, and what each costs in bytes. The one rule of
 * apply_sharding, which builds the steps, and of the cost model, which prices them. */
#ifndef SINTER_PASSES_CONVERSION_H
#define SINTER_PASSES_CONVERSION_H

#include "ir/graph.h"
#include "ir/sharding_form.h"

#define CONVERSION_MAX_STEPS 40
#define CONVERSION_NO_DIM UINT32_MAX

/* One op across ranks (ir/op.def). */
struct conversion_step {
  enum op_kind kind;
  uint32_t mesh;
  uint32_t n_axes; /* 0 for `shard` */
  struct axis_ref axes[AXIS_REFS_ROOM];
  uint32_t dim;        /* gathered (all_gather, all_to_all) or scattered (reduce_scatter); merge:
                          scattered, or        CONVERSION_NO_DIM */
  uint32_t split;      /* of all_to_all: the dim that becomes split */
  const int64_t *from; /* of permute: one per place */
  sharding_id before, after;
};

struct conversion {
  uint32_t n; /* 0: the shardings are equal */
  struct conversion_step steps[CONVERSION_MAX_STEPS];
};

/* The steps that bring a value of that type (its own sharding is not looked at) from one canonical
 * sharding to another of the same mesh. Every value can become whole, and split in any way; partial
 * only as a sum, or as it is already. A partial tuple (softmax, argmax, topk, ...) is merged by a
 * step of kind OP_MERGE, whose other value goes the same way. False where there are no such steps.
 * `from` lists of the steps live in the arena. */
bool conversion_plan(struct module *m, const struct type *type, uint32_t mesh, sharding_id from,
                     sharding_id to, struct arena *arena, struct conversion *out);

/* Builds the op of a step. A merge has two operands and results (first its step's own value), and
 * `axis` is that of topk's candidates; others have one. Results get their shardings. */
void conversion_build(struct builder *b, const struct conversion_step *step,
                      const value_id *operands, int64_t axis, value_id *out_results);

/* Elements that each rank receives in a step, for concrete dims of the whole value: as in rings,
 * each of n ranks sends its part on, padded to the largest one; an all_reduce is a reduce_scatter
 * of n parts and an all_gather. 0 for `shard`. UINT64_MAX on overflow. */
uint64_t conversion_step_elements(const struct module *m, const struct conversion_step *step,
                                  uint32_t rank, const int64_t *dims);
/* Elements of the largest part of a value. */
uint64_t sharding_most_elements(const struct mesh *mesh, const struct sharding *s, uint32_t rank,
                                const int64_t *dims);

#endif
