/* SPDX-License-Identifier: Apache-2.0 */
/* The checker of sharded functions: op by op, from the shardings of types alone; it knows nothing
 * of how they were assigned. */
#include "ir/verify_sharding.h"

#include "ir/op_split.h"
#include "ir/ops/collective_util.h"
#include "ir/rank_merge.h"
#include "ir/shard_index.h"
#include "ir/sharding_form.h"

#include <stdarg.h>
#include <string.h>

#define MOST_RANKS 65536

struct checker {
  const struct function *f;
  struct diags *diags;
  status result;
  struct arena scratch; /* of the op at hand */
  struct factor_list factors;
  const struct op *op; /* NULL: the function */
  op_id id;
  uint32_t mesh_id;
  const struct mesh *mesh; /* NULL: nothing was sharded yet */
};

static void problem(struct checker *c, enum diag_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void problem(struct checker *c, enum diag_code code, const char *format, ...) {
  struct strbuf text = {0};
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&text, format, args);
  va_end(args);
  struct diag_where where = module_where(c->f->module, c->op ? c->op->provenance : 0);
  if (c->op)
    diag_report(c->diags, code, &where, NULL, "@%s, op %u '%s': %s", c->f->name, c->id,
                op_infos[c->op->kind].name, strbuf_c(&text));
  else
    diag_report(c->diags, code, &where, NULL, "@%s: %s", c->f->name, strbuf_c(&text));
  if (c->result == STATUS_OK)
    c->result = diag_code_status(code);
  strbuf_deinit(&text);
}

/* ---- shardings of values ---- */

/* The canonical form of the sharding that the value has. */
static sharding_id held(const struct checker *c, value_id v) {
  const struct type *type = value_type(c->f, v);
  if (!type->sharding)
    return 0;
  return module_shard(c->f->module, type, c->f->module->shardings.data[type->sharding]);
}

static const struct sharding *form(struct checker *c, value_id v) {
  struct sharding *room = ARENA_NEW(&c->scratch, struct sharding);
  return sharding_get(c->f->module, held(c, v), c->mesh_id, value_type(c->f, v)->rank, room);
}

/* "value 7 %x f32[4, 6] @ {tp, -}". */
static void describe(const struct checker *c, value_id v, struct strbuf *out) {
  const char *name = c->f->values.data[v].name;
  strbuf_printf(out, "value %u %s%s", v, name ? name : "", name ? " " : "");
  type_print(c->f->module, value_type(c->f, v), out);
}

static void describe_wanted(const struct checker *c, sharding_id s, struct strbuf *out) {
  if (s)
    sharding_print(c->f->module, s, out);
  else
    strbuf_append_c(out, "whole");
}

static void mismatch(struct checker *c, const char *what, uint32_t i, value_id v,
                     sharding_id wanted) {
  struct strbuf has = {0}, want = {0};
  describe(c, v, &has);
  describe_wanted(c, wanted, &want);
  problem(c, DIAG_E0331, "%s %u, %s, is wanted %s", what, i, strbuf_c(&has), strbuf_c(&want));
  strbuf_deinit(&has);
  strbuf_deinit(&want);
}

/* Whether the value is of the one mesh; finds it with the first sharded value. */
static bool check_mesh(struct checker *c, value_id v) {
  sharding_id id = value_type(c->f, v)->sharding;
  if (!id)
    return true;
  uint32_t mesh = c->f->module->shardings.data[id]->mesh;
  if (!c->mesh) {
    c->mesh_id = mesh;
    c->mesh = c->f->module->meshes.data[mesh];
  }
  if (mesh != c->mesh_id)
    problem(c, DIAG_E0331, "value %u is of mesh %u, others are of mesh %u", v, mesh, c->mesh_id);
  return mesh == c->mesh_id;
}

/* ---- ops that are split by factors ---- */

struct candidate {
  sharding_id *operands, *results; /* what a split wants; NULL where it is none */
  uint32_t fits;                   /* operands and results that have it */
};

