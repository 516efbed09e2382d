/* SPDX-License-Identifier: Apache-2.0 */
/* Arena chunks double from 4 KiB to 1 MiB; a large object gets a chunk of its own. */
#include "base/arena.h"

#include "base/checked.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_FIRST = 4096, CHUNK_LARGEST = 1 << 20, ALIGN = 16 };

struct arena_chunk {
  struct arena_chunk *older;
  size_t capacity;
};
_Static_assert(sizeof(struct arena_chunk) % ALIGN == 0, "objects begin aligned");

static unsigned char *chunk_bytes(struct arena_chunk *c) { return (unsigned char *)(c + 1); }

void arena_init(struct arena *a) { *a = (struct arena){0}; }

static void free_chunks(struct arena_chunk *c) {
  while (c) {
    struct arena_chunk *older = c->older;
    mem_free(c);
    c = older;
  }
}

void arena_deinit(struct arena *a) {
  free_chunks(a->chunks);
  *a = (struct arena){0};
}

void arena_reset(struct arena *a) {
  struct arena_chunk **largest = &a->chunks;
  for (struct arena_chunk **c = &a->chunks; *c; c = &(*c)->older)
    if ((*c)->capacity > (*largest)->capacity)
      largest = c;
  struct arena_chunk *kept = *largest;
  if (kept) {
    *largest = kept->older;
    free_chunks(a->chunks);
    kept->older = NULL;
  }
  *a = (struct arena){.chunks = kept};
}

static struct arena_chunk *new_chunk(size_t capacity) {
  size_t whole;
  if (!size_add(capacity, sizeof(struct arena_chunk), &whole))
    mem_exhausted();
  struct arena_chunk *c = mem_alloc(whole);
  c->older = NULL;
  c->capacity = capacity;
  return c;
}

static void *alloc_slow(struct arena *a, size_t size) {
  size_t next = a->chunks ? a->chunks->capacity * 2 : CHUNK_FIRST;
  if (next > CHUNK_LARGEST)
    next = CHUNK_LARGEST;
  if (size > next / 2 && a->chunks) {
    /* Behind the newest chunk, whose room is still of use. */
    struct arena_chunk *own = new_chunk(size);
    own->older = a->chunks->older;
    a->chunks->older = own;
    return chunk_bytes(own);
  }
  struct arena_chunk *c = new_chunk(size > next ? size : next);
  c->older = a->chunks;
  a->chunks = c;
  a->used = size;
  return chunk_bytes(c);
}

void *arena_alloc(struct arena *a, size_t size) {
  size_t rounded;
  if (!size_add(size ? size : 1, ALIGN - 1, &rounded))
    mem_exhausted();
  rounded &= ~(size_t)(ALIGN - 1);
  void *p;
  if (a->chunks && a->chunks->capacity - a->used >= rounded) {
    p = chunk_bytes(a->chunks) + a->used;
    a->used += rounded;
  } else {
    p = alloc_slow(a, rounded);
  }
  a->total += rounded;
  return memset(p, 0, size);
}

void *arena_alloc_array(struct arena *a, size_t n, size_t size) {
  size_t bytes;
  if (!size_mul(n, size, &bytes))
    mem_exhausted();
  return arena_alloc(a, bytes);
}

void *arena_memdup(struct arena *a, const void *p, size_t size) {
  void *copy = arena_alloc(a, size);
  if (size)
    memcpy(copy, p, size);
  return copy;
}

char *arena_strndup(struct arena *a, const char *s, size_t n) {
  size_t whole;
  if (!size_add(n, 1, &whole))
    mem_exhausted();
  char *copy = arena_alloc(a, whole);
  if (n)
    memcpy(copy, s, n);
  return copy;
}

char *arena_strdup(struct arena *a, const char *s) { return arena_strndup(a, s, strlen(s)); }

char *arena_printf(struct arena *a, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *text = arena_alloc(a, n < 0 ? 1 : (size_t)n + 1);
  if (n > 0) {
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
  }
  return text;
}
