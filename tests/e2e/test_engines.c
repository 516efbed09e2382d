/* SPDX-License-Identifier: Apache-2.0 */
/* Modules that were once compiled to wrong engines, each against the interpreter. */
#include "tests/e2e/differential.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void holds(const char *text) {
  setenv("SINTER_ALL_VARIANTS", "1", 1);
  for (uint64_t seed = 1; seed < 4; seed++)
    assert_true(differential_holds(text, seed));
}

static void test_packed_constants_in_control_flow(void **state) {
  (void)state;
  holds("constant @c : u4[3] = [9, 8, 9]\n"
        "func @main(%x: u4[3], %b: bool[]) -> (u4[3], u4[3], u4[3, 1], u4[3, 1], u4[k, 3])\n"
        "    where k in 0..5 {\n"
        "  %c = const @c : u4[3]\n"
        "  %t = map { 3:i64 } : i64[]\n"
        "  %5, %6 = loop %t, %b, %c { trip = k, carried = 1 } region (%7: i64[], %8: u4[3]) {\n"
        "    %e = map %8, %x { add($0, $1) } : u4[3]\n"
        "    yield %b, %e, %c\n"
        "  } : u4[3], u4[k, 3]\n"
        "  %i = if %b region { yield %c } region { yield %x } : u4[3]\n"
        "  %j = reshape %c { dims = [3, 1] } : u4[3, 1]\n"
        "  %z = map %j { add($0, 1:u4) } : u4[3, 1]\n"
        "  return %5, %i, %j, %z, %6\n"
        "}\n"
        "entry @main(\"x\", \"b\") -> (\"0\", \"1\", \"2\", \"3\", \"4\") { @main; }\n");
}

/* A literal is rounded where its map ends, to nearest; a constant of the type once rounded it up.
 */
static void test_literal_of_e8m0(void **state) {
  (void)state;
  holds("func @main(%x: i64[2]) -> (i64[2], f8e8m0[2]) {\n"
        "  %a = map %x { neg(2.4:f8e8m0) } : f8e8m0[2]\n"
        "  %b = map %a { i64($0) } : i64[2]\n"
        "  return %b, %a\n"
        "}\n"
        "entry @main(\"x\") -> (\"y\", \"z\") { @main; }\n");
}

static void test_f8_saturates_at_the_end_of_an_op(void **state) {
  (void)state;
  holds("func @main(%x: f8e5m2fnuz[4, 9], %y: f8e5m2[3], %z: f8e4m3fn[3])\n"
        "    -> (f8e5m2fnuz[4, 1], f8e5m2[3], f8e5m2[3], f8e4m3fn[3], f8e4m3fn[3]) {\n"
        "  %b = map %x { mul($0, 3000.0:f8e5m2fnuz) } : f8e5m2fnuz[4, 9]\n"
        "  %0 = reduce %b { axes = [1], kind = prod } : f8e5m2fnuz[4, 1]\n"
        "  %1 = map %y { mul($0, 50000.0:f8e5m2) } : f8e5m2[3]\n"
        "  %2 = map %y { div($0, 0.0:f8e5m2) } : f8e5m2[3]\n"
        "  %3 = map %z { mul($0, 400.0:f8e4m3fn) } : f8e4m3fn[3]\n"
        "  %4 = map %z { div($0, 0.0:f8e4m3fn) } : f8e4m3fn[3]\n"
        "  return %0, %1, %2, %3, %4\n"
        "}\n"
        "entry @main(\"x\", \"y\", \"z\") -> (\"0\", \"1\", \"2\", \"3\", \"4\") { @main; }\n");
}

/* 2^24 + 2^16 + 1 and the like lie just above the middle of two bfloat16 numbers. */
static void test_integers_round_once(void **state) {
  (void)state;
  holds(
      "constant @c : i64[7] = [16842753, 16908289, -16842753, 72340172838076673,\n"
      "                         -72340172838076673, 9223372036854775807, 36310271995674625]\n"
      "func @main(%x: i64[7]) -> (bf16[7], f16[7], bf16[7], bf16[7], f8e4m3fn[7], f32[7], f64[7],\n"
      "                           bf16[7]) {\n"
      "  %c = const @c : i64[7]\n"
      "  %m = map %c, %x { add($0, mul($1, 0:i64)) } : i64[7]\n"
      "  %0 = map %m { bf16($0) } : bf16[7]\n"
      "  %1 = map %m { f16(div($0, 8192:i64)) } : f16[7]\n"
      "  %2 = map %m { bf16(i32($0)) } : bf16[7]\n"
      "  %3 = map %m { bf16(u64($0)) } : bf16[7]\n"
      "  %4 = map %m { f8e4m3fn($0) } : f8e4m3fn[7]\n"
      "  %5 = map %m { f32($0) } : f32[7]\n"
      "  %6 = map %m { f64($0) } : f64[7]\n"
      "  %7 = map %m { bf16(u32($0)) } : bf16[7]\n"
      "  return %0, %1, %2, %3, %4, %5, %6, %7\n"
      "}\n"
      "entry @main(\"x\") -> (\"0\", \"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\") { @main; "
      "}\n");
}

