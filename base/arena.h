/* SPDX-License-Identifier: Apache-2.0 */
/* An arena: many small objects with one lifetime, freed together.
 *
 * Out of memory goes through mem.h, so no function here returns NULL. Not thread safe: one arena
 * has one user at a time. */
#ifndef SINTER_BASE_ARENA_H
#define SINTER_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

/* Zero-initialised is a valid empty arena. */
struct arena {
  struct arena_chunk *chunks; /* newest first */
  size_t used;                /* bytes taken from the newest chunk */
  size_t total;               /* bytes handed out, for reports */
};

void arena_init(struct arena *a);
void arena_deinit(struct arena *a);
/* Frees every object but keeps the largest chunk for reuse. */
void arena_reset(struct arena *a);

/* 16-byte aligned and zeroed; a size of 0 gives a valid pointer that must not be read. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((malloc, returns_nonnull));
/* n objects of `size` bytes; exhaustion if the product overflows. */
void *arena_alloc_array(struct arena *a, size_t n, size_t size)
    __attribute__((malloc, returns_nonnull));

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_alloc_array((a), (n), sizeof(type)))

void *arena_memdup(struct arena *a, const void *p, size_t size);
char *arena_strdup(struct arena *a, const char *s);
/* Copies exactly n bytes and ends them with a NUL. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
