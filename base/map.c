/* SPDX-License-Identifier: Apache-2.0 */
/* Linear probing, at most 3/4 full; removal shifts the run back instead of leaving tombstones. */
#include "base/map.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

struct map_slot {
  uint64_t key, value;
  bool used;
};

struct strmap_slot {
  const char *key; /* NULL: free */
  size_t len;
  uint64_t hash, value;
};

static uint32_t grown(uint32_t cap) {
  if (cap >= UINT32_MAX / 2 + 1)
    mem_exhausted();
  return cap ? cap * 2 : 16;
}

static bool is_full(uint32_t len, uint32_t cap) {
  return (uint64_t)(len + 1) * 4 > (uint64_t)cap * 3;
}

void map_init(struct map *m) { *m = (struct map){0}; }

void map_deinit(struct map *m) {
  mem_free(m->slots);
  *m = (struct map){0};
}

void map_clear(struct map *m) {
  if (m->cap)
    memset(m->slots, 0, m->cap * sizeof *m->slots);
  m->len = 0;
}

/* The slot that holds the key, or the free one where it belongs. */
static struct map_slot *find(struct map_slot *slots, uint32_t cap, uint64_t key) {
  uint32_t i = (uint32_t)hash_combine(0, key) & (cap - 1);
  while (slots[i].used && slots[i].key != key)
    i = (i + 1) & (cap - 1);
  return &slots[i];
}

static void map_grow(struct map *m) {
  uint32_t cap = grown(m->cap);
  struct map_slot *slots = mem_calloc(cap, sizeof *slots);
  for (uint32_t i = 0; i < m->cap; i++)
    if (m->slots[i].used)
      *find(slots, cap, m->slots[i].key) = m->slots[i];
  mem_free(m->slots);
  m->slots = slots;
  m->cap = cap;
}

void map_put(struct map *m, uint64_t key, uint64_t value) {
  if (is_full(m->len, m->cap))
    map_grow(m);
  struct map_slot *s = find(m->slots, m->cap, key);
  m->len += !s->used;
  *s = (struct map_slot){key, value, true};
}

bool map_get(const struct map *m, uint64_t key, uint64_t *out) {
  if (!m->cap)
    return false;
  const struct map_slot *s = find(m->slots, m->cap, key);
  if (s->used && out)
    *out = s->value;
  return s->used;
}

bool map_remove(struct map *m, uint64_t key) {
  struct map_slot *s = m->cap ? find(m->slots, m->cap, key) : NULL;
  if (!s || !s->used)
    return false;
  uint32_t mask = m->cap - 1, hole = (uint32_t)(s - m->slots);
  for (uint32_t i = (hole + 1) & mask; m->slots[i].used; i = (i + 1) & mask) {
    uint32_t home = (uint32_t)hash_combine(0, m->slots[i].key) & mask;
    if (((i - home) & mask) < ((i - hole) & mask))
      continue; /* its home lies behind the hole: it is found without moving */
    m->slots[hole] = m->slots[i];
    hole = i;
  }
  m->slots[hole] = (struct map_slot){0};
  m->len--;
  return true;
}

void strmap_init(struct strmap *m) { *m = (struct strmap){0}; }

void strmap_deinit(struct strmap *m) {
  mem_free(m->slots);
  arena_deinit(&m->keys);
  *m = (struct strmap){0};
}

static struct strmap_slot *find_str(struct strmap_slot *slots, uint32_t cap, const char *key,
                                    size_t n, uint64_t hash) {
  uint32_t i = (uint32_t)hash & (cap - 1);
  for (; slots[i].key; i = (i + 1) & (cap - 1)) {
    const struct strmap_slot *s = &slots[i];
    if (s->hash == hash && s->len == n && (n == 0 || memcmp(s->key, key, n) == 0))
      break;
  }
  return &slots[i];
}

static void strmap_grow(struct strmap *m) {
  uint32_t cap = grown(m->cap);
  struct strmap_slot *slots = mem_calloc(cap, sizeof *slots);
  for (uint32_t i = 0; i < m->cap; i++) {
    const struct strmap_slot *s = &m->slots[i];
    if (s->key)
      *find_str(slots, cap, s->key, s->len, s->hash) = *s;
  }
  mem_free(m->slots);
  m->slots = slots;
  m->cap = cap;
}

const char *strmap_put(struct strmap *m, const char *key, size_t n, uint64_t value) {
  if (is_full(m->len, m->cap))
    strmap_grow(m);
  uint64_t hash = hash_bytes(key, n, 0);
  struct strmap_slot *s = find_str(m->slots, m->cap, key, n, hash);
  if (!s->key) {
    *s = (struct strmap_slot){arena_strndup(&m->keys, key, n), n, hash, value};
    m->len++;
  }
  s->value = value;
  return s->key;
}

bool strmap_get(const struct strmap *m, const char *key, size_t n, uint64_t *out) {
  if (!m->cap)
    return false;
  const struct strmap_slot *s = find_str(m->slots, m->cap, key, n, hash_bytes(key, n, 0));
  if (s->key && out)
    *out = s->value;
  return s->key != NULL;
}

const char *strmap_put_c(struct strmap *m, const char *key, uint64_t value) {
  return strmap_put(m, key, strlen(key), value);
}

bool strmap_get_c(const struct strmap *m, const char *key, uint64_t *out) {
  return strmap_get(m, key, strlen(key), out);
}
