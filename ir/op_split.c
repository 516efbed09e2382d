/* SPDX-License-Identifier: Apache-2.0 */
/* From splits of factors to shardings of operands and results, and which ops are linear. */
#include "ir/op_split.h"

#include "ir/ops/op_util.h"
#include "ir/shard_index.h"
#include "ir/sharding_form.h"

#include <string.h>

/* ---- linear ops ---- */

enum degree { DEGREE_0, DEGREE_1, DEGREE_OTHER };

static bool keeps_bits(enum dtype from, enum dtype to) {
  return dtype_is_float(from) && dtype_is_float(to) && dtype_bits(from) <= dtype_bits(to) &&
         dtype_bits(from) >= 16;
}

/* Of a sum of two terms: both of one degree. Of a product: the sum of the degrees. */
static enum degree inst_degree(const struct scalar_body *body, const struct scalar_inst *inst,
                               const enum degree *of) {
  enum degree x = of[inst->args[0]], y = of[inst->args[1]], z = of[inst->args[2]];
  bool is_float = dtype_is_float(inst->dtype);
  switch (inst->op) {
  case SCALAR_CAST:
    return x == DEGREE_1 && !keeps_bits(body->insts[inst->args[0]].dtype, inst->dtype)
               ? DEGREE_OTHER
               : x;
  case SCALAR_NEG: return x;
  case SCALAR_ADD:
  case SCALAR_SUB: return x == y ? x : DEGREE_OTHER;
  case SCALAR_MUL: return x == DEGREE_0 ? y : y == DEGREE_0 ? x : DEGREE_OTHER;
  case SCALAR_DIV:
    return y != DEGREE_0 ? DEGREE_OTHER : x == DEGREE_1 && !is_float ? DEGREE_OTHER : x;
  case SCALAR_SELECT: return x != DEGREE_0 || y != z ? DEGREE_OTHER : y;
  default: break;
  }
  for (uint32_t i = 0; i < scalar_infos[inst->op].arity; i++)
    if (of[inst->args[i]] != DEGREE_0)
      return DEGREE_OTHER;
  return DEGREE_0;
}

static bool map_is_linear(const struct op *op, uint32_t operands) {
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  enum degree of[128] = {0};
  if (body->len == 0 || body->len > 128)
    return false;
  for (uint32_t i = 0; i < body->len; i++) {
    const struct scalar_inst *inst = &body->insts[i];
    if (inst->op == SCALAR_ARG)
      of[i] = operands >> inst->args[0] & 1 ? DEGREE_1 : DEGREE_0;
    else
      of[i] = inst->op == SCALAR_CONST ? DEGREE_0 : inst_degree(body, inst, of);
  }
  return of[body->len - 1] == DEGREE_1;
}

static bool reduces_as(const struct reduce_attrs *a, enum partial_kind kind) {
  static const enum combiner combiners[] = {[PARTIAL_SUM] = COMBINER_SUM,
                                            [PARTIAL_MAX] = COMBINER_MAX,
                                            [PARTIAL_MIN] = COMBINER_MIN,
                                            [PARTIAL_PROD] = COMBINER_PROD};
  return kind <= PARTIAL_PROD && a->kind == combiners[kind];
}

bool op_is_linear(const struct function *f, const struct op *op, enum partial_kind kind,
                  uint32_t operands) {
  if (kind < PARTIAL_SUM || kind > PARTIAL_PROD || op->n_operands > 32)
    return false;
  switch (op->kind) {
  case OP_RESHAPE:
  case OP_TRANSPOSE:
  case OP_BROADCAST:
  case OP_SLICE: return operands == 1;
  case OP_CONCAT: return operands == (uint32_t)((UINT64_C(1) << op->n_operands) - 1);
  case OP_REDUCE:
    return operands == 1 && op->n_results == 1 && reduces_as(OP_ATTRS(reduce, op), kind);
  case OP_MAP: return kind == PARTIAL_SUM && map_is_linear(op, operands);
  case OP_CONTRACT:
  case OP_CONV: {
    enum dtype x = value_type(f, op->operands[0])->dtype, y = value_type(f, op->operands[1])->dtype;
    return kind == PARTIAL_SUM && (operands == 1 || operands == 2) && dtype_is_float(x) &&
           dtype_is_float(y) && dtype_bits(value_type(f, op->results[0])->dtype) >= dtype_bits(x);
  }
  default: return false;
  }
}

