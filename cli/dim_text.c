/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation of worded dims; the words are those of plan_expr_text. */
#include "cli/dim_text.h"

#include "base/checked.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void dim_names_bind(struct dim_names *names, const char *name, int64_t value) {
  for (const struct dim_name *n = names->first; n; n = n->next)
    if (!strcmp(n->name, name))
      return;
  struct dim_name *n = ARENA_NEW(names->arena, struct dim_name);
  *n = (struct dim_name){arena_strdup(names->arena, name), value, names->first};
  names->first = n;
}

static const char *const calls[] = {"min(", "max(", "exactdiv("};

bool dim_text_is_name(const char *text) {
  if (text[0] == '(' || isdigit((unsigned char)text[0]) || text[0] == '-')
    return false;
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
    if (!strncmp(text, calls[i], strlen(calls[i])))
      return false;
  return true;
}

static bool skip(const char **at, const char *word) {
  size_t n = strlen(word);
  if (strncmp(*at, word, n))
    return false;
  *at += n;
  return true;
}

static int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static bool apply(char op, int64_t a, int64_t b, int64_t *out) {
  switch (op) {
  case '+': return i64_add(a, b, out);
  case '*': return i64_mul(a, b, out);
  case 'm': return *out = a < b ? a : b, true;
  case 'M': return *out = a > b ? a : b, true;
  default: break;
  }
  if (b == 0 || (a == INT64_MIN && b == -1))
    return *out = 0, op != 'e';
  if (op == 'e' && a % b)
    return false;
  *out = op == '%' ? a - floor_div(a, b) * b : floor_div(a, b);
  return true;
}

/* A name may hold anything, so the longest known one that fits is it. */
static bool known_name(const char **at, const struct dim_names *names, int64_t *out) {
  size_t longest = 0;
  for (const struct dim_name *n = names->first; n; n = n->next) {
    size_t length = strlen(n->name);
    if (length > longest && !strncmp(*at, n->name, length)) {
      longest = length;
      *out = n->value;
    }
  }
  *at += longest;
  return longest > 0;
}

static bool evaluate(const char **at, const struct dim_names *names, int depth, int64_t *out);

static bool pair(const char **at, const struct dim_names *names, int depth, char op, int64_t *out) {
  static const struct {
    const char *word;
    char op;
  } infix[] = {{" + ", '+'}, {" * ", '*'}, {" floordiv ", '/'}, {" mod ", '%'}};
  int64_t a, b;
  if (!evaluate(at, names, depth + 1, &a))
    return false;
  if (op) {
    if (!skip(at, ", "))
      return false;
  } else {
    for (size_t i = 0; i < sizeof infix / sizeof infix[0] && !op; i++)
      if (skip(at, infix[i].word))
        op = infix[i].op;
    if (!op)
      return false;
  }
  return evaluate(at, names, depth + 1, &b) && skip(at, ")") && apply(op, a, b, out);
}

static bool evaluate(const char **at, const struct dim_names *names, int depth, int64_t *out) {
  static const char call_ops[] = {'m', 'M', 'e'};
  if (depth > 64)
    return false;
  if (known_name(at, names, out))
    return true;
  if (skip(at, "("))
    return pair(at, names, depth, 0, out);
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
    if (skip(at, calls[i]))
      return pair(at, names, depth, call_ops[i], out);
  char *end;
  *out = strtoll(*at, &end, 10);
  bool number = end != *at;
  *at = end;
  return number;
}

bool dim_text_evaluate(const char *text, const struct dim_names *names, int64_t *out) {
  const char *at = text;
  return evaluate(&at, names, 0, out) && !*at;
}
