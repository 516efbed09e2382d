/* SPDX-License-Identifier: Apache-2.0 */
/* One instruction at a time: operands in, bits out. Expected values are worked out by hand from the
 * PTX manual. */
#include "tests/sim/sim_api.h"

static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() ? 0 : -1;
}

/* a, b, c in %a %b %c (32 bits), %A %B %C (64), %fa.. (f32), %ha.. (16); the result in %d or %D. */
#define KERNEL                                                                                     \
  ".version 8.4\n.target sm_90a\n.address_size 64\n"                                               \
  ".visible .entry k(.param .u64 out, .param .u64 x, .param .u64 y, .param .u64 z) {\n"            \
  ".reg .pred %p, %q; .reg .b16 %ha, %hb, %hc, %hd; .reg .b32 %a, %b, %c, %d, %e;\n"               \
  ".reg .b64 %A, %B, %C, %D, %o; .reg .b128 %W;\n"                                                 \
  "ld.param.u64 %o, [out]; ld.param.u64 %A, [x]; ld.param.u64 %B, [y]; ld.param.u64 %C, [z];\n"    \
  "cvt.u32.u64 %a, %A; cvt.u32.u64 %b, %B; cvt.u32.u64 %c, %C; cvt.u16.u64 %ha, %A;\n"             \
  "cvt.u16.u64 %hb, %B; cvt.u16.u64 %hc, %C; mov.u32 %d, 0; mov.u64 %D, 0; mov.u16 %hd, 0; "       \
  "mov.u32 %e, 0;\n"                                                                               \
  "%s\nst.global.u64 [%o], %D; ret;\n}\n"

static uint64_t run(const char *body, uint64_t a, uint64_t b, uint64_t c) {
  char text[8000], head[4000];
  const char *at = strstr(KERNEL, "%s\n");
  snprintf(head, sizeof head, "%.*s", (int)(at - KERNEL), KERNEL);
  snprintf(text, sizeof text, "%s%s%s", head, body, at + 2);
  CUmodule module;
  CUfunction f;
  CUdeviceptr out;
  if (cuModuleLoadData(&module, text)) {
    fprintf(stderr, "%s\n", body);
    fail();
  }
  assert_int_equal(cuModuleGetFunction(&f, module, "k"), 0);
  assert_int_equal(cuMemAllocManaged(&out, 8, 1), 0);
  CUresult r = cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, (void *[]){&out, &a, &b, &c}, NULL);
  if (r)
    fprintf(stderr, "%s\n", body);
  assert_int_equal(r, 0);
  uint64_t v = *(uint64_t *)(uintptr_t)out;
  assert_int_equal(cuMemFree_v2(out), 0);
  assert_int_equal(cuModuleUnload(module), 0);
  return v;
}

struct one {
  const char *body;
  uint64_t a, b, c, want;
};
#define D32(text) text " cvt.u64.u32 %D, %d;"
#define D16(text) text " cvt.u64.u16 %D, %hd;"
#define PRED(text) text " selp.u64 %D, 1, 0, %p;"

static void check(const struct one *all, size_t n) {
  for (size_t k = 0; k < n; k++) {
    uint64_t got = run(all[k].body, all[k].a, all[k].b, all[k].c);
    if (got != all[k].want)
      fprintf(stderr, "%s: 0x%llx, wanted 0x%llx\n", all[k].body, (unsigned long long)got,
              (unsigned long long)all[k].want);
    assert_int_equal(got, all[k].want);
  }
}

