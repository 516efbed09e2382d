/* SPDX-License-Identifier: Apache-2.0 */
/* Bad text IR and bad arguments through the program. tests/ir/mistakes.sir shows what is said about
 * single mistakes; here are files that aim at the reader itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/support/program.h"

static int problems;

static void refuses(const char *name, const char *code, const void *text, size_t n) {
  program_write("bad.sir", text, n);
  problems += PROGRAM_REFUSES(name, code, "compile", program_path("bad.sir"), "-o",
                              program_path("bad.sinter"));
}

static void refuses_c(const char *name, const char *code, const char *text) {
  refuses(name, code, text, strlen(text));
}

/* head, n times part, n times close, tail */
static void refuses_nested(const char *name, const char *head, const char *part, const char *close,
                           const char *tail, int n) {
  struct strbuf b = {0};
  strbuf_append_c(&b, head);
  for (int i = 0; i < n; i++)
    strbuf_append_c(&b, part);
  for (int i = 0; i < n; i++)
    strbuf_append_c(&b, close);
  strbuf_append_c(&b, tail);
  refuses(name, "E0", b.data, b.len);
  strbuf_deinit(&b);
}

static const char whole[] = "constant @w : f32[1, 2] = [1.0, 2.0]\n"
                            "func @main(%x: f32[n, 2]) -> (f32[n, 2]) where n in 1..8 {\n"
                            "  %w = const @w\n"
                            "  %y = map %x, %w { add($0, $1) }\n"
                            "  return %y\n"
                            "}\n"
                            "entry @main(\"x\") -> (\"y\") { @main; }\n";

static void test_whole_file_compiles(void **state) {
  (void)state;
  struct program_end end;
  program_write("whole.sir", whole, sizeof whole - 1);
  program_run((const char *const[]){"compile", program_path("whole.sir"), "-o",
                                    program_path("whole.sinter"), NULL},
              &end);
  if (end.exit_code)
    printf("%s\n", end.err);
  assert_int_equal(end.exit_code, 0);
}

static void test_damaged_files(void **state) {
  (void)state;
  problems = 0;
  refuses("an empty file", "E", "", 0);
  char name[32], bytes[sizeof whole];
  for (size_t k = 1; k < sizeof whole - 3; k += 7) {
    snprintf(name, sizeof name, "cut at %zu", k);
    refuses(name, "E0", whole, k);
  }
  for (size_t k = 0; k < sizeof whole - 1; k += 11) {
    memcpy(bytes, whole, sizeof whole);
    bytes[k] = '\0';
    snprintf(name, sizeof name, "NUL at %zu", k);
    refuses(name, "E0", bytes, sizeof whole - 1);
  }
  memset(bytes, 0xff, sizeof bytes);
  refuses("no UTF-8", "E0", bytes, sizeof bytes);
  refuses_c("html", "E0201", "<!DOCTYPE html><html></html>");
  assert_int_equal(problems, 0);
}

static void test_numbers(void **state) {
  (void)state;
  problems = 0;
#define FUNCTION(type, body)                                                                       \
  "func @main(%x: " type ") -> (" type ") {\n" body "  return %x\n}\n"                             \
  "entry @main(\"x\") -> (\"y\") { @main; }\n"
  refuses_c("dim of 2^64", "E0", FUNCTION("f32[18446744073709551616]", ""));
  refuses_c("negative dim", "E0", FUNCTION("f32[-3]", ""));
  refuses_c("dims of exabytes", "E0", FUNCTION("f32[1048576, 1048576, 1048576]", ""));
  refuses_c("product of dims overflows", "E0",
            FUNCTION("f32[9223372036854775807, 9223372036854775807]", ""));
  refuses_c("17 dims", "E0", FUNCTION("f32[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", ""));
  refuses_c("unknown dtype", "E0", FUNCTION("f33[4]", ""));
  refuses_c("unknown op", "E0202", FUNCTION("f32[4]", "  %y = frobnicate %x\n"));
  refuses_c("dangling value", "E0202", FUNCTION("f32[4]", "  %y = map %ghost { neg($0) }\n"));
  refuses_c("value twice", "E0203", FUNCTION("f32[4]", "  %x = map %x { neg($0) }\n"));
  refuses_c("wrong attribute", "E02", FUNCTION("f32[4]", "  %y = transpose %x { perm = \"a\" }\n"));
  refuses_c("constant of other size", "E0206", "constant @c : f32[3] = [1.0, 2.0]\n");
  refuses_c("constant of odd hex", "E02", "constant @c : f32[1] = hex \"00000\"\n");
  refuses_c("constant of exabytes", "E02",
            "constant @c : f32[1048576, 1048576, 1048576] = [1.0]\n");
  refuses_c("body that calls itself", "E0",
            "func @main(%x: f32[2]) -> (f32[2]) {\n  %y = call %x { callee = @main } : f32[2]\n"
            "  return %y\n}\nentry @main(\"x\") -> (\"y\") { @main; }\n");
  assert_int_equal(problems, 0);
}

