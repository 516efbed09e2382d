/* SPDX-License-Identifier: Apache-2.0 */
/* A function as groups, and groups as a chain of blocks: the part of the space that no mesh
 * changes. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "passes/fuse_region.h"
#include "passes/partition/annotations.h"
#include "passes/partition/space.h"

uint32_t space_role_of(const char *axis) {
  static const struct {
    const char *name;
    uint32_t role;
  } roles[] = {{"dp", SPACE_BATCH},
               {"cp", SPACE_QUERY},
               {"cache", SPACE_KEY},
               {"ep", SPACE_EXPERT},
               {"tp", SPACE_TENSOR}};
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
    if (!strcmp(roles[i].name, axis))
      return roles[i].role;
  return SPACE_ANY;
}

const char *space_role_name(uint32_t role) {
  switch (role) {
  case SPACE_BATCH: return "dp";
  case SPACE_QUERY: return "cp";
  case SPACE_KEY: return "cache";
  case SPACE_EXPERT: return "ep";
  default: return "tp";
  }
}

struct grouper {
  struct space *s;
  const struct function *f;
  struct fuse plan;
  struct arena scratch;
  bool *constant; /* by value: made of constants alone */
  bool *product;  /* by value made of constants alone: a product reads it, or what is made of it */
  VEC(struct space_group) groups;
};

/* ---- what costs nothing to have in any form ---- */

static bool is_light(enum op_kind kind) { return kind == OP_CONST || fuse_is_light(kind); }

/* A constant that is a reason to split: a product's, or a large table. */
static bool is_split_weight(const struct grouper *g, value_id v) {
  const struct op *def = value_def(g->f, v);
  if (!def || def->kind != OP_CONST)
    return false;
  uint64_t bytes = g->f->module->constants.data[OP_ATTRS(const, def)->value].bytes;
  return bytes >= (g->product[v] ? SPACE_SMALL_CONSTANT : SPACE_SMALL_TABLE);
}

/* What is made of constants alone, and which of it products read. */
static void find_constants(struct grouper *g) {
  const struct region *body = &g->f->regions.data[0];
  for (uint32_t i = 0; i < body->ops.len; i++) {
    const struct op *op = function_op(g->f, body->ops.data[i]);
    bool constant = is_light(op->kind) && op->n_results == 1;
    for (uint32_t k = 0; k < op->n_operands; k++)
      constant &= g->constant[op->operands[k]];
    if (constant)
      g->constant[op->results[0]] = true;
  }
  for (uint32_t i = body->ops.len; i-- > 0;) {
    const struct op *op = function_op(g->f, body->ops.data[i]);
    bool light = is_light(op->kind) && op->n_results == 1;
    bool product = light ? g->constant[op->results[0]] && g->product[op->results[0]] : true;
    for (uint32_t k = 0; k < op->n_operands; k++)
      g->product[op->operands[k]] |= product;
  }
}

/* Lengths and the like: what counts rows is cheap. */
static bool is_count(const struct grouper *g, const struct op *op) {
  return (op->kind == OP_SCAN || op->kind == OP_REDUCE) && op->n_results == 1 &&
         dtype_is_int(value_type(g->f, op->results[0])->dtype);
}

static void find_states(struct grouper *g) {
  const struct module *m = g->s->module;
  const struct region *body = &g->f->regions.data[0];
  for (uint32_t i = 0; i < m->entries.len; i++) {
    const struct entry *e = &m->entries.data[i];
    for (uint32_t k = 0; k < e->variants.len; k++) {
      if (e->variants.data[k].function != g->f)
        continue;
      g->s->n_states = e->states.len;
      for (uint32_t n = 0; n < e->states.len; n++) {
        g->s->state_of[body->params.data[e->states.data[n].input]] = n + 1;
        g->s->state_of[body->results.data[e->states.data[n].output]] = n + 1;
      }
      return;
    }
  }
}

/* Inputs are whole on every rank; what maps, views and counts make of them and of constants that
 * are no weights stays so. */
