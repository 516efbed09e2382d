/* SPDX-License-Identifier: Apache-2.0 */
/* One symbol written as another expression throughout a function. */
#ifndef SINTER_PASSES_SUBSTITUTE_H
#define SINTER_PASSES_SUBSTITUTE_H

#include "ir/graph.h"

/* Replaces a symbol in the types of all values and the attributes of all ops. False, and nothing
 * changed, where an expression would grow beyond what dims hold. What binds the symbol must go, or
 * stay the only place that says it: `except` (OP_ID_NONE: none) keeps its own attributes. */
bool function_substitute(struct function *f, uint32_t symbol, dim with, op_id except);

/* The attributes of an op, which must be the caller's own copy, with symbols replaced: by_symbol as
 * in dim_substitute. Expressions that grow too long become DIM_NONE, which builders refuse. */
void attrs_substitute(struct dim_table *t, enum op_kind kind, void *attrs, const dim *by_symbol);

#endif
