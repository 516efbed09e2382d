/* SPDX-License-Identifier: Apache-2.0 */
/* localise: collectives as exchanges of buffers that are the same size on all ranks of a group, and
 * views of them. */
#include "passes/partition/localise_parts.h"
#include "passes/partition/part_views.h"

#include "ir/ops/collective_util.h"
#include "ir/shard_index.h"
#include "ir/sharding_form.h"

#include <string.h>

/* ---- groups ---- */

static const struct mesh *mesh_of(const struct localise *l, const struct localise_group *g) {
  return l->m->meshes.data[g->mesh];
}

bool localise_group(struct localise *l, const struct op *op, struct localise_group *out) {
  value_id v = value_type(l->from, op->operands[0])->sharding ? op->operands[0] : op->results[0];
  *out = (struct localise_group){.mesh = localise_sharding(l, v)->mesh};
  if (out->mesh >= l->m->meshes.len) {
    localise_fail(l, op, "there is no mesh to act on");
    return false;
  }
  if (op->kind != OP_SHARD)
    out->n = collective_axes(op, out->refs);
  for (uint32_t i = 0; i < out->n; i++)
    if (!axis_ref_check(mesh_of(l, out), &out->refs[i])) {
      localise_fail(l, op, "the mesh does not have these axes");
      return false;
    }
  return true;
}

op_id localise_exchange(struct localise *l, const struct localise_group *g, enum exchange_kind kind,
                        enum partial_kind reduce, const struct ints *from, const value_id *xs,
                        uint32_t n) {
  int64_t triples[3 * MESH_MAX_AXES];
  for (uint32_t i = 0; i < g->n; i++) {
    const struct axis_ref *ref = &g->refs[i];
    triples[3 * i] = ref->axis;
    triples[3 * i + 1] = axis_ref_size(mesh_of(l, g), ref);
    triples[3 * i + 2] = ref->sub_size ? ref->sub_stride : 1;
  }
  struct exchange_attrs a = {.kind = kind,
                             .reduce = reduce,
                             .mesh = g->mesh,
                             .group = {triples, 3 * g->n},
                             .from = from ? *from : (struct ints){0}};
  return build_op(&l->b, OP_EXCHANGE, xs, n, NULL, 0, &a);
}

static value_id exchange(struct localise *l, const struct localise_group *g,
                         enum exchange_kind kind, enum partial_kind reduce, const struct ints *from,
                         value_id x) {
  return op_result(l->b.function, localise_exchange(l, g, kind, reduce, from, &x, 1), 0);
}

/* ---- a dim that is split further ---- */

/* The part that the axes `rest` of `fine` cut of what `coarse`, by its other axes, leaves; in terms
 * of the coarse part. False where fine does not cut within the parts of coarse. */
static bool nested_part(struct localise *l, const struct mesh *mesh, struct dim_split coarse,
                        struct dim_split fine, dim n, struct part_dims *out,
                        struct localise_group *rest) {
  struct dim_table *t = l->m->dims;
  struct axis_ref refs[AXIS_REFS_ROOM];
  dim_split_canonical(t, mesh, n, &coarse);
  dim_split_canonical(t, mesh, n, &fine);
  bool refines = dim_split_refines(t, mesh, n, &fine, &coarse, refs, &rest->n);
  struct part_dims whole = part_dims_of(t, mesh, &fine, n);
  struct part_dims around = part_dims_of(t, mesh, &coarse, n);
  if (!refines || rest->n > MESH_MAX_AXES)
    return false;
  memcpy(rest->refs, refs, rest->n * sizeof *refs);
  *out = whole;
  if (coarse.n_axes) {
    out->n = part_dims_count(t, &around);
    out->parts = axis_refs_size(mesh, refs, rest->n);
    out->part = mesh_place(t, mesh, refs, rest->n);
  }
  return true;
}

bool localise_nested(struct localise *l, const struct op *op, const struct localise_group *g,
                     value_id whole, value_id part, uint32_t d, struct part_dims *out) {
  const struct mesh *mesh = mesh_of(l, g);
  struct localise_group cut = *g;
  if (!nested_part(l, mesh, localise_sharding(l, whole)->dims[d],
                   localise_sharding(l, part)->dims[d], value_type(l->from, whole)->dims[d], out,
                   &cut)) {
    localise_fail(l, op, "the parts of dim %u do not lie within the parts of the other side", d);
    return false;
  }
  if (op->kind == OP_SHARD)
    return true;
  struct axis_ref named[MESH_MAX_AXES];
  memcpy(named, g->refs, sizeof named);
  uint32_t n = axis_refs_canonical(mesh, named, g->n);
  cut.n = axis_refs_canonical(mesh, cut.refs, cut.n);
  bool same = n == cut.n;
  for (uint32_t i = 0; same && i < n; i++)
    same = named[i].axis == cut.refs[i].axis && named[i].sub_size == cut.refs[i].sub_size &&
           named[i].sub_stride == cut.refs[i].sub_stride;
  if (same)
    return true;
  localise_fail(l, op, "dim %u is not cut by the axes that the op names, in that order", d);
  return false;
}

