/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of few queries. A decode step has one query, which would fill one lane of sixteen: here
 * keys are taken where they lie, d in lanes for the scores and e in lanes for the sums. The heads
 * of a tile read the same keys and values, each of them once:
 *
 *   per query, per block of keys:
 *     S [head][key]      rows of q times a few keys at a time
 *     m, l, S = exp(S - m), per head
 *     O [head][e] = O * correction + S v
 *
 * Heads beyond the last of the kv head are that one again. */
#include <string.h>

#include "codegen/contract_util.h"
#include "codegen/cpu/attention_tile.h"
#include "codegen/index_math.h"

#define FEW ATTENTION_FEW
#define ROW (ATTENTION_KEYS + FEW) /* from head to head of scores */
#define MOST_SUMS 8                /* vectors of sums that are kept in registers */

typedef LLVMValueRef per_head[FEW];

/* Keys, or vectors of values, at a time. */
static uint32_t at_a_time(const struct attention_tile *t) {
  uint32_t n = MOST_SUMS / t->heads;
  return n > FEW ? FEW : n;
}

static LLVMValueRef head_of(struct emit *e, const struct attention_tile *t, uint32_t h) {
  return index_min(e, index_add(e, t->head, emit_i64(e, h)), t->last_head);
}

/* Row h of [head][stride]. */
static LLVMValueRef head_row(struct emit *e, LLVMValueRef base, uint32_t h, LLVMValueRef stride) {
  return attention_at(e, base, index_mul(e, emit_i64(e, h), stride));
}

static LLVMValueRef element(struct emit *e, const struct attention_tile *t, uint32_t operand,
                            LLVMValueRef key, LLVMValueRef index, uint32_t width) {
  value_id v = t->s.op->operands[operand];
  struct point p = {.rank = 4, .width = width};
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, t->group);
  p.c[2] = coord_uniform(e, key);
  p.c[3] = (struct coord){.base = index, .stride = width > 1, .align = width};
  return emit_cast(e, emit_value(e, v, &p), value_type(e->f, v)->dtype, DTYPE_F32, CAST_DEFAULT,
                   width);
}

/* d elements [lo, hi) of q times those of n keys, added to acc [head][key]. */
static void dot_span(struct emit *e, const struct attention_tile *t, const LLVMValueRef *keys,
                     uint32_t n, LLVMValueRef lo, LLVMValueRef hi, uint32_t width,
                     LLVMValueRef *acc) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, n * t->heads, acc);
  LLVMValueRef q[FEW], next[MOST_SUMS];
  for (uint32_t h = 0; h < t->heads; h++)
    q[h] = micro_load(e, DTYPE_F32, attention_at(e, head_row(e, t->turned, h, t->size), l.index),
                      width);
  for (uint32_t i = 0; i < n; i++) {
    LLVMValueRef k = element(e, t, 1, keys[i], l.index, width);
    for (uint32_t h = 0; h < t->heads; h++)
      next[h * n + i] = contract_multiply_add(e, DTYPE_F32, l.carried[h * n + i], q[h], k);
  }
  emit_loop_end(e, &l, next);
  memcpy(acc, l.carried, n * t->heads * sizeof *acc);
}

/* Scores of a block of keys for query `row`, to scratch, and the greatest of each head. Keys beyond
 * the last are the last again, which no maximum minds. */
static void block_scores(struct emit *e, const struct attention_tile *t, LLVMValueRef row,
                         LLVMValueRef key0, LLVMValueRef keys, per_head most) {
  struct attention_tile one = *t;
  one.width = 1;
  uint32_t n = at_a_time(t);
  struct coord query = coord_uniform(e, index_add(e, t->q0, row));
  LLVMValueRef q_pos = attention_mask(e, &one, query);
  LLVMValueRef last = index_sub(e, keys, emit_i64(e, 1)), whole = micro_whole(e, t->size, t->width);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), keys, n, t->heads, most);
  LLVMValueRef key[FEW], wide[MOST_SUMS], single[MOST_SUMS];
  per_head next;
  memcpy(next, l.carried, sizeof next);
  for (uint32_t i = 0; i < n; i++)
    key[i] = index_add(e, key0, index_min(e, index_add(e, l.index, emit_i64(e, i)), last));
  for (uint32_t i = 0; i < n * t->heads; i++) {
    wide[i] = attention_splat(e, t, 0);
    single[i] = attention_f32(e, 0);
  }
  dot_span(e, t, key, n, emit_i64(e, 0), whole, t->width, wide);
  dot_span(e, t, key, n, whole, t->size, 1, single);
  for (uint32_t h = 0; h < t->heads; h++) {
    LLVMValueRef scores = attention_at(e, t->scores, emit_i64(e, (int64_t)h * ROW));
    one.head = head_of(e, t, h);
    for (uint32_t i = 0; i < n; i++) {
      LLVMValueRef x = emit_horizontal(e, COMBINER_SUM, DTYPE_F32, wide[h * n + i], t->width);
      x = LLVMBuildFAdd(e->b, x, single[h * n + i], "");
      x = attention_score(e, &one, q_pos, query, key[i], x);
      micro_store(e, DTYPE_F32, attention_at(e, scores, index_add(e, l.index, emit_i64(e, i))), x);
      next[h] = emit_combine(e, COMBINER_MAX, DTYPE_F32, next[h], x, 1);
    }
  }
  emit_loop_end(e, &l, next);
  memcpy(most, l.carried, sizeof next);
}

