/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions between shardings: the steps of well-known cases and the bytes of each, and of random
 * pairs that all ranks hold the value they held, in the exact domain. */
#include "tests/passes/sharding_check.h"

#include "base/hash.h"
#include "ir/sharding_form.h"
#include "passes/partition/conversion.h"

/* A value of the first function of a text, as its parameter has it. */
static sharding_id parsed(struct module *m, uint32_t param) {
  const struct function *f = m->functions.data[0];
  const struct type *type = value_type(f, f->regions.data[0].params.data[param]);
  return type->sharding ? module_shard(m, type, m->shardings.data[type->sharding]) : 0;
}

struct expected {
  const char *from, *to;
  const char *steps; /* names of ops */
  uint64_t elements; /* received by each rank */
};

/* f32[8, 12], or [7, 12] where a step is marked uneven, on [dp=2, tp=4]. */
static void check_steps(const struct expected *e, const char *dims) {
  char text[1024];
  struct diags d = {0};
  struct arena arena = {0};
  struct module *m = NULL;
  struct conversion c;
  struct strbuf names = {0};
  snprintf(text, sizeof text,
           "mesh @m0 [dp=2, tp=4]\nfunc @main(%%a: f32[%s]%s, %%b: f32[%s]%s) -> () {\nreturn\n}\n",
           dims, e->from, dims, e->to);
  if (module_parse("test.sir", text, strlen(text), &d, &m))
    diags_print(&d, stderr);
  assert_non_null(m);
  const struct function *f = m->functions.data[0];
  const struct type *type = value_type(f, f->regions.data[0].params.data[0]);
  int64_t sizes[IR_MAX_RANK];
  uint64_t elements = 0;
  assert_true(type_static_dims(m->dims, type, sizes));
  assert_true(conversion_plan(m, type, 0, parsed(m, 0), parsed(m, 1), &arena, &c));
  for (uint32_t i = 0; i < c.n; i++) {
    strbuf_printf(&names, "%s%s", i ? " " : "", op_infos[c.steps[i].kind].name);
    elements += conversion_step_elements(m, &c.steps[i], type->rank, sizes);
  }
  if (strcmp(strbuf_c(&names), e->steps) || elements != e->elements)
    fail_msg("from%s to%s: %s, %llu elements, not %s, %llu", e->from, e->to, strbuf_c(&names),
             (unsigned long long)elements, e->steps, (unsigned long long)e->elements);
  strbuf_deinit(&names);
  module_destroy(m);
  arena_deinit(&arena);
  diags_deinit(&d);
}

static void test_steps(void **state) {
  (void)state;
  static const struct expected even[] = {
      {"", "", "", 0},
      {"", " @ {tp, -}", "shard", 0},
      {" @ {tp, -}", "", "all_gather", 3 * 24},
      {" @ {tp, -}", " @ {-, tp}", "all_to_all", 3 * 6},
      {" @ {[dp, tp], -}", " @ {dp, -}", "all_gather", 3 * 12},
      {" @ {[dp, tp], -}", " @ {dp, tp}", "all_to_all", 3 * 3},
      {" @ {[dp, tp], -}", " @ {[tp, dp], -}", "permute", 12},
      {" @ {dp, -}", " @ {dp, tp}", "shard", 0},
      {" @ {-, -} partial(sum, tp)", "", "all_reduce", 6 * 24},
      {" @ {-, -} partial(sum, tp)", " @ {tp, -}", "reduce_scatter", 3 * 24},
      {" @ {-, -} partial(sum, tp)", " @ {dp, tp}", "shard reduce_scatter", 3 * 12},
      {" @ {dp, -} partial(sum, tp)", " @ {dp, -}", "all_reduce", 6 * 12},
      {"", " @ {-, -} partial(sum, tp)", "shard", 0},
      {" @ {tp, -}", " @ {tp:2, -}", "all_gather", 24},
      {" @ {tp:2, -}", " @ {tp, -}", "shard", 0},
      {" @ {tp, -}", " @ {tp~zig, -}", "all_gather shard", 3 * 24},
      {" @ {tp*2, -}", " @ {tp, -}", "", 0},
      {" @ {tp~2, -}", " @ {tp, -}", "", 0}, /* one block each */
  };
  /* Seven rows: the largest part counts, and no part lies within another's. */
  static const struct expected uneven[] = {
      {" @ {tp, -}", "", "all_gather", 3 * 24},
      {" @ {[dp, tp], -}", " @ {dp, -}", "all_gather shard", 7 * 12},
      {" @ {-, -} partial(sum, tp)", "", "all_reduce", 6 * 21},
      {" @ {-, -} partial(sum, tp)", " @ {tp, -}", "reduce_scatter", 3 * 24},
      {" @ {tp, -}", " @ {-, tp}", "all_to_all", 3 * 6},
  };
  for (uint32_t i = 0; i < sizeof even / sizeof *even; i++)
    check_steps(&even[i], "8, 12");
  for (uint32_t i = 0; i < sizeof uneven / sizeof *uneven; i++)
    check_steps(&uneven[i], "7, 12");
}

