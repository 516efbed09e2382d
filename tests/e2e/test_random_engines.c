/* SPDX-License-Identifier: Apache-2.0 */
/* Random modules, compiled and run, against the interpreter.
 *
 * Every module goes through the whole pipeline into an engine, which runs on a few sizes of its
 * symbols; then again with passes disabled and for other targets. One and two threads must give the
 * same bits. */
#include "tests/e2e/random_modules.h"

static void test_random_engines(void **state) {
  (void)state;
  try_random_modules(150);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_engines),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
