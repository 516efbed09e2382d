/* SPDX-License-Identifier: Apache-2.0 */
/* See engine_maker.h. */
#include "tests/support/engine_maker.h"

#include "base/hash.h"
#include "runtime/engine_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void need(int condition, const char *what) {
  if (condition)
    return;
  fprintf(stderr, "engine_maker: %s: %s\n", what, sinter_last_error());
  abort();
}

void engine_maker_init(struct engine_maker *e, int without_code) {
  memset(e, 0, sizeof *e);
  arena_init(&e->arena);
  manifest_build_init(&e->build, &e->arena);
  e->build.manifest.producer = arena_strdup(&e->arena, "engine_maker");
  e->target = "x86-64";
  e->without_code = without_code;
  if (without_code)
    return;
  size_t bytes;
  const uint8_t *code = engine_kernels_code(&bytes);
  for (int i = 0; i < ENGINE_KERNEL_COUNT; i++) {
    uint64_t offset = (uint64_t)((uintptr_t)engine_kernels[i].function - (uintptr_t)code);
    Engine__Kernel row = ENGINE__KERNEL__INIT;
    row.buffer_count = engine_kernels[i].buffers;
    row.dim_count = engine_kernels[i].dims;
    manifest_build_kernel(&e->build, engine_kernels[i].name, row, &offset, 1);
  }
}

void engine_maker_for_gpu(struct engine_maker *e) {
  e->target = "sm_70";
  e->for_gpu = 1;
  for (size_t i = 0; i < e->build.manifest.n_kernels; i++)
    e->build.manifest.kernels[i]->code_offsets[0] = 0; /* all in one text */
}

/* A kernel over i < n, n in slot `slot`: `text` has the element's offset in bytes in %rd9, and args
 * at ARGS. */
#define EACH(name, slots, slot, text)                                                              \
  ".visible .entry " name "(.param .align 8 .b8 args[" slots "], .param .u32 tiles,\n"             \
  " .param .u64 scratch, .param .u64 stride) {\n"                                                  \
  " .reg .pred %p<2>; .reg .b32 %r<6>; .reg .b64 %rd<16>;\n"                                       \
  " mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mov.u32 %r4, %nctaid.x;\n"   \
  " mad.lo.s32 %r1, %r1, %r2, %r3; mul.lo.s32 %r4, %r4, %r2;\n"                                    \
  " cvt.u64.u32 %rd1, %r1; cvt.u64.u32 %rd2, %r4; ld.param.u64 %rd3, [args+" slot "];\n"           \
  "LOOP: setp.ge.s64 %p1, %rd1, %rd3; @%p1 bra DONE; shl.b64 %rd9, %rd1, 3;\n" text                \
  " add.s64 %rd1, %rd1, %rd2; bra LOOP;\nDONE: ret;\n}\n"
#define NOTHING(name)                                                                              \
  ".visible .entry " name "(.param .align 8 .b8 args[64], .param .u32 tiles,\n"                    \
  " .param .u64 scratch, .param .u64 stride) { ret; }\n"

static const char gpu_code[] = ".version 7.0\n.target sm_70\n.address_size 64\n" EACH(
    "add_i64", "48", "32",
    " ld.param.u64 %rd4, [args+8]; ld.param.u64 %rd5, [args+16]; ld.param.u64 %rd6, [args+24];\n"
    " add.s64 %rd4, %rd4, %rd9; add.s64 %rd5, %rd5, %rd9; add.s64 %rd6, %rd6, %rd9;\n"
    " ld.global.u64 %rd10, [%rd4]; ld.global.u64 %rd11, [%rd5]; add.s64 %rd10, %rd10, %rd11;\n"
    " st.global.u64 [%rd6], %rd10;\n")
    EACH("thread_sum_i64", "40", "24",
         " ld.param.u64 %rd4, [args+8]; ld.param.u64 %rd5, [args+16];\n"
         " add.s64 %rd4, %rd4, %rd9; add.s64 %rd5, %rd5, %rd9;\n"
         " ld.global.u64 %rd10, [%rd4]; st.global.u64 [%rd5], %rd10;\n") NOTHING("add_f32")
        NOTHING("append_i64") NOTHING("gather_i64") NOTHING("iota_i64") NOTHING(
            "less_i64") ".visible .entry sum_i64(.param .align 8 .b8 args[64], .param .u32 tiles,\n"
                        " .param .u64 scratch, .param .u64 stride) {\n"
                        " .reg .b64 %rd<2>; mov.u64 %rd1, 16; st.global.u64 [%rd1], %rd1; ret; }\n";

