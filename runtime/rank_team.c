/* SPDX-License-Identifier: Apache-2.0 */
/* One thread per rank, asleep between runs. */
#include "runtime/rank_team.h"

#include "base/mem.h"
#include "runtime/fault.h"
#include "runtime/futex.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct member {
  struct rank_team *team;
  struct rank *rank;
  sinter_tensor *outputs; /* its own, never shown to the caller */
  pthread_t thread;
};

struct rank_team {
  struct rank *ranks;
  struct member *members; /* for all ranks but the first */
  uint32_t all;           /* members */
  uint32_t n;             /* of them, those whose thread runs */
  pid_t process;          /* a forked child has no threads */
  uint32_t spins;

  uint8_t apart[64];     /* of lines that many look at */
  _Atomic uint32_t runs; /* changes when a run begins; members sleep on it */
  _Atomic uint32_t sleepers;
  _Atomic uint32_t stop;
  uint8_t apart_too[64];
  _Atomic uint32_t pending; /* members still running; the caller sleeps on it */

  const Engine__Entry *entry; /* of the run */
  const sinter_tensor *inputs;
  size_t n_inputs, n_outputs;
};

/* --- Members --- */

/* Waits for another run than the one of number `seen`. */
static uint32_t wait_for_run(struct rank_team *team, uint32_t seen) {
  for (uint32_t i = 0; i < team->spins && atomic_load(&team->runs) == seen; i++)
    FUTEX_PAUSE();
  while (atomic_load(&team->runs) == seen) {
    atomic_fetch_add(&team->sleepers, 1);
    futex_wait(&team->runs, seen, 0);
    atomic_fetch_sub(&team->sleepers, 1);
  }
  return atomic_load(&team->runs);
}

static void *member_main(void *argument) {
  struct member *m = argument;
  struct rank_team *team = m->team;
  for (uint32_t seen = 0;;) {
    seen = wait_for_run(team, seen);
    if (atomic_load(&team->stop))
      return NULL;
    fault_clear();
    memset(m->outputs, 0, team->n_outputs * sizeof *m->outputs);
    rank_run(m->rank, team->entry, team->inputs, team->n_inputs, m->outputs, team->n_outputs);
    if (atomic_fetch_sub(&team->pending, 1) == 1)
      futex_wake(&team->pending, 1);
  }
}

/* Members take no signals: the program's handlers run on the program's threads. */
static status start_member(struct rank_team *team, struct member *m) {
  sigset_t all, before;
  char name[16];
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&m->thread, NULL, member_main, m);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error)
    return fault_report(DIAG_E0702, NULL, "ask for fewer devices",
                        "the thread of rank %u cannot be started: %s", m->rank->number,
                        strerror(error));
  snprintf(name, sizeof name, "sinter-rank-%u", m->rank->number % 1000);
  pthread_setname_np(m->thread, name);
  team->n++;
  return STATUS_OK;
}

/* --- Life --- */

static status create_members(struct rank_team *team, uint32_t n) {
  team->members = mem_try_calloc(n, sizeof *team->members);
  if (!team->members)
    return fault_no_memory("a session's ranks", n * sizeof *team->members);
  team->all = n;
  for (uint32_t i = 0; i < n; i++) {
    struct member *m = &team->members[i];
    uint32_t outputs = team->ranks[i + 1].output_buffer_count;
    *m = (struct member){.team = team, .rank = &team->ranks[i + 1]};
    m->outputs = mem_try_calloc(outputs + 1, sizeof *m->outputs);
    if (!m->outputs)
      return fault_no_memory("a rank's outputs", outputs * sizeof *m->outputs);
    status st = start_member(team, m);
    if (st)
      return st;
  }
  return STATUS_OK;
}

status rank_team_create(struct rank *ranks, uint32_t n, struct rank_team **out_team) {
  struct rank_team *team = mem_try_calloc(1, sizeof *team);
  if (!team)
    return fault_no_memory("a session's ranks", sizeof *team);
  team->ranks = ranks;
  team->process = getpid();
  team->spins = futex_spins(n);
  status st = create_members(team, n - 1);
  if (st)
    rank_team_destroy(team);
  else
    *out_team = team;
  return st;
}

void rank_team_destroy(struct rank_team *team) {
  if (!team)
    return;
  if (team->process == getpid()) {
    atomic_store(&team->stop, 1);
    atomic_fetch_add(&team->runs, 1);
    futex_wake(&team->runs, INT_MAX);
    for (uint32_t i = 0; i < team->n; i++)
      pthread_join(team->members[i].thread, NULL);
  }
  for (uint32_t i = 0; team->members && i < team->all; i++)
    mem_free(team->members[i].outputs);
  mem_free(team->members);
  mem_free(team);
}

/* --- A run --- */

static void wait_for_members(struct rank_team *team) {
  for (uint32_t i = 0; i < team->spins && atomic_load(&team->pending); i++)
    FUTEX_PAUSE();
  for (uint32_t pending; (pending = atomic_load(&team->pending)) != 0;)
    futex_wait(&team->pending, pending, 0);
}

status rank_team_run(struct rank_team *team, const Engine__Entry *entry,
                     const sinter_tensor *inputs, size_t n_inputs, sinter_tensor *outputs,
                     size_t n_outputs) {
  struct rank *first = &team->ranks[0];
  if (team->process != getpid())
    return fault_report(DIAG_E0702, NULL, "create a session in the process that runs it",
                        "the ranks of the session run in process %ld, not in its forked child",
                        (long)team->process);
  team->entry = entry;
  team->inputs = inputs;
  team->n_inputs = n_inputs;
  team->n_outputs = n_outputs;
  atomic_store(&team->pending, team->n);
  atomic_fetch_add(&team->runs, 1);
  if (atomic_load(&team->sleepers))
    futex_wake(&team->runs, INT_MAX);
  status st = rank_run(first, entry, inputs, n_inputs, outputs, n_outputs);
  wait_for_members(team);
  if (first->comms->failed(first->comm)) {
    st = first->comms->fail(first->comm, 0); /* the first cause, whoever's it was */
    first->comms->reset(first->comm);
  }
  return st;
}
