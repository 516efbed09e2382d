/* SPDX-License-Identifier: Apache-2.0 */
/* SparseTensorProto → dense view. Indices are linear ([n]) or coordinates ([n, rank]), ascending
 * and without duplicates (onnx.proto of ONNX 1.22). */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "frontend/onnx/model_load.h"
#include "frontend/onnx/tensor_proto.h"

struct sparse {
  struct onnx_tensor values, indices;
  const int64_t *dims;
  size_t rank;
  uint64_t elements;
  const char *name;
  const struct diag_where *where;
  struct diags *diags;
};

static status bad(const struct sparse *s, const char *what) {
  return diag_report(s->diags, DIAG_E0119, s->where, NULL, "sparse tensor '%s' %s", s->name, what);
}

static int64_t index_at(const struct sparse *s, uint64_t i) {
  int64_t value; /* the data may be unaligned */
  memcpy(&value, (const uint8_t *)s->indices.data + i * 8, 8);
  return value;
}

/* The linear index of value i; false if a coordinate lies outside. */
static bool linear_index(const struct sparse *s, uint64_t i, uint64_t *out) {
  if (s->indices.rank == 1) {
    int64_t at = index_at(s, i);
    *out = (uint64_t)at;
    return at >= 0 && (uint64_t)at < s->elements;
  }
  uint64_t at = 0;
  for (size_t d = 0; d < s->rank; d++) {
    int64_t c = index_at(s, i * s->rank + d);
    if (c < 0 || c >= s->dims[d])
      return false;
    at = at * (uint64_t)s->dims[d] + (uint64_t)c; /* below s->elements */
  }
  *out = at;
  return true;
}

static status shapes_check(const struct sparse *s) {
  const struct onnx_tensor *v = &s->values, *x = &s->indices;
  if (v->rank != 1)
    return bad(s, "has values that are not a list");
  if (x->onnx_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT64)
    return bad(s, "has indices that are not i64");
  bool linear = x->rank == 1 && x->elements == v->elements;
  bool coordinates =
      x->rank == 2 && (uint64_t)x->dims[0] == v->elements && (uint64_t)x->dims[1] == s->rank;
  if (!linear && !coordinates)
    return bad(s, "has indices whose shape does not fit its values and rank");
  return STATUS_OK;
}

static void element_put(uint8_t *to, uint64_t at, const uint8_t *from, uint64_t i, unsigned bits) {
  if (bits >= 8) {
    memcpy(to + at * (bits / 8), from + i * (bits / 8), bits / 8);
    return;
  }
  unsigned per_byte = 8 / bits, mask = (1u << bits) - 1;
  unsigned value = from[i / per_byte] >> (i % per_byte * bits) & mask;
  to[at / per_byte] |= (uint8_t)(value << (at % per_byte * bits));
}

static status scatter(const struct sparse *s, unsigned bits, uint8_t *to) {
  uint64_t before = 0;
  for (uint64_t i = 0; i < s->values.elements; i++) {
    uint64_t at;
    if (!linear_index(s, i, &at))
      return bad(s, "has an index outside its shape");
    if (i > 0 && at <= before)
      return bad(s, "has indices that do not ascend");
    before = at;
    element_put(to, at, s->values.data, i, bits);
  }
  return STATUS_OK;
}

/* A sparse tensor of a few bytes can stand for exabytes; grant what the model's size justifies. */
static uint64_t dense_limit(const struct onnx_model *model) {
  return UINT64_C(256) * 1024 * 1024 + (uint64_t)model->size * 64;
}

static status dense_make(struct onnx_model *model, const struct sparse *s,
                         struct onnx_tensor *out) {
  unsigned bits = onnx_type_get(s->values.onnx_type)->bits;
  int64_t elements;
  if (bits == 0)
    return bad(s, "holds strings");
  if (s->rank > UINT16_MAX || !shape_elements(s->dims, s->rank, &elements) ||
      !shape_bytes(s->dims, s->rank, bits, &out->bytes)) {
    return bad(s, "has a negative dimension or more elements than 64 bits can count");
  }
  if (out->bytes > dense_limit(model) || model->arena.total > dense_limit(model) - out->bytes) {
    return diag_report(s->diags, DIAG_E0106, s->where, NULL,
                       "sparse tensor '%s' would take %" PRIu64
                       " B, too much for a model of this size",
                       s->name, out->bytes);
  }
  struct sparse sized = *s;
  sized.elements = (uint64_t)elements;
  status st = shapes_check(&sized);
  if (st)
    return st;
  uint8_t *to = arena_alloc(&model->arena, out->bytes);
  out->name = s->name;
  out->onnx_type = s->values.onnx_type;
  out->rank = (uint32_t)s->rank;
  out->dims = s->dims;
  out->elements = (uint64_t)elements;
  out->data = out->bytes ? to : NULL;
  return scatter(&sized, bits, to);
}

status onnx_sparse_resolve(struct onnx_model *model, const Onnx__SparseTensorProto *sparse,
                           const struct diag_where *where, struct diags *diags,
                           struct onnx_tensor *out) {
  uint64_t known;
  if (map_get(&model->resolved, (uintptr_t)sparse, &known)) {
    *out = *(const struct onnx_tensor *)(uintptr_t)known;
    return STATUS_OK;
  }
  *out = (struct onnx_tensor){0};
  struct sparse s = {.dims = sparse->dims, .rank = sparse->n_dims, .where = where, .diags = diags};
  s.name = sparse->values ? sparse->values->name : "";
  if (!sparse->values || !sparse->indices)
    return bad(&s, "lacks its values or indices");
  status st = onnx_tensor_resolve_at(model, sparse->values, "the values of a sparse tensor", where,
                                     diags, &s.values);
  if (st == STATUS_OK) {
    st = onnx_tensor_resolve_at(model, sparse->indices, "the indices of a sparse tensor", where,
                                diags, &s.indices);
  }
  if (st == STATUS_OK)
    st = dense_make(model, &s, out);
  if (st)
    return st;
  struct onnx_tensor *kept = ARENA_NEW(&model->arena, struct onnx_tensor);
  *kept = *out;
  map_put(&model->resolved, (uintptr_t)sparse, (uintptr_t)kept);
  return STATUS_OK;
}
