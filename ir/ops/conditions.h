/* SPDX-License-Identifier: Apache-2.0 */
/* What an op's type rule leaves to the run: a rule refuses what is provably wrong, so where it can
 * neither prove nor refute, a relation of dims remains, and an op whose relations do not hold would
 * read outside of its operands. Who makes an op for hostile shapes adds a `check` for each. */
#ifndef SINTER_IR_OPS_CONDITIONS_H
#define SINTER_IR_OPS_CONDITIONS_H

#include "ir/graph.h"

typedef void (*op_condition_fn)(void *user, dim lhs, enum relation relation, dim rhs);
/* A symbol that is bound to the value of d before the op runs. */
typedef dim (*op_name_fn)(void *user, dim d);

/* Calls fn for each relation that is not provable; with all of them true, the dims of the op's
 * operands, attributes and results fit together. op must have passed infer, which gave `results`.
 * Where a relation is too long for one expression its parts are named; without `name` (NULL), a
 * side is DIM_NONE then. Control ops have none; `symbol`, indices and counts check themselves. */
void op_conditions(const struct op_view *op, const struct type *results, op_condition_fn fn,
                   op_name_fn name, void *user);

#endif
