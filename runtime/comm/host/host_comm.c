/* SPDX-License-Identifier: Apache-2.0 */
/* Communication between ranks in one memory: meetings, agreement, failures. See host_state.h. */
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "runtime/comm/host/host_state.h"
#include "runtime/futex.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

/* --- Time --- */

/* Waiting ranks look this often whether the others live. */
#define LOOK_NS 20000000u

/* --- Failures --- */

#define ABORTED 1u

static status host_fail(struct comm *c, uint32_t rank) {
  (void)rank;
  uint32_t none = 0;
  if (atomic_compare_exchange_strong(&c->cause_state, &none, 1)) {
    fault_save(&c->cause);
    atomic_store(&c->cause_state, 2);
    for (uint32_t i = 0; i < c->meeting_count; i++) {
      atomic_fetch_or(&c->meetings[i].round, ABORTED);
      futex_wake(&c->meetings[i].round, INT_MAX);
    }
  }
  while (atomic_load(&c->cause_state) != 2) /* another rank writes it at this moment */
    sched_yield();
  return fault_restore(&c->cause);
}

static bool host_failed(const struct comm *c) { return atomic_load(&c->cause_state) != 0; }

static void host_reset(struct comm *c) {
  for (uint32_t i = 0; i < c->meeting_count; i++) {
    atomic_store(&c->meetings[i].arrived, 0);
    atomic_fetch_and(&c->meetings[i].round, ~ABORTED);
  }
  atomic_store(&c->cause_state, 0);
}

/* --- Meeting --- */

/* A member that waits where it will not come from to this meeting. That is no error if the meeting
 * has taken place meanwhile: a caller looks at the round after this. */
static bool is_elsewhere(const struct comm *c, uint32_t rank, uint32_t member) {
  uint64_t mine = atomic_load(&c->cells[rank].at), its = atomic_load(&c->cells[member].at);
  if (!atomic_load(&c->cells[member].waiting) || its == mine)
    return false;
  return COMM_AT_NUMBER(its) == COMM_FINISH || COMM_AT_COUNT(its) >= COMM_AT_COUNT(mine);
}

static status report_elsewhere(struct comm *c, uint32_t rank, uint32_t member) {
  char a[320], b[320];
  fault_report(DIAG_E0704, NULL, "a condition or size may depend on values that ranks do not share",
               "rank %u has come to %s, rank %u to %s", rank,
               comm_at_text(c->plan, atomic_load(&c->cells[rank].at), a, sizeof a), member,
               comm_at_text(c->plan, atomic_load(&c->cells[member].at), b, sizeof b));
  return host_fail(c, rank);
}

static status report_silence(struct comm *c, uint32_t rank, const struct host_meeting *meeting) {
  char text[320];
  uint32_t silent = rank;
  uint64_t mine = atomic_load(&c->cells[rank].at);
  for (uint32_t i = 0; i < meeting->n; i++) /* the one who is missing here, */
    if (atomic_load(&c->cells[meeting->members[i]].at) != mine)
      silent = meeting->members[i];
  for (uint32_t i = 0; i < c->ranks; i++) /* or for whom that one waits in turn */
    if (!atomic_load(&c->cells[i].waiting))
      silent = i;
  fault_report(DIAG_E0703, NULL, "the deadline is an option of the session",
               "rank %u has done nothing for %.1f s since its step %u, and rank %u waits at %s",
               silent, (double)c->deadline_ns * 1e-9,
               atomic_load(&c->cells[silent].heartbeat) & ~COMM_SIGN_OF_LIFE, rank,
               comm_at_text(c->plan, mine, text, sizeof text));
  return host_fail(c, rank);
}

static uint32_t signs_of_life(const struct comm *c) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < c->ranks; i++)
    sum += atomic_load_explicit(&c->cells[i].heartbeat, memory_order_relaxed);
  return sum;
}

static status sleep_until(struct comm *c, uint32_t rank, struct host_meeting *meeting,
                          uint32_t round) {
  uint64_t look = c->deadline_ns / 4 < LOOK_NS ? c->deadline_ns / 4 + 1 : LOOK_NS;
  uint64_t alive = 0; /* when the last sign of life was seen; 0: not asked yet */
  uint32_t signs = signs_of_life(c);
  status st = STATUS_OK;
  atomic_fetch_add(&meeting->sleepers, 1);
  while (!st && atomic_load(&meeting->round) == round) {
    futex_wait(&meeting->round, round, look);
    if (atomic_load(&meeting->round) != round)
      break;
    uint64_t now = clock_now_ns();
    uint32_t latest = signs_of_life(c);
    if (!alive || latest != signs)
      alive = now;
    signs = latest;
    for (uint32_t i = 0; i < meeting->n && !st; i++)
      if (is_elsewhere(c, rank, meeting->members[i]) && atomic_load(&meeting->round) == round)
        st = report_elsewhere(c, rank, meeting->members[i]);
    if (!st && now - alive >= c->deadline_ns && atomic_load(&meeting->round) == round)
      st = report_silence(c, rank, meeting);
  }
  atomic_fetch_sub(&meeting->sleepers, 1);
  return st;
}

