/* SPDX-License-Identifier: Apache-2.0 */
/* Attention with a running softmax: scores exist only as a block in scratch.
 *
 * A tile is a block of queries of one batch entry and head; queries lie in lanes throughout, so
 * that maxima, sums and corrections of the softmax are element-wise:
 *
 *   qT [d][query]      once per tile
 *   per block of keys:
 *     S [key][query] = k qT          micro-kernel; rows of k as packed into scratch
 *     m, l, S = exp(S - m)           per lane, down the rows
 *     O [e][query] = O * correction + vT S      micro-kernel; v read down its columns
 *   O / l, turned back to [query][e], goes through the epilogue
 *
 * Blocks of keys that the causal mask or the window hides altogether are skipped, where keys lie
 * in the order of their positions.
 *
 * Source of the running softmax: Milakov, Gimelshein, "Online normalizer calculation for softmax"
 * (2018). */
#include <string.h>

#include "codegen/contract_util.h"
#include "codegen/cpu/micro.h"
#include "codegen/emit_view.h"
#include "codegen/schedule.h"

#define QUERIES 64
#define STRIDE 80 /* from row to row of [..][query]: an odd number of cache lines */
#define KEYS 96

struct attention {
  const struct op *op;
  const struct attention_attrs *a;
  const struct type *q, *k, *v, *o;
};

static void attention_of(const struct kernel *kernel, struct attention *s) {
  const struct function *f = kernel->function;
  s->op = kernel_root_op(kernel, OP_ATTENTION);
  s->a = OP_ATTRS(attention, s->op);
  s->q = value_type(f, s->op->operands[0]);
  s->k = value_type(f, s->op->operands[1]);
  s->v = value_type(f, s->op->operands[2]);
  s->o = value_type(f, s->op->results[0]);
}

static bool plan(struct kernel *kernel, const struct target_isa *isa) {
  (void)isa;
  struct attention s;
  attention_of(kernel, &s);
  struct dim_table *t = kernel->function->module->dims;
  if (s.q->dtype == DTYPE_F64 || s.k->dtype == DTYPE_F64 || s.v->dtype == DTYPE_F64)
    return false;
  dim both = dim_add(t, s.q->dims[3], s.v->dims[3]);
  if (both == DIM_NONE)
    return false;
  dim elements = dim_mul(t, both, dim_const(t, STRIDE + KEYS));
  int64_t fixed = (KEYS + 2 * MICRO_SPARE_ROWS) * STRIDE + 4 * STRIDE + 64;
  if (elements != DIM_NONE)
    elements = dim_add(t, elements, dim_const(t, fixed));
  if (elements == DIM_NONE)
    return false;
  dim blocks = dim_ceildiv(t, s.q->dims[2], dim_const(t, QUERIES));
  kernel_grid(kernel, s.q->dims, 2);
  kernel_grid(kernel, &blocks, 1);
  kernel_scratch(kernel, &elements, 1, 4);
  return true;
}

/* ---- emission ---- */

struct tile {
  struct attention s;
  uint32_t width;
  LLVMValueRef batch, head, group, q0, queries;
  LLVMValueRef lanes;                              /* queries, rounded up to panels */
  LLVMValueRef size, depth, q_len, k_len;          /* d, e, s, t */
  LLVMValueRef keys, values, turned, scores, sums; /* scratch: [KEYS][d], [KEYS][e], [d][STRIDE],
                                                      [KEYS][STRIDE], [e][STRIDE] */
  LLVMValueRef most, total, correction;            /* [STRIDE] */
};

static LLVMValueRef f32(struct emit *e, double x) { return LLVMConstReal(e->f32, x); }
static LLVMValueRef splat(struct emit *e, const struct tile *t, double x) {
  return emit_splat(e, f32(e, x), t->width);
}
static LLVMValueRef at(struct emit *e, LLVMValueRef base, LLVMValueRef index) {
  return micro_at(e, DTYPE_F32, base, index);
}

/* Row `row`, elements [0, n), of an operand into f32 at `to`. */
struct copy {
  value_id v;
  LLVMValueRef head, row;
  LLVMValueRef to;
};

