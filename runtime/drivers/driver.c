/* SPDX-License-Identifier: Apache-2.0 */
/* The table of drivers. */
#include "runtime/drivers/driver.h"

#include "runtime/fault.h"

#include <string.h>

static const struct driver *const drivers[] = {
    &cpu_driver,
};

static status unknown(const char *devices) {
  return fault_report(DIAG_E0701, NULL,
                      "this build knows \"cpu\" and, for several ranks, \"cpu:4\" or \"cpu:0-3\"",
                      "unknown device '%s'", devices);
}

/* A number of at most four digits. */
static bool read_number(const char **at, uint32_t *out_number) {
  const char *start = *at;
  for (*out_number = 0; **at >= '0' && **at <= '9' && *at - start < 4; ++*at)
    *out_number = *out_number * 10 + (uint32_t)(**at - '0');
  return *at > start;
}

/* "", ":N" or ":FIRST-LAST". */
static bool read_count(const char *at, uint32_t *out_count) {
  uint32_t first, last;
  *out_count = 1;
  if (!*at)
    return true;
  if (*at++ != ':' || !read_number(&at, &first))
    return false;
  *out_count = first;
  if (*at == '-') {
    at++;
    if (!read_number(&at, &last) || last < first)
      return false;
    *out_count = last - first + 1;
  }
  return !*at && *out_count;
}

status driver_find(const char *devices, const struct driver **out_driver, uint32_t *out_count) {
  for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
    size_t n = strlen(drivers[i]->name);
    if (strncmp(devices, drivers[i]->name, n) == 0 && read_count(devices + n, out_count)) {
      *out_driver = drivers[i];
      return STATUS_OK;
    }
  }
  return unknown(devices);
}