static void integers(void **state) {
  (void)state;
  static const struct one all[] = {
      {D32("bmsk.clamp.b32 %d, %a, %b;"), 4, 8, 0, 0xff0},
      {D32("bmsk.wrap.b32 %d, %a, %b;"), 36, 8, 0, 0xff0},
      {D32("szext.wrap.s32 %d, %a, %b;"), 0x8f, 8, 0, 0xffffff8f},
      {D32("szext.clamp.u32 %d, %a, %b;"), 0xfff8f, 8, 0, 0x8f},
      {D32("fns.b32 %d, %a, %b, %c;"), 0xb4, 2, 3, 5},
      {D32("sad.s32 %d, %a, %b, %c;"), (uint64_t)-5, 7, 100, 112},
      {"sad.u64 %D, %A, %B, %C;", 5, 1ull << 40, 1, (1ull << 40) - 4},
      {D32("mul24.lo.s32 %d, %a, %b;"), 0x1fffffe, 3, 0, (uint32_t)-6},
      {D32("mul24.hi.u32 %d, %a, %b;"), 0xffffff, 0xffffff, 0, 0xfffffe00},
      {D32("mad24.lo.u32 %d, %a, %b, %c;"), 5, 6, 7, 37},
      {"add.cc.u64 %D, %A, %B; addc.u64 %D, %C, 0;", UINT64_MAX, 1, 5, 6},
      {"sub.cc.u64 %D, %A, %B; subc.u64 %D, %C, 0;", 1, 2, 5, 4},
      {"sub.cc.u64 %D, %A, %B; subc.u64 %D, %C, 0;", 2, 2, 5, 5},
      {D32("sub.cc.u32 %d, %a, %b; addc.u32 %d, %c, 0;"), 1, 2, 5, 5}, /* a carry is no borrow */
      {D32("sub.cc.u32 %d, %a, %b; addc.u32 %d, %c, 0;"), 2, 1, 5, 6},
      {D32("clz.b64 %d, %A;"), 1, 0, 0, 63}, /* the result has 32 bits */
      {D32("popc.b64 %d, %A;"), UINT64_MAX, 0, 0, 64},
      {D32("bfind.u64 %d, %A;"), 1ull << 40, 0, 0, 40},
      {D32("mad.lo.cc.u32 %d, %a, %b, %c; madc.hi.u32 %d, %a, %b, 0;"), 0xffffffff, 2, 3, 2},
      {D32("dp4a.s32.u32 %d, %a, %b, %c;"), 0xff02ff01, 0x04030201, 10, 10 + 1 - 2 + 6 - 4},
      {D32("dp2a.lo.s32.s32 %d, %a, %b, %c;"), 0xfffe0003, 0x00000502, 1, (uint32_t)(1 + 6 - 10)},
      {D32("dp2a.hi.u32.u32 %d, %a, %b, %c;"), 0x00020003, 0x05020000, 1, 1 + 6 + 10},
      {D32("slct.u32.s32 %d, %a, %b, %c;"), 1, 2, (uint32_t)-1, 2},
      {D32("set.lt.u32.s32 %d, %a, %b;"), (uint32_t)-1, 2, 0, 0xffffffff},
      {D32("set.gt.f32.u32 %d, %a, %b;"), 3, 2, 0, 0x3f800000},
      {D32("add.s16x2 %d, %a, %b;"), 0x7fff0001, 0x00010002, 0, 0x80000003},
      {D32("min.s16x2 %d, %a, %b;"), 0xffff0005, 0x00010003, 0, 0xffff0003},
      {D32("max.u16x2 %d, %a, %b;"), 0xffff0005, 0x00010003, 0, 0xffff0005},
      {D32("max.s16x2.relu %d, %a, %b;"), 0xffff0005, 0xfffe0003, 0, 0x5},
      {D32("vadd4.s32.s32.s32.sat %d, %a, %b, %c;"), 0x7f010280, 0x01010180, 0, 0x7f020380},
      {D32("vabsdiff4.u32.u32.u32.add %d, %a, %b, %c;"), 0x05100001, 0x01200002, 100,
       100 + 4 + 16 + 1},
      {D32("vavrg2.u32.u32.u32 %d, %a, %b, %c;"), 0x00030001, 0x00050002, 0, 0x00040002},
      {D32("vmin.s32.s32.s32 %d, %a, %b;"), (uint32_t)-4, 3, 0, (uint32_t)-4},
      {D32("vset.s32.s32.lt %d, %a, %b;"), (uint32_t)-4, 3, 0, 1},
      {D32("vset.u32.u32.lt.add %d, %a, %b, %c;"), (uint32_t)-4, 3, 7, 7},
      {D32("vset2.u32.u32.ge %d, %a, %b, %c;"), 0x00050003, 0x00040003, 0, 0x00010001},
      {D32("vset4.s32.s32.gt %d, %a, %b, %c;"), 0x01ff7f80, 0x00010080, 0, 0x01000100},
      {D32("vset4.u32.u32.ne.add %d, %a, %b, %c;"), 0x01020304, 0x01000300, 10, 12},
      {D32("vshl.u32.u32.u32.clamp %d, %a, %b;"), 0xf0000001, 40, 0, 0},
      {D32("vshl.u32.u32.u32.wrap %d, %a, %b;"), 0xf0000001, 36, 0, 0x10},
      {D32("vshl.u32.u32.u32.sat.clamp %d, %a, %b;"), 0xf0000001, 4, 0, 0xffffffff},
      {D32("vshr.s32.s32.u32.clamp.add %d, %a, %b, %c;"), (uint32_t)-64, 3, 100, 92},
      {D32("vmad.s32.s32.s32 %d, %a, %b, %c;"), (uint32_t)-5, 7, 100, 65},
      {D32("vmad.u32.u32.u32.shr15 %d, %a, %b, %c;"), 0x80000000, 0x10000, 1 << 15, 1},
      {D32("vmad.u32.u32.u32.sat.shr7 %d, %a, %b, %c;"), 0x80000000, 0x10000, 0, 0xffffffff},
      {D32("vmad.u32.u32.u32.po %d, %a, %b, %c;"), 3, 4, 5, 18},
      {D32("shf.l.wrap.b32 %d, %a, %b, %c;"), 0xf0000000, 0x1, 4, 0x1f},
      {D32("lop3.b32 %d, %a, %b, %c, 0x96;"), 0xf0, 0xcc, 0xaa, 0xf0 ^ 0xcc ^ 0xaa},
      {D32("setp.eq.u32 %q, %a, 0; lop3.or.b32 %d|%p, %a, %b, %c, 0x80, %q; selp.u32 %e, 5, 6, %p; "
           "add.u32 %d, %d, %e;"),
       0xf0, 0xcc, 0xaa, 0x80 + 5},
      {D32("setp.eq.u32 %q, %a, 0; lop3.and.b32 _|%p, %a, %b, %c, 0x80, %q; selp.u32 %d, 5, 6, "
           "%p;"),
       0xf0, 0xcc, 0xaa, 6},
      {D16("mad.hi.u16 %hd, %ha, %hb, %hc;"), 0x8000, 6, 7, 10},
      {D16("mad.hi.s16 %hd, %ha, %hb, %hc;"), 0x8000, 6, 7, 4},
      {D32("match.any.sync.b64 %d, %A, 1;"), 1ull << 40, 0, 0, 1},
      {D32("match.all.sync.b64 %d|%p, %A, 1; selp.u32 %d, %d, 9, %p;"), 1ull << 40, 0, 0, 1},
      {PRED("mov.pred %p, %is_explicit_cluster;"), 0, 0, 0, 0},
      {D32("prmt.b32.rc8 %d, %a, %b, %c;"), 0x44332211, 0, 2, 0x33333333},
      {D32("brev.b32 %d, %a;"), 1, 0, 0, 0x80000000},
      {D32("bfind.s32 %d, %a;"), (uint32_t)-5, 0, 0, 2},
      {"bfe.s64 %D, %A, %b, %c;", 0xf00, 8, 4, UINT64_MAX},
      {"bfi.b64 %D, %A, %B, 8, 8;", 0xab, 0xffffff, 0, 0xffabff},
      {D32("rem.s32 %d, %a, %b;"), (uint32_t)-7, 3, 0, (uint32_t)-1},
      {"mul.hi.s64 %D, %A, %B;", (uint64_t)-1, 5, 0, UINT64_MAX},
      {"mov.b128 %W, {%A, %B}; mov.b128 {%C, %D}, %W;", 3, 9, 0, 9},
  };
  check(all, sizeof all / sizeof *all);
}

