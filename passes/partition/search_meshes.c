/* SPDX-License-Identifier: Apache-2.0 */
/* The race of meshes: see search_meshes.h. */
#include "passes/partition/search_meshes.h"

#include <math.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

/* Solved at the same time, whatever the number of threads. */
#define WAVE 2
#define MOST_THREADS 16
/* Sums in another order differ in their last bits, and equals are told apart by other things. */
#define MARGIN (1 + 1e-9)

/* One step of every lane listed. */
struct crew {
  struct mesh_race *r;
  const uint32_t *lanes;
  uint32_t n, next;
  double cutoff;
  void (*step)(struct mesh_race *r, struct mesh_lane *x, uint32_t lane, struct crew *c);
  pthread_mutex_t lock; /* of next, and of opening */
};

static void *work(void *user) {
  struct crew *c = user;
  for (;;) {
    pthread_mutex_lock(&c->lock);
    uint32_t i = c->next < c->n ? c->lanes[c->next++] : SEARCH_NONE;
    pthread_mutex_unlock(&c->lock);
    if (i == SEARCH_NONE)
      return NULL;
    c->step(c->r, &c->r->lanes[i], i, c);
  }
}

static void run_crew(struct crew *c) {
  pthread_t threads[MOST_THREADS];
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  uint32_t most = c->r->threads ? c->r->threads : cpus > 0 ? (uint32_t)cpus : 1, n = 0;
  most = most > c->n ? c->n : most;
  most = most > MOST_THREADS ? MOST_THREADS : most;
  pthread_mutex_init(&c->lock, NULL);
  while (n + 1 < most && !pthread_create(&threads[n], NULL, work, c))
    n++;
  work(c);
  for (uint32_t i = 0; i < n; i++)
    pthread_join(threads[i], NULL);
  pthread_mutex_destroy(&c->lock);
}

static void open_lane(struct mesh_race *r, struct mesh_lane *x, uint32_t lane, struct crew *c) {
  pthread_mutex_lock(&c->lock);
  const struct search_problem *problem = r->open(r->user, lane);
  pthread_mutex_unlock(&c->lock);
  x->solver = search_open(problem, r->clock);
  x->bound = search_bound(x->solver);
  LOG("search", 1, "mesh %u: at least %.6g s", lane, x->bound);
}

/* The first mesh is always looked at. */
static void open_in_time(struct mesh_race *r, struct mesh_lane *x, uint32_t lane, struct crew *c) {
  if (!lane || !search_is_late(&r->clock))
    open_lane(r, x, lane, c);
}

static void advance_lane(struct mesh_race *r, struct mesh_lane *x, uint32_t lane, struct crew *c) {
  if (!x->solver)
    open_lane(r, x, lane, c);
  if (!x->improved) {
    x->improved = true;
    if (search_improve_bound(x->solver, c->cutoff, &x->bound)) {
      LOG("search", 1, "mesh %u: at least %.6g s within the memory", lane, x->bound);
      return;
    }
  }
  search_finish(x->solver, c->cutoff, &x->arena, &x->solution);
  x->done = true;
  x->bound = fmax(x->bound, x->solution.bound);
  LOG("search", 1, "mesh %u: %.6g s, %llu nodes", lane, x->solution.time,
      (unsigned long long)x->solution.nodes);
}

static void find_best(struct mesh_race *r) {
  r->best = SEARCH_NONE;
  for (uint32_t i = 0; i < r->n; i++) {
    const struct search_solution *x = &r->lanes[i].solution;
    const struct search_solution *best =
        r->best == SEARCH_NONE ? NULL : &r->lanes[r->best].solution;
    if (!x->feasible)
      continue;
    if (!best || x->time < best->time || (x->time == best->time && x->bytes < best->bytes))
      r->best = i;
  }
}

/* The lanes of the lowest bounds that may still win; those that it was too late for only where
 * there is nothing yet. */
static uint32_t next_wave(const struct mesh_race *r, double cutoff, uint32_t *out) {
  uint32_t n = 0;
  /* Where memory is short, solving takes long: few axes take least, and give others a cutoff. */
  const struct mesh_lane *first = &r->lanes[0];
  if (!first->done && first->solver && first->bound < cutoff && search_is_tight(first->solver))
    out[n++] = 0;
  while (n < WAVE) {
    uint32_t best = SEARCH_NONE;
    for (uint32_t i = 0; i < r->n; i++) {
      const struct mesh_lane *x = &r->lanes[i];
      bool taken = n && out[0] == i;
      if (!x->done && (x->solver || r->best == SEARCH_NONE) && !taken && x->bound < cutoff &&
          (best == SEARCH_NONE || x->bound < r->lanes[best].bound))
        best = i;
    }
    if (best == SEARCH_NONE)
      break;
    out[n++] = best;
  }
  return n;
}

static void tell(const struct mesh_race *r, double cutoff, bool last) {
  uint32_t left = 0;
  for (uint32_t i = 0; i < r->n; i++)
    left += !r->lanes[i].done && r->lanes[i].bound < cutoff;
  if (r->progress)
    fprintf(r->progress, last ? "\r\033[K" : "\rlooking for a plan: %u of %u meshes left\033[K",
            left, r->n);
}

void mesh_race_run(struct mesh_race *r, struct arena *arena) {
  uint32_t *all = ARENA_ARRAY(arena, uint32_t, r->n), wave[WAVE], n;
  r->lanes = ARENA_ARRAY(arena, struct mesh_lane, r->n);
  for (uint32_t i = 0; i < r->n; i++)
    all[i] = i;
  struct crew crew = {.r = r, .lanes = all, .n = r->n, .step = open_in_time};
  r->best = SEARCH_NONE;
  tell(r, INFINITY, false);
  run_crew(&crew);
  double cutoff = INFINITY;
  while ((n = next_wave(r, cutoff, wave)) &&
         (r->best == SEARCH_NONE || !search_is_late(&r->clock))) {
    tell(r, cutoff, false);
    crew = (struct crew){.r = r, .lanes = wave, .n = n, .cutoff = cutoff, .step = advance_lane};
    run_crew(&crew);
    find_best(r);
    if (r->best != SEARCH_NONE)
      cutoff = r->lanes[r->best].solution.time * MARGIN;
  }
  tell(r, cutoff, true);
}

void mesh_race_deinit(struct mesh_race *r) {
  for (uint32_t i = 0; i < r->n; i++) {
    if (r->lanes[i].solver)
      search_close(r->lanes[i].solver);
    arena_deinit(&r->lanes[i].arena);
  }
}
