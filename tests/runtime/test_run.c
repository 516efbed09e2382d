/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of straight-line plans: static and dynamic shapes, ports, variants, checks, errors of
 * kernels. */
#include "tests/support/engine_fixture.h"

#include <unistd.h>

/* out = (x + bias) + x, in two launches: x[n], bias a constant of 4 that n may not pass. */
static void make_add(struct engine_maker *e, int64_t n_or_symbol) {
  static const float bias[] = {1, 2, 3, 4};
  engine_maker_init(e, 0);
  uint32_t symbol = n_or_symbol ? 0 : manifest_build_symbol(&e->build, "n", 1, 4);
  uint32_t n =
      symbol ? manifest_build_symbol_expr(&e->build, symbol) : engine_const(e, n_or_symbol);
  uint32_t b = engine_constant(e, "bias", DTYPE_F32, bias, 4);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_F32, n);
  uint32_t out = engine_output(e, entry, 0, "y", DTYPE_F32, n);
  uint32_t t = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_F32, n, 0, 1);
  uint32_t block = manifest_build_block(&e->build);
  manifest_build_variant(&e->build, entry, block);
  manifest_build_step_layout(&e->build, block)->phase = 0;
  uint32_t dims[] = {n, engine_const(e, 1)};
  engine_launch(e, block, KERNEL_add_f32, (uint32_t[]){x, b, t}, dims, n);
  engine_launch(e, block, KERNEL_add_f32, (uint32_t[]){t, x, out}, dims, n);
}

static void static_graph(void **state) {
  (void)state;
  struct fixture f;
  make_add(&f.maker, 4);
  fixture_open(&f, 2);
  float x[] = {10, 20, 30, 40};
  sinter_tensor input = engine_tensor(SINTER_F32, 4, x, sizeof x), output = {0};
  for (int i = 0; i < 3; i++) {
    assert_ok(sinter_session_run(f.session, "main", &input, 1, &output, 1));
    const float wanted[] = {21, 42, 63, 84};
    assert_int_equal(output.dtype, SINTER_F32);
    assert_int_equal(output.rank, 1);
    assert_int_equal(output.dims[0], 4);
    assert_int_equal(output.bytes, sizeof wanted);
    assert_memory_equal(output.data, wanted, sizeof wanted);
  }
  sinter_session_stats stats = {.struct_size = sizeof stats};
  assert_ok(sinter_session_get_stats(f.session, &stats));
  assert_int_equal(stats.runs, 3);
  assert_int_equal(stats.launches, 2);
  assert_int_equal(stats.threads, 2);
  assert_string_equal(stats.target, "x86-64");
  fixture_close(&f);
}

static void introspection(void **state) {
  (void)state;
  struct fixture f;
  make_add(&f.maker, 0);
  fixture_open(&f, 1);
  assert_string_equal(sinter_engine_producer(f.engine), "engine_maker");
  assert_int_equal(sinter_engine_entry_count(f.engine), 1);
  assert_string_equal(sinter_engine_entry_name(f.engine, 0), "main");
  assert_null(sinter_engine_entry_name(f.engine, 1));
  const sinter_port *x = sinter_engine_input(f.engine, 0, 0),
                    *y = sinter_engine_output(f.engine, 0, 0);
  assert_string_equal(x->name, "x");
  assert_string_equal(y->name, "y");
  assert_int_equal(x->dims[0].value, -1);
  assert_string_equal(x->dims[0].text, "n");
  assert_int_equal(x->dims[0].lo, 1);
  assert_int_equal(x->dims[0].hi, 4);
  assert_null(sinter_engine_input(f.engine, 0, 1));
  assert_int_equal(sinter_engine_weight_bytes(f.engine), 16);
  assert_string_equal(sinter_dtype_name(SINTER_BF16), "bf16");
  assert_null(sinter_dtype_name(99));
  fixture_close(&f);
}