static void copy_span(struct emit *e, const struct tile *t, const struct copy *c, LLVMValueRef lo,
                      LLVMValueRef hi, uint32_t width) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct point p = {.rank = 4, .width = width};
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, c->head);
  p.c[2] = coord_uniform(e, c->row);
  p.c[3] = (struct coord){.base = l.index, .stride = width > 1, .align = width};
  LLVMValueRef x = emit_value(e, c->v, &p);
  x = emit_cast(e, x, value_type(e->f, c->v)->dtype, DTYPE_F32, CAST_DEFAULT, width);
  micro_store(e, DTYPE_F32, at(e, c->to, l.index), x);
  emit_loop_end(e, &l, NULL);
}

/* Rows [first, first + rows) of an operand, one after the other. */
static void copy_rows(struct emit *e, const struct tile *t, uint32_t operand, LLVMValueRef head,
                      LLVMValueRef first, LLVMValueRef rows, LLVMValueRef n, LLVMValueRef to) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), rows, 1, 0, NULL);
  struct copy c = {
      .v = t->s.op->operands[operand], .head = head, .row = micro_add(e, first, l.index)};
  c.to = at(e, to, micro_mul(e, l.index, n));
  LLVMValueRef whole = micro_whole(e, n, t->width);
  copy_span(e, t, &c, emit_i64(e, 0), whole, t->width);
  copy_span(e, t, &c, whole, n, 1);
  emit_loop_end(e, &l, NULL);
}

static void fill(struct emit *e, const struct tile *t, LLVMValueRef to, LLVMValueRef n, double x) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), n, t->width, 0, NULL);
  micro_store(e, DTYPE_F32, at(e, to, l.index), splat(e, t, x));
  emit_loop_end(e, &l, NULL);
}

/* ---- scores ---- */

/* i64 per lane: queries, the last one repeated, so that nothing is read beyond the operands. */
static struct coord query_lanes(struct emit *e, const struct tile *t, LLVMValueRef lane) {
  struct coord c = {.base = micro_add(e, t->q0, lane), .stride = 1, .align = 1};
  LLVMValueRef x = coord_vector(e, &c, t->width);
  LLVMValueRef last = emit_splat(e, micro_sub(e, t->q_len, emit_i64(e, 1)), t->width);
  return (struct coord){.lanes = micro_min(e, x, last)};
}

static LLVMValueRef position(struct emit *e, const struct tile *t, uint32_t operand, dim length,
                             struct coord index, uint32_t width) {
  value_id v = t->s.op->operands[operand];
  struct type pair = {.rank = 2};
  struct point p = {.rank = 2, .width = width}, q;
  pair.dims[0] = t->s.q->dims[0];
  pair.dims[1] = length;
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = index;
  point_broadcast(e, value_type(e->f, v), &pair, &p, &q);
  return emit_value(e, v, &q);
}

struct mask {
  LLVMValueRef q_pos; /* vector; NULL: nothing is masked */
};

static struct mask mask_init(struct emit *e, const struct tile *t, struct coord query) {
  const struct attention_attrs *a = t->s.a;
  struct mask m = {NULL};
  if (!a->causal && a->window <= 0)
    return m;
  if (a->has_pos) {
    m.q_pos = position(e, t, a->has_bias ? 4 : 3, t->s.q->dims[2], query, t->width);
  } else {
    LLVMValueRef shift = emit_splat(e, micro_sub(e, t->k_len, t->q_len), t->width);
    m.q_pos = micro_add(e, query.lanes ? query.lanes : query.base, shift);
  }
  return m;
}

static LLVMValueRef masked(struct emit *e, const struct tile *t, const struct mask *m,
                           LLVMValueRef key, LLVMValueRef score) {
  const struct attention_attrs *a = t->s.a;
  if (!m->q_pos)
    return score;
  LLVMValueRef k_pos = key;
  if (a->has_pos) {
    k_pos = position(e, t, a->has_bias ? 5 : 4, t->s.k->dims[2], coord_uniform(e, key), 1);
  }
  k_pos = emit_splat(e, k_pos, t->width);
  LLVMValueRef minus = splat(e, t, -__builtin_inf());
  if (a->causal) {
    LLVMValueRef yes = LLVMBuildICmp(e->b, LLVMIntSLE, k_pos, m->q_pos, "");
    score = LLVMBuildSelect(e->b, yes, score, minus, "");
  }
  if (a->window > 0) {
    LLVMValueRef back = micro_sub(e, m->q_pos, k_pos);
    LLVMValueRef near =
        LLVMBuildICmp(e->b, LLVMIntSLT, back, emit_splat(e, emit_i64(e, a->window), t->width), "");
    score = LLVMBuildSelect(e->b, near, score, minus, "");
  }
  return score;
}

