/* SPDX-License-Identifier: Apache-2.0 */
/* Where the elements of a split value live: the one function between global and local indices for
 * each order of splitting (DESIGN: Shardings). Interpreter, collectives and tests all ask here.
 *
 * A split cuts a dim of n elements into granules (the last one may be shorter) and deals them to
 * parts. Splits may be uneven and parts empty. A part keeps its elements in ascending order. */
#ifndef SINTER_IR_SHARD_INDEX_H
#define SINTER_IR_SHARD_INDEX_H

#include "ir/interp.h"
#include "ir/sharding.h"

/* One part of a split dim. */
struct shard_part {
  int64_t n; /* elements of the dim */
  enum split_order order;
  int64_t granule, block; /* as in struct dim_split */
  int64_t parts, part;    /* how many, and which: 0 <= part < parts */
};

/* The part of a dim of n elements that the rank at `coords` (one per mesh axis) holds. A split
 * without axes has one part, the whole. */
struct shard_part shard_part_of(const struct mesh *mesh, const int64_t *coords,
                                const struct dim_split *split, int64_t n);
int64_t shard_part_count(const struct shard_part *p);
/* The global index of element `local` of the part, 0 <= local < count. */
int64_t shard_part_global(const struct shard_part *p, int64_t local);
/* Whether the part holds the element 0 <= global < n; then *out_local is where. */
bool shard_part_local(const struct shard_part *p, int64_t global, int64_t *out_local);

/* ---- meshes ---- */

/* Ranks of a mesh, or 0 where they cannot be counted. */
int64_t mesh_ranks(const struct mesh *mesh);
/* Coordinates of a rank, row-major, and back. */
void mesh_coords(const struct mesh *mesh, int64_t rank, int64_t *out_coords);
int64_t mesh_rank(const struct mesh *mesh, const int64_t *coords);
/* Size of an axis or of a part of it, and a rank's place along it. */
int64_t axis_ref_size(const struct mesh *mesh, const struct axis_ref *ref);
int64_t axis_ref_coord(const struct mesh *mesh, const struct axis_ref *ref, const int64_t *coords);
/* Their product over a list of references, and the row-major place in it, the outer first. */
int64_t axis_refs_size(const struct mesh *mesh, const struct axis_ref *refs, uint32_t n);
int64_t axis_refs_coord(const struct mesh *mesh, const struct axis_ref *refs, uint32_t n,
                        const int64_t *coords);
/* The rank that differs from `coords` only along refs, where its place is `place`. */
int64_t axis_refs_rank(const struct mesh *mesh, const struct axis_ref *refs, uint32_t n,
                       const int64_t *coords, int64_t place);

/* ---- tensors ---- */

/* The elements of a whole tensor that the rank at `coords` holds. Partials are not looked at. */
struct tensor *shard_take(struct arena *arena, const struct mesh *mesh, const struct sharding *s,
                          const int64_t *coords, const struct tensor *whole);
/* The way back: writes a shard's elements to their places. False where its dims do not fit. */
bool shard_put(const struct mesh *mesh, const struct sharding *s, const int64_t *coords,
               const struct tensor *shard, struct tensor *whole);

#endif
