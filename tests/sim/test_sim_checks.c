/* SPDX-License-Identifier: Apache-2.0 */
/* Every check of kernels: one that trips it, the same with the mistake mended, the error that the
 * launch gives, and a report that names kernel, line, thread and place. sim/README.md has the list.
 */
#include "tests/sim/sim_api.h"

#include <unistd.h>

static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() ? 0 : -1;
}

/* %rd0 is memory of 512 words, the first 256 of them zero, the others written by nobody; %rd1 the
 * thread's word of it; %r6 4 KiB of shared memory, %r7 the thread's word of it; %r8 four mbarriers;
 * %r5 the thread. */
#define HEAD ".version 8.4\n.target sm_90a\n.address_size 64\n"
#define ENTRY                                                                                      \
  ".visible .entry k(.param .u64 p) {\n"                                                           \
  ".reg .pred %p<9>; .reg .b32 %r<24>; .reg .b64 %rd<9>; .reg .f32 %f<9>;\n"                       \
  ".shared .align 1024 .b8 tile[4096]; .shared .align 8 .b64 bars[4];\n"                           \
  "ld.param.u64 %rd0, [p]; mov.u32 %r5, %tid.x; mul.wide.u32 %rd1, %r5, 4;\n"                      \
  "add.s64 %rd1, %rd0, %rd1; mov.u32 %r6, tile; shl.b32 %r7, %r5, 2; add.u32 %r7, %r6, %r7;\n"     \
  "mov.u32 %r8, bars;\n"
enum { WORDS = 512, KNOWN = 256 };

struct check {
  const char *trips, *twin; /* bodies; `// here` is on the line that is reported */
  const char *says;
  CUresult result;
  unsigned block, cluster; /* threads; CTAs of the only cluster, 1 if 0 */
  const char *before;      /* what the module has besides */
};

/* The launch's result, and what it said on stderr. */
static CUresult run(const struct check *c, const char *body, char *text, char *said) {
  CUmodule module;
  CUfunction f;
  CUdeviceptr p;
  static uint32_t zeros[KNOWN];
  snprintf(text, 16000, "%s%s%s%s\nret;\n}\n", HEAD, c->before ? c->before : "", ENTRY, body);
  fflush(stderr);
  FILE *to = tmpfile();
  int saved = dup(2);
  dup2(fileno(to), 2);
  CUresult r = cuModuleLoadData(&module, text);
  if (!r) {
    cuMemAlloc_v2(&p, 4 * WORDS);
    cuMemcpyHtoD_v2(p, zeros, sizeof zeros);
    cuModuleGetFunction(&f, module, "k");
    unsigned n = c->cluster ? c->cluster : 1;
    CUlaunchAttribute cluster = {.id = 4, .value.cluster = {n, 1, 1}};
    CUlaunchConfig shape = {{n, 1, 1}, {c->block, 1, 1}, 0, NULL, &cluster, 1};
    r = cuLaunchKernelEx(&shape, f, (void *[]){&p}, NULL);
    CUresult kept = cuCtxSynchronize();
    cuDevicePrimaryCtxReset_v2(0);
    cuMemFree_v2(p);
    cuModuleUnload(module);
    r = r == kept || r < 700 ? r : 9999; /* the context keeps what ended the kernel */
  }
  fflush(stderr);
  dup2(saved, 2);
  close(saved);
  rewind(to);
  said[fread(said, 1, 4000, to)] = 0;
  fclose(to);
  return r;
}

/* Whether the line that the report names is one that is marked, and is what it shows. */
static bool at_the_line(const char *text, const char *said) {
  const char *at = strstr(said, "--> kernel 'k', PTX line ");
  unsigned line = at ? (unsigned)strtoul(at + 25, NULL, 10) : 0;
  for (unsigned n = 1; n < line && text; n++)
    text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL;
  const char *end = text ? strchr(text, '\n') : NULL, *here = text ? strstr(text, "// here") : NULL;
  return line && end && here && here < end && strstr(at, "// here") &&
         strstr(at, "      block (0,0,0), ") && strstr(at, "warp ");
}

static void check_all(const struct check *all, size_t n) {
  static char text[16000], said[4001];
  size_t bad = 0;
  for (size_t k = 0; k < n; k++) {
    const struct check *c = &all[k];
    CUresult r = run(c, c->twin, text, said);
    if (r)
      fprintf(stderr, "not to be found: %s\n%s\n%s\n", c->says, c->twin, said);
    bad += r != 0;
    r = run(c, c->trips, text, said);
    bool told = strstr(said, c->says) && at_the_line(text, said);
    if (r != c->result || !told)
      fprintf(stderr, "to be found: %s, with %d\n%s\ngave %d: %s\n", c->says, c->result, c->trips,
              r, said);
    bad += r != c->result || !told;
  }
  assert_int_equal(bad, 0);
}
#define CHECK_ALL(all) check_all(all, sizeof(all) / sizeof *(all))

