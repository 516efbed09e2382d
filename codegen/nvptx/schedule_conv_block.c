/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution by the threads of a block, without tensor cores, for every dtype: products of
 * matrices (conv_product.h), tile by tile (block_product.h). */
#include "codegen/index_math.h"
#include "codegen/nvptx/block_product.h"
#include "codegen/nvptx/conv_product.h"
#include "codegen/schedule.h"

/* Tiles for the processors of a large GPU, so that larger ones pay. */
#define ENOUGH_TILES 100

/* Rows and columns of a thread. */
static uint32_t choose(const struct dim_table *t, const struct conv_product *s, dim places) {
  int64_t n, images, tile = product_tile(PRODUCT_MOST);
  if (dtype_unpacked_bytes(s->acc) > 4 || !dim_is_const(t, places, &n) || n <= tile / 2 ||
      s->outputs <= tile / 2)
    return PRODUCT_PER;
  double tiles = (double)((n + tile - 1) / tile) * (double)((s->outputs + tile - 1) / tile);
  tiles *= (double)s->a->groups;
  tiles *= dim_is_const(t, s->x->dims[0], &images) ? (double)images : 1;
  return tiles >= ENOUGH_TILES ? PRODUCT_MOST : PRODUCT_PER;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct dim_table *t = k->function->module->dims;
  struct conv_product s;
  if (!conv_product_of(k, &s))
    return false;
  dim places = conv_product_places(t, &s);
  if (places == DIM_NONE)
    return false;
  k->choice = choose(t, &s, places);
  k->block_threads = PRODUCT_THREADS;
  int64_t tile = product_tile(k->choice);
  dim grid[] = {s.y->dims[0], dim_const(t, s.a->groups),
                dim_const(t, (s.outputs + tile - 1) / tile),
                dim_ceildiv(t, places, dim_const(t, tile))};
  kernel_grid(k, grid, 4);
  conv_product_pack(k, &s);
  return true;
}

static LLVMValueRef operand(struct emit *e, const void *user, bool left, struct coord own,
                            struct coord k, uint32_t width) {
  return conv_product_operand(e, user, left, own, k, width);
}

static void store(struct emit *e, const void *user, LLVMValueRef row, struct coord column,
                  uint32_t width, LLVMValueRef sums) {
  conv_product_store(e, user, row, column, width, sums);
}

static uint32_t width_for(int64_t size) { return size % PRODUCT_RUN ? 1 : PRODUCT_RUN; }

static void emit(struct emit *e, LLVMValueRef number) {
  struct conv_tile t = {0};
  struct conv_product *s = &t.s;
  uint32_t tile = product_tile(e->kernel->choice);
  conv_product_of(e->kernel, s);
  LLVMValueRef places = emit_product(e, s->y->dims + 2, s->y->rank - 2);
  LLVMValueRef place_tiles = index_quotient(e, index_add_n(e, places, tile - 1), tile);
  LLVMValueRef place = index_scale(e, LLVMBuildURem(e->b, number, place_tiles, ""), tile);
  number = LLVMBuildUDiv(e->b, number, place_tiles, "");
  int64_t output_tiles = (s->outputs + tile - 1) / tile;
  LLVMValueRef output = index_scale(e, index_rest(e, number, output_tiles), tile);
  conv_tile_init(e, &t, index_quotient(e, number, output_tiles));
  struct product_side input = {.along_k = s->last, .width = s->last ? width_for(s->inputs) : 1};
  struct product_side weights = {.along_k = !s->packed,
                                 .width = s->packed ? width_for(s->outputs) : 1};
  LLVMValueRef outputs = emit_i64(e, s->outputs);
  struct block_product p = {.acc = s->acc,
                            .per = e->kernel->choice,
                            .m = s->turned ? places : outputs,
                            .n = s->turned ? outputs : places,
                            .k = emit_i64(e, s->inputs * s->taps),
                            .first = {s->turned ? place : output, s->turned ? output : place},
                            .side = {s->turned ? input : weights, s->turned ? weights : input},
                            .operand = operand,
                            .store = store,
                            .user = &t};
  block_product_emit(e, &p);
}

const struct schedule schedule_conv_block = {"conv_block", ROOT_KIND_CONV, plan, emit};
