/* SPDX-License-Identifier: Apache-2.0 */
/* Batch rows of states. */
#ifndef SINTER_PASSES_DEAL_ROWS_H
#define SINTER_PASSES_DEAL_ROWS_H

#include "passes/partition/assignment.h"

/* Where a function with states has its batch rows (a dim that is `batch`) split in blocks, deals
 * them one by one instead: then a row stays on its rank, at its place, when another run has more or
 * fewer of them. Ops that cannot be split so are computed whole. Nothing changes where the batch is
 * a number. New lists live in the arena. */
void deal_rows(struct function *f, dim batch, struct arena *arena, struct assignment *a);

#endif
