/* SPDX-License-Identifier: Apache-2.0 */
/* Any model: load, import; what is accepted must satisfy the verifier. Seeds: small models, such as
 * ONNX's node tests. */
#include "frontend/onnx/import.h"
#include "frontend/onnx/model_load.h"
#include "ir/verify.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void import_and_verify(struct onnx_model *model, struct diags *diags) {
  struct module *module;
  if (onnx_import(model, NULL, diags, &module) != STATUS_OK) {
    if (diags_errors(diags) == 0) /* a failure without a word */
      abort();
    return;
  }
  if (module_verify(module, diags) != STATUS_OK) {
    diags_print(diags, stderr);
    abort();
  }
  module_destroy(module);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct diags diags = {0};
  struct onnx_model *model;
  if (onnx_model_load_memory(bytes, size, NULL, &diags, &model) == STATUS_OK) {
    import_and_verify(model, &diags);
    onnx_model_destroy(model);
  }
  diags_deinit(&diags);
  return 0;
}