/* The last one opens the door for all. */
static void open_door(struct host_meeting *meeting) {
  atomic_store(&meeting->arrived, 0);
  atomic_fetch_add(&meeting->round, 2);
  if (atomic_load(&meeting->sleepers))
    futex_wake(&meeting->round, INT_MAX);
}

/*
 * Whether the meeting took place while this rank span. How long it spins follows from how that went
 * lately: on a busy processor the one waited for may need this very core, and spinning only costs.
 * Every 64th wait asks again.
 */
#define LEAST_SPINS 64u

static bool spin(const struct comm *c, struct host_cell *own, const struct host_meeting *meeting,
                 uint32_t round) {
  if (!c->most_spins)
    return false;
  uint32_t most = own->waits++ % 64 ? own->spins : c->most_spins;
  for (uint32_t i = 0; i < most; i++) {
    if (atomic_load(&meeting->round) != round) {
      own->spins = 2 * most < c->most_spins ? 2 * most : c->most_spins;
      return true;
    }
    FUTEX_PAUSE();
  }
  own->spins = own->spins / 2 > LEAST_SPINS ? own->spins / 2 : LEAST_SPINS;
  return atomic_load(&meeting->round) != round;
}

status host_meet(struct comm *c, uint32_t rank, struct host_meeting *meeting) {
  struct host_cell *own = &c->cells[rank];
  uint32_t round = atomic_load(&meeting->round);
  status st = STATUS_OK;
  if (round & ABORTED)
    return host_fail(c, rank);
  if (atomic_fetch_add(&meeting->arrived, 1) + 1 == meeting->n) {
    open_door(meeting);
  } else {
    atomic_store(&own->waiting, 1);
    if (!spin(c, own, meeting, round))
      st = sleep_until(c, rank, meeting, round);
    atomic_store(&own->waiting, 0);
  }
  if (!st && atomic_load(&meeting->round) & ABORTED)
    st = host_fail(c, rank);
  return st;
}

/* --- Agreement --- */

static status report_difference(struct comm *c, uint32_t rank, uint32_t other, const char *what) {
  char text[320];
  fault_report(DIAG_E0704, NULL, NULL, "ranks %u and %u are at %s with different %s", rank, other,
               comm_at_text(c->plan, atomic_load(&c->cells[rank].at), text, sizeof text), what);
  return host_fail(c, rank);
}

static bool same_blocks(const struct host_cell *a, const struct host_cell *b) {
  if (a->n_blocks != b->n_blocks)
    return false;
  for (uint32_t i = 0; i < a->n_blocks; i++)
    if (a->blocks[i].elements != b->blocks[i].elements)
      return false;
  return true;
}

/* Compares with all members of a meeting that has just taken place. */
static status compare_members(struct comm *c, uint32_t rank, const struct host_meeting *meeting) {
  const struct host_cell *own = &c->cells[rank];
  for (uint32_t i = 0; i < meeting->n; i++) {
    uint32_t member = meeting->members[i];
    const struct host_cell *other = &c->cells[member];
    if (atomic_load(&other->at) != atomic_load(&own->at))
      return report_elsewhere(c, rank, member);
    if (other->decisions != own->decisions)
      return report_difference(c, rank, member,
                               "decisions behind them (conditions or sizes that the data give)");
    if (!same_blocks(own, other))
      return report_difference(c, rank, member, "numbers of elements");
  }
  return STATUS_OK;
}

static status host_begin(struct comm *c, uint32_t rank, const struct comm_agreement *agreement) {
  struct host_cell *own = &c->cells[rank];
  memset(own->received, 0, c->plan->exchange_count * sizeof *own->received);
  memset(own->times, 0, c->plan->exchange_count * sizeof *own->times);
  own->agreement = *agreement;
  own->decisions = 0;
  own->damage = COMM_SOUND;
  own->n_blocks = 0;
  atomic_store(&own->heartbeat, 0);
  atomic_store(&own->at, COMM_AT(0, COMM_BEGIN));
  status st = host_meet(c, rank, &c->meetings[0]);
  for (uint32_t i = 0; i < c->ranks && !st; i++) {
    const char *what = comm_compare(&own->agreement, &c->cells[i].agreement);
    if (what)
      st = report_difference(c, rank, i, what);
  }
  return st;
}