static void test_bombs(void **state) {
  (void)state;
  problems = 0;
  refuses_nested("depth of dims", "func @main(%x: f32[", "(", ")", "]) -> () {}\n", 200000);
  refuses_nested("depth of bodies", "func @m(%x: f32[2]) -> (f32[2]) {\n%y = map %x { ", "neg(",
                 ")", " }\nreturn %y\n}\n", 200000);
  refuses_nested("depth of regions", "func @m(%x: f32[2]) -> () {\n", "loop () region () {", "}",
                 "}\n", 100000);
  refuses_nested("many functions", "", "func @f() -> () {}\n", "", "", 20000);
  refuses_nested("a long word", "func @", "aaaaaaaaaaaaaaaa", "", "", 200000);
  refuses_nested("a long text", "entry @main(\"", "aaaaaaaaaaaaaaaa", "", "", 200000);
  refuses_nested("a long number", "constant @c : f32[1] = [", "9999999999999999", "", "]\n",
                 100000);
  assert_int_equal(problems, 0);
}

/* Text that is sound, but not made of kernels as pass fuse makes them. */
static void test_kernels(void **state) {
  (void)state;
  static const struct {
    const char *name, *body, *passes;
  } texts[] = {
      {"op that is no kernel", "%y = map %x { neg($0) }", "--passes=dce"},
      {"kernel in a kernel",
       "%y = fused %x { root = pointwise } region (%a: f32[4]) { %b = fused %a { root = pointwise "
       "} "
       "region (%c: f32[4]) { yield %c } yield %b }",
       "--passes=dce"},
      {"class without its op",
       "%y = fused %x { root = conv } region (%a: f32[4]) { %b = map %a { neg($0) } yield %b }",
       "--passes=dce"},
      {"nonzero class without its op",
       "%y = fused %x { root = nonzero } region (%a: f32[4]) { yield %a }", "--passes=dce"},
      {"value from outside",
       "%y = fused { root = pointwise } region { %b = map %x { neg($0) } yield %b }",
       "--passes=dce"},
      {"root in another class",
       "%y = fused %x { root = pointwise } region (%a: f32[4]) { %b, %i = topk %a { axis = 0, k = "
       "4 } "
       "yield %b }",
       "--passes=dce"},
      {"control in a kernel",
       "%y = fused %x { root = pointwise } region (%a: f32[4]) { %c = const @c %b = if %c region { "
       "yield %a } region { yield %a } : f32[4] yield %b }",
       "--passes=dce"},
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct strbuf b = {0};
    strbuf_printf(&b,
                  "constant @c : bool[] = [true]\nfunc @main(%%x: f32[4]) -> (f32[4]) {\n%s\n"
                  "return %%y\n}\nentry @main(\"x\") -> (\"y\") { @main; }\n",
                  texts[i].body);
    program_write("kernels.sir", b.data, b.len);
    strbuf_deinit(&b);
    problems += PROGRAM_REFUSES(texts[i].name, "E0301", "compile", program_path("kernels.sir"),
                                "-o", program_path("bad.sinter"), texts[i].passes);
  }
  assert_int_equal(problems, 0);
}

