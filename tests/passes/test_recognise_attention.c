/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of recognise_attention.sir compute the same before and after, within rounding. */
#include "base/file.h"
#include "tests/passes/pass_check.h"

/* One module per function: check_same_results looks at the first. */
static void check_function(const char *begin, const char *end) {
  struct diags d = {0};
  struct strbuf one = {0};
  strbuf_append(&one, begin, (size_t)(end - begin));
  struct module *m = parse_module(strbuf_c(&one), &d);
  check_same_results(m, "recognise_attention,simplify,dce", 1, 5, 2e-6);
  module_destroy(m);
  strbuf_deinit(&one);
  diags_deinit(&d);
}

static void test_every_form(void **state) {
  (void)state;
  char *text;
  size_t size;
  uint32_t n = 0;
  const char *path = SINTER_TEST_SOURCE_DIR "/tests/passes/recognise_attention.sir";
  assert_int_equal(file_read(path, 1 << 20, NULL, &text, &size), STATUS_OK);
  for (const char *at = text; (at = strstr(at, "\nfunc ")) != NULL; n++) {
    const char *end = strstr(at, "\n}\n") + 3;
    check_function(at, end);
    at = end;
  }
  assert_true(n >= 4);
  mem_free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_form)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
