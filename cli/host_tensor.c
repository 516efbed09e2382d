/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors in host memory. */
#include "cli/host_tensor.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/npy.h"
#include "base/softfloat.h"
#include "frontend/onnx/onnx_value.h"

#include <math.h>
#include <string.h>

uint64_t host_tensor_elements(const sinter_tensor *t) {
  int64_t n = 0;
  return shape_elements(t->dims, t->rank, &n) ? (uint64_t)n : 0;
}

bool host_tensor_dtype(const sinter_tensor *t, enum dtype *out) {
  return dtype_from_onnx((int32_t)t->dtype, out);
}

/* ---- elements ---- */

static bool small_float(sinter_dtype dtype, enum softfloat_kind *out) {
  switch (dtype) {
  case SINTER_F16: return *out = SOFTFLOAT_F16, true;
  case SINTER_BF16: return *out = SOFTFLOAT_BF16, true;
  case SINTER_F8E4M3FN: return *out = SOFTFLOAT_F8E4M3FN, true;
  case SINTER_F8E4M3FNUZ: return *out = SOFTFLOAT_F8E4M3FNUZ, true;
  case SINTER_F8E5M2: return *out = SOFTFLOAT_F8E5M2, true;
  case SINTER_F8E5M2FNUZ: return *out = SOFTFLOAT_F8E5M2FNUZ, true;
  case SINTER_F8E8M0: return *out = SOFTFLOAT_F8E8M0, true;
  case SINTER_F4E2M1: return *out = SOFTFLOAT_F4E2M1, true;
  default: return false;
  }
}

static unsigned bits_of(const sinter_tensor *t) {
  enum dtype dtype;
  if (t->dtype == SINTER_STRING)
    return 8 * sizeof(sinter_string);
  return host_tensor_dtype(t, &dtype) ? dtype_bits(dtype) : 0;
}

/* An element's bits, zero-extended. */
static uint64_t load_bits(const sinter_tensor *t, uint64_t i) {
  unsigned bits = bits_of(t);
  uint64_t x = 0;
  if (bits < 8) {
    uint64_t at = i * bits;
    return ((const uint8_t *)t->data)[at / 8] >> at % 8 & ((1u << bits) - 1);
  }
  memcpy(&x, (const uint8_t *)t->data + i * (bits / 8), bits / 8);
  return x;
}

static void store_bits(sinter_tensor *t, uint64_t i, uint64_t x) {
  unsigned bits = bits_of(t);
  if (bits < 8) {
    uint64_t at = i * bits;
    uint8_t *byte = (uint8_t *)t->data + at / 8;
    uint8_t mask = (uint8_t)(((1u << bits) - 1) << at % 8);
    *byte = (uint8_t)((*byte & ~mask) | (x << at % 8 & mask));
    return;
  }
  memcpy((uint8_t *)t->data + i * (bits / 8), &x, bits / 8);
}

int64_t host_tensor_get_i64(const sinter_tensor *t, uint64_t i) {
  enum dtype dtype;
  uint64_t x = load_bits(t, i);
  if (host_tensor_dtype(t, &dtype) && dtype_is_signed(dtype)) {
    unsigned shift = 64 - dtype_bits(dtype);
    return (int64_t)(x << shift) >> shift;
  }
  return (int64_t)x;
}

double host_tensor_get(const sinter_tensor *t, uint64_t i) {
  enum softfloat_kind kind;
  if (t->dtype == SINTER_F32) {
    uint32_t bits = (uint32_t)load_bits(t, i);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
  }
  if (t->dtype == SINTER_F64) {
    uint64_t bits = load_bits(t, i);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
  }
  if (small_float(t->dtype, &kind))
    return softfloat_decode(kind, (uint16_t)load_bits(t, i));
  int64_t x = host_tensor_get_i64(t, i);
  return t->dtype == SINTER_U64 ? (double)(uint64_t)x : (double)x;
}