static LLVMValueRef finished_score(struct emit *e, const struct tile *t, const struct mask *m,
                                   struct coord query, LLVMValueRef key, LLVMValueRef x) {
  const struct attention_attrs *a = t->s.a;
  x = LLVMBuildFMul(e->b, x, splat(e, t, a->scale), "");
  if (a->softcap > 0) {
    x = LLVMBuildFDiv(e->b, x, splat(e, t, a->softcap), "");
    x = vmath_emit(e->math, e->b, VMATH_tanh, &x);
    x = LLVMBuildFMul(e->b, x, splat(e, t, a->softcap), "");
  }
  if (a->has_bias) {
    value_id v = t->s.op->operands[3];
    struct type full = *t->s.o;
    full.dims[3] = t->s.k->dims[2];
    struct point p = {.rank = 4, .width = t->width}, q;
    p.c[0] = coord_uniform(e, t->batch);
    p.c[1] = coord_uniform(e, t->head);
    p.c[2] = query;
    p.c[3] = coord_uniform(e, key);
    point_broadcast(e, value_type(e->f, v), &full, &p, &q);
    LLVMValueRef bias = emit_value(e, v, &q);
    bias = emit_cast(e, bias, value_type(e->f, v)->dtype, DTYPE_F32, CAST_DEFAULT, t->width);
    x = LLVMBuildFAdd(e->b, x, bias, "");
  }
  return masked(e, t, m, key, x);
}

static LLVMValueRef load(struct emit *e, const struct tile *t, LLVMValueRef base,
                         LLVMValueRef index) {
  return micro_load(e, DTYPE_F32, at(e, base, index), t->width);
}

/* The softmax of one block, for `width` queries from lane `lane` on: scores become weights. */
static void soften(struct emit *e, const struct tile *t, LLVMValueRef lane, LLVMValueRef key0,
                   LLVMValueRef keys) {
  struct coord query = query_lanes(e, t, lane);
  if (t->width == 1)
    query = coord_uniform(e, query.lanes);
  struct mask mask = mask_init(e, t, query);
  LLVMValueRef before = load(e, t, t->most, lane), total = load(e, t, t->total, lane),
               zero = splat(e, t, 0);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), keys, 1, 1, &before);
  LLVMValueRef place = micro_add(e, micro_scale(e, l.index, STRIDE), lane);
  LLVMValueRef x = load(e, t, t->scores, place);
  x = finished_score(e, t, &mask, query, micro_add(e, key0, l.index), x);
  micro_store(e, DTYPE_F32, at(e, t->scores, place), x);
  LLVMValueRef next = emit_combine(e, COMBINER_MAX, DTYPE_F32, l.carried[0], x, t->width);
  emit_loop_end(e, &l, &next);
  LLVMValueRef most = l.carried[0];
  LLVMValueRef dead = LLVMBuildFCmp(e->b, LLVMRealOEQ, most, splat(e, t, -__builtin_inf()), "");
  LLVMValueRef shift = LLVMBuildSelect(e->b, dead, zero, most, "");
  LLVMValueRef correction = LLVMBuildFSub(e->b, before, shift, "");
  correction = vmath_emit(e->math, e->b, VMATH_exp, &correction);
  total = LLVMBuildFMul(e->b, total, correction, "");
  emit_loop_begin(e, &l, emit_i64(e, 0), keys, 1, 1, &total);
  place = micro_add(e, micro_scale(e, l.index, STRIDE), lane);
  x = LLVMBuildFSub(e->b, load(e, t, t->scores, place), shift, "");
  x = vmath_emit(e->math, e->b, VMATH_exp, &x);
  micro_store(e, DTYPE_F32, at(e, t->scores, place), x);
  next = LLVMBuildFAdd(e->b, l.carried[0], x, "");
  emit_loop_end(e, &l, &next);
  micro_store(e, DTYPE_F32, at(e, t->most, lane), most);
  micro_store(e, DTYPE_F32, at(e, t->total, lane), l.carried[0]);
  micro_store(e, DTYPE_F32, at(e, t->correction, lane), correction);
}

