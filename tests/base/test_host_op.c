/* SPDX-License-Identifier: Apache-2.0 */
/* Strings by number, text, automata and the functions of host_op.def. */
#include "base/host_match.h"
#include "base/host_op.h"
#include "base/host_text.h"
#include "base/mem.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint64_t add(struct host_strings *s, const char *text) {
  uint64_t id = UINT64_MAX;
  assert_true(host_strings_add(s, text, strlen(text), &id));
  return id;
}

static void expect(const struct host_strings *s, uint64_t id, const char *text) {
  struct host_string x;
  assert_true(host_strings_get(s, id, &x));
  assert_int_equal(x.size, strlen(text));
  assert_memory_equal(x.data, text, x.size);
}

static void numbers_of_strings(void **state) {
  (void)state;
  struct host_strings s;
  const struct host_string fixed[] = {{"", 0}, {"a", 1}, {"a", 1}, {"x\0y", 3}};
  assert_true(host_strings_init(&s, fixed, 4));
  assert_int_equal(add(&s, ""), 0);
  assert_int_equal(add(&s, "a"), 1); /* of equal ones, the first */
  uint64_t b = add(&s, "b");
  assert_int_equal(b, 4);
  assert_int_equal(add(&s, "b"), b);
  uint64_t nul;
  assert_true(host_strings_add(&s, "x\0y", 3, &nul));
  assert_int_equal(nul, 3);
  struct host_string none;
  assert_false(host_strings_get(&s, 5, &none));
  assert_false(host_strings_get(&s, UINT64_MAX, &none));
  host_strings_reset(&s);
  assert_false(host_strings_get(&s, 4, &none));
  assert_int_equal(add(&s, "c"), 4);
  host_strings_deinit(&s);
}

/* Many strings, some large, twice: the second time nothing is allocated. */
static void memory_is_kept(void **state) {
  (void)state;
  struct host_strings s;
  static char large[200000];
  memset(large, 'x', sizeof large - 1);
  assert_true(host_strings_init(&s, NULL, 0));
  uint64_t bytes = 0;
  for (int round = 0; round < 3; round++) {
    host_strings_reset(&s);
    for (int i = 0; i < 5000; i++) {
      char text[32];
      snprintf(text, sizeof text, "string %d", i * 7);
      assert_int_equal(add(&s, text), i + 1);
    }
    expect(&s, add(&s, large), large);
    expect(&s, 4321, "string 30240");
    if (round)
      assert_int_equal(host_strings_bytes(&s), bytes);
    bytes = host_strings_bytes(&s);
  }
  host_strings_deinit(&s);
}

/* Whichever allocation fails, nothing is lost or left. */
static void out_of_memory(void **state) {
  (void)state;
  for (uint64_t n = 1;; n++) {
    struct host_strings s;
    mem_fail_nth(n);
    bool ok = host_strings_init(&s, NULL, 0);
    for (int i = 0; i < 200 && ok; i++) {
      uint64_t id;
      char text[400] = {0};
      memset(text, 'a' + i % 26, (size_t)(1 + i));
      ok = host_strings_add(&s, text, strlen(text), &id);
    }
    bool pending = mem_fail_pending();
    mem_fail_nth(0);
    host_strings_deinit(&s);
    if (pending) {
      assert_true(ok);
      assert_true(n > 3);
      return;
    }
    assert_false(ok);
  }
}

static void utf8(void **state) {
  (void)state;
  const int32_t codes[] = {'a', 0x7F, 0x80, 0x7FF, 0x800, 0xFFFD, 0x10000, 0x10FFFF};
  for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
    char bytes[UTF8_MOST];
    int32_t back;
    size_t n = utf8_encode(codes[i], bytes);
    assert_int_equal(utf8_decode((struct host_string){bytes, n}, &back), n);
    assert_int_equal(back, codes[i]);
    if (n > 1) { /* cut short, its first byte stands alone */
      assert_int_equal(utf8_decode((struct host_string){bytes, n - 1}, &back), 1);
      assert_int_equal(back, -1);
    }
  }
  static const char *const bad[] = {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\x80"};
  for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
    int32_t code;
    assert_int_equal(utf8_decode((struct host_string){bad[i], strlen(bad[i])}, &code), 1);
    assert_int_equal(code, -1);
  }
}

