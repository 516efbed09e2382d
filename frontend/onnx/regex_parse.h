/* SPDX-License-Identifier: Apache-2.0 */
/* The syntax of regular expressions: patterns as trees. */
#ifndef SINTER_FRONTEND_ONNX_REGEX_PARSE_H
#define SINTER_FRONTEND_ONNX_REGEX_PARSE_H

#include "base/arena.h"
#include "base/str.h"
#include "base/vec.h"
#include "frontend/onnx/regex_automaton.h"

enum regex_kind {
  REGEX_EMPTY,
  REGEX_SET,      /* one code point of the ranges */
  REGEX_BEGIN,    /* nothing, at the text's first place */
  REGEX_END,      /* nothing, at its last */
  REGEX_BOUNDARY, /* nothing, where a word of ASCII letters, digits and _ begins or ends */
  REGEX_INSIDE,   /* nothing, where none does */
  REGEX_CONCAT,
  REGEX_ALTERNATIVE,
  REGEX_REPEAT, /* left, least to most times */
};

struct regex_range {
  int32_t first, last; /* code points, inclusive */
};

#define REGEX_NO_LIMIT UINT32_MAX

struct regex {
  enum regex_kind kind;
  const struct regex *left, *right;
  struct regex_range *ranges; /* ascending, apart */
  uint32_t n_ranges;
  uint32_t least, most;
  bool lazy; /* REPEAT: as few times as will do; the same for a whole match */
};

/* The tree lives in the arena; errors as regex_automaton's. */
enum regex_result regex_parse(struct str pattern, struct arena *arena, const struct regex **out,
                              const char **out_why);

#endif
