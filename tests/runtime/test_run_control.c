/* SPDX-License-Identifier: Apache-2.0 */
/* Data-dependent sizes, branches and loops. */
#include "tests/support/engine_fixture.h"

#include <pthread.h>
#include <time.h>

static uint32_t symbol_expr(struct engine_maker *e, const char *name, uint32_t *out_symbol) {
  *out_symbol = manifest_build_symbol(&e->build, name, 0, 1000);
  return manifest_build_symbol_expr(&e->build, *out_symbol);
}

static uint32_t scalar_arena(struct engine_maker *e, uint32_t phase, enum dtype dtype) {
  return engine_value(e, ENGINE__STORAGE__ARENA, 0, phase, dtype, engine_const(e, 1), 0, 9);
}

static uint32_t dynamic(struct engine_maker *e, enum dtype dtype, uint32_t dim) {
  return engine_value(e, ENGINE__STORAGE__DYNAMIC, 0, 0, dtype, dim, 0, 0);
}

static void add_copy(struct engine_maker *e, uint32_t block, uint32_t dst, uint32_t src,
                     uint32_t bytes) {
  Engine__Copy *copy = manifest_build_step_copy(&e->build, block);
  copy->dst = dst, copy->src = src, copy->bytes = bytes;
}

static void add_bind(struct engine_maker *e, uint32_t block, uint32_t symbol, uint32_t value) {
  Engine__BindSymbol *bind = manifest_build_step_bind_symbol(&e->build, block);
  bind->symbol = symbol, bind->value = value;
}

static void add_set(struct engine_maker *e, uint32_t block, uint32_t symbol, uint32_t expr) {
  Engine__SetSymbol *set = manifest_build_step_set_symbol(&e->build, block);
  set->symbol = symbol, set->expr = expr;
}

static uint32_t begin(struct engine_maker *e, uint32_t entry) {
  uint32_t block = manifest_build_block(&e->build);
  manifest_build_variant(&e->build, entry, block);
  manifest_build_step_layout(&e->build, block)->phase = 0;
  return block;
}

static sinter_status run_i64(struct fixture *f, sinter_tensor *inputs, size_t n,
                             sinter_tensor *output) {
  return sinter_session_run(f->session, "main", inputs, n, output, 1);
}

/* y = iota(sum(x)): the size of the output is data. */
static void size_from_data(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  uint32_t symbol;
  engine_maker_init(e, 0);
  uint32_t m = symbol_expr(e, "m", &symbol), two = engine_const(e, 2), one = engine_const(e, 1);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_I64, two);
  uint32_t sum = scalar_arena(e, 0, DTYPE_I64);
  uint32_t y = engine_output(e, entry, 1, "y", DTYPE_I64, m);
  uint32_t block = begin(e, entry);
  uint32_t node = manifest_build_provenance(&e->build, "/range", "Range", 3);
  engine_launch(e, block, KERNEL_sum_i64, (uint32_t[]){x, sum}, &two, one);
  add_bind(e, block, symbol, sum);
  manifest_build_step_provenance(&e->build, block, &node, 1);
  manifest_build_step_layout(&e->build, block)->phase = 1;
  engine_launch(e, block, KERNEL_iota_i64, &y, &m, m);
  fixture_open(&f, 2);
  int64_t data[2] = {0, 0};
  sinter_tensor input = engine_tensor(SINTER_I64, 2, data, sizeof data), output = {0};
  for (int64_t n = 0; n < 50; n += 7) {
    data[0] = n / 2, data[1] = n - n / 2;
    assert_ok(run_i64(&f, &input, 1, &output));
    assert_int_equal(output.dims[0], n);
    for (int64_t i = 0; i < n; i++)
      assert_int_equal(((int64_t *)output.data)[i], i);
  }
  data[0] = 2000;
  assert_error(run_i64(&f, &input, 1, &output), SINTER_INVALID, "E0611",
               "'m' is 2025, outside of 0..1000\n  --> node 3 '/range' (Range)");
  data[0] = -26;
  assert_error(run_i64(&f, &input, 1, &output), SINTER_INVALID, "E0611", "'m' is -1");
  fixture_close(&f);
}

