/* SPDX-License-Identifier: Apache-2.0 */
/* A tile of a product of matrices by the threads of a block, without tensor cores: for every dtype
 * that sums are of.
 *
 * For each PRODUCT_K of what is summed over, the block brings its part of both operands to shared
 * memory, [k][row or column]; while it is multiplied, the next part is on its way to registers. A
 * thread has per x per sums, in squares of 4 x 4, so that it reads 16 bytes of f32 at a time. Every
 * element is summed in the order of k. */
#ifndef SINTER_CODEGEN_NVPTX_BLOCK_PRODUCT_H
#define SINTER_CODEGEN_NVPTX_BLOCK_PRODUCT_H

#include "codegen/emit.h"

enum {
  PRODUCT_THREADS = 256,
  PRODUCT_K = 16,
  PRODUCT_RUN = 4,  /* elements that are read or stored at once, at most */
  PRODUCT_PER = 4,  /* rows and columns of a thread, for every dtype of sums */
  PRODUCT_MOST = 8, /* for sums of 4 bytes */
};

/* How an operand is read: neighbouring threads, and the `width` (1 or PRODUCT_RUN) elements that
 * one of them reads at once, lie next to each other along k or along its rows (columns), whose
 * number is a multiple of width. */
struct product_side {
  bool along_k;
  uint32_t width;
};

struct block_product {
  enum dtype acc;        /* of sums */
  uint32_t per;          /* rows and columns of a thread: a tile has product_tile(per) of each */
  LLVMValueRef m, n, k;  /* i64: rows, columns, what is summed over */
  LLVMValueRef first[2]; /* i64: row and column that the tile begins with */
  struct product_side side[2]; /* left, right */
  /* `width` elements of an operand, as acc, with lanes in one of the coordinates; all are inside.
   */
  LLVMValueRef (*operand)(struct emit *e, const void *user, bool left, struct coord own,
                          struct coord k, uint32_t width);
  /* Stores the results of a row's `width` columns from their sums. */
  void (*store)(struct emit *e, const void *user, LLVMValueRef row, struct coord column,
                uint32_t width, LLVMValueRef sums);
  const void *user;
};

/* Rows and columns of a tile. */
uint32_t product_tile(uint32_t per);

/* Emits all of it. All threads of the block, kernel->block_threads = PRODUCT_THREADS, get here
 * together. */
void block_product_emit(struct emit *e, const struct block_product *p);

#endif
