/* SPDX-License-Identifier: Apache-2.0 */
/* Strings by number: a table of items, two indices by hash, and chunks of bytes that runs reuse. */
#include "base/host_strings.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

#define CHUNK_BYTES 65536u

struct host_chunk {
  struct host_chunk *next;
  size_t size;
  char data[];
};

/* --- Indices --- */

static uint64_t hash_of(struct host_string x) { return hash_bytes(x.data, x.size, 0); }

static bool equal(struct host_string a, struct host_string b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The slot that has the string, or the empty one where it would go. `room` is not 0. */
static uint32_t *slot_of(const struct host_strings *s, const struct host_string_index *index,
                         struct host_string x) {
  uint32_t mask = index->room - 1;
  for (uint32_t i = (uint32_t)hash_of(x) & mask;; i = (i + 1) & mask) {
    uint32_t *slot = &index->slots[i];
    if (!*slot || equal(s->items[*slot - 1], x))
      return slot;
  }
}

static bool find(const struct host_strings *s, const struct host_string_index *index,
                 struct host_string x, uint64_t *out_id) {
  const uint32_t *slot = index->room ? slot_of(s, index, x) : NULL;
  if (!slot || !*slot)
    return false;
  *out_id = *slot - 1;
  return true;
}

static void *take_zeros(const struct host_strings *s, size_t n, size_t size) {
  return s->guarded ? mem_calloc(n, size) : mem_try_calloc(n, size);
}

static void *take_more(const struct host_strings *s, void *p, size_t size) {
  return s->guarded ? mem_realloc(p, size) : mem_try_realloc(p, size);
}

/* Room for n strings at most half full; the strings from `first` on are entered again. */
static bool index_reserve(struct host_strings *s, struct host_string_index *index, uint32_t first,
                          uint32_t n) {
  uint32_t room = index->room ? index->room : 64;
  while (room / 2 < n)
    room *= 2;
  if (room == index->room)
    return true;
  uint32_t *slots = take_zeros(s, room, sizeof *slots);
  if (!slots)
    return false;
  mem_free(index->slots);
  *index = (struct host_string_index){slots, room};
  for (uint32_t i = first; i < s->count; i++)
    *slot_of(s, index, s->items[i]) = i + 1;
  return true;
}

/* --- Life --- */

static bool begin(struct host_strings *s, const struct host_string *fixed, uint32_t n_fixed) {
  static const struct host_string empty = {"", 0};
  if (!n_fixed) {
    fixed = &empty;
    n_fixed = 1;
  }
  s->items = n_fixed <= HOST_STRINGS_MAX ? take_zeros(s, n_fixed, sizeof *s->items) : NULL;
  if (!s->items)
    return false;
  memcpy(s->items, fixed, n_fixed * sizeof *fixed);
  s->room = n_fixed;
  if (!index_reserve(s, &s->fixed_index, 0, n_fixed)) {
    host_strings_deinit(s);
    return false;
  }
  for (uint32_t i = 0; i < n_fixed; i++) {
    uint32_t *slot = slot_of(s, &s->fixed_index, s->items[i]);
    if (!*slot) /* of equal ones, the first is what new strings are */
      *slot = i + 1;
    s->count = i + 1;
  }
  s->fixed = n_fixed;
  return true;
}

bool host_strings_init(struct host_strings *s, const struct host_string *fixed, uint32_t n_fixed) {
  *s = (struct host_strings){0};
  return begin(s, fixed, n_fixed);
}

void host_strings_init_guarded(struct host_strings *s) {
  *s = (struct host_strings){.guarded = true};
  begin(s, NULL, 0);
}

void host_strings_deinit(struct host_strings *s) {
  for (struct host_chunk *c = s->first, *next; c; c = next) {
    next = c->next;
    mem_free(c);
  }
  mem_free(s->fixed_index.slots);
  mem_free(s->run_index.slots);
  mem_free(s->items);
  mem_free(s->text);
  *s = (struct host_strings){0};
}

void host_strings_reset(struct host_strings *s) {
  if (s->count > s->fixed)
    memset(s->run_index.slots, 0, s->run_index.room * sizeof *s->run_index.slots);
  s->count = s->fixed;
  s->current = s->first;
  s->used = 0;
}

/* --- New strings --- */

/* Bytes that stay until the reset. */
static char *take_bytes(struct host_strings *s, size_t n) {
  while (s->current && s->current->size - s->used < n && s->current->next) {
    s->current = s->current->next;
    s->used = 0;
  }
  if (!s->current || s->current->size - s->used < n) {
    size_t size = n > CHUNK_BYTES ? n : CHUNK_BYTES;
    struct host_chunk *c =
        size < SIZE_MAX - sizeof *c ? take_more(s, NULL, sizeof *c + size) : NULL;
    if (!c)
      return NULL;
    *c = (struct host_chunk){.size = size};
    *(s->current ? &s->current->next : &s->first) = c;
    s->current = c;
    s->used = 0;
  }
  char *p = s->current->data + s->used;
  s->used += n;
  return p;
}

static bool reserve_item(struct host_strings *s) {
  if (s->count < s->room)
    return true;
  uint32_t room = s->room * 2;
  struct host_string *items =
      room <= HOST_STRINGS_MAX ? take_more(s, s->items, room * sizeof *items) : NULL;
  if (!items)
    return false;
  s->items = items;
  s->room = room;
  return true;
}

bool host_strings_add(struct host_strings *s, const char *data, size_t size, uint64_t *out_id) {
  struct host_string x = {size ? data : "", size};
  if (find(s, &s->fixed_index, x, out_id) || find(s, &s->run_index, x, out_id))
    return true;
  if (!reserve_item(s) || !index_reserve(s, &s->run_index, s->fixed, s->count + 1 - s->fixed))
    return false;
  char *copy = take_bytes(s, size);
  if (!copy)
    return false;
  memcpy(copy, x.data, size);
  x.data = copy;
  *slot_of(s, &s->run_index, x) = s->count + 1;
  s->items[s->count] = x;
  *out_id = s->count++;
  return true;
}

bool host_strings_append(struct host_strings *s, const char *data, size_t size) {
  if (size > SIZE_MAX / 4 - s->text_size)
    return false;
  if (s->text_size + size > s->text_room) {
    size_t room = 2 * (s->text_size + size) + 64;
    char *text = take_more(s, s->text, room);
    if (!text)
      return false;
    s->text = text;
    s->text_room = room;
  }
  if (size)
    memcpy(s->text + s->text_size, data, size);
  s->text_size += size;
  return true;
}

uint64_t host_strings_bytes(const struct host_strings *s) {
  uint64_t bytes = s->text_room + (uint64_t)s->room * sizeof *s->items +
                   ((uint64_t)s->fixed_index.room + s->run_index.room) * sizeof(uint32_t);
  for (const struct host_chunk *c = s->first; c; c = c->next)
    bytes += sizeof *c + c->size;
  return bytes;
}