/* y = c ? iota(3) : append(x): branches of different size, through a DYNAMIC value. */
static void branches(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  uint32_t sn, sr;
  engine_maker_init(e, 0);
  uint32_t n = symbol_expr(e, "n", &sn), r = symbol_expr(e, "r", &sr), one = engine_const(e, 1),
           three = engine_const(e, 3);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t c = engine_input(e, entry, "c", DTYPE_BOOL, one);
  uint32_t x = engine_input(e, entry, "x", DTYPE_I64, n);
  uint32_t result = dynamic(e, DTYPE_I64, r);
  uint32_t y = engine_output(e, entry, 1, "y", DTYPE_I64, r);
  e->build.manifest.phases = 2;
  uint32_t block = begin(e, entry);
  Engine__If *branch = manifest_build_step_if_(&e->build, block);
  branch->condition = c;
  branch->then_block = manifest_build_block(&e->build);
  branch->else_block = manifest_build_block(&e->build);
  add_set(e, branch->then_block, sr, three);
  manifest_build_step_reserve(&e->build, branch->then_block)->value = result;
  engine_launch(e, branch->then_block, KERNEL_iota_i64, &result, &three, three);
  add_set(e, branch->else_block, sr, engine_plus(e, n, 1));
  manifest_build_step_reserve(&e->build, branch->else_block)->value = result;
  engine_launch(e, branch->else_block, KERNEL_append_i64, (uint32_t[]){x, result}, &n, one);
  manifest_build_step_layout(&e->build, block)->phase = 1;
  add_copy(e, block, y, result, engine_times(e, r, 8));
  fixture_open(&f, 1);
  uint8_t condition = 1;
  int64_t data[] = {5, 6};
  sinter_tensor inputs[] = {engine_tensor(SINTER_BOOL, 1, &condition, 1),
                            engine_tensor(SINTER_I64, 2, data, sizeof data)};
  sinter_tensor output = {0};
  for (int i = 0; i < 4; i++) {
    const int64_t wanted[2][3] = {{5, 6, 2}, {0, 1, 2}};
    condition = (uint8_t)(i % 2);
    assert_ok(run_i64(&f, inputs, 2, &output));
    assert_int_equal(output.dims[0], 3);
    assert_memory_equal(output.data, wanted[condition], sizeof wanted[0]);
  }
  fixture_close(&f);
}

/*
 * v = x; for trip times or until sum(v) >= 30: v = append(v). Outputs v and, per iteration, the
 * sums. exchange: the next version has a buffer of its own, else it lies in the body's arena and is
 * copied.
 */
static void make_growing_loop(struct engine_maker *e, int exchange) {
  uint32_t sn, sk, strip;
  engine_maker_init(e, 0);
  uint32_t n = symbol_expr(e, "n", &sn), k = symbol_expr(e, "k", &sk),
           t = symbol_expr(e, "t", &strip);
  uint32_t one = engine_const(e, 1), grown = engine_plus(e, k, 1);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t trip = engine_input(e, entry, "trip", DTYPE_I64, one);
  uint32_t x = engine_input(e, entry, "x", DTYPE_I64, n);
  uint32_t y = engine_output(e, entry, 2, "y", DTYPE_I64, k);
  uint32_t sums = engine_output(e, entry, 2, "sums", DTYPE_I64, t);
  uint32_t iteration = scalar_arena(e, 0, DTYPE_I64);
  uint32_t param = dynamic(e, DTYPE_I64, k);
  uint32_t sum = scalar_arena(e, 1, DTYPE_I64), go_on = scalar_arena(e, 1, DTYPE_BOOL);
  uint32_t next = exchange ? dynamic(e, DTYPE_I64, grown)
                           : engine_value(e, ENGINE__STORAGE__ARENA, 0, 1, DTYPE_I64, grown, 0, 9);
  uint32_t scan = dynamic(e, DTYPE_I64, t);
  uint32_t block = begin(e, entry);
  Engine__Loop *loop = manifest_build_step_loop(&e->build, block);
  uint32_t node = manifest_build_provenance(&e->build, "/loop", "Loop", 9);
  manifest_build_step_provenance(&e->build, block, &node, 1);
  loop->trip = ENGINE__TRIP__FROM_VALUE;
  loop->trip_value = trip;
  loop->iteration = iteration;
  loop->body_condition = go_on;
  loop->trip_symbol = strip;
  loop->body = manifest_build_block(&e->build);
  Engine__Carried *carried = manifest_build_carried(&e->build, loop, x, param, next);
  manifest_build_carried_dim(&e->build, carried, sk, n, grown);
  manifest_build_scan(&e->build, loop, sum, scan);
  manifest_build_step_layout(&e->build, loop->body)->phase = 1;
  if (exchange)
    manifest_build_step_reserve(&e->build, loop->body)->value = next;
  engine_launch(e, loop->body, KERNEL_append_i64, (uint32_t[]){param, next}, &k, one);
  engine_launch(e, loop->body, KERNEL_sum_i64, (uint32_t[]){next, sum}, &grown, one);
  engine_launch(e, loop->body, KERNEL_less_i64, (uint32_t[]){sum, go_on},
                (uint32_t[]){engine_const(e, 30)}, one);
  manifest_build_step_layout(&e->build, block)->phase = 2;
  add_copy(e, block, y, param, engine_times(e, k, 8));
  add_copy(e, block, sums, scan, engine_times(e, t, 8));
}

