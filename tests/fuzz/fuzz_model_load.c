/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a model: scan, unpack, checks, tensors. */
#include <stddef.h>
#include <stdint.h>

#include "frontend/onnx/model_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct diags diags = {0};
  struct onnx_model *model;
  if (onnx_model_load_memory(bytes, size, NULL, &diags, &model) == STATUS_OK)
    onnx_model_destroy(model);
  diags_deinit(&diags);
  return 0;
}
