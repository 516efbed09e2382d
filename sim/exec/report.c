/* SPDX-License-Identifier: Apache-2.0 */
/* What a fault says on stderr, and the windows of generic addresses. */
#include "sim/exec/simt.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

/* The n-th line of the module's text, without what surrounds it. */
static struct str source_line(const struct program *p, uint32_t line) {
  struct str rest = {p->text, p->text_size}, found = {0};
  for (uint32_t k = 0; k < line && rest.len; k++)
    found = str_split(&rest, '\n');
  while (found.len && (found.data[0] == ' ' || found.data[0] == '\t'))
    found.data++, found.len--;
  while (found.len && (unsigned char)found.data[found.len - 1] <= ' ')
    found.len--;
  if (found.len > 160) /* a matrix instruction names hundreds of registers */
    found.len = 160;
  return found;
}

void memory_fault_report(struct warp *w, const struct inst *i, int lane, enum fault fault,
                         const char *format, ...) {
  struct cta *c = w->cta;
  struct launch *l = c->launch;
  pthread_mutex_lock(&l->report_lock);
  if (!l->failed) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct str line = source_line(l->program, i->line);
    flockfile(stderr);
    fprintf(stderr, "sim: error: %s\n  --> kernel '%s', PTX line %u: %.*s\n", text, l->kernel->name,
            i->line, STR_ARG(line));
    fprintf(stderr, "      block (%u,%u,%u), ", c->index[0], c->index[1], c->index[2]);
    if (lane < 0)
      fprintf(stderr, "warp %u\n", w->id);
    else {
      uint32_t t = 32 * w->id + (uint32_t)lane;
      fprintf(stderr, "thread (%u,%u,%u), warp %u, lane %d\n", t % l->block[0],
              t / l->block[0] % l->block[1], t / l->block[0] / l->block[1], w->id, lane);
    }
    funlockfile(stderr);
    __atomic_store_n(&l->failed, (int)fault, __ATOMIC_RELAXED);
  }
  pthread_mutex_unlock(&l->report_lock);
}

static pthread_once_t windows_once = PTHREAD_ONCE_INIT;

static void reserve_windows(void) {
  void *p = mmap(NULL, (SHARED_WINDOWS + 2) * WINDOW_BYTES, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    return;
  window_shared = ((uint64_t)(uintptr_t)p + WINDOW_BYTES - 1) & ~(WINDOW_BYTES - 1);
  window_local = window_shared + SHARED_WINDOWS * WINDOW_BYTES;
}

bool windows_init(void) {
  pthread_once(&windows_once, reserve_windows);
  return window_shared != 0;
}