/* ---- shardings ---- */

struct splitting {
  const struct module *m;
  const struct mesh *mesh;
  const struct op *op;
  const struct factor_list *factors;
  const struct op_split *split;
  struct strbuf *why;
};

static int64_t parts_of(const struct splitting *s, const struct factor_split *x) {
  return axis_refs_size(s->mesh, x->axes, x->n_axes);
}

static int64_t extent_of(const struct splitting *s, const struct factor *x) {
  int64_t extent;
  return dim_is_const(s->m->dims, x->extent, &extent) ? extent : 0;
}

static bool check_axes(const struct splitting *s, const struct axis_ref *refs, uint32_t n,
                       uint32_t most) {
  if (n == 0 || n > most)
    return op_refuse(s->why, "%u axes", n);
  for (uint32_t i = 0; i < n; i++) {
    if (!axis_ref_check(s->mesh, &refs[i]))
      return op_refuse(s->why, "an axis that the mesh does not have");
    if (!axis_refs_disjoint(s->mesh, refs, i, &refs[i], 1))
      return op_refuse(s->why, "axis '%s' twice", s->mesh->axes[refs[i].axis].name);
  }
  return true;
}

static bool check_splits(const struct splitting *s) {
  const struct op_split *split = s->split;
  for (uint32_t i = 0; i < split->n; i++) {
    const struct factor_split *x = &split->splits[i];
    if (x->factor >= s->factors->factors.len)
      return op_refuse(s->why, "has no factor %u", x->factor);
    if ((unsigned)x->order > SPLIT_INTERLEAVED || x->granule < 0 ||
        (x->order == SPLIT_INTERLEAVED && (x->block < 1 || x->granule > 1)))
      return op_refuse(s->why, "an order or granule that is none");
    if (!check_axes(s, x->axes, x->n_axes, SHARDING_MAX_AXES_PER_DIM))
      return false;
    for (uint32_t k = 0; k < i; k++)
      if (split->splits[k].factor == x->factor ||
          !axis_refs_disjoint(s->mesh, split->splits[k].axes, split->splits[k].n_axes, x->axes,
                              x->n_axes))
        return op_refuse(s->why, "a factor or an axis is split twice");
    if (split->passed.kind &&
        !axis_refs_disjoint(s->mesh, split->passed.axes, split->passed.n_axes, x->axes, x->n_axes))
      return op_refuse(s->why, "an axis is split and passed");
  }
  return true;
}

/* The dim under one more factor. Two meet in a dim where the outer gives every part one unit, and
 * the inner splits evenly: then the parts follow each other in order. */
