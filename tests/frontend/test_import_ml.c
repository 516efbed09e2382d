/* SPDX-License-Identifier: Apache-2.0 */
/* Tree ensembles: every comparison, missing values, trees so deep that their walk is a loop, and
 * nodes that do not form trees. Probabilities of support vector machines; maps. */
#include "tests/frontend/import_expect.h"

#include <math.h>

/* Runs a regressor of one target on rows of one feature. */
static void expect_scores(const char *text, const double *x, const double *y, int64_t rows) {
  struct onnx_run r;
  struct tensor *out = NULL, *in;
  onnx_run_open(&r, text, NULL);
  if (!r.module)
    diags_print(&r.diags, stderr);
  assert_non_null(r.module);
  in = onnx_run_tensor(&r, DTYPE_F32, (int64_t[]){rows, 1}, 2, x);
  assert_int_equal(onnx_run_call(&r, &in, &out), STATUS_OK);
  for (int64_t i = 0; i < rows; i++)
    assert_float_equal(out->f64[i], y[i], 0);
  onnx_run_close(&r);
}

/* A tree of one decision at 1: 10 where it holds, else 20. */
static void expect_decision(const char *mode, int missing, const double *y) {
  static const double x[] = {0, 1, 2, (double)NAN};
  char text[1024];
  snprintf(
      text, sizeof text,
      "opset 3 ai.onnx.ml\n"
      "in x f32 [n,1]\n"
      "y = ai.onnx.ml::TreeEnsembleRegressor(x) {n_targets=1 nodes_treeids=[0,0,0] "
      "nodes_nodeids=[0,1,2] nodes_featureids=[0,0,0] nodes_values=[1.0,0.0,0.0] "
      "nodes_modes=[\"%s\",\"LEAF\",\"LEAF\"] nodes_truenodeids=[1,0,0] "
      "nodes_falsenodeids=[2,0,0] nodes_missing_value_tracks_true=[%d,0,0] "
      "target_treeids=[0,0] target_nodeids=[1,2] target_ids=[0,0] target_weights=[10.0,20.0]}\n"
      "out y\n",
      mode, missing);
  expect_scores(text, x, y, 4);
}

static void every_comparison_holds_where_it_should(void **state) {
  (void)state;
  expect_decision("BRANCH_LEQ", 0, (double[]){10, 10, 20, 20});
  expect_decision("BRANCH_LT", 0, (double[]){10, 20, 20, 20});
  expect_decision("BRANCH_GTE", 0, (double[]){20, 10, 10, 20});
  expect_decision("BRANCH_GT", 0, (double[]){20, 20, 10, 20});
  expect_decision("BRANCH_EQ", 0, (double[]){20, 10, 20, 20});
  expect_decision("BRANCH_NEQ", 0, (double[]){10, 20, 10, 10});
}

static void missing_values_take_the_true_branch_where_told(void **state) {
  (void)state;
  expect_decision("BRANCH_LEQ", 1, (double[]){10, 10, 20, 10});
  expect_decision("BRANCH_LT", 1, (double[]){10, 20, 20, 10});
  expect_decision("BRANCH_GTE", 1, (double[]){20, 10, 10, 10});
  expect_decision("BRANCH_GT", 1, (double[]){20, 20, 10, 10});
  expect_decision("BRANCH_EQ", 1, (double[]){20, 10, 20, 10});
  expect_decision("BRANCH_NEQ", 1, (double[]){10, 20, 10, 10});
}

