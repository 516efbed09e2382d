/* SPDX-License-Identifier: Apache-2.0 */
/* See options_take.h. */
#include "runtime/options_take.h"

#include "runtime/fault.h"

#include <string.h>

status options_take(const void *given, size_t size, void *out) {
  size_t there;
  memset(out, 0, size);
  if (!given)
    return STATUS_OK;
  memcpy(&there, given, sizeof there);
  if (there < sizeof there)
    return fault_report(DIAG_E0618, NULL, "set struct_size to sizeof the struct",
                        "the options' struct_size is %zu", there);
  memcpy(out, given, there < size ? there : size);
  return STATUS_OK;
}
