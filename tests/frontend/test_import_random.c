/* SPDX-License-Identifier: Apache-2.0 */
/* Random operators: what is drawn is spread as the operator says, by statistics that a right
 * generator fails once in a thousand seeds or less; seeds repeat it, and nodes without a seed draw
 * each its own. */
#include "tests/frontend/import_expect.h"

#include <math.h>
#include <stdlib.h>

enum { DRAWS = 4000 };

/* Output 0, and output 1 into `second` where that is not NULL: DRAWS numbers each. */
static void draw(const char *text, const struct given *in, double *first, double *second) {
  struct onnx_run r;
  struct tensor *out[2];
  expect_open(&r, text);
  assert_int_equal(expect_call(&r, in, in != NULL, out), STATUS_OK);
  for (int i = 0; i < 1 + (second != NULL); i++) {
    assert_int_equal(out[i]->count, DRAWS);
    for (int64_t k = 0; k < DRAWS; k++)
      (i ? second : first)[k] =
          dtype_is_float(out[i]->dtype) ? out[i]->f64[k] : (double)out[i]->i64[k];
  }
  onnx_run_close(&r);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The largest difference between the share of draws below x and what that should be, times the
 * root of their number (Kolmogorov and Smirnov): above 1.95 once in a thousand. Sorts x. */
static double kolmogorov(double *x, double (*share_below)(double)) {
  double most = 0;
  qsort(x, DRAWS, sizeof *x, ascending);
  for (int i = 0; i < DRAWS; i++) {
    double want = share_below(x[i]);
    most = fmax(most, fmax(fabs(want - i / (double)DRAWS), fabs(want - (i + 1) / (double)DRAWS)));
  }
  return most * sqrt(DRAWS);
}

static double normal_below(double x) { return 0.5 * erfc(-(x - 3) / 2 / sqrt(2)); }
static double uniform_below(double x) { return (x + 2) / 7; }

static void normal_numbers_have_their_mean_and_deviation(void **state) {
  (void)state;
  double x[DRAWS], y[DRAWS], mean = 0, square = 0;
  draw("x = RandomNormal() {shape=[40,100] mean=3.0 scale=2.0 seed=7.0}\n"
       "y = RandomNormalLike(x) {mean=3.0 scale=2.0 seed=8.0}\n out x\n out y",
       NULL, x, y);
  for (int i = 0; i < DRAWS; i++) {
    mean += x[i] / DRAWS;
    square += (x[i] - 3) * (x[i] - 3) / DRAWS;
  }
  assert_float_equal(mean, 3, 3.3 * 2 / sqrt(DRAWS));
  assert_float_equal(square, 4, 3.3 * 4 * sqrt(2.0 / DRAWS));
  assert_true(kolmogorov(x, normal_below) < 1.95);
  assert_true(kolmogorov(y, normal_below) < 1.95);
}

static void uniform_numbers_fill_their_range(void **state) {
  (void)state;
  double x[DRAWS], y[DRAWS];
  draw("x = RandomUniform() {shape=[4000] low=-2.0 high=5.0 seed=1.0}\n"
       "y = RandomUniformLike(x) {low=-2.0 high=5.0 seed=2.0}\n out x\n out y",
       NULL, x, y);
  for (int i = 0; i < DRAWS; i++)
    assert_true(x[i] >= -2 && x[i] < 5);
  assert_true(kolmogorov(x, uniform_below) < 1.95);
  assert_true(kolmogorov(y, uniform_below) < 1.95);
}

static void seeds_repeat_and_nodes_without_one_differ(void **state) {
  (void)state;
  double x[DRAWS], y[DRAWS], again[DRAWS];
  int same = 0;
  draw("x = RandomUniform() {shape=[4000] seed=1.0}\n"
       "y = RandomUniform() {shape=[4000] seed=1.0}\n out x\n out y",
       NULL, x, y);
  assert_memory_equal(x, y, sizeof x);
  const char *unseeded = "x = RandomUniform() {shape=[4000]}\n"
                         "y = RandomUniform() {shape=[4000]}\n out x\n out y";
  draw(unseeded, NULL, x, y);
  for (int i = 0; i < DRAWS; i++)
    same += x[i] == y[i];
  assert_true(same < 5);
  draw(unseeded, NULL, again, y);
  assert_memory_equal(x, again, sizeof x);
}

static void bernoulli_hits_as_often_as_it_should(void **state) {
  (void)state;
  double x[DRAWS], hits = 0;
  draw("in p f32 [1]\n init to i64 [1] = 4000\n q = Expand(p, to)\n x = Bernoulli(q) {seed=3.0}\n"
       " out x",
       &(struct given)ROW(1, 0.3), x, NULL);
  for (int i = 0; i < DRAWS; i++) {
    assert_true(x[i] == 0 || x[i] == 1);
    hits += x[i];
  }
  assert_float_equal(hits / DRAWS, 0.3, 3.3 * sqrt(0.21 / DRAWS));
}

/* Logarithms of 1, 2 and 5 eighths. */
static void multinomial_picks_in_proportion(void **state) {
  (void)state;
  double x[DRAWS], counts[3] = {0}, chi = 0;
  static const double share[3] = {0.125, 0.25, 0.625};
  draw("in p f32 [1,3]\n x = Multinomial(p) {sample_size=4000 seed=4.0}\n out x",
       &(struct given)MATRIX(1, 3, log(0.125), log(0.25), log(0.625)), x, NULL);
  for (int i = 0; i < DRAWS; i++) {
    assert_true(x[i] == 0 || x[i] == 1 || x[i] == 2);
    counts[(int)x[i]]++;
  }
  for (int i = 0; i < 3; i++)
    chi += (counts[i] - share[i] * DRAWS) * (counts[i] - share[i] * DRAWS) / (share[i] * DRAWS);
  assert_true(chi < 13.8); /* two degrees of freedom */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(normal_numbers_have_their_mean_and_deviation),
      cmocka_unit_test(uniform_numbers_fill_their_range),
      cmocka_unit_test(seeds_repeat_and_nodes_without_one_differ),
      cmocka_unit_test(bernoulli_hits_as_often_as_it_should),
      cmocka_unit_test(multinomial_picks_in_proportion),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
