/* SPDX-License-Identifier: Apache-2.0 */
/* The search: see search.h. For every mesh the tables of all phases are built and solved; the best
 * mesh wins, and its axes are named for what they split. */
#include "passes/partition/search.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/shard_index.h"
#include "passes/partition/role_assignment.h"
#include "passes/partition/search_meshes.h"
#include "passes/partition/search_report.h"

#define MOST_SEARCHED_AXES 3

/* What the module had before: candidates leave no meshes and shardings behind. */
struct mark {
  uint32_t meshes, shardings;
};

struct searcher {
  struct module *m;
  const struct search_request *request;
  struct arena *arena;
  struct diags *d;
  struct space spaces[WORKLOAD_MAX_PHASES];
  double scales[WORKLOAD_MAX_PHASES];
  uint32_t n_ties;
  uint32_t n_meshes;
  struct mesh *meshes;
  uint32_t roles[MESH_MAX_AXES];
  struct attempt *attempts; /* by mesh */
  struct mark mark;
};

/* ---- meshes ---- */

static void add_meshes(struct searcher *s, int64_t left, struct mesh mesh) {
  static const char *const names[] = {"x", "y", "z"};
  if (left == 1) {
    struct mesh *grown = ARENA_ARRAY(s->arena, struct mesh, s->n_meshes + 1);
    if (s->n_meshes)
      memcpy(grown, s->meshes, s->n_meshes * sizeof *grown);
    grown[s->n_meshes++] = mesh;
    s->meshes = grown;
    return;
  }
  if (mesh.n_axes == MOST_SEARCHED_AXES)
    return;
  for (int64_t size = 2; size <= left; size++) {
    if (left % size)
      continue;
    struct mesh next = mesh;
    next.axes[next.n_axes] = (struct mesh_axis){names[next.n_axes], size};
    next.n_axes++;
    add_meshes(s, left / size, next);
  }
}

static status check_ranks(const struct searcher *s, const char *mesh, int64_t devices) {
  int64_t ranks = mesh_ranks(s->meshes);
  if (ranks <= devices)
    return STATUS_OK;
  return diag_report(s->d, DIAG_E0343, NULL, NULL, "%s needs %lld devices; %s has %lld", mesh,
                     (long long)ranks, s->request->machine->name, (long long)devices);
}

/* Fewer axes have fewer plans, and are solved sooner. */
static int by_axes(const void *a, const void *b) {
  const struct mesh *x = a, *y = b;
  if (x->n_axes != y->n_axes)
    return x->n_axes < y->n_axes ? -1 : 1;
  for (uint32_t i = 0; i < x->n_axes; i++)
    if (x->axes[i].size != y->axes[i].size)
      return x->axes[i].size < y->axes[i].size ? -1 : 1;
  return 0;
}

static status find_meshes(struct searcher *s) {
  int64_t devices = machine_devices(s->request->machine);
  for (uint32_t i = 0; i < MESH_MAX_AXES; i++)
    s->roles[i] = SPACE_ANY;
  if (s->request->kept) {
    s->n_meshes = 1;
    s->meshes =
        arena_memdup(s->arena, s->m->meshes.data[s->request->kept->mesh], sizeof *s->meshes);
    for (uint32_t i = 0; i < s->meshes->n_axes && s->request->parallel; i++)
      s->roles[i] = space_role_of(s->meshes->axes[i].name);
    return STATUS_OK;
  }
  if (!s->request->parallel && s->m->annotated_mesh) {
    s->n_meshes = 1;
    s->meshes =
        arena_memdup(s->arena, s->m->meshes.data[s->m->annotated_mesh - 1], sizeof *s->meshes);
    return check_ranks(s, "the mesh that the model is annotated for", devices);
  }
  if (!s->request->parallel) {
    struct mesh none = {0};
    if (devices == 1)
      none = (struct mesh){1, {{"x", 1}}};
    add_meshes(s, devices, none);
    qsort(s->meshes, s->n_meshes, sizeof *s->meshes, by_axes);
    return STATUS_OK;
  }
  uint32_t id;
  status st = parallel_parse(s->m, s->request->parallel, s->d, &id);
  if (st != STATUS_OK)
    return st;
  s->n_meshes = 1;
  s->meshes = arena_memdup(s->arena, s->m->meshes.data[id], sizeof *s->meshes);
  for (uint32_t i = 0; i < s->meshes->n_axes; i++)
    s->roles[i] = space_role_of(s->meshes->axes[i].name);
  return check_ranks(s, s->request->parallel, devices);
}

/* ---- one mesh ---- */

/* What the tables of one mesh need, and what they gave. */
struct attempt {
  struct arena arena;
  struct space_tables tables[WORKLOAD_MAX_PHASES];
  struct search_problem problem;
  struct search_solution solution;
  uint32_t used; /* axes that anything can be split by */
};

