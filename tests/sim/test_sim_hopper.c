/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor copies, mbarriers and wgmma: a GEMM against a double reference, and the same kernel with a
 * step taken out, each of which must be found. Small kernels for clusters and bulk copies. */
#include "tests/sim/sim_api.h"

#include <math.h>

enum { M = 128, N = 192, K = 256 };
static char *gemm_text;
static uint16_t *a, *b, *c;

static uint32_t seed = 3;
static uint16_t draw(void) {
  seed = seed * 1664525u + 1013904223u;
  float f = (float)(int)(seed >> 8 & 255) / 128 - 1;
  uint32_t u;
  memcpy(&u, &f, 4);
  return (uint16_t)(u >> 16);
}
static double bf16(uint16_t v) {
  uint32_t u = (uint32_t)v << 16;
  float f;
  memcpy(&f, &u, 4);
  return (double)f;
}
static void *managed(size_t n) {
  CUdeviceptr p;
  return cuMemAllocManaged(&p, n, 1) ? NULL : (void *)(uintptr_t)p;
}

static int open_all(void **state) {
  (void)state;
  static char text[1 << 17];
  FILE *f = fopen(SINTER_TEST_SOURCE_DIR "/tests/sim/kernels/hopper_gemm.ptx", "r");
  if (!f || !sim_open_cuda())
    return -1;
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  fclose(f);
  gemm_text = text;
  a = managed(2 * M * K), b = managed(2 * N * K), c = managed(2 * M * N);
  for (int k = 0; k < M * K; k++)
    a[k] = draw();
  for (int k = 0; k < N * K; k++)
    b[k] = draw();
  return 0;
}

static CUtensorMap map_of(void *p, uint64_t columns, uint64_t rows, int swizzle) {
  CUtensorMap m;
  CUresult r =
      cuTensorMapEncodeTiled(&m, 9, 2, p, (uint64_t[]){columns, rows}, (uint64_t[]){2 * columns},
                             (uint32_t[]){64, 64}, (uint32_t[]){1, 1}, 0, swizzle, 0, 0);
  assert_int_equal(r, 0);
  return m;
}

/* Runs the GEMM from `text`; the largest error, or -1 with *result set. */
static double gemm(const char *text, int swizzle, unsigned bytes, CUresult *result) {
  CUmodule module;
  CUfunction f;
  CUtensorMap ma = map_of(a, K, M, swizzle), mb = map_of(b, K, N, swizzle), mc = map_of(c, N, M, 3);
  int steps = K / 64;
  memset(c, 0xff, 2 * M * N);
  assert_int_equal(cuModuleLoadData(&module, text), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, "gemm"), 0);
  *result = cuLaunchKernel(f, N / 64, M / 64, 1, 128, 1, 1, 0, NULL,
                           (void *[]){&ma, &mb, &mc, &steps, &bytes}, NULL);
  if (*result >= 700)
    assert_int_equal(cuCtxSynchronize(), *result);
  cuDevicePrimaryCtxReset_v2(0);
  assert_int_equal(cuModuleUnload(module), 0);
  double worst = *result ? -1 : 0;
  for (int i = 0; i < M && !*result; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int k = 0; k < K; k++)
        sum += bf16(a[i * K + k]) * bf16(b[j * K + k]);
      double e = fabs(sum - bf16(c[i * N + j])) / (fabs(sum) + 1);
      worst = e > worst || e != e ? e : worst;
    }
  return worst;
}

static void tiles_multiply(void **state) {
  (void)state;
  CUresult r;
  double e = gemm(gemm_text, 3, 16384, &r);
  assert_int_equal(r, 0);
  assert_true(e < 0.004);             /* the rounding of bf16 */
  setenv("SINTER_SIM_SEED", "11", 1); /* in another order of warps */
  e = gemm(gemm_text, 3, 16384, &r);
  unsetenv("SINTER_SIM_SEED");
  assert_int_equal(r, 0);
  assert_true(e < 0.004);
}