static bool add_to_dim(const struct splitting *s, const struct factor_split *split,
                       const struct factor *x, const struct factor_map *map, struct dim_split *d,
                       int64_t *outer_units) {
  int64_t extent = extent_of(s, x), parts = parts_of(s, split);
  struct dim_split own;
  struct factor_map scaled = *map;
  bool meets = d->n_axes > 0;
  int64_t granule = split->granule > 1 ? split->granule : 1;
  if (map->outer > 1 && extent % granule)
    return op_refuse(s->why, "factor '%s' of %lld in granules of %lld", x->name, (long long)extent,
                     (long long)granule);
  if (map->outer > 1)
    extent /= granule;
  scaled.granule *= granule;
  if (meets && map->outer != *outer_units)
    return op_refuse(s->why, "factors '%s' and another meet in one dim", x->name);
  if (meets)
    scaled.outer = 1;
  if (!factor_dim_split(&scaled, extent, split->axes, split->n_axes, parts, split->order,
                        split->block, &own))
    return op_refuse(s->why, "factor '%s' of %lld in %lld parts is not even within a dim", x->name,
                     (long long)extent, (long long)parts);
  if (!meets) {
    *d = own;
    *outer_units = map->outer == 1 && extent == parts && split->order == SPLIT_BLOCK ? parts : -1;
    return true;
  }
  if (split->order != SPLIT_BLOCK || extent % parts || d->order != SPLIT_BLOCK ||
      d->n_axes + own.n_axes > SHARDING_MAX_AXES_PER_DIM)
    return op_refuse(s->why, "factor '%s' is not even within another's parts", x->name);
  memcpy(d->axes + d->n_axes, own.axes, own.n_axes * sizeof *own.axes);
  d->n_axes += own.n_axes;
  d->granule = own.granule;
  *outer_units = -1;
  return true;
}

/* The split of dim d of a value; outer factors first. */
static bool split_dim(const struct splitting *s, bool result, uint32_t index, uint32_t d,
                      struct dim_split *out) {
  int64_t outer_units = -1;
  for (int inner = 0; inner < 2; inner++)
    for (uint32_t i = 0; i < s->split->n; i++) {
      const struct factor_split *split = &s->split->splits[i];
      const struct factor *x = &s->factors->factors.data[split->factor];
      const struct factor_map *map = result ? &x->results[index] : &x->operands[index];
      if (map->dim != d || (map->outer > 1) != inner)
        continue;
      if (!add_to_dim(s, split, x, map, out, &outer_units))
        return false;
    }
  return true;
}

static bool add_partial(const struct splitting *s, struct partial *to, enum partial_kind kind,
                        const struct axis_ref *axes, uint32_t n) {
  if (to->kind != PARTIAL_NONE && to->kind != kind)
    return op_refuse(s->why, "would be partial in two ways");
  if (to->n_axes + n > MESH_MAX_AXES)
    return op_refuse(s->why, "would be partial over too many axes");
  to->kind = kind;
  memcpy(to->axes + to->n_axes, axes, n * sizeof *axes);
  to->n_axes += n;
  return true;
}

static bool add_partials(const struct splitting *s, struct partial *to) {
  for (uint32_t i = 0; i < s->split->n; i++) {
    const struct factor_split *split = &s->split->splits[i];
    const struct factor *x = &s->factors->factors.data[split->factor];
    if (x->kind == FACTOR_CONTRACTED && !add_partial(s, to, x->partial, split->axes, split->n_axes))
      return false;
  }
  return true;
}

static bool value_sharding(const struct splitting *s, const struct type *type, bool result,
                           uint32_t index, uint32_t mesh, sharding_id *out) {
  struct sharding sharding = {.mesh = mesh, .rank = type->rank};
  const struct partial *passed = &s->split->passed;
  for (uint32_t d = 0; d < type->rank; d++)
    if (!split_dim(s, result, index, d, &sharding.dims[d]))
      return false;
  if (result && !add_partials(s, &sharding.partial))
    return false;
  if (passed->kind && (result || (index < 32 && s->split->passed_by >> index & 1)) &&
      !add_partial(s, &sharding.partial, passed->kind, passed->axes, passed->n_axes))
    return false;
  *out = module_shard((struct module *)s->m, type, &sharding);
  return true;
}

