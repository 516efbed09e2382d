/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that change functions share. */
#ifndef SINTER_IR_CHANGE_H
#define SINTER_IR_CHANGE_H

#include "ir/graph.h"

/* Calls fn for every use of a value: by op operands, and by region results (`by` the region's op).
 */
typedef void (*use_fn)(void *user, value_id v, op_id by);
void function_visit_uses(const struct function *f, use_fn fn, void *user);

/* Empties the slot of an op and of what is inside it; the caller takes it off its list. */
void op_bury(struct function *f, op_id id);

#endif
