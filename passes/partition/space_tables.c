/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a space for one mesh: choices of groups, classes of values, what converting costs.
 */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/vec.h"
#include "ir/shard_index.h"
#include "passes/partition/annotations.h"
#include "passes/partition/conversion.h"
#include "passes/partition/cost.h"
#include "passes/partition/space.h"

#define CACHE_BLOCK 16
#define MOST_ATTEMPTS 4

/* The classes of all values of one type: blocks that meet agree on their numbers. */
struct class_list {
  struct type type;
  uint32_t n, cap;
  sharding_id *shardings;
  bool *made, *wanted;
  double *convert, *convert_fused; /* built at the end; of values within a kernel too */
  VEC(struct search_value *) values, fused;
};

struct builder_of_tables {
  const struct space *s;
  const struct cost *cost;
  const struct mesh *mesh;
  uint32_t mesh_id;
  const uint32_t *roles;
  struct arena *arena;  /* of the result */
  struct arena scratch; /* of everything */
  struct arena moment;  /* of one choice */
  enum keeping {
    KEEP_ALL,
    KEEP_STATES,
    KEEP_NOTHING
  } keeping; /* of s->kept, in the group at hand */
  VEC(struct class_list *) lists;
  struct map list_of; /* hash of type -> list */
  bool annotated;     /* choices are those that annotations allow */
  struct space_tables *out;
  /* Of the block at hand. */
  uint32_t *value_index; /* by value; SEARCH_NONE */
  VEC(struct search_value) values;
  VEC(value_id) value_ids;
  VEC(struct class_list *) value_lists;
};

/* ---- classes ---- */

static struct class_list *list_of_type(struct builder_of_tables *b, const struct type *type) {
  uint64_t hash = hash_bytes(type->dims, type->rank * sizeof *type->dims, type->dtype), found = 0;
  struct type plain = *type;
  plain.sharding = 0;
  for (; map_get(&b->list_of, hash, &found); hash++)
    if (type_equal(&b->lists.data[found]->type, &plain))
      return b->lists.data[found];
  struct class_list *list = ARENA_NEW(&b->scratch, struct class_list);
  list->type = plain;
  map_put(&b->list_of, hash, b->lists.len);
  vec_push(&b->lists, list);
  return list;
}

static uint16_t class_of(struct builder_of_tables *b, struct class_list *list, sharding_id sharding,
                         bool made) {
  uint32_t i = 0;
  while (i < list->n && list->shardings[i] != sharding)
    i++;
  if (i == list->cap) {
    uint32_t cap = list->cap ? 2 * list->cap : 64;
    sharding_id *shardings = ARENA_ARRAY(b->arena, sharding_id, cap);
    bool *flags = ARENA_ARRAY(&b->scratch, bool, 2 * cap);
    if (list->n) {
      memcpy(shardings, list->shardings, list->n * sizeof *shardings);
      memcpy(flags, list->made, list->n * sizeof *flags);
      memcpy(flags + cap, list->wanted, list->n * sizeof *flags);
    }
    list->shardings = shardings;
    list->made = flags;
    list->wanted = flags + cap;
    list->cap = cap;
  }
  if (i == list->n) {
    list->shardings[i] = sharding;
    list->n++;
  }
  (made ? list->made : list->wanted)[i] = true;
  return (uint16_t)i;
}

static uint32_t index_of_value(struct builder_of_tables *b, value_id v) {
  if (b->value_index[v] != SEARCH_NONE)
    return b->value_index[v];
  b->value_index[v] = b->values.len;
  vec_push(&b->values, (struct search_value){0});
  vec_push(&b->value_ids, v);
  vec_push(&b->value_lists, list_of_type(b, value_type(b->s->function, v)));
  return b->value_index[v];
}

static struct class_list *list_of_value(struct builder_of_tables *b, value_id v) {
  uint32_t index = index_of_value(b, v);
  return b->value_lists.data[index];
}

/* What cannot happen is left at 0, and never asked for. */
static void list_finish(struct builder_of_tables *b, struct class_list *list) {
  list->convert = ARENA_ARRAY(b->arena, double, list->n * list->n);
  list->convert_fused = ARENA_ARRAY(b->arena, double, list->n * list->n);
  for (uint32_t i = 0; i < list->n; i++) {
    for (uint32_t k = 0; k < list->n; k++) {
      double *cell = &list->convert[i * list->n + k];
      if (i == k || !list->made[i] || !list->wanted[k])
        continue;
      *cell =
          cost_convert(b->cost, &list->type, list->shardings[i], list->shardings[k], &b->moment);
      /* A kernel is cut in two: one more, and the value goes through memory. */
      double cut = *cell > 0 ? cost_cut(b->cost, &list->type, list->shardings[i]) : 0;
      list->convert_fused[i * list->n + k] = *cell + cut;
      arena_reset(&b->moment);
    }
  }
}

