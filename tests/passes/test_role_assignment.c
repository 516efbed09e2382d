/* SPDX-License-Identifier: Apache-2.0 */
/* Assignments by roles: the collectives of the well-known layouts, and meshes that are none. */
#include "tests/passes/sharding_check.h"

#include "passes/partition/prepare_sharding.h"
#include "passes/partition/role_assignment.h"

/* A decoder layer's two blocks, with heads apart; weights are constants of the module. */
#define LAYER(b, s)                                                                                \
  "func @main(%x: f32[" b ", " s ", 12]) -> (f32[" b ", " s ", 12]) {\n"                           \
  "%w0 = const @q : f32[12, 24]\n"                                                                 \
  "%w1 = const @k : f32[12, 6]\n"                                                                  \
  "%w2 = const @o : f32[24, 12]\n"                                                                 \
  "%w3 = const @q : f32[12, 24]\n"                                                                 \
  "%w4 = const @o : f32[24, 12]\n"                                                                 \
  "%q0 = contract %x, %w0 { lhs_k = [2], rhs_k = [0], dtype = f32 }\n"                             \
  "%q1 = reshape %q0 { dims = [" b ", " s ", 8, 3] }\n"                                            \
  "%q = transpose %q1 { perm = [0, 2, 1, 3] }\n"                                                   \
  "%k0 = contract %x, %w1 { lhs_k = [2], rhs_k = [0], dtype = f32 }\n"                             \
  "%k1 = reshape %k0 { dims = [" b ", " s ", 2, 3] }\n"                                            \
  "%k = transpose %k1 { perm = [0, 2, 1, 3] }\n"                                                   \
  "%y = attention %q, %k, %k { scale = 0.5, causal = true }\n"                                     \
  "%y1 = transpose %y { perm = [0, 2, 1, 3] }\n"                                                   \
  "%y2 = reshape %y1 { dims = [" b ", " s ", 24] }\n"                                              \
  "%z = contract %y2, %w2 { lhs_k = [2], rhs_k = [0], dtype = f32 }\n"                             \
  "%r = map %z, %x { add($0, $1) }\n"                                                              \
  "%h = contract %r, %w3 { lhs_k = [2], rhs_k = [0], dtype = f32 }\n"                              \
  "%g = map %h { tanh($0) }\n"                                                                     \
  "%p = contract %g, %w4 { lhs_k = [2], rhs_k = [0], dtype = f32 }\n"                              \
  "%t = map %p, %r { add($0, $1) }\n"                                                              \
  "return %t\n}\n"

/* The layer with weights of small numbers. */
static void with_weights(const char *body, struct strbuf *out) {
  static const struct {
    const char *name;
    int rows, columns;
  } weights[] = {{"q", 12, 24}, {"k", 12, 6}, {"o", 24, 12}};
  for (uint32_t i = 0; i < 3; i++) {
    int n = weights[i].rows * weights[i].columns;
    strbuf_printf(out, "constant @%s : f32[%d, %d] = [", weights[i].name, weights[i].rows,
                  weights[i].columns);
    for (int k = 0; k < n; k++)
      strbuf_printf(out, "%s%d.0", k ? ", " : "", (k * 37 + 11 * (int)i) % 19 - 9);
    strbuf_append_c(out, "]\n");
  }
  strbuf_append_c(out, body);
}

static uint32_t count(const struct function *f, enum op_kind kind) {
  uint32_t n = 0;
  for (uint32_t i = 1; i < f->ops.len; i++)
    n += f->ops.data[i].kind == kind;
  return n;
}

struct expected {
  const char *mesh;
  uint32_t all_reduces, all_gathers, merges;
  bool positions; /* attention needs them as operands */
};

static void check(const char *body, const struct expected *e) {
  struct strbuf text = {0};
  struct sharding_check c;
  struct assignment a;
  with_weights(body, &text);
  sharding_check_init(&c, strbuf_c(&text), 0);
  assert_int_equal(parallel_parse(c.m, e->mesh, &c.diags, &c.mesh), STATUS_OK);
  assert_int_equal(prepare_sharding(c.f, &c.diags), STATUS_OK);
  assert_int_equal(role_assignment(c.f, c.mesh, NULL, &c.arena, &c.diags, &a), STATUS_OK);
  sharding_check_assignment(&c, &a, e->mesh);
  assert_int_equal(finish_sharding(c.f, &c.diags), STATUS_OK);
  if (count(c.f, OP_ALL_REDUCE) != e->all_reduces || count(c.f, OP_ALL_GATHER) != e->all_gathers ||
      count(c.f, OP_MERGE) != e->merges)
    check_failed(&c, e->mesh);
  for (uint32_t i = 1; i < c.f->ops.len; i++)
    if (c.f->ops.data[i].kind == OP_ATTENTION) {
      assert_int_equal(OP_ATTRS(attention, &c.f->ops.data[i])->has_pos, e->positions);
      assert_int_equal(OP_ATTRS(attention, &c.f->ops.data[i])->lse, e->merges > 0);
    }
  sharding_check_deinit(&c);
  strbuf_deinit(&text);
}

