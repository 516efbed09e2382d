/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of f16 and bf16 by tensor cores (mma.sync, from sm_80 on), with a running softmax.
 *
 * A tile (block_attention.h) is ROWS rows, each warp has 16. Queries are in registers as fragments;
 * per `keys` keys, which lie in shared memory with their values,
 *
 *   scores of 16 rows by keys    products of fragments, sums in f32
 *   their maximum                over the four lanes of a row
 *   weights                      rounded to the operands' dtype: a product's sums are laid out as
 *                                the left fragments of the next, so they stay in registers
 *   sums of columns of v         products again, in f32, corrected as the maximum grows
 *
 * Totals are of weights that are not rounded. Scores that need more than a scale and a comparison
 * of places (a bias, positions, a cap) are finished in shared memory, one after the other, as that
 * code may be long. Few rows (a decoder's step) and parts are left to attention_block: fragments
 * would be empty.
 *
 * Source: Dao, "FlashAttention-2" (2023), for which warp has what. */
#include "codegen/index_math.h"
#include "codegen/nvptx/block.h"
#include "codegen/nvptx/block_attention.h"
#include "codegen/nvptx/ptx_instruction.h"
#include "codegen/nvptx/tensor_core.h"

enum {
  LEAST_CAPABILITY = 80,
  WARP = 32,
  WARPS = 4,
  THREADS = WARPS * WARP,
  ROWS = WARPS * 16,
  LEAST_ROWS = 16,
  PLAIN_KEYS = 64,
  KEYS = 32, /* of scores that are finished in shared memory */
  MOST_COLUMNS = 128,
  MOST_STEPS = MOST_COLUMNS / 16, /* of products over a head, or over keys */
  MOST_SCORES = PLAIN_KEYS / 8 * MATRIX_SUMS,
  MOST_SUMS = MOST_COLUMNS / 8 * MATRIX_SUMS,
  GAP = 8, /* floats between lines of results, so that lanes meet other banks */
};

struct shape {
  enum dtype dtype;
  int64_t size, depth;                   /* of heads of q and k; of v */
  uint32_t padded, columns, keys;        /* the same as blocks have them */
  uint32_t at_k, at_v, at_scores, bytes; /* shared memory: q is at 0 */
};

/* Lines of blocks are 32, 64, 128 or 256 bytes. */
static uint32_t padded(int64_t n) {
  uint32_t p = 16;
  while (p < n)
    p *= 2;
  return p;
}

/* Scores are a scale and a comparison of places away from products. */
static bool is_plain(const struct attention_attrs *a) {
  return !a->has_bias && !a->has_pos && !(a->softcap > 0);
}

/* False where this schedule does not apply. */
static bool shape_of(const struct kernel *kernel, struct block_attention *a, struct shape *s) {
  const struct dim_table *t = kernel->function->module->dims;
  int64_t queries;
  *s = (struct shape){0};
  if (!block_attention_of(kernel, a) || !dim_is_const(t, a->q->dims[3], &s->size) ||
      !dim_is_const(t, a->v->dims[3], &s->depth) || s->size < 1 || s->size > MOST_COLUMNS ||
      s->depth < 1 || s->depth > MOST_COLUMNS)
    return false;
  if (dim_is_const(t, a->q->dims[2], &queries) && queries * a->group < LEAST_ROWS)
    return false;
  s->dtype = a->q->dtype;
  if (a->o->dtype != s->dtype) /* parts, whose sums are f32: rounded weights would show */
    return false;
  s->padded = padded(s->size);
  s->columns = padded(s->depth);
  s->keys = is_plain(a->a) ? PLAIN_KEYS : KEYS;
  s->at_k = ROWS * s->padded * 2;
  s->at_v = s->at_k + s->keys * s->padded * 2;
  s->at_scores = s->at_v + s->keys * s->columns * 2;
  s->bytes = s->at_scores + (is_plain(a->a) ? 0 : ROWS * s->keys * 4);
  uint32_t results = ROWS * (s->columns + GAP) * 4;
  s->bytes = s->bytes > results ? s->bytes : results;
  a->rows = ROWS;
  return s->dtype == DTYPE_F16 || s->dtype == DTYPE_BF16;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  struct block_attention a;
  struct shape s;
  if (isa->capability < LEAST_CAPABILITY || !shape_of(k, &a, &s) || s.bytes > isa->shared_bytes ||
      !block_attention_grid(k, &a))
    return false;
  k->block_threads = THREADS;
  k->shared_bytes = s.bytes;
  return true;
}

/* ---- emission ---- */

struct tile {
  struct block_attention a;
  struct shape s;
  LLVMValueRef memory;     /* shared */
  LLVMValueRef own_row;    /* first of this lane's two in the tile; the other is 8 on */
  LLVMValueRef own_column; /* first of two neighbours, of each 8 */
  LLVMValueRef warp_row;   /* i32: of this warp in the tile */
  LLVMValueRef queries[MOST_STEPS][MATRIX_A_WORDS];
};

/* Of a lane's two rows, from block to block of keys; totals are the lane's own part. */
struct state {
  LLVMValueRef most[2], total[2], sums[MOST_SUMS];
};

static LLVMValueRef f32(struct emit *e, double x) { return LLVMConstReal(e->f32, x); }
static LLVMValueRef i32(struct emit *e, uint32_t x) { return LLVMConstInt(e->i32, x, false); }
static LLVMValueRef word(struct emit *e, LLVMValueRef x) {
  return LLVMBuildTrunc(e->b, x, e->i32, "");
}

static LLVMValueRef at(struct emit *e, const struct tile *t, LLVMValueRef byte) {
  return LLVMBuildInBoundsGEP2(e->b, e->i8, t->memory, &byte, 1, "");
}

static void tile_init(struct emit *e, struct tile *t, LLVMValueRef number) {
  shape_of(e->kernel, &t->a, &t->s);
  block_attention_init(e, &t->a, number);
  t->memory = block_dynamic(e);
  LLVMValueRef warp = index_quotient(e, e->lane, WARP), lane = index_rest(e, e->lane, WARP);
  t->own_row = index_add(e, index_scale(e, warp, 16), index_quotient(e, lane, 4));
  t->own_column = index_scale(e, index_rest(e, lane, 4), 2);
  t->warp_row = word(e, index_scale(e, warp, 16));
}

static struct matrix_block key_block(const struct shape *s) {
  return (struct matrix_block){.along_k = true, .own = s->keys, .k = s->padded, .bytes = 2};
}
static struct matrix_block value_block(const struct shape *s) {
  return (struct matrix_block){.own = s->columns, .k = s->keys, .bytes = 2};
}
static struct matrix_block query_block(const struct shape *s) {
  return (struct matrix_block){.along_k = true, .own = ROWS, .k = s->padded, .bytes = 2};
}

/* ---- operands to shared memory ---- */

struct bring {
  uint32_t operand, place;
  struct matrix_block block;
  LLVMValueRef first, end; /* keys; first NULL: the tile's rows of q */
};

/* Zeros beyond the operand's edges; `width` elements of a line at a time. */
static void bring_by(struct emit *e, const struct tile *t, const struct bring *w, uint32_t width) {
  value_id v = t->a.op->operands[w->operand];
  int64_t n = w->operand == 2 ? t->s.depth : t->s.size;
  uint32_t steps = matrix_line_bytes(&w->block) / 2 / width;
  struct emit_loop l;
  emit_loop_begin(e, &l, e->lane, emit_i64(e, matrix_lines(&w->block) * steps), THREADS, 0, NULL);
  LLVMValueRef line = index_quotient(e, l.index, steps),
               column = index_scale(e, index_rest(e, l.index, steps), width);
  struct point p = {.rank = 4, .width = width};
  LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntSLT, column, emit_i64(e, n), "");
  p.c[0] = coord_uniform(e, t->a.batch);
  p.c[1] = coord_uniform(e, t->a.head);
  if (w->first) {
    LLVMValueRef key = index_add(e, w->first, line);
    p.c[2] = coord_uniform(e, key);
    inside = LLVMBuildAnd(e->b, inside, LLVMBuildICmp(e->b, LLVMIntSLT, key, w->end, ""), "");
  } else {
    LLVMValueRef row = block_attention_row(e, &t->a, line);
    p.c[1] = coord_uniform(e, block_attention_head(e, &t->a, row));
    p.c[2] = coord_uniform(e, block_attention_query(e, &t->a, row));
  }
  p.c[3] = (struct coord){.base = column, .stride = width > 1, .align = width};
  struct emit_if s;
  emit_if_begin(e, &s, inside);
  LLVMValueRef x = emit_encode(e, t->s.dtype, emit_value(e, v, &p), width);
  emit_if_else(e, &s, x);
  x = emit_if_end(e, &s, LLVMConstNull(LLVMTypeOf(x)));
  LLVMValueRef place =
      matrix_place(e, &w->block, word(e, line), word(e, index_quotient(e, column, 8)));
  place = index_add(e, place, index_scale(e, word(e, index_rest(e, column, 8)), 2));
  LLVMValueRef to = at(e, t, index_add(e, place, i32(e, w->place)));
  LLVMSetAlignment(LLVMBuildStore(e->b, x, to), 2 * width);
  emit_loop_end(e, &l, NULL);
}

