/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled models, among them decoders of changing shapes: after its first run at a shape, a
 * session takes no memory and no lock, and gives the same bits again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "frontend/onnx/onnx_value.h"
#include "sinter/compiler.h"
#include "tests/support/count_calls.h"

enum { SETS = 4, PORTS = 32 };

/* The inputs of a data set, and the digest of what came out of them at first. */
struct data_set {
  sinter_tensor inputs[PORTS];
  struct digest outputs;
};

struct steady {
  sinter_engine *engine;
  sinter_session *session;
  uint32_t n_inputs, n_outputs, n_sets;
  struct data_set sets[SETS];
};

static void read_input(const char *path, sinter_tensor *out) {
  struct diags diags = {0};
  struct onnx_value_file file;
  if (onnx_value_read(path, NULL, &diags, &file) != STATUS_OK)
    fail_msg("%s cannot be read", path);
  const struct onnx_tensor *t = &file.value.tensor;
  *out = (sinter_tensor){.dtype = (sinter_dtype)t->onnx_type, .rank = t->rank, .bytes = t->bytes};
  memcpy(out->dims, t->dims, t->rank * sizeof *t->dims);
  out->data = malloc(t->bytes + 64);
  if (t->bytes)
    memcpy(out->data, t->data, t->bytes);
  onnx_value_deinit(&file);
  diags_deinit(&diags);
}

static void read_sets(struct steady *s, const char *folder) {
  char path[4096];
  for (s->n_sets = 0; s->n_sets < SETS; s->n_sets++)
    for (uint32_t i = 0; i < s->n_inputs; i++) {
      snprintf(path, sizeof path, "%s/test_data_set_%u/input_%u.pb", folder, s->n_sets, i);
      if (access(path, R_OK))
        return;
      read_input(path, &s->sets[s->n_sets].inputs[i]);
    }
}

/* Runs a set; the digest is taken outside of what is counted. */
static void run(struct steady *s, struct data_set *set, long *out_calls, struct digest *out) {
  sinter_tensor outputs[PORTS] = {0};
  calls = 0;
  counting = 1;
  sinter_status st =
      sinter_session_run(s->session, "main", set->inputs, s->n_inputs, outputs, s->n_outputs);
  counting = 0;
  *out_calls = calls;
  if (st)
    fail_msg("%s", sinter_last_error());
  struct digest_stream stream;
  digest_stream_init(&stream);
  for (uint32_t i = 0; i < s->n_outputs; i++) {
    digest_stream_update(&stream, outputs[i].dims, outputs[i].rank * sizeof *outputs[i].dims);
    if (outputs[i].bytes)
      digest_stream_update(&stream, outputs[i].data, outputs[i].bytes);
  }
  *out = digest_stream_final(&stream);
}

static void open_model(struct steady *s, const char *model) {
  char folder[1024], path[1100], engine[] = "/tmp/sinter_steady_XXXXXX";
  snprintf(folder, sizeof folder, SINTER_TEST_SOURCE_DIR "/models/%s", model);
  snprintf(path, sizeof path, "%s/model.onnx", folder);
  close(mkstemp(engine));
  sinter_diagnostics *problems;
  if (sinter_compile(path, engine, NULL, &problems))
    fail_msg("%s", sinter_diagnostics_text(problems));
  sinter_diagnostics_destroy(problems);
  sinter_session_options o = {.struct_size = sizeof o, .threads = 2};
  if (sinter_engine_open(engine, NULL, &s->engine) ||
      sinter_session_create(s->engine, &o, &s->session))
    fail_msg("%s", sinter_last_error());
  unlink(engine);
  s->n_inputs = sinter_engine_input_count(s->engine, 0);
  s->n_outputs = sinter_engine_output_count(s->engine, 0);
  assert_true(s->n_inputs <= PORTS && s->n_outputs <= PORTS);
  read_sets(s, folder);
  assert_true(s->n_sets > 1);
}

static void close_model(struct steady *s) {
  for (uint32_t i = 0; i < s->n_sets; i++)
    for (uint32_t k = 0; k < s->n_inputs; k++)
      free(s->sets[i].inputs[k].data);
  sinter_session_destroy(s->session);
  sinter_engine_close(s->engine);
}

static void check_model(const char *model) {
  struct steady s = {0};
  struct digest digest;
  long taken = 0;
  open_model(&s, model);
  for (uint32_t i = 0; i < s.n_sets; i++) {
    run(&s, &s.sets[i], &taken, &s.sets[i].outputs);
#ifndef SANITIZED
    assert_true(i > 0 || taken > 0); /* the count counts */
#endif
  }
  for (uint32_t round = 0; round < 3; round++)
    for (uint32_t i = 0; i < s.n_sets; i++) {
      run(&s, &s.sets[i], &taken, &digest);
      if (taken)
        fail_msg("%s, set %u: %ld calls of malloc or a lock in round %u", model, i, taken, round);
      assert_memory_equal(&digest, &s.sets[i].outputs, sizeof digest);
    }
  close_model(&s);
}

static void classifier(void **state) { (void)state, check_model("digits_cnn"); }
static void decoder(void **state) { (void)state, check_model("chars_llama_plain"); }
static void decoder_with_cache(void **state) { (void)state, check_model("chars_llama"); }
static void four_bit_decoder(void **state) { (void)state, check_model("chars_llama_genai_int4"); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(classifier),
      cmocka_unit_test(decoder),
      cmocka_unit_test(decoder_with_cache),
      cmocka_unit_test(four_bit_decoder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