/* ---- a block of keys ---- */

/* Every row of the sums times (or divided by) a value per lane. */
static void scale_sums(struct emit *e, const struct tile *t, LLVMValueRef factors, bool divide) {
  struct emit_loop l, lv;
  emit_loop_begin(e, &l, emit_i64(e, 0), t->depth, 1, 0, NULL);
  LLVMValueRef row = at(e, t->sums, micro_scale(e, l.index, STRIDE));
  emit_loop_begin(e, &lv, emit_i64(e, 0), t->lanes, t->width, 0, NULL);
  LLVMValueRef x = load(e, t, row, lv.index), y = load(e, t, factors, lv.index);
  x = divide ? LLVMBuildFDiv(e->b, x, y, "") : LLVMBuildFMul(e->b, x, y, "");
  micro_store(e, DTYPE_F32, at(e, row, lv.index), x);
  emit_loop_end(e, &lv, NULL);
  emit_loop_end(e, &l, NULL);
}

static void key_block(struct emit *e, const struct tile *t, LLVMValueRef key0, LLVMValueRef keys) {
  struct micro m;
  micro_init(e, &m, DTYPE_F32);
  copy_rows(e, t, 1, t->group, key0, keys, t->size, t->keys);
  copy_rows(e, t, 2, t->group, key0, keys, t->depth, t->values);
  LLVMValueRef stride = emit_i64(e, STRIDE), columns = emit_i64(e, m.columns);
  m.rhs_dtype = DTYPE_F32;
  m.panel_stride = columns;
  m.k_stride = m.sums_stride = stride;
  m.panels = LLVMBuildUDiv(e->b, t->lanes, columns, "");
  m.lhs = t->keys;
  m.lhs_stride = t->size;
  m.lhs_step = NULL;
  m.rhs = t->turned;
  m.sums = t->scores;
  m.rows = keys;
  m.steps = t->size;
  m.first = LLVMConstInt(e->i1, 1, false);
  m.most_rows = KEYS;
  micro_multiply(e, &m);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), t->lanes, t->width, 0, NULL);
  soften(e, t, l.index, key0, keys);
  emit_loop_end(e, &l, NULL);
  scale_sums(e, t, t->correction, false);
  m.lhs = t->values;
  m.lhs_stride = emit_i64(e, 1);
  m.lhs_step = t->depth;
  m.rhs = t->scores;
  m.sums = t->sums;
  m.rows = t->depth;
  m.steps = keys;
  m.first = LLVMConstInt(e->i1, 0, false);
  micro_multiply(e, &m);
}

/* ---- one tile ---- */

static void tile_init(struct emit *e, struct tile *t, LLVMValueRef number) {
  struct attention *s = &t->s;
  attention_of(e->kernel, s);
  struct micro m;
  micro_init(e, &m, DTYPE_F32);
  t->width = m.width;
  LLVMValueRef most = emit_i64(e, QUERIES), heads = emit_dim(e, s->q->dims[1]);
  t->q_len = emit_dim(e, s->q->dims[2]);
  t->k_len = emit_dim(e, s->k->dims[2]);
  t->size = emit_dim(e, s->q->dims[3]);
  t->depth = emit_dim(e, s->v->dims[3]);
  LLVMValueRef up = micro_add(e, t->q_len, emit_i64(e, QUERIES - 1));
  LLVMValueRef blocks = LLVMBuildUDiv(e->b, up, most, "");
  t->q0 = micro_scale(e, LLVMBuildURem(e->b, number, blocks, ""), QUERIES);
  number = LLVMBuildUDiv(e->b, number, blocks, "");
  t->head = LLVMBuildURem(e->b, number, heads, "");
  t->batch = LLVMBuildUDiv(e->b, number, heads, "");
  LLVMValueRef per_group = LLVMBuildUDiv(e->b, heads, emit_dim(e, s->k->dims[1]), "");
  t->group = LLVMBuildUDiv(e->b, t->head, per_group, "");
  t->queries = micro_min(e, micro_sub(e, t->q_len, t->q0), most);
  t->lanes = micro_whole(e, micro_add(e, t->queries, emit_i64(e, m.columns - 1)), m.columns);
  t->most = e->scratch;
  t->total = at(e, t->most, emit_i64(e, STRIDE));
  t->correction = at(e, t->total, emit_i64(e, STRIDE));
  t->scores = at(e, t->correction, emit_i64(e, STRIDE));
  t->turned = at(e, t->scores, emit_i64(e, (KEYS + MICRO_SPARE_ROWS) * STRIDE));
  t->sums = at(e, t->turned, micro_scale(e, t->size, STRIDE));
  t->keys =
      at(e, t->sums, micro_scale(e, micro_add(e, t->depth, emit_i64(e, MICRO_SPARE_ROWS)), STRIDE));
  t->values = at(e, t->keys, micro_scale(e, t->size, KEYS));
}

