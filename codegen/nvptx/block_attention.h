/* SPDX-License-Identifier: Apache-2.0 */
/* What schedules of attention by the threads of a block share: which rows a tile has, which keys
 * they see, what a score becomes, and where results go.
 *
 * A row is a query of one head. The heads that share a head of k and v lie side by side, query by
 * query, so that a tile reads the keys of its rows once, also where there is but one query. */
#ifndef SINTER_CODEGEN_NVPTX_BLOCK_ATTENTION_H
#define SINTER_CODEGEN_NVPTX_BLOCK_ATTENTION_H

#include "codegen/emit.h"
#include "codegen/schedule.h"

struct block_attention {
  const struct op *op;
  const struct attention_attrs *a;
  const struct type *q, *k, *v, *o;
  int64_t group;             /* heads of q to one of k */
  int64_t rows;              /* of a tile */
  LLVMValueRef part;         /* of the keys; NULL: all of them */
  LLVMValueRef batch, head;  /* of k and v */
  LLVMValueRef row0, all;    /* first row; rows of this head of k */
  LLVMValueRef q_len, k_len; /* queries, keys */
};

/* The op, its attributes and types, and the group. False where heads are not known, or sums would
 * not be f32. */
bool block_attention_of(const struct kernel *kernel, struct block_attention *out);
/* A grid of tiles of ->rows; false where it cannot be said. */
bool block_attention_grid(struct kernel *k, const struct block_attention *t);
/* Of the tile of that number in the grid; ->rows is set. */
void block_attention_init(struct emit *e, struct block_attention *t, LLVMValueRef number);

/* i1: the tile's row is one. Row `row` of the tile as a row of all; beyond the last, the last. */
LLVMValueRef block_attention_is_row(struct emit *e, const struct block_attention *t,
                                    LLVMValueRef row);
LLVMValueRef block_attention_row(struct emit *e, const struct block_attention *t, LLVMValueRef row);
/* The query, and the head of q, of a row of all. */
LLVMValueRef block_attention_query(struct emit *e, const struct block_attention *t,
                                   LLVMValueRef row);
LLVMValueRef block_attention_head(struct emit *e, const struct block_attention *t,
                                  LLVMValueRef row);

/* The score of a key for a row of all, from their product; -inf where the key takes no part, or is
 * not below `end`. */
LLVMValueRef block_attention_score(struct emit *e, const struct block_attention *t,
                                   LLVMValueRef row, LLVMValueRef key, LLVMValueRef end,
                                   LLVMValueRef product);
/* Whether causal or a window hides keys. */
bool block_attention_is_masked(const struct attention_attrs *a);
/* The keys from *lo to *hi that some row of the tile may see, of its part. All threads get here
 * together; `threads` is how many. */
void block_attention_key_range(struct emit *e, const struct block_attention *t, uint32_t threads,
                               LLVMValueRef *lo, LLVMValueRef *hi);

/* The point of a result (rank 4; 3 of the lse) at a row of the tile. */
struct point block_attention_result_point(struct emit *e, const struct block_attention *t,
                                          LLVMValueRef row, uint32_t rank);
/* Stores a row's lse, of its greatest score and the sum of exp(score - greatest), where `mine`. */
void block_attention_store_lse(struct emit *e, const struct block_attention *t, LLVMValueRef row,
                               LLVMValueRef most, LLVMValueRef total, LLVMValueRef mine);

#endif