static void floats(void **state) {
  (void)state;
  static const struct one all[] = {
      {D32("cvt.rn.bf16x2.f32 %d, %a, %b;"), 0x3f800000, 0x40000000, 0, 0x3f804000},
      {D16("cvt.rn.satfinite.e4m3x2.f32 %hd, %a, %b;"), 0x43fa0000 /* 500 */, 0xbf800000, 0,
       0x7eb8},
      {D16("cvt.rn.satfinite.e5m2x2.f32 %hd, %a, %b;"), 0x47c35000 /* 1e5 */, 0x3f800000, 0,
       0x7b3c},
      {D32("cvt.rn.f16x2.e4m3x2 %d, %ha;"), 0x7e38, 0, 0, 0x5f003c00},
      {D32("cvt.rn.f16x2.e5m2x2 %d, %ha;"), 0x7c3c, 0, 0, 0x7c003c00},
      {D16("cvt.rn.satfinite.e4m3x2.f16x2 %hd, %a;"), 0x5f003c00, 0, 0, 0x7e38},
      {D32("cvt.rna.tf32.f32 %d, %a;"), 0x3f801000, 0, 0, 0x3f802000},
      {D16("cvt.rz.f16.f32 %hd, %a;"), 0x3f801fff, 0, 0, 0x3c00},
      {D16("cvt.rn.satfinite.f16.f32 %hd, %a;"), 0x4f000000, 0, 0, 0x7bff},
      {D32("cvt.rni.s8.f32 %d, %a;"), 0x43800000 /* 256 */, 0, 0, 127},
      {D32("cvt.pack.sat.s16.s32 %d, %a, %b;"), 70000, (uint32_t)-3, 0, 0x7ffffffd},
      {D32("cvt.pack.sat.s4.s32.b32 %d, %a, %b, %c;"), 100, (uint32_t)-3, 0x12, 0x127d},
      {D32("cvt.pack.sat.u4.s32.b32 %d, %a, %b, %c;"), 100, (uint32_t)-3, 0x12, 0x12f0},
      {D32("cvt.pack.sat.u8.s32.b32 %d, %a, %b, %c;"), 300, 5, 0xaabb, 0xaabbff05},
      {D32("max.f32 %d, %a, %b;"), 0x7fc00000, 0x3f800000, 0, 0x3f800000},
      {D32("max.NaN.f32 %d, %a, %b;"), 0x7fc00000, 0x3f800000, 0, 0x7fffffff},
      {D32("max.xorsign.abs.f32 %d, %a, %b;"), 0xc0000000, 0x3f800000, 0, 0xc0000000},
      {D32("fma.rz.f32 %d, %a, %b, %c;"), 0x3f800001, 0x3f800001, 0, 0x3f800002},
      {D32("add.rp.f32 %d, %a, %b;"), 0x3f800000, 0x00800000, 0, 0x3f800001},
      {D32("add.rm.f32 %d, %a, %b;"), 0x3f800000, 0x80800000, 0, 0x3f7fffff},
      {D32("add.ftz.f32 %d, %a, %b;"), 0x00000001, 0x00000001, 0, 0},
      {D16("fma.rn.f16 %hd, %ha, %hb, %hc;"), 0x3c00, 0x4000, 0x3c00, 0x4200},
      {D32("fma.rn.relu.bf16x2 %d, %a, %b, %c;"), 0x3f80bf80, 0x40004000, 0, 0x40000000},
      {D32("ex2.approx.ftz.f32 %d, %a;"), 0x40400000, 0, 0, 0x41000000},
      {D32("rcp.rn.f32 %d, %a;"), 0x40800000, 0, 0, 0x3e800000},
      {D32("sqrt.rn.f32 %d, %a;"), 0x40800000, 0, 0, 0x40000000},
      {"div.rn.f64 %D, %A, %B;", 0x4022000000000000, 0x4008000000000000, 0, 0x4008000000000000},
      {PRED("testp.subnormal.f32 %p, %a;"), 1, 0, 0, 1},
      {PRED("testp.finite.f32 %p, %a;"), 0x7f800000, 0, 0, 0},
      {PRED("setp.nan.f32 %p, %a, %b;"), 0x7fc00000, 0, 0, 1},
      {PRED("setp.lt.and.s32 %q|%p, %a, %b, !%q;"), 0, 0, 0, 0},
      {PRED("setp.eq.f16x2 %q|%p, %a, %b;"), 0x3c004000, 0x3c004400, 0, 1},
  };
  for (size_t k = 0; k < sizeof all / sizeof *all; k++)
    if (strstr(all[k].body, "!%q")) { /* its third operand must have been written */
      struct one x = all[k];
      x.body = "setp.ne.u32 %q, 0, 0; setp.lt.and.s32 %q|%p, %a, %b, !%q; selp.u64 %D, 1, 0, %p;";
      x.want = 1;
      check(&x, 1);
    } else {
      check(&all[k], 1);
    }
}

