/* SPDX-License-Identifier: Apache-2.0 */
/* How fast kernels are built: copies ahead of products over several stages, by cp.async with mma.sync
 * and by tensor copies with wgmma in specialised warps of a cluster; attention of which the weights stay
 * in registers; decoding with the keys split over blocks. The test also runs them with steps taken out. */
#include <cstdint>
#include <cuda_bf16.h>

using bf16 = __nv_bfloat16;
struct alignas(64) map { char bytes[128]; };

__device__ static uint32_t shared(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
__device__ static uint32_t pack(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

/* C = A B^T, tiles of 64 x 64 by four warps, 32 of K a stage. `empty`: stages past the end are
 * committed empty, without which the last waits are for too few. */
enum { STAGES = 3, STAGE_BYTES = 2 * 64 * 32 * 2 };
__device__ static uint32_t place(uint32_t row, uint32_t unit) { /* 16 bytes of a row of 64, spread over banks */
  return row * 64 + ((unit ^ (row >> 1 & 3)) << 4);
}
__device__ static void stage(uint32_t at, const bf16 *a, const bf16 *b, int k, int K) {
  for (int c = threadIdx.x; c < 256; c += 128) {
    int row = c / 4, unit = c % 4;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at + place(row, unit)),
                 "l"(a + row * (long)K + k + unit * 8) : "memory");
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at + 4096 + place(row, unit)),
                 "l"(b + row * (long)K + k + unit * 8) : "memory");
  }
}
__device__ static void ldmatrix(uint32_t *r, uint32_t at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
extern "C" __global__ void __launch_bounds__(128)
mma_pipeline(const bf16 *a, const bf16 *b, float *c, int N, int K, int empty) {
  __shared__ alignas(128) char tiles[STAGES * STAGE_BYTES];
  uint32_t base = shared(tiles), lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int m = 32 * (warp % 2), n = 32 * (warp / 2), steps = K / 32;
  a += blockIdx.y * 64 * (long)K, b += blockIdx.x * 64 * (long)K;
  for (int s = 0; s < STAGES - 1; s++) {
    stage(base + s * STAGE_BYTES, a, b, s * 32, K);
    asm volatile("cp.async.commit_group;" ::: "memory");
  }
  float d[2][4][4] = {};
  for (int s = 0; s < steps; s++) {
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
    asm volatile("bar.sync 3;" ::: "memory");
    if (s + STAGES - 1 < steps)
      stage(base + (s + STAGES - 1) % STAGES * STAGE_BYTES, a, b, (s + STAGES - 1) * 32, K);
    if (empty || s + STAGES - 1 < steps)
      asm volatile("cp.async.commit_group;" ::: "memory");
    uint32_t at = base + s % STAGES * STAGE_BYTES;
    for (int k = 0; k < 2; k++) {
      uint32_t x[2][4], y[2][4];
      for (int i = 0; i < 2; i++)
        ldmatrix(x[i], at + place(m + 16 * i + lane % 16, 2 * k + lane / 16));
      for (int j = 0; j < 2; j++)
        ldmatrix(y[j], at + 4096 + place(n + 16 * j + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
      for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
          asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
                       "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                       : "+f"(d[i][j][0]), "+f"(d[i][j][1]), "+f"(d[i][j][2]), "+f"(d[i][j][3])
                       : "r"(x[i][0]), "r"(x[i][1]), "r"(x[i][2]), "r"(x[i][3]), "r"(y[j / 2][j % 2 * 2]),
                         "r"(y[j / 2][j % 2 * 2 + 1]));
    }
  }
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 4; j++)
      for (int e = 0; e < 4; e++) {
        int row = blockIdx.y * 64 + m + 16 * i + lane / 4 + 8 * (e / 2);
        c[row * (long)N + blockIdx.x * 64 + n + 8 * j + lane % 4 * 2 + e % 2] = d[i][j][e];
      }
}

/* Tensor copies, mbarriers, wgmma. */

__device__ static void wait(uint32_t barrier, uint32_t parity) {
  asm volatile("{ .reg .pred done;\n"
               "WAIT: mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
               "@!done bra WAIT; }" ::"r"(barrier), "r"(parity) : "memory");
}
__device__ static void wait_free(uint32_t barrier, uint32_t parity) { /* for a slot that all have read */
  asm volatile("{ .reg .pred free;\n"
               "WAIT: mbarrier.try_wait.parity.shared.b64 free, [%0], %1;\n"
               "@!free bra WAIT; }" ::"r"(barrier), "r"(parity) : "memory");
}
__device__ static void expect(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ static uint64_t descriptor(uint32_t at, uint64_t leading) { /* 128-byte swizzle, 8 rows 1024 bytes apart */
  return (uint64_t)(at >> 4 & 0x3fff) | leading << 16 | UINT64_C(64) << 32 | UINT64_C(1) << 62;
}
#define D32(d)                                                                                                \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), \
      "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]),  \
      "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), \
      "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define LIST32                                                                                      \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
  "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
__device__ static void multiply(float *d, uint64_t a, uint64_t b, int add) {
  asm volatile("{ .reg .pred add; setp.ne.b32 add, %34, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " LIST32 ", %32, %33, add, 1, 1, 0, 0; }"
               : D32(d) : "l"(a), "l"(b), "r"(add));
}
__device__ static void multiply_registers(float *d, const uint32_t *a, uint64_t b) { /* B along its rows */
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " LIST32
               ", {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
               : D32(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
__device__ static void products_done(float *d) { asm volatile("wgmma.wait_group.sync.aligned 0;" : D32(d)::"memory"); }

/* C = A B^T over a cluster of two blocks, one above the other: each copies its A and half of B, which both
 * get. A thread of the second warpgroup copies, the first multiplies. */
enum { DEPTH = 3, HALF = 4096, BOX = 8192, PAIR = 2 * BOX };
extern "C" __global__ void __launch_bounds__(256) __cluster_dims__(1, 2, 1)
gemm_cluster(const __grid_constant__ map a, const __grid_constant__ map b, const __grid_constant__ map c, int steps,
             int tiles, uint32_t bytes) {
  extern __shared__ __align__(1024) char memory[];
  uint32_t base = shared(memory), out = base + DEPTH * PAIR, full = out + BOX, empty = full + 8 * DEPTH, t = threadIdx.x, rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  if (t == 0) {
    for (int s = 0; s < DEPTH; s++) {
      asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(full + 8 * s) : "memory");
      asm volatile("mbarrier.init.shared.b64 [%0], 2;" ::"r"(empty + 8 * s) : "memory");
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  asm volatile("barrier.cluster.arrive.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
  int slot = 0, phase = 0;
  if (t >= 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (t == 128)
      for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x)
        for (int k = 0; k < steps; k++) {
          uint32_t at = base + slot * PAIR;
          wait_free(empty + 8 * slot, phase ^ 1);
          expect(full + 8 * slot, bytes);
          asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], "
                       "[%4];" ::"r"(at), "l"(&a), "r"(64 * k), "r"(64 * (int)blockIdx.y), "r"(full + 8 * slot) : "memory");
          asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
                       "[%1, {%2, %3}], [%4], %5;" ::"r"(at + BOX + rank * HALF), "l"(&b), "r"(64 * k),
                       "r"(64 * tile + 32 * (int)rank), "r"(full + 8 * slot), "h"((uint16_t)3) : "memory");
          if (++slot == DEPTH)
            slot = 0, phase ^= 1;
        }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
      float d[32];
      for (int k = 0; k < 32; k++)
        d[k] = 0;
      for (int k = 0; k < steps; k++) {
        uint32_t at = base + slot * PAIR;
        wait(full + 8 * slot, phase);
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
        for (int j = 0; j < 4; j++)
          multiply(d, descriptor(at + 32 * j, 1), descriptor(at + BOX + 32 * j, 1), k + j);
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        products_done(d);
        if (t < 2) /* both blocks may write this slot again */
          asm volatile("{ .reg .b32 there; mapa.shared::cluster.u32 there, %0, %1;\n"
                       "mbarrier.arrive.shared::cluster.b64 _, [there]; }" ::"r"(empty + 8 * slot), "r"(t) : "memory");
        if (++slot == DEPTH)
          slot = 0, phase ^= 1;
      }
      if (t == 0)
        asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
      asm volatile("bar.sync 1, 128;" ::: "memory");
      uint32_t lane = t % 32, row = t / 32 * 16 + lane % 16;
      for (int j = 0; j < 4; j++) {
        uint32_t to = out + row * 128 + (((2 * j + lane / 16) ^ (row & 7)) << 4);
        asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to),
                     "r"(pack(d[8 * j], d[8 * j + 1])), "r"(pack(d[8 * j + 2], d[8 * j + 3])),
                     "r"(pack(d[8 * j + 4], d[8 * j + 5])), "r"(pack(d[8 * j + 6], d[8 * j + 7])) : "memory");
      }
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
      asm volatile("bar.sync 2, 128;" ::: "memory");
      if (t == 0) {
        asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&c), "r"(64 * tile),
                     "r"(64 * (int)blockIdx.y), "r"(out) : "memory");
        asm volatile("cp.async.bulk.commit_group;" ::: "memory");
      }
    }
    if (t == 0)
      asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
  }
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  __syncwarp();
  asm volatile("barrier.cluster.arrive.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
}

