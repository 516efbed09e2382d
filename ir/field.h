/* SPDX-License-Identifier: Apache-2.0 */
/* The exact domain: floats as elements of the prime field of p = 2^61 - 1, in which sums and
 * products do not depend on their order. A graph and its split form give equal elements, so a part
 * that is lost, doubled or swapped shows by equality (DESIGN: The proof).
 *
 * + - × ÷ are the field's (x / 0 = 0), max, min and comparisons go by representative in [0, p),
 * every other function is a hash of its arguments keyed by the function. Casts between floats of
 * more than 8 bits are the identity. Nothing here says how large an error of rounding is. */
#ifndef SINTER_IR_FIELD_H
#define SINTER_IR_FIELD_H

#include "ir/graph.h"

#define FIELD_P ((INT64_C(1) << 61) - 1)

static inline int64_t field_add(int64_t a, int64_t b) {
  int64_t s = a + b;
  return s >= FIELD_P ? s - FIELD_P : s;
}
static inline int64_t field_sub(int64_t a, int64_t b) { return a >= b ? a - b : a - b + FIELD_P; }
static inline int64_t field_mul(int64_t a, int64_t b) {
  unsigned __int128 m = (unsigned __int128)(uint64_t)a * (uint64_t)b;
  return field_add((int64_t)((uint64_t)m & FIELD_P), (int64_t)(uint64_t)(m >> 61));
}
int64_t field_div(int64_t a, int64_t b);
/* An element that stands for f(a, b, c), for each key another f. Never 0. */
int64_t field_hash(uint64_t key, int64_t a, int64_t b, int64_t c);

/* Finite floats are dyadic rationals, which the field has; the others are fixed elements. */
int64_t field_from_f64(double x);
int64_t field_from_i64(int64_t x, bool is_unsigned);
/* The integer of least magnitude that x stands for. */
int64_t field_to_i64(int64_t x);

/* One scalar operation on floats that is not a select, cast or literal; unused operands are 0. The
 * result of a predicate is 0 or 1. */
int64_t field_scalar(enum scalar_op op, int64_t a, int64_t b);
/* A cast where at least one side is a float; the other is as the interpreter holds it. */
int64_t field_cast(int64_t x, enum dtype from, enum dtype to, enum cast_mode mode);

/* sum prod max min; and their identities. */
int64_t field_combine(enum combiner kind, int64_t a, int64_t b);
int64_t field_identity(enum combiner kind);

/* y[m, n] += a[m, k] b[k, n]. */
void field_product(const int64_t *a, const int64_t *b, int64_t *y, int64_t m, int64_t n, int64_t k);

#endif
