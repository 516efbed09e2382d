/* SPDX-License-Identifier: Apache-2.0 */
/* Weights by reference; see weight_reference.h. */
#include "compiler/weight_reference.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/engine_format.h"

/* The rest of `path` behind the folder of n bytes; NULL if it does not lie there. */
static const char *beneath(const char *folder, size_t n, const char *path) {
  if (strncmp(path, folder, n) || path[n] != '/')
    return NULL;
  path += n;
  while (*path == '/')
    path++;
  return *path ? path : NULL;
}

static status mark(struct constant *c, const char *relative, struct diags *diags) {
  struct stat st;
  if (stat(c->file, &st)) {
    return diag_report(diags, DIAG_E0904, NULL, NULL, "cannot look at '%s': %s", c->file,
                       strerror(errno));
  }
  c->reference = relative;
  c->file_bytes = (uint64_t)st.st_size;
  return STATUS_OK;
}

status weights_by_reference(struct module *m, const char *model_path, const char *folder,
                            struct diags *diags) {
  const char *slash = strrchr(model_path, '/');
  if (!folder)
    folder = slash ? arena_strndup(&m->arena, model_path, (size_t)(slash - model_path)) : ".";
  size_t n = strlen(folder);
  while (n > 1 && folder[n - 1] == '/')
    n--;
  status st = STATUS_OK;
  for (uint32_t i = 1; i < m->constants.len && st == STATUS_OK; i++) {
    struct constant *c = &m->constants.data[i];
    const char *relative =
        c->file && strcmp(c->file, model_path) ? beneath(folder, n, c->file) : NULL;
    if (!relative || c->offset % ENGINE_WEIGHT_ALIGNMENT || !c->bytes)
      continue;
    st = mark(c, arena_strdup(&m->arena, relative), diags);
  }
  return st;
}
