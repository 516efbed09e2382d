/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/exec/race.h"

#include <stdlib.h>

/* The last that was destroyed in this thread: CTAs of a launch are alike. */
static _Thread_local struct shadow *kept;

static struct shadow *fresh(size_t bytes) {
  struct shadow *s = kept && kept->bytes == bytes ? kept : NULL;
  if (s) {
    kept = NULL;
    memset(s, 0, bytes);
  } else {
    s = calloc(1, bytes);
  }
  if (s)
    s->bytes = bytes;
  return s;
}

struct shadow *shadow_create(struct cta *c) {
  uint32_t clocks = c->warp_count + 17, shift = c->launch->program->grain_shift;
  size_t grains = (c->shared_bytes >> shift) + 2;
  struct shadow *s =
      fresh(sizeof *s + clocks * sizeof(struct vclock) + grains * sizeof(struct grain));
  if (!s)
    return NULL;
  s->shift = shift;
  s->clocks = clocks;
  for (uint32_t k = 0; k < c->warp_count; k++) {
    c->warps[k].order = &s->pool[k];
    s->pool[k].seen[k] = 1;
  }
  for (uint32_t k = 0; k < 16; k++)
    c->barriers[k].order = &s->pool[c->warp_count + k];
  return s;
}

void shadow_destroy(struct shadow *s) {
  if (s) {
    free(kept);
    kept = s;
  }
}
void shadow_thread_end(void) {
  free(kept);
  kept = NULL;
}

struct grain *shadow_grains(const struct cta *c) {
  return (struct grain *)(void *)&c->shadow->pool[c->shadow->clocks];
}
struct vclock *shadow_cluster_clock(const struct cta *c) {
  return c->shadow ? &c->shadow->pool[c->shadow->clocks - 1] : NULL;
}

void order_tick(struct warp *w) {
  if (!w->order)
    return;
  uint32_t *own = &w->order->seen[w->id];
  if (*own >= TIME_MOST)
    w->cta->shadow->exhausted = true;
  else
    ++*own;
}
void order_release(struct warp *w, struct vclock *to) {
  if (!w->order || !to)
    return;
  vclock_join(to, w->order);
  order_tick(w);
}
void order_acquire(struct warp *w, const struct vclock *from) {
  if (w->order && from)
    vclock_join(w->order, from);
}
void order_atomic(struct warp *w) {
  if (!w->order)
    return;
  order_acquire(w, &w->cta->shadow->atomics);
  order_release(w, &w->cta->shadow->atomics);
}
void order_proxy_fence(struct warp *w) {
  if (!w->order)
    return;
  for (uint32_t k = 0; k < 32; k++)
    w->order->proxied[k] =
        w->order->proxied[k] > w->order->seen[k] ? w->order->proxied[k] : w->order->seen[k];
  order_tick(w);
}
void order_unit_done(struct warp *w, uint32_t agent, uint32_t time) {
  if (w->order && w->order->seen[agent] < time)
    w->order->seen[agent] = time;
}

/* Reports. */

static const char *verb(uint32_t access) {
  return access & ACCESS_ATOMIC ? "atomic" : access & ACCESS_WRITE ? "store" : "load";
}

static bool uninitialised(struct warp *w, const struct inst *i, uint32_t lane, uint32_t at) {
  memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                      "uninitialised: '%s' reads byte %u of shared memory, which nobody wrote",
                      i->opcode, at);
  return false;
}

static bool report(struct warp *w, const struct inst *i, uint32_t lane, uint32_t at,
                   const char *what, uint32_t other, bool other_writes) {
  uint32_t a = record_agent(other);
  const char *did = other_writes ? "wrote" : "read";
  if (a < 32)
    memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                        "race in shared memory: %s at byte %u, which thread %u (warp %u, lane %u) "
                        "%s and no barrier lies between",
                        what, at, a * 32 + record_lane(other), a, record_lane(other), did);
  else if (a == AGENT_TENSOR || (a >= AGENT_COPY && a < AGENT_STORE))
    memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                        "asynchronous copy used before its wait: %s at byte %u of shared memory, "
                        "which %s writes, and this thread has not waited for it",
                        what, at, a == AGENT_TENSOR ? "a bulk copy" : "a cp.async");
  else
    memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                        "race in shared memory: %s at byte %u, which %s of warp %u may still read: "
                        "its wait comes first",
                        what, at, a < AGENT_WGMMA ? "a bulk copy" : "a wgmma",
                        a < AGENT_WGMMA ? a - AGENT_STORE : a - AGENT_WGMMA);
  return false;
}

static inline bool unseen(const struct warp *w, uint32_t lane, uint32_t r) {
  uint32_t agent = record_agent(r), time = record_time(r);
  if (!r || agent == AGENT_OTHER)
    return false;
  if (agent == w->id)
    return time >= w->order->seen[w->id] && record_lane(r) != lane;
  return time > w->order->seen[agent];
}

/* Strong accesses order by themselves what they meet of each other, and of their own warp. */
static inline bool races(const struct warp *w, uint32_t lane, uint32_t r, bool strong) {
  return !(strong && (record_strong(r) || record_agent(r) == w->id)) && unseen(w, lane, r);
}

