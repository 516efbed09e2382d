/* SPDX-License-Identifier: Apache-2.0 */
/* The result of every function that can fail for a reason outside the program.
 *
 * STATUS_OK is zero, so `if (s)` reads "if it failed". A status says what kind of failure it was;
 * the words for people are in the diagnostics (diag.h) reported beside it. */
#ifndef SINTER_BASE_STATUS_H
#define SINTER_BASE_STATUS_H

typedef enum status {
  STATUS_OK = 0,
  STATUS_MISMATCH,    /* a comparison asked for found a difference */
  STATUS_USAGE,       /* wrong options, arguments or file names */
  STATUS_INVALID,     /* the input breaks its own format's rules */
  STATUS_UNSUPPORTED, /* the input is sound, but we cannot do it */
  STATUS_RESOURCES,   /* memory, disk, descriptors, limits */
  STATUS_DEVICE,      /* a device, its driver, or communication */
  STATUS_INTERNAL,    /* our own mistake */
  STATUS_CANCELLED,   /* stopped on request */
} status;

/* The process exit code: 0 ok, 1 mismatch, 2 usage, 3 invalid or unsupported, 4 resources,
 * 5 device, 6 internal, 130 cancelled. */
int status_exit_code(status s);

/* A lower-case word for reports, such as "invalid". Static storage. */
const char *status_name(status s);

#endif
