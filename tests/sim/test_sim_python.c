/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels by Triton (kernels/kernels_triton.py) and numba (kernels/kernels_numba.py) against the
 * host's results in double precision. */
#include "tests/sim/sim_api.h"

#include <math.h>

static CUmodule module;

static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() ? 0 : -1;
}
static CUfunction load(const char *file, const char *name) {
  char path[300];
  CUfunction f;
  if (module)
    assert_int_equal(cuModuleUnload(module), 0);
  snprintf(path, sizeof path, SINTER_TEST_SOURCE_DIR "/tests/sim/kernels/%s.ptx", file);
  assert_int_equal(cuModuleLoad(&module, path), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, name), 0);
  return f;
}
static void *managed(size_t n) {
  CUdeviceptr p;
  assert_int_equal(cuMemAllocManaged(&p, n, 1), 0);
  memset((void *)(uintptr_t)p, 0, n);
  return (void *)(uintptr_t)p;
}
static uint32_t seed = 7;
static uint32_t draw(void) { return seed = seed * 1664525u + 1013904223u, seed >> 8; }
static float draw_float(void) { return (float)(int)(draw() % 2001) / 1000 - 1; }
static uint16_t draw_half(void) { /* of 2^-3 to below 1 */
  return (uint16_t)(0x3000 + draw() % 0xc00 + (draw() & 0x8000));
}
static double half(uint16_t h) {
  int e = h >> 10 & 31, m = h & 1023;
  double v = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
  return h & 0x8000 ? -v : v;
}
static double bf16(uint16_t b) {
  uint32_t u = (uint32_t)b << 16;
  float f;
  memcpy(&f, &u, 4);
  return (double)f;
}
#define CLOSE(a, b, most) assert_true(fabs((double)(a) - (double)(b)) <= (most))

/* Triton: behind the arguments come scratch memory of the kernel and of a profiler. */

static CUdeviceptr none;
static void launch(CUfunction f, unsigned x, unsigned y, unsigned threads, unsigned shared,
                   void **arguments) {
  if (shared > 49152)
    assert_int_equal(cuFuncSetAttribute(f, 8, (int)shared), 0);
  assert_int_equal(cuLaunchKernel(f, x, y, 1, threads, 1, 1, shared, NULL, arguments, NULL), 0);
}

static void softmax(void **state) {
  (void)state;
  enum { ROWS = 5, COLUMNS = 1000 };
  float *x = managed(4 * ROWS * 1024), *y = managed(4 * ROWS * 1024);
  int columns = COLUMNS, stride = 1024;
  for (int k = 0; k < ROWS * 1024; k++)
    x[k] = 4 * draw_float();
  launch(load("triton_softmax", "softmax"), ROWS, 1, 128, 16,
         (void *[]){&x, &y, &columns, &stride, &none, &none});
  for (int r = 0; r < ROWS; r++) {
    double sum = 0;
    for (int k = 0; k < COLUMNS; k++)
      sum += exp((double)x[r * 1024 + k]);
    for (int k = 0; k < COLUMNS; k++)
      CLOSE(exp((double)x[r * 1024 + k]) / sum, y[r * 1024 + k], 1e-7);
  }
}

static void layernorm(void **state) {
  (void)state;
  enum { ROWS = 3, COLUMNS = 777 };
  float *x = managed(4 * ROWS * COLUMNS), *w = managed(4 * COLUMNS), *b = managed(4 * COLUMNS);
  float *y = managed(4 * ROWS * COLUMNS), epsilon = 1e-5f;
  int columns = COLUMNS;
  for (int k = 0; k < ROWS * COLUMNS; k++)
    x[k] = 3 * draw_float() + 1;
  for (int k = 0; k < COLUMNS; k++)
    w[k] = draw_float(), b[k] = draw_float();
  launch(load("triton_layernorm", "layernorm"), ROWS, 1, 128, 16,
         (void *[]){&x, &w, &b, &y, &columns, &epsilon, &none, &none});
  for (int r = 0; r < ROWS; r++) {
    double mean = 0, square = 0;
    for (int k = 0; k < COLUMNS; k++)
      mean += (double)x[r * COLUMNS + k] / COLUMNS;
    for (int k = 0; k < COLUMNS; k++)
      square += pow((double)x[r * COLUMNS + k] - mean, 2) / COLUMNS;
    for (int k = 0; k < COLUMNS; k++)
      CLOSE(((double)x[r * COLUMNS + k] - mean) / sqrt(square + 1e-5) * (double)w[k] + (double)b[k],
            y[r * COLUMNS + k], 1e-5);
  }
}

