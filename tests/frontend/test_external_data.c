/* SPDX-License-Identifier: Apache-2.0 */
/* External data: what may be named, what may not, ranges, sparse files, trusted roots; each with
 * openat2 and with the fallback. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "frontend/onnx/model_load.h"
#include "tests/support/pb_build.h"

static char folder[] = "/tmp/sinter_external_XXXXXX";

static const char *in_folder(const char *name) {
  static char path[4][256];
  static int turn;
  char *p = path[turn++ % 4];
  snprintf(p, 256, "%s/%s", folder, name);
  return p;
}

static void file_make(const char *name, const void *bytes, size_t size) {
  FILE *f = fopen(in_folder(name), "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, size, f), size);
  fclose(f);
}

struct ask {
  const char *location, *offset, *length;
};

/* Locates 8 bytes as asked for; returns the status and the first code. */
static status locate(const struct ask *ask, bool no_openat2, const char *root,
                     enum diag_code *out_code, uint8_t *out_first) {
  Onnx__TensorProto t = ONNX__TENSOR_PROTO__INIT;
  Onnx__StringStringEntryProto entries[3], *list[3];
  const char *keys[] = {"location", "offset", "length"};
  const char *values[] = {ask->location, ask->offset, ask->length};
  t.name = (char *)"w";
  t.external_data = list;
  for (int i = 0; i < 3; i++) {
    if (!values[i])
      continue;
    onnx__string_string_entry_proto__init(&entries[i]);
    entries[i].key = (char *)keys[i];
    entries[i].value = (char *)values[i];
    list[t.n_external_data++] = &entries[i];
  }
  struct diags diags = {0};
  struct external_data x;
  struct external_range range;
  assert_int_equal(external_data_init(&x, in_folder("model/m.onnx"), root, &diags), STATUS_OK);
  x.no_openat2 = no_openat2;
  status st = external_data_locate(&x, &t, 8, &DIAG_NOWHERE, &diags, &range);
  if (st == STATUS_OK)
    *out_first = x.files.data[range.file].bytes[range.offset];
  if (st != STATUS_OK)
    *out_code = diags_get(&diags, 0)->code;
  external_data_deinit(&x);
  diags_deinit(&diags);
  return st;
}

static void expect_ok(struct ask ask, const char *root, uint8_t first) {
  enum diag_code code = 0;
  uint8_t found = 0;
  for (int fallback = 0; fallback < (root ? 1 : 2); fallback++) {
    status st = locate(&ask, fallback, root, &code, &found);
    if (st)
      print_message("%s: %s\n", ask.location, diag_code_name(code));
    assert_int_equal(st, STATUS_OK);
    assert_int_equal(found, first);
  }
}

static void expect_bad(struct ask ask, const char *root, enum diag_code wanted) {
  enum diag_code code = 0;
  uint8_t found;
  for (int fallback = 0; fallback < 2; fallback++) {
    assert_int_not_equal(locate(&ask, fallback, root, &code, &found), STATUS_OK);
    assert_string_equal(diag_code_name(code), diag_code_name(wanted));
  }
}

static void test_regular_files(void **state) {
  (void)state;
  expect_ok((struct ask){"w.bin", "0", "8"}, NULL, 'a');
  expect_ok((struct ask){"w.bin", "8", NULL}, NULL, 'i');
  expect_ok((struct ask){"w.bin", NULL, NULL}, NULL, 'a');
  expect_ok((struct ask){"sub/v.bin", "1", "8"}, NULL, 'B');
  expect_ok((struct ask){"./sub//v.bin", "0", "8"}, NULL, 'A');
}

static void test_locations(void **state) {
  (void)state;
  const char *refused[] = {"",
                           "/etc/passwd",
                           "../secret.bin",
                           "sub/../../secret.bin",
                           "sub/..",
                           "link.bin",
                           "dir_link/v.bin",
                           "out_link",
                           "hard.bin",
                           "fifo",
                           "sub",
                           ".",
                           "..",
                           "a/../../secret.bin"};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    expect_bad((struct ask){refused[i], NULL, NULL}, NULL, DIAG_E0116);
  }
  char long_name[5000];
  memset(long_name, 'a', sizeof long_name - 1);
  long_name[sizeof long_name - 1] = 0;
  expect_bad((struct ask){long_name, NULL, NULL}, NULL, DIAG_E0116);
  expect_bad((struct ask){NULL, NULL, NULL}, NULL, DIAG_E0116);
  expect_bad((struct ask){"missing.bin", NULL, NULL}, NULL, DIAG_E0117);
  expect_bad((struct ask){"w.bin/x", NULL, NULL}, NULL, DIAG_E0117);
}

