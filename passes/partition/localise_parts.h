/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of localise: the state of its walk, and what its files share. */
#ifndef SINTER_PASSES_LOCALISE_PARTS_H
#define SINTER_PASSES_LOCALISE_PARTS_H

#include "ir/part_dims.h"

struct localise {
  struct module *m;
  const struct function *from; /* with shardings */
  struct builder b;            /* of the local function */
  value_id *map;               /* by value of `from` */
  struct diags *diags;
  struct arena *scratch;
  status failure;
};

/* Reports E0350 at the op. */
void localise_fail(struct localise *l, const struct op *op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline value_id localise_operand(const struct localise *l, const struct op *op, uint32_t i) {
  return l->map[op->operands[i]];
}
void localise_set(struct localise *l, const struct op *op, uint32_t i, value_id v);

/* Of a value of `from`: how its dim d is split (none: n_axes 0), the part of it that a rank has,
 * and its local type. */
const struct sharding *localise_sharding(const struct localise *l, value_id v);
struct part_dims localise_part(struct localise *l, value_id v, uint32_t d);
struct type localise_type(struct localise *l, value_id v);

/* A dim as a number of rank 0. */
value_id localise_dim_value(struct localise *l, dim d);

/* An op whose own definition says what a rank's part of it is, with other attributes or none. */
void localise_same(struct localise *l, const struct op *op, const void *attrs);

/* ---- the ranks that a collective acts among ---- */

struct localise_group {
  uint32_t mesh, n;
  struct axis_ref refs[MESH_MAX_AXES];
};

/* Those of an op; for `shard`, which acts alone, only the mesh. False after a report. */
bool localise_group(struct localise *l, const struct op *op, struct localise_group *out);

/* The exchange of n local values (1 or 2) among them; `from` for permutes only. */
op_id localise_exchange(struct localise *l, const struct localise_group *g, enum exchange_kind kind,
                        enum partial_kind reduce, const struct ints *from, const value_id *xs,
                        uint32_t n);

/* What `part`, whose dim d the op's axes cut, is of `whole`, which has the same shape. False after a
 * report. */
bool localise_nested(struct localise *l, const struct op *op, const struct localise_group *g,
                     value_id whole, value_id part, uint32_t d, struct part_dims *out);

/* The forms of single ops; false where the op is not one that needs its own. */
bool localise_special(struct localise *l, const struct op *op);
bool localise_collective(struct localise *l, const struct op *op);
bool localise_ring(struct localise *l, const struct op *op);

#endif
