/* SPDX-License-Identifier: Apache-2.0 */
/* Passes: functions that rewrite a module in place. One pass per file; one row each in passes.def;
 * the order is passes/pipeline.c. */
#ifndef SINTER_PASSES_PASS_H
#define SINTER_PASSES_PASS_H

#include "base/diag.h"
#include "ir/graph.h"

struct precision_rules;
struct precision_report;

struct pass_context {
  struct module *module;
  struct diags *diags;
  struct arena *scratch; /* emptied after each pass */
  const char *parallel;  /* the mesh that was asked for, "tp=2,cp=2"; NULL: one rank, or free */
  const char *machine,
      *workload;         /* what to search a plan for, "h100x4"; NULL: no search; the default */
  bool throughput;       /* the search's objective; else latency */
  double search_seconds; /* the search's time; 0: its default */
  const char *roles;     /* of ports, as phases/phase_roles.h has them; NULL */
  bool gpu;              /* kernels will be a GPU's */
  const struct precision_rules *precision;   /* NULL: as the model says */
  struct precision_report *precision_report; /* gets what was done; NULL */
};

/* OK, or a status that was reported to ctx->diags. The module verifies before and after. */
typedef status (*pass_run)(struct pass_context *ctx);

#define PASS(name, on, doc) status pass_##name(struct pass_context *ctx);
#include "passes/passes.def"
#undef PASS

#endif
