/* SPDX-License-Identifier: Apache-2.0 */
/* The compile driver; see compile_driver.h. */
#include "compiler/compile_driver.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "codegen/engine_build.h"
#include "codegen/nvptx/ptxas.h"
#include "compiler/emit_plan.h"
#include "compiler/weight_reference.h"
#include "frontend/onnx/annotation_write.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/model_load.h"
#include "ir/module_sizes.h"
#include "ir/text.h"
#include "passes/entry_variant.h"

static bool is_text_ir(const char *path) {
  size_t n = strlen(path);
  return n > 4 && !strcmp(path + n - 4, ".sir");
}

enum phase { PHASE_IMPORT, PHASE_PASSES, PHASE_KERNELS, PHASES };

static status begin_phase(const struct compiler_options *o, enum phase phase, struct diags *diags) {
  static const char *const names[PHASES] = {"import", "passes", "kernels"};
  if (!o->progress || !o->progress(o->progress_user, names[phase], phase, PHASES))
    return STATUS_OK;
  return diag_report(diags, DIAG_E0806, NULL, NULL, "the compilation was stopped");
}

static status import_text(const char *path, struct diags *diags, struct module **out_module) {
  status st = module_parse_file(path, diags, out_module);
  if (st != STATUS_OK)
    return st;
  st = module_check_sizes(*out_module, diags);
  if (st == STATUS_OK)
    return st;
  module_destroy(*out_module);
  *out_module = NULL;
  return st;
}

status compiler_import(const struct compiler_options *o, struct diags *diags,
                       struct onnx_model **out_model, struct module **out_module) {
  *out_model = NULL;
  status st = begin_phase(o, PHASE_IMPORT, diags);
  if (st != STATUS_OK)
    return st;
  if (is_text_ir(o->model_path))
    return import_text(o->model_path, diags, out_module);
  struct onnx_load_options load = {.external_data_root = o->external_data_root};
  struct onnx_import_options import = {.shapes = o->shapes, .n_shapes = o->n_shapes};
  st = onnx_model_load(o->model_path, &load, diags, out_model);
  if (st != STATUS_OK)
    return st;
  st = onnx_import(*out_model, &import, diags, out_module);
  if (st != STATUS_OK)
    onnx_model_destroy(*out_model);
  return st;
}

/* What this machine runs is named by its level, so that an engine says what it needs elsewhere. */
static status resolve_target(const char *target, struct diags *diags, struct target_isa *out_isa) {
  static const char *const levels[] = {"x86-64-v4", "x86-64-v3", "x86-64-v2"};
  if (target && strcmp(target, "native"))
    return target_isa_resolve(diags, target, out_isa);
  for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
    if (target_isa_resolve(diags, levels[i], out_isa) == STATUS_OK &&
        target_isa_runs_here(out_isa)) {
      return STATUS_OK;
    }
  }
  return target_isa_resolve(diags, "native", out_isa);
}

static status refuse_targets(struct diags *diags, const char *targets, const char *why) {
  return diag_report(
      diags, DIAG_E0403, NULL,
      "several targets are levels of x86-64, as in x86-64-v3,x86-64-v4, or GPUs, as in "
      "sm_80,sm_90",
      "cannot compile for '%s': %s", targets, why);
}

/* "a,b" to at most TARGETS_MAX targets, the least demanding first. */
static status resolve_targets(const char *targets, struct diags *diags, struct target_isa *out_isas,
                              uint32_t *out_n) {
  struct str rest = str_from_c(targets ? targets : "native");
  uint32_t n = 0;
  do {
    struct str one = str_split(&rest, ',');
    char name[32];
    if (n == TARGETS_MAX || one.len >= sizeof name)
      return refuse_targets(diags, targets, "that is too much");
    snprintf(name, sizeof name, "%.*s", STR_ARG(one));
    struct target_isa isa;
    status st = resolve_target(name, diags, &isa);
    if (st != STATUS_OK)
      return st;
    if (n && isa.kind != out_isas[0].kind)
      return refuse_targets(diags, targets, "an engine is for processors or for GPUs");
    uint32_t at = n;
    while (at && strcmp(out_isas[at - 1].name, isa.name) > 0)
      at--;
    if (at && !strcmp(out_isas[at - 1].name, isa.name))
      return refuse_targets(diags, targets, "a target is there twice");
    memmove(out_isas + at + 1, out_isas + at, (n - at) * sizeof *out_isas);
    out_isas[at] = isa;
    n++;
  } while (rest.len);
  *out_n = n;
  return STATUS_OK;
}

