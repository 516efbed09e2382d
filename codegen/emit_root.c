/* SPDX-License-Identifier: Apache-2.0 */
/* Roots at a point of their result, as plain loops: right for every shape and dtype, and the
 * reference for the fast schedules of the same roots. */
#include <assert.h>
#include <string.h>

#include "codegen/contract_util.h"
#include "codegen/emit_nest.h"
#include "codegen/emit_view.h"

/* ---- combiners ---- */

LLVMValueRef emit_identity(struct emit *e, enum combiner kind, enum dtype dtype, uint32_t width) {
  unsigned bits = dtype_bits(dtype);
  int64_t all = -1;
  int64_t int_min = dtype_is_signed(dtype) ? (int64_t)((uint64_t)-1 << (bits - 1)) : 0;
  int64_t int_max = dtype == DTYPE_BOOL      ? 1
                    : dtype_is_signed(dtype) ? ~int_min
                                             : (int64_t)(UINT64_MAX >> (64 - bits));
  switch (kind) {
  case COMBINER_PROD: return emit_literal(e, dtype, 1.0, 1, width);
  case COMBINER_MAX:
  case COMBINER_ARGMAX: return emit_literal(e, dtype, -__builtin_inf(), int_min, width);
  case COMBINER_MIN:
  case COMBINER_ARGMIN: return emit_literal(e, dtype, __builtin_inf(), int_max, width);
  case COMBINER_AND: return emit_literal(e, dtype, 0, all, width);
  default: return emit_literal(e, dtype, 0.0, 0, width);
  }
}

LLVMValueRef emit_combine(struct emit *e, enum combiner kind, enum dtype dtype, LLVMValueRef a,
                          LLVMValueRef b, uint32_t width) {
  static const enum scalar_op ops[] = {
      [COMBINER_SUM] = SCALAR_ADD, [COMBINER_PROD] = SCALAR_MUL, [COMBINER_MAX] = SCALAR_MAX,
      [COMBINER_MIN] = SCALAR_MIN, [COMBINER_AND] = SCALAR_AND,  [COMBINER_OR] = SCALAR_OR,
      [COMBINER_XOR] = SCALAR_XOR,
  };
  enum scalar_op op = ops[kind];
  /* On bool, max and sum are or, min and prod are and. */
  if (dtype == DTYPE_BOOL) {
    if (kind == COMBINER_MAX || kind == COMBINER_SUM)
      op = SCALAR_OR;
    if (kind == COMBINER_MIN || kind == COMBINER_PROD)
      op = SCALAR_AND;
  }
  LLVMValueRef args[3] = {a, b, NULL};
  return emit_scalar_op(e, op, dtype, args, width);
}

LLVMValueRef emit_horizontal(struct emit *e, enum combiner kind, enum dtype dtype, LLVMValueRef x,
                             uint32_t width) {
  while (width > 1) {
    LLVMValueRef low[64], high[64];
    uint32_t half = width / 2;
    for (uint32_t i = 0; i < half; i++) {
      low[i] = LLVMConstInt(e->i32, i, false);
      high[i] = LLVMConstInt(e->i32, i + half, false);
    }
    LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(x));
    LLVMValueRef a = LLVMBuildShuffleVector(e->b, x, none, LLVMConstVector(low, half), "");
    LLVMValueRef b = LLVMBuildShuffleVector(e->b, x, none, LLVMConstVector(high, half), "");
    if (half == 1) {
      a = emit_lane(e, a, 2, 0);
      b = emit_lane(e, b, 2, 0);
    }
    x = emit_combine(e, kind, dtype, a, b, half);
    width = half;
  }
  return x;
}

