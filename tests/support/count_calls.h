/* SPDX-License-Identifier: Apache-2.0 */
/* Counts a program's calls of malloc and its kin, of mutexes and of condition variables, by taking
 * the C library's place for the whole program. Include in one file of it. With sanitizers, which
 * take that place themselves, nothing is counted. */
#ifndef SINTER_TESTS_SUPPORT_COUNT_CALLS_H
#define SINTER_TESTS_SUPPORT_COUNT_CALLS_H

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static _Atomic int counting; /* set by the test */
static _Atomic long calls;

#ifndef SANITIZED
static void note_call(void) {
  if (counting)
    calls++;
}

#define REPLACES __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

REPLACES void *malloc(size_t size) {
  note_call();
  return __libc_malloc(size);
}

REPLACES void *calloc(size_t n, size_t size) {
  note_call();
  return __libc_calloc(n, size);
}

REPLACES void *realloc(void *p, size_t size) {
  note_call();
  return __libc_realloc(p, size);
}

REPLACES void *aligned_alloc(size_t alignment, size_t size) {
  note_call();
  return __libc_memalign(alignment, size);
}

REPLACES void free(void *p) {
  if (p)
    note_call();
  __libc_free(p);
}

#define COUNT_PTHREAD(name, type)                                                                  \
  REPLACES int name(type *object) {                                                                \
    static int (*real)(type *);                                                                    \
    note_call();                                                                                   \
    if (!real)                                                                                     \
      *(void **)&real = dlsym(RTLD_NEXT, #name);                                                   \
    return real(object);                                                                           \
  }

COUNT_PTHREAD(pthread_mutex_lock, pthread_mutex_t)
COUNT_PTHREAD(pthread_mutex_trylock, pthread_mutex_t)
COUNT_PTHREAD(pthread_rwlock_rdlock, pthread_rwlock_t)
COUNT_PTHREAD(pthread_rwlock_wrlock, pthread_rwlock_t)
COUNT_PTHREAD(pthread_cond_signal, pthread_cond_t)
COUNT_PTHREAD(pthread_cond_broadcast, pthread_cond_t)
#endif

#endif
