/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where it is decided how the functions of a module are split. */
#ifndef SINTER_PASSES_PARTITION_CHOOSE_H
#define SINTER_PASSES_PARTITION_CHOOSE_H

#include "passes/partition/assignment.h"

/* What to split for. NULL texts: the defaults of search.h and workload.h. */
struct partition_request {
  const char *machine; /* NULL: no search; `parallel` says it all */
  const char *workload, *parallel;
  bool throughput;       /* the objective; else latency */
  double search_seconds; /* search.h; 0: its default */
};

/* A function and how it is split. */
struct partition_part {
  struct function *function;
  struct assignment assignment; /* filled in by partition_choose */
};

/* Fills in the assignments of all parts: distinct functions of the module's entries, each prepared
 * (prepare_sharding). They live in the arena, all over one mesh of the module.
 *
 * Without a machine: by the roles of the axes of `parallel` (role_assignment), or, where that is
 * not given either, as the model's nodes are annotated (annotated_assignment). With one: the
 * functions that the workload's phases run are searched together, so that each weight that they
 * share has one layout, and state k of all entries has one sharding (assignment.params and
 * .results). What the workload does not name follows: other variants, and `main` beside prefill and
 * decode, get the best assignment over the same mesh that reads weights in the layouts found and
 * has states as found. Where an op of such a function cannot read a weight in that layout, it reads
 * it in one of its own, and the weight is held in both.
 *
 * Errors: those of parallel_parse and role_assignment; of machine_find, workload_parse and
 * search_plan; E0340 where a phase runs none of the parts. */
status partition_choose(struct module *m, const struct partition_request *request,
                        struct partition_part *parts, uint32_t n, struct arena *arena,
                        struct diags *diags);

#endif