/* To the output, or to standard output. */
static status write_text(const struct compiler_options *o, const char *text, struct diags *diags) {
  struct file_writer w;
  if (!o->output_path) {
    fputs(text, stdout);
    return STATUS_OK;
  }
  status st = file_writer_open(o->output_path, diags, &w);
  if (st != STATUS_OK)
    return st;
  fputs(text, w.stream);
  return file_writer_commit(&w, diags);
}

static status emit_graph(const struct compiler_options *o, const struct module *m,
                         struct diags *diags) {
  struct strbuf text = {0};
  module_print(m, &text);
  status st = write_text(o, strbuf_c(&text), diags);
  strbuf_deinit(&text);
  return st;
}

static status emit_code(const struct compiler_options *o, const struct engine_build_options *build,
                        enum assemble_emit emit, struct module *m, struct diags *diags) {
  struct arena arena = {0};
  const char *text = NULL;
  status st = engine_build_text(m, build, emit, &arena, diags, &text);
  if (st == STATUS_OK)
    st = write_text(o, text, diags);
  arena_deinit(&arena);
  return st;
}

const char *compiler_temporary_path(struct strbuf *out) {
  static atomic_uint number;
  const char *folder = getenv("TMPDIR");
  strbuf_printf(out, "%s/sinter-%ld-%u.engine", folder && *folder ? folder : "/tmp", (long)getpid(),
                atomic_fetch_add(&number, 1));
  return out->data;
}

/* Of an engine that was just made, so that its loader has nothing to complain of. */
static status emit_plan_of(const struct compiler_options *o, const char *engine,
                           struct diags *diags) {
  char *text = NULL;
  size_t size;
  FILE *f = open_memstream(&text, &size);
  bool costs = !strcmp(o->emit, "costs");
  status st = !f      ? STATUS_RESOURCES
              : costs ? emit_plan_costs(engine, f)
                      : emit_plan_text(engine, f);
  if (f)
    fclose(f);
  if (st != STATUS_OK)
    st = diag_report(diags, DIAG_E0902, NULL, NULL, "the plan of the new engine cannot be read");
  else
    st = write_text(o, text, diags);
  free(text);
  return st;
}

static status emit_plan(const struct compiler_options *o, const struct engine_build_options *build,
                        struct module *m, struct diags *diags) {
  struct strbuf path = {0};
  struct engine_build_options look = *build;
  look.no_weights = true;
  status st = engine_build(m, &look, compiler_temporary_path(&path), diags);
  if (st == STATUS_OK) {
    st = emit_plan_of(o, path.data, diags);
    unlink(path.data);
  }
  strbuf_deinit(&path);
  return st;
}

static status emit(const struct compiler_options *o, const struct engine_build_options *build,
                   struct module *m, struct diags *diags) {
  if (!strcmp(o->emit, "llvm"))
    return emit_code(o, build, ASSEMBLE_LLVM, m, diags);
  if (!strcmp(o->emit, "asm"))
    return emit_code(o, build, ASSEMBLE_ASM, m, diags);
  if (!strcmp(o->emit, "plan") || !strcmp(o->emit, "costs"))
    return emit_plan(o, build, m, diags);
  return diag_report(diags, DIAG_E0802, NULL, "graph, plan, costs, llvm, asm or onnx",
                     "there is no stage '%s'", o->emit);
}

/* None where no target is a GPU, or where it is too old for one of them: what was asked for by its
 * path must be able to. */
