/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: creation, the run of an entry point, destruction. */
#include "runtime/session.h"

#include "base/mem.h"
#include "runtime/fault.h"
#include "runtime/options_take.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* --- Creation --- */

/* Of devices that all processes of a host name, each takes its own. */
static bool take_own_device(struct sinter_session *s) {
  if (!s->world || s->devices.count != s->world->here)
    return false;
  s->devices.first = driver_device(&s->devices, s->world->before);
  s->devices.listed = false;
  s->devices.count = 1;
  return true;
}

/* As many devices as there are ranks here. */
static status choose_driver(struct sinter_session *s, const char *devices) {
  uint32_t wanted = s->rank_count;
  status st = driver_find(devices ? devices : "cpu", &s->devices);
  if (!devices)
    s->devices.count = wanted;
  uint32_t found = s->devices.count;
  if (st || wanted == found || take_own_device(s))
    return st;
  if (s->world)
    return fault_report(DIAG_E0512, s->engine->file.path,
                        "name one device, or as many as there are processes on a host",
                        "each process is one rank, \"%s\" names %u devices, and %u process%s here",
                        devices, found, s->world->here, s->world->here == 1 ? " is" : "es are");
  return fault_report(DIAG_E0512, s->engine->file.path,
                      wanted == 1 ? "compile it for as many devices, or run it on one"
                                  : "name as many devices, or compile it for these",
                      "the engine is for %u rank%s, \"%s\" names %u device%s", wanted,
                      wanted == 1 ? "" : "s", devices, found, found == 1 ? "" : "s");
}

/* Simulated GPUs may take long over one step. */
#define DEADLINE_MS 10000u
#define SIMULATED_DEADLINE_MS 60000u

/* GPUs exchange elements by NCCL; where there is none, by way of the host. SINTER_COMM names a
 * kind. */
static status choose_comm(struct sinter_session *s, const struct comm_options *options) {
  const char *named = getenv("SINTER_COMM");
  bool by_host = !s->devices.driver->discrete || (named && strcmp(named, "host") == 0);
  status st = STATUS_UNSUPPORTED;
  s->comms = &nccl_comm;
  if (!by_host)
    st = s->comms->create(options, &s->comm);
  if (!by_host && (!st || (named && strcmp(named, "nccl") == 0)))
    return st;
  s->comms = options->controls;
  return s->comms->create(options, &s->comm);
}

static status prepare_ranks(struct sinter_session *s, const sinter_session_options *options) {
  uint64_t deadline_ms = options->deadline_ms               ? options->deadline_ms
                         : s->devices.driver == &sim_driver ? SIMULATED_DEADLINE_MS
                                                            : DEADLINE_MS;
  if (s->engine->plan.ranks == 1)
    return STATUS_OK;
  return choose_comm(s, &(struct comm_options){.plan = &s->engine->plan,
                                               .deadline_ns = deadline_ms * 1000000u,
                                               .driver = s->devices.driver,
                                               .cancelled = &s->cancelled,
                                               .controls = s->world ? &process_comm : &host_comm,
                                               .world = s->world,
                                               .check = options->check_collectives != 0});
}

static uint32_t first_rank(const struct sinter_session *s) { return s->world ? s->world->rank : 0; }

static status connect_ranks(struct sinter_session *s) {
  if (!s->comms || !s->comms->connect)
    return STATUS_OK;
  return s->comms->connect(s->comm, first_rank(s), s->rank_count, s->rank_devices);
}

static status create_ranks(struct sinter_session *s, const sinter_session_options *options) {
  uint32_t n = s->rank_count;
  status st = choose_driver(s, options->devices);
  if (!st)
    st = prepare_ranks(s, options);
  if (st)
    return st;
  s->ranks = mem_try_calloc(n, sizeof *s->ranks);
  s->rank_devices = mem_try_calloc(n, sizeof(struct device *));
  if (!s->ranks || !s->rank_devices)
    return fault_no_memory("a session's ranks", n * (sizeof *s->ranks + sizeof(struct device *)));
  for (uint32_t i = 0; i < n && !st; i++) {
    st = rank_init(&s->ranks[i], s, first_rank(s) + i, options);
    s->rank_devices[i] = s->ranks[i].device;
  }
  return st;
}

/* --- In a world --- */

/* What processes tell each other of the session that each has made, or failed to make. */
struct session_blob {
  uint64_t engine[2];
  uint64_t deadline_ms, check, comms;
  struct fault_wire failure;
};

static status join_world(struct sinter_session *s, sinter_world *world) {
  uint32_t ranks = s->engine->plan.ranks;
  if (ranks != world->size)
    return fault_report(DIAG_E0512, s->engine->file.path,
                        "start as many processes, or compile it for as many",
                        "the engine is for %u rank%s, there are %u processes", ranks,
                        ranks == 1 ? "" : "s", world->size);
  if (world_failed(world))
    return world_fail(world);
  if (atomic_exchange(&world->busy, 1))
    return fault_report(DIAG_E0616, NULL, "destroy that session first, or join another world",
                        "another session has the world");
  s->world = world;
  s->rank_count = 1;
  return STATUS_OK;
}

