/* SPDX-License-Identifier: Apache-2.0 */
/* spread_experts: from rows that look up their expert to experts that compute all tokens.
 *
 *   row r = (token t, choice j) of T * k rows        expert e of E
 *
 *     g1 = gather w1, index      [r, n, c]             contract x, w1       [e, t, n]
 *     h  = contract g1, x        [r, n]                maps                 [e, t, n]
 *     maps of h                               =>       contract h, w2       [e, t, d]
 *     g2 = gather w2, index                            weight[e, t] = sum over j of
 *     o  = contract g2, h        [r, d]                  index[t, j] == e ? weight[t, j] : 0
 *     sum over j of weight * o   [t, d]                sum over e of weight * o, chosen ones only
 *
 * A value of rows that depends on the index has the value of token t under expert e in its place
 * [e, t, ...]; one that does not is the same for all choices, and is read as [1, t, ...]. Rows of
 * which neither is known end the match, and nothing is changed. What an expert makes of a token
 * that did not choose it is never added, whatever it is. */
#include "passes/partition/spread_experts.h"

#include <string.h>

#include "base/vec.h"
#include "passes/pattern.h"
#include "passes/rewrite.h"

bool parallel_has_experts(const char *parallel) {
  for (const char *at = parallel; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
    if (!strncmp(at, "ep=", 3))
      return true;
  return false;
}

struct spread {
  struct rewriter *w;
  dim tokens, choices, rows, experts;
  value_id index; /* [rows] */
  VEC(value_id) from;
  VEC(value_id) to; /* what has been spread */
};

#define MOST_SPREAD 64 /* values of one mixture */

static const struct type *type_of(const struct spread *s, value_id v) {
  return value_type(s->w->f, v);
}

static bool is(const struct spread *s, dim a, dim b) { return dim_known_eq(s->w->dims, a, b); }

static bool has_rows(const struct spread *s, value_id v) {
  return type_of(s, v)->rank > 0 && is(s, type_of(s, v)->dims[0], s->rows);
}

static value_id behind_reshapes(const struct function *f, value_id v) {
  const struct op *op;
  while ((op = def_of_kind(f, v, OP_RESHAPE)))
    v = op->operands[0];
  return v;
}

/* v as [first, second, dims of v behind the first]. */
static value_id lead(struct spread *s, value_id v, dim first, dim second, const struct type *like) {
  dim dims[IR_MAX_RANK];
  if (!v || like->rank + 1 > IR_MAX_RANK)
    return VALUE_NONE;
  dims[0] = first;
  dims[1] = second;
  for (uint32_t i = 1; i < like->rank; i++)
    dims[i + 1] = like->dims[i];
  return build_reshape(&s->w->b, v, dims, like->rank + 1);
}

/* Rows that are a token's, once for each choice: [1, t, ...]. */
static value_id token_rows(struct spread *s, value_id v) {
  const struct function *f = s->w->f;
  const struct op *op = def_of_kind(f, behind_reshapes(f, v), OP_BROADCAST);
  const struct type type = *type_of(s, v);
  if (!op || type_of(s, op->results[0])->rank < 2)
    return VALUE_NONE;
  const struct type *wide = type_of(s, op->results[0]), *narrow = type_of(s, op->operands[0]);
  if (!is(s, wide->dims[0], s->tokens) || !is(s, wide->dims[1], s->choices) ||
      !dim_is_one(s->w->dims, narrow->dims[1]) || !is(s, narrow->dims[0], s->tokens))
    return VALUE_NONE;
  for (uint32_t i = 2; i < wide->rank; i++)
    if (!is(s, wide->dims[i], narrow->dims[i]))
      return VALUE_NONE;
  return lead(s, op->operands[0], dim_const(s->w->dims, 1), s->tokens, &type);
}

/* The table whose rows are taken by the index; its experts are those of all others. */
static value_id table_of(struct spread *s, value_id v) {
  const struct op *op = def_of_kind(s->w->f, v, OP_GATHER);
  if (!op || op->n_operands != 2 || OP_ATTRS(gather, op)->axes.len != 1 ||
      OP_ATTRS(gather, op)->axes.data[0] != 0 || op->operands[1] != s->index)
    return VALUE_NONE;
  dim experts = type_of(s, op->operands[0])->dims[0];
  if (s->experts == DIM_NONE)
    s->experts = experts;
  return is(s, s->experts, experts) ? op->operands[0] : VALUE_NONE;
}

static value_id spread(struct spread *s, value_id v);

static value_id spread_map(struct spread *s, const struct op *op) {
  value_id operands[16];
  dim one = dim_const(s->w->dims, 1);
  if (op->n_operands > 16)
    return VALUE_NONE;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct type type = *type_of(s, op->operands[i]);
    bool fixed = type.rank && dim_is_one(s->w->dims, type.dims[0]);
    operands[i] = fixed ? lead(s, op->operands[i], one, one, &type) : spread(s, op->operands[i]);
    if (!operands[i])
      return VALUE_NONE;
  }
  struct map_attrs a = *OP_ATTRS(map, op);
  return build_op1(&s->w->b, OP_MAP, operands, op->n_operands, &a);
}

