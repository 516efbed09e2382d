/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop, Scan, and the sequences that dissolve. */
#include "tests/frontend/import_expect.h"

static void if_takes_one_branch(void **state) {
  (void)state;
  const char *text =
      "in x f32 [n]\n in c bool []\n y = If(c) {then_branch=<\n a = Neg(x)\n out a\n>,"
      " else_branch=<\n a = Concat(x, x) {axis=0}\n out a\n>}\n out y";
  expect_run(text, (struct given[]){ROW(2, 1, 2), BOOL(1)}, 2, &(struct given)ROW(2, -1, -2));
  expect_run(text, (struct given[]){ROW(2, 1, 2), BOOL(0)}, 2, &(struct given)ROW(4, 1, 2, 1, 2));
}

static void known_conditions_leave_no_if(void **state) {
  (void)state;
  /* Ranks differ, and one branch has an operator that does not exist. */
  expect_type(
      "in x f32 [n,2]\n r = Shape(x)\n s = Size(r)\n init two i64 [] = 2\n c = Equal(s, two)\n"
      " y = If(c) {then_branch=<\n a = Flatten(x) {axis=0}\n out a\n>,"
      " else_branch=<\n a = Nonsense(x)\n out a\n>}\n out y",
      "f32[1, 2*n]", 0);
}

static void branches_of_different_ranks_copy_what_follows(void **state) {
  (void)state;
  const char *text = "in x f32 [n]\n in c bool []\n init a i64 [1] = 0\n k = Abs(x)\n"
                     " y = If(c) {then_branch=<\n p = Neg(x)\n out p\n>, else_branch=<\n"
                     " p = Unsqueeze(x, a)\n out p\n>}\n z = Add(y, y)\n"
                     " s = ReduceSum(z) {keepdims=0}\n r = Mul(s, k)\n out k\n out r";
  expect_run(text, (struct given[]){ROW(2, 1, 2), BOOL(1)}, 2,
             (struct given[]){ROW(2, 1, 2), ROW(2, -6, -12)});
  expect_run(text, (struct given[]){ROW(2, 1, 2), BOOL(0)}, 2,
             (struct given[]){ROW(2, 1, 2), ROW(2, 6, 12)});
}

/* The inner If is in a branch that is known to be taken: its rest goes on behind the outer one. */
static void a_fork_goes_on_behind_the_graph_that_it_is_in(void **state) {
  (void)state;
  const char *text = "in x f32 [n]\n in c bool []\n init a i64 [1] = 0\n init yes bool [] = 1\n"
                     " y, w = If(yes) {then_branch=<\n k = Abs(x)\n"
                     " p = If(c) {then_branch=<\n q = Neg(x)\n out q\n>, else_branch=<\n"
                     " q = Unsqueeze(x, a)\n out q\n>}\n out p\n out k\n>, else_branch=<\n"
                     " p = Neg(x)\n k = Neg(x)\n out p\n out k\n>}\n"
                     " s = ReduceSum(y) {keepdims=0}\n r = Mul(s, w)\n out r";
  expect_run(text, (struct given[]){ROW(2, 1, 2), BOOL(1)}, 2, &(struct given)ROW(2, -3, -6));
  expect_run(text, (struct given[]){ROW(2, 1, 2), BOOL(0)}, 2, &(struct given)ROW(2, 3, 6));
}

static void a_rest_may_fit_one_branch_only(void **state) {
  (void)state;
  const char *text =
      "in x f32 [2]\n in c bool []\n init a i64 [1] = 0\n init w f32 [2,2] = 1 2 3 4\n"
      " y = If(c) {then_branch=<\n p = Neg(x)\n out p\n>, else_branch=<\n"
      " p = Unsqueeze(x, a)\n out p\n>}\n z = Gemm(y, w)\n out z";
  expect_run(text, (struct given[]){ROW(2, 1, 2), BOOL(0)}, 2,
             (struct given[]){MATRIX(1, 2, 7, 10)});
}

static void results_of_different_ranks_are_refused(void **state) {
  (void)state;
  expect_refused("in x f32 [n]\n in c bool []\n init a i64 [1] = 0\n y = If(c) {then_branch=<\n"
                 " p = Neg(x)\n out p\n>, else_branch=<\n p = Unsqueeze(x, a)\n out p\n>}\n out y",
                 "E0141");
}

static void loop_carries_and_stacks(void **state) {
  (void)state;
  const char *text =
      "in x f32 [n]\n init m i64 [] = 3\n y, z = Loop(m, , x) {body=<\n in i i64 []\n in c bool "
      "[]\n"
      " in v f32 [n]\n d = Identity(c)\n w = Add(v, x)\n s = Neg(v)\n out d\n out w\n out s\n>}\n"
      " out z\n out y";
  expect_type(text, "f32[3, n]", 0);
  expect_run(text, (struct given[]){ROW(1, 2)}, 1,
             (struct given[]){MATRIX(3, 1, -2, -4, -6), ROW(1, 8)});
}

