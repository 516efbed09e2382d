/* SPDX-License-Identifier: Apache-2.0 */
/* How a function is split: by the roles of the mesh's axes, or as the search finds. */
#include "passes/partition/partition_choose.h"

#include "passes/partition/role_assignment.h"
#include "passes/partition/search.h"

status partition_choose(struct function *f, uint32_t mesh, struct arena *arena, struct diags *diags,
                        struct assignment *out) {
  return role_assignment(f, mesh, arena, diags, out);
}

status partition_search(struct module *m, const struct partition_request *request,
                        struct arena *arena, struct diags *diags, struct assignment *out) {
  struct machine machine;
  struct workload workload;
  struct search_result found;
  if (m->entries.len != 1 || m->entries.data[0].variants.len != 1)
    return diag_report(diags, DIAG_E0350, NULL, "name the split with --parallel",
                       "a plan is searched for one entry of one variant");
  status st = machine_find(request->machine, arena, diags, &machine);
  status read = workload_parse(m, request->workload, arena, diags, &workload);
  if (st != STATUS_OK || read != STATUS_OK)
    return st != STATUS_OK ? st : read;
  if (workload.n_phases != 1)
    return diag_report(diags, DIAG_E0340, NULL, "leave out --workload, or name one phase",
                       "an entry of several ranks is compiled for one phase, not %u",
                       workload.n_phases);
  struct search_request search = {
      .machine = &machine, .workload = &workload, .parallel = request->parallel};
  st = search_plan(m, &search, arena, diags, &found);
  if (st == STATUS_OK)
    *out = found.assignments[0];
  return st;
}
