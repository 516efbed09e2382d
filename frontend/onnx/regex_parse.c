/* SPDX-License-Identifier: Apache-2.0 */
/* A recursive descent over the pattern, one function per level of binding. */
#include "frontend/onnx/regex_parse.h"

#include "base/host_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 100
#define MAX_PATTERN 4096 /* bytes; bounds how deep trees are */
#define MAX_REPEAT 1000  /* RE2's own */
#define MAX_CODE_POINT 0x10FFFF

typedef VEC(struct regex_range) range_list;

struct parser {
  struct arena *arena;
  struct str rest;
  uint32_t depth;
  enum regex_result result;
  const char *why;
};

static const struct regex *fail(struct parser *p, enum regex_result result, const char *why) {
  if (!p->result) {
    p->result = result;
    p->why = why;
  }
  return NULL;
}

static bool next_is(const struct parser *p, const char *text) {
  size_t n = strlen(text);
  return p->rest.len >= n && !memcmp(p->rest.data, text, n);
}

static void skip(struct parser *p, size_t n) {
  p->rest.data += n;
  p->rest.len -= n;
}

static bool take(struct parser *p, const char *text) {
  if (!next_is(p, text))
    return false;
  skip(p, strlen(text));
  return true;
}

/* ---- nodes ---- */

static struct regex *node(struct parser *p, enum regex_kind kind) {
  struct regex *r = ARENA_NEW(p->arena, struct regex);
  r->kind = kind;
  return r;
}

static const struct regex *pair(struct parser *p, enum regex_kind kind, const struct regex *left,
                                const struct regex *right) {
  struct regex *r = node(p, kind);
  r->left = left;
  r->right = right;
  return left && right ? r : NULL;
}

/* ---- sets ---- */

static int compare_ranges(const void *a, const void *b) {
  const struct regex_range *x = a, *y = b;
  return (x->first > y->first) - (x->first < y->first);
}

/* Ascending, neighbours joined. */
static void normalize(range_list *list) {
  uint32_t n = 0;
  if (list->len)
    qsort(list->data, list->len, sizeof *list->data, compare_ranges);
  for (uint32_t i = 0; i < list->len; i++) {
    struct regex_range r = list->data[i];
    if (n && r.first <= list->data[n - 1].last + 1) {
      if (r.last > list->data[n - 1].last)
        list->data[n - 1].last = r.last;
    } else {
      list->data[n++] = r;
    }
  }
  list->len = n;
}

static void negate(range_list *list) {
  range_list out = {0};
  int32_t next = 0;
  normalize(list);
  for (uint32_t i = 0; i < list->len; i++) {
    if (list->data[i].first > next)
      vec_push(&out, ((struct regex_range){next, list->data[i].first - 1}));
    next = list->data[i].last + 1;
  }
  if (next <= MAX_CODE_POINT)
    vec_push(&out, ((struct regex_range){next, MAX_CODE_POINT}));
  vec_deinit(list);
  *list = out;
}

/* Ranges of pairs of characters: "az09". */
static void add_pairs(range_list *list, const char *pairs, size_t n) {
  for (size_t i = 0; i + 1 < n; i += 2)
    vec_push(list, ((struct regex_range){(unsigned char)pairs[i], (unsigned char)pairs[i + 1]}));
}

struct named_set {
  const char *name, *pairs;
  size_t n;
};
#define NAMED(name, pairs) {name, pairs, sizeof(pairs) - 1}

static const struct named_set escapes[] = {NAMED("d", "09"), NAMED("s", "\t\n\f\r  "),
                                           NAMED("w", "09AZaz__")};
static const struct named_set posix_sets[] = {NAMED("alnum", "09AZaz"),
                                              NAMED("alpha", "AZaz"),
                                              NAMED("ascii", "\0\x7F"),
                                              NAMED("blank", "\t\t  "),
                                              NAMED("cntrl", "\0\x1F\x7F\x7F"),
                                              NAMED("digit", "09"),
                                              NAMED("graph", "!~"),
                                              NAMED("lower", "az"),
                                              NAMED("print", " ~"),
                                              NAMED("punct", "!/:@[`{~"),
                                              NAMED("space", "\t\r  "),
                                              NAMED("upper", "AZ"),
                                              NAMED("word", "09AZaz__"),
                                              NAMED("xdigit", "09AFaf")};

static void add_set(range_list *list, const struct named_set *set, bool negated) {
  range_list own = {0};
  add_pairs(&own, set->pairs, set->n);
  if (negated)
    negate(&own);
  for (uint32_t i = 0; i < own.len; i++)
    vec_push(list, own.data[i]);
  vec_deinit(&own);
}

/* \d and its kin, behind the backslash. */
static bool take_class_escape(struct parser *p, range_list *list) {
  for (unsigned i = 0; p->rest.len && i < sizeof escapes / sizeof *escapes; i++) {
    char c = p->rest.data[0], lower = escapes[i].name[0];
    if (c != lower && c != lower - 'a' + 'A')
      continue;
    add_set(list, &escapes[i], c != lower);
    skip(p, 1);
    return true;
  }
  return false;
}

