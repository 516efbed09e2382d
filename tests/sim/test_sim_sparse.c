/* SPDX-License-Identifier: Apache-2.0 */
/* Products with a sparse A, of which every other element or two of four are kept: mma.sp in every
 * shape and type and wgmma.sp, against the host's, which lays out values and metadata by itself. */
#include "tests/sim/sim_api.h"

enum { ROWS = 64, MOST_K = 128, B_AT = 4096, IMAGE = 8192 };

static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() ? 0 : -1;
}
static void *managed(size_t n) {
  CUdeviceptr p;
  assert_int_equal(cuMemAllocManaged(&p, n, 1), 0);
  memset((void *)(uintptr_t)p, 0, n);
  return (void *)(uintptr_t)p;
}
static uint32_t seed = 11;
static uint32_t draw(uint32_t below) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 9) % below;
}

struct form {
  const char *type, *sum;
  unsigned bits, k;
  unsigned selectors; /* groups of lanes that may hold the metadata */
};

/* Bits of a small whole number, exact in every type. */
static uint32_t bits_of(const char *type, int v) {
  float f = (float)v;
  uint32_t u;
  memcpy(&u, &f, 4);
  uint32_t sign = u >> 31, e = u >> 23 & 255, m = u & 0x7fffff;
  if (!strcmp(type, "tf32"))
    return u;
  if (!strcmp(type, "bf16"))
    return u >> 16;
  if (!strcmp(type, "f16"))
    return v ? sign << 15 | (e - 112) << 10 | m >> 13 : 0;
  if (!strcmp(type, "e4m3"))
    return v ? sign << 7 | (e - 120) << 3 | m >> 20 : 0;
  return (uint32_t)v & (type[1] == '4' ? 15 : 255);
}

static int a[ROWS][MOST_K], b[8][MOST_K];      /* A with its zeros */
static uint32_t stored[ROWS][MOST_K / 2];      /* the kept elements */
static uint32_t places[ROWS][MOST_K / 2];      /* what the metadata says of each kept unit */
static uint32_t other[8][MOST_K], meta[4][32]; /* of four warps */

/* Draws A, B and what is kept. `unit` elements go together: two of 4 bits, else one. */
static void draw_all(const struct form *f) {
  unsigned unit = f->bits == 4 ? 2 : 1, of = f->bits == 32 ? 2 : 4 * unit, kept = of / 2 / unit;
  memset(a, 0, sizeof a);
  for (unsigned r = 0; r < ROWS; r++)
    for (unsigned c = 0; c < f->k / of; c++) {
      unsigned first = f->bits == 32 ? draw(2) : draw(3), second = first + 1 + draw(3 - first);
      for (unsigned u = 0; u < kept; u++) {
        unsigned place = u ? second : first;
        places[r][c * kept + u] = f->bits == 32 ? (place ? 14 : 4) : place;
        for (unsigned e = 0; e < unit; e++) {
          int v = (int)draw(7) - 3;
          a[r][c * of + place * unit + e] = v;
          stored[r][(c * kept + u) * unit + e] = bits_of(f->type, v);
        }
      }
    }
  for (unsigned n = 0; n < 8; n++)
    for (unsigned x = 0; x < f->k; x++)
      other[n][x] = bits_of(f->type, b[n][x] = (int)draw(7) - 3);
}

/* Metadata of a row is one string of bits. Of 16 and 32 bits, a lane holds 16 of row r and, above,
 * 16 of row r + 8, its neighbours those that follow; of fewer, lanes 0 and 1 of a group hold 32 of
 * row r and of row r + 8, lanes 2 and 3 those that follow. */
