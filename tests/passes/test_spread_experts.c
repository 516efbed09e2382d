/* SPDX-License-Identifier: Apache-2.0 */
/* Mixtures of experts as exporters write them, in the exact domain: spread over experts they give
 * what they gave, alone and with the experts over ranks; what is no mixture stays. */
#include "tests/passes/sharding_check.h"

#include "passes/partition/prepare_sharding.h"
#include "passes/partition/role_assignment.h"
#include "passes/partition/spread_experts.h"

/* 3 experts, 2 choices of each of 5 tokens of width 4. */
#define TABLES                                                                                     \
  "constant @g : f32[3, 6, 4] = [%s]\nconstant @u : f32[3, 4, 6] = [%s]\n"                         \
  "constant @d : f32[3, 3, 4] = [%s]\nconstant @b : f32[3, 6] = [%s]\n"
#define HEAD                                                                                       \
  "func @main(%x: f32[5, 4], %w: f32[5, 2], %c: i64[5, 2]) -> (f32[5, 1, 4]) {\n"                  \
  "%i = reshape %c { dims = [10] }\n%x1 = reshape %x { dims = [5, 1, 4] }\n"                       \
  "%x2 = broadcast %x1 { dims = [5, 2, 4] }\n%x3 = reshape %x2 { dims = [10, 4, 1] }\n"
/* As transformers does: one table for gate and up, weights by row. */
#define FUSED                                                                                      \
  HEAD "%t1 = const @g : f32[3, 6, 4]\n%t2 = const @d : f32[3, 3, 4]\n"                            \
       "%g1 = gather %t1, %i { axes = [0], mode = error }\n"                                       \
       "%h1 = contract %g1, %x3 { lhs_batch = [0], rhs_batch = [0], lhs_k = [2], rhs_k = [1], "    \
       "dtype = f32 }\n%h2 = reshape %h1 { dims = [10, 6] }\n"                                     \
       "%a = slice %h2 { start = [0, 0], size = [10, 3], step = [1, 1] }\n"                        \
       "%b = slice %h2 { start = [0, 3], size = [10, 3], step = [1, 1] }\n"                        \
       "%m = map %a, %b { mul(mul($0, sigmoid($0)), $1) }\n"                                       \
       "%g2 = gather %t2, %i { axes = [0], mode = error }\n"                                       \
       "%m1 = reshape %m { dims = [10, 1, 3] }\n"                                                  \
       "%o1 = contract %m1, %g2 { lhs_batch = [0], rhs_batch = [0], lhs_k = [2], rhs_k = [1], "    \
       "dtype = f32 }\n%o2 = reshape %o1 { dims = [10, 4] }\n"                                     \
       "%w1 = reshape %w { dims = [10, 1] }\n%o3 = map %w1, %o2 { mul($0, $1) }\n"                 \
       "%o = reshape %o3 { dims = [5, 2, 4] }\n"
/* A bias by expert, and weights by token and choice. */
#define BIASED                                                                                     \
  HEAD                                                                                             \
      "%t1 = const @u : f32[3, 4, 6]\n%t2 = const @b : f32[3, 6]\n%t3 = const @g : f32[3, 6, 4]\n" \
      "%g1 = gather %t1, %i { axes = [0], mode = clamp }\n"                                        \
      "%g2 = gather %t2, %i { axes = [0], mode = clamp }\n"                                        \
      "%h1 = contract %g1, %x3 { lhs_batch = [0], rhs_batch = [0], lhs_k = [1], rhs_k = [1], "     \
      "dtype = f32 }\n%h2 = reshape %h1 { dims = [10, 6] }\n"                                      \
      "%h3 = map %h2, %g2 { max(add($0, $1), 0.0) }\n"                                             \
      "%g3 = gather %t3, %i { axes = [0], mode = clamp }\n"                                        \
      "%o1 = contract %h3, %g3 { lhs_batch = [0], rhs_batch = [0], lhs_k = [1], rhs_k = [1], "     \
      "dtype = f32 }\n%o2 = reshape %o1 { dims = [5, 2, 4] }\n"                                    \
      "%w1 = reshape %w { dims = [5, 2, 1] }\n%o = map %o2, %w1 { mul($0, $1) }\n"