/* [:alpha:] within a class. */
static bool take_posix(struct parser *p, range_list *list) {
  for (unsigned i = 0; i < sizeof posix_sets / sizeof *posix_sets; i++) {
    for (int negated = 0; negated < 2; negated++) {
      char text[16];
      int n = snprintf(text, sizeof text, "[:%s%s:]", negated ? "^" : "", posix_sets[i].name);
      if (n < (int)sizeof text && take(p, text)) {
        add_set(list, &posix_sets[i], negated);
        return true;
      }
    }
  }
  return false;
}

static const struct regex *set_node(struct parser *p, range_list *list) {
  struct regex *r = node(p, REGEX_SET);
  normalize(list);
  r->n_ranges = list->len;
  r->ranges = ARENA_ARRAY(p->arena, struct regex_range, list->len);
  if (list->len)
    memcpy(r->ranges, list->data, list->len * sizeof *r->ranges);
  vec_deinit(list);
  return r;
}

/* ---- characters ---- */

static int hex_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Behind \x: two digits, or any number of them in braces. */
static int32_t take_hex(struct parser *p) {
  bool braces = take(p, "{");
  int32_t x = 0;
  uint32_t n = 0;
  while (p->rest.len && hex_value(p->rest.data[0]) >= 0 && x <= MAX_CODE_POINT &&
         (braces || n < 2)) {
    x = x * 16 + hex_value(p->rest.data[0]);
    skip(p, 1);
    n++;
  }
  if (x > MAX_CODE_POINT || (braces ? !n || !take(p, "}") : n != 2)) {
    fail(p, REGEX_INVALID, "a code point in hexadecimal is not one");
    return -1;
  }
  return x;
}

/* An escaped character, behind the backslash; -1, reported, if it is none. */
static int32_t take_escape(struct parser *p) {
  static const char from[] = "aftnrv", to[] = "\a\f\t\n\r\v";
  if (!p->rest.len) {
    fail(p, REGEX_INVALID, "it ends in a backslash");
    return -1;
  }
  char c = p->rest.data[0];
  const char *control = c ? strchr(from, c) : NULL;
  bool word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  if ((unsigned char)c >= 0x80) {
    fail(p, REGEX_INVALID, "a backslash before a letter that is no escape");
    return -1;
  }
  skip(p, 1);
  if (c == 'x')
    return take_hex(p);
  if (control)
    return to[control - from];
  if (!word)
    return (unsigned char)c;
  fail(p, REGEX_UNSUPPORTED, "an escape that is not supported");
  return -1;
}

/* One code point as it stands; -1, reported, for bytes that are no UTF-8. */
static int32_t take_plain(struct parser *p) {
  int32_t code;
  size_t n = utf8_decode((struct host_string){p->rest.data, p->rest.len}, &code);
  if (code < 0)
    fail(p, REGEX_INVALID, "it is no UTF-8");
  skip(p, n);
  return code;
}

static int32_t take_class_char(struct parser *p) {
  return take(p, "\\") ? take_escape(p) : take_plain(p);
}

/* ---- atoms ---- */

static void class_item(struct parser *p, range_list *list) {
  if (next_is(p, "[:")) {
    if (!take_posix(p, list))
      fail(p, REGEX_INVALID, "a class has an unknown name");
    return;
  }
  if (next_is(p, "\\")) {
    struct str before = p->rest;
    skip(p, 1);
    if (take_class_escape(p, list))
      return;
    p->rest = before;
  }
  int32_t first = take_class_char(p), last = first;
  if (first >= 0 && p->rest.len > 1 && next_is(p, "-") && p->rest.data[1] != ']') {
    skip(p, 1);
    last = take_class_char(p);
    if (last >= 0 && last < first)
      fail(p, REGEX_INVALID, "a range of a class ends before it begins");
  }
  vec_push(list, ((struct regex_range){first, last}));
}

/* Behind the opening bracket. */
static const struct regex *take_class(struct parser *p) {
  range_list list = {0};
  bool negated = take(p, "^");
  for (bool first = true; !p->result && (first || !next_is(p, "]")); first = false) {
    if (!p->rest.len)
      fail(p, REGEX_INVALID, "a class has no end");
    else
      class_item(p, &list);
  }
  if (p->result) {
    vec_deinit(&list);
    return NULL;
  }
  skip(p, 1);
  if (negated)
    negate(&list);
  return set_node(p, &list);
}

static const struct regex *take_alternatives(struct parser *p);

/* Behind the opening parenthesis. */
static const struct regex *take_group(struct parser *p) {
  if (take(p, "?P<") || take(p, "?<")) {
    const char *end = memchr(p->rest.data, '>', p->rest.len);
    if (!end || end == p->rest.data || *p->rest.data == '=' || *p->rest.data == '!')
      return fail(p, REGEX_INVALID, "a group has no name");
    skip(p, (size_t)(end - p->rest.data) + 1);
  } else if (!take(p, "?:") && next_is(p, "?")) {
    return fail(p, REGEX_UNSUPPORTED, "flags are not supported");
  }
  if (++p->depth > MAX_DEPTH)
    return fail(p, REGEX_UNSUPPORTED, "its groups are too deep");
  const struct regex *r = take_alternatives(p);
  p->depth--;
  if (r && !take(p, ")"))
    return fail(p, REGEX_INVALID, "a group has no end");
  return r;
}

