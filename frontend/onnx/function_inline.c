/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the model's local functions are replaced by their bodies. Attributes that a body takes
 * from its caller (ref_attr_name) are looked up when a node of the body asks for them. */
#include "frontend/onnx/import_internal.h"

#include <string.h>

static bool is_active(const struct import_frame *frame, const Onnx__FunctionProto *function) {
  for (; frame; frame = frame->caller)
    if (frame->function == function)
      return true;
  return false;
}

static bool check_call(struct import_node *n, const Onnx__FunctionProto *function) {
  if (is_active(n->scope->frame, function)) {
    import_fail(n, DIAG_E0120, "function '%s' calls itself", function->name);
    return false;
  }
  if (n->im->depth >= IMPORT_MAX_DEPTH) {
    import_fail(n, DIAG_E0149, "functions are nested more than %d deep", IMPORT_MAX_DEPTH);
    return false;
  }
  if (n->n_inputs > function->n_input || n->n_outputs > function->n_output) {
    import_fail(n, DIAG_E0144, "function '%s' has %zu inputs and %zu outputs, the call %u and %u",
                function->name, function->n_input, function->n_output, n->n_inputs, n->n_outputs);
    return false;
  }
  return true;
}

void import_call_function(struct import_node *n, const Onnx__FunctionProto *function) {
  if (!check_call(n, function))
    return;
  struct importer *im = n->im;
  struct import_frame frame = {.caller = n->scope->frame, .function = function, .call = n};
  struct import_scope scope;
  import_scope_init(&scope, NULL, &frame, n->b->region);
  for (uint32_t i = 0; i < function->n_input; i++)
    import_scope_define(im, &scope, function->input[i],
                        i < n->n_inputs ? n->inputs[i] : import_value_new(im, IMPORT_ABSENT));
  im->depth++;
  bool sound = import_nodes(im, &scope, function->node, function->n_node);
  im->depth--;
  for (uint32_t i = 0; sound && i < n->n_outputs; i++) {
    struct import_value *v = import_scope_find(&scope, function->output[i]);
    if (!v)
      import_fail(n, DIAG_E0114, "output '%s' of function '%s' is not defined", function->output[i],
                  function->name);
    else if (v->kind == IMPORT_BROKEN)
      n->failed |= import_wants(n, i);
    else
      import_out_value(n, i, v);
  }
  n->failed |= !sound;
  import_scope_deinit(&scope);
}
