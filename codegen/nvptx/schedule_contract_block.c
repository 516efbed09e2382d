/* SPDX-License-Identifier: Apache-2.0 */
/* Contraction by the threads of a block, without tensor cores, for every dtype: a tile of one batch
 * element's product (block_product.h). */
#include "codegen/contract_shape.h"
#include "codegen/index_math.h"
#include "codegen/nvptx/block_product.h"
#include "codegen/schedule.h"

/* Fewer rows than this leave most of a tile idle. */
#define LEAST_ROWS 8
/* Tiles for the processors of a large GPU, so that larger ones pay. */
#define ENOUGH_TILES 100

/* Rows and columns of a thread. */
static uint32_t choose(const struct dim_table *t, const struct contract_shape *s, dim m, dim n) {
  int64_t rows, columns, batch, tile = product_tile(PRODUCT_MOST);
  if (dtype_unpacked_bytes(s->acc) > 4 || !dim_is_const(t, m, &rows) ||
      !dim_is_const(t, n, &columns))
    return PRODUCT_PER;
  double tiles = (double)((rows + tile - 1) / tile) * (double)((columns + tile - 1) / tile);
  for (uint32_t i = 0; i < s->n_batch; i++)
    tiles *= dim_is_const(t, s->batch[i], &batch) ? (double)batch : 1;
  return rows > tile / 2 && columns > tile / 2 && tiles >= ENOUGH_TILES ? PRODUCT_MOST
                                                                        : PRODUCT_PER;
}

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
  k->choice = choose(t, &s, m, n);
  k->block_threads = PRODUCT_THREADS;
  kernel_grid(k, s.batch, s.n_batch);
  dim tile = dim_const(t, product_tile(k->choice));
  dim blocks[2] = {dim_ceildiv(t, m, tile), dim_ceildiv(t, n, tile)};
  kernel_grid(k, blocks, 2);
  return true;
}

struct tile {
  struct contract_shape s;
  struct coord batch[IR_MAX_RANK];
};

static LLVMValueRef operand(struct emit *e, const void *user, bool left, struct coord own,
                            struct coord k, uint32_t width) {
  const struct tile *t = user;
  return contract_operand(e, &t->s, t->batch, left, own, k, width, t->s.acc);
}

static void store(struct emit *e, const void *user, LLVMValueRef row, struct coord column,
                  uint32_t width, LLVMValueRef sums) {
  const struct tile *t = user;
  struct point p = contract_result_point(e, &t->s, t->batch, coord_uniform(e, row), column, width);
  emit_know(e, t->s.op->results[0], &p,
            emit_cast(e, sums, t->s.acc, t->s.a->dtype, CAST_DEFAULT, width));
  kernel_store_results(e, &p);
}

static bool divides(LLVMValueRef size, int64_t by) {
  return LLVMIsAConstantInt(size) && LLVMConstIntGetSExtValue(size) % by == 0;
}

/* Along what lies next to each other in memory, where an address says so; else by the type. */
static struct product_side side_of(struct emit *e, const struct tile *t, bool left,
                                   LLVMValueRef own, LLVMValueRef k) {
  struct product_side side = {.width = 1};
  struct coord zero = coord_zero(e),
               lanes = {.base = emit_i64(e, 0), .stride = 1, .align = PRODUCT_RUN};
  value_id v = t->s.op->operands[left ? 0 : 1];
  uint32_t buffer;
  int64_t align;
  struct point p;
  contract_operand_point(e, &t->s, t->batch, left, zero, lanes, PRODUCT_RUN, &p);
  side.along_k = emit_address(e, v, &p, &buffer, &align);
  if (!side.along_k) {
    contract_operand_point(e, &t->s, t->batch, left, lanes, zero, PRODUCT_RUN, &p);
    if (!emit_address(e, v, &p, &buffer, &align))
      side.along_k = contract_lies_along_k(e->f, &t->s, left);
  }
  if (divides(side.along_k ? k : own, PRODUCT_RUN))
    side.width = PRODUCT_RUN;
  return side;
}

static LLVMValueRef blocks_of(struct emit *e, LLVMValueRef size, uint32_t tile) {
  return index_quotient(e, index_add_n(e, size, tile - 1), tile);
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  uint32_t rows = product_tile(e->kernel->choice);
  contract_shape_of(e->kernel, &t.s);
  struct block_product p = {.acc = t.s.acc,
                            .per = e->kernel->choice,
                            .m = emit_product(e, t.s.m, t.s.n_m),
                            .n = emit_product(e, t.s.n, t.s.n_n),
                            .k = emit_product(e, t.s.k, t.s.n_k),
                            .operand = operand,
                            .store = store,
                            .user = &t};
  LLVMValueRef n_blocks = blocks_of(e, p.n, rows), m_blocks = blocks_of(e, p.m, rows);
  p.first[1] = index_scale(e, LLVMBuildURem(e->b, number, n_blocks, ""), rows);
  number = LLVMBuildUDiv(e->b, number, n_blocks, "");
  p.first[0] = index_scale(e, LLVMBuildURem(e->b, number, m_blocks, ""), rows);
  number = LLVMBuildUDiv(e->b, number, m_blocks, "");
  emit_delinearize(e, number, t.s.batch, t.s.n_batch, t.batch);
  p.side[0] = side_of(e, &t, true, p.m, p.k);
  p.side[1] = side_of(e, &t, false, p.n, p.k);
  block_product_emit(e, &p);
}

const struct schedule schedule_contract_block = {"contract_block", ROOT_KIND_CONTRACT, plan, emit};
