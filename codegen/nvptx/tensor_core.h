/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices by tensor cores (mma.sync, from sm_80 on): blocks of operands in shared
 * memory, fragments of them in registers, sums in registers.
 *
 * A product takes MATRIX_K_BYTES of the contracted index at a time: 16 elements of 2 bytes, 8 of
 * f32 (rounded to tf32), 32 of 1 byte. Fragments are those of mma.m16n8: lane l has rows l / 4 and
 * l / 4 + 8, columns 2 (l % 4) and the next. */
#ifndef SINTER_CODEGEN_NVPTX_TENSOR_CORE_H
#define SINTER_CODEGEN_NVPTX_TENSOR_CORE_H

#include "codegen/emit.h"

enum {
  MATRIX_CHUNK = 16,   /* bytes that are copied, and moved by the swizzle, as one */
  MATRIX_K_BYTES = 32, /* of an operand in one product */
  MATRIX_A_WORDS = 4,  /* registers of 16 rows of it */
  MATRIX_B_WORDS = 4,  /* registers of 16 columns: two products' */
  MATRIX_SUMS = 4,     /* registers of sums of 16 x 8 */
};

/* A block of an operand: `own` rows of a (or columns of b) by `k`, elements of `bytes`. In shared
 * memory it is lines of k, one per row; or, where not `along_k`, lines of rows, one per k. Chunks
 * of a line are swapped so that no access of a fragment meets a bank twice. */
struct matrix_block {
  bool along_k;
  uint32_t own, k, bytes;
};

/* Whether there is a product of these dtypes; f32 stands for its rounding to tf32. */
bool matrix_has_product(enum dtype a, enum dtype b);

uint32_t matrix_lines(const struct matrix_block *b);
uint32_t matrix_line_bytes(const struct matrix_block *b);
/* i32: the byte at which a chunk (i32) of a line (i32) is. */
LLVMValueRef matrix_place(struct emit *e, const struct matrix_block *b, LLVMValueRef line,
                          LLVMValueRef chunk);

/* This lane's part of the `block`th 16 rows of a behind `row` (i32), or of 16 columns of b, and of
 * the `step`th MATRIX_K_BYTES of the block at `memory`, in shared memory. */
void matrix_load_a(struct emit *e, const struct matrix_block *b, LLVMValueRef memory,
                   LLVMValueRef row, uint32_t block, uint32_t step,
                   LLVMValueRef out[MATRIX_A_WORDS]);
void matrix_load_b(struct emit *e, const struct matrix_block *b, LLVMValueRef memory,
                   LLVMValueRef column, uint32_t block, uint32_t step,
                   LLVMValueRef out[MATRIX_B_WORDS]);
/* f32 fragments rounded to tf32; others are left as they are. */
void matrix_round(struct emit *e, enum dtype dtype, LLVMValueRef *words, uint32_t n);

/* sums += a * b; two words of b. Sums are f32, or i32 of integers. */
void matrix_multiply(struct emit *e, enum dtype a_dtype, enum dtype b_dtype, const LLVMValueRef *a,
                     const LLVMValueRef *b, LLVMValueRef sums[MATRIX_SUMS]);

#endif
