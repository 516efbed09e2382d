/* SPDX-License-Identifier: Apache-2.0 */
/* fuse: groups ops into `fused` regions, each of which becomes one kernel.
 *
 *     %0 = contract %x, %w                        %2 = fused(contract) (%x, %w, %b) {
 *     %1 = map %0, %b { add($0, $1) }       =>      %0 = contract ...
 *     %2 = map %1 { max($0, 0.0) }                  %1 = map ...  ; return map %1 ...
 *                                                 }
 * Three steps per region of control flow:
 *
 *   1. clusters grow from roots. A root takes the maps that follow it one by one (its epilogue); a
 *      reduction over trailing dims takes the maps and further reductions of the same rows
 * (softmax, norms);
 *   2. what is left (maps, views, gathers, iotas) is either computed inside its readers, where
 *      fuse_allowed says that this is no more work than a trip through memory, or becomes a
 *      point-wise cluster of its own;
 *   3. every cluster is moved into a region, together with copies of what it computes for itself.
 *
 * After it only consts, fused ops, reshapes of stored values (aliases) and control remain outside
 * regions. Requires: nothing. Preserves: values bit by bit (the emitter rounds where an op ends).
 */
#include <string.h>

#include "base/mem.h"
#include "passes/fuse_region.h"
#include "passes/layout.h"
#include "passes/pass.h"

#define MAX_OPS 96
#define MAX_OPERANDS 24
#define MAX_WEIGHT_COST 12 /* of widening a stored weight: a cast, a zero point, a scale */

bool fuse_is_light(enum op_kind kind) {
  switch (kind) {
  case OP_MAP:
  case OP_RESHAPE:
  case OP_TRANSPOSE:
  case OP_BROADCAST:
  case OP_SLICE:
  case OP_PAD:
  case OP_CONCAT:
  case OP_BITCAST:
  case OP_GATHER:
  case OP_IOTA:
  case OP_DIMS:
  case OP_RANDOM: return true;
  default: return false;
  }
}

/* Rows come later, of kernels that reduce. */
static bool is_root(enum op_kind kind, enum root_kind *out) {
  for (int root = ROOT_KIND_REDUCE; root < ROOT_KIND_COUNT; root++)
    if (root_kind_op((enum root_kind)root) == kind) {
      *out = (enum root_kind)root;
      return true;
    }
  return false;
}

/* Roots whose results the emitter can bind at a point, so that maps may follow in the same kernel.
 */
static bool takes_epilogue(enum root_kind root) {
  return root == ROOT_KIND_REDUCE || root == ROOT_KIND_WINDOW || root == ROOT_KIND_CONTRACT ||
         root == ROOT_KIND_CONV || root == ROOT_KIND_ATTENTION;
}

/* ---- facts ---- */

static const struct op *op_of(const struct fuse *s, op_id id) { return function_op(s->f, id); }

static bool is_literal(const struct fuse *s, const struct op *op) {
  return op->kind == OP_CONST &&
         dim_is_const_value(s->f->module->dims,
                            type_elements(s->f->module->dims, value_type(s->f, op->results[0])), 1);
}

static op_id only_user(const struct fuse *s, value_id v) {
  if (uses_count(&s->uses, v) != 1)
    return OP_ID_NONE;
  return s->uses.ops[s->uses.start[v]];
}

/* A use outside the ops of this region: its results, control flow, or the function's. */
static bool is_inner_user(const struct fuse *s, op_id user) {
  return user != OP_ID_NONE && op_of(s, user)->parent == s->region &&
         !(op_infos[op_of(s, user)->kind].flags &
           (OP_FLAG_CONTROL | OP_FLAG_EFFECT | OP_FLAG_RANKS | OP_FLAG_HOST));
}

