/* SPDX-License-Identifier: Apache-2.0 */
/* What matrix instructions share: elements of operand types as floats or integers, where fragments
 * lie in lanes, and the product itself. */
#ifndef SINTER_SIM_EXEC_TENSOR_H
#define SINTER_SIM_EXEC_TENSOR_H

#include "sim/exec/cvt.h"

/* Bits of an element as it lies in registers and memory: 1, 4, 8, 16, 32 or 64. */
uint32_t element_bits(enum ptx_type t);
bool element_is_integer(enum ptx_type t);
int32_t element_integer(enum ptx_type t, uint32_t bits);
/* f16, bf16, tf32, fp8: exact in an f32. tf32 drops the bits that the hardware ignores. */
float element_float(enum ptx_type t, uint32_t bits);

/* acc[m][n] += sum over k of a[m][k] * b[k][n], row-major with rows of `n` and `k`; each product is
 * exact, each sum rounded. n is a multiple of 8. */
void product_f32(float *acc, const float *a, const float *b, uint32_t m, uint32_t n, uint32_t k);
void product_s32(int32_t *acc, const int32_t *a, const int32_t *b, uint32_t m, uint32_t n,
                 uint32_t k);

#endif
