/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that nvcc made (kernels/, with the CUDA they were made of) against the host's results. */
#include "tests/sim/sim_api.h"

#include <math.h>
#include <unistd.h>

static CUmodule module;

static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() ? 0 : -1;
}

static void load(const char *name) {
  char path[300];
  if (module)
    assert_int_equal(cuModuleUnload(module), 0);
  snprintf(path, sizeof path, SINTER_TEST_SOURCE_DIR "/tests/sim/kernels/%s.ptx", name);
  assert_int_equal(cuModuleLoad(&module, path), 0);
}
static CUresult launch(const char *name, unsigned grid, unsigned bx, unsigned by, void **params) {
  CUfunction f;
  assert_int_equal(cuModuleGetFunction(&f, module, name), 0);
  return cuLaunchKernel(f, grid, 1, 1, bx, by, 1, 0, NULL, params, NULL);
}
static void *managed(size_t n) {
  CUdeviceptr p;
  assert_int_equal(cuMemAllocManaged(&p, n, 1), 0);
  memset((void *)(uintptr_t)p, 0, n);
  return (void *)(uintptr_t)p;
}
static void reset(void) { assert_int_equal(cuDevicePrimaryCtxReset_v2(0), 0); }

static float bf16(uint16_t b) {
  uint32_t u = (uint32_t)b << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static uint16_t to_bf16(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
static uint32_t seed = 7;
static uint32_t draw(void) { return seed = seed * 1664525u + 1013904223u, seed >> 8; }
static float draw_float(void) { return (float)(int)(draw() % 2001) / 1000 - 1; }

static void language(void **state) {
  (void)state;
  int *out = managed(4 * 4096), want, n;
  load("language");
  assert_int_equal(launch("recursion", 1, 64, 1, (void *[]){&out}), 0);
  for (int k = 0; k < 64; k++) {
    int a = 0, b = 1;
    for (int j = 0; j < k % 12; j++)
      want = a + b, a = b, b = want;
    assert_int_equal(out[k], a);
  }
  assert_int_equal(launch("pointers", 1, 64, 1, (void *[]){&out}), 0);
  for (int k = 0; k < 64; k++)
    assert_int_equal(out[k], k % 3 == 0 ? 2 * k : k % 3 == 1 ? k * k : -k);
  memset(out, 0, 4 * 64);
  n = 3;
  assert_int_equal(launch("switches", 1, 64, 1, (void *[]){&out, &n}), 0);
  for (int k = 0; k < 64; k++) {
    int cases[7] = {
        11, k + 5, k * k, -k, 99, __builtin_popcount((unsigned)k), __builtin_clz((unsigned)k + 1)};
    assert_int_equal(out[k], cases[(k + 3) % 7]);
  }
  float *in = managed(4 * 64), *sums = managed(4 * 64);
  unsigned *masks = managed(4 * 64);
  for (int k = 0; k < 64; k++)
    in[k] = (float)(k % 13);
  assert_int_equal(launch("warps", 1, 64, 1, (void *[]){&in, &sums, &masks}), 0);
  for (int k = 0; k < 64; k++) {
    float sum = 0;
    unsigned mask = 0, total = 0;
    for (int j = k / 32 * 32; j < k / 32 * 32 + 32; j++) {
      sum += in[j];
      mask |= (unsigned)(j % 5 == k % 5) << j % 32;
      total += (unsigned)j;
    }
    assert_true(sums[k] == sum);
    assert_int_equal(masks[k], mask + total);
  }
  n = 40;
  assert_int_equal(launch("block_votes", 1, 64, 1, (void *[]){&out, &n}), 0);
  for (int k = 0; k < 64; k++)
    assert_int_equal(out[k], 40 * 100 + 10 + 1);
  assert_int_equal(launch("cluster_sum", 8, 32, 1, (void *[]){&out}), 0);
  for (int k = 0; k < 256; k++)
    assert_int_equal(out[k], (k / 128 ? 22000 : 6000) + 4 * (k % 32));
}

static void printing(void **state) {
  (void)state;
  double v = 2.5;
  int n = 5;
  char text[200] = "";
  fflush(stdout);
  FILE *to = tmpfile();
  int saved = dup(1);
  dup2(fileno(to), 1);
  CUresult r = launch("prints", 1, 32, 1, (void *[]){&n, &v});
  r = r ? r : cuCtxSynchronize();
  fflush(stdout);
  dup2(saved, 1);
  rewind(to);
  assert_int_equal(r, 0);
  assert_non_null(fgets(text, sizeof text, to));
  assert_string_equal(text, "thread 5 of block: 2.500 1099511627776 x    ab|\n");
  fclose(to);
  assert_int_equal(launch("asserts", 1, 32, 1, (void *[]){&n}), CUDA_ERROR_ASSERT);
  reset();
  n = 99;
  assert_int_equal(launch("asserts", 1, 32, 1, (void *[]){&n}), 0);
}

static void stack_depth(void **state) {
  (void)state;
  int *out = managed(64), n = 2;
  assert_int_equal(launch("depth", 1, 1, 1, (void *[]){&out, &n}), 0);
  assert_int_equal(out[0], 3);
  n = 100;
  assert_int_equal(launch("depth", 1, 1, 1, (void *[]){&out, &n}), CUDA_ERROR_LAUNCH_FAILED);
  reset();
  assert_int_equal(cuCtxSetLimit(0, 64 << 10), 0);
  assert_int_equal(launch("depth", 1, 1, 1, (void *[]){&out, &n}), 0);
  assert_int_equal(out[0], 100 * 101 / 2);
  reset();
}

static void races(void **state) {
  (void)state;
  int *in = managed(4096), *out = managed(4096), wait = 1;
  for (int k = 0; k < 1024; k++)
    in[k] = k;
  assert_int_equal(launch("transpose", 1, 32, 32, (void *[]){&in, &out, &wait}), 0);
  for (int k = 0; k < 1024; k++)
    assert_int_equal(out[k], k % 32 * 32 + k / 32);
  assert_int_equal(launch("neighbours", 1, 32, 1, (void *[]){&out, &wait}), 0);
  assert_int_equal(out[4], 15);
  wait = 0;
  assert_int_equal(launch("transpose", 1, 32, 32, (void *[]){&in, &out, &wait}), 719);
  reset();
  assert_int_equal(launch("neighbours", 1, 32, 1, (void *[]){&out, &wait}), 719);
  reset();
}

static void warp_products(void **state) {
  (void)state;
  int steps = 5, k_all = 16 * steps;
  uint16_t *a = managed(2 * 16 * 80), *b = managed(2 * 8 * 80);
  float *c = managed(4 * 256);
  load("warp_gemm");
  for (int k = 0; k < 16 * k_all; k++)
    a[k] = to_bf16(draw_float());
  for (int k = 0; k < 8 * k_all; k++)
    b[k] = to_bf16(draw_float());
  assert_int_equal(launch("mma_bf16", 1, 32, 1, (void *[]){&a, &b, &c, &steps}), 0);
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 8; j++) {
      double sum = 0;
      for (int k = 0; k < k_all; k++)
        sum += (double)bf16(a[i * k_all + k]) * (double)bf16(b[j * k_all + k]);
      assert_true(fabs(sum - (double)c[i * 8 + j]) < 1e-5);
    }
  static const uint16_t halves[] = {0, 0x3c00, 0xbc00, 0x4000, 0x3800};
  static const double values[] = {0, 1, -1, 2, 0.5};
  int pick_a[256], pick_b[256];
  for (int k = 0; k < 256; k++) {
    a[k] = halves[pick_a[k] = (int)(draw() % 5)];
    b[k] = halves[pick_b[k] = (int)(draw() % 5)];
  }
  assert_int_equal(launch("wmma_half", 1, 32, 1, (void *[]){&a, &b, &c}), 0);
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 16; j++) {
      double sum = 1;
      for (int k = 0; k < 16; k++)
        sum += values[pick_a[i * 16 + k]] * values[pick_b[j * 16 + k]];
      assert_true((double)c[i * 16 + j] == sum);
    }
}