static uint32_t body_cost(const struct scalar_body *body) {
  uint32_t cost = 0;
  for (uint32_t i = 0; i < body->len; i++) {
    cost += body->insts[i].op == SCALAR_CAST ? 1 : scalar_infos[body->insts[i].op].cost;
  }
  return cost;
}

/* ---- step 1: clusters from roots ---- */

static uint32_t cluster_create(struct fuse *s, enum root_kind root) {
  struct cluster c = {.root = root};
  vec_push(&s->clusters, c);
  return s->clusters.len - 1;
}

static void cluster_add(struct fuse *s, uint32_t cluster, op_id op) {
  vec_push(&s->clusters.data[cluster].ops, op);
  s->cluster_of[op] = cluster;
}

/* Whether `v` depends on cluster c by a way through ops outside it. Positions bound the walk. */
static bool depends_on(struct fuse *s, value_id v, uint32_t c, bool outside) {
  op_id id = function_value(s->f, v)->def;
  if (id == OP_ID_NONE || op_of(s, id)->parent != s->region)
    return false;
  if (s->cluster_of[id] == c)
    return outside;
  if (s->position[id] < s->clusters.data[c].first || s->seen[id] == s->stamp)
    return false;
  s->seen[id] = s->stamp;
  const struct op *op = op_of(s, id);
  if (op_infos[op->kind].flags & OP_FLAG_CONTROL)
    return true; /* its regions may read anything */
  for (uint32_t i = 0; i < op->n_operands; i++) {
    if (depends_on(s, op->operands[i], c, true))
      return true;
  }
  return false;
}

static bool would_cycle(struct fuse *s, const struct op *op, uint32_t c) {
  s->stamp++;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    if (depends_on(s, op->operands[i], c, false))
      return true;
  }
  return false;
}

static bool can_take(struct fuse *s, uint32_t c, op_id id) {
  return is_inner_user(s, id) && s->cluster_of[id] == NO_CLUSTER &&
         s->clusters.data[c].ops.len < MAX_OPS && op_of(s, id)->n_operands <= 8 &&
         !would_cycle(s, op_of(s, id), c);
}

/* The transpose that stores the result of a conv with channels last; what follows it is in its
 * space. */
static value_id take_turn(struct fuse *s, uint32_t c, value_id v) {
  op_id user = only_user(s, v);
  const struct op *root = value_def(s->f, v);
  if (root->kind != OP_CONV || !can_take(s, c, user) || !layout_turns_last(op_of(s, user)) ||
      !layout_conv_allowed(s->f, root))
    return v;
  cluster_add(s, c, user);
  return op_of(s, user)->results[0];
}

/* Maps that follow the root one by one, each the only reader of the one before, in its space. */
static void grow_epilogue(struct fuse *s, uint32_t c, value_id v) {
  v = take_turn(s, c, v);
  for (;;) {
    op_id user = only_user(s, v);
    if (!can_take(s, c, user) || op_of(s, user)->kind != OP_MAP)
      return;
    value_id next = op_of(s, user)->results[0];
    if (!type_same_dims(value_type(s->f, v), value_type(s->f, next)))
      return;
    cluster_add(s, c, user);
    v = next;
  }
}

/* Reductions of whole trailing dims, of a plain combiner. */
static bool is_row_reduce(const struct fuse *s, const struct op *op) {
  if (op->kind != OP_REDUCE || op->n_results != 1)
    return false;
  struct ints axes = OP_ATTRS(reduce, op)->axes;
  uint32_t rank = value_type(s->f, op->operands[0])->rank;
  for (uint32_t i = 0; i < axes.len; i++) {
    if (axes.data[i] != (int64_t)(rank - axes.len + i))
      return false;
  }
  return axes.len > 0;
}

/* Whether op computes in the rows of `full` (whose reduced form is `kept`). */
static bool in_rows(const struct fuse *s, const struct op *op, const struct type *full,
                    const struct type *kept) {
  if (op->kind == OP_MAP) {
    const struct type *type = value_type(s->f, op->results[0]);
    return type_same_dims(type, full) || type_same_dims(type, kept);
  }
  return is_row_reduce(s, op) && type_same_dims(value_type(s->f, op->operands[0]), full) &&
         type_same_dims(value_type(s->f, op->results[0]), kept);
}

