/* SPDX-License-Identifier: Apache-2.0 */
/* Values in files, as ONNX's backend tests keep them: input_0.pb and the like hold a TensorProto,
 * SequenceProto, OptionalProto or MapProto. The file does not say which: the declared type of the
 * graph's input or output does. */
#ifndef SINTER_FRONTEND_ONNX_ONNX_VALUE_H
#define SINTER_FRONTEND_ONNX_ONNX_VALUE_H

#include "base/diag.h"
#include "base/status.h"
#include "frontend/onnx/tensor_proto.h"

enum onnx_value_kind {
  ONNX_VALUE_NONE, /* an empty optional */
  ONNX_VALUE_TENSOR,
  ONNX_VALUE_SEQUENCE, /* items are its elements */
  ONNX_VALUE_MAP,      /* `tensor` holds the keys (a list of i64 or strings), items the values */
};

/* A full optional is the value in it. A sparse tensor is given as a dense one. */
struct onnx_value {
  enum onnx_value_kind kind;
  struct onnx_tensor tensor;
  struct onnx_value *items;
  uint32_t n_items;
};

/* A value and the memory that it lives in. */
struct onnx_value_file {
  struct onnx_value value;
  struct onnx_model *holder; /* owns everything `value` points to */
};

/* Reads `path` as a value of `type`; NULL means a tensor. Element types and shapes inside are
 * those of the file, not held against `type`. The caller deinits *out.
 * Errors: as onnx_model_load; E0122 if the file holds another kind of value. */
status onnx_value_read(const char *path, const Onnx__TypeProto *type, struct diags *diags,
                       struct onnx_value_file *out);
void onnx_value_deinit(struct onnx_value_file *file);

/* Writes a tensor as a TensorProto file, atomically. E0905, E0906 (over 2 GiB). */
status onnx_tensor_write(const char *path, const struct onnx_tensor *tensor, struct diags *diags);

#endif
