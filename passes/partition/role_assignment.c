/* SPDX-License-Identifier: Apache-2.0 */
/* Assignments by roles: a walk from the end, in which attention and heads tell the ops before them
 * how their values should be split, and a walk from the beginning, in which every op takes these
 * wishes, or the splits that its operands have, or what its role gives. */
#include "passes/partition/role_assignment.h"

#include "ir/shard_index.h"
#include "ir/sharding_form.h"
#include "ir/states.h"

#include <stdlib.h>
#include <string.h>

#define MOST_RANKS 4096
#define CACHE_BLOCK 16

/* ---- the mesh ---- */

/* Names stand in the text of modules and in reports. */
static bool is_axis_name(const char *text, size_t n) {
  for (size_t i = 0; i < n; i++) {
    char c = text[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(i && c >= '0' && c <= '9'))
      return false;
  }
  return n > 0;
}

static bool parse_axis(const char *text, size_t n, struct module *m, struct mesh *mesh,
                       struct diags *diags) {
  const char *equals = memchr(text, '=', n);
  char name[64], number[16], *end;
  size_t name_len = equals ? (size_t)(equals - text) : 0, left = equals ? n - name_len - 1 : 0;
  bool sound = name_len < sizeof name && is_axis_name(text, name_len) && left > 0 &&
               left < sizeof number && mesh->n_axes < MESH_MAX_AXES;
  int64_t size = 0;
  if (sound) {
    memcpy(name, text, name_len);
    memcpy(number, equals + 1, left);
    name[name_len] = number[left] = 0;
    size = strtoll(number, &end, 10);
    sound = number[0] >= '0' && number[0] <= '9' && *end == 0 && size >= 1 && size <= MOST_RANKS;
  }
  for (uint32_t i = 0; sound && i < mesh->n_axes; i++)
    sound = strcmp(mesh->axes[i].name, name) != 0;
  if (!sound) {
    diag_report(diags, DIAG_E0343, NULL, "write the axes as dp=2,tp=4, the outer one first",
                "'%.*s' is no axis with a size of 1 to %d, or one too many", (int)n, text,
                MOST_RANKS);
    return false;
  }
  mesh->axes[mesh->n_axes++] = (struct mesh_axis){module_intern(m, name), size};
  return true;
}

status parallel_parse(struct module *m, const char *text, struct diags *diags, uint32_t *out_mesh) {
  struct mesh mesh = {0};
  while (true) {
    size_t n = strcspn(text, ",");
    if (!parse_axis(text, n, m, &mesh, diags))
      return STATUS_USAGE;
    if (!text[n])
      break;
    text += n + 1;
  }
  if (mesh_ranks(&mesh) < 1 || mesh_ranks(&mesh) > MOST_RANKS)
    return diag_report(diags, DIAG_E0343, NULL, NULL, "more than %d ranks", MOST_RANKS);
  *out_mesh = module_add_mesh(m, &mesh);
  return STATUS_OK;
}

/* ---- roles ---- */

enum role { ROLE_BATCH, ROLE_QUERY, ROLE_KEY, ROLE_EXPERT, ROLE_TENSOR };

static enum role role_of(const char *name) {
  return !strcmp(name, "dp")      ? ROLE_BATCH
         : !strcmp(name, "cp")    ? ROLE_QUERY
         : !strcmp(name, "ring")  ? ROLE_QUERY
         : !strcmp(name, "cache") ? ROLE_KEY
         : !strcmp(name, "ep")    ? ROLE_EXPERT
                                  : ROLE_TENSOR;
}

/* A parameter that is a state. */
struct role_state {
  uint32_t param, result; /* of the function */
  op_id update;
};

struct roles {
  struct function *f;
  uint32_t mesh_id;
  const struct mesh *mesh;
  struct arena *arena;
  struct sharding **wish; /* by value; NULL: none */
  sharding_id *have;      /* by value: in which sharding its op makes it, merged */
  bool *constant;         /* by value: made of constants alone */
  struct assignment *out;
  uint32_t n_states;
  struct role_state *states;
  struct factor_list factors; /* of the op at hand */
  const struct op *op;
  sharding_id *operands, *results;
};

