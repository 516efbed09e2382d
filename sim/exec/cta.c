/* SPDX-License-Identifier: Apache-2.0 */
/* Launches: clusters of CTAs over the host's cores, warps by turns. */
#include "sim/exec/async.h"
#include "sim/exec/device.h"
#include "sim/exec/race.h"
#include "sim/exec/written.h"

#include "base/mem.h"

#include <stdlib.h>
#include <unistd.h>

enum { SLICE = 4096, PATIENCE = 64, MAX_WORKERS = 64 };

uint64_t window_shared, window_local;

struct frame *frame_create(const struct function *f, struct frame *parent, uint32_t mask) {
  struct frame *frame = calloc(1, sizeof *frame);
  if (!frame)
    return NULL;
  *frame = (struct frame){
      .function = f,
      .parent = parent,
      .depth = parent ? parent->depth + 1 : 0,
      .live = mask,
      .local_base =
          parent ? parent->local_base + parent->function->local_bytes + parent->allocated + 16 : 16,
      .registers = aligned_alloc(64, (f->register_bytes + 127u) & ~63u),
      .written = calloc(f->register_count + 1, 4)};
  if (!frame->registers || !frame->written) {
    frame_destroy(frame);
    return NULL;
  }
  memset(frame->registers, 0xcd, f->register_bytes);
  /* hidden registers: 0 takes what nobody wants, 1 holds the base of local memory */
  uint32_t *base = (uint32_t *)(frame->registers + 512);
  for (uint32_t lane = 0; lane < 32; lane++)
    base[lane] = frame->local_base;
  frame->written[1] = UINT32_MAX;
  return frame;
}

void frame_destroy(struct frame *f) {
  if (!f)
    return;
  free(f->registers);
  free(f->written);
  free(f->in_flight);
  free(f);
}

static bool warp_begin(struct cta *c, uint32_t k) {
  struct launch *L = c->launch;
  const struct function *f = L->kernel;
  struct warp *w = &c->warps[k];
  uint32_t n = c->threads - 32 * k;
  uint64_t stack = f->stack_bytes + 32 + (f->recursive ? L->stack : 0);
  w->cta = c;
  w->id = k;
  w->live = n >= 32 ? UINT32_MAX : (UINT32_C(1) << n) - 1;
  w->local_bytes = (uint32_t)(stack > 1u << 22 ? 1u << 22 : stack + 15) & ~15u;
  w->frame = w->root = frame_create(f, NULL, w->live);
  w->local = calloc(32, w->local_bytes);
  if (!w->frame || !w->local)
    return false;
  w->bank[BANK_SPECIAL] = (uint8_t *)w->specials;
  w->groups[0] = (struct group){.frame = w->frame, .mask = w->live};
  w->group_count = 1;
  const struct cluster *C = c->cluster;
  uint64_t used = L->program->specials;
  uint32_t s = 0;
#define SPECIAL(name, value)                                                                       \
  for (uint32_t lane = 0, t = 32 * k; (used >> s & 1) && lane < 32; lane++, t++)                   \
    w->specials[s][lane] = (uint32_t)(value);                                                      \
  s++;
#include "sim/exec/special.def"
#undef SPECIAL
  (void)s;
  return true;
}