static void dynamic_shapes(void **state) {
  (void)state;
  struct fixture f;
  make_add(&f.maker, 0);
  fixture_open(&f, 2);
  float x[] = {10, 20, 30, 40}, y[4];
  for (int round = 0; round < 3; round++)
    for (int64_t n = 1; n <= 4; n++) {
      sinter_tensor input = engine_tensor(SINTER_F32, n, x, sizeof x);
      sinter_tensor output = {.data = y, .bytes = sizeof y};
      memset(y, 0, sizeof y);
      assert_ok(sinter_session_run(f.session, "main", &input, 1, &output, 1));
      assert_int_equal(output.dims[0], n);
      assert_ptr_equal(output.data, y);
      assert_int_equal(output.bytes, sizeof y);
      for (int64_t i = 0; i < 4; i++)
        assert_true(y[i] == (i < n ? 2 * x[i] + (float)(i + 1) : 0));
    }
  fixture_close(&f);
}

static void session_owned_outputs_follow_the_shape(void **state) {
  (void)state;
  struct fixture f;
  make_add(&f.maker, 0);
  fixture_open(&f, 1);
  float x[] = {1, 2, 3, 4};
  sinter_tensor output = {0};
  for (int64_t n = 1; n <= 4; n++) { /* the same tensor again: its data is still the session's */
    sinter_tensor input = engine_tensor(SINTER_F32, n, x, sizeof x);
    assert_ok(sinter_session_run(f.session, "main", &input, 1, &output, 1));
    assert_int_equal(output.bytes, n * 4);
  }
  fixture_close(&f);
}

static void wrong_ports(void **state) {
  (void)state;
  struct fixture f;
  make_add(&f.maker, 0);
  fixture_open(&f, 1);
  _Alignas(8) float x[5] = {0};
  sinter_tensor good = engine_tensor(SINTER_F32, 2, x, sizeof x), output = {0}, bad;
#define RUN(input) sinter_session_run(f.session, "main", input, 1, &output, 1)
  assert_error(sinter_session_run(f.session, "other", &good, 1, &output, 1), SINTER_USAGE, "E0601",
               "'other'");
  assert_error(sinter_session_run(f.session, "main", &good, 0, &output, 1), SINTER_USAGE, "E0602",
               "1 inputs, 0");
  assert_error(sinter_session_run(f.session, "main", &good, 1, &output, 0), SINTER_USAGE, "E0602",
               "1 outputs, 0");
  bad = good, bad.dtype = SINTER_I64;
  assert_error(RUN(&bad), SINTER_USAGE, "E0603", "input 'x' is of type f32, i64 was given");
  bad = good, bad.dtype = 77;
  assert_error(RUN(&bad), SINTER_USAGE, "E0603", "no known type");
  bad = good, bad.rank = 2;
  assert_error(RUN(&bad), SINTER_USAGE, "E0604", "1 dims, 2");
  bad = good, bad.dims[0] = 5;
  assert_error(RUN(&bad), SINTER_USAGE, "E0606", "dim 0 (n): 5 is outside of 1..4");
  bad = good, bad.dims[0] = -1;
  assert_error(RUN(&bad), SINTER_USAGE, "E0606", "negative");
  bad = good, bad.dims[0] = INT64_MAX;
  assert_error(RUN(&bad), SINTER_USAGE, "E0606", "too large");
  bad = good, bad.bytes = 7;
  assert_error(RUN(&bad), SINTER_USAGE, "E0607", "needs 8 B, 7 B");
  bad = good, bad.data = NULL;
  assert_error(RUN(&bad), SINTER_USAGE, "E0607", "0 B were given");
  bad = good, bad.data = (char *)x + 1;
  assert_error(RUN(&bad), SINTER_USAGE, "E0607", "aligned");
  output = engine_tensor(SINTER_F32, 2, x + 2, 7);
  assert_error(RUN(&good), SINTER_USAGE, "E0607", "output 'y' needs 8 B, 7 B");
  assert_error(sinter_session_run(NULL, "main", &good, 1, &output, 1), SINTER_USAGE, "E0618",
               "NULL");
  memset(&output, 0, sizeof output);
  assert_ok(RUN(&good));
  assert_string_equal(sinter_last_error(), "");
#undef RUN
  fixture_close(&f);
}

