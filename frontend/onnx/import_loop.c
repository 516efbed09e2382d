/* SPDX-License-Identifier: Apache-2.0 */
/* Loop, and SequenceMap over sequences whose length a run decides. A loop that carries sequences or
 * optionals, or values whose rank changes, is unrolled if its length is known; else what it carries
 * is carried in forms of tensors (import_form.h). */
#include "frontend/onnx/import_form.h"
#include "frontend/onnx/import_packed.h"
#include "frontend/onnx/import_repeat.h"
#include "frontend/onnx/import_util.h"

#include <string.h>

enum { MAX_UNROLL = 1024 };

/* ---- Loop ---- */

struct loop_body {
  const Onnx__GraphProto *graph;
  struct import_value **forms; /* of what is carried */
  uint32_t carried;            /* values of the graph, each of one tensor or more */
};

/* What an iteration gives, in the form that is carried. A sequence that was empty at first has the
 * items that are put in. */
static struct import_value *carried_again(struct import_node *n, struct import_value *form,
                                          struct import_value *v) {
  v = import_form_conform(n, form, v);
  if (v && form->kind == IMPORT_PACKED && form->item_rank == PACKED_ANY_RANK)
    form->item_rank = v->item_rank;
  return v;
}

/* The carried values and the stacked tensors of an iteration. */
static bool loop_results(struct import_node *n, const struct loop_body *body,
                         struct import_value *const *results, value_id *out) {
  struct form_ids ids = {0};
  bool sound = true;
  for (uint32_t i = 0; sound && i < body->graph->n_output; i++) {
    struct import_value *v = results[i];
    if (i >= 1 && i <= body->carried)
      v = carried_again(n, body->forms[i - 1], v);
    else if (v->kind != IMPORT_TENSOR && v->kind != IMPORT_BROKEN)
      import_unsupported(n, "a loop that stacks values which are not tensors");
    sound = v && !n->failed && import_form_flatten(n, v, &ids);
  }
  if (sound)
    memcpy(out, ids.data, ids.len * sizeof *out);
  vec_deinit(&ids);
  return sound;
}

