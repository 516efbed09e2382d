/* SPDX-License-Identifier: Apache-2.0 */
/* Random modules over ranks: split at random, localised, compiled and run by the ranks of a
 * session, against the interpreter of the module as it was.
 *
 * SINTER_TEST_SEED=n tries that module alone; SINTER_ROUNDS=n tries n of them. */
#include "tests/e2e/random_modules.h"

#include "ir/shard_index.h"
#include "ir/sharding.h"
#include "passes/partition/apply_sharding.h"
#include "passes/partition/prepare_sharding.h"
#include "passes/partition/random_assignment.h"

static const struct mesh meshes[] = {
    {1, {{"tp", 2}}}, {1, {{"tp", 3}}}, {2, {{"dp", 2}, {"tp", 2}}}, {2, {{"dp", 2}, {"tp", 3}}}};

static char *random_text(uint64_t seed) {
  struct random_graph_options options = {.seed = seed,
                                         .ops = 1 + (uint32_t)(seed * 7 % 18),
                                         .symbolic = seed % 4 != 0,
                                         .empty = seed % 3 == 0,
                                         .exact_bodies = true,
                                         .kinds = RANDOM_GRAPH_ALL & ~RANDOM_GRAPH_OP(FUSED),
                                         .dtypes = RANDOM_GRAPH_COMMON_DTYPES};
  return random_module_text(&options);
}

/* Splits the module's function, and makes an engine of it. */
static status build(struct module *m, uint64_t seed, const struct mesh *mesh, const char *path,
                    struct diags *d) {
  struct arena arena = {0};
  struct assignment a;
  struct pipeline_options before = {.passes = "check_shapes,cse,fold,simplify,dce"};
  struct compiler_options o = {
      .threads = 1,
      .output_path = path,
      .pipeline = {.passes = "partition,expand_combine,cse,simplify,fold,dce,hoist,fuse,order",
                   .verify_each = true}};
  struct function *f = m->functions.data[0];
  status st = pipeline_run(m, &before, d);
  if (!st)
    st = prepare_sharding(f, d);
  if (!st) {
    random_assignment(f, module_add_mesh(m, mesh), seed, &arena, &a);
    st = apply_sharding(f, &a, d);
  }
  if (!st)
    st = finish_sharding(f, d);
  if (!st)
    st = compiler_build(&o, m, d);
  arena_deinit(&arena);
  return st;
}

static bool run_on_ranks(const struct engine_under_test *e, const struct function *f, uint64_t seed,
                         struct diags *d) {
  struct arena arena = {0};
  bool fine = true;
  uint32_t n = f->regions.data[0].results.len;
  for (uint32_t i = 0; i < DIFF_INPUTS && fine; i++) {
    struct reference_runs ref;
    struct tensor **in = ARENA_ARRAY(&arena, struct tensor *, f->regions.data[0].params.len + 1);
    struct tensor **have = ARENA_ARRAY(&arena, struct tensor *, n + 1);
    if (!random_inputs(f, seed * 31 + i, &arena, in) ||
        !run_reference(f, in, seed, &arena, d, &ref))
      continue;
    fine = run_variant(e, f, in, &arena, have);
    for (uint32_t r = 0; r < n && fine; r++)
      fine = result_fits(&ref, r, have[r]);
  }
  arena_deinit(&arena);
  return fine;
}

static void try_seed(uint64_t seed) {
  const struct mesh *mesh = &meshes[seed % (sizeof meshes / sizeof *meshes)];
  char *text = random_text(seed), devices[16];
  struct diags d = {0};
  struct strbuf path = {0};
  struct engine_under_test e = {0};
  struct module *whole = differential_parse(text, &d), *m = differential_parse(text, &d);
  snprintf(devices, sizeof devices, "cpu:%lld", (long long)mesh_ranks(mesh));
  bool fine = whole && m && !build(m, seed, mesh, compiler_temporary_path(&path), &d) &&
              !sinter_engine_open(path.data, NULL, &e.engine);
  sinter_session_options options = {
      .struct_size = sizeof options, .devices = devices, .threads = 1};
  fine = fine && !sinter_session_create(e.engine, &options, &e.session) &&
         run_on_ranks(&e, whole->functions.data[0], seed, &d);
  if (!fine) {
    diags_print(&d, stderr);
    fprintf(stderr, "%s\n", text);
    fail_msg("SINTER_TEST_SEED=%llu, %s: %s", (unsigned long long)seed, devices,
             sinter_last_error());
  }
  sinter_session_destroy(e.session);
  sinter_engine_close(e.engine);
  unlink(path.data);
  module_destroy(whole);
  module_destroy(m);
  diags_deinit(&d);
  strbuf_deinit(&path);
  mem_free(text);
}

static void test_random_ranks(void **state) {
  (void)state;
  uint64_t seed = number_from("SINTER_TEST_SEED", 0), rounds = number_from("SINTER_ROUNDS", 60);
  /* Once failed, beyond those that are tried. */
  static const uint64_t old[] = {398, 1344, 1364};
  for (uint64_t i = 1; !seed && i <= rounds; i++)
    try_seed(i);
  for (uint32_t i = 0; !seed && i < sizeof old / sizeof *old; i++)
    try_seed(old[i]);
  if (seed)
    try_seed(seed);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_ranks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
