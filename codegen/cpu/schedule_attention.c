/* SPDX-License-Identifier: Apache-2.0 */
/* Attention with a running softmax: scores exist only as a block in scratch.
 *
 * A tile is a block of queries of one batch entry and head, or a few queries of several heads
 * (attention_few.c). Here queries lie in lanes throughout, so that maxima, sums and corrections of
 * the softmax are element-wise:
 *
 *   qT [d][query]      once per tile
 *   per block of keys:
 *     S [key][query] = k qT          micro-kernel; rows of k as packed into scratch
 *     m, l, S = exp(S - m)           per lane, down the rows
 *     O [e][query] = O * correction + vT S      micro-kernel; v read down its columns
 *   O / l, turned back to [query][e], goes through the epilogue
 *
 * Blocks of keys that the causal mask or the window hides altogether are skipped: by their place
 * where keys lie in the order of their positions, else by the least and the greatest position.
 *
 * Source of the running softmax: Milakov, Gimelshein, "Online normalizer calculation for softmax"
 * (2018). */
#include "codegen/contract_util.h"
#include "codegen/cpu/attention_tile.h"
#include "codegen/emit_view.h"
#include "codegen/index_math.h"
#include "codegen/schedule.h"

#define QUERIES ATTENTION_QUERIES
#define STRIDE ATTENTION_STRIDE
#define KEYS ATTENTION_KEYS

/* Heads of a tile: few queries of heads with the same keys are computed together, where it is known
 * that they are few. */
static uint32_t heads_of_tile(const struct kernel *kernel, const struct attention *s) {
  const struct dim_table *t = kernel->function->module->dims;
  int64_t queries, heads, groups;
  if (!dim_is_const(t, s->q->dims[2], &queries) || queries > ATTENTION_FEW ||
      !dim_is_const(t, s->q->dims[1], &heads) || !dim_is_const(t, s->k->dims[1], &groups) ||
      groups < 1 || heads < groups)
    return 1;
  heads /= groups;
  return heads < ATTENTION_FEW ? (uint32_t)heads : ATTENTION_FEW;
}

static bool plan(struct kernel *kernel, const struct target_isa *isa) {
  (void)isa;
  struct attention s;
  attention_of(kernel, &s);
  if (s.a->parts)
    return false;
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
  uint32_t heads = heads_of_tile(kernel, &s);
  dim blocks = dim_ceildiv(t, s.q->dims[2], dim_const(t, QUERIES));
  kernel_grid(kernel, s.q->dims, 2);
  if (heads > 1) {
    dim per_group = dim_exactdiv(t, s.q->dims[1], s.k->dims[1]);
    kernel->grid.data[1] = s.k->dims[1];
    blocks = dim_mul(t, blocks, dim_ceildiv(t, per_group, dim_const(t, heads)));
  }
  kernel_grid(kernel, &blocks, 1);
  vec_push(&kernel->kept, heads);
  kernel_scratch(kernel, &elements, 1, 4);
  return true;
}

/* i64 per lane: queries, the last one repeated, so that nothing is read beyond the operands. */
static struct coord query_lanes(struct emit *e, const struct attention_tile *t, LLVMValueRef lane) {
  struct coord c = {.base = index_add(e, t->q0, lane), .stride = 1, .align = 1};
  LLVMValueRef x = coord_vector(e, &c, t->width);
  LLVMValueRef last = emit_splat(e, index_sub(e, t->q_len, emit_i64(e, 1)), t->width);
  x = index_min(e, x, last);
  return t->width == 1 ? coord_uniform(e, x) : (struct coord){.lanes = x};
}

/* The softmax of one block, for `width` queries from lane `lane` on: scores become weights. */
static void soften(struct emit *e, const struct attention_tile *t, LLVMValueRef lane,
                   LLVMValueRef key0, LLVMValueRef keys) {
  struct coord query = query_lanes(e, t, lane);
  LLVMValueRef q_pos = attention_mask(e, t, query);
  LLVMValueRef before = attention_load(e, t, t->most, lane),
               total = attention_load(e, t, t->total, lane), zero = attention_splat(e, t, 0);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), keys, 1, 1, &before);
  LLVMValueRef place = index_add(e, index_scale(e, l.index, STRIDE), lane);
  LLVMValueRef x = attention_load(e, t, t->scores, place);
  x = attention_score(e, t, q_pos, query, index_add(e, key0, l.index), x);
  micro_store(e, DTYPE_F32, attention_at(e, t->scores, place), x);
  LLVMValueRef next = emit_combine(e, COMBINER_MAX, DTYPE_F32, l.carried[0], x, t->width);
  emit_loop_end(e, &l, &next);
  LLVMValueRef most = l.carried[0];
  LLVMValueRef dead =
      LLVMBuildFCmp(e->b, LLVMRealOEQ, most, attention_splat(e, t, -__builtin_inf()), "");
  LLVMValueRef shift = LLVMBuildSelect(e->b, dead, zero, most, "");
  LLVMValueRef correction = LLVMBuildFSub(e->b, before, shift, "");
  correction = vmath_emit(e->math, e->b, VMATH_exp, &correction);
  total = LLVMBuildFMul(e->b, total, correction, "");
  emit_loop_begin(e, &l, emit_i64(e, 0), keys, 1, 1, &total);
  place = index_add(e, index_scale(e, l.index, STRIDE), lane);
  x = LLVMBuildFSub(e->b, attention_load(e, t, t->scores, place), shift, "");
  x = vmath_emit(e->math, e->b, VMATH_exp, &x);
  micro_store(e, DTYPE_F32, attention_at(e, t->scores, place), x);
  next = LLVMBuildFAdd(e->b, l.carried[0], x, "");
  emit_loop_end(e, &l, &next);
  micro_store(e, DTYPE_F32, attention_at(e, t->most, lane), most);
  micro_store(e, DTYPE_F32, attention_at(e, t->total, lane), l.carried[0]);
  micro_store(e, DTYPE_F32, attention_at(e, t->correction, lane), correction);
}

