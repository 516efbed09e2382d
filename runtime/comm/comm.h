/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the ranks of a session give each other elements and notice each other's failures. A `comm` is
 * what the ranks share, as one process sees it; a kind of comm is a table of functions, as a driver
 * is. runtime/comm/README.md says how to add one.
 *
 * A run on n ranks: each calls `begin`, then the exchanges of its plan in the plan's order, then
 * `finish`. Each of these calls returns on all ranks that take part, or on none: they meet. A rank
 * that cannot go on calls `fail`, and every call of every rank returns with that first cause.
 * Waiting ends with an error after the deadline, counted from the last sign of life (`heartbeat`)
 * of those waited for.
 *
 * A rank's calls come from one thread at a time; ranks may be threads of a process or processes.
 * Functions that return a status report their error (runtime/fault.h): E0703 no answer, E0704 ranks
 * do not run the same thing, E0707 and E0732 what came is damaged, or the first cause of whichever
 * rank failed.
 */
#ifndef SINTER_RUNTIME_COMM_H
#define SINTER_RUNTIME_COMM_H

#include "base/dtype.h"
#include "base/status.h"
#include "runtime/plan.h"

#include <stdatomic.h>
#include <stdint.h>

struct comm; /* a kind's own */
struct comm_driver;
struct driver; /* runtime/drivers/driver.h */
struct device;

struct comm_options {
  const struct plan *plan; /* its ranks, groups and exchanges; outlives the comm */
  uint64_t deadline_ns;
  const struct driver *driver;        /* of the ranks' devices */
  const _Atomic bool *cancelled;      /* the session's: whoever waits gives up; NULL: never */
  const struct comm_driver *controls; /* what NCCL's ranks agree by; NULL: host_comm */
  struct sinter_world *world; /* the processes that are the ranks; NULL: threads of this one */
  bool check; /* compare hashes of what is exchanged; what devices exchanged with what the host
                 makes of it */
};

/* How what a rank gives next is damaged on its way, for tests. */
enum comm_damage {
  COMM_SOUND,
  COMM_DAMAGED_HEADER,  /* what ranks compare when they meet */
  COMM_DAMAGED_PAYLOAD, /* an element; only seen where hashes are compared */
};

/* What ranks compare before the first exchange of a run. */
struct comm_agreement {
  uint64_t engine[2]; /* digest of the engine's file */
  uint64_t entry;     /* its number */
  uint64_t shapes;    /* hash of the inputs' */
};

/* One value of an exchange. src and dst hold one block or as many as the group has ranks, as
 * engine.proto says of the kind; memory of the rank's device, or of the host. */
struct comm_block {
  const uint8_t *src;
  uint8_t *dst;
  uint64_t elements; /* of one block */
  enum dtype dtype;  /* one byte or more each */
};

#define COMM_GIFT 256u

/* Of a heartbeat. */
#define COMM_SIGN_OF_LIFE 0x80000000u

struct comm_driver {
  const char *name;

  /* Connects the plan's ranks. Errors: E0615. */
  status (*create)(const struct comm_options *options, struct comm **out_comm);
  void (*destroy)(struct comm *comm);

  /*
   * For kinds in which devices exchange elements themselves; NULL for others. Called when the `n`
   * ranks of this process, from `first` on, have devices, and before each run: connects them unless
   * they are connected, and tries what connects them. Errors: E0703, E0731, E0732.
   */
  status (*connect)(struct comm *comm, uint32_t first, uint32_t n, struct device *const *devices);

  /* Whether an exchange's blocks are memory of the devices. It is then put behind what the device
   * has to do already, and may not be done when `exchange` returns. NULL: never. */
  bool (*on_device)(const struct comm *comm, const struct plan_exchange *exchange);

  /* All ranks meet and compare. */
  status (*begin)(struct comm *comm, uint32_t rank, const struct comm_agreement *agreement);

  /*
   * The ranks of the exchange's group meet and exchange `n` blocks, as many as it has parts. Done
   * when it returns. `decisions` stands for all that data decided so far (which branch, how many
   * iterations, which sizes); groups whose ranks differ in it are refused with E0704.
   */
  status (*exchange)(struct comm *comm, uint32_t rank, const struct plan_exchange *exchange,
                     const struct comm_block *blocks, uint32_t n, uint64_t decisions);

