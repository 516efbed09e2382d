/* SPDX-License-Identifier: Apache-2.0 */
/* The threads of a session with several ranks. */
#ifndef SINTER_RUNTIME_RANK_TEAM_H
#define SINTER_RUNTIME_RANK_TEAM_H

#include "runtime/rank.h"

struct rank_team;

/* A thread for every rank but the first, which runs on its caller's. The ranks must outlive the
 * team. Errors: E0615, E0702. */
status rank_team_create(struct rank *ranks, uint32_t n, struct rank_team **out_team);
void rank_team_destroy(struct rank_team *team); /* NULL is allowed */

/*
 * Runs an entry point on all ranks and returns when all are back. Only rank 0 writes the outputs
 * given; the others' stay in the session's memory. After a success, or the first cause of a
 * failure, every rank can run again.
 */
status rank_team_run(struct rank_team *team, const Engine__Entry *entry,
                     const sinter_tensor *inputs, size_t n_inputs, sinter_tensor *outputs,
                     size_t n_outputs);

#endif