/* ---- choices ---- */

/* A group under one split of its representative. */
struct following {
  struct op_split *splits; /* by op of the group */
  sharding_id **operands;  /* by op */
  sharding_id **results;
};

static bool op_shardings(struct builder_of_tables *b, const struct op *op,
                         const struct factor_list *factors, const struct op_split *split,
                         sharding_id *operands, sharding_id *results) {
  struct strbuf why = {0};
  bool fits =
      op_split_shardings(b->s->function, op, factors, b->mesh_id, split, operands, results, &why);
  strbuf_deinit(&why);
  return fits;
}

/* The split that makes result 0 as wanted; if there is none, each rank makes all of it. */
static void follow_op(struct builder_of_tables *b, const struct op *op, sharding_id want,
                      struct op_split *split, sharding_id *operands, sharding_id *results) {
  struct factor_list factors = {0};
  struct sharding room;
  const struct sharding **unknown =
      ARENA_ARRAY(&b->moment, const struct sharding *, op->n_operands + 1);
  const struct sharding **known =
      ARENA_ARRAY(&b->moment, const struct sharding *, op->n_results + 1);
  factors_of(b->s->function, op, &b->moment, &factors);
  if (want && op->n_results) {
    known[0] = sharding_get(b->s->module, want, b->mesh_id,
                            value_type(b->s->function, op->results[0])->rank, &room);
    for (uint32_t i = 0; i < MOST_ATTEMPTS; i++) {
      if (!op_split_recover(b->s->function, op, &factors, b->mesh_id, unknown, known, i, &b->moment,
                            split))
        break;
      if (op_shardings(b, op, &factors, split, operands, results) && results[0] == want) {
        vec_deinit(&factors.factors);
        return;
      }
    }
  }
  *split = (struct op_split){0};
  op_shardings(b, op, &factors, split, operands, results);
  vec_deinit(&factors.factors);
}

/* What the readers within the group want of a value: 0 where they do not agree, since parts of a
 * whole value are free. false: none reads it there. */
static bool wanted_within(const struct builder_of_tables *b, const struct space_group *g,
                          const struct following *w, uint32_t from, value_id v, sharding_id *out) {
  bool found = false;
  for (uint32_t k = from; k < g->n_ops; k++) {
    const struct op *op = function_op(b->s->function, g->ops[k]);
    for (uint32_t i = 0; i < op->n_operands; i++) {
      if (op->operands[i] != v)
        continue;
      *out = found && *out != w->operands[k][i] ? 0 : w->operands[k][i];
      found = true;
    }
  }
  return found;
}

/* The last op first, so that each knows what its readers want. */
static void follow(struct builder_of_tables *b, const struct space_group *g,
                   const struct op_split *split, const sharding_id *operands,
                   const sharding_id *results, struct following *w) {
  const struct function *f = b->s->function;
  w->splits = ARENA_ARRAY(&b->moment, struct op_split, g->n_ops);
  w->operands = ARENA_ARRAY(&b->moment, sharding_id *, g->n_ops);
  w->results = ARENA_ARRAY(&b->moment, sharding_id *, g->n_ops);
  for (uint32_t k = g->n_ops; k-- > 0;) {
    const struct op *op = function_op(f, g->ops[k]);
    w->operands[k] = ARENA_ARRAY(&b->moment, sharding_id, op->n_operands + 1);
    w->results[k] = ARENA_ARRAY(&b->moment, sharding_id, op->n_results + 1);
    if (g->ops[k] == g->rep) {
      w->splits[k] = *split;
      memcpy(w->operands[k], operands, op->n_operands * sizeof *operands);
      memcpy(w->results[k], results, op->n_results * sizeof *results);
      continue;
    }
    const struct op *rep = function_op(f, g->rep);
    sharding_id want = 0;
    if (op->n_results == 1 && !wanted_within(b, g, w, k + 1, op->results[0], &want) &&
        rep->n_results &&
        type_same_shape(value_type(f, op->results[0]), value_type(f, rep->results[0])))
      want = results[0];
    follow_op(b, op, want, &w->splits[k], w->operands[k], w->results[k]);
  }
}

/* ---- the variables of a group ---- */

/* One read or made value, or weight, of a group, with its class by choice. */
struct touch {
  uint32_t op, slot; /* of the group; operand or result */
  value_id value;
  VEC(uint16_t) classes;
  uint32_t tie; /* of a weight or state */
};

struct group_tables {
  const struct space_group *g;
  struct factor_list factors; /* of the representative */
  VEC(struct touch) makes, reads, ties;
  VEC(double) time, bytes;
  VEC(struct space_choice) choices;
};

/* Whether a value goes from group to group, and so has classes. */
static bool is_exchanged(const struct builder_of_tables *b, value_id v) {
  const struct op *def = value_def(b->s->function, v);
  return def && !b->s->given[v] && b->s->group_of[def - b->s->function->ops.data] != SEARCH_NONE;
}

