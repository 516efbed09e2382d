/* SPDX-License-Identifier: Apache-2.0 */
/* Variants of entries for given sizes. */
#include "passes/entry_variant.h"

#include "ir/verify.h"

#include "tests/passes/pass_check.h"

static const char text[] = "func @main(%x: f32[n, m], %y: f32[n, k]) -> (f32[n, m + k])\n"
                           "    where k in 0..9, m in 1..9, n in 1..8, k <= 2*n {\n"
                           "  %0 = concat %x, %y { axis = 1 } : f32[n, m + k]\n"
                           "  return %0\n"
                           "}\n"
                           "entry @main(\"x\", \"y\") -> (\"z\") { @main; }\n";

static void shapes_choose_the_variant(void **state) {
  (void)state;
  static const char *const wishes[] = {"n=1,m=3", "n=4"};
  struct diags d = {0};
  struct module *m = parse_module(text, &d);
  assert_int_equal(entry_specialize(m, wishes, 2, &d), STATUS_OK);
  assert_int_equal(module_verify(m, &d), STATUS_OK);
  const struct entry *e = &m->entries.data[0];
  assert_int_equal(e->variants.len, 3);
  static const struct {
    int64_t n, m;
    uint32_t variant;
  } cases[] = {{1, 3, 0}, {4, 3, 1}, {4, 5, 1}, {1, 4, 2}, {2, 3, 2}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct arena arena = {0};
    const struct function *f;
    struct tensor *in[2], *out;
    in[0] = tensor_create(&arena, DTYPE_F32, (int64_t[]){cases[i].n, cases[i].m}, 2);
    in[1] = tensor_create(&arena, DTYPE_F32, (int64_t[]){cases[i].n, 2}, 2);
    assert_int_equal(interp_variant(e, in, &arena, &d, &f), STATUS_OK);
    assert_ptr_equal(f, e->variants.data[cases[i].variant].function);
    assert_int_equal(interp_run(f, INTERP_TYPED, in, &arena, &d, &out), STATUS_OK);
    assert_int_equal(out->dims[1], cases[i].m + 2);
    arena_deinit(&arena);
  }
  /* What the variant knows is a number in it. */
  const struct function *first = e->variants.data[0].function;
  assert_true(dim_is_const_value(
      m->dims, value_type(first, first->regions.data[0].params.data[0])->dims[1], 3));
  assert_int_equal(first->where.len, 1);
  assert_true(dim_is_const_value(m->dims, first->where.data[0].rhs, 2));
  module_destroy(m);
  diags_deinit(&d);
}

static void bad_wishes_are_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"",    "n",   "n=",   "n=x",     "n=-1",
                                    "n=9", "q=1", "n=1,", "n=1,q=2", "n=99999999999999999999"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct diags d = {0};
    struct module *m = parse_module(text, &d);
    status st = entry_specialize(m, &bad[i], 1, &d);
    if (!strcmp(bad[i], "n=1,")) /* an end is no item */
      assert_int_equal(st, STATUS_OK);
    else
      assert_string_equal(diag_code_name(diags_get(&d, 0)->code), "E0322");
    module_destroy(m);
    diags_deinit(&d);
  }
}

static void there_is_a_limit(void **state) {
  (void)state;
  struct diags d = {0};
  struct module *m = parse_module(text, &d);
  const char *wish = "n=1";
  for (int i = 1; i < ENTRY_MAX_VARIANTS; i++)
    assert_int_equal(entry_specialize(m, &wish, 1, &d), STATUS_OK);
  assert_int_equal(entry_specialize(m, &wish, 1, &d), STATUS_USAGE);
  module_destroy(m);
  diags_deinit(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shapes_choose_the_variant),
      cmocka_unit_test(bad_wishes_are_refused),
      cmocka_unit_test(there_is_a_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