bool op_split_shardings(const struct function *f, const struct op *op,
                        const struct factor_list *factors, uint32_t mesh,
                        const struct op_split *split, sharding_id *out_operands,
                        sharding_id *out_results, struct strbuf *why) {
  struct splitting s = {.m = f->module,
                        .mesh = f->module->meshes.data[mesh],
                        .op = op,
                        .factors = factors,
                        .split = split,
                        .why = why};
  if (!check_splits(&s))
    return false;
  if (split->passed.kind) {
    if (!check_axes(&s, split->passed.axes, split->passed.n_axes, MESH_MAX_AXES))
      return false;
    if (!op_is_linear(f, op, split->passed.kind, split->passed_by))
      return op_refuse(why, "is not linear in the operands that it reads partial");
  }
  for (uint32_t i = 0; i < op->n_operands; i++)
    if (!value_sharding(&s, value_type(f, op->operands[i]), false, i, mesh, &out_operands[i]))
      return false;
  for (uint32_t i = 0; i < op->n_results; i++)
    if (!value_sharding(&s, value_type(f, op->results[i]), true, i, mesh, &out_results[i]))
      return false;
  return true;
}

/* ---- the way back ---- */

struct recovery {
  const struct splitting *s;
  const struct sharding *const *operands, *const *results;
  const struct factor_split *found; /* by factor; n_axes 0: none */
  bool *known;
};

/* The map of a factor to a value, operands counted first; and the split of that dim. */
static const struct factor_map *map_of(const struct recovery *r, const struct factor *x,
                                       uint32_t value, const struct dim_split **out_split) {
  uint32_t n = r->s->factors->n_operands;
  const struct sharding *sharding = value < n ? r->operands[value] : r->results[value - n];
  const struct factor_map *map = value < n ? &x->operands[value] : &x->results[value - n];
  if (map->dim == FACTOR_WHOLE || !sharding)
    return NULL;
  *out_split = &sharding->dims[map->dim];
  return map;
}

/* Another factor that maps to the same dim of a value; NULL. */
static const struct factor *other_in(const struct recovery *r, const struct factor *x,
                                     uint32_t value, uint32_t *out_number) {
  const struct dim_split *split;
  const struct factor_map *mine = map_of(r, x, value, &split);
  for (uint32_t i = 0; i < r->s->factors->factors.len; i++) {
    const struct factor *y = &r->s->factors->factors.data[i];
    const struct factor_map *theirs = y == x ? NULL : map_of(r, y, value, &split);
    *out_number = i;
    if (theirs && theirs->dim == mine->dim)
      return y;
  }
  return NULL;
}

static struct factor_split back(uint32_t number, const struct factor_map *map,
                                const struct dim_split *d, const struct axis_ref *axes,
                                uint32_t n) {
  struct factor_split x = {.factor = number, .n_axes = n};
  memcpy(x.axes, axes, n * sizeof *axes);
  if (map->outer > 1)
    return x;
  x.order = d->order;
  x.granule = d->granule % map->granule ? 1 : d->granule / map->granule;
  x.block = d->block / map->granule;
  if (x.order == SPLIT_INTERLEAVED)
    x.granule = 1;
  return x;
}

/* From a dim that only this factor maps to, split if possible. */
static bool from_own_dim(const struct recovery *r, uint32_t number, struct factor_split *out) {
  const struct factor *x = &r->s->factors->factors.data[number];
  bool any = false;
  uint32_t other;
  for (uint32_t v = 0; v < r->s->factors->n_operands + r->s->factors->n_results; v++) {
    const struct dim_split *d;
    const struct factor_map *map = map_of(r, x, v, &d);
    if (!map || other_in(r, x, v, &other))
      continue;
    if (!any || (out->n_axes == 0 && d->n_axes))
      *out = back(number, map, d, d->axes, d->n_axes);
    any = true;
  }
  return any;
}

/* The first axes of a list, of that many parts together. */
static uint32_t axes_of_size(const struct mesh *mesh, const struct axis_ref *axes, uint32_t n,
                             int64_t size, struct axis_ref *out) {
  uint32_t k = 0;
  for (; k < n && size > 1; k++) {
    int64_t has = axis_ref_size(mesh, &axes[k]);
    out[k] = axes[k];
    if (size < has && has % size == 0) {
      int64_t stride = axes[k].sub_size ? axes[k].sub_stride : 1;
      out[k].sub_size = size;
      out[k].sub_stride = stride * (has / size);
      size = 1;
    } else {
      size = size % has ? 0 : size / has;
    }
  }
  return size == 1 ? k : 0;
}

