/* SPDX-License-Identifier: Apache-2.0 */
/* Engines for verbs. */
#include "cli/model_engine.h"

#include "base/str.h"
#include "cli/host_tensor.h"
#include "runtime/engine_format.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "a,b" of a repeated option, as the pipeline takes lists; NULL if it was not given. */
static const char *joined(struct invocation *v, enum option_id id) {
  const struct option_value *value = &v->options.values[id];
  const char *all = NULL;
  for (uint32_t i = 0; i < value->count; i++)
    all = all ? arena_printf(&v->arena, "%s,%s", all, value->texts[i]) : value->texts[i];
  return all;
}

void compiler_options_from(struct invocation *v, const char *model, struct compiler_options *out) {
  const struct options *o = &v->options;
  const char *objective = option_text(o, OPT_OBJECTIVE);
  *out = (struct compiler_options){
      .model_path = model,
      .target = option_text(o, OPT_TARGET),
      .ptxas = option_given(o, OPT_PTXAS) ? option_text(o, OPT_PTXAS) : "none",
      .external_data_root = option_text(o, OPT_EXTERNAL_DATA_ROOT),
      .shapes = o->values[OPT_SHAPE].texts,
      .n_shapes = o->values[OPT_SHAPE].count,
      .specialize = o->values[OPT_SPECIALIZE].texts,
      .n_specialize = o->values[OPT_SPECIALIZE].count,
      .threads = (uint32_t)option_number(o, OPT_THREADS, 0),
      .pipeline = {.disabled = joined(v, OPT_DISABLE),
                   .parallel = option_text(o, OPT_PARALLEL),
                   .machine = option_text(o, OPT_MACHINE),
                   .workload = option_text(o, OPT_WORKLOAD),
                   .throughput = objective && !strcmp(objective, "throughput"),
                   /* 0s: as little as there is. */
                   .search_seconds = fmax(option_real(o, OPT_SEARCH_TIME, 60), 1e-9),
                   .roles = option_text(o, OPT_ROLES),
                   .precision = joined(v, OPT_PRECISION)},
  };
}

/* By its name, so that a damaged engine is not taken for a model. */
static bool is_named_engine(const char *path) {
  size_t n = strlen(path);
  return n > 7 && !strcmp(path + n - 7, ".sinter");
}

status file_is_engine(const char *path, struct diags *d, bool *out_is) {
  char magic[8];
  struct diag_where where = DIAG_NOWHERE;
  where.file = path;
  FILE *f = fopen(path, "rb");
  if (!f)
    return diag_report(d, DIAG_E0903, &where, NULL, "cannot open: %s", strerror(errno));
  *out_is = is_named_engine(path) || (fread(magic, 1, sizeof magic, f) == sizeof magic &&
                                      !memcmp(magic, ENGINE_MAGIC, sizeof magic));
  fclose(f);
  return STATUS_OK;
}

/* m: NULL for the model that the options name. */
static status engine_from(const struct compiler_options *o, struct module *m, struct diags *d,
                          sinter_engine **out) {
  struct strbuf name = {0};
  struct compiler_options with_output = *o;
  with_output.output_path = compiler_temporary_path(&name);
  status s = m ? compiler_build(&with_output, m, d) : compiler_compile(&with_output, d);
  if (!s) {
    s = runtime_error_to_diags(sinter_engine_open(name.data, NULL, out), d);
    unlink(name.data);
  }
  strbuf_deinit(&name);
  return s;
}

status engine_from_model(const struct compiler_options *o, struct diags *d, sinter_engine **out) {
  return engine_from(o, NULL, d, out);
}

status engine_from_module(const struct compiler_options *o, struct module *m, struct diags *d,
                          sinter_engine **out) {
  return engine_from(o, m, d, out);
}

status engine_from_file(const struct options *o, const char *path, struct diags *d,
                        sinter_engine **out) {
  sinter_engine_options options = {.struct_size = sizeof options,
                                   .weights_root = option_text(o, OPT_WEIGHTS_ROOT)};
  return runtime_error_to_diags(sinter_engine_open(path, &options, out), d);
}

status engine_for_verb(struct invocation *v, const char *path, sinter_engine **out) {
  static const enum option_id of_compiler[] = {OPT_TARGET, OPT_PTXAS,     OPT_DISABLE,
                                               OPT_ROLES,  OPT_PRECISION, OPT_EXTERNAL_DATA_ROOT,
                                               OPT_COUNT};
  bool is_engine;
  status s = file_is_engine(path, &v->diags, &is_engine);
  if (s)
    return s;
  if (is_engine) {
    s = options_refuse(&v->options, of_compiler, "has no effect on a compiled engine", &v->diags);
    return s ? s : engine_from_file(&v->options, path, &v->diags, out);
  }
  struct compiler_options o;
  compiler_options_from(v, path, &o);
  return engine_from_model(&o, &v->diags, out);
}

status engine_entry(const struct options *o, const sinter_engine *e, struct diags *d,
                    uint32_t *out_entry) {
  const char *name = option_text(o, OPT_ENTRY);
  struct strbuf all = {0};
  *out_entry = 0;
  for (uint32_t i = 0; i < sinter_engine_entry_count(e); i++) {
    const char *here = sinter_engine_entry_name(e, i);
    if (!name || !strcmp(here, name)) {
      *out_entry = i;
      strbuf_deinit(&all);
      return STATUS_OK;
    }
    strbuf_printf(&all, "%s%s", i ? ", " : "the engine has ", here);
  }
  status s = diag_report(d, DIAG_E0601, NULL, all.data, "there is no entry point '%s'",
                         name ? name : "main");
  strbuf_deinit(&all);
  return s;
}