static bool loop_step(struct repeat *l, value_id iteration, const value_id *carried,
                      value_id *out) {
  struct import_node *n = l->n;
  const struct loop_body *body = l->user;
  uint32_t count = 2 + body->carried;
  struct arena *arena = import_arena(n);
  struct import_value **params = ARENA_ARRAY(arena, struct import_value *, count);
  struct import_value **results = ARENA_ARRAY(arena, struct import_value *, body->graph->n_output);
  params[0] = import_value_tensor(n, iteration);
  params[1] = import_value_tensor(n, build_scalar_i64(n->b, DTYPE_BOOL, 1));
  for (uint32_t i = 0; i < body->carried; i++)
    params[2 + i] = import_form_rebuild(n, body->forms[i], &carried);
  if (!import_subgraph(n, body->graph, n->b->region, params, count, results) ||
      !loop_results(n, body, results, out))
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

static void stack_outputs(struct import_node *n, struct form_ids *made, uint32_t carried) {
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
  struct form_ids *made = ARENA_ARRAY(arena, struct form_ids, stacked);
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

/* The forms of what is carried, and the tensors that they begin with. */
static bool carried_forms(struct import_node *n, struct loop_body *body, struct form_ids *out) {
  bool sound = true;
  for (uint32_t i = 0; sound && i < body->carried; i++) {
    const Onnx__GraphProto *g = body->graph;
    struct import_value *v = n->inputs[2 + i];
    const Onnx__TypeProto *declared = 2 + i < g->n_input ? g->input[2 + i]->type : NULL;
    body->forms[i] = import_form_carried(n, v, declared);
    struct import_value *first = body->forms[i] ? import_form_conform(n, body->forms[i], v) : NULL;
    sound = first && import_form_flatten(n, first, out);
  }
  return sound;
}

static void out_carried(struct import_node *n, const struct loop_body *body,
                        const value_id *results) {
  for (uint32_t i = 0; i < body->carried; i++)
    import_out_value(n, i, import_form_rebuild(n, body->forms[i], &results));
  for (uint32_t i = body->carried; i < n->n_outputs; i++)
    import_out(n, i, *results++);
}

/* How often it runs at most, and whether it begins. */
static void loop_length(struct import_node *n, struct repeat *l) {
  int64_t known = 1;
  if (import_has(n, 0)) {
    l->most = build_binary_i64(n->b, SCALAR_MAX, import_scalar(n, 0, DTYPE_I64), 0);
    l->trips = import_value_symbol(n, l->most, 0);
  } else {
    l->most = build_scalar_i64(n->b, DTYPE_I64, -1);
  }
  if (import_has(n, 1)) {
    l->go_on = import_scalar(n, 1, DTYPE_BOOL);
    if (!dim_is_const(n->dims, import_value_dim(n, l->go_on, 0), &known) || !known)
      l->trips = DIM_NONE;
  } else {
    l->go_on = build_scalar_i64(n->b, DTYPE_BOOL, 1);
  }
}

void import_loop(struct import_node *n) {
  const Onnx__GraphProto *graph = import_attr_graph(n, "body");
  uint32_t carried = n->n_inputs > 2 ? n->n_inputs - 2 : 0;
  struct loop_body body = {.graph = graph, .carried = carried};
  struct form_ids initial = {0};
  int64_t most;
  if (!graph || graph->n_output < 1 + carried || n->n_outputs > graph->n_output - 1) {
    import_invalid(n, "its body does not give what the loop carries");
    return;
  }
  if (!carries_tensors(n) && static_length(n, &most)) {
    unroll(n, graph);
    return;
  }
  body.forms = ARENA_ARRAY(import_arena(n), struct import_value *, carried);
  if (carried_forms(n, &body, &initial)) {
    struct repeat l = {.n = n,
                       .step = loop_step,
                       .user = &body,
                       .trips = DIM_NONE,
                       .initial = initial.data,
                       .carried = initial.len,
                       .stacked = (uint32_t)graph->n_output - 1 - carried};
    value_id *results = ARENA_ARRAY(import_arena(n), value_id, l.carried + l.stacked + 1);
    loop_length(n, &l);
    if (import_repeat(&l, results))
      out_carried(n, &body, results);
    else if (l.rank_changes)
      unroll(n, graph);
  }
  vec_deinit(&initial);
}

/* ---- SequenceMap ---- */

struct map_body {
  const Onnx__GraphProto *graph;
  struct import_value **operands; /* sequences are PACKED */
  int32_t *ranks;                 /* out: of the items of outputs */
};

/* Entry `iteration` of each sequence goes in, what comes out is added to the carried sequences. */
static bool map_step(struct repeat *l, value_id iteration, const value_id *carried, value_id *out) {
  struct import_node *n = l->n;
  const struct map_body *body = l->user;
  struct arena *arena = import_arena(n);
  struct import_value **params = ARENA_ARRAY(arena, struct import_value *, n->n_inputs);
  struct import_value **results = ARENA_ARRAY(arena, struct import_value *, body->graph->n_output);
  for (uint32_t i = 0; i < n->n_inputs; i++) {
    struct import_value *v = body->operands[i];
    params[i] = v;
    if (v->kind != IMPORT_PACKED)
      continue;
    if (v->item_rank == PACKED_ANY_RANK) {
      import_unsupported(n, "the rank of the items of operand %u is not known", i);
      return false;
    }
    params[i] = import_value_tensor(n, import_packed_at(n, v, iteration, (uint32_t)v->item_rank));
  }
  if (!import_subgraph(n, body->graph, n->b->region, params, n->n_inputs, results))
    return false;
  out[0] = build_scalar_i64(n->b, DTYPE_BOOL, 1);
  for (uint32_t i = 0; i < l->carried / 2; i++) {
    struct import_value *so_far =
        import_packed(n, carried[2 * i], carried[2 * i + 1], PACKED_ANY_RANK);
    value_id x = import_value_id(n, results[i]);
    if (x == VALUE_NONE || value_type(n->f, x)->dtype != so_far->item_dtype) {
      import_unsupported(n, "output %u of its body is not a tensor of the declared type", i);
      return false;
    }
    body->ranks[i] = (int32_t)value_type(n->f, x)->rank;
    so_far = import_packed_insert(n, so_far, x, VALUE_NONE);
    if (so_far->kind != IMPORT_PACKED)
      return false;
    out[1 + 2 * i] = import_packed_data(so_far);
    out[2 + 2 * i] = import_packed_shapes(so_far);
  }
  return true;
}

/* Makes PACKED of all sequences, and checks that they are equally long. */
static bool map_operands(struct import_node *n, struct map_body *body, dim *out_length) {
  *out_length = DIM_NONE;
  for (uint32_t i = 0; i < n->n_inputs; i++) {
    struct import_value *v = n->inputs[i];
    if (v->kind == IMPORT_SEQUENCE)
      v = import_pack(n, v);
    if (!v)
      return false;
    body->operands[i] = v;
    if (v->kind != IMPORT_PACKED)
      continue;
    dim length = import_packed_count(n, v);
    if (*out_length != DIM_NONE)
      build_check(n->b, *out_length, RELATION_EQ, length, "sequences of different lengths");
    *out_length = length;
  }
  return true;
}

void import_map_by_loop(struct import_node *n, const Onnx__GraphProto *graph) {
  struct arena *arena = import_arena(n);
  struct map_body body = {graph, ARENA_ARRAY(arena, struct import_value *, n->n_inputs),
                          ARENA_ARRAY(arena, int32_t, n->n_outputs)};
  value_id *initial = ARENA_ARRAY(arena, value_id, 2 * n->n_outputs + 1);
  value_id *results = ARENA_ARRAY(arena, value_id, 2 * n->n_outputs + 1);
  dim length;
  if (!map_operands(n, &body, &length))
    return;
  for (uint32_t i = 0; i < n->n_outputs; i++) {
    enum dtype dtype;
    int32_t rank;
    if (!import_declared_tensor(graph->output[i]->type, &dtype, &rank)) {
      import_unsupported(n, "a body whose outputs have no declared type");
      return;
    }
    struct import_value *none = import_packed_empty(n, dtype);
    initial[2 * i] = import_packed_data(none);
    initial[2 * i + 1] = import_packed_shapes(none);
  }
  struct repeat l = {
      .n = n, .step = map_step, .user = &body, .initial = initial, .carried = 2 * n->n_outputs};
  import_repeat_times(&l, length);
  if (import_repeat(&l, results))
    for (uint32_t i = 0; i < n->n_outputs; i++)
      import_out_value(n, i, import_packed(n, results[2 * i], results[2 * i + 1], body.ranks[i]));
}