static bool is_within(const struct builder_of_tables *b, uint32_t group, value_id v) {
  const struct op *def = value_def(b->s->function, v);
  return def && b->s->group_of[def - b->s->function->ops.data] == group;
}

static uint32_t tie_of_value(const struct builder_of_tables *b, value_id v) {
  const struct op *def = value_def(b->s->function, v);
  if (b->s->state_of[v])
    return b->s->state_tie[b->s->state_of[v] - 1];
  return def && def->kind == OP_CONST ? b->s->tie_of[OP_ATTRS(const, def)->value] : SEARCH_NONE;
}

static bool is_result(const struct builder_of_tables *b, value_id v) {
  const struct region *body = &b->s->function->regions.data[0];
  for (uint32_t i = 0; i < body->results.len; i++)
    if (body->results.data[i] == v)
      return true;
  return false;
}

static void find_touches(struct builder_of_tables *b, uint32_t group, struct group_tables *t) {
  const struct space_group *g = t->g;
  for (uint32_t k = 0; k < g->n_ops; k++) {
    const struct op *op = function_op(b->s->function, g->ops[k]);
    for (uint32_t i = 0; i < op->n_operands; i++) {
      struct touch x = {.op = k, .slot = i, .value = op->operands[i]};
      x.tie = tie_of_value(b, x.value);
      if (x.tie != SEARCH_NONE)
        vec_push(&t->ties, x);
      else if (is_exchanged(b, x.value) && !is_within(b, group, x.value))
        vec_push(&t->reads, x);
    }
    for (uint32_t i = 0; i < op->n_results; i++) {
      struct touch x = {.op = k, .slot = i, .value = op->results[i]};
      x.tie = tie_of_value(b, x.value);
      if (x.tie != SEARCH_NONE)
        vec_push(&t->ties, x);
      if (is_exchanged(b, x.value))
        vec_push(&t->makes, x);
    }
  }
}

/* Whether a constant or state is held in that layout anyway. */
static bool is_kept(const struct space *s, value_id v, sharding_id layout, bool *out_state) {
  const struct kept_layouts *kept = s->kept;
  const struct op *def = value_def(s->function, v);
  *out_state = kept && s->state_of[v] && s->state_of[v] <= kept->n_states;
  if (*out_state)
    return kept->states[s->state_of[v] - 1] == layout;
  return kept && def && def->kind == OP_CONST &&
         kept->weights[OP_ATTRS(const, def)->value] == layout;
}

/* Whether a value has a layout to keep, and not this one. */
static bool breaks_kept(const struct builder_of_tables *b, value_id v, sharding_id layout) {
  const struct op *def = value_def(b->s->function, v);
  bool state, kept = is_kept(b->s, v, layout, &state);
  if (kept)
    return false;
  if (state)
    return b->keeping != KEEP_NOTHING;
  return b->keeping == KEEP_ALL && def && def->kind == OP_CONST &&
         b->s->kept->weights[OP_ATTRS(const, def)->value] != LAYOUT_FREE;
}

static bool keeps_layouts(const struct builder_of_tables *b, const struct space_group *g,
                          const struct following *w) {
  for (uint32_t k = 0; k < g->n_ops && b->s->kept; k++) {
    const struct op *op = function_op(b->s->function, g->ops[k]);
    for (uint32_t i = 0; i < op->n_operands; i++)
      if (breaks_kept(b, op->operands[i], w->operands[k][i]))
        return false;
    for (uint32_t i = 0; i < op->n_results; i++)
      if (b->s->state_of[op->results[i]] && breaks_kept(b, op->results[i], w->results[k][i]))
        return false;
  }
  return true;
}

/* Bytes of weights and states that the group's ranks hold, where it is the one that counts them. */
static double held_bytes(struct builder_of_tables *b, uint32_t group, const struct following *w) {
  const struct space *s = b->s;
  const struct space_group *g = &s->groups[group];
  double bytes = 0;
  for (uint32_t k = 0; k < g->n_ops; k++) {
    const struct op *op = function_op(s->function, g->ops[k]);
    for (uint32_t i = 0; i < op->n_operands; i++) {
      const struct op *def = value_def(s->function, op->operands[i]);
      bool weight =
          def && def->kind == OP_CONST && s->counted[OP_ATTRS(const, def)->value] == group + 1;
      bool state = s->counts_states && s->state_of[op->operands[i]] && !def;
      bool is_state;
      if ((weight || state) && !is_kept(s, op->operands[i], w->operands[k][i], &is_state))
        bytes +=
            cost_local_bytes(b->cost, value_type(s->function, op->operands[i]), w->operands[k][i]);
    }
  }
  return bytes;
}