static void try_split(struct checker *c, const struct op_split *split, struct candidate *out,
                      struct strbuf *why) {
  const struct op *op = c->op;
  *out = (struct candidate){ARENA_ARRAY(&c->scratch, sharding_id, op->n_operands + 1),
                            ARENA_ARRAY(&c->scratch, sharding_id, op->n_results + 1), 0};
  if (!op_split_shardings(c->f, op, &c->factors, c->mesh_id, split, out->operands, out->results,
                          why)) {
    out->operands = NULL;
    return;
  }
  for (uint32_t i = 0; i < op->n_operands; i++)
    out->fits += out->operands[i] == held(c, op->operands[i]);
  for (uint32_t i = 0; i < op->n_results; i++)
    out->fits += out->results[i] == held(c, op->results[i]);
}

static void report_candidate(struct checker *c, const struct candidate *x) {
  const struct op *op = c->op;
  for (uint32_t i = 0; i < op->n_operands; i++)
    if (x->operands[i] != held(c, op->operands[i])) {
      mismatch(c, "operand", i, op->operands[i], x->operands[i]);
      return;
    }
  for (uint32_t i = 0; i < op->n_results; i++)
    if (x->results[i] != held(c, op->results[i])) {
      mismatch(c, "result", i, op->results[i], x->results[i]);
      return;
    }
}

/* Every partial that is read is passed on by an op that is linear in it. */
static bool check_partials(struct checker *c) {
  const struct op *op = c->op;
  uint32_t mask = 0;
  enum partial_kind kind = PARTIAL_NONE;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct partial *p = &form(c, op->operands[i])->partial;
    if (p->kind == PARTIAL_NONE)
      continue;
    kind = p->kind;
    mask |= i < 32 ? 1u << i : 0;
  }
  if (kind == PARTIAL_NONE || op_is_linear(c->f, op, kind, mask))
    return true;
  for (uint32_t i = 0; i < op->n_operands; i++)
    if (form(c, op->operands[i])->partial.kind != PARTIAL_NONE) {
      struct strbuf has = {0};
      describe(c, op->operands[i], &has);
      problem(c, DIAG_E0332, "operand %u, %s, is partial, and the op is not linear in %s", i,
              strbuf_c(&has), mask & (mask - 1) ? "those that are" : "it alone");
      strbuf_deinit(&has);
      break;
    }
  return false;
}

static bool is_unsharded(const struct checker *c) {
  for (uint32_t i = 0; i < c->op->n_operands; i++)
    if (value_type(c->f, c->op->operands[i])->sharding)
      return false;
  for (uint32_t i = 0; i < c->op->n_results; i++)
    if (value_type(c->f, c->op->results[i])->sharding)
      return false;
  return true;
}

static void check_split_op(struct checker *c) {
  const struct op *op = c->op;
  const struct sharding **operands =
      ARENA_ARRAY(&c->scratch, const struct sharding *, op->n_operands + 1);
  const struct sharding **results =
      ARENA_ARRAY(&c->scratch, const struct sharding *, op->n_results + 1);
  struct op_split split;
  struct candidate best = {0};
  struct strbuf why = {0};
  if (is_unsharded(c) || !check_partials(c))
    return;
  for (uint32_t i = 0; i < op->n_operands; i++)
    operands[i] = form(c, op->operands[i]);
  for (uint32_t i = 0; i < op->n_results; i++)
    results[i] = form(c, op->results[i]);
  factors_of(c->f, op, &c->scratch, &c->factors);
  for (uint32_t attempt = 0; op_split_recover(c->f, op, &c->factors, c->mesh_id, operands, results,
                                              attempt, &c->scratch, &split);
       attempt++) {
    struct candidate x;
    try_split(c, &split, &x, &why);
    if (x.operands && (!best.operands || x.fits > best.fits))
      best = x;
    if (best.operands && best.fits == op->n_operands + op->n_results)
      break;
  }
  if (!best.operands)
    problem(c, DIAG_E0331, "no split gives its operands and results the shardings they have: %s",
            strbuf_c(&why));
  else
    report_candidate(c, &best);
  strbuf_deinit(&why);
}