static void bring(struct emit *e, const struct tile *t, const struct bring *w) {
  int64_t n = w->operand == 2 ? t->s.depth : t->s.size;
  uint32_t width = 8;
  while (n % width)
    width /= 2;
  if (width == 1) {
    bring_by(e, t, w, 1);
    return;
  }
  struct emit_if aligned;
  emit_if_begin(e, &aligned, emit_are_aligned(e, MATRIX_CHUNK));
  e->base_align = MATRIX_CHUNK;
  bring_by(e, t, w, width);
  e->base_align = 0;
  emit_if_else(e, &aligned, NULL);
  bring_by(e, t, w, width);
  emit_if_end(e, &aligned, NULL);
}

static void load_queries(struct emit *e, struct tile *t) {
  struct matrix_block block = query_block(&t->s);
  bring(e, t, &(struct bring){0, 0, block, NULL, NULL});
  block_barrier(e);
  for (uint32_t step = 0; step < t->s.padded / 16; step++)
    matrix_load_a(e, &block, t->memory, t->warp_row, 0, step, t->queries[step]);
}

/* ---- scores ---- */

/* Element i of this lane's part of 8 columns: rows come in pairs, columns are neighbours. */
static LLVMValueRef row_of(struct emit *e, const struct tile *t, uint32_t i) {
  return index_add_n(e, t->own_row, 8 * (i / 2));
}
static LLVMValueRef column_of(struct emit *e, const struct tile *t, uint32_t block, uint32_t i) {
  return index_add_n(e, t->own_column, 8 * block + i % 2);
}

