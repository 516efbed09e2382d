/* SPDX-License-Identifier: Apache-2.0 */
/* The checker of sharded functions (DESIGN: The proof): whether every value is whole, split or
 * partial exactly where what makes it and what reads it expect it, and all ranks meet in the same
 * collectives.
 *
 * Of each op some split of its factors (ir/op_split.h) must give the shardings that its operands
 * and results have, elements and order and granules alike. A partial is read only by its collective
 * or by an op that is linear in it. A collective fits the shardings on both its sides: it merges
 * what is partial, puts together what is split, along its own axes. What decides whether ops run
 * (conditions, trip counts, symbols) is whole, so ranks cannot part; carried values keep their
 * sharding. Parameters and results of the function are not partial. */
#ifndef SINTER_IR_VERIFY_SHARDING_H
#define SINTER_IR_VERIFY_SHARDING_H

#include "ir/graph.h"

/* The status of the first problem, or STATUS_OK. Reports every problem, with op, value, what is
 * wanted and what is found: E0331 (a value is held in another way than its op needs), E0332 (a
 * partial is read as if it were merged), E0333 (an op across ranks does not fit), E0334 (ranks
 * could run different ops). Assumes a function that verifies otherwise. Tables of the module may
 * grow. */
status sharding_verify(const struct function *f, struct diags *diags);

#endif