static void loop_length_may_come_at_run_time(void **state) {
  (void)state;
  const char *text =
      "in x f32 [1]\n in m i64 []\n y, z = Loop(m, , x) {body=<\n in i i64 []\n in c bool []\n"
      " in v f32 [1]\n d = Identity(c)\n w = Add(v, v)\n s = Identity(v)\n out d\n out w\n out "
      "s\n>}\n"
      " out y\n out z";
  expect_run(text, (struct given[]){ROW(1, 1), SCALAR(2)}, 2,
             (struct given[]){ROW(1, 4), MATRIX(2, 1, 1, 2)});
  expect_run(text, (struct given[]){ROW(1, 1), SCALAR(0)}, 2,
             (struct given[]){ROW(1, 1), MATRIX(0, 1, 0)});
  expect_run(text, (struct given[]){ROW(1, 1), SCALAR(-5)}, 2,
             (struct given[]){ROW(1, 1), MATRIX(0, 1, 0)});
}

static void loop_ends_when_its_condition_does(void **state) {
  (void)state;
  const char *text =
      "in x f32 []\n y, z = Loop(, , x) {body=<\n in i i64 []\n in c bool []\n in v f32 []\n"
      " init limit f32 [] = 10\n w = Add(v, v)\n d = Less(w, limit)\n out d\n out w\n out w\n>}\n"
      " out y\n out z";
  const struct given x = {DTYPE_F32, 0, {0}, {3}};
  expect_run(text, &x, 1, (struct given[]){{DTYPE_F32, 0, {0}, {12}}, ROW(2, 6, 12)});
}

static void carried_values_may_grow(void **state) {
  (void)state;
  const char *text =
      "in x f32 [n]\n in m i64 []\n y = Loop(m, , x) {body=<\n in i i64 []\n in c bool []\n"
      " in v f32 [k]\n d = Identity(c)\n w = Concat(v, x) {axis=0}\n out d\n out w\n>}\n out y";
  expect_run(text, (struct given[]){ROW(2, 1, 2), SCALAR(2)}, 2,
             &(struct given)ROW(6, 1, 2, 1, 2, 1, 2));
  expect_run(text, (struct given[]){ROW(2, 1, 2), SCALAR(0)}, 2, &(struct given)ROW(2, 1, 2));
}

static void loops_nest_and_see_outer_values(void **state) {
  (void)state;
  const char *text =
      "in x f32 [1]\n init m i64 [] = 2\n y = Loop(m, , x) {body=<\n in i i64 []\n in c bool []\n"
      " in v f32 [1]\n w = Loop(m, , v) {body=<\n in j i64 []\n in c2 bool []\n in u f32 [1]\n"
      " t = Add(u, x)\n f = Cast(i) {to=1}\n t2 = Add(t, f)\n out c2\n out t2\n>}\n out c\n out "
      "w\n>}\n"
      " out y";
  /* x + 2 (x + 0) + 2 (x + 1) */
  expect_run(text, (struct given[]){ROW(1, 3)}, 1, &(struct given)ROW(1, 17));
}

static void values_whose_rank_changes_are_unrolled(void **state) {
  (void)state;
  const char *body = "init a i64 [1] = 0\n y = Loop(m, , x) {body=<\n in i i64 []\n in c bool []\n"
                     " in v f32 *\n w = Unsqueeze(v, a)\n out c\n out w\n>}\n out y";
  char text[512];
  snprintf(text, sizeof text, "in x f32 [n]\n init m i64 [] = 2\n %s", body);
  expect_type(text, "f32[1, 1, n]", 0);
  snprintf(text, sizeof text, "in x f32 [n]\n in m i64 []\n %s", body);
  expect_refused(text, "E0141");
}

static void loops_with_sequences_are_unrolled(void **state) {
  (void)state;
  const char *text =
      "in x f32 [n]\n init m i64 [] = 3\n e = SequenceEmpty()\n s = Loop(m, , e) {body=<\n in i "
      "i64 []\n"
      " in c bool []\n in v f32 *\n f = Cast(i) {to=1}\n z = Add(x, f)\n w = SequenceInsert(v, z)\n"
      " out c\n out w\n>}\n y = ConcatFromSequence(s) {axis=0, new_axis=1}\n out y";
  expect_run(text, (struct given[]){ROW(2, 1, 2)}, 1,
             &(struct given)MATRIX(3, 2, 1, 2, 2, 3, 3, 4));
}

