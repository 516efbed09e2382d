/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for the compiler, whose code does not check allocations.
 *
 * mem_alloc and friends never return NULL. On exhaustion they jump to this thread's innermost
 * guard, which frees everything the thread allocated through mem.h inside it; without a guard they
 * print a line and exit with code 4. Therefore
 *   - an object from outside a guard must not grow inside it (its new block would be freed);
 *     struct diags is exempt, because it allocates with the try_ functions below;
 *   - other resources (descriptors, locks) must not be held over a call that may allocate, or must
 *     be released by the guard's owner.
 * mem_try_* return NULL instead and are never freed by a guard: for code that checks, such as the
 * runtime and whatever of base/ it uses. All blocks are freed with mem_free, from any thread. */
#ifndef SINTER_BASE_MEM_H
#define SINTER_BASE_MEM_H

#include "base/status.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every block is 16-byte aligned. A size of 0 gives a unique pointer. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_calloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));
void mem_free(void *p); /* NULL is fine */

void *mem_try_alloc(size_t size) __attribute__((malloc));
void *mem_try_calloc(size_t n, size_t size) __attribute__((malloc));
/* On failure the old block stays valid. */
void *mem_try_realloc(void *p, size_t size);

struct mem_block {
  struct mem_block *prev, *next;
};

/* A guard lives in the frame that begins it:
 *
 *     struct oom_guard guard;
 *     if (OOM_GUARD(&guard))
 *       return STATUS_RESOURCES; // guard already ended, its blocks freed
 *     ...work...
 *     oom_guard_end(&guard);     // blocks stay with the caller
 *
 * Locals changed between the two and read in the failure branch must be volatile. Prefer
 * oom_guard_run, which has no such trap. */
struct oom_guard {
  struct mem_block blocks;
  struct oom_guard *outer;
  jmp_buf jump;
};
#define OOM_GUARD(guard) (oom_guard_begin(guard), setjmp((guard)->jump) != 0)
void oom_guard_begin(struct oom_guard *guard);
void oom_guard_end(struct oom_guard *guard);

/* Runs body(context) under a guard; STATUS_RESOURCES if memory ran out. */
status oom_guard_run(status (*body)(void *context), void *context);

/* What the allocators do on exhaustion; public for arenas of other libraries (LLVM's handler). */
_Noreturn void mem_exhausted(void);

/* Test hook, process-wide: the n-th allocation from now fails (1 is the next one), once.
 * 0 turns it off. mem_fail_pending says whether it has yet to happen. */
void mem_fail_nth(uint64_t n);
bool mem_fail_pending(void);

#endif
