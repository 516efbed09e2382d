/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What NCCL's kind of communication holds: for each rank of this process a communicator of all
 * ranks, and one for each group of the plan that has other members, made of it by ncclCommSplit.
 * Beside it runs another kind, `control`, over host memory: there ranks agree, vote, fail, and
 * exchange what NCCL has no elements for.
 */
#ifndef SINTER_RUNTIME_NCCL_STATE_H
#define SINTER_RUNTIME_NCCL_STATE_H

#include "runtime/comm/comm.h"
#include "runtime/comm/nccl/nccl_api.h"
#include "runtime/drivers/cuda/cuda_device.h"
#include "runtime/fault.h"

/* A rank's part of an exchange that the host makes too: other ranks read it, also when this one has
 * failed, so it stays for the next exchange. */
struct nccl_check {
  struct comm_block *blocks; /* in `memory` */
  uint8_t *memory;
  uint32_t n; /* room for blocks, and bytes of memory */
  uint64_t bytes;
};

struct nccl_rank {
  struct comm *comm;
  uint32_t number;
  struct device *device;
  nccl_handle *world;
  nccl_handle **groups;          /* per group of the plan: may be `world`; NULL: alone there */
  uint64_t *received, *times;    /* per exchange, by NCCL */
  cuda_module *code;             /* of nccl_combine.c; NULL: not wanted */
  struct driver_buffer segments; /* likewise: of all ranks, to be combined here */
  struct nccl_check check;
  bool in_flight;       /* exchanges were put on the device in this run */
  uint32_t first, last; /* the first and the last of them that may not be done */
  uint64_t since;       /* when the last sign of life was seen */
  uint32_t signs;
};

struct comm {
  const struct plan *plan;
  const struct nccl_api *api;
  const struct driver *driver;
  const _Atomic bool *cancelled;
  uint64_t deadline_ns;
  bool check; /* each exchange against the host's */
  const struct comm_driver *controls;
  struct comm *control;
  struct nccl_rank *ranks; /* of this process, from number `first` on */
  uint32_t first, n;
  bool connected;
  _Atomic bool broken; /* some communicator was aborted */
};

static inline struct nccl_rank *nccl_rank_of(const struct comm *c, uint32_t rank) {
  return &c->ranks[rank - c->first];
}

/* --- nccl_link.c: communicators --- */

/* Makes all communicators of this process's ranks. Errors: E0703, E0731. */
status nccl_link_open(struct comm *c);
/* Destroys, or aborts, what there is. */
void nccl_link_close(struct comm *c, bool abort);
/* Aborts those of one rank and waits until its device has nothing to do. */
void nccl_link_abort(struct nccl_rank *r);

/* A result of a call of NCCL: waits for what is in progress, reports what failed. Errors: E0615,
 * E0731, and the first cause if another rank failed. */
status nccl_result(struct nccl_rank *r, int result, const char *what);

/* The watch of a device (cuda_device.h): what a rank looks at while it waits. Errors: E0617, E0703,
 * E0731, and the first cause if another rank failed. */
status nccl_watch(void *rank, bool begins);

/* --- nccl_combine.c --- */

/* Whether an exchange combines elements of a type as NCCL cannot. */
bool nccl_combines(const Engine__Exchange *body, enum dtype dtype);
/* What that takes, if the plan has such exchanges. Errors: E0722. */
status nccl_combine_load(struct comm *c);
void nccl_combine_unload(struct nccl_rank *r);
/* One block of such an exchange. Errors: E0615, E0722, those of nccl_result. */
status nccl_combine(struct nccl_rank *r, const struct plan_exchange *exchange,
                    const struct comm_block *block);

/* --- nccl_check.c --- */

/* Before an exchange of devices, whose result may replace what it was given: does the same on the
 * host. Errors: those of exchanges; E0615. */
status nccl_check_begin(struct comm *c, struct nccl_rank *r, const struct plan_exchange *exchange,
                        const struct comm_block *blocks, uint32_t n, uint64_t decisions);
/* After it: compares. Errors: E0732. */
status nccl_check_end(struct comm *c, struct nccl_rank *r, const struct plan_exchange *exchange,
                      const struct comm_block *blocks, uint32_t n);
void nccl_check_deinit(struct nccl_check *check);

/* --- known_answers.c --- */

/* Tries every communicator by exchanges whose results are known. Errors: E0732, and as above. */
status nccl_known_answers(struct comm *c);

#endif
