/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, parsed by the table options.def. */
#ifndef SINTER_CLI_OPTIONS_H
#define SINTER_CLI_OPTIONS_H

#include "base/arena.h"
#include "base/diag.h"

#include <stdbool.h>
#include <stdint.h>

enum verb {
#define VERB(NAME, word, arguments, min, max, summary) VERB_##NAME,
#include "cli/options.def"
  VERB_COUNT
};

enum option_id {
#define OPTION(ID, name, letter, kind, value, default, verbs, help) OPT_##ID,
#include "cli/options.def"
  OPT_COUNT
};

enum option_kind {
  OPTION_FLAG,
  OPTION_STRING,
  OPTION_LIST,
  OPTION_PATH,
  OPTION_FOLDER,
  OPTION_CHOICE,
  OPTION_COUNT,
  OPTION_REAL,
  OPTION_DURATION,
  OPTION_SIZE,
};

struct verb_info {
  const char *word;
  const char *arguments;
  uint32_t min, max; /* positional arguments; UINT32_MAX: no bound */
  const char *summary;
};
struct option_info {
  const char *name;
  char letter; /* 0: none */
  enum option_kind kind;
  const char *value; /* as help shows it; the words of a CHOICE, split by '|' */
  const char *initial;
  uint32_t verbs; /* bit per verb */
  const char *help;
};
extern const struct verb_info verb_infos[VERB_COUNT];
extern const struct option_info option_infos[OPT_COUNT];

struct option_value {
  uint32_t count;     /* how often it was given */
  const char **texts; /* `count` of them; argv's or static strings */
  uint64_t number;    /* COUNT, SIZE (bytes); a CHOICE's word */
  double real;        /* REAL, DURATION (seconds) */
};

struct options {
  enum verb verb;
  struct option_value values[OPT_COUNT];
  const char **arguments;
  uint32_t n_arguments;
};

/* Parses argv, whose strings must outlive `out`; lists live in `arena`. With --help among the
 * arguments nothing else is checked. Every problem is reported, with a near miss as the hint.
 * Errors: E0801 (unknown), E0802 (bad value), E0803 (too few or too many arguments). */
status options_parse(int argc, char **argv, struct arena *arena, struct diags *d,
                     struct options *out);

static inline bool option_given(const struct options *o, enum option_id id) {
  return o->values[id].count > 0;
}
/* The last text given, or NULL. */
const char *option_text(const struct options *o, enum option_id id);
uint64_t option_number(const struct options *o, enum option_id id, uint64_t otherwise);
double option_real(const struct options *o, enum option_id id, double otherwise);

/* E0803 for every option of `ids` (ended by OPT_COUNT) that was given although `why` forbids it:
 * "'--limit' has no effect without --bisect". */
status options_refuse(const struct options *o, const enum option_id *ids, const char *why,
                      struct diags *d);

/* The row of that name for a verb, or OPT_COUNT. `n` bytes, without dashes. */
enum option_id option_find(enum verb verb, const char *name, size_t n);
bool verb_find(const char *word, enum verb *out_verb);

/* help.c: texts from the same table, to stdout. */
void help_program(void);
void help_verb(enum verb verb);
void help_man(void);
void help_completions_bash(void);

#endif