static void find_given(struct grouper *g) {
  const struct region *body = &g->f->regions.data[0];
  for (uint32_t i = 0; i < body->params.len; i++)
    g->s->given[body->params.data[i]] = !g->s->state_of[body->params.data[i]];
  for (uint32_t i = 0; i < body->ops.len; i++) {
    const struct op *op = function_op(g->f, body->ops.data[i]);
    bool given = (is_light(op->kind) && op->n_results == 1) || is_count(g, op);
    for (uint32_t k = 0; k < op->n_operands; k++)
      given &= g->s->given[op->operands[k]] && !is_split_weight(g, op->operands[k]);
    if (op->n_results == 1)
      g->s->given[op->results[0]] = given || op->kind == OP_CONST;
  }
}

/* ---- groups ---- */

static uint32_t group_create(struct grouper *g, op_id rep, bool heavy, bool is_free) {
  struct space_group x = {.rep = rep, .n_ops = 1, .heavy = heavy, .free = is_free};
  vec_push(&g->groups, x);
  g->s->group_of[rep] = g->groups.len - 1;
  return g->groups.len - 1;
}

/* The group of all of a value's readers; SEARCH_NONE: several, or the function's results. */
static uint32_t only_reader(const struct grouper *g, value_id v) {
  uint32_t group = SEARCH_NONE;
  for (uint32_t u = g->plan.uses.start[v]; u < g->plan.uses.start[v + 1]; u++) {
    op_id user = g->plan.uses.ops[u];
    if (user == OP_ID_NONE || function_op(g->f, user)->parent != 0)
      return SEARCH_NONE;
    uint32_t x = g->s->group_of[user];
    if (x == SEARCH_NONE || (group != SEARCH_NONE && group != x))
      return SEARCH_NONE;
    group = x;
  }
  return group;
}

static bool is_row_cluster(const struct grouper *g, uint32_t c) {
  enum root_kind root = g->plan.clusters.data[c].root;
  return root == ROOT_KIND_ROW || root == ROOT_KIND_POINTWISE;
}

/* Whether the op is its cluster's root, a kernel that has factors of its own. */
static bool is_heavy(const struct grouper *g, op_id id) {
  const struct op *op = function_op(g->f, id);
  uint32_t c = g->plan.cluster_of[id];
  if (c == NO_CLUSTER)
    return !is_light(op->kind);
  if (op->kind == OP_GATHER && is_split_weight(g, op->operands[0]))
    return true;
  return !is_row_cluster(g, c) && g->plan.clusters.data[c].ops.data[0] == id;
}

static void place_op(struct grouper *g, op_id id, uint32_t *group_of_cluster) {
  const struct op *op = function_op(g->f, id);
  uint32_t c = g->plan.cluster_of[id];
  if (op->kind == OP_CONST || (op->n_results == 1 && g->s->given[op->results[0]]))
    return;
  if (is_heavy(g, id)) {
    group_create(g, id, true, false);
    return;
  }
  if (c != NO_CLUSTER) {
    /* The last op of the cluster speaks for it. */
    if (group_of_cluster[c] == SEARCH_NONE)
      group_of_cluster[c] = group_create(g, id, false, false);
    g->s->group_of[id] = group_of_cluster[c];
    return;
  }
  uint32_t reader = op->n_results == 1 ? only_reader(g, op->results[0]) : SEARCH_NONE;
  if (reader != SEARCH_NONE)
    g->s->group_of[id] = reader;
  else
    group_create(g, id, false, true);
}

/* The heavy value that a light group of the same cluster reads, alone. */
static value_id fused_value(const struct grouper *g, uint32_t group) {
  uint32_t c = g->plan.cluster_of[g->groups.data[group].rep];
  if (c == NO_CLUSTER || is_row_cluster(g, c) || g->groups.data[group].heavy)
    return VALUE_NONE;
  const struct op *root = function_op(g->f, g->plan.clusters.data[c].ops.data[0]);
  return root->n_results == 1 && only_reader(g, root->results[0]) == group ? root->results[0]
                                                                           : VALUE_NONE;
}

static int by_position(const void *a, const void *b, void *user) {
  const struct grouper *g = user;
  uint32_t x = g->plan.position[((const struct space_group *)a)->rep];
  uint32_t y = g->plan.position[((const struct space_group *)b)->rep];
  return (x > y) - (x < y);
}

