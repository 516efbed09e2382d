/* SPDX-License-Identifier: Apache-2.0 */
/* Bad engine files through the program: `inspect` and `run` refuse each with a code. A section
 * table that lies is sealed with right digests, as an attacker would.
 * tests/runtime/test_engine_damage.c does the same to every byte, against the loader alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "runtime/engine_format.h"
#include "tests/support/program.h"

static int problems;
static uint8_t *engine; /* a whole one */
static size_t engine_bytes;

static void refuses(const char *name, const char *code, const void *bytes, size_t n) {
  program_write("bad.sinter", bytes, n);
  const char *path = program_path("bad.sinter");
  problems += PROGRAM_REFUSES(name, code, "inspect", path, "--kernels", "--weights");
  problems += PROGRAM_REFUSES(name, code, "run", path, "--random-inputs");
}

static int make_engine(void **state) {
  (void)state;
  struct program_end end;
  struct diags diags = {0};
  char *data;
  program_run((const char *const[]){"compile",
                                    SINTER_TEST_SOURCE_DIR "/models/digits_cnn/model.onnx", "-o",
                                    program_path("whole.sinter"), NULL},
              &end);
  if (end.exit_code ||
      file_read(program_path("whole.sinter"), 16 << 20, &diags, &data, &engine_bytes) != STATUS_OK)
    return -1;
  engine = (uint8_t *)data;
  diags_deinit(&diags);
  return 0;
}

static int drop_engine(void **state) {
  (void)state;
  mem_free(engine);
  return 0;
}

/* A changed copy: header and sections to write to, then to seal. */
struct forgery {
  uint8_t *bytes;
  struct engine_header *header;
  struct engine_section *sections;
};

static struct forgery forge(void) {
  struct forgery f = {.bytes = aligned_alloc(64, (engine_bytes + 63) & ~(size_t)63)};
  memcpy(f.bytes, engine, engine_bytes);
  f.header = (struct engine_header *)(void *)f.bytes;
  f.sections = (struct engine_section *)(void *)(f.bytes + sizeof *f.header);
  return f;
}

static void seal(struct forgery *f) {
  struct digest_stream s;
  uint32_t n = f->header->section_count;
  digest_stream_init(&s);
  digest_stream_update(&s, f->header, offsetof(struct engine_header, digest));
  digest_stream_update(&s, f->sections,
                       (n < ENGINE_MAX_SECTIONS ? n : ENGINE_MAX_SECTIONS) * sizeof *f->sections);
  struct digest d = digest_stream_final(&s);
  memcpy(f->header->digest, d.b, sizeof f->header->digest);
}

static void refuses_forgery(const char *name, const char *code, struct forgery *f) {
  seal(f);
  refuses(name, code, f->bytes, engine_bytes);
  free(f->bytes);
}

#define FORGE(name, code, change)                                                                  \
  do {                                                                                             \
    struct forgery f = forge();                                                                    \
    change;                                                                                        \
    refuses_forgery(name, code, &f);                                                               \
  } while (0)

static void test_damaged_files(void **state) {
  (void)state;
  char name[48];
  problems = 0;
  refuses("an empty file", "E050", "", 0);
  for (size_t k = 1; k <= 16; k += 3) {
    snprintf(name, sizeof name, "%zu bytes", k);
    refuses(name, "E050", engine, k);
  }
  for (int i = 1; i < 16; i++) {
    snprintf(name, sizeof name, "cut at %d/16", i);
    refuses(name, "E0502", engine, engine_bytes * (size_t)i / 16);
  }
  uint8_t *bytes = malloc(engine_bytes);
  memcpy(bytes, engine, engine_bytes);
  for (size_t k = 0; k < sizeof(struct engine_header) + sizeof(struct engine_section); k += 9) {
    bytes[k] ^= 4;
    snprintf(name, sizeof name, "a flipped bit of byte %zu", k);
    refuses(name, "E05", bytes, engine_bytes);
    bytes[k] ^= 4;
  }
  const struct engine_header *header = (const struct engine_header *)(const void *)engine;
  const struct engine_section *sections =
      (const struct engine_section *)(const void *)(engine + sizeof *header);
  for (uint32_t i = 0; i < header->section_count; i++) {
    if (sections[i].kind == ENGINE_SECTION_WEIGHTS || !sections[i].bytes)
      continue; /* weights are compared on request */
    bytes[sections[i].offset + sections[i].bytes / 2] ^= 1;
    snprintf(name, sizeof name, "a flipped bit of section %u", i);
    refuses(name, "E0504", bytes, engine_bytes);
    bytes[sections[i].offset + sections[i].bytes / 2] ^= 1;
  }
  free(bytes);
  refuses("another kind of file", "E0501", "GGUF\x03\0\0\0", 8);
  assert_int_equal(problems, 0);
}