/* ---- ops across ranks ---- */

struct refs {
  struct axis_ref data[AXIS_REFS_ROOM];
  uint32_t n;
};

static bool same_set(const struct checker *c, const struct refs *a, const struct refs *b) {
  return axis_refs_contain(c->mesh, a->data, a->n, b->data, b->n) &&
         axis_refs_contain(c->mesh, b->data, b->n, a->data, a->n);
}

static bool refines(const struct checker *c, uint32_t d, const struct sharding *fine,
                    const struct sharding *coarse, struct refs *rest) {
  dim n = value_type(c->f, c->op->operands[0])->dims[d];
  return dim_split_refines(c->f->module->dims, c->mesh, n, &fine->dims[d], &coarse->dims[d],
                           rest->data, &rest->n);
}

/* All dims but these are split alike on both sides. */
static bool other_dims_equal(const struct sharding *a, const struct sharding *b, int64_t d,
                             int64_t e) {
  for (uint32_t i = 0; i < a->rank; i++)
    if (i != d && i != e && !dim_split_equal(&a->dims[i], &b->dims[i]))
      return false;
  return true;
}

static bool partials_equal(const struct checker *c, const struct partial *a,
                           const struct partial *b) {
  return a->kind == b->kind && axis_refs_contain(c->mesh, a->axes, a->n_axes, b->axes, b->n_axes) &&
         axis_refs_contain(c->mesh, b->axes, b->n_axes, a->axes, a->n_axes);
}

static const char *merges(const struct checker *c, const struct sharding *a,
                          const struct sharding *b, const struct refs *axes) {
  struct refs left;
  if (a->partial.kind == PARTIAL_NONE)
    return "the operand is whole";
  if (!axis_refs_contain(c->mesh, a->partial.axes, a->partial.n_axes, axes->data, axes->n))
    return "the operand is not partial over these axes";
  left.n =
      axis_refs_minus(c->mesh, a->partial.axes, a->partial.n_axes, axes->data, axes->n, left.data);
  struct partial rest = {.kind = left.n ? a->partial.kind : PARTIAL_NONE, .n_axes = left.n};
  if (left.n > MESH_MAX_AXES)
    return "the rest of the partial has too many axes";
  memcpy(rest.axes, left.data, left.n * sizeof *left.data);
  return partials_equal(c, &rest, &b->partial) ? NULL : "what stays partial is not the rest";
}

/* Merged parts of dim d, or the whole where nothing of it is scattered. */
static const char *scatters(const struct checker *c, const struct sharding *a,
                            const struct sharding *b, const struct refs *axes, int64_t d) {
  struct refs rest;
  const char *wrong = merges(c, a, b, axes);
  if (wrong)
    return wrong;
  if (!other_dims_equal(a, b, d, d))
    return "another dim is split in another way";
  return refines(c, (uint32_t)d, b, a, &rest) && same_set(c, &rest, axes)
             ? NULL
             : "the dim is not split along these axes";
}

static const char *gathers(const struct checker *c, const struct sharding *a,
                           const struct sharding *b, const struct refs *axes, int64_t d) {
  struct refs rest;
  if (!partials_equal(c, &a->partial, &b->partial))
    return "the result is partial in another way";
  return refines(c, (uint32_t)d, a, b, &rest) && same_set(c, &rest, axes)
             ? NULL
             : "the dim is not put together along these axes";
}

static const char *exchanges(const struct checker *c, const struct sharding *a,
                             const struct sharding *b, const struct refs *axes) {
  const struct all_to_all_attrs *x = OP_ATTRS(all_to_all, c->op);
  struct refs rest;
  const char *wrong = gathers(c, a, b, axes, x->gather);
  if (wrong)
    return wrong;
  if (x->gather == x->split || !other_dims_equal(a, b, x->gather, x->split))
    return "another dim is split in another way";
  return refines(c, (uint32_t)x->split, b, a, &rest) && same_set(c, &rest, axes)
             ? NULL
             : "the dim is not split along these axes";
}

