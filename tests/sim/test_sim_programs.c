/* SPDX-License-Identifier: Apache-2.0 */
/* What C++ for GPUs is written with: groups of threads, virtual functions, atomics, barriers in
 * shared memory (kernels/groups.cu). */
#include "tests/sim/sim_api.h"

#include <math.h>

static CUmodule module;
static CUresult (*launch_cooperative)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned,
                                      unsigned, unsigned, CUstream, void **);

static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() &&
                 !cuModuleLoad(&module, SINTER_TEST_SOURCE_DIR "/tests/sim/kernels/groups.ptx") &&
                 !cuGetProcAddress_v2("cuLaunchCooperativeKernel", (void **)&launch_cooperative,
                                      13000, 0, NULL)
             ? 0
             : -1;
}

static CUfunction function_of(const char *name) {
  CUfunction f;
  assert_int_equal(cuModuleGetFunction(&f, module, name), 0);
  return f;
}
static CUresult launch(const char *name, unsigned grid, unsigned block, void **params) {
  return cuLaunchKernel(function_of(name), grid, 1, 1, block, 1, 1, 0, NULL, params, NULL);
}
static void *managed(size_t n) {
  CUdeviceptr p;
  assert_int_equal(cuMemAllocManaged(&p, n, 1), 0);
  memset((void *)(uintptr_t)p, 0, n);
  return (void *)(uintptr_t)p;
}

enum { PARTS = 10 };
static void expected_parts(int t, int *parts) {
  int warp = t / 32 * 32, tile = t / 8 * 8;
  unsigned ballot = 0;
  memset(parts, 0, PARTS * sizeof *parts);
  parts[1] = warp + 31;
  for (int k = tile; k < tile + 8; k++) {
    parts[0] += k;
    parts[2] += k <= t ? k : 0;
    parts[8] |= k == 3;
  }
  for (int k = warp; k < warp + 32; k++) {
    parts[3] += k < t ? k : 0;
    if (t % 3 == 0 && k % 3 == 0)
      parts[4] += 101 + (k < t);
    parts[5] += k % 5 == t % 5;
    parts[6] += (k % 7 == 0) == (t % 7 == 0);
    ballot |= (unsigned)(k & 1) << k % 32;
  }
  parts[7] = t % 8 == 7 ? t : t + 1;
  parts[9] = (int)ballot;
}
static void groups(void **state) {
  (void)state;
  int *out = managed(4 * 64 * PARTS), parts[PARTS];
  for (int seed = 0; seed < 3; seed++) {
    char text[8];
    snprintf(text, sizeof text, "%d", seed * 77);
    setenv("SINTER_SIM_SEED", text, 1);
    assert_int_equal(launch("groups", 1, 64, (void *[]){&out}), 0);
    unsetenv("SINTER_SIM_SEED");
    for (int t = 0; t < 64; t++) {
      expected_parts(t, parts);
      for (int k = 0; k < PARTS; k++) {
        if (out[t * PARTS + k] != parts[k])
          fprintf(stderr, "thread %d, part %d\n", t, k);
        assert_int_equal(out[t * PARTS + k], parts[k]);
      }
    }
  }
  unsigned mask = 0xfffe0000; /* 16 is in no mask of its own */
  assert_int_equal(launch("disagree", 1, 32, (void *[]){&out, &mask}), 719);
  cuDevicePrimaryCtxReset_v2(0);
  mask = 0xffff0000; /* and here it is in two */
  assert_int_equal(launch("disagree", 1, 32, (void *[]){&out, &mask}), 719);
  cuDevicePrimaryCtxReset_v2(0);
}

static void whole_grids(void **state) {
  (void)state;
  int *a = managed(4 * 512), *out = managed(4 * 512);
  CUfunction f = function_of("grid_sums");
  assert_int_equal(launch_cooperative(f, 8, 1, 1, 64, 1, 1, 0, NULL, (void *[]){&a, &out}), 0);
  for (int t = 0; t < 512; t++) {
    int sum = 0;
    for (int k = 0; k < 512; k += 17)
      sum += ((t + 1) % 512 + k) % 512;
    assert_int_equal(out[t], sum);
  }
  /* a launch that is not cooperative has no barrier of its grid */
  assert_int_equal(launch("grid_sums", 8, 64, (void *[]){&a, &out}), 719);
  cuDevicePrimaryCtxReset_v2(0);
}

