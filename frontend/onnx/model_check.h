/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of an unpacked model before any importer sees it. */
#ifndef SINTER_FRONTEND_ONNX_MODEL_CHECK_H
#define SINTER_FRONTEND_ONNX_MODEL_CHECK_H

#include "base/diag.h"

struct onnx_model;

/* Checks versions, opset imports, functions, names and tensors of all graphs and reports every
 * problem. Repairs what has one meaning only: nodes out of order are sorted (stable; W0102), and
 * attributes of old files without a type get the type of their value.
 *
 * Afterwards, if nothing was reported: every value is defined once and before its use, in
 * subgraphs too; graph inputs, initializers and operators have names; an attribute of type tensor,
 * sparse tensor, graph or type has that message; local functions are unique and do not recurse;
 * every tensor resolves.
 * Errors: E0107, E0108, E0110..E0121; W0102, W0103. */
void onnx_model_check(struct onnx_model *model, struct diags *diags);

#endif
