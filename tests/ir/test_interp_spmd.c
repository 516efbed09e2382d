/* SPDX-License-Identifier: Apache-2.0 */
/* Sharded functions in lock-step, against the same functions without shardings, in the exact
 * domain: equal when they are right, and not when a collective is missing, doubled, on the wrong
 * axes, or a part is swapped. */
#include "tests/ir/eval_fixture.h"

#include "ir/field.h"
#include "ir/interp_spmd.h"
#include "ir/text.h"

static struct module *parse(const char *body, struct diags *d) {
  char text[4096];
  snprintf(text, sizeof text, "mesh @m0 [dp=2, tp=4]\n%s", body);
  struct module *m = NULL;
  if (module_parse("test.sir", text, strlen(text), d, &m))
    diags_print(d, stderr);
  assert_non_null(m);
  return m;
}

static uint32_t make_inputs(const struct module *m, struct arena *arena, struct tensor **out) {
  const struct function *f = m->functions.data[0];
  const struct region *body = &f->regions.data[0];
  uint64_t state = 1;
  for (uint32_t i = 0; i < body->params.len; i++) {
    const struct type *type = value_type(f, body->params.data[i]);
    int64_t dims[IR_MAX_RANK];
    assert_true(type_static_dims(m->dims, type, dims));
    out[i] = tensor_create(arena, type->dtype, dims, type->rank);
    for (int64_t k = 0; k < out[i]->count; k++)
      out[i]->i64[k] = field_hash(state++, k, 0, 0) % (dtype_is_float(type->dtype) ? FIELD_P : 13);
  }
  return body->params.len;
}

enum outcome { SAME, DIFFERS, FAILS };

/* The sharded function against the plain one. */
static enum outcome compare(const char *plain, const char *sharded) {
  struct diags d = {0};
  struct arena arena = {0};
  struct tensor *inputs[8], *want[4], *have[4];
  struct module *p = parse(plain, &d), *s = parse(sharded, &d);
  make_inputs(p, &arena, inputs);
  assert_int_equal(interp_run(p->functions.data[0], INTERP_FIELD, inputs, &arena, &d, want),
                   STATUS_OK);
  status st = interp_spmd_run(s->functions.data[0], s->meshes.data[0], INTERP_FIELD, inputs, &arena,
                              &d, have);
  enum outcome outcome = st ? FAILS : SAME;
  for (uint32_t i = 0; !st && i < p->functions.data[0]->regions.data[0].results.len; i++)
    if (memcmp(want[i]->data, have[i]->data, (size_t)want[i]->count * 8))
      outcome = DIFFERS;
  assert_int_equal(diags_count(&d) != 0, st != STATUS_OK);
  module_destroy(p);
  module_destroy(s);
  arena_deinit(&arena);
  diags_deinit(&d);
  return outcome;
}

#define MLP(x, w1, w2, h, g, partial, reduce, y)                                                   \
  "func @main(%x: f32[6, 5]" x ", %a: f32[5, 9]" w1 ", %b: f32[9, 5]" w2 ") -> (f32[6, 5]) {\n"    \
  "%h = contract %x, %a { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[6, 9]" h "\n"              \
  "%g = map %h { tanh($0) } : f32[6, 9]" g "\n"                                                    \
  "%p = contract %g, %b { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[6, 5]" partial "\n" reduce \
  "return %" y "\n}\n"

static const char plain_mlp[] = MLP("", "", "", "", "", "", "", "p");
#define TP(reduce, y)                                                                              \
  MLP(" @ {dp, -}", " @ {-, tp}", " @ {tp, -}", " @ {dp, tp}", " @ {dp, tp}",                      \
      " @ {dp, -} partial(sum, tp)", reduce, y)

