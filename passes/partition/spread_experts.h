/* SPDX-License-Identifier: Apache-2.0 */
/* Mixtures of experts in a form that has experts as a dim, so that it can be split over ranks. */
#ifndef SINTER_PASSES_SPREAD_EXPERTS_H
#define SINTER_PASSES_SPREAD_EXPERTS_H

#include "ir/graph.h"

/* Whether axes as `--parallel` names them have one that experts go over; NULL: none. */
bool parallel_has_experts(const char *parallel);

/* What exporters write as products of each token's rows with the tables of its experts becomes
 * products of all tokens with every expert, of which each token takes its own: the sum over experts
 * is then a factor like any other, and each rank computes its experts alone. Values stay the same
 * within rounding, but for indices of experts that are out of range, which select nothing. */
status spread_experts(struct function *f, struct diags *diags);

#endif
