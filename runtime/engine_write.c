/* SPDX-License-Identifier: Apache-2.0 */
/* The engine writer; see engine_write.h. */
#include "runtime/engine_write.h"

#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "structs are written as they lie in memory");

static const uint8_t zeros[ENGINE_PAGE];

/* Errors of the stream are found by file_writer_commit. */
static void put(struct engine_writer *w, const void *data, size_t bytes) {
  fwrite(data, 1, bytes, w->file.stream);
  w->position += bytes;
}

static void put_padding(struct engine_writer *w, uint32_t alignment) {
  put(w, zeros, (size_t)(-w->position & (alignment - 1)));
}

status engine_writer_open(struct engine_writer *w, const char *path, struct diags *d) {
  *w = (struct engine_writer){0};
  status s = file_writer_open(path, d, &w->file);
  if (s)
    return s;
  put(w, zeros, ENGINE_PAGE);
  return STATUS_OK;
}

uint32_t engine_writer_begin(struct engine_writer *w, enum engine_section_kind kind,
                             const char *target) {
  if (w->section_count == ENGINE_MAX_SECTIONS)
    w->failure = "too many sections";
  if (target && strlen(target) >= ENGINE_MAX_TARGET_NAME)
    w->failure = "a target's name is too long";
  if (w->failure)
    return 0;
  put_padding(w, ENGINE_PAGE);
  struct engine_section *section = &w->sections[w->section_count];
  *section = (struct engine_section){.kind = kind, .offset = w->position};
  if (target)
    memcpy(section->target, target, strlen(target));
  digest_stream_init(&w->digest);
  w->in_section = 1;
  return w->section_count++;
}

void engine_writer_write(struct engine_writer *w, const void *data, size_t bytes) {
  if (w->failure || !w->in_section || !bytes)
    return;
  digest_stream_update(&w->digest, data, bytes);
  put(w, data, bytes);
}

void engine_writer_skip(struct engine_writer *w, uint64_t bytes) {
  if (w->failure || !w->in_section)
    return;
  if (bytes > INT64_MAX - w->position || fseeko(w->file.stream, (off_t)bytes, SEEK_CUR))
    w->failure = "a section is too large";
  else
    w->position += bytes;
}

uint64_t engine_writer_align(struct engine_writer *w, uint32_t alignment) {
  if (w->failure || !w->in_section)
    return 0;
  uint64_t offset = w->position - w->sections[w->section_count - 1].offset;
  uint64_t padding = -offset & (alignment - 1);
  engine_writer_write(w, zeros, (size_t)padding);
  return offset + padding;
}

void engine_writer_end(struct engine_writer *w) {
  if (w->failure || !w->in_section)
    return;
  struct engine_section *section = &w->sections[w->section_count - 1];
  section->bytes = w->position - section->offset;
  if (section->kind == ENGINE_SECTION_MANIFEST && section->bytes > ENGINE_MAX_MANIFEST)
    w->failure = "the manifest is too large";
  struct digest digest = digest_stream_final(&w->digest);
  memcpy(section->digest, digest.b, sizeof digest.b);
  w->in_section = 0;
}

/* Header and table as they go to the front of the file. */
static size_t front_page(const struct engine_writer *w, uint8_t *page) {
  struct engine_header header = {.version = ENGINE_FORMAT_VERSION,
                                 .section_count = w->section_count,
                                 .file_bytes = w->position};
  size_t table = w->section_count * sizeof w->sections[0],
         fixed = offsetof(struct engine_header, digest);
  memcpy(header.magic, ENGINE_MAGIC, sizeof header.magic);
  struct digest_stream stream;
  digest_stream_init(&stream);
  digest_stream_update(&stream, &header, fixed);
  digest_stream_update(&stream, w->sections, table);
  struct digest digest = digest_stream_final(&stream);
  memcpy(header.digest, digest.b, sizeof digest.b);
  memcpy(page, &header, sizeof header);
  memcpy(page + sizeof header, w->sections, table);
  return sizeof header + table;
}

status engine_writer_commit(struct engine_writer *w, struct diags *d) {
  engine_writer_end(w);
  if (w->failure) {
    const char *failure = w->failure;
    engine_writer_abort(w);
    return diag_report(d, DIAG_E0511, NULL, NULL, "the engine cannot be written: %s", failure);
  }
  uint8_t page[ENGINE_PAGE];
  size_t bytes = front_page(w, page);
  rewind(w->file.stream);
  fwrite(page, 1, bytes, w->file.stream);
  return file_writer_commit(&w->file, d);
}

void engine_writer_abort(struct engine_writer *w) { file_writer_abort(&w->file); }