static bool fits(struct roles *r, const struct op_split *s) {
  struct strbuf why = {0};
  bool ok =
      op_split_shardings(r->f, r->op, &r->factors, r->mesh_id, s, r->operands, r->results, &why);
  strbuf_deinit(&why);
  return ok;
}

static bool axis_is_used(const struct roles *r, const struct op_split *s,
                         const struct axis_ref *ref) {
  for (uint32_t i = 0; i < s->n; i++)
    if (!axis_refs_disjoint(r->mesh, s->splits[i].axes, s->splits[i].n_axes, ref, 1))
      return true;
  return false;
}

/* Adds axes to a factor, behind those that it has. False, and nothing changed, where that is no
 * split. */
static bool add_split(struct roles *r, struct op_split *s, const struct factor_split *x) {
  struct factor_split before[2 * MESH_MAX_AXES];
  uint32_t n = s->n, at = 0;
  memcpy(before, s->splits, sizeof before);
  while (at < n && s->splits[at].factor != x->factor)
    at++;
  struct factor_split *to = &s->splits[at];
  if (at == n) {
    s->n++;
    *to = *x;
  } else if (to->n_axes + x->n_axes <= SHARDING_MAX_AXES_PER_DIM && to->order == SPLIT_BLOCK &&
             x->order == SPLIT_BLOCK) {
    memcpy(to->axes + to->n_axes, x->axes, x->n_axes * sizeof *x->axes);
    to->n_axes += x->n_axes;
  } else {
    return false;
  }
  if (s->n <= 2 * MESH_MAX_AXES - 1 && fits(r, s))
    return true;
  s->n = n;
  memcpy(s->splits, before, sizeof before);
  return false;
}

static uint32_t number_of(const struct roles *r, const char *name, uint32_t index) {
  const struct factor *x = factor_find(&r->factors, name, index);
  return x ? (uint32_t)(x - r->factors.factors.data) : UINT32_MAX;
}

/* Splits a factor over one axis, if it is there and has so many units at least (or nobody knows).
 */
static bool split_by(struct roles *r, struct op_split *s, uint32_t factor, struct axis_ref ref,
                     enum split_order order, int64_t block) {
  int64_t extent;
  if (factor == UINT32_MAX || axis_is_used(r, s, &ref) ||
      (dim_is_const(r->f->module->dims, r->factors.factors.data[factor].extent, &extent) &&
       extent < 2))
    return false;
  struct factor_split x = {
      .factor = factor, .n_axes = 1, .axes = {ref}, .granule = 1, .order = order, .block = block};
  return add_split(r, s, &x);
}

/* ---- attention ---- */

/* Heads over an axis. Where there are fewer kv heads than ranks: the outer part of the axis takes
 * the kv heads, the inner one the query heads of each, if that comes out even. */
static void split_heads(struct roles *r, struct op_split *s, struct axis_ref axis) {
  uint32_t head = number_of(r, "head", 0), query_head = number_of(r, "query_head", 0);
  int64_t heads = 0, each = 0, parts = r->mesh->axes[axis.axis].size;
  if (head == UINT32_MAX || axis_is_used(r, s, &axis))
    return;
  dim_is_const(r->f->module->dims, r->factors.factors.data[head].extent, &heads);
  if (query_head != UINT32_MAX)
    dim_is_const(r->f->module->dims, r->factors.factors.data[query_head].extent, &each);
  if (heads >= 1 && heads < parts && parts % heads == 0 && each % (parts / heads) == 0) {
    struct axis_ref outer = {axis.axis, heads, parts / heads},
                    inner = {axis.axis, parts / heads, 1};
    if (heads == 1 || split_by(r, s, head, outer, SPLIT_BLOCK, 0))
      split_by(r, s, query_head, heads == 1 ? axis : inner, SPLIT_BLOCK, 0);
    return;
  }
  split_by(r, s, head, axis, SPLIT_BLOCK, 0);
}

