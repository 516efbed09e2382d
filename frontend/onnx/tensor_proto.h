/* SPDX-License-Identifier: Apache-2.0 */
/* A TensorProto, wherever its data is, as one plain view; and the way back.
 *
 * Data may sit in raw_data (small: unpacked; large: left in the model's file), in one of six typed
 * lists, or in an external file. Read it only through onnx_tensor_resolve: raw_data of a large
 * tensor is empty in the tree. */
#ifndef SINTER_FRONTEND_ONNX_TENSOR_PROTO_H
#define SINTER_FRONTEND_ONNX_TENSOR_PROTO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/status.h"
#include "base/str.h"
#include "frontend/onnx/onnx.pb-c.h"

struct onnx_model;

enum onnx_type_field {
  ONNX_FIELD_NONE,
  ONNX_FIELD_FLOAT_DATA,
  ONNX_FIELD_INT32_DATA,
  ONNX_FIELD_STRING_DATA,
  ONNX_FIELD_INT64_DATA,
  ONNX_FIELD_DOUBLE_DATA,
  ONNX_FIELD_UINT64_DATA,
};

/* A row of onnx_type.def. */
struct onnx_type {
  const char *name;
  uint8_t bits;
  uint8_t field; /* enum onnx_type_field */
  uint8_t width;
};

/* NULL for codes that ONNX does not have (and for 0, undefined). */
const struct onnx_type *onnx_type_get(int32_t code);

enum onnx_source {
  ONNX_SOURCE_MEMORY,   /* unpacked, converted or from memory: nothing to point at in a file */
  ONNX_SOURCE_MODEL,    /* a range of the model's file */
  ONNX_SOURCE_EXTERNAL, /* a range of an external file */
};

/* All pointers live as long as the model. */
struct onnx_tensor {
  const char *name;
  int32_t onnx_type; /* TensorProto.DataType */
  uint32_t rank;
  const int64_t *dims; /* all >= 0; their product fits int64 */
  uint64_t elements;
  /* Little endian, row-major, sub-byte elements packed low bits first (the last byte's unused
   * bits are unspecified), bool 0 or 1. Not aligned in general. NULL if bytes is 0. */
  const void *data;
  uint64_t bytes;
  /* For STRING instead of data: `elements` strings, which may hold any bytes. */
  const struct str *strings;
  enum onnx_source source;
  const char *file; /* path of the file, unless source is MEMORY */
  uint64_t offset;  /* of `data` in that file */
};

/* Resolves and checks one dense tensor. Converted data is kept by the model, so resolving a
 * tensor again is cheap. Tensors of a loaded model have already passed all checks, so importers
 * only see failures for tensors that they made themselves.
 * Errors: E0107 (size), E0108 (malformed), E0116, E0117, E0118 (external data). */
status onnx_tensor_resolve(struct onnx_model *model, const Onnx__TensorProto *tensor,
                           struct diags *diags, struct onnx_tensor *out);

/* The same, with words for the message: `subject` as in "initializer 'w'", and where it is used. */
status onnx_tensor_resolve_at(struct onnx_model *model, const Onnx__TensorProto *tensor,
                              const char *subject, const struct diag_where *where,
                              struct diags *diags, struct onnx_tensor *out);

/* A sparse tensor as a dense one: zeros (empty strings are refused) and the given values. Its
 * name is that of its values. Errors: as above, E0119, and E0106 if the dense size is far beyond
 * what the model's size justifies. */
status onnx_sparse_resolve(struct onnx_model *model, const Onnx__SparseTensorProto *sparse,
                           const struct diag_where *where, struct diags *diags,
                           struct onnx_tensor *out);

/* "f32[32,32]" */
void onnx_tensor_describe(int32_t onnx_type, const int64_t *dims, size_t rank, struct strbuf *out);

/* Fills `out` (initialised here) with views of `tensor`'s data: raw_data for all types but
 * strings, whose ProtobufCBinaryData array the caller provides (`elements` entries, may be NULL
 * otherwise). Nothing is copied: keep `tensor` and `strings` while packing; do not free `out`. */
void onnx_tensor_to_proto(const struct onnx_tensor *tensor, ProtobufCBinaryData *strings,
                          Onnx__TensorProto *out);

#endif
