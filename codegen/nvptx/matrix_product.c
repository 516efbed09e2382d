/* SPDX-License-Identifier: Apache-2.0 */
/* A tile of a product of matrices by tensor cores; see matrix_product.h.
 *
 * An operand that lies in memory as it is multiplied goes to shared memory by cp.async, 16 bytes at
 * a time, with zeros beyond its edges; where an address is no multiple of 16 it is brought element
 * by element. One that is computed (weights of few bits, a map) is computed once per element of the
 * tile, before the product, and stored after it.
 *
 * Sums go to shared memory 16 rows of a warp at a time, from which the epilogue takes them in runs
 * of 16 bytes of a result, so it is emitted once. */
#include "codegen/nvptx/matrix_product.h"

#include <string.h>

#include "codegen/contract_util.h"
#include "codegen/index_math.h"
#include "codegen/nvptx/block.h"
#include "codegen/nvptx/ptx_instruction.h"
#include "codegen/nvptx/tensor_core.h"
#include "codegen/schedule.h"

#define WARP 32u
#define MOST_CHUNKS 16u /* of an operand that a thread brings for a stage */
#define MOST_SUMS 128u

/* Rows and columns of a tile, bytes of k of a stage, warps along rows and columns, stages. */
struct shape {
  uint32_t m, n, k_bytes, warps_m, warps_n, stages;
};
enum { FLAT, MIDDLE, DEEP, LARGE, LARGE_DEEP, WIDE };
static const struct shape shapes[] = {
    [FLAT] = {16, 64, 128, 1, 4, 4},  [MIDDLE] = {64, 64, 128, 2, 2, 3},
    [DEEP] = {64, 64, 128, 2, 2, 6},  [LARGE] = {128, 128, 64, 2, 2, 3},
    [WIDE] = {128, 256, 64, 2, 4, 4}, [LARGE_DEEP] = {128, 128, 64, 2, 2, 5},
};

static uint32_t threads_of(const struct shape *s) { return s->warps_m * s->warps_n * WARP; }
static uint32_t ring_bytes(const struct shape *s) { return (s->m + s->n) * s->k_bytes * s->stages; }

/* Tiles for the processors of a large GPU, so that larger ones pay, and so that the last of the
 * widest, of which one fits, do not keep it waiting. */
#define ENOUGH_TILES 100
#define MANY_TILES 500

/* Of sizes that are known, up to MANY_TILES. */
static int64_t tiles_of(int64_t m, int64_t n, int64_t others, const struct shape *shape) {
  int64_t counts[] = {(m + shape->m - 1) / shape->m, (n + shape->n - 1) / shape->n, others};
  int64_t tiles = 1;
  for (uint32_t i = 0; i < 3 && tiles; i++)
    tiles *= counts[i] < MANY_TILES / tiles ? counts[i] : MANY_TILES / tiles;
  return tiles;
}

/* Two blocks of LARGE_DEEP fill a multiprocessor; those of 8.6 and 8.9 have room for two of LARGE.
 */
static uint32_t choose(int64_t m, int64_t n, int64_t others, const struct target_isa *isa) {
  bool roomy = isa->capability == 80 || isa->capability >= 90;
  if (m >= 0 && m <= shapes[FLAT].m)
    return FLAT;
  if (m < 0 || n < 0)
    return MIDDLE;
  if (m > shapes[MIDDLE].m && n > shapes[LARGE].n &&
      tiles_of(m, n, others, &shapes[WIDE]) >= MANY_TILES)
    return WIDE;
  if (m > shapes[MIDDLE].m && n > shapes[MIDDLE].n &&
      tiles_of(m, n, others, &shapes[LARGE]) >= ENOUGH_TILES)
    return roomy ? LARGE_DEEP : LARGE;
  return tiles_of(m, n, others, &shapes[MIDDLE]) <= ENOUGH_TILES ? DEEP : MIDDLE;
}

