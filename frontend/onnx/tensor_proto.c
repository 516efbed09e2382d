/* SPDX-License-Identifier: Apache-2.0 */
/* Resolves TensorProto and SparseTensorProto to plain views, and makes TensorProto of them. */
#include "frontend/onnx/tensor_proto.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "frontend/onnx/model_load.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "views of ONNX data assume little endian");

static const struct onnx_type types[] = {
#define ONNX_TYPE(NAME, code, text, bits, field, width)                                            \
  [code] = {text, bits, ONNX_FIELD_##field, width},
#include "frontend/onnx/onnx_type.def"
#undef ONNX_TYPE
};

const struct onnx_type *onnx_type_get(int32_t code) {
  if (code <= 0 || (size_t)code >= sizeof types / sizeof *types || !types[code].name)
    return NULL;
  return &types[code];
}

/* What a tensor is called in messages, and where it stands. */
struct site {
  struct onnx_model *model;
  const Onnx__TensorProto *tensor;
  const struct onnx_type *type;
  const char *subject;
  const struct diag_where *where;
  struct diags *diags;
};

static status bad(const struct site *s, const char *what) {
  return diag_report(s->diags, DIAG_E0108, s->where, NULL, "%s %s", s->subject, what);
}

/* 1234567 → "1,234,567" */
static const char *grouped(uint64_t value, char out[32]) {
  char *p = out + 31;
  *p = 0;
  for (int digits = 0;; digits++) {
    if (digits && digits % 3 == 0)
      *--p = ',';
    *--p = (char)('0' + value % 10);
    value /= 10;
    if (value == 0)
      return p;
  }
}

void onnx_tensor_describe(int32_t onnx_type, const int64_t *dims, size_t rank, struct strbuf *out) {
  const struct onnx_type *type = onnx_type_get(onnx_type);
  strbuf_printf(out, "%s[", type ? type->name : "?");
  for (size_t i = 0; i < rank; i++)
    strbuf_printf(out, "%s%" PRId64, i ? "," : "", dims[i]);
  strbuf_printf(out, "]");
}

/* "unit" is "B" or "strings". */
static status wrong_size(const struct site *s, uint64_t wanted, uint64_t found, const char *unit) {
  struct strbuf shape = {0};
  char a[32], b[32];
  onnx_tensor_describe(s->tensor->data_type, s->tensor->dims, s->tensor->n_dims, &shape);
  status st =
      diag_report(s->diags, DIAG_E0107, s->where, "the file may be truncated; export it again",
                  "%s needs %s %s (%s) but has %s %s", s->subject, grouped(wanted, a), unit,
                  strbuf_c(&shape), grouped(found, b), unit);
  strbuf_deinit(&shape);
  return st;
}

/* ---- Where the data is ---- */

static size_t field_entries(const Onnx__TensorProto *t, unsigned field) {
  switch (field) {
  case ONNX_FIELD_FLOAT_DATA: return t->n_float_data;
  case ONNX_FIELD_INT32_DATA: return t->n_int32_data;
  case ONNX_FIELD_STRING_DATA: return t->n_string_data;
  case ONNX_FIELD_INT64_DATA: return t->n_int64_data;
  case ONNX_FIELD_DOUBLE_DATA: return t->n_double_data;
  case ONNX_FIELD_UINT64_DATA: return t->n_uint64_data;
  default: return 0;
  }
}

static const void *field_data(const Onnx__TensorProto *t, unsigned field) {
  switch (field) {
  case ONNX_FIELD_FLOAT_DATA: return t->float_data;
  case ONNX_FIELD_INT32_DATA: return t->int32_data;
  case ONNX_FIELD_INT64_DATA: return t->int64_data;
  case ONNX_FIELD_DOUBLE_DATA: return t->double_data;
  case ONNX_FIELD_UINT64_DATA: return t->uint64_data;
  default: return NULL;
  }
}

static const char *const field_names[] = {
    [ONNX_FIELD_NONE] = "",
    [ONNX_FIELD_FLOAT_DATA] = "float_data",
    [ONNX_FIELD_INT32_DATA] = "int32_data",
    [ONNX_FIELD_STRING_DATA] = "string_data",
    [ONNX_FIELD_INT64_DATA] = "int64_data",
    [ONNX_FIELD_DOUBLE_DATA] = "double_data",
    [ONNX_FIELD_UINT64_DATA] = "uint64_data",
};

/* Data may be in one place only, and typed data in the list of its type. */
static status places_check(const struct site *s) {
  const Onnx__TensorProto *t = s->tensor;
  bool raw = t->raw_data.len > 0 || t->cut > 0;
  bool external = t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
  if (!external && t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT) {
    return bad(s, "has an unknown data location");
  }
  if (raw && external)
    return bad(s, "has both raw_data and external data");
  if (raw && s->type->bits == 0)
    return bad(s, "holds strings in raw_data");
  if (external && s->type->bits == 0)
    return bad(s, "holds strings in external data");
  for (unsigned f = ONNX_FIELD_FLOAT_DATA; f <= ONNX_FIELD_UINT64_DATA; f++) {
    if (field_entries(t, f) == 0)
      continue;
    char what[96];
    if (raw || external) {
      snprintf(what, sizeof what, "has both %s and %s", raw ? "raw_data" : "external data",
               field_names[f]);
      return bad(s, what);
    }
    if (f != s->type->field) {
      snprintf(what, sizeof what, "of type %s has its data in %s", s->type->name, field_names[f]);
      return bad(s, what);
    }
  }
  return STATUS_OK;
}

static status shape_check(const struct site *s, struct onnx_tensor *out) {
  const Onnx__TensorProto *t = s->tensor;
  int64_t elements;
  for (size_t i = 0; i < t->n_dims; i++) {
    if (t->dims[i] >= 0)
      continue;
    char what[64];
    snprintf(what, sizeof what, "has dimension %zu of size %" PRId64, i, t->dims[i]);
    return bad(s, what);
  }
  if (t->n_dims > UINT16_MAX || !shape_elements(t->dims, t->n_dims, &elements)) {
    return bad(s, "has more elements than 64 bits can count");
  }
  if (!shape_bytes(t->dims, t->n_dims, s->type->bits ? s->type->bits : 8, &out->bytes)) {
    return bad(s, "has more bytes than 64 bits can count");
  }
  out->elements = (uint64_t)elements;
  out->rank = (uint32_t)t->n_dims;
  out->dims = t->dims;
  return STATUS_OK;
}

/* ---- Typed lists ---- */

/* Entry `v` as `width` low bits, if it is such a number, signed or unsigned. */
static bool int32_fits(int32_t v, unsigned width) {
  return v >= -(INT32_C(1) << (width - 1)) && v < (INT32_C(1) << width);
}

static status int32_narrow(const struct site *s, uint8_t *to) {
  const Onnx__TensorProto *t = s->tensor;
  unsigned width = s->type->width;
  for (size_t i = 0; i < t->n_int32_data; i++) {
    int32_t v = t->int32_data[i];
    if (!int32_fits(v, width)) {
      char what[96];
      snprintf(what, sizeof what, "of type %s has %" PRId32 " at index %zu of int32_data",
               s->type->name, v, i);
      return bad(s, what);
    }
    memcpy(to + i * (width / 8), &v, width / 8);
  }
  return STATUS_OK;
}

static status uint64_narrow(const struct site *s, uint8_t *to) {
  const Onnx__TensorProto *t = s->tensor;
  for (size_t i = 0; i < t->n_uint64_data; i++) {
    if (t->uint64_data[i] > UINT32_MAX)
      return bad(s, "of type u32 has a greater number in uint64_data");
    memcpy(to + i * 4, &t->uint64_data[i], 4);
  }
  return STATUS_OK;
}

static status strings_resolve(const struct site *s, struct onnx_tensor *out) {
  const Onnx__TensorProto *t = s->tensor;
  out->bytes = 0;
  if (t->n_string_data != out->elements)
    return wrong_size(s, out->elements, t->n_string_data, "strings");
  struct str *strings = ARENA_ARRAY(&s->model->arena, struct str, t->n_string_data);
  for (size_t i = 0; i < t->n_string_data; i++) {
    strings[i] = (struct str){(const char *)t->string_data[i].data, t->string_data[i].len};
  }
  out->strings = strings;
  return STATUS_OK;
}

static status typed_resolve(const struct site *s, struct onnx_tensor *out) {
  const struct onnx_type *type = s->type;
  size_t entries = field_entries(s->tensor, type->field);
  uint64_t has = (uint64_t)entries * type->width / 8;
  if (has != out->bytes)
    return wrong_size(s, out->bytes, has, "B");
  if (type->width == 32 && type->field == ONNX_FIELD_UINT64_DATA) {
    uint8_t *to = arena_alloc(&s->model->arena, out->bytes);
    out->data = to;
    return uint64_narrow(s, to);
  }
  if (type->field == ONNX_FIELD_INT32_DATA && type->width < 32) {
    uint8_t *to = arena_alloc(&s->model->arena, out->bytes);
    out->data = to;
    return int32_narrow(s, to);
  }
  out->data = field_data(s->tensor, type->field);
  return STATUS_OK;
}

/* ---- Raw bytes ---- */

static status external_resolve(const struct site *s, struct onnx_tensor *out) {
  struct external_range range;
  struct external_data *x = &s->model->external;
  status st = external_data_locate(x, s->tensor, out->bytes, s->where, s->diags, &range);
  if (st)
    return st;
  if (range.size != out->bytes)
    return wrong_size(s, out->bytes, range.size, "B");
  const struct external_file *file = &x->files.data[range.file];
  out->source = ONNX_SOURCE_EXTERNAL;
  out->file = file->path;
  out->offset = range.offset;
  out->data = file->bytes ? file->bytes + range.offset : NULL;
  return STATUS_OK;
}

static status raw_resolve(const struct site *s, struct onnx_tensor *out) {
  const Onnx__TensorProto *t = s->tensor;
  struct onnx_model *m = s->model;
  if (!t->cut) {
    if (t->raw_data.len != out->bytes)
      return wrong_size(s, out->bytes, t->raw_data.len, "B");
    out->data = t->raw_data.data;
    return STATUS_OK;
  }
  if (t->cut > m->scan.cuts.len)
    return bad(s, "was not read from this model");
  struct wire_cut cut = m->scan.cuts.data[t->cut - 1];
  if (cut.size != out->bytes)
    return wrong_size(s, out->bytes, cut.size, "B");
  out->data = m->bytes + cut.offset;
  if (!m->owned_bytes && !m->mapped.data)
    return STATUS_OK; /* a model from memory has no file */
  out->source = ONNX_SOURCE_MODEL;
  out->file = m->path;
  out->offset = cut.offset;
  return STATUS_OK;
}

/* Any byte may stand in a file, but a bool is 0 or 1. */
static void bools_normalise(const struct site *s, struct onnx_tensor *out) {
  const uint8_t *from = out->data;
  uint64_t i = 0;
  while (i < out->bytes && from[i] <= 1)
    i++;
  if (i == out->bytes)
    return;
  uint8_t *to = arena_alloc(&s->model->arena, out->bytes);
  for (i = 0; i < out->bytes; i++)
    to[i] = from[i] != 0;
  out->data = to;
  out->source = ONNX_SOURCE_MEMORY;
  out->file = NULL;
  out->offset = 0;
}

static status data_resolve(const struct site *s, struct onnx_tensor *out) {
  const Onnx__TensorProto *t = s->tensor;
  status st;
  if (s->type->bits == 0)
    return strings_resolve(s, out);
  if (t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
    st = external_resolve(s, out);
  } else if (t->raw_data.len > 0 || t->cut) {
    st = raw_resolve(s, out);
  } else {
    st = typed_resolve(s, out);
  }
  if (st == STATUS_OK && t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL)
    bools_normalise(s, out);
  if (out->bytes == 0)
    out->data = NULL;
  return st;
}

status onnx_tensor_resolve_at(struct onnx_model *model, const Onnx__TensorProto *tensor,
                              const char *subject, const struct diag_where *where,
                              struct diags *diags, struct onnx_tensor *out) {
  uint64_t known;
  if (map_get(&model->resolved, (uintptr_t)tensor, &known)) {
    *out = *(const struct onnx_tensor *)(uintptr_t)known;
    return STATUS_OK;
  }
  *out = (struct onnx_tensor){.name = tensor->name, .onnx_type = tensor->data_type};
  struct site s = {model, tensor, onnx_type_get(tensor->data_type), subject, where, diags};
  if (!s.type) {
    char what[64];
    snprintf(what, sizeof what, "has unknown data type %" PRId32, tensor->data_type);
    return bad(&s, what);
  }
  if (tensor->segment)
    return bad(&s, "is one segment of a larger tensor, which no exporter writes");
  status st = places_check(&s);
  if (st == STATUS_OK)
    st = shape_check(&s, out);
  if (st == STATUS_OK)
    st = data_resolve(&s, out);
  if (st)
    return st;
  struct onnx_tensor *kept = ARENA_NEW(&model->arena, struct onnx_tensor);
  *kept = *out;
  map_put(&model->resolved, (uintptr_t)tensor, (uintptr_t)kept);
  return STATUS_OK;
}

status onnx_tensor_resolve(struct onnx_model *model, const Onnx__TensorProto *tensor,
                           struct diags *diags, struct onnx_tensor *out) {
  struct diag_where where = {.file = model->path, .node_index = -1, .byte_offset = UINT64_MAX};
  char subject[256];
  snprintf(subject, sizeof subject, "tensor '%s'", tensor->name);
  return onnx_tensor_resolve_at(model, tensor, subject, &where, diags, out);
}

/* ---- Writing ---- */

void onnx_tensor_to_proto(const struct onnx_tensor *tensor, ProtobufCBinaryData *strings,
                          Onnx__TensorProto *out) {
  onnx__tensor_proto__init(out);
  out->name = (char *)(tensor->name ? tensor->name : "");
  out->data_type = tensor->onnx_type;
  out->n_dims = tensor->rank;
  out->dims = (int64_t *)tensor->dims;
  if (tensor->onnx_type != ONNX__TENSOR_PROTO__DATA_TYPE__STRING) {
    out->raw_data = (ProtobufCBinaryData){tensor->bytes, (uint8_t *)tensor->data};
    return;
  }
  for (uint64_t i = 0; i < tensor->elements; i++) {
    strings[i] = (ProtobufCBinaryData){tensor->strings[i].len, (uint8_t *)tensor->strings[i].data};
  }
  out->n_string_data = tensor->elements;
  out->string_data = strings;
}
