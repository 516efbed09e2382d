/* SPDX-License-Identifier: Apache-2.0 */
/* Shardings that a model's nodes are annotated with (module.node_tensors): as an assignment, and
 * back from what a function was split into. */
#ifndef SINTER_PASSES_ANNOTATIONS_H
#define SINTER_PASSES_ANNOTATIONS_H

#include "passes/partition/assignment.h"

/* The node's tensor that an operand or a result of the op is: of the node that the op comes from,
 * with the dims of the value, and not a value between two ops of one node; NULL. */
struct node_tensor *annotations_tensor(const struct function *f, const struct op *op, bool result,
                                       uint32_t i);

/* Whether the shardings of an op's split (op_split_shardings) are those that its tensors are
 * annotated with. What becomes of partial results is left to their readers. */
bool annotations_allow(const struct function *f, const struct op *op, const sharding_id *operands,
                       const sharding_id *results);

/* The assignment that the annotations say, over their mesh. An op without any goes on with the
 * splits that its operands have. Call prepare_sharding before. Errors: E0347 for a tensor that no
 * op of its node can have so. Warns (W0341) of tensors that the graph has no more. */
status annotated_assignment(struct function *f, struct arena *arena, struct diags *diags,
                            struct assignment *out);

/* The module is split otherwise than its nodes are annotated: warns (W0341), if they are. */
void annotations_drop(struct module *m, struct diags *diags);

/* Annotates all tensors that a function of shardings has, and no others. */
void annotations_note(const struct function *f);

#endif
