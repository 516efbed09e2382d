/* SPDX-License-Identifier: Apache-2.0 */
/* What a search found, kept for people: see explain.h, which prints it. */
#ifndef SINTER_PASSES_SEARCH_REPORT_H
#define SINTER_PASSES_SEARCH_REPORT_H

#include "passes/partition/search.h"
#include "passes/partition/space.h"

/* Where the time of one run goes, in seconds. Of a kernel the larger of compute and memory counts.
 */
struct report_time {
  double compute, memory, launch, communication;
  double bytes; /* that each rank receives */
};

struct report_split {
  const char *op, *node; /* of the representative; node may be NULL */
  const char *words;     /* "n over tp=8", "whole" */
  struct report_time time;
};

/* A value that is converted. */
struct report_conversion {
  const char *value, *words; /* "{-, -} partial(sum, tp) -> {-, tp}" */
  double seconds, bytes;
};

/* Equal blocks with equal choices. */
struct report_block {
  uint32_t repeats;
  uint32_t n_splits, n_conversions;
  const struct report_split *splits;
  const struct report_conversion *conversions;
  struct report_time time; /* of one */
};

struct report_phase {
  const char *name;
  double weight;
  uint32_t n_blocks;
  const struct report_block *blocks;
  struct report_time time; /* of a run */
};

struct search_report {
  const struct machine *machine;
  const char *workload;
  uint32_t n_phases;
  const struct report_phase *phases;
  double bytes, limit; /* weights and states per device; what there is room for */
};

/* Fills in out->report; out->mesh has the axes' names. */
void report_create(const struct search_request *request, const struct space *spaces,
                   const struct space_tables *tables, const struct search_solution *solution,
                   const double *scales, const struct mesh *mesh, struct arena *arena,
                   struct search_result *out);

#endif
