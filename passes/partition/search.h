/* SPDX-License-Identifier: Apache-2.0 */
/* The search: how to split a module over the devices of a machine (DESIGN: The search).
 *
 * It picks a mesh (every way to write the number of devices as a product of up to three axes) and,
 * per op, which axes split which factor, so that the workload's weighted time is least and weights
 * and states fit in memory. The result is exact: the minimum of the modelled cost over the space
 * that the report prints; where a part of the space had to be cut, `gap` says by how much the
 * optimum might be better. It does not depend on the number of threads, nor on the time that it
 * takes unless that runs out.
 *
 * Call it on a module before it is fused: functions of primitives, without shardings. */
#ifndef SINTER_PASSES_SEARCH_H
#define SINTER_PASSES_SEARCH_H

#include <stdio.h>

#include "passes/partition/assignment.h"
#include "passes/partition/machine_model.h"
#include "passes/partition/workload.h"

enum search_objective {
  SEARCH_LATENCY,   /* the sum over phases of weight x time of one run */
  SEARCH_THROUGHPUT /* the same per batch row: phases with more rows count less each */
};

struct search_request {
  const struct machine *machine;
  const struct workload *workload;
  /* "tp=2,cache=2": the mesh, the outer axis first, and what its axes may split: dp batch rows, cp
   * query positions, cache key positions, ep experts, tp everything else; other names anything.
   * Every axis must be used by some op. NULL: free. */
  const char *parallel;
  enum search_objective objective;
  uint32_t threads; /* 0: one per processor */
  /* After this time the best plan so far is taken, with W0340; where there is none yet, one of few
   * choices is. Meshes that were not looked at count in the gap by their bounds. 0: no limit. */
  double seconds;
  /* What functions that were planned before have; the mesh is theirs. */
  const struct kept_layouts *kept; /* NULL: free */
  FILE *progress;                  /* a terminal, told how far it is; NULL: none */
};

enum search_state {
  CANDIDATE_SOLVED,
  CANDIDATE_WORSE,    /* left when its bound was no better than another's plan, or out of time */
  CANDIDATE_TOO_LARGE /* for the memory */
};

/* What one mesh gives at best. */
struct search_candidate {
  struct mesh mesh;
  enum search_state state;
  double seconds; /* the objective; where the state is WORSE, the bound */
  double bound;   /* no plan of this mesh is better; seconds - bound is the gap */
  double phase_seconds[WORKLOAD_MAX_PHASES];
  /* Weights and states per device; where they do not fit the least there could be. */
  uint64_t bytes;
  double space_size; /* log10 of the number of plans */
};

struct search_result {
  struct mesh mesh;
  uint32_t mesh_id; /* of the module */
  /* One per phase of the workload, for its function. */
  struct assignment assignments[WORKLOAD_MAX_PHASES];
  struct kept_layouts layouts; /* for functions that follow */
  struct search_candidate winner;
  double gap;
  uint32_t n_candidates; /* all meshes, the best first */
  const struct search_candidate *candidates;
  struct search_report *report; /* what passes/partition/explain.h prints from */
};

/* Everything in the result lives in the arena; the mesh and shardings are added to the module.
 * Errors: E0343 (--parallel is malformed), E0344 (an axis that no op can use, with the reason),
 * E0345 (nothing fits in memory: what is needed and what there is). */
status search_plan(struct module *m, const struct search_request *request, struct arena *arena,
                   struct diags *d, struct search_result *out);

#endif
