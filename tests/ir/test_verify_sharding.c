/* SPDX-License-Identifier: Apache-2.0 */
/* The checker of sharded functions: right plans pass; each kind of broken one is refused with a
 * code, and with the op, the value, what is wanted and what is found. */
#include "tests/ir/eval_fixture.h"

#include "ir/text.h"
#include "ir/verify_sharding.h"

/* The report's code, and a piece of its message; NULL: the function passes. */
static void check(const char *body, const char *code, const char *message) {
  char text[4096];
  struct diags d = {0};
  struct module *m = NULL;
  snprintf(text, sizeof text, "mesh @m0 [dp=2, tp=4]\n%s", body);
  if (module_parse("test.sir", text, strlen(text), &d, &m))
    diags_print(&d, stderr);
  assert_non_null(m);
  status st = sharding_verify(m->functions.data[0], &d);
  if (!code && st)
    diags_print(&d, stderr);
  assert_int_equal(st != STATUS_OK, code != NULL);
  if (code) {
    const struct diag *first = diags_get(&d, 0);
    assert_string_equal(diag_code_name(first->code), code);
    if (!strstr(first->message, message))
      fail_msg("'%s' does not say '%s'", first->message, message);
  }
  assert_int_equal(module_verify(m, &d) != STATUS_OK, code != NULL);
  module_destroy(m);
  diags_deinit(&d);
}

#define MLP(a, b, h, g, p, reduce, y)                                                              \
  "func @main(%x: f32[6, 8], %a: f32[8, 12]" a ", %b: f32[12, 8]" b ") -> (f32[6, 8]) {\n"         \
  "%h = contract %x, %a { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[6, 12]" h "\n"             \
  "%g = map %h { tanh($0) } : f32[6, 12]" g "\n"                                                   \
  "%p = contract %g, %b { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[6, 8]" p "\n" reduce       \
  "return %" y "\n}\n"
#define TP(reduce, y)                                                                              \
  MLP(" @ {-, tp}", " @ {tp, -}", " @ {-, tp}", " @ {-, tp}", " @ {-, -} partial(sum, tp)",        \
      reduce, y)
#define REDUCE "%r = all_reduce %p { axes = [1] } : f32[6, 8]\n"

static void test_right(void **state) {
  (void)state;
  check(TP(REDUCE, "r"), NULL, NULL);
  check(TP("%s = reduce_scatter %p { axes = [1], dim = 1 } : f32[6, 8] @ {-, tp}\n"
           "%t = all_to_all %s { axes = [1], gather = 1, split = 0 } : f32[6, 8] @ {tp, -}\n"
           "%r = all_gather %t { axes = [1], dim = 0 } : f32[6, 8]\n",
           "r"),
        NULL, NULL);
  /* In two steps over parts of the axis. */
  check(TP("%q = all_reduce %p { axes = [1], parts = [2, 1] } : f32[6, 8] @ {-, -} "
           "partial(sum, tp:2)\n"
           "%r = all_reduce %q { axes = [1], parts = [2, 2] } : f32[6, 8]\n",
           "r"),
        NULL, NULL);
  /* A partial passed on by what is linear in it; what is added becomes partial too. */
  check(TP("%z = shard %x : f32[6, 8] @ {-, -} partial(sum, tp)\n"
           "%q = map %p, %z { sub(mul($0, 2.0), $1) } : f32[6, 8] @ {-, -} partial(sum, tp)\n"
           "%r = all_reduce %q { axes = [1] } : f32[6, 8]\n",
           "r"),
        NULL, NULL);
  /* A granule that even parts do not need. */
  check(MLP(" @ {-, tp*3}", " @ {tp, -}", " @ {-, tp}", " @ {-, tp}", " @ {-, -} partial(sum, tp)",
            REDUCE, "r"),
        NULL, NULL);
}

