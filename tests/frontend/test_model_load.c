/* SPDX-License-Identifier: Apache-2.0 */
/* Loads every model of the data set, where there is one. */
#include <dirent.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "frontend/onnx/model_load.h"

static const char *shared_root(void) {
  const char *root = getenv("SINTER_SHARED");
  if (root) return root;
  return access(SINTER_TEST_SOURCE_DIR "/../shared/data", R_OK) == 0 ? SINTER_TEST_SOURCE_DIR "/../shared" : NULL;
}

static void test_loads_every_model(void **state) {
  (void)state;
  const char *root = shared_root();
  if (!root) {
    print_message("skipped: no models (set SINTER_SHARED)\n");
    skip();
  }
  char path[4096];
  snprintf(path, sizeof path, "%s/data", root);
  DIR *dir = opendir(path);
  assert_non_null(dir);
  int loaded = 0;
  double ratio = 0;
  for (struct dirent *e; (e = readdir(dir));) {
    snprintf(path, sizeof path, "%s/data/%s/model.onnx", root, e->d_name);
    if (access(path, R_OK) != 0) continue;
    struct diags diags = {0};
    struct onnx_model *model;
    status st = onnx_model_load(path, NULL, &diags, &model);
    diags_print(&diags, stderr);
    assert_int_equal(st, STATUS_OK);
    double r = (double)model->budget.peak / (double)model->size;
    if (r > ratio) ratio = r;
    onnx_model_destroy(model);
    diags_deinit(&diags);
    loaded++;
  }
  closedir(dir);
  print_message("%d models, unpacked at most %.1f times their size\n", loaded, ratio);
  assert_true(loaded > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_loads_every_model)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
