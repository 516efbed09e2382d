/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ranks in one memory share. They meet at words: the last of a group to arrive changes the
 * word, the others wait for that. Before it arrives, a rank writes into its own cell where its
 * memory is and what it is about to do; after, it reads the cells of its group. A cell does not
 * change until the group has met again, so nothing in it needs a lock.
 */
#ifndef SINTER_RUNTIME_HOST_STATE_H
#define SINTER_RUNTIME_HOST_STATE_H

#include "runtime/comm/comm.h"
#include "runtime/fault.h"

#define HOST_LINE 64u

/* Ranks that wait for each other. */
struct host_meeting {
  _Alignas(HOST_LINE) _Atomic uint32_t round; /* bit 0: aborted; the rest counts meetings */
  _Atomic uint32_t arrived;
  _Atomic uint32_t sleepers;
  uint32_t n;
  const uint32_t *members; /* by place */
};

struct host_cell {
  _Alignas(HOST_LINE) _Atomic uint32_t heartbeat;
  _Alignas(HOST_LINE) _Atomic uint64_t at;
  _Atomic uint32_t waiting;
  uint64_t decisions;
  uint32_t vote;
  const void *gift;
  struct comm_agreement agreement;
  struct comm_block *blocks; /* of the exchange it is at */
  uint64_t *hashes;          /* of its sources, where they are compared */
  uint32_t n_blocks;

  /* Its own affair. */
  const uint8_t **sources; /* room for one per rank */
  uint64_t *received;      /* bytes, per exchange */
  uint64_t *times;
  enum comm_damage damage; /* of its next exchange */
  uint32_t spins, waits;   /* how long to spin, and how often it has waited */
};

struct comm {
  const struct plan *plan;
  uint64_t deadline_ns;
  uint32_t ranks, most_spins;
  bool check; /* hashes */
  struct host_cell *cells;
  struct host_meeting *meetings; /* [0]: of all ranks */
  uint32_t meeting_count;
  uint32_t *members;            /* of all meetings */
  uint32_t *meeting_of;         /* [group * ranks + rank] */
  void *block;                  /* where cells and meetings lie */
  void *tables;                 /* and what they point to */
  _Atomic uint32_t cause_state; /* 0 none, 1 being written, 2 there */
  struct fault cause;
};

/* The group meets once more: waits for all of it. */
status host_meet(struct comm *c, uint32_t rank, struct host_meeting *meeting);

/*
 * The part of a rank in an exchange whose group has met and agreed; meets the group once or twice
 * more.
 */
status host_move(struct comm *c, uint32_t rank, struct host_meeting *meeting,
                 const struct plan_exchange *exchange);

/* Hashes of what a rank is about to give, for others to compare with what they read. */
void host_hash_sources(struct host_cell *own, const struct comm_block *blocks, uint32_t n,
                       Engine__ExchangeKind kind, uint32_t ranks);

/* dst[i] := the elements i of n sources combined in their order, for first <= i < end. dst may be
 * one of the sources. The loader has refused other types. */
void host_reduce(enum dtype dtype, Engine__Reduction reduction, uint8_t *dst,
                 const uint8_t *const *sources, uint32_t n, uint64_t first, uint64_t end);

#endif