static void check_growing_loop(struct fixture *f, int64_t trip, int64_t n) {
  int64_t data[64], wanted[64], sums[64], count = 0, total = 0;
  for (int64_t i = 0; i < n; i++)
    total += data[i] = wanted[i] = i + 1;
  for (int64_t length = n; trip < 0 || count < trip; count++) {
    total += wanted[length] = length;
    sums[count] = total;
    length++;
    if (total >= 30 && ++count)
      break;
  }
  sinter_tensor inputs[] = {engine_tensor(SINTER_I64, 1, &trip, 8),
                            engine_tensor(SINTER_I64, n, data, sizeof data)};
  sinter_tensor outputs[2] = {0};
  assert_ok(sinter_session_run(f->session, "main", inputs, 2, outputs, 2));
  assert_int_equal(outputs[0].dims[0], n + count);
  assert_int_equal(outputs[1].dims[0], count);
  assert_memory_equal(outputs[0].data, wanted, (size_t)(n + count) * 8);
  assert_memory_equal(outputs[1].data, sums, (size_t)count * 8);
}

static void loops_that_grow(void **state) {
  (void)state;
  for (int exchange = 0; exchange < 2; exchange++) {
    struct fixture f;
    make_growing_loop(&f.maker, exchange);
    fixture_open(&f, 1);
    for (int64_t trip = -1; trip < 12; trip++) /* negative: no limit but the condition */
      for (int64_t n = 0; n < 6; n++)
        check_growing_loop(&f, trip, n);
    check_growing_loop(&f, 1000, 3);
    fixture_close(&f);
  }
}

/* a, b = b, a for trip times: each next is the other's param. */
static void loop_that_swaps(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  engine_maker_init(e, 1);
  uint32_t one = engine_const(e, 1), sz[2], k[2];
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t trip = engine_input(e, entry, "trip", DTYPE_I32, one);
  uint32_t a = engine_input(e, entry, "a", DTYPE_I64, one),
           b = engine_input(e, entry, "b", DTYPE_I64, engine_const(e, 2));
  k[0] = symbol_expr(e, "k0", &sz[0]), k[1] = symbol_expr(e, "k1", &sz[1]);
  uint32_t y = engine_output(e, entry, 1, "y", DTYPE_I64, k[0]);
  uint32_t p = dynamic(e, DTYPE_I64, k[0]), q = dynamic(e, DTYPE_I64, k[1]);
  uint32_t block = begin(e, entry);
  Engine__Loop *loop = manifest_build_step_loop(&e->build, block);
  loop->trip = ENGINE__TRIP__FROM_VALUE;
  loop->trip_value = trip;
  manifest_build_carried_dim(&e->build, manifest_build_carried(&e->build, loop, a, p, q), sz[0],
                             one, k[1]);
  manifest_build_carried_dim(&e->build, manifest_build_carried(&e->build, loop, b, q, p), sz[1],
                             engine_const(e, 2), k[0]);
  manifest_build_step_layout(&e->build, block)->phase = 1;
  add_copy(e, block, y, p, engine_times(e, k[0], 8));
  fixture_open(&f, 1);
  int64_t av = 7, bv[] = {8, 9};
  for (int32_t i = 0; i < 5; i++) {
    sinter_tensor inputs[] = {engine_tensor(SINTER_I32, 1, &i, 4),
                              engine_tensor(SINTER_I64, 1, &av, 8),
                              engine_tensor(SINTER_I64, 2, bv, 16)};
    sinter_tensor output = {0};
    assert_ok(run_i64(&f, inputs, 3, &output));
    assert_int_equal(output.dims[0], i % 2 ? 2 : 1);
    assert_memory_equal(output.data, i % 2 ? bv : &av, output.bytes);
  }
  fixture_close(&f);
}