/* y = x + w where w may be left out, which gives ones; dims: x[n], w[2 n]. */
static void optional_input_and_derived_dims(void **state) {
  (void)state;
  static const float ones[] = {1, 1, 1, 1};
  struct fixture f;
  struct engine_maker *e = &f.maker;
  engine_maker_init(e, 0);
  uint32_t n = manifest_build_symbol_expr(&e->build, manifest_build_symbol(&e->build, "n", 1, 100));
  uint32_t fallback = engine_constant(e, "ones", DTYPE_F32, ones, 4);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t w = engine_input(e, entry, "w", DTYPE_F32, engine_times(e, n, 2));
  uint32_t x = engine_input(e, entry, "x", DTYPE_F32, n);
  e->build.manifest.entries[entry]->inputs[0]->optional = 1;
  e->build.manifest.entries[entry]->inputs[0]->fallback = fallback;
  uint32_t y = engine_output(e, entry, 0, "y", DTYPE_F32, n);
  uint32_t block = manifest_build_block(&e->build);
  manifest_build_variant(&e->build, entry, block);
  manifest_build_step_layout(&e->build, block);
  engine_launch(e, block, KERNEL_add_f32, (uint32_t[]){x, w, y},
                (uint32_t[]){n, engine_const(e, 1)}, n);
  fixture_open(&f, 1);

  float xs[] = {1, 2, 3}, ws[] = {10, 20, 30, 40, 50, 60};
  sinter_tensor inputs[] = {engine_tensor(SINTER_F32, 6, ws, sizeof ws),
                            engine_tensor(SINTER_F32, 3, xs, sizeof xs)};
  sinter_tensor output = {0};
  assert_ok(sinter_session_run(f.session, "main", inputs, 2, &output, 1));
  assert_true(((float *)output.data)[2] == 33);
  inputs[0].dims[0] = 5;
  assert_error(sinter_session_run(f.session, "main", inputs, 2, &output, 1), SINTER_USAGE, "E0605",
               "input 'w', dim 0 ((n * 2)): 6 is needed, 5 was given");
  inputs[0] = (sinter_tensor){0};
  inputs[1].dims[0] = 2;
  assert_ok(sinter_session_run(f.session, "main", inputs, 2, &output, 1));
  assert_true(((float *)output.data)[1] == 3);
  inputs[1].dims[0] = 3; /* the constant has 4 elements, not 6 */
  assert_error(sinter_session_run(f.session, "main", inputs, 2, &output, 1), SINTER_USAGE, "E0605",
               "6 is needed");
  fixture_close(&f);
}

/* The variants n == 1, which fills y, and n < 4, which copies x by rows of its own for x and y. */
static void variants(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  engine_maker_init(e, 1);
  uint32_t n = manifest_build_symbol_expr(&e->build, manifest_build_symbol(&e->build, "n", 0, 100));
  uint32_t entry = manifest_build_entry(&e->build, "main");
  engine_input(e, entry, "x", DTYPE_U8, n);
  uint32_t y = engine_output(e, entry, 0, "y", DTYPE_U8, n);
  uint32_t own_x = engine_value(e, ENGINE__STORAGE__INPUT, 0, 0, DTYPE_U8, n, 0, 0);
  uint32_t own_y = engine_value(e, ENGINE__STORAGE__OUTPUT, 0, 1, DTYPE_U8, n, 0, 0);
  for (uint32_t i = 0; i < 2; i++) {
    uint32_t block = manifest_build_block(&e->build);
    Engine__Variant *variant = manifest_build_variant(&e->build, entry, block);
    manifest_build_guard(&e->build, variant, n, i ? ENGINE__RELATION__LT : ENGINE__RELATION__EQ,
                         engine_const(e, i ? 4 : 1));
    manifest_build_step_layout(&e->build, block)->phase = i;
    if (i == 0) {
      Engine__Fill *fill = manifest_build_step_fill(&e->build, block);
      fill->dst = y, fill->bytes = n, fill->byte = 1;
    } else {
      Engine__Copy *copy = manifest_build_step_copy(&e->build, block);
      copy->dst = own_y, copy->src = own_x, copy->bytes = n;
    }
  }
  fixture_open(&f, 1);
  uint8_t x[8] = {7, 8, 9};
  sinter_tensor input = engine_tensor(SINTER_U8, 1, x, sizeof x), output = {0};
  assert_ok(sinter_session_run(f.session, "main", &input, 1, &output, 1));
  assert_int_equal(*(uint8_t *)output.data, 1);
  input.dims[0] = 3;
  assert_ok(sinter_session_run(f.session, "main", &input, 1, &output, 1));
  assert_int_equal(((uint8_t *)output.data)[2], 9);
  input.dims[0] = 0; /* nothing to compute, yet memory to show */
  assert_ok(sinter_session_run(f.session, "main", &input, 1, &output, 1));
  assert_int_equal(output.bytes, 0);
  input.dims[0] = 4;
  assert_error(sinter_session_run(f.session, "main", &input, 1, &output, 1), SINTER_USAGE, "E0609",
               "2 variants");
  assert_null(output.data);
  fixture_close(&f);
}