static struct host_meeting *meeting_for(const struct comm *c, uint32_t rank,
                                        const struct plan_exchange *exchange) {
  return &c->meetings[c->meeting_of[exchange->group * c->ranks + rank]];
}

static status meet_and_compare(struct comm *c, uint32_t rank, const struct plan_exchange *exchange,
                               const struct comm_block *blocks, uint32_t n, uint64_t decisions) {
  struct host_cell *own = &c->cells[rank];
  struct host_meeting *meeting = meeting_for(c, rank, exchange);
  uint32_t count = COMM_AT_COUNT(atomic_load(&own->at)) + 1;
  memcpy(own->blocks, blocks, n * sizeof *blocks);
  own->n_blocks = n;
  own->decisions = decisions ^ (own->damage == COMM_DAMAGED_HEADER);
  own->damage = COMM_SOUND;
  atomic_store(&own->at, COMM_AT(count, exchange->body->number));
  status st = host_meet(c, rank, meeting);
  return st ? st : compare_members(c, rank, meeting);
}

static status host_exchange(struct comm *c, uint32_t rank, const struct plan_exchange *exchange,
                            const struct comm_block *blocks, uint32_t n, uint64_t decisions) {
  if (c->check)
    host_hash_sources(&c->cells[rank], blocks, n, exchange->body->kind,
                      meeting_for(c, rank, exchange)->n);
  status st = meet_and_compare(c, rank, exchange, blocks, n, decisions);
  return st ? st : host_move(c, rank, meeting_for(c, rank, exchange), exchange);
}

/* They meet once more, because cells must not change before all have compared. */
static status host_agree(struct comm *c, uint32_t rank, const struct plan_exchange *exchange,
                         const struct comm_block *blocks, uint32_t n, uint64_t decisions) {
  status st = meet_and_compare(c, rank, exchange, blocks, n, decisions);
  return st ? st : host_meet(c, rank, meeting_for(c, rank, exchange));
}

static status host_vote(struct comm *c, uint32_t rank, uint32_t mine, uint32_t *out_least) {
  c->cells[rank].vote = *out_least = mine;
  status st = host_meet(c, rank, &c->meetings[0]);
  for (uint32_t i = 0; i < c->ranks && !st; i++)
    if (c->cells[i].vote < *out_least)
      *out_least = c->cells[i].vote;
  return st ? st : host_meet(c, rank, &c->meetings[0]);
}

static status host_gather(struct comm *c, uint32_t rank, const void *mine, size_t bytes,
                          void *out_all) {
  c->cells[rank].gift = mine;
  status st = host_meet(c, rank, &c->meetings[0]);
  for (uint32_t i = 0; i < c->ranks && !st; i++)
    memcpy((uint8_t *)out_all + i * bytes, c->cells[i].gift, bytes);
  return st ? st : host_meet(c, rank, &c->meetings[0]);
}

static status host_finish(struct comm *c, uint32_t rank, uint64_t decisions) {
  struct host_cell *own = &c->cells[rank];
  own->decisions = decisions ^ (own->damage == COMM_DAMAGED_HEADER);
  own->damage = COMM_SOUND;
  own->n_blocks = 0;
  atomic_store(&own->at, COMM_AT(COMM_AT_COUNT(atomic_load(&own->at)) + 1, COMM_FINISH));
  status st = host_meet(c, rank, &c->meetings[0]);
  return st ? st : compare_members(c, rank, &c->meetings[0]);
}

static _Atomic uint32_t *host_heartbeat(struct comm *c, uint32_t rank) {
  return &c->cells[rank].heartbeat;
}

static uint64_t host_received(const struct comm *c, uint32_t rank, uint32_t number,
                              uint64_t *out_times) {
  *out_times = c->cells[rank].times[number];
  return c->cells[rank].received[number];
}

static void host_damage(struct comm *c, uint32_t rank, enum comm_damage damage) {
  c->cells[rank].damage = damage;
}

/* --- Life --- */

static void host_destroy(struct comm *c) {
  if (!c)
    return;
  mem_free(c->block);
  mem_free(c->tables);
  mem_free(c->meeting_of);
  mem_free(c->members);
  mem_free(c);
}

