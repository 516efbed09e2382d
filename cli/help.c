/* SPDX-License-Identifier: Apache-2.0 */
/* Help, manual page and completions, all from options.def. */
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

static bool takes(enum verb verb, const struct option_info *info) {
  return info->verbs >> verb & 1;
}

static void print_usage(enum verb verb) {
  const struct verb_info *v = &verb_infos[verb];
  printf("usage: sinter %s [options]%s%s\n", v->word, v->arguments[0] ? " " : "", v->arguments);
}

/* Words to lines of at most `width` columns; lines after the first begin at `indent`. */
static void print_wrapped(const char *text, int indent, int width) {
  int column = indent;
  while (*text) {
    int n = (int)strcspn(text, " ");
    if (column > indent && column + 1 + n > width) {
      printf("\n%*s", indent, "");
      column = indent;
    } else if (column > indent) {
      putchar(' ');
      column++;
    }
    printf("%.*s", n, text);
    column += n;
    text += n;
    text += strspn(text, " ");
  }
  putchar('\n');
}

enum { HELP_COLUMN = 34, HELP_WIDTH = 100 };

static void print_option(const struct option_info *info) {
  char letter[8] = "    ", left[80], right[400];
  if (info->letter)
    snprintf(letter, sizeof letter, "-%c, ", info->letter);
  snprintf(left, sizeof left, "  %s--%s%s%s", letter, info->name, info->value[0] ? " " : "",
           info->value);
  bool stated = info->initial[0];
  snprintf(right, sizeof right, "%s%s%s%s", info->help, stated ? " (default: " : "", info->initial,
           stated ? ")" : "");
  printf("%-*s", HELP_COLUMN, left);
  if (strlen(left) >= HELP_COLUMN)
    printf("\n%*s", HELP_COLUMN, "");
  print_wrapped(right, HELP_COLUMN, HELP_WIDTH);
}

void help_verb(enum verb verb) {
  print_usage(verb);
  printf("\n%s\n\n", verb_infos[verb].summary);
  for (int i = 0; i < OPT_COUNT; i++)
    if (takes(verb, &option_infos[i]))
      print_option(&option_infos[i]);
}

void help_program(void) {
  printf("usage: sinter VERB [options] [arguments]\n\n");
  for (int v = 0; v < VERB_COUNT; v++)
    printf("  %-12s %s\n", verb_infos[v].word, verb_infos[v].summary);
  printf("\n'sinter VERB --help' explains a verb. Exit codes: 0 ok, 1 mismatch, 2 usage, 3 invalid "
         "or\n"
         "unsupported model, 4 resources, 5 device, 6 internal error, 130 cancelled.\n");
}

/* ---- manual page ---- */

/* scdoc gives these a meaning, though not in headings. */
static void print_scdoc(const char *text) {
  for (; *text; text++) {
    if (strchr("_*\\#|[]", *text))
      putchar('\\');
    putchar(*text);
  }
}

static void man_option(const struct option_info *info) {
  if (info->letter)
    printf("*-%c*, ", info->letter);
  printf("*--%s*", info->name);
  if (info->value[0]) {
    printf(" ");
    print_scdoc(info->value);
  }
  printf("\n\t");
  print_scdoc(info->help);
  printf(".");
  if (info->initial[0]) {
    printf(" Default: ");
    print_scdoc(info->initial);
    printf(".");
  }
  printf("\n\n");
}

void help_man(void) {
  printf("sinter(1)\n\n# NAME\n\nsinter - ahead-of-time compiler for ONNX models\n\n");
  printf("# SYNOPSIS\n\n*sinter* _verb_ [options] [arguments]\n\n# VERBS\n\n");
  for (int v = 0; v < VERB_COUNT; v++) {
    printf("## sinter %s %s\n\n", verb_infos[v].word, verb_infos[v].arguments);
    print_scdoc(verb_infos[v].summary);
    printf(".\n\n");
    for (int i = 0; i < OPT_COUNT; i++)
      if (takes((enum verb)v, &option_infos[i]) && i != OPT_HELP)
        man_option(&option_infos[i]);
  }
  printf("# EXIT STATUS\n\n0 ok, 1 mismatch, 2 usage, 3 invalid or unsupported model, 4 resources, "
         "5 device, 6 internal error, 130 cancelled.\n");
}

/* ---- completions ---- */

static void bash_words(enum verb verb) {
  printf("    %s) options='", verb_infos[verb].word);
  for (int i = 0; i < OPT_COUNT; i++)
    if (takes(verb, &option_infos[i]))
      printf("--%s ", option_infos[i].name);
  printf("' ;;\n");
}

static void bash_value(enum verb verb, const struct option_info *info) {
  const char *word = verb_infos[verb].word;
  if (info->kind == OPTION_CHOICE) {
    printf("    %s:--%s) COMPREPLY=($(compgen -W '", word, info->name);
    for (const char *c = info->value; *c; c++)
      putchar(*c == '|' ? ' ' : *c);
    printf("' -- \"$current\")); return ;;\n");
  } else if (info->kind == OPTION_FOLDER) {
    printf("    %s:--%s) COMPREPLY=($(compgen -d -- \"$current\")); return ;;\n", word, info->name);
  } else if (info->kind == OPTION_PATH) {
    printf("    %s:--%s) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n", word, info->name);
  } else if (info->kind != OPTION_FLAG) {
    printf("    %s:--%s) return ;;\n", word, info->name);
  }
}

void help_completions_bash(void) {
  printf("# bash completion of sinter: eval \"$(sinter completions bash)\"\n");
  printf("_sinter() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  local verb=${COMP_WORDS[1]} options=\n"
         "  COMPREPLY=()\n"
         "  if [ \"$COMP_CWORD\" = 1 ]; then\n"
         "    COMPREPLY=($(compgen -W '");
  for (int v = 0; v < VERB_COUNT; v++)
    printf("%s ", verb_infos[v].word);
  printf("' -- \"$current\")); return\n  fi\n  case \"$verb:$previous\" in\n");
  for (int v = 0; v < VERB_COUNT; v++)
    for (int i = 0; i < OPT_COUNT; i++)
      if (takes((enum verb)v, &option_infos[i]))
        bash_value((enum verb)v, &option_infos[i]);
  printf("    *) ;;\n  esac\n  case \"$verb\" in\n");
  for (int v = 0; v < VERB_COUNT; v++)
    bash_words((enum verb)v);
  printf("  esac\n"
         "  case \"$current\" in\n"
         "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$current\")) ;;\n"
         "    *) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
         "  esac\n}\ncomplete -o filenames -F _sinter sinter\n");
}