static void add_choice(struct builder_of_tables *b, uint32_t group, struct group_tables *t,
                       const struct op_split *split, const struct following *w) {
  struct space_choice choice = {.split = *split};
  choice.split.splits = arena_memdup(b->arena, split->splits, split->n * sizeof *split->splits);
  cost_group(b->cost, b->s, group, w->splits, w->operands, w->results, &choice);
  vec_push(&t->choices, choice);
  vec_push(&t->time, fmax(choice.compute, choice.memory) + choice.launch);
  vec_push(&t->bytes, held_bytes(b, group, w));
  for (uint32_t i = 0; i < t->makes.len; i++) {
    struct touch *x = &t->makes.data[i];
    struct class_list *list = list_of_value(b, x->value);
    vec_push(&x->classes, class_of(b, list, w->results[x->op][x->slot], true));
  }
  for (uint32_t i = 0; i < t->reads.len; i++) {
    struct touch *x = &t->reads.data[i];
    struct class_list *list = list_of_value(b, x->value);
    vec_push(&x->classes, class_of(b, list, w->operands[x->op][x->slot], false));
  }
  for (uint32_t i = 0; i < t->ties.len; i++) {
    struct touch *x = &t->ties.data[i];
    struct class_list *list = list_of_type(b, value_type(b->s->function, x->value));
    bool result =
        value_def(b->s->function, x->value) == function_op(b->s->function, t->g->ops[x->op]);
    vec_push(&x->classes,
             class_of(b, list, (result ? w->results : w->operands)[x->op][x->slot], false));
  }
}

/* ---- enumeration ---- */

static uint32_t role_of_factor(const struct space *s, const struct op *op, const struct factor *x) {
  if ((op->kind == OP_ATTENTION && !strcmp(x->name, "key")) ||
      (op->kind == OP_UPDATE && !strcmp(x->name, "row")))
    return SPACE_KEY;
  for (uint32_t i = 0; i < op->n_results; i++)
    if (x->results[i].dim != FACTOR_WHOLE)
      return s->role_of[op->results[i] * IR_MAX_RANK + x->results[i].dim];
  for (uint32_t i = 0; i < op->n_operands; i++) /* the sum over experts */
    if (x->operands[i].dim != FACTOR_WHOLE &&
        s->role_of[op->operands[i] * IR_MAX_RANK + x->operands[i].dim] == SPACE_EXPERT)
      return SPACE_EXPERT;
  return SPACE_TENSOR;
}

/* Blocks dealt round-robin where keys arrive one by one, so that ranks stay even. */
static bool is_dealt(const struct space *s, const struct op *op, const struct factor *x) {
  return s->n_states &&
         ((op->kind == OP_ATTENTION && !strcmp(x->name, "key")) || !strcmp(x->name, "row"));
}

/* The split that gives axis a to factor digits[a] - 1; false where a factor has too few units. */
static bool split_of_digits(const struct builder_of_tables *b, const struct op *op,
                            const struct factor_list *factors, const uint32_t *digits,
                            struct op_split *out) {
  out->n = 0;
  for (uint32_t a = 0; a < b->mesh->n_axes; a++) {
    if (!digits[a])
      continue;
    uint32_t factor = digits[a] - 1, at = 0;
    const struct factor *x = &factors->factors.data[factor];
    while (at < out->n && out->splits[at].factor != factor)
      at++;
    struct factor_split *split = &out->splits[at];
    if (at == out->n) {
      *split = (struct factor_split){.factor = factor, .granule = 1};
      if (is_dealt(b->s, op, x)) {
        split->order = SPLIT_INTERLEAVED;
        split->block = CACHE_BLOCK;
      }
      out->n++;
    }
    if (split->n_axes == SHARDING_MAX_AXES_PER_DIM)
      return false;
    split->axes[split->n_axes++] = (struct axis_ref){.axis = a};
    if (axis_refs_size(b->mesh, split->axes, split->n_axes) > cost_dim(b->cost, x->extent))
      return false;
  }
  return true;
}

static bool next_digits(const struct builder_of_tables *b, uint32_t n, uint32_t *digits) {
  for (uint32_t a = 0; a < b->mesh->n_axes; a++) {
    if (++digits[a] <= n)
      return true;
    digits[a] = 0;
  }
  return false;
}

/* Widths of attention's values and splits of a forbidden kind are left out. */
static bool is_allowed(const struct builder_of_tables *b, const struct op *op,
                       const struct factor_list *factors, const uint32_t *digits) {
  for (uint32_t a = 0; a < b->mesh->n_axes; a++) {
    if (!digits[a])
      continue;
    const struct factor *x = &factors->factors.data[digits[a] - 1];
    if (!(role_of_factor(b->s, op, x) & b->roles[a]) ||
        (op->kind == OP_ATTENTION && !strcmp(x->name, "value")))
      return false;
  }
  return true;
}

