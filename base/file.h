/* SPDX-License-Identifier: Apache-2.0 */
/* Files: read whole, mapped, or written so that a reader never sees half of one.
 *
 * Nothing here raises the compiler's out-of-memory: failures are reported to d (which may be NULL)
 * and returned. Only regular files are accepted, so that a name never blocks on a pipe or device.
 */
#ifndef SINTER_BASE_FILE_H
#define SINTER_BASE_FILE_H

#include "base/diag.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Reads a whole file of at most `limit` bytes. *out_data is freed with mem_free and has a NUL after
 * its last byte. Errors: E0901, E0903, E0904, E0906. */
status file_read(const char *path, uint64_t limit, struct diags *d, char **out_data,
                 size_t *out_size);

/* A read-only private mapping; an empty file has data == NULL. A file that another process
 * truncates meanwhile raises SIGBUS on access, as for every mapping. */
struct mapped_file {
  const uint8_t *data;
  size_t size;
};
status mapped_file_open(const char *path, struct diags *d, struct mapped_file *out);
void mapped_file_close(struct mapped_file *f);

/* Writes to a temporary name in the same folder, and renames it over `path` on commit. */
struct file_writer {
  FILE *stream;           /* write and seek here; errors are found by commit */
  char *path, *temporary; /* temporary NULL: the path is a device or a pipe, written directly */
  int32_t slot;           /* in the table of names to remove on a signal; -1: none */
};
status file_writer_open(const char *path, struct diags *d, struct file_writer *out);
/* Both end the writer. On failure of commit the old file at `path` is still as it was. */
status file_writer_commit(struct file_writer *w, struct diags *d);
void file_writer_abort(struct file_writer *w);

/* For programs: SIGINT, SIGTERM and SIGHUP remove the temporaries of open writers, then act as
 * they would have. */
void file_remove_temporaries_on_signal(void);

#endif
