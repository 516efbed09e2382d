/* SPDX-License-Identifier: Apache-2.0 */
/* Building, changing and verifying small functions. */
#include "base/str.h"
#include "ir/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
  struct module *m;
  struct function *f;
  struct diags diags;
  struct builder b;
  struct dim_table *t;
};

static void fixture_init(struct fixture *x) {
  x->m = module_create();
  x->f = function_create(x->m, "main");
  x->t = x->m->dims;
  diags_init(&x->diags);
  builder_init(&x->b, x->f, 0, &x->diags);
}

static void fixture_deinit(struct fixture *x) {
  diags_deinit(&x->diags);
  module_destroy(x->m);
}

static value_id param(struct fixture *x, const char *name, enum dtype dtype, uint32_t rank,
                      const dim *dims) {
  struct type type = type_make(dtype, dims, rank);
  return region_add_param(x->f, 0, &type, name);
}

static void give(struct fixture *x, value_id v) { vec_push(&x->f->regions.data[0].results, v); }

static void assert_sound(struct fixture *x) {
  status s = module_verify(x->m, &x->diags);
  if (diags_count(&x->diags))
    diags_print(&x->diags, stderr);
  assert_int_equal(s, STATUS_OK);
  assert_int_equal(diags_errors(&x->diags), 0);
}

static dim k(struct fixture *x, int64_t n) { return dim_const(x->t, n); }