/* (value, position) of two candidates: `next` replaces `best` where it is more extreme, or NaN. */
static void combine_arg(struct emit *e, enum combiner kind, enum dtype dtype, bool last,
                        LLVMValueRef best[2], LLVMValueRef x, LLVMValueRef position) {
  bool max = kind == COMBINER_ARGMAX;
  LLVMValueRef args[3] = {x, best[0], NULL};
  enum scalar_op better = last ? (max ? SCALAR_GE : SCALAR_LE) : (max ? SCALAR_GT : SCALAR_LT);
  LLVMValueRef wins = emit_scalar_op(e, better, dtype, args, 1);
  LLVMValueRef none =
      LLVMBuildICmp(e->b, LLVMIntSLT, best[1], LLVMConstNull(LLVMTypeOf(position)), "");
  if (dtype_is_float(dtype)) {
    LLVMValueRef nan = LLVMBuildFCmp(e->b, LLVMRealUNO, x, x, "");
    LLVMValueRef had = LLVMBuildFCmp(e->b, LLVMRealUNO, best[0], best[0], "");
    wins = LLVMBuildAnd(e->b, LLVMBuildOr(e->b, wins, nan, ""),
                        last ? LLVMConstInt(e->i1, 1, false) : LLVMBuildNot(e->b, had, ""), "");
    if (last)
      wins = LLVMBuildSelect(e->b, had, nan, wins, "");
  }
  wins = LLVMBuildOr(e->b, wins, none, "");
  best[0] = LLVMBuildSelect(e->b, wins, x, best[0], "");
  best[1] = LLVMBuildSelect(e->b, wins, position, best[1], "");
}

static bool is_arg(enum combiner kind) {
  return kind == COMBINER_ARGMAX || kind == COMBINER_ARGMIN;
}

LLVMValueRef emit_arg_position(struct emit *e, LLVMValueRef at) {
  LLVMValueRef zero = emit_i64(e, 0);
  return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, at, zero, ""), zero, at, "");
}

/* Remembers all results of an op with several, so that the second costs nothing. */
static LLVMValueRef memo_results(struct emit *e, const struct op *op, const struct point *p,
                                 LLVMValueRef *x, uint32_t n, uint32_t result) {
  for (uint32_t i = 0; i < n && i < op->n_results; i++) {
    if (i == result)
      continue;
    struct emit_memo memo = {.value = op->results[i], .point = *p, .result = x[i]};
    vec_push(&e->memo, memo);
  }
  return x[result];
}

/* ---- reduce ---- */

static LLVMValueRef reduce_arg(struct emit *e, const struct op *op, uint32_t result,
                               const struct point *p) {
  const struct reduce_attrs *a = OP_ATTRS(reduce, op);
  const struct type *type = value_type(e->f, op->operands[0]);
  uint32_t axis = (uint32_t)a->axes.data[0];
  LLVMValueRef best[2] = {emit_identity(e, a->kind, type->dtype, 1), emit_i64(e, -1)};
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_dim(e, type->dims[axis]), 1, 2, best);
  struct point q = *p;
  q.c[axis] = coord_uniform(e, l.index);
  LLVMValueRef x = emit_value(e, op->operands[0], &q);
  LLVMValueRef next[2] = {l.carried[0], l.carried[1]};
  combine_arg(e, a->kind, type->dtype, a->last, next, x, l.index);
  emit_loop_end(e, &l, next);
  LLVMValueRef found[2] = {l.carried[0], emit_arg_position(e, l.carried[1])};
  return memo_results(e, op, p, found, 2, result);
}

/* W neighbouring results at once: every operand is read at W lanes, loops run over the reduced
 * dims. */
static LLVMValueRef reduce_lanes(struct emit *e, const struct op *op, const struct nest *n,
                                 const struct point *p) {
  const struct reduce_attrs *a = OP_ATTRS(reduce, op);
  enum dtype dtype = value_type(e->f, op->operands[0])->dtype;
  LLVMValueRef acc = emit_identity(e, a->kind, dtype, p->width);
  struct emit_loop loops[IR_MAX_RANK];
  struct point q = *p;
  for (uint32_t i = 0; i < n->n_axes; i++) {
    emit_loop_begin(e, &loops[i], emit_i64(e, 0), emit_dim(e, n->dims[n->axes[i]]), 1, 1, &acc);
    acc = loops[i].carried[0];
    q.c[n->axes[i]] = coord_uniform(e, loops[i].index);
  }
  acc = emit_combine(e, a->kind, dtype, acc, emit_value(e, op->operands[0], &q), p->width);
  for (uint32_t i = n->n_axes; i-- > 0;) {
    emit_loop_end(e, &loops[i], &acc);
    acc = loops[i].carried[0];
  }
  return emit_round_to(e, dtype, acc, p->width);
}

