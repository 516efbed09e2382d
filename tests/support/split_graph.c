/* SPDX-License-Identifier: Apache-2.0 */
/* See split_graph.h. */
#include "tests/support/split_graph.h"

#include <stdlib.h>
#include <string.h>

#define MOST_VALUES 64
#define MOST_WEIGHTS 64

struct maker {
  const struct split_graph_options *options;
  uint64_t state;
  struct module *m;
  struct builder b;
  dim batch, tokens, capacity;
  int64_t hidden, heads, width;
  value_id length, positions, key_positions;
  /* Of the function at hand: what is [batch, tokens, hidden], in the layer at hand. */
  uint32_t n_values;
  value_id values[MOST_VALUES];
  /* Weights of the module, in the order that functions ask for them. */
  uint32_t n_weights, next_weight;
  constant_id weights[MOST_WEIGHTS];
  uint32_t n_states; /* values of the function at hand: past, present */
  value_id states[2][8];
};

uint32_t split_draw(uint64_t *state, uint32_t n) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33) % n;
}

static uint32_t draw(struct maker *g, uint32_t n) { return split_draw(&g->state, n); }

/* ---- ops ---- */

/* The next weight; functions that ask in the same order share them. */
static value_id weight(struct maker *g, int64_t rows, int64_t columns) {
  static const char nothing[1]; /* never read */
  struct constant c = {.name = "w",
                       .dtype = DTYPE_F32,
                       .rank = 2,
                       .dims = {rows, columns},
                       .bytes = 4 * (uint64_t)(rows * columns),
                       .data = nothing};
  if (g->next_weight == g->n_weights)
    g->weights[g->n_weights++] = module_add_constant(g->m, &c);
  return build_const(&g->b, g->weights[g->next_weight++]);
}

static value_id product(struct maker *g, value_id x, int64_t rows, int64_t columns) {
  int64_t lhs_k = 2, rhs_k = 0;
  struct contract_attrs a = {.lhs_k = {&lhs_k, 1}, .rhs_k = {&rhs_k, 1}, .dtype = DTYPE_F32};
  return build_contract(&g->b, x, weight(g, rows, columns), &a);
}

static value_id norm(struct maker *g, value_id x) {
  int64_t axis = 2;
  value_id sum = build_reduce(&g->b, build_binary(&g->b, SCALAR_MUL, x, x), &axis, 1, COMBINER_SUM);
  return build_binary(&g->b, SCALAR_MUL, x, build_unary(&g->b, SCALAR_SQRT, sum));
}

static value_id heads(struct maker *g, value_id x) {
  struct dim_table *t = g->m->dims;
  dim dims[] = {g->batch, g->tokens, dim_const(t, g->heads), dim_const(t, g->width)};
  int64_t perm[] = {0, 2, 1, 3};
  return build_transpose(&g->b, build_reshape(&g->b, x, dims, 4), perm);
}

/* Rows written to a state, which is what attention reads. */
static value_id remember(struct maker *g, value_id rows) {
  struct dim_table *t = g->m->dims;
  dim dims[] = {g->batch, dim_const(t, g->heads), g->capacity, dim_const(t, g->width)};
  struct type type = type_make(DTYPE_F32, dims, 4);
  value_id operands[] = {region_add_param(g->b.function, 0, &type, "past"), rows, g->length};
  value_id present =
      build_op1(&g->b, OP_UPDATE, operands, 3, &(struct update_attrs){.axis = 2, .in_place = true});
  g->states[0][g->n_states] = operands[0];
  g->states[1][g->n_states++] = present;
  return present;
}

