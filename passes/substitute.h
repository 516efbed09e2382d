/* SPDX-License-Identifier: Apache-2.0 */
/* One symbol written as another expression throughout a function. */
#ifndef SINTER_PASSES_SUBSTITUTE_H
#define SINTER_PASSES_SUBSTITUTE_H

#include "ir/graph.h"

/* Replaces a symbol in the types of all values and the attributes of all ops. False, and nothing
 * changed, where an expression would grow beyond what dims hold. What binds the symbol must go, or
 * stay the only place that says it: `except` (OP_ID_NONE: none) keeps its own attributes. */
bool function_substitute(struct function *f, uint32_t symbol, dim with, op_id except);

#endif
