/* SPDX-License-Identifier: Apache-2.0 */
/* Loops over some dims of a point, the last one by vectors with a scalar tail. */
#ifndef SINTER_CODEGEN_EMIT_NEST_H
#define SINTER_CODEGEN_EMIT_NEST_H

#include "codegen/emit.h"

#define NEST_MAX_CARRIED 3

/* Called where code for one step is wanted: at `p` (of width 1 or the nest's), with the
 * accumulators so far; writes what they become. */
typedef void (*nest_body)(struct emit *e, void *user, const struct point *p,
                          const LLVMValueRef *acc, LLVMValueRef *out_acc);

/* The accumulator of two that began apart; both of the nest's width. */
typedef LLVMValueRef (*nest_merge)(struct emit *e, void *user, LLVMValueRef a, LLVMValueRef b);

#define NEST_MAX_STREAMS 4

struct nest {
  uint32_t n_axes;
  uint32_t
      axes[IR_MAX_RANK]; /* coordinates of the point that the loops run over, outermost first */
  const dim *dims;       /* of the point's index space */
  uint32_t width;        /* for the last of the axes; 1: no vectors */
  LLVMValueRef
      lane; /* where the last of the loops begins, and `lanes` its step; NULL: at 0, by 1 */
  uint32_t lanes;
  uint32_t n_carried;
  /* Above 1, where one accumulator is carried: so many vectors are taken side by side, each into an
   * accumulator of its own, so that none waits for the one before. They begin as `neutral`. */
  uint32_t streams;
  LLVMValueRef neutral;
  nest_merge merge;
  nest_body body;
  void *user;
};

/* Runs the nest from `p` (whose other coordinates stay). `scalar` and `vector` hold the
 * accumulators' initial values, for width 1 and `width` (unused where width is 1), and receive the
 * final ones. */
void emit_nest(struct emit *e, const struct nest *n, const struct point *p, LLVMValueRef *scalar,
               LLVMValueRef *vector);

/* The width to use along a dim for values of this dtype: a power of two, at most the dim where it
 * is constant. */
uint32_t nest_width(const struct emit *e, dim d, enum dtype widest);

#endif
