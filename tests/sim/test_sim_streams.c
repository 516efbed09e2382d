/* SPDX-License-Identifier: Apache-2.0 */
/* Streams, events, graphs, contexts and memory of the simulated driver. */
#include "tests/sim/sim_api.h"

#include <unistd.h>

static CUmodule module;
static CUfunction add;

/* out[i] += n */
static const char text[] =
    ".version 8.0\n.target sm_90\n.address_size 64\n"
    ".visible .entry add(.param .u64 p, .param .u32 n) {\n"
    ".reg .b32 %r<5>; .reg .b64 %d<4>;\n"
    "ld.param.u64 %d0, [p]; ld.param.u32 %r0, [n]; mov.u32 %r1, %tid.x; mul.wide.u32 %d1, %r1, 4;\n"
    "add.s64 %d2, %d0, %d1; ld.global.u32 %r2, [%d2]; add.u32 %r2, %r2, %r0; st.global.u32 [%d2], "
    "%r2;\nret;\n}\n"
    ".visible .entry meet(.param .u64 p) {\n" /* all CTAs of a grid */
    ".reg .pred %q; .reg .b32 %r<5>; .reg .b64 %d<4>;\n"
    "ld.param.u64 %d0, [p]; red.release.gpu.global.add.u32 [%d0], 1; mov.u32 %r1, %nctaid.x;\n"
    "L: ld.acquire.gpu.global.u32 %r0, [%d0]; setp.lt.u32 %q, %r0, %r1; @%q bra L;\nret;\n}\n"
    ".visible .entry ranks(.param .u64 p) {\n"
    ".reg .b32 %r<5>; .reg .b64 %d<4>;\n"
    "ld.param.u64 %d0, [p]; mov.u32 %r0, %ctaid.x; mul.wide.u32 %d1, %r0, 4; add.s64 %d0, %d0, "
    "%d1;\n"
    "mov.u32 %r1, %cluster_ctarank; mov.u32 %r2, %cluster_nctarank; mad.lo.u32 %r1, %r2, 100, "
    "%r1;\n"
    "st.global.u32 [%d0], %r1;\nret;\n}\n";

static int open_all(void **state) {
  (void)state;
  setenv("SINTER_SIM_DEVICES", "2", 1);
  return !sim_open_cuda() || cuModuleLoadData(&module, text) ||
         cuModuleGetFunction(&add, module, "add");
}
static int close_all(void **state) {
  (void)state;
  return cuModuleUnload(module) != 0;
}
static uint32_t *managed(size_t n) {
  CUdeviceptr p;
  assert_int_equal(cuMemAllocManaged(&p, n, 1), 0);
  memset((void *)(uintptr_t)p, 0, n);
  return (void *)(uintptr_t)p;
}
static CUresult launch_add(CUstream s, uint32_t *p, unsigned n) {
  return cuLaunchKernel(add, 1, 1, 1, 32, 1, 1, 0, s, (void *[]){&p, &n}, NULL);
}
static void count_up(void *p) { ++*(int *)p; }

static void work_waits_in_order(void **state) {
  (void)state;
  CUstream s, t;
  CUevent e;
  uint32_t *p = managed(128), *flag = managed(4);
  int called = 0;
  assert_int_equal(cuStreamCreate(&s, 1), 0);
  assert_int_equal(cuStreamCreate(&t, 1), 0);
  assert_int_equal(cuEventCreate(&e, 0), 0);
  assert_int_equal(cuStreamWaitValue32_v2(s, (CUdeviceptr)(uintptr_t)flag, 1, 1), 0);
  assert_int_equal(launch_add(s, p, 5), 0);
  assert_int_equal(cuLaunchHostFunc(s, count_up, &called), 0);
  assert_int_equal(cuEventRecord(e, s), 0);
  assert_int_equal(cuStreamWaitEvent(t, e, 0), 0);
  assert_int_equal(launch_add(t, p, 7), 0);
  assert_int_equal(cuStreamQuery(t), CUDA_ERROR_NOT_READY);
  assert_int_equal(cuEventQuery(e), CUDA_ERROR_NOT_READY);
  assert_int_equal(p[0] + (unsigned)called, 0);
  *flag = 1;
  assert_int_equal(cuStreamSynchronize(t), 0);
  assert_int_equal(p[31], 12);
  assert_int_equal(called, 1);
  assert_int_equal(cuEventSynchronize(e), 0);
  assert_int_equal(cuEventDestroy_v2(e), 0);
  assert_int_equal(cuStreamDestroy_v2(s), 0);
  assert_int_equal(cuStreamDestroy_v2(t), 0);
  assert_int_equal(cuStreamQuery(t), CUDA_ERROR_INVALID_HANDLE);
}

