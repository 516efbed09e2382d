/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of threads that differ in their members, virtual functions, memory from the device's heap,
 * atomics of every width, comparisons of halves, a product in f64, copies with a barrier. */
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <cuda/barrier>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>
namespace cg = cooperative_groups;

enum { PARTS = 10 };
extern "C" __global__ void groups(int *out) {
  cg::thread_block block = cg::this_thread_block();
  auto warp = cg::tiled_partition<32>(block);
  auto tile = cg::tiled_partition<8>(warp);
  int v = threadIdx.x, parts[PARTS] = {};
  parts[0] = cg::reduce(tile, v, cg::plus<int>());
  parts[1] = cg::reduce(warp, v, cg::greater<int>());
  parts[2] = cg::inclusive_scan(tile, v);
  parts[3] = cg::exclusive_scan(warp, v, cg::plus<int>());
  if (v % 3 == 0) {
    auto some = cg::coalesced_threads();
    parts[4] = some.size() * 100 + some.thread_rank() + cg::reduce(some, 1, cg::plus<int>());
  }
  auto labelled = cg::labeled_partition(warp, v % 5);
  parts[5] = cg::reduce(labelled, 1, cg::plus<int>());
  parts[6] = cg::binary_partition(warp, v % 7 == 0).size();
  parts[7] = tile.shfl_down(v, 1);
  parts[8] = tile.any(v == 3);
  parts[9] = warp.ballot(v & 1);
  for (int k = 0; k < PARTS; k++)
    out[threadIdx.x * PARTS + k] = parts[k];
}
/* The two halves of a warp name members that do not agree: lane 16 says it belongs to the first. */
extern "C" __global__ void disagree(int *out, unsigned mask) {
  unsigned members = threadIdx.x < 16 ? 0x1ffff : mask;
  out[threadIdx.x] = __shfl_sync(members, (int)threadIdx.x, threadIdx.x);
}

extern "C" __global__ void grid_sums(int *a, int *out) {
  cg::grid_group grid = cg::this_grid();
  int t = grid.thread_rank(), n = grid.size(), sum = 0;
  a[t] = t;
  grid.sync();
  for (int k = 0; k < n; k += 17)
    sum += a[(t + k) % n];
  grid.sync();
  a[t] = sum;
  grid.sync();
  out[t] = a[(t + 1) % n];
}

struct shape {
  __device__ virtual ~shape() {}
  __device__ virtual int area(int k) const = 0;
};
struct square : shape {
  int side;
  __device__ square(int s) : side(s) {}
  __device__ int area(int k) const override { return side * side + k; }
};
struct oblong : shape {
  int a, b;
  __device__ oblong(int a, int b) : a(a), b(b) {}
  __device__ int area(int k) const override { return a * b - k; }
};
extern "C" __global__ void shapes(int *out) {
  shape *s = threadIdx.x % 2 ? (shape *)new square(threadIdx.x) : (shape *)new oblong(threadIdx.x, 3);
  out[threadIdx.x] = s->area(7);
  delete s;
}

extern "C" __global__ void atomics(int *i, unsigned long long *l, float *f, double *d, __half2 *h,
                                   __nv_bfloat162 *b, float4 *v, unsigned short *s) {
  int t = threadIdx.x;
  atomicMin(i, -t), atomicMax(i + 1, t), atomicAnd(i + 2, ~(1 << t % 32)), atomicXor(i + 3, 1 << t % 31);
  atomicInc((unsigned *)i + 4, 9), atomicDec((unsigned *)i + 5, 9), atomicCAS(i + 6, 0, 7);
  atomicMax(l, (unsigned long long)t << 33), atomicMin((long long *)l + 1, -(long long)t);
  atomicAdd(f, 0.5f), atomicAdd(d, 0.25), atomicAdd(h, __floats2half2_rn(1, 2));
  atomicAdd(b, __floats2bfloat162_rn(1, 0.5f)), atomicAdd(v, float4{1, 2, 3, 4});
  for (unsigned short now = *(volatile unsigned short *)s, then;; now = then)
    if ((then = atomicCAS(s, now, (unsigned short)(now + 1))) == now)
      break;
}

extern "C" __global__ void halves(const __half2 *a, const __half2 *b, float *out) {
  __half2 greater = __hgt2(a[threadIdx.x], b[threadIdx.x]);
  out[4 * threadIdx.x] = __low2float(greater);
  out[4 * threadIdx.x + 1] = __high2float(greater);
  out[4 * threadIdx.x + 2] = (float)__hle2_mask(a[threadIdx.x], b[threadIdx.x]);
  out[4 * threadIdx.x + 3] = __half2float(hexp(__low2half(a[threadIdx.x])));
}

extern "C" __global__ void product_f64(const double *a, const double *b, double *c) {
  using namespace nvcuda::wmma;
  fragment<matrix_a, 8, 8, 4, double, row_major> fa;
  fragment<matrix_b, 8, 8, 4, double, col_major> fb;
  fragment<accumulator, 8, 8, 4, double> fc;
  fill_fragment(fc, 1.0);
  load_matrix_sync(fa, a, 4);
  load_matrix_sync(fb, b, 4);
  mma_sync(fc, fa, fb, fc);
  store_matrix_sync(c, fc, 8, mem_row_major);
}

/* `wait` takes the wait away. */
extern "C" __global__ void copies(const int *in, int *out, int wait) {
  __shared__ alignas(16) int room[256];
  __shared__ cuda::barrier<cuda::thread_scope_block> bar;
  cg::thread_block block = cg::this_thread_block();
  if (threadIdx.x == 0)
    init(&bar, blockDim.x);
  __syncthreads();
  cuda::memcpy_async(block, room, in, cuda::aligned_size_t<16>(sizeof room), bar);
  if (wait)
    bar.arrive_and_wait();
  out[threadIdx.x] = room[255 - threadIdx.x];
  if (!wait)
    bar.arrive_and_wait();
}

extern "C" __global__ void quotients(const unsigned long long *a, unsigned long long *out) {
  unsigned __int128 x = (unsigned __int128)a[2 * threadIdx.x] << 64 | a[2 * threadIdx.x + 1];
  unsigned __int128 y = (unsigned __int128)(a[2 * threadIdx.x + 1] & 0xffff) << 32 | 12345;
  out[threadIdx.x] = (unsigned long long)(x / y);
}