/* y = table[index]; a CHECK that there are at least 2 indices. */
static void kernel_errors_and_checks(void **state) {
  (void)state;
  static const int64_t table[] = {100, 101, 102};
  struct fixture f;
  struct engine_maker *e = &f.maker;
  engine_maker_init(e, 0);
  uint32_t n = manifest_build_symbol_expr(&e->build, manifest_build_symbol(&e->build, "n", 0, 100));
  uint32_t t = engine_constant(e, "table", DTYPE_I64, table, 3);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t index = engine_input(e, entry, "index", DTYPE_I64, n);
  uint32_t y = engine_output(e, entry, 0, "y", DTYPE_I64, n);
  uint32_t rows[] = {manifest_build_provenance(&e->build, "/need", "Expand", -1),
                     manifest_build_provenance(&e->build, "/emb\x1b[31m", "Gather", 12)};
  uint32_t block = manifest_build_block(&e->build);
  manifest_build_variant(&e->build, entry, block);
  Engine__Check *check = manifest_build_step_check(&e->build, block);
  check->condition->a = engine_const(e, 2);
  check->condition->relation = ENGINE__RELATION__LE;
  check->condition->b = n;
  check->message = manifest_build_string(&e->build, "shapes do not broadcast");
  manifest_build_step_provenance(&e->build, block, rows, 1);
  manifest_build_step_layout(&e->build, block);
  engine_launch(e, block, KERNEL_gather_i64, (uint32_t[]){t, index, y},
                (uint32_t[]){engine_const(e, 3), n, engine_const(e, rows[1])}, engine_const(e, 1));
  manifest_build_step_provenance(&e->build, block, &rows[1], 1);
  fixture_open(&f, 1);

  int64_t good[] = {2, 0}, bad[] = {1, 3};
  sinter_tensor input = engine_tensor(SINTER_I64, 2, good, sizeof good), output = {0};
  assert_ok(sinter_session_run(f.session, "main", &input, 1, &output, 1));
  assert_int_equal(((int64_t *)output.data)[0], 102);
  input.data = bad;
  assert_error(sinter_session_run(f.session, "main", &input, 1, &output, 1), SINTER_INVALID,
               "E0610", "--> node 12 '/emb?[31m' (Gather)");
  input.data = good;
  assert_ok(sinter_session_run(f.session, "main", &input, 1, &output, 1));
  input.dims[0] = 1;
  assert_error(
      sinter_session_run(f.session, "main", &input, 1, &output, 1), SINTER_INVALID, "E0613",
      "shapes do not broadcast: needs 2 <= n, but these are 2 and 1\n  --> node '/need' (Expand)");
  fixture_close(&f);
}

