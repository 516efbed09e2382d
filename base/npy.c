/* SPDX-License-Identifier: Apache-2.0 */
/* Parses the Python literal in a .npy header, and writes one. */
#include "base/npy.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

enum { MAGIC_BYTES = 6, DATA_ALIGN = 64, HEADER_MAX = 64 * 1024 };

static const char magic[] = "\x93NUMPY";

struct npy_type {
  char text[4]; /* without the byte order */
  enum dtype dtype;
};

static const struct npy_type npy_types[] = {
    {"f8", DTYPE_F64}, {"f4", DTYPE_F32},  {"f2", DTYPE_F16},  {"i8", DTYPE_I64}, {"i4", DTYPE_I32},
    {"i2", DTYPE_I16}, {"i1", DTYPE_I8},   {"u8", DTYPE_U64},  {"u4", DTYPE_U32}, {"u2", DTYPE_U16},
    {"u1", DTYPE_U8},  {"b1", DTYPE_BOOL}, {"V2", DTYPE_BF16},
};
enum { NPY_TYPES = sizeof npy_types / sizeof *npy_types };

struct parser {
  const char *name;
  const char *at, *end;
  struct diags *diags;
  struct npy_array *out;
};

static status fault(const struct parser *p, const char *hint, const char *what) {
  struct diag_where where = DIAG_NOWHERE;
  where.file = p->name;
  return diag_report(p->diags, DIAG_E0907, &where, hint, "%s", what);
}

static void skip_space(struct parser *p) {
  while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t'))
    p->at++;
}

static bool take(struct parser *p, char c) {
  skip_space(p);
  if (p->at == p->end || *p->at != c)
    return false;
  p->at++;
  return true;
}

/* A quoted string without escapes. */
static bool take_string(struct parser *p, const char **out, size_t *out_size) {
  skip_space(p);
  if (p->at == p->end || (*p->at != '\'' && *p->at != '"'))
    return false;
  char quote = *p->at++;
  const char *start = p->at, *stop = memchr(start, quote, (size_t)(p->end - start));
  if (!stop)
    return false;
  *out = start;
  *out_size = (size_t)(stop - start);
  p->at = stop + 1;
  return true;
}

static bool take_word(struct parser *p, const char *word) {
  skip_space(p);
  size_t n = strlen(word);
  if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0)
    return false;
  p->at += n;
  return true;
}

static bool take_dim(struct parser *p, int64_t *out) {
  skip_space(p);
  int64_t value = 0;
  const char *start = p->at;
  for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++) {
    if (!i64_mul(value, 10, &value) || !i64_add(value, *p->at - '0', &value))
      return false;
  }
  *out = value;
  return p->at > start;
}

static status descr_parse(struct parser *p) {
  const char *text;
  size_t size;
  if (!take_string(p, &text, &size))
    return fault(p, "save a plain array, not records", "the array's type is no string");
  if (size != 3)
    return fault(p, NULL, "the array's type is unknown");
  if (text[0] == '>')
    return fault(p, "save a.astype(a.dtype.newbyteorder('<'))", "the array is big endian");
  for (unsigned i = 0; i < NPY_TYPES; i++) {
    if (memcmp(npy_types[i].text, text + 1, 2) == 0) {
      p->out->dtype = npy_types[i].dtype;
      return STATUS_OK;
    }
  }
  return fault(p, "bool, integers, f16, f32, f64 and bf16 are read",
               "the array's type is not one that is read");
}

static status order_parse(struct parser *p) {
  if (take_word(p, "False"))
    return STATUS_OK;
  if (take_word(p, "True"))
    return fault(p, "save numpy.ascontiguousarray(a)", "the array is in Fortran order");
  return fault(p, NULL, "the header's fortran_order is neither True nor False");
}