/* Slices beside the rows. */
static value_id spread_slice(struct spread *s, const struct op *op) {
  const struct slice_attrs a = *OP_ATTRS(slice, op);
  dim start[IR_MAX_RANK], size[IR_MAX_RANK];
  int64_t step[IR_MAX_RANK];
  value_id x = a.step.data[0] == 1 && is(s, a.size.data[0], s->rows) ? spread(s, op->operands[0])
                                                                     : VALUE_NONE;
  if (!x)
    return x;
  const struct type type = *type_of(s, x);
  start[0] = start[1] = dim_const(s->w->dims, 0);
  step[0] = step[1] = 1;
  size[0] = type.dims[0];
  size[1] = type.dims[1];
  for (uint32_t i = 2; i < type.rank; i++) {
    start[i] = a.start.data[i - 1];
    size[i] = a.size.data[i - 1];
    step[i] = a.step.data[i - 1];
  }
  return build_slice(&s->w->b, x, start, size, step);
}

/* x as [e, t, c], where it is rows of which all dims but `k` are 1. */
static value_id factor_rows(struct spread *s, value_id x, int64_t k) {
  const struct type type = *type_of(s, x);
  for (uint32_t i = 1; i < type.rank; i++)
    if (i != k && !dim_is_one(s->w->dims, type.dims[i]))
      return VALUE_NONE;
  x = spread(s, x);
  dim dims[3] = {s->experts, s->tokens, type.dims[k]};
  if (!x)
    return x;
  dim first = type_of(s, x)->dims[0];
  x = build_reshape(&s->w->b, x, (dim[]){first, dims[1], dims[2]}, 3);
  return build_broadcast_to(&s->w->b, x, dims, 3);
}

/* The matrices [e, p, q] of experts, where rows' are nothing but their expert's. */
static value_id matrices(struct spread *s, value_id v) {
  const struct type type = *type_of(s, v);
  dim dims[3] = {DIM_NONE, type.dims[1], type.dims[2]};
  v = type.rank == 3 && has_rows(s, v) ? spread(s, v) : VALUE_NONE;
  if (!v || s->experts == DIM_NONE || !dim_is_one(s->w->dims, type_of(s, v)->dims[1]) ||
      !is(s, type_of(s, v)->dims[0], s->experts))
    return VALUE_NONE;
  dims[0] = s->experts;
  return build_reshape(&s->w->b, v, dims, 3);
}

/* A row's product with its expert's matrix. */
static value_id spread_contract(struct spread *s, const struct op *op) {
  const struct contract_attrs a = *OP_ATTRS(contract, op);
  static const int64_t batch[] = {0}, last[] = {2};
  if (a.lhs_batch.len != 1 || a.lhs_batch.data[0] || a.rhs_batch.data[0] || a.lhs_k.len != 1)
    return VALUE_NONE;
  value_id table = matrices(s, op->operands[0]), x = op->operands[1];
  int64_t of_table[] = {a.lhs_k.data[0]}, k = a.rhs_k.data[0];
  if (!table) {
    table = matrices(s, op->operands[1]);
    x = op->operands[0];
    of_table[0] = a.rhs_k.data[0];
    k = a.lhs_k.data[0];
  }
  const struct type result = *type_of(s, op->results[0]);
  value_id rows = table ? factor_rows(s, x, k) : VALUE_NONE;
  struct contract_attrs product = {{batch, 1},    {batch, 1}, {last, 1},
                                   {of_table, 1}, a.dtype,    a.tf32};
  value_id y = rows ? build_contract(&s->w->b, rows, table, &product) : VALUE_NONE;
  return lead(s, y, s->experts, s->tokens, &result);
}

static value_id spread_new(struct spread *s, value_id v) {
  const struct type type = *type_of(s, v);
  value_id x = table_of(s, v);
  if (x)
    return lead(s, x, s->experts, dim_const(s->w->dims, 1), &type);
  const struct op *def = value_def(s->w->f, v);
  if (!has_rows(s, v) || !def)
    return VALUE_NONE;
  x = token_rows(s, v);
  if (x)
    return x;
  const struct op op = *def;
  switch (op.kind) {
  case OP_MAP: return spread_map(s, &op);
  case OP_SLICE: return spread_slice(s, &op);
  case OP_CONTRACT: return spread_contract(s, &op);
  case OP_RESHAPE:
    x = has_rows(s, op.operands[0]) ? spread(s, op.operands[0]) : VALUE_NONE;
    return x ? lead(s, x, type_of(s, x)->dims[0], type_of(s, x)->dims[1], &type) : x;
  default: return VALUE_NONE;
  }
}

