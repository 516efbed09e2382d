/* SPDX-License-Identifier: Apache-2.0 */
/* Large models, as sparse files: which are mapped, which are refused, and that weights are not
 * read. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "frontend/onnx/model_load.h"
#include "tests/support/pb_build.h"

static char path[] = "/tmp/sinter_size_XXXXXX";

/* Opens a field whose content is `inside`, then `hole` more bytes that the caller leaves out. */
static void open_field(struct strbuf *b, uint32_t field, struct strbuf *inside, uint64_t hole) {
  pb_tag(b, field, 2);
  pb_varint(b, inside->len + hole);
  strbuf_append(b, inside->len ? inside->data : "", inside->len);
  strbuf_deinit(inside);
}

/* A model file whose last field is `hole` zero bytes of raw_data; false if there is no room. */
static bool model_make(uint64_t hole) {
  const int64_t dims[] = {(int64_t)hole};
  struct strbuf m = {0}, graph = {0}, opset = {0}, raw = {0}, tensor = pb_tensor("w", 2, 1, dims);
  open_field(&tensor, 9, &raw, hole);
  open_field(&graph, 5, &tensor, hole);
  pb_int(&m, 1, 10);
  pb_int(&opset, 2, 20);
  pb_message(&m, 8, &opset);
  open_field(&m, 7, &graph, hole);
  int fd = open(path, O_WRONLY | O_TRUNC);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, m.data, m.len), m.len);
  bool ok = ftruncate(fd, (off_t)(m.len + hole)) == 0;
  close(fd);
  strbuf_deinit(&m);
  return ok;
}

static void load_and_look(uint64_t hole, bool mapped) {
  if (!model_make(hole))
    skip();
  struct diags diags = {0};
  struct onnx_model *model;
  struct onnx_tensor view;
  status st = onnx_model_load(path, NULL, &diags, &model);
  diags_print(&diags, stderr);
  assert_int_equal(st, STATUS_OK);
  assert_int_equal(model->mapped.data != NULL, mapped);
  assert_int_equal(onnx_tensor_resolve(model, model->proto->graph->initializer[0], NULL, &view),
                   STATUS_OK);
  assert_int_equal(view.source, ONNX_SOURCE_MODEL);
  assert_string_equal(view.file, path);
  assert_int_equal(view.offset + view.bytes, model->size);
  assert_int_equal(((const uint8_t *)view.data)[hole - 1], 0);
  assert_true(model->budget.peak < 16 * 1024);
  onnx_model_destroy(model);
  diags_deinit(&diags);
}

static void test_small_files_are_read(void **state) {
  (void)state;
  load_and_look(1 << 20, false);
}

static void test_large_files_are_mapped(void **state) {
  (void)state;
  load_and_look(UINT64_C(1) << 30, true);
  load_and_look((UINT64_C(1) << 31) - 4096, true);
}

static void test_over_2_gib_is_refused_with_a_hint(void **state) {
  (void)state;
  if (!model_make(UINT64_C(3) << 30))
    skip();
  struct diags diags = {0};
  struct onnx_model *model;
  assert_int_equal(onnx_model_load(path, NULL, &diags, &model), STATUS_UNSUPPORTED);
  assert_int_equal(diags_get(&diags, 0)->code, DIAG_E0104);
  assert_non_null(strstr(diags_get(&diags, 0)->hint, "external data"));
  diags_deinit(&diags);
}

static void test_files_that_are_none(void **state) {
  (void)state;
  struct diags diags = {0};
  struct onnx_model *model;
  assert_int_not_equal(onnx_model_load("/tmp", NULL, &diags, &model), STATUS_OK);
  assert_int_not_equal(onnx_model_load("/tmp/no/such/model.onnx", NULL, &diags, &model), STATUS_OK);
  assert_int_not_equal(onnx_model_load("/dev/zero", NULL, &diags, &model), STATUS_OK);
  assert_int_equal(diags_errors(&diags), 3);
  diags_deinit(&diags);
}

static int setup(void **state) {
  (void)state;
  int fd = mkstemp(path);
  if (fd >= 0)
    close(fd);
  return fd < 0;
}

static int teardown(void **state) {
  (void)state;
  return unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_small_files_are_read),
      cmocka_unit_test(test_large_files_are_mapped),
      cmocka_unit_test(test_over_2_gib_is_refused_with_a_hint),
      cmocka_unit_test(test_files_that_are_none),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
