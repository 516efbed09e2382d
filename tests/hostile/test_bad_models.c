/* SPDX-License-Identifier: Apache-2.0 */
/* Bad ONNX files through the program: `check` and `compile` refuse each with a code, in a second
 * and in bounded memory. tests/frontend has the same and more against the loader alone. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/onnx_text.h"
#include "tests/support/pb_build.h"
#include "tests/support/program.h"

static int problems;

/* Both verbs; no engine may be left. */
static void refuses(const char *name, const char *code, const void *bytes, size_t n) {
  const char *model = "bad.onnx", *engine = "bad.sinter";
  long peak = 256 + (long)(n >> 20) * 12;
  program_write(model, bytes, n);
  problems +=
      program_refuses(name, code, peak, (const char *const[]){"check", program_path(model), NULL});
  problems += program_refuses(
      name, code, peak,
      (const char *const[]){"compile", program_path(model), "-o", program_path(engine), NULL});
  if (!access(program_path(engine), F_OK)) {
    printf("%s: an engine is left\n", name);
    unlink(program_path(engine));
    problems++;
  }
}

static void refuses_text(const char *name, const char *code, const char *text) {
  struct arena arena = {0};
  size_t n;
  uint8_t *bytes = onnx_text_pack(text, &arena, &n);
  refuses(name, code, bytes, n);
  arena_deinit(&arena);
}

static void refuses_model(const char *name, const char *code, struct strbuf model) {
  refuses(name, code, model.data, model.len);
  strbuf_deinit(&model);
}

#define SMALL "in x f32 [2]\ninit w f32 [2] = 1 2\ny = Add(x, w)\nout y\n"

/* ---- bytes ---- */

static void short_files(void) {
  struct arena arena = {0};
  size_t n;
  uint8_t *bytes = onnx_text_pack(SMALL, &arena, &n), zeros[16] = {0};
  char name[32];
  refuses("an empty file", "E0", "", 0);
  for (size_t k = 1; k <= 16; k += 3) {
    snprintf(name, sizeof name, "%zu bytes", k);
    refuses(name, "E01", bytes, k);
    refuses(name, "E01", zeros, k);
  }
  for (size_t k = 17; k < n; k += 13) { /* at every byte: tests/frontend/test_wire_scan.c */
    snprintf(name, sizeof name, "cut at %zu", k);
    refuses(name, "E01", bytes, k);
  }
  arena_deinit(&arena);
}

static void foreign_files(void) {
  static const struct {
    const char *name, *text;
  } files[] = {
      {"html", "<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"},
      {"zip", "PK\x03\x04\x14\0\0\0\x08\0model"},
      {"git-lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"},
      {"pickle", "\x80\x04\x95\x1f\0\0\0\0\0\0\0\x8c\x08__main__"},
      {"gguf", "GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f"},
      {"elf", "\x7f"
              "ELF\x02\x01\x01"},
      {"json", "{\"model\": []}\n"},
      {"text", "this is no model\n"},
  };
  char bytes[256];
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    memset(bytes, 0, sizeof bytes);
    snprintf(bytes, sizeof bytes, "%s", files[i].text);
    if (!strcmp(files[i].name, "zip"))
      memcpy(bytes + 4, "\x14\0\0\0\x08\0model", 11);
    refuses(files[i].name, "E01", bytes, sizeof bytes);
  }
}

static void bombs(void) {
  struct strbuf inner = {0}, g = {0};
  for (int i = 0; i < 5000; i++) { /* NodeProto.attribute.g of NodeProto.attribute.g of ... */
    struct strbuf node = {0}, attribute = {0}, graph = {0};
    pb_str(&attribute, 1, "body");
    pb_message(&attribute, 6, &inner);
    pb_message(&node, 5, &attribute);
    pb_message(&graph, 1, &node);
    inner = graph;
  }
  refuses_model("depth of 5000 subgraphs", "E0105", pb_model(&inner));
  for (int i = 0; i < 4 << 20; i++)
    strbuf_append(&g, "\x0a\0", 2);
  refuses_model("4 million empty nodes", "E01", pb_model(&g));
  g = (struct strbuf){0};
  for (int i = 0; i < 4 << 20; i++)
    strbuf_append(&g, "\x2a\0", 2);
  refuses_model("4 million empty tensors", "E01", pb_model(&g));
}

