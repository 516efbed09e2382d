/* SPDX-License-Identifier: Apache-2.0 */
/* Links ELF x86-64 relocatable objects into one position-independent blob: code first, constants
 * after, nothing that needs a relocation when it is loaded. The blob works wherever it is mapped
 * read + execute at a page boundary.
 *
 * Objects are checked as if they came from outside: every offset, size and index is bounds-checked,
 * and whatever this linker does not know (writable data, thread-local data, absolute addresses,
 * other relocations) is refused by name, never skipped. Thread safe. */
#ifndef SINTER_CODEGEN_CPU_LINK_H
#define SINTER_CODEGEN_CPU_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct arena;
struct diags;

#define CODE_BLOB_ALIGN 4096u

struct cpu_object {
  const void *data; /* 8-aligned */
  size_t size;
  const char *name; /* for messages */
};

struct code_symbol {
  const char *name;
  uint64_t offset; /* from the start of the blob */
  uint64_t size;   /* bytes */
  bool global;     /* a kernel; otherwise a helper, whose name may occur more than once */
};

/* `data` and `symbols` belong to the arena given to cpu_link. Functions only, in the order of the
 * inputs and within one by offset. */
struct code_blob {
  uint8_t *data;
  size_t size; /* a multiple of CODE_BLOB_ALIGN */
  struct code_symbol *symbols;
  uint32_t symbol_count;
};

/* The blob's bytes depend on the inputs' bytes and order only. Errors: DIAG_E0405 undefined symbol,
 * DIAG_E0406 malformed object, DIAG_E0407 something that a blob cannot hold, DIAG_E0408 two global
 * definitions of one name. All undefined symbols are reported. */
status cpu_link(struct diags *diags, struct arena *arena, const struct cpu_object *objects,
                uint32_t count, struct code_blob *out_blob);

/* The global symbol `name`, or NULL. */
const struct code_symbol *code_blob_find(const struct code_blob *blob, const char *name);

#endif
