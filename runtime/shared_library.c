/* SPDX-License-Identifier: Apache-2.0 */
/* See shared_library.h. */
#include "runtime/shared_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

bool shared_library_open(struct shared_library *l, const char *path,
                         const struct shared_symbol *symbols, size_t n, void *table,
                         const char *wanted) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    snprintf(l->problem, sizeof l->problem, "%s", dlerror());
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    void *f = dlsym(handle, symbols[i].name);
    if (!f && symbols[i].needed) {
      snprintf(l->problem, sizeof l->problem, "%.200s has no %s: %s is needed", path,
               symbols[i].name, wanted);
      return false;
    }
    memcpy((char *)table + symbols[i].offset, &f, sizeof f);
  }
  return true;
}

bool shared_library_load(struct shared_library *l, const char *path,
                         bool (*start)(struct shared_library *l, const char *path)) {
  pthread_mutex_lock(&l->lock);
  if (!l->tried) {
    l->loaded = start(l, path);
    l->tried = true;
  }
  bool loaded = l->loaded;
  pthread_mutex_unlock(&l->lock);
  return loaded;
}