static void bounds_and_alignment(void **state) {
  (void)state;
  static const struct check all[] = {
      {"st.global.u32 [%rd1+1792], %r5; // here", "st.global.u32 [%rd1+1788], %r5;",
       "out of bounds: store of 4 bytes at 0x", 700, 65, 0, NULL},
      {"mov.u64 %rd2, 16; ld.global.u32 %r9, [%rd2]; // here", "ld.global.u32 %r9, [%rd1];",
       "out of bounds: load of 4 bytes at 0x10, which is in no allocation", 700, 1, 0, NULL},
      {"red.global.add.u32 [%rd0+2048], 1; // here", "red.global.add.u32 [%rd0+4], 1;",
       "out of bounds: atomic", 700, 1, 0, NULL},
      {"st.shared.u32 [%r6+4128], %r5; // here", "st.shared.u32 [%r6+4092], %r5;",
       "out of bounds: store of 4 bytes at byte 4128 of shared memory", 700, 1, 0, NULL},
      {".local .align 8 .b8 own[16];\nst.local.u32 [own+4096], %r5; // here",
       ".local .align 8 .b8 own[16]; st.local.u32 [own+12], %r5;", "of local memory", 700, 1, 0,
       NULL},
      {"ld.param.u32 %r9, [p+8]; // here", "ld.param.u32 %r9, [p+4];",
       "out of bounds: load of 4 bytes at byte 8 of parameter memory", 700, 1, 0, NULL},
      {"st.global.u32 [%rd0+2], %r5; // here", "st.global.u16 [%rd0+2], 1;",
       "misaligned: store of 4 bytes at 0x", 716, 1, 0, NULL},
      {"ld.global.v4.u32 {%r9, %r10, %r11, %r12}, [%rd0+8]; // here",
       "ld.global.v4.u32 {%r9, %r10, %r11, %r12}, [%rd0+16];", "misaligned: load of 16 bytes at 0x",
       716, 1, 0, NULL},
      {"st.shared.u64 [%r6+4], %rd0; // here", "st.shared.u64 [%r6+8], %rd0;", "misaligned: store",
       716, 1, 0, NULL},
      {"cp.async.ca.shared.global [%r6], [%rd0+4], 8; // here",
       "cp.async.ca.shared.global [%r6], [%rd0+8], 8; cp.async.wait_all;",
       "misaligned: cp.async of 8 bytes from 0x", 716, 1, 0, NULL},
      {"mov.u64 %rd2, fixed; cvta.const.u64 %rd2, %rd2;\nst.u32 [%rd2], %r5; // here",
       "mov.u64 %rd2, fixed; cvta.const.u64 %rd2, %rd2; ld.u32 %r9, [%rd2]; st.global.u32 [%rd0], "
       "%r9;",
       "store to constant memory at 0x", 700, 1, 0, ".const .align 4 .u32 fixed = 5;\n"},
  };
  CHECK_ALL(all);
}

static void what_nobody_wrote(void **state) {
  (void)state;
  static const struct check all[] = {
      {"st.global.u32 [%rd1], %r9; // here", "mov.u32 %r9, 1; st.global.u32 [%rd1], %r9;",
       "uninitialised: 'st' reads a register that was never written", 719, 1, 0, NULL},
      {"setp.lt.u32 %p1, %r5, 7; @%p1 mov.u32 %r9, 1;\nadd.u32 %r9, %r9, 1; // here",
       "setp.lt.u32 %p1, %r5, 7; @%p1 mov.u32 %r9, 1; @%p1 add.u32 %r9, %r9, 1;",
       "uninitialised: 'add' reads a register", 719, 32, 0, NULL},
      {"@%p1 mov.u32 %r9, 1; // here", "setp.eq.u32 %p1, %r5, 0; @%p1 mov.u32 %r9, 1;",
       "the guard of 'mov' was never written", 719, 1, 0, NULL},
      {"ld.shared.u32 %r9, [%r6+8]; // here",
       "st.shared.u32 [%r6+8], %r5; ld.shared.u32 %r9, [%r6+8];",
       "uninitialised: 'ld' reads byte 8 of shared memory", 719, 1, 0, NULL},
      {"ld.global.u32 %r9, [%rd1+1024];\nadd.u32 %r9, %r9, 1; // here",
       "st.global.u32 [%rd1+1024], %r5; ld.global.u32 %r9, [%rd1+1024]; add.u32 %r9, %r9, 1;",
       "was loaded from memory that nobody wrote (last in line 10, at 0x", 719, 32, 0, NULL},
      {"red.global.add.u32 [%rd1+1024], 1; // here", "red.global.add.u32 [%rd1], 1;",
       "uninitialised: 'red' reads global memory at 0x", 719, 1, 0, NULL},
  };
  CHECK_ALL(all);
}

/* Each word is written and seen by all first. */
#define OTHER(x)                                                                                   \
  "xor.b32 %r9, %r5, " x "; shl.b32 %r9, %r9, 2; add.u32 %r9, %r6, %r9; add.u32 %r11, %r5, 1;\n"   \
  "setp.lt.u32 %p1, %r5, 32; st.shared.u32 [%r7], %r11; bar.sync 0;\n"