static void lay_metadata(const struct form *f, unsigned selector) {
  unsigned width = f->bits == 32 ? 4 : 2, units = f->bits == 4 ? f->k / 4 : f->k / 2;
  bool whole = f->bits <= 8;
  for (unsigned w = 0; w < 4; w++)
    for (unsigned l = 0; l < 32; l++)
      meta[w][l] = 0xbad0bad0; /* what nobody asks for */
  for (unsigned r = 0; r < ROWS; r++) {
    unsigned pieces = units * width / (whole ? 32 : 16), step = whole ? 2 : 1;
    for (unsigned u = 0; u < units; u++) {
      unsigned at = u * width, piece = at / (whole ? 32 : 16);
      unsigned lane = r % 8 * 4 + (piece + selector * pieces) * step + (whole ? r / 8 % 2 : 0);
      unsigned shift = whole ? at % 32 : at % 16 + r / 8 % 2 * 16;
      uint32_t *word = &meta[r / 16][lane];
      *word = (*word & ~(((1u << width) - 1) << shift)) | places[r][u] << shift;
    }
  }
}

static int wanted(const struct form *f, unsigned row, unsigned column) {
  int sum = 0;
  for (unsigned x = 0; x < f->k; x++)
    sum += a[row][x] * b[column][x];
  return sum;
}

/* Registers of a fragment of `rows` rows: lane by lane, as the manual draws them. */
static void fragment(const struct form *f, uint32_t *out, unsigned rows, unsigned k,
                     const uint32_t *from, unsigned pitch) {
  unsigned per = 32 / f->bits, halves = rows / 8, count = rows * k / per / 32;
  memset(out, 0, 4 * 32 * 4);
  for (unsigned l = 0; l < 32; l++)
    for (unsigned r = 0; r < count; r++)
      for (unsigned j = 0; j < per; j++) {
        unsigned row = l / 4 + 8 * (r % halves), x = r / halves * 4 * per + l % 4 * per + j;
        out[4 * l + r] |= from[row * pitch + x] << j * f->bits;
      }
}

static void number(char *at, const char *name, unsigned n) { /* {%a0, %a1, ..} */
  at += sprintf(at, "{");
  for (unsigned k = 0; k < n; k++)
    at += sprintf(at, "%s%%%s%u", k ? ", " : "", name, k);
  sprintf(at, "}");
}

#define LOADS                                                                                      \
  ".version 8.5\n.target sm_90a\n.address_size 64\n"                                               \
  ".visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pm, .param .u64 pc) {\n"          \
  ".reg .b32 %%t, %%a<4>, %%b<4>, %%c<4>, %%m, %%r<4>; .reg .b64 %%p<6>; .reg .pred %%q;\n"        \
  "mov.u32 %%t, %%tid.x; mul.wide.u32 %%p4, %%t, 16; mul.wide.u32 %%p5, %%t, 4;\n"                 \
  "ld.param.u64 %%p0, [pa]; ld.param.u64 %%p1, [pb]; ld.param.u64 %%p2, [pm];\n"                   \
  "ld.param.u64 %%p3, [pc]; add.s64 %%p2, %%p2, %%p5; add.s64 %%p3, %%p3, %%p4;\n"                 \
  "ld.global.u32 %%m, [%%p2];\n"

static CUresult launch(const char *text, unsigned threads, void **arguments) {
  CUmodule module;
  CUfunction f;
  if (cuModuleLoadData(&module, text))
    fprintf(stderr, "%s\n", text);
  assert_int_equal(cuModuleGetFunction(&f, module, "k"), 0);
  CUresult r = cuLaunchKernel(f, 1, 1, 1, threads, 1, 1, 0, NULL, arguments, NULL);
  if (r)
    cuDevicePrimaryCtxReset_v2(0);
  assert_int_equal(cuModuleUnload(module), 0);
  return r;
}

