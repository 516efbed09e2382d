/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of shared memory: who wrote and read each grain of it, and what each warp has seen.
 *
 * Agents are the warps of a CTA and the units that work for them: tensor copies into shared memory,
 * and for each warp its cp.async copies, its bulk copies out of shared memory and its wgmma reads.
 * Every agent counts time; every warp keeps the time of each agent up to which it has seen (a
 * vector clock), which barriers, mbarriers, atomics and waits pass on. An access races with an
 * earlier one that its warp has not seen. Within a warp time advances at instructions that
 * synchronise lanes; accesses of two lanes between them race too.
 *
 * `proxied` says which writes of each warp a fence.proxy.async has made visible to the units.
 * Source: FastTrack (Flanagan and Freund, 2009); PTX ISA, memory consistency model. */
#ifndef SINTER_SIM_EXEC_RACE_H
#define SINTER_SIM_EXEC_RACE_H

#include "sim/exec/simt.h"

enum {
  AGENT_WARP = 0,
  AGENT_TENSOR = 32, /* bulk copies into shared memory */
  AGENT_COPY = 33,   /* cp.async of a warp */
  AGENT_STORE = 65,  /* bulk copies of a warp out of shared memory */
  AGENT_WGMMA = 97,  /* operands of a warp's wgmma */
  AGENTS = 129,
  AGENT_STRONG =
      160, /* a warp by an atomic or another strong access: no race with others of these */
  AGENT_OTHER = 255, /* another CTA, or before time began: never checked */
};

struct vclock {
  uint32_t seen[AGENTS + 3];
  uint32_t proxied[32];
};

static inline void vclock_join(struct vclock *to, const struct vclock *from) {
  for (uint32_t k = 0; k < AGENTS + 3; k++)
    to->seen[k] = to->seen[k] > from->seen[k] ? to->seen[k] : from->seen[k];
  for (uint32_t k = 0; k < 32; k++)
    to->proxied[k] = to->proxied[k] > from->proxied[k] ? to->proxied[k] : from->proxied[k];
}

/* A record: agent, lane, time; 0: nobody. */
enum { TIME_BITS = 19, TIME_MOST = (1 << TIME_BITS) - 1 };
static inline uint32_t record(uint32_t agent, uint32_t lane, uint32_t time) {
  return agent << 24 | lane << TIME_BITS | time;
}
/* Who wrote or read: a warp, however it did, or a unit. */
static inline uint32_t record_agent(uint32_t r) {
  uint32_t a = r >> 24;
  return a - AGENT_STRONG < 32u ? a - AGENT_STRONG : a;
}
static inline bool record_strong(uint32_t r) { return (r >> 24) - AGENT_STRONG < 32u; }
static inline uint32_t record_lane(uint32_t r) { return r >> TIME_BITS & 31; }
static inline uint32_t record_time(uint32_t r) { return r & TIME_MOST; }

struct grain {
  uint32_t writer, reader[2];
};
struct shadow {
  size_t bytes;
  uint32_t shift;        /* log2 of a grain's bytes */
  uint32_t tensor;       /* time of AGENT_TENSOR */
  uint32_t clocks;       /* in the pool */
  bool exhausted;        /* time has run out: only initialisation is checked */
  struct vclock atomics; /* what atomics and strong accesses have passed on */
  struct vclock pool[];  /* of warps, barriers, the cluster; then the grains */
};

/* With the clocks of warps and barriers set; NULL when memory ran out. */
struct shadow *shadow_create(struct cta *c);
void shadow_destroy(struct shadow *s);
/* The calling thread runs no more CTAs. */
void shadow_thread_end(void);
struct grain *shadow_grains(const struct cta *c);
/* What the barrier of the cluster passes on within a CTA; NULL without shared memory. */
struct vclock *shadow_cluster_clock(const struct cta *c);

/* An access by a lane: false after a fault was reported. `same`: a store of what is there. */
bool shadow_access(struct warp *w, const struct inst *i, uint32_t lane, struct cta *c,
                   uint32_t offset, uint32_t n, uint32_t access, bool same);
/* A unit reads for warp w, as `agent` at `time`. *writer is the record of the writer that was last
 * found to be in order, for the next piece of the same operand; 0 before the first. */
bool shadow_unit_read(struct warp *w, const struct inst *i, uint32_t lane, struct cta *c,
                      uint32_t offset, uint32_t n, uint32_t agent, uint32_t time, uint32_t *writer);
/* A unit writes for warp w. */
bool shadow_unit_write(struct warp *w, const struct inst *i, uint32_t lane, struct cta *c,
                       uint32_t offset, uint32_t n, uint32_t agent, uint32_t time);

/* The warp's time goes on. */
void order_tick(struct warp *w);
/* What w has seen passes into `to`, and w's time goes on. */
void order_release(struct warp *w, struct vclock *to);
void order_acquire(struct warp *w, const struct vclock *from);
void order_atomic(struct warp *w);
/* fence.proxy.async by w. */
void order_proxy_fence(struct warp *w);
void order_unit_done(struct warp *w, uint32_t agent, uint32_t time);

#endif