/* ---- the collectives ---- */

static void all_reduce(struct localise *l, const struct op *op, const struct localise_group *g) {
  enum partial_kind kind = localise_sharding(l, op->operands[0])->partial.kind;
  value_id x = localise_operand(l, op, 0);
  localise_set(l, op, 0, exchange(l, g, EXCHANGE_ALL_REDUCE, kind, NULL, x));
}

static void reduce_scatter(struct localise *l, const struct op *op,
                           const struct localise_group *g) {
  uint32_t d = (uint32_t)OP_ATTRS(reduce_scatter, op)->dim;
  enum partial_kind kind = localise_sharding(l, op->operands[0])->partial.kind;
  struct part_dims p;
  if (!localise_nested(l, op, g, op->operands[0], op->results[0], d, &p))
    return;
  value_id x = part_view_group(&l->b, &p, localise_operand(l, op, 0), d);
  x = exchange(l, g, EXCHANGE_REDUCE_SCATTER, kind, NULL, x);
  localise_set(l, op, 0, part_view_unchunk(&l->b, &p, x, d));
}

static void all_gather(struct localise *l, const struct op *op, const struct localise_group *g) {
  uint32_t d = (uint32_t)OP_ATTRS(all_gather, op)->dim;
  struct part_dims p;
  if (!localise_nested(l, op, g, op->results[0], op->operands[0], d, &p))
    return;
  value_id x = part_view_chunk(&l->b, &p, localise_operand(l, op, 0), d);
  x = exchange(l, g, EXCHANGE_ALL_GATHER, PARTIAL_NONE, NULL, x);
  localise_set(l, op, 0, part_view_ungroup(&l->b, &p, x, d));
}

static void all_to_all(struct localise *l, const struct op *op, const struct localise_group *g) {
  uint32_t gather = (uint32_t)OP_ATTRS(all_to_all, op)->gather;
  uint32_t split = (uint32_t)OP_ATTRS(all_to_all, op)->split;
  struct part_dims from, to;
  if (gather == split) {
    localise_fail(l, op, "one dim is gathered and split");
    return;
  }
  if (!localise_nested(l, op, g, op->results[0], op->operands[0], gather, &from) ||
      !localise_nested(l, op, g, op->operands[0], op->results[0], split, &to))
    return;
  /* In front is the rank; behind `split` there is one dim more. */
  uint32_t moved = gather + (gather > split);
  value_id x = part_view_group(&l->b, &to, localise_operand(l, op, 0), split);
  x = part_view_chunk(&l->b, &from, x, moved + 1);
  x = exchange(l, g, EXCHANGE_ALL_TO_ALL, PARTIAL_NONE, NULL, x);
  x = part_view_ungroup(&l->b, &from, x, moved);
  localise_set(l, op, 0, part_view_unchunk(&l->b, &to, x, split));
}

/* A rank's part of the result is another's of the operand. */
static void permute(struct localise *l, const struct op *op, const struct localise_group *g) {
  struct type to = localise_type(l, op->results[0]);
  value_id x = localise_operand(l, op, 0);
  for (uint32_t d = 0; d < to.rank; d++) {
    struct part_dims p = localise_part(l, op->operands[0], d);
    x = part_view_pad(&l->b, x, d, part_dims_most(l->m->dims, &p));
  }
  x = exchange(l, g, EXCHANGE_PERMUTE, PARTIAL_NONE, &OP_ATTRS(permute, op)->from, x);
  for (uint32_t d = 0; d < to.rank; d++)
    x = part_view_cut(&l->b, x, d, dim_const(l->m->dims, 0), to.dims[d]);
  localise_set(l, op, 0, x);
}

/* The dim that is split further in a result of a merge than in its operand; the rank where none is.
 */
static uint32_t scattered_dim(const struct localise *l, const struct op *op, uint32_t i) {
  const struct sharding *from = localise_sharding(l, op->operands[i]);
  const struct sharding *to = localise_sharding(l, op->results[i]);
  uint32_t d = 0, rank = value_type(l->from, op->results[i])->rank;
  while (d < rank && dim_split_equal(&from->dims[d], &to->dims[d]))
    d++;
  return d;
}

/* What the ranks have of a member of a tuple, made ready to be exchanged: all of it, or the parts
 * that each rank keeps. */
