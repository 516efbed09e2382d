/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions in RE2's syntax, for matches of whole texts, as automata (base/host_match.h).
 *
 * A whole match asks only whether a text is in the language, so greedy and lazy repetition are one,
 * and groups capture nothing. Source: github.com/google/re2/wiki/Syntax. Refused, as unsupported:
 * flags, \Q, \C, Unicode classes by name, and automata of more than
 * REGEX_MAX_STATES states. */
#ifndef SINTER_FRONTEND_ONNX_REGEX_AUTOMATON_H
#define SINTER_FRONTEND_ONNX_REGEX_AUTOMATON_H

#include "base/arena.h"
#include "base/str.h"

#include <stdint.h>

#define REGEX_MAX_STATES 1024

enum regex_result { REGEX_OK, REGEX_INVALID, REGEX_UNSUPPORTED };

/* The automaton's bytes, in the arena; else *out_why says what is wrong, a literal. */
enum regex_result regex_automaton(struct str pattern, struct arena *arena,
                                  const uint8_t **out_bytes, uint64_t *out_n, const char **out_why);

/* The same for a search of matches inside of texts, which are the longest at their places (host
 * function `find_part`). Search in RE2 prefers alternatives by their order, so patterns are refused
 * as unsupported unless the two are one: single characters and sets, repeated a fixed number of
 * times, and a last one repeated as often as it goes. So are patterns that match the empty text. */
enum regex_result regex_token_automaton(struct str pattern, struct arena *arena,
                                        const uint8_t **out_bytes, uint64_t *out_n,
                                        const char **out_why);

#endif
