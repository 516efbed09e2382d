/* SPDX-License-Identifier: Apache-2.0 */
/* Images that modules are loaded from: PTX text, fat binaries that hold some, and what the linker
 * makes of several: one text after the other.
 *
 * A fat binary is a header and entries; each has a header of its own that says what it holds (PTX
 * or a cubin), for which architecture, and how it was compressed: not at all, by LZ4, or by
 * Zstandard (nvcc 13, unless told otherwise), for which the host's library is used if there is one.
 */
#include "sim/cuda/sim_image.h"

#include <dlfcn.h>

enum {
  FAT_MAGIC = 0xba55ed50,
  WRAPPER_MAGIC = 0x466243b1,
  FAT_HEADER = 16,
  ENTRY_HEADER = 64,
  ENTRY_PTX = 1,
  PACKED_LZ4 = 0x2000,
  PACKED_ZSTD = 0x8000,
  TEXT_MOST = 1 << 30,
};

static uint64_t field(const uint8_t *p, uint32_t bytes) {
  uint64_t v = 0;
  memcpy(&v, p, bytes);
  return v;
}

/* One block of LZ4: literals and matches in turn. Source: lz4_Block_format.md. */
static bool unpack_lz4(const uint8_t *from, size_t n, uint8_t *to, size_t room) {
  const uint8_t *end = from + n;
  size_t at = 0;
  while (from < end) {
    size_t token = *from++, count = token >> 4, match = token & 15;
    for (uint8_t more = 255; count >= 15 && more == 255 && from < end;)
      count += more = *from++;
    if (count > (size_t)(end - from) || count > room - at)
      return false;
    memcpy(to + at, from, count);
    at += count;
    from += count;
    if (from == end)
      break;
    if (end - from < 2)
      return false;
    size_t back = (size_t)from[0] | (size_t)from[1] << 8;
    from += 2;
    for (uint8_t more = 255; match >= 15 && more == 255 && from < end;)
      match += more = *from++;
    match += 4;
    if (!back || back > at || match > room - at)
      return false;
    for (size_t k = 0; k < match; k++, at++)
      to[at] = to[at - back];
  }
  return at == room;
}

static bool unpack_zstd(const uint8_t *from, size_t n, uint8_t *to, size_t room) {
  void *library = dlopen("libzstd.so.1", RTLD_NOW);
  size_t (*unpack)(void *, size_t, const void *, size_t) = NULL;
  if (library)
    *(void **)&unpack = dlsym(library, "ZSTD_decompress");
  if (!unpack)
    fprintf(stderr, "sim: error: the PTX is compressed by Zstandard and libzstd.so.1 is not here: "
                    "compile with --compress-mode=none\n");
  bool good = unpack && unpack(to, room, from, n) == room;
  if (library)
    dlclose(library);
  return good;
}

/* The text of an entry; NULL if it cannot be read. */
static char *unpack(const uint8_t *entry, const uint8_t *payload, uint64_t size, size_t *out_size) {
  uint64_t flags = field(entry + 40, 8), packed = field(entry + 16, 4), full = field(entry + 56, 8);
  bool lz4 = flags & PACKED_LZ4, zstd = flags & PACKED_ZSTD;
  if (!lz4 && !zstd)
    full = size;
  if (full > TEXT_MOST || packed > size)
    return NULL;
  char *text = mem_alloc(full + 1);
  bool good = true;
  if (zstd)
    good = unpack_zstd(payload, packed, (uint8_t *)text, full);
  else if (lz4)
    good = unpack_lz4(payload, packed, (uint8_t *)text, full);
  else
    memcpy(text, payload, full);
  text[full] = 0;
  if (!good) {
    mem_free(text);
    return NULL;
  }
  *out_size = strlen(text);
  return text;
}

