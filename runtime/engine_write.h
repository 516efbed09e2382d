/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing an engine file: sections are streamed in the order in which they are begun; header and
 * table follow at the end.
 *
 *     struct engine_writer w;
 *     status s = engine_writer_open(&w, path, d);
 *     engine_writer_begin(&w, ENGINE_SECTION_WEIGHTS, NULL);
 *     offset = engine_writer_align(&w, ENGINE_WEIGHT_ALIGNMENT);  // for each constant
 *     engine_writer_write(&w, data, bytes);
 *     engine_writer_end(&w);
 *     ... code sections, then the manifest, which knows all offsets ...
 *     s = engine_writer_commit(&w, d);                            // or engine_writer_abort
 *
 * The same calls give the same bytes. The file appears under its name on commit only. The first
 * failure is kept: the calls after it do nothing, and commit reports it. Not thread safe.
 */
#ifndef SINTER_RUNTIME_ENGINE_WRITE_H
#define SINTER_RUNTIME_ENGINE_WRITE_H

#include "base/file.h"
#include "base/hash.h"
#include "runtime/engine_format.h"

#include <stddef.h>

struct engine_writer {
  struct file_writer file;
  struct engine_section sections[ENGINE_MAX_SECTIONS];
  uint32_t section_count;
  uint64_t position;
  struct digest_stream digest;
  const char *failure; /* what limit was passed; NULL: none */
  int in_section;
};

/* Errors: those of file_writer_open. */
status engine_writer_open(struct engine_writer *w, const char *path, struct diags *d);

/*
 * Begins a section; target is the name of a code section's target, NULL for other kinds. Returns
 * its index in the section table, which the manifest's Target rows name.
 */
uint32_t engine_writer_begin(struct engine_writer *w, enum engine_section_kind kind,
                             const char *target);

/* Appends bytes to the section. */
void engine_writer_write(struct engine_writer *w, const void *data, size_t bytes);

/* Appends bytes that are never written: a hole where the file system has such, zeros to a reader.
 * The section's digest does not count them, so that its verification fails: for files whose plan
 * alone is of interest. */
void engine_writer_skip(struct engine_writer *w, uint64_t bytes);

/* Pads with zeros to a power-of-two alignment, at most ENGINE_PAGE, and returns the offset from the
 * section's start. */
uint64_t engine_writer_align(struct engine_writer *w, uint32_t alignment);

void engine_writer_end(struct engine_writer *w);

/* Completes the file. On failure nothing is left of it. Errors: E0511, and those of
 * file_writer_commit. */
status engine_writer_commit(struct engine_writer *w, struct diags *d);

/* Leaves nothing behind. */
void engine_writer_abort(struct engine_writer *w);

#endif
