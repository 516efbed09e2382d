/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of values while importing: chains of shape arithmetic vanish, run-time sizes become
 * symbols. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "frontend/onnx/import.h"
#include "ir/verify.h"
#include "tests/support/onnx_text.h"

static void open_model(struct onnx_run *r, const char *text) {
  onnx_run_open(r, text, NULL);
  if (!r->module)
    diags_print(&r->diags, stderr);
  assert_non_null(r->module);
  assert_int_equal(module_verify(r->module, &r->diags), STATUS_OK);
}

static const struct function *main_of(const struct onnx_run *r) {
  return r->module->entries.data[0].variants.data[0].function;
}

/* The type of output 0 as text. */
static void expect_type(struct onnx_run *r, const char *want) {
  const struct function *f = main_of(r);
  struct strbuf text = {0};
  type_print(r->module, value_type(f, f->regions.data[0].results.data[0]), &text);
  assert_string_equal(strbuf_c(&text), want);
  strbuf_deinit(&text);
}

/* The kinds of the ops that are left in the body, as "reshape map". */
static void expect_ops(struct onnx_run *r, const char *want) {
  const struct function *f = main_of(r);
  struct strbuf text = {0};
  for (uint32_t i = 0; i < f->regions.data[0].ops.len; i++)
    strbuf_printf(&text, "%s%s", i ? " " : "",
                  op_infos[function_op(f, f->regions.data[0].ops.data[i])->kind].name);
  assert_string_equal(strbuf_c(&text), want);
  strbuf_deinit(&text);
}

static void expect(const char *text, const char *type, const char *ops) {
  struct onnx_run r;
  open_model(&r, text);
  expect_type(&r, type);
  expect_ops(&r, ops);
  onnx_run_close(&r);
}

static void shape_chains_vanish(void **state) {
  (void)state;
  expect("in x f32 [n,4,6]\n s = Shape(x)\n init zero i64 [] = 0\n init rest i64 [1] = 24\n"
         "b = Gather(s, zero) {axis=0}\n init ax i64 [1] = 0\n u = Unsqueeze(b, ax)\n"
         "t = Concat(u, rest) {axis=0}\n y = Reshape(x, t)\n out y",
         "f32[n, 24]", "reshape");
}

static void arithmetic_on_sizes_vanishes(void **state) {
  (void)state;
  expect("in x f32 [n,6]\n s = Shape(x)\n init two i64 [2] = 2 2\n init six i64 [2] = 1 4\n"
         "a = Mul(s, two)\n b = Div(a, six)\n y = Reshape(x, b)\n out y",
         "f32[2*n, 3]", "reshape");
}

static void sizes_through_floats_vanish(void **state) {
  (void)state;
  expect("in x f32 [n,6]\n s = Shape(x)\n f = Cast(s) {to=1}\n init scale f32 [2] = 2 0.5\n"
         "a = Mul(f, scale)\n b = Floor(a)\n c = Cast(b) {to=7}\n y = Reshape(x, c)\n out y",
         "f32[2*n, 3]", "reshape");
}

static void comparisons_of_sizes_are_decided(void **state) {
  (void)state;
  expect("in x f32 [n,6]\n s = Shape(x)\n init minus i64 [2] = -1 -1\n init other i64 [2] = 9 9\n"
         "e = Equal(s, minus)\n w = Where(e, other, s)\n y = Reshape(x, w)\n out y",
         "f32[n, 6]", "");
}

static void products_of_sizes_are_known(void **state) {
  (void)state;
  expect(
      "in x f32 [n,6]\n s = Shape(x)\n p = ReduceProd(s) {keepdims=1}\n y = Reshape(x, p)\n out y",
      "f32[6*n]", "reshape");
}

static void a_size_at_run_time_becomes_one_symbol(void **state) {
  (void)state;
  struct onnx_run r;
  open_model(&r, "in x f32 [1]\n in t i64 [1]\n y = Expand(x, t)\n z = Expand(x, t)\n"
                 "w = Add(y, z)\n out w");
  int64_t one = 1;
  struct tensor *in[2] = {onnx_run_tensor(&r, DTYPE_F32, &one, 1, (double[]){3}),
                          onnx_run_tensor(&r, DTYPE_I64, &one, 1, (double[]){5})};
  struct tensor *out;
  assert_int_equal(onnx_run_call(&r, in, &out), STATUS_OK);
  assert_int_equal(out->count, 5);
  assert_float_equal(out->f64[4], 6, 0);
  const struct function *f = main_of(&r);
  uint32_t symbols = 0;
  for (uint32_t i = 1; i < f->ops.len; i++)
    symbols += f->ops.data[i].kind == OP_SYMBOL;
  assert_int_equal(symbols, 1);
  onnx_run_close(&r);
}

static void a_negative_size_at_run_time_is_refused(void **state) {
  (void)state;
  struct onnx_run r;
  open_model(&r, "in t i64 [1]\n y = ConstantOfShape(t)\n out y");
  int64_t one = 1;
  struct tensor *in = onnx_run_tensor(&r, DTYPE_I64, &one, 1, (double[]){-1}), *out;
  assert_int_not_equal(onnx_run_call(&r, &in, &out), STATUS_OK);
  onnx_run_close(&r);
}

/* A chain that doubles its operand 64 times has 2^64 paths through it. */
static void shared_operands_are_looked_at_once(void **state) {
  (void)state;
  struct strbuf text = {0};
  strbuf_append_c(&text, "in t i64 [1]\n a0 = Abs(t)\n");
  for (int i = 0; i < 64; i++)
    strbuf_printf(&text, "b%d = Max(a%d, a%d)\n a%d = Min(b%d, a%d)\n", i, i, i, i + 1, i, i);
  strbuf_append_c(&text, "y = ConstantOfShape(a64)\n out y");
  struct onnx_run r;
  open_model(&r, strbuf_c(&text));
  onnx_run_close(&r);
  strbuf_deinit(&text);
}

static void a_parameter_that_must_be_known_says_so(void **state) {
  (void)state;
  struct onnx_run r;
  onnx_run_open(&r, "in x f32 [n]\n in a i64 [k]\n y = ReduceSum(x, a)\n out y", NULL);
  assert_null(r.module);
  assert_string_equal(onnx_run_codes(&r), "E0141");
  onnx_run_close(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shape_chains_vanish),
      cmocka_unit_test(arithmetic_on_sizes_vanishes),
      cmocka_unit_test(sizes_through_floats_vanish),
      cmocka_unit_test(comparisons_of_sizes_are_decided),
      cmocka_unit_test(products_of_sizes_are_known),
      cmocka_unit_test(a_size_at_run_time_becomes_one_symbol),
      cmocka_unit_test(a_negative_size_at_run_time_is_refused),
      cmocka_unit_test(shared_operands_are_looked_at_once),
      cmocka_unit_test(a_parameter_that_must_be_known_says_so),
  };
  return cmocka_run_group_tests_name("frontend/import_facts", tests, NULL, NULL);
}
