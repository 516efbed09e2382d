/* SPDX-License-Identifier: Apache-2.0 */
/* sinter plan: how a model would be split over a machine's devices, and why. Nothing is compiled.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli/model_engine.h"
#include "frontend/onnx/model_load.h"
#include "passes/partition/annotations.h"
#include "passes/partition/explain.h"
#include "passes/partition/prepare_sharding.h"
#include "passes/partition/spread_experts.h"

/* The graph as the search sees it: recognised, and not fused yet. */
static status prepare(struct invocation *v, struct compiler_options *o, struct module *m) {
  o->pipeline.stop_after = "precision";
  o->pipeline.machine = NULL;  /* planning is this verb's own */
  o->pipeline.parallel = NULL; /* it constrains the search, and is no order to split now */
  status st = pipeline_run(m, &o->pipeline, &v->diags);
  if (option_given(&v->options, OPT_PARALLEL))
    annotations_drop(m, &v->diags);
  bool experts = parallel_has_experts(option_text(&v->options, OPT_PARALLEL));
  for (uint32_t i = 0; i < m->functions.len && st == STATUS_OK; i++) {
    st = experts ? spread_experts(m->functions.data[i], &v->diags) : st;
    if (st == STATUS_OK)
      st = prepare_sharding(m->functions.data[i], &v->diags);
  }
  return st;
}

static status plan(struct invocation *v, struct module *m) {
  const struct options *o = &v->options;
  struct machine machine;
  struct workload workload;
  struct search_result found;
  struct explain_change *changes = NULL;
  uint32_t n_changes = 0;
  const char *name = option_text(o, OPT_MACHINE), *objective = option_text(o, OPT_OBJECTIVE);
  status st = machine_find(name ? name : "cpux4", &v->arena, &v->diags, &machine);
  status read = workload_parse(m, option_text(o, OPT_WORKLOAD), &v->arena, &v->diags, &workload);
  if (st != STATUS_OK || read != STATUS_OK)
    return st != STATUS_OK ? st : read;
  struct search_request request = {
      .machine = &machine,
      .workload = &workload,
      .parallel = option_text(o, OPT_PARALLEL),
      .objective =
          objective && !strcmp(objective, "throughput") ? SEARCH_THROUGHPUT : SEARCH_LATENCY,
      .progress = isatty(STDERR_FILENO) ? stderr : NULL,
      .seconds = fmax(option_real(o, OPT_SEARCH_TIME, 60), 1e-9),
  };
  bool explain = option_given(o, OPT_EXPLAIN);
  st = search_plan(m, &request, &v->arena, &v->diags, &found);
  if (st == STATUS_OK && explain)
    st = explain_sensitivity(m, &request, &found, &v->arena, &v->diags, &n_changes, &changes);
  if (st != STATUS_OK)
    return st;
  if (v->as_json)
    explain_json(&found, changes, n_changes, &v->json);
  else
    explain_print(&found, changes, n_changes, explain, stdout);
  return STATUS_OK;
}

status verb_plan(struct invocation *v) {
  struct compiler_options o;
  struct onnx_model *model;
  struct module *m;
  compiler_options_from(v, v->options.arguments[0], &o);
  status st = compiler_import(&o, &v->diags, &model, &m);
  if (st != STATUS_OK)
    return st;
  st = prepare(v, &o, m);
  if (st == STATUS_OK)
    st = plan(v, m);
  module_destroy(m);
  onnx_model_destroy(model);
  return st;
}