static void products(struct emit *e, const struct tile *t, LLVMValueRef *scores) {
  struct matrix_block block = key_block(&t->s);
  LLVMValueRef memory = at(e, t, i32(e, t->s.at_k)), b[MATRIX_B_WORDS];
  for (uint32_t i = 0; i < t->s.keys / 8 * MATRIX_SUMS; i++)
    scores[i] = f32(e, 0);
  for (uint32_t step = 0; step < t->s.padded / 16; step++) {
    for (uint32_t j = 0; j < t->s.keys / 16; j++) {
      matrix_load_b(e, &block, memory, i32(e, 0), j, step, b);
      for (uint32_t half = 0; half < 2; half++)
        matrix_multiply(e, t->s.dtype, t->s.dtype, t->queries[step], b + 2 * half,
                        scores + MATRIX_SUMS * (2 * j + half));
    }
  }
}

/* Of a lane's rows: the keys from [0] to [1] take part. Places are positions, shifted. */
static void plain_range(struct emit *e, const struct tile *t, uint32_t row, LLVMValueRef end,
                        LLVMValueRef out[2]) {
  const struct attention_attrs *a = t->a.a;
  LLVMValueRef query = block_attention_query(
      e, &t->a, block_attention_row(e, &t->a, index_add_n(e, t->own_row, 8 * row)));
  LLVMValueRef place = index_add(e, query, index_sub(e, t->a.k_len, t->a.q_len));
  out[0] = a->window > 0 ? index_add_n(e, place, 1 - a->window) : emit_i64(e, 0);
  out[1] = a->causal ? index_min(e, end, index_add_n(e, place, 1)) : end;
}