static const struct regex *one_code_point(struct parser *p, int32_t code) {
  range_list list = {0};
  if (code < 0)
    return NULL;
  vec_push(&list, ((struct regex_range){code, code}));
  return set_node(p, &list);
}

/* Behind a backslash, outside of classes. */
static const struct regex *take_atom_escape(struct parser *p) {
  range_list list = {0};
  if (take(p, "A"))
    return node(p, REGEX_BEGIN);
  if (take(p, "z"))
    return node(p, REGEX_END);
  if (take(p, "b"))
    return node(p, REGEX_BOUNDARY);
  if (take(p, "B"))
    return node(p, REGEX_INSIDE);
  if (take_class_escape(p, &list))
    return set_node(p, &list);
  return one_code_point(p, take_escape(p));
}

static const struct regex *take_atom(struct parser *p) {
  range_list list = {0};
  if (take(p, "("))
    return take_group(p);
  if (take(p, "["))
    return take_class(p);
  if (take(p, "^"))
    return node(p, REGEX_BEGIN);
  if (take(p, "$"))
    return node(p, REGEX_END);
  if (take(p, "\\"))
    return take_atom_escape(p);
  if (next_is(p, "*") || next_is(p, "+") || next_is(p, "?"))
    return fail(p, REGEX_INVALID, "there is nothing to repeat");
  if (!take(p, "."))
    return one_code_point(p, take_plain(p));
  vec_push(&list, ((struct regex_range){'\n', '\n'}));
  negate(&list);
  return set_node(p, &list);
}

/* ---- repetition and above ---- */

static bool take_count(struct str *s, uint32_t *out) {
  uint32_t n = 0, digits = 0;
  for (; s->len && s->data[0] >= '0' && s->data[0] <= '9' && digits < 6; digits++) {
    n = n * 10 + (uint32_t)(s->data[0] - '0');
    s->data++;
    s->len--;
  }
  *out = n;
  return digits > 0;
}

/* {n}, {n,} or {n,m}; braces around anything else are plain characters. */
static bool take_braces(struct parser *p, uint32_t *least, uint32_t *most) {
  struct parser q = *p;
  if (!take(&q, "{") || !take_count(&q.rest, least))
    return false;
  *most = *least;
  if (take(&q, ",") && !take_count(&q.rest, most))
    *most = REGEX_NO_LIMIT;
  if (!take(&q, "}"))
    return false;
  p->rest = q.rest;
  bool sound =
      *least <= MAX_REPEAT && (*most == REGEX_NO_LIMIT || (*most >= *least && *most <= MAX_REPEAT));
  if (!sound)
    fail(p, REGEX_INVALID, "a number of repetitions is out of range");
  return true;
}

static bool take_repeat(struct parser *p, uint32_t *least, uint32_t *most) {
  *least = 0;
  *most = REGEX_NO_LIMIT;
  if (take(p, "*"))
    return true;
  if (take(p, "+")) {
    *least = 1;
    return true;
  }
  if (take(p, "?")) {
    *most = 1;
    return true;
  }
  return take_braces(p, least, most);
}

static const struct regex *take_repeated(struct parser *p) {
  const struct regex *atom = take_atom(p);
  uint32_t least, most;
  if (!atom || !take_repeat(p, &least, &most))
    return atom;
  bool lazy = take(p, "?");
  struct regex *r = node(p, REGEX_REPEAT);
  r->left = atom;
  r->least = least;
  r->most = most;
  r->lazy = lazy;
  if (take_repeat(p, &least, &most))
    return fail(p, REGEX_INVALID, "a repetition is repeated");
  return p->result ? NULL : r;
}

static const struct regex *take_sequence(struct parser *p) {
  const struct regex *all = node(p, REGEX_EMPTY);
  while (all && p->rest.len && !next_is(p, "|") && !next_is(p, ")"))
    all = pair(p, REGEX_CONCAT, all, take_repeated(p));
  return p->result ? NULL : all;
}

static const struct regex *take_alternatives(struct parser *p) {
  const struct regex *all = take_sequence(p);
  while (all && take(p, "|"))
    all = pair(p, REGEX_ALTERNATIVE, all, take_sequence(p));
  return all;
}

enum regex_result regex_parse(struct str pattern, struct arena *arena, const struct regex **out,
                              const char **out_why) {
  struct parser p = {.arena = arena, .rest = pattern};
  if (pattern.len > MAX_PATTERN) {
    *out_why = "it is too long";
    return REGEX_UNSUPPORTED;
  }
  *out = take_alternatives(&p);
  if (*out && p.rest.len)
    fail(&p, REGEX_INVALID, "a group ends that has not begun");
  *out_why = p.why;
  return p.result;
}