static void test_gather_from_nothing(void **state) {
  (void)state;
  holds("func @main(%x: f32[n, 3], %y: f32[0, 30], %i: i64[4]) -> (f32[4, 3], f32[4, 30])\n"
        "    where n in 0..3 {\n"
        "  %0 = gather %x, %i { axes = [0], mode = fill } : f32[4, 3]\n"
        "  %1 = gather %y, %i { axes = [0], mode = fill } : f32[4, 30]\n"
        "  return %0, %1\n"
        "}\n"
        "entry @main(\"x\", \"y\", \"i\") -> (\"0\", \"1\") { @main; }\n");
}

/* Wide maps and concats: no limit of the emitter's own. */
static void test_many_operands(void **state) {
  (void)state;
  enum { N = 300 };
  struct strbuf text = {0};
  strbuf_printf(&text, "func @main(");
  for (int i = 0; i < N; i++)
    strbuf_printf(&text, "%s%%x%d: f32[5]", i ? ", " : "", i);
  strbuf_printf(&text, ") -> (f32[5], f32[%d]) {\n  %%0 = map ", 5 * N);
  for (int i = 0; i < N; i++)
    strbuf_printf(&text, "%s%%x%d", i ? ", " : "", i);
  strbuf_printf(&text, " { add($0, sub($%d, $77)) } : f32[5]\n  %%1 = concat ", N - 1);
  for (int i = 0; i < N; i++)
    strbuf_printf(&text, "%s%%x%d", i ? ", " : "", i);
  strbuf_printf(&text, " : f32[%d]\n  return %%0, %%1\n}\nentry @main(", 5 * N);
  for (int i = 0; i < N; i++)
    strbuf_printf(&text, "%s\"%d\"", i ? ", " : "", i);
  strbuf_printf(&text, ") -> (\"y\", \"z\") { @main; }\n");
  holds(text.data);
  strbuf_deinit(&text);
}

/* Of no elements: the combiner's identity, at position 0. */
static void test_extreme_of_nothing(void **state) {
  (void)state;
  holds("func @main(%x: f32[3, n], %y: i32[2, 2, m]) -> (f32[3, 1], i64[3, 1], i64[2, 2, 2])\n"
        "    where n in 0..1, m in 1..2 {\n"
        "  %0, %1 = reduce %x { axes = [1], kind = argmax } : f32[3, 1], i64[3, 1]\n"
        "  %2 = slice %y { start = [0, 0, 0], size = [2, 2, 1], step = [1, 1, 1] } : i32[2, 2, 1]\n"
        "  %3, %4 = window %2 { kind = argmin, size = [1, 1, 2], stride = [1, 1, 2],\n"
        "                       dilation = [1, 1, 1], low = [0, 0, 2], high = [0, 0, 1] }\n"
        "    : i32[2, 2, 2], i64[2, 2, 2]\n"
        "  return %0, %1, %4\n"
        "}\n"
        "entry @main(\"x\", \"y\") -> (\"0\", \"1\", \"2\") { @main; }\n");
}

/* Functions of different inputs behind one entry; each has another graph. */
static void test_variants(void **state) {
  (void)state;
  holds("func @main(%x: f32[n, 3], %y: u4[n]) -> (f32[n, 3], u4[n]) where n in 0..5 {\n"
        "  %d = dims { dims = [n] } : i64[1]\n"
        "  %s = reshape %d { dims = [] } : i64[]\n"
        "  %c = map %s { or(eq($0, 1), lt($0, 1)) } : bool[]\n"
        "  %e = map %s { and(gt($0, 1), le($0, 3)) } : bool[]\n"
        "  %0, %1 = if %c region {\n"
        "    %2 = reduce %x { axes = [1], kind = max } : f32[n, 1]\n"
        "    %3 = map %x, %2 { sub($0, $1) } : f32[n, 3]\n"
        "    yield %3, %y\n"
        "  } region {\n"
        "    %4 = map %y { add($0, 1:u4) } : u4[n]\n"
        "    yield %x, %4\n"
        "  } : f32[n, 3], u4[n]\n"
        "  %5 = if %e region {\n"
        "    %6 = map %0 { mul($0, 2.0) } : f32[n, 3]\n"
        "    yield %6\n"
        "  } region { yield %0 } : f32[n, 3]\n"
        "  return %5, %1\n"
        "}\n"
        "entry @main(\"x\", \"y\") -> (\"a\", \"b\") { @main; }\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_packed_constants_in_control_flow),
      cmocka_unit_test(test_literal_of_e8m0),
      cmocka_unit_test(test_f8_saturates_at_the_end_of_an_op),
      cmocka_unit_test(test_integers_round_once),
      cmocka_unit_test(test_gather_from_nothing),
      cmocka_unit_test(test_many_operands),
      cmocka_unit_test(test_extreme_of_nothing),
      cmocka_unit_test(test_variants),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
