/* SPDX-License-Identifier: Apache-2.0 */
/* From a pattern's tree to a nondeterministic automaton over the bytes of UTF-8 (Thompson's
 * construction, built from the end), and from there to a deterministic one (sets of places).
 *
 * A place is an edge to follow: a range of bytes, or an edge that takes none: to two places, or to
 * one if something holds there (that the text ends, say), which the next byte tells. */
#include "frontend/onnx/regex_automaton.h"

#include "base/host_match.h"
#include "base/host_text.h"
#include "base/map.h"
#include "base/vec.h"
#include "frontend/onnx/regex_parse.h"

#include <string.h>

#define MAX_PLACES 4096
#define MAX_BYTES (256 << 10)
#define MAX_WORK (UINT64_C(1) << 26) /* places looked at */
#define SET_WORDS (MAX_PLACES / 64)

enum place_kind {
  PLACE_BYTES,
  PLACE_SPLIT,
  PLACE_MATCH,
  /* Edges that hold in some places only. */
  PLACE_BEGIN,
  PLACE_END,
  PLACE_BOUNDARY, /* between a byte of a word and one of none */
  PLACE_INSIDE,   /* not so */
};
#define HOLDS(kind) (1u << (kind))

struct place {
  enum place_kind kind;
  uint8_t first, last;  /* BYTES */
  uint32_t next, other; /* other: SPLIT */
};

struct place_set {
  uint64_t bits[SET_WORDS];
  uint64_t begin, word; /* nothing has been read; the byte read last is of a word */
};

struct automaton {
  struct arena *arena;
  VEC(struct place) places;
  VEC(struct place_set) states;
  struct strmap state_index; /* by the bits */
  bool overflow;
  uint64_t work;
  uint8_t class_of[256], representative[256];
  uint32_t classes;
};

/* ---- places ---- */

static uint32_t add_place(struct automaton *a, struct place p) {
  if (a->places.len == MAX_PLACES) {
    a->overflow = true;
    return 0;
  }
  vec_push(&a->places, p);
  return a->places.len - 1;
}

static uint32_t split(struct automaton *a, uint32_t x, uint32_t y) {
  return add_place(a, (struct place){.kind = PLACE_SPLIT, .next = x, .other = y});
}

/* Code points whose encodings differ in the last bytes' whole ranges only: a chain of byte ranges.
 */
static uint32_t add_chain(struct automaton *a, int32_t first, int32_t last, uint32_t next) {
  char low[UTF8_MOST], high[UTF8_MOST];
  size_t n = utf8_encode(first, low);
  utf8_encode(last, high);
  for (size_t i = n; i-- > 0;)
    next = add_place(a, (struct place){.kind = PLACE_BYTES,
                                       .first = (uint8_t)low[i],
                                       .last = (uint8_t)high[i],
                                       .next = next});
  return next;
}

/* Where a range must be cut, if it must: *out_cut ends the first part. */
static bool must_cut(int32_t first, int32_t last, int32_t *out_cut) {
  static const int32_t ends[] = {0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF};
  for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++) {
    *out_cut = ends[i];
    if (first <= ends[i] && last > ends[i])
      return true;
  }
  for (int32_t mask = 0x3F; last > 0x7F && mask < 0x40000; mask = mask << 6 | 0x3F) {
    if ((first & ~mask) == (last & ~mask))
      continue;
    *out_cut = first | mask;
    if (first & mask)
      return true;
    *out_cut = (last & ~mask) - 1;
    if ((last & mask) != mask)
      return true;
  }
  return false;
}

/* All ways through a range; `all` are those through ranges before, 0: none. */
static uint32_t add_range(struct automaton *a, struct regex_range r, uint32_t next, uint32_t all) {
  int32_t first = r.first, cut;
  while (first <= r.last && !a->overflow) {
    int32_t last = r.last;
    while (must_cut(first, last, &cut))
      last = cut;
    if (first < 0xD800 || first > 0xDFFF) {
      uint32_t chain = add_chain(a, first, last, next);
      all = all ? split(a, all, chain) : chain;
    }
    first = last + 1;
  }
  return all;
}

static uint32_t add_regex(struct automaton *a, const struct regex *r, uint32_t next);

/* least times, then up to most times or any number. Back from the end. */
static uint32_t add_repeat(struct automaton *a, const struct regex *r, uint32_t next) {
  if (r->most == REGEX_NO_LIMIT) {
    uint32_t loop = split(a, next, next);
    uint32_t body = add_regex(a, r->left, loop);
    a->places.data[loop].other = body;
    next = loop;
  }
  uint32_t end = next;
  for (uint32_t i = r->least; r->most != REGEX_NO_LIMIT && i < r->most && !a->overflow; i++)
    next = split(a, add_regex(a, r->left, next), end);
  for (uint32_t i = 0; i < r->least && !a->overflow; i++)
    next = add_regex(a, r->left, next);
  return next;
}

