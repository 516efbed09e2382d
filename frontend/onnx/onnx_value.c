/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the protobuf of the declared kind and turns its tree into onnx_value. Recursion is as deep
 * as the messages nest, which the wire scan bounds. */
#include "frontend/onnx/onnx_value.h"

#include <inttypes.h>
#include <limits.h>

#include "base/file.h"
#include "base/mem.h"
#include "frontend/onnx/model_load.h"

struct reader {
  struct onnx_model *holder;
  struct diags *diags;
  struct diag_where where;
};

static status mismatch(struct reader *r, const char *what) {
  return diag_report(r->diags, DIAG_E0122, &r->where, NULL, "%s", what);
}

static status tensor_make(struct reader *r, const Onnx__TensorProto *t, struct onnx_value *out) {
  out->kind = ONNX_VALUE_TENSOR;
  return onnx_tensor_resolve_at(r->holder, t, "the tensor", &r->where, r->diags, &out->tensor);
}

static status sparse_make(struct reader *r, const Onnx__SparseTensorProto *t,
                          struct onnx_value *out) {
  out->kind = ONNX_VALUE_TENSOR;
  return onnx_sparse_resolve(r->holder, t, &r->where, r->diags, &out->tensor);
}

static status sequence_make(struct reader *r, const Onnx__SequenceProto *s, struct onnx_value *out);
static status map_make(struct reader *r, const Onnx__MapProto *m, struct onnx_value *out);
static status optional_make(struct reader *r, const Onnx__OptionalProto *o, struct onnx_value *out);

static size_t sequence_length(const Onnx__SequenceProto *s) {
  switch (s->elem_type) {
  case ONNX__SEQUENCE_PROTO__DATA_TYPE__TENSOR: return s->n_tensor_values;
  case ONNX__SEQUENCE_PROTO__DATA_TYPE__SPARSE_TENSOR: return s->n_sparse_tensor_values;
  case ONNX__SEQUENCE_PROTO__DATA_TYPE__SEQUENCE: return s->n_sequence_values;
  case ONNX__SEQUENCE_PROTO__DATA_TYPE__MAP: return s->n_map_values;
  case ONNX__SEQUENCE_PROTO__DATA_TYPE__OPTIONAL: return s->n_optional_values;
  default: return 0;
  }
}

static status element_make(struct reader *r, const Onnx__SequenceProto *s, size_t i,
                           struct onnx_value *out) {
  switch (s->elem_type) {
  case ONNX__SEQUENCE_PROTO__DATA_TYPE__TENSOR: return tensor_make(r, s->tensor_values[i], out);
  case ONNX__SEQUENCE_PROTO__DATA_TYPE__SPARSE_TENSOR:
    return sparse_make(r, s->sparse_tensor_values[i], out);
  case ONNX__SEQUENCE_PROTO__DATA_TYPE__SEQUENCE:
    return sequence_make(r, s->sequence_values[i], out);
  case ONNX__SEQUENCE_PROTO__DATA_TYPE__MAP: return map_make(r, s->map_values[i], out);
  default: return optional_make(r, s->optional_values[i], out);
  }
}

static status sequence_make(struct reader *r, const Onnx__SequenceProto *s,
                            struct onnx_value *out) {
  size_t all = s->n_tensor_values + s->n_sparse_tensor_values + s->n_sequence_values +
               s->n_map_values + s->n_optional_values;
  size_t n = sequence_length(s);
  if (n != all)
    return mismatch(r, "the sequence holds values of another kind than it says");
  out->kind = ONNX_VALUE_SEQUENCE;
  out->items = ARENA_ARRAY(&r->holder->arena, struct onnx_value, n);
  out->n_items = (uint32_t)n;
  for (size_t i = 0; i < n; i++) {
    status st = element_make(r, s, i, &out->items[i]);
    if (st)
      return st;
  }
  return STATUS_OK;
}

static status keys_make(struct reader *r, const Onnx__MapProto *m, struct onnx_tensor *out) {
  if (m->n_keys && m->n_string_keys)
    return mismatch(r, "the map has both integer and string keys");
  struct arena *arena = &r->holder->arena;
  bool strings = m->n_string_keys > 0 || m->key_type == ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
  int64_t *dims = ARENA_ARRAY(arena, int64_t, 1);
  dims[0] = (int64_t)(strings ? m->n_string_keys : m->n_keys);
  *out =
      (struct onnx_tensor){.name = m->name, .rank = 1, .dims = dims, .elements = (uint64_t)dims[0]};
  if (strings) {
    struct str *keys = ARENA_ARRAY(arena, struct str, m->n_string_keys);
    for (size_t i = 0; i < m->n_string_keys; i++) {
      keys[i] = (struct str){(const char *)m->string_keys[i].data, m->string_keys[i].len};
    }
    out->onnx_type = ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
    out->strings = keys;
    return STATUS_OK;
  }
  out->onnx_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
  out->data = m->n_keys ? m->keys : NULL;
  out->bytes = m->n_keys * 8;
  return STATUS_OK;
}

