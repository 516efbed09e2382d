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

/* Which column of A the kept-th element of a row (0 to 15) of a sparse A of 16 x k is. `metadata`
 * is the register that lanes hold it in, `selector` says which of a group's lanes. False after a
 * fault was reported: two of a row are at one place. Source: PTX ISA, "mma.sp"; for 8 and 4 bits,
 * where lanes hold whole rows, the order in which CUTLASS lays metadata out for the hardware. */
bool sparse_column(struct warp *w, const struct inst *i, const struct operand *metadata,
                   uint32_t selector, uint32_t bits, uint32_t k, uint32_t row, uint32_t kept,
                   uint32_t *column);

#endif