/* Whether key j has position j. */
static bool keys_in_order(const struct emit *e, const struct tile *t) {
  value_id v = t->s.op->operands[t->s.a->has_bias ? 5 : 4];
  const struct op *op = value_def(e->f, v);
  return op && op->kind == OP_IOTA && OP_ATTRS(iota, op)->axis == 1;
}

/* From the least and the greatest position of the tile's queries. What lies behind a cache's rows
 * is never read. */
static void position_range(struct emit *e, const struct tile *t, LLVMValueRef *lo,
                           LLVMValueRef *hi) {
  const struct attention_attrs *a = t->s.a;
  LLVMValueRef zero = emit_i64(e, 0), last = micro_sub(e, t->k_len, emit_i64(e, 1));
  LLVMValueRef init[2] = {last, emit_i64(e, -1)};
  struct emit_loop l;
  if (!a->causal && a->window <= 0)
    return;
  emit_loop_begin(e, &l, zero, t->queries, 1, 2, init);
  struct coord query = coord_uniform(e, micro_add(e, t->q0, l.index));
  LLVMValueRef q = position(e, t, a->has_bias ? 4 : 3, t->s.q->dims[2], query, 1);
  LLVMValueRef next[2] = {micro_min(e, l.carried[0], micro_max(e, q, zero)),
                          micro_max(e, l.carried[1], micro_min(e, q, last))};
  emit_loop_end(e, &l, next);
  if (a->causal)
    *hi = micro_add(e, l.carried[1], emit_i64(e, 1));
  if (a->window > 0)
    *lo = micro_max(e, zero, micro_sub(e, l.carried[0], emit_i64(e, a->window - 1)));
}

/* The keys that some query of the tile may see. */
static void key_range(struct emit *e, const struct tile *t, LLVMValueRef *lo, LLVMValueRef *hi) {
  const struct attention_attrs *a = t->s.a;
  LLVMValueRef zero = emit_i64(e, 0), shift = micro_sub(e, t->k_len, t->q_len);
  *lo = zero;
  *hi = t->k_len;
  if (a->has_pos) {
    if (keys_in_order(e, t))
      position_range(e, t, lo, hi);
    return;
  }
  if (a->causal) {
    LLVMValueRef end = micro_add(e, micro_add(e, t->q0, t->queries), shift);
    *hi = micro_max(e, zero, micro_min(e, *hi, end));
  }
  if (a->window > 0) {
    LLVMValueRef begin = micro_sub(e, micro_add(e, t->q0, shift), emit_i64(e, a->window - 1));
    *lo = micro_max(e, zero, begin);
  }
}

static void finish_span(struct emit *e, const struct tile *t, LLVMValueRef row, LLVMValueRef lo,
                        LLVMValueRef hi, uint32_t width) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct point p = {.rank = 4, .width = width};
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, t->head);
  p.c[2] = coord_uniform(e, micro_add(e, t->q0, row));
  p.c[3] = (struct coord){.base = l.index, .stride = width > 1, .align = width};
  LLVMValueRef place = micro_add(e, micro_mul(e, row, t->depth), l.index);
  LLVMValueRef x = micro_load(e, DTYPE_F32, at(e, t->values, place), width);
  x = emit_round_to(e, t->s.o->dtype, x, width);
  emit_know(e, t->s.op->results[0], &p, x);
  kernel_store_results(e, &p);
  emit_loop_end(e, &l, NULL);
}

