/* SPDX-License-Identifier: Apache-2.0 */
/* expand_combine: merges of tuples, and attention that gives its lse, as primitives that kernels
 * are made of.
 *
 *     %o, %l = combine %os, %ls { kind = softmax }       %m = reduce max %ls over the ranks
 *                                                 =>     %w = exp(%ls - %m) / sum of them
 *                                                        %o = sum of %w * %os ...
 *
 * argmax takes the best value and, of the ranks that have it, the least index; topk sorts all
 * candidates by index and then, keeping that order among equals, by value, since ranks may have
 * indices in any order. An index of INT64_MAX stands for nothing. Attention with lse is a product,
 * a softmax in f32 and a product: right for any shape, but not the kernel that attention has.
 *
 * Values are those of the ops within rounding. Requires: localised functions. */
#include <math.h>

#include "ir/scalar_eval.h"
#include "passes/partition/part_views.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

static const struct type *type_of(const struct rewriter *w, value_id v) {
  return value_type(w->f, v);
}

/* A reduction over the first dim, which goes. */
static value_id over_ranks(struct rewriter *w, value_id x, enum combiner kind) {
  value_id y = build_reduce(&w->b, x, (int64_t[]){0}, 1, kind);
  return y ? build_squeeze(&w->b, y, (int64_t[]){0}, 1) : y;
}

static value_id binary(struct rewriter *w, enum scalar_op op, value_id x, value_id y) {
  return build_binary(&w->b, op, x, y);
}

/* ---- softmax ---- */

/* exp(x - most), 0 where nothing is above -inf. */
static value_id weights(struct rewriter *w, value_id x, value_id most) {
  value_id some = build_binary_f64(&w->b, SCALAR_NE, most, -(double)INFINITY);
  value_id e = build_unary(&w->b, SCALAR_EXP, binary(w, SCALAR_SUB, x, most));
  return build_select(&w->b, some, e, build_scalar_f64(&w->b, DTYPE_F32, 0));
}

/* x / total, 0 where that is 0. */
static value_id share(struct rewriter *w, value_id x, value_id total) {
  value_id some = build_binary_f64(&w->b, SCALAR_GT, total, 0);
  return build_select(&w->b, some, binary(w, SCALAR_DIV, x, total),
                      build_scalar_f64(&w->b, DTYPE_F32, 0));
}

static value_id lse_of(struct rewriter *w, value_id most, value_id total) {
  return binary(w, SCALAR_ADD, most, build_unary(&w->b, SCALAR_LOG, total));
}

static void merge_softmax(struct rewriter *w, const struct op *op, value_id out[2]) {
  value_id o = op->operands[0], lse = op->operands[1];
  enum dtype dtype = type_of(w, o)->dtype;
  int64_t last = type_of(w, o)->rank - 1;
  value_id most = over_ranks(w, lse, COMBINER_MAX);
  value_id each = weights(w, lse, most), total = over_ranks(w, each, COMBINER_SUM);
  value_id wide = build_unsqueeze(&w->b, share(w, each, total), &last, 1);
  value_id sum =
      over_ranks(w, binary(w, SCALAR_MUL, build_cast(&w->b, o, DTYPE_F32), wide), COMBINER_SUM);
  out[0] = build_cast(&w->b, sum, dtype);
  out[1] = lse_of(w, most, total);
}

/* ---- values and indices ---- */

static void merge_arg(struct rewriter *w, const struct op *op, enum combiner kind,
                      value_id out[2]) {
  value_id v = op->operands[0], index = op->operands[1];
  out[0] = over_ranks(w, v, kind);
  value_id same = binary(w, SCALAR_EQ, v, out[0]);
  if (dtype_is_float(type_of(w, v)->dtype))
    same = binary(w, SCALAR_OR, same,
                  binary(w, SCALAR_AND, build_unary(&w->b, SCALAR_ISNAN, v),
                         build_unary(&w->b, SCALAR_ISNAN, out[0])));
  value_id none = build_scalar_i64(&w->b, DTYPE_I64, INT64_MAX);
  out[1] = over_ranks(w, build_select(&w->b, same, index, none), COMBINER_MIN);
}

/* x at the places `at` along an axis. */
static value_id take_along(struct rewriter *w, value_id x, value_id at, uint32_t axis) {
  value_id indices[IR_MAX_RANK];
  int64_t axes[IR_MAX_RANK];
  if (!x || !at)
    return VALUE_NONE;
  const struct type type = *type_of(w, at);
  for (uint32_t d = 0; d < type.rank; d++) {
    axes[d] = d;
    indices[d] = d == axis ? at : build_iota(&w->b, DTYPE_I64, type.dims, type.rank, d);
  }
  return build_gather(&w->b, x, indices, axes, type.rank, OUT_OF_RANGE_CLAMP);
}

