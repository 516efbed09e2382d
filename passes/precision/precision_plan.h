/* SPDX-License-Identifier: Apache-2.0 */
/* Inside precision: what each op of a function is computed in, and what each value is kept in.
 *
 * Two walks. Forward: products (MULTIPLY) are rounded as asked for; an op that FOLLOWs is where
 * everything it reads is, constants aside. Backward: a value is kept rounded where it was computed
 * so, unless those that read it want f32 (an output, a softmax, a norm); what only a map reads that
 * rounds its own result is left to that one, so that a chain in one kernel is rounded once, as far
 * as no sum of it is exchanged between ranks in between. A value of f32 is kept rounded where every
 * reader would round it: the same numbers in half the bytes. */
#ifndef SINTER_PASSES_PRECISION_PLAN_H
#define SINTER_PASSES_PRECISION_PLAN_H

#include "passes/precision/precision_rules.h"

enum precision_policy { POLICY_OTHER, POLICY_KEEP, POLICY_FOLLOW, POLICY_MULTIPLY };
enum precision_policy precision_policy_of(enum op_kind kind);
/* Whether maps with that function are KEEP. */
bool precision_keeps(enum scalar_op op);

struct precision_choice {
  enum precision_policy policy; /* of this op: a map may be KEEP */
  enum precision to;            /* what it is computed in */
  bool rounded;                 /* `to` is asked for by name of what would be KEEP or f32 */
  const char *why;              /* NULL: nothing to report of the op */
};

struct precision_plan {
  const struct function *f;
  bool across_ranks;                /* sums of products will be exchanged */
  uint32_t n_ops, n_values;         /* when it was made */
  struct precision_choice *choices; /* by op */
  enum dtype *kept;                 /* by value: f16 or bf16 if kept so; else f32 */
};

/* In scratch. */
void precision_plan_make(const struct function *f, const struct precision_rules *rules,
                         bool across_ranks, struct arena *scratch, struct precision_plan *out);

#endif