static void finish_plainly(struct emit *e, const struct tile *t, LLVMValueRef key0,
                           LLVMValueRef end, LLVMValueRef *scores) {
  LLVMValueRef range[2][2], minus = f32(e, -__builtin_inf());
  for (uint32_t row = 0; row < 2; row++) {
    plain_range(e, t, row, end, range[row]);
    for (uint32_t i = 0; i < 2; i++) /* as a place in the block, so that words will do */
      range[row][i] = word(
          e, index_max(e, emit_i64(e, 0),
                       index_min(e, emit_i64(e, t->s.keys), index_sub(e, range[row][i], key0))));
  }
  for (uint32_t n = 0; n < t->s.keys / 8 * MATRIX_SUMS; n++) {
    uint32_t i = n % MATRIX_SUMS;
    LLVMValueRef column = word(e, column_of(e, t, n / MATRIX_SUMS, i));
    LLVMValueRef x = LLVMBuildFMul(e->b, scores[n], f32(e, t->a.a->scale), "");
    LLVMValueRef in = LLVMBuildICmp(e->b, LLVMIntSLT, column, range[i / 2][1], "");
    if (t->a.a->window > 0)
      in = LLVMBuildAnd(e->b, in, LLVMBuildICmp(e->b, LLVMIntSGE, column, range[i / 2][0], ""), "");
    scores[n] = LLVMBuildSelect(e->b, in, x, minus, "");
  }
}

/* One of this lane's scores after another, where they lie. */
static void finish_at_length(struct emit *e, const struct tile *t, LLVMValueRef key0,
                             LLVMValueRef end, LLVMValueRef *scores) {
  uint32_t n = t->s.keys / 8 * MATRIX_SUMS;
  LLVMValueRef own = index_add_n(e, index_scale(e, e->lane, 4), t->s.at_scores);
  for (uint32_t i = 0; i < n; i++)
    LLVMBuildStore(e->b, scores[i], at(e, t, index_add_n(e, own, i * THREADS * 4)));
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, n), 1, 0, NULL);
  LLVMValueRef i = index_rest(e, l.index, MATRIX_SUMS);
  LLVMValueRef row = index_add(e, t->own_row, index_scale(e, index_quotient(e, i, 2), 8));
  LLVMValueRef column = index_scale(e, index_quotient(e, l.index, MATRIX_SUMS), 8);
  column = index_add(e, index_add(e, column, t->own_column), index_rest(e, i, 2));
  LLVMValueRef place = at(e, t, index_add(e, own, index_scale(e, l.index, THREADS * 4)));
  LLVMValueRef x = LLVMBuildLoad2(e->b, e->f32, place, "");
  x = block_attention_score(e, &t->a, block_attention_row(e, &t->a, row),
                            index_add(e, key0, column), end, x);
  LLVMBuildStore(e->b, x, place);
  emit_loop_end(e, &l, NULL);
  for (uint32_t k = 0; k < n; k++)
    scores[k] = LLVMBuildLoad2(e->b, e->f32, at(e, t, index_add_n(e, own, k * THREADS * 4)), "");
}

/* ---- the softmax ---- */

/* Scores of the lane's row become weights, and what was summed before is corrected. */
static void soften(struct emit *e, const struct tile *t, uint32_t row, LLVMValueRef *scores,
                   struct state *st) {
  uint32_t n = t->s.keys / 8 * MATRIX_SUMS;
  LLVMValueRef most = st->most[row], sum = f32(e, 0);
  for (uint32_t i = 0; i < n; i++)
    if (i % MATRIX_SUMS / 2 == row)
      most = emit_combine(e, COMBINER_MAX, DTYPE_F32, most, scores[i], 1);
  most = warp_combine(e, COMBINER_MAX, DTYPE_F32, most, 4);
  LLVMValueRef dead = LLVMBuildFCmp(e->b, LLVMRealOEQ, most, f32(e, -__builtin_inf()), "");
  LLVMValueRef shift = LLVMBuildSelect(e->b, dead, f32(e, 0), most, "");
  LLVMValueRef correction = LLVMBuildFSub(e->b, st->most[row], shift, "");
  correction = vmath_emit(e->math, e->b, VMATH_exp, &correction);
  for (uint32_t i = 0; i < n; i++) {
    if (i % MATRIX_SUMS / 2 != row)
      continue;
    scores[i] = LLVMBuildFSub(e->b, scores[i], shift, "");
    scores[i] = vmath_emit(e->math, e->b, VMATH_exp, &scores[i]);
    sum = LLVMBuildFAdd(e->b, sum, scores[i], "");
  }
  st->most[row] = most;
  st->total[row] =
      LLVMBuildFAdd(e->b, sum, LLVMBuildFMul(e->b, st->total[row], correction, ""), "");
  for (uint32_t i = 0; i < t->s.columns / 8 * MATRIX_SUMS; i++)
    if (i % MATRIX_SUMS / 2 == row)
      st->sums[i] = LLVMBuildFMul(e->b, st->sums[i], correction, "");
}