/* A dim of two factors: what is left of its axes by the one that is known, or a guess. */
static void from_shared_dim(const struct recovery *r, uint32_t number, uint32_t attempt,
                            struct factor_split *out) {
  const struct factor *x = &r->s->factors->factors.data[number];
  const struct mesh *mesh = r->s->mesh;
  for (uint32_t v = 0; v < r->s->factors->n_operands + r->s->factors->n_results; v++) {
    const struct dim_split *d;
    const struct factor_map *map = map_of(r, x, v, &d);
    struct axis_ref axes[AXIS_REFS_ROOM];
    uint32_t other, n;
    if (!map || d->n_axes == 0 || !other_in(r, x, v, &other))
      continue;
    n = d->n_axes;
    if (r->known[other]) {
      n = axis_refs_minus(mesh, d->axes, n, r->found[other].axes, r->found[other].n_axes, axes);
      if (n <= SHARDING_MAX_AXES_PER_DIM)
        *out = back(number, map, d, axes, n);
    } else if (attempt == 1) {
      n = axes_of_size(mesh, d->axes, n, extent_of(r->s, x), axes);
      *out = back(number, map, d, axes, n);
    } else if (attempt == 0) {
      *out = back(number, map, d, d->axes, n);
    }
    return;
  }
}

static void recover_passed(const struct recovery *r, const struct op_split *split,
                           struct op_split *out) {
  const struct op *op = r->s->op;
  if (op->n_results == 0 || !r->results[0] || r->results[0]->partial.kind == PARTIAL_NONE)
    return;
  struct partial made = {0};
  struct axis_ref left[AXIS_REFS_ROOM];
  struct splitting s = *r->s;
  s.split = split;
  const struct partial *has = &r->results[0]->partial;
  if (!add_partials(&s, &made))
    return;
  uint32_t n = axis_refs_minus(s.mesh, has->axes, has->n_axes, made.axes, made.n_axes, left);
  if (n == 0 || n > MESH_MAX_AXES)
    return;
  out->passed.kind = has->kind;
  out->passed.n_axes = n;
  memcpy(out->passed.axes, left, n * sizeof *left);
  for (uint32_t i = 0; i < op->n_operands && i < 32; i++)
    if (r->operands[i] && r->operands[i]->partial.kind != PARTIAL_NONE)
      out->passed_by |= 1u << i;
}

bool op_split_recover(const struct function *f, const struct op *op,
                      const struct factor_list *factors, uint32_t mesh,
                      const struct sharding *const *operands, const struct sharding *const *results,
                      uint32_t attempt, struct arena *arena, struct op_split *out) {
  uint32_t n = factors->factors.len, guesses = 0;
  struct factor_split *found = ARENA_ARRAY(arena, struct factor_split, n + 1);
  bool *known = ARENA_ARRAY(arena, bool, n + 1);
  struct strbuf why = {0};
  struct splitting s = {.m = f->module,
                        .mesh = f->module->meshes.data[mesh],
                        .op = op,
                        .factors = factors,
                        .why = &why};
  struct recovery r = {&s, operands, results, found, known};
  for (uint32_t i = 0; i < n; i++)
    known[i] = from_own_dim(&r, i, &found[i]);
  for (uint32_t i = 0; i < n; i++) {
    if (known[i])
      continue;
    guesses++;
    from_shared_dim(&r, i, attempt, &found[i]);
    known[i] = true;
  }
  *out = (struct op_split){.splits = ARENA_ARRAY(arena, struct factor_split, n + 1)};
  for (uint32_t i = 0; i < n; i++)
    if (found[i].n_axes)
      out->splits[out->n++] = found[i];
  recover_passed(&r, out, out);
  strbuf_deinit(&why);
  return attempt == 0 || (guesses && attempt < 3);
}
