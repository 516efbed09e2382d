/* SPDX-License-Identifier: Apache-2.0 */
/* Strings at the ends of a plan and in host steps; what a file may say of them. */
#include "base/host_op.h"
#include "tests/support/engine_fixture.h"

#include "tests/support/count_calls.h"

/* y = upper(x + suffix), n = parts of y at "-"; x[n]. */
static void make_plan(struct engine_maker *e) {
  static struct host_strings strings;
  static uint64_t suffix[2], cut[1];
  static const int64_t any[1] = {-1};
  if (!strings.items && !host_strings_init(&strings, NULL, 0))
    abort();
  host_strings_add(&strings, "-z", 2, &suffix[0]);
  host_strings_add(&strings, "-", 1, &cut[0]);
  suffix[1] = suffix[0];
  engine_maker_init(e, 1);
  manifest_build_host_strings(&e->build, &strings);
  uint32_t symbol = manifest_build_symbol(&e->build, "n", 0, 2);
  uint32_t n = manifest_build_symbol_expr(&e->build, symbol), one = engine_const(e, 1);
  uint32_t add = engine_constant(e, "suffix", DTYPE_STRING, suffix, 2);
  uint32_t at = engine_constant(e, "cut", DTYPE_STRING, cut, 1);
  uint32_t most = engine_constant(e, "most", DTYPE_I64, any, 1);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_STRING, n);
  uint32_t y = engine_output(e, entry, 0, "y", DTYPE_STRING, n);
  uint32_t parts = engine_output(e, entry, 0, "parts", DTYPE_I64, n);
  uint32_t t = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_STRING, n, 0, 1);
  uint32_t block = manifest_build_block(&e->build);
  manifest_build_variant(&e->build, entry, block);
  manifest_build_step_layout(&e->build, block)->phase = 0;
  Engine__Host *concat = manifest_build_step_host(&e->build, block);
  concat->function = HOST_OP_CONCAT;
  concat->result = t;
  concat->elements = n;
  manifest_build_host_operands(&e->build, concat, (uint32_t[]){x, add}, (uint32_t[]){n, n}, 2);
  Engine__Host *upper = manifest_build_step_host(&e->build, block);
  upper->function = HOST_OP_UPPER;
  upper->result = y;
  upper->elements = n;
  manifest_build_host_operands(&e->build, upper, &t, &n, 1);
  Engine__Host *count = manifest_build_step_host(&e->build, block);
  count->function = HOST_OP_SPLIT_COUNT;
  count->result = parts;
  count->elements = n;
  manifest_build_host_operands(&e->build, count, (uint32_t[]){y, at, most},
                               (uint32_t[]){n, one, one}, 3);
}

static sinter_tensor strings_of(sinter_string *x, int64_t n) {
  return engine_tensor(SINTER_STRING, n, x, (uint64_t)n * sizeof *x);
}

static void expect(const sinter_tensor *t, int64_t i, const char *text) {
  const sinter_string *s = (const sinter_string *)t->data + i;
  assert_int_equal(s->size, strlen(text));
  assert_memory_equal(s->data, text, s->size);
}

static void run_of_strings(void **state) {
  (void)state;
  struct fixture f;
  make_plan(&f.maker);
  fixture_open(&f, 1);
  sinter_string x[] = {{"a-b", 3}, {NULL, 0}}, own[2];
  sinter_tensor in = strings_of(x, 2), out[2] = {0};
  for (int i = 0; i < 3; i++) {
    assert_ok(sinter_session_run(f.session, "main", &in, 1, out, 2));
    assert_int_equal(out[0].dtype, SINTER_STRING);
    assert_int_equal(out[0].bytes, 2 * sizeof *x);
    expect(&out[0], 0, "A-B-Z");
    expect(&out[0], 1, "-Z");
    assert_int_equal(((int64_t *)out[1].data)[0], 3);
    assert_int_equal(((int64_t *)out[1].data)[1], 2);
  }
  out[0] = (sinter_tensor){.data = own, .bytes = sizeof own};
  assert_ok(sinter_session_run(f.session, "main", &in, 1, out, 2));
  assert_ptr_equal(out[0].data, own);
  expect(&out[0], 0, "A-B-Z");
  in = strings_of(x, 0);
  out[0].data = NULL;
  assert_ok(sinter_session_run(f.session, "main", &in, 1, out, 2));
  assert_int_equal(out[0].dims[0], 0);
  fixture_close(&f);
}

