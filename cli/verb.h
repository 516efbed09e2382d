/* SPDX-License-Identifier: Apache-2.0 */
/* What a verb gets and what it gives: one function per verb, in verb_<word>.c. */
#ifndef SINTER_CLI_VERB_H
#define SINTER_CLI_VERB_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/json.h"
#include "cli/options.h"
#include "sinter/runtime.h"

struct invocation {
  struct options options;
  struct arena arena;  /* lives as long as the verb */
  struct diags diags;  /* printed to stderr, and put into the JSON report, when the verb is done */
  bool as_json;        /* --json: print nothing to stdout, fill `json` instead */
  sinter_world *world; /* the processes that this one is of; NULL: it is alone */
  struct json json;    /* inside the report's object: write keys */
};

/* Verbs report problems to ->diags and return the status that decides the exit code. */
#define VERB(NAME, word, arguments, min, max, summary) status verb_##word(struct invocation *v);
#include "cli/options.def"

/* Whether people watch stderr: the only place where progress is drawn. */
bool stderr_is_terminal(void);

#endif
