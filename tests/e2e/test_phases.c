/* SPDX-License-Identifier: Apache-2.0 */
/* prefill and decode of decoders against the model itself: `main`, as imported, run by the
 * interpreter over all tokens of a row at once. Two rows of different length, the prompts in two
 * pieces, then steps; by the interpreter and by engines, for one rank and for several. With
 * SINTER_SHARED, all decoders of its data folder. */
#include "codegen/target.h"
#include "compiler/compile_driver.h"
#include "frontend/onnx/model_load.h"
#include "include/sinter/runtime.h"
#include "ir/interp.h"
#include "passes/phases/phase_roles.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 2, PIECE = 3, STEPS = 4, CAPACITY = 64, LONGEST = 16 };

/* Tokens of the prompts' pieces, and of the steps. Row 1 gets none of the second piece. */
static const int64_t pieces[2][ROWS] = {{3, 2}, {2, 0}};

struct decoder {
  char path[1024];
  double tolerance; /* of the logits' range */
  struct diags diags;
  struct arena arena;
  struct onnx_model *model[2];
  struct module *imported, *derived;
  struct phase_roles roles; /* of the imported one */
  int64_t tokens[ROWS][LONGEST];
  int64_t n[ROWS];
  struct tensor *wanted[ROWS]; /* logits [1, n, vocabulary] */
  double range;
};

static void no_error(const struct decoder *d, status s) {
  if (s)
    diags_print(&d->diags, stderr);
  assert_int_equal(s, STATUS_OK);
}

static const struct function *function_of(const struct module *m, const char *name) {
  for (uint32_t i = 0; i < m->entries.len; i++)
    if (!strcmp(m->entries.data[i].name, name))
      return vec_last(&m->entries.data[i].variants).function;
  fail_msg("there is no '%s'", name);
  return NULL;
}

static const struct type *param_type(const struct function *f, uint32_t i) {
  return value_type(f, f->regions.data[0].params.data[i]);
}

static struct tensor *tensor_of(struct decoder *d, enum dtype dtype, int64_t rows, int64_t n) {
  struct tensor *t = tensor_create(&d->arena, dtype, (const int64_t[]){rows, n}, n < 0 ? 1 : 2);
  return t;
}

/* ---- the model itself ---- */

/* A cache without rows; its other dims are the state's. */
static struct tensor *empty_past(struct decoder *d, uint32_t state) {
  const struct entry *e = &d->derived->entries.data[1];
  const struct type *type =
      param_type(function_of(d->derived, "prefill"), e->states.data[state].input);
  int64_t dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < type->rank; i++)
    dim_is_const(d->derived->dims, type->dims[i], &dims[i]);
  dims[0] = 1;
  dims[d->roles.states.data[state].axis] = 0;
  return tensor_create(&d->arena, type->dtype, dims, type->rank);
}

static void run_main(struct decoder *d, uint32_t row) {
  const struct function *f = function_of(d->imported, "main");
  uint32_t n_in = f->regions.data[0].params.len, n_out = f->regions.data[0].results.len;
  struct tensor **in = ARENA_ARRAY(&d->arena, struct tensor *, n_in + 1);
  struct tensor **out = ARENA_ARRAY(&d->arena, struct tensor *, n_out + 1);
  for (uint32_t k = 0; k < PHASE_LOGITS; k++) {
    uint32_t i = d->roles.port[k];
    if (i == PORT_NONE)
      continue;
    in[i] = tensor_of(d, param_type(f, i)->dtype, 1, d->n[row]);
    for (int64_t j = 0; j < d->n[row]; j++)
      in[i]->i64[j] = k == PHASE_TOKENS ? d->tokens[row][j] : k == PHASE_MASK ? 1 : j;
  }
  for (uint32_t i = 0; i < d->roles.states.len; i++)
    in[d->roles.states.data[i].past] = empty_past(d, i);
  no_error(d, interp_run(f, INTERP_TYPED, in, &d->arena, &d->diags, out));
  d->wanted[row] = out[d->roles.port[PHASE_LOGITS]];
  for (int64_t k = 0; k < d->wanted[row]->count; k++)
    d->range = fmax(d->range, fabs(d->wanted[row]->f64[k]));
}

/* ---- comparison ---- */

/* Logits [ROWS, vocabulary] of each row whose `done`-th token was the last. */
static void compare(const struct decoder *d, const double *logits, int64_t vocabulary,
                    const int64_t *done, const int64_t *added) {
  for (uint32_t r = 0; r < ROWS; r++) {
    assert_int_equal(d->wanted[r]->dims[2], vocabulary);
    for (int64_t i = 0; added[r] && i < vocabulary; i++) {
      double want = d->wanted[r]->f64[(done[r] - 1) * vocabulary + i],
             have = logits[r * vocabulary + i];
      if (!(fabs(want - have) <= d->tolerance * d->range))
        fail_msg("%s: row %u, token %lld, logit %lld is %g, not %g", d->path, r, (long long)done[r],
                 (long long)i, have, want);
    }
  }
}

