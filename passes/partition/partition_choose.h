/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where it is decided how a function is split. */
#ifndef SINTER_PASSES_PARTITION_CHOOSE_H
#define SINTER_PASSES_PARTITION_CHOOSE_H

#include "passes/partition/assignment.h"

/* An assignment of a prepared function (prepare_sharding) over a mesh of the module, by the roles
 * of its axes. It lives in the arena. Errors: E0344. */
status partition_choose(struct function *f, uint32_t mesh, struct arena *arena, struct diags *diags,
                        struct assignment *out);

/* What to split for. NULL texts: the default of search.h and workload.h. */
struct partition_request {
  const char *machine, *workload, *parallel;
};

/* The assignment that the search finds for the function of the module's one entry, prepared, with
 * one phase of workload. It lives in the arena, its mesh in the module. Errors: those of
 * machine_find, workload_parse and search_plan; E0340 for more phases, E0350 for several entries or
 * variants. */
status partition_search(struct module *m, const struct partition_request *request,
                        struct arena *arena, struct diags *diags, struct assignment *out);

#endif
