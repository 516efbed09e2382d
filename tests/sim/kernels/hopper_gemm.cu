/* SPDX-License-Identifier: Apache-2.0 */
/* C = A * B^T in bf16 by tensor copies and wgmma, a tile of 64 x 64 per CTA, in one stage: small, with
 * every step that a large one has. The test also runs it with steps taken out. */
#include <cstdint>

__device__ static uint32_t shared(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
struct alignas(64) map { char bytes[128]; };

__device__ static void load(uint32_t to, const map *m, int x, int y, uint32_t barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], "
               "[%1, {%2, %3}], [%4];" ::"r"(to), "l"(m), "r"(x), "r"(y), "r"(barrier) : "memory");
}
__device__ static uint64_t descriptor(uint32_t at) {
  return (uint64_t)(at >> 4 & 0x3fff) | UINT64_C(1) << 16 | UINT64_C(64) << 32 | UINT64_C(1) << 62;
}

extern "C" __global__ void __launch_bounds__(128)
gemm(const __grid_constant__ map a, const __grid_constant__ map b, const __grid_constant__ map c,
     int steps, uint32_t bytes) {
  __shared__ alignas(1024) uint16_t tile_a[64 * 64], tile_b[64 * 64], tile_c[64 * 64];
  __shared__ alignas(8) uint64_t full;
  uint32_t barrier = shared(&full), t = threadIdx.x;
  if (t == 0) {
    asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(barrier) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  float d[32];
  for (int k = 0; k < 32; k++)
    d[k] = 0;
  for (int step = 0; step < steps; step++) {
    if (t == 0) {
      asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                   : "memory");
      load(shared(tile_a), &a, step * 64, blockIdx.y * 64, barrier);
      load(shared(tile_b), &b, step * 64, blockIdx.x * 64, barrier);
    }
    asm volatile("{ .reg .pred done;\n"
                 "WAIT: mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
                 "@!done bra WAIT; }" ::"r"(barrier), "r"(step & 1) : "memory");
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    for (int k = 0; k < 4; k++) {
      uint64_t da = descriptor(shared(tile_a) + 32 * k), db = descriptor(shared(tile_b) + 32 * k);
      asm volatile(
          "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
          "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
          "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
          "%32, %33, 1, 1, 1, 0, 0;"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
            "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
            "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]),
            "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]),
            "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
          : "l"(da), "l"(db));
    }
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    asm volatile("bar.sync 1, 128;" ::: "memory"); /* all have read: the tiles may be written again */
  }
  uint32_t warp = t / 32, lane = t % 32;
  for (int e = 0; e < 32; e++) {
    uint32_t row = warp * 16 + lane / 4 + 8 * (e / 2 % 2), column = lane % 4 * 2 + e % 2 + 8 * (e / 4);
    uint32_t at = row * 128 + column * 2, bits = __float_as_uint(d[e]);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    *(uint16_t *)((char *)tile_c + (at ^ (at >> 3 & 0x70))) = (uint16_t)bits;
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  asm volatile("bar.sync 2, 128;" ::: "memory");
  if (t == 0) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&c),
                 "r"(blockIdx.x * 64), "r"(blockIdx.y * 64), "r"(shared(tile_c)) : "memory");
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
  }
}