/* Nested: for i < 3: for j < i: count += 1 by appending; y holds what was counted. */
static void nested_loops(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  uint32_t so, si, siter;
  engine_maker_init(e, 0);
  uint32_t outer = symbol_expr(e, "outer", &so), inner = symbol_expr(e, "inner", &si),
           iter = symbol_expr(e, "iter", &siter);
  uint32_t one = engine_const(e, 1), zero = engine_const(e, 0);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_I64, zero);
  uint32_t y = engine_output(e, entry, 2, "y", DTYPE_I64, outer);
  uint32_t p = dynamic(e, DTYPE_I64, outer), q = dynamic(e, DTYPE_I64, inner);
  uint32_t grown = engine_plus(e, inner, 1);
  uint32_t next = engine_value(e, ENGINE__STORAGE__ARENA, 0, 1, DTYPE_I64, grown, 0, 1);
  uint32_t block = begin(e, entry);
  Engine__Loop *l1 = manifest_build_step_loop(&e->build, block);
  l1->trip = ENGINE__TRIP__FROM_EXPR;
  l1->trip_expr = engine_const(e, 4);
  l1->iteration_symbol = siter;
  l1->body = manifest_build_block(&e->build);
  manifest_build_carried_dim(&e->build, manifest_build_carried(&e->build, l1, x, p, q), so, zero,
                             inner);
  Engine__Loop *l2 = manifest_build_step_loop(&e->build, l1->body);
  l2->trip = ENGINE__TRIP__FROM_EXPR;
  l2->trip_expr = iter;
  l2->body = manifest_build_block(&e->build);
  manifest_build_carried_dim(&e->build, manifest_build_carried(&e->build, l2, p, q, next), si,
                             outer, grown);
  manifest_build_step_layout(&e->build, l2->body)->phase = 1;
  engine_launch(e, l2->body, KERNEL_append_i64, (uint32_t[]){q, next}, &inner, one);
  manifest_build_step_layout(&e->build, block)->phase = 2;
  add_copy(e, block, y, p, engine_times(e, outer, 8));
  fixture_open(&f, 1);
  sinter_tensor input = engine_tensor(SINTER_I64, 0, NULL, 0), output = {0};
  for (int i = 0; i < 3; i++) {
    const int64_t wanted[] = {0, 1, 2, 3, 4, 5};
    assert_ok(run_i64(&f, &input, 1, &output));
    assert_int_equal(output.dims[0], 6);
    assert_memory_equal(output.data, wanted, sizeof wanted);
  }
  fixture_close(&f);
}

/* The element of a scan has as many items as the iteration's number. */
static void scan_that_changes_size(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  uint32_t siter, st;
  engine_maker_init(e, 1);
  uint32_t iter = symbol_expr(e, "iter", &siter), t = symbol_expr(e, "t", &st);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t element = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_U8, iter, 0, 1),
           scan = dynamic(e, DTYPE_U8, t);
  uint32_t block = manifest_build_block(&e->build);
  manifest_build_variant(&e->build, entry, block);
  Engine__Loop *loop = manifest_build_step_loop(&e->build, block);
  uint32_t node = manifest_build_provenance(&e->build, "/scan", "Scan", 1);
  manifest_build_step_provenance(&e->build, block, &node, 1);
  loop->iteration_symbol = siter;
  loop->body = manifest_build_block(&e->build);
  manifest_build_step_layout(&e->build, loop->body)->phase = 0;
  manifest_build_scan(&e->build, loop, element, scan);
  fixture_open(&f, 1);
  assert_error(sinter_session_run(f.session, "main", NULL, 0, NULL, 0), SINTER_INVALID, "E0614",
               "0 B in one iteration and 1 B in another\n  --> node 1 '/scan' (Scan)");
  fixture_close(&f);
}