static void letters(void **state) {
  (void)state;
  assert_int_equal(case_upper('z'), 'Z');
  assert_int_equal(case_lower('Z'), 'z');
  assert_int_equal(case_upper('5'), '5');
  assert_int_equal(case_upper(0xE9), 0xC9);   /* é */
  assert_int_equal(case_lower(0x416), 0x436); /* Ж */
  assert_int_equal(case_upper(0xDF), 0xDF);   /* ß has no single capital in the simple mapping */
  assert_int_equal(case_lower(0x100), 0x101); /* Ā, in a range of every other letter */
  assert_int_equal(case_upper(0x101), 0x100);
  assert_int_equal(case_lower(0x10400), 0x10428);
}

static void expect_format(enum dtype dtype, const void *x, const char *text) {
  char out[TEXT_NUMBER_ROOM];
  size_t n = text_format(dtype, x, out);
  assert_int_equal(n, strlen(text));
  assert_memory_equal(out, text, n);
}

static void numbers_as_text(void **state) {
  (void)state;
  const float f[] = {0.1f, 1, -1.5f, 1e16f, 1e-5f, 0.0001f, 16777216, -0.0f, INFINITY, NAN};
  const char *const texts[] = {"0.1",    "1.0",        "-1.5", "1e+16", "1e-05",
                               "0.0001", "16777216.0", "-0.0", "inf",   "nan"};
  for (unsigned i = 0; i < sizeof f / sizeof *f; i++)
    expect_format(DTYPE_F32, &f[i], texts[i]);
  expect_format(DTYPE_F64, &(double){0.1}, "0.1");
  expect_format(DTYPE_F64, &(double){1.0 / 3}, "0.3333333333333333");
  expect_format(DTYPE_I8, &(int8_t){-128}, "-128");
  expect_format(DTYPE_U64, &(uint64_t){UINT64_MAX}, "18446744073709551615");
  expect_format(DTYPE_BOOL, &(uint8_t){1}, "True");
  /* Every exponent reads back. */
  for (int e = -1074; e < 1024; e++) {
    char out[TEXT_NUMBER_ROOM];
    double x = ldexp(1.1, e), back;
    size_t n = text_format(DTYPE_F64, &x, out);
    assert_true(text_parse((struct host_string){out, n}, DTYPE_F64, &back));
    assert_true(x == back);
  }
}

static bool parses(const char *text, enum dtype dtype, void *out) {
  return text_parse((struct host_string){text, strlen(text)}, dtype, out);
}

static void text_as_numbers(void **state) {
  (void)state;
  float f;
  double d;
  int8_t i8;
  uint8_t u8;
  int64_t i64;
  assert_true(parses(" 1.5e2\n", DTYPE_F32, &f) && f == 150);
  assert_true(parses("NaN", DTYPE_F64, &d) && isnan(d));
  assert_true(parses("-inf", DTYPE_F64, &d) && d == -INFINITY);
  assert_true(parses("-128", DTYPE_I8, &i8) && i8 == -128);
  assert_true(parses("255", DTYPE_U8, &u8) && u8 == 255);
  assert_true(parses("True", DTYPE_BOOL, &u8) && u8 == 1);
  assert_true(parses("9223372036854775807", DTYPE_I64, &i64) && i64 == INT64_MAX);
  static const char *const bad[] = {"", " ", "1,5", "1.5x", "0x10", "1 2", "--1"};
  for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(parses(bad[i], DTYPE_F64, &d));
  assert_false(parses("128", DTYPE_I8, &i8));
  assert_false(parses("-1", DTYPE_U8, &u8));
  assert_false(parses("1.0", DTYPE_I64, &i64));
  assert_false(parses("9223372036854775808", DTYPE_I64, &i64));
  assert_false(parses("2", DTYPE_BOOL, &u8));
}

/* ---- functions ---- */