static void reduce_step(struct emit *e, void *user, const struct point *p, const LLVMValueRef *acc,
                        LLVMValueRef *out_acc) {
  const struct op *op = user;
  enum dtype dtype = value_type(e->f, op->operands[0])->dtype;
  LLVMValueRef x = emit_value(e, op->operands[0], p);
  out_acc[0] = emit_combine(e, OP_ATTRS(reduce, op)->kind, dtype, acc[0], x, p->width);
}

/* For one result element along a reduced last dim W at a time; for W result elements in lanes. */
static LLVMValueRef reduce_plain(struct emit *e, const struct op *op, const struct point *p) {
  const struct reduce_attrs *a = OP_ATTRS(reduce, op);
  const struct type *type = value_type(e->f, op->operands[0]);
  struct nest n = {.n_axes = a->axes.len,
                   .dims = type->dims,
                   .width = 1,
                   .n_carried = 1,
                   .body = reduce_step,
                   .user = (void *)op};
  for (uint32_t i = 0; i < n.n_axes; i++)
    n.axes[i] = (uint32_t)a->axes.data[i];
  if (p->width > 1)
    return reduce_lanes(e, op, &n, p);
  uint32_t last = type->rank - 1;
  if (n.n_axes && n.axes[n.n_axes - 1] == last)
    n.width = nest_width(e, type->dims[last], type->dtype);
  LLVMValueRef scalar = emit_identity(e, a->kind, type->dtype, 1);
  LLVMValueRef vector = emit_identity(e, a->kind, type->dtype, n.width);
  emit_nest(e, &n, p, &scalar, &vector);
  if (n.width > 1) {
    LLVMValueRef x = emit_horizontal(e, a->kind, type->dtype, vector, n.width);
    scalar = emit_combine(e, a->kind, type->dtype, x, scalar, 1);
  }
  return emit_round_to(e, type->dtype, scalar, 1);
}

static LLVMValueRef emit_reduce(struct emit *e, const struct op *op, uint32_t result,
                                const struct point *p) {
  if (!is_arg(OP_ATTRS(reduce, op)->kind))
    return reduce_plain(e, op, p);
  if (p->width > 1)
    return emit_by_lanes(e, op->results[result], p);
  return reduce_arg(e, op, result, p);
}

/* ---- contract ---- */

enum dtype contract_accumulator(enum dtype operand) {
  if (dtype_is_float(operand))
    return dtype_compute(operand);
  if (dtype_bits(operand) <= 16)
    return DTYPE_I32;
  return dtype_is_signed(operand) ? DTYPE_I64 : DTYPE_U64;
}

LLVMValueRef contract_multiply_add(struct emit *e, enum dtype acc, LLVMValueRef sum, LLVMValueRef x,
                                   LLVMValueRef y) {
  if (dtype_is_float(acc))
    return vmath_mul_add(e->math, e->b, x, y, sum);
  return LLVMBuildAdd(e->b, sum, LLVMBuildMul(e->b, x, y, ""), "");
}

/* An operand's element, widened to the accumulator's dtype. */
static LLVMValueRef factor(struct emit *e, value_id v, const struct point *p, enum dtype acc) {
  return emit_cast(e, emit_value(e, v, p), value_type(e->f, v)->dtype, acc, CAST_DEFAULT, p->width);
}

bool ints_contain(struct ints list, int64_t x) {
  for (uint32_t i = 0; i < list.len; i++) {
    if (list.data[i] == x)
      return true;
  }
  return false;
}

/* The operand's coordinates from the result's: batch dims by position, then its own in order. */
static void contract_point(const struct type *type, struct ints batch, struct ints k,
                           const struct point *p, uint32_t own, struct point *out) {
  out->rank = type->rank;
  out->width = p->width;
  for (uint32_t i = 0; i < batch.len; i++)
    out->c[batch.data[i]] = p->c[i];
  for (uint32_t i = 0; i < type->rank; i++) {
    if (!ints_contain(batch, i) && !ints_contain(k, i))
      out->c[i] = p->c[own++];
  }
}