bool matrix_product_plan(struct kernel *k, const struct target_isa *isa, dim m, dim n,
                         const dim *others, uint32_t n_others) {
  struct dim_table *t = k->function->module->dims;
  int64_t rows = -1, columns = -1, size, multiple = 1;
  dim_is_const(t, m, &rows);
  dim_is_const(t, n, &columns);
  for (uint32_t i = 0; i < n_others && multiple; i++) {
    if (!dim_is_const(t, others[i], &size))
      size = MANY_TILES;
    multiple *= size < MANY_TILES / multiple ? size : MANY_TILES / multiple;
  }
  k->choice = choose(rows, columns, multiple, isa);
  const struct shape *shape = &shapes[k->choice];
  if (isa->capability < MATRIX_LEAST_CAPABILITY || ring_bytes(shape) > isa->shared_bytes)
    return false;
  k->block_threads = threads_of(shape);
  k->shared_bytes = ring_bytes(shape);
  kernel_grid(k, others, n_others);
  dim blocks[2] = {dim_ceildiv(t, m, dim_const(t, shape->m)),
                   dim_ceildiv(t, n, dim_const(t, shape->n))};
  kernel_grid(k, blocks, 2);
  return true;
}

static LLVMValueRef blocks_of(struct emit *e, LLVMValueRef size, uint32_t block) {
  return index_quotient(e, index_add_n(e, size, block - 1), block);
}

LLVMValueRef matrix_product_blocks(struct emit *e, struct matrix_product *p, LLVMValueRef tile) {
  const struct shape *shape = &shapes[e->kernel->choice];
  LLVMValueRef columns = blocks_of(e, p->size[1], shape->n);
  LLVMValueRef rows = blocks_of(e, p->size[0], shape->m);
  p->block[1] = LLVMBuildURem(e->b, tile, columns, "");
  tile = LLVMBuildUDiv(e->b, tile, columns, "");
  p->block[0] = LLVMBuildURem(e->b, tile, rows, "");
  return LLVMBuildUDiv(e->b, tile, rows, "");
}

/* ---- a tile ---- */

struct side {
  bool left;
  enum dtype dtype;
  struct matrix_block block;
  uint32_t offset;          /* of its block in a stage */
  uint32_t chunks;          /* of its block */
  LLVMValueRef size, first; /* of its rows (columns); the first of the tile */
  LLVMValueRef whole;       /* i1: all of the tile's are inside */
  bool direct;
  LLVMValueRef aligned; /* i1: what is direct lies at multiples of 16; NULL: chunks differ */
  LLVMValueRef fast;    /* of the stage that is on its way: it was computed */
  LLVMValueRef words[MOST_CHUNKS];
};

struct tile {
  const struct matrix_product *p;
  const struct shape *shape;
  struct side side[2];
  uint32_t stage_bytes, k_elements;
  LLVMValueRef memory;                /* shared, of all stages */
  LLVMValueRef warp_row, warp_column; /* i32: first of this warp in the tile */
  LLVMValueRef buffers_aligned;       /* i1 */
};

static LLVMValueRef less(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildICmp(e->b, LLVMIntSLT, a, b, "");
}
static LLVMValueRef at_most(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildICmp(e->b, LLVMIntSLE, a, b, "");
}
static LLVMValueRef both(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildAnd(e->b, a, b, "");
}
static LLVMValueRef i32(struct emit *e, uint32_t x) { return LLVMConstInt(e->i32, x, false); }
static LLVMValueRef word(struct emit *e, LLVMValueRef x) {
  return LLVMBuildTrunc(e->b, x, e->i32, "");
}
static LLVMValueRef truth(struct emit *e) { return LLVMConstInt(e->i1, 1, false); }

static bool divides(LLVMValueRef size, int64_t by) {
  return LLVMIsAConstantInt(size) && LLVMConstIntGetSExtValue(size) % by == 0;
}

static LLVMValueRef is_aligned(struct emit *e, LLVMValueRef pointer) {
  LLVMValueRef x = LLVMBuildPtrToInt(e->b, pointer, e->i64, "");
  x = LLVMBuildAnd(e->b, x, emit_i64(e, MATRIX_CHUNK - 1), "");
  return LLVMBuildICmp(e->b, LLVMIntEQ, x, emit_i64(e, 0), "");
}

static uint32_t lanes_of(const struct side *s) { return MATRIX_CHUNK / s->block.bytes; }

/* Lanes that have parted go on together. */
static void wait_for_warp(struct emit *e) {
  LLVMValueRef all = i32(e, UINT32_MAX);
  nvptx_call(e, "llvm.nvvm.bar.warp.sync", &all, 1);
}

/* ---- bringing an operand ---- */

