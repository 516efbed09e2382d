/* SPDX-License-Identifier: Apache-2.0 */
/* sinter help, version, completions and passes: texts about the program itself. */
#include "cli/verb.h"
#include "sinter/runtime.h"

#include <stdio.h>
#include <string.h>

status verb_help(struct invocation *v) {
  const struct options *o = &v->options;
  enum verb about;
  if (option_given(o, OPT_MAN)) {
    help_man();
  } else if (o->n_arguments == 0) {
    help_program();
  } else if (verb_find(o->arguments[0], &about)) {
    help_verb(about);
  } else {
    return diag_report(&v->diags, DIAG_E0801, NULL, "'sinter help' lists the verbs",
                       "there is no verb '%s'", o->arguments[0]);
  }
  return STATUS_OK;
}

status verb_version(struct invocation *v) {
  if (v->as_json) {
    json_key(&v->json, "version");
    json_string(&v->json, sinter_version());
  } else {
    printf("sinter %s\n", sinter_version());
  }
  return STATUS_OK;
}

status verb_completions(struct invocation *v) {
  if (strcmp(v->options.arguments[0], "bash"))
    return diag_report(&v->diags, DIAG_E0801, NULL, "zsh can use them through bashcompinit",
                       "there are completions for bash, not for '%s'", v->options.arguments[0]);
  help_completions_bash();
  return STATUS_OK;
}

static const struct {
  const char *name;
  bool on;
  const char *doc;
} passes[] = {
#define PASS(name, on, doc) {#name, on, doc},
#include "passes/passes.def"
#undef PASS
};

status verb_passes(struct invocation *v) {
  struct json *j = &v->json;
  if (v->as_json) {
    json_key(j, "passes");
    json_array_begin(j);
  }
  for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
    if (!v->as_json) {
      printf("%-16s %s%s\n", passes[i].name, passes[i].doc, passes[i].on ? "" : " (off)");
      continue;
    }
    json_object_begin(j);
    json_key(j, "name"), json_string(j, passes[i].name);
    json_key(j, "on"), json_bool(j, passes[i].on);
    json_key(j, "does"), json_string(j, passes[i].doc);
    json_object_end(j);
  }
  if (v->as_json)
    json_array_end(j);
  return STATUS_OK;
}