void host_tensor_set(sinter_tensor *t, uint64_t i, double x) {
  enum softfloat_kind kind;
  if (t->dtype == SINTER_F32) {
    float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    store_bits(t, i, bits);
  } else if (t->dtype == SINTER_F64) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    store_bits(t, i, bits);
  } else if (small_float(t->dtype, &kind)) {
    store_bits(t, i, softfloat_encode(kind, x, true, SOFTFLOAT_ROUND_NEAREST));
  } else if (t->dtype == SINTER_BOOL) {
    store_bits(t, i, x != 0);
  } else {
    store_bits(t, i, (uint64_t)(int64_t)x);
  }
}

/* ---- memory ---- */

status host_tensor_alloc(sinter_dtype dtype, uint32_t rank, const int64_t *dims, struct diags *d,
                         sinter_tensor *out) {
  *out = (sinter_tensor){.dtype = dtype, .rank = rank};
  if (rank)
    memcpy(out->dims, dims, rank * sizeof *dims);
  enum dtype t;
  if (!host_tensor_dtype(out, &t) || !shape_bytes(dims, rank, bits_of(out), &out->bytes))
    return diag_report(d, DIAG_E0901, NULL, NULL, "a tensor is too large for this machine");
  out->data = mem_try_calloc(out->bytes ? out->bytes : 1, 1);
  if (!out->data)
    return diag_report(d, DIAG_E0901, NULL, NULL, "there is no memory for a tensor of %llu B",
                       (unsigned long long)out->bytes);
  return STATUS_OK;
}

/* The bytes of strings lie behind the elements, in one block. */
static status copy_strings(const struct onnx_tensor *from, struct diags *d, sinter_tensor *out) {
  uint64_t bytes = from->elements * sizeof(sinter_string), text = 0;
  for (uint64_t i = 0; i < from->elements; i++)
    text += from->strings[i].len;
  sinter_string *items = mem_try_alloc(bytes + text + 1);
  if (!items)
    return diag_report(d, DIAG_E0901, NULL, NULL, "there is no memory for a tensor of strings");
  char *to = (char *)items + bytes;
  for (uint64_t i = 0; i < from->elements; i++) {
    if (from->strings[i].len)
      memcpy(to, from->strings[i].data, from->strings[i].len);
    items[i] = (sinter_string){to, from->strings[i].len};
    to += from->strings[i].len;
  }
  *out = (sinter_tensor){SINTER_STRING, from->rank, {0}, items, bytes};
  for (uint32_t i = 0; i < from->rank; i++)
    out->dims[i] = from->dims[i];
  return STATUS_OK;
}

status host_tensor_from_onnx(const struct onnx_tensor *from, struct diags *d, sinter_tensor *out) {
  if (from->rank > SINTER_MAX_RANK)
    return diag_report(d, DIAG_E0802, NULL, NULL, "a tensor has %u dims; %d is the most",
                       from->rank, SINTER_MAX_RANK);
  if (from->onnx_type == SINTER_STRING)
    return copy_strings(from, d, out);
  int64_t dims[SINTER_MAX_RANK] = {0};
  for (uint32_t i = 0; i < from->rank; i++) /* the dims of a scalar are NULL */
    dims[i] = from->dims[i];
  status s = host_tensor_alloc((sinter_dtype)from->onnx_type, from->rank, dims, d, out);
  if (!s && from->bytes)
    memcpy(out->data, from->data, from->bytes < out->bytes ? from->bytes : out->bytes);
  return s;
}

void host_tensor_free(sinter_tensor *t) {
  mem_free(t->data);
  *t = (sinter_tensor){0};
}

/* ---- files ---- */

static bool ends_with(const char *path, const char *suffix) {
  size_t n = strlen(path), m = strlen(suffix);
  return n > m && !strcmp(path + n - m, suffix);
}

