/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a .npy file. */
#include <stddef.h>
#include <stdint.h>

#include "base/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct npy_array array;
  if (npy_parse("fuzz", bytes, size, NULL, &array) == STATUS_OK)
    npy_deinit(&array);
  return 0;
}
