/* SPDX-License-Identifier: Apache-2.0 */
/* The sinter program: parse, run one verb, report. */
#include "base/file.h"
#include "cli/verb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static status (*const verbs[VERB_COUNT])(struct invocation *) = {
#define VERB(NAME, word, arguments, min, max, summary) verb_##word,
#include "cli/options.def"
};

bool stderr_is_terminal(void) {
  const char *term = getenv("TERM");
  return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

static status run_with_json(struct invocation *v) {
  json_init(&v->json, stdout, true);
  json_object_begin(&v->json);
  status s = verbs[v->options.verb](v);
  json_key(&v->json, "status");
  json_string(&v->json, status_name(s));
  json_key(&v->json, "diagnostics");
  diags_write_json(&v->diags, &v->json);
  json_object_end(&v->json);
  putchar('\n');
  return s;
}

/* A report that a full disk cut short must not look like one that was written. */
static status flush_stdout(struct diags *d) {
  if (fflush(stdout) == 0 && !ferror(stdout))
    return STATUS_OK;
  return diag_report(d, DIAG_E0905, NULL, NULL, "cannot write to standard output: %s",
                     strerror(errno));
}

static status dispatch(struct invocation *v, int argc, char **argv) {
  status s = options_parse(argc, argv, &v->arena, &v->diags, &v->options);
  if (s)
    return s;
  if (option_given(&v->options, OPT_HELP)) {
    help_verb(v->options.verb);
    return STATUS_OK;
  }
  v->as_json = option_given(&v->options, OPT_JSON);
  return v->as_json ? run_with_json(v) : verbs[v->options.verb](v);
}

int main(int argc, char **argv) {
  struct invocation v = {0};
  arena_init(&v.arena);
  diags_init(&v.diags);
  file_remove_temporaries_on_signal();
  status s = dispatch(&v, argc, argv);
  sinter_world_leave(v.world);
  status written = flush_stdout(&v.diags);
  diags_print(&v.diags, stderr);
  diags_deinit(&v.diags);
  arena_deinit(&v.arena);
  return status_exit_code(s ? s : written);
}