/* softmax(Q K^T) V of 64 queries and heads of 64, causal if asked; 64 keys a step, of which the next are
 * copied while these are used. scale holds log2(e). */
extern "C" __global__ void __launch_bounds__(128)
flash(const __grid_constant__ map q, const __grid_constant__ map k, const __grid_constant__ map v, bf16 *o, int S, float scale,
      int causal) {
  extern __shared__ __align__(1024) char memory[];
  uint32_t Q = shared(memory), K = Q + BOX, V = K + 2 * BOX, bar = V + 2 * BOX, t = threadIdx.x, lane = t % 32;
  int first = 64 * blockIdx.x, head = blockIdx.y, steps = causal ? blockIdx.x + 1 : S / 64;
  auto load = [&](uint32_t to, const map *m, int row, uint32_t barrier) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], "
                 "[%5];" ::"r"(to), "l"(m), "r"(0), "r"(row), "r"(head), "r"(barrier) : "memory");
  };
  if (t == 0) {
    for (int s = 0; s < 3; s++)
      asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(bar + 8 * s) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    expect(bar + 16, BOX);
    load(Q, &q, first, bar + 16);
    expect(bar, 2 * BOX);
    load(K, &k, 0, bar), load(V, &v, 0, bar);
  }
  asm volatile("bar.sync 3;" ::: "memory");
  float acc[32], most[2], sum[2] = {0, 0};
  most[0] = most[1] = -INFINITY;
  for (int e = 0; e < 32; e++)
    acc[e] = 0;
  wait(bar + 16, 0);
  for (int s = 0; s < steps; s++) {
    uint32_t slot = s & 1;
    if (t == 0 && s + 1 < steps) {
      expect(bar + 8 * (slot ^ 1), 2 * BOX);
      load(K + BOX * (slot ^ 1), &k, 64 * (s + 1), bar + 8 * (slot ^ 1));
      load(V + BOX * (slot ^ 1), &v, 64 * (s + 1), bar + 8 * (slot ^ 1));
    }
    wait(bar + 8 * slot, s / 2 & 1);
    float p[32];
    for (int e = 0; e < 32; e++)
      p[e] = 0;
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    for (int j = 0; j < 4; j++)
      multiply(p, descriptor(Q + 32 * j, 1), descriptor(K + BOX * slot + 32 * j, 1), j);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    products_done(p);
    uint32_t weights[16];
    for (int r = 0; r < 2; r++) {
      int row = first + t / 32 * 16 + lane / 4 + 8 * r;
      float high = most[r];
      for (int e = 0; e < 32; e++)
        if (e / 2 % 2 == r) {
          if (causal && 64 * s + lane % 4 * 2 + e % 2 + 8 * (e / 4) > row)
            p[e] = -INFINITY;
          high = fmaxf(high, p[e] * scale);
        }
      high = fmaxf(high, __shfl_xor_sync(~0u, high, 1));
      high = fmaxf(high, __shfl_xor_sync(~0u, high, 2));
      float keep = exp2f(most[r] - high), all = 0;
      for (int e = 0; e < 32; e++)
        if (e / 2 % 2 == r) {
          p[e] = exp2f(p[e] * scale - high);
          all += p[e];
          acc[e] *= keep;
        }
      sum[r] = sum[r] * keep + all;
      most[r] = high;
    }
    for (int e = 0; e < 16; e++)
      weights[e] = pack(p[2 * e], p[2 * e + 1]);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    for (int j = 0; j < 4; j++)
      multiply_registers(acc, weights + 4 * j, descriptor(V + BOX * slot + 2048 * j, 1));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    products_done(acc);
    asm volatile("bar.sync 4;" ::: "memory"); /* all have read this slot */
  }
  for (int r = 0; r < 2; r++) {
    sum[r] += __shfl_xor_sync(~0u, sum[r], 1);
    sum[r] += __shfl_xor_sync(~0u, sum[r], 2);
    long row = (long)head * S + first + t / 32 * 16 + lane / 4 + 8 * r;
    for (int e = 0; e < 32; e += 2)
      if (e / 2 % 2 == r)
        *(uint32_t *)(o + row * 64 + lane % 4 * 2 + 8 * (e / 4)) = pack(acc[e] / sum[r], acc[e + 1] / sum[r]);
  }
}