/* Queries, keys and values of one value, which attention may read beside them. */
static value_id attend(struct maker *g, value_id x) {
  struct dim_table *t = g->m->dims;
  int64_t perm[] = {0, 2, 1, 3}, inner = g->heads * g->width;
  dim dims[] = {g->batch, g->tokens, dim_const(t, inner)};
  bool states = g->options->phases;
  value_id q = heads(g, product(g, x, g->hidden, inner));
  value_id k = heads(g, product(g, x, g->hidden, inner));
  value_id v = draw(g, 4) == 0 && !states && inner == g->hidden
                   ? heads(g, x)
                   : heads(g, product(g, x, g->hidden, inner));
  if (states) {
    k = remember(g, k);
    v = remember(g, v);
  }
  value_id operands[] = {q, k, v, g->positions, states ? g->key_positions : g->positions};
  struct attention_attrs a = {.scale = 0.1, .causal = true, .has_pos = true, .lse = true};
  op_id op = build_op(&g->b, OP_ATTENTION, operands, 5, NULL, 0, &a);
  value_id y = build_transpose(&g->b, op_result(g->b.function, op, 0), perm);
  y = build_reshape(&g->b, y, dims, 3);
  return inner == g->hidden && draw(g, 2) ? y : product(g, y, inner, g->hidden);
}

/* x times y of the other positions, and back: attention spelled out. */
static value_id compare(struct maker *g, value_id x, value_id y) {
  int64_t batch = 0, last = 2, axis = 2, middle = 1;
  struct contract_attrs a = {.lhs_batch = {&batch, 1},
                             .rhs_batch = {&batch, 1},
                             .lhs_k = {&last, 1},
                             .rhs_k = {&last, 1},
                             .dtype = DTYPE_F32};
  value_id scores = build_contract(&g->b, x, y, &a);
  if (draw(g, 2)) {
    value_id most = build_reduce(&g->b, scores, &axis, 1, COMBINER_MAX);
    scores = build_binary(&g->b, SCALAR_SUB, scores, most);
  }
  a.rhs_k = (struct ints){&middle, 1};
  return build_contract(&g->b, scores, y, &a);
}

/* ---- layers ---- */

static value_id pick(struct maker *g) {
  uint32_t recent = g->n_values < 3 || draw(g, 3) == 0 ? g->n_values : 3;
  return g->values[g->n_values - 1 - draw(g, recent)];
}

static void keep(struct maker *g, value_id v) {
  if (g->n_values < MOST_VALUES)
    g->values[g->n_values++] = v;
}

static void step(struct maker *g) {
  value_id x = pick(g), y = pick(g);
  switch (draw(g, 8)) {
  case 0: keep(g, norm(g, x)); break;
  case 1: keep(g, build_binary(&g->b, SCALAR_ADD, x, y)); break;
  case 2: keep(g, build_unary(&g->b, SCALAR_TANH, x)); break;
  case 3: keep(g, compare(g, x, y)); break;
  case 4: /* two that read one, and what reads both */
    x = draw(g, 2) ? norm(g, x) : x;
    y = product(g, x, g->hidden, g->hidden);
    keep(g, build_binary(&g->b, SCALAR_MUL, y, product(g, x, g->hidden, g->hidden)));
    break;
  default: keep(g, product(g, x, g->hidden, g->hidden)); break;
  }
}

/* The same steps for every layer, so that layers are equal. */
static value_id layer(struct maker *g, value_id x) {
  g->state = g->options->seed * 2654435761u + 77;
  g->n_values = 0;
  keep(g, x);
  if (g->options->stars || g->options->phases)
    keep(g, attend(g, draw(g, 2) ? norm(g, x) : x));
  for (uint32_t i = 0; i < g->options->steps; i++)
    step(g);
  value_id y = g->values[g->n_values - 1];
  return draw(g, 2) && y != x ? build_binary(&g->b, SCALAR_ADD, x, y) : y;
}

/* ---- functions and entries ---- */

static value_id param(struct maker *g, enum dtype dtype, const dim *dims, uint32_t rank,
                      const char *name) {
  struct type type = type_make(dtype, dims, rank);
  return region_add_param(g->b.function, 0, &type, name);
}

