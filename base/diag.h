/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics: what is wrong with what came from outside, said to people.
 *
 * A function that finds a problem reports it and returns the row's status:
 *
 *     return diag_report(d, DIAG_E0107, &(struct diag_where){.file = path, .node = name,
 *                        .node_index = i, .byte_offset = UINT64_MAX},
 *                        "the file may be truncated; export it again",
 *                        "initializer '%s' needs %zu B but has %zu B", name, want, have);
 *
 * Callers go on to the next problem where that makes sense, so that people see them all at once.
 * Diagnostics work when memory is short: what cannot be stored is still counted. */
#ifndef SINTER_BASE_DIAG_H
#define SINTER_BASE_DIAG_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

struct json;

enum diag_code {
#define DIAG(code, status, meaning) DIAG_##code,
#include "base/diag.def"
#undef DIAG
  DIAG_CODE_COUNT
};

/* A place in the input. All pointers may be NULL; line and column count from 1, 0 is "none". */
struct diag_where {
  const char *file;
  const char *node;
  const char *op;
  int32_t node_index; /* -1: none */
  uint32_t line, column;
  const char *source_line; /* shown with a caret under `column` */
  uint64_t byte_offset;    /* UINT64_MAX: none */
};
#define DIAG_NOWHERE ((struct diag_where){.node_index = -1, .byte_offset = UINT64_MAX})

struct diag {
  enum diag_code code;
  struct diag_where where;
  char *hint; /* may be NULL */
  char *message;
};

/* How many are stored; the others are only counted. */
enum { DIAGS_CAP = 100 };

/* Zero-initialised is empty. Not thread safe: a worker fills its own and diags_merge joins them. */
struct diags {
  struct diag *items;
  uint32_t len, cap;
  uint32_t errors, total;
  status first_error;
};

void diags_init(struct diags *d);
void diags_deinit(struct diags *d);
void diags_clear(struct diags *d);

/* Stores copies of everything and returns the status of the code's row: STATUS_OK for warnings.
 * d may be NULL: then only the status is returned. where and hint may be NULL. */
status diag_report(struct diags *d, enum diag_code code, const struct diag_where *where,
                   const char *hint, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Moves everything from one list to the end of another. */
void diags_merge(struct diags *into, struct diags *from);

uint32_t diags_count(const struct diags *d); /* stored ones */
const struct diag *diags_get(const struct diags *d, uint32_t i);
uint32_t diags_errors(const struct diags *d); /* reported ones, stored or not */
/* The first error's status, or STATUS_OK. */
status diags_status(const struct diags *d);

/* Facts of a code's row: "E0107", its status, its meaning. */
const char *diag_code_name(enum diag_code code);
status diag_code_status(enum diag_code code);
const char *diag_code_meaning(enum diag_code code);

/* The house form; control characters from the input are shown as \xNN. */
void diags_print(const struct diags *d, FILE *out);
/* One array of objects: code, severity, message, hint, and where (only what is known). */
void diags_write_json(const struct diags *d, struct json *out);

#endif