/* The rows of all ranks one after the other along the axis. */
static value_id in_one_row(struct rewriter *w, value_id x, uint32_t axis) {
  dim dims[IR_MAX_RANK];
  x = part_view_move(&w->b, x, 0, axis);
  if (!x)
    return x;
  const struct type type = *type_of(w, x);
  for (uint32_t d = 0; d + 1 < type.rank; d++)
    dims[d] = type.dims[d + (d > axis)];
  dims[axis] = dim_mul(w->dims, type.dims[axis], type.dims[axis + 1]);
  return build_reshape(&w->b, x, dims, type.rank - 1);
}

/* What comes after all others. */
static value_id worst(struct rewriter *w, enum dtype dtype, bool descending) {
  if (dtype_is_float(dtype))
    return build_scalar_f64(&w->b, dtype, descending ? -(double)INFINITY : (double)NAN);
  union scalar x = scalar_identity(descending ? COMBINER_MAX : COMBINER_MIN, dtype);
  return build_scalar_i64(&w->b, dtype, x.i64);
}

static void merge_rows(struct rewriter *w, const struct op *op, bool descending, value_id out[2]) {
  uint32_t axis = (uint32_t)OP_ATTRS(combine, op)->axis;
  dim k = type_of(w, op->results[0])->dims[axis];
  enum dtype dtype = type_of(w, op->operands[0])->dtype;
  value_id v = in_one_row(w, op->operands[0], axis), index = in_one_row(w, op->operands[1], axis);
  out[0] = out[1] = VALUE_NONE;
  if (!v || !index)
    return;
  struct topk_attrs by_index = {.axis = axis, .k = type_of(w, index)->dims[axis]};
  op_id sorted = build_op(&w->b, OP_TOPK, &index, 1, NULL, 0, &by_index);
  index = op_result(w->f, sorted, 0);
  v = take_along(w, v, op_result(w->f, sorted, 1), axis);
  value_id none = build_binary_i64(&w->b, SCALAR_EQ, index, INT64_MAX);
  v = build_select(&w->b, none, worst(w, dtype, descending), v);
  struct topk_attrs by_value = {.axis = axis, .k = k, .descending = descending};
  op_id best = build_op(&w->b, OP_TOPK, &v, 1, NULL, 0, &by_value);
  out[0] = op_result(w->f, best, 0);
  out[1] = take_along(w, index, op_result(w->f, best, 1), axis);
}

static void expand_merge(struct rewriter *w, const struct op *op, value_id out[2]) {
  switch (OP_ATTRS(combine, op)->kind) {
  case PARTIAL_SOFTMAX: merge_softmax(w, op, out); break;
  case PARTIAL_ARGMAX: merge_arg(w, op, COMBINER_MAX, out); break;
  case PARTIAL_ARGMIN: merge_arg(w, op, COMBINER_MIN, out); break;
  case PARTIAL_TOPK: merge_rows(w, op, true, out); break;
  default: merge_rows(w, op, false, out); break;
  }
}

/* ---- attention that gives its lse ---- */

struct sizes {
  dim b, h, g, group, s, t, e;
};

static value_id positions(struct rewriter *w, const struct op *op, const struct sizes *z,
                          bool keys) {
  const struct attention_attrs *a = OP_ATTRS(attention, op);
  dim one = dim_const(w->dims, 1), n = keys ? z->t : z->s, batch = one;
  value_id p;
  if (a->has_pos) {
    p = op->operands[3 + a->has_bias + keys];
    batch = type_of(w, p)->dims[0];
  } else {
    p = build_iota(&w->b, DTYPE_I64, &n, 1, 0);
    dim before = dim_sub(w->dims, z->t, z->s);
    if (!keys)
      p = binary(w, SCALAR_ADD, p, build_dims(&w->b, &before, 1));
  }
  dim dims[5] = {batch, one, one, keys ? one : n, keys ? n : one};
  return build_reshape(&w->b, p, dims, 5);
}

