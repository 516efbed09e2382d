/* SPDX-License-Identifier: Apache-2.0 */
/* Random modules for differential.h, by numbers.
 *
 * SINTER_TEST_SEED=n tries that module alone; SINTER_ROUNDS=n tries n of them, from SINTER_FIRST.
 * Each is tried in a process of its own, so that a crash or a hang is a failure like any other;
 * what fails is made smaller while it still fails, and printed. */
#ifndef SINTER_TESTS_E2E_RANDOM_MODULES_H
#define SINTER_TESTS_E2E_RANDOM_MODULES_H

#include "tests/e2e/differential.h"

#include "ir/random_graph.h"
#include "tests/support/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define EVERY_DTYPE ((UINT64_C(1) << DTYPE_COUNT) - 1)

static inline char *random_module_text(const struct random_graph_options *options) {
  struct diags d = {0};
  struct strbuf text = {0};
  struct module *m = random_graph(options, &d);
  if (!m)
    diags_print(&d, stderr);
  assert_non_null(m);
  module_print(m, &text);
  module_destroy(m);
  diags_deinit(&d);
  return text.data;
}

static inline char *random_module(uint64_t seed) {
  struct random_graph_options options = {.seed = seed,
                                         .ops = 1 + (uint32_t)(seed * 7 % 24),
                                         .symbolic = seed % 4 != 0,
                                         .empty = seed % 3 == 0,
                                         .wide = seed % 2 == 0,
                                         .exact_bodies = true,
                                         .kinds = RANDOM_GRAPH_ALL & ~RANDOM_GRAPH_OP(FUSED),
                                         .dtypes = seed % 5 == 0 ? EVERY_DTYPE
                                                                 : RANDOM_GRAPH_COMMON_DTYPES};
  return random_module_text(&options);
}

static inline void try_seeds(uint64_t first, uint64_t n) {
  uint32_t failures = 0;
  for (uint64_t seed = first; seed < first + n; seed++) {
    char *text = random_module(seed);
    if (!differential_holds(text, seed)) {
      failures++;
      fprintf(stderr, "==== SINTER_TEST_SEED=%llu\n", (unsigned long long)seed);
      differential_report(text, seed);
    }
    mem_free(text);
    if (failures >= number_from("SINTER_FAILURES", 1))
      break;
  }
  assert_int_equal(failures, 0);
}

/* What the environment asks for, else modules 1 to `usual`. */
static inline void try_random_modules(uint64_t usual) {
  if (getenv("SINTER_TEST_SEED"))
    try_seeds(number_from("SINTER_TEST_SEED", 1), 1);
  else
    try_seeds(number_from("SINTER_FIRST", 1), number_from("SINTER_ROUNDS", usual));
}

#endif
