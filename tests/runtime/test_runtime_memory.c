/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: whichever allocation fails, the call says so, leaks nothing and can be repeated; and
 * after the first run at a shape, a run neither allocates nor locks.
 */
#include "tests/support/engine_fixture.h"

#include "base/mem.h"

#include "tests/support/count_calls.h"

#include <unistd.h>

/*
 * y = v after three times v = append(v), v beginning as x[n]; w = x + x over tiles with scratch.
 * Everything a plan can hold that takes memory: arena, dynamic values, spares, outputs, scratch.
 */
static void make_engine(struct engine_maker *e) {
  engine_maker_init(e, 0);
  struct manifest_build *b = &e->build;
  uint32_t sn = manifest_build_symbol(b, "n", 0, 4096), sk = manifest_build_symbol(b, "k", 0, 8192);
  uint32_t st = manifest_build_symbol(b, "t", 0, 100);
  uint32_t n = manifest_build_symbol_expr(b, sn), k = manifest_build_symbol_expr(b, sk),
           t = manifest_build_symbol_expr(b, st);
  uint32_t one = engine_const(e, 1), three = engine_const(e, 3), grown = engine_plus(e, k, 1);
  uint32_t entry = manifest_build_entry(b, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_I64, n);
  uint32_t y = engine_output(e, entry, 2, "y", DTYPE_I64, k),
           s = engine_output(e, entry, 2, "s", DTYPE_I64, t);
  uint32_t w = engine_output(e, entry, 0, "w", DTYPE_I64, n);
  uint32_t param = engine_value(e, ENGINE__STORAGE__DYNAMIC, 0, 0, DTYPE_I64, k, 0, 0);
  uint32_t scan = engine_value(e, ENGINE__STORAGE__DYNAMIC, 0, 0, DTYPE_I64, t, 0, 0);
  uint32_t next = engine_value(e, ENGINE__STORAGE__ARENA, 0, 1, DTYPE_I64, grown, 0, 1);
  uint32_t sum = engine_value(e, ENGINE__STORAGE__ARENA, 0, 1, DTYPE_I64, one, 0, 1);
  uint32_t block = manifest_build_block(b);
  manifest_build_variant(b, entry, block);
  manifest_build_step_layout(b, block)->phase = 0;
  Engine__Launch *launch =
      engine_launch(e, block, KERNEL_thread_sum_i64, (uint32_t[]){x, w}, (uint32_t[]){n, one}, n);
  launch->scratch = engine_times(e, n, 8);
  Engine__Loop *loop = manifest_build_step_loop(b, block);
  loop->trip = ENGINE__TRIP__FROM_EXPR, loop->trip_expr = three, loop->trip_symbol = st;
  loop->body = manifest_build_block(b);
  manifest_build_carried_dim(b, manifest_build_carried(b, loop, x, param, next), sk, n, grown);
  manifest_build_scan(b, loop, sum, scan);
  manifest_build_step_layout(b, loop->body)->phase = 1;
  engine_launch(e, loop->body, KERNEL_append_i64, (uint32_t[]){param, next}, &k, one);
  engine_launch(e, loop->body, KERNEL_sum_i64, (uint32_t[]){next, sum}, &grown, one);
  manifest_build_step_layout(b, block)->phase = 2;
  Engine__Copy *copy = manifest_build_step_copy(b, block);
  copy->dst = y, copy->src = param, copy->bytes = engine_times(e, k, 8);
  copy = manifest_build_step_copy(b, block);
  copy->dst = s, copy->src = scan, copy->bytes = engine_times(e, t, 8);
}

enum { SMALL = 5, LARGE = 1000 };
static int64_t data[LARGE];

static sinter_status run(sinter_session *session, int64_t n, sinter_tensor outputs[3]) {
  sinter_tensor input = engine_tensor(SINTER_I64, n, data, sizeof data);
  return sinter_session_run(session, "main", &input, 1, outputs, 3);
}