struct chunk {
  LLVMValueRef own, k; /* of its first element */
  LLVMValueRef place;  /* i32: in the block */
};

static void chunk_at(struct emit *e, const struct side *s, LLVMValueRef k0, LLVMValueRef number,
                     struct chunk *c) {
  uint32_t per_line = matrix_line_bytes(&s->block) / MATRIX_CHUNK;
  LLVMValueRef line = index_quotient(e, number, per_line), column = index_rest(e, number, per_line);
  LLVMValueRef along = index_scale(e, column, lanes_of(s));
  c->own = index_add(e, s->first, s->block.along_k ? line : along);
  c->k = index_add(e, k0, s->block.along_k ? along : line);
  c->place = matrix_place(e, &s->block, word(e, line), word(e, column));
}

/* The points of a chunk's elements along its line. */
static void chunk_coords(struct emit *e, const struct side *s, LLVMValueRef own, LLVMValueRef k,
                         struct coord *out_own, struct coord *out_k) {
  struct coord lanes = {.stride = 1, .align = lanes_of(s)};
  *out_own = *out_k = lanes;
  out_own->base = own;
  out_k->base = k;
  if (s->block.along_k)
    *out_own = coord_uniform(e, own);
  else
    *out_k = coord_uniform(e, k);
}

static LLVMValueRef stored(struct emit *e, const struct tile *t, const struct side *s,
                           struct coord own, struct coord k, uint32_t width) {
  enum dtype as = dtype_is_float(s->dtype) ? t->p->acc : s->dtype;
  LLVMValueRef x = t->p->operand(e, t->p->user, s->left, own, k, width, as);
  x = emit_encode(e, s->dtype, x, width);
  LLVMTypeRef integer = LLVMIntTypeInContext(e->context, s->block.bytes * 8);
  return LLVMBuildBitCast(e->b, x, width == 1 ? integer : LLVMVectorType(integer, width), "");
}

static LLVMValueRef shared_at(struct emit *e, LLVMValueRef memory, LLVMValueRef byte) {
  return LLVMBuildInBoundsGEP2(e->b, e->i8, memory, &byte, 1, "");
}

/* Element by element, zeros beyond the edges. */
static void bring_slowly(struct emit *e, const struct tile *t, const struct side *s,
                         const struct chunk *c, LLVMValueRef memory) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, lanes_of(s)), 1, 0, NULL);
  LLVMValueRef own = s->block.along_k ? c->own : index_add(e, c->own, l.index);
  LLVMValueRef k = s->block.along_k ? index_add(e, c->k, l.index) : c->k;
  struct emit_if inside;
  emit_if_begin(e, &inside, both(e, less(e, own, s->size), less(e, k, t->p->k)));
  emit_if_else(e, &inside, stored(e, t, s, coord_uniform(e, own), coord_uniform(e, k), 1));
  LLVMTypeRef integer = LLVMIntTypeInContext(e->context, s->block.bytes * 8);
  LLVMValueRef x = emit_if_end(e, &inside, LLVMConstNull(integer));
  LLVMValueRef place = index_add(e, c->place, index_scale(e, word(e, l.index), s->block.bytes));
  LLVMBuildStore(e->b, x, shared_at(e, memory, place));
  emit_loop_end(e, &l, NULL);
}

static LLVMValueRef address(struct emit *e, const struct tile *t, const struct side *s,
                            LLVMValueRef own, LLVMValueRef k, uint32_t *out_buffer,
                            int64_t *out_align) {
  struct coord own_c, k_c;
  chunk_coords(e, s, own, k, &own_c, &k_c);
  return t->p->address(e, t->p->user, s->left, own_c, k_c, lanes_of(s), out_buffer, out_align);
}

static void copy(struct emit *e, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes) {
  LLVMTypeRef global = LLVMPointerTypeInContext(e->context, 1);
  LLVMValueRef args[] = {to, LLVMBuildAddrSpaceCast(e->b, from, global, ""), bytes};
  nvptx_call(e,
             bytes ? "llvm.nvvm.cp.async.cg.shared.global.16.s"
                   : "llvm.nvvm.cp.async.cg.shared.global.16",
             args, bytes ? 3 : 2);
}

