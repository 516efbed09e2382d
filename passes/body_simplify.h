/* SPDX-License-Identifier: Apache-2.0 */
/* Scalar bodies in simpler form: literals folded, identities removed, decided selects taken.
 * Results keep every bit (NaNs count as one). */
#ifndef SINTER_PASSES_BODY_SIMPLIFY_H
#define SINTER_PASSES_BODY_SIMPLIFY_H

#include "ir/graph.h"
#include "passes/value_range.h"

/* What is known of an argument of a body. */
struct body_argument {
  struct range range; /* RANGE_ALL where nothing is known; for ints and bools */
  bool literal;       /* the argument is one number everywhere: this one, by dtype */
  double f64;
  int64_t i64;
};

/* Gives the body itself where nothing changes. Arguments keep their numbers, even where they are no
 * longer read. */
const struct scalar_body *body_simplify(struct module *m, const struct scalar_body *body,
                                        const struct body_argument *arguments);

/* The same body with argument i called number[i] among n; UINT32_MAX where it is not read. */
const struct scalar_body *body_renumber(struct module *m, const struct scalar_body *body,
                                        const uint32_t *number, uint32_t n);

#endif
