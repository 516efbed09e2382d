/* SPDX-License-Identifier: Apache-2.0 */
/* Questions that rules ask about values: what defines them, whether they are one number, how two
 * shapes of the same elements correspond. */
#ifndef SINTER_PASSES_PATTERN_H
#define SINTER_PASSES_PATTERN_H

#include "ir/graph.h"

/* The op that defines v if it is of that kind, else NULL. */
const struct op *def_of_kind(const struct function *f, value_id v, enum op_kind kind);
/* v behind reshapes, broadcasts, transposes, slices: a value with the same set of numbers. */
value_id behind_views(const struct function *f, value_id v);

/* Whether all elements are the same known number: by dtype one of the two is set. Constants of up
 * to 4096 elements are looked at. */
bool value_literal(const struct function *f, value_id v, double *out_f, int64_t *out_i);
bool value_is_literal_f64(const struct function *f, value_id v, double x);

/* The constant behind v (looking through reshapes), or NULL. */
const struct constant *value_constant(const struct function *f, value_id v);
/* Elements of constants; 0 for one without data. */
uint64_t constant_count(const struct constant *c);

bool dims_known_eq(struct dim_table *t, const dim *a, const dim *b, uint32_t n);
bool dim_is_one(const struct dim_table *t, dim d);

/* Where the dims of `to` are those of `from` but for 1s (in the same order): axis[i] is the place
 * in `from` of dim i of `to`, -1 where that is a 1 that was put in. */
bool reshape_moves_ones(struct dim_table *t, const struct type *from, const struct type *to,
                        int64_t *out_axis);
/* Where every dim of `to` is the product of some dims of `from`, one after the other: group i is
 * dims start[i] .. start[i + 1] of `from` (start has to->rank + 1 entries). */
bool reshape_merges(struct dim_table *t, const struct type *from, const struct type *to,
                    uint32_t *out_start);

/* Whether v is a constant, or made of some by maps and reshapes and, where `turned`, transposes. */
bool is_made_of_constants(const struct function *f, value_id v, bool turned);

/* The body of a map is op($i, $k): true with the operands; SCALAR_SELECT and unary ones alike. */
bool map_is(const struct op *op, enum scalar_op scalar, value_id *out_args);

#endif