static void test_values(void **state) {
  (void)state;
  /* The collective dropped: as the result, as if it were whole, and before a reader. */
  check(TP("", "p"), "E0332", "result 0");
  check(MLP(" @ {-, tp}", " @ {tp, -}", " @ {-, tp}", " @ {-, tp}", "", "", "p"), "E0331",
        "result 0, value 6 p f32[6, 8], is wanted @ {-, -} partial(sum, tp)");
  check(TP("%r = map %p { tanh($0) } : f32[6, 8]\n", "r"), "E0332", "op 4 'map': operand 0");
  check(TP("%r = map %p, %x { add($0, $1) } : f32[6, 8] @ {-, -} partial(sum, tp)\n", "r"), "E0332",
        "not linear in it alone");
  check(TP("%r = map %p { f16($0) } : f16[6, 8] @ {-, -} partial(sum, tp)\n"
           "%s = map %r { f32($0) } : f32[6, 8] @ {-, -} partial(sum, tp)\n"
           "%t = all_reduce %s { axes = [1] } : f32[6, 8]\n",
           "t"),
        "E0332", "op 4 'map'");
  /* A shard swapped, missing, in another order. */
  check(MLP(" @ {-, tp}", " @ {tp~1, -}", " @ {-, tp}", " @ {-, tp}", " @ {-, -} partial(sum, tp)",
            REDUCE, "r"),
        "E0331", "is wanted");
  check(
      MLP(" @ {-, tp}", "", " @ {-, tp}", " @ {-, tp}", " @ {-, -} partial(sum, tp)", REDUCE, "r"),
      "E0331", "operand 1, value 3 b f32[12, 8], is wanted @ {tp, -}");
  check(MLP(" @ {-, tp}", " @ {tp, -}", " @ {-, tp}", " @ {-, dp}", " @ {-, -} partial(sum, tp)",
            REDUCE, "r"),
        "E0331", "op 2 'map'");
  /* Another kind of partial than the op makes. */
  check(MLP(" @ {-, tp}", " @ {tp, -}", " @ {-, tp}", " @ {-, tp}", " @ {-, -} partial(max, tp)",
            REDUCE, "r"),
        "E0331", "partial(sum, tp)");
}

static void test_collectives(void **state) {
  (void)state;
  /* Doubled. */
  check(TP(REDUCE "%s = all_reduce %r { axes = [1] } : f32[6, 8]\n", "s"), "E0333",
        "the operand is whole");
  /* On the wrong group. */
  check(TP("%r = all_reduce %p { axes = [0] } : f32[6, 8]\n", "r"), "E0333",
        "not partial over these axes");
  check(TP("%r = all_reduce %p { axes = [1, 0] } : f32[6, 8]\n", "r"), "E0333", "partial");
  check(TP("%r = all_reduce %p { axes = [5] } : f32[6, 8]\n", "r"), "E0333", "does not have");
  check(TP("%r = all_reduce %p { axes = [1], parts = [3, 1] } : f32[6, 8]\n", "r"), "E0333",
        "does not have");
  /* Half of it. */
  check(TP("%r = all_reduce %p { axes = [1], parts = [2, 1] } : f32[6, 8]\n", "r"), "E0333",
        "not the rest");
  /* In the wrong order, or along the wrong dim. */
  check(TP("%s = all_gather %p { axes = [1], dim = 1 } : f32[6, 8]\n", "s"), "E0333", "partial");
  check(TP("%s = reduce_scatter %p { axes = [1], dim = 0 } : f32[6, 8] @ {-, tp}\n"
           "%r = all_gather %s { axes = [1], dim = 1 } : f32[6, 8]\n",
           "r"),
        "E0333", "another dim");
  check(TP("%s = reduce_scatter %p { axes = [1], dim = 1 } : f32[6, 8] @ {-, tp}\n"
           "%r = all_gather %s { axes = [0], dim = 1 } : f32[6, 8]\n",
           "r"),
        "E0333", "not put together");
  check(TP("%s = reduce_scatter %p { axes = [1], dim = 1 } : f32[6, 8] @ {-, tp}\n"
           "%t = permute %s { axes = [1], from = [1, 0, 2, 3] } : f32[6, 8] @ {-, tp}\n"
           "%r = all_gather %t { axes = [1], dim = 1 } : f32[6, 8]\n",
           "r"),
        "E0333", "another part");
  /* Elements that a rank does not have: 6 rows in 8 parts are not within those in 2. */
  check("func @main(%x: f32[6, 8]) -> (f32[6, 8]) {\n"
        "%a = shard %x : f32[6, 8] @ {dp, -}\n"
        "%b = shard %a : f32[6, 8] @ {[dp, tp], -}\n"
        "%c = all_gather %b { axes = [0, 1], dim = 0 } : f32[6, 8]\nreturn %c\n}\n",
        "E0333", "does not have");
}