static LLVMValueRef emit_contract(struct emit *e, const struct op *op, const struct point *p) {
  const struct contract_attrs *a = OP_ATTRS(contract, op);
  const struct type *lhs = value_type(e->f, op->operands[0]);
  const struct type *rhs = value_type(e->f, op->operands[1]);
  struct point pl, pr;
  contract_point(lhs, a->lhs_batch, a->lhs_k, p, a->lhs_batch.len, &pl);
  contract_point(rhs, a->rhs_batch, a->rhs_k, p, lhs->rank - a->lhs_k.len, &pr);
  enum dtype acc = contract_accumulator(lhs->dtype);
  LLVMValueRef sum = LLVMConstNull(emit_type(e, acc, p->width));
  struct emit_loop loops[IR_MAX_RANK];
  for (uint32_t i = 0; i < a->lhs_k.len; i++) {
    LLVMValueRef n = emit_dim(e, lhs->dims[a->lhs_k.data[i]]);
    emit_loop_begin(e, &loops[i], emit_i64(e, 0), n, 1, 1, &sum);
    sum = loops[i].carried[0];
    pl.c[a->lhs_k.data[i]] = pr.c[a->rhs_k.data[i]] = coord_uniform(e, loops[i].index);
  }
  sum = contract_multiply_add(e, acc, sum, factor(e, op->operands[0], &pl, acc),
                              factor(e, op->operands[1], &pr, acc));
  for (uint32_t i = a->lhs_k.len; i-- > 0;) {
    emit_loop_end(e, &loops[i], &sum);
    sum = loops[i].carried[0];
  }
  return emit_cast(e, sum, acc, a->dtype, CAST_DEFAULT, p->width);
}

/* ---- windows: conv and window share how a result position meets the padded operand ---- */

/* Loads operand `v` at q, where dims [from, rank) of q may lie outside: `outside` there instead. */
static LLVMValueRef load_padded(struct emit *e, value_id v, const struct point *q, uint32_t from,
                                LLVMValueRef outside, LLVMValueRef *out_inside) {
  const struct type *type = value_type(e->f, v);
  uint32_t w = q->width;
  LLVMValueRef inside = LLVMConstInt(e->i1, 1, false);
  LLVMValueRef zero = emit_i64(e, 0);
  bool lanes = false;
  for (uint32_t i = from; i < q->rank; i++) {
    lanes |= q->c[i].stride != 0;
    LLVMValueRef ok = coord_in_range(e, &q->c[i], zero, emit_dim(e, type->dims[i]), w);
    inside = LLVMBuildAnd(e->b, inside, ok, "");
  }
  *out_inside = inside;
  struct emit_if s;
  emit_if_begin(e, &s, inside);
  LLVMValueRef x = emit_value(e, v, q);
  emit_if_else(e, &s, x);
  LLVMValueRef other = outside;
  if (lanes) {
    struct emit_loop l;
    emit_loop_begin(e, &l, zero, emit_i64(e, w), 1, 1, &outside);
    struct point one = {.rank = q->rank, .width = 1};
    LLVMValueRef ok = LLVMConstInt(e->i1, 1, false);
    for (uint32_t i = 0; i < q->rank; i++) {
      LLVMValueRef step = LLVMBuildMul(e->b, l.index, emit_i64(e, q->c[i].stride), "");
      one.c[i] = coord_uniform(e, LLVMBuildAdd(e->b, q->c[i].base, step, ""));
      if (i < from)
        continue;
      LLVMValueRef in = coord_in_range(e, &one.c[i], zero, emit_dim(e, type->dims[i]), 1);
      ok = LLVMBuildAnd(e->b, ok, in, "");
    }
    struct emit_if t;
    emit_if_begin(e, &t, ok);
    LLVMValueRef y = emit_value(e, v, &one);
    y = LLVMBuildInsertElement(e->b, l.carried[0], y, l.index, "");
    emit_if_else(e, &t, y);
    LLVMValueRef next = emit_if_end(e, &t, l.carried[0]);
    emit_loop_end(e, &l, &next);
    other = l.carried[0];
  }
  return emit_if_end(e, &s, other);
}

