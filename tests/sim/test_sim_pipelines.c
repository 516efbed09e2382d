/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels as fast ones are built (kernels/pipelines.cu): products over stages of cp.async, products
 * and attention by tensor copies, mbarriers and wgmma, decoding in parts; each against the host in
 * double precision, in several orders of warps, and with a step taken out, which must be found. */
#include "tests/sim/sim_api.h"

#include <math.h>

static char *source;
static uint32_t seed = 3;
static uint16_t draw(void) { /* bf16 of -1 to 1 */
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
  assert_int_equal(cuMemAllocManaged(&p, n, 1), 0);
  return (void *)(uintptr_t)p;
}
static uint16_t *drawn(size_t n) {
  uint16_t *p = managed(2 * n);
  for (size_t k = 0; k < n; k++)
    p[k] = draw();
  return p;
}

static int open_all(void **state) {
  (void)state;
  static char text[1 << 18];
  FILE *f = fopen(SINTER_TEST_SOURCE_DIR "/tests/sim/kernels/pipelines.ptx", "r");
  if (!f || !sim_open_cuda())
    return -1;
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  fclose(f);
  source = text;
  return 0;
}

/* A change of a kernel's text: each statement that begins with `what` becomes `to`; of those only
 * number `only` - 1, if that is not 0. */
struct change {
  const char *what, *to;
  int only;
};

static char *changed(const char *kernel, const struct change *c) {
  char *text = malloc(2 * strlen(source) + 1), *out = text, entry[60];
  snprintf(entry, sizeof entry, ".entry %s(", kernel);
  const char *at = strstr(source, entry), *end = at ? strstr(at, "\n}\n") : NULL;
  assert_non_null(end);
  int found = 0;
  memcpy(out, source, (size_t)(at - source));
  out += at - source;
  while (*at) {
    const char *next = c->what && at < end ? strstr(at, c->what) : NULL;
    if (!next || next > end)
      break;
    const char *behind = strchr(next, ';') + 1;
    bool takes = !c->only || c->only == found + 1;
    out += sprintf(out, "%.*s", (int)((takes ? next : behind) - at), at);
    out += takes ? sprintf(out, "%s", c->to) : 0;
    found++;
    at = behind;
  }
  strcpy(out, at);
  if (c->what && !found)
    fprintf(stderr, "%s has no '%s'\n", kernel, c->what);
  assert_true(!c->what || found);
  return text;
}

static CUresult launch(const char *kernel, const struct change *c, const unsigned grid[2],
                       unsigned threads, unsigned shared, void **arguments) {
  CUmodule module;
  CUfunction f;
  char *text = changed(kernel, c);
  assert_int_equal(cuModuleLoadData(&module, text), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, kernel), 0);
  if (shared)
    assert_int_equal(cuFuncSetAttribute(f, 8, (int)shared), 0);
  CUresult r = cuLaunchKernel(f, grid[0], grid[1], 1, threads, 1, 1, shared, NULL, arguments, NULL);
  if (r)
    cuDevicePrimaryCtxReset_v2(0);
  assert_int_equal(cuModuleUnload(module), 0);
  free(text);
  return r;
}

static const struct change nothing;
static void in_orders(double (*run)(const struct change *, CUresult *), double most) {
  static const char *const orders[] = {"0", "5", "77"};
  for (int k = 0; k < 3; k++) {
    CUresult r;
    setenv("SINTER_SIM_SEED", orders[k], 1);
    double worst = run(&nothing, &r);
    unsetenv("SINTER_SIM_SEED");
    assert_int_equal(r, 0);
    assert_true(worst < most);
  }
}
struct variant {
  struct change change;
  CUresult result; /* 0: the step is not needed here */
};
static void variants(double (*run)(const struct change *, CUresult *), const struct variant *all,
                     size_t n) {
  for (size_t k = 0; k < n; k++) {
    CUresult r;
    run(&all[k].change, &r);
    if (r != all[k].result)
      fprintf(stderr, "without '%s': %d\n", all[k].change.what, r);
    assert_int_equal(r, all[k].result);
  }
}
#define VARIANTS(run, all) variants(run, all, sizeof(all) / sizeof *(all))

/* C = A B^T. */

enum { M = 128, N = 192, K = 160 };
static uint16_t *a, *b;
static double worst_of(const float *c, const uint16_t *narrow, int k_all) {
  double worst = 0;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0, got = c ? (double)c[i * N + j] : bf16(narrow[i * N + j]);
      for (int k = 0; k < k_all; k++)
        sum += bf16(a[i * k_all + k]) * bf16(b[j * k_all + k]);
      double e = fabs(sum - got) / (fabs(sum) + 1);
      worst = e > worst || e != e ? e : worst;
    }
  return worst;
}

