/* SPDX-License-Identifier: Apache-2.0 */
/* Logging for developers, to stderr, off unless the environment asks:
 *
 *     SINTER_LOG=pass.fuse:2,runtime:1
 *
 * An entry covers its area and every area below it; the longest entry that fits decides. `all`
 * covers everything; an entry without a level means 1. Level 1 is events, 2 is decisions, 3 is
 * everything. What people must know is a diagnostic, not a log line. */
#ifndef SINTER_BASE_LOG_H
#define SINTER_BASE_LOG_H

#include <stdbool.h>

#define LOG(area, level, ...)                                                                      \
  do {                                                                                             \
    if (log_enabled((area), (level)))                                                              \
      log_write((area), __VA_ARGS__);                                                              \
  } while (0)

/* Thread safe; reads the environment on first use. */
bool log_enabled(const char *area, int level);
/* One line, "area: message"; the newline is added. */
void log_write(const char *area, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Replaces the environment's setting, before threads start. Longer settings are cut at 1 KiB. */
void log_configure(const char *spec);

#endif