static bool any_lanes(const struct point *p, uint32_t from, uint32_t to, bool affine_too) {
  for (uint32_t i = from; i < to; i++) {
    if (p->c[i].lanes || (affine_too && p->c[i].stride))
      return true;
  }
  return false;
}

/* result position * stride + tap * dilation - low. */
static struct coord window_coord(struct emit *e, const struct coord *c, int64_t stride,
                                 LLVMValueRef tap, int64_t dilation, dim low, uint32_t width) {
  LLVMValueRef shift = LLVMBuildMul(e->b, tap, emit_i64(e, dilation), "");
  shift = LLVMBuildSub(e->b, shift, emit_dim(e, low), "");
  return coord_affine(e, c, stride, shift, width);
}

static LLVMValueRef emit_conv(struct emit *e, const struct op *op, const struct point *p) {
  const struct conv_attrs *a = OP_ATTRS(conv, op);
  value_id x = op->operands[0], w = op->operands[1];
  const struct type *tx = value_type(e->f, x), *tw = value_type(e->f, w);
  if (any_lanes(p, 0, 2, true) || any_lanes(p, 2, p->rank, false)) {
    return emit_by_lanes(e, op->results[0], p);
  }
  enum dtype acc = contract_accumulator(tx->dtype);
  LLVMValueRef sum = LLVMConstNull(emit_type(e, acc, p->width));
  LLVMValueRef outputs = emit_dim(e, tw->dims[0]), inputs = emit_dim(e, tw->dims[1]);
  LLVMValueRef per_group = LLVMBuildUDiv(e->entry_builder, outputs, emit_i64(e, a->groups), "");
  LLVMValueRef first = LLVMBuildUDiv(e->b, p->c[1].base, per_group, "");
  first = a->groups == 1 ? emit_i64(e, 0) : LLVMBuildMul(e->b, first, inputs, "");
  struct point px = {.rank = tx->rank, .width = p->width}, pw = {.rank = tw->rank, .width = 1};
  px.c[0] = p->c[0];
  pw.c[0] = p->c[1];
  struct emit_loop loops[IR_MAX_RANK];
  uint32_t n = tw->rank - 1;
  for (uint32_t i = 0; i < n; i++) {
    emit_loop_begin(e, &loops[i], emit_i64(e, 0), emit_dim(e, tw->dims[i + 1]), 1, 1, &sum);
    sum = loops[i].carried[0];
    pw.c[i + 1] = coord_uniform(e, loops[i].index);
    if (i == 0) {
      px.c[1] = coord_uniform(e, LLVMBuildAdd(e->b, first, loops[i].index, ""));
    } else {
      px.c[i + 1] = window_coord(e, &p->c[i + 1], a->stride.data[i - 1], loops[i].index,
                                 a->dilation.data[i - 1], a->low.data[i - 1], p->width);
    }
  }
  LLVMValueRef zero = LLVMConstNull(emit_type(e, tx->dtype, p->width)), inside;
  LLVMValueRef xs = load_padded(e, x, &px, 2, zero, &inside);
  xs = emit_cast(e, xs, tx->dtype, acc, CAST_DEFAULT, p->width);
  LLVMValueRef ws = emit_splat(e, factor(e, w, &pw, acc), p->width);
  sum = contract_multiply_add(e, acc, sum, xs, ws);
  for (uint32_t i = n; i-- > 0;) {
    emit_loop_end(e, &loops[i], &sum);
    sum = loops[i].carried[0];
  }
  return emit_cast(e, sum, acc, a->dtype, CAST_DEFAULT, p->width);
}

static LLVMValueRef row_major(struct emit *e, const struct type *type, const struct point *p) {
  LLVMValueRef x = emit_i64(e, 0);
  for (uint32_t i = 0; i < p->rank; i++) {
    x = LLVMBuildMul(e->b, x, emit_dim(e, type->dims[i]), "");
    x = LLVMBuildAdd(e->b, x, p->c[i].base, "");
  }
  return x;
}

