/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank runs is what the sharded function says: both in lock-step in the exact domain, for
 * every collective, order of splitting and op with a form of its own; dims that divide by nothing,
 * symbolic dims, more ranks than elements. */
#include "tests/ir/eval_fixture.h"

#include "ir/field.h"
#include "ir/interp_spmd.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/partition/localise.h"

static struct module *parse(const char *text) {
  struct diags d = {0};
  struct module *m = NULL;
  if (module_parse("test.sir", text, strlen(text), &d, &m)) {
    diags_print(&d, stderr);
    fail_msg("%s", text);
  }
  diags_deinit(&d);
  return m;
}

/* Random elements; a symbolic dim is `n`. Integers are below 13. */
static void make_inputs(const struct module *m, int64_t n, struct arena *arena,
                        struct tensor **out) {
  const struct function *f = m->functions.data[0];
  const struct region *body = &f->regions.data[0];
  uint64_t state = 1;
  for (uint32_t i = 0; i < body->params.len; i++) {
    const struct type *type = value_type(f, body->params.data[i]);
    int64_t dims[IR_MAX_RANK];
    for (uint32_t d = 0; d < type->rank; d++)
      if (!dim_is_const(m->dims, type->dims[d], &dims[d]))
        dims[d] = n;
    out[i] = tensor_create(arena, type->dtype, dims, type->rank);
    for (int64_t k = 0; k < out[i]->count; k++)
      out[i]->i64[k] = field_hash(state++, k, 0, 0) % (dtype_is_float(type->dtype) ? FIELD_P : 13);
  }
}

static void print_module(const struct module *m) {
  struct strbuf text = {0};
  module_print(m, &text);
  fputs(strbuf_c(&text), stderr);
  strbuf_deinit(&text);
}

/* The functions of the text: @main, sharded, and, if there, @plain, the same without shardings. */
static void check_at(const char *text, int64_t n) {
  struct diags d = {0};
  struct arena arena = {0};
  struct tensor *inputs[8], *want[4], *have[4];
  struct module *m = parse(text);
  struct function *f = m->functions.data[0];
  const struct mesh *mesh = m->meshes.data[0];
  make_inputs(m, n, &arena, inputs);
  if (interp_spmd_run(f, mesh, INTERP_FIELD, inputs, &arena, &d, want)) {
    diags_print(&d, stderr);
    fail_msg("the sharded function fails (n = %lld):\n%s", (long long)n, text);
  }
  struct function *local = localise(f, &d);
  bool fails = !local || function_verify(local, &d) ||
               interp_spmd_run_local(local, f, mesh, INTERP_FIELD, inputs, &arena, &d, have);
  bool same = !fails;
  for (uint32_t i = 0; same && i < f->regions.data[0].results.len; i++)
    same = !memcmp(want[i]->data, have[i]->data, (size_t)want[i]->count * 8);
  if (!same) {
    print_module(m);
    diags_print(&d, stderr);
    fail_msg("%s, n = %lld", fails ? "fails" : "differs", (long long)n);
  }
  struct function *plain = module_find_function(m, "plain");
  if (plain) {
    assert_int_equal(interp_run(plain, INTERP_FIELD, inputs, &arena, &d, have), STATUS_OK);
    for (uint32_t i = 0; i < f->regions.data[0].results.len; i++)
      assert_memory_equal(want[i]->data, have[i]->data, (size_t)want[i]->count * 8);
  }
  module_destroy(m);
  arena_deinit(&arena);
  diags_deinit(&d);
}

/* ---- conversions ---- */

struct split {
  const char *text, *refs, *axes;
};
static const struct split splits[] = {
    {"tp", "tp", "axes = [1]"},
    {"[dp, tp]", "dp, tp", "axes = [0, 1]"},
    {"[tp, dp]", "tp, dp", "axes = [1, 0]"},
    {"tp*2", "tp", "axes = [1]"},
    {"tp~zig", "tp", "axes = [1]"},
    {"[dp, tp]~zig", "dp, tp", "axes = [0, 1]"},
    {"tp*2~zig", "tp", "axes = [1]"},
    {"tp~1", "tp", "axes = [1]"},
    {"[dp, tp]~2", "dp, tp", "axes = [0, 1]"},
    {"tp*2~4", "tp", "axes = [1]"},
    {"tp:2", "tp:2", "axes = [1], parts = [2, 2]"},
    {"tp/2:2", "tp/2:2", "axes = [1], parts = [2, 1]"},
    {"[tp/2:2, dp]", "tp/2:2, dp", "axes = [1, 0], parts = [2, 1, 0, 0]"},
};
static const int64_t sizes[] = {0, 1, 5, 8, 13, 32, 37};

