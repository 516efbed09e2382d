/* SPDX-License-Identifier: Apache-2.0 */
/* Shardings compared: lists of axes as sets and sequences, and one form for shardings that say the
 * same, so that equal ids mean equal elements. "Known" means proved for all values of the symbols.
 */
#ifndef SINTER_IR_SHARDING_FORM_H
#define SINTER_IR_SHARDING_FORM_H

#include "ir/sharding.h"

/* The most references that a difference of two lists may have. */
#define AXIS_REFS_ROOM (2 * MESH_MAX_AXES)

/* ---- axes ---- */

/* Whether the mesh has the axis, and the part divides it. */
bool axis_ref_check(const struct mesh *mesh, const struct axis_ref *ref);
/* Whether two references that pass the check have a part of an axis in common. */
bool axis_refs_overlap(const struct mesh *mesh, const struct axis_ref *a, const struct axis_ref *b);
/* The same sequence of coordinates with the fewest references: without those of size 1, neighbours
 * that follow each other inside of an axis as one, whole axes as such. In place; returns how many.
 */
uint32_t axis_refs_canonical(const struct mesh *mesh, struct axis_ref *refs, uint32_t n);
/* Whether list a begins with list b; out_rest (room for AXIS_REFS_ROOM) is what follows. */
bool axis_refs_after(const struct mesh *mesh, const struct axis_ref *a, uint32_t n_a,
                     const struct axis_ref *b, uint32_t n_b, struct axis_ref *out_rest,
                     uint32_t *out_n);
/* The parts of axes of a that b does not have, outer ones first. Returns how many. */
uint32_t axis_refs_minus(const struct mesh *mesh, const struct axis_ref *a, uint32_t n_a,
                         const struct axis_ref *b, uint32_t n_b, struct axis_ref *out);
/* Whether every part of an axis in b is in a; whether a and b have none in common. */
bool axis_refs_contain(const struct mesh *mesh, const struct axis_ref *a, uint32_t n_a,
                       const struct axis_ref *b, uint32_t n_b);
bool axis_refs_disjoint(const struct mesh *mesh, const struct axis_ref *a, uint32_t n_a,
                        const struct axis_ref *b, uint32_t n_b);

/* ---- splits of a dim, and shardings ---- */

/* The one form of a split of a dim of n elements: axes canonical, no granule where parts are known
 * to be even, blocks instead of interleaved ones where there is one round. */
void dim_split_canonical(struct dim_table *t, const struct mesh *mesh, dim n,
                         struct dim_split *split);
bool dim_split_equal(const struct dim_split *a, const struct dim_split *b);
/* Whether each rank's part by `fine` is known to lie in its part by `coarse`; both canonical.
 * out_rest are the axes that fine has besides; room for AXIS_REFS_ROOM. */
bool dim_split_refines(struct dim_table *t, const struct mesh *mesh, dim n,
                       const struct dim_split *fine, const struct dim_split *coarse,
                       struct axis_ref *out_rest, uint32_t *out_n);
/* The one form of a sharding of values of a type: dims, and axes of a partial in ascending order.
 */
void sharding_canonical(const struct module *m, const struct type *type, struct sharding *s);
/* Interns that form; 0 for a sharding that leaves the value whole on every rank. */
sharding_id module_shard(struct module *m, const struct type *type, const struct sharding *s);
/* The sharding of an id; for 0 the whole value of that rank, written to *room. */
const struct sharding *sharding_get(const struct module *m, sharding_id id, uint32_t mesh,
                                    uint32_t rank, struct sharding *room);
bool sharding_is_whole(const struct sharding *s);

#endif