/* Sums over totals (1 where no key was seen), as rows, through the epilogue. */
static void finish(struct emit *e, const struct tile *t) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), t->lanes, t->width, 0, NULL);
  LLVMValueRef total = load(e, t, t->total, l.index);
  LLVMValueRef none = LLVMBuildFCmp(e->b, LLVMRealOEQ, total, splat(e, t, 0), "");
  total = LLVMBuildSelect(e->b, none, splat(e, t, 1), total, "");
  micro_store(e, DTYPE_F32, at(e, t->total, l.index), total);
  emit_loop_end(e, &l, NULL);
  scale_sums(e, t, t->total, true);
  micro_transpose(e, DTYPE_F32, t->sums, emit_i64(e, STRIDE), t->values, t->depth, t->depth,
                  t->queries);
  emit_loop_begin(e, &l, emit_i64(e, 0), t->queries, 1, 0, NULL);
  LLVMValueRef whole = micro_whole(e, t->depth, t->width);
  finish_span(e, t, l.index, emit_i64(e, 0), whole, t->width);
  finish_span(e, t, l.index, whole, t->depth, 1);
  emit_loop_end(e, &l, NULL);
}

/* ---- few queries ---- */

/* A decode step has one query, which would fill one lane of sixteen. Then keys are taken one by one
 * where they lie, d in lanes for the scores and e in lanes for the sums. */
#define FEW 4

/* d lanes of q times those of `n` keys, added to acc. */
static void dot_span(struct emit *e, const struct tile *t, const LLVMValueRef *keys, uint32_t n,
                     LLVMValueRef lo, LLVMValueRef hi, uint32_t width, LLVMValueRef *acc) {
  struct emit_loop l;
  value_id v = t->s.op->operands[1];
  emit_loop_begin(e, &l, lo, hi, width, n, acc);
  LLVMValueRef q = micro_load(e, DTYPE_F32, at(e, t->turned, l.index), width), next[FEW];
  for (uint32_t i = 0; i < n; i++) {
    struct point p = {.rank = 4, .width = width};
    p.c[0] = coord_uniform(e, t->batch);
    p.c[1] = coord_uniform(e, t->group);
    p.c[2] = coord_uniform(e, keys[i]);
    p.c[3] = (struct coord){.base = l.index, .stride = width > 1, .align = width};
    LLVMValueRef k =
        emit_cast(e, emit_value(e, v, &p), t->s.k->dtype, DTYPE_F32, CAST_DEFAULT, width);
    next[i] = contract_multiply_add(e, DTYPE_F32, l.carried[i], q, k);
  }
  emit_loop_end(e, &l, next);
  memcpy(acc, l.carried, n * sizeof *acc);
}

/* Scores of a block of keys for query `row`, to scratch; returns the greatest, or `most`. Four keys
 * at a time; those beyond the last are the last again, which no maximum minds. */
static LLVMValueRef row_scores(struct emit *e, const struct tile *t, LLVMValueRef row,
                               LLVMValueRef key0, LLVMValueRef keys, LLVMValueRef most) {
  struct tile one = *t;
  one.width = 1;
  struct coord query = coord_uniform(e, micro_add(e, t->q0, row));
  struct mask mask = mask_init(e, &one, query);
  LLVMValueRef last = micro_sub(e, keys, emit_i64(e, 1)), whole = micro_whole(e, t->size, t->width);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), keys, FEW, 1, &most);
  LLVMValueRef key[FEW], wide[FEW], single[FEW], next = l.carried[0];
  for (uint32_t i = 0; i < FEW; i++) {
    key[i] = micro_add(e, key0, micro_min(e, micro_add(e, l.index, emit_i64(e, i)), last));
    wide[i] = splat(e, t, 0);
    single[i] = f32(e, 0);
  }
  dot_span(e, t, key, FEW, emit_i64(e, 0), whole, t->width, wide);
  dot_span(e, t, key, FEW, whole, t->size, 1, single);
  for (uint32_t i = 0; i < FEW; i++) {
    LLVMValueRef x = emit_horizontal(e, COMBINER_SUM, DTYPE_F32, wide[i], t->width);
    x = finished_score(e, &one, &mask, query, key[i], LLVMBuildFAdd(e->b, x, single[i], ""));
    micro_store(e, DTYPE_F32, at(e, t->scores, micro_add(e, l.index, emit_i64(e, i))), x);
    next = emit_combine(e, COMBINER_MAX, DTYPE_F32, next, x, 1);
  }
  emit_loop_end(e, &l, &next);
  return l.carried[0];
}