/* ---- a script of runs, for both ---- */

/* Runs an entry on tokens [ROWS, n] of which count are valid, and gives logits [ROWS, vocabulary].
 */
typedef const double *(*run_fn)(void *user, struct decoder *d, const char *entry,
                                const int64_t *tokens, int64_t n, const int64_t *count,
                                int64_t *out_vocabulary);

static void play_run(struct decoder *d, run_fn run, void *user, const char *entry, int64_t n,
                     const int64_t *count, int64_t *done) {
  int64_t tokens[ROWS * LONGEST], vocabulary;
  for (uint32_t r = 0; r < ROWS; r++)
    for (int64_t i = 0; i < n; i++)
      tokens[r * n + i] = i < count[r] ? d->tokens[r][done[r] + i] : 0;
  for (uint32_t r = 0; r < ROWS; r++)
    done[r] += count[r];
  const double *logits = run(user, d, entry, tokens, n, count, &vocabulary);
  compare(d, logits, vocabulary, done, count);
}

static void play(struct decoder *d, run_fn run, void *user) {
  static const int64_t ones[ROWS] = {1, 1};
  int64_t done[ROWS] = {0};
  for (uint32_t p = 0; p < 2; p++)
    play_run(d, run, user, "prefill", PIECE, pieces[p], done);
  for (uint32_t s = 0; s < STEPS; s++)
    play_run(d, run, user, "decode", 1, ones, done);
}

/* ---- by the interpreter ---- */

struct interpreted {
  struct tensor **states;
  struct tensor *length;
};

static struct tensor *counters(struct decoder *d, const int64_t *x) {
  struct tensor *t = tensor_create(&d->arena, DTYPE_I64, (const int64_t[]){ROWS}, 1);
  memcpy(t->i64, x, ROWS * sizeof *x);
  return t;
}

static const double *interpret(void *user, struct decoder *d, const char *name,
                               const int64_t *tokens, int64_t n, const int64_t *count,
                               int64_t *out_vocabulary) {
  struct interpreted *x = user;
  const struct function *f = function_of(d->derived, name);
  const struct entry *e = &d->derived->entries.data[strcmp(name, "prefill") ? 2 : 1];
  struct tensor **in = ARENA_ARRAY(&d->arena, struct tensor *, e->input_names.len);
  struct tensor **out = ARENA_ARRAY(&d->arena, struct tensor *, e->output_names.len);
  in[0] = tensor_of(d, param_type(f, 0)->dtype, ROWS, n);
  memcpy(in[0]->i64, tokens, (size_t)(ROWS * n) * sizeof *tokens);
  if (e->count)
    in[e->count - 1] = counters(d, count);
  in[e->length - 1] = x->length;
  for (uint32_t i = 0; i < e->states.len; i++)
    in[e->states.data[i].input] = x->states[i];
  no_error(d, interp_run(f, INTERP_TYPED, in, &d->arena, &d->diags, out));
  for (uint32_t i = 0; i < e->states.len; i++)
    x->states[i] = out[e->states.data[i].output];
  x->length = counters(d, x->length->i64);
  for (uint32_t r = 0; r < ROWS; r++)
    x->length->i64[r] += count[r];
  *out_vocabulary = out[0]->dims[1];
  return out[0]->f64;
}

static void check_interpreter(struct decoder *d) {
  const struct entry *e = &d->derived->entries.data[1];
  struct interpreted x = {.length = counters(d, (const int64_t[ROWS]){0})};
  x.states = ARENA_ARRAY(&d->arena, struct tensor *, e->states.len);
  for (uint32_t i = 0; i < e->states.len; i++) {
    struct tensor *past = empty_past(d, i);
    past->dims[0] = ROWS;
    past->dims[d->roles.states.data[i].axis] = CAPACITY;
    x.states[i] = tensor_create(&d->arena, past->dtype, past->dims, past->rank);
    /* What lies behind a row's tokens must not matter. */
    for (int64_t k = 0; k < x.states[i]->count; k++)
      x.states[i]->f64[k] = 1000;
  }
  play(d, interpret, &x);
}

/* ---- by an engine ---- */

struct engine_run {
  sinter_engine *engine;
  sinter_session *session;
  double logits[ROWS * 1024];
};

static double element(const sinter_tensor *t, int64_t i) {
  struct arena arena = {0};
  enum dtype dtype = DTYPE_F32;
  dtype_from_onnx((int32_t)t->dtype, &dtype);
  const char *at = (const char *)t->data + (uint64_t)i * dtype_unpacked_bytes(dtype);
  double x = tensor_from_bytes(&arena, dtype, NULL, 0, at)->f64[0];
  arena_deinit(&arena);
  return x;
}