static void test_device(void **state) {
  (void)state;
  if (mknod(in_folder("model/null"), S_IFCHR | 0600, 0x103) != 0)
    skip();
  expect_bad((struct ask){"null", NULL, NULL}, NULL, DIAG_E0116);
  unlink(in_folder("model/null"));
}

static void test_ranges(void **state) {
  (void)state;
  expect_bad((struct ask){"w.bin", "9", "8"}, NULL, DIAG_E0118);
  expect_bad((struct ask){"w.bin", "16", "1"}, NULL, DIAG_E0118);
  expect_bad((struct ask){"w.bin", "0", "17"}, NULL, DIAG_E0118);
  expect_bad((struct ask){"w.bin", "18446744073709551615", "8"}, NULL, DIAG_E0118);
  expect_bad((struct ask){"w.bin", "8", "18446744073709551615"}, NULL, DIAG_E0118);
  expect_bad((struct ask){"w.bin", "9", NULL}, NULL, DIAG_E0118);
  expect_bad((struct ask){"w.bin", "18446744073709551616", "8"}, NULL, DIAG_E0116);
  expect_bad((struct ask){"w.bin", "-1", "8"}, NULL, DIAG_E0116);
  expect_bad((struct ask){"w.bin", " 1", "8"}, NULL, DIAG_E0116);
  expect_bad((struct ask){"w.bin", "", "8"}, NULL, DIAG_E0116);
  expect_bad((struct ask){"w.bin", "0x1", "8"}, NULL, DIAG_E0116);
  expect_bad((struct ask){"empty.bin", "0", "8"}, NULL, DIAG_E0118);
}

/* A trusted root: links are followed while they stay beneath it. */
static void test_trusted_root(void **state) {
  (void)state;
  expect_ok((struct ask){"link.bin", NULL, NULL}, folder, 's');
  expect_ok((struct ask){"hard.bin", NULL, NULL}, folder, 's');
  expect_ok((struct ask){"w.bin", NULL, NULL}, in_folder("model"), 'a');
  expect_ok((struct ask){"secret.bin", NULL, NULL}, in_folder("elsewhere"), 'S');
  enum diag_code code = 0;
  uint8_t found;
  assert_int_not_equal(locate(&(struct ask){"out_link", NULL, NULL}, false, folder, &code, &found),
                       STATUS_OK);
  assert_string_equal(diag_code_name(code), "E0116");
  struct external_data x;
  assert_int_equal(external_data_init(&x, NULL, in_folder("missing"), NULL), STATUS_INVALID);
  external_data_deinit(&x);
}

/* A model whose tensor `w` is f32[elements] in `location`. */
static void model_make(const char *name, int64_t elements, const char *location, int copies) {
  struct strbuf g = {0};
  for (int i = 0; i < copies; i++) {
    char text[16];
    snprintf(text, sizeof text, "w%d", i);
    struct strbuf t = pb_tensor(text, 1, 1, &elements);
    pb_entry(&t, 13, "location", location);
    pb_int(&t, 14, 1);
    pb_message(&g, 5, &t);
  }
  struct strbuf m = pb_model(&g);
  file_make(name, m.data, m.len);
  strbuf_deinit(&m);
}