/* The text with the n-th line that holds `what` changed to `to`. */
static char *without(const char *what, int nth, const char *to) {
  char *text = malloc(strlen(gemm_text) + 200), *at = strcpy(text, gemm_text);
  for (int k = 0; at && k <= nth; k++)
    at = strstr(k ? at + 1 : at, what);
  assert_non_null(at);
  char *end = strchr(at, ';');
  char rest[1 << 17];
  snprintf(rest, sizeof rest, "%s", end + 1);
  sprintf(at, "%s%s", to, rest);
  return text;
}

/* What a step taken out gives. -1: a wrong result, which only a comparison finds. */
static void broken_variants(void **state) {
  (void)state;
  static const struct {
    const char *what;
    int nth;
    const char *to;
    CUresult result;
  } all[] = {
      {"wgmma.wait_group.sync.aligned", 0, "", 719}, /* accumulators read before their wait */
      {"fence.proxy.async", 0, "", 719},             /* the store reads what no fence shows it */
      {"bar.sync 1, 128", 0, "", 0},   /* wgmma and its wait bring the warps together */
      {"bar.sync 2, 128", 0, "", 719}, /* the store begins before all have written */
      {"bar.sync \t0", 0, "", 719},    /* an mbarrier that others may not see yet */
      {"mbarrier.try_wait", 0, "setp.eq.u32 done, 0, 0;", 719}, /* data used before it has come */
      {"mbarrier.init", 0, "", 719},
      {"cp.async.bulk.commit_group", 0, "", 0}, /* nothing reads C here: not an error */
  };
  CUresult r;
  for (unsigned k = 0; k < sizeof all / sizeof *all; k++) {
    char *text = without(all[k].what, all[k].nth, all[k].to);
    gemm(text, 3, 16384, &r);
    if (r != all[k].result)
      fprintf(stderr, "without '%s': %d\n", all[k].what, r);
    assert_int_equal(r, all[k].result);
    free(text);
  }
  gemm(gemm_text, 3, 16384 + 128, &r); /* expects more than comes */
  assert_int_equal(r, 719);
  gemm(gemm_text, 3, 8192, &r); /* expects less */
  assert_int_equal(r, 719);
  double e = gemm(gemm_text, 0, 16384, &r); /* another swizzle than the descriptors say */
  assert_true(r == 0 && !(e < 0.004));
}

static void tensor_map_rules(void **state) {
  (void)state;
  CUtensorMap m;
  static const uint32_t ones[] = {1, 1};
#define ENCODE(p, inner, stride, box, step, swizzle)                                               \
  cuTensorMapEncodeTiled(&m, 9, 2, p, (uint64_t[]){inner, 64}, (uint64_t[]){stride},               \
                         (uint32_t[]){box, 8}, step, 0, swizzle, 0, 0)
  assert_int_equal(ENCODE(a, 64, 128, 64, ones, 3), 0);
  assert_int_equal(ENCODE((char *)a + 2, 64, 128, 64, ones, 3), 1);     /* address */
  assert_int_equal(ENCODE(a, 60, 120, 56, ones, 0), 1);                 /* stride */
  assert_int_equal(ENCODE(a, 64, 112, 64, ones, 0), 1);                 /* stride below the row */
  assert_int_equal(ENCODE(a, 512, 1024, 257, ones, 0), 1);              /* box */
  assert_int_equal(ENCODE(a, 64, 128, 60, ones, 0), 1);                 /* box of 120 bytes */
  assert_int_equal(ENCODE(a, 64, 128, 64, ones, 2), 1);                 /* beyond the swizzle */
  assert_int_equal(ENCODE(a, 64, 128, 64, ((uint32_t[]){9, 1}), 0), 1); /* element stride */
}

/* Copies of boxes at edges and with strides, by one thread. */
#define COPY_HEAD                                                                                  \
  ".version 8.0\n.target sm_90a\n.address_size 64\n"                                               \
  ".visible .entry k(.param .align 64 .b8 m[128], .param .u64 out, .param .u32 x, .param .u32 y) " \
  "{\n"                                                                                            \
  ".reg .pred p, t; .reg .b32 r<9>; .reg .b64 d<9>;\n"                                             \
  ".shared .align 128 .b8 box[4096]; .shared .align 8 .b64 bar;\n"                                 \
  "ld.param.u64 d1, [out]; ld.param.u32 r1, [x]; ld.param.u32 r2, [y];\n"                          \
  "mov.b64 d2, m; mov.u32 r3, box; mov.u32 r4, bar;\n"
