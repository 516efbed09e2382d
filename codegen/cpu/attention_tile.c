/* SPDX-License-Identifier: Apache-2.0 */
/* The tile of attention: place, scratch, scores and masks, results. */
#include "codegen/cpu/attention_tile.h"

#include "codegen/emit_view.h"
#include "codegen/index_math.h"
#include "codegen/schedule.h"

#define STRIDE ATTENTION_STRIDE

void attention_of(const struct kernel *kernel, struct attention *s) {
  const struct function *f = kernel->function;
  s->op = kernel_root_op(kernel, OP_ATTENTION);
  s->a = OP_ATTRS(attention, s->op);
  s->q = value_type(f, s->op->operands[0]);
  s->k = value_type(f, s->op->operands[1]);
  s->v = value_type(f, s->op->operands[2]);
  s->o = value_type(f, s->op->results[0]);
}

LLVMValueRef attention_f32(struct emit *e, double x) { return LLVMConstReal(e->f32, x); }

LLVMValueRef attention_splat(struct emit *e, const struct attention_tile *t, double x) {
  return emit_splat(e, attention_f32(e, x), t->width);
}

LLVMValueRef attention_at(struct emit *e, LLVMValueRef base, LLVMValueRef index) {
  return micro_at(e, DTYPE_F32, base, index);
}

LLVMValueRef attention_load(struct emit *e, const struct attention_tile *t, LLVMValueRef base,
                            LLVMValueRef index) {
  return micro_load(e, DTYPE_F32, attention_at(e, base, index), t->width);
}

/* ---- place and scratch ---- */

/* Tiles are numbered [batch][head, or block of a kv head's heads][block of queries]. */
static void place(struct emit *e, struct attention_tile *t, LLVMValueRef number) {
  const struct attention *s = &t->s;
  LLVMValueRef most = emit_i64(e, ATTENTION_QUERIES), kv = emit_dim(e, s->k->dims[1]);
  LLVMValueRef per_group = LLVMBuildUDiv(e->b, emit_dim(e, s->q->dims[1]), kv, "");
  LLVMValueRef up = index_add(e, t->q_len, emit_i64(e, ATTENTION_QUERIES - 1));
  LLVMValueRef blocks = LLVMBuildUDiv(e->b, up, most, ""), in_group;
  t->q0 = index_scale(e, LLVMBuildURem(e->b, number, blocks, ""), ATTENTION_QUERIES);
  number = LLVMBuildUDiv(e->b, number, blocks, "");
  up = index_add(e, per_group, emit_i64(e, t->heads - 1));
  blocks = LLVMBuildUDiv(e->b, up, emit_i64(e, t->heads), "");
  in_group = index_scale(e, LLVMBuildURem(e->b, number, blocks, ""), t->heads);
  number = LLVMBuildUDiv(e->b, number, blocks, "");
  t->group = LLVMBuildURem(e->b, number, kv, "");
  t->batch = LLVMBuildUDiv(e->b, number, kv, "");
  LLVMValueRef first = index_mul(e, t->group, per_group);
  t->head = index_add(e, first, in_group);
  t->last_head = index_sub(e, index_add(e, first, per_group), emit_i64(e, 1));
  t->queries = index_min(e, index_sub(e, t->q_len, t->q0), most);
}

