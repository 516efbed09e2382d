/* SPDX-License-Identifier: Apache-2.0 */
/* The two walks; see precision_plan.h. */
#include "passes/precision/precision_plan.h"

#include <math.h>
#include <string.h>

#include "passes/pattern.h"

#define F16_MOST 65504.0f
#define MAX_DEPTH 16

enum precision_policy precision_policy_of(enum op_kind kind) {
  switch (kind) {
#define PRECISION(op, policy)                                                                      \
  case OP_##op: return POLICY_##policy;
#include "passes/precision/precision.def"
  default: return POLICY_OTHER;
  }
}

bool precision_keeps(enum scalar_op op) {
  switch (op) {
#define KEEPING(scalar) case SCALAR_##scalar:
#include "passes/precision/precision.def"
    return true;
  default: return false;
  }
}

/* What a use makes of a value. */
enum use {
  USE_NEUTRAL, /* it reads f32, and has to do with rounded values anyway */
  USE_ROUNDS,  /* it rounds the value, and reads nothing else of it */
  USE_ROUGH,   /* it reads what is rounded, and gives such */
  USE_F32,     /* it wants f32 */
};

struct planner {
  const struct function *f;
  const struct precision_rules *rules;
  struct arena *scratch;
  struct precision_plan *plan;
  struct uses uses;
  VEC(op_id) order; /* regions before the op that they are of */
  bool *constant;   /* by value: made of constants */
  enum dtype
      *rough;      /* by value: rounded somewhere behind it, with nothing finer beside; else f32 */
  bool *wants_f32; /* by value: all that is rough of it is to be read as f32 */
};

static enum dtype dtype_of(const struct planner *p, value_id v) {
  return value_type(p->f, v)->dtype;
}

static const struct constant *constant_of(const struct function *f, value_id v) {
  const struct op *op = def_of_kind(f, behind_views(f, v), OP_CONST);
  return op ? &f->module->constants.data[OP_ATTRS(const, op)->value] : NULL;
}

/* ---- what makes a product stay f32 ---- */

/* Sums of one element: an outer product, as of positions and frequencies. */
static bool is_outer(const struct planner *p, const struct op *op) {
  const struct dim_table *t = p->f->module->dims;
  if (op->kind != OP_CONTRACT)
    return false;
  struct ints k = OP_ATTRS(contract, op)->lhs_k;
  for (uint32_t i = 0; i < k.len; i++) {
    if (!dim_is_one(t, value_type(p->f, op->operands[0])->dims[k.data[i]]))
      return false;
  }
  return true;
}

/* Integers that fewer bits would not hold: indices, positions, counts. */
static bool is_index(const struct planner *p, value_id v) {
  value_id x;
  const struct op *op = value_def(p->f, behind_views(p->f, v));
  return map_is(op, SCALAR_CAST, &x) && dtype_is_int(dtype_of(p, x)) &&
         dtype_bits(dtype_of(p, x)) > 8;
}

/* Weights of few bits, on their way to f32. */
static bool is_widened(const struct planner *p, value_id v, uint32_t depth) {
  v = behind_views(p->f, v);
  const struct op *op = value_def(p->f, v);
  if (!op || depth == MAX_DEPTH || !p->constant[v])
    return false;
  if (op->kind == OP_CONST)
    return dtype_is_int(dtype_of(p, v)) || dtype_bits(dtype_of(p, v)) < 16;
  bool widened = false;
  for (uint32_t i = 0; i < op->n_operands && !widened; i++)
    widened =
        (op->kind == OP_MAP || op->kind == OP_GATHER) && is_widened(p, op->operands[i], depth + 1);
  return widened;
}

static bool beyond_f16(const struct planner *p, value_id v) {
  const struct constant *c = constant_of(p->f, v);
  if (!c || c->reference || c->dtype != DTYPE_F32)
    return false;
  for (uint64_t i = 0, n = constant_count(c); i < n; i++) {
    float x;
    memcpy(&x, (const char *)c->data + i * sizeof x, sizeof x);
    if (isfinite(x) && fabsf(x) > F16_MOST)
      return true;
  }
  return false;
}