/* Every rank gets from the rank that it reads what its type says. */
static const char *permutes(const struct checker *c, const struct sharding *a,
                            const struct sharding *b, const struct refs *axes) {
  const struct ints *from = &OP_ATTRS(permute, c->op)->from;
  int64_t places = axis_refs_size(c->mesh, axes->data, axes->n), ranks = mesh_ranks(c->mesh);
  if (from->len != places || ranks < 1 || ranks > MOST_RANKS)
    return "'from' does not say for each place where it reads";
  if (!partials_equal(c, &a->partial, &b->partial))
    return "the result is partial in another way";
  for (int64_t r = 0; r < ranks; r++) {
    int64_t here[MESH_MAX_AXES], there[MESH_MAX_AXES];
    mesh_coords(c->mesh, r, here);
    int64_t place = from->data[axis_refs_coord(c->mesh, axes->data, axes->n, here)];
    if (place < 0 || place >= places)
      return "'from' does not say for each place where it reads";
    mesh_coords(c->mesh, axis_refs_rank(c->mesh, axes->data, axes->n, here, place), there);
    if (axis_refs_coord(c->mesh, a->partial.axes, a->partial.n_axes, here) !=
        axis_refs_coord(c->mesh, a->partial.axes, a->partial.n_axes, there))
      return "it would mix partials";
    for (uint32_t d = 0; d < a->rank; d++) {
      struct shard_part x = shard_part_of(c->mesh, there, &a->dims[d], 0);
      struct shard_part y = shard_part_of(c->mesh, here, &b->dims[d], 0);
      if (x.part != y.part || x.parts != y.parts || x.order != y.order || x.granule != y.granule ||
          x.block != y.block)
        return "a rank would get another part than the result's type says";
    }
  }
  return NULL;
}

static const char *takes(const struct checker *c, const struct sharding *a,
                         const struct sharding *b) {
  struct refs ignored;
  for (uint32_t d = 0; d < a->rank; d++)
    if (!refines(c, d, b, a, &ignored))
      return "a rank would keep elements that it does not have";
  if (partials_equal(c, &a->partial, &b->partial))
    return NULL;
  bool sum = b->partial.kind == PARTIAL_SUM &&
             (a->partial.kind == PARTIAL_NONE || a->partial.kind == PARTIAL_SUM);
  return sum && axis_refs_contain(c->mesh, b->partial.axes, b->partial.n_axes, a->partial.axes,
                                  a->partial.n_axes)
             ? NULL
             : "a partial is neither kept nor made of a whole value";
}

/* Both values of a tuple, of one op, whole or scattered along one dim. */
static const char *merges_tuple(struct checker *c, const struct refs *axes) {
  const struct op *op = c->op;
  const struct value *x = function_value(c->f, op->operands[0]);
  const struct value *y = function_value(c->f, op->operands[1]);
  if (x->def == OP_ID_NONE || x->def != y->def || x->index != 0 || y->index != 1)
    return "the operands are not the two results of one op";
  for (uint32_t i = 0; i < 2; i++) {
    const struct sharding *a = form(c, op->operands[i]), *b = form(c, op->results[i]);
    const char *wrong = merges(c, a, b, axes);
    struct refs rest;
    if (wrong)
      return wrong;
    if (partial_tuple(a->partial.kind) != 2 ||
        !partials_equal(c, &a->partial, &form(c, op->operands[0])->partial))
      return "the operands are no partial tuple";
    uint32_t scattered = UINT32_MAX;
    for (uint32_t d = 0; d < a->rank; d++)
      if (!dim_split_equal(&a->dims[d], &b->dims[d]))
        scattered = scattered == UINT32_MAX ? d : IR_MAX_RANK;
    if (scattered == UINT32_MAX)
      continue;
    if (scattered == IR_MAX_RANK || !refines(c, scattered, b, a, &rest) ||
        !same_set(c, &rest, axes))
      return "a dim is not split along these axes";
    if (a->partial.kind == PARTIAL_TOPK || a->partial.kind == PARTIAL_BOTTOMK)
      return "candidates are merged whole";
  }
  return NULL;
}