static void test_sparse_file_of_many_gigabytes(void **state) {
  (void)state;
  const uint64_t size = UINT64_C(64) << 30;
  int fd = open(in_folder("model/huge.bin"), O_CREAT | O_WRONLY, 0600);
  assert_true(fd >= 0);
  int truncated = ftruncate(fd, (off_t)size);
  close(fd);
  if (truncated != 0)
    skip();
  model_make("model/m.onnx", (int64_t)(size / 4), "huge.bin", 1);
  struct diags diags = {0};
  struct onnx_model *model;
  struct onnx_tensor view;
  status st = onnx_model_load(in_folder("model/m.onnx"), NULL, &diags, &model);
  diags_print(&diags, stderr);
  assert_int_equal(st, STATUS_OK);
  assert_int_equal(onnx_tensor_resolve(model, model->proto->graph->initializer[0], &diags, &view),
                   STATUS_OK);
  assert_true(view.bytes == size);
  assert_int_equal(view.source, ONNX_SOURCE_EXTERNAL);
  assert_string_equal(view.file, in_folder("model/huge.bin"));
  assert_int_equal(((const uint8_t *)view.data)[size - 1], 0);
  onnx_model_destroy(model);
  diags_deinit(&diags);
  unlink(in_folder("model/huge.bin"));
}

static void test_a_missing_file_is_reported_once(void **state) {
  (void)state;
  model_make("model/m.onnx", 4, "missing.bin", 50);
  struct diags diags = {0};
  struct onnx_model *model;
  assert_int_equal(onnx_model_load(in_folder("model/m.onnx"), NULL, &diags, &model),
                   STATUS_RESOURCES);
  assert_null(model);
  assert_int_equal(diags_errors(&diags), 1);
  diags_deinit(&diags);
}

static void test_one_mapping_per_file(void **state) {
  (void)state;
  model_make("model/m.onnx", 4, "w.bin", 50);
  struct diags diags = {0};
  struct onnx_model *model;
  assert_int_equal(onnx_model_load(in_folder("model/m.onnx"), NULL, &diags, &model), STATUS_OK);
  assert_int_equal(model->external.files.len, 1);
  onnx_model_destroy(model);
  diags_deinit(&diags);
}

/* Lets every allocation of a load fail in turn; AddressSanitizer sees what leaks. */
static void test_each_allocation_fails(void **state) {
  (void)state;
  model_make("model/m.onnx", 4, "w.bin", 20);
  for (uint64_t n = 1;; n++) {
    struct diags diags = {0};
    struct onnx_model *model;
    mem_fail_nth(n);
    status st = onnx_model_load(in_folder("model/m.onnx"), NULL, &diags, &model);
    bool pending = mem_fail_pending();
    mem_fail_nth(0);
    /* A diagnostic or another thing that is not needed may have failed: then it loads. */
    assert_int_equal(st == STATUS_OK, model != NULL);
    assert_true(st == STATUS_OK || st == STATUS_RESOURCES);
    onnx_model_destroy(model);
    diags_deinit(&diags);
    if (pending)
      break;
    assert_true(n < 10000);
  }
}

static int setup(void **state) {
  (void)state;
  if (!mkdtemp(folder))
    return 1;
  const char *folders[] = {"model", "model/sub", "cache", "elsewhere"};
  for (int i = 0; i < 4; i++) {
    if (mkdir(in_folder(folders[i]), 0700) != 0)
      return 1;
  }
  file_make("model/w.bin", "abcdefghijklmnop", 16);
  file_make("model/sub/v.bin", "ABCDEFGHIJKLMNOP", 16);
  file_make("model/empty.bin", "", 0);
  file_make("secret.bin", "secret, secret!!", 16);
  file_make("elsewhere/secret.bin", "SECRET, SECRET!!", 16);
  return symlink("../secret.bin", in_folder("model/link.bin")) ||
         symlink("sub", in_folder("model/dir_link")) ||
         symlink("/etc/passwd", in_folder("model/out_link")) ||
         link(in_folder("secret.bin"), in_folder("model/hard.bin")) ||
         mkfifo(in_folder("model/fifo"), 0600);
}

static int teardown(void **state) {
  (void)state;
  char command[256];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_regular_files),
      cmocka_unit_test(test_locations),
      cmocka_unit_test(test_device),
      cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_trusted_root),
      cmocka_unit_test(test_sparse_file_of_many_gigabytes),
      cmocka_unit_test(test_a_missing_file_is_reported_once),
      cmocka_unit_test(test_one_mapping_per_file),
      cmocka_unit_test(test_each_allocation_fails),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
