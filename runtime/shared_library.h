/* SPDX-License-Identifier: Apache-2.0 */
/* Libraries that are found at run time, so that the program starts where they are not there: each
 * is loaded once per process, and what went wrong is kept, so that each attempt reports it. */
#ifndef SINTER_RUNTIME_SHARED_LIBRARY_H
#define SINTER_RUNTIME_SHARED_LIBRARY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct shared_library {
  pthread_mutex_t lock;
  bool tried, loaded;
  char problem[320];
};
#define SHARED_LIBRARY_INIT {.lock = PTHREAD_MUTEX_INITIALIZER}

/* A function and where its address goes in a table of such; not needed: NULL where it is missing.
 */
struct shared_symbol {
  const char *name;
  size_t offset;
  bool needed;
};

/* Loads `path` (as dlopen takes it) into `table`, of which `symbols` name n fields. On failure the
 * problem is set; of a missing function it says that `wanted` is needed. */
bool shared_library_open(struct shared_library *l, const char *path,
                         const struct shared_symbol *symbols, size_t n, void *table,
                         const char *wanted);

/* Whether it is loaded: by `start`, called by the first to ask, which sets the problem where it
 * fails. Threads may ask at the same time. */
bool shared_library_load(struct shared_library *l, const char *path,
                         bool (*start)(struct shared_library *l, const char *path));

#endif