  /* The first half of `exchange`: they meet and compare, and nothing moves. */
  status (*agree)(struct comm *comm, uint32_t rank, const struct plan_exchange *exchange,
                  const struct comm_block *blocks, uint32_t n, uint64_t decisions);

  /* An exchange of devices that is recorded and takes place once more without `exchange`: only
   * counts. NULL where on_device is. */
  void (*repeat)(struct comm *comm, uint32_t rank, const struct plan_exchange *exchange,
                 const struct comm_block *blocks, uint32_t n);

  /* All ranks meet; *out_least is the least of what they bring. */
  status (*vote)(struct comm *comm, uint32_t rank, uint32_t mine, uint32_t *out_least);

  /* All ranks meet; out_all gets what each brings, at most COMM_GIFT bytes and as many of each, in
   * the order of ranks. Outside of runs. */
  status (*gather)(struct comm *comm, uint32_t rank, const void *mine, size_t bytes, void *out_all);

  /* All ranks meet at the end of a run. */
  status (*finish)(struct comm *comm, uint32_t rank, uint64_t decisions);

  /* This rank failed: its thread's last error becomes the first cause unless there is one. Wakes
   * whoever waits. Then, or if another rank failed before, makes the first cause the thread's last
   * error and returns its status. */
  status (*fail)(struct comm *comm, uint32_t rank);

  /* Whether some rank failed. */
  bool (*failed)(const struct comm *comm);

  /* Forgets a failure, once no rank is in a run. */
  void (*reset)(struct comm *comm);

  /* A number that the rank changes whenever it gets something done: the step it is at, and a bit
   * that is for nothing else. Of a rank in another process it is what is known here. */
  _Atomic uint32_t *(*heartbeat)(struct comm *comm, uint32_t rank);

  /* Bytes that a rank received from others in exchange `number`, and how often it took part, in
   * the last run. */
  uint64_t (*received)(const struct comm *comm, uint32_t rank, uint32_t number,
                       uint64_t *out_times);

  /* Damages the rank's part of the next exchange; of the run's end, if there is none and it is not
   * about elements. */
  void (*damage)(struct comm *comm, uint32_t rank, enum comm_damage damage);
};

extern const struct comm_driver host_comm;    /* threads of one process, in its memory */
extern const struct comm_driver process_comm; /* processes, of one host or of several */
extern const struct comm_driver nccl_comm;    /* NVIDIA GPUs, real or simulated, by NCCL */

/*
 * Bytes that all ranks of a group together receive from each other when blocks have `block_bytes`
 * (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations",
 * 2009: no all_reduce can do with less). UINT64_MAX if it passes 64 bits.
 */
uint64_t comm_group_bytes(const struct plan *plan, const struct plan_exchange *exchange,
                          uint64_t block_bytes);

/* Of these, what the rank at a place receives if everyone combines a segment of an all_reduce
 * (comm_segment). block_bytes = elements * element_bytes must fit. */
uint64_t comm_rank_bytes(const struct plan *plan, const struct plan_exchange *exchange,
                         uint32_t place, uint64_t elements, uint64_t element_bytes);

/* The first of the elements that the rank at a place of n combines. */
static inline uint64_t comm_segment(uint64_t elements, uint32_t place, uint32_t n) {
  return elements / n * place + (place < elements % n ? place : elements % n);
}

/* Where a rank is in its run: how many exchanges it has come to, and what it is at: the number of
 * an exchange, or the run's beginning or end. */
#define COMM_AT(count, number) ((uint64_t)(count) << 32 | (number))
#define COMM_AT_NUMBER(at) ((uint32_t)(at))
#define COMM_AT_COUNT(at) ((uint32_t)((at) >> 32))
#define COMM_BEGIN UINT32_MAX
#define COMM_FINISH (UINT32_MAX - 1)

/* "exchange 3 (all_reduce of node 7 ...)", or the run's beginning or end. */
const char *comm_at_text(const struct plan *plan, uint64_t at, char *buffer, size_t n);

/* What differs between two runs, in words; NULL: nothing. */
const char *comm_compare(const struct comm_agreement *a, const struct comm_agreement *b);

/* "all_reduce". Static storage. */
const char *comm_kind_text(Engine__ExchangeKind kind);

#endif