/* Bytes that are on every device whatever is chosen. */
static double base_bytes(const struct searcher *s) {
  double bytes = 0;
  for (uint32_t i = 0; i < s->request->workload->n_phases; i++)
    bytes += s->spaces[i].base_bytes;
  return bytes;
}

/* Bytes that a device has for weights and states. */
static double memory_limit(const struct searcher *s) {
  const struct search_request *r = s->request;
  double taken = r->kept ? (double)r->kept->bytes : 0;
  taken += base_bytes(s);
  return fmax((double)(r->machine->memory - r->machine->reserve) - taken, 0);
}

static void warn_unmet(const struct searcher *s, const struct space_tables *t) {
  const struct function *f = t->space->function;
  struct diag_where where = module_where(s->m, function_op(f, t->unmet)->provenance);
  diag_report(s->d, DIAG_W0341, &where, NULL,
              "an op of @%s is in no plan of the search as its node is annotated", f->name);
}

/* Tables and problem of a mesh; adds it and shardings to the module. */
static void attempt_tables(struct searcher *s, const struct mesh *mesh, struct attempt *out) {
  const struct workload *w = s->request->workload;
  uint32_t id = module_add_mesh(s->m, mesh);
  struct search_chain *chains = ARENA_ARRAY(&out->arena, struct search_chain, w->n_phases);
  for (uint32_t i = 0; i < w->n_phases; i++) {
    space_tables_build(&s->spaces[i], s->request->machine, id, s->roles, s->scales[i], &out->arena,
                       &out->tables[i]);
    chains[i] = out->tables[i].chain;
    out->used |= out->tables[i].used;
  }
  out->problem = (struct search_problem){
      .n_phases = w->n_phases, .phases = chains, .n_weights = s->n_ties, .limit = memory_limit(s)};
}

/* ---- candidates ---- */

static void back_to(struct module *m, struct mark mark) {
  m->meshes.len = mark.meshes;
  m->shardings.len = mark.shardings;
}

static struct search_clock clock_from(double seconds) {
  return (struct search_clock){seconds > 0 ? clock_now_s() + seconds : INFINITY};
}

/* One at a time, since all use the module's tables. */
static const struct search_problem *open_mesh(void *user, uint32_t i) {
  struct searcher *s = user;
  attempt_tables(s, &s->meshes[i], &s->attempts[i]);
  back_to(s->m, s->mark);
  return &s->attempts[i].problem;
}

static void candidate_of(const struct searcher *s, uint32_t i, const struct mesh_lane *lane,
                         struct search_candidate *out) {
  const struct search_solution *x = &lane->solution;
  *out = (struct search_candidate){.mesh = s->meshes[i], .bound = lane->bound, .seconds = INFINITY};
  if (lane->done && x->feasible) {
    out->state = CANDIDATE_SOLVED;
    out->seconds = x->time;
    out->bytes = (uint64_t)(x->bytes + base_bytes(s));
    for (uint32_t k = 0; k < s->request->workload->n_phases; k++)
      out->phase_seconds[k] = x->phase_time[k] / s->scales[k];
  } else if (lane->done && !(x->bound < INFINITY)) {
    double least = x->least_bytes + base_bytes(s);
    out->state = CANDIDATE_TOO_LARGE;
    out->bytes = least < 0x1p63 ? (uint64_t)least : UINT64_MAX;
  } else {
    out->state = CANDIDATE_WORSE;
    out->seconds = lane->bound;
  }
  for (uint32_t k = 0; k < s->request->workload->n_phases; k++)
    out->space_size += s->attempts[i].tables[k].space_size;
}

static int by_seconds(const void *a, const void *b) {
  const struct search_candidate *x = a, *y = b;
  if ((x->state == CANDIDATE_TOO_LARGE) != (y->state == CANDIDATE_TOO_LARGE))
    return x->state == CANDIDATE_TOO_LARGE ? 1 : -1;
  if (x->seconds != y->seconds)
    return x->seconds < y->seconds ? -1 : 1;
  if (x->state != y->state)
    return x->state < y->state ? -1 : 1;
  if (x->bytes != y->bytes)
    return x->bytes < y->bytes ? -1 : 1;
  if (x->mesh.n_axes != y->mesh.n_axes)
    return x->mesh.n_axes < y->mesh.n_axes ? -1 : 1;
  for (uint32_t i = 0; i < x->mesh.n_axes; i++)
    if (x->mesh.axes[i].size != y->mesh.axes[i].size)
      return x->mesh.axes[i].size < y->mesh.axes[i].size ? -1 : 1;
  return 0;
}

/* ---- names of axes ---- */

