/* SPDX-License-Identifier: Apache-2.0 */
/* The workload: what a plan is to be good at. Phases (runs of one function at given sizes) with
 * weights:
 *
 *     prefill:batch=1,sequence=2048;decode:batch=8,past=32768,weight=256
 *
 * A phase is named for the function that it runs; where the module has no function of that name it
 * runs `main` (and `decode` then has sequence=1 unless that is said). A key is a symbol of the
 * function's dims, or the beginning of one (`past` for past_sequence_length) if only one begins so;
 * a symbol that follows from others (total = past + sequence) may be left out. */
#ifndef SINTER_PASSES_WORKLOAD_H
#define SINTER_PASSES_WORKLOAD_H

#include "base/diag.h"
#include "ir/graph.h"

#define WORKLOAD_MAX_PHASES 4

struct workload_phase {
  const char *name;
  const struct function *function;
  double weight;          /* runs of this phase per run of the others; > 0 */
  const int64_t *symbols; /* a value for every symbol of the module's dim table */
  const bool *given;      /* whether the workload names it; else it follows from bounds */
};

struct workload {
  uint32_t n_phases;
  struct workload_phase phases[WORKLOAD_MAX_PHASES];
};

/* Reads the text; NULL: one phase for each of prefill and decode that the module has, else `main`,
 * with symbols from their bounds (the upper one where it is at most 4096, else the usual size of
 * their kind). Arrays live in the arena. Every problem is reported: E0340. */
status workload_parse(const struct module *m, const char *text, struct arena *arena,
                      struct diags *d, struct workload *out);
/* The phase of a function that no workload names: with symbols from their bounds. */
void workload_of_function(const struct module *m, const struct function *f, struct arena *arena,
                          struct workload_phase *out);
/* The text form with every symbol that the function's dims use, as reports and engines keep it. */
void workload_print(const struct module *m, const struct workload *w, struct strbuf *out);

#endif
