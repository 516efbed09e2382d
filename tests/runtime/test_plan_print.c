/* SPDX-License-Identifier: Apache-2.0 */
/* Plans as text. */
#include "tests/support/engine_fixture.h"

#include "runtime/plan_print.h"

#include <stdio.h>

static const char wanted[] =
    "entry \"main\"\n"
    "  input 0 \"x\": i64[n] = %2\n"
    "  output 0 \"y\": i64[k] = %3\n"
    "  variant when n <= 64 and n != 3\n"
    "    check 1 <= n, \"need?one\"    // node 7 '/loop' (Loop) and 1 more\n"
    "    if when n < 2\n"
    "      set_symbol k := n\n"
    "    else\n"
    "      bind_symbol k := %1[1]\n"
    "    loop trip n iteration %7 carried %4 = %2, %5 where k = n, (k + 1) scans %6 of %5\n"
    "      layout 1\n"
    "      launch \"append_i64\"(%4, %5; k) tiles 1 scratch 8\n"
    "    reserve %3\n"
    "    copy %3 <- %4, (k * 8) B\n"
    "    fill %3 <- 255, 1 B\n"
    "    unpack %3 <- %2, n of i4\n"
    "    pack %3 <- %2, n of u2\n"
    "values\n"
    "  %1 i64[2], (2 * 8) B, constant 0\n"
    "  %2 i64[n], (n * 8) B, input 0\n"
    "  %3 i64[k], (k * 8) B, output 0, phase 0\n"
    "  %4 i64[k], (k * 8) B, dynamic\n"
    "  %5 i64[(k + 1)], ((k + 1) * 8) B, phase 1, steps 2..5\n"
    "  %6 i64[k], (k * 8) B, dynamic\n"
    "  %7 i64[1], (1 * 8) B, in %1 at 8\n";

static void make_plan(struct engine_maker *e) {
  static const int64_t numbers[] = {1, 2};
  engine_maker_init(e, 0);
  struct manifest_build *b = &e->build;
  uint32_t sn = manifest_build_symbol(b, "n", 0, 64), sk = manifest_build_symbol(b, "k", 0, 64);
  uint32_t n = manifest_build_symbol_expr(b, sn), k = manifest_build_symbol_expr(b, sk);
  uint32_t one = engine_const(e, 1), eight = engine_const(e, 8), grown = engine_plus(e, k, 1);
  uint32_t c = engine_constant(e, "numbers", DTYPE_I64, numbers, 2);
  uint32_t entry = manifest_build_entry(b, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_I64, n),
           y = engine_output(e, entry, 0, "y", DTYPE_I64, k);
  uint32_t param = engine_value(e, ENGINE__STORAGE__DYNAMIC, 0, 0, DTYPE_I64, k, 0, 0);
  uint32_t next = engine_value(e, ENGINE__STORAGE__ARENA, 0, 1, DTYPE_I64, grown, 2, 5);
  uint32_t scan = engine_value(e, ENGINE__STORAGE__DYNAMIC, 0, 0, DTYPE_I64, k, 0, 0);
  uint32_t part = engine_value(e, ENGINE__STORAGE__ALIAS, 0, 0, DTYPE_I64, one, 0, 0);
  b->manifest.values[part]->alias_of = c;
  b->manifest.values[part]->offset = eight;
  uint32_t nodes[] = {manifest_build_provenance(b, "/loop", "Loop", 7),
                      manifest_build_provenance(b, "/b", "Add", 8)};
  uint32_t block = manifest_build_block(b);
  Engine__Variant *variant = manifest_build_variant(b, entry, block);
  manifest_build_guard(b, variant, n, ENGINE__RELATION__LE, engine_const(e, 64));
  manifest_build_guard(b, variant, n, ENGINE__RELATION__NE, engine_const(e, 3));
  Engine__Check *check = manifest_build_step_check(b, block);
  check->condition->a = one, check->condition->b = n,
  check->condition->relation = ENGINE__RELATION__LE;
  check->message = manifest_build_string(b, "need\none");
  manifest_build_step_provenance(b, block, nodes, 2);
  Engine__If *branch = manifest_build_step_if_(b, block);
  manifest_build_if_guard(b, branch, n, ENGINE__RELATION__LT, engine_const(e, 2));
  branch->then_block = manifest_build_block(b);
  branch->else_block = manifest_build_block(b);
  Engine__SetSymbol *set = manifest_build_step_set_symbol(b, branch->then_block);
  set->symbol = sk, set->expr = n;
  Engine__BindSymbol *bind = manifest_build_step_bind_symbol(b, branch->else_block);
  bind->symbol = sk, bind->value = c, bind->element = one;
  Engine__Loop *loop = manifest_build_step_loop(b, block);
  loop->trip = ENGINE__TRIP__FROM_EXPR, loop->trip_expr = n, loop->iteration = part;
  loop->body = manifest_build_block(b);
  manifest_build_carried_dim(b, manifest_build_carried(b, loop, x, param, next), sk, n, grown);
  manifest_build_scan(b, loop, next, scan);
  manifest_build_step_layout(b, loop->body)->phase = 1;
  engine_launch(e, loop->body, KERNEL_append_i64, (uint32_t[]){param, next}, &k, one)->scratch =
      eight;
  manifest_build_step_reserve(b, block)->value = y;
  Engine__Copy *copy = manifest_build_step_copy(b, block);
  copy->dst = y, copy->src = param, copy->bytes = engine_times(e, k, 8);
  Engine__Fill *fill = manifest_build_step_fill(b, block);
  fill->dst = y, fill->bytes = one, fill->byte = 255;
  Engine__Unpack *unpack = manifest_build_step_unpack(b, block);
  unpack->dst = y, unpack->src = x, unpack->elements = n, unpack->dtype = DTYPE_I4;
  Engine__Pack *pack = manifest_build_step_pack(b, block);
  pack->dst = y, pack->src = x, pack->elements = n, pack->dtype = DTYPE_U2;
}

static void every_step(void **state) {
  (void)state;
  struct engine_maker e;
  size_t n;
  make_plan(&e);
  uint8_t *bytes = engine_maker_bytes(&e, &n);
  struct engine_file file;
  struct plan plan;
  assert_int_equal(engine_file_open_memory(&file, bytes, n), STATUS_OK);
  if (plan_load(&plan, &file))
    fail_msg("%s", sinter_last_error());
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  plan_print(&plan, out);
  fclose(out);
  assert_string_equal(text, wanted);
  free(text);
  plan_unload(&plan);
  engine_file_close(&file);
  free(bytes);
  engine_maker_deinit(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_step)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
