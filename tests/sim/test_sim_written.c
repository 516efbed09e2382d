/* SPDX-License-Identifier: Apache-2.0 */
/* Global memory that nobody wrote: using it is an error, loading it and dropping it is none, and
 * every way to write it is seen. */
#include "tests/sim/sim_api.h"

static CUmodule module;
static const char text[] =
    ".version 8.0\n.target sm_90\n.address_size 64\n"
    ".visible .entry use(.param .u64 p, .param .u32 add) {\n" /* p[t] += add, p[t + 1000] = .. */
    ".reg .b64 %d<3>; .reg .b32 %r<4>; ld.param.u64 %d0, [p]; ld.param.u32 %r0, [add];\n"
    "mov.u32 %r1, %tid.x; mul.wide.u32 %d1, %r1, 4; add.s64 %d2, %d0, %d1;\n"
    "ld.global.u32 %r2, [%d2]; mov.u32 %r3, %r2; add.u32 %r3, %r3, %r0;\n"
    "st.global.u32 [%d2+4000], %r3; ret; }\n"
    ".visible .entry drop(.param .u64 p) {\n" /* a vector of which the first alone is used */
    ".reg .b64 %d0; .reg .b32 %r<4>; ld.param.u64 %d0, [p];\n"
    "ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%d0]; mov.u32 %r1, %r2;\n"
    "st.global.u32 [%d0], %r0; ret; }\n"
    ".visible .entry count(.param .u64 p) {\n"
    ".reg .b64 %d0; .reg .b32 %r0; ld.param.u64 %d0, [p]; mov.u32 %r0, 1;\n"
    "red.global.add.u32 [%d0], %r0; ret; }\n"
    ".visible .entry swap(.param .u64 p) {\n"
    ".reg .b64 %d0; .reg .b32 %r<2>; ld.param.u64 %d0, [p]; mov.u32 %r0, 1;\n"
    "atom.global.exch.b32 %r1, [%d0], %r0; red.global.add.u32 [%d0], %r0; ret; }\n";

static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() && !cuModuleLoadData(&module, text) ? 0 : -1;
}
static CUresult launch(const char *name, unsigned threads, CUdeviceptr p) {
  CUfunction f;
  uint32_t one = 1;
  assert_int_equal(cuModuleGetFunction(&f, module, name), 0);
  CUresult r = cuLaunchKernel(f, 1, 1, 1, threads, 1, 1, 0, NULL, (void *[]){&p, &one}, NULL);
  if (r)
    cuDevicePrimaryCtxReset_v2(0);
  return r;
}
static CUdeviceptr fresh(void) {
  CUdeviceptr p;
  assert_int_equal(cuMemAlloc_v2(&p, 16000), 0);
  return p;
}

static void uses(void **state) {
  (void)state;
  static const unsigned threads[] = {32, 20, 64}; /* side by side, and lane by lane */
  static uint32_t zeros[4000];
  for (unsigned k = 0; k < 3; k++) {
    unsigned n = threads[k];
    assert_int_equal(launch("use", n, fresh()), 719);
    CUdeviceptr p = fresh();
    assert_int_equal(cuMemcpyHtoD_v2(p, zeros, 4 * n - 4), 0); /* all but the last */
    assert_int_equal(launch("use", n, p), 719);
    p = fresh();
    assert_int_equal(cuMemcpyHtoD_v2(p, zeros, 4 * n), 0);
    assert_int_equal(launch("use", n, p), 0);
    assert_int_equal(launch("use", n, p + 4000), 0); /* what the kernel wrote */
    assert_int_equal(launch("use", n, p + 12), 719);
    p = fresh();
    assert_int_equal(cuMemsetD8_v2(p, 0, 16000), 0); /* over whole pages */
    assert_int_equal(launch("use", n, p + 2000), 0);
    assert_int_equal(cuMemFree_v2(p), 0);
  }
}
static void parts_and_atomics(void **state) {
  (void)state;
  uint32_t zero = 0;
  assert_int_equal(launch("drop", 1, fresh()), 719);
  CUdeviceptr p = fresh();
  assert_int_equal(cuMemcpyHtoD_v2(p, &zero, 4), 0);
  assert_int_equal(launch("drop", 1, p), 0);
  assert_int_equal(launch("count", 1, p), 0);
  assert_int_equal(launch("count", 1, p + 4), 719);
  assert_int_equal(launch("swap", 1, p + 8), 0);
}
/* What a pool hands out again is as new. */
static void ends(void **state) {
  (void)state;
  CUdeviceptr p;
  CUgraph g;
  CUgraphExec e;
  CUstream s;
  assert_int_equal(cuStreamCreate(&s, 1), 0);
  assert_int_equal(cuStreamBeginCapture_v2(s, 2), 0);
  assert_int_equal(cuMemAllocAsync(&p, 16000, s), 0);
  assert_int_equal(cuMemsetD32Async(p, 0, 4000, s), 0);
  assert_int_equal(cuMemFreeAsync(p, s), 0);
  assert_int_equal(cuStreamEndCapture(s, &g), 0);
  assert_int_equal(cuGraphInstantiateWithFlags(&e, g, 0), 0);
  for (int k = 0; k < 2; k++)
    assert_int_equal(cuGraphLaunch(e, s), 0);
  assert_int_equal(cuStreamSynchronize(s), 0);
  assert_int_equal(cuGraphExecDestroy(e), 0);
  assert_int_equal(cuGraphDestroy(g), 0);
  assert_int_equal(cuStreamDestroy_v2(s), 0);
}

static int close_all(void **state) {
  (void)state;
  return cuModuleUnload(module) != 0;
}
int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(uses),
      cmocka_unit_test(parts_and_atomics),
      cmocka_unit_test(ends),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
