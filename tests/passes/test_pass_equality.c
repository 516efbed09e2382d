/* SPDX-License-Identifier: Apache-2.0 */
/* Every pass that promises to, keeps the bits of random modules; the pipeline keeps values within
 * rounding. */
#include "tests/passes/pass_check.h"

static void test_simplify(void **state) {
  (void)state;
  check_random_modules("simplify", 150, 0);
}

static void test_fold(void **state) {
  (void)state;
  check_random_modules("fold", 150, 0);
}

static void test_fold_static(void **state) {
  (void)state;
  check_random_modules("fold_static", 150, 0);
}

static void test_cse_and_dce(void **state) {
  (void)state;
  check_random_modules("cse,dce", 150, 0);
}

static void test_several_rounds(void **state) {
  (void)state;
  check_random_modules("fold,simplify,cse,fold,simplify,dce", 150, 0);
}

static void test_strength(void **state) {
  (void)state;
  check_random_modules("simplify,strength,simplify", 150, 1e-5);
}

static void test_control(void **state) {
  (void)state;
  check_random_modules("fold,simplify,unroll,simplify,hoist,dce", 150, 0);
}

static void test_layout(void **state) {
  (void)state;
  check_random_modules("fold,simplify,layout,simplify,fold,dce", 150, 0);
}

static void test_variants(void **state) {
  (void)state;
  check_random_modules("simplify,variants,unroll,simplify,dce", 150, 0);
}

static void test_pipeline(void **state) {
  (void)state;
  check_random_modules(NULL, 100, 1e-5);
}

static void test_fuse(void **state) {
  (void)state;
  check_random_modules("fold,simplify,cse,dce,fuse", 150, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_simplify),       cmocka_unit_test(test_fold),
      cmocka_unit_test(test_fold_static),    cmocka_unit_test(test_cse_and_dce),
      cmocka_unit_test(test_several_rounds), cmocka_unit_test(test_strength),
      cmocka_unit_test(test_control),        cmocka_unit_test(test_pipeline),
      cmocka_unit_test(test_fuse),           cmocka_unit_test(test_layout),
      cmocka_unit_test(test_variants),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