/* Why a product that nobody named is left as it is; NULL: it is not. */
static const char *exemption(const struct planner *p, const struct op *op, enum precision to) {
  if (is_outer(p, op))
    return "an outer product, which has no sums";
  for (uint32_t i = 0; i < (op->kind == OP_ATTENTION ? 3u : 2u); i++) {
    if (is_index(p, op->operands[i]))
      return "integers that fewer bits would not hold";
    if (is_widened(p, op->operands[i], 0))
      return "quantized weights";
    if (to == PRECISION_F16 && beyond_f16(p, op->operands[i]))
      return "weights beyond the range of f16";
  }
  return NULL;
}

/* ---- forward ---- */

static bool has_keeping(const struct scalar_body *body) {
  for (uint32_t i = 0; i < body->len; i++) {
    const struct scalar_inst *inst = &body->insts[i];
    bool by_number = inst->op == SCALAR_DIV && body->insts[inst->args[1]].op == SCALAR_CONST;
    if (precision_keeps(inst->op) && !by_number)
      return true;
  }
  return false;
}

static enum precision_policy policy_here(const struct op *op) {
  enum precision_policy policy = precision_policy_of(op->kind);
  if (op->kind == OP_MAP && has_keeping(OP_ATTRS(map, op)->body))
    return POLICY_KEEP;
  if (op->kind == OP_WINDOW && OP_ATTRS(window, op)->kind != COMBINER_MAX &&
      OP_ATTRS(window, op)->kind != COMBINER_MIN)
    return POLICY_KEEP;
  return policy;
}

static uint32_t rounded_operands(const struct op *op) {
  return op->kind == OP_ATTENTION ? 3 : op->kind == OP_GATHER ? 1 : op->n_operands;
}

static void choose_product(struct planner *p, const struct op *op, struct precision_choice *c,
                           bool named) {
  const char *left = named ? NULL : exemption(p, op, c->to);
  for (uint32_t i = 0; i < rounded_operands(op); i++) {
    if (dtype_of(p, op->operands[i]) != DTYPE_F32)
      left = "the model's own dtype";
  }
  if (dtype_of(p, op->results[0]) != DTYPE_F32)
    left = "the model's own dtype";
  if (!left && c->to == PRECISION_TF32 && op->kind == OP_ATTENTION)
    left = "no attention takes tf32";
  if (left)
    c->to = PRECISION_F32;
  c->why = left                                  ? left
           : c->to == PRECISION_F32              ? "asked for"
           : precision_dtype(c->to) == DTYPE_F32 ? "operands rounded, sums f32"
           : op->kind == OP_ATTENTION            ? "queries, keys and values; softmax f32"
                                                 : "operands; sums f32";
  if (precision_dtype(c->to) != DTYPE_F32)
    p->rough[op->results[0]] = precision_dtype(c->to);
}

/* The dtype of everything that an op reads, constants aside; f32 if they differ. */
static enum dtype rough_operands(const struct planner *p, const struct op *op) {
  enum dtype all = DTYPE_F32;
  for (uint32_t i = 0; i < rounded_operands(op); i++) {
    value_id v = op->operands[i];
    if (dtype_of(p, v) != DTYPE_F32 || p->constant[v])
      continue;
    if (p->rough[v] == DTYPE_F32 || (all != DTYPE_F32 && p->rough[v] != all))
      return DTYPE_F32;
    all = p->rough[v];
  }
  return all;
}

static void choose_follower(struct planner *p, const struct op *op, struct precision_choice *c,
                            bool named) {
  enum dtype rough = rough_operands(p, op), wanted = precision_dtype(c->to);
  c->rounded = named && wanted != DTYPE_F32;
  if (named)
    c->why = "asked for";
  else if (rough != DTYPE_F32 && rough == wanted)
    c->why = "as what it reads";
  else
    c->why = rough == wanted || rough == DTYPE_F32 ? "what it reads is f32" : "asked for";
  if (wanted == DTYPE_F32 || (!named && rough != wanted))
    c->to = PRECISION_F32;
  else
    p->rough[op->results[0]] = wanted;
}

static void choose_keeper(struct planner *p, const struct op *op, struct precision_choice *c,
                          bool named) {
  c->rounded = named && precision_dtype(c->to) != DTYPE_F32;
  c->why = named ? "asked for" : "small errors would grow";
  if (!c->rounded)
    c->to = PRECISION_F32;
  else
    p->rough[op->results[0]] = precision_dtype(c->to);
}

