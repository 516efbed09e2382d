/* SPDX-License-Identifier: Apache-2.0 */
/* Launches: CTAs over the host's cores, warps by turns, lanes in groups. */
#include "sim/exec/simt.h"

#include "base/mem.h"

#include <stdlib.h>
#include <unistd.h>

enum { SLICE = 4096, SWITCH_AFTER = 512, PATIENCE = 64, MAX_WORKERS = 64 };

uint64_t window_shared, window_local;

static void enter(struct warp *w, uint32_t index) {
  struct group *g = &w->groups[index];
  w->current = index;
  w->pc = g->pc;
  w->frame = g->frame;
  w->bank[BANK_REGISTER] = g->frame->registers;
  w->bank[BANK_CONSTANT] = g->frame->function->constants;
}

static void merge(struct warp *w) {
  for (uint32_t a = 0; a < w->group_count; a++)
    for (uint32_t b = a + 1; b < w->group_count;) {
      struct group *x = &w->groups[a], *y = &w->groups[b];
      bool same = x->frame == y->frame && x->pc == y->pc && x->state == y->state &&
                  x->state != GROUP_BARRIER;
      if (same || !y->mask) {
        x->mask |= y->mask;
        *y = w->groups[--w->group_count];
      } else {
        b++;
      }
    }
}

/* The lanes that must come together at i. */
static uint32_t members(struct warp *w, const struct inst *i, uint32_t mask) {
  if (i->member == 255)
    return w->live;
  const struct operand *o = &i->op[i->member];
  uint32_t lane = (uint32_t)__builtin_ctz(mask), wanted = (uint32_t)lane_get(w, o, lane);
  if (!(wanted >> lane & 1))
    memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                 "the member mask 0x%08x of '%s' leaves out the lane that executes it", wanted,
                 i->opcode);
  return wanted & w->live;
}

/* Groups whose lanes have all come, or of which the missing ones have exited, go on. */
static void release_joins(struct warp *w) {
  for (uint32_t k = 0; k < w->group_count; k++) {
    struct group *g = &w->groups[k];
    if (g->state != GROUP_JOINING)
      continue;
    enter(w, k);
    if (!(members(w, &g->frame->function->code[g->pc], g->mask) & ~g->mask))
      g->state = GROUP_READY;
  }
}

/* Chooses the group that runs next; false if none is ready. */
static bool choose(struct warp *w) {
  w->reschedule = false;
  merge(w);
  release_joins(w);
  uint32_t best = UINT32_MAX, oldest = UINT32_MAX;
  for (uint32_t k = 0; k < w->group_count; k++) {
    const struct group *g = &w->groups[k], *b = &w->groups[best == UINT32_MAX ? 0 : best];
    if (g->state != GROUP_READY || !g->mask)
      continue;
    if (best == UINT32_MAX || g->frame->depth > b->frame->depth ||
        (g->frame->depth == b->frame->depth && g->pc < b->pc))
      best = k;
    if (oldest == UINT32_MAX || g->last < w->groups[oldest].last)
      oldest = k;
  }
  if (best == UINT32_MAX)
    return false;
  w->clock++;
  if (w->clock - w->groups[oldest].last > SWITCH_AFTER)
    best = oldest;
  w->groups[best].last = w->clock;
  enter(w, best);
  return true;
}

void warp_split(struct warp *w, uint32_t mask, struct frame *frame, uint32_t pc) {
  struct group *g = &w->groups[w->current];
  if (mask == g->mask) {
    g->frame = frame;
    w->pc = g->pc = pc;
    w->reschedule = w->group_count > 1 || frame != w->frame;
    return;
  }
  g->mask &= ~mask;
  g->pc = w->pc;
  w->groups[w->group_count++] =
      (struct group){.frame = frame, .pc = pc, .mask = mask, .state = GROUP_READY, .last = g->last};
  w->reschedule = true;
}

