/* SPDX-License-Identifier: Apache-2.0 */
/* Deterministic automata over bytes, as tensors of u8: what host function `match` takes.
 *
 *   u16 states, u16 classes    at least 1 each, little-endian like all of it
 *   u8  class_of[256]          of a byte, below `classes`
 *   u8  accepts[states]        whether a text may end there
 *   u16 next[states][classes]  below `states`
 *
 * It begins in state 0. */
#ifndef SINTER_BASE_HOST_MATCH_H
#define SINTER_BASE_HOST_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host_automaton {
  uint32_t states, classes;
  const uint8_t *class_of, *accepts, *next;
};

#define HOST_MATCH_HEADER (4 + 256)

/* False for bytes that are no automaton. The bytes must outlive it. */
bool host_match_open(const void *bytes, uint64_t n, struct host_automaton *out);
/* The state from which no text is accepted any more; `states` if there is none. Slow. */
uint32_t host_match_dead(const struct host_automaton *a);
/* How long the longest accepted text at the front of `text` is; 0 for none and for the empty one.
 */
size_t host_match_longest(const struct host_automaton *a, uint32_t dead, const char *text,
                          size_t n);
bool host_match_run(const struct host_automaton *a, const char *text, size_t n);

#endif
