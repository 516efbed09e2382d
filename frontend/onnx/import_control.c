/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop and Scan: subgraphs become regions of `if` and `loop`.
 *
 * The dims of what a loop carries are those it starts with, where its body keeps them. Which those
 * are is found by trying: the body is imported with the first types; if it gives other dims, it is
 * taken back and imported again with symbols in their places. A loop that carries sequences, or
 * values whose rank changes, is unrolled, if its length is known. */
#include "frontend/onnx/import_util.h"

#include <string.h>

enum { MAX_UNROLL = 1024 };

struct values {
  value_id *data;
  uint32_t len, cap;
};

static void region_results(struct import_node *n, region_id r, const value_id *ids, uint32_t len) {
  for (uint32_t i = 0; i < len; i++)
    vec_push(&function_region(n->f, r)->results, ids[i]);
}

/* ---- If ---- */

/* The tensors in a value, one after the other. */
static bool flatten(struct import_node *n, struct import_value *v, struct values *out) {
  if (v->kind == IMPORT_TENSOR) {
    vec_push(out, import_value_id(n, v));
    return vec_last(out) != VALUE_NONE;
  }
  bool sound = v->kind == IMPORT_SEQUENCE || v->kind == IMPORT_OPTIONAL;
  for (uint32_t i = 0; sound && i < v->n_items; i++)
    sound = flatten(n, v->items[i], out);
  if (!sound && !n->failed)
    import_unsupported(n, "a subgraph gives a value that is not numeric");
  return sound;
}

static bool alike(const struct import_value *a, const struct import_value *b) {
  bool same = a->kind == b->kind && a->n_items == b->n_items;
  for (uint32_t i = 0; same && i < a->n_items; i++)
    same = alike(a->items[i], b->items[i]);
  return same;
}

/* A value of the same form with tensors from a list. */
static struct import_value *rebuild(struct import_node *n, const struct import_value *form,
                                    const value_id **next) {
  if (form->kind == IMPORT_TENSOR)
    return import_value_tensor(n, *(*next)++);
  struct import_value **items = ARENA_ARRAY(import_arena(n), struct import_value *, form->n_items);
  for (uint32_t i = 0; i < form->n_items; i++)
    items[i] = rebuild(n, form->items[i], next);
  return import_value_list(n, form->kind, items, form->n_items);
}

/* Whether a dim mentions a symbol that was made after the first `symbols`. */
static bool dim_is_local(struct import_node *n, dim d, uint32_t symbols) {
  for (uint32_t s = symbols; s < dim_symbol_count(n->dims); s++)
    if (dim_uses_symbol(n->dims, d, s))
      return true;
  return false;
}

/* The type of what is one or the other. False, reported, if ranks or dtypes differ. */
static bool join_types(struct import_node *n, value_id x, value_id y, uint32_t symbols,
                       struct type *out) {
  const struct type a = *value_type(n->f, x), b = *value_type(n->f, y);
  *out = a;
  if (a.dtype != b.dtype) {
    import_invalid(n, "its branches give %s and %s", dtype_name(a.dtype), dtype_name(b.dtype));
    return false;
  }
  if (a.rank != b.rank) {
    import_unsupported(n, "its branches give ranks %u and %u, and its condition is not constant",
                       a.rank, b.rank);
    return false;
  }
  for (uint32_t i = 0; i < a.rank; i++) {
    if (dim_known_eq(n->dims, a.dims[i], b.dims[i]) && !dim_is_local(n, a.dims[i], symbols))
      continue;
    int64_t lo_a, hi_a, lo_b, hi_b;
    dim_bounds(n->dims, a.dims[i], &lo_a, &hi_a);
    dim_bounds(n->dims, b.dims[i], &lo_b, &hi_b);
    int64_t lo = lo_a < lo_b ? lo_a : lo_b;
    out->dims[i] = dim_fresh(n->dims, "if", lo < 0 ? 0 : lo, hi_a > hi_b ? hi_a : hi_b);
  }
  return true;
}

