/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan says of several ranks: as text, as places in groups, and refused where it is wrong.
 */
#include "tests/support/engine_fixture.h"

#include "runtime/plan_print.h"

#include <stdio.h>

/* A mesh of 2 x 4 ranks, and an exchange of each kind. */
struct ranks_plan {
  struct engine_maker maker;
  Engine__Exchange *reduce, *gather, *scatter, *all, *permute;
  uint32_t weights, x, y, both;
};

static Engine__Exchange *add_exchange(struct ranks_plan *p, uint32_t block,
                                      Engine__ExchangeKind kind, uint32_t src, uint32_t dst) {
  Engine__Exchange *e = manifest_build_step_exchange(&p->maker.build, block);
  e->kind = kind;
  manifest_build_exchange_part(&p->maker.build, e, src, dst, engine_const(&p->maker, 8));
  return e;
}

static void make_plan(struct ranks_plan *p) {
  static const float data[32] = {0};
  struct engine_maker *e = &p->maker;
  struct manifest_build *b = &e->build;
  engine_maker_init(e, 1);
  uint32_t outer = manifest_build_axis(b, "cp", 2), inner = manifest_build_axis(b, "tp", 4);
  p->weights = engine_constant(e, "weights", DTYPE_F32, data, 32);
  b->manifest.constants[0]->parts = 2;
  b->manifest.values[p->weights]->part = manifest_build_expr(b, EXPR_COORD, outer, 0, 2);
  uint32_t entry = manifest_build_entry(b, "main");
  p->x = engine_input(e, entry, "x", DTYPE_F32, engine_const(e, 64));
  p->y = engine_output(e, entry, 0, "y", DTYPE_F32, engine_const(e, 64));
  uint32_t block = manifest_build_block(b);
  manifest_build_variant(b, entry, block);
  manifest_build_step_layout(b, block);
  p->reduce = add_exchange(p, block, ENGINE__EXCHANGE_KIND__ALL_REDUCE, p->x, p->y);
  manifest_build_exchange_axis(b, p->reduce, inner, 0, 0);
  p->gather = add_exchange(p, block, ENGINE__EXCHANGE_KIND__ALL_GATHER, p->x, p->y);
  manifest_build_exchange_axis(b, p->gather, outer, 0, 0);
  manifest_build_exchange_axis(b, p->gather, inner, 2, 1);
  p->scatter = add_exchange(p, block, ENGINE__EXCHANGE_KIND__REDUCE_SCATTER, p->x, p->y);
  p->scatter->reduction = ENGINE__REDUCTION__MAX;
  manifest_build_exchange_axis(b, p->scatter, inner, 2, 2);
  p->all = add_exchange(p, block, ENGINE__EXCHANGE_KIND__ALL_TO_ALL, p->x, p->y);
  manifest_build_exchange_axis(b, p->all, inner, 2, 1);
  manifest_build_exchange_axis(b, p->all, inner, 2, 2);
  manifest_build_exchange_part(b, p->all, p->x, p->y, engine_const(e, 4));
  p->permute = add_exchange(p, block, ENGINE__EXCHANGE_KIND__PERMUTE, p->x, p->y);
  manifest_build_exchange_axis(b, p->permute, outer, 0, 0);
  manifest_build_exchange_from(b, p->permute, (uint32_t[]){1, 0}, 2);
}

/* The loader's word on the plan as it is. */
static status load(struct ranks_plan *p, struct plan *out_plan, uint8_t **out_bytes,
                   struct engine_file *out_file) {
  size_t n;
  *out_bytes = engine_maker_bytes(&p->maker, &n);
  assert_int_equal(engine_file_open_memory(out_file, *out_bytes, n), STATUS_OK);
  return plan_load(out_plan, out_file);
}

static void as_text(void **state) {
  (void)state;
  struct ranks_plan p;
  struct plan plan;
  struct engine_file file;
  uint8_t *bytes;
  make_plan(&p);
  if (load(&p, &plan, &bytes, &file))
    fail_msg("%s", sinter_last_error());
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  plan_print(&plan, out);
  fclose(out);
  static const char *const lines[] = {
      "mesh cp=2 tp=4\nentry \"main\"\n",
      "    exchange 0 all_reduce sum over (tp) %3 <- %2, 8 of f32; 384 B received\n",
      "    exchange 1 all_gather over (cp, tp:2) %3 <- %2, 8 of f32; 768 B received\n",
      "    exchange 2 reduce_scatter max over (tp/2:2) %3 <- %2, 8 of f32; 256 B received\n",
      "    exchange 3 all_to_all over (tp:2, tp/2:2) %3 <- %2, 8 of f32; %3 <- %2, 4 of f32; 768 + "
      "384 B received\n",
      "    exchange 4 permute over (cp) from 1, 0 %3 <- %2, 8 of f32; 256 B received\n",
      "  %1 f32[32], (32 * 4) B, constant 0 part coord(cp)\n",
  };
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
    if (!strstr(text, lines[i]))
      fail_msg("no line '%s' in\n%s", lines[i], text);
  free(text);
  plan_unload(&plan);
  engine_file_close(&file);
  free(bytes);
  engine_maker_deinit(&p.maker);
}