static LLVMValueRef emit_window(struct emit *e, const struct op *op, uint32_t result,
                                const struct point *p) {
  const struct window_attrs *a = OP_ATTRS(window, op);
  const struct type *type = value_type(e->f, op->operands[0]);
  bool arg = is_arg(a->kind);
  if (any_lanes(p, 0, p->rank, false) || (arg && p->width > 1)) {
    return emit_by_lanes(e, op->results[result], p);
  }
  LLVMValueRef none = emit_identity(e, a->kind, type->dtype, p->width);
  LLVMValueRef acc[2] = {none, emit_i64(e, -1)};
  uint32_t carried = arg ? 2 : 1, n = 0;
  struct emit_loop loops[IR_MAX_RANK];
  struct point q = {.rank = p->rank, .width = p->width};
  for (uint32_t i = 0; i < p->rank; i++) {
    if (a->size.data[i] == 1) {
      q.c[i] =
          window_coord(e, &p->c[i], a->stride.data[i], emit_i64(e, 0), 1, a->low.data[i], p->width);
      continue;
    }
    struct emit_loop *l = &loops[n++];
    emit_loop_begin(e, l, emit_i64(e, 0), emit_i64(e, a->size.data[i]), 1, carried, acc);
    memcpy(acc, l->carried, sizeof acc);
    q.c[i] = window_coord(e, &p->c[i], a->stride.data[i], l->index, a->dilation.data[i],
                          a->low.data[i], p->width);
  }
  LLVMValueRef inside;
  LLVMValueRef x = load_padded(e, op->operands[0], &q, 0, none, &inside);
  if (arg) {
    LLVMValueRef best[2] = {acc[0], acc[1]};
    combine_arg(e, a->kind, type->dtype, false, best, x, row_major(e, type, &q));
    acc[0] = LLVMBuildSelect(e->b, inside, best[0], acc[0], "");
    acc[1] = LLVMBuildSelect(e->b, inside, best[1], acc[1], "");
  } else {
    acc[0] = emit_combine(e, a->kind, type->dtype, acc[0], x, p->width);
  }
  while (n-- > 0) {
    emit_loop_end(e, &loops[n], acc);
    memcpy(acc, loops[n].carried, sizeof acc);
  }
  acc[0] = emit_round_to(e, type->dtype, acc[0], p->width);
  if (arg)
    acc[1] = emit_arg_position(e, acc[1]);
  return arg ? memo_results(e, op, p, acc, 2, result) : acc[0];
}

/* ---- attention ---- */

/* Scores, sums and values: f64 for f64, else f32. */
static enum dtype attention_dtype(const struct emit *e, const struct op *op) {
  return dtype_compute(value_type(e->f, op->operands[0])->dtype);
}

static LLVMValueRef real(struct emit *e, const struct op *op, double x) {
  return emit_literal(e, attention_dtype(e, op), x, 0, 1);
}

/* scale * q.k for one key. */
static LLVMValueRef dot(struct emit *e, const struct op *op, struct point q, struct point k) {
  const struct type *type = value_type(e->f, op->operands[0]);
  LLVMValueRef sum = real(e, op, 0);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_dim(e, type->dims[3]), 1, 1, &sum);
  q.c[3] = k.c[3] = coord_uniform(e, l.index);
  LLVMValueRef next = contract_multiply_add(e, attention_dtype(e, op), l.carried[0],
                                            factor(e, op->operands[0], &q, attention_dtype(e, op)),
                                            factor(e, op->operands[1], &k, attention_dtype(e, op)));
  emit_loop_end(e, &l, &next);
  return l.carried[0];
}

