/* SPDX-License-Identifier: Apache-2.0 */
/* Random assignments. */
#include "passes/partition/random_assignment.h"

#include "base/hash.h"
#include "ir/rank_merge.h"
#include "ir/sharding_form.h"

#include <string.h>

struct chooser {
  struct function *f;
  uint32_t mesh_id;
  const struct mesh *mesh;
  struct arena *arena;
  uint64_t state;
  struct partial *made; /* by value: the partial sum that its op leaves */
  struct assignment *out;
};

static uint64_t below(struct chooser *c, uint64_t n) {
  c->state = hash_combine(c->state, 1);
  return (c->state >> 11) % n;
}

/* An axis, or its two halves where it has. */
static uint32_t pieces_of(struct chooser *c, uint32_t axis, struct axis_ref out[2]) {
  int64_t size = c->mesh->axes[axis].size;
  out[0] = (struct axis_ref){.axis = axis};
  if (size % 2 || size < 4 || below(c, 3))
    return 1;
  out[0] = (struct axis_ref){axis, 2, size / 2};
  out[1] = (struct axis_ref){axis, size / 2, 1};
  return 2;
}

static void add_axis(struct chooser *c, struct op_split *s, uint32_t factor, struct axis_ref ref) {
  for (uint32_t i = 0; i < s->n; i++) {
    struct factor_split *x = &s->splits[i];
    if (x->factor != factor || x->n_axes == SHARDING_MAX_AXES_PER_DIM)
      continue;
    if (below(c, 2)) {
      x->axes[x->n_axes++] = ref;
    } else {
      memmove(x->axes + 1, x->axes, x->n_axes * sizeof *x->axes);
      x->axes[0] = ref;
      x->n_axes++;
    }
    return;
  }
  struct factor_split *x = &s->splits[s->n++];
  *x = (struct factor_split){.factor = factor, .n_axes = 1, .axes = {ref}, .granule = 1};
  uint64_t order = below(c, 8);
  x->order = order == 0 ? SPLIT_ZIGZAG : order == 1 ? SPLIT_INTERLEAVED : SPLIT_BLOCK;
  if (x->order == SPLIT_INTERLEAVED)
    x->block = 1 + (int64_t)below(c, 3);
  else if (below(c, 4) == 0)
    x->granule = 2;
}

static bool same_partial(const struct partial *a, const struct partial *b) {
  bool same = a->kind == b->kind && a->n_axes == b->n_axes;
  for (uint32_t i = 0; same && i < a->n_axes; i++)
    same = a->axes[i].axis == b->axes[i].axis && a->axes[i].sub_size == b->axes[i].sub_size &&
           a->axes[i].sub_stride == b->axes[i].sub_stride;
  return same;
}

static uint32_t partial_operands(const struct chooser *c, const struct op *op,
                                 const struct partial **out) {
  uint32_t mask = 0;
  *out = NULL;
  for (uint32_t i = 0; i < op->n_operands && i < 32; i++) {
    const struct partial *p = &c->made[op->operands[i]];
    if (p->kind == PARTIAL_NONE || (*out && !same_partial(*out, p)))
      continue;
    *out = p;
    mask |= 1u << i;
  }
  return mask;
}

/* Reads partials on where the op is linear in them, or in them and others. */
static void pass_partials(struct chooser *c, const struct op *op, struct op_split *s) {
  const struct partial *p;
  uint32_t mask = partial_operands(c, op, &p);
  if (!mask || below(c, 4) == 0)
    return;
  for (uint32_t i = 0; i <= op->n_operands; i++) {
    uint32_t more = mask | (i < op->n_operands ? 1u << i : UINT32_MAX >> (32 - op->n_operands));
    /* Whole values become partial sums only. */
    bool others = more != mask && p->kind != PARTIAL_SUM;
    if (others || !op_is_linear(c->f, op, p->kind, more))
      continue;
    s->passed = *p;
    s->passed_by = more;
    return;
  }
}

static bool fits(struct chooser *c, const struct op *op, const struct factor_list *factors,
                 const struct op_split *s, sharding_id *results) {
  struct strbuf why = {0};
  sharding_id *operands = ARENA_ARRAY(c->arena, sharding_id, op->n_operands + 1);
  bool ok = op_split_shardings(c->f, op, factors, c->mesh_id, s, operands, results, &why);
  strbuf_deinit(&why);
  return ok;
}

static void choose_op(struct chooser *c, op_id id) {
  const struct op *op = function_op(c->f, id);
  struct factor_list factors = {0};
  struct op_split *s = &c->out->ops[id];
  sharding_id *results = ARENA_ARRAY(c->arena, sharding_id, op->n_results + 1);
  factors_of(c->f, op, c->arena, &factors);
  s->splits = ARENA_ARRAY(c->arena, struct factor_split, 2 * MESH_MAX_AXES);
  pass_partials(c, op, s);
  if (s->passed.kind && !fits(c, op, &factors, s, results)) {
    s->passed = (struct partial){0};
    s->passed_by = 0;
  }
  for (uint32_t axis = 0; axis < c->mesh->n_axes && factors.factors.len; axis++) {
    struct axis_ref pieces[2];
    uint32_t n = pieces_of(c, axis, pieces);
    for (uint32_t i = 0; i < n; i++) {
      struct op_split before = *s;
      struct factor_split splits[2 * MESH_MAX_AXES];
      memcpy(splits, s->splits, sizeof splits);
      if (below(c, 4) == 0)
        continue;
      add_axis(c, s, (uint32_t)below(c, factors.factors.len), pieces[i]);
      if (fits(c, op, &factors, s, results))
        continue;
      *s = before;
      memcpy(s->splits, splits, sizeof splits);
    }
  }
  if (fits(c, op, &factors, s, results))
    for (uint32_t i = 0; i < op->n_results; i++)
      if (results[i] && partial_is_sum_like(c->f->module->shardings.data[results[i]]->partial.kind))
        c->made[op->results[i]] = c->f->module->shardings.data[results[i]]->partial;
  vec_deinit(&factors.factors);
}

static void choose_region(struct chooser *c, region_id r) {
  for (uint32_t i = 0; i < c->f->regions.data[r].ops.len; i++) {
    op_id id = c->f->regions.data[r].ops.data[i];
    const struct op *op = function_op(c->f, id);
    if (!(op_infos[op->kind].flags & OP_FLAG_CONTROL))
      choose_op(c, id);
    for (uint32_t k = 0; k < op->n_regions; k++)
      choose_region(c, op->regions[k]);
  }
}

void random_assignment(struct function *f, uint32_t mesh, uint64_t seed, struct arena *arena,
                       struct assignment *out) {
  *out = (struct assignment){.mesh = mesh, .n_ops = f->ops.len};
  out->ops = ARENA_ARRAY(arena, struct op_split, f->ops.len);
  struct chooser c = {.f = f,
                      .mesh_id = mesh,
                      .mesh = f->module->meshes.data[mesh],
                      .arena = arena,
                      .state = hash_combine(seed, 0x51a7),
                      .made = ARENA_ARRAY(arena, struct partial, f->values.len),
                      .out = out};
  choose_region(&c, 0);
}
