/* SPDX-License-Identifier: Apache-2.0 */
/* onnxruntime's attention operators: packed operands, sinks, windows. Scores are 0 (queries are 0),
 * so that results are means that can be written down. */
#include "tests/frontend/import_expect.h"

#define OPSETS "opset 18\nopset 1 com.microsoft\n"
#define SIZES "init length i32 [1] = 2\n init total i32 [] = 3\n"
#define GQA "GroupQueryAttention(q, k, v, , , length, total"

/* Three new keys of values 0, 3 and 6 (kv head 0) for two query heads. */
static const struct given keys[2] = {{DTYPE_F32, 3, {1, 3, 1}, {1, 1, 1}},
                                     {DTYPE_F32, 3, {1, 3, 1}, {0, 3, 6}}};

static void expect_heads(const char *text, double a0, double a1, double a2, double b0, double b1,
                         double b2) {
  struct given want = {DTYPE_F32, 3, {1, 3, 2}, {a0, b0, a1, b1, a2, b2}};
  expect_run(text, keys, 2, &want);
}

#define QUERIES "init q f32 [1,3,2] = 0 0 0 0 0 0\n in k f32 [1,3,1]\n in v f32 [1,3,1]\n"

static void causal_and_local(void **state) {
  (void)state;
  expect_heads(OPSETS QUERIES SIZES " y = com.microsoft::" GQA
                                    ") {num_heads=2, kv_num_heads=1}\n out y",
               0, 1.5, 3, 0, 1.5, 3);
  expect_heads(OPSETS QUERIES SIZES " y = com.microsoft::" GQA
                                    ") {num_heads=2, kv_num_heads=1, local_window_size=2}\n out y",
               0, 1.5, 4.5, 0, 1.5, 4.5);
}

/* A sink at ln w is w more keys of value 0. */
static void sinks_weigh_like_keys_of_zero(void **state) {
  (void)state;
  expect_heads(OPSETS QUERIES SIZES " y = com.microsoft::" GQA
                                    ") {num_heads=2, kv_num_heads=1, smooth_softmax=1}\n out y",
               0, 1, 9.0 / 4, 0, 1, 9.0 / 4);
  expect_heads(OPSETS QUERIES SIZES
               " init sink f32 [2] = 0.0 1.0986122886681098\n y = com.microsoft::" GQA
               ", , , , , sink) {num_heads=2, kv_num_heads=1, local_window_size=2}\n out y",
               0, 1, 3, 0, 3.0 / 5, 9.0 / 5);
}

/* The cache that comes out has no sink in it. */
static void caches_stay_without_the_sink(void **state) {
  (void)state;
  struct given want = {DTYPE_F32, 4, {1, 1, 3, 1}, {0, 3, 6}};
  expect_run(OPSETS QUERIES SIZES " y, kk, vv = com.microsoft::" GQA
                                  ") {num_heads=2, kv_num_heads=1, smooth_softmax=1}\n out vv",
             keys, 2, &want);
}

/* q, k, v of one head of width 1 side by side: scores are q * k. */
static void packed_operands(void **state) {
  (void)state;
  struct given flat = {DTYPE_F32, 1, {6}, {0, 1, 2, 0, 5, 4}};
  struct given want = {DTYPE_F32, 3, {1, 2, 1}, {3, 3}};
  expect_run(OPSETS "in x f32 [6]\n init s i64 [5] = 1 2 1 3 1\n p = Reshape(x, s)\n"
                    " y = com.microsoft::MultiHeadAttention(p) {num_heads=1}\n out y",
             &flat, 1, &want);
  struct given more = {DTYPE_F32, 3, {1, 2, 1}, {4, 4}};
  expect_run(
      OPSETS
      "in x f32 [6]\n init s i64 [5] = 1 2 1 3 1\n p = Reshape(x, s)\n init b f32 [3] = 0 7 1\n"
      " y = com.microsoft::MultiHeadAttention(p, , , b) {num_heads=1}\n out y",
      &flat, 1, &more);
  struct given pairs = {DTYPE_F32, 1, {6}, {9, 1, 9, 3, 9, 5}};
  expect_run(OPSETS "in x f32 [6]\n init s i64 [5] = 1 3 1 2 1\n p = Reshape(x, s)\n"
                    " init q f32 [1,2,1] = 0 0\n"
                    " y = com.microsoft::MultiHeadAttention(q, p) {num_heads=1}\n out y",
             &pairs, 1, &want);
  expect_refused(OPSETS "in q f32 [1,2,3]\n"
                        " y = com.microsoft::MultiHeadAttention(q) {num_heads=1}\n out y",
                 "E0142");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(causal_and_local),
      cmocka_unit_test(sinks_weigh_like_keys_of_zero),
      cmocka_unit_test(caches_stay_without_the_sink),
      cmocka_unit_test(packed_operands),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
