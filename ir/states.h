/* SPDX-License-Identifier: Apache-2.0 */
/* States of entries: what makes it right to keep them in one place and write them there. */
#ifndef SINTER_IR_STATES_H
#define SINTER_IR_STATES_H

#include "ir/graph.h"

/* The update in place that reads parameter `param` of the function, looked for inside of fused
 * regions too; NULL unless it is the one reader. *out_result is the function's value that it gives.
 */
const struct op *state_update(const struct function *f, uint32_t param, value_id *out_result);

/* What is wrong with the states of an entry whose variants fit it, or NULL: each must be an update
 * in place of its input, which nothing else reads, in every variant, and ports must stand in the
 * order that struct entry_state tells. */
const char *entry_states_problem(const struct entry *e);

#endif
