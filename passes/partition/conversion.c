/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a conversion, found greedily: what is free first (a finer split), then what makes a
 * value smaller (merging into parts), then merging, exchanging, and putting together as far as
 * needed. Every step brings the value nearer, and gathering to the whole always goes, so it ends.
 */
#include "passes/partition/conversion.h"

#include "base/checked.h"
#include "ir/shard_index.h"

#include <string.h>

struct planner {
  struct module *m;
  const struct mesh *mesh;
  const struct type *type;
  struct arena *arena;
  struct sharding at, to;
  sharding_id at_id;
  struct conversion *out;
};

struct refs {
  struct axis_ref data[AXIS_REFS_ROOM];
  uint32_t n;
};

static dim size_of(const struct planner *p, uint32_t d) { return p->type->dims[d]; }

static bool refines(const struct planner *p, uint32_t d, const struct dim_split *fine,
                    const struct dim_split *coarse, struct refs *rest) {
  return dim_split_refines(p->m->dims, p->mesh, size_of(p, d), fine, coarse, rest->data, &rest->n);
}

/* Adds the step after which the value is in p->at. False where it does not become another. */
static bool step(struct planner *p, enum op_kind kind, const struct refs *axes, uint32_t d,
                 uint32_t split, const int64_t *from) {
  sharding_id after = module_shard(p->m, p->type, &p->at);
  struct conversion *c = p->out;
  if (after == p->at_id || c->n == CONVERSION_MAX_STEPS)
    return false;
  struct conversion_step *s = &c->steps[c->n++];
  *s = (struct conversion_step){.kind = kind,
                                .mesh = p->at.mesh,
                                .dim = d,
                                .split = split,
                                .from = from,
                                .before = p->at_id,
                                .after = after};
  if (axes) {
    s->n_axes = axes->n;
    memcpy(s->axes, axes->data, axes->n * sizeof *axes->data);
  }
  p->at_id = after;
  struct sharding room;
  p->at = *sharding_get(p->m, after, p->at.mesh, p->type->rank, &room);
  return true;
}

/* ---- a dim that becomes finer ---- */

static bool is_free(const struct planner *p, const struct axis_ref *ref) {
  if (!axis_refs_disjoint(p->mesh, p->at.partial.axes, p->at.partial.n_axes, ref, 1))
    return false;
  for (uint32_t d = 0; d < p->type->rank; d++)
    if (!axis_refs_disjoint(p->mesh, p->at.dims[d].axes, p->at.dims[d].n_axes, ref, 1))
      return false;
  return true;
}

/* The split of dim d by its axes and the first n of `rest`, on the way to the wanted one. */
static bool on_the_way(const struct planner *p, uint32_t d, const struct refs *rest, uint32_t n,
                       struct dim_split *out) {
  const struct dim_split *at = &p->at.dims[d], *to = &p->to.dims[d];
  struct refs ignored;
  *out = *to;
  if (n == rest->n)
    return true;
  if (at->n_axes + n > SHARDING_MAX_AXES_PER_DIM || to->order != SPLIT_BLOCK)
    return false;
  memcpy(out->axes, at->axes, at->n_axes * sizeof *at->axes);
  memcpy(out->axes + at->n_axes, rest->data, n * sizeof *rest->data);
  out->n_axes = at->n_axes + n;
  dim_split_canonical(p->m->dims, p->mesh, size_of(p, d), out);
  return refines(p, d, to, out, &ignored) && refines(p, d, out, at, &ignored);
}

/* Splits dims along axes over which every rank has the same. Not of one value of a tuple, whose
 * other one it has to fit. */
static bool take(struct planner *p) {
  if (p->at.partial.kind >= PARTIAL_SOFTMAX)
    return false;
  for (uint32_t d = 0; d < p->type->rank; d++) {
    struct refs rest;
    struct dim_split split;
    if (!refines(p, d, &p->to.dims[d], &p->at.dims[d], &rest))
      continue;
    uint32_t n = 0;
    while (n < rest.n && is_free(p, &rest.data[n]))
      n++;
    for (; n > 0; n--)
      if (on_the_way(p, d, &rest, n, &split)) {
        p->at.dims[d] = split;
        break;
      }
  }
  return step(p, OP_SHARD, NULL, 0, 0, NULL);
}

/* ---- partials ---- */