static uint32_t *pa, *pb, *pm;
static int *pc;
static void compare(const struct form *f, unsigned rows) {
  for (unsigned t = 0; t < 2 * rows; t++)
    for (unsigned e = 0; e < 4; e++) {
      unsigned row = t / 32 * 16 + t % 32 / 4 + 8 * (e / 2), column = t % 4 * 2 + e % 2;
      float single;
      memcpy(&single, &pc[4 * t + e], 4);
      int got = f->sum[0] == 's' ? pc[4 * t + e] : (int)single;
      if (got != wanted(f, row, column))
        fprintf(stderr, "%s k %u: row %u column %u: %d for %d\n", f->type, f->k, row, column, got,
                wanted(f, row, column));
      assert_int_equal(got, wanted(f, row, column));
    }
}

static CUresult by_warp(const struct form *f, unsigned selector) {
  char text[4000], ra[100], rb[100];
  unsigned na = 16 * f->k / 2 * f->bits / 1024, nb = 8 * f->k * f->bits / 1024;
  bool integer = f->sum[0] == 's';
  number(ra, "a", na), number(rb, "b", nb);
  snprintf(text, sizeof text,
           LOADS "add.s64 %%p0, %%p0, %%p4; add.s64 %%p1, %%p1, %%p4;\n"
                 "ld.global.v4.b32 {%%a0, %%a1, %%a2, %%a3}, [%%p0];\n"
                 "ld.global.v4.b32 {%%b0, %%b1, %%b2, %%b3}, [%%p1];\n"
                 "mov.b32 %%c0, 0; mov.b32 %%c1, 0; mov.b32 %%c2, 0; mov.b32 %%c3, 0;\n"
                 "mma.sp.sync.aligned.m16n8k%u.row.col%s.%s.%s.%s.%s {%%c0, %%c1, %%c2, %%c3}, %s, "
                 "%s, {%%c0, %%c1, %%c2, %%c3}, %%m, %u;\n"
                 "st.global.v4.b32 [%%p3], {%%c0, %%c1, %%c2, %%c3}; ret; }\n",
           f->k, integer ? ".satfinite" : "", f->sum, f->type, f->type, f->sum, ra, rb, selector);
  memcpy(pm, meta[0], 128);
  fragment(f, pa, 16, f->k / 2, &stored[0][0], MOST_K / 2);
  fragment(f, pb, 8, f->k, &other[0][0], MOST_K);
  return launch(text, 32, (void *[]){&pa, &pb, &pm, &pc});
}

static void warps(void **state) {
  (void)state;
  static const struct form all[] = {
      {"f16", "f32", 16, 16, 4},  {"f16", "f32", 16, 32, 2}, {"bf16", "f32", 16, 16, 4},
      {"bf16", "f32", 16, 32, 2}, {"tf32", "f32", 32, 8, 4}, {"tf32", "f32", 32, 16, 2},
      {"s8", "s32", 8, 32, 2},    {"s8", "s32", 8, 64, 1},   {"e4m3", "f32", 8, 64, 1},
      {"s4", "s32", 4, 64, 2},    {"s4", "s32", 4, 128, 1},
  };
  for (unsigned t = 0; t < sizeof all / sizeof *all; t++)
    for (unsigned selector = 0; selector < all[t].selectors; selector++) {
      draw_all(&all[t]);
      lay_metadata(&all[t], selector);
      assert_int_equal(by_warp(&all[t], selector), 0);
      compare(&all[t], 16);
    }
  /* metadata that keeps one place twice */
  meta[0][0] = 0;
  assert_int_equal(by_warp(&all[10], 0), 719);
}

/* Without swizzle: blocks of eight rows of 16 bytes follow each other, columns of them after that.
 */
static void lay_out(uint8_t *to, const struct form *f, unsigned rows, unsigned k,
                    const uint32_t *from, unsigned pitch) {
  unsigned bytes = f->bits / 8;
  for (unsigned r = 0; r < rows; r++)
    for (unsigned x = 0; x < k; x++)
      memcpy(to + r / 8 * 128 + x * bytes / 16 * rows * 16 + r % 8 * 16 + x * bytes % 16,
             &from[r * pitch + x], bytes);
}
static uint64_t descriptor(unsigned at, unsigned rows) {
  return at >> 4 | (uint64_t)rows << 16 | (uint64_t)(128 >> 4) << 32;
}

