/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated driver with small kernels: results against the host's, and every check by a kernel
 * that trips it beside a twin that does not. */
#include "sim/cuda/cuda_types.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FUNCTION(name, parameters) static CUresult(*name) parameters;
FUNCTION(cuInit, (unsigned))
FUNCTION(cuDevicePrimaryCtxRetain, (CUcontext *, CUdevice))
FUNCTION(cuDevicePrimaryCtxReset_v2, (CUdevice))
FUNCTION(cuCtxSetCurrent, (CUcontext))
FUNCTION(cuCtxSynchronize, (void))
FUNCTION(cuModuleLoadData, (CUmodule *, const void *))
FUNCTION(cuModuleGetFunction, (CUfunction *, CUmodule, const char *))
FUNCTION(cuModuleUnload, (CUmodule))
FUNCTION(cuMemAlloc_v2, (CUdeviceptr *, size_t))
FUNCTION(cuMemFree_v2, (CUdeviceptr))
FUNCTION(cuMemcpyHtoD_v2, (CUdeviceptr, const void *, size_t))
FUNCTION(cuMemcpyDtoH_v2, (void *, CUdeviceptr, size_t))
FUNCTION(cuLaunchKernel, (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                          unsigned, CUstream, void **, void **))
FUNCTION(cuGetErrorName, (CUresult, const char **))

static int open_driver(void **state) {
  (void)state;
  void *driver = dlopen(SINTER_TEST_BUILD_DIR "/sim/libcuda.so.1", RTLD_NOW);
  if (!driver) {
    fprintf(stderr, "%s\n", dlerror());
    return -1;
  }
#define FIND(name) *(void **)&name = dlsym(driver, #name)
  FIND(cuInit), FIND(cuDevicePrimaryCtxRetain), FIND(cuDevicePrimaryCtxReset_v2);
  FIND(cuCtxSetCurrent), FIND(cuCtxSynchronize), FIND(cuModuleLoadData), FIND(cuModuleGetFunction);
  FIND(cuModuleUnload), FIND(cuMemAlloc_v2), FIND(cuMemFree_v2), FIND(cuMemcpyHtoD_v2);
  FIND(cuMemcpyDtoH_v2), FIND(cuLaunchKernel), FIND(cuGetErrorName);
  CUcontext context;
  return cuInit(0) || cuDevicePrimaryCtxRetain(&context, 0) || cuCtxSetCurrent(context) ? -1 : 0;
}

#define HEAD ".version 8.0\n.target sm_80\n.address_size 64\n"
/* A kernel of one pointer and one count, with thread number in %r1, the count in %r2, the address
 * of the thread's element in %rd1. */
#define KERNEL(body)                                                                               \
  HEAD                                                                                             \
      ".visible .entry k(.param .u64 p, .param .u32 n) {\n"                                        \
      ".reg .pred %p<9>; .reg .b32 %r<20>; .reg .b64 %rd<9>; .reg .f32 %f<9>;\n"                   \
      ".shared .align 4 .b8 tile[4096];\n"                                                         \
      "ld.param.u64 %rd0, [p]; ld.param.u32 %r2, [n];\n"                                           \
      "mov.u32 %r3, %ctaid.x; mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x;\n"                        \
      "mad.lo.s32 %r1, %r3, %r4, %r5; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd1, %rd0, %rd2;\n" body \
      "\nret;\n}\n"

/* Loads, launches with a buffer of `words`, copies it back; the launch's result. */
static CUresult run(const char *text, unsigned grid, unsigned block, uint32_t *data, unsigned words,
                    unsigned n) {
  CUmodule module;
  CUfunction kernel;
  CUdeviceptr p;
  assert_int_equal(cuModuleLoadData(&module, text), 0);
  assert_int_equal(cuModuleGetFunction(&kernel, module, "k"), 0);
  assert_int_equal(cuMemAlloc_v2(&p, 4 * words), 0);
  assert_int_equal(cuMemcpyHtoD_v2(p, data, 4 * words), 0);
  CUresult r = cuLaunchKernel(kernel, grid, 1, 1, block, 1, 1, 0, NULL, (void *[]){&p, &n}, NULL);
  if (r >= 700)
    assert_int_equal(cuCtxSynchronize(), r); /* the fault stays */
  cuDevicePrimaryCtxReset_v2(0);
  assert_int_equal(cuMemcpyDtoH_v2(data, p, 4 * words), 0);
  assert_int_equal(cuMemFree_v2(p), 0);
  assert_int_equal(cuModuleUnload(module), 0);
  return r;
}