/* What an axis splits most of, by compute. */
static uint32_t main_role(const struct searcher *s, const struct attempt *a, uint32_t axis) {
  double by_role[32] = {0};
  for (uint32_t i = 0; i < s->request->workload->n_phases; i++) {
    const struct space_tables *t = &a->tables[i];
    for (uint32_t b = 0; b < t->space->n_blocks; b++)
      for (uint32_t v = 0; v < t->space->blocks[b].n; v++) {
        const struct space_choice *choice =
            &t->variables[t->space->blocks[b].kind][v].choices[a->solution.choices[i][b][v]];
        uint32_t role =
            space_role_of_axis(t->space, t->space->blocks[b].first + v, &choice->split, axis);
        by_role[role] += role ? 1e-12 + fmax(choice->compute, choice->memory) : 0;
      }
  }
  uint32_t best = SPACE_TENSOR;
  for (uint32_t role = 1; role < 32; role <<= 1)
    best = by_role[role] > by_role[best] ? role : best;
  return best;
}

static void name_axes(const struct searcher *s, const struct attempt *a, struct mesh *mesh) {
  if (s->request->parallel || s->request->kept || s->m->annotated_mesh)
    return;
  for (uint32_t i = 0; i < mesh->n_axes; i++) {
    const char *role = space_role_name(main_role(s, a, i));
    uint32_t again = 1;
    for (uint32_t k = 0; k < i; k++)
      again += !strncmp(mesh->axes[k].name, role, strlen(role));
    mesh->axes[i].name = again > 1 ? arena_printf(s->arena, "%s%u", role, again) : role;
  }
}

/* ---- errors ---- */

static status check_axes(const struct searcher *s, const struct attempt *a,
                         const struct mesh *mesh) {
  status st = STATUS_OK;
  bool asked = s->request->parallel && !s->request->kept;
  for (uint32_t i = 0; i < mesh->n_axes && asked; i++) {
    if (mesh->axes[i].size == 1 || a->used >> i & 1)
      continue;
    struct strbuf why = {0};
    space_explain_unused(&s->spaces[0], s->roles[i], mesh->axes[i].size, &why);
    st = diag_report(s->d, DIAG_E0344, NULL, NULL, "axis '%s' of %lld ranks can split nothing: %s",
                     mesh->axes[i].name, (long long)mesh->axes[i].size, strbuf_c(&why));
    strbuf_deinit(&why);
  }
  return st;
}

