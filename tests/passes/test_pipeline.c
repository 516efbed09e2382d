/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline: which passes run, what is refused, and that dumps parse again. */
#include "base/file.h"
#include "tests/passes/pass_check.h"

#include <unistd.h>

static const char text[] = "func @main(%x: f32[n, 4]) -> (f32[n, 4]) where n in 1..8 {\n"
                           "  %0 = transpose %x { perm = [1, 0] } : f32[4, n]\n"
                           "  %1 = transpose %0 { perm = [1, 0] } : f32[n, 4]\n"
                           "  %2 = map %1 { mul($0, 1.0) } : f32[n, 4]\n"
                           "  %3 = map %2 { exp($0) } : f32[n, 4]\n"
                           "  return %3\n"
                           "}\n"
                           "entry @main(\"x\") -> (\"y\") { @main; }\n";

static uint32_t ops_after(const struct pipeline_options *o) {
  struct diags d = {0};
  struct module *m = parse_module(text, &d);
  assert_int_equal(pipeline_run(m, o, &d), STATUS_OK);
  uint32_t n = m->functions.data[0]->regions.data[0].ops.len;
  module_destroy(m);
  diags_deinit(&d);
  return n;
}

static void test_only_the_passes_asked_for_run(void **state) {
  (void)state;
  assert_int_equal(ops_after(&(struct pipeline_options){.passes = "dce"}), 4);
  assert_int_equal(ops_after(&(struct pipeline_options){.passes = "simplify"}), 1);
  assert_int_equal(
      ops_after(&(struct pipeline_options){.passes = "simplify", .disabled = "simplify"}), 4);
  assert_int_equal(ops_after(&(struct pipeline_options){.stop_after = "check_shapes"}), 4);
  assert_int_equal(ops_after(&(struct pipeline_options){.stop_after = "dce", .verify_each = true}),
                   1);
}

static void test_names_that_are_no_pass_are_refused(void **state) {
  (void)state;
  const struct pipeline_options wrong[] = {{.passes = "simplify,simplfy"},
                                           {.disabled = "nothing"},
                                           {.stop_after = ""},
                                           {.stop_after = "later"},
                                           {.print_after = "al"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct diags d = {0};
    struct module *m = parse_module(text, &d);
    status st = pipeline_run(m, &wrong[i], &d);
    assert_int_equal(st, wrong[i].stop_after && !*wrong[i].stop_after ? STATUS_OK : STATUS_USAGE);
    module_destroy(m);
    diags_deinit(&d);
  }
}

static void test_every_pass_has_a_name_and_a_description(void **state) {
  (void)state;
  const char *before = "";
  assert_true(pipeline_pass_count() > 0);
  for (uint32_t i = 0; i < pipeline_pass_count(); i++) {
    const struct pass_info *p = pipeline_pass(i);
    assert_true(strcmp(before, p->name) < 0); /* in order, none twice */
    assert_true(strlen(p->doc) > 8);
    before = p->name;
  }
}

static void test_dumps_parse_again(void **state) {
  (void)state;
  char folder[] = "/tmp/sinter-dump-XXXXXX";
  struct diags d = {0};
  assert_non_null(mkdtemp(folder));
  struct module *m = parse_module(text, &d);
  struct pipeline_options o = {.passes = "simplify,dce", .dump_ir_to = folder};
  assert_int_equal(pipeline_run(m, &o, &d), STATUS_OK);
  const char *const names[] = {"00-import", "01-simplify", "02-dce"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[128], *data;
    size_t size;
    snprintf(path, sizeof path, "%s/%s.sir", folder, names[i]);
    assert_int_equal(file_read(path, 1 << 20, &d, &data, &size), STATUS_OK);
    struct module *again = parse_module(data, &d);
    assert_int_equal(again->functions.data[0]->regions.data[0].ops.len, i ? 1 : 4);
    module_destroy(again);
    mem_free(data);
    unlink(path);
  }
  rmdir(folder);
  module_destroy(m);
  diags_deinit(&d);
}

static void test_a_folder_that_cannot_be_made_is_an_error(void **state) {
  (void)state;
  struct diags d = {0};
  struct module *m = parse_module(text, &d);
  struct pipeline_options o = {.passes = "dce", .dump_ir_to = "/dev/null/dump"};
  assert_int_equal(pipeline_run(m, &o, &d), STATUS_RESOURCES);
  module_destroy(m);
  diags_deinit(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_only_the_passes_asked_for_run),
      cmocka_unit_test(test_names_that_are_no_pass_are_refused),
      cmocka_unit_test(test_every_pass_has_a_name_and_a_description),
      cmocka_unit_test(test_dumps_parse_again),
      cmocka_unit_test(test_a_folder_that_cannot_be_made_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
