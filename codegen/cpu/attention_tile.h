/* SPDX-License-Identifier: Apache-2.0 */
/* What both ways of computing a tile of attention share: its place, its scratch, the score of a
 * query and a key from their product, which keys can be left out, and where results go. */
#ifndef SINTER_CODEGEN_CPU_ATTENTION_TILE_H
#define SINTER_CODEGEN_CPU_ATTENTION_TILE_H

#include "codegen/cpu/micro.h"

#define ATTENTION_QUERIES 64 /* of a tile, at most */
#define ATTENTION_STRIDE 80  /* from row to row of [..][query]: an odd number of cache lines */
#define ATTENTION_KEYS 96    /* of a block */
/* Queries that are computed one by one, and heads that then share the keys they read. */
#define ATTENTION_FEW 4

struct attention {
  const struct op *op;
  const struct attention_attrs *a;
  const struct type *q, *k, *v, *o;
};
void attention_of(const struct kernel *kernel, struct attention *s);

struct attention_tile {
  struct attention s;
  uint32_t width;
  uint32_t heads; /* query heads of one kv head in the tile, from `head` on; more than 1 only where
                     there are few queries */
  LLVMValueRef batch, head, last_head, group, q0, queries;
  LLVMValueRef lanes;                     /* queries, rounded up to panels */
  LLVMValueRef size, depth, q_len, k_len; /* d, e, s, t */
  /* f32 in scratch: [KEYS][d], [KEYS][e], [d][STRIDE], [KEYS][STRIDE], [e][STRIDE] */
  LLVMValueRef keys, values, turned, scores, sums;
  LLVMValueRef most, total, correction; /* [STRIDE] */
};
/* The tile of that number; kernel->kept holds the heads of a tile. */
void attention_tile_init(struct emit *e, struct attention_tile *t, LLVMValueRef number);

LLVMValueRef attention_f32(struct emit *e, double x);
LLVMValueRef attention_splat(struct emit *e, const struct attention_tile *t, double x);
/* Element `index` of f32 scratch. */
LLVMValueRef attention_at(struct emit *e, LLVMValueRef base, LLVMValueRef index);
LLVMValueRef attention_load(struct emit *e, const struct attention_tile *t, LLVMValueRef base,
                            LLVMValueRef index);
void attention_fill(struct emit *e, const struct attention_tile *t, LLVMValueRef to, LLVMValueRef n,
                    double x);
/* Rows [first, first + rows) of an operand, n elements each, one after the other at `to`. */
void attention_copy_rows(struct emit *e, const struct attention_tile *t, uint32_t operand,
                         LLVMValueRef head, LLVMValueRef first, LLVMValueRef rows, LLVMValueRef n,
                         LLVMValueRef to);

/* Positions of queries, i64 by lane; NULL where nothing is masked. */
LLVMValueRef attention_mask(struct emit *e, const struct attention_tile *t, struct coord query);
/* The score of queries (t->width lanes, of head t->head) and a key, of their product x. */
LLVMValueRef attention_score(struct emit *e, const struct attention_tile *t, LLVMValueRef q_pos,
                             struct coord query, LLVMValueRef key, LLVMValueRef x);

/* The keys that some query of the tile may see: they lie in [lo, hi), as far as that follows from
 * where they lie. What lies behind a cache's rows is never read. */
struct attention_reach {
  LLVMValueRef lo, hi;
  LLVMValueRef least,
      greatest; /* of the positions of queries, where those of keys are data; NULL */
};
void attention_reach_init(struct emit *e, const struct attention_tile *t,
                          struct attention_reach *out);
/* i1: some of the keys may be seen, by their positions; NULL: all of [lo, hi) may. */
LLVMValueRef attention_reaches(struct emit *e, const struct attention_tile *t,
                               const struct attention_reach *r, LLVMValueRef key0,
                               LLVMValueRef keys);

/* The tile's row `row` of the result, e elements at `from`, through the epilogue. */
void attention_store_row(struct emit *e, const struct attention_tile *t, LLVMValueRef head,
                         LLVMValueRef row, LLVMValueRef from);
/* Its lse, if the kernel gives it: the logarithm of `total`, plus `most`. */
void attention_store_lse(struct emit *e, const struct attention_tile *t, LLVMValueRef head,
                         LLVMValueRef row, LLVMValueRef most, LLVMValueRef total);

/* A tile of at most ATTENTION_FEW queries. */
void attention_emit_few(struct emit *e, const struct attention_tile *t);

#endif
