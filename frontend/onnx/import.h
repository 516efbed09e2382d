/* SPDX-License-Identifier: Apache-2.0 */
/* From a loaded ONNX model to a graph module of primitives.
 *
 * The entry point `main` keeps the ONNX signature: the graph's inputs that are not initializers (an
 * initializer that is also an input is a constant here), and its outputs, by name. Dims with a
 * dim_param become symbols of that name, unnamed unknown dims fresh symbols; all are >= 0.
 * Declared shapes of outputs are labels only. Control flow becomes regions, local functions are
 * inlined, sequences and optionals dissolve.
 *
 * Every problem of the model is reported, not the first only: what a failed node defines is
 * unknown from then on, and nodes that read it are passed over in silence. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_H
#define SINTER_FRONTEND_ONNX_IMPORT_H

#include "base/diag.h"
#include "base/status.h"

struct module;
struct onnx_model;

struct onnx_import_options {
  /* What inputs look like, where the model leaves it open or the user wants less. Each is
   * "name:DxDx..." with D an integer (1), a range (1..8), a symbol's name (batch) or '?' (as the
   * model says). "name:" is a scalar. The last colon counts. An override must agree with the
   * model in rank and fixed dims. */
  const char *const *shapes;
  uint32_t n_shapes;
  /* Bounds of symbols: "batch=4" or "batch=1..8". */
  const char *const *symbols;
  uint32_t n_symbols;
};

/* Imports the model's graph. `options` may be NULL. On success the caller owns *out_module, and
 * the model must outlive it (large constants are views of its files). On failure *out_module is
 * NULL and `diags` has at least one error.
 * Errors: E0140 to E0159; E0301 for a graph that the IR's own rules refuse. */
status onnx_import(struct onnx_model *model, const struct onnx_import_options *options,
                   struct diags *diags, struct module **out_module);

#endif