static void atomics(void **state) {
  (void)state;
  int n = 1000, *x = managed(4 * 1000), *bins = managed(64), *words = managed(32), want[16] = {0},
      most = 0, sum = 0;
  float *total = managed(4);
  for (int k = 0; k < n; k++) {
    x[k] = (int)(draw() % 900);
    want[x[k] % 16]++;
    most = x[k] > most ? x[k] : most;
    sum += x[k];
  }
  launch(load("triton_atomics", "atomics"), 4, 1, 128, 16,
         (void *[]){&x, &total, &bins, &words, &n, &none, &none});
  assert_memory_equal(bins, want, sizeof want);
  assert_true(total[0] == (float)sum);
  const int after[] = {most, 4, 15, 0, 6}; /* places 0 to 3, under the lock */
  assert_memory_equal(words, after, sizeof after);
}

static void scans(void **state) {
  (void)state;
  enum { N = 256 };
  float *x = managed(4 * N), *sums = managed(4 * N), *ordered = managed(4 * N), sum = 0;
  int *found = managed(4 * 17);
  for (unsigned k = 0; k < N; k++)
    x[k] = (float)(k * 77 % N); /* each number once */
  launch(load("triton_scans", "scans"), 1, 1, 128, 1024,
         (void *[]){&x, &sums, &ordered, &found, &none, &none});
  for (int k = 0; k < N; k++) {
    sum += x[k];
    assert_true(sums[k] == sum && ordered[k] == (float)k);
    assert_int_equal(found[k % 16], N / 16);
  }
  assert_true(x[found[16]] == N - 1);
}

/* C = A B of m x k and k x n; elements by `get`, which says their value in a and b. */
struct product {
  int m, n, k;
  double (*get)(const void *, int);
  bool turned; /* B is n x k */
};
static double wanted(const struct product *p, const void *a, const void *b, int i, int j,
                     double *size) {
  double sum = 0;
  *size = 1;
  for (int x = 0; x < p->k; x++) {
    double v = p->get(a, i * p->k + x) * p->get(b, p->turned ? j * p->k + x : x * p->n + j);
    sum += v;
    *size += fabs(v);
  }
  return sum;
}
static double get_half(const void *p, int at) { return half(((const uint16_t *)p)[at]); }
static double get_bf16(const void *p, int at) { return bf16(((const uint16_t *)p)[at]); }
static double get_s8(const void *p, int at) { return ((const int8_t *)p)[at]; }
static double get_s32(const void *p, int at) { return ((const int32_t *)p)[at]; }
static double get_float(const void *p, int at) { return (double)((const float *)p)[at]; }