/* Whether a value is a state with what a run adds to it, seen through views. */
static bool is_of_state(const struct roles *r, value_id v) {
  const struct op *op = value_def(r->f, v);
  while (op && (op->kind == OP_RESHAPE || op->kind == OP_TRANSPOSE || op->kind == OP_BROADCAST ||
                (op->kind == OP_MAP && op->n_operands == 1)))
    op = value_def(r->f, op->operands[0]);
  for (uint32_t i = 0; op && i < r->n_states; i++)
    if (op == function_op(r->f, r->states[i].update))
      return true;
  return false;
}

/* Without keys: what it wishes of the ops before it, where they make every rank's queries and new
 * keys. */
static void split_attention(struct roles *r, struct op_split *s, bool keys) {
  for (uint32_t i = 0; i < r->mesh->n_axes; i++) {
    struct axis_ref axis = {.axis = i};
    switch (role_of(r->mesh->axes[i].name)) {
    case ROLE_BATCH: split_by(r, s, number_of(r, "batch", 0), axis, SPLIT_BLOCK, 0); break;
    case ROLE_QUERY:
      split_by(r, s, number_of(r, "query", 0), axis,
               OP_ATTRS(attention, r->op)->causal ? SPLIT_ZIGZAG : SPLIT_BLOCK, 0);
      break;
    case ROLE_KEY:
      if (keys)
        split_by(r, s, number_of(r, "key", 0), axis, SPLIT_INTERLEAVED, CACHE_BLOCK);
      break;
    case ROLE_EXPERT: break;
    case ROLE_TENSOR: split_heads(r, s, axis);
    }
  }
}

/* ---- wishes ---- */

static bool sharding_uses(const struct roles *r, const struct sharding *s,
                          const struct dim_split *split) {
  for (uint32_t d = 0; d < s->rank; d++)
    if (!axis_refs_disjoint(r->mesh, s->dims[d].axes, s->dims[d].n_axes, split->axes,
                            split->n_axes))
      return true;
  return false;
}

static void wish_split(struct roles *r, value_id v, uint32_t d, const struct dim_split *split) {
  if (split->n_axes == 0)
    return;
  if (!r->wish[v]) {
    r->wish[v] = ARENA_NEW(r->arena, struct sharding);
    *r->wish[v] = (struct sharding){.mesh = r->mesh_id, .rank = value_type(r->f, v)->rank};
  }
  if (r->wish[v]->dims[d].n_axes == 0 && !sharding_uses(r, r->wish[v], split))
    r->wish[v]->dims[d] = *split;
}

/* Operands are wished as the split at hand reads them. */
static void wish_operands(struct roles *r, const struct op_split *s) {
  if (!fits(r, s))
    return;
  for (uint32_t i = 0; i < r->op->n_operands; i++) {
    if (!r->operands[i])
      continue;
    const struct sharding *sharding = r->f->module->shardings.data[r->operands[i]];
    for (uint32_t d = 0; d < sharding->rank; d++)
      wish_split(r, r->op->operands[i], d, &sharding->dims[d]);
  }
}

/* The split that makes results as they are wished, as far as one does. */
static void take_wishes(struct roles *r, struct op_split *s) {
  const struct sharding **operands =
      ARENA_ARRAY(r->arena, const struct sharding *, r->op->n_operands + 1);
  const struct sharding **results =
      ARENA_ARRAY(r->arena, const struct sharding *, r->op->n_results + 1);
  struct op_split wished;
  bool any = false;
  for (uint32_t i = 0; i < r->op->n_results; i++) {
    results[i] = r->wish[r->op->results[i]];
    any |= results[i] != NULL;
  }
  if (!any || !op_split_recover(r->f, r->op, &r->factors, r->mesh_id, operands, results, 0,
                                r->arena, &wished))
    return;
  for (uint32_t i = 0; i < wished.n; i++)
    if (r->factors.factors.data[wished.splits[i].factor].kind == FACTOR_PARALLEL)
      add_split(r, s, &wished.splits[i]);
}

