/* SPDX-License-Identifier: Apache-2.0 */
/* The text forms of the enumerations that attributes take. */
#include "ir/type.h"

#include "base/host_op.h"

#include <string.h>

struct keyword {
  enum keyword_kind kind;
  int value;
  const char *text;
};

static const struct keyword keywords[] = {
#define KEYWORD(e, E, text) {KEYWORD_KIND_##e, E, #text},
#include "ir/keyword.def"
#undef KEYWORD
#define HOST_OP(E, text, number, signature) {KEYWORD_KIND_host_op, HOST_OP_##E, #text},
#include "base/host_op.def"
#undef HOST_OP
};
enum { KEYWORDS = sizeof keywords / sizeof *keywords };

const char *keyword_text(enum keyword_kind kind, int value) {
  for (int i = 0; i < KEYWORDS; i++) {
    if (keywords[i].kind == kind && keywords[i].value == value)
      return keywords[i].text;
  }
  return "?";
}

int keyword_find(enum keyword_kind kind, const char *text, size_t len) {
  for (int i = 0; i < KEYWORDS; i++) {
    if (keywords[i].kind == kind && strlen(keywords[i].text) == len &&
        !memcmp(keywords[i].text, text, len))
      return keywords[i].value;
  }
  return -1;
}