/* Blobs are the other processes', and so is what they say. */
static status compare_sessions(const struct session_blob *mine, const struct session_blob *all,
                               uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (all[i].failure.code[0])
      return fault_import(&all[i].failure);
  for (uint32_t i = 0; i < n; i++)
    if (memcmp(all[i].engine, mine->engine, sizeof mine->engine) != 0 ||
        all[i].deadline_ms != mine->deadline_ms || all[i].check != mine->check ||
        all[i].comms != mine->comms)
      return fault_report(DIAG_E0704, NULL,
                          "all processes must open the same file, on devices of one kind",
                          "rank %u creates a session of another engine, or with other options", i);
  return STATUS_OK;
}

/* All processes have a session, or none has. */
static status agree_on_session(struct sinter_session *s, sinter_world *world,
                               const sinter_session_options *options, status st) {
  struct session_blob mine = {.deadline_ms = options->deadline_ms,
                              .check = options->check_collectives != 0,
                              .comms = s->comms == &nccl_comm};
  memcpy(mine.engine, s->engine->file.data + offsetof(struct engine_header, digest),
         sizeof mine.engine);
  if (st)
    fault_export(&mine.failure);
  struct session_blob *all = mem_try_calloc(world->size, sizeof *all);
  if (!all) { /* nor can the others go on */
    fault_no_memory("a session", world->size * sizeof *all);
    return world_fail(world);
  }
  status gathered = world_gather(world, &mine, sizeof mine, all, world->timeout_ns);
  if (!gathered)
    gathered = compare_sessions(&mine, all, world->size);
  mem_free(all);
  return gathered;
}

/* What takes all ranks. */
static status complete_ranks(struct sinter_session *s, const sinter_session_options *options) {
  status st = connect_ranks(s);
  if (s->world && s->comms && s->comms->connect) {
    if (st)
      st = s->comms->fail(s->comm, s->world->rank);
    st = agree_on_session(s, s->world, options, st);
  }
  return st || s->rank_count == 1 ? st : rank_team_create(s->ranks, s->rank_count, &s->team);
}

SINTER_API sinter_status sinter_session_create(sinter_engine *engine,
                                               const sinter_session_options *options,
                                               sinter_session **out_session) {
  sinter_session_options o;
  fault_clear();
  if (!engine || !out_session)
    return (sinter_status)fault_report(DIAG_E0618, NULL, NULL,
                                       "sinter_session_create was given NULL");
  status st = options_take(options, sizeof o, &o);
  if (st)
    return (sinter_status)st;
  struct sinter_session *s = mem_try_calloc(1, sizeof *s);
  if (!s)
    return (sinter_status)fault_no_memory("a session", sizeof *s);
  s->engine = engine;
  s->rank_count = engine->plan.ranks;
  session_states_init(s);
  st = o.world ? join_world(s, o.world) : STATUS_OK;
  if (!st)
    st = create_ranks(s, &o);
  if (o.world)
    st = agree_on_session(s, o.world, &o, st);
  if (!st)
    st = complete_ranks(s, &o);
  if (st)
    sinter_session_destroy(s);
  else
    *out_session = s;
  return (sinter_status)st;
}

SINTER_API void sinter_session_destroy(sinter_session *session) {
  if (!session)
    return;
  rank_team_destroy(session->team);
  if (session->comm)
    session->comms->destroy(session->comm);
  for (uint32_t i = 0; session->ranks && i < session->rank_count; i++)
    rank_deinit(&session->ranks[i]);
  session_states_deinit(session);
  mem_free(session->rank_devices);
  mem_free(session->ranks);
  if (session->world)
    atomic_store(&session->world->busy, 0);
  mem_free(session);
}

/* --- Running --- */

static status find_entry(struct sinter_session *s, const char *name,
                         const Engine__Entry **out_entry) {
  const struct plan *plan = &s->engine->plan;
  for (size_t i = 0; i < plan->manifest->n_entries; i++)
    if (strcmp(plan_string(plan, plan->manifest->entries[i]->name), name) == 0) {
      *out_entry = plan->manifest->entries[i];
      return STATUS_OK;
    }
  return fault_report(DIAG_E0601, s->engine->file.path, "`sinter inspect` lists them",
                      "the engine has no entry point '%s' among its %zu", name,
                      plan->manifest->n_entries);
}

status session_alive(const struct sinter_session *s) {
  return s->dead ? fault_follow(DIAG_E0725, &s->death,
                                "create another session, in a new process if the GPU is refused",
                                "the session cannot be used any more")
                 : STATUS_OK;
}

/* After a failure, which is the thread's last error. */
static void look_for_losses(struct sinter_session *s) {
  const struct driver *driver = s->devices.driver;
  for (uint32_t i = 0; i < s->rank_count && !s->dead && driver->lost; i++)
    if (driver->lost(s->ranks[i].device)) {
      fault_save(&s->death);
      s->dead = true;
    }
}