/* Columns of a product that become heads are split by whole heads. */
static void wish_heads(struct roles *r) {
  if (r->op->kind != OP_RESHAPE)
    return;
  const struct op *from = value_def(r->f, r->op->operands[0]);
  if (!from || (from->kind != OP_CONTRACT && from->kind != OP_MAP))
    return;
  for (uint32_t i = 0; i < r->factors.factors.len; i++) {
    const struct factor *x = &r->factors.factors.data[i];
    uint32_t d = x->operands[0].dim;
    if (x->operands[0].granule < 2 || d + 1 != value_type(r->f, r->op->operands[0])->rank)
      continue;
    for (uint32_t a = 0; a < r->mesh->n_axes; a++) {
      struct axis_ref axis = {.axis = a};
      if (role_of(r->mesh->axes[a].name) != ROLE_TENSOR)
        continue;
      struct op_split s = {.splits = ARENA_ARRAY(r->arena, struct factor_split, 2 * MESH_MAX_AXES)};
      if (split_by(r, &s, i, axis, SPLIT_BLOCK, 0))
        wish_operands(r, &s);
    }
  }
}

/* ---- what an op does without wishes ---- */

/* Goes on with the splits that an operand has. */
static void follow_operand(struct roles *r, struct op_split *s, uint32_t i) {
  sharding_id id = r->have[r->op->operands[i]];
  if (!id)
    return;
  const struct sharding *has = r->f->module->shardings.data[id];
  for (uint32_t k = 0; k < r->factors.factors.len; k++) {
    const struct factor *x = &r->factors.factors.data[k];
    const struct factor_map *map = &x->operands[i];
    if (map->dim == FACTOR_WHOLE || map->outer > 1)
      continue;
    const struct dim_split *d = &has->dims[map->dim];
    struct factor_split own = {.factor = k, .n_axes = d->n_axes, .order = d->order};
    bool used = d->n_axes == 0;
    for (uint32_t a = 0; a < d->n_axes; a++)
      used |= axis_is_used(r, s, &d->axes[a]);
    if (used)
      continue;
    memcpy(own.axes, d->axes, sizeof own.axes);
    own.granule = d->granule % map->granule ? 1 : d->granule / map->granule;
    own.block = d->block / map->granule;
    add_split(r, s, &own);
  }
}

static void follow_operands(struct roles *r, struct op_split *s) {
  for (uint32_t rank = IR_MAX_RANK + 1; rank-- > 0;)
    for (uint32_t i = 0; i < r->op->n_operands; i++)
      if (value_type(r->f, r->op->operands[i])->rank == rank && !r->constant[r->op->operands[i]])
        follow_operand(r, s, i);
}

/* What a product with constants, a convolution or a table is split by when nothing else is. */
static void split_weights(struct roles *r, struct op_split *s, struct axis_ref axis,
                          enum role role) {
  const struct op *op = r->op;
  uint32_t weights = op->kind == OP_GATHER ? 0 : 1;
  if ((op->kind != OP_CONTRACT && op->kind != OP_CONV && op->kind != OP_GATHER) ||
      op->n_operands < 2 || axis_is_used(r, s, &axis))
    return;
  if (op->kind == OP_CONTRACT && r->constant[op->operands[0]] && !r->constant[op->operands[1]])
    weights = 0;
  if (!r->constant[op->operands[weights]])
    return;
  if (role == ROLE_EXPERT) {
    if (op->kind == OP_CONTRACT)
      split_by(r, s, number_of(r, "batch", 0), axis, SPLIT_BLOCK, 0);
  } else if (op->kind == OP_CONTRACT) {
    split_by(r, s, number_of(r, weights ? "n" : "m", 0), axis, SPLIT_BLOCK, 0);
  } else if (op->kind == OP_CONV) {
    if (!split_by(r, s, number_of(r, "group", 0), axis, SPLIT_BLOCK, 0))
      split_by(r, s, number_of(r, "out_channel", 0), axis, SPLIT_BLOCK, 0);
  } else if (dtype_is_float(value_type(r->f, op->operands[0])->dtype)) {
    split_by(r, s, number_of(r, "row", 0), axis, SPLIT_BLOCK, 0);
  }
}