static int empty_stages = 1;
static double by_stages(const struct change *c, CUresult *result) {
  static float *out;
  int n = N, k = K;
  if (!out)
    a = drawn(M * K), b = drawn(N * K), out = managed(4 * M * N);
  memset(out, 0xff, 4 * M * N);
  *result = launch("mma_pipeline", c, (unsigned[]){N / 64, M / 64}, 128, 0,
                   (void *[]){&a, &b, &out, &n, &k, &empty_stages});
  return *result ? -1 : worst_of(out, NULL, K);
}
static void stages(void **state) {
  (void)state;
  static const struct variant all[] = {
      {{"cp.async.wait_group", "", 0}, 719},
      {{"cp.async.wait_group", "cp.async.wait_group 2;", 0}, 719}, /* one too many in flight */
      {{"bar.sync 3", "", 0}, 719},
      {{"cp.async.commit_group", "", 0}, 719},
      {{"ldmatrix", "", 1}, 719}, /* its registers are never written */
  };
  CUresult r;
  in_orders(by_stages, 1e-5);
  VARIANTS(by_stages, all);
  empty_stages = 0; /* at the end the waits are for older groups than they should be */
  by_stages(&nothing, &r);
  assert_int_equal(r, 719);
  empty_stages = 1;
}

static CUtensorMap map_of(void *p, uint64_t columns, uint64_t rows, uint32_t box, int swizzle) {
  CUtensorMap m;
  assert_int_equal(cuTensorMapEncodeTiled(&m, 9, 2, p, (uint64_t[]){columns, rows},
                                          (uint64_t[]){2 * columns}, (uint32_t[]){64, box},
                                          (uint32_t[]){1, 1}, 0, swizzle, 0, 0),
                   0);
  return m;
}
enum { DEEP = 320, CLUSTER_SHARED = 3 * 16384 + 8192 + 64 };
static int swizzle = 3;
static unsigned expected = 16384;
static double by_cluster(const struct change *c, CUresult *result) {
  static uint16_t *x, *y, *out;
  int steps = DEEP / 64, tiles = N / 64;
  if (!out)
    x = drawn(M * DEEP), y = drawn(N * DEEP), out = managed(2 * M * N);
  a = x, b = y;
  CUtensorMap ma = map_of(x, DEEP, M, 64, swizzle), mb = map_of(y, DEEP, N, 32, swizzle),
              mc = map_of(out, N, M, 64, 3);
  memset(out, 0xff, 2 * M * N);
  *result = launch("gemm_cluster", c, (unsigned[]){1, M / 64}, 256, CLUSTER_SHARED,
                   (void *[]){&ma, &mb, &mc, &steps, &tiles, &expected});
  return *result ? -1 : worst_of(NULL, out, DEEP);
}
static void clusters(void **state) {
  (void)state;
  static const struct variant all[] = {
      {{"mbarrier.init", "", 0}, 719},
      {{"barrier.cluster.wait", "", 1}, 719}, /* the other's mbarriers may not be there yet */
      {{"mbarrier.try_wait.parity.shared.b64 free", "setp.eq.u32 free, 0, 0;", 0}, 719},
      {{"mbarrier.try_wait.parity.shared.b64 done", "setp.eq.u32 done, 0, 0;", 0}, 719},
      {{"mbarrier.arrive.expect_tx", "", 0}, 719},
      {{"mbarrier.arrive.shared::cluster", "", 0}, 719}, /* nobody frees a slot */
      {{"wgmma.wait_group", "", 0}, 719},
      {{"wgmma.commit_group", "", 0}, 719},
      {{"fence.proxy.async", "", 0}, 719},
      {{"bar.sync 2", "", 0}, 719},
      {{"cp.async.bulk.wait_group.read", "", 0}, 719}, /* the next tile overwrites this one */
      {{"griddepcontrol", "", 0}, 0},
  };
  CUresult r;
  in_orders(by_cluster, 0.004);
  VARIANTS(by_cluster, all);
  static const unsigned wrong[] = {16384 + 128, 16384 - 4096, 8192};
  for (int k = 0; k < 3; k++) {
    expected = wrong[k];
    by_cluster(&nothing, &r);
    assert_int_equal(r, 719);
  }
  expected = 16384;
  swizzle = 0; /* the descriptors say another: a wrong result, which only a comparison finds */
  double e = by_cluster(&nothing, &r);
  swizzle = 3;
  assert_true(r == 0 && !(e < 0.004));
}

/* Attention. */