static void test_arguments(void **state) {
  (void)state;
  problems = 0;
  program_write("whole.sir", whole, sizeof whole - 1);
  const char *model = program_path("whole.sir"), *engine = program_path("arguments.sinter");
  struct program_end end;
  program_run((const char *const[]){"compile", model, "-o", engine, NULL}, &end);
  assert_int_equal(end.exit_code, 0);
  static const char *const options[][3] = {
      {"--threads", "-1", "E0802"},
      {"--threads", "99999999999999999999", "E0802"},
      {"--threads", "many", "E0802"},
      {"--devices", "", "E0"},
      {"--devices", "cuda:0-7", "E0"},
      {"--devices", "cpu:99999999999", "E0"},
      {"--seed", "x", "E0802"},
      {"--input", "x", "E0"},
      {"--input", "=random", "E0"},
      {"--input", "x=@/nonexistent", "E0"},
      {"--input", "x=random:1..", "E0"},
      {"--shape", "x:-1x2", "E0"},
      {"--shape", "x:99999999999x2", "E0"},
      {"--shape", "x:8x8x8x8", "E0"},
      {"--shape", "x:9x2", "E0"},
      {"--shape", "", "E0"},
      {"--output", "y", "E0"},
      {"--entry", "", "E0"},
      {"--no-such-option", "1", "E0801"},
  };
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    char name[64];
    snprintf(name, sizeof name, "%s '%s'", options[i][0], options[i][1]);
    problems += PROGRAM_REFUSES(name, options[i][2], "run", engine, "--random-inputs",
                                options[i][0], options[i][1]);
  }
  problems += PROGRAM_REFUSES("target", "E0403", "compile", model, "--target", "x86-64-v9");
  problems += PROGRAM_REFUSES("long target", "E0403", "compile", model, "--target",
                              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                              "%s%n%s%n");
  problems += PROGRAM_REFUSES("duration", "E0802", "bench", engine, "--random-inputs", "--duration",
                              "1e99999s");
  problems += PROGRAM_REFUSES("duration without unit", "E0802", "bench", engine, "--random-inputs",
                              "--duration", "5");
  problems += PROGRAM_REFUSES("memory", "E0802", "test", program_folder(), "--memory-limit",
                              "99999999999GiB");
  problems += PROGRAM_REFUSES("part", "E080", "test", program_folder(), "--part", "0");
  problems += PROGRAM_REFUSES("tolerance", "E0802", "test", program_folder(), "--rtol", "-1");
  problems += PROGRAM_REFUSES("a folder", "E0", "compile", program_folder());
  problems += PROGRAM_REFUSES("a device", "E0", "compile", "/dev/zero");
  problems += PROGRAM_REFUSES("a device as an engine", "E0", "inspect", "/dev/zero");
  assert_int_equal(problems, 0);
}

/* Inputs that are no arrays, or not what the engine takes. */
static void test_inputs(void **state) {
  (void)state;
  problems = 0;
  program_write("whole.sir", whole, sizeof whole - 1);
  const char *engine = program_path("inputs.sinter");
  struct program_end end;
  program_run((const char *const[]){"compile", program_path("whole.sir"), "-o", engine, NULL},
              &end);
  assert_int_equal(end.exit_code, 0);
  static const struct {
    const char *name, *text;
  } headers[] = {
      {"array of exabytes",
       "{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976, 2), }"},
      {"array whose size overflows",
       "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 4), }"},
      {"array of negative size", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2), }"},
      {"array of objects", "{'descr': '|O', 'fortran_order': False, 'shape': (1, 2), }"},
      {"array of another type", "{'descr': '<i8', 'fortran_order': False, 'shape': (0, 2), }"},
      {"array beyond the bounds", "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2), }"},
      {"array without data", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }"},
      {"no header", "{"},
  };
  for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
    struct strbuf b = {0};
    size_t n = strlen(headers[i].text);
    strbuf_append(&b, "\x93NUMPY\x01\x00", 8);
    strbuf_char(&b, (char)(n + 1));
    strbuf_char(&b, (char)((n + 1) >> 8));
    strbuf_printf(&b, "%s\n", headers[i].text);
    program_write("bad.npy", b.data, b.len);
    strbuf_deinit(&b);
    char argument[300];
    snprintf(argument, sizeof argument, "x=@%s", program_path("bad.npy"));
    problems += PROGRAM_REFUSES(headers[i].name, "E", "run", engine, "--input", argument);
  }
  char argument[300];
  program_write("bad.pb", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x10\x01", 12);
  snprintf(argument, sizeof argument, "x=@%s", program_path("bad.pb"));
  problems += PROGRAM_REFUSES("tensor of exabytes", "E", "run", engine, "--input", argument);
  assert_int_equal(problems, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_whole_file_compiles),
      cmocka_unit_test(test_damaged_files),
      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_bombs),
      cmocka_unit_test(test_kernels),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_inputs),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  program_clean();
  return failed;
}