static void expect_split(struct host_strings *s, const char *text, const char *delimiter,
                         int64_t limit, const char *const *parts, int64_t n) {
  uint64_t x[8], cut = add(s, delimiter), out[8];
  int64_t number[8], count = -1;
  struct host_call c = {.op = HOST_OP_SPLIT_COUNT,
                        .strings = s,
                        .in = {x, &cut, &limit},
                        .out = &count,
                        .elements = 1};
  for (int64_t i = 0; i <= n; i++) {
    x[i] = add(s, text);
    number[i] = i;
  }
  assert_int_equal(host_op_run(&c), HOST_OK);
  assert_int_equal(count, n);
  c = (struct host_call){.op = HOST_OP_SPLIT_PART,
                         .strings = s,
                         .in = {x, number, &cut, &limit},
                         .out = out,
                         .elements = (uint64_t)n + 1};
  assert_int_equal(host_op_run(&c), HOST_OK);
  for (int64_t i = 0; i < n; i++)
    expect(s, out[i], parts[i]);
  assert_int_equal(out[n], 0);
  for (int64_t i = 0; i <= n; i++) /* and backwards */
    number[i] = n - i;
  assert_int_equal(host_op_run(&c), HOST_OK);
  for (int64_t i = 0; i < n; i++)
    expect(s, out[n - i], parts[i]);
}

#define PARTS(...)                                                                                 \
  ((const char *const[]){__VA_ARGS__}), sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void splits(void **state) {
  (void)state;
  struct host_strings s;
  assert_true(host_strings_init(&s, NULL, 0));
  expect_split(&s, "a.b.c", ".", -1, PARTS("a", "b", "c"));
  expect_split(&s, ".a..", ".", -1, PARTS("", "a", "", ""));
  expect_split(&s, "", ".", -1, PARTS(""));
  expect_split(&s, "a-->b-->c", "-->", 1, PARTS("a", "b-->c"));
  expect_split(&s, "abc", ".", 0, PARTS("abc"));
  expect_split(&s, "  to be\t or ", "", -1, PARTS("to", "be", "or"));
  expect_split(&s, " to be or ", "", 1, PARTS("to", "be or"));
  expect_split(&s, "aaa", "aa", -1, PARTS("", "a"));
  expect_split(&s, " \n", "", -1, NULL, 0);
  host_strings_deinit(&s);
}

/* Runs of `a` to `b`: states are "none yet", "some", "no more"; classes are other bytes and those.
 */
static void finds_tokens(void **state) {
  (void)state;
  struct host_strings s;
  uint8_t table[HOST_MATCH_HEADER + 3 + 2 * 6] = {3, 0, 2, 0};
  table[4 + 'a'] = table[4 + 'b'] = 1;
  table[HOST_MATCH_HEADER + 1] = 1;
  static const uint8_t next[] = {2, 1, 2, 1, 2, 2};
  for (int i = 0; i < 6; i++)
    table[HOST_MATCH_HEADER + 3 + 2 * i] = next[i];
  assert_true(host_strings_init(&s, NULL, 0));
  static const char *const texts[] = {"ab, b; aab", "c", "",
                                      "\xc3\xa9"
                                      "ba"};
  static const int64_t counts[2][4] = {{3, 0, 0, 1}, {2, 0, 0, 1}};
  uint64_t x[4], out[4];
  int64_t got[4], number[4] = {0, 1, 2, 3};
  for (int64_t least = 1; least <= 2; least++) {
    for (int i = 0; i < 4; i++)
      x[i] = add(&s, texts[i]);
    struct host_call c = {.op = HOST_OP_FIND_COUNT,
                          .strings = &s,
                          .in = {x, table, &least},
                          .in_elements = {4, sizeof table, 1},
                          .out = got,
                          .elements = 4};
    assert_int_equal(host_op_run(&c), HOST_OK);
    for (int i = 0; i < 4; i++)
      assert_int_equal(got[i], counts[least - 1][i]);
    x[1] = x[2] = x[3] = x[0];
    c = (struct host_call){.op = HOST_OP_FIND_PART,
                           .strings = &s,
                           .in = {x, number, table, &least},
                           .in_elements = {4, 4, sizeof table, 1},
                           .out = out,
                           .elements = 4};
    assert_int_equal(host_op_run(&c), HOST_OK);
    expect(&s, out[0], "ab");
    expect(&s, out[1], least == 1 ? "b" : "aab");
    expect(&s, out[2], least == 1 ? "aab" : "");
    expect(&s, out[3], "");
    c.in_elements[2] = 9;
    assert_int_equal(host_op_run(&c), HOST_BAD_VALUE);
  }
  host_strings_deinit(&s);
}