/* The value [e, t, ...] (or [1, t, ...], [e, 1, ...]) of what is [r, ...]. */
static value_id spread(struct spread *s, value_id v) {
  for (uint32_t i = 0; i < s->from.len; i++)
    if (s->from.data[i] == v)
      return s->to.data[i];
  if (s->from.len >= MOST_SPREAD)
    return VALUE_NONE;
  value_id x = spread_new(s, v);
  vec_push(&s->from, v);
  vec_push(&s->to, x);
  return x;
}

/* The weighted rows [r, d] or [t, k, d], as the rows and their weights [r, 1] or [t, k, 1]. */
static bool weighted(const struct spread *s, value_id v, value_id *out_rows,
                     value_id *out_weights) {
  const struct op *op = def_of_kind(s->w->f, v, OP_MAP);
  value_id args[2];
  if (!op || !map_is(op, SCALAR_MUL, args))
    return false;
  uint32_t last = type_of(s, v)->rank - 1;
  for (uint32_t i = 0; i < 2; i++) {
    if (!dim_is_one(s->w->dims, type_of(s, args[i])->dims[last]) ||
        dim_is_one(s->w->dims, type_of(s, args[1 - i])->dims[last]))
      continue;
    *out_weights = args[i];
    *out_rows = behind_reshapes(s->w->f, args[1 - i]);
    return has_rows(s, *out_rows) && (last == 2 || has_rows(s, *out_weights));
  }
  return false;
}

/* The index that the rows' last tables are looked up by: of the nearest look-up behind v. */
static bool find_index(struct spread *s, value_id v, uint32_t depth) {
  const struct op *op = value_def(s->w->f, v);
  if (!op || depth > 12 || !has_rows(s, v))
    return false;
  if (op->kind == OP_GATHER && op->n_operands == 2 && type_of(s, op->operands[1])->rank == 1) {
    s->index = op->operands[1];
    return has_rows(s, s->index) && table_of(s, v);
  }
  for (uint32_t i = 0; i < op->n_operands; i++)
    if (find_index(s, op->operands[i], depth + 1))
      return true;
  return false;
}

/* Sums over experts of the rows [e, t, d], each as much as the token weighs the expert. */
static value_id gathered(struct spread *s, value_id rows, value_id weights, dim width) {
  struct builder *b = &s->w->b;
  static const int64_t choices[] = {2}, experts[] = {0};
  const struct type weight = *type_of(s, weights);
  dim one = dim_const(s->w->dims, 1), each[] = {one, s->tokens, s->choices},
      all[] = {s->experts, one, one}, wide[] = {s->experts, s->tokens, width};
  value_id number = build_iota(b, type_of(s, s->index)->dtype, all, 3, 0);
  value_id chosen = build_binary(b, SCALAR_EQ, build_reshape(b, s->index, each, 3), number);
  value_id zero = build_scalar_f64(b, weight.dtype, 0);
  value_id share = build_select(b, chosen, build_reshape(b, weights, each, 3), zero);
  share = build_reduce(b, share, choices, 1, COMBINER_SUM);
  value_id any = build_reduce(b, chosen, choices, 1, COMBINER_OR);
  value_id x = build_binary(b, SCALAR_MUL, build_reshape(b, rows, wide, 3), share);
  x = build_select(b, any, x, build_scalar_f64(b, weight.dtype, 0));
  return build_reduce(b, x, experts, 1, COMBINER_SUM);
}

static value_id match(struct spread *s, value_id sum) {
  value_id rows, weights, v = sum;
  const struct type *type = type_of(s, v);
  s->tokens = type->dims[0];
  s->choices = type->dims[1];
  s->rows = dim_mul(s->w->dims, s->tokens, s->choices);
  if (s->rows == DIM_NONE)
    return VALUE_NONE;
  if (!weighted(s, v, &rows, &weights) &&
      !weighted(s, behind_reshapes(s->w->f, v), &rows, &weights))
    return VALUE_NONE;
  dim width = type_of(s, sum)->dims[2];
  if (!find_index(s, rows, 0) || type_of(s, rows)->dtype != type_of(s, weights)->dtype)
    return VALUE_NONE;
  value_id x = spread(s, rows);
  return x ? gathered(s, x, weights, width) : x;
}

static enum rewrite rule(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  if (op.kind != OP_REDUCE || OP_ATTRS(reduce, &op)->kind != COMBINER_SUM ||
      OP_ATTRS(reduce, &op)->axes.len != 1 || OP_ATTRS(reduce, &op)->axes.data[0] != 1 ||
      value_type(w->f, op.operands[0])->rank != 3)
    return NO_MATCH;
  struct spread s = {.w = w, .experts = DIM_NONE};
  value_id y = match(&s, op.operands[0]);
  vec_deinit(&s.from);
  vec_deinit(&s.to);
  if (!y)
    return NO_MATCH;
  const struct type type = *value_type(w->f, op.results[0]);
  return rewrite_with(w, id, build_reshape(&w->b, y, type.dims, type.rank));
}

status spread_experts(struct function *f, struct diags *diags) {
  status st = STATUS_OK;
  rewrite_function(f, diags, &(struct rewrite_options){.rule = rule}, &st);
  return st;
}
