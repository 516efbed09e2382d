/* SPDX-License-Identifier: Apache-2.0 */
/* A table of the openings of formats that people have beside ONNX files. None of them is the
 * opening of an ONNX file that any exporter writes: those start with ir_version (0x08). */
#include "frontend/onnx/wire_sniff.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct magic {
  size_t offset;
  const char *bytes;
  size_t size;
  const char *what;
  const char *hint;
};

#define MAGIC(offset, bytes, what, hint) {offset, bytes, sizeof(bytes) - 1, what, hint}

static const struct magic magics[] = {
    MAGIC(0, "version https://git-lfs", "a Git LFS pointer, not the file itself",
          "fetch the file with `git lfs pull`"),
    MAGIC(0, "PK\x03\x04", "a ZIP archive (or a PyTorch or NumPy file)",
          "unpack it, or export the model to ONNX"),
    MAGIC(0, "GGUF", "a GGUF model", "export the original model to ONNX instead"),
    MAGIC(4, "ORTM", "an onnxruntime .ort model", "use the .onnx file that it was made from"),
    MAGIC(4, "TFL3", "a TensorFlow Lite model", "export the original model to ONNX instead"),
    MAGIC(0, "\x89HDF\r\n\x1a\n", "an HDF5 (Keras) file", "export the model to ONNX"),
    MAGIC(0, "\x93NUMPY", "a NumPy array", NULL),
    MAGIC(0, "\x1f\x8b", "a gzip file", "unpack it first"),
    MAGIC(0,
          "\xfd"
          "7zXZ",
          "an xz file", "unpack it first"),
    MAGIC(0, "\x28\xb5\x2f\xfd", "a zstd file", "unpack it first"),
    MAGIC(0, "BZh", "a bzip2 file", "unpack it first"),
    MAGIC(257, "ustar", "a tar archive", "unpack it first"),
    MAGIC(0,
          "\x7f"
          "ELF",
          "a program or library", NULL),
    MAGIC(0, "%PDF", "a PDF", NULL),
    MAGIC(0, "\x89PNG", "a PNG image", NULL),
    MAGIC(0, "\xff\xd8\xff", "a JPEG image", NULL),
};

static bool starts_with_word(const uint8_t *p, size_t size, const char *word) {
  size_t n = strlen(word);
  return size >= n && strncasecmp((const char *)p, word, n) == 0;
}

/* Text formats, after any white space or byte order mark. */
static struct wire_sniff sniff_text(const uint8_t *p, size_t size) {
  if (size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
    p += 3, size -= 3;
  while (size > 0 && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    p++, size--;
  if (size == 0)
    return (struct wire_sniff){0};
  if (starts_with_word(p, size, "<!doctype html") || starts_with_word(p, size, "<html") ||
      starts_with_word(p, size, "<head")) {
    return (struct wire_sniff){"an HTML page",
                               "the download gave a web page; use the link to the file itself"};
  }
  if (starts_with_word(p, size, "<?xml"))
    return (struct wire_sniff){"an XML file", NULL};
  if (*p == '<') {
    return (struct wire_sniff){"text (ONNX's text syntax?)", "save it as a binary ONNX file"};
  }
  if (*p == '{')
    return (struct wire_sniff){"a JSON file", NULL};
  if (starts_with_word(p, size, "ir_version:")) {
    return (struct wire_sniff){"a protobuf in text form", "save it as a binary ONNX file"};
  }
  return (struct wire_sniff){0};
}

/* A safetensors file is the 8-byte length of a JSON header, and the header. */
static bool is_safetensors(const uint8_t *p, size_t size) {
  uint64_t header;
  if (size < 10)
    return false;
  memcpy(&header, p, 8);
  return header >= 2 && header <= size - 8 && p[8] == '{' &&
         (p[9] == '"' || p[9] == '}' || p[9] == ' ');
}

/* Pickle protocols 2 to 5: PROTO n, then FRAME or the opening of a container or global. */
static bool is_pickle(const uint8_t *p, size_t size) {
  return size >= 3 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5 && strchr("\x95}](cX\x8a\x8c", p[2]) &&
         p[2];
}

struct wire_sniff wire_sniff_content(const uint8_t *bytes, size_t size) {
  if (size == 0)
    return (struct wire_sniff){"empty", "the download or export did not finish"};
  for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
    const struct magic *m = &magics[i];
    if (size >= m->offset + m->size && memcmp(bytes + m->offset, m->bytes, m->size) == 0) {
      return (struct wire_sniff){m->what, m->hint};
    }
  }
  if (is_safetensors(bytes, size)) {
    return (struct wire_sniff){"a safetensors file",
                               "it holds weights without a graph; export the model to ONNX"};
  }
  if (is_pickle(bytes, size)) {
    return (struct wire_sniff){"a Python pickle",
                               "it holds code and is never read; export the model to ONNX"};
  }
  for (size_t i = 0; i < size && i < 4096; i++) {
    if (bytes[i])
      return sniff_text(bytes, size);
  }
  return (struct wire_sniff){"filled with zeros", "the download did not finish"};
}