/* Two weights as a register of a fragment, the first in the low half. */
static LLVMValueRef pair_of(struct emit *e, const struct tile *t, const LLVMValueRef *weights) {
  LLVMValueRef args[2] = {weights[1], weights[0]};
  const char *name = t->s.dtype == DTYPE_F16 ? "llvm.nvvm.ff2f16x2.rn" : "llvm.nvvm.ff2bf16x2.rn";
  return LLVMBuildBitCast(e->b, nvptx_call(e, name, args, 2), e->i32, "");
}

/* sums += weights * v */
static void weigh(struct emit *e, const struct tile *t, const LLVMValueRef *weights,
                  struct state *st) {
  struct matrix_block block = value_block(&t->s);
  LLVMValueRef memory = at(e, t, i32(e, t->s.at_v)), a[MATRIX_A_WORDS], b[MATRIX_B_WORDS];
  for (uint32_t step = 0; step < t->s.keys / 16; step++) {
    const LLVMValueRef *own = weights + 2 * MATRIX_SUMS * step;
    for (uint32_t i = 0; i < MATRIX_A_WORDS; i++)
      a[i] = pair_of(e, t, own + 2 * i);
    for (uint32_t j = 0; j < t->s.columns / 16; j++) {
      matrix_load_b(e, &block, memory, i32(e, 0), j, step, b);
      for (uint32_t half = 0; half < 2; half++)
        matrix_multiply(e, t->s.dtype, t->s.dtype, a, b + 2 * half,
                        st->sums + MATRIX_SUMS * (2 * j + half));
    }
  }
}

static void take_keys(struct emit *e, const struct tile *t, LLVMValueRef key0, LLVMValueRef end,
                      struct state *st) {
  LLVMValueRef scores[MOST_SCORES];
  block_barrier(e); /* the keys before have been read */
  bring(e, t, &(struct bring){1, t->s.at_k, key_block(&t->s), key0, end});
  bring(e, t, &(struct bring){2, t->s.at_v, value_block(&t->s), key0, end});
  block_barrier(e);
  products(e, t, scores);
  (is_plain(t->a.a) ? finish_plainly : finish_at_length)(e, t, key0, end, scores);
  for (uint32_t row = 0; row < 2; row++)
    soften(e, t, row, scores, st);
  weigh(e, t, scores, st);
}

/* ---- results ---- */

static LLVMValueRef result_at(struct emit *e, const struct tile *t, LLVMValueRef row,
                              LLVMValueRef column) {
  LLVMValueRef index = index_add(e, index_scale(e, row, t->s.columns + GAP), column);
  return LLVMBuildInBoundsGEP2(e->b, e->f32, t->memory, &index, 1, "");
}

/* Sums over totals, 1 where no key was seen, to shared memory. */
static void put_results(struct emit *e, const struct tile *t, const struct state *st) {
  LLVMValueRef totals[2];
  for (uint32_t row = 0; row < 2; row++) {
    LLVMValueRef none = LLVMBuildFCmp(e->b, LLVMRealOEQ, st->total[row], f32(e, 0), "");
    totals[row] = LLVMBuildSelect(e->b, none, f32(e, 1), st->total[row], "");
  }
  for (uint32_t i = 0; i < t->s.columns / 8 * MATRIX_SUMS; i++) {
    uint32_t in = i % MATRIX_SUMS;
    LLVMValueRef x = LLVMBuildFDiv(e->b, st->sums[i], totals[in / 2], "");
    LLVMBuildStore(e->b, x,
                   result_at(e, t, row_of(e, t, in), column_of(e, t, i / MATRIX_SUMS, in)));
  }
}