static void test_tensor_parallel(void **state) {
  (void)state;
  assert_int_equal(
      compare(plain_mlp, TP("%r = all_reduce %p { axes = [1] } : f32[6, 5] @ {dp, -}\n", "r")),
      SAME);
  assert_int_equal(compare(plain_mlp, TP("%s = reduce_scatter %p { axes = [1], dim = 1 } : "
                                         "f32[6, 5] @ {dp, tp}\n"
                                         "%r = all_gather %s { axes = [1], dim = 1 } : "
                                         "f32[6, 5] @ {dp, -}\n",
                                         "r")),
                   SAME);
  /* 6 rows in 8 parts are no finer split of those in 2: row 3 is on the other side. */
  assert_int_equal(compare(plain_mlp, TP("%s = reduce_scatter %p { axes = [1], dim = 1 } : "
                                         "f32[6, 5] @ {dp, tp}\n"
                                         "%r = all_to_all %s { axes = [1], gather = 1, split = 0 } "
                                         ": f32[6, 5] @ {[dp, tp], -}\n",
                                         "r")),
                   DIFFERS);
}

static void test_broken(void **state) {
  (void)state;
  /* No collective: the ranks hold different values of what is said to be whole. */
  assert_int_equal(compare(plain_mlp, MLP(" @ {dp, -}", " @ {-, tp}", " @ {tp, -}", " @ {dp, tp}",
                                          " @ {dp, tp}", " @ {dp, -}", "", "p")),
                   FAILS);
  /* Left partial. */
  assert_int_equal(compare(plain_mlp, TP("", "p")), FAILS);
  /* Over the wrong axis. */
  assert_int_equal(
      compare(plain_mlp, TP("%r = all_reduce %p { axes = [0] } : f32[6, 5] @ {dp, -}\n", "r")),
      FAILS);
  /* Twice: the second is of a whole value. */
  assert_int_equal(
      compare(plain_mlp, TP("%s = all_reduce %p { axes = [1] } : f32[6, 5] @ {dp, -}\n"
                            "%r = all_reduce %s { axes = [1] } : f32[6, 5] @ {dp, -}\n",
                            "r")),
      FAILS);
  /* Twice, the value said to be partial still. */
  assert_int_equal(
      compare(plain_mlp,
              TP("%s = all_reduce %p { axes = [1] } : f32[6, 5] @ {dp, -} partial(sum, tp)\n"
                 "%r = all_reduce %s { axes = [1] } : f32[6, 5] @ {dp, -}\n",
                 "r")),
      DIFFERS);
  /* Parts swapped: the filter is dealt in another order than the activations. */
  assert_int_equal(
      compare(plain_mlp, MLP(" @ {dp, -}", " @ {-, tp}", " @ {tp~1, -}", " @ {dp, tp}",
                             " @ {dp, tp}", " @ {dp, -} partial(sum, tp)",
                             "%r = all_reduce %p { axes = [1] } : f32[6, 5] @ {dp, -}\n", "r")),
      DIFFERS);
}

#define ATTEND(q, kv, qp, kp, o, l, rest, y)                                                       \
  "func @main(%q: f32[2, 4, 6, 3]" q ", %k: f32[2, 2, 7, 3]" kv ", %v: f32[2, 2, 7, 5]" kv         \
  ", %qp: i64[1, 6]" qp ", %kp: i64[1, 7]" kp ") -> (f32[2, 4, 6, 5]) {\n"                         \
  "%o, %l = attention %q, %k, %v, %qp, %kp { scale = 0.5, causal = true, has_pos = true, "         \
  "lse = true } : f32[2, 4, 6, 5]" o ", f32[2, 4, 6]" l "\n" rest "return %" y "\n}\n"
static const char plain_attend[] = ATTEND("", "", "", "", "", "", "", "o");