static const char *collective_problem(struct checker *c, const struct refs *axes) {
  const struct sharding *a = form(c, c->op->operands[0]), *b = form(c, c->op->results[0]);
  switch (c->op->kind) {
  case OP_SHARD: return takes(c, a, b);
  case OP_ALL_REDUCE: {
    const char *wrong = merges(c, a, b, axes);
    return wrong                                   ? wrong
           : !partial_is_sum_like(a->partial.kind) ? "a tuple is merged by 'merge'"
           : !other_dims_equal(a, b, -1, -1)       ? "a dim is split in another way"
                                                   : NULL;
  }
  case OP_REDUCE_SCATTER:
    if (a->partial.kind && !partial_is_sum_like(a->partial.kind))
      return "a tuple is merged by 'merge'";
    return scatters(c, a, b, axes, OP_ATTRS(reduce_scatter, c->op)->dim);
  case OP_ALL_GATHER: {
    int64_t d = OP_ATTRS(all_gather, c->op)->dim;
    return !other_dims_equal(a, b, d, d) ? "another dim is split in another way"
                                         : gathers(c, a, b, axes, d);
  }
  case OP_ALL_TO_ALL: return exchanges(c, a, b, axes);
  case OP_PERMUTE: return permutes(c, a, b, axes);
  default: return merges_tuple(c, axes);
  }
}

static bool check_refs(const struct checker *c, const struct refs *axes) {
  for (uint32_t i = 0; i < axes->n; i++)
    if (!axis_ref_check(c->mesh, &axes->data[i]) ||
        !axis_refs_disjoint(c->mesh, axes->data, i, &axes->data[i], 1))
      return false;
  return true;
}

static void check_collective(struct checker *c) {
  struct refs axes = {.n = 0};
  const char *wrong = NULL;
  if (c->op->kind != OP_SHARD)
    axes.n = collective_axes(c->op, axes.data);
  if (!c->mesh)
    wrong = c->op->kind == OP_SHARD ? NULL : "the operand is whole";
  else if (!check_refs(c, &axes))
    wrong = "the mesh does not have these axes";
  else
    wrong = collective_problem(c, &axes);
  if (!wrong)
    return;
  struct strbuf from = {0}, to = {0};
  describe(c, c->op->operands[0], &from);
  describe(c, c->op->results[0], &to);
  problem(c, DIAG_E0333, "%s: from %s to %s", wrong, strbuf_c(&from), strbuf_c(&to));
  strbuf_deinit(&from);
  strbuf_deinit(&to);
}

/* ---- control ---- */

static void check_whole(struct checker *c, value_id v, const char *what) {
  struct strbuf has = {0};
  if (!held(c, v))
    return;
  describe(c, v, &has);
  problem(c, DIAG_E0334, "%s, %s, is not whole", what, strbuf_c(&has));
  strbuf_deinit(&has);
}

static void check_same(struct checker *c, const char *what, uint32_t i, value_id v,
                       value_id wanted) {
  if (held(c, v) != held(c, wanted))
    mismatch(c, what, i, v, held(c, wanted));
}

static void check_if(struct checker *c) {
  check_whole(c, c->op->operands[0], "the condition");
  for (uint32_t b = 0; b < 2; b++) {
    const struct region *r = &c->f->regions.data[c->op->regions[b]];
    for (uint32_t i = 0; i < r->results.len; i++)
      check_same(c, b ? "result of branch 1" : "result of branch 0", i, r->results.data[i],
                 c->op->results[i]);
  }
}

/* A stack is split as what is stacked, one dim further. */
static void check_stacked(struct checker *c, uint32_t i, value_id one, value_id stack) {
  const struct sharding *from = form(c, one);
  const struct type *type = value_type(c->f, stack);
  struct sharding wanted = {.mesh = c->mesh_id, .rank = type->rank};
  if (!c->mesh)
    return;
  for (uint32_t d = 0; d + 1 < type->rank; d++)
    wanted.dims[d + 1] = from->dims[d];
  sharding_id id = module_shard(c->f->module, type, &wanted);
  if (from->partial.kind != PARTIAL_NONE)
    problem(c, DIAG_E0332, "output %u of the body is partial", i);
  else if (held(c, stack) != id)
    mismatch(c, "result", i, stack, id);
}