void attention_tile_init(struct emit *e, struct attention_tile *t, LLVMValueRef number) {
  struct attention *s = &t->s;
  struct micro m;
  attention_of(e->kernel, s);
  micro_init(e, &m, DTYPE_F32);
  t->width = m.width;
  t->heads = (uint32_t)e->kernel->kept.data[0];
  t->q_len = emit_dim(e, s->q->dims[2]);
  t->k_len = emit_dim(e, s->k->dims[2]);
  t->size = emit_dim(e, s->q->dims[3]);
  t->depth = emit_dim(e, s->v->dims[3]);
  place(e, t, number);
  t->lanes = micro_whole(e, index_add(e, t->queries, emit_i64(e, m.columns - 1)), m.columns);
  t->most = e->scratch;
  t->total = attention_at(e, t->most, emit_i64(e, STRIDE));
  t->correction = attention_at(e, t->total, emit_i64(e, STRIDE));
  t->scores = attention_at(e, t->correction, emit_i64(e, STRIDE));
  t->turned = attention_at(e, t->scores, emit_i64(e, (ATTENTION_KEYS + MICRO_SPARE_ROWS) * STRIDE));
  t->sums = attention_at(e, t->turned, index_scale(e, t->size, STRIDE));
  LLVMValueRef rows = index_add(e, t->depth, emit_i64(e, MICRO_SPARE_ROWS));
  t->keys = attention_at(e, t->sums, index_scale(e, rows, STRIDE));
  t->values = attention_at(e, t->keys, index_scale(e, t->size, ATTENTION_KEYS));
}

void attention_fill(struct emit *e, const struct attention_tile *t, LLVMValueRef to, LLVMValueRef n,
                    double x) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), n, t->width, 0, NULL);
  micro_store(e, DTYPE_F32, attention_at(e, to, l.index), attention_splat(e, t, x));
  emit_loop_end(e, &l, NULL);
}

/* Row `row`, elements [lo, hi), of an operand into f32 at `to`. */
struct copy {
  value_id v;
  LLVMValueRef head, row;
  LLVMValueRef to;
};

static void copy_span(struct emit *e, const struct attention_tile *t, const struct copy *c,
                      LLVMValueRef lo, LLVMValueRef hi, uint32_t width) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct point p = {.rank = 4, .width = width};
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, c->head);
  p.c[2] = coord_uniform(e, c->row);
  p.c[3] = (struct coord){.base = l.index, .stride = width > 1, .align = width};
  LLVMValueRef x = emit_value(e, c->v, &p);
  x = emit_cast(e, x, value_type(e->f, c->v)->dtype, DTYPE_F32, CAST_DEFAULT, width);
  micro_store(e, DTYPE_F32, attention_at(e, c->to, l.index), x);
  emit_loop_end(e, &l, NULL);
}

void attention_copy_rows(struct emit *e, const struct attention_tile *t, uint32_t operand,
                         LLVMValueRef head, LLVMValueRef first, LLVMValueRef rows, LLVMValueRef n,
                         LLVMValueRef to) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), rows, 1, 0, NULL);
  struct copy c = {
      .v = t->s.op->operands[operand], .head = head, .row = index_add(e, first, l.index)};
  c.to = attention_at(e, to, index_mul(e, l.index, n));
  LLVMValueRef whole = micro_whole(e, n, t->width);
  copy_span(e, t, &c, emit_i64(e, 0), whole, t->width);
  copy_span(e, t, &c, whole, n, 1);
  emit_loop_end(e, &l, NULL);
}

/* ---- positions ---- */

static bool by_position(const struct attention_tile *t) {
  return t->s.a->causal || t->s.a->window > 0;
}

static LLVMValueRef position(struct emit *e, const struct attention_tile *t, bool keys,
                             struct coord index, uint32_t width) {
  value_id v = t->s.op->operands[3u + t->s.a->has_bias + keys];
  struct type pair = {.rank = 2};
  struct point p = {.rank = 2, .width = width}, q;
  pair.dims[0] = t->s.q->dims[0];
  pair.dims[1] = keys ? t->s.k->dims[2] : t->s.q->dims[2];
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = index;
  point_broadcast(e, value_type(e->f, v), &pair, &p, &q);
  return emit_value(e, v, &q);
}

LLVMValueRef attention_mask(struct emit *e, const struct attention_tile *t, struct coord query) {
  if (!by_position(t))
    return NULL;
  if (t->s.a->has_pos)
    return position(e, t, false, query, t->width);
  LLVMValueRef shift = emit_splat(e, index_sub(e, t->k_len, t->q_len), t->width);
  return index_add(e, query.lanes ? query.lanes : query.base, shift);
}

