/* SPDX-License-Identifier: Apache-2.0 */
/* precision: the policy is complete; roundings are those of the interpreter; modules stay sound,
 * keep the types of entries, and with f32 their bits. */
#include "passes/precision/precision_plan.h"
#include "tests/passes/pass_check.h"

static void test_every_op_has_a_policy(void **state) {
  (void)state;
  static const char *const rows[] = {
#define PRECISION(op, policy) #op,
#include "passes/precision/precision.def"
  };
  static const char *const ops[] = {
#define OP(E, ...) #E,
#include "ir/op.def"
#undef OP
  };
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    uint32_t n = 0;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
      n += !strcmp(ops[i], rows[k]);
    if (n != 1)
      fail_msg("%u rows of precision.def are of %s", n, ops[i]);
  }
  assert_int_equal(precision_policy_of(OP_CONTRACT), POLICY_MULTIPLY);
  assert_int_equal(precision_policy_of(OP_REDUCE), POLICY_KEEP);
  assert_true(precision_keeps(SCALAR_EXP));
  assert_false(precision_keeps(SCALAR_ADD));
}

static enum precision of(const struct precision_rules *r, const char *node, const char *op,
                         bool *out_named) {
  return precision_of_node(r, &(struct provenance){.node = node, .op = op}, out_named);
}

static void test_rules(void **state) {
  (void)state;
  struct precision_rules r;
  struct diags d = {0};
  bool named;
  assert_int_equal(precision_rules_parse("bf16,/l.*/mm=tf32,MatMul=f16,/l.1/*=f32,a=b=f16", &d, &r),
                   STATUS_OK);
  assert_int_equal(of(&r, "/l.0/mm", "Gemm", &named), PRECISION_TF32);
  assert_true(named);
  assert_int_equal(of(&r, "/l.0/mm", "MatMul", &named), PRECISION_F16);
  assert_int_equal(of(&r, "/l.1/mm", "MatMul", &named), PRECISION_F32);
  assert_int_equal(of(&r, "a=b", "Conv", &named), PRECISION_F16);
  assert_int_equal(of(&r, "", "Conv", &named), PRECISION_BF16);
  assert_false(named);
  assert_int_equal(of(&r, NULL, NULL, &named), PRECISION_BF16);
  precision_rules_deinit(&r);
  static const char *const wrong[] = {"",         "bf16,",     "f64",   "f16,bf16", "=f16",
                                      "x=double", "x=f16,,y=", "BF16 ", ","};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_int_equal(precision_rules_parse(wrong[i], &d, &r), STATUS_USAGE);
    precision_rules_deinit(&r);
  }
  assert_int_equal(diags_count(&d), 11);
  diags_deinit(&d);
}

/* What the pass makes of the constant is what the interpreter's casts make of it. */
static void check_constant(const char *precision, const char *body, uint32_t seed) {
  static char text[1 << 16];
  uint32_t n = 500, at = 0;
  at += (uint32_t)snprintf(text, sizeof text, "constant @w : f32[%u, 1] = hex \"", n);
  uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  for (uint32_t i = 0; i < n; i++) {
    x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint32_t bits = (uint32_t)(x >> 32);
    if (i % 3 == 1)
      bits = (bits & 0x87ffffff) | 0x38000000; /* about 1 */
    if (i % 3 == 2)
      bits = (bits & 0x807fffff) | (0x66u + i % 12) << 23; /* small halves */
    if (i % 50 == 0)
      bits = (bits & 0xffffe000) | 0x1000; /* a tie of tf32 */
    for (uint32_t b = 0; b < 4; b++)
      at += (uint32_t)snprintf(text + at, sizeof text - at, "%02x", bits >> (8 * b) & 255);
  }
  snprintf(text + at, sizeof text - at,
           "\"\nfunc @main(%%x: f32[2, %u]) -> (f32[2, 1]) {\n  %%w = const @w : f32[%u, 1]\n"
           "  %%0 = contract %%x, %%w { lhs_k = [1], rhs_k = [0], dtype = f32 }\n  return %%0\n}\n"
           "func @by_hand() -> (f32[%u, 1]) {\n  %%w = const @w : f32[%u, 1]\n"
           "  %%0 = map %%w { %s }\n  return %%0\n}\nentry @main(\"x\") -> (\"y\") { @main; }\n",
           n, n, n, n, body);
  struct diags d = {0};
  struct arena arena = {0};
  struct module *m = parse_module(text, &d);
  struct pipeline_options options = {
      .passes = "precision", .precision = precision, .verify_each = true};
  struct tensor *out;
  assert_int_equal(interp_run(m->functions.data[1], INTERP_TYPED, NULL, &arena, &d, &out),
                   STATUS_OK);
  assert_int_equal(pipeline_run(m, &options, &d), STATUS_OK);
  const struct constant *c = &vec_last(&m->constants);
  uint32_t nans = 0;
  for (uint32_t i = 0; i < n; i++) {
    double got;
    int64_t unused;
    constant_element(c, i, &got, &unused);
    nans += isnan(got);
    if (isnan(got) ? !isnan(out->f64[i]) : memcmp(&got, &out->f64[i], sizeof got) != 0)
      fail_msg("%s: element %u is %a, not %a (seed %u)", precision, i, got, out->f64[i], seed);
  }
  assert_true(nans < n / 4);
  module_destroy(m);
  arena_deinit(&arena);
  diags_deinit(&d);
}

