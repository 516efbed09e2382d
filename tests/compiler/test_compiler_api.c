/* SPDX-License-Identifier: Apache-2.0 */
/* The public compiler API: results, diagnostics, progress, options of older callers, exhaustion. */
#include "base/mem.h"
#include "sinter/compiler.h"
#include "sinter/runtime.h"
#include "tests/support/onnx_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#define LEAKS_BEGIN() __lsan_disable()
#define LEAKS_END() __lsan_enable()
#else
#define LEAKS_BEGIN() ((void)0)
#define LEAKS_END() ((void)0)
#endif

static const char model[] = SINTER_TEST_SOURCE_DIR "/models/digits_cnn/model.onnx";
static char engine[64];

static int set_up(void **state) {
  (void)state;
  snprintf(engine, sizeof engine, "/tmp/sinter-api-%ld.sinter", (long)getpid());
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  unlink(engine);
  return 0;
}

static void an_engine_comes_out_and_opens(void **state) {
  (void)state;
  const char *shapes[] = {"image:1..4x1x8x8"};
  sinter_compiler_options options = {
      .struct_size = sizeof options, .target = "x86-64-v2", .shapes = shapes, .n_shapes = 1};
  sinter_diagnostics *list;
  assert_int_equal(sinter_compile(model, engine, &options, &list), SINTER_OK);
  assert_int_equal(sinter_diagnostics_count(list), 0);
  assert_string_equal(sinter_diagnostics_text(list), "");
  sinter_diagnostics_destroy(list);
  sinter_engine *e;
  assert_int_equal(sinter_engine_open(engine, NULL, &e), SINTER_OK);
  assert_string_equal(sinter_engine_target_name(e, 0), "x86-64-v2");
  assert_int_equal(sinter_engine_input(e, 0, 0)->dims[0].hi, 4);
  sinter_engine_close(e);
}

/* Two nodes, one kernel. */
static void an_error_names_the_node_that_made_it(void **state) {
  (void)state;
  static const char text[] = "in t f32 [3,2]\n in a i64 [1]\n in u f32 [3,2]\n in b i64 [1]\n"
                             " x = Gather(t, a)\n y = Gather(u, b)\n out x\n out y";
  struct arena arena = {0};
  char path[64];
  size_t size;
  const uint8_t *bytes = onnx_text_pack(text, &arena, &size);
  snprintf(path, sizeof path, "/tmp/sinter-api-%ld.onnx", (long)getpid());
  FILE *f = fopen(path, "wb");
  assert_int_equal(fwrite(bytes, 1, size, f), size);
  fclose(f);
  assert_int_equal(sinter_compile(path, engine, NULL, NULL), SINTER_OK);
  unlink(path);
  sinter_engine *e;
  sinter_session *s;
  assert_int_equal(sinter_engine_open(engine, NULL, &e), SINTER_OK);
  assert_int_equal(sinter_session_create(e, NULL, &s), SINTER_OK);
  float table[6] = {0};
  for (int wrong = 0; wrong < 3; wrong++) {
    int64_t at[2] = {wrong == 1 ? 7 : 0, wrong == 2 ? 7 : 0};
    sinter_tensor in[4] = {0}, out[2] = {0};
    for (int i = 0; i < 4; i++) {
      bool index = i % 2;
      in[i] = (sinter_tensor){.dtype = index ? SINTER_I64 : SINTER_F32,
                              .rank = index ? 1 : 2,
                              .dims = {index ? 1 : 3, 2},
                              .data = index ? (void *)&at[i / 2] : table,
                              .bytes = index ? sizeof *at : sizeof table};
    }
    sinter_status st = sinter_session_run(s, "main", in, 4, out, 2);
    assert_int_equal(st == SINTER_OK, wrong == 0);
    if (wrong)
      assert_non_null(strstr(sinter_last_error(), wrong == 1 ? "node 0" : "node 1"));
  }
  sinter_session_destroy(s);
  sinter_engine_close(e);
  arena_deinit(&arena);
}

