/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bump allocator that returns NULL when memory runs out: for tables with one lifetime, such as
 * those derived from a manifest. base/arena.h is not used here because it jumps.
 */
#ifndef SINTER_RUNTIME_POOL_H
#define SINTER_RUNTIME_POOL_H

#include <stddef.h>

struct pool_chunk;

struct pool {
  struct pool_chunk *chunks;
  size_t used, size; /* of the newest chunk */
};

void pool_init(struct pool *pool);
void pool_deinit(struct pool *pool);

/* Zeroed, 16-byte aligned; NULL on exhaustion (reported) or if n * size overflows. 0 bytes give a
 * valid pointer. */
void *pool_alloc(struct pool *pool, size_t n, size_t size);

/* A formatted string; NULL on exhaustion. */
char *pool_printf(struct pool *pool, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define POOL_ARRAY(pool, type, n) ((type *)pool_alloc(pool, n, sizeof(type)))

#endif