static bool cta_begin(struct cluster *cluster, uint32_t rank) {
  struct launch *l = cluster->launch;
  struct cta *c = &cluster->ctas[rank];
  const uint32_t *shape = cluster->shape;
  uint32_t inside[3] = {rank % shape[0], rank / shape[0] % shape[1], rank / shape[0] / shape[1]};
  *c = (struct cta){.launch = l, .cluster = cluster, .rank = rank};
  for (uint32_t k = 0; k < 3; k++)
    c->index[k] = cluster->index[k] * shape[k] + inside[k];
  c->linear =
      c->index[0] + (uint64_t)l->grid[0] * (c->index[1] + (uint64_t)l->grid[1] * c->index[2]);
  c->threads = l->block[0] * l->block[1] * l->block[2];
  c->warp_count = (c->threads + 31) / 32;
  if (l->dynamic_shared)
    c->shared_bytes = l->program->shared_bytes + l->dynamic_shared;
  else
    c->shared_bytes =
        l->program->functions_called ? l->program->next_shared : l->kernel->shared_end;
  c->shared = aligned_alloc(1024, (c->shared_bytes + 2047u) & ~1023u);
  c->warps = aligned_alloc(64, c->warp_count * ((sizeof(struct warp) + 63) & ~(size_t)63));
  if (!c->shared || !c->warps) {
    c->warp_count = c->warps ? c->warp_count : 0;
    return false;
  }
  memset(c->shared, 0xcd, c->shared_bytes);
  for (uint32_t k = 0; k < c->warp_count; k++)
    memset(&c->warps[k], 0, offsetof(struct warp, specials));
  for (uint32_t k = 0; k < c->warp_count; k++)
    if (!warp_begin(c, k))
      return false;
  if (!c->shared_bytes)
    return true;
  c->shadow = shadow_create(c);
  return c->shadow != NULL;
}

static void warp_end(struct warp *w) {
  struct frame *kept[33] = {w->root};
  uint32_t n = 1;
  for (uint32_t k = 0; k < w->group_count; k++) /* lanes that a fault stopped */
    for (struct frame *f = w->groups[k].frame; f; f = f->parent) {
      uint32_t at = 0;
      while (at < n && kept[at] != f)
        at++;
      if (at == n && n < 33)
        kept[n++] = f;
    }
  for (uint32_t k = 0; k < n; k++)
    frame_destroy(kept[k]);
  free(w->local);
  free(w->copies);
  free(w->stores);
}

static void cta_end(struct cta *c) {
  uint64_t done = 0;
  for (uint32_t k = 0; c->warps && k < c->warp_count; k++) {
    done += c->warps[k].lane_instructions;
    warp_end(&c->warps[k]);
  }
  __atomic_fetch_add(&c->launch->lane_instructions, done, __ATOMIC_RELAXED);
  mbarriers_destroy(c->mbarriers);
  shadow_destroy(c->shadow);
  free(c->warps);
  free(c->shared);
}

