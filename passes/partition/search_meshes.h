/* SPDX-License-Identifier: Apache-2.0 */
/* Problems of which the best solution of all is sought, one per mesh, on several threads. All get a
 * bound; then, two at a time, those with the lowest bounds are solved until no other's bound is
 * below the best solution. So most meshes are never solved, and what is found does not depend on
 * the number of threads. */
#ifndef SINTER_PASSES_SEARCH_MESHES_H
#define SINTER_PASSES_SEARCH_MESHES_H

#include <stdio.h>

#include "passes/partition/search_problem.h"

struct mesh_lane {
  struct search_solver *solver; /* NULL: it was too late for it */
  double bound;
  bool improved, done;
  struct search_solution solution; /* where done */
  struct arena arena;              /* of it */
};

struct mesh_race {
  void *user;
  uint32_t n, n_phases;
  uint32_t threads; /* 0: one per processor */
  struct search_clock clock;
  const struct search_problem *(*open)(void *user, uint32_t i); /* called on one thread at a time */
  FILE *progress;                                               /* NULL: none */
  /* Made by mesh_race_run: */
  struct mesh_lane *lanes;
  uint32_t
      best; /* the lane of the best solution, ties by fewer bytes, then the first; SEARCH_NONE */
};

/* The lanes live in the arena until mesh_race_deinit. */
void mesh_race_run(struct mesh_race *r, struct arena *arena);
void mesh_race_deinit(struct mesh_race *r);

#endif
