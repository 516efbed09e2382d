/* SPDX-License-Identifier: Apache-2.0 */
/* The thread's last error, and the public functions that show it. */
#include "runtime/fault.h"

#include "include/sinter/runtime.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
  char text[1536];
  size_t length;
  const char *code;
  status status;
} last;

_Static_assert(sizeof last.text == sizeof((struct fault *)0)->text, "one error fits");

static void append_v(const char *format, va_list arguments) {
  size_t room = sizeof last.text - last.length;
  int n = vsnprintf(last.text + last.length, room, format, arguments);
  if (n > 0)
    last.length += (size_t)n < room ? (size_t)n : room - 1;
}

__attribute__((format(printf, 1, 2))) static void append(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  append_v(format, arguments);
  va_end(arguments);
}

/* Names come from files: they must not steer a terminal. */
static void mask_control(char *text, size_t n) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
      text[i] = '?';
}

status fault_report(enum diag_code code, const char *where, const char *hint, const char *format,
                    ...) {
  last.length = 0;
  last.code = diag_code_name(code);
  append("error[%s]: ", last.code);
  va_list arguments;
  va_start(arguments, format);
  append_v(format, arguments);
  va_end(arguments);
  mask_control(last.text, last.length);
  if (where) {
    append("\n  --> ");
    size_t start = last.length;
    append("%s", where);
    mask_control(last.text + start, last.length - start);
  }
  if (hint)
    append("\n  hint: %s", hint);
  return last.status = diag_code_status(code);
}

static const char place_mark[] = "\n  --> ", hint_mark[] = "\n  hint: ";

void fault_add_place(const char *where) {
  char hint[256] = "";
  if (!last.length || strstr(last.text, place_mark))
    return;
  char *at = strstr(last.text, hint_mark);
  if (at) { /* which comes after the place */
    snprintf(hint, sizeof hint, "%s", at);
    last.length = (size_t)(at - last.text);
  }
  append("%s", place_mark);
  size_t start = last.length;
  append("%s", where);
  mask_control(last.text + start, last.length - start);
  append("%s", hint);
}

status fault_follow(enum diag_code code, const struct fault *cause, const char *hint,
                    const char *what) {
  const char *start = strstr(cause->text, "]: "), *place = strstr(cause->text, place_mark);
  char where[400] = "";
  start = start ? start + 3 : cause->text;
  if (place) {
    place += sizeof place_mark - 1;
    snprintf(where, sizeof where, "%.*s", (int)strcspn(place, "\n"), place);
  }
  return fault_report(code, place ? where : NULL, hint, "%s since: %.*s", what,
                      (int)strcspn(start, "\n"), start);
}

status fault_no_memory(const char *what, unsigned long long bytes) {
  return fault_report(DIAG_E0615, NULL, NULL, "out of memory: %s needs %llu B", what, bytes);
}

void fault_clear(void) {
  last.length = 0;
  last.text[0] = '\0';
  last.code = "";
  last.status = STATUS_OK;
}

void fault_save(struct fault *out) {
  memcpy(out->text, last.text, last.length + 1);
  out->code = last.code;
  out->status = last.status;
}

status fault_restore(const struct fault *fault) {
  last.length = strlen(fault->text);
  memcpy(last.text, fault->text, last.length + 1);
  last.code = fault->code;
  return last.status = fault->status;
}

void fault_export(struct fault_wire *out) {
  *out = (struct fault_wire){0};
  memcpy(out->code, fault_code(), strnlen(fault_code(), sizeof out->code - 1));
  memcpy(out->text, last.text, last.length);
}

status fault_import(const struct fault_wire *wire) {
  struct fault_wire w = *wire;
  enum diag_code row = DIAG_E0707;
  w.code[sizeof w.code - 1] = w.text[sizeof w.text - 1] = 0;
  for (int i = 0; i < DIAG_CODE_COUNT; i++)
    if (strcmp(diag_code_name((enum diag_code)i), w.code) == 0 &&
        diag_code_status((enum diag_code)i) != STATUS_OK)
      row = (enum diag_code)i;
  last.code = diag_code_name(row);
  last.length = 0;
  append("%s", w.text);
  for (size_t i = 0; i < last.length; i++) /* lines are the report's own */
    if (last.text[i] != '\n')
      mask_control(last.text + i, 1);
  return last.status = diag_code_status(row);
}

const char *fault_text(void) { return last.text; }

const char *fault_code(void) { return last.code ? last.code : ""; }

SINTER_API const char *sinter_last_error(void) { return fault_text(); }

SINTER_API const char *sinter_last_error_code(void) { return fault_code(); }

#define SAME(name)                                                                                 \
  _Static_assert((int)SINTER_##name == (int)STATUS_##name, "public and internal statuses are one")
SAME(OK);
SAME(MISMATCH);
SAME(USAGE);
SAME(INVALID);
SAME(UNSUPPORTED);
SAME(RESOURCES);
SAME(DEVICE);
SAME(INTERNAL);
SAME(CANCELLED);
