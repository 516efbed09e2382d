/* SPDX-License-Identifier: Apache-2.0 */
/* What plan_load.c and plan_load_steps.c share. */
#ifndef SINTER_RUNTIME_PLAN_LOAD_H
#define SINTER_RUNTIME_PLAN_LOAD_H

#include "runtime/plan.h"

struct plan_loader {
  struct plan *plan;
  const Engine__Manifest *m;
  const struct engine_file *file;
  uint8_t *block_depth; /* per block: 0 not reached yet */
  uint32_t block;       /* being checked */
  uint32_t step;
  const Engine__Entry *with_states; /* the first entry that has any */
  uint32_t *next_uses;              /* per value: how many loops carry it as `next` */
  uint8_t *is_param;                /* per value: some loop's carried param or scan result */
};

/* E0507 with the place in the plan. */
status loader_fail(struct plan_loader *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether an index is below a table's size. what: "value", "block". */
status loader_index(struct plan_loader *l, const char *what, uint32_t index, size_t count);
status loader_expr(struct plan_loader *l, uint32_t expr);
/* A value other than 0. */
status loader_value(struct plan_loader *l, uint32_t value);
status loader_relate(struct plan_loader *l, const Engine__Relate *relate);

/* A block that the current one holds: after it, and held by no other. 0 is allowed. */
status loader_child_block(struct plan_loader *l, uint32_t block);

/* --- plan_load_ranks.c --- */

/* The mesh, and how many ranks it has. */
status loader_mesh(struct plan_loader *l);
status loader_constant_parts(struct plan_loader *l, uint32_t constant);
/* Makes room for the plan's exchanges, before the steps are checked. */
status loader_count_exchanges(struct plan_loader *l);
status loader_exchange(struct plan_loader *l, const Engine__Step *step,
                       const Engine__Exchange *body);

/* --- plan_load_steps.c --- */

/* An entry's states against its ports, and against those of the entries before it.
 * plan_load_states.c */
status loader_states(struct plan_loader *l, const Engine__Entry *entry);

/* Checks all steps of the reached blocks, in order. */
status loader_blocks(struct plan_loader *l);

#endif
