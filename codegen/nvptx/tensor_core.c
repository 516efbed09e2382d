/* SPDX-License-Identifier: Apache-2.0 */
/* See tensor_core.h; the shapes of fragments are those of the PTX manual, "Matrix Fragments for
 * mma.m16n8k16" and the sections beside it. */
#include "codegen/nvptx/tensor_core.h"

#include <assert.h>

#include "codegen/index_math.h"
#include "codegen/nvptx/ptx_instruction.h"

#define LANES 32u
#define BANKS_BYTES 128u /* a line of all banks */

static LLVMValueRef i32(struct emit *e, uint32_t x) { return LLVMConstInt(e->i32, x, false); }
static LLVMValueRef bits(struct emit *e, LLVMValueRef x, uint32_t from, uint32_t mask) {
  if (from)
    x = LLVMBuildLShr(e->b, x, i32(e, from), "");
  return LLVMBuildAnd(e->b, x, i32(e, mask), "");
}

/* This thread's place in its warp. */
static LLVMValueRef lane_of(struct emit *e) {
  return bits(e, LLVMBuildTrunc(e->b, e->lane, e->i32, ""), 0, LANES - 1);
}

/* ---- blocks ---- */

uint32_t matrix_lines(const struct matrix_block *b) { return b->along_k ? b->own : b->k; }

uint32_t matrix_line_bytes(const struct matrix_block *b) {
  return (b->along_k ? b->k : b->own) * b->bytes;
}

/* Words of lines along rows are not transposed on the way into registers: lanes read 8 neighbours
 * of 4 lines each, so pairs of chunks are swapped. */
static bool by_words(const struct matrix_block *b) { return !b->along_k && b->bytes == 4; }

LLVMValueRef matrix_place(struct emit *e, const struct matrix_block *b, LLVMValueRef line,
                          LLVMValueRef chunk) {
  uint32_t bytes = matrix_line_bytes(b), chunks = bytes / MATRIX_CHUNK;
  LLVMValueRef turn;
  if (by_words(b)) {
    turn = index_scale(e, bits(e, line, 0, chunks < 8 ? chunks / 2 - 1 : 3), 2);
  } else {
    uint32_t shift = 0;
    while (bytes << shift < BANKS_BYTES)
      shift++;
    turn = bits(e, line, shift, chunks < 8 ? chunks - 1 : 7);
  }
  chunk = LLVMBuildXor(e->b, chunk, turn, "");
  return index_add(e, index_scale(e, line, bytes), index_scale(e, chunk, MATRIX_CHUNK));
}

static LLVMValueRef at(struct emit *e, LLVMValueRef memory, LLVMValueRef byte) {
  return LLVMBuildInBoundsGEP2(e->b, e->i8, memory, &byte, 1, "");
}

/* ---- fragments ---- */

static void load_matrices(struct emit *e, LLVMValueRef place, bool turned, LLVMValueRef out[4]) {
  const char *name = turned ? "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16"
                            : "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16";
  LLVMValueRef x = nvptx_call_on(e, name, &place, 1);
  for (unsigned i = 0; i < 4; i++)
    out[i] = LLVMBuildExtractValue(e->b, x, i, "");
}

/* The four matrices of 8 rows by 16 bytes of k: `own_first` says that the second is 8 rows on, the
 * third 16 bytes of k on; else the other way about. Lanes 8 i to 8 i + 7 name the lines of the
 * i-th. */
static void load_fragment(struct emit *e, const struct matrix_block *b, LLVMValueRef memory,
                          LLVMValueRef own, uint32_t block, uint32_t step, bool own_first,
                          LLVMValueRef out[4]) {
  LLVMValueRef lane = lane_of(e), line = bits(e, lane, 0, 7);
  LLVMValueRef own_half = bits(e, lane, own_first ? 3 : 4, 1);
  LLVMValueRef k_half = bits(e, lane, own_first ? 4 : 3, 1);
  LLVMValueRef chunk, place;
  if (b->along_k) {
    line = index_add(e, index_add(e, own, line), index_scale(e, own_half, 8));
    chunk = index_add(e, i32(e, step * (MATRIX_K_BYTES / MATRIX_CHUNK)), k_half);
  } else {
    uint32_t k = MATRIX_K_BYTES / b->bytes;
    assert(b->bytes == 2);
    line = index_add(e, index_add(e, i32(e, step * k), line), index_scale(e, k_half, 8));
    own = index_add(e, own, i32(e, 16 * block));
    chunk = index_add(e, bits(e, own, 3, UINT32_MAX >> 3), own_half);
  }
  place = matrix_place(e, b, line, chunk);
  if (b->along_k) /* 16 lines on, chunks are swapped alike: one register serves all blocks */
    place = index_add(e, place, i32(e, 16 * block * matrix_line_bytes(b)));
  load_matrices(e, at(e, memory, place), !b->along_k, out);
}