static void races(void **state) {
  (void)state;
  static const struct check all[] = {
      {OTHER("32") "st.shared.u32 [%r7], %r5; // here\nld.shared.u32 %r10, [%r9]; // here",
       OTHER("32") "st.shared.u32 [%r7], %r5; bar.sync 0; ld.shared.u32 %r10, [%r9];",
       "race in shared memory: ", 719, 64, 0, NULL},
      {OTHER("32") "ld.shared.u32 %r10, [%r7]; // here\nst.shared.u32 [%r9], %r5; // here",
       OTHER("32") "ld.shared.u32 %r10, [%r7]; bar.sync 0; st.shared.u32 [%r9], %r5;",
       "race in shared memory: ", 719, 64, 0, NULL},
      {"st.shared.u32 [%r6], %r5; // here", "mov.u32 %r9, 3; st.shared.u32 [%r6], %r9;",
       "race in shared memory: store at byte 0", 719, 64, 0, NULL},
      /* atomics among each other are in order, but not with stores and loads */
      {"setp.eq.u32 %p1, %r5, 0; @%p1 st.shared.u32 [%r6], %r5; setp.gt.u32 %p2, %r5, 31;\n"
       "@%p2 red.shared.add.u32 [%r6], 1; // here",
       "setp.eq.u32 %p1, %r5, 0; @%p1 st.shared.u32 [%r6], %r5; bar.sync 0;\n"
       "red.shared.add.u32 [%r6], 1;",
       "race in shared memory: atomic at byte 0, which thread 0 (warp 0, lane 0) wrote", 719, 64, 0,
       NULL},
      {OTHER("0") "@!%p1 bar.sync 1, 32; @!%p1 red.shared.add.u32 [%r6], 1;\n"
                  "@%p1 ld.shared.u32 %r10, [%r6]; // here",
       OTHER("0") "@!%p1 bar.sync 1, 32; @!%p1 red.shared.add.u32 [%r6], 1; bar.sync 0;\n"
                  "@%p1 ld.shared.u32 %r10, [%r6];",
       "race in shared memory: ", 719, 64, 0, NULL},
      /* a barrier that one of the two does not pass */
      {OTHER("32") "@%p1 st.shared.u32 [%r7], %r5; @%p1 bar.arrive 1, 64; // here\n"
                   "@!%p1 ld.shared.u32 %r10, [%r9]; // here\n@!%p1 bar.sync 1, 64;",
       OTHER("32") "@%p1 st.shared.u32 [%r7], %r5; @%p1 bar.arrive 1, 64; @!%p1 bar.sync 1, 64;\n"
                   "@!%p1 ld.shared.u32 %r10, [%r9];",
       "race in shared memory: ", 719, 64, 0, NULL},
      /* within a warp */
      {OTHER("1") "st.shared.u32 [%r7], %r5;\nld.shared.u32 %r10, [%r9]; // here",
       OTHER("1") "st.shared.u32 [%r7], %r5; bar.warp.sync -1; ld.shared.u32 %r10, [%r9];",
       "race in shared memory: load at byte 4, which thread 1 (warp 0, lane 1) wrote", 719, 32, 0,
       NULL},
      {OTHER("1") "ld.shared.u32 %r10, [%r7];\nst.shared.u32 [%r9], %r5; // here",
       OTHER("1") "ld.shared.u32 %r10, [%r7]; bar.warp.sync -1; st.shared.u32 [%r9], %r5;",
       "race in shared memory: store at byte 4, which thread 1 (warp 0, lane 1) read", 719, 32, 0,
       NULL},
      {"st.shared.u32 [%r6], %r5; // here", "mov.u32 %r9, 3; st.shared.u32 [%r6], %r9;",
       "race in shared memory: store at byte 0", 719, 32, 0, NULL},
      /* who counts last sees what the others stored before they counted */
      {OTHER("1") "mov.u32 %r12, 0; st.shared.u32 [%r6+1024], %r12; bar.warp.sync -1;\n"
                  "atom.shared.add.u32 %r12, [%r6+1024], 1; st.shared.u32 [%r7], %r12;\n"
                  "ld.shared.u32 %r10, [%r9]; // here",
       OTHER("1") "mov.u32 %r12, 0; st.shared.u32 [%r6+1024], %r12; bar.warp.sync -1;\n"
                  "st.shared.u32 [%r7], %r5; membar.cta; atom.shared.add.u32 %r12, [%r6+1024], 1;\n"
                  "setp.eq.u32 %p2, %r12, 31; @%p2 ld.shared.u32 %r10, [%r9];",
       "race in shared memory: load at byte 4", 719, 32, 0, NULL},
  };
  CHECK_ALL(all);
}

/* One thread makes an mbarrier, the others see it. */
#define MAKE(count)                                                                                \
  "setp.eq.u32 %p1, %r5, 0; @%p1 mbarrier.init.shared.b64 [%r8], " count ";\n"                     \
  "fence.mbarrier_init.release.cluster; bar.sync 0;\n"
#define EXPECT(n) "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r8], " n ";\n"
#define COME(n)                                                                                    \
  "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r6], [%rd0], " n       \
  ", [%r8];\n"
#define WAIT "W: mbarrier.try_wait.parity.shared.b64 %p2, [%r8], 0;\n@!%p2 bra W;\n"
#define BULK_OUT                                                                                   \
  "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r6], 256; cp.async.bulk.commit_group;\n"