#define ATTEND(merge, y)                                                                           \
  "func @main(%q: f32[2, 4, 6, 3], %k: f32[2, 2, 7, 3] @ {-, -, tp, -}, "                          \
  "%v: f32[2, 2, 7, 5] @ {-, -, tp, -}) -> (f32[2, 4, 6, 5]) {\n"                                  \
  "%o, %l = attention %q, %k, %v { scale = 0.5, lse = true } : f32[2, 4, 6, 5] @ {-, -, -, -} "    \
  "partial(softmax, tp), f32[2, 4, 6] @ {-, -, -} partial(softmax, tp)\n" merge "return %" y       \
  "\n}\n"

static void test_tuples(void **state) {
  (void)state;
  check(ATTEND("%m, %n = merge %o, %l { axes = [1] } : f32[2, 4, 6, 5], f32[2, 4, 6]\n", "m"), NULL,
        NULL);
  check(ATTEND("%m, %n = merge %o, %l { axes = [1] } : f32[2, 4, 6, 5] @ {-, tp, -, -}, "
               "f32[2, 4, 6] @ {-, tp, -}\n"
               "%r = all_gather %m { axes = [1], dim = 1 } : f32[2, 4, 6, 5]\n",
               "r"),
        NULL, NULL);
  check(ATTEND("%m = all_reduce %o { axes = [1] } : f32[2, 4, 6, 5]\n", "m"), "E0333", "'merge'");
  check(ATTEND("", "o"), "E0332", "result 0");
  check(ATTEND("%a, %b = attention %q, %k, %v { scale = 0.25, lse = true } : f32[2, 4, 6, 5] "
               "@ {-, -, -, -} partial(softmax, tp), f32[2, 4, 6] @ {-, -, -} "
               "partial(softmax, tp)\n"
               "%m, %n = merge %o, %b { axes = [1] } : f32[2, 4, 6, 5], f32[2, 4, 6]\n",
               "m"),
        "E0333", "of one op");
}

static void test_control(void **state) {
  (void)state;
  check("func @main(%x: f32[8] @ {tp}, %n: i64[], %c: bool[]) -> (f32[8] @ {tp}) {\n"
        "%r = loop %n, %c, %x { carried = 1 } region (%i: i64[], %a: f32[8] @ {tp}) {\n"
        "%b = map %a { tanh($0) } : f32[8] @ {tp}\n"
        "yield %c, %b\n} : f32[8] @ {tp}\nreturn %r\n}\n",
        NULL, NULL);
  check("func @main(%x: f32[8] @ {tp}, %n: i64[], %c: bool[]) -> (f32[8]) {\n"
        "%r = loop %n, %c, %x { carried = 1 } region (%i: i64[], %a: f32[8]) {\n"
        "%b = map %a { tanh($0) } : f32[8]\n"
        "yield %c, %b\n} : f32[8]\nreturn %r\n}\n",
        "E0331", "carried operand 0");
  /* Ranks would branch on what each has. */
  check("func @main(%x: f32[8] @ {tp}, %c: bool[]) -> (f32[1]) {\n"
        "%s = reduce %x { axes = [0], kind = max } : f32[1] @ {-} partial(max, tp)\n"
        "%t = reshape %s : f32[] @ {} partial(max, tp)\n"
        "%u = map %t { gt($0, 0.0) } : bool[]\n"
        "%r = if %u region { yield %t } region { yield %t } : f32[]\n"
        "%y = reshape %r { dims = [1] } : f32[1]\nreturn %y\n}\n",
        "E0332", "'map'");
  check("func @main(%x: bool[] @ {} partial(max, tp), %c: f32[8]) -> (f32[8]) {\n"
        "%r = if %x region { yield %c } region { yield %c } : f32[8]\nreturn %r\n}\n",
        "E0334", "the condition");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_right), cmocka_unit_test(test_values),
                                     cmocka_unit_test(test_collectives),
                                     cmocka_unit_test(test_tuples), cmocka_unit_test(test_control)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
