/* SPDX-License-Identifier: Apache-2.0 */
/* States over several ranks: what a decode step exchanges does not grow with what lies before it,
 * and is what the plan says; whichever allocation fails while states grow, on whichever rank, the
 * caller is told why, and goes on where it was. */
#include "base/mem.h"
#include "compiler/compile_driver.h"
#include "include/sinter/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 1024, VOCABULARY = 128 };

struct decoder {
  sinter_engine *engine;
  sinter_session *session;
  float logits[4 * VOCABULARY];
};

static void open_decoder(struct decoder *d, const char *mesh) {
  struct strbuf path = {0};
  struct diags diags = {0};
  struct compiler_options o = {.model_path =
                                   SINTER_TEST_SOURCE_DIR "/models/chars_llama/model.onnx",
                               .output_path = compiler_temporary_path(&path),
                               .pipeline = {.parallel = mesh}};
  if (compiler_compile(&o, &diags))
    diags_print(&diags, stderr);
  assert_int_equal(sinter_engine_open(path.data, NULL, &d->engine), SINTER_OK);
  assert_int_equal(sinter_session_create(d->engine, NULL, &d->session), SINTER_OK);
  unlink(path.data);
  strbuf_deinit(&path);
  diags_deinit(&diags);
}

static void close_decoder(struct decoder *d) {
  sinter_session_destroy(d->session);
  sinter_engine_close(d->engine);
}

/* n tokens for each of `rows` rows: prefill, or, of one token, decode. */
static sinter_status run(struct decoder *d, int64_t rows, int64_t n, bool decode) {
  static int64_t tokens[4 * MOST];
  int64_t counts[4] = {n, n, n, n};
  sinter_tensor out = {0};
  for (int64_t i = 0; i < rows * n; i++)
    tokens[i] = 32 + i * 37 % 90;
  sinter_tensor in[2] = {{SINTER_I64, 2, {rows, n}, tokens, (uint64_t)(rows * n) * 8},
                         {SINTER_I64, 1, {rows}, counts, (uint64_t)rows * 8}};
  sinter_status st =
      sinter_session_run(d->session, decode ? "decode" : "prefill", in, decode ? 1 : 2, &out, 1);
  if (!st)
    memcpy(d->logits, out.data, (size_t)rows * VOCABULARY * sizeof *d->logits);
  return st;
}

static void must_run(struct decoder *d, int64_t rows, int64_t n, bool decode) {
  if (run(d, rows, n, decode))
    fail_msg("%s", sinter_last_error());
}

/* ---- bytes ---- */

/* Of the last run, exchange by exchange; and their sum. */
static uint64_t take_bytes(const struct decoder *d, uint64_t *out) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < sinter_session_exchange_count(d->session); i++) {
    sinter_exchange e = {.struct_size = sizeof e};
    assert_int_equal(sinter_session_get_exchange(d->session, i, &e), SINTER_OK);
    out[i] = e.times ? e.bytes : 0;
    if (e.times)
      assert_int_equal(e.bytes, e.expected);
    sum += out[i];
  }
  return sum;
}

static void test_decode_is_flat(void **state) {
  static const char *const meshes[] = {"cache=4", "tp=2,cache=2", "dp=2,cache=3"};
  static const int64_t contexts[] = {1, 15, 63, 64, 300, 1000};
  (void)state;
  for (uint32_t m = 0; m < 3; m++) {
    struct decoder d;
    open_decoder(&d, meshes[m]);
    uint32_t n = sinter_session_exchange_count(d.session);
    uint64_t *first = calloc(n, 8), *bytes = calloc(n, 8), sum = 0, before = 0;
    for (uint32_t i = 0; i < sizeof contexts / sizeof *contexts; i++) {
      assert_int_equal(sinter_session_reset(d.session), SINTER_OK);
      must_run(&d, 2, contexts[i], false);
      uint64_t prefill = take_bytes(&d, bytes);
      assert_true(prefill > before);
      before = prefill;
      must_run(&d, 2, 1, true);
      uint64_t decode = take_bytes(&d, i ? bytes : first);
      if (i)
        assert_memory_equal(bytes, first, n * sizeof *bytes);
      assert_true(decode > 0 && (!sum || decode == sum));
      sum = decode;
    }
    free(first);
    free(bytes);
    close_decoder(&d);
  }
}

/* ---- memory ---- */

static void expect_as_before(struct decoder *d, const float *wanted) {
  int64_t length;
  assert_int_equal(sinter_session_length(d->session, 0, &length), SINTER_OK);
  assert_int_equal(length, 40);
  must_run(d, 1, 1, true);
  /* Another capacity is another order of sums. */
  for (uint32_t i = 0; i < VOCABULARY; i++)
    assert_true(wanted[i] - d->logits[i] < 1e-3f && d->logits[i] - wanted[i] < 1e-3f);
  assert_int_equal(sinter_session_truncate(d->session, 0, 40), SINTER_OK);
}

static void test_growth_may_fail(void **state) {
  struct decoder d;
  float wanted[VOCABULARY];
  uint64_t n = 1, failures = 0;
  (void)state;
  open_decoder(&d, "tp=2,cache=2");
  for (bool grown = false; !grown; n++) {
    assert_int_equal(sinter_session_reset(d.session), SINTER_OK);
    must_run(&d, 1, 40, false);
    if (n == 1) {
      must_run(&d, 1, 1, true);
      memcpy(wanted, d.logits, sizeof wanted);
      assert_int_equal(sinter_session_truncate(d.session, 0, 40), SINTER_OK);
    }
    mem_fail_nth(n);
    sinter_status st = sinter_session_reserve(d.session, 3, 200);
    grown = mem_fail_pending();
    mem_fail_nth(0);
    if (st != (grown ? SINTER_OK : SINTER_RESOURCES))
      fail_msg("allocation %llu: %d, %s", (unsigned long long)n, (int)st, sinter_last_error());
    if (!grown)
      assert_non_null(strstr(sinter_last_error(), "E0615"));
    failures += !grown;
    expect_as_before(&d, wanted);
  }
  assert_true(failures > 4 * 8); /* eight states on each rank */
  must_run(&d, 3, 50, false);
  close_decoder(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_decode_is_flat),
      cmocka_unit_test(test_growth_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