/* A chunk at an edge: what is inside of it, and zeros. */
static void copy_part(struct emit *e, const struct tile *t, const struct side *s,
                      const struct chunk *c, LLVMValueRef memory) {
  LLVMValueRef zero = emit_i64(e, 0), bytes = emit_i64(e, MATRIX_CHUNK);
  LLVMValueRef inside = both(e, less(e, c->own, s->size), less(e, c->k, t->p->k));
  LLVMValueRef left = LLVMBuildSub(e->b, s->block.along_k ? t->p->k : s->size,
                                   s->block.along_k ? c->k : c->own, "");
  left = index_scale(e, left, s->block.bytes);
  left = LLVMBuildSelect(e->b, less(e, left, bytes), left, bytes, "");
  left = word(e, LLVMBuildSelect(e->b, inside, left, zero, ""));
  uint32_t buffer;
  int64_t align;
  LLVMValueRef from = address(e, t, s, LLVMBuildSelect(e->b, inside, c->own, zero, ""),
                              LLVMBuildSelect(e->b, inside, c->k, zero, ""), &buffer, &align);
  struct emit_if aligned;
  emit_if_begin(e, &aligned, is_aligned(e, from));
  copy(e, shared_at(e, memory, c->place), from, left);
  emit_if_else(e, &aligned, NULL);
  bring_slowly(e, t, s, c, memory);
  emit_if_end(e, &aligned, NULL);
}

/* Any block of the operand, also one beyond its end. */
static void bring_part(struct emit *e, const struct tile *t, const struct side *s, LLVMValueRef k0,
                       LLVMValueRef memory) {
  struct emit_loop l;
  LLVMValueRef chunks =
      LLVMBuildSelect(e->b, less(e, k0, t->p->k), emit_i64(e, s->chunks), emit_i64(e, 0), "");
  emit_loop_begin(e, &l, e->lane, chunks, threads_of(t->shape), 0, NULL);
  struct chunk c;
  chunk_at(e, s, k0, l.index, &c);
  if (s->direct)
    copy_part(e, t, s, &c, memory);
  else
    bring_slowly(e, t, s, &c, memory);
  emit_loop_end(e, &l, NULL);
}

static uint32_t own_chunks(const struct tile *t, const struct side *s) {
  return (s->chunks + threads_of(t->shape) - 1) / threads_of(t->shape);
}

/* Chunks of a thread are whole lines apart, so that all but the first cost few registers. */
static struct chunk own_chunk(struct emit *e, const struct tile *t, const struct side *s,
                              LLVMValueRef k0, uint32_t i) {
  struct chunk c;
  uint32_t threads = threads_of(t->shape), bytes = matrix_line_bytes(&s->block);
  LLVMValueRef number = e->lane;
  if (s->chunks < threads) /* some threads bring what others do */
    number = index_rest(e, number, s->chunks);
  chunk_at(e, s, k0, number, &c);
  uint32_t lines = i * threads * MATRIX_CHUNK / bytes; /* a multiple of the swizzle's period */
  LLVMValueRef *along = s->block.along_k ? &c.own : &c.k;
  *along = index_add(e, *along, emit_i64(e, lines));
  c.place = index_add(e, c.place, i32(e, lines * bytes));
  return c;
}

/* This thread's chunks of a block that is inside of the operand; computed ones stay in registers.
 */
static void bring_whole(struct emit *e, const struct tile *t, struct side *s, LLVMValueRef k0,
                        LLVMValueRef memory) {
  uint32_t n = own_chunks(t, s);
  LLVMTypeRef words = LLVMVectorType(e->i32, MATRIX_CHUNK / 4);
  for (uint32_t i = 0; i < n; i++) {
    struct chunk c = own_chunk(e, t, s, k0, i);
    struct coord own, k;
    uint32_t buffer;
    int64_t align;
    if (s->direct) {
      copy(e, shared_at(e, memory, c.place), address(e, t, s, c.own, c.k, &buffer, &align), NULL);
      continue;
    }
    chunk_coords(e, s, c.own, c.k, &own, &k);
    s->words[i] = LLVMBuildBitCast(e->b, stored(e, t, s, own, k, lanes_of(s)), words, "");
  }
}

/* Starts to bring the operand's block at k0 to the stage; bring_end when the stage before is done.
 */