static void scan_walks_axes_backwards(void **state) {
  (void)state;
  /* Running sums from the last column on, stacked as columns in the order of the operand. */
  const char *text =
      "in x f32 [2,n]\n init zero f32 [2] = 0 0\n s, y = Scan(zero, x) {num_scan_inputs=1,"
      " scan_input_axes=[1], scan_input_directions=[1], scan_output_axes=[1],"
      " scan_output_directions=[1], body=<\n in a f32 [2]\n in b f32 [2]\n c = Add(a, b)\n"
      " d = Identity(c)\n out c\n out d\n>}\n out y\n out s";
  expect_type(text, "f32[2, n]", 0);
  expect_run(text, (struct given[]){MATRIX(2, 3, 1, 2, 3, 4, 5, 6)}, 1,
             (struct given[]){MATRIX(2, 3, 6, 5, 3, 15, 11, 6), ROW(2, 6, 15)});
}

static void sequences_dissolve(void **state) {
  (void)state;
  const char *text =
      "in x f32 [4]\n in p i64 []\n init two i64 [] = 2\n init last i64 [] = -1\n"
      " s = SplitToSequence(x, two)\n a = SequenceAt(s, p)\n t = SequenceErase(s, last)\n"
      " l = SequenceLength(t)\n out a\n out l";
  for (int p = -2; p < 2; p++) {
    bool first = p == 0 || p == -2;
    const struct given a = ROW(2, first ? 1 : 3, first ? 2 : 4), one = SCALAR(1);
    expect_run(text, (struct given[]){ROW(4, 1, 2, 3, 4), SCALAR(p)}, 2, (struct given[]){a, one});
  }
  expect_run_fails(text, (struct given[]){ROW(4, 1, 2, 3, 4), SCALAR(2)}, 2);
}

static void wrong_subgraphs_are_refused(void **state) {
  (void)state;
  expect_refused(
      "in x f32 [n]\n in c bool []\n y = If(c) {then_branch=<\n a = Neg(x)\n out a\n>}\n out y",
      "E0142");
  expect_refused("in x f32 [n]\n init m i64 [] = 2\n y = Loop(m, , x) {body=<\n in i i64 []\n"
                 " in c bool []\n out c\n out c\n>}\n out y",
                 "E0142");
  expect_refused("in x f32 [n]\n init m i64 [] = 2\n y = Loop(m, , x) {body=<\n in i i64 []\n"
                 " in c bool []\n in v f32 [n]\n out c\n out i\n>}\n out y",
                 "E0142");
}

static void sequences_at_the_end_are_outputs_one_by_one(void **state) {
  (void)state;
  const char *text = "in x f32 [4]\n in c bool []\n s = SplitToSequence(x) {keepdims=1}\n"
                     " a = Neg(x)\n t = SequenceConstruct(x, a)\n out t\n out a";
  expect_run(text, (struct given[]){ROW(4, 1, 2, 3, 4), BOOL(1)}, 2,
             (struct given[]){ROW(4, 1, 2, 3, 4), ROW(4, -1, -2, -3, -4), ROW(4, -1, -2, -3, -4)});
  struct onnx_run r;
  expect_open(&r, text);
  const struct entry *e = &r.module->entries.data[0];
  assert_int_equal(e->output_names.len, 3);
  assert_string_equal(e->output_names.data[1], "t[1]");
  assert_string_equal(e->output_names.data[2], "a");
  onnx_run_close(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(if_takes_one_branch),
      cmocka_unit_test(known_conditions_leave_no_if),
      cmocka_unit_test(branches_of_different_ranks_copy_what_follows),
      cmocka_unit_test(a_fork_goes_on_behind_the_graph_that_it_is_in),
      cmocka_unit_test(a_rest_may_fit_one_branch_only),
      cmocka_unit_test(results_of_different_ranks_are_refused),
      cmocka_unit_test(loop_carries_and_stacks),
      cmocka_unit_test(loop_length_may_come_at_run_time),
      cmocka_unit_test(loop_ends_when_its_condition_does),
      cmocka_unit_test(carried_values_may_grow),
      cmocka_unit_test(loops_nest_and_see_outer_values),
      cmocka_unit_test(values_whose_rank_changes_are_unrolled),
      cmocka_unit_test(loops_with_sequences_are_unrolled),
      cmocka_unit_test(scan_walks_axes_backwards),
      cmocka_unit_test(sequences_dissolve),
      cmocka_unit_test(wrong_subgraphs_are_refused),
      cmocka_unit_test(sequences_at_the_end_are_outputs_one_by_one),
  };
  return cmocka_run_group_tests_name("frontend/import_control", tests, NULL, NULL);
}