static CUresult trip(const char *text, unsigned block, unsigned words) {
  uint32_t data[256] = {0};
  return run(text, 1, block, data, words, words);
}

static void elements(void **state) {
  (void)state;
  uint32_t data[1000];
  for (unsigned k = 0; k < 1000; k++)
    data[k] = k;
  CUresult r = run(
      KERNEL("setp.ge.u32 %p1, %r1, %r2; @%p1 bra DONE;\n"
             "ld.global.u32 %r6, [%rd1]; mad.lo.s32 %r6, %r6, 3, 7; st.global.u32 [%rd1], %r6;\n"
             "DONE:"),
      8, 128, data, 1000, 1000);
  assert_int_equal(r, 0);
  for (unsigned k = 0; k < 1000; k++)
    assert_int_equal(data[k], 3 * k + 7);
}

static void loops_diverge_and_join(void **state) {
  (void)state;
  uint32_t data[64] = {0};
  CUresult r = run(KERNEL("mov.u32 %r6, 0; mov.u32 %r7, 0;\n"
                          "LOOP: setp.gt.u32 %p1, %r7, %r1; @%p1 bra OUT; add.s32 %r6, %r6, %r7;\n"
                          "add.s32 %r7, %r7, 1; bra LOOP;\n"
                          "OUT: shfl.sync.idx.b32 %r8, %r6, 31, 31, -1; add.s32 %r6, %r6, %r8;\n"
                          "st.global.u32 [%rd1], %r6;"),
                   1, 64, data, 64, 64);
  assert_int_equal(r, 0);
  for (unsigned k = 0; k < 64; k++) {
    unsigned last = k / 32 * 32 + 31;
    assert_int_equal(data[k], k * (k + 1) / 2 + last * (last + 1) / 2);
  }
}

static void shared_memory_and_barriers(void **state) {
  (void)state;
  uint32_t data[256];
  for (unsigned k = 0; k < 256; k++)
    data[k] = k;
  CUresult r = run(KERNEL("mov.u32 %r6, tile; shl.b32 %r7, %r5, 2; add.s32 %r7, %r6, %r7;\n"
                          "ld.global.u32 %r8, [%rd1]; st.shared.u32 [%r7], %r8; bar.sync 0;\n"
                          "xor.b32 %r9, %r5, 255; shl.b32 %r9, %r9, 2; add.s32 %r9, %r6, %r9;\n"
                          "ld.shared.u32 %r8, [%r9]; st.global.u32 [%rd1], %r8;"),
                   1, 256, data, 256, 256);
  assert_int_equal(r, 0);
  for (unsigned k = 0; k < 256; k++)
    assert_int_equal(data[k], 255 - k);
}

static void atomics_and_a_spin_lock(void **state) {
  (void)state;
  uint32_t data[3] = {0};
  CUresult r = run(
      KERNEL(
          "red.global.add.u32 [%rd0], 1;\n"
          "SPIN: atom.global.cas.b32 %r6, [%rd0+4], 0, 1; setp.ne.u32 %p1, %r6, 0; @%p1 bra SPIN;\n"
          "ld.volatile.global.u32 %r7, [%rd0+8]; add.s32 %r7, %r7, 1; st.volatile.global.u32 "
          "[%rd0+8], %r7;\n"
          "membar.gl; atom.global.exch.b32 %r6, [%rd0+4], 0;"),
      4, 64, data, 3, 0);
  assert_int_equal(r, 0);
  assert_int_equal(data[0], 256);
  assert_int_equal(data[1], 0);
  assert_int_equal(data[2], 256);
}

static void conversions_round(void **state) {
  (void)state;
  static const struct {
    const char *cvt;
    float in;
    uint32_t out;
  } cases[] = {{"cvt.rni.s32.f32", 2.5f, 2},
               {"cvt.rzi.s32.f32", -2.5f, (uint32_t)-2},
               {"cvt.rmi.s32.f32", -2.5f, (uint32_t)-3},
               {"cvt.rpi.s32.f32", 2.25f, 3},
               {"cvt.rzi.s32.f32", 1e20f, INT32_MAX},
               {"cvt.rzi.u32.f32", -1, 0}};
  for (unsigned k = 0; k < sizeof cases / sizeof *cases; k++) {
    static const char whole[] =
        KERNEL("ld.global.f32 %f1, [%rd1]; @ %r6, %f1; st.global.u32 [%rd1], %r6;");
    const char *at = strstr(whole, "@ ");
    char text[2000];
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, cases[k].cvt, at + 1);
    uint32_t data[1];
    memcpy(data, &cases[k].in, 4);
    assert_int_equal(run(text, 1, 1, data, 1, 1), 0);
    assert_int_equal(data[0], cases[k].out);
  }
}