static const char load_text[] = COPY_HEAD
    "mbarrier.init.shared.b64 [r4], 1; fence.mbarrier_init.release.cluster;\n"
    "mbarrier.arrive.expect_tx.shared.b64 _, [r4], 256;\n"
    "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [r3], [d2, "
    "{r1, r2}], [r4];\n"
    "W: mbarrier.try_wait.parity.shared.b64 p, [r4], 0; @!p bra W;\n"
    "mov.u32 r5, 0;\n"
    "L: add.u32 r6, r3, r5; ld.shared.u32 r7, [r6]; cvt.u64.u32 d3, r5; add.s64 d4, d1, d3; "
    "st.global.u32 [d4], r7; add.u32 r5, r5, 4; setp.lt.u32 p, r5, 256; @p bra L;\nret;\n}\n";
static const char store_text[] = COPY_HEAD
    "mov.u32 r5, 0;\n"
    "L: add.u32 r6, r3, r5; st.shared.u32 [r6], r5; add.u32 r5, r5, 4; setp.lt.u32 p, r5, "
    "256; @p bra L;\n"
    "fence.proxy.async;\n"
    "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [d2, {r1, r2}], [r3];\n"
    "cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;\nret;\n}\n";

static CUresult box(const char *text, void *p, uint64_t columns, uint32_t step, int x, int y,
                    uint32_t *out) {
  CUtensorMap m;
  CUmodule module;
  CUfunction f;
  assert_int_equal(cuTensorMapEncodeTiled(&m, 2, 2, p, (uint64_t[]){columns, 8}, (uint64_t[]){128},
                                          (uint32_t[]){16, 4 * step}, (uint32_t[]){1, step}, 0, 0,
                                          0, 0),
                   0);
  assert_int_equal(cuModuleLoadData(&module, text), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, "k"), 0);
  CUresult r = cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, (void *[]){&m, &out, &x, &y}, NULL);
  cuDevicePrimaryCtxReset_v2(0);
  assert_int_equal(cuModuleUnload(module), 0);
  return r;
}
static void edges(void **state) {
  (void)state;
  uint32_t *in = managed(4 * 32 * 8), *out = managed(1024);
  for (uint32_t k = 0; k < 32 * 8; k++)
    in[k] = k + 1;
  assert_int_equal(box(load_text, in, 30, 1, 20, 6, out), 0); /* beyond both ends: zeros */
  for (uint32_t y = 0; y < 4; y++)
    for (uint32_t x = 0; x < 16; x++)
      assert_int_equal(out[16 * y + x], x + 20 < 30 && y + 6 < 8 ? 32 * (y + 6) + x + 21 : 0);
  assert_int_equal(box(load_text, in, 30, 1, -4, -1, out), 0); /* before them */
  assert_int_equal(out[16 + 4], 1);
  assert_int_equal(out[3], 0);
  assert_int_equal(box(load_text, in, 32, 2, 0, 1, out), 0); /* every second row */
  assert_int_equal(out[5], 32 + 6);
  assert_int_equal(out[16 + 5], 3 * 32 + 6);
  assert_int_equal(box(load_text, in, 30, 1, 2, 0, out), 715); /* not at 16 bytes */
  assert_int_equal(box(store_text, in, 30, 1, -4, 0, out), 715);
  assert_int_equal(box(store_text, in, 30, 1, 20, 0, out), 0);
  assert_int_equal(in[29], 36); /* the last inside */
  assert_int_equal(in[30], 40); /* the rest of its 16 bytes is overwritten too */
  assert_int_equal(in[31], 44);
  assert_int_equal(in[32], 33);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tiles_multiply),
      cmocka_unit_test(broken_variants),
      cmocka_unit_test(tensor_map_rules),
      cmocka_unit_test(edges),
  };
  return cmocka_run_group_tests(tests, open_all, NULL);
}