/* What the group's main op reads and makes is as the model's annotations say. */
static bool as_annotated(const struct builder_of_tables *b, const struct space_group *g,
                         const struct following *w) {
  for (uint32_t k = 0; k < g->n_ops; k++)
    if (g->ops[k] == g->rep)
      return annotations_allow(b->s->function, function_op(b->s->function, g->rep), w->operands[k],
                               w->results[k]);
  return true;
}

static void enumerate_choices(struct builder_of_tables *b, uint32_t group, struct group_tables *t) {
  const struct op *rep = function_op(b->s->function, t->g->rep);
  struct factor_split room[MESH_MAX_AXES + 1];
  uint32_t digits[MESH_MAX_AXES] = {0};
  bool whole_only = op_infos[rep->kind].flags & (OP_FLAG_CONTROL | OP_FLAG_EFFECT);
  do {
    struct op_split split = {.splits = room};
    sharding_id *operands = ARENA_ARRAY(&b->moment, sharding_id, rep->n_operands + 1);
    sharding_id *results = ARENA_ARRAY(&b->moment, sharding_id, rep->n_results + 1);
    struct following w;
    if (is_allowed(b, rep, &t->factors, digits) &&
        split_of_digits(b, rep, &t->factors, digits, &split) &&
        op_shardings(b, rep, &t->factors, &split, operands, results)) {
      follow(b, t->g, &split, operands, results, &w);
      if (keeps_layouts(b, t->g, &w) && (!b->annotated || as_annotated(b, t->g, &w))) {
        add_choice(b, group, t, &split, &w);
        for (uint32_t a = 0; a < b->mesh->n_axes; a++)
          b->out->used |= digits[a] ? 1u << a : 0;
      }
    }
    arena_reset(&b->moment);
  } while (!whole_only && next_digits(b, t->factors.factors.len, digits));
}

/* ---- blocks ---- */

static bool same_classes(const struct touch *a, const struct touch *b) {
  return a->value == b->value && a->tie == b->tie && a->classes.len == b->classes.len &&
         !memcmp(a->classes.data, b->classes.data, a->classes.len * sizeof *a->classes.data);
}

/* Copies the touches that say something of their own. */
static uint32_t copy_touches(struct builder_of_tables *b, struct touch *all, uint32_t n,
                             struct search_use *uses, struct search_tie *ties) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n; i++) {
    bool again = false;
    for (uint32_t k = 0; k < i && !again; k++)
      again = same_classes(&all[k], &all[i]);
    if (again)
      continue;
    const uint16_t *classes =
        arena_memdup(b->arena, all[i].classes.data, all[i].classes.len * sizeof *classes);
    if (uses)
      uses[kept++] = (struct search_use){index_of_value(b, all[i].value), classes};
    else
      ties[kept++] = (struct search_tie){all[i].tie, classes};
  }
  return kept;
}

static void variable_of_group(struct builder_of_tables *b, uint32_t group,
                              struct search_variable *out, struct space_variable *info) {
  struct group_tables t = {.g = &b->s->groups[group]};
  find_touches(b, group, &t);
  factors_of(b->s->function, function_op(b->s->function, t.g->rep), &b->scratch, &t.factors);
  b->annotated = b->mesh_id + 1 == b->s->function->module->annotated_mesh;
  for (uint32_t keeping = KEEP_ALL; keeping <= KEEP_NOTHING && !t.time.len; keeping++) {
    b->keeping = (enum keeping)keeping;
    enumerate_choices(b, group, &t);
    if (t.time.len || !b->annotated)
      continue;
    b->out->unmet = t.g->rep;
    b->annotated = false;
    enumerate_choices(b, group, &t);
  }
  struct search_use *makes = ARENA_ARRAY(b->arena, struct search_use, t.makes.len);
  struct search_use *reads = ARENA_ARRAY(b->arena, struct search_use, t.reads.len);
  struct search_tie *ties = ARENA_ARRAY(b->arena, struct search_tie, t.ties.len);
  *out = (struct search_variable){
      .n_choices = t.time.len,
      .time = arena_memdup(b->arena, t.time.data, t.time.len * sizeof(double)),
      .bytes = arena_memdup(b->arena, t.bytes.data, t.bytes.len * sizeof(double)),
      .makes = makes,
      .reads = reads,
      .ties = ties};
  out->n_makes = copy_touches(b, t.makes.data, t.makes.len, makes, NULL);
  out->n_reads = copy_touches(b, t.reads.data, t.reads.len, reads, NULL);
  out->n_ties = copy_touches(b, t.ties.data, t.ties.len, NULL, ties);
  *info = (struct space_variable){
      group, arena_memdup(b->arena, t.choices.data, t.choices.len * sizeof *t.choices.data)};
  b->out->n_choices += t.time.len;
  for (uint32_t i = 0; i < t.makes.len; i++)
    vec_deinit(&t.makes.data[i].classes);
  for (uint32_t i = 0; i < t.reads.len; i++)
    vec_deinit(&t.reads.data[i].classes);
  for (uint32_t i = 0; i < t.ties.len; i++)
    vec_deinit(&t.ties.data[i].classes);
  vec_deinit(&t.makes);
  vec_deinit(&t.reads);
  vec_deinit(&t.ties);
  vec_deinit(&t.time);
  vec_deinit(&t.bytes);
  vec_deinit(&t.choices);
  vec_deinit(&t.factors.factors);
}