static void test_constants_round_as_casts_do(void **state) {
  (void)state;
  for (uint32_t seed = 1; seed < 5; seed++) {
    check_constant("bf16", "f32(bf16($0))", seed);
    check_constant("tf32", "tf32($0)", seed);
    /* Weights beyond f16 leave a product alone, so it is named. */
    check_constant("f16,*=f16", "f32(f16($0))", seed);
  }
}

/* ---- random modules ---- */

static void types_of(const struct module *m, struct strbuf *out) {
  const struct function *f = m->functions.data[0];
  const struct region *r = &f->regions.data[0];
  for (uint32_t i = 0; i < r->params.len; i++)
    type_print(m, value_type(f, r->params.data[i]), out);
  for (uint32_t i = 0; i < r->results.len; i++)
    type_print(m, value_type(f, r->results.data[i]), out);
}

static void check_random(const char *precision, const char *passes) {
  const char *first = getenv("SINTER_RANDOM_SEED"), *count = getenv("SINTER_RANDOM_GRAPHS");
  uint64_t seed = first ? strtoull(first, NULL, 10) : 1, n = count ? strtoull(count, NULL, 10) : 60;
  for (uint64_t i = seed; i < seed + n; i++) {
    struct random_graph_options options = {.seed = i,
                                           .ops = 1 + (uint32_t)(i * 7 % 40),
                                           .symbolic = i % 2,
                                           .kinds = RANDOM_GRAPH_ALL,
                                           .dtypes = RANDOM_GRAPH_COMMON_DTYPES};
    struct diags d = {0};
    struct strbuf before = {0}, after = {0}, text = {0}, again = {0};
    struct module *m = random_graph(&options, &d);
    assert_non_null(m);
    module_print(m, &text);
    types_of(m, &before);
    struct pipeline_options run = {.passes = passes, .precision = precision, .verify_each = true};
    if (pipeline_run(m, &run, &d) != STATUS_OK) {
      diags_print(&d, stderr);
      fail_msg("seed %llu, %s", (unsigned long long)i, precision);
    }
    types_of(m, &after);
    assert_string_equal(strbuf_c(&before), strbuf_c(&after));
    if (!strcmp(precision, "f32")) {
      module_print(m, &again);
      assert_string_equal(strbuf_c(&text), strbuf_c(&again));
    }
    strbuf_deinit(&before);
    strbuf_deinit(&after);
    strbuf_deinit(&text);
    strbuf_deinit(&again);
    module_destroy(m);
    diags_deinit(&d);
  }
}

static void test_random_modules(void **state) {
  (void)state;
  check_random("f32", "precision");
  check_random("bf16", "precision,cse,simplify,fold,fuse");
  check_random("f16", "precision,cse,simplify,fold,fuse");
  check_random("tf32", "precision,cse,simplify,fold,fuse");
  /* Everything that is named is rounded, whatever it is. */
  check_random("f32,*=bf16", "precision,cse,simplify,fold,fuse");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_op_has_a_policy),
      cmocka_unit_test(test_rules),
      cmocka_unit_test(test_constants_round_as_casts_do),
      cmocka_unit_test(test_random_modules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
