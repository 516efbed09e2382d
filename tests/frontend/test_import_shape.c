/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes, slices, padding, indices: with dims that are symbols, and with parameters that come at
 * run time. What ONNX's own cases cover is not repeated. */
#include "tests/frontend/import_expect.h"

#define I64(n, ...)                                                                                \
  {                                                                                                \
    DTYPE_I64, 1, {n}, { __VA_ARGS__ }                                                             \
  }

static void shape_chains_vanish(void **state) {
  (void)state;
  expect_type(
      "in x f32 [batch,seq,768]\n s = Shape(x)\n init zero i64 [1] = 0\n init one i64 [1] = 1\n"
      " init heads i64 [2] = 12 64\n b = Gather(s, zero)\n t = Gather(s, one)\n"
      " to = Concat(b, t, heads) {axis=0}\n y = Reshape(x, to)\n out y",
      "f32[batch, seq, 12, 64]", 0);
}

static void reshape_copies_and_infers(void **state) {
  (void)state;
  expect_type(
      "in x f32 [batch,seq,768]\n init to i64 [4] = 0 -1 12 64\n y = Reshape(x, to)\n out y",
      "f32[batch, seq, 12, 64]", 0);
  expect_type("in x f32 [batch,seq,768]\n init to i64 [2] = -1 768\n y = Reshape(x, to)\n out y",
              "f32[batch*seq, 768]", 0);
  expect_type("in x f32 [n]\n init to i64 [2] = 2 -1\n y = Reshape(x, to)\n out y",
              "f32[2, exactdiv(n, 2)]", 1);
}

static void slice_by_lists_whose_length_a_run_decides(void **state) {
  (void)state;
  const char *text = "in x f32 [2,3]\n in a i64 [k]\n in e i64 [k]\n y = Slice(x, a, e)\n out y";
  const struct given x = MATRIX(2, 3, 1, 2, 3, 4, 5, 6);
  expect_run(text, (struct given[]){x, I64(1, 1), I64(1, 2)}, 3,
             &(struct given)MATRIX(1, 3, 4, 5, 6));
  expect_run(text, (struct given[]){x, I64(2, 0, -2), I64(2, 1, 9)}, 3,
             &(struct given)MATRIX(1, 2, 2, 3));
  expect_run_fails(text, (struct given[]){x, I64(3, 0, 0, 0), I64(3, 1, 1, 1)}, 3);
  const char *along = "in x f32 [2,3]\n in a i64 [k]\n in e i64 [k]\n init axis i64 [1] = 1\n"
                      " y = Slice(x, a, e, axis)\n out y";
  expect_run(along, (struct given[]){x, I64(1, 1), I64(1, 2)}, 3,
             &(struct given)MATRIX(2, 1, 2, 5));
  expect_run_fails(along, (struct given[]){x, I64(2, 1, 0), I64(2, 2, 1)}, 3);
}

/* t doubles its expression with each step; ends of slices are such ts, of all lengths up to the
 * longest that there can be. */
static void long_dims_are_given_names(void **state) {
  (void)state;
  struct strbuf text = {0};
  int64_t t = 3;
  struct given x = MATRIX(3, 1, 1, 2, 3), want = {DTYPE_F32, 2, {0, 1}, {0}};
  strbuf_append_c(&text, "in x f32 [n,1]\n init zero i64 [1] = 0\n init one i64 [1] = 1\n"
                         " init three i64 [1] = 3\n s = Shape(x)\n t0 = Gather(s, zero)\n"
                         " y0 = Slice(x, zero, zero)\n");
  for (int i = 0; i < 12; i++) {
    strbuf_printf(&text,
                  " f%d = Mul(t%d, t%d)\n g%d = Add(f%d, one)\n t%d = Mod(g%d, three)\n"
                  " p%d = Slice(x, zero, t%d)\n y%d = Concat(y%d, p%d) {axis=0}\n",
                  i, i, i, i, i, i + 1, i, i, i + 1, i + 1, i, i);
    t = (t * t + 1) % 3;
    for (int64_t k = 0; k < t; k++)
      want.values[want.dims[0]++] = (double)k + 1;
  }
  strbuf_append_c(&text, " out y12");
  expect_run(strbuf_c(&text), &x, 1, &want);
  strbuf_deinit(&text);
}

