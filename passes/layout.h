/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions with channels last: what passes/layout.c arranges, and fuse keeps in one kernel. */
#ifndef SINTER_PASSES_LAYOUT_H
#define SINTER_PASSES_LAYOUT_H

#include "ir/graph.h"

/* Whether code generation has a schedule of this conv that stores its result with channels last:
 * one or two spatial dims, windows of up to LAYOUT_COLUMNS columns, constant weights that the
 * engine may hold in another order, channels of a group that fill panels. */
#define LAYOUT_COLUMNS 9
bool layout_conv_allowed(const struct function *f, const struct op *op);
/* Each channel by itself. */
bool layout_is_depth_wise(const struct function *f, const struct op *op);
/* A transpose of [batch, channels, ...] to [batch, ..., channels]. */
bool layout_turns_last(const struct op *op);

#endif
