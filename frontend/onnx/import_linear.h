/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices, for the operators of that name and for fused ones. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_LINEAR_H
#define SINTER_FRONTEND_ONNX_IMPORT_LINEAR_H

#include "frontend/onnx/import_node.h"

/* numpy's matmul: vectors are promoted, batch dims broadcast. `dtype` of the result. */
value_id import_build_matmul(struct import_node *n, value_id lhs, value_id rhs, enum dtype dtype);

/* The common numpy shape of two lists of dims, from the back; unknown dims get a run-time check.
 * False if they cannot agree. */
bool import_broadcast_dims(struct import_node *n, const dim *a, uint32_t rank_a, const dim *b,
                           uint32_t rank_b, dim *out, uint32_t *out_rank);

#endif