/* Packed 4-bit input to one per byte and back. */
static void sub_byte_ports(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  engine_maker_init(e, 1);
  uint32_t n = manifest_build_symbol_expr(&e->build, manifest_build_symbol(&e->build, "n", 0, 100));
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_I4, n);
  uint32_t wide = engine_output(e, entry, 0, "wide", DTYPE_I8, n);
  uint32_t y = engine_output(e, entry, 0, "y", DTYPE_I4, n);
  uint32_t block = manifest_build_block(&e->build);
  manifest_build_variant(&e->build, entry, block);
  manifest_build_step_layout(&e->build, block);
  Engine__Unpack *unpack = manifest_build_step_unpack(&e->build, block);
  unpack->dst = wide, unpack->src = x, unpack->elements = n, unpack->dtype = DTYPE_I4;
  Engine__Pack *pack = manifest_build_step_pack(&e->build, block);
  pack->dst = y, pack->src = wide, pack->elements = n, pack->dtype = DTYPE_I4;
  fixture_open(&f, 1);

  uint8_t x_data[] = {0x81, 0x0f};
  sinter_tensor input = engine_tensor(SINTER_I4, 3, x_data, sizeof x_data), outputs[2] = {0};
  assert_ok(sinter_session_run(f.session, "main", &input, 1, outputs, 2));
  const int8_t wanted[] = {1, -8, -1};
  assert_int_equal(outputs[0].bytes, 3);
  assert_memory_equal(outputs[0].data, wanted, 3);
  assert_int_equal(outputs[1].bytes, 2);
  assert_memory_equal(outputs[1].data, x_data, 2);
  fixture_close(&f);
}

struct events {
  int count;
  sinter_profile_event last;
};

static void note_event(void *user, const sinter_profile_event *event) {
  struct events *events = user;
  events->count++;
  events->last = *event;
}

static void profile_sees_every_launch(void **state) {
  (void)state;
  struct fixture f;
  struct events events = {0};
  make_add(&f.maker, 4);
  fixture_open(&f, 1);
  sinter_session_options options = {
      .struct_size = sizeof options, .profile = note_event, .profile_user = &events, .threads = 1};
  sinter_session *session;
  assert_ok(sinter_session_create(f.engine, &options, &session));
  float x[4] = {0};
  sinter_tensor input = engine_tensor(SINTER_F32, 4, x, sizeof x), output = {0};
  assert_ok(sinter_session_run(session, "main", &input, 1, &output, 1));
  assert_int_equal(events.count, 2);
  assert_string_equal(events.last.kernel, "add_f32");
  assert_string_equal(events.last.node, "");
  assert_int_equal(events.last.tiles, 4);
  assert_true(events.last.end_ns >= events.last.start_ns);
  sinter_session_destroy(session);
  fixture_close(&f);
}

static void results_do_not_depend_on_threads(void **state) {
  (void)state;
  enum { N = 10000, WIDTH = 16, TILES = N / WIDTH };
  struct engine_maker maker;
  struct engine_maker *e = &maker;
  engine_maker_init(e, 0);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_I64, engine_const(e, N));
  uint32_t y = engine_output(e, entry, 0, "y", DTYPE_I64, engine_const(e, TILES));
  uint32_t block = manifest_build_block(&e->build);
  manifest_build_variant(&e->build, entry, block);
  manifest_build_step_layout(&e->build, block);
  Engine__Launch *launch = engine_launch(e, block, KERNEL_thread_sum_i64, (uint32_t[]){x, y},
                                         (uint32_t[]){engine_const(e, N), engine_const(e, WIDTH)},
                                         engine_const(e, TILES));
  launch->scratch = engine_const(e, WIDTH * 8);
  size_t n;
  uint8_t *bytes = engine_maker_bytes(e, &n);
  sinter_engine *engine = engine_maker_open(bytes, n);
  static int64_t data[N], first[TILES];
  for (int i = 0; i < N; i++)
    data[i] = (int64_t)i * i % 977;
  for (uint32_t threads = 1; threads <= 8; threads++) {
    sinter_session_options options = {.struct_size = sizeof options, .threads = threads};
    sinter_session *session;
    assert_ok(sinter_session_create(engine, &options, &session));
    sinter_tensor input = engine_tensor(SINTER_I64, N, data, sizeof data), output = {0};
    for (int i = 0; i < 50; i++) {
      assert_ok(sinter_session_run(session, "main", &input, 1, &output, 1));
      if (threads == 1)
        memcpy(first, output.data, sizeof first);
      assert_memory_equal(output.data, first, sizeof first);
    }
    sinter_session_destroy(session);
  }
  sinter_engine_close(engine);
  free(bytes);
  engine_maker_deinit(e);
}