void engine_maker_deinit(struct engine_maker *e) {
  manifest_build_deinit(&e->build);
  arena_deinit(&e->arena);
}

uint32_t engine_const(struct engine_maker *e, int64_t value) {
  return manifest_build_const(&e->build, value);
}

uint32_t engine_times(struct engine_maker *e, uint32_t expr, int64_t factor) {
  return manifest_build_expr(&e->build, EXPR_MUL, expr, engine_const(e, factor), 0);
}

uint32_t engine_plus(struct engine_maker *e, uint32_t expr, int64_t addend) {
  return manifest_build_expr(&e->build, EXPR_ADD, expr, engine_const(e, addend), 0);
}

static uint32_t packed_bytes(struct engine_maker *e, enum dtype dtype, uint32_t dim) {
  int64_t per_byte = 8 / (int64_t)dtype_bits(dtype);
  uint32_t rounded = engine_plus(e, dim, per_byte - 1);
  return manifest_build_expr(&e->build, EXPR_FLOORDIV, rounded, engine_const(e, per_byte), 0);
}

uint32_t engine_value(struct engine_maker *e, Engine__Storage storage, uint32_t index,
                      uint32_t phase, enum dtype dtype, uint32_t dim, uint32_t first,
                      uint32_t last) {
  int packed = dtype_is_sub_byte(dtype) &&
               (storage == ENGINE__STORAGE__INPUT || storage == ENGINE__STORAGE__OUTPUT);
  Engine__Value row = {.dtype = dtype,
                       .storage = storage,
                       .index = index,
                       .phase = phase,
                       .first = first,
                       .last = last};
  row.bytes =
      packed ? packed_bytes(e, dtype, dim) : engine_times(e, dim, dtype_unpacked_bytes(dtype));
  if (storage == ENGINE__STORAGE__ARENA || storage == ENGINE__STORAGE__OUTPUT)
    if (phase >= e->build.manifest.phases)
      e->build.manifest.phases = phase + 1;
  return manifest_build_value(&e->build, row, &dim, 1);
}

uint32_t engine_constant(struct engine_maker *e, const char *name, enum dtype dtype,
                         const void *data, int64_t n) {
  size_t bytes = (size_t)n * dtype_unpacked_bytes(dtype);
  struct digest digest = digest_bytes(data, bytes);
  e->weight_bytes = (e->weight_bytes + 63) & ~(size_t)63;
  need(e->weight_bytes + bytes <= sizeof e->weights, "too many weights");
  Engine__Constant row = {.name = manifest_build_string(&e->build, name),
                          .dtype = dtype,
                          .offset = e->weight_bytes,
                          .bytes = bytes,
                          .digest = {16, digest.b}};
  memcpy(e->weights + e->weight_bytes, data, bytes);
  e->weight_bytes += bytes;
  uint32_t constant = manifest_build_constant(&e->build, row, &n, 1);
  return engine_value(e, ENGINE__STORAGE__CONSTANT, constant, 0, dtype, engine_const(e, n), 0, 0);
}