/* ---- the walks ---- */

static void begin_op(struct roles *r, op_id id) {
  r->op = function_op(r->f, id);
  r->operands = ARENA_ARRAY(r->arena, sharding_id, r->op->n_operands + 1);
  r->results = ARENA_ARRAY(r->arena, sharding_id, r->op->n_results + 1);
  factors_of(r->f, r->op, r->arena, &r->factors);
}

static void find_constants(struct roles *r, region_id region) {
  for (uint32_t i = 0; i < r->f->regions.data[region].ops.len; i++) {
    const struct op *op = function_op(r->f, r->f->regions.data[region].ops.data[i]);
    bool constant = !(op_infos[op->kind].flags & (OP_FLAG_CONTROL | OP_FLAG_RANKS));
    for (uint32_t k = 0; k < op->n_operands; k++)
      constant &= r->constant[op->operands[k]];
    for (uint32_t k = 0; k < op->n_results; k++)
      r->constant[op->results[k]] = constant;
    for (uint32_t k = 0; k < op->n_regions; k++)
      find_constants(r, op->regions[k]);
  }
}

static void wish_region(struct roles *r, region_id region) {
  for (uint32_t i = r->f->regions.data[region].ops.len; i-- > 0;) {
    op_id id = r->f->regions.data[region].ops.data[i];
    struct op_split s = {.splits = ARENA_ARRAY(r->arena, struct factor_split, 2 * MESH_MAX_AXES)};
    begin_op(r, id);
    for (uint32_t k = 0; k < r->op->n_regions; k++) {
      wish_region(r, function_op(r->f, id)->regions[k]);
      begin_op(r, id);
    }
    if (r->factors.factors.len == 0 || (r->op->kind == OP_UPDATE && r->n_states == 0))
      continue;
    if (r->op->kind == OP_ATTENTION)
      split_attention(r, &s, is_of_state(r, r->op->operands[1]));
    else
      take_wishes(r, &s);
    wish_operands(r, &s);
    wish_heads(r);
  }
}

/* Keys of attention that an axis named `ring` splits go round its ranks. */
static void pass_keys_round(struct roles *r, op_id id, const struct op_split *s) {
  for (uint32_t i = 0; i < r->mesh->n_axes; i++) {
    if (strcmp(r->mesh->axes[i].name, "ring") != 0 ||
        !axis_is_used(r, s, &(struct axis_ref){.axis = i}))
      continue;
    struct attention_attrs a = *OP_ATTRS(attention, r->op);
    a.ring = true;
    r->f->ops.data[id].attrs = attrs_copy(r->f->module, OP_ATTENTION, &a);
  }
}

static void choose_op(struct roles *r, op_id id) {
  struct op_split *s = &r->out->ops[id];
  begin_op(r, id);
  s->splits = ARENA_ARRAY(r->arena, struct factor_split, 2 * MESH_MAX_AXES);
  if (r->op->kind == OP_ATTENTION) {
    split_attention(r, s, true);
    pass_keys_round(r, id, s);
  }
  take_wishes(r, s);
  follow_operands(r, s);
  for (uint32_t i = 0; i < r->mesh->n_axes; i++) {
    enum role role = role_of(r->mesh->axes[i].name);
    if (role == ROLE_TENSOR || role == ROLE_EXPERT)
      split_weights(r, s, (struct axis_ref){.axis = i}, role);
  }
  if (!fits(r, s))
    return;
  for (uint32_t i = 0; i < r->op->n_results; i++) {
    const struct type *type = value_type(r->f, r->op->results[i]);
    struct sharding room;
    struct sharding merged =
        *sharding_get(r->f->module, r->results[i], r->mesh_id, type->rank, &room);
    merged.partial = (struct partial){0};
    r->have[r->op->results[i]] = module_shard(r->f->module, type, &merged);
  }
}

