/* SPDX-License-Identifier: Apache-2.0 */
/* What is not simulated is an error when the module is loaded, which names it and its line. */
#include "tests/sim/sim_api.h"

static CUresult (*load)(CUmodule *, const void *, unsigned, int *, void **);
static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() &&
                 !cuGetProcAddress_v2("cuModuleLoadDataEx", (void **)&load, 13000, 0, NULL)
             ? 0
             : -1;
}

#define HEAD                                                                                       \
  ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 p) {\n"           \
  ".reg .pred %p<4>; .reg .b16 %h<4>; .reg .b32 %r<12>; .reg .b64 %d<8>; .reg .f32 %f<12>;\n\n"
enum { LINE = 7 };

struct refusal {
  const char *text, *named;
};
static const struct refusal all[] = {
    /* textures and surfaces */
    {"tex.2d.v4.f32.f32 {%f0, %f1, %f2, %f3}, [t, {%f4, %f5}];", "instruction 'tex'"},
    {"tld4.r.2d.v4.f32.f32 {%f0, %f1, %f2, %f3}, [t, {%f4, %f5}];", "instruction 'tld4'"},
    {"txq.width.b32 %r0, [t];", "instruction 'txq'"},
    {"suq.width.b32 %r0, [t];", "instruction 'suq'"},
    {"suld.b.1d.b32.trap {%r0}, [t, {%r1}];", "instruction 'suld'"},
    {"sust.b.1d.b32.trap [t, {%r1}], {%r0};", "instruction 'sust'"},
    {"sured.b.add.1d.u32.trap [t, {%r1}], %r0;", "instruction 'sured'"},
    {"istypep.texref %p0, %d0;", "instruction 'istypep'"},
    /* multicast objects */
    {"multimem.ld_reduce.global.add.u32 %r0, [%d0];", "instruction 'multimem'"},
    {"multimem.st.global.u32 [%d0], %r0;", "instruction 'multimem'"},
    {"multimem.red.global.add.u32 [%d0], %r0;", "instruction 'multimem'"},
    /* what GPUs before the oldest target had */
    {"shfl.idx.b32 %r0, %r1, %r2, 31;", "'shfl'"},
    {"vote.ballot.b32 %r0, %p0;", "'vote'"},
    {"vadd.u32.u32.u32 %r0, %r1.b0, %r2;", "'%r1.b0'"},
    {"mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%f0, %f1, %f2, %f3, %f4, %f5, %f6, %f7}, "
     "{%r0, %r1}, {%r2, %r3}, {%f0, %f1, %f2, %f3, %f4, %f5, %f6, %f7};",
     "this form of 'mma'"},
    /* newer targets */
    {"tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r0], 32;", "instruction 'tcgen05'"},
    {"tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r0, 32;", "instruction 'tcgen05'"},
    {"tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;", "instruction 'tcgen05'"},
    {"tcgen05.mma.cta_group::1.kind::f16 [%r0], %d0, %d1, %r1, %p0;", "instruction 'tcgen05'"},
    {"tcgen05.ld.sync.aligned.16x64b.x1.b32 {%r0}, [%r1];", "instruction 'tcgen05'"},
    {"tcgen05.st.sync.aligned.16x64b.x1.b32 [%r1], {%r0};", "instruction 'tcgen05'"},
    {"tcgen05.cp.cta_group::1.128x256b [%r0], %d0;", "instruction 'tcgen05'"},
    {"tcgen05.shift.cta_group::1.down [%r0];", "instruction 'tcgen05'"},
    {"tcgen05.wait::ld.sync.aligned;", "instruction 'tcgen05'"},
    {"tcgen05.fence::before_thread_sync;", "instruction 'tcgen05'"},
    {"tcgen05.commit.cta_group::1.mbarrier::arrive::one.b64 [%d0];", "instruction 'tcgen05'"},
    {"clusterlaunchcontrol.try_cancel.async.shared::cta.mbarrier::complete_tx::bytes.b128 [%r0], "
     "[%r1];",
     "instruction 'clusterlaunchcontrol'"},
    {"mma.sync.aligned.m16n8k64.row.col.kind::mxf4.block_scale.f32.e2m1.e2m1.f32.ue8m0 {%f0, %f1, "
     "%f2, %f3}, {%r0, %r1, %r2, %r3}, {%r4, %r5}, {%f0, %f1, %f2, %f3}, %r6, {0, 0}, %r7, {0, 0};",
     "modifier '.kind::mxf4' of 'mma'"},
    {"cvt.rn.satfinite.e2m1x2.f32 %h0, %f0, %f1;", "modifier '.e2m1x2' of 'cvt'"},
    {"add.f32x2 %d0, %d1, %d2;", "modifier '.f32x2' of 'add'"},
    {"max.f32 %f0, %f1, %f2, %f3;", "this form of 'max'"},
    {"redux.sync.min.f32 %f0, %f1, -1;", "this form of 'redux'"},
    {"ld.global.v8.f32 {%f0, %f1, %f2, %f3, %f4, %f5, %f6, %f7}, [%d0];", "this form of 'ld'"},
    {"st.bulk.shared::cta [%r0], 64, 0;", "modifier '.bulk' of 'st'"},
    {"ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {%r0, %r1}, [%r2];",
     "modifier '.m16n16' of 'ldmatrix'"},
    {"cp.async.bulk.global.shared::cta.bulk_group.cp_mask [%d0], [%r0], 64, %h0;",
     "modifier '.cp_mask' of 'cp'"},
    {"cp.async.bulk.tensor.2d.shared::cta.global.tile::gather4.mbarrier::complete_tx::bytes [%r0], "
     "[%d0, {%r1, %r2, %r3, %r4, %r5}], [%r6];",
     "modifier '.tile::gather4' of 'cp'"},
    /* what there is not */
    {"wgmma.mma_async.sync.aligned.m64n8k16.f64.f16.f16 {%f0, %f1, %f2, %f3}, %d0, %d1, %p0, 1, 1, "
     "0, 0;",
     "this form of 'wgmma'"},
    {"wgmma.mma_async.sp.sync.aligned.m64n8k16.f32.f16.f16 {%f0, %f1, %f2, %f3}, %d0, %d1, %r0, 0, "
     "%p0, 1, 1, 0, 0;",
     "this form of 'wgmma'"},
    {"atom.global.add.s16 %h0, [%d0], %h1;", "this form of 'atom'"},
    {"fence.proxy.async.foo;", "modifier '.foo' of 'fence'"},
    {"setp.eq.u32 %p0, %r0, %d0;", "operand '%d0' of 'setp' has 64 bits where 32 are needed"},
    {"add.u32 %d0, %r0, %r1;", "destination '%d0' of 'add' has 64 bits where 32 are needed"},
    {"mov.u32 %r0, %nosuch;", "'%nosuch' is not declared"},
    {"bra NOWHERE;", "NOWHERE"},
    {"frobnicate.u32 %r0, %r1;", "instruction 'frobnicate'"},
};

static void refused(void **state) {
  (void)state;
  for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
    CUmodule m;
    char text[2000], log[1000] = "", at[20];
    int options[] = {6, 5};
    void *values[] = {(void *)sizeof log, log};
    snprintf(text, sizeof text, "%s%s\nret; }\n", HEAD, all[k].text);
    snprintf(at, sizeof at, ":%d\n", LINE);
    CUresult r = load(&m, text, 2, options, values);
    if (r != CUDA_ERROR_INVALID_PTX || !strstr(log, all[k].named) || !strstr(log, at))
      fprintf(stderr, "%s\ngave %d: %s\n", all[k].text, r, log);
    assert_int_equal(r, CUDA_ERROR_INVALID_PTX);
    assert_non_null(strstr(log, all[k].named));
    assert_non_null(strstr(log, at));
  }
}

/* The same without the line that is refused. */
static void accepted(void **state) {
  (void)state;
  CUmodule m;
  char text[1000];
  snprintf(text, sizeof text, "%s\nret; }\n", HEAD);
  assert_int_equal(cuModuleLoadData(&m, text), 0);
  assert_int_equal(cuModuleUnload(m), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(refused), cmocka_unit_test(accepted)};
  return cmocka_run_group_tests(tests, open_all, NULL);
}