static void reshape_at_run_time(void **state) {
  (void)state;
  const char *text = "in x f32 [2,3]\n in to i64 [2]\n y = Reshape(x, to)\n out y";
  const struct given x = MATRIX(2, 3, 1, 2, 3, 4, 5, 6);
  expect_run(text, (struct given[]){x, I64(2, 3, 2)}, 2,
             &(struct given)MATRIX(3, 2, 1, 2, 3, 4, 5, 6));
  expect_run(text, (struct given[]){x, I64(2, -1, 6)}, 2,
             &(struct given)MATRIX(1, 6, 1, 2, 3, 4, 5, 6));
  expect_run(text, (struct given[]){x, I64(2, 0, -1)}, 2, &x);
  expect_run_fails(text, (struct given[]){x, I64(2, 4, 2)}, 2);
  expect_run_fails(text, (struct given[]){x, I64(2, -1, 4)}, 2);
}

static void sizes_narrow_the_symbols_they_depend_on(void **state) {
  (void)state;
  expect_type("in x f32 [1,1,n]\n init w f32 [1,1,3] = 1 1 1\n c = Conv(x, w) {strides=[2]}\n"
              " s = Shape(c)\n y = Reshape(c, s)\n out y",
              "f32[1, 1, (((n + 1) floordiv 2) - 1)]", 0);
}

static void slice_clamps_with_symbols(void **state) {
  (void)state;
  const char *text =
      "in x f32 [n]\n init a i64 [1] = 1\n init e i64 [1] = 3\n y = Slice(x, a, e)\n out y";
  expect_run(text, (struct given[]){ROW(4, 1, 2, 3, 4)}, 1, &(struct given)ROW(2, 2, 3));
  expect_run(text, (struct given[]){ROW(2, 1, 2)}, 1, &(struct given)ROW(1, 2));
  expect_run(text, (struct given[]){ROW(0, 0)}, 1, &(struct given)ROW(0, 0));
  expect_type("in x f32 [n,4]\n init a i64 [1] = 0\n init e i64 [1] = 2147483647\n"
              " y = Slice(x, a, e)\n out y",
              "f32[n, 4]", 0);
}

static void slice_at_run_time(void **state) {
  (void)state;
  const char *text =
      "in x f32 [4]\n in a i64 [1]\n in e i64 [1]\n in k i64 [1]\n init axis i64 [1] = 0\n"
      " y = Slice(x, a, e, axis, k)\n out y";
  static const struct {
    double start, end, step;
    struct given want;
  } cases[] = {{0, 4, 1, ROW(4, 1, 2, 3, 4)},   {-3, -1, 1, ROW(2, 2, 3)},
               {3, -5, -1, ROW(4, 4, 3, 2, 1)}, {9, 1, -1, ROW(2, 4, 3)},
               {1, 100, 2, ROW(2, 2, 4)},       {3, 1, 1, ROW(0, 0)},
               {-1e15, 1e15, 3, ROW(2, 1, 4)}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct given in[4] = {ROW(4, 1, 2, 3, 4), I64(1, cases[i].start), I64(1, cases[i].end),
                                I64(1, cases[i].step)};
    expect_run(text, in, 4, &cases[i].want);
  }
}

static void unsqueeze_and_squeeze_at_run_time(void **state) {
  (void)state;
  const char *text =
      "in x f32 [2,n]\n in axes i64 [1]\n y = Unsqueeze(x, axes)\n z = Squeeze(y, axes)\n"
      " out y\n out z";
  const struct given x = MATRIX(2, 2, 1, 2, 3, 4);
  for (int axis = -3; axis < 3; axis++) {
    struct given y = {DTYPE_F32, 3, {2, 2, 2}, {1, 2, 3, 4}};
    y.dims[axis < 0 ? axis + 3 : axis] = 1;
    expect_run(text, (struct given[]){x, I64(1, axis)}, 2, (struct given[]){y, x});
  }
  expect_run_fails(text, (struct given[]){x, I64(1, 3)}, 2);
}

static void pads_at_run_time_may_be_negative(void **state) {
  (void)state;
  const char *text = "in x f32 [n]\n in p i64 [2]\n y = Pad(x, p) {mode=\"reflect\"}\n out y";
  const struct given x = ROW(4, 1, 2, 3, 4);
  expect_run(text, (struct given[]){x, I64(2, 2, 1)}, 2,
             &(struct given)ROW(7, 3, 2, 1, 2, 3, 4, 3));
  expect_run(text, (struct given[]){x, I64(2, -1, -2)}, 2, &(struct given)ROW(1, 2));
  expect_run_fails(text, (struct given[]){x, I64(2, -3, -2)}, 2);
}

static void expand_meets_symbols(void **state) {
  (void)state;
  const char *text = "in x f32 [n]\n in s i64 [2]\n y = Expand(x, s)\n out y";
  expect_run(text, (struct given[]){ROW(1, 5), I64(2, 2, 2)}, 2,
             &(struct given)MATRIX(2, 2, 5, 5, 5, 5));
  expect_run(text, (struct given[]){ROW(2, 5, 6), I64(2, 2, 1)}, 2,
             &(struct given)MATRIX(2, 2, 5, 6, 5, 6));
  expect_run_fails(text, (struct given[]){ROW(2, 5, 6), I64(2, 2, 3)}, 2);
}

