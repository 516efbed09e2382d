/* SPDX-License-Identifier: Apache-2.0 */
/* The table of drivers. */
#include "runtime/drivers/driver.h"

#include "runtime/fault.h"

#include <string.h>

static const struct driver *const drivers[] = {
    &cpu_driver,
    &cuda_driver,
    &sim_driver,
};

static status unknown(const char *devices) {
  return fault_report(DIAG_E0701, NULL,
                      "\"cpu\", \"cuda:0\", \"sim:1\"; for several ranks \"cpu:4\", \"cuda:0-3\", "
                      "\"cuda:0,2\" or \"sim:4\"",
                      "unknown device '%s'", devices);
}

/* A number of at most four digits. */
static bool read_number(const char **at, uint32_t *out_number) {
  const char *start = *at;
  for (*out_number = 0; **at >= '0' && **at <= '9' && *at - start < 4; ++*at)
    *out_number = *out_number * 10 + (uint32_t)(**at - '0');
  return *at > start;
}

/* ",N,N..." behind a first number; each once. */
static bool read_list(const char *at, uint32_t number, struct driver_devices *out) {
  out->listed = true;
  out->list[0] = (uint16_t)number;
  for (out->count = 1; *at; out->count++) {
    if (*at++ != ',' || out->count == DRIVER_LISTED_DEVICES || !read_number(&at, &number))
      return false;
    for (uint32_t i = 0; i < out->count; i++)
      if (out->list[i] == number)
        return false;
    out->list[out->count] = (uint16_t)number;
  }
  return true;
}

/* "", ":N", ":FIRST-LAST" or ":N,N,...". */
static bool read_devices(const char *at, struct driver_devices *out) {
  uint32_t number, last;
  out->first = 0;
  out->count = 1;
  if (!*at)
    return true;
  if (*at++ != ':' || !read_number(&at, &number))
    return false;
  if (*at == ',')
    return read_list(at, number, out);
  if (*at != '-' && out->driver->numbered)
    out->first = number;
  else
    out->count = number;
  if (*at == '-') {
    at++;
    if (!read_number(&at, &last) || last < number)
      return false;
    out->first = number;
    out->count = last - number + 1;
  }
  return !*at && out->count;
}

status driver_find(const char *devices, struct driver_devices *out) {
  for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
    size_t n = strlen(drivers[i]->name);
    out->driver = drivers[i];
    out->listed = false;
    if (strncmp(devices, drivers[i]->name, n) == 0 && read_devices(devices + n, out))
      return STATUS_OK;
  }
  return unknown(devices);
}
