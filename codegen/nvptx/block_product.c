/* SPDX-License-Identifier: Apache-2.0 */
/* A tile of a product of matrices; see block_product.h. */
#include "codegen/nvptx/block_product.h"

#include <string.h>

#include "codegen/contract_util.h"
#include "codegen/index_math.h"
#include "codegen/nvptx/block.h"

enum {
  SIDE = 16, /* threads along a side of the tile: each has 4 rows (columns) of every SIDE * 4 */
  RUN = PRODUCT_RUN,
  PAD = 4,     /* elements behind a line in shared memory */
  AT_ONCE = 4, /* of PRODUCT_K: code of a step */
  BYTES = 16,
  MOST_SUMS = PRODUCT_MOST * PRODUCT_MOST,
  MOST_CHUNKS = 2 * PRODUCT_MOST,
};

struct state {
  const struct block_product *p;
  LLVMTypeRef type;     /* of sums */
  LLVMValueRef shared;  /* [stage][side][PRODUCT_K][line] */
  uint32_t tile, line;  /* elements: of the tile's side; from a k to the next in shared memory */
  LLVMValueRef aligned; /* i1: all buffers begin at multiples of BYTES */
  LLVMValueRef row, column; /* i32: of this thread's first square */
};

uint32_t product_tile(uint32_t per) { return SIDE * per; }

static LLVMValueRef i32(struct emit *e, uint32_t x) { return LLVMConstInt(e->i32, x, false); }
static LLVMValueRef less(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildICmp(e->b, LLVMIntSLT, a, b, "");
}

static uint32_t side_elements(const struct state *s) { return PRODUCT_K * s->line; }
static uint32_t stage_elements(const struct state *s) { return 2 * side_elements(s); }

static LLVMValueRef shared_at(struct emit *e, const struct state *s, LLVMValueRef index) {
  return LLVMBuildInBoundsGEP2(e->b, s->type, s->shared, &index, 1, "");
}

static uint32_t run_align(const struct state *s, uint32_t width) {
  uint32_t bytes = width * dtype_unpacked_bytes(s->p->acc);
  return bytes < BYTES ? bytes : BYTES;
}

/* ---- bringing operands ---- */

static uint32_t chunks_of(const struct state *s, const struct product_side *side) {
  return s->tile * PRODUCT_K / PRODUCT_THREADS / side->width;
}

/* Where chunk `i` of this thread lies in the tile's part. Chunks of a thread are whole lines apart.
 */
static void chunk_place(struct emit *e, const struct state *s, const struct product_side *side,
                        uint32_t i, LLVMValueRef *out_own, LLVMValueRef *out_k) {
  uint32_t per_line = (side->along_k ? (uint32_t)PRODUCT_K : s->tile) / side->width;
  LLVMValueRef line = index_quotient(e, e->lane, per_line);
  LLVMValueRef along = index_scale(e, index_rest(e, e->lane, per_line), side->width);
  line = index_add_n(e, line, (int64_t)i * PRODUCT_THREADS / per_line);
  *out_own = side->along_k ? line : along;
  *out_k = side->along_k ? along : line;
}

/* `width` elements of an operand along the side's direction. */
static LLVMValueRef read(struct emit *e, const struct state *s, bool left, LLVMValueRef own,
                         LLVMValueRef k, uint32_t width) {
  bool along_k = s->p->side[left ? 0 : 1].along_k;
  struct coord c_own = coord_uniform(e, own), c_k = coord_uniform(e, k);
  if (width > 1)
    *(along_k ? &c_k : &c_own) =
        (struct coord){.base = along_k ? k : own, .stride = 1, .align = width};
  return s->p->operand(e, s->p->user, left, c_own, c_k, width);
}