/* ---- random pairs ---- */

static uint64_t below(uint64_t *state, uint64_t n) {
  *state = hash_combine(*state, 1);
  return (*state >> 11) % n;
}

static sharding_id random_sharding(struct sharding_check *c, const struct type *type,
                                   uint64_t *state) {
  struct sharding s = {.mesh = c->mesh, .rank = type->rank};
  const struct mesh *mesh = c->m->meshes.data[c->mesh];
  for (uint32_t a = 0; a < mesh->n_axes; a++) {
    int64_t size = mesh->axes[a].size;
    struct axis_ref refs[2] = {{.axis = a}};
    uint32_t n = 1;
    if (size == 4 && below(state, 2)) {
      refs[0] = (struct axis_ref){a, 2, 2};
      refs[1] = (struct axis_ref){a, 2, 1};
      n = 2;
    }
    for (uint32_t i = 0; i < n; i++) {
      uint64_t where = below(state, type->rank + 2u);
      if (where == type->rank) {
        s.partial.kind = PARTIAL_SUM;
        s.partial.axes[s.partial.n_axes++] = refs[i];
      } else if (where < type->rank) {
        struct dim_split *d = &s.dims[where];
        d->axes[d->n_axes++] = refs[i];
        d->granule = 1 + (int64_t)below(state, 2);
        d->order = (enum split_order)below(state, 3);
        d->block = d->order == SPLIT_INTERLEAVED ? 2 * d->granule : 0;
      }
    }
  }
  return module_shard(c->m, type, &s);
}

static value_id convert(struct sharding_check *c, value_id v, sharding_id to) {
  struct conversion steps;
  struct builder b;
  builder_init(&b, c->f, 0, &c->diags);
  assert_true(conversion_plan(c->m, value_type(c->f, v), c->mesh, value_type(c->f, v)->sharding, to,
                              &c->arena, &steps));
  for (uint32_t i = 0; i < steps.n; i++)
    conversion_build(&b, &steps.steps[i], &v, 0, &v);
  assert_int_equal(value_type(c->f, v)->sharding, to);
  return v;
}

static void test_random(void **state) {
  (void)state;
  static const char *const texts[] = {
      "func @main(%x: f32[8, 12]) -> (f32[8, 12]) {\nreturn %x\n}\n",
      "func @main(%x: f32[7, 5, 3]) -> (f32[7, 5, 3]) {\nreturn %x\n}\n",
      "func @main(%x: f32[1, 16, 2]) -> (f32[1, 16, 2]) {\nreturn %x\n}\n"};
  for (uint64_t seed = 1; seed <= 120; seed++) {
    struct sharding_check c;
    struct tensor *have[1];
    uint64_t random = seed;
    sharding_check_init(&c, texts[seed % 3], seed / 3);
    value_id v = c.f->regions.data[0].params.data[0];
    for (uint32_t i = 0; i < 3; i++)
      v = convert(&c, v, random_sharding(&c, value_type(c.f, v), &random));
    c.f->regions.data[0].results.data[0] = convert(&c, v, 0);
    if (module_verify(c.m, &c.diags) || interp_spmd_run(c.f, c.m->meshes.data[c.mesh], INTERP_FIELD,
                                                        c.inputs, &c.arena, &c.diags, have))
      check_failed(&c, "a conversion does not hold");
    assert_memory_equal(c.want[0]->data, have[0]->data, (size_t)c.want[0]->count * 8);
    sharding_check_deinit(&c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps), cmocka_unit_test(test_random)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