static void copies(void **state) {
  (void)state;
  static const struct check all[] = {
      {"cp.async.ca.shared.global [%r7], [%rd1], 4; cp.async.commit_group;\n"
       "ld.shared.u32 %r9, [%r7]; // here",
       "cp.async.ca.shared.global [%r7], [%rd1], 4; cp.async.commit_group; cp.async.wait_group 0;\n"
       "ld.shared.u32 %r9, [%r7];",
       "asynchronous copy used before its wait: load at byte 0 of shared memory, which a cp.async",
       719, 32, 0, NULL},
      /* of two groups the newer is not waited for */
      {"cp.async.ca.shared.global [%r7], [%rd1], 4; cp.async.commit_group;\n"
       "cp.async.ca.shared.global [%r7+128], [%rd1], 4; cp.async.commit_group;\n"
       "cp.async.wait_group 1;\nld.shared.u32 %r9, [%r7+128]; // here",
       "cp.async.ca.shared.global [%r7], [%rd1], 4; cp.async.commit_group;\n"
       "cp.async.ca.shared.global [%r7+128], [%rd1], 4; cp.async.commit_group;\n"
       "cp.async.wait_group 1; ld.shared.u32 %r9, [%r7];",
       "asynchronous copy used before its wait", 719, 32, 0, NULL},
      /* a wait is for the thread's own copies: others need a barrier too */
      {OTHER("32") "@!%p1 cp.async.ca.shared.global [%r7], [%rd1], 4; cp.async.wait_all;\n"
                   "@%p1 ld.shared.u32 %r10, [%r9]; // here",
       OTHER("32") "@!%p1 cp.async.ca.shared.global [%r7], [%rd1], 4; cp.async.wait_all;\n"
                   "bar.sync 0; @%p1 ld.shared.u32 %r10, [%r9];",
       "asynchronous copy used before its wait", 719, 64, 0, NULL},
      {MAKE("1") EXPECT("256") COME("256") "ld.shared.u32 %r9, [%r7]; // here",
       MAKE("1") EXPECT("256") COME("256") WAIT "ld.shared.u32 %r9, [%r7];",
       "asynchronous copy used before its wait: load at byte 0 of shared memory, which a bulk copy",
       719, 32, 0, NULL},
      {"st.shared.u32 [%r7], %r5; bar.sync 0; setp.eq.u32 %p1, %r5, 0; @!%p1 bra E;\n"
       "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r6], 256; // here\nE:",
       "st.shared.u32 [%r7], %r5; fence.proxy.async; bar.sync 0; setp.eq.u32 %p1, %r5, 0;\n"
       "@!%p1 bra E; cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r6], 256; E:",
       "missing proxy fence: 'cp' reads byte 0 of shared memory, which thread 0 wrote", 719, 64, 0,
       NULL},
      {OTHER("0") "st.shared.u32 [%r7], %r5; fence.proxy.async; setp.eq.u32 %p1, %r5, 32;\n"
                  "@!%p1 bra E; mov.u32 %r9, 0; L: add.u32 %r9, %r9, 1; setp.lt.u32 %p1, %r9, "
                  "40000; @%p1 bra L;\ncp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r6], "
                  "256; // here\nE:",
       "st.shared.u32 [%r7], %r5; fence.proxy.async; bar.sync 0; setp.eq.u32 %p1, %r5, 0;\n"
       "@!%p1 bra E; cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r6], 256; E:",
       "race in shared memory: read by an asynchronous unit at byte 0, which thread 0", 719, 64, 0,
       NULL},
      {"st.shared.u32 [%r7], %r5; fence.proxy.async; bar.sync 0; setp.eq.u32 %p1, %r5, 0;\n"
       "@!%p1 bra E; " BULK_OUT "st.shared.u32 [%r6], 7; // here\nE:",
       "st.shared.u32 [%r7], %r5; fence.proxy.async; bar.sync 0; setp.eq.u32 %p1, %r5, 0;\n"
       "@!%p1 bra E; " BULK_OUT "cp.async.bulk.wait_group.read 0; st.shared.u32 [%r6], 7; E:",
       "which a bulk copy of warp 0 may still read: its wait comes first", 719, 64, 0, NULL},
      {MAKE("1") EXPECT("256") "st.shared.u32 [%r7], %r5;\n@%p1 cp.async.bulk.shared::cluster."
                               "global.mbarrier::complete_tx::bytes [%r6], [%rd0], 256, [%r8]; "
                               "// here\n" WAIT,
       MAKE("1") EXPECT("256") "st.shared.u32 [%r7], %r5; bar.sync 0;\n" COME("256") WAIT,
       "race in shared memory: written by an asynchronous copy at byte 128", 719, 64, 0, NULL},
      {MAKE("1") EXPECT("40") "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::"
                              "bytes [%r6], [%rd0], 40, [%r8]; // here\n" WAIT,
       MAKE("1") EXPECT("48") COME("48") WAIT, "misaligned: a bulk copy of 40 bytes from 0x", 716,
       32, 0, NULL},
  };
  CHECK_ALL(all);
}

static void mbarriers(void **state) {
  (void)state;
  static const struct check all[] = {
      {"mbarrier.arrive.shared.b64 _, [%r8]; // here",
       "mbarrier.init.shared.b64 [%r8], 1; mbarrier.arrive.shared.b64 _, [%r8];",
       "shared memory holds no initialised mbarrier", 719, 1, 0, NULL},
      {MAKE("1") "@%p1 mbarrier.inval.shared.b64 [%r8];\n"
                 "@%p1 mbarrier.arrive.shared.b64 _, [%r8]; // here",
       MAKE("1") "@%p1 mbarrier.arrive.shared.b64 _, [%r8]; @%p1 mbarrier.inval.shared.b64 [%r8];",
       "holds no initialised mbarrier", 719, 1, 0, NULL},
      {"mbarrier.init.shared.b64 [%r8+4], 1; // here", "mbarrier.init.shared.b64 [%r8+8], 1;",
       "mbarrier.init at byte", 716, 1, 0, NULL},
      {"mbarrier.init.shared.b64 [%r8], 0; // here", "mbarrier.init.shared.b64 [%r8], 2;",
       "with a count of 0", 716, 1, 0, NULL},
      /* more is expected than comes; less; nothing waits for what is missing */
      {MAKE("1") EXPECT("512") COME(
           "256") "W: mbarrier.try_wait.parity.shared.b64 %p2, [%r8], 0; // here\n@!%p2 bra W;",
       MAKE("1") EXPECT("256") COME("256") WAIT, "256 bytes still expected", 719, 32, 0, NULL},
      {"setp.eq.u32 %p1, %r5, 0;\nmbarrier.init.shared.b64 [%r8], 1; // here\n" EXPECT("128")
           COME("256"),
       "setp.eq.u32 %p1, %r5, 0;\nmbarrier.init.shared.b64 [%r8], 1;\n" EXPECT("256") COME("256"),
       "has had too many, 128 bytes in phase 0: what was expected and what was copied differ", 719,
       1, 0, NULL},
      {"setp.eq.u32 %p1, %r5, 0;\nmbarrier.init.shared.b64 [%r8], 1; // here\n" EXPECT("512")
           COME("256"),
       "setp.eq.u32 %p1, %r5, 0;\nmbarrier.init.shared.b64 [%r8], 1;\n" EXPECT("256") COME("256"),
       "still expects 256 bytes in phase 0", 719, 1, 0, NULL},
      {MAKE("1") EXPECT("256") "@%p1 mbarrier.arrive.shared.b64 _, [%r8]; // here\n" COME("256")
           WAIT,
       MAKE("2") EXPECT("256") "@%p1 mbarrier.arrive.shared.b64 _, [%r8];\n" COME("256") WAIT,
       "1 arrivals at the mbarrier at byte", 719, 32, 0, NULL},
      {MAKE("1") "@%p1 mbarrier.expect_tx.relaxed.cta.shared.b64 [%r8], 1048576; // here",
       MAKE("1") "@%p1 mbarrier.expect_tx.relaxed.cta.shared.b64 [%r8], 256;\n" COME("256"),
       "would expect 1048576 bytes: more than 2^20 - 1", 719, 32, 0, NULL},
      {"setp.eq.u32 %p1, %r5, 0; @%p1 mbarrier.init.shared.b64 [%r8], 64;\n"
       "mbarrier.arrive.shared.b64 _, [%r8]; // here",
       MAKE("64") "mbarrier.arrive.shared.b64 _, [%r8];", "race: the mbarrier at byte", 719, 64, 0,
       NULL},
      /* a wait for a phase that nobody completes */
      {MAKE("2") "@%p1 mbarrier.arrive.shared.b64 _, [%r8];\n"
                 "W: mbarrier.try_wait.parity.shared.b64 %p2, [%r8], 0; // here\n@!%p2 bra W;",
       MAKE("1") "@%p1 mbarrier.arrive.shared.b64 _, [%r8];\n" WAIT,
       "stays in phase 0 with 1 of 2 arrivals missing", 719, 32, 0, NULL},
  };
  CHECK_ALL(all);
}

