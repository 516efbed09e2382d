/* SPDX-License-Identifier: Apache-2.0 */
/* A small vocabulary for emitting arithmetic on "lanes": a scalar or a vector of float or double,
 * whichever it is.
 *
 * Every operation takes and gives values of the shape in struct lanes; integers are as wide as the
 * floats, truth values are i1. */
#ifndef SINTER_CODEGEN_VMATH_LANES_H
#define SINTER_CODEGEN_VMATH_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codegen/vmath/vmath.h"

typedef LLVMValueRef val;

struct lanes {
  struct vmath *vmath;
  LLVMContextRef context;
  LLVMBuilderRef b;
  unsigned count; /* 0: scalar */
  bool f64;
  bool narrow; /* f64 arithmetic whose result will be rounded to f32: short polynomials will do */
  bool fma;
  LLVMTypeRef element, integer;     /* float or double; i32 or i64 */
  LLVMTypeRef type, integers, bits; /* of all lanes; bits: i1 */
};

/* The shape of `like`, emitting at `b`. */
void lanes_init(struct lanes *l, struct vmath *vmath, LLVMBuilderRef b, LLVMTypeRef like);
/* The same lanes as doubles, with .narrow set. */
void lanes_init_narrow(struct lanes *l, const struct lanes *from);

val lanes_const(struct lanes *l, double x);
val lanes_iconst(struct lanes *l, uint64_t x);
/* `element` of any type in every lane. */
val lanes_splat(struct lanes *l, val element);

val lanes_add(struct lanes *l, val a, val b);
val lanes_sub(struct lanes *l, val a, val b);
val lanes_mul(struct lanes *l, val a, val b);
val lanes_div(struct lanes *l, val a, val b);
val lanes_neg(struct lanes *l, val a);
val lanes_abs(struct lanes *l, val a);
val lanes_sqrt(struct lanes *l, val a);
val lanes_trunc(struct lanes *l, val a);
val lanes_copysign(struct lanes *l, val magnitude, val sign);
val lanes_fma(struct lanes *l, val a, val b, val c);  /* a * b + c, fused if the target can */
val lanes_fnma(struct lanes *l, val a, val b, val c); /* c - a * b */

/* Horner's rule; coefficients from the highest degree down. The array form is for POLY_ tables. */
val lanes_poly(struct lanes *l, val x, const double *coefficients, unsigned n);
val lanes_poly_float(struct lanes *l, val x, const float *coefficients, unsigned n);
#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))
#define LANES_POLY(l, x, table) lanes_poly(l, x, table, COUNT_OF(table))
#define LANES_POLY_F(l, x, table) lanes_poly_float(l, x, table, COUNT_OF(table))
/* The _N table in narrow lanes, else the _D one. */
#define LANES_POLY_DN(l, x, table)                                                                 \
  ((l)->narrow ? LANES_POLY(l, x, table##_N) : LANES_POLY(l, x, table##_D))

val lanes_to_bits(struct lanes *l, val a);   /* float -> integer of the same bits */
val lanes_from_bits(struct lanes *l, val a); /* and back */
val lanes_iadd(struct lanes *l, val a, val b);
val lanes_isub(struct lanes *l, val a, val b);
val lanes_and(struct lanes *l, val a, val b);
val lanes_or(struct lanes *l, val a, val b);
val lanes_xor(struct lanes *l, val a, val b);
val lanes_shl(struct lanes *l, val a, unsigned n);
val lanes_lshr(struct lanes *l, val a, unsigned n);

/* Ordered comparisons: false for NaN. lanes_is_nan is true if either is NaN. */
val lanes_lt(struct lanes *l, val a, val b);
val lanes_le(struct lanes *l, val a, val b);
val lanes_eq(struct lanes *l, val a, val b);
val lanes_is_nan(struct lanes *l, val a, val b);
val lanes_ieq(struct lanes *l, val a, val b);
val lanes_both(struct lanes *l, val a, val b);
val lanes_either(struct lanes *l, val a, val b);
val lanes_not(struct lanes *l, val a);
val lanes_select(struct lanes *l, val condition, val a, val b);
/* The smaller, the larger; NaN in x passes through. */
val lanes_at_most(struct lanes *l, val x, val bound);
val lanes_at_least(struct lanes *l, val x, val bound);

/* Exact sum and product: hi + lo, |lo| <= ulp(hi)/2. lanes_fast_sum needs |a| >= |b| or a == 0. */
struct pair {
  val hi, lo;
};
struct pair lanes_two_sum(struct lanes *l, val a, val b);
struct pair lanes_fast_sum(struct lanes *l, val a, val b);
struct pair lanes_two_product(struct lanes *l, val a, val b);

/* Bits of a stored significand (23 or 52) and the exponent's bias. */
unsigned lanes_significand_bits(const struct lanes *l);
unsigned lanes_bias(const struct lanes *l);
/* 2^n for an integral n in the normal range, given as the low bits of `n` (the others may be
 * anything). */
val lanes_pow2(struct lanes *l, val n);
/* x rounded to an integer n, |n| < 2^22 or 2^51: as a float, and in the low 9 or 12 bits (and more)
 * of *out_bits. NaN gives NaN. */
val lanes_round(struct lanes *l, val x, val *out_bits);
/* The same of x * factor. */
val lanes_round_product(struct lanes *l, val x, double factor, val *out_bits);

/* Lane i of any vector (the value itself for a scalar), and its replacement. */
val lanes_get(struct lanes *l, val a, unsigned i);
val lanes_set(struct lanes *l, val a, val element, unsigned i);

/* A call of the intrinsic `name`, overloaded on lanes' type alone. */
val lanes_intrinsic(struct lanes *l, const char *name, val *args, unsigned n);

#endif