static void captured_graphs(void **state) {
  (void)state;
  CUstream s, t;
  CUevent fork, join;
  CUgraph g;
  CUgraphExec e;
  size_t nodes = 0;
  uint32_t *p = managed(128), *q = managed(128);
  assert_int_equal(cuStreamCreate(&s, 0), 0);
  assert_int_equal(cuStreamCreate(&t, 0), 0);
  assert_int_equal(cuEventCreate(&fork, 0), 0);
  assert_int_equal(cuEventCreate(&join, 0), 0);
  assert_int_equal(cuStreamBeginCapture_v2(s, 0), 0);
  assert_int_equal(launch_add(s, p, 1), 0);
  assert_int_equal(cuEventRecord(fork, s), 0);
  assert_int_equal(cuStreamWaitEvent(t, fork, 0), 0);
  assert_int_equal(launch_add(t, q, 10), 0);
  assert_int_equal(cuStreamSynchronize(s), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  assert_int_equal(cuEventRecord(join, t), 0);
  assert_int_equal(cuStreamWaitEvent(s, join, 0), 0);
  assert_int_equal(cuMemsetD32Async((CUdeviceptr)(uintptr_t)(q + 1), 77, 1, s), 0);
  assert_int_equal(cuStreamEndCapture(s, &g), 0);
  assert_int_equal(p[0] + q[0], 0); /* nothing ran */
  assert_int_equal(cuGraphGetNodes(g, NULL, &nodes), 0);
  assert_int_equal(nodes, 3);
  assert_int_equal(cuGraphInstantiateWithFlags(&e, g, 0), 0);
  for (int k = 0; k < 3; k++)
    assert_int_equal(cuGraphLaunch(e, s), 0);
  assert_int_equal(cuStreamSynchronize(s), 0);
  assert_int_equal(p[0], 3);
  assert_int_equal(q[0], 30);
  assert_int_equal(q[1], 77);
  assert_int_equal(cuGraphExecDestroy(e), 0);
  assert_int_equal(cuGraphDestroy(g), 0);
  /* work that nobody joins */
  assert_int_equal(cuStreamBeginCapture_v2(s, 0), 0);
  assert_int_equal(cuEventRecord(fork, s), 0);
  assert_int_equal(cuStreamWaitEvent(t, fork, 0), 0);
  assert_int_equal(launch_add(t, q, 10), 0);
  assert_int_equal(cuStreamEndCapture(s, &g), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
  assert_int_equal(cuEventDestroy_v2(fork), 0);
  assert_int_equal(cuEventDestroy_v2(join), 0);
}

static void explicit_graphs(void **state) {
  (void)state;
  CUgraph g, other;
  CUgraphNode first, second, n;
  CUgraphExec e;
  uint32_t *p = managed(128), by = 2;
  void *params[] = {&p, &by};
  CUDA_KERNEL_NODE_PARAMS k = {
      .function = add, .grid = {1, 1, 1}, .block = {32, 1, 1}, .params = params};
  assert_int_equal(cuGraphCreate(&g, 0), 0);
  assert_int_equal(cuGraphAddKernelNode_v2(&first, g, NULL, 0, &k), 0);
  assert_int_equal(cuGraphAddKernelNode_v2(&second, g, &first, 1, &k), 0);
  assert_int_equal(cuGraphInstantiateWithFlags(&e, g, 0), 0);
  assert_int_equal(cuGraphLaunch(e, NULL), 0);
  assert_int_equal(cuCtxSynchronize(), 0);
  assert_int_equal(p[3], 4);
  by = 100;
  assert_int_equal(cuGraphExecKernelNodeSetParams_v2(e, second, &k), 0);
  assert_int_equal(cuGraphLaunch(e, NULL), 0);
  assert_int_equal(p[3], 106);
  by = 1000;
  assert_int_equal(cuGraphCreate(&other, 0), 0);
  assert_int_equal(cuGraphAddKernelNode_v2(&n, other, NULL, 0, &k), 0);
  assert_int_equal(cuGraphExecUpdate_v2(e, other, NULL), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
  assert_int_equal(cuGraphAddKernelNode_v2(&n, other, &n, 1, &k), 0);
  assert_int_equal(cuGraphExecUpdate_v2(e, other, NULL), 0);
  assert_int_equal(cuGraphLaunch(e, NULL), 0);
  assert_int_equal(p[3], 2106);
  assert_int_equal(cuGraphExecDestroy(e), 0);
  assert_int_equal(cuGraphDestroy(g), 0);
  assert_int_equal(cuGraphDestroy(other), 0);
}

/* The same bytes at two addresses, and nobody's where access was not given. */
static void virtual_addresses(void **state) {
  (void)state;
  enum { SIZE = 2 << 20 };
  CUdeviceptr at;
  CUmemGenericAllocationHandle h;
  CUmemAllocationProp prop = {.type = 1, .location = {1, 0}};
  CUmemAccessDesc access = {{1, 0}, 3};
  uint32_t got[32] = {0};
  assert_int_equal(cuMemAddressReserve(&at, 2 * SIZE, 0, 0, 0), 0);
  assert_int_equal(cuMemCreate(&h, SIZE, &prop, 0), 0);
  assert_int_equal(cuMemMap(at, SIZE, 0, h, 0), 0);
  assert_int_equal(cuMemMap(at + SIZE, SIZE, 0, h, 0), 0);
  assert_int_equal(cuMemMap(at, SIZE, 0, h, 0), 1); /* taken */
  assert_int_equal(cuMemRelease(h), 0);
  assert_int_equal(launch_add(NULL, (uint32_t *)(uintptr_t)at, 3), 700);
  assert_int_equal(cuDevicePrimaryCtxReset_v2(0), 0);
  assert_int_equal(cuMemSetAccess(at, 2 * SIZE, &access, 1), 0);
  assert_int_equal(launch_add(NULL, (uint32_t *)(uintptr_t)at, 3), 0);
  assert_int_equal(launch_add(NULL, (uint32_t *)(uintptr_t)(at + SIZE), 4), 0);
  assert_int_equal(cuMemcpyDtoH_v2(got, at, sizeof got), 0);
  assert_int_equal(got[9], 7);
  assert_int_equal(cuMemUnmap(at, 2 * SIZE), 0);
  assert_int_equal(launch_add(NULL, (uint32_t *)(uintptr_t)at, 3), 700);
  assert_int_equal(cuDevicePrimaryCtxReset_v2(0), 0);
}

static void devices_and_contexts(void **state) {
  (void)state;
  CUcontext first, second, made;
  CUdeviceptr there, in_pool;
  assert_int_equal(cuCtxGetCurrent(&first), 0);
  assert_int_equal(cuDevicePrimaryCtxRetain(&second, 1), 0);
  assert_int_equal(cuCtxSetCurrent(second), 0);
  assert_int_equal(cuMemAlloc_v2(&there, 128), 0);
  assert_int_equal(cuMemsetD8_v2(there, 0, 128), 0);
  assert_int_equal(cuCtxSetCurrent(first), 0);
  assert_int_equal(launch_add(NULL, (uint32_t *)(uintptr_t)there, 1), 700); /* no peer access */
  assert_int_equal(launch_add(NULL, (uint32_t *)(uintptr_t)there, 1), 700); /* it stays */
  assert_int_equal(cuDevicePrimaryCtxReset_v2(0), 0);
  assert_int_equal(cuCtxEnablePeerAccess(second, 0), 0);
  assert_int_equal(cuCtxEnablePeerAccess(second, 0), CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
  assert_int_equal(launch_add(NULL, (uint32_t *)(uintptr_t)there, 1), 0);
  assert_int_equal(cuCtxCreate_v2(&made, 0, 1), 0);
  assert_int_equal(cuMemAllocAsync(&in_pool, 128, NULL), 0);
  assert_int_equal(cuMemFreeAsync(in_pool, NULL), 0);
  assert_int_equal(cuMemFreeAsync(in_pool, NULL), 1);
  assert_int_equal(cuCtxDestroy_v2(made), 0);
  CUcontext now;
  assert_int_equal(cuCtxGetCurrent(&now), 0);
  assert_ptr_equal(now, first);
}

static void launch_attributes(void **state) {
  (void)state;
  CUfunction meet, ranks;
  uint32_t *p = managed(128);
  CUlaunchAttribute a[2] = {{.id = ATTRIBUTE_CLUSTER, .value.cluster = {4, 1, 1}}};
  CUlaunchConfig c = {.grid = {8, 1, 1}, .block = {1, 1, 1}, .attributes = a, .attribute_count = 1};
  assert_int_equal(cuModuleGetFunction(&ranks, module, "ranks"), 0);
  assert_int_equal(cuLaunchKernelEx(&c, ranks, (void *[]){&p}, NULL), 0);
  for (unsigned k = 0; k < 8; k++)
    assert_int_equal(p[k], 400 + k % 4);
  a[0].value.cluster.x = 3; /* does not divide the grid */
  assert_int_equal(cuLaunchKernelEx(&c, ranks, (void *[]){&p}, NULL),
                   CUDA_ERROR_INVALID_CLUSTER_SIZE);
  a[0] = (CUlaunchAttribute){.id = ATTRIBUTE_COOPERATIVE, .value.number = 1};
  c.grid[0] = 200;
  p[0] = 0;
  assert_int_equal(cuModuleGetFunction(&meet, module, "meet"), 0);
  assert_int_equal(cuLaunchKernelEx(&c, meet, (void *[]){&p}, NULL), 0);
  assert_int_equal(p[0], 200);
  c.grid[0] = 1 << 20;
  assert_int_equal(cuLaunchKernelEx(&c, meet, (void *[]){&p}, NULL), 720);
  int blocks;
  assert_int_equal(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add, 256, 0), 0);
  assert_int_equal(blocks, 8);
  void *found = NULL;
  int status;
  assert_int_equal(cuGetProcAddress_v2("cuMemAlloc", &found, 12000, 0, &status), 0);
  assert_ptr_equal(found, (void *)cuMemAlloc_v2);
  assert_int_equal(cuGetProcAddress_v2("cuNothing", &found, 12000, 0, &status), 500);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(work_waits_in_order),  cmocka_unit_test(captured_graphs),
      cmocka_unit_test(explicit_graphs),      cmocka_unit_test(virtual_addresses),
      cmocka_unit_test(devices_and_contexts), cmocka_unit_test(launch_attributes),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