static void barriers(void **state) {
  (void)state;
  static const struct check all[] = {
      {"setp.lt.u32 %p1, %r5, 32; @%p1 bar.sync 1, 64;\nbar.sync 1, 96; // here",
       "setp.lt.u32 %p1, %r5, 32; bar.sync 1, 96;",
       "barrier 1: 96 threads are named here, 64 by those that came before", 719, 96, 0, NULL},
      {"setp.lt.u32 %p1, %r5, 32;\n@%p1 bar.sync 1, 64; // here\nbar.sync 0;",
       "setp.lt.u32 %p1, %r5, 64; @%p1 bar.sync 1, 64; bar.sync 0;",
       "deadlock: a barrier that not all will reach", 719, 96, 0, NULL},
      {"mov.u32 %r9, 16;\nbar.sync %r9; // here", "mov.u32 %r9, 15; bar.sync %r9;",
       "barrier 16 with 0 threads: there are 16, of whole warps", 715, 32, 0, NULL},
      {"mov.u32 %r9, 40;\nbar.sync 1, %r9; // here", "mov.u32 %r9, 64; bar.sync 1, %r9;",
       "barrier 1 with 40 threads", 715, 64, 0, NULL},
      {"setp.lt.u32 %p1, %r5, 7;\n@%p1 bra A;\nbar.sync 0;\nbra E;\nA: bar.sync 1; // here\nE:",
       "setp.lt.u32 %p1, %r5, 7; @%p1 bra A; A: bar.sync 0;", "lanes diverge: 'bar' waits", 719, 32,
       0, NULL},
      /* lanes may come apart to a barrier that is not aligned */
      {"setp.lt.u32 %p1, %r5, 7;\n@%p1 bra A;\nbarrier.sync.aligned 0, 64;\nbra E;\n"
       "A: barrier.sync.aligned 0, 64; // here\nE:",
       "setp.lt.u32 %p1, %r5, 7;\n@%p1 bra A;\nbarrier.sync 0, 64;\nbra E;\n"
       "A: barrier.sync 0, 64; E: barrier.sync 0; @%p1 barrier.arrive 1, 64; @!%p1 barrier.sync 1, "
       "64;",
       "lanes diverge: 'barrier' waits", 719, 64, 0, NULL},
      {"setp.lt.u32 %p1, %r5, 7;\n@%p1 bra A;\nbar.warp.sync -1;\nbra E;\n"
       "A: vote.sync.ballot.b32 %r9, %p1, -1; // here\nE:",
       "setp.lt.u32 %p1, %r5, 7;\nvote.sync.ballot.b32 %r9, %p1, -1;\n@%p1 bra L; L:",
       "lanes diverge: 'vote' waits for lanes of mask 0x", 719, 32, 0, NULL},
      {"vote.sync.ballot.b32 %r9, 1, 0xfffffffe; // here", "vote.sync.ballot.b32 %r9, 1, -1;",
       "leaves out the lane that executes it", 719, 32, 0, NULL},
      {"setp.lt.u32 %p1, %r5, 16; selp.b32 %r9, 0x1ffff, 0xffffffff, %p1;\n"
       "redux.sync.add.s32 %r10, %r5, %r9; // here",
       "setp.lt.u32 %p1, %r5, 16; selp.b32 %r9, 0xffff, 0xffff0000, %p1;\n"
       "redux.sync.add.s32 %r10, %r5, %r9;",
       "names the members 0x", 719, 32, 0, NULL},
      {"setp.lt.u32 %p1, %r5, 8; @!%p1 bra E;\n"
       "shfl.sync.idx.b32 %r9, %r5, 20, 31, 0xff; // here\nE:",
       "setp.lt.u32 %p1, %r5, 8; @!%p1 bra E; shfl.sync.idx.b32 %r9, %r5, 2, 31, 0xff; E:",
       "'shfl' reads lane 20, which does not take part", 719, 32, 0, NULL},
  };
  CHECK_ALL(all);
}

