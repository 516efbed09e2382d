/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files beside an engine that hold weights it refers to, mapped for as long as the engine is
 * open.
 */
#ifndef SINTER_RUNTIME_WEIGHT_FILE_H
#define SINTER_RUNTIME_WEIGHT_FILE_H

#include "runtime/plan.h"

struct weight_files {
  const uint8_t **data; /* per row of the manifest's table */
  uint32_t count;       /* of those that are mapped */
  const Engine__Manifest *manifest;
};

/*
 * Maps all of them. They are looked for beneath `root`, or, if that is NULL, beneath the folder of
 * the engine at engine_path (NULL: an engine in memory, which then needs a root). No path leads out
 * of that folder, only regular files of the size that the compiler saw are taken, and no byte is
 * read here. Errors, reported: E0513, E0615. On failure nothing is held.
 */
status weight_files_open(struct weight_files *files, const struct plan *plan,
                         const char *engine_path, const char *root, struct pool *pool);
void weight_files_close(struct weight_files *files);

#endif
