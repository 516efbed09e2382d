/* SPDX-License-Identifier: Apache-2.0 */
/* How functions are split: by the roles of the mesh's axes, or as the search finds. */
#include "passes/partition/partition_choose.h"

#include "passes/partition/annotations.h"
#include "passes/partition/role_assignment.h"
#include "passes/partition/search.h"

#include <string.h>

struct chooser {
  struct module *m;
  const struct partition_request *request;
  struct partition_part *parts;
  uint32_t n;
  struct arena *arena;
  struct diags *diags;
};

/* States of the entries that have any; 0: none has. */
static uint32_t count_states(const struct module *m) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < m->entries.len && !n; i++)
    n = m->entries.data[i].states.len;
  return n;
}

/* The last entry first: decode says how the states are split. */
static status choose_by_roles(struct chooser *c) {
  uint32_t mesh, n = count_states(c->m);
  status st = parallel_parse(c->m, c->request->parallel, c->diags, &mesh);
  sharding_id *states = ARENA_ARRAY(c->arena, sharding_id, n + 1);
  memset(states, 0xff, (n + 1) * sizeof *states); /* LAYOUT_FREE */
  for (uint32_t i = c->n; i-- > 0 && st == STATUS_OK;)
    st = role_assignment(c->parts[i].function, mesh, n ? states : NULL, c->arena, c->diags,
                         &c->parts[i].assignment);
  return st;
}

static status choose_by_annotations(struct chooser *c) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < c->n && st == STATUS_OK; i++)
    st = annotated_assignment(c->parts[i].function, c->arena, c->diags, &c->parts[i].assignment);
  return st;
}

static uint32_t part_of(const struct chooser *c, const struct function *f) {
  uint32_t i = 0;
  while (i < c->n && c->parts[i].function != f)
    i++;
  return i;
}

/* A function that no phase runs, at the usual sizes of its dims. */
static status follow(struct chooser *c, struct search_request search, uint32_t part,
                     const struct kept_layouts *kept) {
  struct workload workload = {.n_phases = 1};
  struct search_result found;
  workload_of_function(c->m, c->parts[part].function, c->arena, &workload.phases[0]);
  search.workload = &workload;
  search.kept = kept;
  status st = search_plan(c->m, &search, c->arena, c->diags, &found);
  if (st == STATUS_OK)
    c->parts[part].assignment = found.assignments[0];
  return st;
}

static status search_all_parts(struct chooser *c) {
  struct machine machine;
  struct workload workload;
  struct search_result found;
  status st = machine_find(c->request->machine, c->arena, c->diags, &machine);
  status read = workload_parse(c->m, c->request->workload, c->arena, c->diags, &workload);
  if (st != STATUS_OK || read != STATUS_OK)
    return st != STATUS_OK ? st : read;
  bool *is_phase = ARENA_ARRAY(c->arena, bool, c->n);
  for (uint32_t i = 0; i < workload.n_phases; i++) {
    uint32_t part = part_of(c, workload.phases[i].function);
    if (part == c->n || is_phase[part])
      return diag_report(c->diags, DIAG_E0340, NULL, "name each entry once",
                         part == c->n ? "phase '%s' runs no entry that is to be split"
                                      : "phase '%s' runs the same function as another, which can "
                                        "be compiled for one of them",
                         workload.phases[i].name);
    is_phase[part] = true;
  }
  struct search_request search = {.machine = &machine,
                                  .workload = &workload,
                                  .parallel = c->request->parallel,
                                  .objective =
                                      c->request->throughput ? SEARCH_THROUGHPUT : SEARCH_LATENCY,
                                  .seconds = c->request->search_seconds};
  st = search_plan(c->m, &search, c->arena, c->diags, &found);
  for (uint32_t i = 0; i < workload.n_phases && st == STATUS_OK; i++)
    c->parts[part_of(c, workload.phases[i].function)].assignment = found.assignments[i];
  for (uint32_t i = 0; i < c->n && st == STATUS_OK; i++)
    if (!is_phase[i])
      st = follow(c, search, i, &found.layouts);
  return st;
}

status partition_choose(struct module *m, const struct partition_request *request,
                        struct partition_part *parts, uint32_t n, struct arena *arena,
                        struct diags *diags) {
  struct chooser c = {m, request, parts, n, arena, diags};
  return request->machine    ? search_all_parts(&c)
         : request->parallel ? choose_by_roles(&c)
                             : choose_by_annotations(&c);
}