/* The two branches of an If while they are imported. */
struct branches {
  value_id condition;
  const Onnx__GraphProto *graphs[2];
  region_id regions[2];
  struct import_value **results[2]; /* of the branches, later of what follows them too */
  uint32_t count;                   /* of results */
  uint32_t symbols;                 /* that there were before */
};

/* Whether one value can stand for both. */
static bool joinable(struct import_node *n, struct import_value *a, struct import_value *b) {
  if (a->kind != b->kind || a->n_items != b->n_items)
    return false;
  for (uint32_t i = 0; i < a->n_items; i++)
    if (!joinable(n, a->items[i], b->items[i]))
      return false;
  value_id x = import_value_id(n, a), y = import_value_id(n, b);
  return a->kind != IMPORT_TENSOR || x == VALUE_NONE || y == VALUE_NONE ||
         value_type(n->f, x)->rank == value_type(n->f, y)->rank;
}

static bool all_joinable(struct import_node *n, const struct branches *b) {
  bool sound = true;
  for (uint32_t i = 0; i < b->count && sound; i++)
    sound = joinable(n, b->results[0][i], b->results[1][i]);
  return sound;
}

/* Builds the `if` of what both branches give. Results are values of the same form, or NULL,
 * reported. */
static struct import_value **join(struct import_node *n, const struct branches *b) {
  struct values ids[2] = {{0}, {0}};
  struct arena *arena = import_arena(n);
  struct import_value **joined = NULL;
  bool sound = true;
  for (uint32_t k = 0; k < 2; k++) {
    for (uint32_t i = 0; sound && i < b->count; i++)
      sound = flatten(n, b->results[k][i], &ids[k]);
    if (sound)
      region_results(n, b->regions[k], ids[k].data, ids[k].len);
  }
  for (uint32_t i = 0; sound && i < b->count; i++) {
    sound = alike(b->results[0][i], b->results[1][i]);
    if (!sound)
      import_unsupported(n, "its branches give values of different kinds or lengths");
  }
  struct type *types = ARENA_ARRAY(arena, struct type, ids[0].len);
  for (uint32_t i = 0; sound && i < ids[0].len; i++)
    sound = join_types(n, ids[0].data[i], ids[1].data[i], b->symbols, &types[i]);
  if (sound) {
    struct if_attrs attrs = {.types = {types, ids[0].len}};
    op_id op = build_op(n->b, OP_IF, &b->condition, 1, b->regions, 2, &attrs);
    const value_id *next = op == OP_ID_NONE ? NULL : function_op(n->f, op)->results;
    joined = next || !ids[0].len ? ARENA_ARRAY(arena, struct import_value *, b->count) : NULL;
    for (uint32_t i = 0; joined && i < b->count; i++)
      joined[i] = rebuild(n, b->results[0][i], &next);
  }
  vec_deinit(&ids[0]);
  vec_deinit(&ids[1]);
  return joined;
}

static void out_all(struct import_node *n, struct import_value *const *results) {
  for (uint32_t i = 0; results && i < n->n_outputs; i++)
    import_out_value(n, i, results[i]);
}

static void import_inline(struct import_node *n, const Onnx__GraphProto *graph) {
  struct import_value **results =
      ARENA_ARRAY(import_arena(n), struct import_value *, graph->n_output);
  if (import_subgraph(n, graph, n->b->region, NULL, 0, results))
    out_all(n, results);
}

static void discard_region(struct function *f, region_id r) {
  vec_clear(&function_region(f, r)->results);
  while (function_region(f, r)->ops.len)
    function_erase_op(f, vec_last(&function_region(f, r)->ops));
}

/* What follows fits only one branch: a run that takes the other is an error. */
static void import_only(struct import_node *n, const struct branches *b, uint32_t taken) {
  discard_region(n->f, b->regions[0]);
  discard_region(n->f, b->regions[1]);
  dim flag = dim_fresh(n->dims, "taken", 0, 1);
  build_symbol(n->b, build_cast(n->b, b->condition, DTYPE_I64), 0, flag);
  build_check(n->b, flag, RELATION_EQ, dim_const(n->dims, taken == 0),
              "the graph that follows does not fit what this branch gives");
  import_inline(n, b->graphs[taken]);
}