/* A group's ranks: those at places 0, 1, ... */
static void assert_group(const struct plan *plan, uint32_t exchange, uint32_t rank, uint32_t n,
                         const uint32_t *ranks) {
  const struct plan_group *group = &plan->groups[plan->exchanges[exchange].group];
  assert_int_equal(group->size, n);
  for (uint32_t i = 0; i < n; i++) {
    assert_int_equal(plan_group_rank(plan, group, rank, i), ranks[i]);
    assert_int_equal(plan_group_place(plan, group, ranks[i]), i);
  }
}

/* Ranks are numbered cp * 4 + tp. */
static void places(void **state) {
  (void)state;
  struct ranks_plan p;
  struct plan plan;
  struct engine_file file;
  uint8_t *bytes;
  make_plan(&p);
  assert_int_equal(load(&p, &plan, &bytes, &file), STATUS_OK);
  assert_int_equal(plan.ranks, 8);
  assert_int_equal(plan.group_count, 5);
  assert_int_equal(plan_coord(&plan, 6, 0), 1);
  assert_int_equal(plan_coord(&plan, 6, 1), 2);
  assert_group(&plan, 0, 6, 4, (uint32_t[]){4, 5, 6, 7});
  assert_group(&plan, 1, 6, 4, (uint32_t[]){2, 3, 6, 7});
  assert_group(&plan, 2, 5, 2, (uint32_t[]){5, 7});
  assert_group(&plan, 3, 2, 4, (uint32_t[]){0, 2, 1, 3}); /* the inner half outside */
  assert_group(&plan, 4, 3, 2, (uint32_t[]){3, 7});
  plan_unload(&plan);
  engine_file_close(&file);
  free(bytes);
  engine_maker_deinit(&p.maker);
}

enum { WRONG_COUNT = 20 };

/* One thing made wrong at a time. */
static const char *make_wrong(struct ranks_plan *p, int which) {
  Engine__Manifest *m = &p->maker.build.manifest;
  switch (which) {
  case 0: m->ranks = 4; return "4 ranks for a mesh of 8";
  case 1: m->mesh[0]->size = 0; return "axis 0 has 0 ranks";
  case 2: m->mesh[0]->size = 4096, m->mesh[1]->size = 4096; return "a mesh of more than 4096 ranks";
  case 3: m->mesh[1]->name = 1000; return "string 1000";
  case 4: m->dim_exprs[m->values[p->weights]->part]->a = 7; return "axis 7 of 2";
  case 5:
    m->dim_exprs[m->values[p->weights]->part]->value = 3;
    return "a coordinate along axis 0 of 3 ranks";
  case 6: m->values[p->weights]->part = 999; return "dim expression 999";
  case 7: m->constants[0]->parts = 3; return "constant 0 is of 3 parts in 128 B";
  case 8: p->reduce->group[0]->axis = 2; return "axis 2 of 2";
  case 9:
    p->gather->group[1]->sub_size = 3;
    return "a part of 3 places and stride 1 of an axis of 4";
  case 10:
    p->gather->group[1]->sub_stride = 0;
    return "a part of 2 places and stride 0 of an axis of 4";
  case 11:
    p->reduce->group[0]->sub_stride = 2;
    return "a part of 0 places and stride 2 of an axis of 4";
  case 12: p->all->group[0]->sub_stride = 2; return "a group names a part of axis 1 twice";
  case 13: p->permute->from[0] = 0; return "place 0 is no part of a permutation of 2";
  case 14: p->permute->n_from = 1; return "a permutation of 1 places in a group of 2";
  case 15: p->scatter->number = 3; return "two exchanges have the number 3";
  case 16: p->all->parts[1]->src = 0; return "a value is missing";
  case 17:
    m->values[p->y]->dtype = DTYPE_I32, m->entries[0]->outputs[0]->dtype = DTYPE_I32;
    return "values 2 and 3 are exchanged but are of two types";
  case 18:
    m->values[p->x]->dtype = m->values[p->y]->dtype = DTYPE_F8E5M2;
    return "elements of type f8e5m2 are combined by reduction 0";
  default: p->all->n_parts = 0; return "an exchange of 0 values";
  }
}

static void wrong_plans_are_refused(void **state) {
  (void)state;
  for (int i = 0; i < WRONG_COUNT; i++) {
    struct ranks_plan p;
    struct plan plan;
    struct engine_file file;
    uint8_t *bytes;
    make_plan(&p);
    const char *wanted = make_wrong(&p, i);
    status s = load(&p, &plan, &bytes, &file);
    if (s != STATUS_INVALID || !strstr(sinter_last_error(), wanted))
      fail_msg("%d: wanted '%s', found %d %s", i, wanted, (int)s, sinter_last_error());
    engine_file_close(&file);
    free(bytes);
    engine_maker_deinit(&p.maker);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_text),
      cmocka_unit_test(places),
      cmocka_unit_test(wrong_plans_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
