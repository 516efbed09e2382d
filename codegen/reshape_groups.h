/* SPDX-License-Identifier: Apache-2.0 */
/* Which dims of a reshape's two sides belong together.
 *
 * A reshape keeps the row-major order, so it falls apart into groups of neighbouring dims with
 * equal products; an index is carried over group by group. Finding them multiplies dims, which may
 * make new ones: it is done for all reshapes of a kernel when its schedule is planned, because
 * kernels are emitted on several threads that share the table of dims. */
#ifndef SINTER_CODEGEN_RESHAPE_GROUPS_H
#define SINTER_CODEGEN_RESHAPE_GROUPS_H

#include "base/vec.h"
#include "ir/graph.h"

struct reshape_group {
  uint32_t n_result, n_operand; /* at least 1 each */
};

/* Of the dims that are not 1, in order: `axes` are theirs. Dims behind the last group are of no
 * elements or of one. */
struct reshape_groups {
  value_id result;
  uint32_t result_axes[IR_MAX_RANK], operand_axes[IR_MAX_RANK];
  uint32_t n;
  struct reshape_group groups[IR_MAX_RANK];
};

struct reshape_table {
  VEC(struct reshape_groups) items;
};

/* Adds all reshapes of a region and the regions in it. */
void reshape_table_fill(struct reshape_table *table, const struct function *f, region_id region);
void reshape_table_deinit(struct reshape_table *table);
const struct reshape_groups *reshape_groups_of(const struct reshape_table *table, value_id result);

#endif