static void test_attention(void **state) {
  (void)state;
  /* The cache over tp in interleaved blocks, the batch over dp. */
  assert_int_equal(
      compare(plain_attend,
              ATTEND(" @ {dp, -, -, -}", " @ {dp, -, tp~1, -}", "", " @ {-, tp~1}",
                     " @ {dp, -, -, -} partial(softmax, tp)", " @ {dp, -, -} partial(softmax, tp)",
                     "%m, %n = merge %o, %l { axes = [1] } : f32[2, 4, 6, 5] @ {dp, -, -, -}, "
                     "f32[2, 4, 6] @ {dp, -, -}\n",
                     "m")),
      SAME);
  /* Positions that were not split with the keys. */
  assert_int_equal(
      compare(plain_attend,
              ATTEND(" @ {dp, -, -, -}", " @ {dp, -, tp~1, -}", "", " @ {-, tp}",
                     " @ {dp, -, -, -} partial(softmax, tp)", " @ {dp, -, -} partial(softmax, tp)",
                     "%m, %n = merge %o, %l { axes = [1] } : f32[2, 4, 6, 5] @ {dp, -, -, -}, "
                     "f32[2, 4, 6] @ {dp, -, -}\n",
                     "m")) == SAME,
      false);
  /* Queries over tp in zigzag order, heads over dp. */
  assert_int_equal(
      compare(plain_attend, ATTEND(" @ {-, dp*2, tp~zig, -}", " @ {-, dp, -, -}", " @ {-, tp~zig}",
                                   "", " @ {-, dp*2, tp~zig, -}", " @ {-, dp*2, tp~zig}", "", "o")),
      SAME);
}

static void test_permute(void **state) {
  (void)state;
  static const char plain[] = "func @main(%x: f32[8]) -> (f32[8]) {\nreturn %x\n}\n";
  assert_int_equal(compare(plain,
                           "func @main(%x: f32[8] @ {tp}) -> (f32[8]) {\n"
                           "%a = permute %x { axes = [1], from = [1, 2, 3, 0] } : f32[8] @ {tp}\n"
                           "%b = permute %a { axes = [1], from = [3, 0, 1, 2] } : f32[8] @ {tp}\n"
                           "return %b\n}\n"),
                   SAME);
  assert_int_equal(compare(plain,
                           "func @main(%x: f32[8] @ {tp}) -> (f32[8]) {\n"
                           "%a = permute %x { axes = [1], from = [1, 2, 3, 0] } : f32[8] @ {tp}\n"
                           "return %a\n}\n"),
                   DIFFERS);
}

static void test_shard(void **state) {
  (void)state;
  static const char plain[] = "func @main(%x: f32[7, 5]) -> (f32[7, 5]) {\n"
                              "%y = map %x { tanh($0) } : f32[7, 5]\nreturn %y\n}\n";
  assert_int_equal(
      compare(plain, "func @main(%x: f32[7, 5]) -> (f32[7, 5]) {\n"
                     "%a = shard %x : f32[7, 5] @ {-, tp~zig}\n"
                     "%b = shard %a : f32[7, 5] @ {dp~2, tp~zig}\n"
                     "%y = map %b { tanh($0) } : f32[7, 5] @ {dp~2, tp~zig}\n"
                     "%c = all_gather %y { axes = [0], dim = 0 } : f32[7, 5] @ {-, tp~zig}\n"
                     "%d = all_gather %c { axes = [1], dim = 1 } : f32[7, 5]\nreturn %d\n}\n"),
      SAME);
  /* Whole to partial and back, over both halves of an axis. */
  assert_int_equal(compare(plain,
                           "func @main(%x: f32[7, 5]) -> (f32[7, 5]) {\n"
                           "%y = map %x { tanh($0) } : f32[7, 5]\n"
                           "%a = shard %y : f32[7, 5] @ {-, -} partial(sum, tp:2)\n"
                           "%b = shard %a : f32[7, 5] @ {-, -} partial(sum, tp)\n"
                           "%c = all_reduce %b { axes = [1], parts = [2, 1] } : f32[7, 5] @ {-, -} "
                           "partial(sum, tp:2)\n"
                           "%d = all_reduce %c { axes = [1], parts = [2, 2] } : f32[7, 5]\n"
                           "return %d\n}\n"),
                   SAME);
  /* A part that is not within the part at hand. */
  assert_int_equal(compare(plain, "func @main(%x: f32[7, 5] @ {-, dp}) -> (f32[7, 5]) {\n"
                                  "%a = shard %x : f32[7, 5] @ {-, [dp, tp]}\n"
                                  "%y = map %a { tanh($0) } : f32[7, 5] @ {-, [dp, tp]}\n"
                                  "return %y\n}\n"),
                   FAILS);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tensor_parallel),
                                     cmocka_unit_test(test_broken),
                                     cmocka_unit_test(test_attention),
                                     cmocka_unit_test(test_permute), cmocka_unit_test(test_shard)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