static void store_results(struct emit *e, const struct tile *t, uint32_t width) {
  int64_t steps = t->s.depth / width;
  struct emit_loop l;
  emit_loop_begin(e, &l, e->lane, emit_i64(e, ROWS * steps), THREADS, 0, NULL);
  LLVMValueRef row = index_quotient(e, l.index, steps),
               column = index_scale(e, index_rest(e, l.index, steps), width);
  struct emit_if inside;
  emit_if_begin(e, &inside, block_attention_is_row(e, &t->a, row));
  LLVMTypeRef type = width == 1 ? e->f32 : LLVMVectorType(e->f32, width);
  LLVMValueRef x = LLVMBuildLoad2(e->b, type, result_at(e, t, row, column), "");
  LLVMSetAlignment(x, width < 4 ? 4 * width : 16);
  struct point p = block_attention_result_point(e, &t->a, row, 4);
  p.width = width;
  p.c[p.rank - 1] = (struct coord){.base = column, .stride = width > 1, .align = width};
  emit_know(e, t->a.op->results[0], &p, emit_round_to(e, t->a.o->dtype, x, width));
  kernel_store_results(e, &p);
  emit_if_else(e, &inside, NULL);
  emit_if_end(e, &inside, NULL);
  emit_loop_end(e, &l, NULL);
}

static void finish(struct emit *e, const struct tile *t, struct state *st) {
  LLVMValueRef first = LLVMBuildICmp(e->b, LLVMIntEQ, t->own_column, emit_i64(e, 0), "");
  for (uint32_t row = 0; row < 2; row++) {
    st->total[row] = warp_combine(e, COMBINER_SUM, DTYPE_F32, st->total[row], 4);
    if (t->a.a->lse)
      block_attention_store_lse(e, &t->a, index_add_n(e, t->own_row, 8 * row), st->most[row],
                                st->total[row], first);
  }
  block_barrier(e);
  put_results(e, t, st);
  block_barrier(e);
  uint32_t width = 8;
  while (t->s.depth % width)
    width /= 2;
  struct emit_if aligned;
  emit_if_begin(e, &aligned, emit_are_aligned(e, MATRIX_CHUNK));
  e->base_align = MATRIX_CHUNK;
  store_results(e, t, width);
  e->base_align = 0;
  emit_if_else(e, &aligned, NULL);
  store_results(e, t, 1);
  emit_if_end(e, &aligned, NULL);
  block_barrier(e); /* before the next tile's queries */
}

/* The state as what a loop carries, and back. */
static uint32_t pack(const struct tile *t, const struct state *st, LLVMValueRef *out) {
  uint32_t n = 0;
  for (uint32_t row = 0; row < 2; row++) {
    out[n++] = st->most[row];
    out[n++] = st->total[row];
  }
  for (uint32_t i = 0; i < t->s.columns / 8 * MATRIX_SUMS; i++)
    out[n++] = st->sums[i];
  return n;
}
static void unpack(const struct tile *t, const LLVMValueRef *in, struct state *st) {
  for (uint32_t row = 0; row < 2; row++) {
    st->most[row] = *in++;
    st->total[row] = *in++;
  }
  for (uint32_t i = 0; i < t->s.columns / 8 * MATRIX_SUMS; i++)
    st->sums[i] = *in++;
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  struct state st;
  LLVMValueRef carried[EMIT_MAX_CARRIED], lo, hi;
  tile_init(e, &t, number);
  for (uint32_t row = 0; row < 2; row++) {
    st.most[row] = f32(e, -__builtin_inf());
    st.total[row] = f32(e, 0);
  }
  for (uint32_t i = 0; i < MOST_SUMS; i++)
    st.sums[i] = f32(e, 0);
  load_queries(e, &t);
  block_attention_key_range(e, &t.a, THREADS, &lo, &hi);
  struct emit_loop l;
  uint32_t n = pack(&t, &st, carried);
  emit_loop_begin(e, &l, lo, hi, t.s.keys, n, carried);
  unpack(&t, l.carried, &st);
  take_keys(e, &t, l.index, hi, &st);
  pack(&t, &st, carried);
  emit_loop_end(e, &l, carried);
  unpack(&t, l.carried, &st);
  finish(e, &t, &st);
}

const struct schedule schedule_attention_mma = {"attention_mma", ROOT_KIND_ATTENTION, plan, emit};
