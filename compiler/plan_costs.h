/* SPDX-License-Identifier: Apache-2.0 */
/* What one run of a plan costs, as CSV: for reviews, where a change of it is a change of the
 * compiler. */
#ifndef SINTER_COMPILER_PLAN_COSTS_H
#define SINTER_COMPILER_PLAN_COSTS_H

#include "runtime/plan.h"

#include <stdio.h>

/*
 *     kind,name,launches,tiles,flops,bytes,node
 *     total,,57,1204,8213456,91234,
 *     memory,arena,,,,6422528,
 *     memory,weights,,,,102203904,
 *     kernel,k0_conv,3,294,708083712,1234,'conv1' (Conv)
 *     exchange,all_reduce of 4 ranks,2,,,98304,
 *
 * Kernels stand in the order of their first launch; numbers are sums over launches, the node is
 * that of the first. Of several ranks, kernels and memory are those of one, and of exchanges the
 * bytes that all ranks together receive, by kind and size of their groups. Arena bytes are those of
 * all phases together. Every step of every block counts once, however often it would run. A number
 * that depends on dims which the model leaves open is
 * '?'. Errors: E0615 (memory), E0511 (sizes beyond all bounds).
 */
status plan_costs_print(const struct plan *plan, FILE *out);

#endif
