/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container: an engine file mapped, its header, section table and digests checked. What the
 * sections mean is plan_load's affair.
 */
#ifndef SINTER_RUNTIME_ENGINE_FILE_H
#define SINTER_RUNTIME_ENGINE_FILE_H

#include "base/status.h"
#include "runtime/engine_format.h"

#include <stdbool.h>
#include <stddef.h>

struct engine_file {
  const uint8_t *data;
  uint64_t bytes;
  int fd;     /* -1: the bytes are the caller's memory */
  char *path; /* for messages */
  const struct engine_section *sections;
  uint32_t section_count;
  const struct engine_section *manifest;
  const struct engine_section *weights; /* NULL: none */
};

/*
 * Maps path and checks everything but the weights' digest. Errors, reported: E0501..E0505, E0510,
 * E0615. On failure nothing is held.
 */
status engine_file_open(struct engine_file *file, const char *path);

/* The same for bytes in memory, which stay the caller's. */
status engine_file_open_memory(struct engine_file *file, const void *data, size_t bytes);

void engine_file_close(struct engine_file *file);

/* A section's bytes. */
const uint8_t *engine_file_bytes(const struct engine_file *file,
                                 const struct engine_section *section);

/*
 * Maps a code section readable and executable, from the file where there is one. Freed with
 * engine_file_unmap_code. Errors: E0510.
 */
struct code_mapping {
  uint8_t *base;
  size_t bytes;
};
status engine_file_map_code(const struct engine_file *file, const struct engine_section *section,
                            struct code_mapping *out_code);
void engine_file_unmap_code(struct code_mapping *code);

#endif