/* A result of the function: read whole by the caller. */
static void variable_of_result(struct builder_of_tables *b, value_id v,
                               struct search_variable *out) {
  static const double nothing[1];
  uint16_t *whole = ARENA_ARRAY(b->arena, uint16_t, 1);
  struct search_use *read = ARENA_ARRAY(b->arena, struct search_use, 1);
  uint32_t index = index_of_value(b, v);
  *whole = class_of(b, list_of_value(b, v), 0, false);
  *read = (struct search_use){index, whole};
  *out = (struct search_variable){
      .n_choices = 1, .time = nothing, .bytes = nothing, .n_reads = 1, .reads = read};
}

static void block_of_kind(struct builder_of_tables *b, uint32_t kind) {
  const struct space *s = b->s;
  const struct space_block *from = &s->blocks[s->kind_block[kind]];
  struct search_block *out = &b->out->blocks[kind];
  VEC(value_id) results = {0};
  vec_clear(&b->values);
  vec_clear(&b->value_ids);
  vec_clear(&b->value_lists);
  memset(b->value_index, 0xff, s->function->values.len * sizeof *b->value_index);
  for (uint32_t i = from->first; i < from->first + from->n; i++)
    for (uint32_t k = 0; k < s->groups[i].n_ops; k++) {
      const struct op *op = function_op(s->function, s->groups[i].ops[k]);
      for (uint32_t n = 0; n < op->n_results; n++)
        if (!s->state_of[op->results[n]] && is_result(b, op->results[n]))
          vec_push(&results, op->results[n]);
    }
  struct search_variable *variables =
      ARENA_ARRAY(b->arena, struct search_variable, from->n + results.len);
  struct space_variable *infos = ARENA_ARRAY(b->arena, struct space_variable, from->n);
  for (uint32_t i = 0; i < from->n; i++)
    variable_of_group(b, from->first + i, &variables[i], &infos[i]);
  for (uint32_t i = 0; i < results.len; i++)
    variable_of_result(b, results.data[i], &variables[from->n + i]);
  uint32_t input = from->input ? index_of_value(b, from->input) : SEARCH_NONE;
  uint32_t output = from->output ? index_of_value(b, from->output) : SEARCH_NONE;
  struct search_value *values = ARENA_ARRAY(b->arena, struct search_value, b->values.len);
  for (uint32_t v = 0; v < b->values.len; v++) {
    bool fused = false;
    for (uint32_t i = 0; i < from->n; i++)
      fused |= s->groups[from->first + i].fused == b->value_ids.data[v];
    struct class_list *list = b->value_lists.data[v];
    if (fused)
      vec_push(&list->fused, &values[v]);
    else
      vec_push(&list->values, &values[v]);
  }
  *out = (struct search_block){.n_variables = from->n + results.len,
                               .n_values = b->values.len,
                               .variables = variables,
                               .values = values,
                               .input = input,
                               .output = output};
  b->out->variables[kind] = infos;
  b->out->values[kind] =
      arena_memdup(b->arena, b->value_ids.data, b->value_ids.len * sizeof(value_id));
  b->out->shardings[kind] = ARENA_ARRAY(b->arena, sharding_id *, b->values.len);
  for (uint32_t v = 0; v < b->values.len; v++)
    b->out->shardings[kind][v] =
        (sharding_id *)b->value_lists.data[v]; /* until the lists are done */
  vec_deinit(&results);
}

static void finish_values(struct builder_of_tables *b) {
  for (uint32_t i = 0; i < b->lists.len; i++) {
    struct class_list *list = b->lists.data[i];
    list_finish(b, list);
    for (uint32_t k = 0; k < list->values.len; k++)
      *list->values.data[k] = (struct search_value){list->n, list->convert};
    for (uint32_t k = 0; k < list->fused.len; k++)
      *list->fused.data[k] = (struct search_value){list->n, list->convert_fused};
  }
  for (uint32_t kind = 0; kind < b->s->n_kinds; kind++)
    for (uint32_t v = 0; v < b->out->blocks[kind].n_values; v++)
      b->out->shardings[kind][v] = ((struct class_list *)b->out->shardings[kind][v])->shardings;
  for (uint32_t i = 0; i < b->lists.len; i++) {
    vec_deinit(&b->lists.data[i]->values);
    vec_deinit(&b->lists.data[i]->fused);
  }
}