static void memory(void **state) {
  (void)state;
  static const struct one all[] = {
      {"st.global.u64 [%o], %A; atom.global.add.u64 %D, [%o], %B; ld.global.u64 %C, [%o]; add.u64 "
       "%D, %D, %C;",
       5, 7, 0, 17},
      {D32("st.global.u32 [%o], %a; red.global.add.noftz.bf16x2 [%o], %b; ld.global.u32 %d, [%o];"),
       0x3f803f80, 0x40003f80, 0, 0x40404000},
      {D32("st.global.u32 [%o], %a; atom.global.min.s32 %d, [%o], %b; ld.global.u32 %d, [%o];"), 5,
       (uint32_t)-2, 0, (uint32_t)-2},
      {D32("st.global.u32 [%o], %a; atom.global.inc.u32 %d, [%o], %b; ld.global.u32 %d, [%o];"), 7,
       7, 0, 0},
      {D32("st.global.b32 [%o], %a; ld.global.s8 %d, [%o+1];"), 0x8000, 0, 0, 0xffffff80},
      {PRED("cvta.to.global.u64 %A, %o; isspacep.global %p, %A;"), 0, 0, 0, 1},
      {D32("{ .shared .align 4 .b8 s[64]; mov.u32 %e, s; st.shared.v2.u32 [%e+8], {%a, %b}; "
           "ld.shared.u16 %d, [%e+12]; }"),
       1, 0x12345678, 0, 0x5678},
      {D32("{ .local .align 4 .b8 s[64]; .reg .b64 %g; mov.u64 %g, s; cvta.local.u64 %g, %g; "
           "st.u32 "
           "[%g+4], %a; ld.local.u32 %d, [s+4]; }"),
       77, 0, 0, 77},
      {D32("{ .reg .b64 %g, %h, %s; stacksave.u64 %s; mov.u64 %h, 100; alloca.u64 %g, %h, 16; "
           "st.local.u32 [%g+96], %a; alloca.u64 %h, %h; st.local.u32 [%h], %b; ld.local.u32 %d, "
           "[%g+96]; ld.local.u32 %e, [%h]; add.u32 %d, %d, %e; stackrestore.u64 %s; alloca.u64 "
           "%h, 8; setp.eq.u64 %p, %g, %h; @!%p trap; }"),
       70, 7, 0, 77},
      {D32("createpolicy.fractional.L2::evict_last.b64 %C, 1.0; ld.global.L2::cache_hint.u32 %d, "
           "[%o], "
           "%C; mov.u32 %d, %a;"),
       6, 0, 0, 6},
      {D32("{ .reg .b32 %i; mov.u32 %i, 1; t: .branchtargets L0, L1; brx.idx %i, t; L0: mov.u32 "
           "%d, 4; "
           "bra L2; L1: mov.u32 %d, 5; L2: }"),
       0, 0, 0, 5},
  };
  check(all, sizeof all / sizeof *all);
}