#define TAIL "%y = reduce %o { axes = [1], kind = sum }\nreturn %y\n}\n"
/* Rows that are not the token's alone: its choices differ before the experts see them. */
#define UNEVEN                                                                                     \
  "func @main(%x: f32[10, 4], %w: f32[5, 2], %c: i64[5, 2]) -> (f32[5, 1, 4]) {\n"                 \
  "%i = reshape %c { dims = [10] }\n%t1 = const @u : f32[3, 4, 6]\n%t3 = const @g : f32[3, 6, "    \
  "4]\n"                                                                                           \
  "%g1 = gather %t1, %i { axes = [0], mode = clamp }\n"                                            \
  "%h1 = contract %g1, %x { lhs_batch = [0], rhs_batch = [0], lhs_k = [1], rhs_k = [1], "          \
  "dtype = f32 }\n%g3 = gather %t3, %i { axes = [0], mode = clamp }\n"                             \
  "%o1 = contract %h1, %g3 { lhs_batch = [0], rhs_batch = [0], lhs_k = [1], rhs_k = [1], "         \
  "dtype = f32 }\n%o2 = reshape %o1 { dims = [5, 2, 4] }\n"                                        \
  "%w1 = reshape %w { dims = [5, 2, 1] }\n%o = map %o2, %w1 { mul($0, $1) }\n"

static void numbers(struct strbuf *out, int n, int seed) {
  for (int i = 0; i < n; i++)
    strbuf_printf(out, "%s%d.0", i ? ", " : "", (i * 37 + seed * 11) % 19 - 9);
}

static void with_tables(const char *body, struct strbuf *out) {
  static const int sizes[] = {72, 72, 36, 18};
  struct strbuf n[4] = {{0}};
  for (int i = 0; i < 4; i++)
    numbers(&n[i], sizes[i], i);
  strbuf_printf(out, TABLES, strbuf_c(&n[0]), strbuf_c(&n[1]), strbuf_c(&n[2]), strbuf_c(&n[3]));
  strbuf_append_c(out, body);
  for (int i = 0; i < 4; i++)
    strbuf_deinit(&n[i]);
}

static uint32_t count(const struct function *f, enum op_kind kind) {
  uint32_t n = 0;
  for (uint32_t i = 1; i < f->ops.len; i++)
    n += f->ops.data[i].kind == kind;
  return n;
}

static void check_on(const char *body, const char *mesh) {
  struct strbuf text = {0};
  struct sharding_check c;
  struct assignment a;
  with_tables(body, &text);
  sharding_check_init(&c, strbuf_c(&text), 0);
  assert_int_equal(spread_experts(c.f, &c.diags), STATUS_OK);
  if (count(c.f, OP_GATHER))
    check_failed(&c, "rows still look up their experts");
  assert_int_equal(parallel_parse(c.m, mesh, &c.diags, &c.mesh), STATUS_OK);
  assert_int_equal(prepare_sharding(c.f, &c.diags), STATUS_OK);
  if (role_assignment(c.f, c.mesh, NULL, &c.arena, &c.diags, &a))
    check_failed(&c, mesh);
  sharding_check_assignment(&c, &a, mesh);
  if (!strcmp(mesh, "ep=3") && (count(c.f, OP_ALL_REDUCE) != 1 || count(c.f, OP_ALL_GATHER)))
    check_failed(&c, "more than the sum over experts is exchanged");
  sharding_check_deinit(&c);
  strbuf_deinit(&text);
}

static void test_mixtures(void **state) {
  (void)state;
  static const char *const meshes[] = {"ep=1", "ep=2", "ep=3", "ep=4", "ep=2,tp=2", "dp=2,ep=3"};
  for (uint32_t i = 0; i < sizeof meshes / sizeof *meshes; i++) {
    check_on(FUSED TAIL, meshes[i]);
    check_on(BIASED TAIL, meshes[i]);
  }
}

static void test_no_mixture(void **state) {
  (void)state;
  struct strbuf text = {0};
  struct sharding_check c;
  with_tables(UNEVEN TAIL, &text);
  sharding_check_init(&c, strbuf_c(&text), 0);
  assert_int_equal(spread_experts(c.f, &c.diags), STATUS_OK);
  assert_int_equal(count(c.f, OP_GATHER), 2);
  assert_int_equal(count(c.f, OP_CONTRACT), 2);
  sharding_check_deinit(&c);
  strbuf_deinit(&text);
}

static void test_axes(void **state) {
  (void)state;
  assert_true(parallel_has_experts("ep=2"));
  assert_true(parallel_has_experts("tp=2,ep=4"));
  assert_false(parallel_has_experts("tp=2"));
  assert_false(parallel_has_experts("step=2,cp=3"));
  assert_false(parallel_has_experts(NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_mixtures),
                                     cmocka_unit_test(test_no_mixture),
                                     cmocka_unit_test(test_axes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
