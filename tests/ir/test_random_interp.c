/* SPDX-License-Identifier: Apache-2.0 */
/* Random modules run in the interpreter without a failing check, in both modes, and what was
 * printed and parsed computes the same bits. */
#include "base/str.h"
#include "ir/random_graph.h"
#include "ir/random_inputs.h"
#include "ir/text.h"
#include "tests/support/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tensor **run(const struct module *m, enum interp_mode mode, uint64_t seed,
                           struct arena *arena, struct diags *d) {
  const struct function *f = m->functions.data[0];
  const struct region *body = &f->regions.data[0];
  struct tensor **inputs = ARENA_ARRAY(arena, struct tensor *, body->params.len);
  struct tensor **results = ARENA_ARRAY(arena, struct tensor *, body->results.len);
  if (!random_inputs(f, seed, arena, inputs))
    return NULL;
  return interp_run(f, mode, inputs, arena, d, results) == STATUS_OK ? results : NULL;
}

static void show(uint64_t seed, const struct module *m, const struct diags *d) {
  struct strbuf text = {0};
  module_print(m, &text);
  fprintf(stderr, "seed %llu\n%s", (unsigned long long)seed, strbuf_c(&text));
  diags_print(d, stderr);
  strbuf_deinit(&text);
}

static void check(uint64_t seed) {
  struct random_graph_options options = {.seed = seed,
                                         .ops = 1 + (uint32_t)(seed * 7 % 30),
                                         .symbolic = seed % 2,
                                         .kinds = RANDOM_GRAPH_ALL,
                                         .dtypes = RANDOM_GRAPH_COMMON_DTYPES};
  struct diags d = {0};
  struct arena arena = {0};
  struct strbuf text = {0};
  struct module *m = random_graph(&options, &d), *again = NULL;
  assert_non_null(m);
  module_print(m, &text);
  assert_int_equal(module_parse("random.sir", strbuf_c(&text), text.len, &d, &again), STATUS_OK);
  struct tensor **typed = run(m, INTERP_TYPED, seed, &arena, &d);
  if (!typed)
    show(seed, m, &d);
  assert_non_null(typed);
  /* Symbols of the parsed module may be numbered otherwise: its inputs are the first one's. */
  const struct region *body = &m->functions.data[0]->regions.data[0];
  struct tensor **inputs = ARENA_ARRAY(&arena, struct tensor *, body->params.len);
  struct tensor **same = ARENA_ARRAY(&arena, struct tensor *, body->results.len);
  assert_true(random_inputs(m->functions.data[0], seed, &arena, inputs));
  assert_int_equal(interp_run(again->functions.data[0], INTERP_TYPED, inputs, &arena, &d, same),
                   STATUS_OK);
  for (uint32_t i = 0; i < body->results.len; i++) {
    assert_int_equal(typed[i]->count, same[i]->count);
    assert_memory_equal(typed[i]->data, same[i]->data, (size_t)typed[i]->count * 8);
  }
  assert_true(run(m, INTERP_EXACT, seed, &arena, &d) != NULL || diags_count(&d) > 0);
  module_destroy(m);
  module_destroy(again);
  strbuf_deinit(&text);
  arena_deinit(&arena);
  diags_deinit(&d);
}

static void test_random_modules_run(void **state) {
  (void)state;
  uint64_t seed = number_from("SINTER_RANDOM_SEED", 1);
  uint64_t count = number_from("SINTER_RANDOM_GRAPHS", 200);
  for (uint64_t i = 0; i < count; i++)
    check(seed + i);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_modules_run)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