static uint32_t add_regex(struct automaton *a, const struct regex *r, uint32_t next) {
  uint32_t all = 0;
  if (++a->work > MAX_WORK >> 6 || a->overflow) {
    a->overflow = true;
    return 0;
  }
  switch (r->kind) {
  case REGEX_EMPTY: return next;
  case REGEX_SET:
    for (uint32_t i = 0; i < r->n_ranges; i++)
      all = add_range(a, r->ranges[i], next, all);
    /* Of no code point: bytes that no text has in order. */
    return all ? all : add_place(a, (struct place){PLACE_BYTES, 1, 0, next, 0});
  case REGEX_BEGIN: return add_place(a, (struct place){.kind = PLACE_BEGIN, .next = next});
  case REGEX_END: return add_place(a, (struct place){.kind = PLACE_END, .next = next});
  case REGEX_BOUNDARY: return add_place(a, (struct place){.kind = PLACE_BOUNDARY, .next = next});
  case REGEX_INSIDE: return add_place(a, (struct place){.kind = PLACE_INSIDE, .next = next});
  case REGEX_CONCAT: return add_regex(a, r->left, add_regex(a, r->right, next));
  case REGEX_ALTERNATIVE:
    return split(a, add_regex(a, r->left, next), add_regex(a, r->right, next));
  case REGEX_REPEAT: return add_repeat(a, r, next);
  }
  return next;
}

/* ---- sets of places ---- */

static bool has(const struct place_set *s, uint32_t i) { return s->bits[i / 64] >> (i % 64) & 1; }

/* With all that is reached without a byte, by edges of the kinds that hold. */
static void enter(const struct automaton *a, struct place_set *s, uint32_t from, unsigned holds) {
  uint32_t stack[2 * MAX_PLACES], n = 0;
  stack[n++] = from;
  while (n) {
    uint32_t i = stack[--n];
    const struct place *p = &a->places.data[i];
    if (has(s, i))
      continue;
    s->bits[i / 64] |= UINT64_C(1) << (i % 64);
    if (p->kind == PLACE_SPLIT) {
      stack[n++] = p->other;
      stack[n++] = p->next;
    } else if (holds & HOLDS(p->kind)) {
      stack[n++] = p->next;
    }
  }
}

/* The set once it is known what comes: a byte of a word, another one, or the end. */
static struct place_set settle(const struct automaton *a, const struct place_set *s, bool word,
                               bool end) {
  struct place_set all = {0};
  unsigned holds = HOLDS((s->word != 0) != word ? PLACE_BOUNDARY : PLACE_INSIDE);
  holds |= (s->begin ? HOLDS(PLACE_BEGIN) : 0) | (end ? HOLDS(PLACE_END) : 0);
  for (uint32_t i = 0; i < a->places.len; i++)
    if (has(s, i))
      enter(a, &all, i, holds);
  return all;
}

static bool accepts(const struct automaton *a, const struct place_set *s) {
  struct place_set end = settle(a, s, false, true);
  return has(&end, 0); /* the match is place 0 */
}

static uint32_t state_of(struct automaton *a, const struct place_set *s) {
  uint64_t known;
  if (strmap_get(&a->state_index, (const char *)s, sizeof *s, &known))
    return (uint32_t)known;
  if (a->states.len == REGEX_MAX_STATES) {
    a->overflow = true;
    return 0;
  }
  strmap_put(&a->state_index, (const char *)s, sizeof *s, a->states.len);
  vec_push(&a->states, *s);
  return a->states.len - 1;
}

