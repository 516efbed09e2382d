/* SPDX-License-Identifier: Apache-2.0 */
/* What the search found, said to people and as JSON. */
#ifndef SINTER_PASSES_EXPLAIN_H
#define SINTER_PASSES_EXPLAIN_H

#include <stdio.h>

#include "base/json.h"
#include "passes/partition/search_report.h"

/* A constant of the machine made larger or smaller, and whether another mesh is best then. */
struct explain_change {
  const char *constant; /* "memory bandwidth" */
  double factor;
  bool same;        /* the winner stays */
  struct mesh mesh; /* of the winner then */
  double seconds;
};

/* Searches again with each constant of the machine at 0.7 and 1.3 of what it is. */
status explain_sensitivity(struct module *m, const struct search_request *request,
                           const struct search_result *found, struct arena *arena, struct diags *d,
                           uint32_t *out_n, struct explain_change **out);

/* detail: also the split of every group, conversions, and what the machine's figures are from. */
void explain_print(const struct search_result *found, const struct explain_change *changes,
                   uint32_t n_changes, bool detail, FILE *out);
/* The keys of an object that is open. */
void explain_json(const struct search_result *found, const struct explain_change *changes,
                  uint32_t n_changes, struct json *j);

#endif