/* Branches that give values of different ranks or lengths: what follows is imported into each. */
static void import_rests(struct import_node *n, struct branches *b) {
  struct import_value *const *outputs[2] = {b->results[0], b->results[1]};
  struct diags why[2] = {{0}, {0}};
  bool sound[2];
  b->count = import_rest_count(n);
  if (n->failed)
    return;
  for (uint32_t k = 0; k < 2; k++) {
    b->results[k] = ARENA_ARRAY(import_arena(n), struct import_value *, b->count + 1);
    sound[k] = import_rest(n, b->regions[k], outputs[k], &why[k], b->results[k]);
  }
  if (sound[0] && sound[1]) {
    struct import_value **joined = join(n, b);
    if (joined)
      import_rest_done(n, joined);
  } else if (sound[0] || sound[1]) {
    import_only(n, b, sound[0] ? 0 : 1);
  } else {
    n->failed = true;
    diags_merge(n->b->diags, &why[0]);
    diags_merge(n->b->diags, &why[1]);
  }
  diags_deinit(&why[0]);
  diags_deinit(&why[1]);
}

static void import_branches(struct import_node *n, value_id condition,
                            const Onnx__GraphProto *const graphs[2]) {
  struct branches b = {.condition = condition,
                       .graphs = {graphs[0], graphs[1]},
                       .symbols = dim_symbol_count(n->dims),
                       .count = (uint32_t)graphs[0]->n_output};
  bool sound = true;
  for (uint32_t k = 0; k < 2; k++) {
    b.regions[k] = region_create(n->f);
    b.results[k] = ARENA_ARRAY(import_arena(n), struct import_value *, b.count);
    sound &= import_subgraph(n, graphs[k], b.regions[k], NULL, 0, b.results[k]);
  }
  if (!sound)
    return;
  if (all_joinable(n, &b))
    out_all(n, join(n, &b));
  else
    import_rests(n, &b);
}

void import_if(struct import_node *n) {
  const Onnx__GraphProto *graphs[2] = {import_attr_graph(n, "then_branch"),
                                       import_attr_graph(n, "else_branch")};
  if (!graphs[0] || !graphs[1]) {
    import_invalid(n, "a branch is missing");
    return;
  }
  if (!import_arity(n, 1, 1, UINT32_MAX))
    return;
  if (graphs[0]->n_output != graphs[1]->n_output || n->n_outputs > graphs[0]->n_output) {
    import_invalid(n, "its branches have %zu and %zu outputs", graphs[0]->n_output,
                   graphs[1]->n_output);
    return;
  }
  int64_t known;
  if (!dim_is_const(n->dims, import_value_dim(n, import_in(n, 0), 0), &known)) {
    import_branches(n, import_scalar(n, 0, DTYPE_BOOL), graphs);
    return;
  }
  import_inline(n, graphs[known ? 0 : 1]);
}

/* ---- the loop that Loop and Scan become ---- */

struct repeat;
/* Builds one iteration where n->b is: out[0] is whether to go on, then what is carried, then what
 * is stacked. Returns false if it failed, which was reported. */
typedef bool repeat_fn(struct repeat *l, value_id iteration, const value_id *carried,
                       value_id *out);
struct repeat {
  struct import_node *n;
  repeat_fn *step;
  void *user;
  value_id most, go_on; /* i64 [], bool [] */
  dim trips;            /* how often it runs if nothing ends it early; DIM_NONE: not known */
  const value_id *initial;
  uint32_t carried, stacked;
  struct type *params; /* types in the body */
  uint32_t changing;   /* dims of params that are symbols of the body */
  bool rank_changes;   /* out: nothing was built, since the rank of a carried value changes */
};

