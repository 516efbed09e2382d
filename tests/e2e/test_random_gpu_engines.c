/* SPDX-License-Identifier: Apache-2.0 */
/* Random modules, compiled for GPUs and run on a simulated one with all of its checks, against the
 * interpreter. */
#include "tests/e2e/random_modules.h"

static const struct differential_variant variants[] = {
    {.target = "sm_80", .devices = "sim:1", .threads = 1},
    {.target = "sm_90a", .devices = "sim:1", .threads = 1},
    {.target = "sm_80", .devices = "sim:1", .threads = 1, .disabled = "split_keys"},
    {.target = "sm_80", .devices = "sim:1", .threads = 1, .disabled = "simplify"},
    {.target = "sm_80", .devices = "sim:1", .threads = 1, .disabled = "unroll,hoist"},
};

static void test_random_gpu_engines(void **state) {
  (void)state;
  differential_set.list = variants;
  differential_set.n = sizeof variants / sizeof *variants;
  differential_set.always = 1;
  differential_set.rounds_weights = true;
  try_random_modules(60);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_gpu_engines),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
