/* SPDX-License-Identifier: Apache-2.0 */
/* Loads an ONNX model: file → content check → wire scan → budgeted unpack → checks → tensors.
 *
 * What comes out is safe to import: within bounds, strings valid and without NUL, opsets known,
 * names defined once and before use (nodes are sorted if the file has them out of order), every
 * tensor's data located and of the right size. Operators, attributes and types are for the
 * importers to judge. All problems of one stage are reported at once. */
#ifndef SINTER_FRONTEND_ONNX_MODEL_LOAD_H
#define SINTER_FRONTEND_ONNX_MODEL_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/file.h"
#include "base/map.h"
#include "base/status.h"
#include "frontend/onnx/external_data.h"
#include "frontend/onnx/onnx.pb-c.h"
#include "frontend/onnx/proto_budget.h"
#include "frontend/onnx/tensor_proto.h"
#include "frontend/onnx/wire_scan.h"

enum {
  ONNX_IR_NEWEST = 13,      /* IR version of ONNX 1.22 */
  ONNX_OPSET_NEWEST = 27,   /* ai.onnx */
  ONNX_OPSET_ML_NEWEST = 5, /* ai.onnx.ml */
};

struct onnx_load_options {
  const char *external_data_root; /* trusted folder; NULL: the model's own folder, untrusted */
};

struct onnx_model {
  const char *path;          /* as given; "<memory>" for a model from memory */
  Onnx__ModelProto *proto;   /* the tree; large raw_data is empty in it (tensor_proto.h) */
  ProtobufCMessage *message; /* the same tree; of another type after onnx_message_load */

  /* The rest belongs to the loader and the tensor views. */
  const uint8_t *bytes; /* the file, or the caller's memory */
  size_t size;
  void *owned_bytes;         /* read from the file; NULL if mapped or the caller's */
  struct mapped_file mapped; /* empty if not mapped */
  struct wire_scan scan;
  struct proto_budget budget;
  struct external_data external;
  struct arena arena;          /* converted tensors and their views */
  struct map resolved;         /* TensorProto pointer → struct onnx_tensor in the arena */
  struct strmap known_domains; /* that need no import: of local functions, or reported already */
};

/* Loads the model at `path`. `options` may be NULL. On success the caller owns *out_model and
 * destroys it; on failure *out_model is NULL and `diags` says why (E01xx).
 * Not thread safe per model: resolving tensors writes to the model's arena. */
status onnx_model_load(const char *path, const struct onnx_load_options *options,
                       struct diags *diags, struct onnx_model **out_model);

/* The same from memory, which must outlive the model. External data is only found if the options
 * give a root. */
status onnx_model_load_memory(const void *bytes, size_t size,
                              const struct onnx_load_options *options, struct diags *diags,
                              struct onnx_model **out_model);

/* Loads a file that is one message of another type, such as a TensorProto: scanned and unpacked
 * into ->message, with no checks of content; ->proto is NULL. An empty file is an empty message. */
status onnx_message_load(const char *path, const ProtobufCMessageDescriptor *type,
                         struct diags *diags, struct onnx_model **out_model);

void onnx_model_destroy(struct onnx_model *model); /* NULL is allowed */

/* The version of `domain` that the model imports; "" and "ai.onnx" are the same. 0 if none. */
int64_t onnx_model_opset(const struct onnx_model *model, const char *domain);

#endif
