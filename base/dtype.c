/* SPDX-License-Identifier: Apache-2.0 */
/* The table of element types and look-ups in it. */
#include "base/dtype.h"

#include <string.h>

const struct dtype_info dtype_infos[DTYPE_COUNT] = {
#define DTYPE(E, text, bits, kind, onnx, llvm, nccl)                                               \
  [DTYPE_##E] = {#text, bits, DTYPE_KIND_##kind, onnx, nccl},
#include "base/dtype.def"
#undef DTYPE
};

bool dtype_from_name(const char *name, size_t len, enum dtype *out_dtype) {
  for (int i = 0; i < DTYPE_COUNT; i++) {
    if (strlen(dtype_infos[i].name) != len || memcmp(dtype_infos[i].name, name, len))
      continue;
    *out_dtype = (enum dtype)i;
    return true;
  }
  return false;
}

bool dtype_from_onnx(int32_t code, enum dtype *out_dtype) {
  for (int i = 0; i < DTYPE_COUNT; i++) {
    if (dtype_infos[i].onnx != code)
      continue;
    *out_dtype = (enum dtype)i;
    return true;
  }
  return false;
}