/* i1: this key takes part for this query. */
static LLVMValueRef attends(struct emit *e, const struct op *op, const struct point *p,
                            LLVMValueRef key) {
  const struct attention_attrs *a = OP_ATTRS(attention, op);
  LLVMValueRef yes = LLVMConstInt(e->i1, 1, false);
  if (!a->causal && a->window <= 0)
    return yes;
  LLVMValueRef q_pos, k_pos = key;
  if (a->has_pos) {
    uint32_t at = 3 + (a->has_bias ? 1 : 0);
    struct type pair = {.rank = 2};
    struct point pq = {.rank = 2, .width = 1}, pos;
    pair.dims[0] = value_type(e->f, op->operands[0])->dims[0];
    pair.dims[1] = value_type(e->f, op->operands[0])->dims[2];
    pq.c[0] = p->c[0];
    pq.c[1] = p->c[2];
    point_broadcast(e, value_type(e->f, op->operands[at]), &pair, &pq, &pos);
    q_pos = emit_value(e, op->operands[at], &pos);
    pair.dims[1] = value_type(e->f, op->operands[1])->dims[2];
    pq.c[1] = coord_uniform(e, key);
    point_broadcast(e, value_type(e->f, op->operands[at + 1]), &pair, &pq, &pos);
    k_pos = emit_value(e, op->operands[at + 1], &pos);
  } else {
    LLVMValueRef shift = LLVMBuildSub(e->b, emit_dim(e, value_type(e->f, op->operands[1])->dims[2]),
                                      emit_dim(e, value_type(e->f, op->operands[0])->dims[2]), "");
    q_pos = LLVMBuildAdd(e->b, p->c[2].base, shift, "");
  }
  if (a->causal)
    yes = LLVMBuildICmp(e->b, LLVMIntSLE, k_pos, q_pos, "");
  if (a->window > 0) {
    LLVMValueRef back = LLVMBuildSub(e->b, q_pos, k_pos, "");
    LLVMValueRef near = LLVMBuildICmp(e->b, LLVMIntSLT, back, emit_i64(e, a->window), "");
    yes = LLVMBuildAnd(e->b, yes, near, "");
  }
  return yes;
}

static LLVMValueRef score(struct emit *e, const struct op *op, const struct point *p,
                          const struct point *q, const struct point *k) {
  const struct attention_attrs *a = OP_ATTRS(attention, op);
  LLVMValueRef s = LLVMBuildFMul(e->b, dot(e, op, *q, *k), real(e, op, a->scale), "");
  if (a->softcap > 0) {
    s = LLVMBuildFDiv(e->b, s, real(e, op, a->softcap), "");
    s = vmath_emit(e->math, e->b, VMATH_tanh, &s);
    s = LLVMBuildFMul(e->b, s, real(e, op, a->softcap), "");
  }
  if (a->has_bias) {
    struct type full = *value_type(e->f, op->operands[0]);
    full.dims[3] = value_type(e->f, op->operands[1])->dims[2];
    struct point at = *p, bias;
    at.rank = 4;
    at.width = 1;
    at.c[3] = k->c[2];
    point_broadcast(e, value_type(e->f, op->operands[3]), &full, &at, &bias);
    s = LLVMBuildFAdd(e->b, s, factor(e, op->operands[3], &bias, attention_dtype(e, op)), "");
  }
  return s;
}

void emit_attention_part(struct emit *e, const struct op *op, LLVMValueRef part, LLVMValueRef *lo,
                         LLVMValueRef *hi) {
  LLVMValueRef keys = emit_dim(e, value_type(e->f, op->operands[1])->dims[2]);
  int64_t parts = OP_ATTRS(attention, op)->parts, all = parts * ATTENTION_PART_KEYS;
  LLVMValueRef up = LLVMBuildAdd(e->b, keys, emit_i64(e, all - 1), "");
  LLVMValueRef blocks = LLVMBuildUDiv(e->b, up, emit_i64(e, all), "");
  LLVMValueRef n = LLVMBuildMul(e->b, blocks, emit_i64(e, ATTENTION_PART_KEYS), "");
  *lo = LLVMBuildMul(e->b, part, n, "");
  *hi = LLVMBuildAdd(e->b, *lo, n, "");
  *hi = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, *hi, keys, ""), *hi, keys, "");
}