static void products(void **state) {
  (void)state;
  static const struct {
    const char *file;
    double (*in)(const void *, int), (*out)(const void *, int);
    double error; /* of the sum of what is summed */
  } all[] = {
      {"triton_matmul_80", get_half, get_float, 1e-6},
      {"triton_matmul_90", get_half, get_float, 1e-6},
      {"triton_matmul_half", get_half, get_half, 2e-3},
      {"triton_matmul_s8", get_s8, get_s32, 0},
  };
  struct product p = {.m = 100, .n = 72, .k = 96};
  uint16_t *a = managed(2 * 100 * 96), *b = managed(2 * 72 * 96);
  void *c = managed(4 * 100 * 72);
  for (unsigned t = 0; t < sizeof all / sizeof *all; t++) {
    p.get = all[t].in;
    for (int k = 0; k < 100 * 96; k++)
      a[k] = draw_half();
    for (int k = 0; k < 72 * 96; k++)
      b[k] = draw_half();
    launch(load(all[t].file, "matmul"), 2, 2, 128, 16384,
           (void *[]){&a, &b, &c, &p.m, &p.n, &p.k, &none, &none});
    for (int i = 0; i < p.m; i++)
      for (int j = 0; j < p.n; j++) {
        double size, sum = wanted(&p, a, b, i, j, &size);
        CLOSE(all[t].out(c, i * p.n + j), sum, size * all[t].error);
      }
  }
}

/* Tensor maps made by the kernel in scratch memory, and specialised warps. */
static void tensor_product(void **state) {
  (void)state;
  struct product p = {.m = 120, .n = 72, .k = 136, .get = get_bf16, .turned = true};
  uint16_t *a = managed(2 * 120 * 136), *b = managed(2 * 72 * 136), *c = managed(2 * 120 * 72);
  CUdeviceptr scratch;
  assert_int_equal(cuMemAlloc_v2(&scratch, 3 * 512), 0);
  for (int k = 0; k < 120 * 136; k++)
    a[k] = (uint16_t)(0x3e80 + draw() % 256 + (draw() & 0x8000));
  for (int k = 0; k < 72 * 136; k++)
    b[k] = (uint16_t)(0x3e80 + draw() % 256 + (draw() & 0x8000));
  for (int order = 0; order < 3; order++) {
    char text[8];
    snprintf(text, sizeof text, "%d", order * 31);
    setenv("SINTER_SIM_SEED", text, 1);
    memset(c, 0xff, 2 * 120 * 72);
    launch(load("triton_tensor_matmul", "tensor_matmul"), 3, 1, 384, 45464,
           (void *[]){&a, &b, &c, &p.m, &p.n, &p.k, &scratch, &none});
    unsetenv("SINTER_SIM_SEED");
    for (int i = 0; i < p.m; i++)
      for (int j = 0; j < p.n; j++) {
        double size, sum = wanted(&p, a, b, i, j, &size);
        CLOSE(bf16(c[i * p.n + j]), sum, fabs(sum) * 0.004 + size * 1e-6);
      }
  }
  assert_int_equal(cuMemFree_v2(scratch), 0);
}

static void attention(void **state) {
  (void)state;
  enum { HEADS = 2, S = 100, D = 32 };
  uint16_t *q = managed(2 * HEADS * S * D), *k = managed(2 * HEADS * S * D),
           *v = managed(2 * HEADS * S * D);
  float *o = managed(4 * HEADS * S * D), scale = (float)(1.4426950408889634 / sqrt(D));
  int length = S;
  for (int x = 0; x < HEADS * S * D; x++)
    q[x] = draw_half(), k[x] = draw_half(), v[x] = draw_half();
  for (int version = 0; version < 2; version++) {
    memset(o, 0xff, 4 * HEADS * S * D);
    launch(load(version ? "triton_attention_90" : "triton_attention_80", "attention"), 2, HEADS,
           128, 8192, (void *[]){&q, &k, &v, &o, &length, &scale, &none, &none});
    for (int h = 0; h < HEADS; h++)
      for (int i = 0; i < S; i++) {
        double weights[S], sum = 0;
        for (int j = 0; j <= i; j++) {
          double t = 0;
          for (int d = 0; d < D; d++)
            t += half(q[(h * S + i) * D + d]) * half(k[(h * S + j) * D + d]);
          sum += weights[j] = exp(t / sqrt(D));
        }
        for (int d = 0; d < D; d++) {
          double r = 0;
          for (int j = 0; j <= i; j++)
            r += weights[j] / sum * half(v[(h * S + j) * D + d]);
          CLOSE(r, o[(h * S + i) * D + d], 1e-3); /* weights are rounded to halves */
        }
      }
  }
}

