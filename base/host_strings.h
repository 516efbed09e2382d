/* SPDX-License-Identifier: Apache-2.0 */
/* Strings of a run by number. Equal strings have equal numbers, so tensors of strings are tensors
 * of numbers to all that only moves and compares them.
 *
 * The first `fixed` strings belong to whoever gave them and stay; what a run adds is forgotten by
 * host_strings_reset, which keeps the memory: a run like the one before it allocates nothing.
 * Functions return false where memory runs out. Not thread-safe. */
#ifndef SINTER_BASE_HOST_STRINGS_H
#define SINTER_BASE_HOST_STRINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Any bytes, without a terminator that counts. The public API's sinter_string. */
struct host_string {
  const char *data;
  size_t size;
};

struct host_string_index {
  uint32_t *slots; /* ids + 1 by hash, open addressing */
  uint32_t room;   /* a power of two, or 0 */
};

struct host_chunk;

struct host_strings {
  struct host_string *items; /* by id; 0 is the empty string */
  uint32_t count, room, fixed;
  struct host_string_index fixed_index, run_index;
  struct host_chunk *first, *current; /* bytes of what runs added */
  size_t used;                        /* of `current` */
  char *text; /* for putting strings together: text_size bytes of text_room */
  size_t text_size, text_room;
  bool guarded; /* its memory goes with the innermost guard (base/mem.h) */
};

/* The most strings there can be. */
#define HOST_STRINGS_MAX (UINT32_MAX / 4)

/* Begins with `fixed` strings, whose bytes must outlive it. The first is the empty string, and so
 * is the only one if there are none. On failure nothing is held. */
bool host_strings_init(struct host_strings *s, const struct host_string *fixed, uint32_t n_fixed);
/* The same without fixed ones, for owners that live and die under a guard. Does not return when
 * memory is exhausted, nor does host_strings_add then. */
void host_strings_init_guarded(struct host_strings *s);
void host_strings_deinit(struct host_strings *s); /* of a zeroed one, nothing */
void host_strings_reset(struct host_strings *s);

/* The number of a string; its bytes are copied if it is new. */
bool host_strings_add(struct host_strings *s, const char *data, size_t size, uint64_t *out_id);

/* A string put together piece by piece: begin with text_size 0, then take what lies in `text`. */
bool host_strings_append(struct host_strings *s, const char *data, size_t size);

/* False for a number that is none. */
static inline bool host_strings_get(const struct host_strings *s, uint64_t id,
                                    struct host_string *out) {
  if (id >= s->count)
    return false;
  *out = s->items[id];
  return true;
}

/* Memory held. */
uint64_t host_strings_bytes(const struct host_strings *s);

#endif