/* Groups in the order of their representatives, with their ops in order of execution. */
static void settle_groups(struct grouper *g) {
  struct space *s = g->s;
  const struct region *body = &g->f->regions.data[0];
  s->n_groups = g->groups.len;
  s->groups = ARENA_ARRAY(s->arena, struct space_group, s->n_groups);
  uint32_t *renumbered = ARENA_ARRAY(&g->scratch, uint32_t, s->n_groups);
  for (uint32_t i = 0; i < s->n_groups; i++)
    g->groups.data[i].fused = fused_value(g, i);
  if (s->n_groups) {
    memcpy(s->groups, g->groups.data, s->n_groups * sizeof *s->groups);
    qsort_r(s->groups, s->n_groups, sizeof *s->groups, by_position, g);
  }
  for (uint32_t i = 0; i < s->n_groups; i++) {
    renumbered[s->group_of[s->groups[i].rep]] = i;
    s->groups[i].n_ops = 0;
  }
  for (uint32_t pass = 0; pass < 2; pass++) {
    for (uint32_t i = 0; i < body->ops.len; i++) {
      op_id id = body->ops.data[i];
      if (s->group_of[id] == SEARCH_NONE)
        continue;
      if (!pass)
        s->group_of[id] = renumbered[s->group_of[id]];
      struct space_group *x = &s->groups[s->group_of[id]];
      if (pass)
        ((op_id *)x->ops)[x->n_ops] = id;
      x->n_ops++;
    }
    for (uint32_t i = 0; !pass && i < s->n_groups; i++) {
      s->groups[i].ops = ARENA_ARRAY(s->arena, op_id, s->groups[i].n_ops);
      s->groups[i].n_ops = 0;
    }
  }
}

static void find_groups(struct grouper *g) {
  const struct region *body = &g->f->regions.data[0];
  uint32_t *group_of_cluster = ARENA_ARRAY(&g->scratch, uint32_t, g->plan.clusters.len);
  memset(group_of_cluster, 0xff, g->plan.clusters.len * sizeof *group_of_cluster);
  memset(g->s->group_of, 0xff, g->f->ops.len * sizeof *g->s->group_of);
  for (uint32_t i = body->ops.len; i-- > 0;)
    place_op(g, body->ops.data[i], group_of_cluster);
  settle_groups(g);
}

/* ---- roles of dims: by what attention calls them, carried along parallel factors ---- */

struct dim_sets {
  uint32_t *parent;
};

static uint32_t set_find(struct dim_sets *d, uint32_t x) {
  while (d->parent[x] != x)
    x = d->parent[x] = d->parent[d->parent[x]];
  return x;
}

static uint32_t place_of(value_id v, uint32_t d) { return v * IR_MAX_RANK + d; }

static void unite_factors(struct dim_sets *d, const struct op *op, const struct factor_list *list) {
  for (uint32_t i = 0; i < list->factors.len; i++) {
    const struct factor *x = &list->factors.data[i];
    uint32_t first = SEARCH_NONE;
    for (uint32_t k = 0; k < op->n_operands + op->n_results; k++) {
      bool result = k >= op->n_operands;
      const struct factor_map *map = result ? &x->results[k - op->n_operands] : &x->operands[k];
      if (map->dim == FACTOR_WHOLE || map->outer > 1)
        continue;
      uint32_t at = set_find(
          d, place_of(result ? op->results[k - op->n_operands] : op->operands[k], map->dim));
      if (first == SEARCH_NONE)
        first = at;
      d->parent[at] = set_find(d, first);
    }
  }
}

static void name_set(struct dim_sets *d, uint32_t *roles, value_id v, uint32_t at, uint32_t role) {
  uint32_t set = set_find(d, place_of(v, at));
  roles[set] |= role;
}

/* The strongest of the roles that a set was given. */
static uint32_t settle_role(uint32_t roles) {
  static const uint32_t order[] = {SPACE_EXPERT, SPACE_BATCH, SPACE_QUERY, SPACE_KEY};
  for (size_t i = 0; i < sizeof order / sizeof *order; i++)
    if (roles & order[i])
      return order[i];
  return SPACE_TENSOR;
}

static bool has_open_rows(const struct grouper *g, value_id v) {
  const struct type *type = value_type(g->f, v);
  return type->rank && !dim_is_const(g->f->module->dims, type->dims[0], NULL);
}

/* Made of constants alone. */
static bool is_weight(const struct grouper *g, value_id v, uint32_t depth) {
  const struct op *op = value_def(g->f, v);
  bool all = op && depth < 8 && (op->kind == OP_CONST || op->n_operands > 0);
  for (uint32_t i = 0; all && i < op->n_operands; i++)
    all = is_weight(g, op->operands[i], depth + 1);
  return all;
}

