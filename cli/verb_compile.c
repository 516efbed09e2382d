/* SPDX-License-Identifier: Apache-2.0 */
/* sinter compile: a model to an engine, or to the text of a stage on the way. */
#include "cli/model_engine.h"

#include "base/clock.h"
#include "passes/precision/precision_report.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* "a/model.onnx" to "a/model.sinter" */
static const char *usual_output(struct invocation *v, const char *model) {
  size_t n = strlen(model);
  const char *slash = strrchr(model, '/'), *dot = strrchr(model, '.');
  if (dot && (!slash || dot > slash))
    n = (size_t)(dot - model);
  return arena_printf(&v->arena, "%.*s.sinter", (int)n, model);
}

static int draw_progress(void *user, const char *phase, uint32_t done, uint32_t total) {
  (void)user;
  fprintf(stderr, "\r\033[K[%u/%u] %s", done, total, phase);
  fflush(stderr);
  return 0;
}

static void options_of_compile(struct invocation *v, struct compiler_options *out) {
  const struct options *o = &v->options;
  compiler_options_from(v, o->arguments[0], out);
  out->ptxas = option_text(o, OPT_PTXAS); /* an engine that is kept has what can be had */
  out->emit = option_text(o, OPT_EMIT);
  out->output_path = option_text(o, OPT_COMPILE_OUTPUT);
  if (!out->output_path && !out->emit)
    out->output_path = usual_output(v, out->model_path);
  const char *form = option_text(o, OPT_WEIGHTS_FORM);
  out->by_reference = form && !strcmp(form, "by-reference");
  out->pipeline.passes = option_text(o, OPT_PASSES);
  out->pipeline.stop_after = option_text(o, OPT_STOP_AFTER);
  out->pipeline.print_after = option_text(o, OPT_PRINT_AFTER);
  out->pipeline.dump_ir_to = option_text(o, OPT_DUMP_IR_TO);
  out->pipeline.verify_each = option_given(o, OPT_VERIFY_EACH);
}

static status check_options(struct invocation *v, const struct compiler_options *o) {
  if (o->emit && !o->output_path && v->as_json)
    return diag_report(&v->diags, DIAG_E0803, NULL, "write the text to a file with --output",
                       "--emit and --json would both print to standard output");
  if (o->pipeline.stop_after && !o->emit)
    return diag_report(&v->diags, DIAG_E0803, NULL, "--emit graph prints what it stopped with",
                       "--stop-after leaves nothing that an engine could be made of");
  return STATUS_OK;
}

/* What was asked for, or what --explain asks. */
static void report_precision(struct invocation *v, const struct compiler_options *o) {
  const struct precision_report *r = o->pipeline.precision_report;
  if (v->as_json) {
    json_key(&v->json, "precision");
    precision_report_json(r, &v->json);
    return;
  }
  if (option_given(&v->options, OPT_EXPLAIN_COMPILE))
    precision_report_rows(r, stderr);
  if (!option_given(&v->options, OPT_QUIET))
    precision_report_summary(r, stderr);
}

static void report(struct invocation *v, const struct compiler_options *o, double seconds) {
  struct stat st;
  uint64_t bytes = o->output_path && !stat(o->output_path, &st) ? (uint64_t)st.st_size : 0;
  if (v->as_json) {
    json_key(&v->json, "model"), json_string(&v->json, o->model_path);
    json_key(&v->json, "output"), json_string(&v->json, o->output_path);
    json_key(&v->json, "bytes"), json_u64(&v->json, bytes);
    json_key(&v->json, "seconds"), json_f64(&v->json, seconds);
  } else if (!o->emit && !option_given(&v->options, OPT_QUIET)) {
    fprintf(stderr, "%s: %.2f MiB in %.2f s\n", o->output_path, (double)bytes / 0x1p20, seconds);
  }
}

status verb_compile(struct invocation *v) {
  struct compiler_options o;
  options_of_compile(v, &o);
  status s = check_options(v, &o);
  if (s)
    return s;
  struct precision_report precision = {0};
  if (!o.pipeline.precision && option_given(&v->options, OPT_EXPLAIN_COMPILE))
    o.pipeline.precision = "f32";
  o.pipeline.precision_report = o.pipeline.precision ? &precision : NULL;
  double begin = clock_now_s();
  bool draw = stderr_is_terminal() && !option_given(&v->options, OPT_QUIET);
  o.progress = draw ? draw_progress : NULL;
  s = compiler_compile(&o, &v->diags);
  if (draw)
    fprintf(stderr, "\r\033[K");
  if (!s && o.pipeline.precision)
    report_precision(v, &o);
  if (!s)
    report(v, &o, clock_now_s() - begin);
  precision_report_deinit(&precision);
  return s;
}