enum host_format host_format_of(const char *path) {
  return ends_with(path, ".npy") ? HOST_NPY : ends_with(path, ".pb") ? HOST_PB : HOST_RAW;
}

static status rank_error(const char *path, uint32_t rank, struct diags *d) {
  struct diag_where where = DIAG_NOWHERE;
  where.file = path;
  return diag_report(d, DIAG_E0802, &where, NULL, "the tensor has %u dims; %d is the most", rank,
                     SINTER_MAX_RANK);
}

static status copy_in(const char *path, sinter_dtype dtype, uint32_t rank, const int64_t *dims,
                      const void *data, uint64_t bytes, struct diags *d, sinter_tensor *out) {
  if (rank > SINTER_MAX_RANK)
    return rank_error(path, rank, d);
  status s = host_tensor_alloc(dtype, rank, dims, d, out);
  if (!s && bytes)
    memcpy(out->data, data, bytes < out->bytes ? bytes : out->bytes);
  return s;
}

static status read_npy(const char *path, struct diags *d, sinter_tensor *out) {
  struct npy_array a;
  status s = npy_read(path, UINT64_MAX, d, &a);
  if (s)
    return s;
  s = copy_in(path, (sinter_dtype)dtype_infos[a.dtype].onnx, a.rank, a.dims, a.data, a.bytes, d,
              out);
  npy_deinit(&a);
  return s;
}

static status read_pb(const char *path, struct diags *d, sinter_tensor *out) {
  struct onnx_value_file file;
  struct diag_where where = DIAG_NOWHERE;
  where.file = path;
  status s = onnx_value_read(path, NULL, d, &file);
  if (s)
    return s;
  const struct onnx_tensor *t = &file.value.tensor;
  enum dtype dtype;
  if (file.value.kind != ONNX_VALUE_TENSOR || !dtype_from_onnx(t->onnx_type, &dtype))
    s = diag_report(d, DIAG_E0802, &where, NULL, "the file holds no tensor");
  else
    s = host_tensor_from_onnx(t, d, out);
  onnx_value_deinit(&file);
  return s;
}

status host_tensor_read(const char *path, struct diags *d, sinter_tensor *out) {
  return host_format_of(path) == HOST_PB ? read_pb(path, d, out) : read_npy(path, d, out);
}

status host_tensor_read_raw(const char *path, sinter_dtype dtype, uint32_t rank,
                            const int64_t *dims, struct diags *d, sinter_tensor *out) {
  enum dtype t;
  struct npy_array a;
  if (!dtype_from_onnx((int32_t)dtype, &t) || t == DTYPE_STRING)
    return diag_report(d, DIAG_E0802, NULL, NULL, "an input of this type cannot be read raw");
  status s = npy_read_raw(path, t, rank, dims, d, &a);
  if (s)
    return s;
  s = copy_in(path, dtype, rank, dims, a.data, a.bytes, d, out);
  npy_deinit(&a);
  return s;
}

static status write_raw(const char *path, const sinter_tensor *t, struct diags *d) {
  struct file_writer w;
  status s = file_writer_open(path, d, &w);
  if (s)
    return s;
  uint64_t bytes = 0;
  shape_bytes(t->dims, t->rank, bits_of(t), &bytes);
  fwrite(t->data, 1, bytes, w.stream);
  return file_writer_commit(&w, d);
}

/* Only ONNX's format has them. */
static status write_strings(const char *path, const char *name, const sinter_tensor *t,
                            struct diags *d) {
  const sinter_string *from = t->data;
  struct onnx_tensor o = {.name = name,
                          .onnx_type = SINTER_STRING,
                          .rank = t->rank,
                          .dims = t->dims,
                          .elements = host_tensor_elements(t)};
  if (host_format_of(path) != HOST_PB)
    return diag_report(d, DIAG_E0802, NULL, "name a file that ends in .pb",
                       "output '%s' is of strings, which this format does not have", name);
  struct str *list = mem_calloc(o.elements + 1, sizeof *list);
  for (uint64_t i = 0; i < o.elements; i++)
    list[i] = (struct str){from[i].data, from[i].size};
  o.strings = list;
  status s = onnx_tensor_write(path, &o, d);
  mem_free(list);
  return s;
}

