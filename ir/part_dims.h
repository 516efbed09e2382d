/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of split dims as dim expressions: what ir/shard_index.h computes for one rank, for any
 * rank, as expressions of coord(axis). Where a split is provably even they are as short as they can
 * be, and free of coordinates but for where the part starts. */
#ifndef SINTER_IR_PART_DIMS_H
#define SINTER_IR_PART_DIMS_H

#include "ir/sharding.h"

/* A rank's place along a list of axes, as axis_refs_coord. */
dim mesh_place(struct dim_table *t, const struct mesh *mesh, const struct axis_ref *refs,
               uint32_t n);

/* As struct shard_part: part number `part` of a dim of n elements in `parts` parts. */
struct part_dims {
  dim n;
  enum split_order order;
  int64_t granule, block, parts;
  dim part;
};

/* The part of the rank that asks. */
struct part_dims part_dims_of(struct dim_table *t, const struct mesh *mesh,
                              const struct dim_split *split, dim n);

/* Block and zigzag splits are runs of chunks, 1 or 2 per part, of which the first `more` are a
 * granule longer than the others. chunk_of gives chunk i of the part (i = 0, 1). */
uint32_t part_dims_chunks(const struct part_dims *p);
void part_dims_chunk(struct dim_table *t, const struct part_dims *p, uint32_t i, dim *out_first,
                     dim *out_count);
/* Granules of a short chunk, and how many chunks are longer. */
void part_dims_deal(struct dim_table *t, const struct part_dims *p, dim *out_granules,
                    dim *out_more);
/* Whether all chunks (blocks' rounds) are provably equal, so that all parts have n / parts. */
bool part_dims_even(struct dim_table *t, const struct part_dims *p);

dim part_dims_count(struct dim_table *t, const struct part_dims *p);
/* At least the count of every part, the same on all ranks. */
dim part_dims_most(struct dim_table *t, const struct part_dims *p);

/* The type of a rank's part: local dims, no sharding. False where a dim is no expression. */
bool type_local(struct module *m, const struct type *type, struct type *out);

#endif
