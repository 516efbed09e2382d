/* SPDX-License-Identifier: Apache-2.0 */
/* Planes stored with channels last, as passes/layout.c arranges them: what the schedules that read
 * and write them share.
 *
 * To the graph, a convolution is channels first always. Inside a region, a transpose that puts the
 * channels last follows the root, and the maps after it are in that space; a transpose of what is
 * stored with channels last comes before it. Both are views, so lanes of channels are neighbours in
 * memory. */
#ifndef SINTER_CODEGEN_CPU_PLANE_LAST_H
#define SINTER_CODEGEN_CPU_PLANE_LAST_H

#include "codegen/emit.h"
#include "codegen/kernel.h"

/* The transpose that puts the channels of the root's result last, if that is all that reads it;
 * else NULL: the region's results are in the space of the root. */
const struct op *plane_last_turn(const struct kernel *k, const struct op *root);
/* Whether a value (batch, channels, ...) is a view of one with channels last. */
bool plane_last_read(const struct function *f, value_id v);

/* Stores all results for `n` neighbours of a row from column x of row y on, from their sums: those
 * of channel `channel` + j of neighbour i lie at sums + i * stride + j. The root's value is read
 * back as `from` and cast to `to`. */
struct plane_last_finish {
  const struct op *root;
  enum dtype from, to;
  uint32_t width;
  LLVMValueRef batch, channel, channels; /* channels: how many */
  LLVMValueRef sums, stride;
};
void plane_last_finish(struct emit *e, const struct plane_last_finish *f, LLVMValueRef y,
                       LLVMValueRef x, LLVMValueRef n);

#endif