status host_tensor_write(const char *path, const char *name, const sinter_tensor *t,
                         struct diags *d) {
  enum dtype dtype;
  if (!host_tensor_dtype(t, &dtype))
    return diag_report(d, DIAG_E0802, NULL, NULL, "output '%s' has no type that can be written",
                       name);
  if (dtype == DTYPE_STRING)
    return write_strings(path, name, t, d);
  switch (host_format_of(path)) {
  case HOST_NPY: return npy_write(path, dtype, t->rank, t->dims, t->data, d);
  case HOST_PB: {
    uint64_t bytes = 0;
    shape_bytes(t->dims, t->rank, dtype_bits(dtype), &bytes);
    struct onnx_tensor o = {.name = name,
                            .onnx_type = (int32_t)t->dtype,
                            .rank = t->rank,
                            .dims = t->dims,
                            .elements = host_tensor_elements(t),
                            .data = t->data,
                            .bytes = bytes};
    return onnx_tensor_write(path, &o, d);
  }
  default: return write_raw(path, t, d);
  }
}

/* ---- for people ---- */

void host_tensor_describe(const sinter_tensor *t, struct strbuf *out) {
  const char *name = sinter_dtype_name(t->dtype);
  strbuf_printf(out, "%s[", name ? name : "?");
  for (uint32_t i = 0; i < t->rank; i++)
    strbuf_printf(out, "%s%lld", i ? "," : "", (long long)t->dims[i]);
  strbuf_char(out, ']');
}

void host_tensor_summarize(const sinter_tensor *t, struct host_summary *out) {
  uint64_t n = t->dtype == SINTER_STRING ? 0 : host_tensor_elements(t), finite = 0;
  double sum = 0;
  *out = (struct host_summary){.min = INFINITY, .max = -INFINITY};
  for (uint64_t i = 0; i < n; i++) {
    double x = host_tensor_get(t, i);
    if (isnan(x)) {
      out->nans++;
    } else if (isinf(x)) {
      out->infinities++;
    } else {
      out->min = fmin(out->min, x);
      out->max = fmax(out->max, x);
      sum += x;
      finite++;
    }
  }
  if (!finite)
    out->min = out->max = 0;
  out->mean = finite ? sum / (double)finite : 0;
}

static enum diag_code code_named(const char *name) {
  for (int c = 0; c < DIAG_CODE_COUNT; c++)
    if (!strcmp(diag_code_name((enum diag_code)c), name))
      return (enum diag_code)c;
  return DIAG_E0902;
}

/* A line of the house form after its label: "error[E0605]: ", "  --> ", "  hint: ". */
static char *after_label(const char *text, const char *label, struct strbuf *out) {
  const char *at = strstr(text, label);
  if (!at)
    return NULL;
  at += strlen(label);
  strbuf_append(out, at, strcspn(at, "\n"));
  return out->data;
}

status runtime_error_to_diags(sinter_status s, struct diags *d) {
  struct strbuf message = {0}, place = {0}, hint = {0};
  const char *text = sinter_last_error();
  struct diag_where where = DIAG_NOWHERE;
  if (!s)
    return STATUS_OK;
  after_label(text, "]: ", &message);
  where.file = after_label(text, "--> ", &place);
  after_label(text, "hint: ", &hint);
  diag_report(d, code_named(sinter_last_error_code()), where.file ? &where : NULL, hint.data, "%s",
              message.data ? message.data : "the runtime failed and does not say why");
  strbuf_deinit(&message);
  strbuf_deinit(&place);
  strbuf_deinit(&hint);
  return (status)s;
}