/* Batch dims of products with weights are of experts. */
static void name_experts(const struct grouper *g, struct dim_sets *d, uint32_t *roles,
                         const struct op *op) {
  const struct contract_attrs *a = OP_ATTRS(contract, op);
  if (a->lhs_batch.len == 0 || is_weight(g, op->operands[0], 0) == is_weight(g, op->operands[1], 0))
    return;
  for (uint32_t i = 0; i < a->lhs_batch.len; i++)
    name_set(d, roles, op->results[0], i, SPACE_EXPERT);
}

static void find_roles(struct grouper *g) {
  struct space *s = g->s;
  const struct region *body = &g->f->regions.data[0];
  uint32_t n = g->f->values.len * IR_MAX_RANK;
  struct dim_sets d = {ARENA_ARRAY(&g->scratch, uint32_t, n)};
  uint32_t *roles = ARENA_ARRAY(&g->scratch, uint32_t, n);
  struct factor_list list = {0};
  bool attends = false;
  for (uint32_t i = 0; i < n; i++)
    d.parent[i] = i;
  for (uint32_t i = 0; i < body->ops.len; i++) {
    const struct op *op = function_op(g->f, body->ops.data[i]);
    factors_of(g->f, op, &g->scratch, &list);
    unite_factors(&d, op, &list);
  }
  for (uint32_t i = 0; i < body->ops.len; i++) {
    const struct op *op = function_op(g->f, body->ops.data[i]);
    if (op->kind == OP_CONTRACT)
      name_experts(g, &d, roles, op);
    if (op->kind != OP_ATTENTION)
      continue;
    attends = true;
    name_set(&d, roles, op->operands[0], 0, SPACE_BATCH);
    name_set(&d, roles, op->operands[0], 2, SPACE_QUERY);
    name_set(&d, roles, op->operands[1], 2, SPACE_KEY);
  }
  bool open = false; /* whether the batch is a symbol; then no constant is one */
  for (uint32_t i = 0; i < body->params.len; i++)
    open |= has_open_rows(g, body->params.data[i]);
  for (uint32_t i = 0; i < body->params.len; i++) {
    value_id v = body->params.data[i];
    uint32_t rank = value_type(g->f, v)->rank;
    if (s->state_of[v] || rank < 2 || (open && !has_open_rows(g, v)))
      continue;
    name_set(&d, roles, v, 0, SPACE_BATCH);
    if (!attends && rank < 4)
      name_set(&d, roles, v, 1, SPACE_QUERY);
  }
  for (uint32_t i = 0; i < n; i++)
    s->role_of[i] = settle_role(roles[set_find(&d, i)]);
  vec_deinit(&list.factors);
}

/* ---- blocks ---- */

/* From the first to the last group that makes or reads a value. */
struct span {
  uint32_t first, last;
};

static void widen(struct span *x, uint32_t group) {
  x->first = group < x->first ? group : x->first;
  x->last = group > x->last ? group : x->last;
}

static struct span *find_spans(struct grouper *g) {
  struct space *s = g->s;
  struct span *spans = ARENA_ARRAY(&g->scratch, struct span, g->f->values.len);
  for (uint32_t v = 0; v < g->f->values.len; v++)
    spans[v] = (struct span){SEARCH_NONE, 0};
  for (uint32_t i = 0; i < s->n_groups; i++) {
    for (uint32_t k = 0; k < s->groups[i].n_ops; k++) {
      const struct op *op = function_op(g->f, s->groups[i].ops[k]);
      for (uint32_t n = 0; n < op->n_results; n++)
        widen(&spans[op->results[n]], i);
      for (uint32_t n = 0; n < op->n_operands; n++) {
        const struct op *def = value_def(g->f, op->operands[n]);
        if (def && s->group_of[def - g->f->ops.data] != SEARCH_NONE)
          widen(&spans[op->operands[n]], i);
      }
    }
  }
  return spans;
}