/* A state that has its dtype already: its update follows. */
static bool choose_state(struct planner *p, const struct op *op, struct precision_choice *c) {
  enum dtype state = op->kind == OP_UPDATE ? dtype_of(p, op->operands[0]) : DTYPE_F32;
  if (state == DTYPE_F32 || dtype_of(p, op->results[0]) != DTYPE_F32)
    return false;
  c->to = precision_of_dtype(state);
  c->rounded = true;
  c->why = "a state, which no caller sees";
  p->rough[op->results[0]] = state;
  return true;
}

static bool all_constant(const struct planner *p, const struct op *op) {
  bool all = op->kind == OP_CONST || op->kind == OP_IOTA;
  if (op->n_regions || op->kind == OP_RANDOM || op->kind == OP_SYMBOL)
    return false;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    all = p->constant[op->operands[i]];
    if (!all)
      return false;
  }
  return all;
}

static void choose(struct planner *p, op_id id) {
  const struct op *op = function_op(p->f, id);
  struct precision_choice *c = &p->plan->choices[id];
  bool named;
  *c = (struct precision_choice){.policy = policy_here(op)};
  if (!op->n_results)
    return;
  bool constant = all_constant(p, op);
  for (uint32_t i = 0; i < op->n_results; i++)
    p->constant[op->results[i]] = constant;
  enum dtype result = dtype_of(p, op->results[0]);
  if (c->policy == POLICY_OTHER || constant || !dtype_is_float(result) || op->n_regions)
    return;
  if (choose_state(p, op, c))
    return;
  c->to = precision_of_node(p->rules, &p->f->module->provenance.data[op->provenance], &named);
  if (c->policy == POLICY_MULTIPLY) {
    choose_product(p, op, c, named);
  } else if (result != DTYPE_F32 || op->n_results > 1) {
    c->to = PRECISION_F32;
    c->why = result != DTYPE_F32 ? "the model's own dtype" : "small errors would grow";
  } else if (c->policy == POLICY_FOLLOW) {
    choose_follower(p, op, c, named);
  } else {
    choose_keeper(p, op, c, named);
  }
}

/* ---- backward ---- */

static bool is_map(const struct op *op) { return op->kind == OP_MAP; }

static bool is_view(const struct op *op) {
  return op->kind == OP_RESHAPE || op->kind == OP_TRANSPOSE || op->kind == OP_BROADCAST ||
         op->kind == OP_SLICE || op->kind == OP_PAD || op->kind == OP_CONCAT ||
         op->kind == OP_GATHER;
}

/* An op with one operand that no constant makes: what is wanted of its result is wanted of that. */
static bool passes_on(const struct planner *p, const struct op *op) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < rounded_operands(op); i++)
    n += dtype_of(p, op->operands[i]) == DTYPE_F32 && !p->constant[op->operands[i]];
  return n == 1;
}

static bool reads(const struct op *op, value_id v, uint32_t n) {
  for (uint32_t i = 0; i < n && i < op->n_operands; i++) {
    if (op->operands[i] == v)
      return true;
  }
  return false;
}

/* How the op `by` uses v; *out_dtype is what it rounds to. */
static enum use use_of(const struct planner *p, value_id v, op_id by, enum dtype *out_dtype) {
  const struct op *op = function_op(p->f, by);
  const struct precision_choice *c = &p->plan->choices[by];
  *out_dtype = precision_dtype(c->to);
  if (op->n_regions || !op->n_results)
    return USE_F32;
  value_id r = op->results[0];
  switch (c->policy) {
  case POLICY_MULTIPLY:
    return *out_dtype != DTYPE_F32 && reads(op, v, rounded_operands(op)) ? USE_ROUNDS : USE_NEUTRAL;
  case POLICY_FOLLOW:
    if (c->rounded)
      return USE_ROUNDS;
    *out_dtype = p->plan->kept[r];
    if (is_view(op) && *out_dtype != DTYPE_F32 && reads(op, v, rounded_operands(op)))
      return USE_ROUNDS;
    if (p->rough[r] == DTYPE_F32)
      return USE_NEUTRAL;
    return !p->wants_f32[r] ? USE_ROUGH : passes_on(p, op) ? USE_F32 : USE_NEUTRAL;
  case POLICY_KEEP: return c->rounded ? USE_ROUNDS : USE_F32;
  default: return USE_F32;
  }
}

