/* SPDX-License-Identifier: Apache-2.0 */
/* Inside precision: states of entries, which no caller sees, in fewer bits. */
#ifndef SINTER_PASSES_PRECISION_STATES_H
#define SINTER_PASSES_PRECISION_STATES_H

#include "passes/precision/precision_rules.h"

/* Gives parameters that are states the dtype that is asked for where they are updated: where all
 * entries agree on it, and they are f32 so far. Their updates are to follow: an `update` whose data
 * has another dtype than its result. */
void precision_states_begin(struct module *m, const struct precision_rules *rules);
/* When the updates have followed: results that are a state widened to f32 become the state. */
void precision_states_end(struct module *m);

#endif
