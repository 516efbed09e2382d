/* SPDX-License-Identifier: Apache-2.0 */
/* See model_list.h. */
#include "tests/support/model_list.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

struct model_list model_list_of(const char *folder) {
  struct model_list list = {0};
  DIR *d = opendir(folder);
  uint32_t cap = 0;
  for (struct dirent *e; d && (e = readdir(d));) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/model.onnx", folder, e->d_name);
    if (access(path, R_OK))
      continue;
    if (list.n == cap)
      list.paths = realloc(list.paths, (cap = cap * 2 + 64) * sizeof *list.paths);
    list.paths[list.n++] = strdup(path);
  }
  if (d)
    closedir(d);
  qsort(list.paths, list.n, sizeof *list.paths, by_name);
  return list;
}
