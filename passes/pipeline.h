/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline: which passes run, in which order, and what may be asked of it.
 *
 * SINTER_LOG=pass:1 tells the time of each pass and the ops before and after it. */
#ifndef SINTER_PASSES_PIPELINE_H
#define SINTER_PASSES_PIPELINE_H

#include "base/diag.h"
#include "ir/graph.h"

struct precision_report;

struct pipeline_options {
  const char *passes;      /* "a,b": these alone, in this order; NULL: the pipeline */
  const char *disabled;    /* "a,b": without these; NULL: none */
  const char *stop_after;  /* name of a pass: the pipeline ends after its first run; NULL */
  const char *print_after; /* "a,b", or "all"; to stderr; NULL */
  const char
      *dump_ir_to;      /* a folder (made if it is not there) for NN-pass.sir, one per pass; NULL */
  const char *parallel; /* "tp=2,cp=2": for so many ranks, split so; NULL: for one */
  const char *machine;  /* "h100x4": for its devices, split as the search finds within `parallel` */
  const char *workload; /* what the search plans for; NULL: from the bounds of dims */
  bool throughput;      /* what the search makes least: time per batch row; else time */
  double search_seconds; /* how long it may take; 0: the default of passes/partition/search.h */
  const char *roles;     /* what derive_phases is told of ports (phases/phase_roles.h); NULL */
  bool gpu;              /* the target is a GPU */
  const char *precision; /* "bf16,PATTERN=f32" (precision/precision_rules.h); NULL: none */
  struct precision_report *precision_report; /* gets what became of it; NULL */
  bool verify_each;                          /* verify before the first and after every pass */
};

/* Runs the passes over the module. Errors: E0320 for a name that is no pass; those of the passes;
 * E0360 for a precision that cannot be; E0321 where a pass leaves a module that does not verify;
 * E0905 where a dump cannot be written. */
status pipeline_run(struct module *m, const struct pipeline_options *options, struct diags *diags);

/* The rows of passes.def. */
struct pass_info {
  const char *name, *doc;
  bool on; /* in the pipeline unless disabled */
};
uint32_t pipeline_pass_count(void);
const struct pass_info *pipeline_pass(uint32_t i);

#endif