void warp_exit(struct warp *w, uint32_t mask) {
  w->groups[w->current].mask &= ~mask;
  w->live &= ~mask;
  w->reschedule = true;
  if (!w->groups[w->current].mask)
    w->groups[w->current] = w->groups[--w->group_count];
}

static bool failed(const struct launch *l) {
  return __atomic_load_n(&l->failed, __ATOMIC_RELAXED) != FAULT_NONE;
}

/* Registers that an instruction reads must have been written. */
static uint32_t unwritten(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t missing = 0;
  for (uint32_t k = i->writes; k < i->count; k++)
    if (i->op[k].bank == BANK_REGISTER)
      missing |= mask & ~w->frame->written[i->op[k].reg];
  return missing;
}

static void execute(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t missing = unwritten(w, i, mask), *written = w->frame->written;
  if (__builtin_expect(missing && !i->copies, 0)) {
    memory_fault_report(w, i, __builtin_ctz(missing), FAULT_LAUNCH_FAILED,
                 "'%s' reads a register that was never written", i->opcode);
    return;
  }
  i->fn(w, i, mask);
  for (uint32_t k = 0; k < i->writes; k++)
    written[i->op[k].reg] = (written[i->op[k].reg] | mask) & ~missing;
}

/* Nobody can go on: lanes stand at different joins, or wait for lanes that stand at a barrier. */
static void stuck(struct warp *w) {
  const struct group *g = NULL;
  for (uint32_t k = 0; k < w->group_count; k++)
    if (w->groups[k].state == GROUP_JOINING)
      g = &w->groups[k];
  if (!g)
    return;
  const struct inst *i = &g->frame->function->code[g->pc];
  memory_fault_report(w, i, __builtin_ctz(g->mask), FAULT_LAUNCH_FAILED,
               "lanes diverge: '%s' waits for lanes of mask 0x%08x that never come", i->opcode,
               w->live & ~g->mask);
}

/* Runs up to `budget` instructions. False when the warp waits or has ended. */
static bool warp_run(struct warp *w, uint32_t budget) {
  struct launch *l = w->cta->launch;
  if (!choose(w)) {
    stuck(w);
    return false;
  }
  uint32_t spent = 0;
  bool waits = false;
  while (spent < budget && !failed(l)) {
    struct group *g = &w->groups[w->current];
    const struct inst *i = &w->frame->function->code[w->pc];
    uint32_t mask = g->mask;
    if (i->guarded) {
      if (mask & ~w->frame->written[i->guard.reg])
        memory_fault_report(w, i, __builtin_ctz(mask & ~w->frame->written[i->guard.reg]),
                     FAULT_LAUNCH_FAILED, "the guard of '%s' was never written", i->opcode);
      mask &= pred_get(w, &i->guard);
    }
    spent++;
    w->lane_instructions += (uint32_t)__builtin_popcount(mask);
    if (!mask) {
      w->pc++;
    } else if (__builtin_expect(i->flow == FLOW_NEXT, 1)) {
      execute(w, i, mask);
      w->pc++;
    } else if (i->flow == FLOW_JOIN) {
      uint32_t need = members(w, i, mask);
      if ((need & ~mask) && !failed(l)) {
        if (mask != g->mask) /* lanes whose guard is false do not wait */
          warp_split(w, g->mask & ~mask, w->frame, w->pc + 1);
        g->pc = w->pc;
        g->state = GROUP_JOINING;
        w->reschedule = true;
      } else {
        execute(w, i, mask);
        w->pc++;
        w->groups[w->current].pc = w->pc;
      }
    } else {
      uint32_t missing = unwritten(w, i, mask);
      if (missing)
        memory_fault_report(w, i, __builtin_ctz(missing), FAULT_LAUNCH_FAILED,
                     "'%s' reads a register that was never written", i->opcode);
      else
        i->fn(w, i, mask);
    }
    if (w->reschedule || (w->group_count > 1 && w->frame->function->code[w->pc].leader)) {
      if (!w->reschedule)
        w->groups[w->current].pc = w->pc;
      waits = !w->live || !choose(w);
      if (waits)
        break;
    }
  }
  if (waits && w->live && !failed(l))
    stuck(w);
  if (!waits && w->live)
    w->groups[w->current].pc = w->pc;
  w->executed += spent;
  if (w->executed > l->budget && !failed(l)) {
    const struct inst *i = &w->frame->function->code[w->pc];
    memory_fault_report(w, i, -1, FAULT_TIMEOUT,
                 "no end after %llu instructions of one warp: an endless loop, or a wait for what "
                 "never comes (SINTER_SIM_INSTRUCTIONS raises the limit)",
                 (unsigned long long)w->executed);
  }
  return spent > 0 && w->live;
}

