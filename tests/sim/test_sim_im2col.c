/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor maps in im2col mode: the pixels that a convolution's window meets, against the host's, in
 * one to three spatial dimensions, with padding and strides; and the rules of such maps. */
#include "tests/sim/sim_api.h"

enum { CHANNELS = 16, TAKEN = 8, PIXELS = 32, IMAGES = 2 };

static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() ? 0 : -1;
}
static void *managed(size_t n) {
  CUdeviceptr p;
  return cuMemAllocManaged(&p, n, 1) ? NULL : (void *)(uintptr_t)p;
}

struct window {
  unsigned spatial, size[3], filter, padding, stride;
};

/* One thread copies the box at coordinates c0.. with the window's offsets o0.. and hands it out. */
static void make_text(char *text, size_t size, unsigned rank, const char *mode) {
  char at[100] = "", by[100] = "";
  for (unsigned k = 0; k < rank; k++)
    sprintf(at + strlen(at), "%s%%c%u", k ? ", " : "", k);
  for (unsigned k = 0; k + 2 < rank; k++)
    sprintf(by + strlen(by), "%s%%h%u", k ? ", " : "", k);
  bool tile = !strcmp(mode, "tile");
  int n = snprintf(
      text, size,
      ".version 8.0\n.target sm_90a\n.address_size 64\n"
      ".visible .entry k(.param .align 64 .b8 m[128], .param .u64 out, .param .align 4 .b8 c[20], "
      ".param .align 2 .b8 o[6]) {\n"
      ".reg .pred %%p; .reg .b32 %%r<9>, %%c<5>; .reg .b16 %%h<3>; .reg .b64 %%d<9>;\n"
      ".shared .align 128 .b8 box[%d]; .shared .align 8 .b64 bar;\n"
      "ld.param.u64 %%d1, [out]; mov.b64 %%d2, m; mov.u32 %%r3, box; mov.u32 %%r4, bar;\n",
      4 * TAKEN * PIXELS);
  for (unsigned k = 0; k < rank; k++)
    n += snprintf(text + n, size - (size_t)n, "ld.param.u32 %%c%u, [c+%u];\n", k, 4 * k);
  for (unsigned k = 0; k + 2 < rank; k++)
    n += snprintf(text + n, size - (size_t)n, "ld.param.u16 %%h%u, [o+%u];\n", k, 2 * k);
  snprintf(text + n, size - (size_t)n,
           "mbarrier.init.shared.b64 [%%r4], 1; fence.mbarrier_init.release.cluster;\n"
           "mbarrier.arrive.expect_tx.shared.b64 _, [%%r4], %d;\n"
           "cp.async.bulk.tensor.%ud.shared::cluster.global.%s.mbarrier::complete_tx::bytes "
           "[%%r3], [%%d2, {%s}], [%%r4]%s%s%s;\n"
           "W: mbarrier.try_wait.parity.shared.b64 %%p, [%%r4], 0; @!%%p bra W;\n"
           "mov.u32 %%r5, 0;\n"
           "L: add.u32 %%r6, %%r3, %%r5; ld.shared.u32 %%r7, [%%r6]; cvt.u64.u32 %%d3, %%r5;\n"
           "add.s64 %%d4, %%d1, %%d3; st.global.u32 [%%d4], %%r7; add.u32 %%r5, %%r5, 4;\n"
           "setp.lt.u32 %%p, %%r5, %d; @%%p bra L; ret; }\n",
           4 * TAKEN * PIXELS, rank, mode, at, tile ? "" : ", {", tile ? "" : by, tile ? "" : "}",
           4 * TAKEN * PIXELS);
}

static CUresult encode(CUtensorMap *m, const struct window *w, void *p) {
  uint64_t dims[5] = {CHANNELS}, strides[4] = {4 * CHANNELS};
  uint32_t steps[5] = {1, 1, 1, 1, 1};
  int lower[3], upper[3];
  for (unsigned k = 0; k < w->spatial; k++) {
    dims[k + 1] = w->size[k];
    strides[k + 1] = strides[k] * w->size[k];
    steps[k + 1] = w->stride;
    lower[k] = -(int)w->padding;
    upper[k] = (int)w->padding - (int)(w->filter - 1);
  }
  dims[w->spatial + 1] = IMAGES;
  return cuTensorMapEncodeIm2col(m, 7, w->spatial + 2, p, dims, strides, lower, upper, TAKEN,
                                 PIXELS, steps, 0, 0, 0, 0);
}

/* Pixel `index` of the output, first dimension first: its input under an offset of the window; 0
 * where that is padding. */