/* movmatrix: lane l has two elements of row l / 4, the transposed of column l / 4. */
static void transposed(void **state) {
  (void)state;
  static const char text[] =
      ".version 8.4\n.target sm_90a\n.address_size 64\n"
      ".visible .entry k(.param .u64 p) { .reg .b32 %r<3>; .reg .b64 %d<3>; ld.param.u64 %d0, "
      "[p];\n"
      "mov.u32 %r0, %tid.x; mul.wide.u32 %d1, %r0, 4; add.s64 %d0, %d0, %d1;\n"
      "ld.global.b32 %r1, [%d0]; movmatrix.sync.aligned.m8n8.trans.b16 %r2, %r1;\n"
      "st.global.b32 [%d0], %r2; ret; }\n";
  CUmodule module;
  CUfunction f;
  CUdeviceptr p;
  assert_int_equal(cuMemAllocManaged(&p, 128, 1), 0);
  uint16_t *e = (uint16_t *)(uintptr_t)p;
  for (unsigned k = 0; k < 64; k++)
    e[k] = (uint16_t)(100 + k);
  assert_int_equal(cuModuleLoadData(&module, text), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, "k"), 0);
  assert_int_equal(cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, NULL, (void *[]){&p}, NULL), 0);
  for (unsigned k = 0; k < 64; k++)
    assert_int_equal(e[k], 100 + k % 8 * 8 + k / 8);
  assert_int_equal(cuModuleUnload(module), 0);
  assert_int_equal(cuMemFree_v2(p), 0);
}