/* Everything of the same rows that the cluster's values lead to. */
static void grow_row(struct fuse *s, uint32_t c, const struct op *reduce) {
  const struct type *full = value_type(s->f, reduce->operands[0]);
  const struct type *kept = value_type(s->f, reduce->results[0]);
  for (uint32_t i = 0; i < s->clusters.data[c].ops.len; i++) {
    const struct op *op = op_of(s, s->clusters.data[c].ops.data[i]);
    for (uint32_t u = s->uses.start[op->results[0]]; u < s->uses.start[op->results[0] + 1]; u++) {
      op_id user = s->uses.ops[u];
      if (!can_take(s, c, user) || !in_rows(s, op_of(s, user), full, kept))
        continue;
      cluster_add(s, c, user);
    }
  }
}

/* A row cluster of one reduction and nothing in the whole space is an ordinary reduction. */
static void settle_row(struct fuse *s, uint32_t c, const struct op *reduce) {
  const struct type *full = value_type(s->f, reduce->operands[0]);
  for (uint32_t i = 1; i < s->clusters.data[c].ops.len; i++) {
    const struct op *op = op_of(s, s->clusters.data[c].ops.data[i]);
    if (op->kind == OP_REDUCE || type_same_dims(value_type(s->f, op->results[0]), full))
      return;
  }
  s->clusters.data[c].root = ROOT_KIND_ROW;
}

static void grow_from_roots(struct fuse *s) {
  const struct region *r = &s->f->regions.data[s->region];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    op_id id = r->ops.data[i];
    const struct op *op = op_of(s, id);
    enum root_kind root;
    if (s->cluster_of[id] != NO_CLUSTER || !is_root(op->kind, &root))
      continue;
    uint32_t c = cluster_create(s, is_row_reduce(s, op) ? ROOT_KIND_ROW : root);
    s->clusters.data[c].first = i;
    cluster_add(s, c, id);
    if (is_row_reduce(s, op)) {
      grow_row(s, c, op);
      settle_row(s, c, op);
    } else if (takes_epilogue(root) && op->n_results == 1) {
      grow_epilogue(s, c, op->results[0]);
    }
  }
}

/* ---- step 2: light ops into their readers, or by themselves ---- */

/* How often one element of operand i is read per element that `op` computes. */
enum reads { READS_ONCE, READS_FEW, READS_MANY };

static enum reads reads_of(const struct fuse *s, const struct op *op, value_id v) {
  switch (op->kind) {
  case OP_CONTRACT:
  case OP_CONV:
  case OP_WINDOW:
  case OP_ATTENTION:
  case OP_TOPK:
  case OP_UNIQUE:
  case OP_NMS: return READS_MANY;
  case OP_GATHER: return op->operands[0] == v ? READS_FEW : READS_ONCE;
  case OP_BROADCAST: return READS_FEW;
  case OP_MAP:
    return type_same_dims(value_type(s->f, v), value_type(s->f, op->results[0])) ? READS_ONCE
                                                                                 : READS_FEW;
  default: return READS_ONCE;
  }
}

/* The right-hand side of a contraction, which is taken once per block of rows. */
static bool is_weight(const struct fuse *s, const struct op *reader, value_id v) {
  (void)s;
  return reader->kind == OP_CONTRACT && reader->operands[1] == v && reader->operands[0] != v;
}

/* The one predicate: may the value of light op `op` be computed inside its reader `user`?
 * Its scalar work times the reads must not exceed a store and a load. */
