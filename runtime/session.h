/* SPDX-License-Identifier: Apache-2.0 */
/* Engines and sessions, as the runtime's own files see them. */
#ifndef SINTER_RUNTIME_SESSION_H
#define SINTER_RUNTIME_SESSION_H

#include "runtime/fault.h"
#include "runtime/process/world.h"
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

/* How far the states are; one for all ranks. */
struct session_states {
  const Engine__Entry *entry; /* the first that has states; NULL: none has */
  int64_t *length;            /* per batch row: rows it has */
  int64_t *added;             /* per batch row: by the run in progress */
  int64_t rows, capacity;     /* as all ranks have them */
};

struct sinter_session {
  sinter_engine *engine;
  struct driver_devices devices;
  struct sinter_world *world;      /* NULL: all ranks are threads */
  struct rank *ranks;              /* of this process */
  uint32_t rank_count;             /* all of the plan's, or one of them */
  struct device **rank_devices;    /* theirs, for comms->connect */
  const struct comm_driver *comms; /* with several ranks; else NULL, as are comm and team */
  struct comm *comm;
  struct rank_team *team;
  struct session_states states;
  uint64_t runs; /* that succeeded */
  bool dead;     /* a device is lost */
  struct fault death;
  _Atomic bool busy, cancelled;
};

/* --- session.c --- */

/* An error, the same each time, once a device of the session is lost: E0725. */
status session_alive(const struct sinter_session *s);

/* --- session_state.c --- */

void session_states_init(struct sinter_session *s);
void session_states_deinit(struct sinter_session *s);
/* Room for what a run of the entry will add; nothing for an entry without states. Errors: E0607,
 * E0625. */
status session_states_begin(struct sinter_session *s, const Engine__Entry *entry,
                            const sinter_tensor *inputs, size_t n_inputs);
/* After a run that succeeded. */
void session_states_end(struct sinter_session *s, const Engine__Entry *entry);

#endif