/* Other processes have begun, and are to be told. */
static status fail_before_run(struct sinter_session *s, status st) {
  return s->world && s->comm ? s->comms->fail(s->comm, s->world->rank) : st;
}

static status run_ranks(struct sinter_session *s, const Engine__Entry *entry,
                        const sinter_tensor *inputs, size_t n_inputs, sinter_tensor *outputs,
                        size_t n_outputs) {
  status st = connect_ranks(s);
  if (st)
    st = fail_before_run(s, st);
  else
    st = s->team ? rank_team_run(s->team, entry, inputs, n_inputs, outputs, n_outputs)
                 : rank_run(&s->ranks[0], entry, inputs, n_inputs, outputs, n_outputs);
  for (uint32_t i = 0; i < s->rank_count; i++)
    rank_release_ports(&s->ranks[i], st != STATUS_OK);
  if (st)
    look_for_losses(s);
  return st;
}

SINTER_API sinter_status sinter_session_run(sinter_session *session, const char *entry,
                                            const sinter_tensor *inputs, size_t n_inputs,
                                            sinter_tensor *outputs, size_t n_outputs) {
  const Engine__Entry *found;
  fault_clear();
  if (!session || !entry || (n_inputs && !inputs) || (n_outputs && !outputs))
    return (sinter_status)fault_report(DIAG_E0618, NULL, NULL, "sinter_session_run was given NULL");
  if (atomic_exchange(&session->busy, true))
    return (sinter_status)fault_report(DIAG_E0616, NULL, "create a session per thread",
                                       "the session is already running");
  status st = session_alive(session);
  if (!st)
    st = find_entry(session, entry, &found);
  if (!st)
    st = session_states_begin(session, found, inputs, n_inputs);
  if (st)
    st = fail_before_run(session, st);
  if (!st)
    st = run_ranks(session, found, inputs, n_inputs, outputs, n_outputs);
  if (!st)
    session_states_end(session, found);
  session->runs += !st;
  atomic_store(&session->cancelled, false);
  atomic_store(&session->busy, false);
  return (sinter_status)st;
}

SINTER_API void sinter_session_cancel(sinter_session *session) {
  if (session && atomic_load(&session->busy))
    atomic_store(&session->cancelled, true);
}

SINTER_API uint32_t sinter_session_exchange_count(const sinter_session *session) {
  return session ? session->engine->plan.exchange_count : 0;
}

SINTER_API sinter_status sinter_session_get_exchange(const sinter_session *session, uint32_t number,
                                                     sinter_exchange *out_exchange) {
  fault_clear();
  if (!session || !out_exchange || out_exchange->struct_size < sizeof out_exchange->struct_size ||
      number >= session->engine->plan.exchange_count)
    return (sinter_status)fault_report(DIAG_E0618, NULL, "set struct_size to sizeof the struct",
                                       "sinter_session_get_exchange was given NULL, no struct_size "
                                       "or a number that no exchange has");
  const struct plan *plan = &session->engine->plan;
  const struct plan_exchange *e = &plan->exchanges[number];
  sinter_exchange out = {.struct_size = out_exchange->struct_size,
                         .kind = comm_kind_text(e->body->kind),
                         .node = "",
                         .ranks = plan->groups[e->group].size};
  if (e->step->n_provenance)
    out.node = plan_string(plan, plan->manifest->provenance[e->step->provenance[0]]->node);
  for (uint32_t i = 0; i < session->rank_count; i++)
    out.expected += session->ranks[i].expected[number];
  for (uint32_t i = 0; session->comm && i < session->rank_count; i++)
    out.bytes +=
        session->comms->received(session->comm, session->ranks[i].number, number, &out.times);
  size_t n = out.struct_size < sizeof out ? out.struct_size : sizeof out;
  memcpy(out_exchange, &out, n);
  return SINTER_OK;
}

SINTER_API sinter_status sinter_session_get_stats(const sinter_session *session,
                                                  sinter_session_stats *out_stats) {
  fault_clear();
  if (!session || !out_stats || out_stats->struct_size < sizeof out_stats->struct_size)
    return (sinter_status)fault_report(DIAG_E0618, NULL, "set struct_size to sizeof the struct",
                                       "sinter_session_get_stats was given NULL or no struct_size");
  const struct rank *first = &session->ranks[0];
  sinter_session_stats stats = {.struct_size = out_stats->struct_size,
                                .runs = session->runs,
                                .target =
                                    sinter_engine_target_name(session->engine, first->target)};
  for (uint32_t i = 0; i < session->rank_count; i++)
    rank_add_stats(&session->ranks[i], &stats);
  size_t n = out_stats->struct_size < sizeof stats ? out_stats->struct_size : sizeof stats;
  memcpy(out_stats, &stats, n);
  return SINTER_OK;
}
