/* SPDX-License-Identifier: Apache-2.0 */
/* Contraction by the threads of a block, without tensor cores: for every dtype.
 *
 * A tile is TILE rows by TILE columns of one batch element's product. For each TILE_K of the
 * contracted index the block brings its part of both operands to shared memory; each thread sums
 * PER x PER elements in registers, STRIDE apart, so that neighbours read neighbours. Sums then go
 * to shared memory, from which the epilogue takes them element by element, so prologue and epilogue
 * are emitted once. Every element is summed in the order of k, as contract_element does. */
#include <stdio.h>

#include "codegen/contract_shape.h"
#include "codegen/index_math.h"
#include "codegen/nvptx/block.h"
#include "codegen/schedule.h"

enum {
  TILE = 64,
  TILE_K = 16,
  STRIDE = 16, /* threads along a side of the tile */
  PER = TILE / STRIDE,
  THREADS = STRIDE * STRIDE,
};

/* Fewer rows than this leave most of a tile idle. */
#define LEAST_ROWS 8

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct dim_table *t = k->function->module->dims;
  struct contract_shape s;
  contract_shape_of(k, &s);
  dim m = dim_product(t, s.m, s.n_m), n = dim_product(t, s.n, s.n_n);
  int64_t most;
  if (m == DIM_NONE || n == DIM_NONE || dim_product(t, s.k, s.n_k) == DIM_NONE)
    return false;
  if ((dim_is_const(t, m, &most) && most < LEAST_ROWS) ||
      (dim_is_const(t, n, &most) && most < LEAST_ROWS))
    return false;
  k->block_threads = THREADS;
  kernel_grid(k, s.batch, s.n_batch);
  dim blocks[2] = {dim_ceildiv(t, m, dim_const(t, TILE)), dim_ceildiv(t, n, dim_const(t, TILE))};
  kernel_grid(k, blocks, 2);
  return true;
}

struct tile {
  struct contract_shape s;
  struct coord batch[IR_MAX_RANK];
  LLVMTypeRef type;             /* of sums */
  LLVMValueRef m, n, k, m0, n0; /* sizes, first row and column */
  LLVMValueRef shared;          /* [TILE_K][TILE] of lhs, of rhs; later [TILE][TILE] of sums */
  LLVMValueRef row, column;     /* of this thread's first element in the tile */
};

static LLVMValueRef both_below(struct emit *e, LLVMValueRef a, LLVMValueRef a_end, LLVMValueRef b,
                               LLVMValueRef b_end) {
  return LLVMBuildAnd(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, a, a_end, ""),
                      LLVMBuildICmp(e->b, LLVMIntSLT, b, b_end, ""), "");
}

static LLVMValueRef at(struct emit *e, const struct tile *t, LLVMValueRef index) {
  return LLVMBuildInBoundsGEP2(e->b, t->type, t->shared, &index, 1, "");
}

static LLVMValueRef blocks_of(struct emit *e, LLVMValueRef size) {
  return index_quotient(e, index_add(e, size, emit_i64(e, TILE - 1)), TILE);
}

static void tile_init(struct emit *e, struct tile *t, LLVMValueRef number) {
  const struct contract_shape *s = &t->s;
  contract_shape_of(e->kernel, &t->s);
  t->type = emit_type(e, s->acc, 1);
  t->m = emit_product(e, s->m, s->n_m);
  t->n = emit_product(e, s->n, s->n_n);
  t->k = emit_product(e, s->k, s->n_k);
  LLVMValueRef n_blocks = blocks_of(e, t->n), m_blocks = blocks_of(e, t->m);
  t->n0 = index_scale(e, LLVMBuildURem(e->b, number, n_blocks, ""), TILE);
  number = LLVMBuildUDiv(e->b, number, n_blocks, "");
  t->m0 = index_scale(e, LLVMBuildURem(e->b, number, m_blocks, ""), TILE);
  number = LLVMBuildUDiv(e->b, number, m_blocks, "");
  emit_delinearize(e, number, s->batch, s->n_batch, t->batch);
  t->shared = block_shared(e, "tile", t->type, TILE * TILE);
  t->row = index_quotient(e, e->lane, STRIDE);
  t->column = index_rest(e, e->lane, STRIDE);
}

/* This block's TILE_K x TILE of an operand, 0 beyond its edges. Neighbouring threads take
 * neighbouring k of a row, or neighbouring columns. */