/* The axes over which the value is partial and not wanted so. */
static struct refs merged_axes(const struct planner *p) {
  struct refs r = {.n = 0};
  const struct partial *at = &p->at.partial, *to = &p->to.partial;
  bool kept = at->kind == to->kind;
  r.n = axis_refs_minus(p->mesh, at->axes, at->n_axes, to->axes, kept ? to->n_axes : 0, r.data);
  return r;
}

static void drop_partial(struct planner *p, const struct refs *axes) {
  struct refs left;
  struct partial *at = &p->at.partial;
  left.n = axis_refs_minus(p->mesh, at->axes, at->n_axes, axes->data, axes->n, left.data);
  enum partial_kind kind = at->kind;
  *at = (struct partial){0};
  if (left.n == 0 || left.n > MESH_MAX_AXES)
    return;
  at->kind = kind;
  at->n_axes = left.n;
  memcpy(at->axes, left.data, left.n * sizeof *left.data);
}

static bool may_scatter(enum partial_kind kind, uint32_t d) {
  switch (kind) {
  case PARTIAL_TOPK:
  case PARTIAL_BOTTOMK: return false;
  case PARTIAL_SOFTMAX: return d < 3; /* of both results */
  default: return true;
  }
}

/* Merges into parts of a dim that is wanted split along axes of the partial. */
static bool scatter(struct planner *p) {
  struct refs merged = merged_axes(p);
  enum partial_kind kind = p->at.partial.kind;
  for (uint32_t d = 0; merged.n && d < p->type->rank; d++) {
    struct refs rest;
    struct dim_split split;
    uint32_t n = 0;
    if (!may_scatter(kind, d) || !refines(p, d, &p->to.dims[d], &p->at.dims[d], &rest))
      continue;
    while (n < rest.n && axis_refs_contain(p->mesh, merged.data, merged.n, &rest.data[n], 1))
      n++;
    for (; n > 0; n--)
      if (on_the_way(p, d, &rest, n, &split)) {
        rest.n = n;
        p->at.dims[d] = split;
        drop_partial(p, &rest);
        return step(p, kind >= PARTIAL_SOFTMAX ? OP_MERGE : OP_REDUCE_SCATTER, &rest, d, 0, NULL);
      }
  }
  return false;
}

static bool merge(struct planner *p) {
  struct refs merged = merged_axes(p);
  enum partial_kind kind = p->at.partial.kind;
  if (merged.n == 0)
    return false;
  drop_partial(p, &merged);
  return step(p, kind >= PARTIAL_SOFTMAX ? OP_MERGE : OP_ALL_REDUCE, &merged, CONVERSION_NO_DIM, 0,
              NULL);
}

/* ---- exchanges ---- */

static bool same_refs(const struct refs *a, const struct refs *b) {
  if (a->n != b->n)
    return false;
  for (uint32_t i = 0; i < a->n; i++)
    if (a->data[i].axis != b->data[i].axis || a->data[i].sub_size != b->data[i].sub_size ||
        a->data[i].sub_stride != b->data[i].sub_stride)
      return false;
  return true;
}

/* One dim put together while another is split along the same axes. */
static bool exchange(struct planner *p) {
  for (uint32_t g = 0; g < p->type->rank; g++) {
    struct refs gathered, split;
    if (!refines(p, g, &p->at.dims[g], &p->to.dims[g], &gathered) || gathered.n == 0)
      continue;
    for (uint32_t s = 0; s < p->type->rank; s++) {
      if (s == g || !refines(p, s, &p->to.dims[s], &p->at.dims[s], &split) ||
          !same_refs(&gathered, &split))
        continue;
      p->at.dims[g] = p->to.dims[g];
      p->at.dims[s] = p->to.dims[s];
      return step(p, OP_ALL_TO_ALL, &gathered, g, s, NULL);
    }
  }
  return false;
}

/* The same parts on other ranks. */
static bool permute(struct planner *p) {
  for (uint32_t d = 0; d < p->type->rank; d++) {
    const struct dim_split *at = &p->at.dims[d], *to = &p->to.dims[d];
    if (at->n_axes == 0 || dim_split_equal(at, to) || at->granule != to->granule ||
        at->order != to->order || at->block != to->block ||
        !axis_refs_contain(p->mesh, at->axes, at->n_axes, to->axes, to->n_axes) ||
        !axis_refs_contain(p->mesh, to->axes, to->n_axes, at->axes, at->n_axes))
      continue;
    struct refs axes = {.n = to->n_axes};
    memcpy(axes.data, to->axes, to->n_axes * sizeof *to->axes);
    int64_t places = axis_refs_size(p->mesh, axes.data, axes.n);
    int64_t *from = ARENA_ARRAY(p->arena, int64_t, (size_t)places);
    for (int64_t i = 0; i < places; i++) {
      int64_t coords[MESH_MAX_AXES] = {0}, there[MESH_MAX_AXES];
      mesh_coords(p->mesh, axis_refs_rank(p->mesh, axes.data, axes.n, coords, i), there);
      from[axis_refs_coord(p->mesh, at->axes, at->n_axes, there)] = i;
    }
    p->at.dims[d] = *to;
    return step(p, OP_PERMUTE, &axes, d, 0, from);
  }
  return false;
}

