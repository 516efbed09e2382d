/* SPDX-License-Identifier: Apache-2.0 */
/* A tile of a product of matrices by the tensor cores of a block's warps (mma.sync, from sm_80 on):
 * f16 and bf16 with sums in f32, bytes with sums in i32, f32 rounded to tf32.
 *
 * A tile is a block of rows by columns; warps share it out. Blocks of k pass through a ring of
 * stages in shared memory: while one is multiplied, those behind it are on their way. */
#ifndef SINTER_CODEGEN_NVPTX_MATRIX_PRODUCT_H
#define SINTER_CODEGEN_NVPTX_MATRIX_PRODUCT_H

#include "codegen/emit.h"

#define MATRIX_LEAST_CAPABILITY 80 /* cp.async, and products of bf16 */

struct matrix_product {
  enum dtype acc, dtype[2]; /* of sums; of the left operand and of the right */
  LLVMValueRef size[2], k;  /* i64: rows, columns, what is summed over */
  LLVMValueRef block[2];    /* i64: which block of rows, of columns the tile is */
  bool along_k[2];          /* neighbours in memory of what has no address lie along k */
  /* `width` elements of an operand, as `as`, with lanes in one of the coordinates; all inside. */
  LLVMValueRef (*operand)(struct emit *e, const void *user, bool left, struct coord own,
                          struct coord k, uint32_t width, enum dtype as);
  /* Where they lie one after the other in a buffer, as emit_address says; NULL: nowhere. */
  LLVMValueRef (*address)(struct emit *e, const void *user, bool left, struct coord own,
                          struct coord k, uint32_t width, uint32_t *out_buffer, int64_t *out_align);
  /* Stores the results of a row's `width` columns from their sums. */
  void (*store)(struct emit *e, const void *user, LLVMValueRef row, struct coord column,
                uint32_t width, LLVMValueRef sums);
  const void *user;
};

/* Chooses the tiles of products of m rows by n columns, one for each index of `others`: sets the
 * kernel's choice, threads, memory and grid. False where the target has no room or no such
 * instructions. */
bool matrix_product_plan(struct kernel *k, const struct target_isa *isa, dim m, dim n,
                         const dim *others, uint32_t n_others);

/* Sets p->block from a tile's number, by p->size; gives the index over `others`. */
LLVMValueRef matrix_product_blocks(struct emit *e, struct matrix_product *p, LLVMValueRef tile);
/* Emits all of it. All threads of the block get here together. */
void matrix_product_emit(struct emit *e, const struct matrix_product *p);

#endif
