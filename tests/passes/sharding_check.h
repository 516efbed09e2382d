/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of sharded functions share: a function of text, inputs for it in the exact domain,
 * what it gives, and whether all ranks of a mesh give the same when it is sharded. */
#ifndef SINTER_TESTS_PASSES_SHARDING_CHECK_H
#define SINTER_TESTS_PASSES_SHARDING_CHECK_H

#include "ir/field.h"
#include "ir/interp_spmd.h"
#include "ir/sharding_form.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/partition/apply_sharding.h"
#include "passes/partition/localise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECK_MAX_VALUES 64

struct sharding_check {
  struct module *m;
  struct function *f;
  uint32_t mesh;
  struct arena arena;
  struct diags diags;
  struct tensor *inputs[CHECK_MAX_VALUES], *want[CHECK_MAX_VALUES];
};

/* Meshes of 2, 3, 4, 6 and 8 ranks. */
static inline uint32_t check_mesh(struct module *m, uint64_t seed) {
  static const struct mesh meshes[] = {{1, {{"tp", 2}}},
                                       {1, {{"tp", 3}}},
                                       {1, {{"tp", 4}}},
                                       {2, {{"dp", 2}, {"tp", 2}}},
                                       {2, {{"dp", 2}, {"tp", 3}}},
                                       {2, {{"dp", 2}, {"tp", 4}}},
                                       {1, {{"tp", 8}}},
                                       {3, {{"dp", 2}, {"cp", 2}, {"tp", 2}}}};
  return module_add_mesh(m, &meshes[seed % (sizeof meshes / sizeof *meshes)]);
}

static inline void check_inputs(struct sharding_check *c) {
  const struct region *body = &c->f->regions.data[0];
  uint64_t key = 1;
  for (uint32_t i = 0; i < body->params.len; i++) {
    const struct type *type = value_type(c->f, body->params.data[i]);
    int64_t dims[IR_MAX_RANK];
    assert_true(type_static_dims(c->m->dims, type, dims));
    struct tensor *t = c->inputs[i] = tensor_create(&c->arena, type->dtype, dims, type->rank);
    for (int64_t k = 0; k < t->count; k++)
      t->i64[k] = field_hash(key++, k, 0, 0) % (dtype_is_float(type->dtype) ? FIELD_P : 3);
  }
}

static inline void sharding_check_init(struct sharding_check *c, const char *text, uint64_t seed) {
  *c = (struct sharding_check){0};
  if (module_parse("test.sir", text, strlen(text), &c->diags, &c->m))
    diags_print(&c->diags, stderr);
  assert_non_null(c->m);
  c->f = c->m->functions.data[0];
  c->mesh = check_mesh(c->m, seed);
  check_inputs(c);
  status st = interp_run(c->f, INTERP_FIELD, c->inputs, &c->arena, &c->diags, c->want);
  if (st)
    diags_print(&c->diags, stderr);
  assert_int_equal(st, STATUS_OK);
}

static inline void sharding_check_deinit(struct sharding_check *c) {
  module_destroy(c->m);
  arena_deinit(&c->arena);
  diags_deinit(&c->diags);
}

static inline void check_failed(struct sharding_check *c, const char *what) {
  struct strbuf text = {0};
  module_print(c->m, &text);
  fprintf(stderr, "%s\n", strbuf_c(&text));
  diags_print(&c->diags, stderr);
  strbuf_deinit(&text);
  fail_msg("%s", what);
}

static inline void check_same(struct sharding_check *c, struct tensor *const *have,
                              const char *what) {
  for (uint32_t i = 0; i < c->f->regions.data[0].results.len; i++)
    if (memcmp(c->want[i]->data, have[i]->data, (size_t)c->want[i]->count * 8))
      check_failed(c, what);
}

/* Applies the assignment, verifies, runs all ranks, and compares exactly; then the same of the
 * program that a rank runs. */
static inline void sharding_check_assignment(struct sharding_check *c, const struct assignment *a,
                                             const char *what) {
  struct tensor *have[CHECK_MAX_VALUES];
  if (apply_sharding(c->f, a, &c->diags) || module_verify(c->m, &c->diags) ||
      interp_spmd_run(c->f, c->m->meshes.data[c->mesh], INTERP_FIELD, c->inputs, &c->arena,
                      &c->diags, have))
    check_failed(c, what);
  check_same(c, have, "the ranks give something else");
  struct function *local = localise(c->f, &c->diags);
  if (!local || module_verify(c->m, &c->diags) ||
      interp_spmd_run_local(local, c->f, c->m->meshes.data[c->mesh], INTERP_FIELD, c->inputs,
                            &c->arena, &c->diags, have))
    check_failed(c, "localised");
  check_same(c, have, "the localised function gives something else");
}

#endif
