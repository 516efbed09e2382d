/* SPDX-License-Identifier: Apache-2.0 */
/* Loads every model of the data set, and its inputs and outputs, where there is one. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "frontend/onnx/model_load.h"
#include "frontend/onnx/onnx_value.h"

static const char *shared_root(void) {
  const char *root = getenv("SINTER_SHARED");
  if (root)
    return root;
  return access(SINTER_TEST_SOURCE_DIR "/../shared/data", R_OK) == 0 ? SINTER_TEST_SOURCE_DIR
             "/../shared"
                                                                     : NULL;
}

/* Reads input_0.pb, input_1.pb, … (or output_) as the declared types say; returns how many. */
static int read_values(const char *folder, int set, const char *kind, Onnx__ValueInfoProto **infos,
                       size_t n) {
  int count = 0;
  for (size_t i = 0; i < n; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/test_data_set_%d/%s_%zu.pb", folder, set, kind, i);
    if (access(path, R_OK) != 0)
      continue;
    struct diags diags = {0};
    struct onnx_value_file file;
    status st = onnx_value_read(path, infos[i]->type, &diags, &file);
    diags_print(&diags, stderr);
    assert_int_equal(st, STATUS_OK);
    if (infos[i]->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
      assert_int_equal(file.value.kind, ONNX_VALUE_TENSOR);
      assert_int_equal(file.value.tensor.onnx_type, infos[i]->type->tensor_type->elem_type);
    } else {
      assert_true(file.value.n_items > 0);
    }
    onnx_value_deinit(&file);
    diags_deinit(&diags);
    count++;
  }
  return count;
}

static int read_sets(const char *folder, const Onnx__GraphProto *g) {
  int count = 0;
  for (int set = 0; set < 4; set++) {
    count += read_values(folder, set, "input", g->input, g->n_input);
    count += read_values(folder, set, "output", g->output, g->n_output);
  }
  return count;
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
  int loaded = 0, values = 0;
  double ratio = 0;
  for (struct dirent *e; (e = readdir(dir));) {
    snprintf(path, sizeof path, "%s/data/%s/model.onnx", root, e->d_name);
    if (access(path, R_OK) != 0)
      continue;
    struct diags diags = {0};
    struct onnx_model *model;
    status st = onnx_model_load(path, NULL, &diags, &model);
    diags_print(&diags, stderr);
    assert_int_equal(st, STATUS_OK);
    double r = (double)model->budget.peak / (double)model->size;
    if (r > ratio)
      ratio = r;
    snprintf(path, sizeof path, "%s/data/%s", root, e->d_name);
    values += read_sets(path, model->proto->graph);
    onnx_model_destroy(model);
    diags_deinit(&diags);
    loaded++;
  }
  closedir(dir);
  print_message("%d models, %d values; unpacked at most %.1f times their size\n", loaded, values,
                ratio);
  assert_true(loaded > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_loads_every_model)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
