/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu driver, but every buffer of a launch lies in memory of its own, between pages that cannot
 * be touched: at their end in one run, at their beginning in the next. An access outside of a value
 * is a segmentation fault. Scratch and the error word stay as they are. */
#ifndef SINTER_TESTS_E2E_GUARD_DRIVER_H
#define SINTER_TESTS_E2E_GUARD_DRIVER_H

#include "base/mem.h"
#include "runtime/session.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded {
  uint8_t *block, *data;
  size_t block_bytes;
};

static inline struct guarded guarded_create(uint64_t bytes, bool at_end) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
  struct guarded g = {.block_bytes = whole + 2 * page};
  g.block = mmap(NULL, g.block_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (g.block == MAP_FAILED)
    abort();
  mprotect(g.block, page, PROT_NONE);
  mprotect(g.block + page + whole, page, PROT_NONE);
  g.data = g.block + page + (at_end ? whole - bytes : 0);
  return g;
}

static inline void guarded_destroy(struct guarded *g) { munmap(g->block, g->block_bytes); }

static bool guard_at_end;

static inline status guard_launch(struct device *device, struct driver_module *module,
                                  const struct driver_launch *launch) {
  uint32_t n = launch->buffer_count;
  uint64_t *args = mem_alloc((launch->arg_count + 1) * sizeof *args);
  struct guarded *buffers = mem_alloc((n + 1) * sizeof *buffers);
  struct driver_launch inner = *launch;
  memcpy(args, launch->args, launch->arg_count * sizeof *args);
  inner.args = args;
  for (uint32_t i = 0; i < n; i++) {
    uint64_t bytes = launch->buffer_bytes[i];
    buffers[i] = guarded_create(bytes, guard_at_end);
    if (bytes)
      memcpy(buffers[i].data, (void *)(uintptr_t)args[1 + i], bytes);
    args[1 + i] = (uint64_t)(uintptr_t)buffers[i].data;
  }
  status st = cpu_driver.launch(device, module, &inner);
  if (!st)
    st = cpu_driver.wait(device);
  for (uint32_t i = 0; i < n; i++) {
    uint64_t bytes = launch->buffer_bytes[i];
    void *real = (void *)(uintptr_t)launch->args[1 + i];
    /* Operands did not change, and may be read only. */
    if (bytes && memcmp(real, buffers[i].data, bytes))
      memcpy(real, buffers[i].data, bytes);
    guarded_destroy(&buffers[i]);
  }
  mem_free(buffers);
  mem_free(args);
  return st;
}

static inline const struct driver *guard_driver(void) {
  static struct driver driver;
  driver = cpu_driver;
  driver.launch = guard_launch;
  return &driver;
}

#endif
