/* SPDX-License-Identifier: Apache-2.0 */
/* apply_sharding on small functions: whatever the assignment, all ranks in lock-step give what the
 * function gives, in the exact domain; conversions alone, between any two shardings. */
#include "tests/passes/sharding_check.h"

#include "passes/partition/apply_sharding.h"
#include "passes/partition/conversion.h"
#include "passes/partition/random_assignment.h"

static const char mlp[] =
    "func @main(%x: f32[6, 5], %a: f32[5, 9], %b: f32[9, 5]) -> (f32[6, 5]) {\n"
    "%h = contract %x, %a { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[6, 9]\n"
    "%g = map %h { tanh($0) } : f32[6, 9]\n"
    "%p = contract %g, %b { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[6, 5]\n"
    "%r = map %p, %x { add($0, $1) } : f32[6, 5]\n"
    "return %r\n}\n";

static const char attend[] =
    "func @main(%x: f32[2, 7, 12], %w: f32[12, 24], %u: f32[12, 12], %o: f32[24, 12],\n"
    "           %t: i64[1, 7], %m: f32[2, 1, 7, 7]) -> (f32[2, 7, 12], f32[2, 1, 12]) {\n"
    "%q0 = contract %x, %w { lhs_k = [2], rhs_k = [0], dtype = f32 } : f32[2, 7, 24]\n"
    "%q1 = reshape %q0 { dims = [2, 7, 8, 3] } : f32[2, 7, 8, 3]\n"
    "%q = transpose %q1 { perm = [0, 2, 1, 3] } : f32[2, 8, 7, 3]\n"
    "%k0 = contract %x, %u { lhs_k = [2], rhs_k = [0], dtype = f32 } : f32[2, 7, 12]\n"
    "%k1 = reshape %k0 { dims = [2, 7, 4, 3] } : f32[2, 7, 4, 3]\n"
    "%k = transpose %k1 { perm = [0, 2, 1, 3] } : f32[2, 4, 7, 3]\n"
    "%y, %l = attention %q, %k, %k, %m, %t, %t { scale = 0.5, causal = true, has_bias = true, \n"
    "  has_pos = true, lse = true } : f32[2, 8, 7, 3], f32[2, 8, 7]\n"
    "%y1 = transpose %y { perm = [0, 2, 1, 3] } : f32[2, 7, 8, 3]\n"
    "%y2 = reshape %y1 { dims = [2, 7, 24] } : f32[2, 7, 24]\n"
    "%z = contract %y2, %o { lhs_k = [2], rhs_k = [0], dtype = f32 } : f32[2, 7, 12]\n"
    "%r = map %z, %x { add($0, $1) } : f32[2, 7, 12]\n"
    "%s = reduce %r { axes = [1], kind = sum } : f32[2, 1, 12]\n"
    "return %r, %s\n}\n";

/* Constants, indices, ties, tables, and a loop. */
static const char mixed[] =
    "constant @go : bool[] = [true]\n"
    "constant @c : f32[6, 5] = [\n"
    "1.0, 2.0, 3.0, 4.0, -0.5,\n"
    "1.0, 2.0, 3.0, 4.0, -0.5,\n"
    "1.0, 2.0, 3.0, 4.0, -0.5,\n"
    "1.0, 2.0, 3.0, 4.0, -0.5,\n"
    "1.0, 2.0, 3.0, 4.0, -0.5,\n"
    "1.0, 2.0, 3.0, 4.0, -0.5\n"
    "]\n"
    "func @main(%x: f32[6, 5], %i: i64[3], %n: i64[]) -> (f32[3, 5], i64[6, 1], f32[6, 2], i64[6, "
    "2],\n"
    "           f32[6, 5]) {\n"
    "%c = const @c : f32[6, 5]\n"
    "%j = iota { axis = 0 } : f32[6, 5]\n"
    "%k = map %c, %j { mul($0, $1) } : f32[6, 5]\n"
    "%y = map %x, %k { add($0, $1) } : f32[6, 5]\n"
    "%g = gather %y, %i { axes = [0], mode = error } : f32[3, 5]\n"
    "%m, %p = reduce %k { axes = [1], kind = argmax } : f32[6, 1], i64[6, 1]\n"
    "%tv, %ti = topk %k { axis = 1, k = 2, descending = true } : f32[6, 2], i64[6, 2]\n"
    "%go = const @go : bool[]\n"
    "%e = loop %n, %go, %y { carried = 1 } region (%it: i64[], %acc: f32[6, 5]) {\n"
    "  %a0 = map %acc, %k { add($0, $1) } : f32[6, 5]\n"
    "  %a1 = reduce %a0 { axes = [0], kind = sum } : f32[1, 5]\n"
    "  %a2 = map %a0, %a1 { sub($0, $1) } : f32[6, 5]\n"
    "  yield %go, %a2\n"
    "} : f32[6, 5]\n"
    "return %g, %p, %tv, %ti, %e\n}\n";

static void check_random(const char *text, uint64_t seeds) {
  for (uint64_t seed = 1; seed <= seeds; seed++) {
    struct sharding_check c;
    sharding_check_init(&c, text, seed);
    struct assignment a;
    random_assignment(c.f, c.mesh, seed, &c.arena, &a);
    sharding_check_assignment(&c, &a, "random");
    sharding_check_deinit(&c);
  }
}

static void test_mlp(void **state) {
  (void)state;
  check_random(mlp, 60);
}
static void test_attention(void **state) {
  (void)state;
  check_random(attend, 60);
}
static void test_mixed(void **state) {
  (void)state;
  check_random(mixed, 60);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_mlp), cmocka_unit_test(test_attention),
                                     cmocka_unit_test(test_mixed)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
