/* SPDX-License-Identifier: Apache-2.0 */
/* Between which integers the elements of a value lie, as far as its definition shows.
 *
 * Sizes, positions and indices in exported graphs pass through comparisons and selects (negative
 * indices count from the end; -1 means the rest) that are decided once it is known that a position
 * is not negative. Bools count as 0 and 1. Nothing is known of floats and u64. */
#ifndef SINTER_PASSES_VALUE_RANGE_H
#define SINTER_PASSES_VALUE_RANGE_H

#include "ir/graph.h"

/* Inclusive; lo > hi never. The whole of int64_t: nothing is known. */
struct range {
  int64_t lo, hi;
};

#define RANGE_ALL ((struct range){INT64_MIN, INT64_MAX})

/* Remembers what it found; values must keep their definitions while it lives. */
struct value_ranges {
  const struct function *f;
  struct map found; /* value -> place in ranges */
  VEC(struct range) ranges;
};

void value_ranges_init(struct value_ranges *r, const struct function *f);
void value_ranges_deinit(struct value_ranges *r);
struct range value_range(struct value_ranges *r, value_id v);

/* The range of one instruction of a body, from those of its operands; an argument's is that of its
 * dtype. */
struct range range_of_inst(const struct scalar_inst *inst, enum dtype operand_dtype,
                           const struct range *operands);
/* All values of a dtype. */
struct range range_of_dtype(enum dtype dtype);

#endif