/* Scores [lo, hi) become weights; their sum is added to `total`. */
static LLVMValueRef row_weights(struct emit *e, const struct tile *t, LLVMValueRef shift,
                                LLVMValueRef lo, LLVMValueRef hi, uint32_t width,
                                LLVMValueRef total) {
  LLVMValueRef zero = emit_literal(e, DTYPE_F32, 0, 0, width);
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 1, &zero);
  LLVMValueRef place = at(e, t->scores, l.index);
  LLVMValueRef x = micro_load(e, DTYPE_F32, place, width);
  x = LLVMBuildFSub(e->b, x, emit_splat(e, shift, width), "");
  x = vmath_emit(e->math, e->b, VMATH_exp, &x);
  micro_store(e, DTYPE_F32, place, x);
  LLVMValueRef next = LLVMBuildFAdd(e->b, l.carried[0], x, "");
  emit_loop_end(e, &l, &next);
  LLVMValueRef sum = emit_horizontal(e, COMBINER_SUM, DTYPE_F32, l.carried[0], width);
  return LLVMBuildFAdd(e->b, total, sum, "");
}

/* Elements [lo, hi) of the sums: corrected, and the block's weighted values added; n vectors a
 * step. */
static void row_sums(struct emit *e, const struct tile *t, LLVMValueRef correction,
                     LLVMValueRef key0, LLVMValueRef keys, LLVMValueRef lo, LLVMValueRef hi,
                     uint32_t width, uint32_t n) {
  struct emit_loop l, lk;
  LLVMValueRef place[FEW], acc[FEW], next[FEW];
  value_id v = t->s.op->operands[2];
  emit_loop_begin(e, &l, lo, hi, width * n, 0, NULL);
  for (uint32_t i = 0; i < n; i++) {
    place[i] = at(e, t->sums, micro_add(e, l.index, emit_i64(e, (int64_t)(i * width))));
    acc[i] = micro_load(e, DTYPE_F32, place[i], width);
    acc[i] = LLVMBuildFMul(e->b, acc[i], emit_splat(e, correction, width), "");
  }
  emit_loop_begin(e, &lk, emit_i64(e, 0), keys, 1, n, acc);
  LLVMValueRef weight = micro_load(e, DTYPE_F32, at(e, t->scores, lk.index), 1);
  for (uint32_t i = 0; i < n; i++) {
    struct point p = {.rank = 4, .width = width};
    p.c[0] = coord_uniform(e, t->batch);
    p.c[1] = coord_uniform(e, t->group);
    p.c[2] = coord_uniform(e, micro_add(e, key0, lk.index));
    p.c[3] = (struct coord){.base = micro_add(e, l.index, emit_i64(e, (int64_t)(i * width))),
                            .stride = width > 1,
                            .align = width};
    LLVMValueRef x =
        emit_cast(e, emit_value(e, v, &p), t->s.v->dtype, DTYPE_F32, CAST_DEFAULT, width);
    next[i] = contract_multiply_add(e, DTYPE_F32, lk.carried[i], emit_splat(e, weight, width), x);
  }
  emit_loop_end(e, &lk, next);
  for (uint32_t i = 0; i < n; i++)
    micro_store(e, DTYPE_F32, place[i], lk.carried[i]);
  emit_loop_end(e, &l, NULL);
}

/* One block of keys for one query; state: maximum and total so far. */
static void row_block(struct emit *e, const struct tile *t, LLVMValueRef row, LLVMValueRef key0,
                      LLVMValueRef keys, const LLVMValueRef state[2], LLVMValueRef next[2]) {
  LLVMValueRef most = row_scores(e, t, row, key0, keys, state[0]);
  LLVMValueRef dead = LLVMBuildFCmp(e->b, LLVMRealOEQ, most, f32(e, -__builtin_inf()), "");
  LLVMValueRef shift = LLVMBuildSelect(e->b, dead, f32(e, 0), most, "");
  LLVMValueRef correction = LLVMBuildFSub(e->b, state[0], shift, "");
  correction = vmath_emit(e->math, e->b, VMATH_exp, &correction);
  LLVMValueRef whole = micro_whole(e, keys, t->width), zero = emit_i64(e, 0);
  LLVMValueRef total = LLVMBuildFMul(e->b, state[1], correction, "");
  total = row_weights(e, t, shift, zero, whole, t->width, total);
  next[0] = most;
  next[1] = row_weights(e, t, shift, whole, keys, 1, total);
  LLVMValueRef fours = micro_whole(e, t->depth, t->width * FEW);
  whole = micro_whole(e, t->depth, t->width);
  row_sums(e, t, correction, key0, keys, zero, fours, t->width, FEW);
  row_sums(e, t, correction, key0, keys, fours, whole, t->width, 1);
  row_sums(e, t, correction, key0, keys, whole, t->depth, 1, 1);
}