/* The same of words in lines along rows, one by one. */
static void load_words(struct emit *e, const struct matrix_block *b, LLVMValueRef memory,
                       LLVMValueRef own, uint32_t block, uint32_t step, bool own_first,
                       LLVMValueRef out[4]) {
  LLVMValueRef lane = lane_of(e), k = bits(e, lane, 0, 3), row = bits(e, lane, 2, 7);
  for (uint32_t i = 0; i < 4; i++) {
    uint32_t own_half = own_first ? i & 1 : i >> 1, k_half = own_first ? i >> 1 : i & 1;
    LLVMValueRef line = index_add(e, k, i32(e, step * (MATRIX_K_BYTES / 4) + 4 * k_half));
    LLVMValueRef element = index_add(e, own, index_add(e, row, i32(e, 16 * block + 8 * own_half)));
    LLVMValueRef place = matrix_place(e, b, line, bits(e, element, 2, UINT32_MAX >> 2));
    place = index_add(e, place, index_scale(e, bits(e, element, 0, 3), 4));
    out[i] = LLVMBuildLoad2(e->b, e->i32, at(e, memory, place), "");
  }
}

void matrix_load_a(struct emit *e, const struct matrix_block *b, LLVMValueRef memory,
                   LLVMValueRef row, uint32_t block, uint32_t step,
                   LLVMValueRef out[MATRIX_A_WORDS]) {
  (by_words(b) ? load_words : load_fragment)(e, b, memory, row, block, step, true, out);
}

void matrix_load_b(struct emit *e, const struct matrix_block *b, LLVMValueRef memory,
                   LLVMValueRef column, uint32_t block, uint32_t step,
                   LLVMValueRef out[MATRIX_B_WORDS]) {
  (by_words(b) ? load_words : load_fragment)(e, b, memory, column, block, step, false, out);
}

void matrix_round(struct emit *e, enum dtype dtype, LLVMValueRef *words, uint32_t n) {
  for (uint32_t i = 0; dtype == DTYPE_F32 && i < n; i++) {
    LLVMValueRef x = LLVMBuildBitCast(e->b, words[i], e->f32, "");
    words[i] = nvptx_instruction(e, NVPTX_round_tf32, &x, 1);
  }
}

/* ---- products ---- */

static const struct product {
  enum dtype a, b;
  const char *intrinsic;
} products[] = {
    {DTYPE_F16, DTYPE_F16, "llvm.nvvm.mma.m16n8k16.row.col.f32.f32"},
    {DTYPE_BF16, DTYPE_BF16, "llvm.nvvm.mma.m16n8k16.row.col.bf16"},
    {DTYPE_F32, DTYPE_F32, "llvm.nvvm.mma.m16n8k8.row.col.tf32"},
    {DTYPE_I8, DTYPE_I8, "llvm.nvvm.mma.m16n8k32.row.col.s8"},
    {DTYPE_U8, DTYPE_U8, "llvm.nvvm.mma.m16n8k32.row.col.u8"},
    {DTYPE_I8, DTYPE_U8, "llvm.nvvm.mma.m16n8k32.row.col.s8.u8"},
    {DTYPE_U8, DTYPE_I8, "llvm.nvvm.mma.m16n8k32.row.col.u8.s8"},
};

static const struct product *find_product(enum dtype a, enum dtype b) {
  for (size_t i = 0; i < sizeof products / sizeof *products; i++)
    if (products[i].a == a && products[i].b == b)
      return &products[i];
  return NULL;
}

bool matrix_has_product(enum dtype a, enum dtype b) { return find_product(a, b) != NULL; }

void matrix_multiply(struct emit *e, enum dtype a_dtype, enum dtype b_dtype, const LLVMValueRef *a,
                     const LLVMValueRef *b, LLVMValueRef sums[MATRIX_SUMS]) {
  const struct product *p = find_product(a_dtype, b_dtype);
  LLVMTypeRef halves = LLVMVectorType(LLVMHalfTypeInContext(e->context), 2);
  LLVMValueRef args[10];
  for (uint32_t i = 0; i < 6; i++) {
    args[i] = i < 4 ? a[i] : b[i - 4];
    if (a_dtype == DTYPE_F16)
      args[i] = LLVMBuildBitCast(e->b, args[i], halves, "");
  }
  for (uint32_t i = 0; i < MATRIX_SUMS; i++)
    args[6 + i] = sums[i];
  LLVMValueRef x = nvptx_call(e, p->intrinsic, args, 10);
  for (uint32_t i = 0; i < MATRIX_SUMS; i++)
    sums[i] = LLVMBuildExtractValue(e->b, x, i, "");
}
