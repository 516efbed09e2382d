/* SPDX-License-Identifier: Apache-2.0 */
/* The compile driver; see compiler.h. */
#include "cli/compiler.h"

#include <stdio.h>
#include <string.h>

#include "codegen/engine_build.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/model_load.h"

status compiler_import(const struct compiler_options *o, struct diags *diags,
                       struct onnx_model **out_model, struct module **out_module) {
  struct onnx_load_options load = {.external_data_root = o->external_data_root};
  struct onnx_import_options import = {.shapes = o->shapes, .n_shapes = o->n_shapes};
  status st = onnx_model_load(o->model_path, &load, diags, out_model);
  if (st != STATUS_OK) return st;
  st = onnx_import(*out_model, &import, diags, out_module);
  if (st != STATUS_OK) onnx_model_destroy(*out_model);
  return st;
}

/* What this machine runs is named by its level, so that an engine says what it needs elsewhere. */
static status resolve_target(const char *target, struct diags *diags, struct cpu_isa *out_isa) {
  static const char *const levels[] = {"x86-64-v4", "x86-64-v3", "x86-64-v2"};
  if (target && strcmp(target, "native")) return cpu_isa_resolve(diags, target, out_isa);
  for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
    if (cpu_isa_resolve(diags, levels[i], out_isa) == STATUS_OK && cpu_isa_runs_here(out_isa)) {
      return STATUS_OK;
    }
  }
  return cpu_isa_resolve(diags, "native", out_isa);
}

static status build(const struct compiler_options *o, struct module *m, struct diags *diags) {
  struct cpu_isa isa;
  status st = resolve_target(o->target, diags, &isa);
  if (st != STATUS_OK) return st;
  struct engine_build_options build = {.isa = &isa, .threads = o->threads};
  return engine_build(m, &build, o->output_path, diags);
}

status compiler_compile(const struct compiler_options *o, struct diags *diags) {
  struct onnx_model *model;
  struct module *m;
  status st = compiler_import(o, diags, &model, &m);
  if (st != STATUS_OK) return st;
  st = pipeline_run(m, &o->pipeline, diags);
  if (st == STATUS_OK) st = build(o, m, diags);
  module_destroy(m);
  onnx_model_destroy(model);
  return st;
}
