/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator: thread instructions per second on point-wise code, on one core and on all, and a
 * GEMM by wgmma. Run from the root, or with the path of the GEMM's PTX. */
#include "sim/exec/device.h"

#include "base/clock.h"
#include "sim/exec/simt.h"
#include "sim/exec/tensor_map.h"
#include "sim/exec/written.h"

#include <stdio.h>
#include <stdlib.h>

static const char text[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry silu(.param .u64 pa, .param .u64 pb, .param .u32 n) {\n"
    ".reg .pred %p<3>; .reg .b32 %r<6>; .reg .b64 %rd<6>; .reg .f32 %f<9>;\n"
    "ld.param.u64 %rd0, [pa]; ld.param.u64 %rd1, [pb]; ld.param.u32 %r0, [n];\n"
    "mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;\n"
    "mad.lo.s32 %r4, %r1, %r2, %r3; setp.ge.u32 %p0, %r4, %r0; @%p0 bra END;\n"
    "mul.wide.u32 %rd2, %r4, 4; add.s64 %rd3, %rd0, %rd2; add.s64 %rd4, %rd1, %rd2;\n"
    "ld.global.f32 %f0, [%rd3]; ld.global.f32 %f1, [%rd4];\n"
    "mul.f32 %f2, %f0, 0fBFB8AA3B; ex2.approx.f32 %f3, %f2; add.f32 %f4, %f3, 0f3F800000;\n"
    "rcp.approx.f32 %f5, %f4; mul.f32 %f6, %f0, %f5; mul.f32 %f7, %f6, %f1; st.global.f32 [%rd3], "
    "%f7;\n"
    "END: ret;\n}\n";

static struct program *load(const char *source, size_t size) {
  struct diags d = {0};
  struct program *p;
  if (program_load(source, size, 0, &d, &p)) {
    diags_print(&d, stderr);
    exit(3);
  }
  return p;
}
static void mark(uint64_t at, size_t n, int byte) {
  memset((void *)(uintptr_t)at, byte, n);
  written_mark(at, n);
}

/* Runs a launch; its seconds of one core. */
static double seconds(struct launch *l, double *wall) {
  uint64_t wall_0 = clock_now_ns(), cpu_0 = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  if (launch_run(l))
    exit(1);
  *wall = (double)(clock_now_ns() - wall_0) * 1e-9;
  return (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_0) * 1e-9;
}

static void pointwise(void) {
  enum { N = 1 << 22 };
  struct program *p = load(text, sizeof text - 1);
  struct {
    uint64_t a, b;
    uint32_t n;
  } params = {.n = N};
  params.a = device_alloc(0, 4 * N, ALLOCATION_DEVICE, NULL);
  params.b = device_alloc(0, 4 * N, ALLOCATION_DEVICE, NULL);
  mark(params.a, 4 * N, 0);
  mark(params.b, 4 * N, 0);
  struct launch l = {.program = p,
                     .kernel = program_function(p, "silu"),
                     .grid = {N / 256, 1, 1},
                     .block = {256, 1, 1},
                     .params = (uint8_t *)&params};
  double wall, cpu = seconds(&l, &wall);
  printf(
      "point-wise: %.0f M thread-instructions, %.3g per second and core, %.3g per second in all\n",
      (double)l.lane_instructions / 1e6, (double)l.lane_instructions / cpu,
      (double)l.lane_instructions / wall);
  program_unload(p);
}

/* C = A B^T of bf16, with tensor copies and wgmma: the kernel of the tests, a tile of 64 x 64. */
static void gemm(const char *path) {
  enum { N = 512 };
  static char source[1 << 17];
  FILE *f = fopen(path, "r");
  if (!f) {
    fprintf(stderr, "%s cannot be read\n", path);
    exit(2);
  }
  size_t size = fread(source, 1, sizeof source, f);
  fclose(f);
  struct program *p = load(source, size);
  struct {
    struct {
      _Alignas(64) char bytes[128];
    } map[3];
    int steps;
    uint32_t bytes;
  } params = {.steps = N / 64, .bytes = 2 * 64 * 64 * 2};
  for (int k = 0; k < 3; k++) {
    uint64_t at = device_alloc(0, 2 * N * N, ALLOCATION_DEVICE, NULL);
    struct tensor_map m = {.address = at,
                           .dims = {N, N},
                           .strides = {2 * N},
                           .box = {64, 64},
                           .steps = {1, 1},
                           .type = 9,
                           .rank = 2,
                           .swizzle = SWIZZLE_128,
                           .magic = TENSOR_MAP_MAGIC};
    memcpy(&params.map[k], &m, sizeof m);
    mark(at, 2 * N * N, 0x3c);
  }
  struct launch l = {.program = p,
                     .kernel = program_function(p, "gemm"),
                     .grid = {N / 64, N / 64, 1},
                     .block = {128, 1, 1},
                     .params = (uint8_t *)&params};
  double best = 0, wall;
  for (int k = 0; k < 5; k++) {
    struct launch once = l;
    double s = seconds(&once, &wall);
    best = !k || s < best ? s : best;
  }
  printf("wgmma GEMM of %d x %d x %d: %.3f s of one core\n", N, N, N, best);
  program_unload(p);
}

int main(int argc, char **argv) {
  pointwise();
  gemm(argc > 1 ? argv[1] : "tests/sim/kernels/hopper_gemm.ptx");
  return 0;
}