static void lengths(void) {
  static const struct {
    const char *name, *bytes;
    size_t n;
  } files[] = {
      {"length beyond the end", "\x08\x0a\x3a\x7f\x0a\x00", 6},
      {"length of 2^63", "\x08\x0a\x3a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 13},
      {"varint of 11 bytes", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13},
      {"unended varint", "\x08\xff\xff", 3},
      {"group", "\x08\x0a\x3b\x3c", 4},
      {"field 0", "\x08\x0a\x02\x00", 4},
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    refuses(files[i].name, "E01", files[i].bytes, files[i].n);
}

/* ---- tensors ---- */

static struct strbuf tensor_model(int32_t type, size_t rank, const int64_t *dims, size_t raw,
                                  bool typed) {
  static const char zeros[64];
  struct strbuf t = pb_tensor("w", type, rank, dims);
  if (typed)
    pb_bytes(&t, 4, zeros, 8); /* float_data, packed */
  if (raw || !typed)
    pb_bytes(&t, 9, zeros, raw);
  return pb_model_of_tensor(&t);
}

static void tensors(void) {
  const int64_t two[] = {2}, negative[] = {-2}, zero[] = {0}, huge[] = {INT64_MAX, 4},
                wrap[] = {INT64_C(1) << 32, INT64_C(1) << 32}, terabyte[] = {INT64_C(1) << 38};
  refuses_model("negative dim", "E0108", tensor_model(1, 1, negative, 8, false));
  refuses_model("dim of zero with data", "E0107", tensor_model(1, 1, zero, 8, false));
  refuses_model("product of dims overflows", "E010", tensor_model(1, 2, huge, 8, false));
  refuses_model("product of dims wraps to 0", "E010", tensor_model(1, 2, wrap, 0, false));
  refuses_model("terabyte in 8 bytes", "E0107", tensor_model(1, 1, terabyte, 8, false));
  refuses_model("raw data too short", "E0107", tensor_model(1, 1, two, 7, false));
  refuses_model("raw data too long", "E0107", tensor_model(1, 1, two, 9, false));
  refuses_model("raw and typed data", "E0108", tensor_model(1, 1, two, 8, true));
  refuses_model("unknown dtype", "E0108", tensor_model(999, 1, two, 8, false));
  refuses_model("dtype 0", "E0108", tensor_model(0, 1, two, 8, false));
  refuses_model("dtype below 0", "E0108", tensor_model(-1, 1, two, 8, false));
}

static void external(const char *name, const char *code, const char *location, const char *offset,
                     const char *length) {
  const int64_t dims[] = {2};
  struct strbuf t = pb_tensor("w", 1, 1, dims);
  pb_entry(&t, 13, "location", location);
  if (offset)
    pb_entry(&t, 13, "offset", offset);
  if (length)
    pb_entry(&t, 13, "length", length);
  pb_int(&t, 14, 1);
  refuses_model(name, code, pb_model_of_tensor(&t));
}

static void external_data(void) {
  program_write("data.bin", "12345678", 8);
  program_write("short.bin", "1234", 4);
  (void)!symlink("data.bin", program_path("link.bin"));
  (void)!link(program_path("data.bin"), program_path("hard.bin"));
  (void)!mkfifo(program_path("fifo"), 0600);
  (void)!mkdir(program_path("folder"), 0700);
  external("absolute path", "E0116", "/etc/passwd", NULL, NULL);
  external("path with ..", "E0116", "../etc/passwd", NULL, NULL);
  external("path with hidden ..", "E0116", "folder/../../data.bin", NULL, NULL);
  external("symbolic link", "E0116", "link.bin", NULL, NULL);
  external("hard link", "E0116", "hard.bin", NULL, NULL);
  external("fifo", "E0116", "fifo", NULL, NULL);
  external("folder", "E0116", "folder", NULL, NULL);
  external("missing file", "E0117", "missing.bin", NULL, NULL);
  external("short file", "E0118", "short.bin", NULL, NULL);
  external("offset beyond the end", "E0118", "short.bin", "4096", "8");
  external("offset that overflows", "E0118", "short.bin", "18446744073709551612", "8");
  external("length of other size", "E0107", "short.bin", "0", "4");
  external("offset that is no number", "E01", "short.bin", "-4", NULL);
}

/* ---- graphs ---- */

static void graphs(void) {
  refuses_text("unknown operator", "E0140", "in x f32 [2]\ny = Frobnicate(x)\nout y\n");
  refuses_text("unknown domain", "E0111", "in x f32 [2]\ny = com.nowhere::Relu(x)\nout y\n");
  refuses_text("opset of the future", "E0112", "opset 1000\nin x f32 [2]\ny = Relu(x)\nout y\n");
  refuses_text("value defined twice", "E0113", "in x f32 [2]\ny = Relu(x)\ny = Abs(x)\nout y\n");
  refuses_text("dangling input", "E0114", "in x f32 [2]\ny = Add(x, ghost)\nout y\n");
  refuses_text("cycle", "E0115", "in x f32 [2]\ny = Add(x, z)\nz = Relu(y)\nout z\n");
  refuses_text("output of nothing", "E0114", "in x f32 [2]\ny = Relu(x)\nout z\n");
  refuses_text("wrong kind of attribute", "E0143",
               "in x f32 [2,3]\ny = Transpose(x) {perm=\"no\"}\nout y\n");
  refuses_text("attribute of no operator", "E0147", "in x f32 [2]\ny = Relu(x) {wish=1}\nout y\n");
  refuses_text("too many operands", "E0144", "in x f32 [2]\ny = Relu(x, x, x)\nout y\n");
  refuses_text("recursive function", "E0120",
               "in x f32 [2]\ny = local::f(x)\nout y\nfunc f (a) -> (b)\nb = local::f(a)\nend\n");
  refuses_text(
      "body that sees nothing", "E0114",
      "in c bool []\nin x f32 [2]\n"
      "y = If(c) {then_branch=<a = Relu(ghost)\nout a\n>, else_branch=<b = Abs(x)\nout b\n>}\n"
      "out y\n");
  char name[] = "a\0b";
  struct strbuf g = {0}, node = pb_node("Relu", "x", NULL, NULL);
  pb_bytes(&node, 2, name, 3);
  pb_message(&g, 1, &node);
  refuses_model("NUL in a name", "E0109", pb_model(&g));
}

/* Small files that ask for exabytes. */
static void sizes(void) {
#define HUGE_SHAPE "init s i64 [3] = 1048576 1048576 1048576\n"
  refuses_text("Expand to exabytes", "E", "in x f32 [1]\n" HUGE_SHAPE "y = Expand(x, s)\nout y\n");
  refuses_text("ConstantOfShape of exabytes", "E", HUGE_SHAPE "y = ConstantOfShape(s)\nout y\n");
  refuses_text("Tile to exabytes", "E", "in x f32 [2,2,2]\n" HUGE_SHAPE "y = Tile(x, s)\nout y\n");
  refuses_text("input of exabytes", "E",
               "in x f32 [1048576,1048576,1048576]\ny = Relu(x)\nout y\n");
  refuses_text("product that overflows", "E",
               "in x f32 [9223372036854775807,9223372036854775807]\ny = Relu(x)\nout y\n");
  refuses_text("Range of 2^62", "E",
               "init a i64 [] = 0\ninit b i64 [] = 4611686018427387904\ninit c i64 [] = 1\n"
               "y = Range(a, b, c)\nout y\n");
  refuses_text("Pad by 2^62", "E",
               "in x f32 [2]\ninit p i64 [2] = 4611686018427387904 4611686018427387904\n"
               "y = Pad(x, p)\nout y\n");
  refuses_text("OneHot of 2^60", "E",
               "in x i64 [8]\ninit d i64 [] = 1152921504606846976\ninit v f32 [2] = 0 1\n"
               "y = OneHot(x, d, v)\nout y\n");
}

#define CASE(name)                                                                                 \
  static void test_##name(void **state) {                                                          \
    (void)state;                                                                                   \
    problems = 0;                                                                                  \
    name();                                                                                        \
    assert_int_equal(problems, 0);                                                                 \
  }
CASE(short_files)
CASE(foreign_files)
CASE(bombs)
CASE(lengths)
CASE(tensors)
CASE(external_data)
CASE(graphs)
CASE(sizes)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_short_files), cmocka_unit_test(test_foreign_files),
      cmocka_unit_test(test_bombs),       cmocka_unit_test(test_lengths),
      cmocka_unit_test(test_tensors),     cmocka_unit_test(test_external_data),
      cmocka_unit_test(test_graphs),      cmocka_unit_test(test_sizes),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  program_clean();
  return failed;
}