static const double *run_engine(void *user, struct decoder *d, const char *name,
                                const int64_t *tokens, int64_t n, const int64_t *count,
                                int64_t *out_vocabulary) {
  struct engine_run *x = user;
  bool prefill = !strcmp(name, "prefill");
  int64_t counts[ROWS] = {count[0], count[1]};
  sinter_tensor out = {0};
  sinter_tensor in[2] = {
      {SINTER_I64, 2, {ROWS, n}, (void *)(uintptr_t)tokens, (uint64_t)(ROWS * n) * 8},
      {SINTER_I64, 1, {ROWS}, counts, sizeof counts}};
  if (sinter_session_run(x->session, name, in, prefill ? 2 : 1, &out, 1))
    fail_msg("%s: %s", d->path, sinter_last_error());
  *out_vocabulary = out.dims[1];
  assert_true(out.dims[0] == ROWS &&
              ROWS * out.dims[1] <= (int64_t)(sizeof x->logits / sizeof *x->logits));
  for (int64_t i = 0; i < ROWS * out.dims[1]; i++)
    x->logits[i] = element(&out, i);
  return x->logits;
}

static void expect_length(struct engine_run *x, int64_t row, int64_t length) {
  int64_t have;
  assert_int_equal(sinter_session_length(x->session, row, &have), SINTER_OK);
  assert_int_equal(have, length);
}

/* One token after row 1 became row 0, less its last token, and was given that again. */
static void check_states(struct decoder *d, struct engine_run *x) {
  double before[1024];
  int64_t last = d->n[0] - 1, n;
  expect_length(x, 0, d->n[0]);
  expect_length(x, 1, d->n[1]);
  expect_length(x, 9, 0);
  assert_int_equal(sinter_session_truncate(x->session, 0, last), SINTER_OK);
  assert_int_equal(sinter_session_copy(x->session, 0, 1), SINTER_OK);
  expect_length(x, 1, last);
  const int64_t tokens[ROWS] = {d->tokens[0][last], d->tokens[0][last]};
  run_engine(x, d, "decode", tokens, 1, (const int64_t[]){1, 1}, &n);
  memcpy(before, x->logits, (size_t)n * sizeof *before);
  for (int64_t i = 0; i < n; i++) {
    assert_true(fabs(before[i] - d->wanted[0]->f64[last * n + i]) <= d->tolerance * d->range);
    assert_true(before[i] == x->logits[n + i]);
  }
  /* Growing keeps what is there. */
  assert_int_equal(sinter_session_truncate(x->session, 0, last), SINTER_OK);
  assert_int_equal(sinter_session_truncate(x->session, 1, last), SINTER_OK);
  assert_int_equal(sinter_session_reserve(x->session, 5, 3 * CAPACITY), SINTER_OK);
  run_engine(x, d, "decode", tokens, 1, (const int64_t[]){1, 1}, &n);
  for (int64_t i = 0; i < n; i++)
    assert_true(fabs(before[i] - x->logits[i]) <= d->tolerance * d->range);
  assert_int_equal(sinter_session_truncate(x->session, 0, last + 2), SINTER_USAGE);
  assert_int_equal(sinter_session_copy(x->session, 0, 5), SINTER_USAGE);
  assert_int_equal(sinter_session_copy(x->session, -1, 0), SINTER_USAGE);
  assert_int_equal(sinter_session_reset(x->session), SINTER_OK);
  expect_length(x, 0, 0);
}

/* Of the last run. */
static void check_exchanges(const struct decoder *d, struct engine_run *x) {
  for (uint32_t i = 0; i < sinter_session_exchange_count(x->session); i++) {
    sinter_exchange e = {.struct_size = sizeof e};
    assert_int_equal(sinter_session_get_exchange(x->session, i, &e), SINTER_OK);
    if (e.times && e.bytes != e.expected)
      fail_msg("%s: exchange %u is of %llu B, not %llu B", d->path, i, (unsigned long long)e.bytes,
               (unsigned long long)e.expected);
  }
}

/* mesh: "tp=2", or the machine that a plan is found for, or NULL: one rank. */
static void check_engine(struct decoder *d, const char *mesh) {
  static struct engine_run x;
  bool parallel = mesh && strchr(mesh, '=');
  struct strbuf path = {0};
  struct compiler_options o = {.model_path = d->path,
                               .output_path = compiler_temporary_path(&path),
                               .pipeline = {.verify_each = true,
                                            .parallel = parallel ? mesh : NULL,
                                            .machine = parallel ? NULL : mesh}};
  no_error(d, compiler_compile(&o, &d->diags));
  assert_int_equal(sinter_engine_open(path.data, NULL, &x.engine), SINTER_OK);
  assert_int_equal(sinter_session_create(x.engine, NULL, &x.session), SINTER_OK);
  unlink(path.data);
  strbuf_deinit(&path);
  play(d, run_engine, &x);
  check_states(d, &x);
  check_exchanges(d, &x);
  sinter_session_destroy(x.session);
  sinter_engine_close(x.engine);
}

