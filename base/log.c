/* SPDX-License-Identifier: Apache-2.0 */
/* The setting is kept as text and matched on each call: it is empty in all runs that matter. */
#include "base/log.h"

#include "base/str.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char setting[1024];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set(const char *spec) { snprintf(setting, sizeof setting, "%s", spec ? spec : ""); }

static void read_environment(void) { set(getenv("SINTER_LOG")); }

void log_configure(const char *spec) {
  pthread_once(&once, read_environment);
  set(spec);
}

static bool covers(struct str entry, struct str area) {
  return str_eq(entry, STR("all")) ||
         (str_starts(area, entry) && (area.len == entry.len || area.data[entry.len] == '.'));
}

static int parse_level(struct str digits) {
  int level = 0;
  for (size_t i = 0; i < digits.len && level < 10; i++)
    if (digits.data[i] >= '0' && digits.data[i] <= '9')
      level = level * 10 + (digits.data[i] - '0');
  return level;
}

bool log_enabled(const char *area, int level) {
  pthread_once(&once, read_environment);
  if (!setting[0])
    return false;
  struct str rest = str_from_c(setting), wanted = str_from_c(area);
  size_t longest = 0;
  int allowed = 0;
  while (rest.len) {
    struct str value = str_split(&rest, ',');
    struct str entry = str_split(&value, ':');
    size_t weight = str_eq(entry, STR("all")) ? 1 : entry.len + 1;
    if (entry.len && covers(entry, wanted) && weight >= longest) {
      longest = weight;
      allowed = value.len ? parse_level(value) : 1;
    }
  }
  return level <= allowed;
}

void log_write(const char *area, const char *format, ...) {
  char line[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  fprintf(stderr, "%s: %s\n", area, line);
}