static status shape_parse(struct parser *p) {
  struct npy_array *out = p->out;
  if (!take(p, '('))
    return fault(p, NULL, "the header's shape is no tuple");
  while (!take(p, ')')) {
    if (out->rank == NPY_RANK_MAX)
      return fault(p, NULL, "the array has more than 32 dimensions");
    if (!take_dim(p, &out->dims[out->rank]))
      return fault(p, NULL, "the header's shape holds no valid number");
    out->rank++;
    take(p, ',');
  }
  return STATUS_OK;
}

static status header_parse(struct parser *p) {
  unsigned seen = 0;
  if (!take(p, '{'))
    return fault(p, NULL, "the header is no dictionary");
  while (!take(p, '}')) {
    const char *key;
    size_t size;
    status st;
    unsigned which;
    if (!take_string(p, &key, &size) || !take(p, ':'))
      return fault(p, NULL, "the header is malformed");
    if (size == 5 && memcmp(key, "descr", 5) == 0) {
      which = 1;
      st = descr_parse(p);
    } else if (size == 13 && memcmp(key, "fortran_order", 13) == 0) {
      which = 2;
      st = order_parse(p);
    } else if (size == 5 && memcmp(key, "shape", 5) == 0) {
      which = 4;
      st = seen & 4 ? fault(p, NULL, "the header gives the shape twice") : shape_parse(p);
    } else {
      return fault(p, NULL, "the header has an unknown key");
    }
    if (st)
      return st;
    seen |= which;
    take(p, ',');
  }
  return seen == 7 ? STATUS_OK : fault(p, NULL, "the header lacks descr, fortran_order or shape");
}

/* Finds the header in `bytes` and parses it; *out_offset is where the data begins. */
static status preamble_parse(struct parser *p, const uint8_t *bytes, size_t size,
                             size_t *out_offset) {
  if (size < 10 || memcmp(bytes, magic, MAGIC_BYTES) != 0)
    return fault(p, NULL, "this is not a .npy file");
  uint8_t major = bytes[6];
  if (major < 1 || major > 3)
    return fault(p, NULL, "the .npy format version is unknown");
  size_t start = major == 1 ? 10 : 12;
  if (size < start)
    return fault(p, NULL, "the file is cut short");
  uint32_t length = bytes[8] | (uint32_t)bytes[9] << 8;
  if (major > 1)
    length |= (uint32_t)bytes[10] << 16 | (uint32_t)bytes[11] << 24;
  if (length > HEADER_MAX || length > size - start)
    return fault(p, NULL, "the header is too long for the file");
  p->at = (const char *)bytes + start;
  p->end = p->at + length;
  *out_offset = start + length;
  return header_parse(p);
}

/* "f32[2,3] needs 24 B but the file has 20 B" */
static status size_check(const struct parser *p, uint64_t found) {
  struct npy_array *a = p->out;
  if (!shape_bytes(a->dims, a->rank, dtype_bits(a->dtype), &a->bytes))
    return fault(p, NULL, "the array is too large");
  if (a->bytes == found)
    return STATUS_OK;
  struct diag_where where = DIAG_NOWHERE;
  where.file = p->name;
  return diag_report(p->diags, DIAG_E0907, &where, NULL,
                     "the array (%s, rank %" PRIu32 ") needs %" PRIu64
                     " B but the file has %" PRIu64 " B",
                     dtype_name(a->dtype), a->rank, a->bytes, found);
}

/* Takes over `owned` or frees it. */
static status adopt(struct parser *p, char *owned, size_t size) {
  size_t offset = 0;
  status st = preamble_parse(p, (const uint8_t *)owned, size, &offset);
  if (st == STATUS_OK)
    st = size_check(p, size - offset);
  if (st) {
    mem_free(owned);
    *p->out = (struct npy_array){0};
    return st;
  }
  if (offset % 16) {
    memmove(owned, owned + offset, size - offset);
    offset = 0;
  }
  p->out->owned = owned;
  p->out->data = owned + offset;
  return STATUS_OK;
}

status npy_read(const char *path, uint64_t limit, struct diags *d, struct npy_array *out) {
  *out = (struct npy_array){0};
  char *owned;
  size_t size;
  status st = file_read(path, limit, d, &owned, &size);
  if (st)
    return st;
  struct parser p = {.name = path, .diags = d, .out = out};
  return adopt(&p, owned, size);
}

