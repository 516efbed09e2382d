/* SPDX-License-Identifier: Apache-2.0 */
/* Open-addressing maps from 64-bit keys or strings to 64-bit values. Zero-initialised is empty;
 * out of memory goes through mem.h. There is no iteration on purpose: an order that depends on
 * hashes must not reach any output. Keep a vector beside the map. Not thread safe. */
#ifndef SINTER_BASE_MAP_H
#define SINTER_BASE_MAP_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot;
struct map {
  struct map_slot *slots;
  uint32_t len, cap; /* cap is 0 or a power of two */
};

void map_init(struct map *m);
void map_deinit(struct map *m);
void map_clear(struct map *m); /* keeps the memory */
/* Adds or replaces. */
void map_put(struct map *m, uint64_t key, uint64_t value);
/* out may be NULL. */
bool map_get(const struct map *m, uint64_t key, uint64_t *out);
bool map_remove(struct map *m, uint64_t key);

struct strmap_slot;
struct strmap {
  struct strmap_slot *slots;
  uint32_t len, cap;
  struct arena keys;
};

void strmap_init(struct strmap *m);
void strmap_deinit(struct strmap *m);
/* Adds or replaces; returns the map's own NUL-terminated copy of the key, stable until deinit. */
const char *strmap_put(struct strmap *m, const char *key, size_t n, uint64_t value);
bool strmap_get(const struct strmap *m, const char *key, size_t n, uint64_t *out);
const char *strmap_put_c(struct strmap *m, const char *key, uint64_t value);
bool strmap_get_c(const struct strmap *m, const char *key, uint64_t *out);

#endif
