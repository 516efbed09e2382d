/* SPDX-License-Identifier: Apache-2.0 */
/* Text IR: what is printed parses to the same, and what is wrong is told where. */
#include "base/mem.h"
#include "base/str.h"
#include "ir/text.h"
#include "ir/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct module *parse(const char *text, struct diags *d) {
  struct module *m = NULL;
  module_parse("test.sir", text, strlen(text), d, &m);
  return m;
}

/* Parses, prints, parses and prints again; the first print must be `expected`, or the text itself
 * where that is NULL. */
static void round_trip(const char *text, const char *expected) {
  struct diags d = {0};
  struct strbuf once = {0}, twice = {0};
  struct module *m = parse(text, &d);
  if (!m)
    diags_print(&d, stderr);
  assert_non_null(m);
  module_print(m, &once);
  assert_string_equal(strbuf_c(&once), expected ? expected : text);
  struct module *again = parse(strbuf_c(&once), &d);
  if (!again)
    diags_print(&d, stderr);
  assert_non_null(again);
  module_print(again, &twice);
  assert_string_equal(strbuf_c(&twice), strbuf_c(&once));
  module_destroy(m);
  module_destroy(again);
  strbuf_deinit(&once);
  strbuf_deinit(&twice);
  diags_deinit(&d);
}

static void test_a_layer(void **state) {
  (void)state;
  round_trip("constant @fc.weight : f32[2, 2] = [1.0, -0.0, 0.1, 1e+20]\n"
             "func @main(%x: f32[batch, 2]) -> (f32[batch, 2]) where batch in 1..64 {\n"
             "  %w = const @fc.weight : f32[2, 2]\n"
             "  %0 = contract %x, %w { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[batch, 2]\n"
             "  %1 = map %0 { max($0, 0.0) } : f32[batch, 2] loc(\"/relu\", \"Relu\", 3)\n"
             "  return %1\n"
             "}\n"
             "entry @main(\"x\") -> (\"y:0\") { @main; }\n",
             NULL);
}

static void test_scalar_bodies(void **state) {
  (void)state;
  round_trip(
      "func @f(%a: f32[3], %b: f32[3], %c: bool[3], %i: i64[3], %u: u64[3]) -> (f32[3], f16[3], "
      "f8e8m0[3], i64[3], u64[3], f32[3], bool[3]) {\n"
      "  %0 = map %a, %b { %t0 = add($0, $1); %t1 = exp(%t0); select(lt(%t1, inf), mul(%t0, %t1), "
      "-1.5) } : f32[3]\n"
      "  %1 = map %a { f16(tanh($0)) } : f16[3]\n"
      "  %2 = map %a { f8e8m0($0, up) } : f8e8m0[3]\n"
      "  %3 = map %i { sub($0, -9223372036854775808) } : i64[3]\n"
      "  %4 = map %u { and($0, 18446744073709551615) } : u64[3]\n"
      "  %5 = map %c { select($0, 1.0:f32, nan:f32) } : f32[3]\n"
      "  %6 = map %c { or(not($0), true) } : bool[3]\n"
      "  return %0, %1, %2, %3, %4, %5, %6\n"
      "}\n",
      NULL);
}

static void test_symbols_names_and_conditions(void **state) {
  (void)state;
  round_trip("func @\"odd name\"(%\"x:0\": f32[\"a b\", past + sequence], %/model/y: f32[in, "
             "total]) -> () "
             "where \"a b\" in 0.., in in 1..8, past in 0.., sequence in 1..128, total in .., "
             "total == past + sequence, 4 divides sequence {\n"
             "  return\n"
             "}\n",
             "func @\"odd name\"(%\"x:0\": f32[\"a b\", (past + sequence)], %/model/y: f32[in, "
             "total]) -> () "
             "where \"a b\" in 0.., in in 1..8, past in 0.., sequence in 1..128, "
             "total == (past + sequence), 4 divides sequence {\n"
             "  return\n"
             "}\n");
}

/* A symbol named as the word that follows names, first after `where`. */
static void test_a_symbol_named_in_comes_first(void **state) {
  (void)state;
  round_trip("func @f(%x: f32[in, where]) -> () where in in 1..8, where in 1..9 {\n"
             "  return\n"
             "}\n",
             NULL);
  round_trip("func @f(%x: f32[where]) -> () where where in 1..9 {\n"
             "  return\n"
             "}\n",
             NULL);
}