static void bring_begin(struct emit *e, const struct tile *t, struct side *s, LLVMValueRef k0,
                        LLVMValueRef stage) {
  LLVMValueRef memory = shared_at(e, stage, i32(e, s->offset));
  LLVMValueRef computed[MOST_CHUNKS], none[MOST_CHUNKS];
  LLVMTypeRef words = LLVMVectorType(e->i32, MATRIX_CHUNK / 4);
  LLVMValueRef end = index_add(e, k0, emit_i64(e, t->k_elements));
  s->fast = both(e, both(e, s->whole, s->aligned), at_most(e, end, t->p->k));
  struct emit_if fast;
  uint32_t n = s->direct ? 0 : own_chunks(t, s);
  emit_if_begin(e, &fast, s->fast);
  e->base_align = MATRIX_CHUNK;
  bring_whole(e, t, s, k0, memory);
  e->base_align = 0;
  emit_if_else(e, &fast, NULL);
  bring_part(e, t, s, k0, memory);
  wait_for_warp(e); /* copies are committed and waited for by all lanes at once */
  for (uint32_t i = 0; i < n; i++) {
    computed[i] = s->words[i];
    none[i] = LLVMConstNull(words);
  }
  emit_if_end_many(e, &fast, n, computed, none, s->words);
}

static void bring_end(struct emit *e, const struct tile *t, struct side *s, LLVMValueRef k0,
                      LLVMValueRef stage) {
  if (s->direct)
    return;
  struct emit_if fast;
  LLVMValueRef memory = shared_at(e, stage, i32(e, s->offset));
  emit_if_begin(e, &fast, s->fast);
  for (uint32_t i = 0; i < own_chunks(t, s); i++) {
    struct chunk c = own_chunk(e, t, s, k0, i);
    /* Of a block of fewer chunks than threads each is stored once. */
    struct emit_if mine;
    bool shared = s->chunks < threads_of(t->shape);
    if (shared)
      emit_if_begin(e, &mine, less(e, e->lane, emit_i64(e, s->chunks)));
    LLVMSetAlignment(LLVMBuildStore(e->b, s->words[i], shared_at(e, memory, c.place)),
                     MATRIX_CHUNK);
    if (shared) {
      emit_if_else(e, &mine, NULL);
      emit_if_end(e, &mine, NULL);
    }
  }
  emit_if_else(e, &fast, NULL);
  emit_if_end(e, &fast, NULL);
}

/* ---- the tile's parts ---- */

/* Lines run along what lies next to each other in memory, where that can be asked of the address.
 */
static void choose_lines(struct emit *e, struct tile *t, struct side *s) {
  uint32_t buffer;
  int64_t align;
  LLVMValueRef from, k0 = emit_i64(e, 0);
  for (int along_k = 1; along_k >= 0; along_k--) {
    s->block.along_k = along_k;
    if (!along_k && s->block.bytes == 1)
      break;
    from = address(e, t, s, s->first, k0, &buffer, &align);
    if (!from)
      continue;
    s->direct = true;
    /* Rows that begin at multiples of a chunk do so if their buffer does. */
    s->aligned = align % lanes_of(s) == 0 ? is_aligned(e, e->buffers[buffer])
                                          : LLVMConstInt(e->i1, 0, false);
    return;
  }
  s->block.along_k = s->block.bytes == 1 || t->p->along_k[s->left ? 0 : 1];
  s->aligned = t->buffers_aligned;
}

static void side_init(struct emit *e, struct tile *t, bool left) {
  uint32_t which = left ? 0 : 1, own = left ? t->shape->m : t->shape->n;
  struct side *s = &t->side[which];
  s->left = left;
  s->dtype = t->p->dtype[which];
  s->block = (struct matrix_block){.own = own, .bytes = dtype_unpacked_bytes(s->dtype)};
  s->block.k = t->k_elements;
  s->offset = left ? 0 : t->shape->m * t->shape->k_bytes;
  s->chunks = own * t->shape->k_bytes / MATRIX_CHUNK;
  s->size = t->p->size[which];
  s->first = index_scale(e, t->p->block[which], own);
  s->whole = divides(s->size, own) ? truth(e)
                                   : at_most(e, index_add(e, s->first, emit_i64(e, own)), s->size);
  choose_lines(e, t, s);
}

