/* SPDX-License-Identifier: Apache-2.0 */
/* Attention that the `attention` op does not say: LinearAttention, a recurrence over a state of
 * keys by values; and FlexAttention, with subgraphs on scores and probabilities. */
#include "frontend/onnx/import_steps.h"
#include "frontend/onnx/import_util.h"

#include <math.h>
#include <string.h>

static bool has_rank(struct import_node *n, uint32_t operand, uint32_t rank) {
  if (!import_has(n, operand) || import_rank(n, operand) == rank)
    return true;
  import_invalid(n, "operand %u has rank %u, not %u", operand, import_rank(n, operand), rank);
  return false;
}

/* ---- LinearAttention ---- */

struct linear_attention {
  bool gated, delta;
  dim groups, share; /* key heads; query heads for each of them */
  /* By time first, [T, B, G, ...]: q [.., share, d], k [.., d], v [.., e], decay [.., d or 1],
   * beta [.., 1], the last two maybe with G of 1 */
  value_id q, k, v, decay, beta;
};

/* x [B, T, heads * rest] as [T, B, heads, rest], in f32 (or f64). */
static value_id by_time(struct import_node *n, uint32_t operand, dim heads) {
  static const int64_t perm[] = {1, 0, 2, 3};
  const struct type *type = import_type(n, operand);
  dim dims[4] = {type->dims[0], type->dims[1], heads, dim_exactdiv(n->dims, type->dims[2], heads)};
  value_id x = build_cast(n->b, import_in(n, operand), dtype_compute(type->dtype));
  return build_transpose(n->b, build_reshape(n->b, x, dims, 4), perm);
}

static value_id at_step(struct import_node *n, value_id x, value_id step) {
  int64_t axis = 0;
  return build_gather(n->b, x, &step, &axis, 1, OUT_OF_RANGE_CLAMP);
}

/* x [B, G, d] with a last dim of 1, or one before the last. */
static value_id widen(struct import_node *n, value_id x, int64_t axis) {
  return build_unsqueeze(n->b, x, &axis, 1);
}

/* state [B, G, d, e] */
static void linear_step(struct import_node *n, void *user, value_id step, const value_id *states,
                        value_id *out) {
  static const int64_t batch[] = {0, 1}, d_of_state = 2, d_of_q = 3;
  const struct linear_attention *a = user;
  struct builder *b = n->b;
  int64_t axis = 2;
  value_id state = states[0];
  value_id k = widen(n, at_step(n, a->k, step), 3), v = widen(n, at_step(n, a->v, step), 2);
  if (a->gated) {
    value_id g = build_unary(b, SCALAR_EXP, at_step(n, a->decay, step));
    state = value_mul(b, state, widen(n, g, 3));
  }
  if (a->delta) {
    value_id there = build_reduce(b, value_mul(b, state, k), &axis, 1, COMBINER_SUM);
    v = value_mul(b, widen(n, at_step(n, a->beta, step), 3), value_sub(b, v, there));
  }
  state = value_add(b, state, value_mul(b, k, v));
  value_id q = at_step(n, a->q, step); /* [B, G, share, d] */
  struct contract_attrs attrs = {.lhs_batch = {batch, 2},
                                 .rhs_batch = {batch, 2},
                                 .lhs_k = {&d_of_q, 1},
                                 .rhs_k = {&d_of_state, 1},
                                 .dtype = state == VALUE_NONE ? DTYPE_F32
                                                              : import_value_type(n, state)->dtype};
  out[0] = state;
  out[1] = build_contract(b, q, state, &attrs);
}

static bool read_linear(struct import_node *n, struct linear_attention *a) {
  static const char *const rules[] = {"linear", "gated", "delta", "gated_delta"};
  const char *rule = import_attr_string(n, "update_rule", "gated_delta");
  int64_t q_heads = import_attr_int(n, "q_num_heads", 0);
  int64_t kv_heads = import_attr_int(n, "kv_num_heads", 0);
  int known = -1;
  for (int i = 0; i < 4; i++)
    known = strcmp(rule, rules[i]) ? known : i;
  import_attr_ignore(n, "chunk_size"); /* a hint */
  a->gated = known & 1;
  a->delta = known & 2;
  if (known < 0 || kv_heads < 1 || q_heads < kv_heads || q_heads % kv_heads) {
    import_invalid(n, "rule '%s' with %lld and %lld heads", rule, (long long)q_heads,
                   (long long)kv_heads);
    return false;
  }
  if (!import_arity(n, 3, 6, 2))
    return false;
  for (uint32_t i = 0; i < 6; i++)
    if (!has_rank(n, i, i == 3 ? 4 : 3))
      return false;
  if (import_has(n, 4) != a->gated || import_has(n, 5) != a->delta) {
    import_fail(n, DIAG_E0144, "decay and beta do not fit the rule '%s'", rule);
    return false;
  }
  a->groups = dim_const(n->dims, kv_heads);
  a->share = dim_const(n->dims, q_heads / kv_heads);
  return true;
}

/* Decay or beta: a number per head, or as many as there are, or (beta) one for all. */
static value_id read_rate(struct import_node *n, const struct linear_attention *a,
                          uint32_t operand) {
  dim one = dim_const(n->dims, 1);
  bool single = dim_known_eq(n->dims, import_dim(n, operand, 2), one);
  return by_time(n, operand, single ? one : a->groups);
}