static void clusters(void **state) {
  (void)state;
  static const struct check all[] = {
      {"mapa.shared::cluster.u32 %r9, %r6, 2; // here", "mapa.shared::cluster.u32 %r9, %r6, 1;",
       "mapa: the cluster has no CTA 2", 715, 1, 2, NULL},
      {"barrier.cluster.wait; // here", "barrier.cluster.arrive; barrier.cluster.wait;",
       "barrier.cluster.wait without an arrive", 719, 32, 2, NULL},
      {"barrier.cluster.arrive;\nbarrier.cluster.arrive; // here",
       "barrier.cluster.arrive; barrier.cluster.wait; barrier.cluster.arrive; "
       "barrier.cluster.wait;",
       "a second barrier.cluster.arrive without a wait between", 719, 32, 2, NULL},
      {"mov.u32 %r9, %cluster_ctarank; setp.ne.u32 %p1, %r9, 0; @%p1 bra E;\n"
       "mov.u32 %r10, 0; L: add.u32 %r10, %r10, 1; setp.lt.u32 %p2, %r10, 40000; @%p2 bra L;\n"
       "mapa.shared::cluster.u32 %r11, %r6, 1;\nst.shared::cluster.u32 [%r11], %r9; // here\nE:",
       "mov.u32 %r9, %cluster_ctarank; setp.ne.u32 %p1, %r9, 0; @%p1 bra E;\n"
       "mov.u32 %r10, 0; L: add.u32 %r10, %r10, 1; setp.lt.u32 %p2, %r10, 40000; @%p2 bra L;\n"
       "mapa.shared::cluster.u32 %r11, %r6, 1; st.shared::cluster.u32 [%r11], %r9;\n"
       "E: barrier.cluster.arrive; barrier.cluster.wait;",
       "store of shared memory of CTA 1 of the cluster, which has exited", 700, 1, 2, NULL},
      {"mov.u32 %r9, %cluster_ctarank; setp.eq.u32 %p1, %r9, 0;\n@!%p1 bra E;\n"
       "barrier.cluster.arrive; barrier.cluster.wait; ret; // here\n"
       "E: mbarrier.init.shared.b64 [%r8], 1;\n" WAIT,
       "mov.u32 %r9, %cluster_ctarank; setp.eq.u32 %p1, %r9, 0; @!%p1 bra E;\n"
       "barrier.cluster.arrive; barrier.cluster.wait; ret; E: mbarrier.init.shared.b64 [%r8], 1;\n"
       "mbarrier.arrive.shared.b64 _, [%r8];" WAIT "barrier.cluster.arrive; barrier.cluster.wait;",
       "deadlock: the barrier of the cluster is never complete; the 2 warps that are left", 719, 1,
       2, NULL},
  };
  CHECK_ALL(all);
}

/* A is 64 x 16 of bf16, B 16 x 8, from byte 2048, both without swizzle; the tile is all zeros. */
#define FILL                                                                                       \
  "mov.u32 %r9, 0; st.shared.u32 [%r7], %r9; st.shared.u32 [%r7+512], %r9;\n"                      \
  "st.shared.u32 [%r7+1024], %r9; st.shared.u32 [%r7+1536], %r9; st.shared.u32 [%r7+2048], %r9;\n"
#define SHOW "fence.proxy.async; bar.sync 0;\n"
#define DESCRIBE                                                                                   \
  "shr.u32 %r10, %r6, 4; cvt.u64.u32 %rd2, %r10; or.b64 %rd2, %rd2, 0x1000080000;\n"               \
  "add.s64 %rd3, %rd2, 128;\n"
#define MULTIPLY(scale)                                                                            \
  "wgmma.fence.sync.aligned;\n"                                                                    \
  "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %rd2, %rd3, " scale   \
  ", 1, 1, 0, 0; "
#define COMMIT "wgmma.commit_group.sync.aligned;\n"
#define DONE "wgmma.wait_group.sync.aligned 0;\n"
static void matrices(void **state) {
  (void)state;
  static const struct check all[] = {
      {FILL SHOW DESCRIBE MULTIPLY("0") COMMIT "st.global.f32 [%rd1], %f0; // here",
       FILL SHOW DESCRIBE MULTIPLY("0") COMMIT DONE "st.global.f32 [%rd1], %f0;",
       "'st' uses a register that a wgmma may still read or write", 719, 128, 0, NULL},
      {FILL SHOW DESCRIBE MULTIPLY("0") COMMIT "mov.f32 %f0, 0f00000000; // here",
       FILL SHOW DESCRIBE MULTIPLY("0") COMMIT DONE "mov.f32 %f0, 0f00000000;",
       "uses a register that a wgmma may still read or write", 719, 128, 0, NULL},
      {FILL SHOW DESCRIBE MULTIPLY("0") COMMIT "st.shared.u32 [%r6+2048], 7; // here",
       FILL SHOW DESCRIBE MULTIPLY("0") COMMIT DONE "bar.sync 0; st.shared.u32 [%r6+2048], 7;",
       "may still read: its wait comes first", 719, 128, 0, NULL},
      {FILL "bar.sync 0;\n" DESCRIBE MULTIPLY("0") "// here\n" COMMIT DONE,
       FILL SHOW DESCRIBE MULTIPLY("0") COMMIT DONE, "missing proxy fence: 'wgmma' reads byte", 719,
       128, 0, NULL},
      {FILL SHOW DESCRIBE MULTIPLY("1") "// here\n" COMMIT DONE,
       FILL SHOW DESCRIBE "mov.f32 %f0, 0f00000000; mov.f32 %f1, %f0; mov.f32 %f2, %f0; mov.f32 "
                          "%f3, %f0;\n" MULTIPLY("1") COMMIT DONE,
       "wgmma accumulates onto a register that was never written", 719, 128, 0, NULL},
      {FILL SHOW DESCRIBE "add.s64 %rd3, %rd3, 256;\n" MULTIPLY("0") "// here\n" COMMIT DONE,
       FILL SHOW DESCRIBE MULTIPLY("0") COMMIT DONE, "out of bounds: a matrix descriptor reaches",
       700, 128, 0, NULL},
      {FILL SHOW DESCRIBE
       "cvt.u64.u32 %rd4, %r5; add.s64 %rd3, %rd3, %rd4;\n" MULTIPLY("0") "// here\n" COMMIT DONE,
       FILL SHOW DESCRIBE MULTIPLY("0") COMMIT DONE,
       "the lanes of the warp hold different matrix descriptors", 715, 128, 0, NULL},
      {"mov.u32 %r9, 24;\nsetmaxnreg.dec.sync.aligned.u32 28; // here",
       "setmaxnreg.dec.sync.aligned.u32 24;", "setmaxnreg of 28: 24 to 256 by steps of 8", 715, 128,
       0, NULL},
  };
  static const struct check narrow[] = {
      {"mov.u64 %rd2, 0; mov.u64 %rd3, 0;\n" MULTIPLY("0") "// here\n", "bar.sync 0;",
       "wgmma in a warpgroup of fewer than four warps", 715, 96, 0, NULL},
  };
  CHECK_ALL(all);
  CHECK_ALL(narrow);
}