static void test_shardings(void **state) {
  (void)state;
  round_trip("mesh @m0 [cp=2, tp=4]\n"
             "mesh @m1 [dp=8]\n"
             "func @main(%x: f32[batch, 4096] @ {-, tp*64} partial(sum, cp), %y: f32[64, 8] @ "
             "{[cp, tp:2]~zig, tp/2:2~16}, %z: f32[8] @m1 {dp}) -> (f32[batch, 4096] @ {-, tp*64} "
             "partial(sum, cp)) where batch in 1..4 {\n"
             "  return %x\n"
             "}\n",
             NULL);
}

static void test_regions(void **state) {
  (void)state;
  round_trip("func @main(%c: bool[], %x: f32[4], %n: i64[]) -> (f32[4], f32[4], f32[steps, 4]) "
             "where steps in 0.. {\n"
             "  %0 = if %c region {\n"
             "    %1 = map %x { exp($0) } : f32[4]\n"
             "    yield %1\n"
             "  } region {\n"
             "    yield %x\n"
             "  } : f32[4]\n"
             "  %last, %all = loop %n, %c, %0 { trip = steps, carried = 1 } region (%i: i64[], "
             "%acc: f32[4]) {\n"
             "    %2 = map %acc { mul($0, 2.0) } : f32[4]\n"
             "    yield %c, %2, %2\n"
             "  } : f32[4], f32[steps, 4]\n"
             "  %3 = fused %x { root = pointwise } region (%4: f32[4]) {\n"
             "    %5 = map %4 { neg($0) } : f32[4]\n"
             "    yield %5\n"
             "  } : f32[4]\n"
             "  return %last, %3, %all\n"
             "}\n",
             NULL);
}

static void test_constants(void **state) {
  (void)state;
  round_trip("constant @a : i8[3] = [-128, 0, 127]\n"
             "constant @b : f16[2] = [65504.0, -inf]\n"
             "constant @c : f32[1] = hex \"0100c07f\"\n"
             "constant @d : i4[3] = hex \"2103\"\n"
             "constant @e : bool[2] = [true, false]\n"
             "constant @f : f64[] = [0.1]\n"
             "constant @g : f32[0, 4] = []\n"
             "constant @h : f32[1000] = file(\"w.data\", 4096)\n"
             "constant @i : u64[1] = [18446744073709551615]\n"
             "constant @\"j k\" : bf16[1] = [1.0]\n",
             NULL);
}

static void write_file(const char *path, const void *data, size_t n) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  fclose(f);
}

static void test_constants_in_files(void **state) {
  (void)state;
  char data[80], weights[] = "/tmp/sinter_text_XXXXXX", text_path[64], text[200];
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (char)i;
  int fd = mkstemp(weights);
  assert_true(fd >= 0);
  close(fd);
  write_file(weights, data, sizeof data);
  snprintf(text_path, sizeof text_path, "%s.sir", weights);
  for (int offset = 16; offset <= 17; offset++) {
    struct diags d = {0};
    struct module *m = NULL;
    int n =
        snprintf(text, sizeof text, "constant @w : i8[64] = file(\"%s\", %d)\n", weights, offset);
    write_file(text_path, text, (size_t)n);
    status s = module_parse_file(text_path, &d, &m);
    assert_int_equal(s, offset == 16 ? STATUS_OK : STATUS_INVALID);
    if (m) {
      struct strbuf printed = {0};
      assert_memory_equal(m->constants.data[1].data, data + 16, 64);
      module_print(m, &printed);
      assert_string_equal(strbuf_c(&printed), text);
      strbuf_deinit(&printed);
    }
    module_destroy(m);
    diags_deinit(&d);
  }
  unlink(weights);
  unlink(text_path);
}

static void test_comments_and_left_out_types(void **state) {
  (void)state;
  round_trip("# a comment\n"
             "func @main(%x: f32[2, 3]) -> (f32[3, 2]) { # here too\n"
             "%7 = transpose %x {perm=[1,0]} %8 = map %7 { exp($0) } return %8 }",
             "func @main(%x: f32[2, 3]) -> (f32[3, 2]) {\n"
             "  %0 = transpose %x { perm = [1, 0] } : f32[3, 2]\n"
             "  %1 = map %0 { exp($0) } : f32[3, 2]\n"
             "  return %1\n"
             "}\n");
}

static void test_variants(void **state) {
  (void)state;
  round_trip("func @one(%x: f32[1]) -> (f32[1]) {\n"
             "  return %x\n"
             "}\n"
             "func @any(%x: f32[batch]) -> (f32[batch]) where batch in 1..8 {\n"
             "  return %x\n"
             "}\n"
             "entry @main(\"x\") -> (\"y\") { @one where batch == 1; @any; }\n",
             NULL);
}

/* ---- what is wrong ---- */