status npy_parse(const char *name, const void *bytes, size_t size, struct diags *d,
                 struct npy_array *out) {
  *out = (struct npy_array){0};
  struct parser p = {.name = name, .diags = d, .out = out};
  char *owned = mem_try_alloc(size);
  if (!owned)
    return diag_report(d, DIAG_E0901, NULL, NULL, "no memory for an array of %zu B", size);
  if (size > 0)
    memcpy(owned, bytes, size);
  return adopt(&p, owned, size);
}

status npy_read_raw(const char *path, enum dtype dtype, uint32_t rank, const int64_t *dims,
                    struct diags *d, struct npy_array *out) {
  *out = (struct npy_array){.dtype = dtype, .rank = rank};
  struct parser p = {.name = path, .diags = d, .out = out};
  if (rank > NPY_RANK_MAX)
    return fault(&p, NULL, "the array has more than 32 dimensions");
  if (rank > 0)
    memcpy(out->dims, dims, rank * sizeof *dims);
  uint64_t wanted;
  if (!shape_bytes(dims, rank, dtype_bits(dtype), &wanted))
    return fault(&p, NULL, "the array is too large");
  size_t size;
  status st = file_read(path, UINT64_MAX, d, &out->owned, &size);
  if (st == STATUS_OK)
    st = size_check(&p, size);
  if (st) {
    npy_deinit(out);
    return st;
  }
  out->data = out->owned;
  return STATUS_OK;
}

void npy_deinit(struct npy_array *array) {
  mem_free(array->owned);
  *array = (struct npy_array){0};
}

/* ---- Writing ---- */

static const char *type_text(enum dtype dtype) {
  for (unsigned i = 0; i < NPY_TYPES; i++) {
    if (npy_types[i].dtype == dtype)
      return npy_types[i].text;
  }
  return NULL;
}

static void header_write(FILE *f, const char *type, bool single_byte, uint32_t rank,
                         const int64_t *dims) {
  char text[1024]; /* 32 dims of at most 21 characters fit */
  int n = snprintf(text, sizeof text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                   single_byte ? '|' : '<', type);
  for (uint32_t i = 0; i < rank; i++) {
    n += snprintf(text + n, sizeof text - (size_t)n, "%" PRId64 "%s", dims[i],
                  rank == 1      ? ","
                  : i + 1 < rank ? ", "
                                 : "");
  }
  n += snprintf(text + n, sizeof text - (size_t)n, "), }");
  /* Spaces and a newline pad the header so that the data is aligned. */
  while ((10 + n + 1) % DATA_ALIGN)
    text[n++] = ' ';
  text[n++] = '\n';
  fwrite(magic, 1, MAGIC_BYTES, f);
  const uint8_t rest[4] = {1, 0, (uint8_t)(n & 0xff), (uint8_t)(n >> 8)};
  fwrite(rest, 1, sizeof rest, f);
  fwrite(text, 1, (size_t)n, f);
}

status npy_write(const char *path, enum dtype dtype, uint32_t rank, const int64_t *dims,
                 const void *data, struct diags *d) {
  struct parser p = {.name = path, .diags = d};
  const char *type = type_text(dtype);
  if (!type)
    return fault(&p, "write raw bytes instead", "the array's type is not one that .npy files hold");
  uint64_t bytes;
  if (rank > NPY_RANK_MAX)
    return fault(&p, NULL, "the array has more than 32 dimensions");
  if (!shape_bytes(dims, rank, dtype_bits(dtype), &bytes))
    return fault(&p, NULL, "the array is too large");
  struct file_writer w;
  status st = file_writer_open(path, d, &w);
  if (st)
    return st;
  header_write(w.stream, type, dtype_bits(dtype) == 8, rank, dims);
  if (bytes > 0)
    fwrite(data, 1, bytes, w.stream); /* errors are found by commit */
  return file_writer_commit(&w, d);
}