static void problems_are_listed_with_code_and_place(void **state) {
  (void)state;
  sinter_diagnostics *list;
  sinter_diagnostic d;
  assert_int_equal(sinter_check("/nowhere/model.onnx", NULL, &list), SINTER_USAGE);
  assert_true(sinter_diagnostics_count(list) > 0);
  assert_int_equal(sinter_diagnostics_get(list, 0, &d), SINTER_OK);
  assert_string_equal(d.code, "E0903");
  assert_true(d.is_error);
  assert_string_equal(d.file, "/nowhere/model.onnx");
  assert_string_equal(d.node, "");
  assert_int_equal(d.node_index, -1);
  assert_non_null(strstr(sinter_diagnostics_text(list), "error[E0903]"));
  assert_non_null(strstr(sinter_diagnostics_json(list), "\"E0903\""));
  assert_int_equal(sinter_diagnostics_get(list, 1000, &d), SINTER_USAGE);
  sinter_diagnostics_destroy(list);
}

static void mistakes_of_the_caller_are_usage(void **state) {
  (void)state;
  sinter_compiler_options no_size = {0};
  sinter_diagnostics *list;
  assert_int_equal(sinter_compile(NULL, engine, NULL, &list), SINTER_USAGE);
  assert_null(list);
  assert_int_equal(sinter_compile(model, NULL, NULL, NULL), SINTER_USAGE);
  assert_int_equal(sinter_check(model, &no_size, NULL), SINTER_USAGE);
  assert_int_equal(sinter_diagnostics_count(NULL), 0);
  sinter_diagnostics_destroy(NULL);
}

/* A caller that knows no field behind `target` has what lies there left alone. */
static void options_of_older_callers_are_read_as_far_as_they_go(void **state) {
  (void)state;
  sinter_compiler_options options;
  memset(&options, 0xa5, sizeof options);
  options.struct_size = offsetof(sinter_compiler_options, shapes);
  options.target = "x86-64-v2";
  assert_int_equal(sinter_compile(model, engine, &options, NULL), SINTER_OK);
}

struct watch {
  uint32_t calls, stop_at;
  char phases[64];
};

static int on_progress(void *user, const char *phase, uint32_t done, uint32_t total) {
  struct watch *w = user;
  assert_true(done < total);
  assert_int_equal(done, w->calls);
  strncat(w->phases, phase, sizeof w->phases - strlen(w->phases) - 1);
  return w->calls++ == w->stop_at;
}

static void progress_is_told_and_can_stop(void **state) {
  (void)state;
  struct watch watch = {.stop_at = UINT32_MAX};
  sinter_compiler_options options = {
      .struct_size = sizeof options, .progress = on_progress, .progress_user = &watch};
  assert_int_equal(sinter_compile(model, engine, &options, NULL), SINTER_OK);
  assert_string_equal(watch.phases, "importpasseskernels");
  unlink(engine);
  for (uint32_t stop = 0; stop < 3; stop++) {
    watch = (struct watch){.stop_at = stop};
    assert_int_equal(sinter_compile(model, engine, &options, NULL), SINTER_CANCELLED);
    assert_int_equal(watch.calls, stop + 1);
    assert_int_not_equal(access(engine, F_OK), 0);
  }
}

/* Importing allocates most; the guard must give every failure back as a status. What the call had
 * mapped by then is lost, as the header says. */
static void exhaustion_is_a_status(void **state) {
  (void)state;
  uint32_t failures = 0;
  for (uint64_t n = 1; n < 4000; n += 1 + n / 8) {
    sinter_diagnostics *list;
    LEAKS_BEGIN();
    mem_fail_nth(n);
    sinter_status s = sinter_check(model, NULL, &list);
    bool pending = mem_fail_pending();
    mem_fail_nth(0);
    LEAKS_END();
    assert_true(s == SINTER_OK || s == SINTER_RESOURCES);
    assert_true(s == SINTER_OK || sinter_diagnostics_count(list) > 0);
    sinter_diagnostics_destroy(list);
    failures += s != SINTER_OK;
    if (pending)
      break;
  }
  assert_true(failures > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(an_engine_comes_out_and_opens, set_up, tear_down),
      cmocka_unit_test(an_error_names_the_node_that_made_it),
      cmocka_unit_test(problems_are_listed_with_code_and_place),
      cmocka_unit_test(mistakes_of_the_caller_are_usage),
      cmocka_unit_test_setup_teardown(options_of_older_callers_are_read_as_far_as_they_go, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(progress_is_told_and_can_stop, set_up, tear_down),
      cmocka_unit_test(exhaustion_is_a_status),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
