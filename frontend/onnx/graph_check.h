/* SPDX-License-Identifier: Apache-2.0 */
/* Names, order, attributes and tensors of one graph or function body, with all its subgraphs.
 * What holds afterwards is said in model_check.h. */
#ifndef SINTER_FRONTEND_ONNX_GRAPH_CHECK_H
#define SINTER_FRONTEND_ONNX_GRAPH_CHECK_H

#include "base/diag.h"
#include "frontend/onnx/onnx.pb-c.h"
#include "frontend/onnx/topo.h"

struct onnx_model;

void onnx_graph_check(struct onnx_model *model, Onnx__GraphProto *graph, struct diags *diags);
void onnx_function_check(struct onnx_model *model, const Onnx__FunctionProto *function,
                         struct diags *diags);

#endif