enum { HEADS = 2, S = 192, D = 64 };
static uint16_t *q, *k, *v;
static void attend(int h, int i, int keys, double scale, double *out) {
  double weights[S], sum = 0, high = -1e30;
  for (int j = 0; j < keys; j++) {
    weights[j] = 0;
    for (int d = 0; d < D; d++)
      weights[j] += bf16(q[(h * S + i) * D + d]) * bf16(k[(h * S + j) * D + d]);
    weights[j] *= scale;
    high = weights[j] > high ? weights[j] : high;
  }
  for (int j = 0; j < keys; j++)
    sum += weights[j] = exp2(weights[j] - high);
  for (int d = 0; d < D; d++) {
    out[d] = 0;
    for (int j = 0; j < keys; j++)
      out[d] += weights[j] / sum * bf16(v[(h * S + j) * D + d]);
  }
}
static CUtensorMap head_map(void *p) {
  CUtensorMap m;
  assert_int_equal(cuTensorMapEncodeTiled(&m, 9, 3, p, (uint64_t[]){D, S, HEADS},
                                          (uint64_t[]){2 * D, 2 * D * S}, (uint32_t[]){D, 64, 1},
                                          (uint32_t[]){1, 1, 1}, 0, 3, 0, 0),
                   0);
  return m;
}
static int causal;
static double by_flash(const struct change *c, CUresult *result) {
  static uint16_t *x, *y, *z, *out;
  int length = S;
  float scale = (float)(1.4426950408889634 / 8);
  if (!out)
    x = drawn(HEADS * S * D), y = drawn(HEADS * S * D), z = drawn(HEADS * S * D),
    out = managed(2 * HEADS * S * D);
  q = x, k = y, v = z;
  CUtensorMap mq = head_map(q), mk = head_map(k), mv = head_map(v);
  memset(out, 0xff, 2 * HEADS * S * D);
  *result = launch("flash", c, (unsigned[]){S / 64, HEADS}, 128, 5 * 8192 + 64,
                   (void *[]){&mq, &mk, &mv, &out, &length, &scale, &causal});
  double worst = *result ? -1 : 0, want[D];
  for (int h = 0; h < HEADS && !*result; h++)
    for (int i = 0; i < S; i++) {
      attend(h, i, causal ? i + 1 : S, (double)scale, want);
      for (int d = 0; d < D; d++) {
        double e = fabs(want[d] - bf16(out[(h * S + i) * D + d]));
        worst = e > worst || e != e ? e : worst;
      }
    }
  return worst;
}
static void flash(void **state) {
  (void)state;
  static const struct variant all[] = {
      {{"bar.sync 3", "", 0}, 719},
      {{"bar.sync 4", "", 0},
       0}, /* a wait for wgmma is for all four warps, and nobody else reads */
      {{"mbarrier.try_wait", "setp.eq.u32 done, 0, 0;", 0}, 719},
      {{"mbarrier.arrive.expect_tx", "", 0}, 719},
      {{"wgmma.wait_group", "", 1}, 719}, /* of the scores */
      {{"wgmma.wait_group", "", 2}, 719}, /* of the sums */
  };
  for (causal = 0; causal < 2; causal++)
    in_orders(by_flash, 0.006);
  causal = 0;
  VARIANTS(by_flash, all);
}

enum { SPLITS = 5 };
static double by_parts(const struct change *c, CUresult *result) {
  static uint16_t *x, *y, *z;
  static float *parts, *logs, *out;
  int length = S, split = 40, n = SPLITS; /* the last part is shorter */
  float scale = (float)(1.4426950408889634 / 8);
  if (!out) {
    x = drawn(HEADS * S * D), y = drawn(HEADS * S * D), z = drawn(HEADS * S * D);
    parts = managed(4 * HEADS * SPLITS * D), logs = managed(4 * HEADS * SPLITS);
    out = managed(4 * HEADS * D);
  }
  q = x, k = y, v = z;
  memset(out, 0xff, 4 * HEADS * D);
  *result = launch("decode", c, (unsigned[]){SPLITS, HEADS}, 128, 0,
                   (void *[]){&q, &k, &v, &parts, &logs, &length, &split, &scale});
  if (*result)
    return -1;
  *result = launch("combine", &nothing, (unsigned[]){HEADS, 1}, D, 0,
                   (void *[]){&parts, &logs, &out, &n});
  double worst = 0, want[D], query[D];
  for (int h = 0; h < HEADS; h++) {
    for (int d = 0; d < D; d++)
      query[d] = bf16(q[h * D + d]);
    double weights[S], sum = 0;
    for (int j = 0; j < S; j++) {
      double t = 0;
      for (int d = 0; d < D; d++)
        t += query[d] * bf16(k[(h * S + j) * D + d]);
      sum += weights[j] = exp2(t * (double)scale);
    }
    for (int d = 0; d < D; d++) {
      want[d] = 0;
      for (int j = 0; j < S; j++)
        want[d] += weights[j] / sum * bf16(v[(h * S + j) * D + d]);
      double e = fabs(want[d] - (double)out[h * D + d]);
      worst = e > worst || e != e ? e : worst;
    }
  }
  return worst;
}
static void parts(void **state) {
  (void)state;
  static const struct variant all[] = {{{"bar.sync 5", "", 0}, 719}};
  in_orders(by_parts, 1e-5);
  VARIANTS(by_parts, all);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(stages),
      cmocka_unit_test(clusters),
      cmocka_unit_test(flash),
      cmocka_unit_test(parts),
  };
  return cmocka_run_group_tests(tests, open_all, NULL);
}