static void files_and_devices(void **state) {
  (void)state;
  struct engine_maker e;
  char path[512];
  make_add(&e, 4);
  engine_maker_path(path, sizeof path, "files_and_devices");
  engine_maker_write(&e, path);
  sinter_engine *engine;
  sinter_engine_options verify = {.struct_size = sizeof verify, .verify_weights = 1};
  assert_ok(sinter_engine_open(path, &verify, &engine));
  sinter_session *session;
  sinter_session_options other = {.struct_size = sizeof other, .devices = "tpu:0"};
  assert_error(sinter_session_create(engine, &other, &session), SINTER_USAGE, "E0701", "'tpu:0'");
  assert_ok(sinter_session_create(engine, NULL, &session));
  float x[4] = {1, 1, 1, 1};
  sinter_tensor input = engine_tensor(SINTER_F32, 4, x, sizeof x), output = {0};
  assert_ok(sinter_session_run(session, "main", &input, 1, &output, 1));
  assert_true(((float *)output.data)[3] == 6);
  sinter_session_destroy(session);
  sinter_engine_close(engine);
  unlink(path);
  assert_error(sinter_engine_open(path, NULL, &engine), SINTER_RESOURCES, "E0510", "No such file");
  assert_error(sinter_engine_open("/dev/null", NULL, &engine), SINTER_RESOURCES, "E0510",
               "regular");
  engine_maker_deinit(&e);
}

static void code_for_another_processor(void **state) {
  (void)state;
  struct engine_maker e;
  make_add(&e, 4);
  e.target = "x86-64-v3+warp9";
  size_t n;
  uint8_t *bytes = engine_maker_bytes(&e, &n);
  sinter_engine *engine = engine_maker_open(bytes, n);
  sinter_session *session;
  assert_error(sinter_session_create(engine, NULL, &session), SINTER_UNSUPPORTED, "E0508",
               "x86-64-v3+warp9");
  sinter_engine_close(engine);
  free(bytes);
  engine_maker_deinit(&e);
}

static void memory_limit(void **state) {
  (void)state;
  struct fixture f;
  make_add(&f.maker, 0);
  fixture_open(&f, 1);
  sinter_session_options options = {.struct_size = sizeof options, .memory_limit = 128};
  sinter_session *session;
  assert_ok(sinter_session_create(f.engine, &options, &session));
  float x[4] = {0};
  sinter_tensor input = engine_tensor(SINTER_F32, 4, x, sizeof x), output = {0};
  assert_error(sinter_session_run(session, "main", &input, 1, &output, 1), SINTER_RESOURCES,
               "E0615", "128 B");
  sinter_session_destroy(session);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(static_graph),
      cmocka_unit_test(introspection),
      cmocka_unit_test(dynamic_shapes),
      cmocka_unit_test(session_owned_outputs_follow_the_shape),
      cmocka_unit_test(wrong_ports),
      cmocka_unit_test(optional_input_and_derived_dims),
      cmocka_unit_test(variants),
      cmocka_unit_test(kernel_errors_and_checks),
      cmocka_unit_test(sub_byte_ports),
      cmocka_unit_test(profile_sees_every_launch),
      cmocka_unit_test(results_do_not_depend_on_threads),
      cmocka_unit_test(files_and_devices),
      cmocka_unit_test(code_for_another_processor),
      cmocka_unit_test(memory_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
