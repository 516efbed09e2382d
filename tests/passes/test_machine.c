/* SPDX-License-Identifier: Apache-2.0 */
/* Machine files: the named ones, what times follow, and every way that a file can be wrong. */
#include "passes/partition/machine_model.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char good[] =
    "machine toy  # a comment\n"
    "device { memory 1GB from \"a\" launch 1us from \"b\" scalar 1T/s from \"c\"\n"
    "  peak f32 2T/s from \"d\" peak bf16 4T/s from \"e\"\n"
    "  bandwidth { 1MB 1GB/s, 100MB 3GB/s } from \"f\"\n"
    "  efficiency 100 { 10 0.1, 1000 0.5 } from \"g\"\n"
    "  efficiency 10000 { 10 0.3, 1000 0.7 } from \"g\" }\n"
    "level link { devices 4 from \"h\" most 4 from \"h\" latency 1us from \"i\"\n"
    "  bandwidth 1GB/s from \"j\" all_reduce 4 { 1KB 5us, 2KB 7us } from \"k\" }\n"
    "level net { devices 2 from \"h\" most 8 from \"h\" latency 10us from \"i\"\n"
    "  bandwidth 100MB/s from \"j\" }\n";

static status parse(const char *text, struct arena *arena, struct diags *d, struct machine *out) {
  return machine_parse("toy.machine", text, strlen(text), arena, d, out);
}

static void test_figures(void **state) {
  (void)state;
  struct arena arena = {0};
  struct diags d = {0};
  struct machine m;
  assert_int_equal(parse(good, &arena, &d, &m), STATUS_OK);
  assert_string_equal(m.name, "toy");
  assert_int_equal(machine_devices(&m), 8);
  assert_int_equal(m.memory, 1000000000);
  assert_true(m.peak[DTYPE_BF16] == 4e12 && m.launch == 1e-6);
  assert_int_equal(m.n_figures, 17);
  assert_string_equal(m.figures[3].name, "peak f32");
  assert_string_equal(m.figures[3].source, "d");
  assert_string_equal(m.figures[11].name, "link.bandwidth");
  diags_deinit(&d);
  arena_deinit(&arena);
}

static bool near(double a, double b) { return a > 0.999999 * b && a < 1.000001 * b; }

static void test_times(void **state) {
  (void)state;
  struct arena arena = {0};
  struct diags d = {0};
  struct machine m;
  assert_int_equal(parse(good, &arena, &d, &m), STATUS_OK);
  /* Curves are flat beyond their ends and linear in the logarithm between. */
  assert_true(near(machine_curve_at(&m.bandwidth, 1), 1e9));
  assert_true(near(machine_curve_at(&m.bandwidth, 10e6), 2e9));
  assert_true(near(machine_curve_at(&m.bandwidth, 1e12), 3e9));
  assert_true(near(machine_memory_time(&m, 100e6), 100e6 / 3e9));
  assert_true(machine_memory_time(&m, 0) == 0);
  assert_true(near(machine_product_time(&m, DTYPE_F32, 2e9, 100, 1000), 1e-3 / 0.4));
  assert_true(near(machine_product_time(&m, DTYPE_BF16, 4e9, 5, 5), 1e-3 / 0.1));
  assert_true(near(machine_product_time(&m, DTYPE_I8, 2e9, 1e6, 1e6), 1e-3 / 0.7));
  /* By steps and bytes. */
  struct machine_group pair = {2, 2}, four = {4, 4}, wide = {8, 8}, across = {2, 8};
  assert_true(near(machine_collective_time(&m, COLLECTIVE_ALL_GATHER, pair, 2e6), 1e-6 + 1e-3));
  assert_true(near(machine_collective_time(&m, COLLECTIVE_ALL_TO_ALL, four, 4e6), 2e-6 + 3e-3));
  assert_true(near(machine_collective_time(&m, COLLECTIVE_PERMUTE, four, 1e6), 1e-6 + 1e-3));
  /* By the table, also for fewer ranks, and on at the link's bandwidth. */
  assert_true(near(machine_collective_time(&m, COLLECTIVE_ALL_REDUCE, four, 1), 5e-6));
  assert_true(near(machine_collective_time(&m, COLLECTIVE_ALL_REDUCE, pair, 2000), 7e-6));
  assert_true(
      near(machine_collective_time(&m, COLLECTIVE_ALL_REDUCE, four, 1002000), 7e-6 + 1.5e-3));
  /* Groups that leave the node go by the outer level. */
  assert_true(near(machine_collective_time(&m, COLLECTIVE_ALL_GATHER, wide, 8e6), 30e-6 + 70e-3));
  assert_true(near(machine_collective_time(&m, COLLECTIVE_ALL_GATHER, across, 2e6), 10e-6 + 10e-3));
  assert_true(
      machine_collective_time(&m, COLLECTIVE_ALL_REDUCE, (struct machine_group){1, 1}, 1e9) == 0);
  diags_deinit(&d);
  arena_deinit(&arena);
}

