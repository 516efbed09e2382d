/* SPDX-License-Identifier: Apache-2.0 */
/* wgmma in every operand type and layout: the host lays matrices out in shared memory as
 * descriptors say, a kernel copies that image and multiplies once, m64n8. */
#include "tests/sim/sim_api.h"

#include <math.h>

enum { IMAGE = 16384, B_AT = 12288 };

static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() ? 0 : -1;
}

static uint32_t seed = 5;
static uint32_t draw(void) { return seed = seed * 1664525u + 1013904223u, seed >> 9; }

struct type {
  const char *name; /* of A, then B */
  const char *other;
  const char *accumulator;
  unsigned bytes;
};

/* Small values that are exact in every type, and their bits. */
static double pick(const char *type, uint32_t *bits) {
  int v = (int)(draw() % 9) - 4;
  float f = (float)v;
  uint32_t u;
  if (!strcmp(type, "u8"))
    v = v < 0 ? -v : v;
  if (type[0] == 's' || type[0] == 'u') {
    *bits = (uint8_t)v;
    return v;
  }
  memcpy(&u, &f, 4);
  uint32_t sign = u >> 31, e = u >> 23 & 255, m = u & 0x7fffff;
  if (!strcmp(type, "tf32"))
    *bits = u;
  else if (!strcmp(type, "bf16"))
    *bits = u >> 16;
  else if (!strcmp(type, "f16"))
    *bits = v ? sign << 15 | (e - 112) << 10 | m >> 13 : 0;
  else if (!strcmp(type, "e4m3"))
    *bits = v ? sign << 7 | (e - 120) << 3 | m >> 20 : 0;
  else
    *bits = v ? sign << 7 | (e - 112) << 2 | m >> 21 : 0;
  return v;
}

/* Where an element lies from the start of its matrix: outer is its row (M or N), at its byte in K;
 * or transposed, outer its K and at its byte in M or N. */
static uint32_t place(uint32_t outer, uint32_t at, int swizzle, bool transposed, uint32_t leading,
                      uint32_t stride) {
  uint32_t atom = 16u << swizzle, a = outer % 8 * atom + at % atom;
  if (transposed && !swizzle)
    a += outer / 8 * leading + at / atom * stride;
  else
    a += outer / 8 * stride + at / atom * leading;
  return a ^ (a >> 3 & (((1u << swizzle) - 1) << 4));
}

static uint64_t descriptor(uint32_t at, int swizzle, uint32_t leading, uint32_t stride) {
  static const uint64_t modes[] = {0, 3, 2, 1};
  return at >> 4 | (uint64_t)(leading >> 4) << 16 | (uint64_t)(stride >> 4) << 32 |
         modes[swizzle] << 62;
}

