/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing of the command line. */
#include "cli/options.h"

#include "base/str.h"
#include "cli/option_value.h"

#include <stdio.h>
#include <string.h>

const struct verb_info verb_infos[VERB_COUNT] = {
#define VERB(NAME, word, arguments, min, max, summary) {#word, arguments, min, max, summary},
#include "cli/options.def"
};

#define IN(verb) (1u << VERB_##verb)
#define EVERY_VERB ((1u << VERB_COUNT) - 1)
const struct option_info option_infos[OPT_COUNT] = {
#define OPTION(ID, name, letter, kind, value, default, verbs, help)                                \
  {name, letter, OPTION_##kind, value, default, verbs, help},
#include "cli/options.def"
};

bool verb_find(const char *word, enum verb *out_verb) {
  for (int v = 0; v < VERB_COUNT; v++)
    if (!strcmp(verb_infos[v].word, word)) {
      *out_verb = (enum verb)v;
      return true;
    }
  return false;
}

enum option_id option_find(enum verb verb, const char *name, size_t n) {
  for (int i = 0; i < OPT_COUNT; i++) {
    const struct option_info *info = &option_infos[i];
    if ((info->verbs >> verb & 1) && strlen(info->name) == n && !memcmp(info->name, name, n))
      return (enum option_id)i;
  }
  return OPT_COUNT;
}

static enum option_id find_letter(enum verb verb, char letter) {
  for (int i = 0; i < OPT_COUNT; i++)
    if ((option_infos[i].verbs >> verb & 1) && letter && option_infos[i].letter == letter)
      return (enum option_id)i;
  return OPT_COUNT;
}

const char *option_text(const struct options *o, enum option_id id) {
  const struct option_value *v = &o->values[id];
  return v->count ? v->texts[v->count - 1] : NULL;
}

uint64_t option_number(const struct options *o, enum option_id id, uint64_t otherwise) {
  return option_given(o, id) ? o->values[id].number : otherwise;
}

double option_real(const struct options *o, enum option_id id, double otherwise) {
  return option_given(o, id) ? o->values[id].real : otherwise;
}

status options_refuse(const struct options *o, const enum option_id *ids, const char *why,
                      struct diags *d) {
  status s = STATUS_OK;
  for (; *ids != OPT_COUNT; ids++)
    if (option_given(o, *ids))
      s = diag_report(d, DIAG_E0803, NULL, NULL, "'--%s' %s", option_infos[*ids].name, why);
  return s;
}

/* ---- one option ---- */

struct parser {
  int argc;
  char **argv;
  int at; /* the next word */
  struct arena *arena;
  struct diags *diags;
  struct options *out;
};

static void unknown_verb(struct parser *p, const char *word) {
  struct near_miss near = {.wanted = word};
  for (int v = 0; v < VERB_COUNT; v++)
    near_miss_consider(&near, verb_infos[v].word);
  const char *hint = near.best ? arena_printf(p->arena, "did you mean 'sinter %s'?", near.best)
                               : "'sinter help' lists the verbs";
  diag_report(p->diags, DIAG_E0801, NULL, hint, "there is no verb '%s'", word);
}

/* An option of other verbs, or of none. */
static void unknown_option(struct parser *p, const char *word, size_t n) {
  const char *verb = verb_infos[p->out->verb].word;
  const char *name = word + strspn(word, "-");
  n -= (size_t)(name - word);
  char *wanted = arena_strndup(p->arena, name, n);
  struct near_miss near = {.wanted = wanted};
  const char *elsewhere = NULL;
  for (int i = 0; i < OPT_COUNT; i++) {
    const struct option_info *info = &option_infos[i];
    if (info->verbs >> p->out->verb & 1)
      near_miss_consider(&near, info->name);
    else if (!strcmp(info->name, wanted) && !elsewhere)
      elsewhere = verb_infos[__builtin_ctz(info->verbs)].word;
  }
  const char *hint = elsewhere ? arena_printf(p->arena, "it is an option of 'sinter %s'", elsewhere)
                     : near.best
                         ? arena_printf(p->arena, "did you mean '--%s'?", near.best)
                         : arena_printf(p->arena, "'sinter %s --help' lists the options", verb);
  diag_report(p->diags, DIAG_E0801, NULL, hint, "'sinter %s' has no option '%.*s'", verb,
              (int)(n + (size_t)(name - word)), word);
}

static bool parse_choice(const char *words, const char *text, uint64_t *out) {
  struct str rest = str_from_c(words);
  for (uint64_t i = 0; rest.len; i++) {
    if (str_eq_c(str_split(&rest, '|'), text)) {
      *out = i;
      return true;
    }
  }
  return false;
}

static const char *wanted_form(const struct option_info *info) {
  switch (info->kind) {
  case OPTION_COUNT: return "a whole number";
  case OPTION_REAL: return "a number of 0 or more";
  case OPTION_DURATION: return "a time with its unit, such as 500ms, 5s or 2min";
  case OPTION_SIZE: return "a size with its unit, such as 512MiB or 2GiB";
  case OPTION_CHOICE: return info->value;
  default: return "text";
  }
}

static bool parse_value(const struct option_info *info, const char *text, struct option_value *v) {
  switch (info->kind) {
  case OPTION_COUNT: return value_count(text, &v->number);
  case OPTION_REAL: return value_real(text, &v->real);
  case OPTION_DURATION: return value_duration(text, &v->real);
  case OPTION_SIZE: return value_size(text, &v->number);
  case OPTION_CHOICE: return parse_choice(info->value, text, &v->number);
  default: return text[0] != '\0';
  }
}

static void store(struct parser *p, enum option_id id, const char *text) {
  const struct option_info *info = &option_infos[id];
  struct option_value *v = &p->out->values[id];
  if (v->count && info->kind != OPTION_LIST && info->kind != OPTION_FLAG) {
    diag_report(p->diags, DIAG_E0803, NULL, NULL, "'--%s' is given twice", info->name);
    return;
  }
  if (info->kind != OPTION_FLAG && !parse_value(info, text, v)) {
    diag_report(p->diags, DIAG_E0802, NULL, NULL, "'--%s' takes %s, not '%s'", info->name,
                wanted_form(info), text);
    return;
  }
  if (!v->texts)
    v->texts = ARENA_ARRAY(p->arena, const char *, p->argc);
  v->texts[v->count++] = text;
}

static void parse_option(struct parser *p, const char *word) {
  bool is_long = word[1] == '-';
  const char *name = word + (is_long ? 2 : 1);
  const char *equals = is_long ? strchr(name, '=') : NULL;
  size_t n = equals ? (size_t)(equals - name) : strlen(name);
  enum option_id id = is_long ? option_find(p->out->verb, name, n)
                              : (n == 1 ? find_letter(p->out->verb, name[0]) : OPT_COUNT);
  if (id == OPT_COUNT) {
    unknown_option(p, word, n + (size_t)(name - word));
    return;
  }
  const struct option_info *info = &option_infos[id];
  if (info->kind == OPTION_FLAG) {
    if (equals)
      diag_report(p->diags, DIAG_E0802, NULL, NULL, "'--%s' takes no value", info->name);
    else
      store(p, id, "");
    return;
  }
  if (!equals && p->at == p->argc) {
    diag_report(p->diags, DIAG_E0802, NULL, NULL, "'--%s' wants a value: %s", info->name,
                info->value);
    return;
  }
  store(p, id, equals ? equals + 1 : p->argv[p->at++]);
}

/* ---- the whole ---- */

static void check_arguments(struct parser *p) {
  const struct verb_info *info = &verb_infos[p->out->verb];
  const char *hint =
      arena_printf(p->arena, "usage: sinter %s [options] %s", info->word, info->arguments);
  uint32_t n = p->out->n_arguments;
  if (n < info->min)
    diag_report(p->diags, DIAG_E0803, NULL, hint, "'sinter %s' wants %s%u argument%s", info->word,
                info->min == info->max ? "" : "at least ", info->min, info->min == 1 ? "" : "s");
  else if (n > info->max)
    diag_report(p->diags, DIAG_E0801, NULL, hint, "'%s' is one argument too many",
                p->out->arguments[info->max]);
}

/* `sinter`, `sinter --help` and `sinter --version` are spoken by everyone. */
static bool parse_verb(struct parser *p) {
  if (p->argc < 2) {
    p->at = p->argc;
    p->out->verb = VERB_HELP;
    return true;
  }
  const char *word = p->argv[1];
  p->at = 2;
  if (!strcmp(word, "--help") || !strcmp(word, "-h"))
    word = "help";
  else if (!strcmp(word, "--version"))
    word = "version";
  if (verb_find(word, &p->out->verb))
    return true;
  unknown_verb(p, word);
  return false;
}

static bool asks_for_help(int from, int argc, char **argv) {
  for (int i = from; i < argc && strcmp(argv[i], "--"); i++)
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
      return true;
  return false;
}

status options_parse(int argc, char **argv, struct arena *arena, struct diags *d,
                     struct options *out) {
  *out = (struct options){.arguments = ARENA_ARRAY(arena, const char *, argc + 1)};
  struct parser p = {.argc = argc, .argv = argv, .arena = arena, .diags = d, .out = out};
  if (!parse_verb(&p))
    return diags_status(d);
  if (asks_for_help(p.at, argc, argv)) {
    store(&p, OPT_HELP, "");
    return STATUS_OK;
  }
  bool only_arguments = false;
  while (p.at < argc) {
    const char *word = argv[p.at++];
    if (!only_arguments && !strcmp(word, "--"))
      only_arguments = true;
    else if (!only_arguments && word[0] == '-' && word[1])
      parse_option(&p, word);
    else
      out->arguments[out->n_arguments++] = word;
  }
  check_arguments(&p);
  return diags_status(d);
}
