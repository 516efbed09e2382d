/* SPDX-License-Identifier: Apache-2.0 */
/* Assemble, copy to fresh pages, make them read + execute. */
#include "tests/support/jit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/diag.h"

static void die(const char *what) {
  fprintf(stderr, "jit: %s\n", what);
  abort();
}

void jit_open(struct jit *jit, const struct assemble_options *options) {
  struct diags diags = {0};
  *jit = (struct jit){0};
  if (assemble(options, &jit->arena, &diags, &jit->result) != STATUS_OK) {
    diags_print(&diags, stderr);
    die("assemble failed");
  }
  diags_deinit(&diags);
  const struct code_blob *blob = &jit->result.blob;
  jit->code = mmap(NULL, blob->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (jit->code == MAP_FAILED)
    die("mmap failed");
  memcpy(jit->code, blob->data, blob->size);
  if (mprotect(jit->code, blob->size, PROT_READ | PROT_EXEC) != 0)
    die("mprotect failed");
}

void jit_close(struct jit *jit) {
  munmap(jit->code, jit->result.blob.size);
  arena_deinit(&jit->arena);
}

void *jit_function(const struct jit *jit, const char *name) {
  const struct code_symbol *symbol = code_blob_find(&jit->result.blob, name);
  if (!symbol)
    die(name);
  return (char *)jit->code + symbol->offset;
}