/* Scores [lo, hi) become weights; their sum is added to `total`. */
static LLVMValueRef weigh_span(struct emit *e, LLVMValueRef scores, LLVMValueRef shift,
                               LLVMValueRef lo, LLVMValueRef hi, uint32_t width,
                               LLVMValueRef total) {
  LLVMValueRef zero = emit_literal(e, DTYPE_F32, 0, 0, width);
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 1, &zero);
  LLVMValueRef place = attention_at(e, scores, l.index);
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
static void sum_span(struct emit *e, const struct attention_tile *t, const per_head correction,
                     LLVMValueRef key0, LLVMValueRef keys, LLVMValueRef lo, LLVMValueRef hi,
                     uint32_t width, uint32_t n) {
  struct emit_loop l, lk;
  LLVMValueRef place[MOST_SUMS], acc[MOST_SUMS], next[MOST_SUMS], at[FEW];
  emit_loop_begin(e, &l, lo, hi, width * n, 0, NULL);
  for (uint32_t i = 0; i < n; i++)
    at[i] = index_add(e, l.index, emit_i64(e, (int64_t)(i * width)));
  for (uint32_t h = 0; h < t->heads; h++) {
    for (uint32_t i = 0; i < n; i++) {
      uint32_t k = h * n + i;
      place[k] = attention_at(e, head_row(e, t->sums, h, t->depth), at[i]);
      acc[k] = micro_load(e, DTYPE_F32, place[k], width);
      acc[k] = LLVMBuildFMul(e->b, acc[k], emit_splat(e, correction[h], width), "");
    }
  }
  emit_loop_begin(e, &lk, emit_i64(e, 0), keys, 1, n * t->heads, acc);
  LLVMValueRef key = index_add(e, key0, lk.index), weight[FEW];
  for (uint32_t h = 0; h < t->heads; h++) {
    LLVMValueRef score = index_add(e, lk.index, emit_i64(e, (int64_t)h * ROW));
    weight[h] =
        emit_splat(e, micro_load(e, DTYPE_F32, attention_at(e, t->scores, score), 1), width);
  }
  for (uint32_t i = 0; i < n; i++) {
    LLVMValueRef x = element(e, t, 2, key, at[i], width);
    for (uint32_t h = 0; h < t->heads; h++)
      next[h * n + i] = contract_multiply_add(e, DTYPE_F32, lk.carried[h * n + i], weight[h], x);
  }
  emit_loop_end(e, &lk, next);
  for (uint32_t k = 0; k < n * t->heads; k++)
    micro_store(e, DTYPE_F32, place[k], lk.carried[k]);
  emit_loop_end(e, &l, NULL);
}

/* What is known of each head's keys so far: the greatest score, and the sum of weights. */
struct state {
  per_head most, total;
};

static void block(struct emit *e, const struct attention_tile *t, LLVMValueRef row,
                  LLVMValueRef key0, LLVMValueRef keys, struct state *s) {
  per_head before, correction;
  LLVMValueRef zero = emit_i64(e, 0), whole = micro_whole(e, keys, t->width);
  memcpy(before, s->most, sizeof before);
  block_scores(e, t, row, key0, keys, s->most);
  for (uint32_t h = 0; h < t->heads; h++) {
    LLVMValueRef scores = attention_at(e, t->scores, emit_i64(e, (int64_t)h * ROW));
    LLVMValueRef dead =
        LLVMBuildFCmp(e->b, LLVMRealOEQ, s->most[h], attention_f32(e, -__builtin_inf()), "");
    LLVMValueRef shift = LLVMBuildSelect(e->b, dead, attention_f32(e, 0), s->most[h], "");
    correction[h] = LLVMBuildFSub(e->b, before[h], shift, "");
    correction[h] = vmath_emit(e->math, e->b, VMATH_exp, &correction[h]);
    LLVMValueRef total = LLVMBuildFMul(e->b, s->total[h], correction[h], "");
    total = weigh_span(e, scores, shift, zero, whole, t->width, total);
    s->total[h] = weigh_span(e, scores, shift, whole, keys, 1, total);
  }
  uint32_t n = at_a_time(t);
  LLVMValueRef several = micro_whole(e, t->depth, t->width * n);
  whole = micro_whole(e, t->depth, t->width);
  sum_span(e, t, correction, key0, keys, zero, several, t->width, n);
  sum_span(e, t, correction, key0, keys, several, whole, t->width, 1);
  sum_span(e, t, correction, key0, keys, whole, t->depth, 1, 1);
}