static status map_make(struct reader *r, const Onnx__MapProto *m, struct onnx_value *out) {
  struct onnx_value values = {0};
  status st = keys_make(r, m, &out->tensor);
  if (st == STATUS_OK && m->values)
    st = sequence_make(r, m->values, &values);
  if (st)
    return st;
  out->kind = ONNX_VALUE_MAP;
  out->items = values.items;
  out->n_items = values.n_items;
  if (out->n_items != out->tensor.elements)
    return mismatch(r, "the map has another number of keys than of values");
  return STATUS_OK;
}

static status optional_make(struct reader *r, const Onnx__OptionalProto *o,
                            struct onnx_value *out) {
  if (o->tensor_value)
    return tensor_make(r, o->tensor_value, out);
  if (o->sparse_tensor_value)
    return sparse_make(r, o->sparse_tensor_value, out);
  if (o->sequence_value)
    return sequence_make(r, o->sequence_value, out);
  if (o->map_value)
    return map_make(r, o->map_value, out);
  if (o->optional_value)
    return optional_make(r, o->optional_value, out);
  out->kind = ONNX_VALUE_NONE;
  return STATUS_OK;
}

static const ProtobufCMessageDescriptor *descriptor_of(const Onnx__TypeProto *type) {
  switch (type ? type->value_case : ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
  case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE: return &onnx__tensor_proto__descriptor;
  case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE: return &onnx__sparse_tensor_proto__descriptor;
  case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE: return &onnx__sequence_proto__descriptor;
  case ONNX__TYPE_PROTO__VALUE_MAP_TYPE: return &onnx__map_proto__descriptor;
  case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE: return &onnx__optional_proto__descriptor;
  default: return NULL;
  }
}

static status value_make(struct reader *r, const ProtobufCMessage *message,
                         struct onnx_value *out) {
  const ProtobufCMessageDescriptor *d = message->descriptor;
  if (d == &onnx__tensor_proto__descriptor)
    return tensor_make(r, (const void *)message, out);
  if (d == &onnx__sparse_tensor_proto__descriptor)
    return sparse_make(r, (const void *)message, out);
  if (d == &onnx__sequence_proto__descriptor)
    return sequence_make(r, (const void *)message, out);
  if (d == &onnx__map_proto__descriptor)
    return map_make(r, (const void *)message, out);
  return optional_make(r, (const void *)message, out);
}

status onnx_value_read(const char *path, const Onnx__TypeProto *type, struct diags *diags,
                       struct onnx_value_file *out) {
  *out = (struct onnx_value_file){0};
  struct reader r = {.diags = diags, .where = DIAG_NOWHERE};
  r.where.file = path;
  const ProtobufCMessageDescriptor *descriptor = descriptor_of(type);
  if (!descriptor)
    return mismatch(&r, "a value of this declared type cannot be read from a file");
  status st = onnx_message_load(path, descriptor, diags, &r.holder);
  if (st)
    return st;
  out->holder = r.holder;
  st = value_make(&r, r.holder->message, &out->value);
  if (st)
    onnx_value_deinit(out);
  return st;
}

void onnx_value_deinit(struct onnx_value_file *file) {
  onnx_model_destroy(file->holder);
  *file = (struct onnx_value_file){0};
}

/* ---- Writing ---- */

struct stream_buffer {
  ProtobufCBuffer base;
  FILE *stream;
};

static void stream_append(ProtobufCBuffer *buffer, size_t size, const uint8_t *bytes) {
  if (size > 0)
    fwrite(bytes, 1, size, ((struct stream_buffer *)buffer)->stream);
}

status onnx_tensor_write(const char *path, const struct onnx_tensor *tensor, struct diags *diags) {
  ProtobufCBinaryData *strings = NULL;
  if (tensor->strings)
    strings = mem_calloc(tensor->elements, sizeof *strings);
  Onnx__TensorProto proto;
  onnx_tensor_to_proto(tensor, strings, &proto);
  struct diag_where where = DIAG_NOWHERE;
  where.file = path;
  struct file_writer w;
  status st;
  if (onnx__tensor_proto__get_packed_size(&proto) > INT_MAX) {
    st = diag_report(diags, DIAG_E0906, &where, NULL,
                     "a tensor of %" PRIu64 " B does not fit into one protobuf", tensor->bytes);
  } else {
    st = file_writer_open(path, diags, &w);
    if (st == STATUS_OK) {
      struct stream_buffer buffer = {{stream_append}, w.stream};
      onnx__tensor_proto__pack_to_buffer(&proto, &buffer.base); /* errors are found by commit */
      st = file_writer_commit(&w, diags);
    }
  }
  mem_free(strings);
  return st;
}