void import_linear_attention(struct import_node *n) {
  static const int64_t back[] = {1, 0, 2, 3, 4};
  struct linear_attention a = {0};
  double scale = import_attr_float(n, "scale", 0);
  int64_t size;
  if (!read_linear(n, &a))
    return;
  struct dim_table *t = n->dims;
  struct builder *b = n->b;
  dim q_heads = dim_mul(t, a.groups, a.share);
  dim d = dim_exactdiv(t, import_dim(n, 0, 2), q_heads);
  dim e = dim_exactdiv(t, import_dim(n, 2, 2), a.groups);
  dim batch = import_dim(n, 0, 0), steps = import_dim(n, 0, 1);
  if (scale == 0 && (!dim_is_const(t, d, &size) || size < 1)) {
    import_unsupported(n, "a head size that is not known");
    return;
  }
  enum dtype dtype = import_dtype(n, 0), work = dtype_compute(dtype);
  value_id q = by_time(n, 0, q_heads);
  dim split[5] = {steps, batch, a.groups, a.share, d}, state_dims[4] = {batch, a.groups, d, e};
  a.q = build_reshape(b, q, split, 5);
  a.k = by_time(n, 1, a.groups);
  a.v = by_time(n, 2, a.groups);
  if (a.gated)
    a.decay = read_rate(n, &a, 4);
  if (a.delta)
    a.beta = read_rate(n, &a, 5);
  value_id state = import_has(n, 3)
                       ? build_cast(b, import_in(n, 3), work)
                       : build_broadcast_to(b, build_scalar_f64(b, work, 0), state_dims, 4);
  value_id results[2];
  import_steps(n, steps, &state, 1, 1, linear_step, &a, results);
  value_id y = build_transpose(b, results[1], back); /* [B, T, G, share, e] */
  y = build_binary_f64(b, SCALAR_MUL, y, scale == 0 ? 1 / sqrt((double)size) : scale);
  dim flat[3] = {batch, steps, dim_mul(t, q_heads, e)};
  import_out(n, 0, build_cast(b, build_reshape(b, y, flat, 3), dtype));
  import_out(n, 1, build_cast(b, results[0], import_has(n, 3) ? import_dtype(n, 3) : dtype));
}

/* ---- FlexAttention ---- */

/* A subgraph of one tensor to one of the same type; x itself where there is none. */
static value_id modify(struct import_node *n, const char *attribute, value_id x) {
  const Onnx__GraphProto *graph = import_attr_graph(n, attribute);
  if (!graph || x == VALUE_NONE)
    return x;
  struct import_value *param = import_value_tensor(n, x), *result;
  if (graph->n_output != 1) {
    import_invalid(n, "'%s' has %zu outputs, not 1", attribute, graph->n_output);
    return VALUE_NONE;
  }
  if (!import_subgraph(n, graph, n->b->region, &param, 1, &result))
    return VALUE_NONE;
  value_id y = import_value_id(n, result);
  const struct type *to = y == VALUE_NONE ? NULL : import_value_type(n, y);
  if (to && (to->dtype != import_value_type(n, x)->dtype || to->rank != 4)) {
    import_invalid(n, "'%s' gives another type than it takes", attribute);
    return VALUE_NONE;
  }
  return y;
}

/* Keys and queries in groups: [B, G, share, S, d] by [B, G, T, d], over d or, for values, T. */
static value_id grouped_product(struct import_node *n, value_id x, value_id y, int64_t y_k,
                                dim groups, enum dtype dtype) {
  static const int64_t batch[] = {0, 1}, x_k = 4;
  if (x == VALUE_NONE || y == VALUE_NONE)
    return VALUE_NONE;
  const struct type *type = import_value_type(n, x);
  dim split[5] = {type->dims[0], groups, dim_exactdiv(n->dims, type->dims[1], groups),
                  type->dims[2], type->dims[3]};
  dim out[4] = {type->dims[0], type->dims[1], type->dims[2],
                import_value_type(n, y)->dims[y_k == 3 ? 2 : 3]};
  struct contract_attrs attrs = {.lhs_batch = {batch, 2},
                                 .rhs_batch = {batch, 2},
                                 .lhs_k = {&x_k, 1},
                                 .rhs_k = {&y_k, 1},
                                 .dtype = dtype};
  return build_reshape(n->b, build_contract(n->b, build_reshape(n->b, x, split, 5), y, &attrs), out,
                       4);
}

void import_flex_attention(struct import_node *n) {
  double scale = import_attr_float(n, "scale", 0);
  bool has_precision = import_attr_has(n, "softmax_precision"),
       scaled = import_attr_has(n, "scale");
  int64_t size;
  if (!import_arity(n, 3, 3, 1) || !has_rank(n, 0, 4) || !has_rank(n, 1, 4) || !has_rank(n, 2, 4))
    return;
  enum dtype dtype = import_dtype(n, 0), work = dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
  enum dtype given = has_precision ? import_attr_dtype(n, "softmax_precision", work) : work;
  if (!scaled && (!dim_is_const(n->dims, import_dim(n, 0, 3), &size) || size < 1)) {
    import_unsupported(n, "a head size that is not known");
    return;
  }
  dim groups = import_dim(n, 1, 1);
  value_id q = build_cast(n->b, import_in(n, 0), work), k = build_cast(n->b, import_in(n, 1), work);
  value_id s = grouped_product(n, q, k, 3, groups, work);
  s = build_binary_f64(n->b, SCALAR_MUL, s, scaled ? scale : 1 / sqrt((double)size));
  s = modify(n, "score_mod", build_cast(n->b, s, given));
  s = modify(n, "prob_mod", import_softmax_over(n, s, import_range(n, 3, 4)));
  value_id v = build_cast(n->b, import_in(n, 2), work);
  value_id y = grouped_product(n, build_cast(n->b, s, work), v, 2, groups, work);
  import_out(n, 0, build_cast(n->b, y, dtype));
}