static void wrong_memory(void **state) {
  (void)state;
  struct fixture f;
  make_plan(&f.maker);
  fixture_open(&f, 1);
  sinter_string x[] = {{"a", 1}, {NULL, 2}}, own[1];
  sinter_tensor in = strings_of(x, 2), out[2] = {0};
  assert_error(sinter_session_run(f.session, "main", &in, 1, out, 2), SINTER_USAGE, "E0607",
               "no memory");
  x[1].size = 0;
  in.bytes = 2 * sizeof *x - 1;
  assert_error(sinter_session_run(f.session, "main", &in, 1, out, 2), SINTER_USAGE, "E0607",
               "32 B");
  in.bytes = sizeof x;
  out[0] = (sinter_tensor){.data = own, .bytes = sizeof own};
  assert_error(sinter_session_run(f.session, "main", &in, 1, out, 2), SINTER_USAGE, "E0607",
               "32 B");
  in.dtype = SINTER_I64;
  assert_error(sinter_session_run(f.session, "main", &in, 1, out, 2), SINTER_USAGE, "E0603",
               "string");
  fixture_close(&f);
}

/* A run like the one before it allocates nothing. */
static void memory(void **state) {
  (void)state;
  struct fixture f;
  make_plan(&f.maker);
  fixture_open(&f, 1);
  char text[2][9000];
  memset(text, 'q', sizeof text);
  sinter_string x[] = {{text[0], 9000}, {text[1], 8000}};
  sinter_tensor in = strings_of(x, 2), out[2] = {0};
  assert_ok(sinter_session_run(f.session, "main", &in, 1, out, 2));
  calls = 0;
  counting = 1;
  sinter_status s = sinter_session_run(f.session, "main", &in, 1, out, 2);
  counting = 0;
  assert_ok(s);
  assert_int_equal(((sinter_string *)out[0].data)[0].size, 9002);
  if (calls > 0)
    fail_msg("%ld calls", (long)calls);
  fixture_close(&f);
}

/* Numbers in a file that are no strings. */
static void hostile_numbers(void **state) {
  (void)state;
  struct fixture f;
  make_plan(&f.maker);
  f.maker.build.manifest.n_host_strings = 2; /* the second constant's is gone */
  fixture_open(&f, 1);
  sinter_string x[] = {{"a", 1}};
  sinter_tensor in = strings_of(x, 1), out[2] = {0};
  /* The input's first string takes the number that is missing, so this may be right or refused. */
  sinter_session_run(f.session, "main", &in, 1, out, 2);
  fixture_close(&f);

  make_plan(&f.maker);
  Engine__Block *block = f.maker.build.manifest.blocks[1];
  block->steps[1]->host->operands[1] = block->steps[3]->host->operands[1]; /* of one element */
  fixture_open(&f, 1);
  in = strings_of((sinter_string[]){{"a", 1}, {"b", 1}}, 2);
  out[0] = out[1] = (sinter_tensor){0};
  assert_error(sinter_session_run(f.session, "main", &in, 1, out, 2), SINTER_INTERNAL, "E0612", "");
  fixture_close(&f);
}

static void refused(const char *text, void (*damage)(Engine__Host *host)) {
  struct fixture f;
  sinter_engine *engine = NULL;
  make_plan(&f.maker);
  damage(f.maker.build.manifest.blocks[1]->steps[1]->host);
  f.bytes = engine_maker_bytes(&f.maker, &f.n);
  assert_error(sinter_engine_open_memory(f.bytes, f.n, NULL, &engine), SINTER_INVALID, "E0507",
               text);
  free(f.bytes);
  engine_maker_deinit(&f.maker);
}

static void no_function(Engine__Host *host) { host->function = 99; }
static void too_few(Engine__Host *host) { host->n_operands = host->n_operand_elements = 1; }
static void no_value(Engine__Host *host) { host->operands[0] = 999; }
static void no_result(Engine__Host *host) { host->result = 0; }
static void no_count(Engine__Host *host) { host->operand_elements[0] = 999; }
static void wrong_type(Engine__Host *host) { host->function = HOST_OP_SPLIT_COUNT; }

static void refused_steps(void **state) {
  (void)state;
  refused("host function 99", no_function);
  refused("takes 2 operands", too_few);
  refused("999", no_value);
  refused("", no_result);
  refused("999", no_count);
  refused("operands", wrong_type);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(run_of_strings),  cmocka_unit_test(wrong_memory),  cmocka_unit_test(memory),
      cmocka_unit_test(hostile_numbers), cmocka_unit_test(refused_steps),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
