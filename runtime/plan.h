/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest that has been checked, with the tables the executor wants beside it. Immutable once
 * loaded.
 *
 * "Checked" means: every index is in range, tables are in the order engine.proto asks for, blocks
 * form a forest, every launch fits its kernel, every entry's ports are its own values. What depends
 * on run-time sizes (whether an access lies in its buffer) is checked by the executor at each step.
 */
#ifndef SINTER_RUNTIME_PLAN_H
#define SINTER_RUNTIME_PLAN_H

#include "base/dtype.h"
#include "base/status.h"
#include "runtime/engine.pb-c.h"
#include "runtime/engine_file.h"
#include "runtime/pool.h"

#define PLAN_NO_BUFFER UINT32_MAX

/* Derived facts of a value. */
struct plan_value {
  uint8_t storage; /* down to `offset`: the manifest's, close together */
  uint32_t bytes;
  uint32_t index;
  uint32_t alias_of;
  uint32_t offset;
  uint32_t part;   /* CONSTANT */
  bool exchange;   /* a carried `next` whose buffer may be exchanged with the param's */
  uint32_t root;   /* the value at the end of its aliases; itself if none */
  uint32_t buffer; /* DYNAMIC: its growable buffer, else PLAN_NO_BUFFER */
  uint32_t spare;  /* carried params: where the next version is copied, else PLAN_NO_BUFFER */
};

struct plan_phase {
  uint32_t *arena; /* values; an item each for memory_plan_pack */
  uint32_t arena_count;
  uint32_t *outputs;
  uint32_t output_count;
};

/* Ranks act together that differ only along these axes. */
struct plan_group {
  const Engine__Exchange *first; /* the axes: those of the first exchange that has them */
  uint32_t size;                 /* ranks */
};

struct plan_exchange {
  const Engine__Exchange *body;
  const Engine__Step *step;
  uint32_t group;
};

struct plan {
  Engine__Manifest *manifest; /* owned */
  struct pool pool;           /* everything below */
  struct plan_value *values;
  struct plan_phase *phases;
  uint32_t *symbol_first_use; /* per symbol: the first expression that depends on it; n_dim_exprs if
                                 none */
  uint32_t buffer_count;
  uint32_t most_arguments; /* slots of the largest launch, the error word included */
  uint32_t most_carried;   /* values and dims carried by one loop */
  uint32_t most_carried_dims;
  uint32_t ranks;            /* at least 1 */
  struct plan_group *groups; /* of all exchanges, each once */
  uint32_t group_count;
  struct plan_exchange *exchanges; /* by number */
  uint32_t exchange_count;
  uint32_t most_exchange_parts;
};

/* Decodes and checks the manifest of a file. Errors, reported: E0505..E0507, E0511, E0512, E0615.
 * On failure nothing is held. */
status plan_load(struct plan *plan, const struct engine_file *file);
void plan_unload(struct plan *plan);

/* Inputs and outputs that callers see: not the states, nor their length. */
static inline size_t plan_entry_inputs(const Engine__Entry *e) {
  return e->n_states ? e->length - 1u : e->n_inputs;
}
static inline size_t plan_entry_outputs(const Engine__Entry *e) {
  return e->n_outputs - e->n_states;
}

/* The string of an id. */
static inline const char *plan_string(const struct plan *plan, uint32_t id) {
  return plan->manifest->strings[id];
}

/* The place of a rank in a group, and the rank at a place of the group that `rank` belongs to. */
uint32_t plan_group_place(const struct plan *plan, const struct plan_group *group, uint32_t rank);
uint32_t plan_group_rank(const struct plan *plan, const struct plan_group *group, uint32_t rank,
                         uint32_t place);

/* A rank's place along an axis of the mesh. */
uint32_t plan_coord(const struct plan *plan, uint32_t rank, uint32_t axis);

/*
 * The text of an expression, such as "(past + 1)", cut to n bytes. Returns buffer.
 */
const char *plan_expr_text(const struct plan *plan, uint32_t expr, char *buffer, size_t n);

/* "node 12 'fc1' (MatMul)" for a row of provenance, cut to n bytes; NULL for none. */
const char *plan_node_text(const struct plan *plan, const Engine__Step *step, char *buffer,
                           size_t n);
const char *plan_provenance_text(const struct plan *plan, uint32_t row, char *buffer, size_t n);

#endif
