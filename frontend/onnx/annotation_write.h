/* SPDX-License-Identifier: Apache-2.0 */
/* A model again, with how its nodes are split as sharding annotations (IR 11). */
#ifndef SINTER_FRONTEND_ONNX_ANNOTATION_WRITE_H
#define SINTER_FRONTEND_ONNX_ANNOTATION_WRITE_H

#include <stdio.h>

#include "frontend/onnx/model_load.h"
#include "ir/graph.h"

/* Writes the model's bytes with the annotations that its module's node_tensors have, in place of
 * those that it had. Everything else stays byte for byte; external data is referred to as before,
 * so the file belongs into the model's folder. The configuration is named by its mesh, which
 * annotation_read.c takes it from. Tensors dealt zigzag, which a spec cannot say, are left out with
 * a warning (W0341). Errors: E0104 for more than 2 GiB, E0347 where nothing is annotated. */
status onnx_write_annotated(const struct onnx_model *model, const struct module *m,
                            struct diags *diags, FILE *out);

#endif