/* Puts a dim together as far as it must be: to the wanted split, or one that it refines. */
static bool gather(struct planner *p) {
  for (uint32_t d = 0; d < p->type->rank; d++) {
    struct dim_split *at = &p->at.dims[d], kept = p->to.dims[d];
    struct refs ignored, gathered;
    if (refines(p, d, &p->to.dims[d], at, &ignored))
      continue;
    for (uint32_t k = at->n_axes;
         !refines(p, d, at, &kept, &gathered) || !refines(p, d, &p->to.dims[d], &kept, &ignored);) {
      kept = *at;
      kept.n_axes = --k;
      dim_split_canonical(p->m->dims, p->mesh, size_of(p, d), &kept);
    }
    *at = kept;
    return step(p, OP_ALL_GATHER, &gathered, d, 0, NULL);
  }
  return false;
}

/* Whole, or partial over some axes, to partial over more. */
static bool become_partial(struct planner *p) {
  if (p->to.partial.kind != PARTIAL_SUM ||
      (p->at.partial.kind != PARTIAL_NONE && p->at.partial.kind != PARTIAL_SUM))
    return false;
  for (uint32_t d = 0; d < p->type->rank; d++)
    if (!dim_split_equal(&p->at.dims[d], &p->to.dims[d]))
      return false;
  p->at.partial = p->to.partial;
  return step(p, OP_SHARD, NULL, 0, 0, NULL);
}

bool conversion_plan(struct module *m, const struct type *type, uint32_t mesh, sharding_id from,
                     sharding_id to, struct arena *arena, struct conversion *out) {
  struct sharding room;
  struct planner p = {.m = m,
                      .mesh = m->meshes.data[mesh],
                      .type = type,
                      .arena = arena,
                      .at_id = from,
                      .out = out};
  out->n = 0;
  p.at = *sharding_get(m, from, mesh, type->rank, &room);
  p.to = *sharding_get(m, to, mesh, type->rank, &room);
  while (p.at_id != to)
    if (!take(&p) && !scatter(&p) && !merge(&p) && !exchange(&p) && !permute(&p) && !gather(&p) &&
        !become_partial(&p))
      return false;
  return true;
}

/* ---- building ---- */

/* The other value of a merged tuple goes the way of the first. */
static sharding_id partner_sharding(struct module *m, const struct conversion_step *step,
                                    const struct type *type) {
  struct sharding room, first_room;
  struct sharding s = *sharding_get(m, type->sharding, 0, type->rank, &room);
  const struct sharding *first = sharding_get(m, step->after, s.mesh, type->rank, &first_room);
  s.partial = first->partial;
  if (step->dim != CONVERSION_NO_DIM)
    s.dims[step->dim] = first->dims[step->dim];
  return module_shard(m, type, &s);
}

static op_id build_step(struct builder *b, const struct conversion_step *step,
                        const value_id *operands, int64_t axis, struct ints axes,
                        struct ints parts) {
  uint32_t n = step->kind == OP_MERGE ? 2 : 1;
  union {
    struct shard_attrs shard;
    struct all_reduce_attrs all_reduce;
    struct reduce_scatter_attrs reduce_scatter;
    struct all_gather_attrs all_gather;
    struct all_to_all_attrs all_to_all;
    struct permute_attrs permute;
    struct merge_attrs merge;
  } a;
  switch (step->kind) {
  case OP_ALL_REDUCE: a.all_reduce = (struct all_reduce_attrs){axes, parts}; break;
  case OP_REDUCE_SCATTER:
    a.reduce_scatter = (struct reduce_scatter_attrs){axes, parts, step->dim};
    break;
  case OP_ALL_GATHER: a.all_gather = (struct all_gather_attrs){axes, parts, step->dim}; break;
  case OP_ALL_TO_ALL:
    a.all_to_all = (struct all_to_all_attrs){axes, parts, step->dim, step->split};
    break;
  case OP_PERMUTE: {
    const struct mesh *mesh = b->function->module->meshes.data[step->mesh];
    int64_t places = axis_refs_size(mesh, step->axes, step->n_axes);
    a.permute = (struct permute_attrs){axes, parts, {step->from, (uint32_t)places}};
    break;
  }
  case OP_MERGE: a.merge = (struct merge_attrs){axes, parts, axis}; break;
  default: a.shard = (struct shard_attrs){};
  }
  return build_op(b, step->kind, operands, n, NULL, 0, &a);
}