static bool is_word(uint8_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* Bytes that no edge tells apart are of one class. */
static void find_classes(struct automaton *a) {
  bool starts[257] = {[0] = true};
  for (uint32_t c = 1; c < 256; c++)
    starts[c] = is_word((uint8_t)c) != is_word((uint8_t)(c - 1));
  for (uint32_t i = 0; i < a->places.len; i++) {
    const struct place *p = &a->places.data[i];
    if (p->kind == PLACE_BYTES && p->first <= p->last) {
      starts[p->first] = true;
      starts[p->last + 1] = true;
    }
  }
  for (uint32_t c = 0; c < 256; c++) {
    if (starts[c])
      a->representative[a->classes++] = (uint8_t)c;
    a->class_of[c] = (uint8_t)(a->classes - 1);
  }
}

static uint32_t step(struct automaton *a, uint32_t state, uint8_t byte) {
  struct place_set to = {.word = is_word(byte)};
  struct place_set from = settle(a, &a->states.data[state], is_word(byte), false);
  for (uint32_t w = 0; w < SET_WORDS; w++) {
    for (uint64_t bits = from.bits[w]; bits; bits &= bits - 1) {
      const struct place *p = &a->places.data[w * 64 + (uint32_t)__builtin_ctzll(bits)];
      a->overflow |= ++a->work > MAX_WORK;
      if (p->kind == PLACE_BYTES && p->first <= byte && byte <= p->last)
        enter(a, &to, p->next, 0);
    }
  }
  return state_of(a, &to);
}

/* ---- the whole ---- */

static void put_u16(uint8_t *p, uint32_t x) {
  p[0] = (uint8_t)x;
  p[1] = (uint8_t)(x >> 8);
}

static void determine(struct automaton *a, uint32_t start, const uint8_t **out_bytes,
                      uint64_t *out_n) {
  VEC(uint16_t) next = {0};
  struct place_set first = {.begin = 1};
  enter(a, &first, start, 0);
  find_classes(a);
  state_of(a, &first);
  for (uint32_t i = 0; i < a->states.len && !a->overflow; i++) {
    for (uint32_t c = 0; c < a->classes && !a->overflow; c++)
      vec_push(&next, (uint16_t)step(a, i, a->representative[c]));
    a->overflow |= next.len > MAX_BYTES / 2;
  }
  if (!a->overflow) {
    *out_n = HOST_MATCH_HEADER + a->states.len + 2 * (uint64_t)next.len;
    uint8_t *bytes = arena_alloc(a->arena, *out_n);
    put_u16(bytes, a->states.len);
    put_u16(bytes + 2, a->classes);
    memcpy(bytes + 4, a->class_of, 256);
    for (uint32_t i = 0; i < a->states.len; i++)
      bytes[HOST_MATCH_HEADER + i] = accepts(a, &a->states.data[i]);
    for (uint32_t i = 0; i < next.len; i++)
      put_u16(bytes + HOST_MATCH_HEADER + a->states.len + 2 * i, next.data[i]);
    *out_bytes = bytes;
  }
  vec_deinit(&next);
}

static bool fixed(const struct regex *r) {
  switch (r->kind) {
  case REGEX_EMPTY:
  case REGEX_SET: return true;
  case REGEX_CONCAT: return fixed(r->left) && fixed(r->right);
  case REGEX_REPEAT: return r->least == r->most && fixed(r->left);
  default: return false;
  }
}

/* Whether the first match that backtracking finds at a place is the longest. */
static bool first_is_longest(const struct regex *r) {
  if (r->kind == REGEX_CONCAT)
    return fixed(r->left) && first_is_longest(r->right);
  return fixed(r) || (r->kind == REGEX_REPEAT && !r->lazy && r->left->kind == REGEX_SET);
}

static enum regex_result make(struct str pattern, bool tokens, struct arena *arena,
                              const uint8_t **out_bytes, uint64_t *out_n, const char **out_why) {
  struct arena scratch = {0};
  struct automaton a = {.arena = arena};
  const struct regex *tree;
  enum regex_result result = regex_parse(pattern, &scratch, &tree, out_why);
  if (!result && tokens && !first_is_longest(tree)) {
    *out_why = "its first match need not be its longest";
    result = REGEX_UNSUPPORTED;
  }
  if (!result) {
    strmap_init(&a.state_index);
    add_place(&a, (struct place){.kind = PLACE_MATCH});
    uint32_t start = add_regex(&a, tree, 0);
    if (!a.overflow)
      determine(&a, start, out_bytes, out_n);
    if (a.overflow) {
      *out_why = "its automaton is too large";
      result = REGEX_UNSUPPORTED;
    }
    strmap_deinit(&a.state_index);
    vec_deinit(&a.places);
    vec_deinit(&a.states);
  }
  arena_deinit(&scratch);
  return result;
}

enum regex_result regex_automaton(struct str pattern, struct arena *arena,
                                  const uint8_t **out_bytes, uint64_t *out_n,
                                  const char **out_why) {
  return make(pattern, false, arena, out_bytes, out_n, out_why);
}

enum regex_result regex_token_automaton(struct str pattern, struct arena *arena,
                                        const uint8_t **out_bytes, uint64_t *out_n,
                                        const char **out_why) {
  enum regex_result result = make(pattern, true, arena, out_bytes, out_n, out_why);
  if (!result && (*out_bytes)[HOST_MATCH_HEADER]) { /* state 0 accepts */
    *out_why = "it matches the empty text";
    result = REGEX_UNSUPPORTED;
  }
  return result;
}