static LLVMValueRef masked(struct emit *e, const struct attention_tile *t, LLVMValueRef q_pos,
                           LLVMValueRef key, LLVMValueRef score) {
  const struct attention_attrs *a = t->s.a;
  if (!q_pos)
    return score;
  LLVMValueRef k_pos = key;
  if (a->has_pos)
    k_pos = position(e, t, true, coord_uniform(e, key), 1);
  k_pos = emit_splat(e, k_pos, t->width);
  LLVMValueRef minus = attention_splat(e, t, -__builtin_inf());
  if (a->causal) {
    LLVMValueRef yes = LLVMBuildICmp(e->b, LLVMIntSLE, k_pos, q_pos, "");
    score = LLVMBuildSelect(e->b, yes, score, minus, "");
  }
  if (a->window > 0) {
    LLVMValueRef back = index_sub(e, q_pos, k_pos);
    LLVMValueRef near =
        LLVMBuildICmp(e->b, LLVMIntSLT, back, emit_splat(e, emit_i64(e, a->window), t->width), "");
    score = LLVMBuildSelect(e->b, near, score, minus, "");
  }
  return score;
}

LLVMValueRef attention_score(struct emit *e, const struct attention_tile *t, LLVMValueRef q_pos,
                             struct coord query, LLVMValueRef key, LLVMValueRef x) {
  const struct attention_attrs *a = t->s.a;
  x = LLVMBuildFMul(e->b, x, attention_splat(e, t, a->scale), "");
  if (a->softcap > 0) {
    x = LLVMBuildFDiv(e->b, x, attention_splat(e, t, a->softcap), "");
    x = vmath_emit(e->math, e->b, VMATH_tanh, &x);
    x = LLVMBuildFMul(e->b, x, attention_splat(e, t, a->softcap), "");
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
  return masked(e, t, q_pos, key, x);
}

/* ---- which keys are seen ---- */

/* Whether key j has position j. */
static bool keys_in_order(const struct emit *e, const struct attention_tile *t) {
  value_id v = t->s.op->operands[4u + t->s.a->has_bias];
  const struct op *op = value_def(e->f, v);
  return op && op->kind == OP_IOTA && OP_ATTRS(iota, op)->axis == 1;
}

/* The least and the greatest of n positions from the first on. */
static void extremes(struct emit *e, const struct attention_tile *t, bool keys, LLVMValueRef first,
                     LLVMValueRef n, LLVMValueRef out[2]) {
  LLVMValueRef init[2] = {emit_i64(e, INT64_MAX), emit_i64(e, INT64_MIN)};
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), n, 1, 2, init);
  struct coord at = coord_uniform(e, index_add(e, first, l.index));
  LLVMValueRef x = position(e, t, keys, at, 1);
  LLVMValueRef next[2] = {index_min(e, l.carried[0], x), index_max(e, l.carried[1], x)};
  emit_loop_end(e, &l, next);
  out[0] = l.carried[0];
  out[1] = l.carried[1];
}

/* From the positions of queries to places of keys that lie in order. */
static void clip_by_positions(struct emit *e, const struct attention_tile *t,
                              const LLVMValueRef ends[2], struct attention_reach *r) {
  const struct attention_attrs *a = t->s.a;
  LLVMValueRef zero = emit_i64(e, 0), last = index_sub(e, t->k_len, emit_i64(e, 1));
  LLVMValueRef least = index_min(e, index_max(e, ends[0], zero), last);
  LLVMValueRef greatest = index_max(e, index_min(e, ends[1], last), emit_i64(e, -1));
  if (a->causal)
    r->hi = index_add(e, greatest, emit_i64(e, 1));
  if (a->window > 0)
    r->lo = index_max(e, zero, index_sub(e, least, emit_i64(e, a->window - 1)));
}