static void by_warpgroup(const struct form *f, unsigned selector, bool in_registers) {
  char text[6000];
  bool integer = f->sum[0] == 's';
  snprintf(
      text, sizeof text,
      LOADS
      ".shared .align 1024 .b8 tile[%d];\n"
      "mov.u32 %%r0, tile; shl.b32 %%r1, %%t, 2;\n"
      "L: cvt.u64.u32 %%p5, %%r1; add.s64 %%p5, %%p1, %%p5; ld.global.u32 %%r2, [%%p5];\n"
      "add.u32 %%r3, %%r0, %%r1; st.shared.u32 [%%r3], %%r2; add.u32 %%r1, %%r1, 512;\n"
      "setp.lt.u32 %%q, %%r1, %d; @%%q bra L;\n"
      "add.s64 %%p0, %%p0, %%p4; ld.global.v4.b32 {%%a0, %%a1, %%a2, %%a3}, [%%p0];\n"
      "mov.b64 %%p4, 0x%llx; mov.b64 %%p5, 0x%llx;\n"
      "fence.proxy.async; bar.sync 0; wgmma.fence.sync.aligned;\n"
      "wgmma.mma_async.sp.sync.aligned.m64n8k%u%s.%s.%s.%s {%%c0, %%c1, %%c2, %%c3}, %s, %%p5, "
      "%%m, %u, 0%s;\n"
      "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\n"
      "st.global.v4.b32 [%%p3], {%%c0, %%c1, %%c2, %%c3}; ret; }\n",
      IMAGE, IMAGE, (unsigned long long)descriptor(0, 64), (unsigned long long)descriptor(B_AT, 8),
      f->k, integer ? ".satfinite" : "", f->sum, f->type, f->type,
      in_registers ? "{%a0, %a1, %a2, %a3}" : "%p4", selector,
      integer         ? ""
      : f->bits != 16 ? ", 1, 1"
      : in_registers  ? ", 1, 1, 0"
                      : ", 1, 1, 0, 0");
  memcpy(pm, meta, sizeof meta);
  for (unsigned w = 0; w < 4; w++)
    fragment(f, pa + 128 * w, 16, f->k / 2, &stored[16 * w][0], MOST_K / 2);
  memset(pb, 0, IMAGE);
  lay_out((uint8_t *)pb, f, 64, f->k / 2, &stored[0][0], MOST_K / 2);
  lay_out((uint8_t *)pb + B_AT, f, 8, f->k, &other[0][0], MOST_K);
  assert_int_equal(launch(text, 128, (void *[]){&pa, &pb, &pm, &pc}), 0);
  compare(f, 64);
}

static void warpgroups(void **state) {
  (void)state;
  static const struct form all[] = {
      {"f16", "f32", 16, 32, 2}, {"bf16", "f32", 16, 32, 2}, {"tf32", "f32", 32, 16, 2},
      {"e4m3", "f32", 8, 64, 1}, {"s8", "s32", 8, 64, 1},
  };
  for (unsigned t = 0; t < sizeof all / sizeof *all; t++)
    for (unsigned selector = 0; selector < all[t].selectors; selector++)
      for (int in_registers = 0; in_registers < 2; in_registers++) {
        draw_all(&all[t]);
        lay_metadata(&all[t], selector);
        by_warpgroup(&all[t], selector, in_registers);
      }
}

static int allocate(void **state) {
  if (open_all(state))
    return -1;
  pa = managed(4 * 128 * 4), pb = managed(IMAGE), pm = managed(4 * 128), pc = managed(16 * 128);
  return 0;
}
int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(warps), cmocka_unit_test(warpgroups)};
  return cmocka_run_group_tests(tests, allocate, NULL);
}