static void test_layer(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim batch = dim_symbol(x.t, "batch", 1, 64);
  value_id in = param(&x, "x", DTYPE_F32, 2, (dim[]){batch, k(&x, 4)});
  float w[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  value_id weight = build_const_data(&x.b, DTYPE_F32, (int64_t[]){4, 2}, 2, w, sizeof w);
  value_id y = build_matmul(&x.b, in, weight, DTYPE_F32);
  y = build_binary_f64(&x.b, SCALAR_MAX, y, 0.0);
  assert_int_not_equal(y, VALUE_NONE);
  assert_int_equal(value_type(x.f, y)->dims[0], batch);
  give(&x, y);
  assert_sound(&x);
  fixture_deinit(&x);
}

static void test_broadcast_of_unknown_dims_is_checked_once(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim a = dim_symbol(x.t, "a", 0, DIM_UNBOUNDED_HI), c = dim_symbol(x.t, "c", 0, DIM_UNBOUNDED_HI);
  value_id p = param(&x, "p", DTYPE_F32, 2, (dim[]){a, k(&x, 3)});
  value_id q = param(&x, "q", DTYPE_F32, 1, (dim[]){k(&x, 3)});
  value_id r = param(&x, "r", DTYPE_F32, 2, (dim[]){c, k(&x, 1)});
  value_id first = build_binary(&x.b, SCALAR_ADD, p, q);
  assert_int_equal(value_type(x.f, first)->dims[0], a);
  uint32_t before = x.f->regions.data[0].ops.len;
  value_id second = build_binary(&x.b, SCALAR_ADD, first, r);
  assert_int_equal(x.f->regions.data[0].ops.len, before + 2); /* check, map */
  assert_int_equal(value_type(x.f, second)->dims[0], dim_max(x.t, a, c));
  give(&x, second);
  assert_sound(&x);
  fixture_deinit(&x);
}

static void test_misfits_are_reported(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id p = param(&x, "p", DTYPE_F32, 1, (dim[]){k(&x, 3)});
  value_id q = param(&x, "q", DTYPE_F32, 1, (dim[]){k(&x, 4)});
  value_id i = param(&x, "i", DTYPE_I32, 1, (dim[]){k(&x, 3)});
  x.b.provenance = module_add_provenance(x.m, "node", "Add", 7);
  assert_int_equal(build_binary(&x.b, SCALAR_ADD, p, q), VALUE_NONE);
  assert_int_equal(diags_count(&x.diags), 1);
  assert_int_equal(diags_get(&x.diags, 0)->code, DIAG_E0301);
  assert_int_equal(diags_get(&x.diags, 0)->where.node_index, 7);
  assert_int_equal(build_binary(&x.b, SCALAR_ADD, p, i), VALUE_NONE);
  assert_int_equal(build_unary(&x.b, SCALAR_EXP, i), VALUE_NONE);
  dim many[20];
  for (int n = 0; n < 20; n++)
    many[n] = k(&x, 1);
  assert_int_equal(build_reshape(&x.b, p, many, 20), VALUE_NONE);
  assert_int_equal(build_reshape(&x.b, VALUE_NONE, many, 2), VALUE_NONE);
  assert_int_equal(build_slice_axis(&x.b, p, 5, k(&x, 0), k(&x, 1)), VALUE_NONE);
  assert_int_equal(x.b.failures, 5);
  assert_int_equal(diags_errors(&x.diags), 5);
  fixture_deinit(&x);
}

static void test_nothing_to_do_gives_the_operand(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id p = param(&x, "p", DTYPE_F32, 2, (dim[]){k(&x, 3), k(&x, 1)});
  dim same[] = {k(&x, 3), k(&x, 1)}, zero[] = {k(&x, 0), k(&x, 0)};
  value_id fill = build_scalar_f64(&x.b, DTYPE_F32, 0);
  assert_int_equal(build_reshape(&x.b, p, same, 2), p);
  assert_int_equal(build_broadcast_to(&x.b, p, same, 2), p);
  assert_int_equal(build_transpose(&x.b, p, (int64_t[]){0, 1}), p);
  assert_int_equal(build_slice(&x.b, p, zero, same, NULL), p);
  assert_int_equal(build_pad(&x.b, p, fill, zero, zero, NULL), p);
  assert_int_equal(build_concat(&x.b, &p, 1, 0), p);
  assert_int_equal(build_cast(&x.b, p, DTYPE_F32), p);
  assert_int_equal(build_bitcast(&x.b, p, DTYPE_F32), p);
  value_id s = build_squeeze(&x.b, p, (int64_t[]){1}, 1);
  assert_int_equal(value_type(x.f, s)->rank, 1);
  value_id u = build_unsqueeze(&x.b, s, (int64_t[]){0, 2}, 2);
  assert_int_equal(value_type(x.f, u)->rank, 3);
  assert_int_equal(value_type(x.f, u)->dims[1], k(&x, 3));
  assert_sound(&x);
  fixture_deinit(&x);
}

static void test_bodies_are_interned_in_a_normal_form(void **state) {
  (void)state;
  struct module *m = module_create();
  struct body_builder s;
  body_init(&s, 2);
  uint32_t a = body_arg(&s, 0, DTYPE_F32), b = body_arg(&s, 1, DTYPE_F32);
  body_op(&s, SCALAR_EXP, a, 0, 0); /* dead */
  uint32_t sum = body_op(&s, SCALAR_ADD, a, b, 0);
  body_op(&s, SCALAR_MUL, sum, sum, 0);
  const struct scalar_body *one = body_finish(&s, m);
  body_init(&s, 2);
  b = body_arg(&s, 1, DTYPE_F32), a = body_arg(&s, 0, DTYPE_F32);
  sum = body_op(&s, SCALAR_ADD, a, b, 0);
  uint32_t again = body_op(&s, SCALAR_ADD, body_arg(&s, 0, DTYPE_F32), b, 0);
  body_op(&s, SCALAR_MUL, sum, again, 0);
  const struct scalar_body *two = body_finish(&s, m);
  assert_non_null(one);
  assert_ptr_equal(one, two);
  assert_int_equal(one->len, 4);
  body_init(&s, 1);
  a = body_arg(&s, 0, DTYPE_F32);
  for (int i = 0; i < 100; i++)
    a = body_op(&s, SCALAR_EXP, a, 0, 0);
  assert_null(body_finish(&s, m));
  module_destroy(m);
}

static void test_uses_replace_sweep(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id p = param(&x, "p", DTYPE_F32, 1, (dim[]){k(&x, 3)});
  value_id e = build_unary(&x.b, SCALAR_EXP, p);
  value_id dead = build_unary(&x.b, SCALAR_LOG, e);
  value_id n = build_unary(&x.b, SCALAR_NEG, p);
  value_id sum = build_binary(&x.b, SCALAR_ADD, e, e);
  give(&x, sum);
  struct arena scratch = {0};
  struct uses u;
  uses_build(x.f, &scratch, &u);
  assert_int_equal(uses_count(&u, p), 2);
  assert_int_equal(uses_count(&u, e), 3);
  assert_int_equal(u.ops[u.start[e]], value_def(x.f, dead) - x.f->ops.data);
  assert_int_equal(uses_count(&u, sum), 1);
  assert_int_equal(u.ops[u.start[sum]], OP_ID_NONE);
  arena_deinit(&scratch);
  function_replace_value(x.f, e, n);
  assert_int_equal(function_sweep(x.f), 2); /* exp, log */
  assert_int_equal(x.f->regions.data[0].ops.len, 2);
  assert_sound(&x);
  fixture_deinit(&x);
}

static void test_sort_restores_order(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id p = param(&x, "p", DTYPE_F32, 1, (dim[]){k(&x, 3)});
  value_id v = p;
  for (int i = 0; i < 10; i++)
    v = build_unary(&x.b, SCALAR_EXP, v);
  give(&x, v);
  struct region *r = &x.f->regions.data[0];
  for (uint32_t i = 0, j = r->ops.len - 1; i < j; i++, j--) {
    op_id t = r->ops.data[i];
    r->ops.data[i] = r->ops.data[j];
    r->ops.data[j] = t;
  }
  assert_int_not_equal(module_verify(x.m, &x.diags), STATUS_OK);
  diags_clear(&x.diags);
  function_sort(x.f);
  assert_sound(&x);
  assert_int_equal(r->ops.data[0], 1);
  fixture_deinit(&x);
}

static void test_sort_keeps_symbols_before_their_users(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id n = param(&x, "n", DTYPE_I64, 1, (dim[]){k(&x, 1)});
  dim s = dim_symbol(x.t, "s", 0, 10);
  build_symbol(&x.b, n, 0, s);
  give(&x, build_iota(&x.b, DTYPE_I64, &s, 1, 0));
  struct region *r = &x.f->regions.data[0];
  op_id t = r->ops.data[0];
  r->ops.data[0] = r->ops.data[1];
  r->ops.data[1] = t;
  assert_int_not_equal(module_verify(x.m, &x.diags), STATUS_OK);
  assert_int_equal(diags_get(&x.diags, 0)->code, DIAG_E0305);
  diags_clear(&x.diags);
  function_sort(x.f);
  assert_sound(&x);
  fixture_deinit(&x);
}

static void test_clone(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id p = param(&x, "p", DTYPE_F32, 1, (dim[]){k(&x, 3)});
  value_id v = build_unary(&x.b, SCALAR_EXP, p);
  value_set_name(x.f, v, "e");
  struct function *g = function_create(x.m, "main");
  assert_string_equal(g->name, "main.1");
  struct builder b;
  builder_init(&b, g, 0, &x.diags);
  value_id map[3] = {0};
  map[p] = region_add_param(g, 0, value_type(x.f, p), "p");
  op_clone(&b, x.f, 1, map);
  assert_string_equal(function_value(g, map[v])->name, "e");
  vec_push(&g->regions.data[0].results, map[v]);
  assert_true(attrs_equal(OP_MAP, x.f->ops.data[1].attrs, g->ops.data[1].attrs));
  assert_int_equal(attrs_hash(OP_MAP, x.f->ops.data[1].attrs),
                   attrs_hash(OP_MAP, g->ops.data[1].attrs));
  assert_sound(&x);
  fixture_deinit(&x);
}

static void test_verifier_finds(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id p = param(&x, "p", DTYPE_F32, 1, (dim[]){k(&x, 3)});
  value_id v = build_unary(&x.b, SCALAR_EXP, p);
  give(&x, v);
  assert_sound(&x);
  x.f->values.data[v].type.dims[0] = k(&x, 4);
  assert_int_not_equal(function_verify(x.f, &x.diags), STATUS_OK);
  assert_int_equal(diags_get(&x.diags, 0)->code, DIAG_E0304);
  x.f->values.data[v].type.dims[0] = k(&x, 3);
  diags_clear(&x.diags);
  op_set_operands(x.f, 1, (value_id[]){77}, 1);
  assert_int_not_equal(function_verify(x.f, &x.diags), STATUS_OK);
  assert_int_equal(diags_get(&x.diags, 0)->code, DIAG_E0302);
  op_set_operands(x.f, 1, &p, 1);
  diags_clear(&x.diags);
  struct constant c = {.name = "c", .dtype = DTYPE_F32, .rank = 1, .dims = {5}, .bytes = 4};
  module_add_constant(x.m, &c);
  struct entry e = {.name = "main"};
  vec_push(&e.variants, (struct entry_variant){.function = x.f});
  vec_push(&x.m->entries, e);
  assert_int_not_equal(module_verify(x.m, &x.diags), STATUS_OK);
  assert_int_equal(diags_get(&x.diags, 0)->code, DIAG_E0306);
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_layer),
      cmocka_unit_test(test_broadcast_of_unknown_dims_is_checked_once),
      cmocka_unit_test(test_misfits_are_reported),
      cmocka_unit_test(test_nothing_to_do_gives_the_operand),
      cmocka_unit_test(test_bodies_are_interned_in_a_normal_form),
      cmocka_unit_test(test_uses_replace_sweep),
      cmocka_unit_test(test_sort_restores_order),
      cmocka_unit_test(test_sort_keeps_symbols_before_their_users),
      cmocka_unit_test(test_clone),
      cmocka_unit_test(test_verifier_finds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
