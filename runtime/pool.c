/* SPDX-License-Identifier: Apache-2.0 */
/* The bump allocator of pool.h. */
#include "runtime/pool.h"

#include "base/checked.h"
#include "base/mem.h"
#include "runtime/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)16 << 10)

struct pool_chunk {
  struct pool_chunk *next;
  _Alignas(16) unsigned char data[];
};

void pool_init(struct pool *pool) { *pool = (struct pool){0}; }

void pool_deinit(struct pool *pool) {
  for (struct pool_chunk *c = pool->chunks, *next; c; c = next) {
    next = c->next;
    mem_free(c);
  }
  pool_init(pool);
}

static void *chunk_add(struct pool *pool, size_t bytes) {
  size_t total;
  struct pool_chunk *chunk = NULL;
  if (size_add(bytes, sizeof *chunk, &total))
    chunk = mem_try_calloc(1, total);
  if (!chunk) {
    fault_no_memory("a table", bytes);
    return NULL;
  }
  chunk->next = pool->chunks;
  pool->chunks = chunk;
  return chunk;
}

void *pool_alloc(struct pool *pool, size_t n, size_t size) {
  size_t bytes;
  if (!size_mul(n, size, &bytes) || !size_add(bytes, 15, &bytes)) {
    fault_no_memory("a table", SIZE_MAX);
    return NULL;
  }
  bytes = bytes < 16 ? 16 : bytes & ~(size_t)15;
  if (bytes > pool->size - pool->used) {
    size_t want = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    if (!chunk_add(pool, want))
      return NULL;
    pool->size = want;
    pool->used = 0;
  }
  void *p = pool->chunks->data + pool->used;
  pool->used += bytes;
  return p;
}

char *pool_printf(struct pool *pool, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int n = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  char *text = n < 0 ? NULL : pool_alloc(pool, (size_t)n + 1, 1);
  if (text)
    vsnprintf(text, (size_t)n + 1, format, again);
  va_end(again);
  return text;
}