/* The keys in reach, block by block, for one query. */
static void all_keys(struct emit *e, const struct attention_tile *t,
                     const struct attention_reach *reach, LLVMValueRef row, struct state *s) {
  LLVMValueRef state[2 * FEW], next[2 * FEW];
  struct emit_loop l;
  struct emit_if some;
  memcpy(state, s->most, t->heads * sizeof *state);
  memcpy(state + t->heads, s->total, t->heads * sizeof *state);
  emit_loop_begin(e, &l, reach->lo, reach->hi, ATTENTION_KEYS, 2 * t->heads, state);
  memcpy(s->most, l.carried, t->heads * sizeof *state);
  memcpy(s->total, l.carried + t->heads, t->heads * sizeof *state);
  LLVMValueRef keys = index_min(e, index_sub(e, reach->hi, l.index), emit_i64(e, ATTENTION_KEYS));
  LLVMValueRef seen = attention_reaches(e, t, reach, l.index, keys);
  if (seen)
    emit_if_begin(e, &some, seen);
  block(e, t, row, l.index, keys, s);
  memcpy(next, s->most, t->heads * sizeof *next);
  memcpy(next + t->heads, s->total, t->heads * sizeof *next);
  if (seen) {
    emit_if_else(e, &some, NULL);
    LLVMValueRef then[2 * FEW];
    memcpy(then, next, sizeof then);
    emit_if_end_many(e, &some, 2 * t->heads, then, l.carried, next);
  }
  emit_loop_end(e, &l, next);
  memcpy(s->most, l.carried, t->heads * sizeof *state);
  memcpy(s->total, l.carried + t->heads, t->heads * sizeof *state);
}

/* A head's sums over their total, to scratch, and from there to the results. */
static void finish(struct emit *e, const struct attention_tile *t, uint32_t h, LLVMValueRef row,
                   const struct state *s) {
  LLVMValueRef none = LLVMBuildFCmp(e->b, LLVMRealOEQ, s->total[h], attention_f32(e, 0), "");
  LLVMValueRef total = LLVMBuildSelect(e->b, none, attention_f32(e, 1), s->total[h], "");
  LLVMValueRef sums = head_row(e, t->sums, h, t->depth), head = head_of(e, t, h);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), t->depth, 1, 0, NULL);
  LLVMValueRef at = attention_at(e, sums, l.index), x = micro_load(e, DTYPE_F32, at, 1);
  micro_store(e, DTYPE_F32, at, LLVMBuildFDiv(e->b, x, total, ""));
  emit_loop_end(e, &l, NULL);
  attention_store_row(e, t, head, row, sums);
  attention_store_lse(e, t, head, row, s->most[h], s->total[h]);
}

void attention_emit_few(struct emit *e, const struct attention_tile *t) {
  struct emit_loop rows;
  struct state s;
  struct attention_reach reach;
  attention_reach_init(e, t, &reach);
  emit_loop_begin(e, &rows, emit_i64(e, 0), t->queries, 1, 0, NULL);
  for (uint32_t h = 0; h < t->heads; h++) {
    attention_copy_rows(e, t, 0, head_of(e, t, h), index_add(e, t->q0, rows.index), emit_i64(e, 1),
                        t->size, head_row(e, t->turned, h, t->size));
    s.most[h] = attention_f32(e, -__builtin_inf());
    s.total[h] = attention_f32(e, 0);
  }
  attention_fill(e, t, t->sums, index_scale(e, t->depth, t->heads), 0);
  all_keys(e, t, &reach, rows.index, &s);
  for (uint32_t h = 0; h < t->heads; h++)
    finish(e, t, h, rows.index, &s);
  emit_loop_end(e, &rows, NULL);
}