static void fails(const char *text, enum diag_code code, uint32_t line, uint32_t column) {
  struct diags d = {0};
  struct module *m = parse(text, &d);
  assert_null(m);
  assert_true(diags_count(&d) > 0);
  const struct diag *first = diags_get(&d, 0);
  if (first->code != code || first->where.line != line || first->where.column != column)
    diags_print(&d, stderr);
  assert_string_equal(diag_code_name(first->code), diag_code_name(code));
  assert_int_equal(first->where.line, line);
  assert_int_equal(first->where.column, column);
  diags_deinit(&d);
}

static void test_errors_have_places(void **state) {
  (void)state;
  fails("func main", DIAG_E0201, 1, 6);
  fails("func @f() -> () {\n  %0 = nope %1\n  return\n}", DIAG_E0202, 2, 8);
  fails("func @f(%x: f33[2]) -> () { return }", DIAG_E0202, 1, 13);
  fails("func @f(%x: f32[2]) -> () {\n  %0 = map %y { exp($0) }\n  return }", DIAG_E0202, 2, 12);
  fails("func @f(%x: f32[2]) -> () {\n %0 = map %x { exp(1.0) }\n return }", DIAG_E0208, 2, 20);
  fails("func @f(%x: i32[2]) -> () {\n %0 = map %x { exp($0) }\n return }", DIAG_E0208, 2, 16);
  fails("func @f(%x: f32[2]) -> () {\n %0 = map %x { exp($1) }\n return }", DIAG_E0202, 2, 20);
  fails("func @f(%x: f32[2]) -> (f32[3]) { return %x }", DIAG_E0207, 1, 42);
  fails("func @f(%x: f32[2]) -> () {\n %0 = map %x { exp($0) } : f16[2]\n return }", DIAG_E0207, 2,
        7);
  fails("func @f(%x: f32[2]) -> () {\n %0 = transpose %x { prm = [0] }\n return }", DIAG_E0204, 2,
        22);
  fails("func @f(%x: f32[2]) -> () {\n %0 = transpose %x { perm = [1] }\n return }", DIAG_E0301, 2,
        7);
  fails("func @f(%x: f32[2], %x: f32[2]) -> () { return }", DIAG_E0203, 1, 21);
  fails("func @f(%x: f32[a]) -> () where a in 4..2 { return }", DIAG_E0205, 1, 33);
  fails("func @f(%x: f32[99999999999999999999]) -> () { return }", DIAG_E0205, 1, 37);
  fails("func @f(%x: f32[4611686018427387904*4]) -> () { return }", DIAG_E0205, 1, 17);
  fails("constant @c : f32[2] = [1.0]", DIAG_E0206, 1, 10);
  fails("constant @c : f32[99999999999] = hex \"00\"", DIAG_E0206, 1, 38);
  fails("constant @c : i8[1] = [200]", DIAG_E0205, 1, 24);
  fails("func @f(%x: f32[2] @ {-}) -> () { return }", DIAG_E0202, 1, 20);
  fails("entry @e() -> () { @nope; }", DIAG_E0202, 1, 20);
}

static void test_several_errors_in_one_go(void **state) {
  (void)state;
  struct diags d = {0};
  struct module *m = parse("func @f(%x: f32[2]) -> () {\n"
                           "  %0 = nope %x\n"
                           "  %1 = map %0 { exp($0) }\n"
                           "  %2 = map %x { foo($0) }\n"
                           "  return )\n"
                           "}\n"
                           "constant @c : f32[2] = [1.0]\n",
                           &d);
  assert_null(m);
  assert_int_equal(diags_count(&d), 4);
  assert_int_equal(diags_get(&d, 0)->where.line, 2);
  assert_int_equal(diags_get(&d, 1)->where.line, 4);
  assert_int_equal(diags_get(&d, 2)->where.line, 5);
  assert_int_equal(diags_get(&d, 3)->where.line, 7);
  diags_deinit(&d);
}

static void test_hostile_nesting_is_refused(void **state) {
  (void)state;
  struct strbuf text = {0};
  strbuf_append_c(&text, "func @f(%x: f32[");
  for (int i = 0; i < 100000; i++)
    strbuf_char(&text, '(');
  fails(strbuf_c(&text), DIAG_E0209, 1, 4007);
  strbuf_clear(&text);
  strbuf_append_c(&text, "func @f(%c: bool[]) -> () {\n");
  for (int i = 0; i < 100; i++)
    strbuf_append_c(&text, "if %c region {\n");
  fails(strbuf_c(&text), DIAG_E0209, 50, 7);
  strbuf_clear(&text);
  strbuf_append_c(&text, "func @f(%c: f32[]) -> () { %0 = map %c { ");
  for (int i = 0; i < 300; i++)
    strbuf_append_c(&text, "exp(");
  strbuf_append_c(&text, "$0");
  for (int i = 0; i < 300; i++)
    strbuf_append_c(&text, ")");
  strbuf_append_c(&text, "} return }");
  fails(strbuf_c(&text), DIAG_E0209, 1, 42 + 4 * 129);
  strbuf_deinit(&text);
}