/* The only reader is a map that rounds its own result. */
static bool is_left_to_reader(const struct planner *p, value_id v) {
  const struct uses *u = &p->uses;
  if (uses_count(u, v) != 1 || u->ops[u->start[v]] == OP_ID_NONE)
    return false;
  op_id by = u->ops[u->start[v]];
  const struct op *op = function_op(p->f, by);
  return is_map(op) && !p->plan->choices[by].rounded && op->n_results &&
         p->rough[op->results[0]] == p->rough[v] && !p->wants_f32[op->results[0]];
}

struct wishes {
  bool f32, rough, all_round;
  bool leaves;      /* the function, or a region */
  enum dtype dtype; /* of all that round */
};

static void wishes_of(const struct planner *p, value_id v, struct wishes *w) {
  const struct uses *u = &p->uses;
  *w = (struct wishes){.all_round = true, .dtype = DTYPE_F32};
  for (uint32_t i = u->start[v]; i < u->start[v + 1]; i++) {
    enum dtype dtype = DTYPE_F32;
    bool leaves = u->ops[i] == OP_ID_NONE || function_op(p->f, u->ops[i])->n_regions;
    enum use use = leaves ? USE_F32 : use_of(p, v, u->ops[i], &dtype);
    w->leaves |= leaves;
    w->f32 |= use == USE_F32;
    w->rough |= use == USE_ROUGH || use == USE_ROUNDS;
    w->all_round &= use == USE_ROUNDS && (w->dtype == DTYPE_F32 || w->dtype == dtype);
    w->dtype = dtype;
  }
}

/* Kept as what, so that all readers get what they want. */
static enum dtype keep_as(struct planner *p, const struct op *op, const struct precision_choice *c,
                          value_id v) {
  struct wishes w;
  if (dtype_of(p, v) != DTYPE_F32 || op->n_regions || c->policy == POLICY_OTHER ||
      op->n_results > 1 || !uses_count(&p->uses, v))
    return DTYPE_F32;
  wishes_of(p, v, &w);
  enum dtype rough = p->rough[v];
  if (c->rounded)
    return rough;
  p->wants_f32[v] = rough != DTYPE_F32 && (w.leaves || (w.f32 && !w.rough));
  if (rough == DTYPE_F32 || p->wants_f32[v])
    return w.all_round && (is_map(op) || is_view(op)) ? w.dtype : DTYPE_F32;
  bool exchanged = p->plan->across_ranks && c->policy == POLICY_MULTIPLY;
  return (is_map(op) || c->policy == POLICY_MULTIPLY) && !exchanged && is_left_to_reader(p, v)
             ? DTYPE_F32
             : rough;
}

/* ---- both ---- */

static void list_ops(struct planner *p, region_id region) {
  const struct region *r = &p->f->regions.data[region];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(p->f, r->ops.data[i]);
    for (uint32_t k = 0; k < op->n_regions; k++)
      list_ops(p, op->regions[k]);
    vec_push(&p->order, r->ops.data[i]);
  }
}

void precision_plan_make(const struct function *f, const struct precision_rules *rules,
                         bool across_ranks, struct arena *scratch, struct precision_plan *out) {
  struct planner p = {.f = f, .rules = rules, .scratch = scratch, .plan = out};
  *out = (struct precision_plan){
      .f = f, .n_ops = f->ops.len, .n_values = f->values.len, .across_ranks = across_ranks};
  out->choices = ARENA_ARRAY(scratch, struct precision_choice, f->ops.len);
  out->kept = ARENA_ARRAY(scratch, enum dtype, f->values.len);
  p.rough = ARENA_ARRAY(scratch, enum dtype, f->values.len);
  p.constant = ARENA_ARRAY(scratch, bool, f->values.len);
  p.wants_f32 = ARENA_ARRAY(scratch, bool, f->values.len);
  for (uint32_t v = 0; v < f->values.len; v++)
    out->kept[v] = p.rough[v] = DTYPE_F32;
  uses_build(f, scratch, &p.uses);
  list_ops(&p, 0);
  for (uint32_t i = 0; i < p.order.len; i++)
    choose(&p, p.order.data[i]);
  for (uint32_t i = p.order.len; i-- > 0;) {
    const struct op *op = function_op(f, p.order.data[i]);
    for (uint32_t k = 0; k < op->n_results; k++)
      if (!p.constant[op->results[k]])
        out->kept[op->results[k]] = keep_as(&p, op, &out->choices[p.order.data[i]], op->results[k]);
  }
  vec_deinit(&p.order);
}
