/* SPDX-License-Identifier: Apache-2.0 */
/* The public compiler API over the driver. */
#include "sinter/compiler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "compiler/compile_driver.h"
#include "frontend/onnx/model_load.h"
#include "ir/graph.h"

/* Texts are made by open_memstream, outside of the compiler's guarded memory. */
struct sinter_diagnostics {
  struct diags list;
  char *text, *json;
};

/* ---- diagnostics ---- */

uint32_t sinter_diagnostics_count(const sinter_diagnostics *list) {
  return list ? diags_count(&list->list) : 0;
}

static const char *or_empty(const char *s) { return s ? s : ""; }

sinter_status sinter_diagnostics_get(const sinter_diagnostics *list, uint32_t index,
                                     sinter_diagnostic *out) {
  if (!list || !out || index >= diags_count(&list->list))
    return SINTER_USAGE;
  const struct diag *d = diags_get(&list->list, index);
  *out = (sinter_diagnostic){.code = diag_code_name(d->code),
                             .is_error = diag_code_status(d->code) != STATUS_OK,
                             .message = or_empty(d->message),
                             .hint = or_empty(d->hint),
                             .file = or_empty(d->where.file),
                             .node = or_empty(d->where.node),
                             .op = or_empty(d->where.op),
                             .node_index = d->where.node_index};
  return SINTER_OK;
}

const char *sinter_diagnostics_text(const sinter_diagnostics *list) {
  return list ? or_empty(list->text) : "";
}

const char *sinter_diagnostics_json(const sinter_diagnostics *list) {
  return list && list->json ? list->json : "[]";
}

void sinter_diagnostics_destroy(sinter_diagnostics *list) {
  if (!list)
    return;
  diags_deinit(&list->list);
  free(list->text);
  free(list->json);
  free(list);
}

static char *render(const struct diags *d, bool as_json) {
  char *text = NULL;
  size_t size;
  FILE *f = open_memstream(&text, &size);
  if (!f)
    return NULL;
  if (as_json) {
    struct json j;
    json_init(&j, f, false);
    diags_write_json(d, &j);
  } else {
    diags_print(d, f);
  }
  return fclose(f) == 0 ? text : NULL;
}

/* ---- calls ---- */

struct call {
  struct compiler_options options;
  struct diags *diags;
  bool check_only;
};

/* Fields that an older caller's struct does not have stay at 0. */
static void take_options(struct compiler_options *out, const char *model, const char *engine,
                         const sinter_compiler_options *given) {
  sinter_compiler_options o = {0};
  if (given)
    memcpy(&o, given, given->struct_size < sizeof o ? given->struct_size : sizeof o);
  *out = (struct compiler_options){
      .model_path = model,
      .output_path = engine,
      .target = o.target,
      .ptxas = o.ptxas,
      .shapes = o.shapes,
      .n_shapes = (uint32_t)o.n_shapes,
      .specialize = o.specialize,
      .n_specialize = (uint32_t)o.n_specialize,
      .external_data_root = o.external_data_root,
      .threads = o.threads,
      .pipeline = {.disabled = o.disabled_passes, .precision = o.precision},
      .progress = o.progress,
      .progress_user = o.progress_user};
}

static status run_call(void *context) {
  struct call *c = context;
  if (!c->check_only)
    return compiler_compile(&c->options, c->diags);
  struct onnx_model *model;
  struct module *m;
  status st = compiler_import(&c->options, c->diags, &model, &m);
  if (st != STATUS_OK)
    return st;
  module_destroy(m);
  onnx_model_destroy(model);
  return STATUS_OK;
}

static sinter_status guarded_call(struct call *c, sinter_diagnostics **out) {
  sinter_diagnostics *list = calloc(1, sizeof *list);
  if (out)
    *out = list;
  if (!list)
    return SINTER_RESOURCES;
  diags_init(&list->list);
  c->diags = &list->list;
  status st = oom_guard_run(run_call, c);
  if (st == STATUS_RESOURCES && !diags_errors(&list->list))
    diag_report(&list->list, DIAG_E0901, NULL, NULL, "the compiler ran out of memory");
  list->text = render(&list->list, false);
  list->json = render(&list->list, true);
  if (!out)
    sinter_diagnostics_destroy(list);
  return (sinter_status)st;
}

/* A caller's mistake has no diagnostics of a model. */
static bool is_sound(const char *model, const sinter_compiler_options *o,
                     sinter_diagnostics **out) {
  if (out)
    *out = NULL;
  return model && (!o || o->struct_size >= sizeof o->struct_size) &&
         (!o || o->struct_size < offsetof(sinter_compiler_options, external_data_root) ||
          o->n_shapes <= UINT32_MAX);
}

sinter_status sinter_compile(const char *model_path, const char *engine_path,
                             const sinter_compiler_options *options,
                             sinter_diagnostics **out_diagnostics) {
  struct call c = {0};
  if (!is_sound(model_path, options, out_diagnostics) || !engine_path)
    return SINTER_USAGE;
  take_options(&c.options, model_path, engine_path, options);
  return guarded_call(&c, out_diagnostics);
}

sinter_status sinter_check(const char *model_path, const sinter_compiler_options *options,
                           sinter_diagnostics **out_diagnostics) {
  struct call c = {.check_only = true};
  if (!is_sound(model_path, options, out_diagnostics))
    return SINTER_USAGE;
  take_options(&c.options, model_path, NULL, options);
  return guarded_call(&c, out_diagnostics);
}