static void tile_init(struct emit *e, struct tile *t, const struct matrix_product *p) {
  t->p = p;
  t->shape = &shapes[e->kernel->choice];
  t->k_elements = t->shape->k_bytes / dtype_unpacked_bytes(p->dtype[0]);
  t->stage_bytes = (t->shape->m + t->shape->n) * t->shape->k_bytes;
  t->memory = block_dynamic(e);
  t->buffers_aligned = emit_are_aligned(e, MATRIX_CHUNK);
  side_init(e, t, true);
  side_init(e, t, false);
  LLVMValueRef warp = index_quotient(e, word(e, e->lane), WARP);
  t->warp_row =
      index_scale(e, index_quotient(e, warp, t->shape->warps_n), t->shape->m / t->shape->warps_m);
  t->warp_column =
      index_scale(e, index_rest(e, warp, t->shape->warps_n), t->shape->n / t->shape->warps_n);
}

static LLVMValueRef stage_at(struct emit *e, const struct tile *t, LLVMValueRef number) {
  return shared_at(e, t->memory, index_scale(e, number, t->stage_bytes));
}

static void begin_stage(struct emit *e, struct tile *t, LLVMValueRef k0, LLVMValueRef stage) {
  for (int i = 0; i < 2; i++)
    bring_begin(e, t, &t->side[i], k0, stage);
  nvptx_call(e, "llvm.nvvm.cp.async.commit.group", NULL, 0);
}

static void end_stage(struct emit *e, struct tile *t, LLVMValueRef k0, LLVMValueRef stage) {
  for (int i = 0; i < 2; i++)
    bring_end(e, t, &t->side[i], k0, stage);
}

static void wait(struct emit *e, uint32_t stages_left) {
  LLVMValueRef n = i32(e, stages_left);
  nvptx_call(e, "llvm.nvvm.cp.async.wait.group", &n, 1);
  block_barrier(e);
}

/* Blocks of 16 rows and of 8 columns of a warp. */
static uint32_t row_blocks(const struct tile *t) { return t->shape->m / t->shape->warps_m / 16; }
static uint32_t column_blocks(const struct tile *t) { return t->shape->n / t->shape->warps_n / 8; }

static void multiply(struct emit *e, const struct tile *t, LLVMValueRef stage, LLVMValueRef *sums) {
  enum { MOST_BLOCKS = 8 };
  const struct side *l = &t->side[0], *r = &t->side[1];
  LLVMValueRef a[MOST_BLOCKS][MATRIX_A_WORDS], b[MATRIX_B_WORDS];
  LLVMValueRef left = shared_at(e, stage, i32(e, l->offset));
  LLVMValueRef right = shared_at(e, stage, i32(e, r->offset));
  uint32_t rows = row_blocks(t), pairs = column_blocks(t) / 2;
  for (uint32_t step = 0; step < t->shape->k_bytes / MATRIX_K_BYTES; step++) {
    for (uint32_t i = 0; i < rows; i++) {
      matrix_load_a(e, &l->block, left, t->warp_row, i, step, a[i]);
      matrix_round(e, l->dtype, a[i], MATRIX_A_WORDS);
    }
    for (uint32_t j = 0; j < pairs; j++) { /* few of b at a time, as registers are scarce */
      matrix_load_b(e, &r->block, right, t->warp_column, j, step, b);
      matrix_round(e, r->dtype, b, MATRIX_B_WORDS);
      for (uint32_t i = 0; i < 2 * rows; i++) {
        uint32_t row = i / 2, half = i % 2;
        matrix_multiply(e, l->dtype, r->dtype, a[row], b + 2 * half,
                        sums + MATRIX_SUMS * (row * 2 * pairs + 2 * j + half));
      }
    }
  }
}