struct member {
  bool scattered;
  uint32_t d;
  struct part_dims part;
  value_id x;
};

static struct member member_of(struct localise *l, const struct op *op,
                               const struct localise_group *g, uint32_t i) {
  struct member m = {.d = scattered_dim(l, op, i), .x = localise_operand(l, op, i)};
  m.scattered = m.d < value_type(l->from, op->results[i])->rank;
  if (m.scattered && localise_nested(l, op, g, op->operands[i], op->results[i], m.d, &m.part))
    m.x = part_view_group(&l->b, &m.part, m.x, m.d);
  return m;
}

/* Both members of a tuple from all ranks, at once where they go the same way, then one merge on
 * each. */
static void merge(struct localise *l, const struct op *op, const struct localise_group *g) {
  struct member m[2] = {member_of(l, op, g, 0), member_of(l, op, g, 1)};
  value_id gathered[2] = {m[0].x, m[1].x};
  if (l->failure)
    return;
  if (m[0].scattered == m[1].scattered) {
    enum exchange_kind kind = m[0].scattered ? EXCHANGE_ALL_TO_ALL : EXCHANGE_ALL_GATHER;
    op_id made = localise_exchange(l, g, kind, PARTIAL_NONE, NULL, gathered, 2);
    for (uint32_t i = 0; i < 2; i++)
      gathered[i] = op_result(l->b.function, made, i);
  } else {
    for (uint32_t i = 0; i < 2; i++)
      gathered[i] = exchange(l, g, m[i].scattered ? EXCHANGE_ALL_TO_ALL : EXCHANGE_ALL_GATHER,
                             PARTIAL_NONE, NULL, m[i].x);
  }
  for (uint32_t i = 0; i < 2; i++)
    if (m[i].scattered)
      gathered[i] = part_view_unchunk(&l->b, &m[i].part, gathered[i], m[i].d + 1);
  struct combine_attrs a = {localise_sharding(l, op->operands[0])->partial.kind,
                            OP_ATTRS(merge, op)->axis};
  if (a.kind != PARTIAL_TOPK && a.kind != PARTIAL_BOTTOMK)
    a.axis = 0;
  op_id made = build_op(&l->b, OP_COMBINE, gathered, 2, NULL, 0, &a);
  for (uint32_t i = 0; i < 2; i++)
    localise_set(l, op, i, op_result(l->b.function, made, i));
}

/* Of what the rank has; zeros where the value becomes partial and another rank keeps it. */
static void shard(struct localise *l, const struct op *op, const struct localise_group *g) {
  const struct mesh *mesh = mesh_of(l, g);
  const struct sharding *from = localise_sharding(l, op->operands[0]);
  const struct sharding *to = localise_sharding(l, op->results[0]);
  value_id x = localise_operand(l, op, 0);
  for (uint32_t d = 0; d < value_type(l->from, op->operands[0])->rank; d++) {
    struct part_dims p;
    if (!localise_nested(l, op, g, op->operands[0], op->results[0], d, &p))
      return;
    x = part_view_take(&l->b, &p, x, d);
  }
  struct axis_ref more[AXIS_REFS_ROOM];
  uint32_t n = axis_refs_minus(mesh, to->partial.axes, to->partial.n_axes, from->partial.axes,
                               from->partial.n_axes, more);
  if (n && x) {
    enum dtype dtype = value_type(l->b.function, x)->dtype;
    value_id zero = dtype_is_float(dtype) ? build_scalar_f64(&l->b, dtype, 0)
                                          : build_scalar_i64(&l->b, dtype, 0);
    dim place = mesh_place(l->m->dims, mesh, more, n);
    value_id first = build_binary_i64(&l->b, SCALAR_EQ, localise_dim_value(l, place), 0);
    x = build_select(&l->b, first, x, zero);
  }
  localise_set(l, op, 0, x);
}

bool localise_collective(struct localise *l, const struct op *op) {
  struct localise_group g;
  if (!(op_infos[op->kind].flags & OP_FLAG_RANKS) || op->kind == OP_EXCHANGE)
    return false;
  if (!localise_group(l, op, &g))
    return true;
  switch (op->kind) {
  case OP_SHARD: shard(l, op, &g); break;
  case OP_ALL_REDUCE: all_reduce(l, op, &g); break;
  case OP_REDUCE_SCATTER: reduce_scatter(l, op, &g); break;
  case OP_ALL_GATHER: all_gather(l, op, &g); break;
  case OP_ALL_TO_ALL: all_to_all(l, op, &g); break;
  case OP_PERMUTE: permute(l, op, &g); break;
  case OP_MERGE: merge(l, op, &g); break;
  default: localise_fail(l, op, "is not known here"); break;
  }
  return true;
}