static const char deep_text[] =
    ".func (.param .u32 r) deep(.param .u32 n) {\n"
    ".local .align 4 .b8 kept[256]; .reg .b32 %a<4>; .reg .pred %p0;\n"
    "ld.param.u32 %a0, [n]; setp.eq.u32 %p0, %a0, 0; mov.u32 %a1, 0; @%p0 bra E;\n"
    "sub.u32 %a2, %a0, 1;\n"
    "{ .param .u32 x; .param .u32 y; st.param.u32 [x], %a2;\n"
    "call (y), deep, (x); // here\n"
    "ld.param.u32 %a1, [y]; }\n"
    "add.u32 %a1, %a1, 1;\n"
    "E: st.param.u32 [r], %a1; ret; }\n";
#define CALL(n)                                                                                    \
  "{ .param .u32 x; .param .u32 y; mov.u32 %r9, " n                                                \
  "; st.param.u32 [x], %r9; call (y), deep, (x);"                                                  \
  " ld.param.u32 %r9, [y]; st.global.u32 [%rd0], %r9; }\n"
static const char pair_text[] = ".func one(.param .u32 n) { ret; }\n"
                                ".func two() { ret; }\n"
                                ".extern .func (.param .b64 r) malloc(.param .b64 n);\n"
                                ".extern .func free(.param .b64 p);\n";
#define MALLOC                                                                                     \
  "{ .param .b64 x; .param .b64 y; st.param.b64 [x], 64; call (y), malloc, (x); ld.param.b64 "     \
  "%rd3, [y]; }\n"
#define FREE "{ .param .b64 z; st.param.b64 [z], %rd3; call free, (z); }"
static void control(void **state) {
  (void)state;
  static const struct check all[] = {
      {CALL("1000"), CALL("3"), "stack overflow: call of 'deep' at depth", 719, 1, 0, deep_text},
      {"mov.u64 %rd2, 4000;\nalloca.u64 %rd3, %rd2, 16; // here",
       "mov.u64 %rd2, 400; alloca.u64 %rd3, %rd2, 16; st.local.u32 [%rd3+396], %r5;",
       "stack overflow: 'alloca' of 4000 bytes", 719, 1, 0, NULL},
      {"mov.u64 %rd2, two;\n{ .param .u32 x; st.param.u32 [x], %r5;\nP: .callprototype _ (.param "
       ".u32 a);\ncall %rd2, (x), P; // here\n}",
       "mov.u64 %rd2, one;\n{ .param .u32 x; st.param.u32 [x], %r5;\nP: .callprototype _ (.param "
       ".u32 a);\ncall %rd2, (x), P; }",
       "indirect call of 0x", 715, 1, 0, pair_text},
      {"mov.u32 %r9, 2;\nt: .branchtargets A, B;\nbrx.idx %r9, t; // here\nA: ret;\nB: ret;",
       "mov.u32 %r9, 1; t: .branchtargets A, B; brx.idx %r9, t; A: ret; B: ret;",
       "branch 2 of a list of 2 targets", 715, 1, 0, NULL},
      {MALLOC FREE "\n" FREE " // here", MALLOC FREE, "free of 0x", 719, 1, 0, pair_text},
      {MALLOC FREE "\nst.global.u32 [%rd3], %r5; // here", MALLOC "st.global.u32 [%rd3], %r5;" FREE,
       "use after free: store of 4 bytes at 0x", 700, 1, 0, pair_text},
      {"trap; // here", "setp.eq.u32 %p1, %r5, 9; @%p1 trap;", "the kernel executed 'trap'", 719, 1,
       0, NULL},
      {"L: bra L; // here",
       "mov.u32 %r9, 0; L: add.u32 %r9, %r9, 1; setp.lt.u32 %p1, %r9, 900;\n"
       "@%p1 bra L;",
       "an endless loop, or a wait for what never comes", 702, 32, 0, NULL},
      {"L: ld.volatile.global.u32 %r9, [%rd0]; setp.eq.u32 %p1, %r9, 0; // here\n@%p1 bra L;",
       "setp.lt.u32 %p2, %r5, 32; mov.u32 %r10, 1; @%p2 st.volatile.global.u32 [%rd0], %r10;\n"
       "L: ld.volatile.global.u32 %r9, [%rd0]; setp.eq.u32 %p1, %r9, 0; @%p1 bra L;",
       "an endless loop, or a wait for what never comes", 702, 64, 0, NULL},
  };
  setenv("SINTER_SIM_INSTRUCTIONS", "100000", 1);
  CHECK_ALL(all);
  unsetenv("SINTER_SIM_INSTRUCTIONS");
}