/* One query a head against all keys, which are split over blocks; a warp takes every fourth key of its
 * block's. Parts and the logarithms of their sums go to `combine`. */
extern "C" __global__ void __launch_bounds__(128)
decode(const bf16 *q, const bf16 *k, const bf16 *v, float *parts, float *logs, int S, int split, float scale) {
  __shared__ float part[4][64], sums[4], tops[4];
  int head = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int from = blockIdx.x * split, to = min(from + split, S);
  float q0 = (float)q[head * 64 + 2 * lane], q1 = (float)q[head * 64 + 2 * lane + 1];
  float top = -INFINITY, sum = 0, a0 = 0, a1 = 0;
  for (int j = from + warp; j < to; j += 4) {
    const bf16 *row = k + ((long)head * S + j) * 64, *value = v + ((long)head * S + j) * 64;
    float x = q0 * (float)row[2 * lane] + q1 * (float)row[2 * lane + 1];
    for (int apart = 16; apart; apart /= 2)
      x += __shfl_xor_sync(~0u, x, apart);
    x *= scale;
    float high = fmaxf(top, x), keep = exp2f(top - high), w = exp2f(x - high);
    sum = sum * keep + w;
    a0 = a0 * keep + w * (float)value[2 * lane];
    a1 = a1 * keep + w * (float)value[2 * lane + 1];
    top = high;
  }
  part[warp][2 * lane] = a0, part[warp][2 * lane + 1] = a1;
  if (lane == 0)
    sums[warp] = sum, tops[warp] = top;
  asm volatile("bar.sync 5;" ::: "memory");
  if (threadIdx.x < 64) {
    float high = fmaxf(fmaxf(tops[0], tops[1]), fmaxf(tops[2], tops[3])), all = 0, r = 0;
    for (int w = 0; w < 4; w++) {
      float keep = exp2f(tops[w] - high);
      all += keep * sums[w];
      r += keep * part[w][threadIdx.x];
    }
    long at = (long)head * gridDim.x + blockIdx.x;
    parts[at * 64 + threadIdx.x] = r / all;
    if (threadIdx.x == 0)
      logs[at] = high + log2f(all);
  }
}
extern "C" __global__ void combine(const float *parts, const float *logs, float *o, int n) {
  int head = blockIdx.x, t = threadIdx.x;
  float high = -INFINITY, all = 0, r = 0;
  for (int s = 0; s < n; s++)
    high = fmaxf(high, logs[head * n + s]);
  for (int s = 0; s < n; s++) {
    float w = exp2f(logs[head * n + s] - high);
    all += w;
    r += w * parts[((long)head * n + s) * 64 + t];
  }
  o[head * 64 + t] = r / all;
}