/* Makes symbols of the dims that an iteration changed. True if there were any. */
static bool widen(struct repeat *l, const value_id *results) {
  struct import_node *n = l->n;
  uint32_t before = l->changing, symbol;
  for (uint32_t i = 0; i < l->carried; i++) {
    struct type *param = &l->params[i];
    const struct type *first = value_type(n->f, l->initial[i]);
    const struct type *result = value_type(n->f, results[i]);
    if (param->dtype != result->dtype) {
      import_invalid(n, "carried value %u is %s and becomes %s", i, dtype_name(param->dtype),
                     dtype_name(result->dtype));
      return false;
    }
    if (param->rank != result->rank) {
      l->rank_changes = true;
      return false;
    }
    for (uint32_t d = 0; d < param->rank; d++) {
      bool free =
          dim_symbol_of(n->dims, param->dims[d], &symbol) && param->dims[d] != first->dims[d];
      if (free || dim_known_eq(n->dims, param->dims[d], result->dims[d]))
        continue;
      param->dims[d] = import_fresh_dim(n, "carried");
      l->changing++;
    }
  }
  return l->changing != before;
}

/* The body with the present types of params; results go to `out`. */
static bool import_body(struct repeat *l, region_id *out_region, value_id *out) {
  struct import_node *n = l->n;
  region_id outer = n->b->region, r = region_create(n->f);
  struct type number = type_make(DTYPE_I64, NULL, 0);
  value_id iteration = region_add_param(n->f, r, &number, NULL);
  value_id *params = ARENA_ARRAY(import_arena(n), value_id, l->carried);
  for (uint32_t i = 0; i < l->carried; i++)
    params[i] = region_add_param(n->f, r, &l->params[i], NULL);
  n->b->region = r;
  bool sound = l->step(l, iteration, params, out);
  n->b->region = outer;
  for (uint32_t i = 0; sound && i < 1 + l->carried + l->stacked; i++)
    sound = out[i] != VALUE_NONE;
  *out_region = r;
  return sound;
}

static void result_types(struct repeat *l, const value_id *results, uint32_t symbols, dim trips,
                         struct type *types) {
  struct import_node *n = l->n;
  for (uint32_t i = 0; i < l->carried; i++) {
    types[i] = l->params[i];
    for (uint32_t d = 0; d < types[i].rank; d++)
      if (dim_is_local(n, types[i].dims[d], symbols))
        types[i].dims[d] = import_fresh_dim(n, "carried");
  }
  for (uint32_t i = l->carried; i < l->carried + l->stacked; i++) {
    const struct type one = *value_type(n->f, results[1 + i]);
    dim dims[IR_MAX_RANK + 1] = {trips};
    for (uint32_t d = 0; d < one.rank; d++)
      dims[d + 1] =
          dim_is_local(n, one.dims[d], symbols) ? import_fresh_dim(n, "step") : one.dims[d];
    types[i] = type_make(one.dtype, dims, one.rank + 1);
  }
}

/* Builds the loop; out_results receives what was carried, then the stacks. False if it failed or
 * the rank of a carried value changes. */
static bool build_repeat(struct repeat *l, value_id *out_results) {
  struct import_node *n = l->n;
  struct arena *arena = import_arena(n);
  uint32_t symbols = dim_symbol_count(n->dims), total = l->carried + l->stacked;
  value_id *results = ARENA_ARRAY(arena, value_id, total + 1);
  region_id body;
  int64_t known;
  l->params = ARENA_ARRAY(arena, struct type, l->carried);
  for (uint32_t i = 0; i < l->carried; i++) {
    if (l->initial[i] == VALUE_NONE)
      return false;
    l->params[i] = *value_type(n->f, l->initial[i]);
  }
  for (;;) {
    if (!import_body(l, &body, results))
      return false;
    bool again = widen(l, results + 1);
    if (again || l->rank_changes)
      discard_region(n->f, body);
    if (l->rank_changes || n->failed)
      return false;
    if (!again)
      break;
  }
  bool endless = dim_is_const(n->dims, import_value_dim(n, results[0], 0), &known) && known;
  dim trip = import_fresh_dim(n, "trip");
  struct type *types = ARENA_ARRAY(arena, struct type, total);
  result_types(l, results, symbols, endless && l->trips != DIM_NONE ? l->trips : trip, types);
  region_results(n, body, results, total + 1);
  value_id *operands = ARENA_ARRAY(arena, value_id, l->carried + 2);
  operands[0] = l->most;
  operands[1] = l->go_on;
  for (uint32_t i = 0; i < l->carried; i++)
    operands[2 + i] = l->initial[i];
  struct loop_attrs attrs = {.types = {types, total}, .trip = trip, .carried = l->carried};
  op_id op = build_op(n->b, OP_LOOP, operands, l->carried + 2, &body, 1, &attrs);
  for (uint32_t i = 0; i < total; i++)
    out_results[i] = op_result(n->f, op, i);
  return op != OP_ID_NONE;
}