/* The PTX of the newest architecture that the device has. */
static CUresult from_fat(const uint8_t *fat, char **out, size_t *out_size) {
  const uint8_t *best = NULL, *end = fat + FAT_HEADER + field(fat + 8, 8), *at;
  uint64_t entries = 0;
  for (at = fat + field(fat + 6, 2); at + ENTRY_HEADER <= end; entries++) {
    uint64_t header = field(at + 4, 4), size = field(at + 8, 8), arch = field(at + 28, 4);
    if (header < ENTRY_HEADER || header > (uint64_t)(end - at) ||
        size > (uint64_t)(end - at) - header)
      return CUDA_ERROR_INVALID_IMAGE;
    if (field(at, 2) == ENTRY_PTX && arch <= 90 && (!best || arch > field(best + 28, 4)))
      best = at;
    at += header + size;
  }
  if (!best) {
    fprintf(stderr,
            "sim: error: none of the %llu entries of the fat binary is PTX for sm_90 or older: "
            "compile with code=compute_90\n",
            (unsigned long long)entries);
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  *out = unpack(best, best + field(best + 4, 4), field(best + 8, 8), out_size);
  return *out ? CUDA_SUCCESS : CUDA_ERROR_INVALID_IMAGE;
}

CUresult image_text(const void *image, size_t size, char **out, size_t *out_size) {
  const uint8_t *p = image;
  *out = NULL;
  if (size < 4 || !memcmp(p, "\177ELF", 4)) {
    fprintf(stderr, "sim: error: the image is %s: only PTX can be simulated\n",
            size < 4 ? "empty" : "a cubin");
    return size < 4 ? CUDA_ERROR_INVALID_IMAGE : CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  if (field(p, 4) == WRAPPER_MAGIC && size >= 16) {
    p = (const uint8_t *)(uintptr_t)field(p + 8, 8);
    size = SIZE_MAX; /* it lies elsewhere in the program */
  }
  if (p && field(p, 4) == FAT_MAGIC) {
    if (size < FAT_HEADER || field(p + 8, 8) > size - FAT_HEADER)
      return CUDA_ERROR_INVALID_IMAGE;
    return from_fat(p, out, out_size);
  }
  if (p != image)
    return CUDA_ERROR_INVALID_IMAGE;
  *out_size = strnlen(image, size);
  *out = mem_alloc(*out_size + 1);
  memcpy(*out, image, *out_size);
  (*out)[*out_size] = 0;
  return CUDA_SUCCESS;
}

size_t image_size(const void *image) {
  const uint8_t *p = image;
  uint32_t magic = 0;
  for (uint32_t k = 0; k < 4; k++) { /* a short text ends before */
    magic |= (uint32_t)p[k] << 8 * k;
    if (!p[k])
      return k;
  }
  return magic == FAT_MAGIC || magic == WRAPPER_MAGIC || !memcmp(p, "\177ELF", 4) ? SIZE_MAX
                                                                                  : strlen(image);
}

CUresult image_read(const char *path, char **out, size_t *out_size) {
  FILE *f = fopen(path, "rb");
  if (!f)
    return CUDA_ERROR_FILE_NOT_FOUND;
  size_t n = 0, room = 1 << 16;
  char *text = mem_alloc(room);
  for (size_t got; (got = fread(text + n, 1, room - n - 1, f)) > 0;) {
    n += got;
    if (n + 1 == room)
      text = mem_realloc(text, room *= 2);
  }
  fclose(f);
  text[n] = 0;
  *out = text;
  *out_size = n;
  return CUDA_SUCCESS;
}

/* Options of the compiler that is not there: only the logs have a use. */

static void **option(unsigned count, const int *options, void **values, int wanted) {
  for (unsigned k = 0; k < count && options && values; k++)
    if (options[k] == wanted)
      return &values[k];
  return NULL;
}
static void log_to(unsigned count, const int *options, void **values, int buffer, const char *text,
                   size_t n) {
  void **to = option(count, options, values, buffer), **room;
  room = option(count, options, values, buffer + 1);
  if (!room)
    return;
  size_t most = (size_t)(unsigned)(uintptr_t)*room;
  if (to && *to && most) {
    most = n < most - 1 ? n : most - 1;
    memcpy(*to, text, most);
    ((char *)*to)[most] = 0;
  }
  *room = P(n < most ? n : most);
}
static void fill_logs(unsigned count, const int *options, void **values, const char *errors,
                      size_t n) {
  enum { WALL_TIME = 2, INFORMATION = 3, ERRORS = 5 };
  static const float none = 0;
  void **time = option(count, options, values, WALL_TIME);
  if (time)
    memcpy(time, &none, sizeof none);
  log_to(count, options, values, INFORMATION, "", 0);
  log_to(count, options, values, ERRORS, errors, n);
}

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

CUresult image_program(const char *text, size_t n, unsigned count, const int *options,
                       void **values, struct program **out) {
  struct diags d = {0};
  char *errors = NULL;
  size_t errors_size = 0;
  pthread_mutex_lock(&loading);
  status st = program_load(text, n, (uint32_t)current->device, &d, out);
  pthread_mutex_unlock(&loading);
  FILE *f = st ? open_memstream(&errors, &errors_size) : NULL;
  if (f) {
    diags_print(&d, f);
    fclose(f);
    fputs(errors, stderr);
  }
  fill_logs(count, options, values, errors ? errors : "", errors_size);
  free(errors);
  diags_deinit(&d);
  return st ? CUDA_ERROR_INVALID_PTX : CUDA_SUCCESS;
}

/* The linker. */

struct sim_link {
  char *text;
  size_t size;
  unsigned count;
  int *options;
  void **values; /* the caller's: logs are written when linking is complete */
};
enum { INPUT_PTX = 1, INPUT_FAT = 2, INPUT_OBJECT = 3, INPUT_LIBRARY = 4 };

DECLARE(cuLinkCreate_v2, (unsigned count, int *options, void **values, struct sim_link **out)) {
  NEED_CONTEXT();
  NEED(out && (!count || (options && values)));
  struct sim_link *l = mem_calloc(1, sizeof *l);
  l->count = count;
  l->options = mem_calloc(count + 1, sizeof *options);
  l->values = values;
  if (count)
    memcpy(l->options, options, count * sizeof *options);
  *out = l;
  return CUDA_SUCCESS;
}
DECLARE(cuLinkAddData_v2, (struct sim_link * l, int type, void *data, size_t size, const char *name,
                           unsigned count, int *options, void **values)) {
  (void)count, (void)options, (void)values;
  if (!l)
    return CUDA_ERROR_INVALID_HANDLE;
  NEED(data && size && type >= 0 && type < 6);
  if (type == INPUT_LIBRARY) { /* what is missed is named when the module is loaded */
    fprintf(stderr, "sim: note: library '%s' has no PTX and is left out\n", name ? name : "");
    return CUDA_SUCCESS;
  }
  char *text;
  size_t n;
  if (type > INPUT_OBJECT) {
    fprintf(stderr, "sim: error: input '%s' of the linker is no PTX\n", name ? name : "");
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  CUresult r = image_text(data, size, &text, &n);
  if (r)
    return r;
  l->text = mem_realloc(l->text, l->size + n + 2);
  memcpy(l->text + l->size, text, n);
  l->size += n;
  l->text[l->size++] = '\n';
  l->text[l->size] = 0;
  mem_free(text);
  return CUDA_SUCCESS;
}
DECLARE(cuLinkAddFile_v2, (struct sim_link * l, int type, const char *path, unsigned count,
                           int *options, void **values)) {
  char *data;
  size_t n;
  if (!l)
    return CUDA_ERROR_INVALID_HANDLE;
  NEED(path);
  CUresult r = image_read(path, &data, &n);
  if (r)
    return r;
  r = n ? cuLinkAddData_v2(l, type, data, n, path, count, options, values)
        : CUDA_ERROR_INVALID_IMAGE;
  mem_free(data);
  return r;
}
/* The image is the text of all inputs, which cuModuleLoadData takes as it takes any. */
DECLARE(cuLinkComplete, (struct sim_link * l, void **image, size_t *size)) {
  if (!l)
    return CUDA_ERROR_INVALID_HANDLE;
  NEED(image);
  if (!l->text)
    return CUDA_ERROR_NOT_FOUND;
  struct program *p = NULL;
  CUresult r = image_program(l->text, l->size, l->count, l->options, l->values, &p);
  program_unload(p);
  *image = l->text;
  if (size)
    *size = l->size + 1;
  return r;
}
DECLARE(cuLinkDestroy, (struct sim_link * l)) {
  if (!l)
    return CUDA_ERROR_INVALID_HANDLE;
  mem_free(l->text);
  mem_free(l->options);
  mem_free(l);
  return CUDA_SUCCESS;
}
