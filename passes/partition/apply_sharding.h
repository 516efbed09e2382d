/* SPDX-License-Identifier: Apache-2.0 */
/* From an assignment to a sharded function: the function of all ranks, as DESIGN's SPMD graph. */
#ifndef SINTER_PASSES_APPLY_SHARDING_H
#define SINTER_PASSES_APPLY_SHARDING_H

#include "passes/partition/assignment.h"

/* Rewrites f in place; types keep their dims, and get shardings (canonical, of one mesh; 0: whole).
 *
 * Each op reads its operands and makes its results in the shardings that its splits give
 * (op_split_shardings). Where a reader wants another sharding than the value has, ops across ranks
 * convert it (passes/partition/conversion.h): once per value and wanted sharding, before the first
 * reader, in the region of the value, so never within a loop for a value from outside. What is made
 * of constants and indices alone is computed again in the sharding that is wanted, without
 * communication; a constant is then held split. Conditions and trip counts are whole; carried
 * values and results of `if` and `loop` are split as the ops that yield them make them, where the
 * shapes stay the same (an `if`: where both branches agree). Parameters and results are as the
 * assignment says.
 *
 * Call prepare_sharding first, and assign to what it leaves. Dead ops are swept. Errors: E0330
 * where a split does not fit its op, or an op is fused already. */
status apply_sharding(struct function *f, const struct assignment *a, struct diags *diags);

#endif
