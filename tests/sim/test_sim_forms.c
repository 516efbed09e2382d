/* SPDX-License-Identifier: Apache-2.0 */
/* Every form of an instruction that ptxas takes for sm_90a (kernels/forms.py says which, some
 * thousands) loads; what is left out on purpose is in test_sim_refused.c. */
#include "tests/sim/sim_api.h"

static int open_all(void **state) {
  (void)state;
  return sim_open_cuda() ? 0 : -1;
}

static void forms(void **state) {
  (void)state;
  CUmodule module;
  CUfunction f;
  assert_int_equal(cuModuleLoad(&module, SINTER_TEST_SOURCE_DIR "/tests/sim/kernels/forms.ptx"), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, "forms"), 0);
  assert_int_equal(cuModuleUnload(module), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(forms)};
  return cmocka_run_group_tests(tests, open_all, NULL);
}