static void test_forged_tables(void **state) {
  (void)state;
  problems = 0;
  FORGE("bad magic", "E0501", f.header->magic[0] ^= 1);
  FORGE("newer version", "E0503", f.header->version++);
  FORGE("version 0", "E0503", f.header->version = 0);
  FORGE("another file size", "E0502", f.header->file_bytes += ENGINE_PAGE);
  FORGE("no sections", "E05", f.header->section_count = 0);
  FORGE("too many sections", "E05", f.header->section_count = UINT32_MAX);
  FORGE("unknown section kind", "E0505", f.sections[0].kind = 77);
  FORGE("unaligned section", "E0505", f.sections[1].offset += 64);
  FORGE("overlapping sections", "E0505", f.sections[1].offset = f.sections[0].offset);
  FORGE("section over the header", "E0505", f.sections[0].offset = 0);
  FORGE("section beyond the end", "E0505", f.sections[1].offset = UINT64_C(1) << 40);
  FORGE("section that wraps", "E0505", f.sections[1].bytes = UINT64_MAX - ENGINE_PAGE + 1);
  FORGE("section of exabytes", "E0505", f.sections[1].bytes = UINT64_C(1) << 60);
  FORGE("reserved bits", "E0505", f.sections[0].reserved = 1);
  FORGE("digest of a section", "E0504", {
    for (uint32_t i = 0; i < f.header->section_count; i++)
      if (f.sections[i].kind == ENGINE_SECTION_MANIFEST)
        f.sections[i].digest[3] ^= 1;
  });
  FORGE("two manifests", "E0505", {
    for (uint32_t i = 0; i < f.header->section_count; i++)
      if (f.sections[i].kind == ENGINE_SECTION_CODE) {
        f.sections[i].kind = ENGINE_SECTION_MANIFEST;
        memset(f.sections[i].target, 0, sizeof f.sections[i].target);
      }
  });
  FORGE("unended target", "E0505", {
    for (uint32_t i = 0; i < f.header->section_count; i++)
      if (f.sections[i].kind == ENGINE_SECTION_CODE)
        memset(f.sections[i].target, 'x', sizeof f.sections[i].target);
  });
  assert_int_equal(problems, 0);
}

/* Readable anywhere, but not to be run here. */
static void test_wrong_target(void **state) {
  (void)state;
  struct forgery f = forge();
  problems = 0;
  for (uint32_t i = 0; i < f.header->section_count; i++)
    if (f.sections[i].kind == ENGINE_SECTION_CODE) {
      memset(f.sections[i].target, 0, sizeof f.sections[i].target);
      strcpy(f.sections[i].target, "riscv64");
    }
  seal(&f);
  program_write("riscv.sinter", f.bytes, engine_bytes);
  problems += PROGRAM_REFUSES("code for another machine", "E050", "run",
                              program_path("riscv.sinter"), "--random-inputs");
  free(f.bytes);
  assert_int_equal(problems, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_damaged_files),
      cmocka_unit_test(test_forged_tables),
      cmocka_unit_test(test_wrong_target),
  };
  int failed = cmocka_run_group_tests(tests, make_engine, drop_engine);
  program_clean();
  return failed;
}