static struct cluster *cluster_begin(struct launch *l, uint64_t linear) {
  struct cluster *c = mem_calloc(1, sizeof *c);
  uint64_t wide[2] = {l->grid[0] / l->cluster[0], l->grid[1] / l->cluster[1]};
  c->launch = l;
  memcpy(c->shape, l->cluster, sizeof c->shape);
  c->size = c->shape[0] * c->shape[1] * c->shape[2];
  c->index[0] = (uint32_t)(linear % wide[0]);
  c->index[1] = (uint32_t)(linear / wide[0] % wide[1]);
  c->index[2] = (uint32_t)(linear / wide[0] / wide[1]);
  c->ctas = mem_calloc(c->size, sizeof *c->ctas);
  c->random = l->seed ? (l->seed + linear + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1 : 0;
  for (uint32_t k = 0; k < c->size; k++)
    if (!cta_begin(c, k))
      __atomic_store_n(&l->failed, FAULT_OUT_OF_MEMORY, __ATOMIC_RELAXED);
  return c;
}

static void cluster_end(struct cluster *c) {
  for (uint32_t k = 0; k < c->size; k++) {
    if (!launch_failed(c->launch))
      mbarriers_check_end(&c->ctas[k]);
    cta_end(&c->ctas[k]);
  }
  mem_free(c->ctas);
  mem_free(c);
}

static uint32_t draw(struct cluster *c, uint32_t below) {
  c->random ^= c->random << 13;
  c->random ^= c->random >> 7;
  c->random ^= c->random << 17;
  return (uint32_t)(c->random >> 33) % below;
}

/* Names the first warp that waits, for what, and how many others do. */
static void deadlock(struct cluster *c) {
  struct warp *first = NULL;
  uint32_t waiting = 0;
  for (uint32_t r = 0; r < c->size; r++)
    for (uint32_t k = 0; k < c->ctas[r].warp_count; k++) {
      struct warp *w = &c->ctas[r].warps[k];
      if (!w->live)
        continue;
      waiting++;
      bool better =
          !first || (w->groups[0].state == GROUP_RETRY && first->groups[0].state != GROUP_RETRY);
      first = better ? w : first;
    }
  if (!first)
    return;
  const struct group *g = &first->groups[0];
  const struct inst *i = &g->frame->function->code[g->pc - (g->state == GROUP_BARRIER)];
  char what[300] = "";
  if (g->state == GROUP_RETRY && !strcmp(i->opcode, "mbarrier"))
    mbarrier_describe(first, i, g, what, sizeof what);
  memory_fault_report(first, i, __builtin_ctz(g->mask), FAULT_LAUNCH_FAILED,
                      "deadlock: %s; the %u warps that are left all wait",
                      what[0]                   ? what
                      : g->state == GROUP_RETRY ? "the barrier of the cluster is never complete"
                                                : "a barrier that not all will reach",
                      waiting);
}

/* One turn of every warp; false when the cluster has ended. */
static bool cluster_turn(struct cluster *c) {
  bool alive = false, progress = false;
  uint64_t events = c->events;
  for (uint32_t r = 0; r < c->size; r++) {
    struct cta *cta = &c->ctas[r];
    uint32_t first = c->random ? draw(c, cta->warp_count) : 0;
    for (uint32_t n = 0; n < cta->warp_count && !launch_failed(c->launch); n++) {
      struct warp *w = &cta->warps[(first + n) % cta->warp_count];
      if (!w->live)
        continue;
      bool ran = warp_run(w, c->random ? 1 + draw(c, 64) * draw(c, 64) : SLICE);
      alive |= w->live != 0;
      progress |= ran || !w->live;
    }
    bool any = false;
    for (uint32_t n = 0; n < cta->warp_count && !any; n++)
      any = cta->warps[n].live != 0;
    cta->finished = !any;
    progress |= barrier_settle(cta);
  }
  progress |= cluster_settle(c) || events != c->events;
  if (alive && !progress && !launch_failed(c->launch))
    deadlock(c);
  return alive && !launch_failed(c->launch);
}

/* A worker keeps the clusters that it began and goes on to others when they take long: they may
 * wait for CTAs that have not begun. */
static void *worker(void *argument) {
  struct launch *l = argument;
  VEC(struct cluster *) active = {0};
  uint32_t turns = 0;
  for (;;) {
    while ((!active.len || l->cooperative || ++turns > PATIENCE) && !launch_failed(l)) {
      turns = 0;
      uint64_t next = __atomic_fetch_add(&l->next_cluster, 1, __ATOMIC_RELAXED);
      if (next >= l->cluster_count)
        break;
      vec_push(&active, cluster_begin(l, next));
    }
    if (!active.len)
      break;
    for (uint32_t k = 0; k < active.len;) {
      if (cluster_turn(active.data[k])) {
        k++;
        continue;
      }
      cluster_end(active.data[k]);
      active.data[k] = vec_last(&active);
      (void)vec_pop(&active);
    }
  }
  vec_deinit(&active);
  shadow_thread_end();
  return NULL;
}

static enum fault check_cluster(struct launch *l) {
  const struct ptx_function *f = l->kernel->source;
  uint64_t size = 1;
  if (f->cluster[0]) {
    if (l->cluster[0] && memcmp(l->cluster, f->cluster, sizeof l->cluster) != 0)
      return FAULT_INVALID_CLUSTER;
    memcpy(l->cluster, f->cluster, sizeof l->cluster);
  }
  for (uint32_t k = 0; k < 3; k++) {
    l->cluster[k] = l->cluster[k] ? l->cluster[k] : 1;
    if (l->grid[k] % l->cluster[k])
      return FAULT_INVALID_CLUSTER;
    size *= l->cluster[k];
  }
  return size > (l->kernel->large_clusters ? CLUSTER_MOST : 8) ? FAULT_INVALID_CLUSTER : FAULT_NONE;
}

static enum fault check_shape(struct launch *l) {
  static const uint32_t block_limit[3] = {1024, 1024, 64};
  static const uint32_t grid_limit[3] = {INT32_MAX, 65535, 65535};
  const struct ptx_function *f = l->kernel->source;
  uint64_t threads = 1;
  for (uint32_t k = 0; k < 3; k++) {
    if (!l->block[k] || l->block[k] > block_limit[k] || !l->grid[k] || l->grid[k] > grid_limit[k])
      return FAULT_INVALID_VALUE;
    if (f->required[0] && l->block[k] != f->required[k])
      return FAULT_INVALID_VALUE;
    threads *= l->block[k];
  }
  uint64_t most = 1024;
  if (f->maximum[0])
    most = (uint64_t)f->maximum[0] * f->maximum[1] * f->maximum[2];
  if (threads > 1024 || threads > most)
    return FAULT_INVALID_VALUE;
  if (l->dynamic_shared > (uint32_t)l->kernel->attribute_dynamic ||
      (uint64_t)l->dynamic_shared + l->kernel->shared_bytes > 232448)
    return FAULT_INVALID_VALUE;
  uint64_t by_threads = 2048 / ((threads + 31) / 32 * 32),
           by_shared = 233472 / (l->kernel->shared_bytes + (uint64_t)l->dynamic_shared + 1024);
  uint64_t resident = 132 * (by_threads < by_shared ? by_threads : by_shared);
  if (l->cooperative && (uint64_t)l->grid[0] * l->grid[1] * l->grid[2] > resident)
    return FAULT_COOPERATIVE_TOO_LARGE;
  return check_cluster(l);
}

/* What cooperative_groups::grid_group finds by %envreg1 and 2: the number of bytes, and a word that
 * its barrier counts in. */
static bool workspace_begin(struct launch *l) {
  const uint32_t fresh[4] = {sizeof fresh};
  l->workspace = 0;
  if (!l->cooperative)
    return true;
  l->workspace = device_alloc(l->device, sizeof fresh, ALLOCATION_DEVICE, NULL);
  if (l->workspace) {
    memcpy((void *)(uintptr_t)l->workspace, fresh, sizeof fresh);
    written_mark(l->workspace, sizeof fresh);
  }
  return l->workspace != 0;
}

enum fault launch_run(struct launch *l) {
  enum fault bad = check_shape(l);
  if (bad) {
    fprintf(stderr,
            "sim: error: launch of '%s' refused: grid (%u,%u,%u), block (%u,%u,%u), cluster "
            "(%u,%u,%u), %u bytes of dynamic shared memory\n",
            l->kernel->name, l->grid[0], l->grid[1], l->grid[2], l->block[0], l->block[1],
            l->block[2], l->cluster[0], l->cluster[1], l->cluster[2], l->dynamic_shared);
    return bad;
  }
  const char *budget = getenv("SINTER_SIM_INSTRUCTIONS"), *seed = getenv("SINTER_SIM_SEED");
  l->budget = budget ? strtoull(budget, NULL, 10) : UINT64_C(200000000);
  l->seed = seed ? strtoull(seed, NULL, 10) : 0;
  l->cluster_count = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2] /
                     (l->cluster[0] * l->cluster[1] * l->cluster[2]);
  if (!workspace_begin(l))
    return FAULT_OUT_OF_MEMORY;
  pthread_mutex_init(&l->report_lock, NULL);
  pthread_t threads[MAX_WORKERS];
  uint32_t started = 0;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  while ((long)started + 1 < cores && started + 1 < l->cluster_count && started < MAX_WORKERS &&
         !pthread_create(&threads[started], NULL, worker, l))
    started++;
  worker(l);
  while (started)
    pthread_join(threads[--started], NULL);
  pthread_mutex_destroy(&l->report_lock);
  if (l->workspace)
    device_free(l->workspace);
  return (enum fault)l->failed;
}