/* A pointer that the host freed. */
static void freed_by_the_host(void **state) {
  (void)state;
  CUmodule module;
  CUfunction f;
  CUdeviceptr p, next;
  assert_int_equal(cuModuleLoadData(&module, HEAD ENTRY "st.global.u32 [%rd1], %r5; ret; }\n"), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, "k"), 0);
  assert_int_equal(cuMemAlloc_v2(&p, 256), 0);
  assert_int_equal(cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, NULL, (void *[]){&p}, NULL), 0);
  assert_int_equal(cuMemFree_v2(p), 0);
  assert_int_equal(cuMemAlloc_v2(&next, 256), 0); /* does not lie where the other lay */
  assert_int_equal(cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, NULL, (void *[]){&p}, NULL), 700);
  cuDevicePrimaryCtxReset_v2(0);
  assert_int_equal(cuModuleUnload(module), 0);
}

/* Shapes of launches, each beside the largest that is allowed. */
static void shapes(void **state) {
  (void)state;
  static const char text[] =
      HEAD ".visible .entry k() { ret; }\n"
           ".visible .entry some() .maxntid 64, 1, 1 { ret; }\n"
           ".visible .entry all() .reqntid 64, 1, 1 { ret; }\n"
           ".visible .entry pairs() .explicitcluster .reqnctapercluster 2, 1, 1 { ret; }\n"
           ".extern .shared .align 16 .b8 dynamic[];\n"
           ".visible .entry wide() { .reg .b32 %r0; mov.u32 %r0, dynamic; ret; }\n";
  static const struct {
    const char *name;
    unsigned grid[3], block[3], shared, cluster;
    bool cooperative;
    CUresult result;
  } all[] = {
      {"k", {1, 1, 1}, {1024, 1, 1}, 0, 1, false, 0},
      {"k", {1, 1, 1}, {1025, 1, 1}, 0, 1, false, 1},
      {"k", {1, 1, 1}, {32, 32, 2}, 0, 1, false, 1},
      {"k", {1, 1, 1}, {1, 1, 64}, 0, 1, false, 0},
      {"k", {1, 1, 1}, {1, 1, 65}, 0, 1, false, 1},
      {"k", {1, 1, 1}, {0, 1, 1}, 0, 1, false, 1},
      {"k", {0, 1, 1}, {1, 1, 1}, 0, 1, false, 1},
      {"k", {1, 65536, 1}, {1, 1, 1}, 0, 1, false, 1},
      {"k", {1, 1, 65536}, {1, 1, 1}, 0, 1, false, 1},
      {"some", {1, 1, 1}, {64, 1, 1}, 0, 1, false, 0},
      {"some", {1, 1, 1}, {65, 1, 1}, 0, 1, false, 1},
      {"all", {1, 1, 1}, {64, 1, 1}, 0, 1, false, 0},
      {"all", {1, 1, 1}, {32, 1, 1}, 0, 1, false, 1},
      {"wide", {1, 1, 1}, {1, 1, 1}, 49152, 1, false, 0},
      {"wide", {1, 1, 1}, {1, 1, 1}, 49153, 1, false, 1},
      {"k", {4, 1, 1}, {1, 1, 1}, 0, 2, false, 0},
      {"k", {3, 1, 1}, {1, 1, 1}, 0, 2, false, 912},
      {"k", {8, 1, 1}, {1, 1, 1}, 0, 8, false, 0},
      {"k", {16, 1, 1}, {1, 1, 1}, 0, 16, false, 912},
      {"pairs", {4, 1, 1}, {1, 1, 1}, 0, 2, false, 0},
      {"pairs", {4, 1, 1}, {1, 1, 1}, 0, 4, false, 912},
      {"k", {264, 1, 1}, {1024, 1, 1}, 0, 1, true, 0},
      {"k", {265, 1, 1}, {1024, 1, 1}, 0, 1, true, 720},
  };
  CUmodule module;
  assert_int_equal(cuModuleLoadData(&module, text), 0);
  for (unsigned k = 0; k < sizeof all / sizeof *all; k++) {
    CUfunction f;
    CUlaunchAttribute with[] = {{.id = 4, .value = {.cluster = {all[k].cluster, 1, 1}}},
                                {.id = 2, .value = {.number = all[k].cooperative}}};
    const unsigned *g = all[k].grid, *b = all[k].block;
    CUlaunchConfig shape = {{g[0], g[1], g[2]}, {b[0], b[1], b[2]}, all[k].shared, NULL, with, 2};
    assert_int_equal(cuModuleGetFunction(&f, module, all[k].name), 0);
    CUresult r = cuLaunchKernelEx(&shape, f, NULL, NULL);
    if (r != all[k].result)
      fprintf(stderr, "row %u of '%s': %d\n", k, all[k].name, r);
    assert_int_equal(r, all[k].result);
    assert_int_equal(cuCtxSynchronize(), 0); /* refused launches leave the context as it was */
  }
  assert_int_equal(cuModuleUnload(module), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bounds_and_alignment),
      cmocka_unit_test(what_nobody_wrote),
      cmocka_unit_test(races),
      cmocka_unit_test(copies),
      cmocka_unit_test(mbarriers),
      cmocka_unit_test(barriers),
      cmocka_unit_test(clusters),
      cmocka_unit_test(matrices),
      cmocka_unit_test(control),
      cmocka_unit_test(freed_by_the_host),
      cmocka_unit_test(shapes),
  };
  return cmocka_run_group_tests(tests, open_all, NULL);
}