static LLVMValueRef read_singly(struct emit *e, const struct state *s, bool left, LLVMValueRef own,
                                LLVMValueRef k, uint32_t width) {
  bool along_k = s->p->side[left ? 0 : 1].along_k;
  LLVMValueRef x = LLVMGetPoison(LLVMVectorType(s->type, width));
  for (uint32_t l = 0; l < width; l++) {
    LLVMValueRef y = read(e, s, left, along_k ? own : index_add_n(e, own, l),
                          along_k ? index_add_n(e, k, l) : k, 1);
    x = LLVMBuildInsertElement(e->b, x, y, emit_i64(e, l), "");
  }
  return x;
}

/* A chunk of the part at k0; zeros beyond the edges. */
static LLVMValueRef bring_chunk(struct emit *e, const struct state *s, bool left, uint32_t i,
                                LLVMValueRef k0) {
  const struct product_side *side = &s->p->side[left ? 0 : 1];
  LLVMValueRef own, k, x;
  chunk_place(e, s, side, i, &own, &k);
  own = index_add(e, s->p->first[left ? 0 : 1], own);
  k = index_add(e, k0, k);
  struct emit_if inside, aligned;
  emit_if_begin(
      e, &inside,
      LLVMBuildAnd(e->b, less(e, own, left ? s->p->m : s->p->n), less(e, k, s->p->k), ""));
  if (side->width == 1) {
    x = read(e, s, left, own, k, 1);
  } else {
    emit_if_begin(e, &aligned, s->aligned);
    e->base_align = BYTES;
    x = read(e, s, left, own, k, side->width);
    e->base_align = 0;
    emit_if_else(e, &aligned, x);
    x = emit_if_end(e, &aligned, read_singly(e, s, left, own, k, side->width));
  }
  emit_if_else(e, &inside, x);
  return emit_if_end(e, &inside, LLVMConstNull(emit_type(e, s->p->acc, side->width)));
}

/* This thread's chunks of both operands: left, then right. */
static void bring(struct emit *e, const struct state *s, LLVMValueRef k0, LLVMValueRef *out) {
  for (int right = 0; right < 2; right++)
    for (uint32_t i = 0; i < chunks_of(s, &s->p->side[right]); i++)
      *out++ = bring_chunk(e, s, !right, i, k0);
}

static void put_chunk(struct emit *e, const struct state *s, bool left, uint32_t i,
                      LLVMValueRef stage, LLVMValueRef x) {
  const struct product_side *side = &s->p->side[left ? 0 : 1];
  LLVMValueRef own, k;
  chunk_place(e, s, side, i, &own, &k);
  LLVMValueRef at = index_add(e, index_scale(e, k, s->line), own);
  at = index_add(e, LLVMBuildTrunc(e->b, at, e->i32, ""), stage);
  at = index_add_n(e, at, left ? 0 : side_elements(s));
  if (!side->along_k || side->width == 1) {
    LLVMSetAlignment(LLVMBuildStore(e->b, x, shared_at(e, s, at)), run_align(s, side->width));
    return;
  }
  for (uint32_t l = 0; l < side->width; l++)
    LLVMBuildStore(e->b, emit_lane(e, x, side->width, l),
                   shared_at(e, s, index_add_n(e, at, (int64_t)l * s->line)));
}

static void put(struct emit *e, const struct state *s, LLVMValueRef stage, const LLVMValueRef *x) {
  for (int right = 0; right < 2; right++)
    for (uint32_t i = 0; i < chunks_of(s, &s->p->side[right]); i++)
      put_chunk(e, s, !right, i, stage, *x++);
}

/* ---- products ---- */

/* Rows (columns) of this thread at a k: RUN of each square. */
static void load_squares(struct emit *e, const struct state *s, LLVMValueRef line,
                         LLVMValueRef first, LLVMValueRef *out) {
  for (uint32_t i = 0; i < s->p->per; i += RUN) {
    LLVMValueRef at = index_add_n(e, index_add(e, line, first), (int64_t)i * SIDE);
    LLVMValueRef x = LLVMBuildLoad2(e->b, LLVMVectorType(s->type, RUN), shared_at(e, s, at), "");
    LLVMSetAlignment(x, run_align(s, RUN));
    for (uint32_t l = 0; l < RUN; l++)
      out[i + l] = emit_lane(e, x, RUN, l);
  }
}

