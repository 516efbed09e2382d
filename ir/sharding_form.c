/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical forms of shardings. A reference to an axis is a range of strides: coordinate / stride
 * mod size, so lists of them compare as mixed-radix digits do. */
#include "ir/sharding_form.h"

#include "base/checked.h"
#include "ir/shard_index.h"

#include <string.h>

/* ---- axes ---- */

/* The digits of an axis that a reference takes: strides from low on, below high. */
struct digits {
  uint32_t axis;
  int64_t low, high;
};

static struct digits digits_of(const struct mesh *mesh, const struct axis_ref *ref) {
  if (!ref->sub_size)
    return (struct digits){ref->axis, 1, mesh->axes[ref->axis].size};
  return (struct digits){ref->axis, ref->sub_stride, ref->sub_size * ref->sub_stride};
}

static struct axis_ref ref_of(const struct mesh *mesh, struct digits d) {
  if (d.low == 1 && d.high == mesh->axes[d.axis].size)
    return (struct axis_ref){.axis = d.axis};
  return (struct axis_ref){d.axis, d.high / d.low, d.low};
}

bool axis_ref_check(const struct mesh *mesh, const struct axis_ref *ref) {
  int64_t inner;
  if (ref->axis >= mesh->n_axes)
    return false;
  if (!ref->sub_size && !ref->sub_stride)
    return true;
  return ref->sub_size >= 1 && ref->sub_stride >= 1 &&
         i64_mul(ref->sub_size, ref->sub_stride, &inner) && mesh->axes[ref->axis].size % inner == 0;
}

bool axis_refs_overlap(const struct mesh *mesh, const struct axis_ref *a,
                       const struct axis_ref *b) {
  struct digits x = digits_of(mesh, a), y = digits_of(mesh, b);
  return x.axis == y.axis && x.low < y.high && y.low < x.high;
}

uint32_t axis_refs_canonical(const struct mesh *mesh, struct axis_ref *refs, uint32_t n) {
  uint32_t len = 0;
  for (uint32_t i = 0; i < n; i++) {
    struct digits d = digits_of(mesh, &refs[i]);
    if (d.low == d.high)
      continue;
    if (len) {
      struct digits before = digits_of(mesh, &refs[len - 1]);
      if (before.axis == d.axis && before.low == d.high) {
        refs[len - 1] = ref_of(mesh, (struct digits){d.axis, d.low, before.high});
        continue;
      }
    }
    refs[len++] = ref_of(mesh, d);
  }
  for (uint32_t i = len; i < n; i++)
    refs[i] = (struct axis_ref){0};
  return len;
}

bool axis_refs_after(const struct mesh *mesh, const struct axis_ref *a, uint32_t n_a,
                     const struct axis_ref *b, uint32_t n_b, struct axis_ref *out_rest,
                     uint32_t *out_n) {
  uint32_t at = 0;
  struct digits left = {0};
  bool some = false;
  *out_n = 0;
  for (uint32_t i = 0; i < n_b; i++) {
    struct digits want = digits_of(mesh, &b[i]);
    while (want.low < want.high) {
      if (!some) {
        if (at == n_a)
          return false;
        left = digits_of(mesh, &a[at++]);
      }
      if (left.axis != want.axis || left.high != want.high)
        return false;
      int64_t low = left.low > want.low ? left.low : want.low;
      want.high = left.high = low;
      some = left.low < left.high;
    }
  }
  if (some)
    out_rest[(*out_n)++] = ref_of(mesh, left);
  for (; at < n_a; at++)
    out_rest[(*out_n)++] = a[at];
  return true;
}

/* What is left of x, from piece `at` of b on. */
static void minus(const struct mesh *mesh, struct digits x, const struct axis_ref *b, uint32_t n_b,
                  uint32_t at, struct axis_ref *out, uint32_t *n) {
  for (; at < n_b; at++) {
    struct digits y = digits_of(mesh, &b[at]);
    if (x.axis != y.axis || x.low >= y.high || y.low >= x.high)
      continue;
    if (y.high < x.high)
      minus(mesh, (struct digits){x.axis, y.high, x.high}, b, n_b, at + 1, out, n);
    if (x.low >= y.low)
      return;
    x.high = y.low;
  }
  if (x.low < x.high && *n < AXIS_REFS_ROOM)
    out[(*n)++] = ref_of(mesh, x);
}

uint32_t axis_refs_minus(const struct mesh *mesh, const struct axis_ref *a, uint32_t n_a,
                         const struct axis_ref *b, uint32_t n_b, struct axis_ref *out) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < n_a; i++)
    minus(mesh, digits_of(mesh, &a[i]), b, n_b, 0, out, &n);
  return n;
}

bool axis_refs_contain(const struct mesh *mesh, const struct axis_ref *a, uint32_t n_a,
                       const struct axis_ref *b, uint32_t n_b) {
  struct axis_ref rest[AXIS_REFS_ROOM];
  return axis_refs_minus(mesh, b, n_b, a, n_a, rest) == 0;
}

