/* SPDX-License-Identifier: Apache-2.0 */
/* Global and local indices of split dims. */
#include "ir/shard_index.h"

#include "base/checked.h"

/* ---- runs of granules: [first, end) of part i of k, the first G mod k parts one longer ---- */

static int64_t even_start(int64_t granules, int64_t k, int64_t i) {
  int64_t more = granules % k;
  return i * (granules / k) + (i < more ? i : more);
}

static int64_t granules_of(const struct shard_part *p) {
  return p->n / p->granule + (p->n % p->granule != 0);
}

/* Elements before granule g. */
static int64_t granule_start(const struct shard_part *p, int64_t g) {
  return g >= granules_of(p) ? p->n : g * p->granule;
}

/* The elements [*out_first, *out_end) of chunk i of k. */
static void chunk(const struct shard_part *p, int64_t k, int64_t i, int64_t *out_first,
                  int64_t *out_end) {
  int64_t granules = granules_of(p);
  *out_first = granule_start(p, even_start(granules, k, i));
  *out_end = granule_start(p, even_start(granules, k, i + 1));
}

/* Block and zigzag: the one or two chunks of a part; an absent second one is empty. */
static void chunks_of(const struct shard_part *p, int64_t first[2], int64_t end[2]) {
  if (p->order == SPLIT_BLOCK) {
    chunk(p, p->parts, p->part, &first[0], &end[0]);
    first[1] = end[1] = p->n;
    return;
  }
  chunk(p, 2 * p->parts, p->part, &first[0], &end[0]);
  chunk(p, 2 * p->parts, 2 * p->parts - 1 - p->part, &first[1], &end[1]);
}

struct shard_part shard_part_of(const struct mesh *mesh, const int64_t *coords,
                                const struct dim_split *split, int64_t n) {
  if (split->n_axes == 0)
    return (struct shard_part){.n = n, .granule = 1, .block = 1, .parts = 1};
  return (struct shard_part){.n = n,
                             .order = split->order,
                             .granule = split->granule,
                             .block = split->block,
                             .parts = axis_refs_size(mesh, split->axes, split->n_axes),
                             .part = axis_refs_coord(mesh, split->axes, split->n_axes, coords)};
}

int64_t shard_part_count(const struct shard_part *p) {
  if (p->order == SPLIT_INTERLEAVED) {
    int64_t round = p->block * p->parts, rest = p->n % round - p->part * p->block;
    return p->n / round * p->block + (rest < 0 ? 0 : rest > p->block ? p->block : rest);
  }
  int64_t first[2], end[2];
  chunks_of(p, first, end);
  return end[0] - first[0] + end[1] - first[1];
}

int64_t shard_part_global(const struct shard_part *p, int64_t local) {
  if (p->order == SPLIT_INTERLEAVED)
    return (local / p->block * p->parts + p->part) * p->block + local % p->block;
  int64_t first[2], end[2];
  chunks_of(p, first, end);
  int64_t head = end[0] - first[0];
  return local < head ? first[0] + local : first[1] + local - head;
}

bool shard_part_local(const struct shard_part *p, int64_t global, int64_t *out_local) {
  if (p->order == SPLIT_INTERLEAVED) {
    int64_t number = global / p->block;
    *out_local = number / p->parts * p->block + global % p->block;
    return number % p->parts == p->part;
  }
  int64_t first[2], end[2];
  chunks_of(p, first, end);
  *out_local = global - first[0];
  if (global >= first[0] && global < end[0])
    return true;
  *out_local = end[0] - first[0] + global - first[1];
  return global >= first[1] && global < end[1];
}

/* ---- meshes ---- */

int64_t mesh_ranks(const struct mesh *mesh) {
  int64_t n = 1;
  for (uint32_t i = 0; i < mesh->n_axes; i++)
    if (!i64_mul(n, mesh->axes[i].size, &n))
      return 0;
  return n;
}

void mesh_coords(const struct mesh *mesh, int64_t rank, int64_t *out_coords) {
  for (uint32_t i = mesh->n_axes; i-- > 0; rank /= mesh->axes[i].size)
    out_coords[i] = rank % mesh->axes[i].size;
}