/* sums += all of k. Carried: the sums, the stage to multiply; the one to fill is that before it. */
static void sum_up(struct emit *e, struct tile *t, LLVMValueRef *sums, uint32_t n) {
  uint32_t ahead = t->shape->stages - 1;
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, ahead), 1, 0, NULL);
  LLVMValueRef k0 = index_scale(e, l.index, t->k_elements);
  LLVMValueRef fill = stage_at(e, t, word(e, l.index));
  begin_stage(e, t, k0, fill);
  end_stage(e, t, k0, fill);
  emit_loop_end(e, &l, NULL);
  LLVMValueRef carried[MOST_SUMS + 1];
  memcpy(carried, sums, n * sizeof *sums);
  carried[n] = i32(e, 0);
  emit_loop_begin(e, &l, emit_i64(e, 0), t->p->k, t->k_elements, n + 1, carried);
  wait(e, ahead - 1);
  k0 = index_add(e, l.index, emit_i64(e, (int64_t)ahead * t->k_elements));
  LLVMValueRef now = l.carried[n], last = i32(e, ahead);
  LLVMValueRef first = LLVMBuildICmp(e->b, LLVMIntEQ, now, i32(e, 0), "");
  LLVMValueRef before = LLVMBuildSub(e->b, now, i32(e, 1), "");
  fill = stage_at(e, t, LLVMBuildSelect(e->b, first, last, before, ""));
  begin_stage(e, t, k0, fill);
  memcpy(carried, l.carried, n * sizeof *sums);
  multiply(e, t, stage_at(e, t, now), carried);
  end_stage(e, t, k0, fill);
  LLVMValueRef wraps = LLVMBuildICmp(e->b, LLVMIntEQ, now, last, "");
  carried[n] = LLVMBuildSelect(e->b, wraps, i32(e, 0), index_add(e, now, i32(e, 1)), "");
  emit_loop_end(e, &l, carried);
  memcpy(sums, l.carried, n * sizeof *sums);
  wait(e, 0);
}

/* ---- the epilogue ---- */

/* Sums of 16 rows of this warp in its part of shared memory; lines are padded, so that lanes of a
 * column of blocks meet other banks. */
struct slab {
  LLVMValueRef memory;
  LLVMTypeRef type;
  uint32_t columns, line;
};

static LLVMValueRef slab_at(struct emit *e, const struct slab *b, LLVMValueRef row,
                            LLVMValueRef column) {
  LLVMValueRef index = index_add(e, index_scale(e, row, b->line), column);
  return LLVMBuildInBoundsGEP2(e->b, b->type, b->memory, &index, 1, "");
}

static void put_sums(struct emit *e, const struct tile *t, const struct slab *b,
                     const LLVMValueRef *sums) {
  LLVMValueRef lane = index_rest(e, word(e, e->lane), WARP);
  LLVMValueRef row = index_quotient(e, lane, 4), column = index_scale(e, index_rest(e, lane, 4), 2);
  for (uint32_t j = 0; j < column_blocks(t); j++) {
    for (uint32_t half = 0; half < 2; half++) {
      LLVMValueRef pair = LLVMGetPoison(LLVMVectorType(b->type, 2));
      for (uint32_t i = 0; i < 2; i++)
        pair =
            LLVMBuildInsertElement(e->b, pair, sums[MATRIX_SUMS * j + 2 * half + i], i32(e, i), "");
      LLVMValueRef at =
          slab_at(e, b, index_add(e, row, i32(e, 8 * half)), index_add(e, column, i32(e, 8 * j)));
      LLVMSetAlignment(LLVMBuildStore(e->b, pair, at), 8);
    }
  }
}

/* Puts the sums of the row block that `number` says. */
static void put_block(struct emit *e, const struct tile *t, const struct slab *b,
                      LLVMValueRef number, const LLVMValueRef *sums) {
  uint32_t n = row_blocks(t), per = column_blocks(t) * MATRIX_SUMS;
  LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(e->context, e->fn, "");
  LLVMBasicBlockRef last = LLVMAppendBasicBlockInContext(e->context, e->fn, "");
  LLVMValueRef choice = LLVMBuildSwitch(e->b, number, last, n);
  for (uint32_t i = 0; i < n; i++) {
    LLVMBasicBlockRef block =
        i + 1 == n ? last : LLVMAppendBasicBlockInContext(e->context, e->fn, "");
    if (i + 1 < n)
      LLVMAddCase(choice, emit_i64(e, i), block);
    LLVMPositionBuilderAtEnd(e->b, block);
    put_sums(e, t, b, sums + i * per);
    LLVMBuildBr(e->b, done);
  }
  LLVMPositionBuilderAtEnd(e->b, done);
}

