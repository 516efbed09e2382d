/* SPDX-License-Identifier: Apache-2.0 */
/* Running automata; everything that a run looks up is checked when one is opened. */
#include "base/host_match.h"

static uint32_t load_u16(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }

bool host_match_open(const void *bytes, uint64_t n, struct host_automaton *out) {
  const uint8_t *p = bytes;
  if (n < HOST_MATCH_HEADER)
    return false;
  *out = (struct host_automaton){load_u16(p), load_u16(p + 2), p + 4, p + HOST_MATCH_HEADER, NULL};
  uint64_t cells = (uint64_t)out->states * out->classes;
  if (!cells || n != HOST_MATCH_HEADER + out->states + 2 * cells)
    return false;
  out->next = out->accepts + out->states;
  for (uint32_t i = 0; i < 256; i++)
    if (out->class_of[i] >= out->classes)
      return false;
  for (uint64_t i = 0; i < cells; i++)
    if (load_u16(out->next + 2 * i) >= out->states)
      return false;
  return true;
}

static uint32_t next_state(const struct host_automaton *a, uint32_t state, uint32_t class) {
  return load_u16(a->next + 2 * ((uint64_t)state * a->classes + class));
}

bool host_match_run(const struct host_automaton *a, const char *text, size_t n) {
  uint32_t state = 0;
  for (size_t i = 0; i < n; i++)
    state = next_state(a, state, a->class_of[(uint8_t)text[i]]);
  return a->accepts[state] != 0;
}

uint32_t host_match_dead(const struct host_automaton *a) {
  for (uint32_t s = 0; s < a->states; s++) {
    bool stays = !a->accepts[s];
    for (uint32_t c = 0; c < a->classes && stays; c++)
      stays = next_state(a, s, c) == s;
    if (stays)
      return s;
  }
  return a->states;
}

size_t host_match_longest(const struct host_automaton *a, uint32_t dead, const char *text,
                          size_t n) {
  size_t longest = 0;
  uint32_t state = 0;
  for (size_t i = 0; i < n && state != dead; i++) {
    state = next_state(a, state, a->class_of[(uint8_t)text[i]]);
    if (a->accepts[state])
      longest = i + 1;
  }
  return longest;
}