#define MESH "mesh @m0 [dp=2, tp=4]\n"
#define LENGTH(a) (sizeof(a) / sizeof *(a))

/* The text with $n, a split as $s, $r (its axes) and $a (as attributes) and a second one as $t put
 * in. */
static void fill(const char *form, const char *n, const struct split *s, const struct split *t,
                 char *out, size_t room) {
  size_t at = (size_t)snprintf(out, room, MESH);
  for (const char *c = form; *c && at + 64 < room; c++) {
    if (*c != '$') {
      out[at++] = *c;
      continue;
    }
    if (c[1] >= '0' && c[1] <= '9') { /* an operand of a body */
      out[at++] = *c;
      continue;
    }
    c++;
    const char *x = *c == 'n'   ? n
                    : *c == 's' ? s->text
                    : *c == 'a' ? s->axes
                    : *c == 'r' ? s->refs
                    : t         ? t->text
                                : "";
    at += (size_t)snprintf(out + at, room - at, "%s", x);
  }
  out[at] = 0;
}

/* For every split and size, static and symbolic. */
static void check_all(const char *form) {
  char text[4096], n[32];
  for (size_t s = 0; s < LENGTH(splits); s++)
    for (size_t i = 0; i < LENGTH(sizes); i++)
      for (int symbolic = 0; symbolic < 2; symbolic++) {
        snprintf(n, sizeof n, symbolic ? "n" : "%lld", (long long)sizes[i]);
        fill(form, n, &splits[s], NULL, text, sizeof text);
        check_at(text, sizes[i]);
      }
}

static void test_gather(void **state) {
  (void)state;
  check_all("func @main(%x: f32[3, $n, 2]) -> (f32[3, $n, 2]) {\n"
            "%p = shard %x : f32[3, $n, 2] @ {-, $s, -}\n"
            "%q = map %p { mul($0, 3.0) } : f32[3, $n, 2] @ {-, $s, -}\n"
            "%y = all_gather %q { $a, dim = 1 } : f32[3, $n, 2]\n"
            "return %y\n}\n");
  check_all("func @main(%x: f32[$n] @ {$s}) -> (f32[$n] @ {$s}, f32[$n]) {\n"
            "%y = all_gather %x { $a, dim = 0 } : f32[$n]\n"
            "return %x, %y\n}\n");
}

static void test_reduce(void **state) {
  (void)state;
  check_all(
      "func @main(%x: f32[5, $n, 2] @ {[$r], -, -}) -> (f32[1, $n, 2], f32[1, $n, 2] @ "
      "{-, $s, -}) {\n"
      "%p = reduce %x { axes = [0], kind = sum } : f32[1, $n, 2] @ {-, -, -} partial(sum, $r)\n"
      "%y = all_reduce %p { $a } : f32[1, $n, 2]\n"
      "%z = reduce_scatter %p { $a, dim = 1 } : f32[1, $n, 2] @ {-, $s, -}\n"
      "return %y, %z\n}\n");
  check_all("func @main(%x: i64[$n, 4] @ {$s, -}) -> (i64[1, 4]) {\n"
            "%p = reduce %x { axes = [0], kind = max } : i64[1, 4] @ {-, -} partial(max, $r)\n"
            "%y = all_reduce %p { $a } : i64[1, 4]\n"
            "return %y\n}\n");
}

static void test_all_to_all(void **state) {
  (void)state;
  char text[4096], n[32];
  for (size_t s = 0; s < LENGTH(splits); s++)
    for (size_t t = 0; t < LENGTH(splits); t++)
      for (size_t i = 0; i < LENGTH(sizes) && !strcmp(splits[s].axes, splits[t].axes); i++) {
        snprintf(n, sizeof n, i % 2 ? "n" : "%lld", (long long)sizes[i]);
        fill(
            "func @main(%x: f32[3, $n, 2, 19] @ {-, $s, -, -}) -> (f32[3, $n, 2, 19] @ {-, -, -, "
            "$t}) {\n"
            "%y = all_to_all %x { $a, gather = 1, split = 3 } : f32[3, $n, 2, 19] @ {-, -, -, $t}\n"
            "return %y\n}\n",
            n, &splits[s], &splits[t], text, sizeof text);
        check_at(text, sizes[i]);
        fill("func @main(%x: f32[9, $n] @ {-, $s}) -> (f32[9, $n] @ {$t, -}) {\n"
             "%y = all_to_all %x { $a, gather = 1, split = 0 } : f32[9, $n] @ {$t, -}\n"
             "return %y\n}\n",
             n, &splits[s], &splits[t], text, sizeof text);
        check_at(text, sizes[i]);
      }
}

