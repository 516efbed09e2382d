/* SPDX-License-Identifier: Apache-2.0 */
/* If and Scan, and recurrent networks: subgraphs become regions of `if` and `loop`. */
#include "frontend/onnx/import_form.h"
#include "frontend/onnx/import_internal.h"
#include "frontend/onnx/import_repeat.h"
#include "frontend/onnx/import_util.h"

#include <string.h>

/* ---- If ---- */

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
    if (dim_known_eq(n->dims, a.dims[i], b.dims[i]) && !import_dim_is_local(n, a.dims[i], symbols))
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

static bool all_joinable(struct import_node *n, const struct branches *b) {
  bool sound = true;
  for (uint32_t i = 0; i < b->count && sound; i++)
    sound = import_form_joins(n, b->results[0][i], b->results[1][i]);
  return sound;
}

/* What a branch gives, in the forms that both have, as the region's results. */
static bool give(struct import_node *n, const struct branches *b, uint32_t which,
                 struct import_value *const *forms, struct form_ids *out) {
  region_id outer = n->b->region;
  bool sound = true;
  n->b->region = b->regions[which];
  for (uint32_t i = 0; sound && i < b->count; i++) {
    struct import_value *v = import_form_conform(n, forms[i], b->results[which][i]);
    sound = v && import_form_flatten(n, v, out);
  }
  n->b->region = outer;
  if (sound)
    import_region_results(n, b->regions[which], out->data, out->len);
  return sound;
}

/* Builds the `if` of what both branches give. Results are values of the same form, or NULL,
 * reported. */
static struct import_value **join(struct import_node *n, const struct branches *b) {
  struct form_ids ids[2] = {{0}, {0}};
  struct arena *arena = import_arena(n);
  struct import_value **forms = ARENA_ARRAY(arena, struct import_value *, b->count);
  struct import_value **joined = NULL;
  bool sound = true;
  for (uint32_t i = 0; sound && i < b->count; i++) {
    forms[i] = import_form_common(n, b->results[0][i], b->results[1][i]);
    sound = forms[i] != NULL;
  }
  sound = sound && give(n, b, 0, forms, &ids[0]) && give(n, b, 1, forms, &ids[1]);
  struct type *types = ARENA_ARRAY(arena, struct type, ids[0].len);
  for (uint32_t i = 0; sound && i < ids[0].len; i++)
    sound = join_types(n, ids[0].data[i], ids[1].data[i], b->symbols, &types[i]);
  if (sound) {
    struct if_attrs attrs = {.types = {types, ids[0].len}};
    op_id op = build_op(n->b, OP_IF, &b->condition, 1, b->regions, 2, &attrs);
    const value_id *next = op == OP_ID_NONE ? NULL : function_op(n->f, op)->results;
    joined = next || !ids[0].len ? ARENA_ARRAY(arena, struct import_value *, b->count) : NULL;
    for (uint32_t i = 0; joined && i < b->count; i++)
      joined[i] = import_form_rebuild(n, forms[i], &next);
  }
  vec_deinit(&ids[0]);
  vec_deinit(&ids[1]);
  return joined;
}

static void out_all(struct import_node *n, struct import_value *const *results) {
  for (uint32_t i = 0; results && i < n->n_outputs; i++)
    import_out_value(n, i, results[i]);
}

static void import_inline(struct import_node *n, const Onnx__GraphProto *graph);

/* What follows fits only one branch: a run that takes the other is an error. */
static void import_only(struct import_node *n, const struct branches *b, uint32_t taken) {
  import_region_discard(n->f, b->regions[0]);
  import_region_discard(n->f, b->regions[1]);
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
    struct import_value *const *const results[2] = {b->results[0], b->results[1]};
    if (all_joinable(n, b) || !import_rest_fork(n, b->condition, b->regions, b->symbols, results)) {
      struct import_value **joined = join(n, b);
      if (joined)
        import_rest_done(n, joined);
    }
  } else if ((sound[0] || sound[1]) && b->graphs[0]) {
    import_only(n, b, sound[0] ? 0 : 1);
  } else {
    n->failed = true;
    diags_merge(n->b->diags, &why[0]);
    diags_merge(n->b->diags, &why[1]);
  }
  diags_deinit(&why[0]);
  diags_deinit(&why[1]);
}

/* A graph in place of its node. Where an If in it forks, what follows this node is in the branches.
 */
static void import_inline(struct import_node *n, const Onnx__GraphProto *graph) {
  struct import_value **results =
      ARENA_ARRAY(import_arena(n), struct import_value *, graph->n_output);
  n->inlines = true;
  bool sound = import_subgraph(n, graph, n->b->region, NULL, 0, results);
  n->inlines = false;
  if (sound && n->fork) {
    struct branches b = {.condition = n->fork->condition,
                         .regions = {n->fork->regions[0], n->fork->regions[1]},
                         .results = {n->fork->results[0], n->fork->results[1]},
                         .count = (uint32_t)graph->n_output,
                         .symbols = n->fork->symbols};
    import_rests(n, &b);
  } else if (sound) {
    out_all(n, results);
  }
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

/* ---- Scan ---- */

/* What a subgraph gives, as tensors. */
static bool tensors_of(struct import_node *n, struct import_value *const *values, uint32_t count,
                       value_id *out) {
  for (uint32_t i = 0; i < count; i++) {
    out[i] = import_value_id(n, values[i]);
    if (out[i] == VALUE_NONE && !n->failed)
      import_unsupported(n, "a body that gives sequences or optional values");
  }
  return !n->failed;
}

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
                     .initial = states,
                     .carried = s->states,
                     .stacked = s->outputs};
  import_repeat_times(&l, s->length);
  bool built = import_repeat(&l, out_results);
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
  struct repeat l = {.n = n, .step = batch_step, .user = &s, .stacked = (uint32_t)s.body->n_output};
  import_repeat_times(&l, batch);
  if (import_repeat(&l, results))
    for (uint32_t i = 0; i < n->n_outputs; i++)
      import_out(n, i, results[i]);
}

void import_scan(struct import_node *n) {
  if (n->opset < 9)
    scan_v8(n);
  else
    scan_v9(n);
}