static void test_named(void **state) {
  (void)state;
  struct arena arena = {0};
  struct diags d = {0};
  struct machine m;
  static const struct {
    const char *name;
    int64_t devices;
  } named[] = {{"h100x1", 1}, {"h100x8", 8}, {"h100", 1},  {"2xh100x8", 16}, {"8xh100x8", 64},
               {"b200x4", 4}, {"l40sx8", 8}, {"cpux3", 3}, {"cpux64", 64}};
  for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
    assert_int_equal(machine_find(named[i].name, &arena, &d, &m), STATUS_OK);
    assert_int_equal(machine_devices(&m), named[i].devices);
    assert_string_equal(m.name, named[i].name);
    for (uint32_t k = 0; k < m.n_figures; k++)
      assert_true(*m.figures[k].source);
  }
  static const char *const wrong[] = {
      "h200x4",  "",          "x",        "h100x9", "h100x0",  "h100x99999999999999999999",
      "2xcpux2", "99xh100x8", "0xh100x8", "2x",     "h100x4x4"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    diags_clear(&d);
    assert_int_equal(machine_find(wrong[i], &arena, &d, &m), STATUS_USAGE);
    assert_int_equal(diags_get(&d, 0)->code, DIAG_E0341);
  }
  diags_clear(&d);
  assert_int_not_equal(machine_find("/nowhere/at/all.machine", &arena, &d, &m), STATUS_OK);
  assert_int_not_equal(machine_find("/nowhere/at/all.machine:4", &arena, &d, &m), STATUS_OK);
  diags_deinit(&d);
  arena_deinit(&arena);
}