/* ---- Loop ---- */

/* What a subgraph gives, as tensors. */
static bool tensors_of(struct import_node *n, struct import_value *const *values, uint32_t count,
                       value_id *out) {
  for (uint32_t i = 0; i < count; i++) {
    out[i] = import_value_id(n, values[i]);
    if (out[i] == VALUE_NONE && !n->failed)
      import_unsupported(n, "a loop of unknown length with sequences or optional values");
  }
  return !n->failed;
}

static bool loop_step(struct repeat *l, value_id iteration, const value_id *carried,
                      value_id *out) {
  struct import_node *n = l->n;
  const Onnx__GraphProto *body = l->user;
  uint32_t count = 2 + l->carried;
  struct import_value **params = ARENA_ARRAY(import_arena(n), struct import_value *, count);
  struct import_value **results =
      ARENA_ARRAY(import_arena(n), struct import_value *, body->n_output);
  params[0] = import_value_tensor(n, iteration);
  params[1] = import_value_tensor(n, build_scalar_i64(n->b, DTYPE_BOOL, 1));
  for (uint32_t i = 0; i < l->carried; i++)
    params[2 + i] = import_value_tensor(n, carried[i]);
  if (!import_subgraph(n, body, n->b->region, params, count, results) ||
      !tensors_of(n, results, (uint32_t)body->n_output, out))
    return false;
  out[0] = build_reshape(n->b, out[0], NULL, 0);
  return true;
}

/* Whether condition and length are known, and small enough to write the iterations out. */
static bool static_length(struct import_node *n, int64_t *out) {
  struct ints most = {0}, condition = {0};
  bool known = import_has(n, 0) && import_const_ints_get(n, 0, &most) && most.len == 1 &&
               most.data[0] <= MAX_UNROLL;
  if (import_has(n, 1) && known) {
    known = import_const_ints_get(n, 1, &condition) && condition.len == 1;
    most.data = known && !condition.data[0] ? (int64_t[]){0} : most.data;
  }
  *out = known ? most.data[0] : 0;
  return known;
}

static void stack_outputs(struct import_node *n, struct values *made, uint32_t carried) {
  for (uint32_t i = 0; carried + i < n->n_outputs; i++) {
    if (!import_wants(n, carried + i))
      continue;
    if (made[i].len)
      import_out(n, carried + i, build_concat(n->b, made[i].data, made[i].len, 0));
    else
      import_unsupported(n, "a loop without iterations that stacks values");
  }
}