static void objects_and_atomics(void **state) {
  (void)state;
  int *out = managed(4 * 64);
  assert_int_equal(launch("shapes", 1, 64, (void *[]){&out}), 0);
  for (int t = 0; t < 64; t++)
    assert_int_equal(out[t], t % 2 ? t * t + 7 : t * 3 - 7);
  int *i = managed(64), xored = 0;
  int64_t *l = managed(64);
  float *f = managed(64), *v = managed(64);
  double *d = managed(64);
  uint16_t *h = managed(64), *b = managed(64), *s = managed(64);
  i[2] = -1;
  assert_int_equal(launch("atomics", 1, 64, (void *[]){&i, &l, &f, &d, &h, &b, &v, &s}), 0);
  for (int t = 0; t < 64; t++)
    xored ^= 1 << t % 31;
  const int want[] = {-63, 63, 0, xored, 64 % 10, 6, 7}; /* 0 goes to 9: 64 steps of ten end at 6 */
  for (int k = 0; k < 7; k++)
    assert_int_equal(i[k], want[k]);
  assert_true(l[0] == 63ll << 33 && l[1] == -63);
  assert_true(f[0] == 32 && d[0] == 16);
  assert_int_equal(h[0], 0x5400); /* 64 */
  assert_int_equal(h[1], 0x5800);
  assert_int_equal(b[0], 0x4280);
  assert_int_equal(b[1], 0x4200);
  assert_true(v[0] == 64 && v[3] == 256);
  assert_int_equal(s[0], 64);
}

static void numbers(void **state) {
  (void)state;
  uint16_t *a = managed(64), *b = managed(64);
  float *out = managed(4 * 4 * 4);
  static const uint16_t left[] = {0x3c00, 0xbc00, 0x7e00, 0x4000, 0, 0x8000, 0x3c00, 0x7c00};
  static const uint16_t right[] = {0x3800, 0x3c00, 0x3c00, 0x4000, 0x8000, 0, 0xbc00, 0x7bff};
  static const float greater[] = {1, 0, 0, 0, 0, 0, 1, 1};
  static const double masks[] = {4294901760.0, 4294901760.0, 4294967295.0, 0};
  memcpy(a, left, sizeof left);
  memcpy(b, right, sizeof right);
  assert_int_equal(launch("halves", 1, 4, (void *[]){&a, &b, &out}), 0);
  for (int t = 0; t < 4; t++) {
    assert_true(out[4 * t] == greater[2 * t] && out[4 * t + 1] == greater[2 * t + 1]);
    assert_true((double)out[4 * t + 2] == (double)(float)masks[t]);
  }
  assert_true(fabsf(out[3] - 2.71875f) < 0.003f);
  double *x = managed(8 * 32), *y = managed(8 * 32), *z = managed(8 * 64);
  for (int k = 0; k < 32; k++)
    x[k] = k * 0.375, y[k] = k * 0.125 - 1;
  assert_int_equal(launch("product_f64", 1, 32, (void *[]){&x, &y, &z}), 0);
  for (int r = 0; r < 8; r++)
    for (int c = 0; c < 8; c++) {
      double sum = 1;
      for (int k = 0; k < 4; k++)
        sum += x[r * 4 + k] * y[c * 4 + k];
      assert_true(fabs(sum - z[r * 8 + c]) < 1e-12);
    }
  uint64_t *q = managed(16 * 32), *quotients = managed(8 * 32);
  for (uint64_t k = 0; k < 64; k++)
    q[k] = (k + 3) * UINT64_C(0x9e3779b97f4a7c15) >> k % 50;
  assert_int_equal(launch("quotients", 1, 32, (void *[]){&q, &quotients}), 0);
  for (int t = 0; t < 32; t++) {
    unsigned __int128 n = (unsigned __int128)q[2 * t] << 64 | q[2 * t + 1];
    unsigned __int128 m = (unsigned __int128)(q[2 * t + 1] & 0xffff) << 32 | 12345;
    assert_true(quotients[t] == (uint64_t)(n / m));
  }
}

static void copies(void **state) {
  (void)state;
  int *in = managed(4 * 256), *out = managed(4 * 256), wait = 1;
  for (int k = 0; k < 256; k++)
    in[k] = 5 * k;
  assert_int_equal(launch("copies", 1, 256, (void *[]){&in, &out, &wait}), 0);
  for (int t = 0; t < 256; t++)
    assert_int_equal(out[t], 5 * (255 - t));
  wait = 0;
  assert_int_equal(launch("copies", 1, 256, (void *[]){&in, &out, &wait}), 719);
  cuDevicePrimaryCtxReset_v2(0);
}

static int close_all(void **state) {
  (void)state;
  return cuModuleUnload(module) != 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(groups),
      cmocka_unit_test(whole_grids),
      cmocka_unit_test(objects_and_atomics),
      cmocka_unit_test(numbers),
      cmocka_unit_test(copies),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