/* Marks the classes that a block makes its output in. */
static void mark_outputs(const struct search_block *b, bool *made) {
  for (uint32_t i = 0; i < b->n_variables; i++)
    for (uint32_t k = 0; k < b->variables[i].n_makes; k++)
      if (b->variables[i].makes[k].value == b->output)
        for (uint32_t c = 0; c < b->variables[i].n_choices; c++)
          made[b->variables[i].makes[k].classes[c]] = true;
}

/* In which classes each kind of block gets its input, from all blocks that come before one. */
static void find_inputs(struct builder_of_tables *b) {
  const struct space *s = b->s;
  for (uint32_t kind = 0; kind < s->n_kinds; kind++) {
    struct search_block *to = &b->out->blocks[kind];
    if (to->input == SEARCH_NONE)
      continue;
    uint32_t n = to->values[to->input].n_classes;
    bool *made = ARENA_ARRAY(&b->scratch, bool, n);
    uint16_t *given = ARENA_ARRAY(b->arena, uint16_t, n);
    for (uint32_t i = 1; i < s->n_blocks; i++)
      if (s->blocks[i].kind == kind)
        mark_outputs(&b->out->blocks[s->blocks[i - 1].kind], made);
    for (uint32_t c = 0; c < n; c++)
      if (made[c])
        given[to->n_given++] = (uint16_t)c;
    to->given = given;
  }
}

void space_tables_build(const struct space *space, const struct machine *machine, uint32_t mesh,
                        const uint32_t *roles, double scale, struct arena *arena,
                        struct space_tables *out) {
  struct builder_of_tables b = {
      .s = space, .mesh_id = mesh, .roles = roles, .arena = arena, .out = out};
  struct cost cost;
  b.mesh = space->module->meshes.data[mesh];
  cost_init(space->module, machine, mesh, space->phase->symbols, scale, &cost);
  b.cost = &cost;
  *out = (struct space_tables){.space = space, .mesh = mesh};
  out->blocks = ARENA_ARRAY(arena, struct search_block, space->n_kinds);
  out->variables = ARENA_ARRAY(arena, struct space_variable *, space->n_kinds);
  out->values = ARENA_ARRAY(arena, value_id *, space->n_kinds);
  out->shardings = ARENA_ARRAY(arena, sharding_id **, space->n_kinds);
  b.value_index = ARENA_ARRAY(&b.scratch, uint32_t, space->function->values.len);
  for (uint32_t kind = 0; kind < space->n_kinds; kind++)
    block_of_kind(&b, kind);
  finish_values(&b);
  const struct search_block **blocks =
      ARENA_ARRAY(arena, const struct search_block *, space->n_blocks);
  for (uint32_t i = 0; i < space->n_blocks; i++) {
    const struct search_block *block = &out->blocks[space->blocks[i].kind];
    blocks[i] = block;
    for (uint32_t v = 0; v < block->n_variables; v++)
      out->space_size += log10((double)block->variables[v].n_choices);
  }
  find_inputs(&b);
  out->chain = (struct search_chain){space->n_blocks, blocks};
  vec_deinit(&b.values);
  vec_deinit(&b.value_ids);
  vec_deinit(&b.value_lists);
  vec_deinit(&b.lists);
  map_deinit(&b.list_of);
  arena_deinit(&b.moment);
  arena_deinit(&b.scratch);
}

/* ---- back to the function ---- */

static void assign_group(struct builder_of_tables *b, uint32_t group, const struct op_split *split,
                         struct arena *arena, struct assignment *out, sharding_id *params,
                         sharding_id *results, sharding_id *weights) {
  const struct function *f = b->s->function;
  const struct space_group *g = &b->s->groups[group];
  const struct op *rep = function_op(f, g->rep);
  struct factor_list factors = {0};
  struct following w;
  sharding_id *wants = ARENA_ARRAY(&b->moment, sharding_id, rep->n_operands + 1);
  sharding_id *makes = ARENA_ARRAY(&b->moment, sharding_id, rep->n_results + 1);
  factors_of(f, rep, &b->moment, &factors);
  op_shardings(b, rep, &factors, split, wants, makes);
  follow(b, g, split, wants, makes, &w);
  for (uint32_t k = 0; k < g->n_ops; k++) {
    const struct op *op = function_op(f, g->ops[k]);
    struct op_split *to = &out->ops[g->ops[k]];
    *to = w.splits[k];
    to->splits = to->n ? arena_memdup(arena, to->splits, to->n * sizeof *to->splits) : NULL;
    for (uint32_t i = 0; i < op->n_operands; i++) {
      const struct op *def = value_def(f, op->operands[i]);
      if (b->s->state_of[op->operands[i]])
        params[op->operands[i]] = w.operands[k][i];
      constant_id c = def && def->kind == OP_CONST ? OP_ATTRS(const, def)->value : 0;
      if (c && weights[c] == LAYOUT_FREE &&
          b->s->module->constants.data[c].bytes >= SPACE_SMALL_CONSTANT)
        weights[c] = w.operands[k][i];
    }
    for (uint32_t i = 0; i < op->n_results; i++)
      if (b->s->state_of[op->results[i]])
        results[op->results[i]] = w.results[k][i];
  }
  vec_deinit(&factors.factors);
  arena_reset(&b->moment);
}

