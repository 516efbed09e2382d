/* SPDX-License-Identifier: Apache-2.0 */
/* Mapping and checking the container of an engine. */
#include "runtime/engine_file.h"

#include "base/checked.h"
#include "base/hash.h"
#include "base/mem.h"
#include "runtime/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char rebuild_hint[] = "copy or compile the engine again";

static status check_magic(const struct engine_file *file) {
  if (file->bytes < sizeof(struct engine_header)) {
    size_t n = file->bytes < 8 ? (size_t)file->bytes : 8;
    if (n && memcmp(file->data, ENGINE_MAGIC, n) == 0)
      return fault_report(DIAG_E0502, file->path, rebuild_hint,
                          "the engine file ends after %llu B, within its header",
                          (unsigned long long)file->bytes);
  } else if (memcmp(file->data, ENGINE_MAGIC, 8) == 0) {
    return STATUS_OK;
  }
  return fault_report(DIAG_E0501, file->path, "engines are made by `sinter compile model.onnx`",
                      "not an engine file");
}

static status check_header(const struct engine_file *file, const struct engine_header *header) {
  if (header->version != ENGINE_FORMAT_VERSION)
    return fault_report(DIAG_E0503, file->path,
                        header->version > ENGINE_FORMAT_VERSION
                            ? "update this runtime, or compile with its own release"
                            : "compile the model again with this release",
                        "the engine file has format version %u, this runtime reads %u",
                        header->version, ENGINE_FORMAT_VERSION);
  if (header->file_bytes != file->bytes)
    return fault_report(DIAG_E0502, file->path, rebuild_hint,
                        "the engine file should have %llu B but has %llu B",
                        (unsigned long long)header->file_bytes, (unsigned long long)file->bytes);
  if (header->section_count > ENGINE_MAX_SECTIONS || file->bytes < ENGINE_PAGE || header->reserved)
    return fault_report(DIAG_E0505, file->path, rebuild_hint,
                        "the engine's header is not consistent (%u sections)",
                        header->section_count);
  return STATUS_OK;
}

static status check_header_digest(const struct engine_file *file,
                                  const struct engine_header *header) {
  struct digest_stream stream;
  digest_stream_init(&stream);
  digest_stream_update(&stream, file->data, offsetof(struct engine_header, digest));
  digest_stream_update(&stream, file->sections, file->section_count * sizeof file->sections[0]);
  struct digest found = digest_stream_final(&stream);
  if (memcmp(found.b, header->digest, sizeof found.b) != 0)
    return fault_report(DIAG_E0504, file->path, rebuild_hint, "the engine's header is damaged");
  return STATUS_OK;
}

static bool is_zero(const uint8_t *p, uint64_t n) {
  for (uint64_t i = 0; i < n; i++)
    if (p[i])
      return false;
  return true;
}

/* Sections follow each other, page by page, with zeros between them: every byte of a file belongs
 * to one or is checked here. */
static status check_section_place(const struct engine_file *file, uint32_t i, uint64_t *position) {
  const struct engine_section *section = &file->sections[i];
  uint64_t start;
  if (!u64_align(*position, ENGINE_PAGE, &start) || section->offset != start || section->reserved ||
      !range_inside(section->offset, section->bytes, file->bytes) ||
      section->target[ENGINE_MAX_TARGET_NAME - 1])
    return fault_report(DIAG_E0505, file->path, rebuild_hint,
                        "section %u lies at %llu + %llu B, which is not where it can be in %llu B",
                        i, (unsigned long long)section->offset, (unsigned long long)section->bytes,
                        (unsigned long long)file->bytes);
  if (!is_zero(file->data + *position, start - *position))
    return fault_report(DIAG_E0504, file->path, rebuild_hint,
                        "the padding before section %u is damaged", i);
  *position = section->offset + section->bytes;
  return STATUS_OK;
}

static status note_section(struct engine_file *file, uint32_t i, bool *has_tuning) {
  const struct engine_section *section = &file->sections[i];
  bool fits = true;
  switch (section->kind) {
  case ENGINE_SECTION_MANIFEST:
    fits = !file->manifest && section->bytes <= ENGINE_MAX_MANIFEST;
    file->manifest = section;
    break;
  case ENGINE_SECTION_CODE: fits = section->target[0] != '\0'; break;
  case ENGINE_SECTION_WEIGHTS:
    fits = !file->weights;
    file->weights = section;
    break;
  case ENGINE_SECTION_TUNING:
    fits = !*has_tuning;
    *has_tuning = true;
    break;
  default: fits = false;
  }
  if (!fits)
    return fault_report(DIAG_E0505, file->path, rebuild_hint,
                        "section %u of kind %u is one too many or unknown", i, section->kind);
  return STATUS_OK;
}

static status check_section_digest(const struct engine_file *file, uint32_t i) {
  const struct engine_section *section = &file->sections[i];
  if (section->kind == ENGINE_SECTION_WEIGHTS)
    return STATUS_OK; /* per constant, on request */
  struct digest found = digest_bytes(file->data + section->offset, (size_t)section->bytes);
  if (memcmp(found.b, section->digest, sizeof found.b) != 0)
    return fault_report(DIAG_E0504, file->path, rebuild_hint, "section %u of the engine is damaged",
                        i);
  return STATUS_OK;
}