/* Each is `good` with one piece replaced, and what must be said about it. */
static void test_wrong(void **state) {
  (void)state;
  static const struct {
    const char *from, *to, *message;
  } wrong[] = {
      {"machine toy", "", "no name"},
      {"machine toy", "machine toy machine toy", "name already"},
      {"memory 1GB from \"a\"", "", "no 'memory'"},
      {"memory 1GB", "memory 1us", "size (80GB)"},
      {"memory 1GB", "memory 0B", "above 0"},
      {"memory 1GB", "memory 1e200GB", "at most"},
      {"memory 1GB", "memory 1e999GB", "no number"},
      {"memory 1GB", "memory 1parsec", "no number"},
      {"memory 1GB", "memory", "takes one"},
      {"memory 1GB", "memory 1GB 2GB", "takes one"},
      {"memory 1GB from \"a\"", "memory 1GB from \"\"", "where it is from"},
      {"memory 1GB from \"a\"", "memory 1GB", "takes one"},
      {"memory 1GB from \"a\"", "memory 1GB from \"a\" reserve 2GB from \"a\"", "reserve"},
      {"memory 1GB", "fancy 1GB", "no figure 'fancy'"},
      {"memory 1GB", "memory { 1MB 1GB/s }", "takes no points"},
      {"launch 1us from \"b\"", "launch 1us from \"b\" launch 2us from \"b\"", "twice"},
      {"peak f32", "peak f99", "no dtype 'f99'"},
      {"peak f32", "peak bf16", "twice"},
      {"peak f32 2T/s", "peak", "takes a dtype"},
      {"1MB 1GB/s, 100MB", "1MB 1GB/s, 1MB", "must ascend"},
      {"1MB 1GB/s", "1s 1GB/s", "size (80GB)"},
      {"{ 1MB 1GB/s, 100MB 3GB/s }", "", "points"},
      {"10 0.1", "10 1.1", "at most 1"},
      {"efficiency 10000", "efficiency 50", "must ascend"},
      {"efficiency 10000", "efficiency", "columns"},
      {"devices 4", "devices 4.5", "whole"},
      {"most 4 ", "most 3 ", "more than its most"},
      {"latency 1us from \"i\"", "", "no 'latency'"},
      {"all_reduce 4", "all_reduce", "ranks"},
      {"level net", "level link", "twice"},
      {"level net", "level a { } level b { } level net", "more than 3 levels"},
      {"device {", "device [", "no token"},
      {"level net", "level", "unexpected"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct arena arena = {0};
    struct diags d = {0};
    struct machine m;
    struct strbuf text = {0};
    const char *at = strstr(good, wrong[i].from);
    assert_non_null(at);
    strbuf_append(&text, good, (size_t)(at - good));
    strbuf_append_c(&text, wrong[i].to);
    strbuf_append_c(&text, at + strlen(wrong[i].from));
    assert_int_equal(parse(strbuf_c(&text), &arena, &d, &m), STATUS_INVALID);
    bool said = false;
    for (uint32_t k = 0; k < diags_count(&d); k++) {
      assert_int_equal(diags_get(&d, k)->code, DIAG_E0342);
      said |= strstr(diags_get(&d, k)->message, wrong[i].message) != NULL;
    }
    if (!said)
      fail_msg("'%s' for '%s': nothing said of '%s'", wrong[i].to, wrong[i].from, wrong[i].message);
    strbuf_deinit(&text);
    diags_deinit(&d);
    arena_deinit(&arena);
  }
}

static void test_all_at_once(void **state) {
  (void)state;
  struct arena arena = {0};
  struct diags d = {0};
  struct machine m;
  assert_int_equal(parse("device { memory 1us from \"a\" launch 1GB from \"b\" }", &arena, &d, &m),
                   STATUS_INVALID);
  assert_int_equal(diags_errors(&d), 7); /* two units, a name, a level, scalar, peak, bandwidth */
  diags_deinit(&d);
  arena_deinit(&arena);
}

/* Cut short or with a byte changed anywhere: a diagnostic or a machine, never worse. */
static void test_mutations(void **state) {
  (void)state;
  size_t n = strlen(good);
  char *text = malloc(n + 1);
  uint32_t seed = 1;
  for (uint32_t i = 0; i < 3000; i++) {
    memcpy(text, good, n + 1);
    size_t length = n;
    seed = seed * 1664525 + 1013904223;
    if (i < n)
      length = i;
    else
      text[(seed >> 8) % n] = (char)(seed >> 24);
    struct arena arena = {0};
    struct diags d = {0};
    struct machine m;
    status st = machine_parse("toy", text, length, &arena, &d, &m);
    assert_true((st == STATUS_OK) == (diags_errors(&d) == 0));
    diags_deinit(&d);
    arena_deinit(&arena);
  }
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_figures),     cmocka_unit_test(test_times),
      cmocka_unit_test(test_named),       cmocka_unit_test(test_wrong),
      cmocka_unit_test(test_all_at_once), cmocka_unit_test(test_mutations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