static void check_loop(struct checker *c) {
  const struct op *op = c->op;
  const struct region *r = &c->f->regions.data[op->regions[0]];
  uint32_t carried = op->n_operands - 2;
  check_whole(c, op->operands[0], "the trip count");
  check_whole(c, op->operands[1], "the condition");
  check_whole(c, r->params.data[0], "the iteration number");
  check_whole(c, r->results.data[0], "the condition to go on");
  for (uint32_t i = 0; i < carried; i++) {
    check_same(c, "carried operand", i, op->operands[2 + i], r->params.data[1 + i]);
    check_same(c, "carried result of the body", i, r->results.data[1 + i], r->params.data[1 + i]);
    check_same(c, "result", i, op->results[i], r->params.data[1 + i]);
  }
  for (uint32_t i = carried; i < op->n_results; i++)
    check_stacked(c, i, r->results.data[1 + i], op->results[i]);
}

static void check_fused(struct checker *c) {
  const struct region *r = &c->f->regions.data[c->op->regions[0]];
  for (uint32_t i = 0; i < r->params.len; i++)
    check_same(c, "operand", i, c->op->operands[i], r->params.data[i]);
  for (uint32_t i = 0; i < r->results.len; i++)
    check_same(c, "result", i, c->op->results[i], r->results.data[i]);
}

static void check_region(struct checker *c, region_id r);

static void check_op(struct checker *c, op_id id) {
  bool sound = true;
  c->op = function_op(c->f, id);
  c->id = id;
  for (uint32_t i = 0; i < c->op->n_operands; i++)
    sound &= check_mesh(c, c->op->operands[i]);
  for (uint32_t i = 0; i < c->op->n_results; i++)
    sound &= check_mesh(c, c->op->results[i]);
  for (uint32_t i = 0; i < c->op->n_regions; i++) {
    check_region(c, function_op(c->f, id)->regions[i]);
    c->op = function_op(c->f, id);
    c->id = id;
  }
  uint32_t flags = op_infos[c->op->kind].flags;
  if (flags & OP_FLAG_MESH)
    problem(c, DIAG_E0333, "stands in one rank's own program only");
  else if (sound && flags & OP_FLAG_RANKS)
    check_collective(c);
  else if (sound && c->op->kind == OP_IF)
    check_if(c);
  else if (sound && c->op->kind == OP_LOOP)
    check_loop(c);
  else if (sound && c->op->kind == OP_FUSED)
    check_fused(c);
  else if (sound)
    check_split_op(c);
  arena_reset(&c->scratch);
}

static void check_region(struct checker *c, region_id r) {
  for (uint32_t i = 0; i < c->f->regions.data[r].params.len; i++)
    check_mesh(c, c->f->regions.data[r].params.data[i]);
  for (uint32_t i = 0; i < c->f->regions.data[r].ops.len; i++)
    check_op(c, c->f->regions.data[r].ops.data[i]);
}

static void check_boundary(struct checker *c, const value_id *values, uint32_t n,
                           const char *what) {
  c->op = NULL;
  for (uint32_t i = 0; i < n; i++) {
    struct strbuf has = {0};
    describe(c, values[i], &has);
    if (c->mesh && form(c, values[i])->partial.kind != PARTIAL_NONE)
      problem(c, DIAG_E0332, "%s %u, %s, is partial", what, i, strbuf_c(&has));
    strbuf_deinit(&has);
  }
}

status sharding_verify(const struct function *f, struct diags *diags) {
  struct checker c = {.f = f, .diags = diags};
  const struct region *body = &f->regions.data[0];
  check_region(&c, 0);
  check_boundary(&c, body->params.data, body->params.len, "parameter");
  check_boundary(&c, body->results.data, body->results.len, "result");
  vec_deinit(&c.factors.factors);
  arena_deinit(&c.scratch);
  return c.result;
}