/* Every prefix of a text, and the text with each byte changed, parses or is refused in peace. */
static void test_damaged_texts(void **state) {
  (void)state;
  static const char text[] =
      "mesh @m0 [tp=4]\n"
      "constant @w : f32[2] = [1.0, 2.0]\n"
      "func @main(%c: bool[], %x: f32[n, 2] @ {-, tp*2}) -> (f32[n, 2]) where n in 1..4, n < 5 {\n"
      "  %w = const @w : f32[2]\n"
      "  %0 = reshape %w { dims = [1, 2] } : f32[1, 2]\n"
      "  %1 = map %x, %0 { %t0 = mul($0, $1); select(lt(%t0, 2.0), %t0, -1.0) } : f32[n, 2]\n"
      "  %2 = if %c region { yield %1 } region { yield %x } : f32[n, 2] loc(\"a\", \"If\", 1)\n"
      "  return %2\n"
      "}\n"
      "entry @main(\"c\", \"x\") -> (\"y\") { @main; }\n";
  static const char bytes[] = "%@{}[](),;:=<*~$-9\"\\#\n\xff";
  char copy[sizeof text];
  struct diags d = {0};
  for (size_t i = 0; i < sizeof text; i++) {
    struct module *m = NULL;
    module_parse(NULL, text, i, &d, &m);
    module_destroy(m);
    diags_clear(&d);
    memcpy(copy, text, sizeof text);
    copy[i] = bytes[i % (sizeof bytes - 1)];
    module_parse(NULL, copy, sizeof text - 1, &d, &m);
    module_destroy(m);
    diags_clear(&d);
  }
  diags_deinit(&d);
}

/* ---- memory ---- */

static const char oom_text[] =
    "mesh @m0 [tp=4]\n"
    "constant @w : f32[2] = [1.0, 2.0]\n"
    "func @main(%c: bool[], %x: f32[n, 2] @ {-, tp*2}) -> (f32[n, 2]) where n in 1..4 {\n"
    "  %w = const @w : f32[2]\n"
    "  %0 = reshape %w { dims = [1, 2] } : f32[1, 2]\n"
    "  %1 = map %x, %0 { %t0 = mul($0, $1); select(lt(%t0, 2.0), %t0, -1.0) } : f32[n, 2]\n"
    "  %2 = if %c region { yield %1 } region { yield %x } : f32[n, 2] loc(\"a\", \"If\", 1)\n"
    "  return %2\n"
    "}\n";

/* Everything is made and destroyed inside the guard that this runs under. */
static status parse_and_print(void *context) {
  struct module *m = NULL;
  struct strbuf text = {0};
  status s = module_parse("oom.sir", oom_text, sizeof oom_text - 1, context, &m);
  if (s)
    return s;
  module_print(m, &text);
  module_destroy(m);
  strbuf_deinit(&text);
  return STATUS_OK;
}

static void test_exhaustion_leaves_nothing_behind(void **state) {
  (void)state;
  for (uint64_t n = 1;; n++) {
    struct diags d = {0};
    mem_fail_nth(n);
    status s = oom_guard_run(parse_and_print, &d);
    bool pending = mem_fail_pending();
    mem_fail_nth(0);
    diags_deinit(&d);
    if (s == STATUS_OK && pending)
      break;
    assert_int_equal(s, STATUS_RESOURCES);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_layer),
      cmocka_unit_test(test_scalar_bodies),
      cmocka_unit_test(test_symbols_names_and_conditions),
      cmocka_unit_test(test_a_symbol_named_in_comes_first),
      cmocka_unit_test(test_shardings),
      cmocka_unit_test(test_regions),
      cmocka_unit_test(test_constants),
      cmocka_unit_test(test_constants_in_files),
      cmocka_unit_test(test_comments_and_left_out_types),
      cmocka_unit_test(test_variants),
      cmocka_unit_test(test_errors_have_places),
      cmocka_unit_test(test_several_errors_in_one_go),
      cmocka_unit_test(test_hostile_nesting_is_refused),
      cmocka_unit_test(test_damaged_texts),
      cmocka_unit_test(test_exhaustion_leaves_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