/* sums += the products of what a stage holds. */
static void multiply(struct emit *e, const struct state *s, LLVMValueRef stage,
                     LLVMValueRef *sums) {
  uint32_t per = s->p->per;
  LLVMValueRef x[PRODUCT_MOST], y[PRODUCT_MOST], next[MOST_SUMS];
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, PRODUCT_K), AT_ONCE, per * per, sums);
  memcpy(next, l.carried, per * per * sizeof *next);
  LLVMValueRef from = LLVMBuildTrunc(e->b, index_scale(e, l.index, s->line), e->i32, "");
  from = index_add(e, from, stage);
  for (uint32_t i = 0; i < AT_ONCE; i++) {
    LLVMValueRef line = index_add_n(e, from, (int64_t)i * s->line);
    load_squares(e, s, line, s->row, x);
    load_squares(e, s, index_add_n(e, line, side_elements(s)), s->column, y);
    for (uint32_t j = 0; j < per * per; j++)
      next[j] = contract_multiply_add(e, s->p->acc, next[j], x[j / per], y[j % per]);
  }
  emit_loop_end(e, &l, next);
  memcpy(sums, l.carried, per * per * sizeof *sums);
}

static void sum_up(struct emit *e, const struct state *s, LLVMValueRef *sums) {
  uint32_t n = s->p->per * s->p->per;
  LLVMValueRef chunks[MOST_CHUNKS], carried[MOST_SUMS + 1], now, other;
  bring(e, s, emit_i64(e, 0), chunks);
  block_barrier(e); /* the tile before has been read */
  put(e, s, i32(e, 0), chunks);
  block_barrier(e);
  memcpy(carried, sums, n * sizeof *sums);
  carried[n] = i32(e, 0);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), s->p->k, PRODUCT_K, n + 1, carried);
  memcpy(carried, l.carried, n * sizeof *sums);
  now = l.carried[n];
  other = LLVMBuildSub(e->b, i32(e, stage_elements(s)), now, "");
  bring(e, s, index_add_n(e, l.index, PRODUCT_K), chunks);
  multiply(e, s, now, carried);
  put(e, s, other, chunks);
  block_barrier(e);
  carried[n] = other;
  emit_loop_end(e, &l, carried);
  memcpy(sums, l.carried, n * sizeof *sums);
}

/* ---- results ---- */

/* The sums of the run that `number` says: RUN columns of a row. */
static void pick_run(struct emit *e, const struct state *s, LLVMValueRef number,
                     const LLVMValueRef *sums, LLVMValueRef *out) {
  uint32_t n = s->p->per * s->p->per / RUN;
  LLVMBasicBlockRef blocks[MOST_SUMS / RUN];
  for (uint32_t i = 0; i < n; i++)
    blocks[i] = LLVMAppendBasicBlockInContext(e->context, e->fn, "");
  LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(e->context, e->fn, "");
  LLVMValueRef choice = LLVMBuildSwitch(e->b, number, blocks[n - 1], n);
  for (uint32_t i = 0; i < n; i++) {
    if (i + 1 < n)
      LLVMAddCase(choice, emit_i64(e, i), blocks[i]);
    LLVMPositionBuilderAtEnd(e->b, blocks[i]);
    LLVMBuildBr(e->b, done);
  }
  LLVMPositionBuilderAtEnd(e->b, done);
  for (uint32_t l = 0; l < RUN; l++) {
    out[l] = LLVMBuildPhi(e->b, s->type, "");
    for (uint32_t i = 0; i < n; i++) {
      LLVMValueRef x = sums[i * RUN + l];
      LLVMAddIncoming(out[l], &x, &blocks[i], 1);
    }
  }
}

static LLVMValueRef wide(struct emit *e, LLVMValueRef x) {
  return LLVMBuildZExt(e->b, x, e->i64, "");
}