/* What goes into a loop's body, or comes out of a region, is split as it was. */
static void carry(struct roles *r, value_id from, value_id to) {
  if (type_same_shape(value_type(r->f, from), value_type(r->f, to)))
    r->have[to] = r->have[from];
}

static void choose_region(struct roles *r, region_id region);

static void choose_control(struct roles *r, op_id id) {
  const struct op *op = function_op(r->f, id);
  bool loop = op->kind == OP_LOOP;
  for (uint32_t i = 2; loop && i < op->n_operands; i++)
    carry(r, op->operands[i], r->f->regions.data[op->regions[0]].params.data[i - 1]);
  for (uint32_t k = 0; k < op->n_regions; k++)
    choose_region(r, op->regions[k]);
  for (uint32_t i = 0; i < op->n_results && op->kind != OP_FUSED; i++)
    carry(r, r->f->regions.data[op->regions[0]].results.data[loop + i], op->results[i]);
}

static void choose_region(struct roles *r, region_id region) {
  for (uint32_t i = 0; i < r->f->regions.data[region].ops.len; i++) {
    op_id id = r->f->regions.data[region].ops.data[i];
    /* What is made of constants alone is made as its readers want it; states are settled. */
    const struct op *op = function_op(r->f, id);
    if (op->n_regions == 0 && op->kind != OP_UPDATE &&
        (op->n_results == 0 || !r->constant[op->results[0]]))
      choose_op(r, id);
    if (op->n_regions)
      choose_control(r, id);
  }
}

/* ---- states ---- */

static void find_states(struct roles *r) {
  const struct region *body = &r->f->regions.data[0];
  r->states = ARENA_ARRAY(r->arena, struct role_state, body->params.len + 1);
  for (uint32_t i = 0; i < body->params.len; i++) {
    value_id v;
    if (!state_update(r->f, i, &v))
      continue;
    for (uint32_t k = 0; k < body->results.len; k++)
      if (body->results.data[k] == v)
        r->states[r->n_states++] = (struct role_state){i, k, function_value(r->f, v)->def};
  }
}

/* Rows keep their places when batch and capacity grow only where they are dealt in turn. */
static sharding_id growing(struct roles *r, uint32_t axis, const struct type *type,
                           const struct sharding *wish) {
  struct sharding s = *wish;
  s.partial = (struct partial){0};
  if (s.dims[axis].order != SPLIT_INTERLEAVED)
    s.dims[axis] = (struct dim_split){0};
  if (s.dims[0].order != SPLIT_INTERLEAVED && s.dims[0].granule > 1)
    s.dims[0] = (struct dim_split){0};
  return module_shard(r->f->module, type, &s);
}

/* The shardings of the states, and the splits of the updates that write them. */
static void settle_states(struct roles *r, sharding_id *shardings) {
  const struct region *body = &r->f->regions.data[0];
  sharding_id *params = ARENA_ARRAY(r->arena, sharding_id, body->params.len + 1);
  sharding_id *results = ARENA_ARRAY(r->arena, sharding_id, body->results.len + 1);
  for (uint32_t i = 0; i < r->n_states; i++) {
    const struct role_state *x = &r->states[i];
    const struct op *op = function_op(r->f, x->update);
    const struct type *type = value_type(r->f, op->results[0]);
    const struct sharding *wish = r->wish[op->results[0]];
    if (shardings[i] == LAYOUT_FREE)
      shardings[i] = wish ? growing(r, (uint32_t)OP_ATTRS(update, op)->axis, type, wish) : 0;
    struct sharding room;
    const struct sharding *has =
        sharding_get(r->f->module, shardings[i], r->mesh_id, type->rank, &room);
    const struct sharding **operands =
        ARENA_ARRAY(r->arena, const struct sharding *, op->n_operands + 1);
    begin_op(r, x->update);
    op_split_recover(r->f, op, &r->factors, r->mesh_id, operands, &has, 0, r->arena,
                     &r->out->ops[x->update]);
    params[x->param] = results[x->result] = r->have[op->results[0]] = shardings[i];
    r->have[op->operands[0]] = shardings[i];
  }
  r->out->params = params;
  r->out->results = results;
}

