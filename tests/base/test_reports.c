/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics, JSON and logging: what people and programs read. */
#include "base/diag.h"
#include "base/json.h"
#include "base/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char *printed(const struct diags *d) {
  char *text = NULL;
  size_t n = 0;
  FILE *f = open_memstream(&text, &n);
  diags_print(d, f);
  fclose(f);
  return text;
}

static void the_house_form(void **state) {
  (void)state;
  struct diags d = {0};
  char node[] = "fc1";
  struct diag_where w = DIAG_NOWHERE;
  w.file = "model.onnx";
  w.node = node;
  w.op = "MatMul";
  w.node_index = 12;
  assert_int_equal(diag_report(&d, DIAG_E0107, &w, "the file may be truncated; export it again",
                               "initializer '%s' has %d B", "fc1.weight", 4000),
                   STATUS_INVALID);
  node[0] = 'x';
  assert_int_equal(diag_report(&d, DIAG_W0001, NULL, NULL, "attribute ignored"), STATUS_OK);
  struct diag_where line = DIAG_NOWHERE;
  line.file = "a.sir";
  line.line = 3;
  line.column = 4;
  line.source_line = "%0\t= nope";
  diag_report(&d, DIAG_E0902, &line, NULL, "bad");
  char *text = printed(&d);
  assert_string_equal(text, "error[E0107]: initializer 'fc1.weight' has 4000 B\n"
                            "  --> model.onnx: node 12 'fc1' (MatMul)\n"
                            "  hint: the file may be truncated; export it again\n"
                            "warning[W0001]: attribute ignored\n"
                            "error[E0902]: bad\n"
                            "  --> a.sir:3:4\n"
                            "    | %0 = nope\n"
                            "    |    ^\n");
  assert_int_equal(diags_errors(&d), 2);
  assert_int_equal(diags_status(&d), STATUS_INVALID);
  assert_int_equal(diags_count(&d), 3);
  free(text);
  diags_deinit(&d);
}

static void names_do_not_drive_the_terminal(void **state) {
  (void)state;
  struct diags d = {0};
  struct diag_where w = DIAG_NOWHERE;
  w.node = "a\033[2J\xc2\x9b";
  w.byte_offset = 77;
  diag_report(&d, DIAG_E0107, &w, NULL, "x\ny");
  char *text = printed(&d);
  assert_string_equal(text, "error[E0107]: x\\x0ay\n  --> node 'a\\x1b[2J\\x9b', byte 77\n");
  free(text);
  diags_deinit(&d);
}

static void many_are_counted_and_lists_merge(void **state) {
  (void)state;
  struct diags a = {0}, b = {0};
  diag_report(&a, DIAG_W0001, NULL, NULL, "w");
  for (int i = 0; i < 150; i++)
    diag_report(&b, DIAG_E0903, NULL, NULL, "number %d", i);
  diags_merge(&a, &b);
  assert_int_equal(diags_count(&a), DIAGS_CAP);
  assert_int_equal(diags_errors(&a), 150);
  assert_int_equal(diags_status(&a), STATUS_USAGE);
  char *text = printed(&a);
  assert_non_null(strstr(text, "and 51 more\n"));
  free(text);
  diags_deinit(&a);
  assert_int_equal(diag_report(NULL, DIAG_E0901, NULL, NULL, "x"), STATUS_RESOURCES);
}

static void codes_are_sorted_and_complete(void **state) {
  (void)state;
  for (int i = 0; i < DIAG_CODE_COUNT; i++) {
    const char *name = diag_code_name((enum diag_code)i);
    assert_int_equal(strlen(name), 5);
    assert_int_equal(name[0] == 'W', diag_code_status((enum diag_code)i) == STATUS_OK);
    assert_true(strlen(diag_code_meaning((enum diag_code)i)) > 3);
    if (i > 0 && strcmp(diag_code_name((enum diag_code)(i - 1)), name) >= 0)
      fail_msg("%s is out of order in diag.def", name);
  }
}

static void json_of_diagnostics(void **state) {
  (void)state;
  struct diags d = {0};
  struct strbuf out = {0};
  struct json j;
  struct diag_where w = DIAG_NOWHERE;
  w.node_index = 0;
  w.line = 2;
  diag_report(&d, DIAG_E0107, &w, NULL, "a \"b\"\x01\xff");
  json_init_strbuf(&j, &out, false);
  diags_write_json(&d, &j);
  assert_string_equal(out.data, "[{\"code\":\"E0107\",\"severity\":\"error\",\"message\":\"a "
                                "\\\"b\\\"\\u0001\xef\xbf\xbd\",\"node_index\":0,\"line\":2}]");
  strbuf_deinit(&out);
  diags_deinit(&d);
}

static void json_values(void **state) {
  (void)state;
  struct strbuf out = {0};
  struct json j;
  json_init_strbuf(&j, &out, true);
  json_object_begin(&j);
  json_key(&j, "empty");
  json_array_begin(&j);
  json_array_end(&j);
  json_key(&j, "numbers");
  json_array_begin(&j);
  json_i64(&j, INT64_MIN);
  json_u64(&j, UINT64_MAX);
  json_f64(&j, 0.1);
  json_f64(&j, NAN);
  json_bool(&j, true);
  json_null(&j);
  json_array_end(&j);
  json_key(&j, "text");
  json_string(&j, "\xe2\x82\xac\xed\xa0\x80");
  json_object_end(&j);
  assert_int_equal(j.depth, 0);
  assert_string_equal(out.data,
                      "{\n  \"empty\": [],\n  \"numbers\": [\n    -9223372036854775808,\n"
                      "    18446744073709551615,\n    0.1,\n    null,\n    true,\n    null\n  ],\n"
                      "  \"text\": \"\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\n}\n");
  strbuf_deinit(&out);
}

static void the_longest_log_entry_decides(void **state) {
  (void)state;
  log_configure("all:1,pass:2,pass.fuse:0,runtime");
  assert_true(log_enabled("frontend", 1));
  assert_false(log_enabled("frontend", 2));
  assert_true(log_enabled("pass.layout", 2));
  assert_false(log_enabled("pass.fuse", 1));
  assert_true(log_enabled("passes", 1));
  assert_false(log_enabled("passes", 2));
  assert_true(log_enabled("runtime.pool", 1));
  log_configure("");
  assert_false(log_enabled("runtime", 1));
}

static void statuses_have_exit_codes(void **state) {
  (void)state;
  assert_int_equal(status_exit_code(STATUS_OK), 0);
  assert_int_equal(status_exit_code(STATUS_MISMATCH), 1);
  assert_int_equal(status_exit_code(STATUS_USAGE), 2);
  assert_int_equal(status_exit_code(STATUS_INVALID), 3);
  assert_int_equal(status_exit_code(STATUS_UNSUPPORTED), 3);
  assert_int_equal(status_exit_code(STATUS_RESOURCES), 4);
  assert_int_equal(status_exit_code(STATUS_DEVICE), 5);
  assert_string_equal(status_name(STATUS_CANCELLED), "cancelled");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_house_form),
      cmocka_unit_test(names_do_not_drive_the_terminal),
      cmocka_unit_test(many_are_counted_and_lists_merge),
      cmocka_unit_test(codes_are_sorted_and_complete),
      cmocka_unit_test(json_of_diagnostics),
      cmocka_unit_test(json_values),
      cmocka_unit_test(the_longest_log_entry_decides),
      cmocka_unit_test(statuses_have_exit_codes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
