/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a dim as views: what a rank takes of a whole value, and how the buffers of an exchange
 * are laid out. All are index arithmetic, which kernels compute in their reads and stores.
 *
 * A *chunked* value has in place of the dim two of them, [chunks, size], the same on all ranks: one
 * chunk per part (block), two (zigzag) or one per round (interleaved), each padded to the longest.
 * A *grouped* one has a dim more in front: whose part it is. */
#ifndef SINTER_PASSES_PART_VIEWS_H
#define SINTER_PASSES_PART_VIEWS_H

#include "ir/part_dims.h"

/* The part of dim d that p says, of a value that has all of it. */
value_id part_view_take(struct builder *b, const struct part_dims *p, value_id x, uint32_t d);

/* A part (dim d has its count) as chunks, and back. */
value_id part_view_chunk(struct builder *b, const struct part_dims *p, value_id x, uint32_t d);
value_id part_view_unchunk(struct builder *b, const struct part_dims *p, value_id x, uint32_t d);

/* All of dim d as the chunks of every part, grouped: [parts, ..., chunks, size, ...]; and back. */
value_id part_view_group(struct builder *b, const struct part_dims *p, value_id x, uint32_t d);
value_id part_view_ungroup(struct builder *b, const struct part_dims *p, value_id x, uint32_t d);

/* `size` elements of dim d from `start` on; and dim d with zeros at its end, up to `size`. x itself
 * where that is known to be all of it. */
value_id part_view_cut(struct builder *b, value_id x, uint32_t d, dim start, dim size);
value_id part_view_pad(struct builder *b, value_id x, uint32_t d, dim size);

/* Moves dim `from` to place `to`. */
value_id part_view_move(struct builder *b, value_id x, uint32_t from, uint32_t to);

#endif
