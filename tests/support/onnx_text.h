/* SPDX-License-Identifier: Apache-2.0 */
/* Small ONNX models written as text, and their run through importer and interpreter.
 *
 *     opset 18                         the default; "opset 1 com.microsoft" for another domain
 *     in x f32 [n,2]                   an input; dims are numbers, names or '?'; "*" for no shape
 *     init w i64 [2] = 1 2             an initializer
 *     y = Add(x, w)                    a node; "a, b = Split(x) {axis=1}" with attributes:
 *                                      ints, floats (with a dot), [lists], "strings",
 *                                      @references to a function's, <subgraphs>
 *     y = com.microsoft::Gelu(x)       a node of another domain
 *     out y                            an output
 *     func name (a, b) -> (c) alpha    a local function of domain "local" until "end"
 *
 * One statement a line. Bad text aborts the test program. */
#ifndef SINTER_TESTS_ONNX_TEXT_H
#define SINTER_TESTS_ONNX_TEXT_H

#include "base/arena.h"
#include "base/diag.h"
#include "ir/interp.h"

#include <stddef.h>
#include <stdint.h>

struct onnx_model;
struct module;
struct onnx_import_options;

struct onnx_run {
  struct arena arena;
  struct diags diags;
  struct onnx_model *model;
  struct module *module; /* NULL if the import failed */
  uint8_t *bytes;
};

/* The model file's bytes, in the arena. */
uint8_t *onnx_text_pack(const char *text, struct arena *arena, size_t *out_size);

/* Loads and imports; look at module and diags. */
void onnx_run_open(struct onnx_run *r, const char *text, const struct onnx_import_options *options);
void onnx_run_close(struct onnx_run *r);

/* A tensor from numbers. */
struct tensor *onnx_run_tensor(struct onnx_run *r, enum dtype dtype, const int64_t *dims,
                               uint32_t rank, const double *values);
/* Runs the entry in typed mode; the results have as many entries as the model has outputs. */
status onnx_run_call(struct onnx_run *r, struct tensor *const *inputs, struct tensor **out_results);

/* The codes of all diagnostics, as in "E0140 E0141"; in the run's arena. */
const char *onnx_run_codes(struct onnx_run *r);

#endif