static void unroll(struct import_node *n, const Onnx__GraphProto *body) {
  int64_t most;
  uint32_t carried = n->n_inputs > 2 ? n->n_inputs - 2 : 0;
  uint32_t stacked = (uint32_t)body->n_output - 1 - carried;
  if (!static_length(n, &most)) {
    import_unsupported(n, "a loop that carries sequences, or values whose rank changes, must have "
                          "a constant length");
    return;
  }
  struct arena *arena = import_arena(n);
  struct import_value **params = ARENA_ARRAY(arena, struct import_value *, 2 + carried);
  struct import_value **results = ARENA_ARRAY(arena, struct import_value *, body->n_output);
  struct values *made = ARENA_ARRAY(arena, struct values, stacked);
  for (uint32_t i = 0; i < carried; i++)
    params[2 + i] = n->inputs[2 + i];
  int64_t go_on = 1;
  for (int64_t t = 0; t < most && go_on && !n->failed; t++) {
    params[0] = import_value_tensor(n, build_scalar_i64(n->b, DTYPE_I64, t));
    params[1] = import_value_tensor(n, build_scalar_i64(n->b, DTYPE_BOOL, 1));
    if (!import_subgraph(n, body, n->b->region, params, 2 + carried, results))
      break;
    if (!dim_is_const(n->dims, import_value_dim(n, import_value_id(n, results[0]), 0), &go_on))
      import_unsupported(n, "an unrolled loop whose condition is not constant");
    memcpy(params + 2, results + 1, carried * sizeof *params);
    for (uint32_t i = 0; i < stacked; i++) {
      value_id one = import_value_id(n, results[1 + carried + i]);
      vec_push(&made[i], build_unsqueeze(n->b, one, (int64_t[]){0}, 1));
    }
  }
  for (uint32_t i = 0; i < carried && i < n->n_outputs; i++)
    if (import_wants(n, i))
      import_out_value(n, i, params[2 + i]);
  if (!n->failed)
    stack_outputs(n, made, carried);
  for (uint32_t i = 0; i < stacked; i++)
    vec_deinit(&made[i]);
}

static bool carries_tensors(struct import_node *n) {
  for (uint32_t i = 2; i < n->n_inputs; i++)
    if (n->inputs[i]->kind != IMPORT_TENSOR)
      return false;
  return true;
}

void import_loop(struct import_node *n) {
  const Onnx__GraphProto *body = import_attr_graph(n, "body");
  uint32_t carried = n->n_inputs > 2 ? n->n_inputs - 2 : 0;
  if (!body || body->n_output < 1 + carried || n->n_outputs > body->n_output - 1) {
    import_invalid(n, "its body does not give what the loop carries");
    return;
  }
  if (!carries_tensors(n)) {
    unroll(n, body);
    return;
  }
  value_id *initial = ARENA_ARRAY(import_arena(n), value_id, carried);
  value_id *results = ARENA_ARRAY(import_arena(n), value_id, body->n_output);
  for (uint32_t i = 0; i < carried; i++)
    initial[i] = import_in(n, 2 + i);
  struct repeat l = {.n = n,
                     .step = loop_step,
                     .user = (void *)(uintptr_t)body,
                     .trips = DIM_NONE,
                     .initial = initial,
                     .carried = carried,
                     .stacked = (uint32_t)body->n_output - 1 - carried};
  int64_t known = 1;
  if (import_has(n, 0)) {
    l.most = build_binary_i64(n->b, SCALAR_MAX, import_scalar(n, 0, DTYPE_I64), 0);
    l.trips = import_value_symbol(n, l.most, 0);
  } else {
    l.most = build_scalar_i64(n->b, DTYPE_I64, -1);
  }
  if (import_has(n, 1)) {
    l.go_on = import_scalar(n, 1, DTYPE_BOOL);
    if (!dim_is_const(n->dims, import_value_dim(n, l.go_on, 0), &known) || !known)
      l.trips = DIM_NONE;
  } else {
    l.go_on = build_scalar_i64(n->b, DTYPE_BOOL, 1);
  }
  if (build_repeat(&l, results))
    for (uint32_t i = 0; i < n->n_outputs; i++)
      import_out(n, i, results[i]);
  else if (l.rank_changes)
    unroll(n, body);
}

/* ---- Scan ---- */

struct scan {
  const Onnx__GraphProto *body;
  uint32_t states, inputs, outputs;
  const value_id *sequences;
  uint32_t *axes;          /* of inputs */
  const int64_t *reversed; /* of inputs, then outputs */
  dim length;
};

/* One entry of a sequence. */
static value_id entry_of(struct import_node *n, const struct scan *s, uint32_t i,
                         value_id iteration) {
  int64_t axis = s->axes[i];
  value_id last =
      import_dim_scalar(n, dim_sub(n->dims, s->length, dim_const(n->dims, 1)), DTYPE_I64);
  if (s->reversed[i])
    iteration = value_sub(n->b, last, iteration);
  return build_gather(n->b, s->sequences[i], &iteration, &axis, 1, OUT_OF_RANGE_CLAMP);
}