static void test_nested(void **state) {
  (void)state;
  check_at(MESH "func @main(%x: f32[16, 3] @ {dp, -}) -> (f32[16, 3] @ {dp, -}) {\n"
                "%p = shard %x : f32[16, 3] @ {[dp, tp], -}\n"
                "%y = all_gather %p { axes = [1], dim = 0 } : f32[16, 3] @ {dp, -}\n"
                "return %y\n}\n",
           0);
  /* A sum that one rank keeps. */
  check_at(MESH "func @main(%x: f32[5, 3]) -> (f32[5, 3]) {\n"
                "%p = shard %x : f32[5, 3] @ {-, -} partial(sum, tp)\n"
                "%y = all_reduce %p { axes = [1] } : f32[5, 3]\n"
                "return %y\n}\n",
           0);
  check_at(MESH "func @main(%x: f32[8] @ {tp}) -> (f32[8] @ {tp}) {\n"
                "%a = permute %x { axes = [1], from = [1, 2, 3, 0] } : f32[8] @ {tp}\n"
                "return %a\n}\n",
           0);
}

/* ---- ops that count in global indices ---- */

static void test_global(void **state) {
  (void)state;
  check_all("func @main(%x: f32[$n, 3]) -> (f32[$n, 3], i32[2, $n], f32[$n, 3]) {\n"
            "%s = shard %x : f32[$n, 3] @ {$s, -}\n"
            "%i = iota { axis = 0 } : f32[$n, 3] @ {$s, -}\n"
            "%r = random { kind = uniform, seed = 5 } : f32[$n, 3] @ {$s, -}\n"
            "%y = map %s, %i, %r { add(mul($0, $1), $2) } : f32[$n, 3] @ {$s, -}\n"
            "%j = iota { axis = 1 } : i32[2, $n] @ {-, $s}\n"
            "%a = all_gather %y { $a, dim = 0 } : f32[$n, 3]\n"
            "%b = all_gather %j { $a, dim = 1 } : i32[2, $n]\n"
            "%c = all_gather %r { $a, dim = 0 } : f32[$n, 3]\n"
            "return %a, %b, %c\n}\n");
}

static void test_candidates(void **state) {
  (void)state;
  check_all("func @main(%x: i64[2, $n, 3] @ {-, $s, -}) -> (i64[2, 1, 3], i64[2, 1, 3]) {\n"
            "%v, %i = reduce %x { axes = [1], kind = argmax } : i64[2, 1, 3] @ {-, -, -} "
            "partial(argmax, $r), i64[2, 1, 3] @ {-, -, -} partial(argmax, $r)\n"
            "%m, %j = merge %v, %i { $a } : i64[2, 1, 3], i64[2, 1, 3]\n"
            "return %m, %j\n}\n");
  check_all("func @main(%x: i64[2, $n, 3] @ {-, $s, -}) -> (i64[2, 1, 3], i64[2, 1, 3]) {\n"
            "%v, %i = reduce %x { axes = [1], kind = argmin } : i64[2, 1, 3] @ {-, -, -} "
            "partial(argmin, $r), i64[2, 1, 3] @ {-, -, -} partial(argmin, $r)\n"
            "%m, %j = merge %v, %i { $a } : i64[2, 1, 3], i64[2, 1, 3]\n"
            "return %m, %j\n}\n");
  char text[4096], n[32];
  for (size_t s = 0; s < LENGTH(splits); s++)
    for (size_t i = 2; i < LENGTH(sizes); i++) {
      snprintf(n, sizeof n, "%lld", (long long)sizes[i]);
      fill("func @main(%x: i64[$n, 2] @ {$s, -}) -> (i64[3, 2], i64[3, 2]) {\n"
           "%v, %i = topk %x { axis = 0, k = 3, descending = true } : i64[3, 2] @ {-, -} "
           "partial(topk, $r), i64[3, 2] @ {-, -} partial(topk, $r)\n"
           "%m, %j = merge %v, %i { $a, axis = 0 } : i64[3, 2], i64[3, 2]\n"
           "return %m, %j\n}\n"
           "func @plain(%x: i64[$n, 2]) -> (i64[3, 2], i64[3, 2]) {\n"
           "%v, %i = topk %x { axis = 0, k = 3, descending = true } : i64[3, 2], i64[3, 2]\n"
           "return %v, %i\n}\n",
           n, &splits[s], NULL, text, sizeof text);
      check_at(text, sizes[i]);
    }
}