int64_t mesh_rank(const struct mesh *mesh, const int64_t *coords) {
  int64_t rank = 0;
  for (uint32_t i = 0; i < mesh->n_axes; i++)
    rank = rank * mesh->axes[i].size + coords[i];
  return rank;
}

int64_t axis_ref_size(const struct mesh *mesh, const struct axis_ref *ref) {
  return ref->sub_size ? ref->sub_size : mesh->axes[ref->axis].size;
}

static int64_t ref_stride(const struct axis_ref *ref) {
  return ref->sub_size ? ref->sub_stride : 1;
}

int64_t axis_ref_coord(const struct mesh *mesh, const struct axis_ref *ref, const int64_t *coords) {
  return coords[ref->axis] / ref_stride(ref) % axis_ref_size(mesh, ref);
}

int64_t axis_refs_size(const struct mesh *mesh, const struct axis_ref *refs, uint32_t n) {
  int64_t size = 1;
  for (uint32_t i = 0; i < n; i++)
    size *= axis_ref_size(mesh, &refs[i]);
  return size;
}

int64_t axis_refs_coord(const struct mesh *mesh, const struct axis_ref *refs, uint32_t n,
                        const int64_t *coords) {
  int64_t place = 0;
  for (uint32_t i = 0; i < n; i++)
    place = place * axis_ref_size(mesh, &refs[i]) + axis_ref_coord(mesh, &refs[i], coords);
  return place;
}

int64_t axis_refs_rank(const struct mesh *mesh, const struct axis_ref *refs, uint32_t n,
                       const int64_t *coords, int64_t place) {
  int64_t there[MESH_MAX_AXES] = {0};
  for (uint32_t i = 0; i < mesh->n_axes; i++)
    there[i] = coords[i];
  for (uint32_t i = n; i-- > 0;) {
    int64_t size = axis_ref_size(mesh, &refs[i]);
    int64_t by = place % size - axis_ref_coord(mesh, &refs[i], there);
    there[refs[i].axis] += by * ref_stride(&refs[i]);
    place /= size;
  }
  return mesh_rank(mesh, there);
}

/* ---- tensors ---- */

struct dim_places {
  struct shard_part parts[IR_MAX_RANK];
  int64_t dims[IR_MAX_RANK];
};

static void places_of(const struct mesh *mesh, const struct sharding *s, const int64_t *coords,
                      const struct tensor *whole, struct dim_places *out) {
  for (uint32_t d = 0; d < whole->rank; d++) {
    out->parts[d] = shard_part_of(mesh, coords, &s->dims[d], whole->dims[d]);
    out->dims[d] = shard_part_count(&out->parts[d]);
  }
}

static int64_t whole_offset(const struct dim_places *p, const struct tensor *whole,
                            const int64_t *index) {
  int64_t at = 0;
  for (uint32_t d = 0; d < whole->rank; d++)
    at = at * whole->dims[d] + shard_part_global(&p->parts[d], index[d]);
  return at;
}

struct tensor *shard_take(struct arena *arena, const struct mesh *mesh, const struct sharding *s,
                          const int64_t *coords, const struct tensor *whole) {
  struct dim_places p;
  places_of(mesh, s, coords, whole, &p);
  struct tensor *t = tensor_create(arena, whole->dtype, p.dims, whole->rank);
  int64_t index[IR_MAX_RANK] = {0};
  for (int64_t i = 0; t && i < t->count; i++) {
    t->i64[i] = whole->i64[whole_offset(&p, whole, index)];
    index_next(index, t->dims, t->rank);
  }
  return t;
}

bool shard_put(const struct mesh *mesh, const struct sharding *s, const int64_t *coords,
               const struct tensor *shard, struct tensor *whole) {
  struct dim_places p;
  int64_t index[IR_MAX_RANK] = {0};
  places_of(mesh, s, coords, whole, &p);
  for (uint32_t d = 0; d < whole->rank; d++)
    if (shard->rank != whole->rank || shard->dims[d] != p.dims[d])
      return false;
  for (int64_t i = 0; i < shard->count; i++) {
    whole->i64[whole_offset(&p, whole, index)] = shard->i64[i];
    index_next(index, shard->dims, shard->rank);
  }
  return true;
}
