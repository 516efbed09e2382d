/* SPDX-License-Identifier: Apache-2.0 */
/* Dim expressions of parts. */
#include "ir/part_dims.h"

#include "ir/shard_index.h"
#include "ir/sharding_form.h"

static dim place_on(struct dim_table *t, const struct mesh *mesh, const struct axis_ref *ref) {
  const struct mesh_axis *axis = &mesh->axes[ref->axis];
  dim c = dim_coord(t, axis->name, axis->size);
  if (!ref->sub_size)
    return c;
  if (ref->sub_stride > 1)
    c = dim_floordiv(t, c, dim_const(t, ref->sub_stride));
  if (ref->sub_size * ref->sub_stride < axis->size)
    c = dim_mod(t, c, dim_const(t, ref->sub_size));
  return c;
}

dim mesh_place(struct dim_table *t, const struct mesh *mesh, const struct axis_ref *refs,
               uint32_t n) {
  dim place = dim_const(t, 0);
  for (uint32_t i = 0; i < n; i++)
    place = dim_add(t, dim_mul(t, place, dim_const(t, axis_ref_size(mesh, &refs[i]))),
                    place_on(t, mesh, &refs[i]));
  return place;
}

struct part_dims part_dims_of(struct dim_table *t, const struct mesh *mesh,
                              const struct dim_split *split, dim n) {
  struct dim_split s = *split;
  if (s.n_axes)
    dim_split_canonical(t, mesh, n, &s); /* equal parts, equal expressions */
  if (s.n_axes == 0)
    return (struct part_dims){
        .n = n, .granule = 1, .block = 1, .parts = 1, .part = dim_const(t, 0)};
  return (struct part_dims){.n = n,
                            .order = s.order,
                            .granule = s.granule,
                            .block = s.block ? s.block : 1,
                            .parts = axis_refs_size(mesh, s.axes, s.n_axes),
                            .part = mesh_place(t, mesh, s.axes, s.n_axes)};
}

uint32_t part_dims_chunks(const struct part_dims *p) { return p->order == SPLIT_ZIGZAG ? 2 : 1; }

static int64_t all_chunks(const struct part_dims *p) { return p->parts * part_dims_chunks(p); }

static bool divides(struct dim_table *t, int64_t a, int64_t b, dim n) {
  int64_t product;
  return !__builtin_mul_overflow(a, b, &product) && dim_known_divides(t, product, n);
}

bool part_dims_even(struct dim_table *t, const struct part_dims *p) {
  if (p->order == SPLIT_INTERLEAVED)
    return divides(t, p->block, p->parts, p->n);
  return divides(t, p->granule, all_chunks(p), p->n);
}

static dim granules_of(struct dim_table *t, const struct part_dims *p) {
  return dim_ceildiv(t, p->n, dim_const(t, p->granule));
}

void part_dims_deal(struct dim_table *t, const struct part_dims *p, dim *out_granules,
                    dim *out_more) {
  dim chunks = dim_const(t, all_chunks(p)), granules = granules_of(t, p);
  if (part_dims_even(t, p)) {
    *out_granules = dim_exactdiv(t, p->n, dim_mul(t, chunks, dim_const(t, p->granule)));
    *out_more = dim_const(t, 0);
    return;
  }
  *out_granules = dim_floordiv(t, granules, chunks);
  *out_more = dim_mod(t, granules, chunks);
}

/* Elements from `first` on of `granules` granules, cut at the end of the dim. */
static dim cut(struct dim_table *t, const struct part_dims *p, dim first, dim granules) {
  dim count = dim_mul(t, granules, dim_const(t, p->granule));
  if (dim_known_divides(t, p->granule, p->n))
    return count;
  dim left = dim_max(t, dim_const(t, 0), dim_sub(t, p->n, first));
  return dim_min(t, left, count);
}

void part_dims_chunk(struct dim_table *t, const struct part_dims *p, uint32_t i, dim *out_first,
                     dim *out_count) {
  dim number = i == 0 ? p->part : dim_sub(t, dim_const(t, 2 * p->parts - 1), p->part);
  dim granules, more, zero = dim_const(t, 0), one = dim_const(t, 1);
  part_dims_deal(t, p, &granules, &more);
  dim before = dim_add(t, dim_mul(t, number, granules), dim_min(t, number, more));
  dim longer = dim_min(t, one, dim_max(t, zero, dim_sub(t, more, number)));
  dim first = dim_mul(t, before, dim_const(t, p->granule));
  *out_first = dim_known_divides(t, p->granule, p->n) ? first : dim_min(t, p->n, first);
  *out_count = cut(t, p, first, dim_add(t, granules, longer));
}

static dim interleaved_count(struct dim_table *t, const struct part_dims *p) {
  dim block = dim_const(t, p->block), zero = dim_const(t, 0);
  dim round = dim_mul(t, block, dim_const(t, p->parts));
  if (part_dims_even(t, p))
    return dim_exactdiv(t, p->n, dim_const(t, p->parts));
  dim rest = dim_sub(t, dim_mod(t, p->n, round), dim_mul(t, p->part, block));
  rest = dim_max(t, zero, dim_min(t, rest, block));
  return dim_add(t, dim_mul(t, dim_floordiv(t, p->n, round), block), rest);
}

dim part_dims_count(struct dim_table *t, const struct part_dims *p) {
  if (p->parts == 1)
    return p->n;
  if (p->order == SPLIT_INTERLEAVED)
    return interleaved_count(t, p);
  dim count = dim_const(t, 0), first, each;
  for (uint32_t i = 0; i < part_dims_chunks(p); i++) {
    part_dims_chunk(t, p, i, &first, &each);
    count = dim_add(t, count, each);
  }
  return count;
}

dim part_dims_most(struct dim_table *t, const struct part_dims *p) {
  if (p->parts == 1)
    return p->n;
  if (part_dims_even(t, p))
    return dim_exactdiv(t, p->n, dim_const(t, p->parts));
  dim block = dim_const(t, p->order == SPLIT_INTERLEAVED ? p->block : p->granule);
  if (p->order == SPLIT_INTERLEAVED)
    return dim_mul(t, block, dim_ceildiv(t, p->n, dim_mul(t, block, dim_const(t, p->parts))));
  dim each = dim_ceildiv(t, granules_of(t, p), dim_const(t, all_chunks(p)));
  return dim_mul(t, dim_mul(t, each, block), dim_const(t, part_dims_chunks(p)));
}

bool type_local(struct module *m, const struct type *type, struct type *out) {
  *out = *type;
  out->sharding = 0;
  if (!type->sharding)
    return true;
  const struct sharding *s = m->shardings.data[type->sharding];
  const struct mesh *mesh = m->meshes.data[s->mesh];
  bool sound = true;
  for (uint32_t d = 0; d < type->rank; d++) {
    struct part_dims p = part_dims_of(m->dims, mesh, &s->dims[d], type->dims[d]);
    out->dims[d] = part_dims_count(m->dims, &p);
    sound &= out->dims[d] != DIM_NONE;
  }
  return sound;
}