static bool cta_begin(struct launch *l, struct cta *c, uint64_t linear) {
  const struct function *f = l->kernel;
  *c = (struct cta){.launch = l, .linear = linear};
  c->index[0] = (uint32_t)(linear % l->grid[0]);
  c->index[1] = (uint32_t)(linear / l->grid[0] % l->grid[1]);
  c->index[2] = (uint32_t)(linear / l->grid[0] / l->grid[1]);
  c->threads = l->block[0] * l->block[1] * l->block[2];
  c->warp_count = (c->threads + 31) / 32;
  c->shared_bytes = l->program->shared_bytes + l->dynamic_shared;
  c->shared = aligned_alloc(1024, (c->shared_bytes + 2047u) & ~1023u);
  c->shared_written = calloc(1, c->shared_bytes + 16);
  c->warps = aligned_alloc(64, c->warp_count * ((sizeof(struct warp) + 63) & ~(size_t)63));
  if (!c->shared || !c->shared_written || !c->warps)
    return false;
  memset(c->shared, 0xcd, c->shared_bytes);
  memset(c->warps, 0, c->warp_count * sizeof *c->warps);
  for (uint32_t k = 0; k < c->warp_count; k++) {
    struct warp *w = &c->warps[k];
    w->cta = c;
    w->id = k;
    uint32_t n = c->threads - 32 * k;
    w->live = n >= 32 ? UINT32_MAX : (UINT32_C(1) << n) - 1;
    w->local_bytes = f->local_bytes + 16;
    struct frame *frame = calloc(1, sizeof *frame);
    if (!frame)
      return false;
    w->frame = frame;
    *frame = (struct frame){.function = f,
                            .live = w->live,
                            .local_base = 16,
                            .registers = aligned_alloc(64, (f->register_bytes + 127u) & ~63u),
                            .written = calloc(f->register_count + 1, 4),
                            .params = calloc(32, f->frame_param_bytes + 1)};
    w->local = calloc(32, w->local_bytes);
    if (!frame->registers || !frame->written || !frame->params || !w->local)
      return false;
    memset(frame->registers, 0xcd, f->register_bytes);
    /* hidden registers: 0 takes what nobody wants, 1 holds the base of local memory */
    uint32_t *base = (uint32_t *)(frame->registers + 256);
    for (uint32_t lane = 0; lane < 32; lane++)
      base[lane] = frame->local_base;
    frame->written[1] = UINT32_MAX;
    w->bank[BANK_SPECIAL] = (uint8_t *)w->specials;
    w->groups[0] = (struct group){.frame = frame, .mask = w->live};
    w->group_count = 1;
    struct launch *L = l;
    for (uint32_t lane = 0; lane < 32; lane++) {
      uint32_t t = 32 * k + lane, s = 0;
#define SPECIAL(name, value) w->specials[s++][lane] = (uint32_t)(value);
#include "sim/exec/special.def"
#undef SPECIAL
    }
  }
  return true;
}

static void cta_end(struct cta *c) {
  uint64_t done = 0;
  for (uint32_t k = 0; c->warps && k < c->warp_count; k++) {
    struct warp *w = &c->warps[k];
    struct frame *f = w->frame;
    done += w->lane_instructions;
    if (f) {
      free(f->registers);
      free(f->written);
      free(f->params);
      free(f);
    }
    free(w->local);
  }
  __atomic_fetch_add(&c->launch->lane_instructions, done, __ATOMIC_RELAXED);
  free(c->warps);
  free(c->shared);
  free(c->shared_written);
}

