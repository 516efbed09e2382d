/* SPDX-License-Identifier: Apache-2.0 */
/* The cost model: seconds of a group's kernel and of conversions, on one machine, mesh and set of
 * sizes.
 *
 *     kernel      max(flops / (peak x efficiency(rows, columns)), bytes / bandwidth(bytes)) +
 * launch conversion  the sum of its steps (passes/partition/conversion.h) by the links' tables
 *
 * Per rank, at the largest part where splits are uneven. */
#ifndef SINTER_PASSES_COST_H
#define SINTER_PASSES_COST_H

#include "passes/partition/space.h"

struct cost {
  struct module *module;
  const struct machine *machine;
  uint32_t mesh_id;
  const struct mesh *mesh;
  const int64_t *symbols;
  double scale; /* of all times: the weight of the phase */
};

void cost_init(struct module *m, const struct machine *machine, uint32_t mesh,
               const int64_t *symbols, double scale, struct cost *out);

/* A dim at the sizes of the phase; 1 where it has no value. */
int64_t cost_dim(const struct cost *c, dim d);
/* Bytes of the largest part of a value. */
double cost_local_bytes(const struct cost *c, const struct type *type, sharding_id sharding);

/* Fills in compute, memory and launch. splits, operands and results are by op of the group. */
void cost_group(const struct cost *c, const struct space *s, uint32_t group,
                const struct op_split *splits, sharding_id *const *operands,
                sharding_id *const *results, struct space_choice *out);

/* Seconds of a conversion; INFINITY where there is none. */
double cost_convert(const struct cost *c, const struct type *type, sharding_id from, sharding_id to,
                    struct arena *scratch);
/* Bytes that each rank receives in it. */
double cost_convert_bytes(const struct cost *c, const struct type *type, sharding_id from,
                          sharding_id to, struct arena *scratch);
/* Seconds lost where a value that would stay within a kernel is stored and read again. */
double cost_cut(const struct cost *c, const struct type *type, sharding_id from);

#endif