/* Queries are the last of the keys. */
static void clip_by_places(struct emit *e, const struct attention_tile *t,
                           struct attention_reach *r) {
  const struct attention_attrs *a = t->s.a;
  LLVMValueRef zero = emit_i64(e, 0), shift = index_sub(e, t->k_len, t->q_len);
  if (a->causal) {
    LLVMValueRef end = index_add(e, index_add(e, t->q0, t->queries), shift);
    r->hi = index_max(e, zero, index_min(e, r->hi, end));
  }
  if (a->window > 0) {
    LLVMValueRef begin = index_sub(e, index_add(e, t->q0, shift), emit_i64(e, a->window - 1));
    r->lo = index_max(e, zero, begin);
  }
}

void attention_reach_init(struct emit *e, const struct attention_tile *t,
                          struct attention_reach *out) {
  LLVMValueRef ends[2];
  *out = (struct attention_reach){.lo = emit_i64(e, 0), .hi = t->k_len};
  if (!t->s.a->has_pos) {
    clip_by_places(e, t, out);
  } else if (by_position(t)) {
    extremes(e, t, false, t->q0, t->queries, ends);
    if (keys_in_order(e, t)) {
      clip_by_positions(e, t, ends, out);
    } else {
      out->least = ends[0];
      out->greatest = ends[1];
    }
  }
}

LLVMValueRef attention_reaches(struct emit *e, const struct attention_tile *t,
                               const struct attention_reach *r, LLVMValueRef key0,
                               LLVMValueRef keys) {
  const struct attention_attrs *a = t->s.a;
  LLVMValueRef ends[2], seen = LLVMConstInt(e->i1, 1, false);
  if (!r->least)
    return NULL;
  extremes(e, t, true, key0, keys, ends);
  if (a->causal)
    seen = LLVMBuildICmp(e->b, LLVMIntSLE, ends[0], r->greatest, "");
  if (a->window > 0) {
    LLVMValueRef back = index_sub(e, r->least, ends[1]);
    LLVMValueRef near = LLVMBuildICmp(e->b, LLVMIntSLT, back, emit_i64(e, a->window), "");
    seen = LLVMBuildAnd(e->b, seen, near, "");
  }
  return seen;
}

/* ---- results ---- */

static void store_span(struct emit *e, const struct attention_tile *t, struct point p,
                       LLVMValueRef from, LLVMValueRef lo, LLVMValueRef hi, uint32_t width) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  p.width = width;
  p.c[3] = (struct coord){.base = l.index, .stride = width > 1, .align = width};
  LLVMValueRef x = micro_load(e, DTYPE_F32, attention_at(e, from, l.index), width);
  x = emit_round_to(e, t->s.o->dtype, x, width);
  emit_know(e, t->s.op->results[0], &p, x);
  kernel_store_results(e, &p);
  emit_loop_end(e, &l, NULL);
}

void attention_store_row(struct emit *e, const struct attention_tile *t, LLVMValueRef head,
                         LLVMValueRef row, LLVMValueRef from) {
  struct point p = {.rank = 4};
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, head);
  p.c[2] = coord_uniform(e, index_add(e, t->q0, row));
  LLVMValueRef whole = micro_whole(e, t->depth, t->width);
  store_span(e, t, p, from, emit_i64(e, 0), whole, t->width);
  store_span(e, t, p, from, whole, t->depth, 1);
}

void attention_store_lse(struct emit *e, const struct attention_tile *t, LLVMValueRef head,
                         LLVMValueRef row, LLVMValueRef most, LLVMValueRef total) {
  struct point p = {.rank = 3, .width = 1};
  if (!t->s.a->lse)
    return;
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, head);
  p.c[2] = coord_uniform(e, index_add(e, t->q0, row));
  LLVMValueRef log = vmath_emit(e->math, e->b, VMATH_log, &total);
  emit_know(e, t->s.op->results[1], &p, LLVMBuildFAdd(e->b, most, log, ""));
  kernel_store_lse(e, &p);
}
