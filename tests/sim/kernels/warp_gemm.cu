/* SPDX-License-Identifier: Apache-2.0 */
/* Products by mma.sync from cp.async and ldmatrix, and by wmma; fp8, tf32, f64 and s8 by mma.sync. */
#include <cuda_bf16.h>
#include <cstdint>
#include <mma.h>

__device__ static uint32_t shared(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

/* C (16 x 8, f32) = A (16 x 16 K) * B (8 x 16 K)^T, both bf16 row by row, `steps` of K = 16. */
extern "C" __global__ void mma_bf16(const uint16_t *a, const uint16_t *b, float *c, int steps) {
  __shared__ alignas(16) uint16_t ta[16 * 16], tb[8 * 16];
  uint32_t lane = threadIdx.x;
  float d[4] = {0, 0, 0, 0};
  for (int s = 0; s < steps; s++) {
    const uint16_t *from = a + (lane / 2) * 16 * steps + s * 16 + lane % 2 * 8;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared(ta + lane / 2 * 16 + lane % 2 * 8)),
                 "l"(from) : "memory");
    if (lane < 16) {
      from = b + (lane / 2) * 16 * steps + s * 16 + lane % 2 * 8;
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared(tb + lane / 2 * 16 + lane % 2 * 8)),
                   "l"(from) : "memory");
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
    asm volatile("cp.async.wait_group 0;" ::: "memory");
    __syncwarp();
    uint32_t fa[4], fb[2];
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(fa[0]), "=r"(fa[1]), "=r"(fa[2]), "=r"(fa[3])
                 : "r"(shared(ta + lane % 16 * 16 + lane / 16 * 8)) : "memory");
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(fb[0]), "=r"(fb[1])
                 : "r"(shared(tb + lane % 8 * 16 + lane / 8 % 2 * 8)) : "memory");
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[0]), "r"(fb[1]));
    __syncwarp();
  }
  for (int e = 0; e < 4; e++)
    c[(lane / 4 + 8 * (e / 2)) * 8 + lane % 4 * 2 + e % 2] = d[e];
}

extern "C" __global__ void wmma_half(const half *a, const half *b, float *c) {
  using namespace nvcuda::wmma;
  fragment<matrix_a, 16, 16, 16, half, row_major> fa;
  fragment<matrix_b, 16, 16, 16, half, col_major> fb;
  fragment<accumulator, 16, 16, 16, float> fc;
  fill_fragment(fc, 1.0f);
  load_matrix_sync(fa, a, 16);
  load_matrix_sync(fb, b, 16);
  mma_sync(fc, fa, fb, fc);
  store_matrix_sync(c, fc, 16, mem_row_major);
}

/* One product with K elements of type T packed in 32-bit words, A 16 x K, B 8 x K. */
#define PRODUCT(name, text, K, per, Acc, constraint)                                               \
  extern "C" __global__ void name(const uint32_t *a, const uint32_t *b, Acc *c) {                  \
    uint32_t g = threadIdx.x / 4, t = threadIdx.x % 4, w = K / per;                                \
    uint32_t a0 = a[g * w + t], a1 = a[(g + 8) * w + t], a2 = a[g * w + t + 4],                    \
             a3 = a[(g + 8) * w + t + 4], b0 = b[g * w + t], b1 = b[g * w + t + 4];                \
    Acc d0 = 0, d1 = 0, d2 = 0, d3 = 0;                                                            \
    asm volatile(text " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"           \
                 : "+" constraint(d0), "+" constraint(d1), "+" constraint(d2), "+" constraint(d3)  \
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));                          \
    c[g * 8 + t * 2] = d0, c[g * 8 + t * 2 + 1] = d1;                                              \
    c[(g + 8) * 8 + t * 2] = d2, c[(g + 8) * 8 + t * 2 + 1] = d3;                                  \
  }
PRODUCT(mma_tf32, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", 8, 1, float, "f")
PRODUCT(mma_s8, "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", 32, 4, int, "r")
PRODUCT(mma_u8s8, "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32", 32, 4, int, "r")
PRODUCT(mma_e4m3, "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", 32, 4, float, "f")
PRODUCT(mma_e5m2, "mma.sync.aligned.m16n8k32.row.col.f32.e5m2.e4m3.f32", 32, 4, float, "f")

extern "C" __global__ void mma_f64(const double *a, const double *b, double *c) {
  uint32_t g = threadIdx.x / 4, t = threadIdx.x % 4;
  double d0 = 0, d1 = 0;
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+d"(d0), "+d"(d1) : "d"(a[g * 4 + t]), "d"(b[g * 4 + t]));
  c[g * 8 + t * 2] = d0, c[g * 8 + t * 2 + 1] = d1;
}