static status check_sections(struct engine_file *file) {
  uint64_t position =
      sizeof(struct engine_header) + file->section_count * sizeof(struct engine_section);
  bool has_tuning = false;
  for (uint32_t i = 0; i < file->section_count; i++) {
    status s = check_section_place(file, i, &position);
    if (!s)
      s = note_section(file, i, &has_tuning);
    if (!s)
      s = check_section_digest(file, i);
    if (s)
      return s;
  }
  if (!file->manifest)
    return fault_report(DIAG_E0505, file->path, rebuild_hint, "the engine has no manifest");
  if (position != file->bytes)
    return fault_report(DIAG_E0502, file->path, rebuild_hint,
                        "the engine file has %llu B after its last section",
                        (unsigned long long)(file->bytes - position));
  return STATUS_OK;
}

static status check_file(struct engine_file *file) {
  status s = check_magic(file);
  if (s)
    return s;
  struct engine_header header;
  memcpy(&header, file->data, sizeof header);
  s = check_header(file, &header);
  if (s)
    return s;
  file->sections = (const struct engine_section *)(const void *)(file->data + sizeof header);
  file->section_count = header.section_count;
  s = check_header_digest(file, &header);
  return s ? s : check_sections(file);
}

static status map_path(struct engine_file *file) {
  struct stat info;
  file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file->fd < 0 || fstat(file->fd, &info))
    return fault_report(DIAG_E0510, file->path, NULL, "the engine cannot be opened: %s",
                        strerror(errno));
  if (!S_ISREG(info.st_mode))
    return fault_report(DIAG_E0510, file->path, NULL, "the engine is not a regular file");
  if (info.st_size == 0)
    return fault_report(DIAG_E0501, file->path, NULL, "not an engine file: it is empty");
  void *p = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file->fd, 0);
  if (p == MAP_FAILED)
    return fault_report(DIAG_E0510, file->path, NULL, "the engine cannot be mapped: %s",
                        strerror(errno));
  file->data = p;
  file->bytes = (uint64_t)info.st_size;
  return STATUS_OK;
}

static char *copy_string(const char *text) {
  size_t n = strlen(text) + 1;
  char *copy = mem_try_alloc(n);
  if (copy)
    memcpy(copy, text, n);
  else
    fault_no_memory("a file name", n);
  return copy;
}

status engine_file_open(struct engine_file *file, const char *path) {
  *file = (struct engine_file){.fd = -1};
  file->path = copy_string(path);
  if (!file->path)
    return STATUS_RESOURCES;
  status s = map_path(file);
  if (!s)
    s = check_file(file);
  if (s)
    engine_file_close(file);
  return s;
}

status engine_file_open_memory(struct engine_file *file, const void *data, size_t bytes) {
  *file = (struct engine_file){.fd = -1, .data = data, .bytes = bytes};
  if ((uintptr_t)data % ENGINE_WEIGHT_ALIGNMENT)
    return fault_report(DIAG_E0618, NULL, NULL, "the engine's bytes are not aligned to %u B",
                        ENGINE_WEIGHT_ALIGNMENT);
  file->path = copy_string("(memory)");
  if (!file->path)
    return STATUS_RESOURCES;
  status s = check_file(file);
  if (s)
    engine_file_close(file);
  return s;
}

void engine_file_close(struct engine_file *file) {
  if (file->fd >= 0) {
    if (file->data)
      munmap((void *)(uintptr_t)file->data, (size_t)file->bytes);
    close(file->fd);
  }
  mem_free(file->path);
  *file = (struct engine_file){.fd = -1};
}

const uint8_t *engine_file_bytes(const struct engine_file *file,
                                 const struct engine_section *section) {
  return file->data + section->offset;
}

static void *map_copy(const struct engine_file *file, const struct engine_section *section) {
  void *p = mmap(NULL, (size_t)section->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
  if (p == MAP_FAILED)
    return p;
  memcpy(p, engine_file_bytes(file, section), (size_t)section->bytes);
  if (mprotect(p, (size_t)section->bytes, PROT_READ | PROT_EXEC) == 0)
    return p;
  int error = errno;
  munmap(p, (size_t)section->bytes);
  errno = error;
  return MAP_FAILED;
}

status engine_file_map_code(const struct engine_file *file, const struct engine_section *section,
                            struct code_mapping *out_code) {
  *out_code = (struct code_mapping){0};
  if (!section->bytes)
    return STATUS_OK;
  void *p = MAP_FAILED;
  if (file->fd >= 0 && section->offset % (uint64_t)sysconf(_SC_PAGESIZE) == 0)
    p = mmap(NULL, (size_t)section->bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, file->fd,
             (off_t)section->offset);
  if (p == MAP_FAILED) /* no file, larger pages, or a file system mounted noexec */
    p = map_copy(file, section);
  if (p == MAP_FAILED)
    return fault_report(DIAG_E0510, file->path,
                        "executable memory may be forbidden here (SELinux execmem, noexec)",
                        "the engine's code cannot be mapped: %s", strerror(errno));
  *out_code = (struct code_mapping){p, (size_t)section->bytes};
  return STATUS_OK;
}

void engine_file_unmap_code(struct code_mapping *code) {
  if (code->base)
    munmap(code->base, code->bytes);
  *code = (struct code_mapping){0};
}