static void function_make(struct maker *g, const char *name, bool decode) {
  struct dim_table *t = g->m->dims;
  struct diags none = {0};
  builder_init(&g->b, function_create(g->m, name), 0, &none);
  g->tokens = decode ? dim_const(t, 1) : dim_symbol(t, "tokens", 1, 4096);
  g->next_weight = g->n_states = 0;
  dim dims[] = {g->batch, g->tokens, dim_const(t, g->hidden)}, keys[] = {g->batch, g->capacity};
  value_id x = param(g, DTYPE_F32, dims, 3, "x");
  g->positions = param(g, DTYPE_I64, dims, 2, "positions");
  if (g->options->phases) {
    g->key_positions = param(g, DTYPE_I64, keys, 2, "key_positions");
    g->length = param(g, DTYPE_I64, dims, 1, "length");
  }
  x = product(g, x, g->hidden, g->hidden);
  for (uint32_t i = 0; i < g->options->layers; i++)
    x = layer(g, x);
  struct region *body = &g->b.function->regions.data[0];
  vec_push(&body->results, x);
  for (uint32_t i = 0; i < g->n_states; i++)
    vec_push(&body->results, g->states[1][i]);
  diags_deinit(&none);
  if (g->b.failures)
    abort();
}

static void entry_make(struct maker *g, const char *name) {
  struct entry e = {.name = name};
  const struct region *body = &g->b.function->regions.data[0];
  for (uint32_t i = 0; i < body->params.len; i++)
    vec_push(&e.input_names, function_value(g->b.function, body->params.data[i])->name);
  for (uint32_t i = 0; i < body->results.len; i++)
    vec_push(&e.output_names, i ? "present" : "y");
  for (uint32_t i = 0; i < g->n_states; i++)
    vec_push(&e.states, ((struct entry_state){body->params.len - g->n_states + i, 1 + i}));
  if (g->n_states)
    e.length = 4;
  vec_push(&e.variants, (struct entry_variant){.function = g->b.function});
  vec_push(&g->m->entries, e);
}

struct module *split_graph(const struct split_graph_options *options) {
  struct maker g = {.options = options, .state = options->seed * 40503u + 5, .m = module_create()};
  static const int64_t hidden[] = {128, 192, 256, 6};
  g.hidden = hidden[options->distinct_dims ? draw(&g, 4) : draw(&g, 3)];
  g.heads = options->distinct_dims ? 1 + draw(&g, 6) : 4;
  g.width = options->distinct_dims ? 4 * (1 + draw(&g, 8)) : g.hidden / 4;
  g.batch = dim_symbol(g.m->dims, "batch", 1, 1024);
  g.capacity = dim_symbol(g.m->dims, "capacity", 1, 1 << 20);
  function_make(&g, options->phases ? "prefill" : "main", false);
  entry_make(&g, options->phases ? "prefill" : "main");
  if (options->phases) {
    function_make(&g, "decode", true);
    entry_make(&g, "decode");
  }
  return g.m;
}

/* ---- machines ---- */

void split_machine(uint64_t seed, int64_t devices, struct strbuf *out) {
  uint64_t state = seed * 69069u + 11;
  static const char *const latencies[] = {"0.1us", "2us", "40us"};
  static const char *const bandwidths[] = {"200MB/s", "8GB/s", "400GB/s"};
  static const char *const launches[] = {"0.2us", "2us", "9us"};
  bool two = devices % 2 == 0 && devices > 2 && split_draw(&state, 2);
  strbuf_printf(out, "machine drawn device { memory 64GB from \"-\" scalar 20G/s from \"-\" ");
  strbuf_printf(out, "launch %s from \"-\" ", launches[split_draw(&state, 3)]);
  strbuf_printf(out, "peak f32 %uG/s from \"-\" ", 20 + split_draw(&state, 2000));
  strbuf_printf(out, "bandwidth { 32KB %uGB/s, 1MB 20GB/s } from \"-\" }\n",
                30 + split_draw(&state, 100));
  for (uint32_t i = 0; i < 1u + two; i++)
    strbuf_printf(out,
                  "level l%u { devices %lld from \"-\" most 64 from \"-\" latency %s from \"-\" "
                  "bandwidth %s from \"-\" }\n",
                  i,
                  (long long)(!two ? devices
                              : i  ? 2
                                   : devices / 2),
                  latencies[split_draw(&state, 3)], bandwidths[split_draw(&state, 3)]);
}