void conversion_build(struct builder *b, const struct conversion_step *step,
                      const value_id *operands, int64_t axis, value_id *out_results) {
  struct function *f = b->function;
  int64_t axes[AXIS_REFS_ROOM], parts[2 * AXIS_REFS_ROOM];
  bool any_part = false;
  for (uint32_t i = 0; i < step->n_axes; i++) {
    axes[i] = step->axes[i].axis;
    parts[2 * i] = step->axes[i].sub_size;
    parts[2 * i + 1] = step->axes[i].sub_stride;
    any_part |= step->axes[i].sub_size != 0;
  }
  struct ints axis_list = {axes, step->n_axes};
  struct ints part_list = {any_part ? parts : NULL, any_part ? 2 * step->n_axes : 0};
  op_id op = build_step(b, step, operands, axis, axis_list, part_list);
  for (uint32_t i = 0; i < (step->kind == OP_MERGE ? 2u : 1u); i++) {
    out_results[i] = op_result(f, op, i);
    if (out_results[i] == VALUE_NONE)
      continue;
    sharding_id after =
        i ? partner_sharding(f->module, step, value_type(f, operands[1])) : step->after;
    f->values.data[out_results[i]].type.sharding = after;
  }
}

/* ---- bytes ---- */

static int64_t most_of_dim(const struct mesh *mesh, const struct dim_split *split, int64_t n) {
  static const int64_t origin[MESH_MAX_AXES];
  struct shard_part part = shard_part_of(mesh, origin, split, n);
  int64_t most = 0;
  for (part.part = 0; part.part < part.parts; part.part++) {
    int64_t count = shard_part_count(&part);
    most = count > most ? count : most;
  }
  return most;
}

static uint64_t most_elements(const struct mesh *mesh, const struct dim_split *splits,
                              uint32_t rank, const int64_t *dims) {
  uint64_t count = 1;
  for (uint32_t d = 0; d < rank; d++)
    if (!u64_mul(count, (uint64_t)most_of_dim(mesh, &splits[d], dims[d]), &count))
      return UINT64_MAX;
  return count;
}

uint64_t sharding_most_elements(const struct mesh *mesh, const struct sharding *s, uint32_t rank,
                                const int64_t *dims) {
  return most_elements(mesh, s->dims, rank, dims);
}

uint64_t conversion_step_elements(const struct module *m, const struct conversion_step *step,
                                  uint32_t rank, const int64_t *dims) {
  const struct mesh *mesh = m->meshes.data[step->mesh];
  struct sharding rooms[2];
  const struct sharding *before = sharding_get(m, step->before, step->mesh, rank, &rooms[0]);
  const struct sharding *after = sharding_get(m, step->after, step->mesh, rank, &rooms[1]);
  uint64_t others = (uint64_t)axis_refs_size(mesh, step->axes, step->n_axes) - 1, each;
  struct dim_split splits[IR_MAX_RANK];
  switch (step->kind) {
  case OP_SHARD: return 0;
  case OP_ALL_REDUCE:
    each = most_elements(mesh, before->dims, rank, dims);
    each = each / (others + 1) + (each % (others + 1) != 0);
    others *= 2;
    break;
  case OP_ALL_TO_ALL:
    memcpy(splits, before->dims, sizeof splits);
    splits[step->split] = after->dims[step->split];
    each = most_elements(mesh, splits, rank, dims);
    break;
  case OP_PERMUTE:
    others = 1;
    each = most_elements(mesh, before->dims, rank, dims);
    break;
  case OP_REDUCE_SCATTER: each = most_elements(mesh, after->dims, rank, dims); break;
  case OP_MERGE:
    each = most_elements(mesh, (step->dim == CONVERSION_NO_DIM ? before : after)->dims, rank, dims);
    break;
  default: each = most_elements(mesh, before->dims, rank, dims);
  }
  return u64_mul(each, others, &each) ? each : UINT64_MAX;
}