/* One turn of every warp; false when the CTA has ended. */
static bool cta_turn(struct cta *c) {
  bool alive = false;
  c->progress = false;
  for (uint32_t k = 0; k < c->warp_count && !failed(c->launch); k++) {
    struct warp *w = &c->warps[k];
    if (!w->live)
      continue;
    bool ran = warp_run(w, SLICE);
    if (w->live)
      alive = true;
    c->progress |= ran || !w->live;
  }
  c->progress |= barrier_settle(c);
  if (alive && !c->progress && !failed(c->launch)) {
    for (uint32_t k = 0; k < c->warp_count; k++)
      if (c->warps[k].live) {
        struct warp *w = &c->warps[k];
        const struct group *g = &w->groups[0];
        memory_fault_report(
            w, &g->frame->function->code[g->pc], __builtin_ctz(g->mask), FAULT_LAUNCH_FAILED,
            "deadlock: every warp that is left waits at a barrier that not all will reach");
        break;
      }
  }
  return alive && !failed(c->launch);
}

/* A worker keeps the CTAs that it began and goes on to others when they take long: they may wait
 * for CTAs that have not begun. */
static void *worker(void *argument) {
  struct launch *l = argument;
  VEC(struct cta *) active = {0};
  uint32_t turns = 0;
  for (;;) {
    if ((!active.len || ++turns > PATIENCE) && !failed(l)) {
      turns = 0;
      uint64_t next = __atomic_fetch_add(&l->next_cta, 1, __ATOMIC_RELAXED);
      if (next < l->cta_count) {
        struct cta *c = mem_alloc(sizeof *c);
        vec_push(&active, c);
        if (!cta_begin(l, c, next))
          __atomic_store_n(&l->failed, FAULT_OUT_OF_MEMORY, __ATOMIC_RELAXED);
      }
    }
    if (!active.len)
      break;
    for (uint32_t k = 0; k < active.len;) {
      if (cta_turn(active.data[k])) {
        k++;
        continue;
      }
      cta_end(active.data[k]);
      mem_free(active.data[k]);
      active.data[k] = vec_last(&active);
      (void)vec_pop(&active);
    }
  }
  vec_deinit(&active);
  return NULL;
}

static enum fault check_shape(const struct launch *l) {
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
      (uint64_t)l->dynamic_shared + l->program->shared_bytes > 232448)
    return FAULT_INVALID_VALUE;
  uint64_t resident = 132 * (2048 / ((threads + 31) / 32 * 32));
  if (l->cooperative && (uint64_t)l->grid[0] * l->grid[1] * l->grid[2] > resident)
    return FAULT_COOPERATIVE_TOO_LARGE;
  return FAULT_NONE;
}

enum fault launch_run(struct launch *l) {
  enum fault bad = check_shape(l);
  if (bad) {
    fprintf(stderr,
            "sim: error: launch of '%s' refused: grid (%u,%u,%u), block (%u,%u,%u), %u bytes of "
            "dynamic "
            "shared memory\n",
            l->kernel->name, l->grid[0], l->grid[1], l->grid[2], l->block[0], l->block[1],
            l->block[2], l->dynamic_shared);
    return bad;
  }
  const char *budget = getenv("SINTER_SIM_INSTRUCTIONS");
  l->budget = budget ? strtoull(budget, NULL, 10) : UINT64_C(200000000);
  l->cta_count = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2];
  pthread_mutex_init(&l->report_lock, NULL);
  pthread_t threads[MAX_WORKERS];
  uint32_t started = 0;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  while ((long)started + 1 < cores && started + 1 < l->cta_count && started < MAX_WORKERS &&
         !pthread_create(&threads[started], NULL, worker, l))
    started++;
  worker(l);
  while (started)
    pthread_join(threads[--started], NULL);
  pthread_mutex_destroy(&l->report_lock);
  return (enum fault)l->failed;
}
