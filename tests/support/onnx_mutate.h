/* SPDX-License-Identifier: Apache-2.0 */
/* Changes an ONNX model as models differ from each other: attributes, element types, dims that
 * become names, edges, operators of one family, constants that become inputs, versions. Most of
 * what comes out is refused for a reason, and the rest means something else than before. */
#ifndef SINTER_TESTS_SUPPORT_ONNX_MUTATE_H
#define SINTER_TESTS_SUPPORT_ONNX_MUTATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* Makes `changes` changes drawn from `seed`; all in the arena. NULL if the bytes are no model. The
 * same arguments give the same bytes. */
uint8_t *onnx_mutate(const uint8_t *bytes, size_t n, uint64_t seed, uint32_t changes,
                     struct arena *arena, size_t *out_n);

#endif