void space_assign(const struct space_tables *t, uint32_t *const *choices, struct arena *arena,
                  struct assignment *out, sharding_id *weights, sharding_id *states) {
  const struct space *s = t->space;
  const struct region *body = &s->function->regions.data[0];
  struct builder_of_tables b = {
      .s = s, .mesh_id = t->mesh, .mesh = s->module->meshes.data[t->mesh]};
  *out = (struct assignment){.mesh = t->mesh, .n_ops = s->function->ops.len};
  out->ops = ARENA_ARRAY(arena, struct op_split, out->n_ops);
  sharding_id *by_value = ARENA_ARRAY(&b.scratch, sharding_id, 2 * s->function->values.len);
  sharding_id *made = by_value + s->function->values.len;
  for (uint32_t i = 0; i < s->n_blocks; i++)
    for (uint32_t v = 0; v < s->blocks[i].n; v++)
      assign_group(&b, s->blocks[i].first + v,
                   &t->variables[s->blocks[i].kind][v].choices[choices[i][v]].split, arena, out,
                   by_value, made, weights);
  sharding_id *params = ARENA_ARRAY(arena, sharding_id, body->params.len);
  sharding_id *results = ARENA_ARRAY(arena, sharding_id, body->results.len);
  for (uint32_t i = 0; i < body->params.len; i++) {
    value_id v = body->params.data[i];
    params[i] = by_value[v];
    if (s->state_of[v] && states[s->state_of[v] - 1] == LAYOUT_FREE)
      states[s->state_of[v] - 1] = params[i];
  }
  for (uint32_t i = 0; i < body->results.len; i++)
    results[i] = made[body->results.data[i]];
  out->params = params;
  out->results = results;
  arena_deinit(&b.moment);
  arena_deinit(&b.scratch);
}

/* ---- roles, for people ---- */

uint32_t space_role_of_axis(const struct space *s, uint32_t group, const struct op_split *split,
                            uint32_t axis) {
  const struct op *rep = function_op(s->function, s->groups[group].rep);
  struct arena scratch = {0};
  struct factor_list factors = {0};
  uint32_t role = 0;
  factors_of(s->function, rep, &scratch, &factors);
  for (uint32_t i = 0; i < split->n; i++)
    for (uint32_t k = 0; k < split->splits[i].n_axes; k++)
      if (split->splits[i].axes[k].axis == axis)
        role = role_of_factor(s, rep, &factors.factors.data[split->splits[i].factor]);
  vec_deinit(&factors.factors);
  arena_deinit(&scratch);
  return role;
}

double space_batch(const struct space *s) {
  const struct region *body = &s->function->regions.data[0];
  for (uint32_t i = 0; i < body->params.len; i++) {
    const struct type *type = value_type(s->function, body->params.data[i]);
    int64_t n;
    if (type->rank && dim_eval(s->module->dims, type->dims[0], s->phase->symbols, &n) && n > 0)
      return (double)n;
  }
  return 1;
}

void space_explain_unused(const struct space *s, uint32_t role, int64_t size, struct strbuf *out) {
  static const char *const words[] = {[SPACE_BATCH] = "batch rows",
                                      [SPACE_QUERY] = "query positions of attention",
                                      [SPACE_KEY] = "key positions of attention",
                                      [SPACE_EXPERT] = "experts",
                                      [SPACE_TENSOR] =
                                          "heads, channels, or rows or columns of weights"};
  struct arena scratch = {0};
  struct factor_list factors = {0};
  int64_t most = 0, n;
  for (uint32_t i = 0; i < s->n_groups; i++) {
    const struct op *rep = function_op(s->function, s->groups[i].rep);
    factors_of(s->function, rep, &scratch, &factors);
    for (uint32_t k = 0; k < factors.factors.len; k++)
      if (role_of_factor(s, rep, &factors.factors.data[k]) & role &&
          dim_eval(s->module->dims, factors.factors.data[k].extent, s->phase->symbols, &n) &&
          n > most)
        most = n;
  }
  const char *what = role == SPACE_ANY ? "anything" : words[role];
  if (most == 0)
    strbuf_printf(out, "no op of @%s has %s that could be split", s->function->name, what);
  else
    strbuf_printf(
        out, "the most %s that an op of @%s has at the workload's sizes are %lld, fewer than %lld",
        what, s->function->name, (long long)most, (long long)size);
  vec_deinit(&factors.factors);
  arena_deinit(&scratch);
}
