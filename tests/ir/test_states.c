/* SPDX-License-Identifier: Apache-2.0 */
/* States of entries: their text, and what the verifier refuses. */
#include "ir/text.h"
#include "ir/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PARAMS "(%x: f32[b, n], %length: i64[b], %past: f32[b, rows])"
#define TYPES " where b in 1.., n in 1.., rows in 1.. "
#define ENTRY "entry @e(\"x\", \"length\", \"past\") -> (\"y\", \"present\") state "

static struct module *parse(const char *text, struct diags *d) {
  struct module *m = NULL;
  module_parse("states.sir", text, strlen(text), d, &m);
  return m;
}

static status check(const char *body, const char *states) {
  struct strbuf text = {0};
  struct diags d = {0};
  strbuf_append_c(&text, "func @f" PARAMS " -> (f32[b, n], f32[b, rows])" TYPES "{\n");
  strbuf_append_c(&text, body);
  strbuf_append_c(&text, "}\n" ENTRY);
  strbuf_append_c(&text, states);
  strbuf_append_c(&text, " { @f; }\n");
  struct module *m = parse(text.data, &d);
  status s = m ? module_verify(m, &d) : diags_status(&d);
  module_destroy(m);
  strbuf_deinit(&text);
  diags_deinit(&d);
  return s;
}

#define IN_PLACE "%u = update %past, %x, %length { axis = 1, in_place = true }\n"
#define STATES "(\"length\") (\"past\") -> (\"present\")"

static void test_text(void **state) {
  (void)state;
  struct diags d = {0};
  struct strbuf once = {0}, again = {0};
  struct module *m = parse("func @f" PARAMS " -> (f32[b, n], f32[b, rows])" TYPES "{\n" IN_PLACE
                           "return %x, %u\n}\n" ENTRY STATES " { @f; }\n",
                           &d);
  assert_non_null(m);
  assert_int_equal(m->entries.data[0].length, 2);
  assert_int_equal(m->entries.data[0].count, 0);
  assert_int_equal(m->entries.data[0].states.len, 1);
  assert_int_equal(m->entries.data[0].states.data[0].input, 2);
  assert_int_equal(m->entries.data[0].states.data[0].output, 1);
  module_print(m, &once);
  module_destroy(m);
  m = parse(once.data, &d);
  assert_non_null(m);
  module_print(m, &again);
  assert_string_equal(once.data, again.data);
  module_destroy(m);
  strbuf_deinit(&once);
  strbuf_deinit(&again);
  diags_deinit(&d);
}

static void test_refusals(void **state) {
  (void)state;
  assert_int_equal(check(IN_PLACE "return %x, %u\n", STATES), STATUS_OK);
  /* Not in place; read by something else; another value given; given twice. */
  assert_int_equal(check("%u = update %past, %x, %length { axis = 1 }\nreturn %x, %u\n", STATES),
                   STATUS_INVALID);
  assert_int_equal(check(IN_PLACE "%v = map %past { neg($0) }\nreturn %x, %v\n", STATES),
                   STATUS_INVALID);
  assert_int_equal(check(IN_PLACE "%v = map %u { neg($0) }\nreturn %x, %v\n", STATES),
                   STATUS_INVALID);
  assert_int_equal(check("return %x, %past\n", STATES), STATUS_INVALID);
  /* Names of nothing; not the last; a length that is none. */
  assert_int_equal(check(IN_PLACE "return %x, %u\n", "(\"size\") (\"past\") -> (\"present\")"),
                   STATUS_INVALID);
  assert_int_equal(check(IN_PLACE "return %x, %u\n", "(\"length\") (\"past\") -> (\"y\")"),
                   STATUS_INVALID);
  assert_int_equal(check(IN_PLACE "return %x, %u\n", "(\"x\") (\"past\") -> (\"present\")"),
                   STATUS_INVALID);
  assert_int_equal(check(IN_PLACE "return %x, %u\n", "() (\"past\") -> (\"present\")"),
                   STATUS_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
