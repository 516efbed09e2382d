/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline: which passes run, in which order, and what may be asked of it. */
#ifndef SINTER_PASSES_PIPELINE_H
#define SINTER_PASSES_PIPELINE_H

#include "base/diag.h"
#include "ir/graph.h"

struct pipeline_options {
  const char *passes;      /* "a,b": these alone, in this order; NULL: the pipeline */
  const char *disabled;    /* "a,b": without these; NULL: none */
  const char *stop_after;  /* name of a pass; NULL */
  const char *print_after; /* name, or "all"; to stderr; NULL */
  const char *dump_ir_to;  /* a folder for one .sir file per pass; NULL */
  bool verify_each;        /* verify before the first and after every pass */
};

/* Runs the passes over the module. Errors: E0320 for a name that is no pass; those of the passes;
 * E0321 where a pass leaves a module that does not verify. */
status pipeline_run(struct module *m, const struct pipeline_options *options, struct diags *diags);

#endif