static void divide_row(struct emit *e, const struct tile *t, LLVMValueRef row, LLVMValueRef total) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), t->depth, 1, 0, NULL);
  LLVMValueRef x = micro_load(e, DTYPE_F32, at(e, t->sums, l.index), 1);
  LLVMValueRef to = micro_add(e, micro_mul(e, row, t->depth), l.index);
  micro_store(e, DTYPE_F32, at(e, t->values, to), LLVMBuildFDiv(e->b, x, total, ""));
  emit_loop_end(e, &l, NULL);
}

static void emit_few(struct emit *e, const struct tile *t) {
  LLVMValueRef lo, hi;
  key_range(e, t, &lo, &hi);
  struct emit_loop rows, l;
  emit_loop_begin(e, &rows, emit_i64(e, 0), t->queries, 1, 0, NULL);
  copy_rows(e, t, 0, t->head, micro_add(e, t->q0, rows.index), emit_i64(e, 1), t->size, t->turned);
  fill(e, t, t->sums, t->depth, 0);
  LLVMValueRef state[2] = {f32(e, -__builtin_inf()), f32(e, 0)}, next[2];
  emit_loop_begin(e, &l, lo, hi, KEYS, 2, state);
  LLVMValueRef keys = micro_min(e, micro_sub(e, hi, l.index), emit_i64(e, KEYS));
  row_block(e, t, rows.index, l.index, keys, l.carried, next);
  emit_loop_end(e, &l, next);
  LLVMValueRef none = LLVMBuildFCmp(e->b, LLVMRealOEQ, l.carried[1], f32(e, 0), "");
  divide_row(e, t, rows.index, LLVMBuildSelect(e->b, none, f32(e, 1), l.carried[1], ""));
  LLVMValueRef whole = micro_whole(e, t->depth, t->width);
  finish_span(e, t, rows.index, emit_i64(e, 0), whole, t->width);
  finish_span(e, t, rows.index, whole, t->depth, 1);
  emit_loop_end(e, &rows, NULL);
}

/* ---- many ---- */

static void emit_many(struct emit *e, const struct tile *tile) {
  struct tile t = *tile;
  /* Lanes beyond the last query are queries of zeros. */
  fill(e, &t, t.turned, micro_scale(e, t.size, STRIDE), 0);
  copy_rows(e, &t, 0, t.head, t.q0, t.queries, t.size, t.keys);
  micro_transpose(e, DTYPE_F32, t.keys, t.size, t.turned, emit_i64(e, STRIDE), t.queries, t.size);
  fill(e, &t, t.sums, micro_scale(e, t.depth, STRIDE), 0);
  fill(e, &t, t.most, emit_i64(e, STRIDE), -__builtin_inf());
  fill(e, &t, t.total, emit_i64(e, STRIDE), 0);
  LLVMValueRef lo, hi;
  key_range(e, &t, &lo, &hi);
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, KEYS, 0, NULL);
  key_block(e, &t, l.index, micro_min(e, micro_sub(e, hi, l.index), emit_i64(e, KEYS)));
  emit_loop_end(e, &l, NULL);
  finish(e, &t);
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  int64_t n;
  tile_init(e, &t, number);
  bool known = dim_is_const(e->f->module->dims, t.s.q->dims[2], &n);
  if (known && n > FEW) { /* a last block of few is not worth the code */
    emit_many(e, &t);
  } else if (known) {
    emit_few(e, &t);
  } else {
    struct emit_if s;
    LLVMValueRef few = LLVMBuildICmp(e->b, LLVMIntSLE, t.queries, emit_i64(e, FEW), "");
    emit_if_begin(e, &s, few);
    emit_few(e, &t);
    emit_if_else(e, &s, NULL);
    emit_many(e, &t);
    emit_if_end(e, &s, NULL);
  }
}

const struct schedule schedule_attention = {"attention", ROOT_KIND_ATTENTION, plan, emit};