bool axis_refs_disjoint(const struct mesh *mesh, const struct axis_ref *a, uint32_t n_a,
                        const struct axis_ref *b, uint32_t n_b) {
  for (uint32_t i = 0; i < n_a; i++)
    for (uint32_t k = 0; k < n_b; k++)
      if (axis_refs_overlap(mesh, &a[i], &b[k]))
        return false;
  return true;
}

/* ---- splits of a dim ---- */

static bool known_multiple(struct dim_table *t, dim n, int64_t a, int64_t b) {
  int64_t k;
  return i64_mul(a, b, &k) && k > 0 && dim_known_divides(t, k, n);
}

void dim_split_canonical(struct dim_table *t, const struct mesh *mesh, dim n,
                         struct dim_split *split) {
  split->n_axes = axis_refs_canonical(mesh, split->axes, split->n_axes);
  if (split->n_axes == 0) {
    *split = (struct dim_split){0};
    return;
  }
  for (uint32_t i = split->n_axes; i < SHARDING_MAX_AXES_PER_DIM; i++)
    split->axes[i] = (struct axis_ref){0};
  int64_t parts = axis_refs_size(mesh, split->axes, split->n_axes), round;
  if (split->order == SPLIT_INTERLEAVED) {
    bool once = i64_mul(split->block, parts, &round) && dim_is_const_value(t, n, round);
    split->granule = once ? split->block : 1;
    if (once)
      split->order = SPLIT_BLOCK;
  }
  if (split->order != SPLIT_INTERLEAVED)
    split->block = 0;
  if (split->order == SPLIT_BLOCK && known_multiple(t, n, split->granule, parts))
    split->granule = 1;
  if (split->order == SPLIT_ZIGZAG && known_multiple(t, n, split->granule, 2 * parts))
    split->granule = 1;
}

bool dim_split_equal(const struct dim_split *a, const struct dim_split *b) {
  if (a->n_axes != b->n_axes || a->granule != b->granule || a->order != b->order ||
      a->block != b->block)
    return false;
  for (uint32_t i = 0; i < a->n_axes; i++)
    if (a->axes[i].axis != b->axes[i].axis || a->axes[i].sub_size != b->axes[i].sub_size ||
        a->axes[i].sub_stride != b->axes[i].sub_stride)
      return false;
  return true;
}

bool dim_split_refines(struct dim_table *t, const struct mesh *mesh, dim n,
                       const struct dim_split *fine, const struct dim_split *coarse,
                       struct axis_ref *out_rest, uint32_t *out_n) {
  *out_n = 0;
  if (dim_split_equal(fine, coarse))
    return true;
  if (!axis_refs_after(mesh, fine->axes, fine->n_axes, coarse->axes, coarse->n_axes, out_rest,
                       out_n))
    return false;
  if (coarse->n_axes == 0)
    return true;
  return fine->order == SPLIT_BLOCK && coarse->order == SPLIT_BLOCK && fine->granule == 1 &&
         coarse->granule == 1 &&
         dim_known_divides(t, axis_refs_size(mesh, fine->axes, fine->n_axes), n);
}

/* ---- shardings ---- */

static void sort_refs(struct axis_ref *refs, uint32_t n) {
  for (uint32_t i = 1; i < n; i++)
    for (uint32_t k = i; k > 0; k--) {
      struct axis_ref a = refs[k - 1], b = refs[k];
      if (a.axis < b.axis || (a.axis == b.axis && a.sub_stride >= b.sub_stride))
        break;
      refs[k - 1] = b;
      refs[k] = a;
    }
}

void sharding_canonical(const struct module *m, const struct type *type, struct sharding *s) {
  const struct mesh *mesh = m->meshes.data[s->mesh];
  s->rank = type->rank;
  for (uint32_t d = 0; d < type->rank; d++)
    dim_split_canonical(m->dims, mesh, type->dims[d], &s->dims[d]);
  for (uint32_t d = type->rank; d < IR_MAX_RANK; d++)
    s->dims[d] = (struct dim_split){0};
  sort_refs(s->partial.axes, s->partial.n_axes);
  s->partial.n_axes = axis_refs_canonical(mesh, s->partial.axes, s->partial.n_axes);
  if (s->partial.n_axes == 0)
    s->partial = (struct partial){0};
  for (uint32_t i = s->partial.n_axes; i < MESH_MAX_AXES; i++)
    s->partial.axes[i] = (struct axis_ref){0};
}

bool sharding_is_whole(const struct sharding *s) {
  for (uint32_t d = 0; d < s->rank; d++)
    if (s->dims[d].n_axes)
      return false;
  return s->partial.kind == PARTIAL_NONE;
}

sharding_id module_shard(struct module *m, const struct type *type, const struct sharding *s) {
  struct sharding form = *s;
  sharding_canonical(m, type, &form);
  return sharding_is_whole(&form) ? 0 : module_add_sharding(m, &form);
}

const struct sharding *sharding_get(const struct module *m, sharding_id id, uint32_t mesh,
                                    uint32_t rank, struct sharding *room) {
  if (id)
    return m->shardings.data[id];
  *room = (struct sharding){.mesh = mesh, .rank = rank};
  return room;
}