static void check_outputs(int64_t n, const sinter_tensor outputs[3]) {
  int64_t total = 0;
  assert_int_equal(outputs[0].dims[0], n + 3);
  assert_int_equal(outputs[1].dims[0], 3);
  for (int64_t i = 0; i < n; i++) {
    total += data[i];
    assert_int_equal(((int64_t *)outputs[0].data)[i], data[i]);
    assert_int_equal(((int64_t *)outputs[2].data)[i], data[i]);
  }
  for (int64_t i = n; i < n + 3; i++) {
    total += i;
    assert_int_equal(((int64_t *)outputs[0].data)[i], i);
    assert_int_equal(((int64_t *)outputs[1].data)[i - n], total);
  }
}

/* The whole life of an engine; SINTER_RESOURCES wherever memory ran out. */
static sinter_status open_run_close(const char *path) {
  sinter_engine *engine = NULL;
  sinter_session *session = NULL;
  sinter_tensor outputs[3] = {0};
  sinter_session_options options = {.struct_size = sizeof options, .threads = 2};
  sinter_status st = sinter_engine_open(path, NULL, &engine);
  if (!st)
    st = sinter_session_create(engine, &options, &session);
  for (int64_t n = SMALL; !st && n <= LARGE; n *= 14) {
    st = run(session, n, outputs);
    if (!st)
      check_outputs(n, outputs);
  }
  sinter_session_destroy(session);
  sinter_engine_close(engine);
  return st;
}

static void any_allocation_may_fail(void **state) {
  (void)state;
  struct engine_maker e;
  char path[512];
  make_engine(&e);
  engine_maker_path(path, sizeof path, "any_allocation");
  engine_maker_write(&e, path);
  assert_ok(open_run_close(path));
  uint64_t n = 1;
  for (;; n++) {
    mem_fail_nth(n);
    sinter_status st = open_run_close(path);
    if (mem_fail_pending())
      break;
    if (st != SINTER_RESOURCES)
      fail_msg("allocation %d: %d %s", (int)n, st, sinter_last_error());
    assert_non_null(strstr(sinter_last_error(), "memory"));
  }
  mem_fail_nth(0);
  assert_true(n > 50);
  unlink(path);
  engine_maker_deinit(&e);
}

/* A session that ran out of memory at one shape, at any point, goes on at the next run. */
static void session_survives_exhaustion(void **state) {
  (void)state;
  struct fixture f;
  make_engine(&f.maker);
  fixture_open(&f, 2);
  sinter_tensor outputs[3] = {0};
  for (uint64_t n = 1;; n++) {
    sinter_session *session;
    assert_ok(sinter_session_create(f.engine, NULL, &session));
    assert_ok(run(session, SMALL, outputs));
    mem_fail_nth(n);
    sinter_status st = run(session, LARGE, outputs);
    int pending = mem_fail_pending();
    mem_fail_nth(0);
    assert_int_equal(st, pending ? SINTER_OK : SINTER_RESOURCES);
    assert_ok(run(session, SMALL, outputs));
    check_outputs(SMALL, outputs);
    assert_ok(run(session, LARGE, outputs));
    check_outputs(LARGE, outputs);
    sinter_session_destroy(session);
    memset(outputs, 0, sizeof outputs);
    if (pending)
      break;
  }
  fixture_close(&f);
}

static void known_shapes_take_no_memory(void **state) {
  (void)state;
  struct fixture f;
  make_engine(&f.maker);
  fixture_open(&f, 2);
  sinter_tensor outputs[3] = {0};
  const int64_t shapes[] = {SMALL, LARGE, 70, 500};
#ifndef SANITIZED
  counting = 1; /* the count counts */
  mem_free(mem_try_alloc(1));
  counting = 0;
  assert_true(calls >= 2);
#endif
  for (int i = 0; i < 8; i++)
    assert_ok(run(f.session, shapes[i % 4], outputs));
  for (int i = 0; i < 40; i++) {
    mem_fail_nth(1);
    calls = 0;
    counting = 1;
    sinter_status st = run(f.session, shapes[i % 4], outputs);
    counting = 0;
    int pending = mem_fail_pending();
    mem_fail_nth(0);
    assert_ok(st);
    assert_true(pending);
    assert_int_equal(calls, 0);
    check_outputs(shapes[i % 4], outputs);
  }
  fixture_close(&f);
}

int main(void) {
  for (int i = 0; i < LARGE; i++)
    data[i] = i * 31 % 100;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_allocation_may_fail),
      cmocka_unit_test(session_survives_exhaustion),
      cmocka_unit_test(known_shapes_take_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