static void ranges_have_symbolic_lengths(void **state) {
  (void)state;
  expect_type("in x f32 [n]\n s = Shape(x)\n init axes i64 [1] = 0\n e = Squeeze(s, axes)\n"
              " init a i64 [] = 0\n init d i64 [] = 1\n y = Range(a, e, d)\n out y",
              "i64[n]", 0);
  const char *text = "in a i64 []\n in e i64 []\n in d i64 []\n y = Range(a, e, d)\n out y";
  expect_run(text, (struct given[]){SCALAR(5), SCALAR(0), SCALAR(-2)}, 3,
             &(struct given)I64(3, 5, 3, 1));
  expect_run(text, (struct given[]){SCALAR(0), SCALAR(-3), SCALAR(1)}, 3, &(struct given)I64(0, 0));
}

static void indices_out_of_range_are_errors(void **state) {
  (void)state;
  const char *text = "in x f32 [n]\n in i i64 [1]\n y = Gather(x, i)\n out y";
  const struct given x = ROW(3, 1, 2, 3);
  expect_run(text, (struct given[]){x, I64(1, -3)}, 2, &(struct given)ROW(1, 1));
  expect_run_fails(text, (struct given[]){x, I64(1, -4)}, 2);
  expect_run_fails(text, (struct given[]){x, I64(1, 3)}, 2);
}

static void counts_become_symbols(void **state) {
  (void)state;
  const char *text =
      "in x f32 [n]\n i = NonZero(x)\n t = Transpose(i)\n y = GatherND(x, t)\n out y";
  expect_run(text, (struct given[]){ROW(4, 0, 7, 0, 8)}, 1, &(struct given)ROW(2, 7, 8));
  expect_run(text, (struct given[]){ROW(1, 0)}, 1, &(struct given)ROW(0, 0));
}

static void coordinates_of_ones_are_ranges(void **state) {
  (void)state;
  const char *text = "in x f32 [n,m]\n init one f32 [] = 1\n s = Shape(x)\n o = Expand(one, s)\n"
                     " y = NonZero(o)\n out y";
  expect_type(text, "i64[2, m*n]", 0);
  expect_run(text, (struct given[]){MATRIX(2, 3, 0)}, 1,
             &(struct given){DTYPE_I64, 2, {2, 6}, {0, 0, 0, 1, 1, 1, 0, 1, 2, 0, 1, 2}});
}

static void wrong_parameters_are_refused(void **state) {
  (void)state;
  expect_refused("in x f32 [4]\n init to i64 [2] = -1 -1\n y = Reshape(x, to)\n out y", "E0142");
  expect_refused("in x f32 [4]\n init to i64 [1] = 5\n y = Reshape(x, to)\n out y", "E0301");
  expect_refused(
      "in x f32 [4]\n init a i64 [1] = 0\n init k i64 [1] = 0\n y = Slice(x, a, a, a, k)\n out y",
      "E0142");
  expect_refused("in x f32 [4]\n init p i64 [3] = 1 1 1\n y = Pad(x, p)\n out y", "E0142");
  expect_refused("in x f32 [4]\n init k i64 [1] = 5\n v, i = TopK(x, k)\n out v", "E0301");
  expect_refused("in x f32 [4]\n in s i64 [m]\n y = Reshape(x, s)\n out y", "E0141");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shape_chains_vanish),
      cmocka_unit_test(reshape_copies_and_infers),
      cmocka_unit_test(reshape_at_run_time),
      cmocka_unit_test(sizes_narrow_the_symbols_they_depend_on),
      cmocka_unit_test(slice_clamps_with_symbols),
      cmocka_unit_test(slice_at_run_time),
      cmocka_unit_test(slice_by_lists_whose_length_a_run_decides),
      cmocka_unit_test(long_dims_are_given_names),
      cmocka_unit_test(unsqueeze_and_squeeze_at_run_time),
      cmocka_unit_test(pads_at_run_time_may_be_negative),
      cmocka_unit_test(expand_meets_symbols),
      cmocka_unit_test(ranges_have_symbolic_lengths),
      cmocka_unit_test(indices_out_of_range_are_errors),
      cmocka_unit_test(counts_become_symbols),
      cmocka_unit_test(coordinates_of_ones_are_ranges),
      cmocka_unit_test(wrong_parameters_are_refused),
  };
  return cmocka_run_group_tests_name("frontend/import_shape", tests, NULL, NULL);
}