static void multiply(const struct type *t, int swizzle, bool ta, bool tb) {
  unsigned k = 32 / t->bytes, integer = t->accumulator[0] == 's',
           half = !strcmp(t->accumulator, "f16");
  CUdeviceptr image, out;
  double a[64][32], b[8][32];
  assert_int_equal(cuMemAllocManaged(&image, IMAGE, 1), 0);
  assert_int_equal(cuMemAllocManaged(&out, 4 * 512, 1), 0);
  uint8_t *bytes = (uint8_t *)(uintptr_t)image;
  memset(bytes, 0, IMAGE);
  /* blocks of eight rows lie one after the other, columns of 16 bytes beyond all of them */
  uint32_t atom = 16u << swizzle, sa = 8 * atom, la = ta ? sa * k / 8 : sa * 8;
  uint32_t sb = 8 * atom, lb = tb ? sb * k / 8 : sb;
  if (!swizzle && ta)
    la = 128, sa = 128 * k / 8;
  if (!swizzle && tb)
    lb = 128, sb = 128 * k / 8;
  for (uint32_t m = 0; m < 64; m++)
    for (uint32_t x = 0; x < k; x++) {
      uint32_t bits;
      a[m][x] = pick(t->name, &bits);
      memcpy(bytes + (ta ? place(x, m * t->bytes, swizzle, true, la, sa)
                         : place(m, x * t->bytes, swizzle, false, la, sa)),
             &bits, t->bytes);
    }
  for (uint32_t n = 0; n < 8; n++)
    for (uint32_t x = 0; x < k; x++) {
      uint32_t bits;
      b[n][x] = pick(t->other, &bits);
      memcpy(bytes + B_AT +
                 (tb ? place(x, n * t->bytes, swizzle, true, lb, sb)
                     : place(n, x * t->bytes, swizzle, false, lb, sb)),
             &bits, t->bytes);
    }
  char text[4000], scales[40];
  snprintf(scales, sizeof scales, "%s",
           integer         ? ""
           : t->bytes == 2 ? ta   ? tb ? ", 1, 1, 1, 1" : ", 1, 1, 1, 0"
                             : tb ? ", 1, 1, 0, 1"
                                  : ", 1, 1, 0, 0"
                           : ", 1, 1");
  snprintf(
      text, sizeof text,
      ".version 8.4\n.target sm_90a\n.address_size 64\n"
      ".visible .entry k(.param .u64 image, .param .u64 out, .param .u64 da, .param .u64 db) {\n"
      ".reg .pred %%p; .reg .b32 %%r<20>; .reg .b64 %%d<9>; .reg .b32 %%c<5>;\n"
      ".shared .align 1024 .b8 tile[%d];\n"
      "ld.param.u64 %%d0, [image]; ld.param.u64 %%d1, [out]; ld.param.u64 %%d2, [da];\n"
      "ld.param.u64 %%d3, [db]; mov.u32 %%r0, %%tid.x; shl.b32 %%r1, %%r0, 2; mov.u32 %%r2, tile;\n"
      "mov.u32 %%r5, %%r1;\n"
      "L: cvt.u64.u32 %%d4, %%r5; add.s64 %%d5, %%d0, %%d4; ld.global.u32 %%r3, [%%d5];\n"
      "add.u32 %%r4, %%r2, %%r5; st.shared.u32 [%%r4], %%r3; add.u32 %%r5, %%r5, 512;\n"
      "setp.lt.u32 %%p, %%r5, %d; @%%p bra L;\n"
      "fence.proxy.async; bar.sync 0; wgmma.fence.sync.aligned;\n"
      "wgmma.mma_async.sync.aligned.m64n8k%u.%s.%s.%s {%s}, %%d2, %%d3, 0%s;\n"
      "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\n"
      "shl.b32 %%r6, %%r0, 4; cvt.u64.u32 %%d4, %%r6; add.s64 %%d5, %%d1, %%d4;\n"
      "st.global.u32 [%%d5], %%c0; st.global.u32 [%%d5+4], %%c1;\n%s\nret;\n}\n",
      IMAGE, IMAGE, k, t->accumulator, t->name, t->other, half ? "%c0, %c1" : "%c0, %c1, %c2, %c3",
      scales, half ? "" : "st.global.u32 [%d5+8], %c2; st.global.u32 [%d5+12], %c3;");
  CUmodule module;
  CUfunction f;
  uint64_t da = descriptor(0, swizzle, la, sa), db = descriptor(B_AT, swizzle, lb, sb);
  assert_int_equal(cuModuleLoadData(&module, text), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, "k"), 0);
  /* tile is the first shared variable: it begins at 0 */
  assert_int_equal(
      cuLaunchKernel(f, 1, 1, 1, 128, 1, 1, 0, NULL, (void *[]){&image, &out, &da, &db}, NULL), 0);
  for (uint32_t thread = 0; thread < 128; thread++)
    for (uint32_t e = 0; e < 4; e++) {
      uint32_t lane = thread % 32, row = thread / 32 * 16 + lane / 4 + 8 * (e / 2),
               n = lane % 4 * 2 + e % 2;
      const uint32_t *words = (const uint32_t *)(uintptr_t)out + 4 * thread;
      double want = 0, got;
      float single;
      for (uint32_t x = 0; x < k; x++)
        want += a[row][x] * b[n][x];
      memcpy(&single, &words[e], 4);
      if (half) {
        uint32_t h = words[e / 2] >> 16 * (e % 2) & 0xffff, ex = h >> 10 & 31, m = h & 1023;
        got = (h & 0x8000 ? -1 : 1) * (ex ? ldexp(1024 + m, (int)ex - 25) : ldexp(m, -24));
      } else {
        got = integer ? (double)(int32_t)words[e] : (double)single;
      }
      if (got != want)
        fprintf(stderr, "%s %s swizzle %d, %d %d: row %u column %u\n", t->name, t->other, swizzle,
                ta, tb, row, n);
      assert_true(got == want);
    }
  assert_int_equal(cuModuleUnload(module), 0);
  assert_int_equal(cuMemFree_v2(image), 0);
  assert_int_equal(cuMemFree_v2(out), 0);
}

static void types_and_layouts(void **state) {
  (void)state;
  static const struct type all[] = {
      {"bf16", "bf16", "f32", 2}, {"f16", "f16", "f32", 2},   {"f16", "f16", "f16", 2},
      {"tf32", "tf32", "f32", 4}, {"e4m3", "e4m3", "f32", 1}, {"e5m2", "e4m3", "f32", 1},
      {"e4m3", "e5m2", "f16", 1}, {"s8", "s8", "s32", 1},     {"u8", "s8", "s32", 1}};
  for (unsigned t = 0; t < sizeof all / sizeof *all; t++)
    for (int swizzle = 0; swizzle < 4; swizzle++)
      multiply(&all[t], swizzle, false, false);
  for (unsigned t = 0; t < 3; t++)
    for (int swizzle = 0; swizzle < 4; swizzle++) {
      multiply(&all[t], swizzle, true, false);
      if (swizzle == 0) /* eight columns are 16 bytes: less than the patterns span */
        multiply(&all[t], swizzle, false, true);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(types_and_layouts)};
  return cmocka_run_group_tests(tests, open_all, NULL);
}