/* Keeps the readers that a later writer is likeliest not to have seen. */
static inline void note_reader(const struct warp *w, struct grain *g, uint32_t r) {
  uint32_t agent = record_agent(r);
  if (!g->reader[0] || record_agent(g->reader[0]) == agent) {
    g->reader[0] = r;
    return;
  }
  if (!g->reader[1] || record_agent(g->reader[1]) == agent || unseen(w, 32, g->reader[0])) {
    g->reader[1] = r;
    return;
  }
  g->reader[0] = r;
}

bool shadow_access(struct warp *w, const struct inst *i, uint32_t lane, struct cta *c,
                   uint32_t offset, uint32_t n, uint32_t access, bool same) {
  struct shadow *s = c->shadow;
  struct grain *all = shadow_grains(c);
  uint32_t first = offset >> s->shift, last = (offset + n - 1) >> s->shift;
  bool remote = c != w->cta, check = !remote && !s->exhausted;
  bool strong = (access & ACCESS_ATOMIC) || i->strong;
  uint32_t mine = remote
                      ? (uint32_t)AGENT_OTHER << 24 | 1
                      : record(strong ? AGENT_STRONG + w->id : w->id, lane, w->order->seen[w->id]);
  for (uint32_t k = first; k <= last; k++) {
    struct grain *g = &all[k];
    if ((access & ACCESS_READ) && !g->writer)
      return uninitialised(w, i, lane, k << s->shift);
    if (check && !(same && record_agent(g->writer) < 32) && races(w, lane, g->writer, strong))
      return report(w, i, lane, k << s->shift, verb(access), g->writer, true);
    if (access & ACCESS_WRITE) {
      if (check && !same)
        for (uint32_t r = 0; r < 2; r++)
          if (races(w, lane, g->reader[r], strong))
            return report(w, i, lane, k << s->shift, verb(access), g->reader[r], false);
      if (!same || !g->writer)
        g->writer = mine;
    } else if (check) {
      note_reader(w, g, mine);
    }
  }
  return true;
}

/* Grains of an operand are alike for long: what was found of one holds for the next that is equal.
 */
static inline bool alike(const struct grain *a, const struct grain *b) {
  return a->writer == b->writer && a->reader[0] == b->reader[0] && a->reader[1] == b->reader[1];
}

/* Whether a unit may read a grain that was written. */
static bool unit_may_read(struct warp *w, const struct inst *i, uint32_t lane, struct cta *c,
                          uint32_t at, uint32_t writer) {
  uint32_t a = record_agent(writer);
  if (c != w->cta || c->shadow->exhausted)
    return true;
  if (a != w->id && unseen(w, lane, writer))
    return report(w, i, lane, at, "read by an asynchronous unit", writer, true);
  if (a < 32 && record_time(writer) > w->order->proxied[a]) {
    memory_fault_report(
        w, i, (int)lane, FAULT_LAUNCH_FAILED,
        "missing proxy fence: '%s' reads byte %u of shared memory, which thread %u wrote by an "
        "ordinary store; fence.proxy.async must come between",
        i->opcode, at, a * 32 + record_lane(writer));
    return false;
  }
  return true;
}

bool shadow_unit_read(struct warp *w, const struct inst *i, uint32_t lane, struct cta *c,
                      uint32_t offset, uint32_t n, uint32_t agent, uint32_t time,
                      uint32_t *writer) {
  struct shadow *s = c->shadow;
  struct grain *all = shadow_grains(c), *end = &all[((offset + n - 1) >> s->shift) + 1];
  struct grain last = {0}, after = {0};
  uint32_t mine = record(agent, 0, time & TIME_MOST);
  for (struct grain *g = &all[offset >> s->shift]; g < end; g++) {
    if (alike(g, &last) && last.writer) {
      *g = after;
      continue;
    }
    last = *g;
    if (!g->writer)
      return uninitialised(w, i, lane, (uint32_t)(g - all) << s->shift);
    if (g->writer != *writer &&
        !unit_may_read(w, i, lane, c, (uint32_t)(g - all) << s->shift, g->writer))
      return false;
    *writer = g->writer;
    note_reader(w, g, mine);
    after = *g;
  }
  return true;
}

bool shadow_unit_write(struct warp *w, const struct inst *i, uint32_t lane, struct cta *c,
                       uint32_t offset, uint32_t n, uint32_t agent, uint32_t time) {
  struct shadow *s = c->shadow;
  struct grain *all = shadow_grains(c), *end = &all[((offset + n - 1) >> s->shift) + 1];
  bool check = c == w->cta && !s->exhausted;
  struct grain last = {0}, after = {.writer = record(agent, 0, time & TIME_MOST)};
  for (struct grain *g = &all[offset >> s->shift]; g < end; g++) {
    if (check && !alike(g, &last)) {
      uint32_t at = (uint32_t)(g - all) << s->shift;
      if (record_agent(g->writer) != w->id && record_agent(g->writer) != agent &&
          unseen(w, lane, g->writer))
        return report(w, i, lane, at, "written by an asynchronous copy", g->writer, true);
      for (uint32_t r = 0; r < 2; r++)
        if (record_agent(g->reader[r]) != w->id && unseen(w, lane, g->reader[r]))
          return report(w, i, lane, at, "written by an asynchronous copy", g->reader[r], false);
      last = *g;
    }
    *g = after;
  }
  return true;
}