/* Meetings: one of all ranks, and for each group one per set of ranks that meet there. */
static uint32_t count_meetings(const struct plan *plan) {
  uint32_t n = 1;
  for (uint32_t i = 0; i < plan->group_count; i++)
    n += plan->ranks / plan->groups[i].size;
  return n;
}

static void fill_meetings(struct comm *c) {
  uint32_t next = 0;
  uint32_t *members = c->members;
  c->meetings[next++] = (struct host_meeting){.n = c->ranks, .members = members};
  for (uint32_t i = 0; i < c->ranks; i++)
    *members++ = i;
  for (uint32_t g = 0; g < c->plan->group_count; g++) {
    const struct plan_group *group = &c->plan->groups[g];
    for (uint32_t rank = 0; rank < c->ranks; rank++) {
      uint32_t first = plan_group_rank(c->plan, group, rank, 0);
      if (first != rank) { /* smaller numbers come first, so that one has its meeting */
        c->meeting_of[g * c->ranks + rank] = c->meeting_of[g * c->ranks + first];
        continue;
      }
      c->meeting_of[g * c->ranks + rank] = next;
      c->meetings[next++] = (struct host_meeting){.n = group->size, .members = members};
      for (uint32_t place = 0; place < group->size; place++)
        *members++ = plan_group_rank(c->plan, group, rank, place);
    }
  }
}

/* The cells' tables lie in one piece, a line apart for ranks not to disturb each other. */
static bool create_tables(struct comm *c) {
  size_t counters = c->plan->exchange_count, blocks = c->plan->most_exchange_parts, bytes, all;
  bytes = (2 * counters + blocks) * sizeof(uint64_t) + blocks * sizeof(struct comm_block) +
          c->ranks * sizeof(uint8_t *) + HOST_LINE;
  if (!size_mul(bytes, c->ranks, &all))
    return false;
  uint8_t *at = c->tables = mem_try_calloc(1, all);
  for (uint32_t i = 0; at && i < c->ranks; i++, at += bytes) {
    struct host_cell *cell = &c->cells[i];
    cell->received = (uint64_t *)(void *)at;
    cell->times = cell->received + counters;
    cell->hashes = cell->times + counters;
    cell->blocks = (struct comm_block *)(void *)(cell->hashes + blocks);
    cell->sources = (const uint8_t **)(void *)(cell->blocks + blocks);
  }
  return at != NULL;
}

static bool create_shared(struct comm *c) {
  size_t cells = c->ranks * sizeof *c->cells, meetings = c->meeting_count * sizeof *c->meetings;
  c->members = mem_try_calloc((size_t)c->ranks * (c->plan->group_count + 1), sizeof *c->members);
  c->meeting_of =
      mem_try_calloc((size_t)c->ranks * (c->plan->group_count + 1), sizeof *c->meeting_of);
  c->block = mem_try_calloc(1, cells + meetings + HOST_LINE);
  if (!c->members || !c->meeting_of || !c->block)
    return false;
  uintptr_t start = ((uintptr_t)c->block + HOST_LINE - 1) & ~(uintptr_t)(HOST_LINE - 1);
  c->cells = (struct host_cell *)start;
  c->meetings = (struct host_meeting *)(start + cells);
  fill_meetings(c);
  return create_tables(c);
}

static status host_create(const struct comm_options *options, struct comm **out_comm) {
  struct comm *c = mem_try_calloc(1, sizeof *c);
  if (!c)
    return fault_no_memory("communication", sizeof *c);
  c->plan = options->plan;
  c->deadline_ns = options->deadline_ns;
  c->check = options->check;
  c->ranks = options->plan->ranks;
  c->most_spins = futex_spins(c->ranks);
  c->meeting_count = count_meetings(options->plan);
  if (!create_shared(c)) {
    host_destroy(c);
    return fault_no_memory("communication", options->plan->ranks * sizeof(struct host_cell));
  }
  *out_comm = c;
  return STATUS_OK;
}

const struct comm_driver host_comm = {
    .name = "host",
    .create = host_create,
    .destroy = host_destroy,
    .begin = host_begin,
    .exchange = host_exchange,
    .agree = host_agree,
    .vote = host_vote,
    .gather = host_gather,
    .finish = host_finish,
    .fail = host_fail,
    .failed = host_failed,
    .reset = host_reset,
    .heartbeat = host_heartbeat,
    .received = host_received,
    .damage = host_damage,
};
