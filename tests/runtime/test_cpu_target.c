/* SPDX-License-Identifier: Apache-2.0 */
/* Names of cpu targets against this processor. */
#include "runtime/drivers/cpu/cpu_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void this_processor_runs_what_it_describes(void **state) {
  (void)state;
  char name[192];
  const char *missing;
  unsigned long long features = cpu_target_features();
  assert_true(cpu_target_runs("x86-64", features, &missing));
  assert_true(cpu_target_runs(cpu_target_best(features), features, &missing));
  assert_true(cpu_target_describe(features, name, sizeof name));
  assert_true(cpu_target_runs(name, features, &missing));
  assert_false(cpu_target_describe(features, name, 6));
  assert_true(cpu_target_describe(~0ull, name, sizeof name)); /* the longest name there is */
}

static void what_is_missing_is_named(void **state) {
  (void)state;
  const char *missing;
  assert_false(cpu_target_runs("x86-64", 0, &missing));
  assert_string_equal(missing, "sse2");
  assert_false(cpu_target_runs("x86-64-v4+amx", ~0ull, &missing));
  assert_string_equal(missing, "amx");
  assert_false(cpu_target_runs("x86-64-v3+", ~0ull, &missing));
  assert_true(cpu_target_runs("x86-64-v3+avx512vnni+gfni", ~0ull, &missing));
  const char *none[] = {"", "native", "x86-64-v5", "x86-64-v", "aarch64", "+avx2", "x86-64 "};
  for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
    assert_false(cpu_target_runs(none[i], ~0ull, &missing));
  assert_string_equal(cpu_target_best(0), "none");
  assert_string_equal(cpu_target_best(~0ull), "x86-64-v4");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(this_processor_runs_what_it_describes),
      cmocka_unit_test(what_is_missing_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
