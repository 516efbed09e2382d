/* SPDX-License-Identifier: Apache-2.0 */
/* What C++ asks of a machine: recursion, calls by pointer, switches, printf, assert, local arrays,
 * warps that talk, clusters that share memory. */
#include <cassert>
#include <cooperative_groups.h>
#include <cstdint>
#include <cstdio>

__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
extern "C" __global__ void recursion(int *out) { out[threadIdx.x] = fibonacci(threadIdx.x % 12); }

__device__ __noinline__ int deep(int n) {
  volatile int room[64];
  room[n % 64] = n;
  return n ? deep(n - 1) + room[n % 64] : 0;
}
extern "C" __global__ void depth(int *out, int n) { out[0] = deep(n); }

__device__ __noinline__ int twice(int x) { return 2 * x; }
__device__ __noinline__ int square(int x) { return x * x; }
__device__ __noinline__ int negate(int x) { return -x; }
typedef int (*function)(int);
__device__ function table[] = {twice, square, negate};
extern "C" __global__ void pointers(int *out) { out[threadIdx.x] = table[threadIdx.x % 3](threadIdx.x); }

extern "C" __global__ void switches(int *out, int bias) {
  int x = threadIdx.x;
  switch ((x + bias) % 7) {
  case 0: out[x] = 11; break;
  case 1: out[x] = x + 5; break;
  case 2: out[x] = x * x; break;
  case 3: out[x] = -x; break;
  case 4: out[x] = out[x] ^ 99; break;
  case 5: out[x] = __popc(x); break;
  default: out[x] = __clz(x + 1);
  }
}

extern "C" __global__ void prints(int n, double v) {
  if (threadIdx.x == n)
    printf("thread %d of %s: %.3f %llu %c %5s|\n", (int)threadIdx.x, "block", v, 1ull << 40, 'x', "ab");
}
extern "C" __global__ void asserts(int n) { assert((int)threadIdx.x != n); }

extern "C" __global__ void warps(const float *in, float *sums, unsigned *masks) {
  float v = in[threadIdx.x];
  for (int k = 16; k; k /= 2)
    v += __shfl_xor_sync(~0u, v, k);
  sums[threadIdx.x] = v;
  masks[threadIdx.x] = __match_any_sync(~0u, threadIdx.x % 5) + __reduce_add_sync(~0u, threadIdx.x);
}

extern "C" __global__ void block_votes(int *out, int n) {
  out[threadIdx.x] = __syncthreads_count((int)threadIdx.x < n) * 100 +
                     10 * __syncthreads_or((int)threadIdx.x == n) + __syncthreads_and(n > 0);
}

/* Each CTA of a cluster sums what all of them hold. */
extern "C" __global__ void __cluster_dims__(4, 1, 1) cluster_sum(int *out) {
  namespace cg = cooperative_groups;
  cg::cluster_group cluster = cg::this_cluster();
  __shared__ int mine[32];
  mine[threadIdx.x] = blockIdx.x * 1000 + threadIdx.x;
  cluster.sync();
  int sum = 0;
  for (int r = 0; r < 4; r++)
    sum += cluster.map_shared_rank(mine, r)[threadIdx.x];
  cluster.sync();
  out[blockIdx.x * 32 + threadIdx.x] = sum;
}

/* A transposition through shared memory; `wait` takes its barrier away. */
extern "C" __global__ void transpose(const int *in, int *out, int wait) {
  __shared__ int tile[32][33];
  tile[threadIdx.y][threadIdx.x] = in[threadIdx.y * 32 + threadIdx.x];
  if (wait)
    __syncthreads();
  out[threadIdx.y * 32 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
}
/* The neighbour's value within a warp, with and without __syncwarp. */
extern "C" __global__ void neighbours(int *out, int wait) {
  __shared__ int slot[32];
  slot[threadIdx.x] = threadIdx.x * 3;
  if (wait)
    __syncwarp();
  out[threadIdx.x] = slot[threadIdx.x ^ 1];
}