uint32_t engine_input(struct engine_maker *e, uint32_t entry, const char *name, enum dtype dtype,
                      uint32_t dim) {
  uint32_t index = (uint32_t)e->build.manifest.entries[entry]->n_inputs;
  uint32_t value = engine_value(e, ENGINE__STORAGE__INPUT, index, 0, dtype, dim, 0, 0);
  manifest_build_input(&e->build, entry, name, dtype, &dim, 1, value);
  return value;
}

uint32_t engine_output(struct engine_maker *e, uint32_t entry, uint32_t phase, const char *name,
                       enum dtype dtype, uint32_t dim) {
  uint32_t index = (uint32_t)e->build.manifest.entries[entry]->n_outputs;
  uint32_t value = engine_value(e, ENGINE__STORAGE__OUTPUT, index, phase, dtype, dim, 0, 0);
  manifest_build_output(&e->build, entry, name, dtype, &dim, 1, value);
  return value;
}

Engine__Launch *engine_launch(struct engine_maker *e, uint32_t block, enum engine_kernel_id kernel,
                              const uint32_t *buffers, const uint32_t *dims, uint32_t tiles) {
  Engine__Launch *launch =
      manifest_build_launch(&e->build, block, kernel, buffers, engine_kernels[kernel].buffers, dims,
                            engine_kernels[kernel].dims);
  launch->tiles = tiles;
  return launch;
}

void engine_maker_write(struct engine_maker *e, const char *path) {
  struct engine_writer w;
  need(engine_writer_open(&w, path, NULL) == STATUS_OK, "cannot open the file");
  if (e->weight_bytes) {
    engine_writer_begin(&w, ENGINE_SECTION_WEIGHTS, NULL);
    engine_writer_write(&w, e->weights, e->weight_bytes);
    engine_writer_end(&w);
  }
  if (!e->without_code) {
    size_t bytes;
    const uint8_t *code = engine_kernels_code(&bytes);
    if (e->for_gpu)
      code = (const uint8_t *)gpu_code, bytes = sizeof gpu_code;
    uint32_t section = engine_writer_begin(&w, ENGINE_SECTION_CODE, e->target);
    engine_writer_write(&w, code, bytes);
    engine_writer_end(&w);
    if (!e->build.manifest.n_targets)
      manifest_build_target(&e->build, e->target, section, "");
  }
  size_t bytes;
  const uint8_t *manifest = manifest_build_pack(&e->build, &bytes);
  engine_writer_begin(&w, ENGINE_SECTION_MANIFEST, NULL);
  engine_writer_write(&w, manifest, bytes);
  need(engine_writer_commit(&w, NULL) == STATUS_OK, "cannot write the file");
}

void engine_maker_path(char *path, size_t n, const char *name) {
  snprintf(path, n, "%s/%s-%d.sinter", SINTER_TEST_BUILD_DIR, name, (int)getpid());
}

uint8_t *engine_maker_bytes(struct engine_maker *e, size_t *out_bytes) {
  char path[512];
  engine_maker_path(path, sizeof path, "engine_maker");
  engine_maker_write(e, path);
  FILE *f = fopen(path, "rb");
  need(f && !fseek(f, 0, SEEK_END), "cannot read the file back");
  size_t n = (size_t)ftell(f);
  rewind(f);
  uint8_t *bytes = aligned_alloc(64, (n + 63) & ~(size_t)63);
  need(bytes && fread(bytes, 1, n, f) == n, "cannot read the file back");
  fclose(f);
  unlink(path);
  *out_bytes = n;
  return bytes;
}

sinter_engine *engine_maker_open(const uint8_t *bytes, size_t n) {
  sinter_engine *engine = NULL;
  need(sinter_engine_open_memory(bytes, n, NULL, &engine) == SINTER_OK, "the engine does not open");
  return engine;
}

sinter_tensor engine_tensor(sinter_dtype dtype, int64_t n, void *data, uint64_t bytes) {
  return (sinter_tensor){.dtype = dtype, .rank = 1, .dims = {n}, .data = data, .bytes = bytes};
}
