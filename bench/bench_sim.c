/* SPDX-License-Identifier: Apache-2.0 */
/* Thread instructions per second of the simulator on point-wise code, on one core and on all. */
#include "sim/exec/device.h"

#include "base/clock.h"
#include "sim/exec/simt.h"
#include "sim/exec/written.h"

#include <stdio.h>

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

int main(void) {
  enum { N = 1 << 22 };
  struct diags d = {0};
  struct program *p;
  if (program_load(text, sizeof text - 1, 0, &d, &p)) {
    diags_print(&d, stderr);
    return 3;
  }
  struct {
    uint64_t a, b;
    uint32_t n;
  } params = {.n = N};
  params.a = device_alloc(0, 4 * N, ALLOCATION_DEVICE, NULL);
  params.b = device_alloc(0, 4 * N, ALLOCATION_DEVICE, NULL);
  for (uint64_t a[] = {params.a, params.b}, k = 0; k < 2; k++) {
    memset((void *)(uintptr_t)a[k], 0, 4 * N);
    written_mark(a[k], 4 * N);
  }
  struct launch l = {.program = p,
                     .kernel = program_function(p, "silu"),
                     .grid = {N / 256, 1, 1},
                     .block = {256, 1, 1},
                     .params = (uint8_t *)&params};
  uint64_t wall_0 = clock_now_ns(), cpu_0 = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  enum fault fault = launch_run(&l);
  double cpu = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_0) * 1e-9;
  double wall = (double)(clock_now_ns() - wall_0) * 1e-9;
  printf(
      "point-wise: %.0f M thread-instructions, %.3g per second and core, %.3g per second in all\n",
      (double)l.lane_instructions / 1e6, (double)l.lane_instructions / cpu,
      (double)l.lane_instructions / wall);
  program_unload(p);
  return fault != FAULT_NONE;
}