static double e4m3(uint8_t v) {
  int e = v >> 3 & 15, m = v & 7;
  double r = e ? ldexp(8 + m, e - 10) : ldexp(m, -9);
  return v & 128 ? -r : r;
}
static double e5m2(uint8_t v) {
  int e = v >> 2 & 31, m = v & 3;
  double r = e ? ldexp(4 + m, e - 17) : ldexp(m, -16);
  return v & 128 ? -r : r;
}
static double decode(int kind, const uint8_t *p, int at) {
  float f;
  switch (kind) {
  case 0: memcpy(&f, p + 4 * at, 4); return (double)f;
  case 1: return (double)(int8_t)p[at];
  case 2: return (double)p[at];
  case 3: return e4m3(p[at]);
  default: return e5m2(p[at]);
  }
}
static void other_types(void **state) {
  (void)state;
  static const struct {
    const char *name;
    int a, b, k;
    bool integer;
  } all[] = {{"mma_tf32", 0, 0, 8, false},
             {"mma_s8", 1, 1, 32, true},
             {"mma_u8s8", 2, 1, 32, true},
             {"mma_e4m3", 3, 3, 32, false},
             {"mma_e5m2", 4, 3, 32, false}};
  uint8_t *a = managed(16 * 32), *b = managed(8 * 32);
  int32_t *c = managed(4 * 128);
  for (unsigned t = 0; t < sizeof all / sizeof *all; t++) {
    for (int k = 0; k < 16 * 32; k++)
      a[k] = (uint8_t)(all[t].integer ? draw() : draw() % 0x38 | (draw() & 128));
    for (int k = 0; k < 8 * 32; k++)
      b[k] = (uint8_t)(all[t].integer ? draw() : draw() % 0x38 | (draw() & 128));
    for (int k = 0; k < 16 * 8 && !all[t].a; k++) { /* exact in tf32 */
      float f = (float)(int)(draw() % 64) / 8;
      memcpy(a + 4 * k, &f, 4);
      if (k < 64)
        memcpy(b + 4 * k, &f, 4);
    }
    assert_int_equal(launch(all[t].name, 1, 32, 1, (void *[]){&a, &b, &c}), 0);
    for (int i = 0; i < 16; i++)
      for (int j = 0; j < 8; j++) {
        double sum = 0;
        float got;
        for (int k = 0; k < all[t].k; k++)
          sum += decode(all[t].a, a, i * all[t].k + k) * decode(all[t].b, b, j * all[t].k + k);
        memcpy(&got, &c[i * 8 + j], 4);
        double r = all[t].integer ? (double)c[i * 8 + j] : (double)got;
        assert_true(fabs(r - sum) <= fabs(sum) * 1e-6);
      }
  }
  double *da = managed(8 * 32), *db = managed(8 * 32), *dc = managed(8 * 64);
  for (int k = 0; k < 32; k++)
    da[k] = (double)draw_float(), db[k] = (double)draw_float();
  assert_int_equal(launch("mma_f64", 1, 32, 1, (void *[]){&da, &db, &dc}), 0);
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 8; j++) {
      double sum = 0;
      for (int k = 0; k < 4; k++)
        sum += da[i * 4 + k] * db[j * 4 + k];
      assert_true(fabs(sum - dc[i * 8 + j]) < 1e-14);
    }
}

static int close_all(void **state) {
  (void)state;
  return cuModuleUnload(module) != 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(language), cmocka_unit_test(printing),      cmocka_unit_test(stack_depth),
      cmocka_unit_test(races),    cmocka_unit_test(warp_products), cmocka_unit_test(other_types),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