static bool scan_step(struct repeat *l, value_id iteration, const value_id *carried,
                      value_id *out) {
  struct import_node *n = l->n;
  const struct scan *s = l->user;
  uint32_t count = s->states + s->inputs;
  struct import_value **params = ARENA_ARRAY(import_arena(n), struct import_value *, count);
  struct import_value **results =
      ARENA_ARRAY(import_arena(n), struct import_value *, s->body->n_output);
  for (uint32_t i = 0; i < s->states; i++)
    params[i] = import_value_tensor(n, carried[i]);
  for (uint32_t i = 0; i < s->inputs; i++)
    params[s->states + i] = import_value_tensor(n, entry_of(n, s, i, iteration));
  out[0] = build_scalar_i64(n->b, DTYPE_BOOL, 1);
  return import_subgraph(n, s->body, n->b->region, params, count, results) &&
         tensors_of(n, results, (uint32_t)s->body->n_output, out + 1);
}

/* Results: the states at the end, then the stacked outputs, in the order of iterations. */
static bool build_scan(struct import_node *n, struct scan *s, const value_id *states,
                       value_id *out_results) {
  for (uint32_t i = 0; i < s->inputs; i++) {
    if (s->sequences[i] == VALUE_NONE)
      return false;
    dim length = value_type(n->f, s->sequences[i])->dims[s->axes[i]];
    if (i == 0)
      s->length = length;
    else if (!dim_known_ne(n->dims, s->length, length))
      build_check(n->b, s->length, RELATION_EQ, length, "inputs of a Scan differ in length");
    else
      import_invalid(n, "its inputs differ in length");
  }
  struct repeat l = {.n = n,
                     .step = scan_step,
                     .user = s,
                     .most = import_dim_scalar(n, s->length, DTYPE_I64),
                     .go_on = build_scalar_i64(n->b, DTYPE_BOOL, 1),
                     .trips = s->length,
                     .initial = states,
                     .carried = s->states,
                     .stacked = s->outputs};
  bool built = build_repeat(&l, out_results);
  if (l.rank_changes)
    import_unsupported(n, "the rank of a state changes");
  for (uint32_t i = 0; built && i < s->outputs; i++)
    if (s->reversed[s->inputs + i])
      out_results[s->states + i] = build_reverse(n->b, out_results[s->states + i], 0);
  return built;
}

/* Reads an attribute with an entry per input or output; absent means zeros. */
static bool scan_list(struct import_node *n, const char *name, uint32_t count, int64_t *out) {
  struct ints list;
  if (!import_attr_ints(n, name, &list))
    return !n->failed;
  if (list.len != count) {
    import_invalid(n, "%s has %u entries, not %u", name, list.len, count);
    return false;
  }
  for (uint32_t i = 0; i < count; i++)
    out[i] = list.data[i];
  return true;
}

static bool scan_init(struct import_node *n, struct scan *s, uint32_t first_input) {
  int64_t inputs = import_attr_int(n, "num_scan_inputs", 0);
  s->body = import_attr_graph(n, "body");
  uint32_t operands = n->n_inputs - first_input;
  if (!s->body || inputs < 1 || inputs > operands ||
      s->body->n_output < operands - (uint32_t)inputs || n->n_outputs > s->body->n_output) {
    import_invalid(n, "its body does not fit its operands");
    return false;
  }
  s->inputs = (uint32_t)inputs;
  s->states = operands - s->inputs;
  s->outputs = (uint32_t)s->body->n_output - s->states;
  s->axes = ARENA_ARRAY(import_arena(n), uint32_t, s->inputs);
  return true;
}

