/* SPDX-License-Identifier: Apache-2.0 */
/* Engines and sessions, as the runtime's own files see them. */
#ifndef SINTER_RUNTIME_SESSION_H
#define SINTER_RUNTIME_SESSION_H

#include "runtime/rank.h"
#include "runtime/rank_team.h"
#include "runtime/weight_file.h"

struct engine_entry {
  sinter_port *inputs, *outputs;
};

struct sinter_engine {
  struct engine_file file;
  struct plan plan;
  struct weight_files weights;
  struct engine_entry *entries; /* for the public queries; in the plan's pool */
};

/* A constant's bytes, wherever they lie. It has at least one. */
const uint8_t *engine_constant_data(const struct sinter_engine *engine,
                                    const Engine__Constant *constant);

struct sinter_session {
  sinter_engine *engine;
  struct driver_devices devices;
  struct rank *ranks;              /* plan.ranks of them */
  const struct comm_driver *comms; /* with several ranks; else NULL, as are comm and team */
  struct comm *comm;
  struct rank_team *team;
  uint64_t runs; /* that succeeded */
  _Atomic bool busy, cancelled;
};

#endif