static void refused_values(void **state) {
  (void)state;
  struct host_strings s;
  assert_true(host_strings_init(&s, NULL, 0));
  uint64_t x[2] = {77, 0}, out[2];
  float number;
  struct host_call c = {
      .op = HOST_OP_CONCAT, .strings = &s, .in = {x, x}, .out = out, .elements = 1};
  assert_int_equal(host_op_run(&c), HOST_BAD_VALUE); /* no such string */
  x[0] = add(&s, "one");
  c = (struct host_call){.op = HOST_OP_PARSE,
                         .strings = &s,
                         .in = {x},
                         .out = &number,
                         .out_dtype = DTYPE_F32,
                         .elements = 1};
  assert_int_equal(host_op_run(&c), HOST_BAD_VALUE);
  uint8_t yes;
  c = (struct host_call){.op = HOST_OP_MATCH, .strings = &s, .in = {x, "short"}, .out = &yes};
  c.in_elements[1] = 5;
  assert_int_equal(host_op_run(&c), HOST_BAD_VALUE);
  host_strings_deinit(&s);
}

/* What a table looks up is inside of it, whatever it says. */
static void damaged_automata(void **state) {
  (void)state;
  uint8_t bytes[HOST_MATCH_HEADER + 2 + 2 * 2 * 1] = {2, 0, 1, 0};
  struct host_automaton a;
  bytes[HOST_MATCH_HEADER + 1] = 1; /* state 1 accepts, and is next to both */
  bytes[HOST_MATCH_HEADER + 2] = bytes[HOST_MATCH_HEADER + 4] = 1;
  assert_true(host_match_open(bytes, sizeof bytes, &a));
  assert_true(host_match_run(&a, "x", 1));
  assert_false(host_match_run(&a, "", 0));
  assert_false(host_match_open(bytes, sizeof bytes - 1, &a));
  assert_false(host_match_open(bytes, 3, &a));
  bytes[HOST_MATCH_HEADER + 4] = 2; /* a state that is not there */
  assert_false(host_match_open(bytes, sizeof bytes, &a));
  bytes[HOST_MATCH_HEADER + 4] = 0;
  bytes[4 + 'q'] = 1; /* a class that is not there */
  assert_false(host_match_open(bytes, sizeof bytes, &a));
  memset(bytes, 0, 4);
  assert_false(host_match_open(bytes, sizeof bytes, &a));
}

static void signatures(void **state) {
  (void)state;
  for (uint32_t op = 0; op < HOST_OP_COUNT; op++) {
    assert_non_null(host_op_name(op));
    assert_true(host_op_operands(op) >= 1 && host_op_operands(op) <= HOST_OP_MAX_OPERANDS);
    assert_false(host_op_letter_is_parameter(host_op_letter(op, 0)));
    assert_true(strchr("sinb", host_op_letter(op, host_op_operands(op))) != NULL);
  }
  assert_null(host_op_name(HOST_OP_COUNT));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_of_strings),
      cmocka_unit_test(memory_is_kept),
      cmocka_unit_test(out_of_memory),
      cmocka_unit_test(utf8),
      cmocka_unit_test(letters),
      cmocka_unit_test(numbers_as_text),
      cmocka_unit_test(text_as_numbers),
      cmocka_unit_test(splits),
      cmocka_unit_test(finds_tokens),
      cmocka_unit_test(refused_values),
      cmocka_unit_test(damaged_automata),
      cmocka_unit_test(signatures),
  };
  setlocale(LC_ALL, ""); /* whatever the process's is */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