static void *cancel_soon(void *session) {
  for (int i = 0; i < 200; i++) {
    struct timespec t = {.tv_nsec = 1000000};
    nanosleep(&t, NULL);
    sinter_session_cancel(session);
  }
  return NULL;
}

static void endless_loop_is_cancelled(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  engine_maker_init(e, 1);
  uint32_t entry = manifest_build_entry(&e->build, "main"), block = manifest_build_block(&e->build);
  manifest_build_variant(&e->build, entry, block);
  manifest_build_step_loop(&e->build, block);
  fixture_open(&f, 1);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, cancel_soon, f.session), 0);
  assert_error(sinter_session_run(f.session, "main", NULL, 0, NULL, 0), SINTER_CANCELLED, "E0617",
               "cancelled");
  pthread_join(thread, NULL);
  fixture_close(&f);
}

/* Plans that ask for what is not there: errors, not accesses. */
static void careless_plans(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  uint32_t symbol;
  engine_maker_init(e, 1);
  uint32_t n = symbol_expr(e, "n", &symbol), eight = engine_const(e, 8);
  const char *names[] = {"unlaid", "unbound", "long", "unwritten", "negative", "outside"};
  uint32_t a = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_U8, eight, 0, 1),
           u = engine_value(e, ENGINE__STORAGE__ARENA, 0, 1, DTYPE_U8, n, 0, 1);
  uint32_t out = engine_value(e, ENGINE__STORAGE__ALIAS, 0, 0, DTYPE_U8, eight, 0, 0);
  e->build.manifest.values[out]->alias_of = a;
  e->build.manifest.values[out]->offset = engine_const(e, 1);
  uint32_t blocks[6];
  for (int i = 0; i < 6; i++) {
    uint32_t entry = manifest_build_entry(&e->build, names[i]);
    if (i == 3)
      engine_output(e, entry, 2, "y", DTYPE_U8, eight);
    blocks[i] = manifest_build_block(&e->build);
    manifest_build_variant(&e->build, entry, blocks[i]);
    if (i > 1)
      manifest_build_step_layout(&e->build, blocks[i])->phase = 0;
  }
  add_copy(e, blocks[0], a, a, eight);
  manifest_build_step_layout(&e->build, blocks[1])->phase = 1;
  (void)u;
  add_copy(e, blocks[2], a, a, engine_const(e, 9));
  add_copy(e, blocks[4], a, a, engine_const(e, -1));
  add_copy(e, blocks[5], out, out, engine_const(e, 1));
  fixture_open(&f, 1);
  const char *texts[] = {"needs 8 B but has a place of 0 B",
                         "the size (n * 1) is not known yet",
                         "needs 9 B but has a place of 8 B",
                         "has not produced output 'y'",
                         "the size -1 is -1",
                         "needs 9 B but has a place of 8 B"};
  sinter_tensor output = {0};
  for (int i = 0; i < 6; i++) {
    sinter_status st = sinter_session_run(f.session, names[i], NULL, 0, &output, i == 3);
    assert_error(st, i == 4 ? SINTER_INVALID : SINTER_INTERNAL, i == 4 ? "E0611" : "E0612",
                 texts[i]);
  }
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(size_from_data),  cmocka_unit_test(branches),
      cmocka_unit_test(loops_that_grow), cmocka_unit_test(loop_that_swaps),
      cmocka_unit_test(nested_loops),    cmocka_unit_test(scan_that_changes_size),
      cmocka_unit_test(careless_plans),  cmocka_unit_test(endless_loop_is_cancelled),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