static void finish_run(struct emit *e, const struct tile *t, const struct slab *b,
                       LLVMValueRef slab_row, LLVMValueRef slab_column, LLVMValueRef row,
                       LLVMValueRef column, uint32_t width) {
  struct coord c = coord_uniform(e, column);
  if (width > 1)
    c = (struct coord){.base = column, .stride = 1, .align = width};
  LLVMTypeRef type = width == 1 ? b->type : LLVMVectorType(b->type, width);
  LLVMValueRef x = LLVMBuildLoad2(e->b, type, slab_at(e, b, slab_row, slab_column), "");
  LLVMSetAlignment(x, width == 1 ? 4 : 16);
  t->p->store(e, t->p->user, row, c, width, x);
}

/* Elements of a result in 16 bytes, but no fewer than sums. */
static uint32_t run_width(struct emit *e) {
  uint32_t width = 4;
  for (uint32_t i = 0; i < e->fused->n_results; i++) {
    enum dtype dtype = value_type(e->f, kernel_result(e->kernel, i))->dtype;
    if (16 / dtype_unpacked_bytes(dtype) > width)
      width = 8;
  }
  return width;
}

static void finish_slab(struct emit *e, const struct tile *t, const struct slab *b,
                        LLVMValueRef block) {
  uint32_t width = run_width(e), runs = b->columns / width;
  struct emit_loop l, single;
  LLVMValueRef lane = index_rest(e, e->lane, WARP);
  emit_loop_begin(e, &l, lane, emit_i64(e, 16 * runs), WARP, 0, NULL);
  LLVMValueRef slab_row = index_quotient(e, l.index, runs),
               run = index_scale(e, index_rest(e, l.index, runs), width);
  LLVMValueRef row =
      index_add(e, index_add(e, t->side[0].first, index_scale(e, block, 16)), slab_row);
  row = index_add(e, row, LLVMBuildZExt(e->b, t->warp_row, e->i64, ""));
  LLVMValueRef column =
      index_add(e, t->side[1].first, LLVMBuildZExt(e->b, t->warp_column, e->i64, ""));
  column = index_add(e, column, run);
  LLVMValueRef size = t->side[1].size, end = index_add(e, column, emit_i64(e, width));
  struct emit_if inside, whole;
  emit_if_begin(e, &inside, less(e, row, t->side[0].size));
  emit_if_begin(e, &whole, both(e, t->buffers_aligned, at_most(e, end, size)));
  e->base_align = MATRIX_CHUNK;
  finish_run(e, t, b, word(e, slab_row), word(e, run), row, column, width);
  e->base_align = 0;
  emit_if_else(e, &whole, NULL);
  end = LLVMBuildSelect(e->b, less(e, end, size), end, size, "");
  emit_loop_begin(e, &single, column, end, 1, 0, NULL);
  LLVMValueRef at = index_add(e, run, LLVMBuildSub(e->b, single.index, column, ""));
  finish_run(e, t, b, word(e, slab_row), word(e, at), row, single.index, 1);
  emit_loop_end(e, &single, NULL);
  emit_if_end(e, &whole, NULL);
  emit_if_else(e, &inside, NULL);
  emit_if_end(e, &inside, NULL);
  emit_loop_end(e, &l, NULL);
}

static void finish(struct emit *e, const struct tile *t, const LLVMValueRef *sums) {
  uint32_t columns = t->shape->n / t->shape->warps_n;
  struct slab b = {.type = emit_type(e, t->p->acc, 1), .columns = columns, .line = columns + 8};
  LLVMValueRef warp = index_quotient(e, word(e, e->lane), WARP);
  b.memory = shared_at(e, t->memory, index_scale(e, warp, (int64_t)16 * b.line * 4));
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, row_blocks(t)), 1, 0, NULL);
  put_block(e, t, &b, l.index, sums);
  wait_for_warp(e);
  finish_slab(e, t, &b, l.index);
  wait_for_warp(e);
  emit_loop_end(e, &l, NULL);
}

void matrix_product_emit(struct emit *e, const struct matrix_product *p) {
  struct tile t = {0};
  LLVMValueRef sums[MOST_SUMS];
  block_barrier(e); /* the tile before has been read */
  tile_init(e, &t, p);
  uint32_t n = row_blocks(&t) * column_blocks(&t) * MATRIX_SUMS;
  for (uint32_t i = 0; i < n; i++)
    sums[i] = LLVMConstNull(emit_type(e, p->acc, 1));
  sum_up(e, &t, sums, n);
  finish(e, &t, sums);
}
