/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences whose length a run decides, and optionals that a run fills. */
#include "tests/frontend/import_expect.h"

/* Parts of a size that comes at run time, the last one shorter. */
static void items_are_taken_at_run_time(void **state) {
  (void)state;
  const char *text = "in x f32 [2,n]\n in size i64 []\n in p i64 []\n"
                     " s = SplitToSequence(x, size) {axis=1}\n a = SequenceAt(s, p)\n"
                     " l = SequenceLength(s)\n out a\n out l";
  const struct given x = MATRIX(2, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
  expect_run(text, (struct given[]){x, SCALAR(2), SCALAR(1)}, 3,
             (struct given[]){MATRIX(2, 2, 2, 3, 7, 8), SCALAR(3)});
  expect_run(text, (struct given[]){x, SCALAR(2), SCALAR(-1)}, 3,
             (struct given[]){MATRIX(2, 1, 4, 9), SCALAR(3)});
  expect_run(text, (struct given[]){x, SCALAR(5), SCALAR(0)}, 3, (struct given[]){x, SCALAR(1)});
  expect_run(text, (struct given[]){x, SCALAR(9), SCALAR(0)}, 3, (struct given[]){x, SCALAR(1)});
  expect_run_fails(text, (struct given[]){x, SCALAR(2), SCALAR(3)}, 3);
  expect_run_fails(text, (struct given[]){x, SCALAR(0), SCALAR(0)}, 3);
}

static void parts_without_the_axis_that_was_split(void **state) {
  (void)state;
  const char *text = "in x f32 [n,2]\n in p i64 []\n s = SplitToSequence(x) {keepdims=0}\n"
                     " a = SequenceAt(s, p)\n y = ConcatFromSequence(s) {axis=1, new_axis=1}\n"
                     " out a\n out y";
  expect_run(text, (struct given[]){MATRIX(3, 2, 1, 2, 3, 4, 5, 6), SCALAR(2)}, 2,
             (struct given[]){ROW(2, 5, 6), MATRIX(2, 3, 1, 3, 5, 2, 4, 6)});
}

static void items_are_dropped_and_put_in_at_run_time(void **state) {
  (void)state;
  const char *text = "in x f32 [n]\n in p i64 []\n in q i64 []\n init two i64 [] = 2\n"
                     " a = Neg(x)\n s = SplitToSequence(x, two)\n t = SequenceErase(s, p)\n"
                     " u = SequenceInsert(t, a, q)\n y = ConcatFromSequence(u) {axis=0}\n out y";
  const struct given x = ROW(5, 1, 2, 3, 4, 5);
  expect_run(text, (struct given[]){x, SCALAR(0), SCALAR(0)}, 3,
             &(struct given)ROW(8, -1, -2, -3, -4, -5, 3, 4, 5));
  expect_run(text, (struct given[]){x, SCALAR(-1), SCALAR(2)}, 3,
             &(struct given)ROW(9, 1, 2, 3, 4, -1, -2, -3, -4, -5));
  expect_run(text, (struct given[]){x, SCALAR(1), SCALAR(-1)}, 3,
             &(struct given)ROW(8, 1, 2, -1, -2, -3, -4, -5, 5));
  expect_run_fails(text, (struct given[]){x, SCALAR(3), SCALAR(0)}, 3);
  expect_run_fails(text, (struct given[]){x, SCALAR(0), SCALAR(3)}, 3);
}

static void items_must_fit_together(void **state) {
  (void)state;
  const char *text = "in x f32 [n]\n init two i64 [] = 2\n s = SplitToSequence(x, two)\n"
                     " y = ConcatFromSequence(s) {axis=0, new_axis=1}\n out y";
  expect_run(text, (struct given[]){ROW(4, 1, 2, 3, 4)}, 1,
             &(struct given)MATRIX(2, 2, 1, 2, 3, 4));
  expect_run_fails(text, (struct given[]){ROW(5, 1, 2, 3, 4, 5)}, 1);
  expect_run_fails(text, (struct given[]){ROW(0)}, 1);
}

static void loops_of_any_length_carry_sequences(void **state) {
  (void)state;
  const char *text =
      "in x f32 [n]\n in m i64 []\n e = SequenceEmpty()\n s = Loop(m, , e) {body=<\n"
      " in i i64 []\n in c bool []\n in v f32 *\n init one i64 [1] = 1\n init zero i64 [1] = 0\n"
      " k = Reshape(i, one)\n h = Slice(x, zero, k)\n w = SequenceInsert(v, h)\n out c\n out w\n"
      ">}\n y = ConcatFromSequence(s) {axis=0}\n l = SequenceLength(s)\n out y\n out l";
  expect_run(text, (struct given[]){ROW(3, 1, 2, 3), SCALAR(4)}, 2,
             (struct given[]){ROW(6, 1, 1, 2, 1, 2, 3), SCALAR(4)});
}

static void branches_give_sequences_of_different_lengths(void **state) {
  (void)state;
  const char *text =
      "in x f32 [n]\n in m i64 []\n in c bool []\n init one i64 [] = 1\n"
      " s = If(c) {then_branch=<\n p = SplitToSequence(x, m)\n out p\n>, else_branch=<\n"
      " p = SequenceConstruct(x, x)\n out p\n>}\n a = SequenceAt(s, one)\n l = SequenceLength(s)\n"
      " out a\n out l";
  const struct given x = ROW(3, 1, 2, 3);
  expect_run(text, (struct given[]){x, SCALAR(1), BOOL(1)}, 3,
             (struct given[]){ROW(1, 2), SCALAR(3)});
  expect_run(text, (struct given[]){x, SCALAR(1), BOOL(0)}, 3, (struct given[]){x, SCALAR(2)});
}

static void a_run_fills_optionals(void **state) {
  (void)state;
  const char *text =
      "in x f32 [n]\n in c bool []\n o = If(c) {then_branch=<\n p = Optional(x)\n out p\n>,"
      " else_branch=<\n p = Optional()\n out p\n>}\n h = OptionalHasElement(o)\n"
      " y = If(h) {then_branch=<\n v = OptionalGetElement(o)\n out v\n>, else_branch=<\n"
      " v = Neg(x)\n out v\n>}\n out y\n out h";
  const struct given x = ROW(2, 1, 2);
  expect_run(text, (struct given[]){x, BOOL(1)}, 2, (struct given[]){x, BOOL(1)});
  expect_run(text, (struct given[]){x, BOOL(0)}, 2, (struct given[]){ROW(2, -1, -2), BOOL(0)});
}

static void an_empty_optional_has_no_value(void **state) {
  (void)state;
  const char *text = "in x f32 [n]\n in c bool []\n o = If(c) {then_branch=<\n p = Optional(x)\n"
                     " out p\n>, else_branch=<\n p = Optional()\n out p\n>}\n"
                     " y = OptionalGetElement(o)\n out y";
  const struct given x = ROW(2, 1, 2);
  expect_run(text, (struct given[]){x, BOOL(1)}, 2, &x);
  expect_run_fails(text, (struct given[]){x, BOOL(0)}, 2);
}

static void outputs_of_run_decided_length_are_two(void **state) {
  (void)state;
  const char *text = "in x f32 [n]\n in m i64 []\n s = SplitToSequence(x, m)\n out s";
  struct onnx_run r;
  expect_open(&r, text);
  const struct entry *e = &r.module->entries.data[0];
  assert_int_equal(e->output_names.len, 2);
  assert_string_equal(e->output_names.data[0], "s");
  assert_string_equal(e->output_names.data[1], "s.shapes");
  onnx_run_close(&r);
}

static void parts_of_values_have_names_of_their_own(void **state) {
  (void)state;
  expect_refused("in x f32 [n]\n in m i64 []\n s = SplitToSequence(x, m)\n s.shapes = Neg(x)\n"
                 " out s\n out s.shapes",
                 "E0113");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(items_are_taken_at_run_time),
      cmocka_unit_test(parts_without_the_axis_that_was_split),
      cmocka_unit_test(items_are_dropped_and_put_in_at_run_time),
      cmocka_unit_test(items_must_fit_together),
      cmocka_unit_test(loops_of_any_length_carry_sequences),
      cmocka_unit_test(branches_give_sequences_of_different_lengths),
      cmocka_unit_test(a_run_fills_optionals),
      cmocka_unit_test(an_empty_optional_has_no_value),
      cmocka_unit_test(outputs_of_run_decided_length_are_two),
      cmocka_unit_test(parts_of_values_have_names_of_their_own),
  };
  return cmocka_run_group_tests_name("frontend/import_packed", tests, NULL, NULL);
}
