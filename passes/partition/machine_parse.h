/* SPDX-License-Identifier: Apache-2.0 */
/* What the scanner (machine.l), the grammar (machine.y) and the actions (machine_build.c) of
 * machine files share. Trees live in the parser's scratch arena. Nothing else includes this. */
#ifndef SINTER_PASSES_MACHINE_PARSE_H
#define SINTER_PASSES_MACHINE_PARSE_H

#include "base/map.h"
#include "passes/partition/machine_model.h"

struct machine_loc {
  uint32_t line, column; /* from 1 */
};
#define YYLLOC_DEFAULT(Current, Rhs, N) ((Current) = YYRHSLOC(Rhs, (N) ? 1 : 0))

enum machine_unit { UNIT_PLAIN, UNIT_BYTES, UNIT_SECONDS, UNIT_BYTES_PER_SECOND, UNIT_PER_SECOND };

/* A word or a number with its unit; the base unit of the kind is 1. */
struct machine_token {
  const char *word; /* NULL: a number */
  double number;
  enum machine_unit unit;
  struct machine_loc at;
};
struct machine_tokens {
  struct machine_token *data;
  uint32_t len, cap;
};

/* One figure: name, arguments, points (x and y in turn), source. */
struct machine_entry {
  const char *name, *source;
  struct machine_loc at;
  struct machine_tokens arguments, points;
};

struct machine_parser {
  struct arena *arena, *scratch;
  struct diags *diags;
  const char *name;        /* of the file, for messages */
  struct machine_loc next; /* of the scanner */
  struct machine *out;
  struct machine_level *level; /* at hand; NULL: the device */
  struct strmap seen;          /* "scope.figure arguments", to find doubles */
  uint32_t errors;
};

#define MACHINE_MAX_TEXT ((size_t)1 << 20)
#define MACHINE_MAX_POINTS 64
#define MACHINE_MAX_FIGURES 256

void machine_error_at(struct machine_parser *p, const struct machine_loc *at, const char *hint,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* A number of the text with its unit ("2.97TB/s"); false for a unit that is none. */
bool machine_number(const char *text, size_t len, double *out, enum machine_unit *out_unit);
void machine_push(struct machine_parser *p, struct machine_tokens *list, struct machine_token x);

void machine_set_name(struct machine_parser *p, struct machine_token name);
void machine_level_begin(struct machine_parser *p, struct machine_token name);
void machine_level_end(struct machine_parser *p);
void machine_figure_add(struct machine_parser *p, const struct machine_entry *entry);
/* What is missing, once all of the text was read. */
void machine_finish(struct machine_parser *p);

/* The files that are part of the program (written by cmake/machines.cmake). */
struct machine_file {
  const char *name, *text;
};
extern const struct machine_file machine_files[]; /* a NULL name ends it */

#endif