/* Inputs are whole, but what reads them goes on as if batch rows were dealt, and other dims as they
 * are wished. */
static void seed_inputs(struct roles *r) {
  for (uint32_t i = 0; i < r->f->regions.data[0].params.len; i++) {
    value_id v = r->f->regions.data[0].params.data[i];
    const struct type *type = value_type(r->f, v);
    struct sharding s = {.mesh = r->mesh_id, .rank = type->rank};
    bool rows = type->rank > 0 && !dim_is_const_value(r->f->module->dims, type->dims[0], 1);
    for (uint32_t a = 0; rows && a < r->mesh->n_axes; a++)
      if (role_of(r->mesh->axes[a].name) == ROLE_BATCH &&
          s.dims[0].n_axes < SHARDING_MAX_AXES_PER_DIM) {
        s.dims[0].granule = 1;
        s.dims[0].axes[s.dims[0].n_axes++] = (struct axis_ref){.axis = a};
      }
    for (uint32_t d = 0; r->wish[v] && d < type->rank; d++)
      if (s.dims[d].n_axes == 0 && !sharding_uses(r, &s, &r->wish[v]->dims[d]))
        s.dims[d] = r->wish[v]->dims[d];
    r->have[v] = module_shard(r->f->module, type, &s);
  }
}

static const char *role_words(enum role role) {
  switch (role) {
  case ROLE_BATCH: return "rows of a batch";
  case ROLE_QUERY: return "query positions of attention";
  case ROLE_KEY: return "key positions of attention";
  case ROLE_EXPERT: return "experts";
  default: return "heads, channels, or rows or columns of weights";
  }
}

static status check_axes(const struct roles *r, struct diags *diags) {
  for (uint32_t a = 0; a < r->mesh->n_axes; a++) {
    bool used = r->mesh->axes[a].size == 1;
    for (uint32_t i = 0; !used && i < r->out->n_ops; i++)
      used = axis_is_used(r, &r->out->ops[i], &(struct axis_ref){.axis = a});
    if (!used)
      return diag_report(
          diags, DIAG_E0344, NULL, NULL,
          "axis '%s' of %lld ranks can split nothing: no op of @%s has %s that could "
          "be split",
          r->mesh->axes[a].name, (long long)r->mesh->axes[a].size, r->f->name,
          role_words(role_of(r->mesh->axes[a].name)));
  }
  return STATUS_OK;
}

status role_assignment(struct function *f, uint32_t mesh, sharding_id *states, struct arena *arena,
                       struct diags *diags, struct assignment *out) {
  *out = (struct assignment){.mesh = mesh, .n_ops = f->ops.len};
  out->ops = ARENA_ARRAY(arena, struct op_split, f->ops.len);
  struct roles r = {.f = f,
                    .mesh_id = mesh,
                    .mesh = f->module->meshes.data[mesh],
                    .arena = arena,
                    .wish = ARENA_ARRAY(arena, struct sharding *, f->values.len),
                    .have = ARENA_ARRAY(arena, sharding_id, f->values.len),
                    .constant = ARENA_ARRAY(arena, bool, f->values.len),
                    .out = out};
  find_constants(&r, 0);
  if (states)
    find_states(&r);
  wish_region(&r, 0);
  seed_inputs(&r);
  if (r.n_states)
    settle_states(&r, states);
  choose_region(&r, 0);
  vec_deinit(&r.factors.factors);
  return r.n_states ? STATUS_OK : check_axes(&r, diags);
}
