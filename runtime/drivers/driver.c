/* SPDX-License-Identifier: Apache-2.0 */
/* The table of drivers. */
#include "runtime/drivers/driver.h"

#include "runtime/fault.h"

#include <string.h>

static const struct driver *const drivers[] = {
    &cpu_driver,
};

const struct driver *driver_find(const char *devices) {
  for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++)
    if (strcmp(devices, drivers[i]->name) == 0)
      return drivers[i];
  fault_report(DIAG_E0701, NULL, "this build knows the device \"cpu\"", "unknown device '%s'",
               devices);
  return NULL;
}