/* Between which groups only one value passes, and it is not the one that passed before. */
static void find_blocks(struct grouper *g) {
  struct space *s = g->s;
  struct span *spans = find_spans(g);
  uint32_t *passing = ARENA_ARRAY(&g->scratch, uint32_t, s->n_groups + 1);
  value_id *which = ARENA_ARRAY(&g->scratch, value_id, s->n_groups + 1);
  for (value_id v = 1; v < g->f->values.len; v++) {
    for (uint32_t i = spans[v].first; i < spans[v].last && spans[v].first != SEARCH_NONE; i++) {
      passing[i]++;
      which[i] = v;
    }
  }
  s->blocks = ARENA_ARRAY(s->arena, struct space_block, s->n_groups);
  struct space_block open = {0};
  for (uint32_t i = 0; i < s->n_groups; i++) {
    open.n++;
    s->groups[i].block = s->n_blocks;
    bool cut =
        i + 1 == s->n_groups || passing[i] == 0 || (passing[i] == 1 && which[i] != open.input);
    if (!cut)
      continue;
    open.output = i + 1 < s->n_groups && passing[i] == 1 ? which[i] : VALUE_NONE;
    s->blocks[s->n_blocks++] = open;
    open = (struct space_block){.first = i + 1, .input = open.output};
  }
}

/* ---- equal blocks ---- */

/* What a block is, without the names of its values and constants. */
static void describe_type(const struct type *t, struct strbuf *out) {
  strbuf_append(out, (const char *)&t->dtype, sizeof t->dtype);
  strbuf_append(out, (const char *)t->dims, t->rank * sizeof *t->dims);
  strbuf_char(out, ';');
}

struct describer {
  struct grouper *g;
  const struct space_block *block;
  uint32_t *number, *stamp, round; /* by value: its place in the block */
  uint32_t next;
};

/* How it is annotated, which equal blocks have alike. */
static void describe_annotation(const struct describer *d, const struct op *op, bool result,
                                uint32_t i, struct strbuf *out) {
  const struct node_tensor *t =
      d->g->f->module->annotated_mesh ? annotations_tensor(d->g->f, op, result, i) : NULL;
  if (t && t->annotated)
    strbuf_printf(out, "@%u ", t->type.sharding);
}

static void describe_operand(struct describer *d, value_id v, struct strbuf *out) {
  const struct op *def = value_def(d->g->f, v);
  uint32_t number = d->stamp[v] == d->round ? d->number[v] : SEARCH_NONE;
  bool input = v == d->block->input, state = d->g->s->state_of[v] != 0;
  strbuf_printf(out, "%c%u",
                input                          ? 'i'
                : def && def->kind == OP_CONST ? 'c'
                : state                        ? 's'
                                               : 'v',
                number);
  describe_type(value_type(d->g->f, v), out);
}

static void describe_op(struct describer *d, op_id id, uint32_t group, struct strbuf *out) {
  const struct op *op = function_op(d->g->f, id);
  const struct space_group *x = &d->g->s->groups[group];
  uint64_t attrs = op->n_regions ? id : attrs_hash(op->kind, op->attrs);
  strbuf_printf(out, "\n%u %u %d%d%d ", group - d->block->first, op->kind, x->rep == id, x->free,
                x->fused != VALUE_NONE);
  strbuf_append(out, (const char *)&attrs, sizeof attrs);
  for (uint32_t i = 0; i < op->n_operands; i++) {
    describe_operand(d, op->operands[i], out);
    describe_annotation(d, op, false, i, out);
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    value_id v = op->results[i];
    describe_annotation(d, op, true, i, out);
    d->number[v] = d->next++;
    d->stamp[v] = d->round;
    /* Who reads it outside. */
    strbuf_printf(out, ">%d%d", v == d->block->output, d->g->s->state_of[v] != 0);
    for (uint32_t u = d->g->plan.uses.start[v]; u < d->g->plan.uses.start[v + 1]; u++)
      if (d->g->plan.uses.ops[u] == OP_ID_NONE)
        strbuf_char(out, 'r');
    describe_type(value_type(d->g->f, v), out);
  }
}

static void find_kinds(struct grouper *g) {
  struct space *s = g->s;
  struct strmap kinds = {0};
  struct describer d = {.g = g};
  uint32_t *firsts = ARENA_ARRAY(s->arena, uint32_t, s->n_blocks);
  d.number = ARENA_ARRAY(&g->scratch, uint32_t, g->f->values.len);
  d.stamp = ARENA_ARRAY(&g->scratch, uint32_t, g->f->values.len);
  for (uint32_t b = 0; b < s->n_blocks; b++) {
    struct strbuf text = {0};
    uint64_t kind = s->n_kinds;
    d.block = &s->blocks[b];
    d.round++;
    d.next = 0;
    for (uint32_t i = d.block->first; i < d.block->first + d.block->n; i++)
      for (uint32_t k = 0; k < s->groups[i].n_ops; k++)
        describe_op(&d, s->groups[i].ops[k], i, &text);
    if (!strmap_get(&kinds, text.data, text.len, &kind)) {
      strmap_put(&kinds, text.data, text.len, kind);
      firsts[s->n_kinds++] = b;
    }
    s->blocks[b].kind = (uint32_t)kind;
    strbuf_deinit(&text);
  }
  s->kind_block = firsts;
  strmap_deinit(&kinds);
}