/* One pass with a running maximum m, sum l and, for result 0, weighted values o. */
static LLVMValueRef emit_attention(struct emit *e, const struct op *op, uint32_t result,
                                   const struct point *whole) {
  uint32_t first = OP_ATTRS(attention, op)->parts > 0;
  if (any_lanes(whole, 0, 3 + first, true))
    return emit_by_lanes(e, op->results[result], whole);
  struct point own = {.rank = whole->rank - first, .width = whole->width}, *p = &own;
  memcpy(own.c, whole->c + first, own.rank * sizeof *own.c);
  LLVMValueRef lo = emit_i64(e, 0), hi = emit_dim(e, value_type(e->f, op->operands[1])->dims[2]);
  if (first)
    emit_attention_part(e, op, whole->c[0].base, &lo, &hi);
  const struct type *tq = value_type(e->f, op->operands[0]),
                    *tk = value_type(e->f, op->operands[1]);
  LLVMValueRef minus = real(e, op, -__builtin_inf());
  LLVMValueRef init[3] = {minus, real(e, op, 0),
                          LLVMConstNull(emit_type(e, attention_dtype(e, op), p->width))};
  LLVMValueRef group =
      LLVMBuildUDiv(e->entry_builder, emit_dim(e, tq->dims[1]), emit_dim(e, tk->dims[1]), "");
  struct point q = {.rank = 4, .width = 1}, k = q;
  q.c[0] = k.c[0] = p->c[0];
  q.c[1] = p->c[1];
  q.c[2] = p->c[2];
  k.c[1] = coord_uniform(e, LLVMBuildUDiv(e->b, p->c[1].base, group, ""));
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, 1, 3 - result, init);
  k.c[2] = coord_uniform(e, l.index);
  LLVMValueRef s = score(e, op, p, &q, &k);
  s = LLVMBuildSelect(e->b, attends(e, op, p, l.index), s, minus, "");
  LLVMValueRef args[3] = {l.carried[0], s, NULL};
  LLVMValueRef m = emit_scalar_op(e, SCALAR_MAX, attention_dtype(e, op), args, 1);
  LLVMValueRef dead = LLVMBuildFCmp(e->b, LLVMRealOEQ, m, minus, "");
  LLVMValueRef shift = LLVMBuildSelect(e->b, dead, real(e, op, 0), m, "");
  LLVMValueRef old = LLVMBuildFSub(e->b, l.carried[0], shift, "");
  LLVMValueRef now = LLVMBuildFSub(e->b, s, shift, "");
  old = vmath_emit(e->math, e->b, VMATH_exp, &old);
  now = vmath_emit(e->math, e->b, VMATH_exp, &now);
  LLVMValueRef next[3] = {
      m, contract_multiply_add(e, attention_dtype(e, op), now, l.carried[1], old), NULL};
  if (!result) {
    struct point v = k;
    v.width = p->width;
    v.c[3] = p->c[3];
    LLVMValueRef values = factor(e, op->operands[2], &v, attention_dtype(e, op));
    LLVMValueRef kept = LLVMBuildFMul(e->b, l.carried[2], emit_splat(e, old, p->width), "");
    next[2] = contract_multiply_add(e, attention_dtype(e, op), kept, emit_splat(e, now, p->width),
                                    values);
  }
  emit_loop_end(e, &l, next);
  if (result) {
    LLVMValueRef log = vmath_emit(e->math, e->b, VMATH_log, &l.carried[1]);
    return LLVMBuildFAdd(e->b, l.carried[0], log, "");
  }
  LLVMValueRef empty = LLVMBuildFCmp(e->b, LLVMRealOEQ, l.carried[1], real(e, op, 0), "");
  LLVMValueRef sum = LLVMBuildSelect(e->b, empty, real(e, op, 1), l.carried[1], "");
  LLVMValueRef o = LLVMBuildFDiv(e->b, l.carried[2], emit_splat(e, sum, p->width), "");
  return emit_round_to(e, value_type(e->f, op->results[0])->dtype, o, p->width);
}

LLVMValueRef emit_root(struct emit *e, const struct op *op, uint32_t result,
                       const struct point *p) {
  switch (op->kind) {
  case OP_REDUCE: return emit_reduce(e, op, result, p);
  case OP_CONTRACT: return emit_contract(e, op, p);
  case OP_CONV: return emit_conv(e, op, p);
  case OP_WINDOW: return emit_window(e, op, result, p);
  case OP_ATTENTION: return emit_attention(e, op, result, p);
  default: assert(!"a root with a schedule of its own"); return NULL;
  }
}
