/* SPDX-License-Identifier: Apache-2.0 */
/* What runs beside the threads: mbarriers, asynchronous copies and their groups. Copies happen when
 * they are issued; what a thread may rely on before it has waited is the matter of exec/race.h. */
#ifndef SINTER_SIM_EXEC_ASYNC_H
#define SINTER_SIM_EXEC_ASYNC_H

#include "sim/exec/race.h"

struct mbarrier {
  uint32_t offset; /* in shared memory */
  bool live;
  uint32_t count, pending;
  int64_t bytes; /* still expected in this phase */
  uint64_t phase;
  uint32_t line;       /* of its init */
  uint32_t init_agent; /* warp and time of its init */
  uint32_t init_time;
  struct vclock gathered, passed; /* of this phase, of the last complete one */
};

void mbarriers_destroy(struct mbarriers *m);
/* Reports mbarriers that still expect bytes when their CTA ends. */
void mbarriers_check_end(struct cta *c);
/* For a deadlock: what the group of lanes waits for. */
void mbarrier_describe(struct warp *w, const struct inst *i, const struct group *g, char *out,
                       size_t size);
/* The live mbarrier at a shared address; NULL after a fault was reported. */
struct mbarrier *mbarrier_at(struct warp *w, const struct inst *i, uint32_t lane, uint64_t address,
                             struct cta **out_cta);
/* `bytes` of a copy have come, by `agent` at `time`. */
void mbarrier_complete(struct cta *c, struct mbarrier *m, uint32_t bytes, uint32_t agent,
                       uint32_t time);
void mbarrier_arrive(struct warp *w, struct cta *c, struct mbarrier *m, uint32_t count);

/* cp.async and bulk groups of a warp. */
struct async_groups *groups_of(struct async_groups **slot);
void groups_commit(struct async_groups *g, uint32_t mask);
/* The last operation that is complete when at most `pending` groups of these lanes are not. */
uint32_t groups_wait(const struct async_groups *g, uint32_t mask, uint32_t pending);

#endif