/* ---- models ---- */

static void import(struct decoder *d, uint32_t i, struct module **out) {
  struct compiler_options o = {.model_path = d->path};
  no_error(d, compiler_import(&o, &d->diags, &d->model[i], out));
}

static void prepare(struct decoder *d) {
  struct pipeline_options passes = {.stop_after = "dce", .verify_each = true};
  struct strbuf why = {0};
  bool wrong;
  import(d, 0, &d->imported);
  import(d, 1, &d->derived);
  no_error(d, pipeline_run(d->derived, &passes, &d->diags));
  assert_int_equal(d->derived->entries.len, 3);
  const struct entry *main = &d->imported->entries.data[0];
  assert_true(
      phase_roles_find(main, main->variants.data[0].function, NULL, &d->roles, &why, &wrong));
  strbuf_deinit(&why);
  for (uint32_t r = 0; r < ROWS; r++) {
    d->n[r] = pieces[0][r] + pieces[1][r] + STEPS;
    for (int64_t i = 0; i < d->n[r]; i++)
      d->tokens[r][i] = (i * 37 + r * 11 + 5) % 97;
    run_main(d, r);
  }
}

/* On one rank, and on the meshes, up to a NULL. */
static void check_model(const char *folder, const char *name, double tolerance,
                        const char *const *meshes) {
  struct decoder d = {.tolerance = tolerance};
  snprintf(d.path, sizeof d.path, "%s/%s/model.onnx", folder, name);
  prepare(&d);
  check_interpreter(&d);
  check_engine(&d, NULL);
  for (; *meshes; meshes++)
    check_engine(&d, *meshes);
  phase_roles_deinit(&d.roles);
  module_destroy(d.imported);
  module_destroy(d.derived);
  onnx_model_destroy(d.model[0]);
  onnx_model_destroy(d.model[1]);
  arena_deinit(&d.arena);
  diags_deinit(&d.diags);
}

static void test_concat(void **state) {
  (void)state;
  /* Fewer keys than ranks; more ranks than kv heads, and than batch rows. */
  static const char *const meshes[] = {"tp=2,cache=2", "dp=2,cp=2",    "tp=3",  "tp=8",
                                       "cache=5",      "dp=3,cache=2", "cpux4", NULL};
  check_model(SINTER_TEST_SOURCE_DIR "/models", "chars_llama", 1e-4, meshes);
}

static void test_group_query_attention(void **state) {
  (void)state;
  static const char *const meshes[] = {"cp=2,cache=2,tp=2", "dp=2", NULL};
  check_model(SINTER_TEST_SOURCE_DIR "/models", "chars_llama_genai_int4", 1e-4, meshes);
}

static void test_all_exporters(void **state) {
  (void)state;
  static const struct {
    const char *name;
    double tolerance;
  } models[] = {
      {"genai_llama_fp32", 1e-4},      {"genai_llama_fp16", 1e-2},
      {"genai_qwen2_int4", 1e-4},      {"gpt2_past", 1e-4},
      {"llama3_rope_scaling", 1e-4},   {"llama_matmulnbits_8bit", 1e-4},
      {"llama_matmulnbits_u4", 1e-4},  {"llama_past", 1e-4},
      {"llama_past_fused", 1e-4},      {"llama_past_opset23", 1e-4},
      {"llama_past_ts_opset17", 1e-4}, {"llama_qdq_int4", 1e-4},
      {"mistral_past", 1e-4},          {"mixtral_past", 1e-4},
      {"qwen2_moe_past", 1e-4},        {"qwen2_past", 1e-4},
      {"qwen3_past_ts", 1e-4},
  };
  static const char *const meshes[] = {"tp=2,cache=2", "dp=2", "cp=4", "cache=3", "tp=4", NULL};
  const char *shared = getenv("SINTER_SHARED");
  char folder[512];
  if (!shared) {
    print_message("skipped: no models (set SINTER_SHARED)\n");
    skip();
  }
  snprintf(folder, sizeof folder, "%s/data", shared);
  for (uint32_t i = 0; i < sizeof models / sizeof *models; i++)
    check_model(folder, models[i].name, models[i].tolerance, meshes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_concat),
      cmocka_unit_test(test_group_query_attention),
      cmocka_unit_test(test_all_exporters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
