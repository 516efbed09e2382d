/* SPDX-License-Identifier: Apache-2.0 */
/* Names and exit codes of statuses. */
#include "base/status.h"

#include <stddef.h>

static const struct {
  const char *name;
  int exit_code;
} rows[] = {
    [STATUS_OK] = {"ok", 0},
    [STATUS_MISMATCH] = {"mismatch", 1},
    [STATUS_USAGE] = {"usage", 2},
    [STATUS_INVALID] = {"invalid", 3},
    [STATUS_UNSUPPORTED] = {"unsupported", 3},
    [STATUS_RESOURCES] = {"resources", 4},
    [STATUS_DEVICE] = {"device", 5},
    [STATUS_INTERNAL] = {"internal", 6},
    [STATUS_CANCELLED] = {"cancelled", 130},
};

int status_exit_code(status s) {
  return (size_t)s < sizeof rows / sizeof rows[0] ? rows[s].exit_code : 6;
}

const char *status_name(status s) {
  return (size_t)s < sizeof rows / sizeof rows[0] ? rows[s].name : "internal";
}