/* Columns of a run one by one, up to the last that there is. */
static void store_singly(struct emit *e, const struct state *s, LLVMValueRef row,
                         LLVMValueRef column, const LLVMValueRef *run) {
  struct emit_loop l;
  LLVMValueRef rest = LLVMBuildSub(e->b, s->p->n, column, "");
  emit_loop_begin(e, &l, emit_i64(e, 0), index_min(e, rest, emit_i64(e, RUN)), 1, 0, NULL);
  LLVMValueRef x = run[0];
  for (uint32_t i = 1; i < RUN; i++)
    x = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, l.index, emit_i64(e, i), ""), run[i],
                        x, "");
  s->p->store(e, s->p->user, row, coord_uniform(e, index_add(e, column, l.index)), 1, x);
  emit_loop_end(e, &l, NULL);
}

static void store_run(struct emit *e, const struct state *s, LLVMValueRef row, LLVMValueRef column,
                      const LLVMValueRef *run) {
  struct emit_if inside, whole;
  LLVMValueRef end = index_add_n(e, column, RUN);
  LLVMValueRef fits = LLVMBuildICmp(e->b, LLVMIntSLE, end, s->p->n, "");
  emit_if_begin(e, &inside, less(e, row, s->p->m));
  emit_if_begin(e, &whole, LLVMBuildAnd(e->b, fits, s->aligned, ""));
  LLVMValueRef x = LLVMGetPoison(LLVMVectorType(s->type, RUN));
  for (uint32_t i = 0; i < RUN; i++)
    x = LLVMBuildInsertElement(e->b, x, run[i], emit_i64(e, i), "");
  e->base_align = BYTES;
  s->p->store(e, s->p->user, row, (struct coord){.base = column, .stride = 1, .align = RUN}, RUN,
              x);
  e->base_align = 0;
  emit_if_else(e, &whole, NULL);
  store_singly(e, s, row, column, run);
  emit_if_end(e, &whole, NULL);
  emit_if_else(e, &inside, NULL);
  emit_if_end(e, &inside, NULL);
}

/* Run by run, so that what follows the product is emitted once (and once for single columns). */
static void store_all(struct emit *e, const struct state *s, const LLVMValueRef *sums) {
  uint32_t per = s->p->per, runs = per / RUN;
  struct emit_loop l;
  LLVMValueRef run[RUN];
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, (int64_t)per * runs), 1, 0, NULL);
  pick_run(e, s, l.index, sums, run);
  LLVMValueRef i = index_quotient(e, l.index, runs), j = index_rest(e, l.index, runs);
  LLVMValueRef square = index_scale(e, index_quotient(e, i, RUN), SIDE * RUN);
  LLVMValueRef row = index_add(e, wide(e, s->row), index_add(e, square, index_rest(e, i, RUN)));
  LLVMValueRef column = index_add(e, wide(e, s->column), index_scale(e, j, SIDE * RUN));
  store_run(e, s, index_add(e, s->p->first[0], row), index_add(e, s->p->first[1], column), run);
  emit_loop_end(e, &l, NULL);
}

void block_product_emit(struct emit *e, const struct block_product *p) {
  struct state s = {.p = p, .type = emit_type(e, p->acc, 1), .tile = product_tile(p->per)};
  LLVMValueRef sums[MOST_SUMS], lane = LLVMBuildTrunc(e->b, e->lane, e->i32, "");
  s.line = s.tile + PAD;
  s.shared = block_shared(e, "product", s.type, 2 * stage_elements(&s));
  s.aligned = emit_are_aligned(e, BYTES);
  s.row = index_scale(e, index_quotient(e, lane, SIDE), RUN);
  s.column = index_scale(e, index_rest(e, lane, SIDE), RUN);
  for (uint32_t i = 0; i < p->per * p->per; i++)
    sums[i] = LLVMConstNull(s.type);
  sum_up(e, &s, sums);
  store_all(e, &s, sums);
}
