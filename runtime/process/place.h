/* SPDX-License-Identifier: Apache-2.0 */
/* Which rank this process is, of how many, and where they meet: as mpirun, srun or torchrun say in
 * the environment. */
#ifndef SINTER_RUNTIME_PLACE_H
#define SINTER_RUNTIME_PLACE_H

#include "base/status.h"
#include "include/sinter/runtime.h"

#include <stdbool.h>
#include <stdint.h>

#define WORLD_MOST SINTER_WORLD_MOST

struct place {
  uint32_t rank, size, local_rank;
  /* Where rank 0 listens: "host:port", "[::1]:port", or "unix:NAME", an abstract socket name that
   * only processes of one host (and network namespace) see. */
  char meeting[300];
  const char *launcher; /* "torchrun"; NULL: none is at work */
};

/*
 * Reads the environment. size 0: no launcher started this process. Of several launchers the
 * innermost counts: torchrun's variables, then Open MPI's, PMI's, Slurm's. Errors: E0710.
 */
status place_from_environment(struct place *out);

/* A meeting place of the caller's. Errors: E0710. */
status place_set_meeting(struct place *place, const char *meeting);

/* The first host of a Slurm node list, "node[03-05,7],other" being "node03". false: too long or
 * malformed. */
bool place_first_node(const char *list, char *out, uint32_t room);

#endif
