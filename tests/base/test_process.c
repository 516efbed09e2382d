/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that end by themselves, do not start, die, or do not end. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/process.h"

static char text[64];
static int code;

static enum process_end shell(const char *script, double seconds) {
  const char *const argv[] = {"/bin/sh", "-c", script, NULL};
  return process_run(argv, NULL, seconds, text, sizeof text, &code);
}

static void ends(void **state) {
  (void)state;
  assert_int_equal(shell("echo out; echo err >&2; cat; exit 3", 60), PROCESS_EXITED);
  assert_int_equal(code, 3);
  assert_string_equal(text, "out\nerr\n");
  assert_int_equal(shell("kill -TERM $$", 60), PROCESS_KILLED);
  assert_int_equal(code, SIGTERM);
}

static void prints_much(void **state) {
  (void)state;
  assert_int_equal(shell("i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i+1)); done", 60),
                   PROCESS_EXITED);
  assert_int_equal(code, 0);
  assert_int_equal(strlen(text), sizeof text - 1);
}

static void folder(void **state) {
  (void)state;
  const char *const argv[] = {"/bin/pwd", NULL};
  assert_int_equal(process_run(argv, "/", 60, text, sizeof text, &code), PROCESS_EXITED);
  assert_string_equal(text, "/\n");
}

static void does_not_start(void **state) {
  (void)state;
  const char *const argv[] = {"/nonexistent/program", NULL};
  assert_int_equal(process_run(argv, NULL, 60, text, sizeof text, &code), PROCESS_NOT_STARTED);
  assert_int_equal(code, ENOENT);
}

/* Also one that has closed its output, or whose child holds it. */
static void does_not_end(void **state) {
  (void)state;
  static const char *const scripts[] = {"exec sleep 100", "exec >/dev/null 2>&1; exec sleep 100",
                                        "sleep 2 & exit 0"};
  for (int i = 0; i < 3; i++) {
    time_t begin = time(NULL);
    assert_int_equal(shell(scripts[i], 0.3), PROCESS_TIMED_OUT);
    assert_true(time(NULL) - begin < 60);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ends),           cmocka_unit_test(prints_much),  cmocka_unit_test(folder),
      cmocka_unit_test(does_not_start), cmocka_unit_test(does_not_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