/* numba: a vector is seven parameters: two owners, elements, their size, data, length, stride; a
 * matrix nine, with two lengths and two strides. */
#define VECTOR(p, n) &nobody, &nobody, &n, &four, &p, &n, &four
#define MATRIX(p, all, rows, columns, pitch)                                                       \
  &nobody, &nobody, &all, &four, &p, &rows, &columns, &pitch, &four
static uint64_t nobody = 0, four = 4;

static void vectors(void **state) {
  (void)state;
  uint64_t n = 1000, bins = 7, one = 1;
  float *x = managed(4 * 1000), *y = managed(4 * 1000), *sum = managed(4);
  int *v = managed(4 * 1000), *counts = managed(4 * 7), want[7] = {0};
  double all = 0;
  for (int k = 0; k < 1000; k++) {
    x[k] = draw_float();
    v[k] = (int)(draw() % 1000);
    want[v[k] % 7]++;
    all += (double)x[k];
  }
  launch(load("numba_blur", "blur"), 8, 1, 128, 0, (void *[]){VECTOR(x, n), VECTOR(y, n)});
  for (int k = 0; k < 1000; k++) {
    double left = k ? (double)x[k - 1] : 0, right = k < 999 ? (double)x[k + 1] : 0;
    CLOSE((left + 2 * (double)x[k] + right) / 4, y[k], 1e-6);
  }
  launch(load("numba_histogram", "histogram"), 8, 1, 128, 0,
         (void *[]){VECTOR(v, n), VECTOR(counts, bins)});
  assert_memory_equal(counts, want, sizeof want);
  launch(load("numba_total", "total"), 3, 1, 128, 0, (void *[]){VECTOR(x, n), VECTOR(sum, one)});
  CLOSE(sum[0], all, 1e-3);
  launch(load("numba_functions", "functions"), 8, 1, 128, 0,
         (void *[]){VECTOR(x, n), VECTOR(y, n)});
  for (int k = 0; k < 1000; k++) {
    double a = (double)x[k];
    CLOSE(sin(a) * exp(-a * a) + atan2(a, 2) + pow(fabs(a), 0.3) + erf(a), y[k], 2e-6);
  }
}

static void matrices(void **state) {
  (void)state;
  struct product p = {.m = 29, .n = 21, .k = 37, .get = get_float};
  uint64_t m = 29, n = 21, k = 37, mk = m * k, kn = k * n, mn = m * n, row_k = 4 * k, row_n = 4 * n;
  float *a = managed(4 * 29 * 37), *b = managed(4 * 37 * 21), *c = managed(4 * 29 * 21);
  for (unsigned x = 0; x < mk; x++)
    a[x] = draw_float();
  for (unsigned x = 0; x < kn; x++)
    b[x] = draw_float();
  CUfunction f = load("numba_product", "product");
  assert_int_equal(cuLaunchKernel(f, 3, 4, 1, 8, 8, 1, 0, NULL,
                                  (void *[]){MATRIX(a, mk, m, k, row_k), MATRIX(b, kn, k, n, row_n),
                                             MATRIX(c, mn, m, n, row_n)},
                                  NULL),
                   0);
  for (int i = 0; i < p.m; i++)
    for (int j = 0; j < p.n; j++) {
      double size, sum = wanted(&p, a, b, i, j, &size);
      CLOSE(c[i * p.n + j], sum, size * 1e-6);
    }
}

static int close_all(void **state) {
  (void)state;
  return cuModuleUnload(module) != 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(softmax),   cmocka_unit_test(layernorm), cmocka_unit_test(atomics),
      cmocka_unit_test(scans),     cmocka_unit_test(products),  cmocka_unit_test(tensor_product),
      cmocka_unit_test(attention), cmocka_unit_test(vectors),   cmocka_unit_test(matrices),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