static void bring(struct emit *e, const struct tile *t, bool left, LLVMValueRef k0) {
  struct emit_loop l;
  emit_loop_begin(e, &l, e->lane, emit_i64(e, TILE * TILE_K), THREADS, 0, NULL);
  LLVMValueRef own = left ? index_quotient(e, l.index, TILE_K) : index_rest(e, l.index, TILE);
  LLVMValueRef step = left ? index_rest(e, l.index, TILE_K) : index_quotient(e, l.index, TILE);
  LLVMValueRef k = index_add(e, k0, step), place = index_add(e, left ? t->m0 : t->n0, own);
  struct emit_if inside;
  emit_if_begin(e, &inside, both_below(e, place, left ? t->m : t->n, k, t->k));
  emit_if_else(e, &inside,
               contract_operand(e, &t->s, t->batch, left, coord_uniform(e, place),
                                coord_uniform(e, k), 1, t->s.acc));
  LLVMValueRef x = emit_if_end(e, &inside, LLVMConstNull(t->type));
  LLVMValueRef to = index_add(e, index_scale(e, step, TILE), own);
  LLVMBuildStore(e->b, x, at(e, t, left ? to : index_add(e, to, emit_i64(e, TILE_K * TILE))));
  emit_loop_end(e, &l, NULL);
}

/* sums += lhs * rhs over the TILE_K that is in shared memory. */
static void multiply(struct emit *e, const struct tile *t, LLVMValueRef *sums) {
  struct emit_loop l;
  LLVMValueRef x[PER], y[PER], next[PER * PER];
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, TILE_K), 1, PER * PER, sums);
  LLVMValueRef line = index_scale(e, l.index, TILE);
  for (int i = 0; i < PER; i++) {
    LLVMValueRef from = index_add(e, line, emit_i64(e, STRIDE * i));
    x[i] = LLVMBuildLoad2(e->b, t->type, at(e, t, index_add(e, from, t->row)), "");
    from = index_add(e, index_add(e, from, t->column), emit_i64(e, TILE_K * TILE));
    y[i] = LLVMBuildLoad2(e->b, t->type, at(e, t, from), "");
  }
  for (int i = 0; i < PER * PER; i++)
    next[i] = contract_multiply_add(e, t->s.acc, l.carried[i], x[i / PER], y[i % PER]);
  emit_loop_end(e, &l, next);
  for (int i = 0; i < PER * PER; i++)
    sums[i] = l.carried[i];
}

static void finish(struct emit *e, const struct tile *t, const LLVMValueRef *sums) {
  block_barrier(e);
  for (int i = 0; i < PER * PER; i++) {
    LLVMValueRef row = index_add(e, t->row, emit_i64(e, STRIDE * (i / PER)));
    LLVMValueRef column = index_add(e, t->column, emit_i64(e, STRIDE * (i % PER)));
    LLVMBuildStore(e->b, sums[i], at(e, t, index_add(e, index_scale(e, row, TILE), column)));
  }
  block_barrier(e);
  struct emit_loop l;
  emit_loop_begin(e, &l, e->lane, emit_i64(e, TILE * TILE), THREADS, 0, NULL);
  LLVMValueRef row = index_add(e, t->m0, index_quotient(e, l.index, TILE));
  LLVMValueRef column = index_add(e, t->n0, index_rest(e, l.index, TILE));
  struct emit_if inside;
  emit_if_begin(e, &inside, both_below(e, row, t->m, column, t->n));
  struct point p =
      contract_result_point(e, &t->s, t->batch, coord_uniform(e, row), coord_uniform(e, column), 1);
  LLVMValueRef x = LLVMBuildLoad2(e->b, t->type, at(e, t, l.index), "");
  emit_know(e, t->s.op->results[0], &p, emit_cast(e, x, t->s.acc, t->s.a->dtype, CAST_DEFAULT, 1));
  kernel_store_results(e, &p);
  emit_if_else(e, &inside, NULL);
  emit_if_end(e, &inside, NULL);
  emit_loop_end(e, &l, NULL);
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  LLVMValueRef sums[PER * PER];
  tile_init(e, &t, number);
  for (int i = 0; i < PER * PER; i++)
    sums[i] = LLVMConstNull(t.type);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), t.k, TILE_K, PER * PER, sums);
  block_barrier(e); /* the tile before, and the step before, have been read */
  bring(e, &t, true, l.index);
  bring(e, &t, false, l.index);
  block_barrier(e);
  for (int i = 0; i < PER * PER; i++)
    sums[i] = l.carried[i];
  multiply(e, &t, sums);
  emit_loop_end(e, &l, sums);
  finish(e, &t, l.carried);
}

const struct schedule schedule_contract_block = {"contract_block", ROOT_KIND_CONTRACT, plan, emit};