static value_id masked(struct rewriter *w, const struct op *op, const struct sizes *z,
                       value_id scores) {
  const struct attention_attrs *a = OP_ATTRS(attention, op);
  if (!a->causal && a->window <= 0)
    return scores;
  value_id q = positions(w, op, z, false), k = positions(w, op, z, true), keep = VALUE_NONE;
  if (a->causal)
    keep = binary(w, SCALAR_LE, k, q);
  if (a->window > 0) {
    value_id near = build_binary_i64(&w->b, SCALAR_LT, binary(w, SCALAR_SUB, q, k), a->window);
    keep = keep ? binary(w, SCALAR_AND, keep, near) : near;
  }
  return build_select(&w->b, keep, scores, build_scalar_f64(&w->b, DTYPE_F32, -(double)INFINITY));
}

static value_id biased(struct rewriter *w, const struct op *op, const struct sizes *z,
                       value_id scores) {
  if (!OP_ATTRS(attention, op)->has_bias)
    return scores;
  const struct type bias = *type_of(w, op->operands[3]);
  dim one = dim_const(w->dims, 1);
  bool whole = dim_is_const_value(w->dims, bias.dims[1], 1) && z->h != one;
  dim dims[5] = {bias.dims[0], whole ? one : z->g, whole ? one : z->group, bias.dims[2],
                 bias.dims[3]};
  value_id x = build_cast(&w->b, build_reshape(&w->b, op->operands[3], dims, 5), DTYPE_F32);
  return binary(w, SCALAR_ADD, scores, x);
}

static value_id scores_of(struct rewriter *w, const struct op *op, const struct sizes *z) {
  const struct attention_attrs *a = OP_ATTRS(attention, op);
  static const int64_t batch[] = {0, 1}, q_k[] = {4}, k_k[] = {3};
  dim d = type_of(w, op->operands[0])->dims[3];
  dim dims[5] = {z->b, z->g, z->group, z->s, d};
  value_id q = build_reshape(&w->b, op->operands[0], dims, 5);
  struct contract_attrs product = {{batch, 2}, {batch, 2}, {q_k, 1}, {k_k, 1}, DTYPE_F32};
  value_id x = build_contract(&w->b, q, op->operands[1], &product);
  x = build_binary_f64(&w->b, SCALAR_MUL, x, a->scale);
  if (a->softcap > 0) {
    x = build_unary(&w->b, SCALAR_TANH, build_binary_f64(&w->b, SCALAR_DIV, x, a->softcap));
    x = build_binary_f64(&w->b, SCALAR_MUL, x, a->softcap);
  }
  return masked(w, op, z, biased(w, op, z, x));
}

static void expand_attention(struct rewriter *w, const struct op *op, value_id out[2]) {
  static const int64_t batch[] = {0, 1}, p_k[] = {4}, v_k[] = {2}, last[] = {4};
  const struct type *q = type_of(w, op->operands[0]), *k = type_of(w, op->operands[1]);
  enum dtype dtype = q->dtype;
  struct sizes z = {q->dims[0],
                    q->dims[1],
                    k->dims[1],
                    DIM_NONE,
                    q->dims[2],
                    k->dims[2],
                    type_of(w, op->operands[2])->dims[3]};
  z.group = dim_exactdiv(w->dims, z.h, z.g);
  value_id x = scores_of(w, op, &z);
  value_id most = build_reduce(&w->b, x, last, 1, COMBINER_MAX), p = weights(w, x, most);
  value_id total = build_reduce(&w->b, p, last, 1, COMBINER_SUM);
  struct contract_attrs product = {{batch, 2}, {batch, 2}, {p_k, 1}, {v_k, 1}, DTYPE_F32};
  value_id o = build_contract(&w->b, p, build_cast(&w->b, op->operands[2], DTYPE_F32), &product);
  o = build_reshape(&w->b, share(w, o, total), (dim[]){z.b, z.h, z.s, z.e}, 4);
  out[0] = build_cast(&w->b, o, dtype);
  out[1] = build_reshape(&w->b, lse_of(w, most, total), (dim[]){z.b, z.h, z.s}, 3);
}

static enum rewrite expand(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  value_id out[2];
  if (op.kind == OP_COMBINE)
    expand_merge(w, &op, out);
  else if (op.kind == OP_ATTENTION && OP_ATTRS(attention, &op)->lse)
    expand_attention(w, &op, out);
  else
    return NO_MATCH;
  bool both = rewrite_result(w, id, 0, out[0]);
  return rewrite_result(w, id, 1, out[1]) && both ? REPLACED : NO_MATCH;
}

status pass_expand_combine(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->functions.len && st == STATUS_OK; i++)
    rewrite_function(ctx->module->functions.data[i], ctx->diags,
                     &(struct rewrite_options){.rule = expand}, &st);
  return st;
}