static status find_ptxas(const struct compiler_options *o, const struct target_isa *isas,
                         uint32_t n, struct diags *diags, struct ptxas *out) {
  *out = (struct ptxas){0};
  if (isas[0].kind != TARGET_NVPTX)
    return STATUS_OK;
  status st = ptxas_find(diags, o->ptxas, out);
  for (uint32_t i = 0; i < n && st == STATUS_OK && out->path[0]; i++) {
    if (ptxas_knows(out, &isas[i]))
      continue;
    if (o->ptxas)
      return diag_report(diags, DIAG_E0413, NULL, "a newer one, or --ptxas none",
                         "'%s' makes no code for %s", o->ptxas, isas[i].name);
    diag_report(diags, DIAG_W0413, NULL, NULL, "%s makes no code for %s: the engine has PTX only",
                out->path, isas[i].name);
    *out = (struct ptxas){0};
  }
  return st;
}

bool compiler_ptxas(char *out, size_t n) {
  struct ptxas found;
  ptxas_find(NULL, NULL, &found);
  snprintf(out, n, "%s, %s", found.version, found.path);
  return found.path[0] != '\0';
}

status compiler_build(const struct compiler_options *o, struct module *m, struct diags *diags) {
  struct target_isa isas[TARGETS_MAX + 1];
  uint32_t n_isas;
  status st = begin_phase(o, PHASE_PASSES, diags);
  if (st != STATUS_OK)
    return st;
  if (o->by_reference)
    st = weights_by_reference(m, o->model_path, o->external_data_root, diags);
  if (st == STATUS_OK)
    st = entry_specialize(m, o->specialize, o->n_specialize, diags);
  if (st != STATUS_OK)
    return st;
  st = resolve_targets(o->target, diags, isas, &n_isas);
  if (st != STATUS_OK)
    return st;
  struct pipeline_options passes = o->pipeline;
  passes.gpu = isas[0].kind == TARGET_NVPTX;
  st = pipeline_run(m, &passes, diags);
  if (st == STATUS_OK && o->emit && !strcmp(o->emit, "graph"))
    return emit_graph(o, m, diags);
  if (st == STATUS_OK)
    st = begin_phase(o, PHASE_KERNELS, diags);
  if (st != STATUS_OK)
    return st;
  if (!m->entries.len)
    return diag_report(diags, DIAG_E0308, NULL, NULL, "the module has no entry point");
  struct engine_build_options build = {.isa = isas, .n_isas = n_isas, .threads = o->threads};
  if (o->emit)
    return emit(o, &build, m, diags);
  struct ptxas ptxas;
  st = find_ptxas(o, isas, n_isas, diags, &ptxas);
  build.ptxas = ptxas.path[0] ? &ptxas : NULL;
  return st != STATUS_OK ? st : engine_build(m, &build, o->output_path, diags);
}

/* The model itself, annotated with how it is split. */
static status emit_model(const struct compiler_options *o, const struct onnx_model *model,
                         struct module *m, struct diags *diags) {
  struct pipeline_options passes = o->pipeline;
  struct file_writer w;
  passes.stop_after = "partition";
  if (!model)
    return diag_report(diags, DIAG_E0803, NULL, NULL, "'%s' is no ONNX model to write again",
                       o->model_path);
  status st = pipeline_run(m, &passes, diags);
  if (st != STATUS_OK || !o->output_path)
    return st != STATUS_OK ? st : onnx_write_annotated(model, m, diags, stdout);
  st = file_writer_open(o->output_path, diags, &w);
  if (st != STATUS_OK)
    return st;
  st = onnx_write_annotated(model, m, diags, w.stream);
  if (st == STATUS_OK)
    return file_writer_commit(&w, diags);
  file_writer_abort(&w);
  return st;
}

status compiler_compile(const struct compiler_options *o, struct diags *diags) {
  struct onnx_model *model;
  struct module *m;
  status st = compiler_import(o, diags, &model, &m);
  if (st != STATUS_OK)
    return st;
  st = o->emit && !strcmp(o->emit, "onnx") ? emit_model(o, model, m, diags)
                                           : compiler_build(o, m, diags);
  module_destroy(m);
  onnx_model_destroy(model);
  return st;
}