/* Sums of doubles in every rounding: 1 and 2^-58. */
static void rounded_products(void **state) {
  (void)state;
  static const struct {
    const char *mode;
    double sum;
  } all[] = {{"", 1}, {".rn", 1}, {".rz", 1}, {".rm", 1}, {".rp", 1 + 0x1p-52}};
  CUdeviceptr p;
  assert_int_equal(cuMemAllocManaged(&p, 512, 1), 0);
  for (unsigned k = 0; k < sizeof all / sizeof *all; k++) {
    char text[1000];
    CUmodule module;
    CUfunction f;
    snprintf(
        text, sizeof text,
        ".version 8.4\n.target sm_90a\n.address_size 64\n"
        ".visible .entry k(.param .u64 p) { .reg .b32 %%r0; .reg .b64 %%d<2>; .reg .f64 "
        "%%g<4>;\nld.param.u64 %%d0, [p]; mov.u32 %%r0, %%tid.x; mul.wide.u32 %%d1, %%r0, 16;\n"
        "add.s64 %%d0, %%d0, %%d1; mov.f64 %%g0, 0d3ff0000000000000; mov.f64 %%g1, %%g0;\n"
        "mov.f64 %%g2, %%g0; mov.f64 %%g3, 0d3c30000000000000;\n" /* 2^-60 */
        "mma.sync.aligned.m8n8k4.row.col%s.f64.f64.f64.f64 {%%g0, %%g1}, {%%g2}, {%%g3}, "
        "{%%g0, %%g1};\nst.global.v2.f64 [%%d0], {%%g0, %%g1}; ret; }\n",
        all[k].mode);
    assert_int_equal(cuModuleLoadData(&module, text), 0);
    assert_int_equal(cuModuleGetFunction(&f, module, "k"), 0);
    assert_int_equal(cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, NULL, (void *[]){&p}, NULL), 0);
    for (unsigned e = 0; e < 64; e++)
      assert_true(((double *)(uintptr_t)p)[e] == all[k].sum);
    assert_int_equal(cuModuleUnload(module), 0);
  }
  assert_int_equal(cuMemFree_v2(p), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(integers),   cmocka_unit_test(floats),           cmocka_unit_test(memory),
      cmocka_unit_test(transposed), cmocka_unit_test(rounded_products),
  };
  return cmocka_run_group_tests(tests, open_all, NULL);
}