static void test_layouts(void **state) {
  (void)state;
  static const struct expected cases[] = {
      {"tp=2", 2, 0, 0, false},   /* two products by rows */
      {"tp=4", 2, 0, 0, false},   /* more ranks than kv heads: halves share one */
      {"tp=8", 2, 0, 0, false},   /* one query head each */
      {"tp=3", 2, 0, 0, false},   /* heads by 0 and 1 */
      {"dp=2", 0, 1, 0, false},   /* the result */
      {"cp=2", 0, 2, 0, true},    /* keys, which are the values; the result */
      {"cache=2", 0, 0, 1, true}, /* rows of attention */
      {"ring=2", 0, 2, 0, true},  /* the same; how keys are gathered is told by the op */
      {"dp=2,tp=2", 2, 1, 0, false}, {"cp=2,tp=2", 2, 2, 0, true},
  };
  for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++)
    check(LAYER("2", "6"), &cases[i]);
}

/* A decode step: a state is written where it lies, and read in parts. */
static void test_state(void **state) {
  (void)state;
  static const char text[] =
      "func @main(%q: f32[2, 4, 1, 3], %n: f32[2, 2, 1, 3], %at: i64[2], %s: f32[2, 2, 9, 3]) -> "
      "(f32[2, 4, 1, 3], f32[2, 2, 9, 3]) {\n"
      "%k = update %s, %n, %at { axis = 2, in_place = true }\n"
      "%y = attention %q, %k, %k { scale = 0.5 }\n"
      "return %y, %k\n}\n";
  static const char *const meshes[] = {"tp=2", "cache=2", "dp=2", "tp=4", "cache=4,tp=2"};
  for (uint32_t i = 0; i < sizeof meshes / sizeof *meshes; i++) {
    struct sharding_check c;
    struct assignment a;
    sharding_check_init(&c, text, 0);
    assert_int_equal(parallel_parse(c.m, meshes[i], &c.diags, &c.mesh), STATUS_OK);
    assert_int_equal(prepare_sharding(c.f, &c.diags), STATUS_OK);
    assert_int_equal(role_assignment(c.f, c.mesh, NULL, &c.arena, &c.diags, &a), STATUS_OK);
    sharding_check_assignment(&c, &a, meshes[i]);
    const struct region *body = &c.f->regions.data[0];
    const struct op *update = value_def(c.f, body->results.data[1]);
    assert_int_equal(update->kind, OP_UPDATE);
    assert_int_equal(update->operands[0], body->params.data[3]);
    sharding_check_deinit(&c);
  }
}

static void test_parse(void **state) {
  (void)state;
  static const char *const wrong[] = {
      "",          "tp",    "tp=",   "=2",        "tp=0",     "tp=x",
      "tp=2,",     "tp=2x", "tp=-1", "tp=2,tp=2", "tp=99999", "a=2,b=2,c=2,d=2,e=2,f=2,g=2",
      "a=4096,b=2"};
  struct module *m = module_create();
  struct diags d = {0};
  uint32_t mesh;
  for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_int_equal(parallel_parse(m, wrong[i], &d, &mesh), STATUS_USAGE);
    assert_int_equal(diags_count(&d), i + 1);
  }
  assert_int_equal(parallel_parse(m, "dp=2,tp=4", &d, &mesh), STATUS_OK);
  diags_deinit(&d);
  module_destroy(m);
}

static void test_axis_of_no_use(void **state) {
  (void)state;
  struct strbuf text = {0};
  struct sharding_check c;
  struct assignment a;
  with_weights(LAYER("1", "6"), &text);
  sharding_check_init(&c, strbuf_c(&text), 0);
  assert_int_equal(parallel_parse(c.m, "dp=2,tp=2", &c.diags, &c.mesh), STATUS_OK);
  assert_int_equal(role_assignment(c.f, c.mesh, NULL, &c.arena, &c.diags, &a), STATUS_USAGE);
  assert_int_equal(diags_get(&c.diags, 0)->code, DIAG_E0344);
  sharding_check_deinit(&c);
  strbuf_deinit(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_layouts), cmocka_unit_test(test_parse),
                                     cmocka_unit_test(test_state),
                                     cmocka_unit_test(test_axis_of_no_use)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