static void checks(void **state) {
  (void)state;
#define STORE "mov.u32 %r6, 1; st.global.u32 [%rd1], %r6;"
  assert_int_equal(trip(KERNEL(STORE), 64, 64), 0);
  assert_int_equal(trip(KERNEL(STORE), 64, 63), 700); /* out of bounds */
  assert_int_equal(trip(KERNEL("mov.u32 %r6, 1; st.global.u32 [%rd0+4], %r6;"), 1, 64), 0);
  assert_int_equal(trip(KERNEL("mov.u32 %r6, 1; st.global.u32 [%rd0+2], %r6;"), 1, 64), 716);
  assert_int_equal(trip(KERNEL("st.global.u32 [%rd1], %r6;"), 1, 64), 719); /* never written */
  assert_int_equal(trip(KERNEL("mov.u32 %r7, %r6;"), 1, 64), 0);            /* a copy is no use */
  assert_int_equal(trip(KERNEL("mov.u32 %r6, tile; ld.shared.u32 %r7, [%r6];"), 1, 64), 719);
  assert_int_equal(
      trip(KERNEL("mov.u32 %r6, tile; st.shared.u32 [%r6], %r1; ld.shared.u32 %r7, [%r6];"), 1, 64),
      0);
  assert_int_equal(
      trip(KERNEL("setp.lt.u32 %p1, %r5, 7; @%p1 bar.sync 0; @!%p1 bar.sync 1;"), 32, 64), 719);
  assert_int_equal(
      trip(KERNEL("setp.lt.u32 %p1, %r5, 32; @%p1 bar.sync 1, 64; bar.sync 0;"), 96, 64), 719);
  assert_int_equal(
      trip(KERNEL("setp.lt.u32 %p1, %r5, 64; @%p1 bar.sync 1, 64; bar.sync 0;"), 96, 64), 0);
  assert_int_equal(trip(KERNEL("trap;"), 1, 64), 719);
  assert_int_equal(trip(KERNEL(""), 1025, 64), 1); /* more threads than a block has */
  setenv("SINTER_SIM_INSTRUCTIONS", "100000", 1);
  assert_int_equal(trip(KERNEL("L: bra L;"), 32, 64), 702);
  unsetenv("SINTER_SIM_INSTRUCTIONS");
}

static void freed_memory(void **state) {
  (void)state;
  CUmodule module;
  CUfunction kernel;
  CUdeviceptr p;
  unsigned n = 1;
  assert_int_equal(cuModuleLoadData(&module, KERNEL(STORE)), 0);
  assert_int_equal(cuModuleGetFunction(&kernel, module, "k"), 0);
  assert_int_equal(cuMemAlloc_v2(&p, 256), 0);
  assert_int_equal(cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, NULL, (void *[]){&p, &n}, NULL), 0);
  assert_int_equal(cuMemFree_v2(p), 0);
  assert_int_equal(cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, NULL, (void *[]){&p, &n}, NULL),
                   700);
  cuDevicePrimaryCtxReset_v2(0);
  assert_int_equal(cuModuleUnload(module), 0);
}

static void unknown_is_refused(void **state) {
  (void)state;
  CUmodule module;
  assert_int_equal(cuModuleLoadData(&module, KERNEL("frobnicate.u32 %r1, %r2;")), 218);
  assert_int_equal(cuModuleLoadData(&module, KERNEL("add.sideways.u32 %r1, %r2, %r3;")), 218);
  assert_int_equal(cuModuleLoadData(&module, KERNEL("add.u32 %r1, %r2, %rd3;")), 218);
  assert_int_equal(cuModuleLoadData(&module, "no PTX"), 218);
  assert_int_equal(cuModuleLoadData(&module, "\177ELF\2\1\1"), 209);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(elements),
      cmocka_unit_test(loops_diverge_and_join),
      cmocka_unit_test(shared_memory_and_barriers),
      cmocka_unit_test(atomics_and_a_spin_lock),
      cmocka_unit_test(conversions_round),
      cmocka_unit_test(checks),
      cmocka_unit_test(freed_memory),
      cmocka_unit_test(unknown_is_refused),
  };
  return cmocka_run_group_tests(tests, open_driver, NULL);
}
