/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation with guards: each block has a header that links it to the guard it was made in. */
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct mem_block) % 16 == 0, "user pointers must stay 16-byte aligned");

static _Thread_local struct oom_guard *innermost;
/* One lock for all lists: arenas take blocks rarely, and a block may be freed by another thread. */
static pthread_mutex_t lists = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t fail_countdown;

static bool should_fail(void) {
  uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
  while (left > 0) {
    if (atomic_compare_exchange_weak(&fail_countdown, &left, left - 1))
      return left == 1;
  }
  return false;
}

/* A block outside every guard is linked to itself, not to a global list, so that leak checkers
 * still see it as lost when it is. */
static void unlink_block(struct mem_block *b) {
  b->prev->next = b->next;
  b->next->prev = b->prev;
  b->prev = b->next = b;
}

static void link_block(struct mem_block *list, struct mem_block *b) {
  b->prev = list;
  b->next = list->next;
  list->next->prev = b;
  list->next = b;
}

static void *try_alloc(size_t size, bool zero, struct oom_guard *guard) {
  size_t whole;
  if (should_fail() || __builtin_add_overflow(size, sizeof(struct mem_block), &whole))
    return NULL;
  struct mem_block *b = zero ? calloc(1, whole) : malloc(whole);
  if (!b)
    return NULL;
  b->prev = b->next = b;
  if (guard) {
    pthread_mutex_lock(&lists);
    link_block(&guard->blocks, b);
    pthread_mutex_unlock(&lists);
  }
  return b + 1;
}

static void *try_realloc(void *p, size_t size, struct oom_guard *guard) {
  size_t whole;
  if (!p)
    return try_alloc(size, false, guard);
  if (should_fail() || __builtin_add_overflow(size, sizeof(struct mem_block), &whole))
    return NULL;
  struct mem_block *old = (struct mem_block *)p - 1;
  pthread_mutex_lock(&lists);
  struct mem_block *prev = old->prev, *next = old->next;
  bool alone = prev == old;
  struct mem_block *b = realloc(old, whole);
  if (b && alone) {
    b->prev = b->next = b;
  } else if (b) {
    prev->next = b;
    next->prev = b;
  }
  pthread_mutex_unlock(&lists);
  return b ? b + 1 : NULL;
}

void *mem_try_alloc(size_t size) { return try_alloc(size, false, NULL); }

void *mem_try_calloc(size_t n, size_t size) {
  size_t bytes;
  return __builtin_mul_overflow(n, size, &bytes) ? NULL : try_alloc(bytes, true, NULL);
}

void *mem_try_realloc(void *p, size_t size) { return try_realloc(p, size, NULL); }

void *mem_alloc(size_t size) {
  void *p = try_alloc(size, false, innermost);
  if (!p)
    mem_exhausted();
  return p;
}

void *mem_calloc(size_t n, size_t size) {
  size_t bytes;
  void *p = __builtin_mul_overflow(n, size, &bytes) ? NULL : try_alloc(bytes, true, innermost);
  if (!p)
    mem_exhausted();
  return p;
}

void *mem_realloc(void *p, size_t size) {
  void *q = try_realloc(p, size, innermost);
  if (!q)
    mem_exhausted();
  return q;
}

void mem_free(void *p) {
  if (!p)
    return;
  struct mem_block *b = (struct mem_block *)p - 1;
  pthread_mutex_lock(&lists);
  unlink_block(b);
  pthread_mutex_unlock(&lists);
  free(b);
}

void oom_guard_begin(struct oom_guard *guard) {
  guard->blocks.prev = guard->blocks.next = &guard->blocks;
  guard->outer = innermost;
  innermost = guard;
}

void oom_guard_end(struct oom_guard *guard) {
  innermost = guard->outer;
  pthread_mutex_lock(&lists);
  while (guard->blocks.next != &guard->blocks) {
    struct mem_block *b = guard->blocks.next;
    unlink_block(b);
    if (guard->outer)
      link_block(&guard->outer->blocks, b);
  }
  pthread_mutex_unlock(&lists);
}

status oom_guard_run(status (*body)(void *context), void *context) {
  struct oom_guard guard;
  if (OOM_GUARD(&guard))
    return STATUS_RESOURCES;
  status s = body(context);
  oom_guard_end(&guard);
  return s;
}

_Noreturn void mem_exhausted(void) {
  struct oom_guard *guard = innermost;
  if (!guard) {
    fputs("error[E0901]: out of memory\n", stderr);
    exit(status_exit_code(STATUS_RESOURCES));
  }
  innermost = guard->outer;
  while (guard->blocks.next != &guard->blocks)
    mem_free(guard->blocks.next + 1);
  longjmp(guard->jump, 1);
}

void mem_fail_nth(uint64_t n) { atomic_store(&fail_countdown, n); }

bool mem_fail_pending(void) { return atomic_load(&fail_countdown) > 0; }
