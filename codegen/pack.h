/* SPDX-License-Identifier: Apache-2.0 */
/* Weights rearranged at compile time into the panels that contraction kernels read.
 *
 * A panel holds PANEL_BYTES / size columns of the k x n matrix, row after row: [panel][k][column].
 * The format is the same for every x86 level, so an engine's weights do not depend on its code.
 * Columns beyond n are 0.
 *
 * In pairs, k is seen as [outer][inner]; elements of two neighbouring outer ones lie side by side,
 * as instructions that multiply 16 bits and add two products want them: [panel][outer /
 * 2][inner][column][2]. */
#ifndef SINTER_CODEGEN_PACK_H
#define SINTER_CODEGEN_PACK_H

#include "ir/graph.h"

#define PANEL_BYTES 64u /* of accumulators in one row of a panel */

/* How a constant operand of a kernel is stored. */
struct pack {
  bool panels;      /* else as it is */
  uint32_t k_axes;  /* bit i: dim i of the constant is contracted; in ascending order */
  uint32_t columns; /* of a panel */
  uint32_t pairs;   /* 0, or the size of the inner part of k */
};

bool pack_equal(const struct pack *a, const struct pack *b);

/* k and n of the constant seen as a matrix (k filled up to whole pairs), and the packed size in
 * bytes; false where it overflows.
 */
bool pack_size(const struct constant *c, const struct pack *pack, uint64_t *out_k, uint64_t *out_n,
               uint64_t *out_bytes);

/* Writes panel number `panel` (k * columns elements) to `out`. */
void pack_panel(const struct constant *c, const struct pack *pack, uint64_t panel, void *out);

#endif