static void test_table(void **state) {
  (void)state;
  char text[4096], n[32];
  static const char *const modes[] = {"clamp", "fill", "error"};
  for (size_t s = 0; s < LENGTH(splits); s++)
    for (size_t i = 1; i < LENGTH(sizes); i++)
      for (size_t k = 0; k < 3; k++) {
        snprintf(n, sizeof n, "%lld", (long long)sizes[i]);
        struct split form = splits[s], mode = {.text = modes[k]};
        /* Indices are below 13: beyond smaller tables, which `error` would not take. */
        if (k == 2 && sizes[i] < 13)
          continue;
        fill("func @main(%x: f32[$n, 2] @ {$s, -}, %i: i64[3, 5]) -> (f32[3, 5, 2]) {\n"
             "%p = gather %x, %i { axes = [0], mode = $t } : f32[3, 5, 2] @ {-, -, -} partial(sum, "
             "$r)\n"
             "%y = all_reduce %p { $a } : f32[3, 5, 2]\n"
             "return %y\n}\n"
             "func @plain(%x: f32[$n, 2], %i: i64[3, 5]) -> (f32[3, 5, 2]) {\n"
             "%y = gather %x, %i { axes = [0], mode = $t } : f32[3, 5, 2]\n"
             "return %y\n}\n",
             n, &form, &mode, text, sizeof text);
        check_at(text, sizes[i]);
      }
}

#define RING(ring)                                                                                 \
  "func @main(%q: f32[2, 4, $n, 3] @ {-, -, $s, -}, %k: f32[2, 2, $n, 3] @ {-, -, $s, -}, "        \
  "%v: f32[2, 2, $n, 5] @ {-, -, $s, -}, %qp: i64[1, $n] @ {-, $s}, %kp: i64[1, $n], "             \
  "%bias: f32[1, 1, $n, $n] @ {-, -, $s, -}) -> (f32[2, 4, $n, 5]) {\n"                            \
  "%ks = all_gather %k { $a, dim = 2 } : f32[2, 2, $n, 3]\n"                                       \
  "%vs = all_gather %v { $a, dim = 2 } : f32[2, 2, $n, 5]\n"                                       \
  "%o = attention %q, %ks, %vs, %bias, %qp, %kp { scale = 0.5, causal = true, "                    \
  "has_bias = true, has_pos = true" ring " } : f32[2, 4, $n, 5] @ {-, -, $s, -}\n"                 \
  "%y = all_gather %o { $a, dim = 2 } : f32[2, 4, $n, 5]\n"                                        \
  "return %y\n}\n"

static uint32_t permutes_in(const char *form) {
  char text[4096];
  struct diags d = {0};
  fill(form, "n", &splits[0], NULL, text, sizeof text);
  struct module *m = parse(text);
  struct function *local = localise(m->functions.data[0], &d);
  uint32_t n = 0;
  assert_non_null(local);
  for (uint32_t i = 0; i < local->regions.data[0].ops.len; i++) {
    const struct op *op = function_op(local, local->regions.data[0].ops.data[i]);
    n += op->kind == OP_EXCHANGE && OP_ATTRS(exchange, op)->kind == EXCHANGE_PERMUTE;
  }
  module_destroy(m);
  diags_deinit(&d);
  return n;
}

/* Keys of 4 ranks go round in 3 steps, in whatever order and sizes they are dealt. */
static void test_ring(void **state) {
  (void)state;
  assert_int_equal(permutes_in(RING("")), 0);
  assert_int_equal(permutes_in(RING(", ring = true")), 3);
  check_all(RING(", ring = true"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gather),     cmocka_unit_test(test_reduce),
      cmocka_unit_test(test_all_to_all), cmocka_unit_test(test_nested),
      cmocka_unit_test(test_global),     cmocka_unit_test(test_candidates),
      cmocka_unit_test(test_table),      cmocka_unit_test(test_ring)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