/* ---- bytes and ties ---- */

typedef void (*constant_fn)(void *user, uint32_t group, constant_id c);

static void visit_constants(const struct space *s, uint32_t group, constant_fn fn, void *user) {
  const struct space_group *x = &s->groups[group];
  for (uint32_t k = 0; k < x->n_ops; k++) {
    const struct op *op = function_op(s->function, x->ops[k]);
    for (uint32_t i = 0; i < op->n_operands; i++) {
      const struct op *def = value_def(s->function, op->operands[i]);
      if (def && def->kind == OP_CONST)
        fn(user, group, OP_ATTRS(const, def)->value);
    }
  }
}

static void count_constant(void *user, uint32_t group, constant_id c) {
  struct space *s = user;
  if (!s->counted[c])
    s->counted[c] = group + 1;
}

/* A constant that is in no group is whole everywhere. */
static void count_given(struct space *s, const struct op *op) {
  constant_id c = op->kind == OP_CONST ? OP_ATTRS(const, op)->value : 0;
  if (!c || s->counted[c])
    return;
  s->counted[c] = SEARCH_NONE;
  s->base_bytes += (double)s->module->constants.data[c].bytes;
}

void space_build(struct module *m, const struct workload_phase *phase, uint32_t index,
                 struct arena *arena, struct space *out) {
  struct function *f = (struct function *)phase->function;
  *out = (struct space){.module = m, .function = f, .phase = phase, .index = index, .arena = arena};
  struct grouper g = {.s = out, .f = f};
  struct diags none = {0};
  out->group_of = ARENA_ARRAY(arena, uint32_t, f->ops.len);
  out->role_of = ARENA_ARRAY(arena, uint32_t, f->values.len *IR_MAX_RANK);
  out->given = ARENA_ARRAY(arena, bool, f->values.len);
  out->state_of = ARENA_ARRAY(arena, uint32_t, f->values.len);
  out->counted = ARENA_ARRAY(arena, uint32_t, m->constants.len);
  out->tie_of = ARENA_ARRAY(arena, uint32_t, m->constants.len);
  memset(out->tie_of, 0xff, m->constants.len * sizeof *out->tie_of);
  g.constant = ARENA_ARRAY(&g.scratch, bool, f->values.len);
  fuse_plan(f, 0, &g.scratch, &none, &g.plan);
  g.product = ARENA_ARRAY(&g.scratch, bool, f->values.len);
  find_states(&g);
  find_constants(&g);
  find_given(&g);
  find_groups(&g);
  find_roles(&g);
  find_blocks(&g);
  find_kinds(&g);
  out->state_tie = ARENA_ARRAY(arena, uint32_t, out->n_states);
  memset(out->state_tie, 0xff, out->n_states * sizeof *out->state_tie);
  out->counts_states = true;
  for (uint32_t i = 0; i < out->n_groups; i++)
    visit_constants(out, i, count_constant, out);
  for (uint32_t i = 0; i < f->regions.data[0].ops.len; i++)
    count_given(out, function_op(f, f->regions.data[0].ops.data[i]));
  fuse_plan_deinit(&g.plan);
  vec_deinit(&g.groups);
  diags_deinit(&none);
  arena_deinit(&g.scratch);
}

/* ---- ties ---- */

struct tier {
  struct space *s;
  uint32_t *parent;  /* by constant, then by state: those at one place of equal blocks are one */
  uint32_t *readers; /* by constant: groups that read it */
  uint32_t *first;   /* at each place of the kind's first block */
  uint32_t at;
};

static uint32_t tie_find(struct tier *t, uint32_t x) {
  while (t->parent[x] != x)
    x = t->parent[x] = t->parent[t->parent[x]];
  return x;
}