static bool fuse_allowed(const struct fuse *s, op_id id, op_id user) {
  const struct op *op = op_of(s, id), *reader = op_of(s, user);
  const struct light *l = &s->light[id];
  enum reads reads = reads_of(s, reader, op->results[0]);
  uint32_t uses = uses_count(&s->uses, op->results[0]);
  if (l->ops > MAX_OPS / 2 || l->operands > MAX_OPERANDS / 2)
    return false;
  if (reader->kind == OP_CONCAT || reader->kind == OP_PAD) {
    if (l->branches || l->cost > 16)
      return false;
  }
  if (is_weight(s, reader, op->results[0]) && l->fixed && uses == 1)
    return l->cost <= MAX_WEIGHT_COST && !l->branches && !l->gathers;
  if (reads == READS_MANY)
    return l->cost == 0 && !l->branches && !l->gathers;
  if (l->branches && uses > 1)
    return false;
  if (reads == READS_FEW)
    return l->cost <= 4 && !(l->branches || l->gathers);
  return uses == 1 || l->cost <= 4;
}

/* The sum of what computing `id` inside a reader entails. */
static void weigh(struct fuse *s, op_id id) {
  const struct op *op = op_of(s, id);
  struct light l = {.ops = 1, .fixed = op->n_operands > 0};
  if (op->kind == OP_MAP)
    l.cost = body_cost(OP_ATTRS(map, op)->body);
  if (op->kind == OP_RANDOM)
    l.cost = 60;
  if (op->kind == OP_CONCAT || op->kind == OP_PAD)
    l.branches = 1;
  if (op->kind == OP_GATHER)
    l.gathers = 1;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    op_id d = function_value(s->f, op->operands[i])->def;
    if (d != OP_ID_NONE && is_literal(s, op_of(s, d)))
      continue;
    if (d == OP_ID_NONE || !s->inlined[d]) {
      l.operands++;
      l.fixed &= d != OP_ID_NONE && op_of(s, d)->kind == OP_CONST;
      continue;
    }
    l.ops += s->light[d].ops;
    l.cost += s->light[d].cost;
    l.operands += s->light[d].operands;
    l.fixed &= s->light[d].fixed;
    l.branches |= s->light[d].branches;
    l.gathers |= s->light[d].gathers;
  }
  s->light[id] = l;
}

/* A transpose after which neighbours are far apart. */
static bool scatters(const struct fuse *s, const struct op *op) {
  const struct dim_table *t = s->f->module->dims;
  if (op->kind != OP_TRANSPOSE)
    return false;
  struct ints perm = OP_ATTRS(transpose, op)->perm;
  const struct type *from = value_type(s->f, op->operands[0]);
  int64_t last = -1, kept = -1;
  for (uint32_t i = 0; i < perm.len; i++) {
    if (!dim_is_const_value(t, from->dims[i], 1))
      last = i;
    if (!dim_is_const_value(t, from->dims[perm.data[i]], 1))
      kept = perm.data[i];
  }
  return last != kept;
}

/* Whether v, perhaps reshaped, is read by a kernel that walks along its rows several times. */
static bool feeds_rows(const struct fuse *s, value_id v) {
  for (uint32_t u = s->uses.start[v]; u < s->uses.start[v + 1]; u++) {
    op_id user = s->uses.ops[u];
    if (!is_inner_user(s, user))
      continue;
    uint32_t c = s->cluster_of[user];
    if (c != NO_CLUSTER && s->clusters.data[c].root == ROOT_KIND_ROW)
      return true;
    const struct op *op = op_of(s, user);
    if (c == NO_CLUSTER && op->kind == OP_RESHAPE && feeds_rows(s, op->results[0]))
      return true;
  }
  return false;
}

