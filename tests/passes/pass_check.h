/* SPDX-License-Identifier: Apache-2.0 */
/* Running passes over random modules and comparing what the interpreter computes before and after.
 */
#ifndef SINTER_TESTS_PASSES_PASS_CHECK_H
#define SINTER_TESTS_PASSES_PASS_CHECK_H

#include "base/str.h"
#include "ir/random_graph.h"
#include "ir/random_inputs.h"
#include "ir/text.h"
#include "passes/pipeline.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Whether two results are the same: NaNs count as one; with a tolerance, floats may differ by it
 * relative to the largest magnitude. */
static inline bool same_tensor(const struct tensor *a, const struct tensor *b, double tolerance) {
  if (a->dtype != b->dtype || a->rank != b->rank || a->count != b->count ||
      (a->rank && memcmp(a->dims, b->dims, a->rank * sizeof *a->dims)))
    return false;
  double most = 0;
  for (int64_t i = 0; dtype_is_float(a->dtype) && i < a->count; i++)
    most = isfinite(a->f64[i]) ? fmax(most, fabs(a->f64[i])) : most;
  for (int64_t i = 0; i < a->count; i++) {
    if (!dtype_is_float(a->dtype)
            ? a->i64[i] == b->i64[i]
            : !memcmp(&a->f64[i], &b->f64[i], 8) || (isnan(a->f64[i]) && isnan(b->f64[i])) ||
                  fabs(a->f64[i] - b->f64[i]) <= tolerance * most)
      continue;
    if (dtype_is_float(a->dtype))
      fprintf(stderr, "element %lld: %a, %a\n", (long long)i, a->f64[i], b->f64[i]);
    return false;
  }
  return true;
}

static inline struct module *parse_module(const char *text, struct diags *d) {
  struct module *m = NULL;
  module_parse("test.sir", text, strlen(text), d, &m);
  if (!m)
    diags_print(d, stderr);
  assert_non_null(m);
  return m;
}

static inline void show_module(const char *what, const struct module *m) {
  struct strbuf text = {0};
  module_print(m, &text);
  fprintf(stderr, "---- %s\n%s", what, strbuf_c(&text));
  strbuf_deinit(&text);
}

/* The passes leave the results of m's first function as they are on `inputs` random inputs. */
static inline void check_same_results(const struct module *m, const char *passes, uint64_t seed,
                                      uint32_t inputs, double tolerance) {
  struct strbuf text = {0};
  struct diags d = {0};
  struct arena arena = {0};
  module_print(m, &text);
  struct module *before = parse_module(strbuf_c(&text), &d);
  struct module *after = parse_module(strbuf_c(&text), &d);
  struct pipeline_options options = {.passes = passes, .verify_each = true};
  status st = pipeline_run(after, &options, &d);
  const struct function *f = before->functions.data[0], *g = after->functions.data[0];
  uint32_t n_in = f->regions.data[0].params.len, n_out = f->regions.data[0].results.len;
  struct tensor **in = ARENA_ARRAY(&arena, struct tensor *, n_in);
  struct tensor **want = ARENA_ARRAY(&arena, struct tensor *, n_out);
  struct tensor **have = ARENA_ARRAY(&arena, struct tensor *, n_out);
  bool sound = st == STATUS_OK;
  for (uint32_t i = 0; i < inputs && sound; i++) {
    sound = random_inputs(f, seed * 31 + i, &arena, in) &&
            interp_run(f, INTERP_TYPED, in, &arena, &d, want) == STATUS_OK &&
            (!after->entries.len ||
             interp_variant(&after->entries.data[0], in, &arena, &d, &g) == STATUS_OK) &&
            interp_run(g, INTERP_TYPED, in, &arena, &d, have) == STATUS_OK;
    for (uint32_t k = 0; k < n_out && sound; k++) {
      sound = same_tensor(want[k], have[k], tolerance);
      if (!sound)
        fprintf(stderr, "result %u differs\n", k);
    }
  }
  if (!sound) {
    fprintf(stderr, "seed %llu, passes %s\n", (unsigned long long)seed, passes ? passes : "all");
    diags_print(&d, stderr);
    show_module("before", before);
    show_module("after", after);
  }
  assert_true(sound);
  module_destroy(before);
  module_destroy(after);
  strbuf_deinit(&text);
  arena_deinit(&arena);
  diags_deinit(&d);
}

/* How many random graphs, and from which seed: SINTER_RANDOM_GRAPHS, SINTER_RANDOM_SEED. */
static inline void check_random_modules(const char *passes, uint64_t usual_count,
                                        double tolerance) {
  const char *first = getenv("SINTER_RANDOM_SEED"), *n = getenv("SINTER_RANDOM_GRAPHS");
  uint64_t seed = first ? strtoull(first, NULL, 10) : 1;
  uint64_t count = n ? strtoull(n, NULL, 10) : usual_count;
  for (uint64_t i = seed; i < seed + count; i++) {
    struct random_graph_options options = {.seed = i,
                                           .ops = 1 + (uint32_t)(i * 7 % 40),
                                           .symbolic = i % 2,
                                           .kinds = RANDOM_GRAPH_ALL,
                                           .dtypes = RANDOM_GRAPH_COMMON_DTYPES};
    struct diags d = {0};
    struct module *m = random_graph(&options, &d);
    assert_non_null(m);
    check_same_results(m, passes, i, 2, tolerance);
    module_destroy(m);
    diags_deinit(&d);
  }
}

#endif