static void scan_v9(struct import_node *n) {
  struct scan s = {0};
  struct arena *arena = import_arena(n);
  uint32_t all = n->n_inputs ? n->n_inputs : 1;
  if (!import_arity(n, all, UINT32_MAX, UINT32_MAX) || !scan_init(n, &s, 0))
    return;
  int64_t *reversed = ARENA_ARRAY(arena, int64_t, s.inputs + s.outputs);
  int64_t *axes = ARENA_ARRAY(arena, int64_t, s.inputs + s.outputs);
  if (!scan_list(n, "scan_input_axes", s.inputs, axes) ||
      !scan_list(n, "scan_output_axes", s.outputs, axes + s.inputs) ||
      !scan_list(n, "scan_input_directions", s.inputs, reversed) ||
      !scan_list(n, "scan_output_directions", s.outputs, reversed + s.inputs))
    return;
  value_id *operands = ARENA_ARRAY(arena, value_id, n->n_inputs);
  value_id *results = ARENA_ARRAY(arena, value_id, s.body->n_output);
  for (uint32_t i = 0; i < n->n_inputs; i++)
    operands[i] = import_in(n, i);
  s.sequences = operands + s.states;
  s.reversed = reversed;
  for (uint32_t i = 0; i < s.inputs; i++)
    if (!import_axis(n, axes[i], import_rank(n, s.states + i), &s.axes[i]))
      return;
  if (!build_scan(n, &s, operands, results))
    return;
  for (uint32_t i = 0; i < n->n_outputs; i++) {
    uint32_t axis = 0, rank = value_type(n->f, results[i])->rank;
    int64_t perm[IR_MAX_RANK];
    if (i >= s.states && !import_axis(n, axes[s.inputs + i - s.states], rank, &axis))
      return;
    for (uint32_t d = 0; d < rank; d++)
      perm[d] = d < axis ? d + 1 : d == axis ? 0 : d;
    import_out(n, i, build_transpose(n->b, results[i], perm));
  }
}

/* In opset 8 all operands have a batch dim first, over which the scan itself is repeated. */
static bool batch_step(struct repeat *l, value_id iteration, const value_id *carried,
                       value_id *out) {
  struct import_node *n = l->n;
  struct scan s = *(const struct scan *)l->user;
  (void)carried;
  int64_t axis = 0;
  value_id *operands = ARENA_ARRAY(import_arena(n), value_id, s.states + s.inputs);
  for (uint32_t i = 0; i < s.states + s.inputs; i++)
    operands[i] = build_gather(n->b, import_in(n, 1 + i), &iteration, &axis, 1, OUT_OF_RANGE_CLAMP);
  s.sequences = operands + s.states;
  out[0] = build_scalar_i64(n->b, DTYPE_BOOL, 1);
  return build_scan(n, &s, operands, out + 1);
}

static void scan_v8(struct import_node *n) {
  struct scan s = {0};
  if (import_has(n, 0)) {
    import_unsupported(n, "sequence_lens");
    return;
  }
  if (n->n_inputs < 2 || !scan_init(n, &s, 1))
    return;
  int64_t *reversed = ARENA_ARRAY(import_arena(n), int64_t, s.inputs + s.outputs);
  value_id *results = ARENA_ARRAY(import_arena(n), value_id, s.body->n_output);
  if (!scan_list(n, "directions", s.inputs, reversed))
    return;
  s.reversed = reversed;
  for (uint32_t i = 1; i < n->n_inputs; i++) {
    uint32_t needed = i <= s.states ? 1 : 2;
    if (import_in(n, i) == VALUE_NONE || import_rank(n, i) < needed) {
      import_invalid(n, "operand %u has no batch or no sequence dim", i);
      return;
    }
  }
  dim batch = import_dim(n, 1, 0);
  struct repeat l = {.n = n,
                     .step = batch_step,
                     .user = &s,
                     .most = import_dim_scalar(n, batch, DTYPE_I64),
                     .go_on = build_scalar_i64(n->b, DTYPE_BOOL, 1),
                     .trips = batch,
                     .stacked = (uint32_t)s.body->n_output};
  if (build_repeat(&l, results))
    for (uint32_t i = 0; i < n->n_outputs; i++)
      import_out(n, i, results[i]);
}

void import_scan(struct import_node *n) {
  if (n->opset < 9)
    scan_v8(n);
  else
    scan_v9(n);
}