static void tie_place(struct tier *t, uint32_t x) {
  if (t->first[t->at] == SEARCH_NONE)
    t->first[t->at] = x;
  t->parent[tie_find(t, x)] = tie_find(t, t->first[t->at++]);
}

static void tie_constant(void *user, uint32_t group, constant_id c) {
  struct tier *t = user;
  (void)group;
  t->readers[c]++;
  tie_place(t, c);
}

static void tie_states(struct tier *t, uint32_t group) {
  const struct space *s = t->s;
  for (uint32_t k = 0; k < s->groups[group].n_ops; k++) {
    const struct op *op = function_op(s->function, s->groups[group].ops[k]);
    for (uint32_t i = 0; i < op->n_operands; i++)
      if (s->state_of[op->operands[i]])
        tie_place(t, s->module->constants.len + s->state_of[op->operands[i]] - 1);
  }
}

static void tie_blocks(struct tier *t, struct arena *scratch) {
  struct space *s = t->s;
  uint32_t room = 0;
  for (uint32_t i = 0; i < s->n_groups; i++)
    for (uint32_t k = 0; k < s->groups[i].n_ops; k++)
      room += function_op(s->function, s->groups[i].ops[k])->n_operands;
  for (uint32_t kind = 0; kind < s->n_kinds; kind++) {
    t->first = ARENA_ARRAY(scratch, uint32_t, 2 * room + 1);
    memset(t->first, 0xff, (2 * (size_t)room + 1) * sizeof *t->first);
    for (uint32_t b = 0; b < s->n_blocks; b++) {
      t->at = 0;
      for (uint32_t i = 0; i < s->blocks[b].n && s->blocks[b].kind == kind; i++) {
        visit_constants(s, s->blocks[b].first + i, tie_constant, t);
        tie_states(t, s->blocks[b].first + i);
      }
    }
  }
}

static uint64_t constant_bytes(const struct space *s, constant_id c) {
  return s->module->constants.data[c].bytes;
}

uint32_t space_tie(struct space *spaces, uint32_t n) {
  const struct module *m = spaces[0].module;
  struct arena scratch = {0};
  uint32_t n_states = 0, n_ties = 0;
  for (uint32_t i = 0; i < n; i++)
    n_states = spaces[i].n_states > n_states ? spaces[i].n_states : n_states;
  uint32_t total = m->constants.len + n_states;
  struct tier t = {.parent = ARENA_ARRAY(&scratch, uint32_t, total),
                   .readers = ARENA_ARRAY(&scratch, uint32_t, total)};
  uint32_t *tie = ARENA_ARRAY(&scratch, uint32_t, total);
  memset(tie, 0xff, total * sizeof *tie);
  for (uint32_t i = 0; i < total; i++)
    t.parent[i] = i;
  for (uint32_t i = 0; i < n; i++) {
    t.s = &spaces[i];
    tie_blocks(&t, &scratch);
  }
  for (uint32_t c = 1; c < m->constants.len; c++) {
    uint32_t root = tie_find(&t, c);
    if (t.readers[c] > 1 && constant_bytes(&spaces[0], c) >= SPACE_SMALL_CONSTANT &&
        tie[root] == SEARCH_NONE)
      tie[root] = n_ties++;
  }
  for (uint32_t k = 0; k < n_states; k++) {
    uint32_t root = tie_find(&t, m->constants.len + k);
    if (tie[root] == SEARCH_NONE)
      tie[root] = n_ties++;
  }
  for (uint32_t i = 0; i < n; i++) {
    for (uint32_t c = 1; c < m->constants.len; c++) {
      spaces[i].tie_of[c] = tie[tie_find(&t, c)];
      for (uint32_t k = 0; k < i; k++)
        if (spaces[k].counted[c] && spaces[i].counted[c]) {
          if (spaces[i].counted[c] == SEARCH_NONE)
            spaces[i].base_bytes -= (double)constant_bytes(&spaces[i], c);
          spaces[i].counted[c] = 0; /* an earlier phase counts it */
        }
    }
    for (uint32_t k = 0; k < spaces[i].n_states; k++)
      spaces[i].state_tie[k] = tie[tie_find(&t, m->constants.len + k)];
    for (uint32_t k = 0; k < i; k++)
      spaces[i].counts_states &= spaces[k].n_states == 0;
  }
  arena_deinit(&scratch);
  return n_ties;
}