/* Every row of the sums times (or divided by) a value per lane. */
static void scale_sums(struct emit *e, const struct attention_tile *t, LLVMValueRef factors,
                       bool divide) {
  struct emit_loop l, lv;
  emit_loop_begin(e, &l, emit_i64(e, 0), t->depth, 1, 0, NULL);
  LLVMValueRef row = attention_at(e, t->sums, index_scale(e, l.index, STRIDE));
  emit_loop_begin(e, &lv, emit_i64(e, 0), t->lanes, t->width, 0, NULL);
  LLVMValueRef x = attention_load(e, t, row, lv.index), y = attention_load(e, t, factors, lv.index);
  x = divide ? LLVMBuildFDiv(e->b, x, y, "") : LLVMBuildFMul(e->b, x, y, "");
  micro_store(e, DTYPE_F32, attention_at(e, row, lv.index), x);
  emit_loop_end(e, &lv, NULL);
  emit_loop_end(e, &l, NULL);
}

static void key_block(struct emit *e, const struct attention_tile *t, LLVMValueRef key0,
                      LLVMValueRef keys) {
  struct micro m;
  micro_init(e, &m, DTYPE_F32);
  attention_copy_rows(e, t, 1, t->group, key0, keys, t->size, t->keys);
  attention_copy_rows(e, t, 2, t->group, key0, keys, t->depth, t->values);
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

/* Sums over totals (1 where no key was seen), as rows, through the epilogue. */
static void finish(struct emit *e, const struct attention_tile *t) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), t->lanes, t->width, 0, NULL);
  LLVMValueRef total = attention_load(e, t, t->total, l.index);
  if (t->s.a->lse)
    micro_store(e, DTYPE_F32, attention_at(e, t->correction, l.index), total);
  LLVMValueRef none = LLVMBuildFCmp(e->b, LLVMRealOEQ, total, attention_splat(e, t, 0), "");
  total = LLVMBuildSelect(e->b, none, attention_splat(e, t, 1), total, "");
  micro_store(e, DTYPE_F32, attention_at(e, t->total, l.index), total);
  emit_loop_end(e, &l, NULL);
  scale_sums(e, t, t->total, true);
  micro_transpose(e, DTYPE_F32, t->sums, emit_i64(e, STRIDE), t->values, t->depth, t->depth,
                  t->queries);
  emit_loop_begin(e, &l, emit_i64(e, 0), t->queries, 1, 0, NULL);
  attention_store_row(e, t, t->head, l.index,
                      attention_at(e, t->values, index_mul(e, l.index, t->depth)));
  if (t->s.a->lse)
    attention_store_lse(e, t, t->head, l.index,
                        micro_load(e, DTYPE_F32, attention_at(e, t->most, l.index), 1),
                        micro_load(e, DTYPE_F32, attention_at(e, t->correction, l.index), 1));
  emit_loop_end(e, &l, NULL);
}

/* ---- many ---- */

static void emit_many(struct emit *e, const struct attention_tile *tile) {
  struct attention_tile t = *tile;
  /* Lanes beyond the last query are queries of zeros. */
  attention_fill(e, &t, t.turned, index_scale(e, t.size, STRIDE), 0);
  attention_copy_rows(e, &t, 0, t.head, t.q0, t.queries, t.size, t.keys);
  micro_transpose(e, DTYPE_F32, t.keys, t.size, t.turned, emit_i64(e, STRIDE), t.queries, t.size);
  attention_fill(e, &t, t.sums, index_scale(e, t.depth, STRIDE), 0);
  attention_fill(e, &t, t.most, emit_i64(e, STRIDE), -__builtin_inf());
  attention_fill(e, &t, t.total, emit_i64(e, STRIDE), 0);
  struct attention_reach reach;
  struct emit_loop l;
  struct emit_if some;
  attention_reach_init(e, &t, &reach);
  emit_loop_begin(e, &l, reach.lo, reach.hi, KEYS, 0, NULL);
  LLVMValueRef keys = index_min(e, index_sub(e, reach.hi, l.index), emit_i64(e, KEYS));
  LLVMValueRef seen = attention_reaches(e, &t, &reach, l.index, keys);
  if (seen)
    emit_if_begin(e, &some, seen);
  key_block(e, &t, l.index, keys);
  if (seen) {
    emit_if_else(e, &some, NULL);
    emit_if_end(e, &some, NULL);
  }
  emit_loop_end(e, &l, NULL);
  finish(e, &t);
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct attention_tile t = {0};
  int64_t n;
  attention_tile_init(e, &t, number);
  bool known = dim_is_const(e->f->module->dims, t.s.q->dims[2], &n);
  if (known && n > ATTENTION_FEW) { /* a last block of few is not worth the code */
    emit_many(e, &t);
  } else if (known) {
    attention_emit_few(e, &t);
  } else {
    struct emit_if s;
    LLVMValueRef few = LLVMBuildICmp(e->b, LLVMIntSLE, t.queries, emit_i64(e, ATTENTION_FEW), "");
    emit_if_begin(e, &s, few);
    attention_emit_few(e, &t);
    emit_if_else(e, &s, NULL);
    emit_many(e, &t);
    emit_if_end(e, &s, NULL);
  }
}

const struct schedule schedule_attention = {"attention", ROOT_KIND_ATTENTION, plan, emit};