/* A chain: node 2 i goes on while x > i, else ends in leaf 2 i + 1, whose weight is i. */
static void a_tree_too_deep_to_unroll_is_a_loop(void **state) {
  enum { DEPTH = 40 };
  (void)state;
  struct strbuf ids[7] = {{0}}, text = {0};
  for (int i = 0; i <= 2 * DEPTH; i++) {
    bool leaf = i % 2 || i == 2 * DEPTH;
    const char *comma = i ? "," : "";
    strbuf_printf(&ids[0], "%s0", comma);
    strbuf_printf(&ids[1], "%s%d", comma, i);
    strbuf_printf(&ids[2], "%s%d.0", comma, i / 2);
    strbuf_printf(&ids[3], "%s\"%s\"", comma, leaf ? "LEAF" : "BRANCH_GT");
    strbuf_printf(&ids[4], "%s%d", comma, leaf ? 0 : i + 2);
    strbuf_printf(&ids[5], "%s%d", comma, leaf ? 0 : i + 1);
    strbuf_printf(&ids[6], "%s%d.0", comma, i / 2);
  }
  strbuf_printf(&text,
                "opset 3 ai.onnx.ml\n"
                "in x f32 [n,1]\n"
                "y = ai.onnx.ml::TreeEnsembleRegressor(x) {n_targets=1 nodes_treeids=[%s] "
                "nodes_nodeids=[%s] nodes_featureids=[%s] nodes_values=[%s] nodes_modes=[%s] "
                "nodes_truenodeids=[%s] nodes_falsenodeids=[%s] target_treeids=[%s] "
                "target_nodeids=[%s] target_ids=[%s] target_weights=[%s]}\n"
                "out y\n",
                ids[0].data, ids[1].data, ids[0].data, ids[2].data, ids[3].data, ids[4].data,
                ids[5].data, ids[0].data, ids[1].data, ids[0].data, ids[6].data);
  expect_scores(text.data, (double[]){-1, 0.5, 17, 38.5, 100}, (double[]){0, 1, 17, 39, 40}, 5);
  strbuf_deinit(&text);
  for (int i = 0; i < 7; i++)
    strbuf_deinit(&ids[i]);
}

static void nodes_that_form_a_cycle_are_refused(void **state) {
  (void)state;
  struct onnx_run r;
  onnx_run_open(&r,
                "opset 3 ai.onnx.ml\n"
                "in x f32 [n,1]\n"
                "y = ai.onnx.ml::TreeEnsembleRegressor(x) {n_targets=1 nodes_treeids=[0,0] "
                "nodes_nodeids=[0,1] nodes_featureids=[0,0] nodes_values=[1.0,0.0] "
                "nodes_modes=[\"BRANCH_LEQ\",\"LEAF\"] nodes_truenodeids=[0,0] "
                "nodes_falsenodeids=[1,0] target_treeids=[0] target_nodeids=[1] target_ids=[0] "
                "target_weights=[10.0]}\n"
                "out y\n",
                NULL);
  assert_null(r.module);
  assert_string_equal(onnx_run_codes(&r), "E0142");
  onnx_run_close(&r);
}

/* What onnxruntime 1.32 gives. */
static void pairs_of_classes_are_coupled_to_probabilities(void **state) {
  (void)state;
  expect_run("opset 3 ai.onnx.ml\n"
             "in x f32 [n,1]\n"
             "l, p = ai.onnx.ml::SVMClassifier(x) {kernel_type=\"LINEAR\" "
             "kernel_params=[0.0,0.0,3.0] support_vectors=[1.0,2.0,4.0] vectors_per_class=[1,1,1] "
             "coefficients=[1.0,-0.5,-1.0,0.75,-1.0,0.5] rho=[0.5,-1.0,0.25] "
             "prob_a=[-1.0,-2.0,-0.5] prob_b=[0.1,-0.2,0.3] classlabels_ints=[5,7,9] "
             "post_transform=\"NONE\"}\n"
             "out l\n out p",
             &(struct given)MATRIX(3, 1, 1, -2, 0.5), 1,
             (struct given[]){{DTYPE_I64, 1, {3}, {5, 5, 5}},
                              MATRIX(3, 3, 0.10238862, 0.31936598, 0.5782455, 0.6145935, 0.30099458,
                                     0.08441196, 0.10518016, 0.31855685, 0.576263)});
}

static void maps_are_a_matrix_and_its_keys(void **state) {
  (void)state;
  const struct given x = MATRIX(2, 2, 0.25, 0.75, 1, 0);
  expect_run("opset 3 ai.onnx.ml\n"
             "in x f32 [n,k]\n"
             "y = ai.onnx.ml::ZipMap(x) {classlabels_int64s=[7,-1]}\n"
             "out y",
             &x, 1, (struct given[]){x, {DTYPE_I64, 1, {2}, {7, -1}}});
  expect_run_fails("opset 3 ai.onnx.ml\n"
                   "in x f32 [n,k]\n"
                   "y = ai.onnx.ml::ZipMap(x) {classlabels_int64s=[7,-1]}\n"
                   "out y",
                   &(struct given)MATRIX(1, 3, 0, 0, 1), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_comparison_holds_where_it_should),
      cmocka_unit_test(missing_values_take_the_true_branch_where_told),
      cmocka_unit_test(a_tree_too_deep_to_unroll_is_a_loop),
      cmocka_unit_test(nodes_that_form_a_cycle_are_refused),
      cmocka_unit_test(pairs_of_classes_are_coupled_to_probabilities),
      cmocka_unit_test(maps_are_a_matrix_and_its_keys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