static float wanted(const struct window *w, const float *in, unsigned index, const uint16_t *offset,
                    unsigned channel) {
  unsigned place = 0, pitch = 1;
  for (unsigned k = 0; k < w->spatial; k++) {
    unsigned out = (w->size[k] + 2 * w->padding - w->filter) / w->stride + 1;
    int at = (int)(index % out * w->stride) - (int)w->padding + offset[k];
    index /= out;
    if (at < 0 || at >= (int)w->size[k])
      return 0;
    place += (unsigned)at * pitch;
    pitch *= w->size[k];
  }
  return index < IMAGES ? in[(place + index * pitch) * CHANNELS + channel] : 0;
}

static void check(const struct window *w) {
  char text[4000];
  CUtensorMap map;
  CUmodule module;
  CUfunction f;
  unsigned pixels = IMAGES, outputs = IMAGES;
  for (unsigned k = 0; k < w->spatial; k++) {
    pixels *= w->size[k];
    outputs *= (w->size[k] + 2 * w->padding - w->filter) / w->stride + 1;
  }
  float *in = managed(4 * pixels * CHANNELS), *out = managed(4 * TAKEN * PIXELS);
  for (unsigned k = 0; k < pixels * CHANNELS; k++)
    in[k] = (float)(k + 1);
  make_text(text, sizeof text, w->spatial + 2, "im2col");
  assert_int_equal(encode(&map, w, in), 0);
  assert_int_equal(cuModuleLoadData(&module, text), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, "k"), 0);
  for (unsigned first = 0; first < outputs; first += 23) { /* a box may begin anywhere in a row */
    int at[5] = {4};                                       /* from the fifth channel */
    uint16_t offset[3];
    unsigned rest = first;
    for (unsigned k = 0; k < w->spatial; k++) {
      unsigned n = (w->size[k] + 2 * w->padding - w->filter) / w->stride + 1;
      at[k + 1] = (int)(rest % n * w->stride) - (int)w->padding;
      rest /= n;
      offset[k] = (uint16_t)((first + k) % w->filter);
    }
    at[w->spatial + 1] = (int)rest;
    assert_int_equal(
        cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, (void *[]){&map, &out, at, offset}, NULL), 0);
    for (unsigned p = 0; p < PIXELS; p++)
      for (unsigned c = 0; c < TAKEN; c++)
        assert_true(out[p * TAKEN + c] == wanted(w, in, first + p, offset, 4 + c));
  }
  assert_int_equal(cuModuleUnload(module), 0);
  assert_int_equal(cuMemFree_v2((CUdeviceptr)(uintptr_t)in), 0);
  assert_int_equal(cuMemFree_v2((CUdeviceptr)(uintptr_t)out), 0);
}

static void windows(void **state) {
  (void)state;
  static const struct window all[] = {
      {1, {50}, 5, 2, 1},   {1, {50}, 3, 0, 2},      {2, {9, 7}, 3, 1, 1},    {2, {9, 7}, 3, 1, 2},
      {2, {8, 8}, 1, 0, 1}, {3, {5, 6, 4}, 3, 1, 1}, {3, {5, 6, 7}, 3, 0, 2},
  };
  for (unsigned k = 0; k < sizeof all / sizeof *all; k++)
    check(&all[k]);
}

static void rules(void **state) {
  (void)state;
  static const struct window plain = {2, {9, 7}, 3, 1, 1}, empty = {2, {9, 2}, 3, 0, 1},
                             far = {3, {5, 6, 4}, 3, 17, 1}, flat = {0, {0}, 1, 0, 1};
  CUtensorMap map;
  CUmodule module;
  CUfunction f;
  char text[4000];
  float *in = managed(4 * 9 * 7 * IMAGES * CHANNELS), *out = managed(4 * TAKEN * PIXELS);
  assert_int_equal(encode(&map, &empty, in), 1); /* the window fits nowhere */
  assert_int_equal(encode(&map, &far, in), 1);
  assert_int_equal(encode(&map, &flat, in), 1);
  assert_int_equal(encode(&map, &plain, (char *)in + 8), 1);
  assert_int_equal(encode(&map, &plain, in), 0);
  make_text(text, sizeof text, 4, "tile"); /* an instruction for the other mode */
  int at[5] = {0};
  uint16_t offset[3] = {0};
  assert_int_equal(cuModuleLoadData(&module, text), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, "k"), 0);
  assert_int_equal(
      cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, (void *[]){&map, &out, at, offset}, NULL), 715);
  cuDevicePrimaryCtxReset_v2(0);
  assert_int_equal(cuModuleUnload(module), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(windows), cmocka_unit_test(rules)};
  return cmocka_run_group_tests(tests, open_all, NULL);
}
