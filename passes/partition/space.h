/* SPDX-License-Identifier: Apache-2.0 */
/* The space that is searched: a function as a chain of blocks of groups of ops, and per mesh the
 * tables of a search problem.
 *
 * A group is what is decided on together: a product, attention or other heavy op with the views and
 * maps that only it reads; or maps and row reductions that become one kernel. Its choices are the
 * ways to give each axis of the mesh to one factor of its representative op, or to none; the other
 * ops follow. What a fused kernel saves is kept as long as the value within it needs no conversion.
 *
 * Not in the space: parts of axes, splits into more parts than a factor has units, partials passed
 * on by linear ops, row reductions over split rows. Ops within `if` and `loop` are not split.
 * Values that come of inputs and constants by maps and views alone (masks, positions) are computed
 * whole. */
#ifndef SINTER_PASSES_SPACE_H
#define SINTER_PASSES_SPACE_H

#include "base/map.h"
#include "passes/partition/assignment.h"
#include "passes/partition/machine_model.h"
#include "passes/partition/search_problem.h"
#include "passes/partition/workload.h"

/* What an axis may split, by the names of --parallel; a mask of these. */
enum space_role {
  SPACE_BATCH = 1,
  SPACE_QUERY = 2,
  SPACE_KEY = 4,
  SPACE_EXPERT = 8,
  SPACE_TENSOR = 16,
  SPACE_ANY = 31
};
uint32_t space_role_of(const char *axis); /* "dp", "cp", ...: its role; any other name: SPACE_ANY */
const char *space_role_name(uint32_t role);

struct space_group {
  op_id rep;      /* whose factors are split */
  uint32_t n_ops; /* the representative and what follows it, in execution order */
  const op_id *ops;
  bool heavy;     /* a product, attention, ...: a kernel of its own, perhaps with an epilogue */
  bool free;      /* views, computed in their readers: costs nothing */
  value_id fused; /* the heavy group's value that this group is the epilogue of; VALUE_NONE */
  uint32_t block;
};

struct space_block {
  uint32_t first, n; /* groups */
  uint32_t kind;     /* equal blocks have one; numbered from 0 in order of appearance */
  value_id input, output;
};

struct space {
  struct module *module;
  struct function *function;
  const struct workload_phase *phase;
  uint32_t index; /* of the phase */
  struct arena *arena;
  uint32_t n_groups, n_blocks, n_kinds;
  struct space_group *groups;
  struct space_block *blocks;
  const uint32_t *kind_block; /* by kind: its first block */
  uint32_t *group_of;         /* by op; SEARCH_NONE: not in the space */
  uint32_t *role_of;          /* by value * IR_MAX_RANK + dim: the role of that dim */
  bool *given;        /* by value: whole on every rank, or computed anew: costs no conversion */
  uint32_t *state_of; /* by value: 1 + a state that is the value's storage */
  uint32_t n_states;
  uint32_t *counted;   /* by constant: 1 + the group whose bytes it counts to */
  uint32_t *tie_of;    /* by constant: its tie; SEARCH_NONE */
  uint32_t *state_tie; /* by state */
  bool counts_states;
  double base_bytes;               /* of constants that no choice changes: on every device */
  const struct kept_layouts *kept; /* NULL: none */
};

/* Constants below this are copied to every rank without a thought: not tied, not a reason to split.
 */
#define SPACE_SMALL_CONSTANT (UINT64_C(64) << 10)
/* The same of constants that no product reads: norms' weights, biases, tables of angles. */
#define SPACE_SMALL_TABLE (UINT64_C(32) << 20)

/* Groups and blocks of the function of a phase. */
void space_build(struct module *m, const struct workload_phase *phase, uint32_t index,
                 struct arena *arena, struct space *out);
/* Numbers the ties of all phases: constants and states that more than one group reads, those of
 * equal blocks as one. Returns how many. Before it: nothing is tied and all bytes count. */
uint32_t space_tie(struct space *spaces, uint32_t n);

/* One choice of a group. */
struct space_choice {
  struct op_split split; /* of the representative */
  double compute, memory, launch;
};

struct space_variable {
  uint32_t group; /* of the kind's first block */
  const struct space_choice *choices;
};

/* The tables of a phase for one mesh. */
struct space_tables {
  const struct space *space;
  uint32_t mesh;
  struct search_chain chain;
  struct search_block *blocks;       /* by kind */
  struct space_variable **variables; /* by kind and variable */
  value_id **values;                 /* by kind and value, those of the kind's first block */
  sharding_id ***shardings;          /* by kind, value and class */
  uint64_t n_choices;                /* of all groups of all kinds */
  double space_size;                 /* log10 of the number of plans */
  uint32_t used;                     /* axes that some choice splits by, a bit each */
  op_id unmet;                       /* an op that cannot be split as it is annotated; OP_ID_NONE */
};

/* roles: by axis, what it may split. All times are multiplied by `scale`. */
void space_tables_build(const struct space *space, const struct machine *machine, uint32_t mesh,
                        const uint32_t *roles, double scale, struct arena *arena,
                        struct space_tables *out);

/* What the split of a group does with an axis: a role, or 0. */
uint32_t space_role_of_axis(const struct space *s, uint32_t group, const struct op_split *split,
                            uint32_t axis);
/* Why no op can be split over an axis of that role and size. */
void space_explain_unused(const struct space *s, uint32_t role, int64_t size, struct strbuf *out);
/* Batch rows of a run; 1 where they are not known. */
double space_batch(const struct space *s);

/* The assignment of the function that choices [block][variable] stand for. Layouts of its large
 * constants and of states are written down as well, by number, where they are LAYOUT_FREE. */
void space_assign(const struct space_tables *t, uint32_t *const *choices, struct arena *arena,
                  struct assignment *out, sharding_id *weights, sharding_id *states);

#endif