/* Whether every reader can compute it. */
static bool goes_into_readers(struct fuse *s, op_id id) {
  const struct op *op = op_of(s, id);
  value_id v = op->results[0];
  if (!uses_count(&s->uses, v) || (scatters(s, op) && feeds_rows(s, v)))
    return false;
  for (uint32_t u = s->uses.start[v]; u < s->uses.start[v + 1]; u++) {
    op_id user = s->uses.ops[u];
    if (!is_inner_user(s, user) || !fuse_allowed(s, id, user))
      return false;
    if (op_of(s, user)->kind == OP_CONST)
      return false;
  }
  return true;
}

/* A reshape of something stored is the same bytes: an alias outside of any kernel. */
static bool is_alias(const struct fuse *s, op_id id) {
  const struct op *op = op_of(s, id);
  if (op->kind != OP_RESHAPE)
    return false;
  op_id d = function_value(s->f, op->operands[0])->def;
  return d == OP_ID_NONE || !s->inlined[d];
}

static void place_light(struct fuse *s) {
  const struct region *r = &s->f->regions.data[s->region];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    op_id id = r->ops.data[i];
    const struct op *op = op_of(s, id);
    if (is_literal(s, op))
      s->inlined[id] = true;
    if (!fuse_is_light(op->kind) || s->cluster_of[id] != NO_CLUSTER)
      continue;
    weigh(s, id);
    if (goes_into_readers(s, id)) {
      s->inlined[id] = true;
    } else if (!is_alias(s, id)) {
      uint32_t c = cluster_create(s, ROOT_KIND_POINTWISE);
      s->clusters.data[c].first = i;
      cluster_add(s, c, id);
    }
  }
}

/* ---- the pass ---- */

void fuse_plan(struct function *f, region_id region, struct arena *scratch, struct diags *diags,
               struct fuse *out) {
  *out = (struct fuse){.f = f, .region = region, .diags = diags};
  uint32_t n = f->ops.len;
  out->cluster_of = mem_alloc(n * sizeof *out->cluster_of);
  for (uint32_t i = 0; i < n; i++)
    out->cluster_of[i] = NO_CLUSTER;
  out->inlined = mem_calloc(n, sizeof *out->inlined);
  out->light = mem_calloc(n, sizeof *out->light);
  out->position = mem_calloc(n, sizeof *out->position);
  out->seen = mem_calloc(n, sizeof *out->seen);
  const struct region *r = &f->regions.data[region];
  for (uint32_t i = 0; i < r->ops.len; i++)
    out->position[r->ops.data[i]] = i;
  uses_build(f, scratch, &out->uses);
  grow_from_roots(out);
  place_light(out);
}

void fuse_plan_deinit(struct fuse *s) {
  for (uint32_t i = 0; i < s->clusters.len; i++)
    vec_deinit(&s->clusters.data[i].ops);
  vec_deinit(&s->clusters);
  mem_free(s->cluster_of);
  mem_free(s->inlined);
  mem_free(s->light);
  mem_free(s->position);
  mem_free(s->seen);
}

static status fuse_region_of(struct pass_context *ctx, struct function *f, region_id region) {
  struct fuse s;
  fuse_plan(f, region, ctx->scratch, ctx->diags, &s);
  status st = fuse_build_regions(&s);
  fuse_plan_deinit(&s);
  return st;
}

status pass_fuse(struct pass_context *ctx) {
  for (uint32_t i = 0; i < ctx->module->functions.len; i++) {
    struct function *f = ctx->module->functions.data[i];
    status before = fuse_split_concats(f, ctx->diags);
    if (before == STATUS_OK)
      before = fuse_turned_operands(f, ctx->diags);
    if (before != STATUS_OK)
      return before;
    uint32_t n = f->regions.len;
    for (region_id r = 0; r < n; r++) {
      op_id parent = f->regions.data[r].parent;
      if (r && (parent == OP_ID_NONE || function_op(f, parent)->kind == OP_NONE))
        continue;
      status st = fuse_region_of(ctx, f, r);
      if (st != STATUS_OK)
        return st;
    }
    function_sweep(f);
    function_sort(f);
  }
  return STATUS_OK;
}
