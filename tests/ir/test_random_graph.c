/* SPDX-License-Identifier: Apache-2.0 */
/* Random modules verify, and print to text that parses to the same. SINTER_RANDOM_GRAPHS says how
 * many (default 300), SINTER_RANDOM_SEED the first seed. */
#include "base/str.h"
#include "ir/random_graph.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/support/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct random_graph_options options_of(uint64_t seed) {
  return (struct random_graph_options){.seed = seed,
                                       .ops = 1 + (uint32_t)(seed * 7 % 40),
                                       .symbolic = seed % 2,
                                       .kinds = RANDOM_GRAPH_ALL,
                                       .dtypes = seed % 3 ? RANDOM_GRAPH_COMMON_DTYPES
                                                          : RANDOM_GRAPH_ALL};
}

static uint32_t live_ops(const struct module *m) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < m->functions.len; i++) {
    for (uint32_t k = 1; k < m->functions.data[i]->ops.len; k++)
      n += m->functions.data[i]->ops.data[k].kind != OP_NONE;
  }
  return n;
}

static void check_round_trip(uint64_t seed) {
  struct random_graph_options options = options_of(seed);
  struct diags d = {0};
  struct strbuf once = {0}, twice = {0};
  struct module *m = random_graph(&options, &d), *again = NULL;
  if (m) {
    module_print(m, &once);
    module_parse("random.sir", strbuf_c(&once), once.len, &d, &again);
  }
  if (again)
    module_print(again, &twice);
  if (!again || strcmp(strbuf_c(&once), strbuf_c(&twice))) {
    fprintf(stderr, "seed %llu\n%s\n%s\n", (unsigned long long)seed, strbuf_c(&once),
            strbuf_c(&twice));
    diags_print(&d, stderr);
  }
  assert_non_null(m);
  assert_non_null(again);
  assert_string_equal(strbuf_c(&once), strbuf_c(&twice));
  assert_int_equal(live_ops(m), live_ops(again));
  module_destroy(m);
  module_destroy(again);
  strbuf_deinit(&once);
  strbuf_deinit(&twice);
  diags_deinit(&d);
}

static void test_text_round_trip(void **state) {
  (void)state;
  uint64_t first = number_from("SINTER_RANDOM_SEED", 1),
           n = number_from("SINTER_RANDOM_GRAPHS", 300);
  for (uint64_t seed = first; seed < first + n; seed++)
    check_round_trip(seed);
}

/* Printed text of one seed is the same in every build. */
static void test_graphs_are_reproducible(void **state) {
  (void)state;
  struct random_graph_options options = options_of(12345);
  struct strbuf text[2] = {{0}, {0}};
  for (int i = 0; i < 2; i++) {
    struct diags d = {0};
    struct module *m = random_graph(&options, &d);
    assert_non_null(m);
    module_print(m, &text[i]);
    module_destroy(m);
    diags_deinit(&d);
  }
  assert_string_equal(strbuf_c(&text[0]), strbuf_c(&text[1]));
  strbuf_deinit(&text[0]);
  strbuf_deinit(&text[1]);
}

static void test_every_kind_is_made(void **state) {
  (void)state;
  bool made[OP_COUNT] = {false};
  for (uint64_t seed = 1; seed <= 60; seed++) {
    struct random_graph_options options = options_of(seed);
    struct diags d = {0};
    struct module *m = random_graph(&options, &d);
    assert_non_null(m);
    for (uint32_t k = 1; k < m->functions.data[0]->ops.len; k++)
      made[m->functions.data[0]->ops.data[k].kind] = true;
    module_destroy(m);
    diags_deinit(&d);
  }
  for (int k = OP_NONE + 1; k < OP_COUNT; k++) {
    if (op_infos[k].flags & (OP_FLAG_RANKS | OP_FLAG_MESH))
      continue; /* there are no meshes in them */
    if (!made[k])
      fprintf(stderr, "no random graph has '%s'\n", op_infos[k].name);
    assert_true(made[k]);
  }
}

/* A shuffled function sorts back to one that verifies; a sweep keeps it so. */
static void test_sort_and_sweep(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    struct random_graph_options options = options_of(seed);
    struct diags d = {0};
    struct module *m = random_graph(&options, &d);
    struct region *r = &m->functions.data[0]->regions.data[0];
    for (uint32_t i = 0, j = r->ops.len; i + 1 < j; i++, j--) {
      op_id t = r->ops.data[i];
      r->ops.data[i] = r->ops.data[j - 1];
      r->ops.data[j - 1] = t;
    }
    function_sort(m->functions.data[0]);
    status s = module_verify(m, &d);
    if (s)
      diags_print(&d, stderr);
    assert_int_equal(s, STATUS_OK);
    vec_clear(&r->results);
    vec_clear(&m->entries.data[0].output_names);
    function_sweep(m->functions.data[0]);
    assert_int_equal(module_verify(m, &d), STATUS_OK);
    module_destroy(m);
    diags_deinit(&d);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_text_round_trip),
      cmocka_unit_test(test_graphs_are_reproducible),
      cmocka_unit_test(test_every_kind_is_made),
      cmocka_unit_test(test_sort_and_sweep),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