static const char *size_words(const struct searcher *s, double bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  uint32_t unit = 0;
  for (; bytes >= 1024 && unit < 5; unit++)
    bytes /= 1024;
  return arena_printf(s->arena, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static status nothing_fits(const struct searcher *s, const struct search_candidate *candidates) {
  uint64_t least = UINT64_MAX;
  bool proved = true;
  for (uint32_t i = 0; i < s->n_meshes; i++) {
    proved &= candidates[i].state == CANDIDATE_TOO_LARGE;
    least = candidates[i].bytes < least ? candidates[i].bytes : least;
  }
  const struct machine *m = s->request->machine;
  const char *room = size_words(s, (double)(m->memory - m->reserve));
  if (!proved)
    return diag_report(s->d, DIAG_E0345, NULL, "more time: --search-time; or more devices",
                       "in %.3g s no plan was found whose weights and states fit in the %s of each "
                       "device of %s",
                       s->request->seconds, room, m->name);
  return diag_report(s->d, DIAG_E0345, NULL, "more devices, or a smaller workload",
                     "weights and states need at least %s on each device; %s has %s",
                     size_words(s, (double)least), m->name, room);
}

/* ---- all of it ---- */

static void begin(struct searcher *s) {
  const struct workload *w = s->request->workload;
  for (uint32_t i = 0; i < w->n_phases; i++) {
    space_build(s->m, &w->phases[i], i, s->arena, &s->spaces[i]);
    s->spaces[i].kept = s->request->kept;
    s->scales[i] = w->phases[i].weight;
    if (s->request->objective == SEARCH_THROUGHPUT)
      s->scales[i] /= space_batch(&s->spaces[i]);
  }
  s->n_ties = space_tie(s->spaces, w->n_phases);
}

/* The winner's tables once more, with a mesh and shardings that stay in the module. */
static void take_winner(struct searcher *s, struct attempt *a, struct search_result *out) {
  out->mesh = out->winner.mesh;
  name_axes(s, a, &out->mesh);
  attempt_tables(s, &out->mesh, a);
  out->mesh_id = a->tables->mesh;
  for (uint32_t i = 0; i < s->request->workload->n_phases; i++)
    if (a->tables[i].unmet)
      warn_unmet(s, &a->tables[i]);
  report_create(s->request, s->spaces, a->tables, &a->solution, s->scales, &out->mesh, s->arena,
                out);
}

static void take_assignments(const struct searcher *s, struct attempt *best,
                             struct search_result *out) {
  uint32_t n_constants = s->m->constants.len, n_states = 0;
  for (uint32_t i = 0; i < s->request->workload->n_phases; i++)
    n_states = s->spaces[i].n_states > n_states ? s->spaces[i].n_states : n_states;
  sharding_id *weights = ARENA_ARRAY(s->arena, sharding_id, n_constants + n_states);
  memset(weights, 0xff, (n_constants + n_states) * sizeof *weights); /* LAYOUT_FREE */
  for (uint32_t i = 0; i < s->request->workload->n_phases; i++)
    space_assign(&best->tables[i], best->solution.choices[i], s->arena, &out->assignments[i],
                 weights, weights + n_constants);
  out->layouts = (struct kept_layouts){.mesh = out->mesh_id,
                                       .weights = weights,
                                       .n_states = n_states,
                                       .states = weights + n_constants,
                                       .bytes = out->winner.bytes};
}

/* Sums in another order differ in their last bits. */
#define LAST_BITS 1e-9

/* What no plan is better than, over all meshes. */
static void take_gap(const struct searcher *s, struct search_result *out) {
  double bound = out->winner.bound;
  for (uint32_t i = 0; i < s->n_meshes; i++)
    if (out->candidates[i].state != CANDIDATE_TOO_LARGE)
      bound = fmin(bound, out->candidates[i].bound);
  out->gap = out->winner.seconds - bound;
  if (out->gap < 2 * LAST_BITS * out->winner.seconds)
    out->gap = 0;
}

/* Late, or a block was too large to look at all of it. */
static void warn_of_gap(const struct searcher *s, const struct search_clock *clock,
                        const struct search_result *out) {
  double bound = out->winner.seconds - out->gap;
  if (!(out->gap > 0))
    return;
  if (!search_is_late(clock))
    diag_report(
        s->d, DIAG_W0342, NULL, "fewer axes: --parallel",
        "the plan may take %.2g %% longer than the best there is: the space is too large to "
        "look at all of it",
        100 * out->gap / fmax(bound, 1e-3 * out->winner.seconds));
  else if (bound > 1e-3 * out->winner.seconds)
    diag_report(s->d, DIAG_W0340, NULL, "more time: --search-time",
                "after %.3g s the best plan so far is taken; it may take %.2g %% longer than the "
                "best there is",
                s->request->seconds, 100 * out->gap / bound);
  else
    diag_report(
        s->d, DIAG_W0340, NULL, "more time: --search-time",
        "after %.3g s the best plan so far is taken; not all meshes were looked at, and how "
        "good the best plan is is not known",
        s->request->seconds);
}

static status search_all(struct searcher *s, struct mark mark, struct search_result *out) {
  struct mesh_race race = {.user = s,
                           .n = s->n_meshes,
                           .n_phases = s->request->workload->n_phases,
                           .threads = s->request->threads,
                           .clock = clock_from(s->request->seconds),
                           .open = open_mesh,
                           .progress = s->request->progress};
  status st = STATUS_OK;
  s->mark = mark;
  s->attempts = ARENA_ARRAY(s->arena, struct attempt, s->n_meshes);
  mesh_race_run(&race, s->arena);
  for (uint32_t i = 0; i < s->n_meshes && st == STATUS_OK; i++)
    st = check_axes(s, &s->attempts[i], &s->meshes[i]);
  struct search_candidate *candidates = ARENA_ARRAY(s->arena, struct search_candidate, s->n_meshes);
  for (uint32_t i = 0; i < s->n_meshes; i++)
    candidate_of(s, i, &race.lanes[i], &candidates[i]);
  if (st == STATUS_OK && race.best == SEARCH_NONE)
    st = nothing_fits(s, candidates);
  if (st == STATUS_OK) {
    struct attempt *best = &s->attempts[race.best];
    best->solution = race.lanes[race.best].solution;
    out->winner = candidates[race.best];
    take_winner(s, best, out);
    qsort(candidates, s->n_meshes, sizeof *candidates, by_seconds);
    out->candidates = candidates;
    out->n_candidates = s->n_meshes;
    take_assignments(s, best, out);
    take_gap(s, out);
    warn_of_gap(s, &race.clock, out);
  }
  mesh_race_deinit(&race);
  for (uint32_t i = 0; i < s->n_meshes; i++)
    arena_deinit(&s->attempts[i].arena);
  return st;
}

status search_plan(struct module *m, const struct search_request *request, struct arena *arena,
                   struct diags *d, struct search_result *out) {
  struct searcher s = {.m = m, .request = request, .arena = arena, .d = d};
  *out = (struct search_result){0};
  struct mark mark = {m->meshes.len, m->shardings.len};
  status st = find_meshes(&s);
  if (st == STATUS_OK) {
    begin(&s);
    st = search_all(&s, mark, out);
  }
  if (st != STATUS_OK)
    back_to(m, mark);
  return st;
}
