/* SPDX-License-Identifier: Apache-2.0 */
/* pow(x, y) = 2^(y log2 |x|), with the sign of (-1)^y for negative x and integral y.
 *
 * The exponent may be near 1024, so that its logarithm has to be good to 2^-64: it is computed in
 * pairs of doubles, with the series 2 s (1 + z/3 + ...) of vmath_log.c, whose first two terms are
 * pairs. Rounded to f32, one double is enough. */
#include "codegen/vmath/functions.h"

#include <math.h>

#include "codegen/vmath/coefficients.h"

#define TWO_THIRDS_HI 0x1.5555555555555p-1
#define TWO_THIRDS_LO 0x1.5555555555555p-55
#define LOG2_E 0x1.71547652b82fep0
#define LOG2_E_LO 0x1.777d0ffda0d24p-56

/* s = f / (2 + f) */
static struct pair ratio(struct lanes *l, val f) {
  struct pair under = lanes_fast_sum(l, lanes_const(l, 2.0), f);
  val s = lanes_div(l, f, under.hi);
  struct pair product = lanes_two_product(l, s, under.hi);
  val rest = lanes_sub(l, lanes_sub(l, f, product.hi), product.lo);
  rest = lanes_fnma(l, s, under.lo, rest);
  return (struct pair){s, lanes_div(l, rest, under.hi)};
}

static struct pair multiply(struct lanes *l, struct pair a, struct pair b) {
  struct pair p = lanes_two_product(l, a.hi, b.hi);
  val cross = lanes_fma(l, a.hi, b.lo, lanes_mul(l, a.lo, b.hi));
  return (struct pair){p.hi, lanes_add(l, p.lo, cross)};
}

/* log(1 + f) = s (2 + z (2/3 + z Q(z))) */
static struct pair log_pair(struct lanes *l, val f) {
  struct pair s = ratio(l, f);
  struct pair z = multiply(l, s, s);
  val w = lanes_mul(l, z.hi, LANES_POLY(l, z.hi, POLY_LOGPOW_D));
  struct pair t = lanes_fast_sum(l, lanes_const(l, TWO_THIRDS_HI), w);
  t.lo = lanes_add(l, t.lo, lanes_const(l, TWO_THIRDS_LO));
  struct pair u = multiply(l, z, t);
  struct pair v = lanes_fast_sum(l, lanes_const(l, 2.0), u.hi);
  v.lo = lanes_add(l, v.lo, u.lo);
  return multiply(l, s, v);
}

/* log2 of a positive finite a. */
static struct pair log2_pair(struct lanes *l, val a) {
  val f, e;
  vmath_split(l, a, &f, &e);
  struct pair scale = {lanes_const(l, LOG2_E), lanes_const(l, LOG2_E_LO)};
  struct pair fraction = multiply(l, log_pair(l, f), scale);
  struct pair sum = lanes_fast_sum(l, e, fraction.hi);
  return (struct pair){sum.hi, lanes_add(l, sum.lo, fraction.lo)};
}

static val power_double(struct lanes *l, val a, val y) {
  struct pair log2 = log2_pair(l, a);
  struct pair z = lanes_two_product(l, y, log2.hi);
  val low = lanes_fma(l, y, log2.lo, z.lo);
  /* Beyond the range the product may have overflowed, and its error is no number. */
  val inside = lanes_lt(l, lanes_abs(l, z.hi), lanes_const(l, 1100.0));
  low = lanes_select(l, inside, low, lanes_const(l, 0.0));
  return vmath_exp2_pair(l, z.hi, low);
}

static val power_narrow(struct lanes *l, val a, val y) {
  val f, e;
  vmath_split(l, a, &f, &e);
  val s = lanes_div(l, f, lanes_add(l, f, lanes_const(l, 2.0)));
  val z = lanes_mul(l, s, s);
  val series = lanes_mul(l, z, LANES_POLY(l, z, POLY_LOG_D));
  val log1 = lanes_mul(l, s, lanes_add(l, series, lanes_const(l, 2.0)));
  return vmath_exp2_pair(l, lanes_mul(l, y, lanes_fma(l, log1, lanes_const(l, LOG2_E), e)), NULL);
}

/* |x|^y for a = |x|, where the logarithm is infinite too. 0 * infinity and 1^infinity are the
 * caller's. */
static val power(struct lanes *l, val a, val y) {
  val zero = lanes_const(l, 0.0), infinity = lanes_const(l, (double)INFINITY);
  val result = l->narrow ? power_narrow(l, a, y) : power_double(l, a, y);
  val ordinary = lanes_both(l, lanes_lt(l, zero, a), lanes_lt(l, a, infinity));
  /* 0 to a positive power is 0, infinity to a negative one too; the others are infinite. */
  val to_zero = LLVMBuildXor(l->b, lanes_eq(l, a, zero), lanes_lt(l, y, zero), "");
  return lanes_select(l, ordinary, result, lanes_select(l, to_zero, zero, infinity));
}

/* pow(x, 0.5): sqrt, but for -infinity and -0. */
static val square_root(struct lanes *l, val x) {
  val infinity = lanes_const(l, (double)INFINITY);
  val root = lanes_sqrt(l, lanes_add(l, x, lanes_const(l, 0.0)));
  return lanes_select(l, lanes_eq(l, x, lanes_neg(l, infinity)), infinity, root);
}

/* The exponents that models write, where y is one constant in all lanes; else NULL. One rounding,
 * or two for a cube. */
val vmath_pow_constant(struct lanes *l, val x, val y) {
  val element = y;
  if (l->count) {
    if (!LLVMIsAConstantDataVector(y))
      return NULL;
    element = LLVMGetAggregateElement(y, 0);
    for (unsigned i = 1; i < l->count; i++)
      if (LLVMGetAggregateElement(y, i) != element)
        return NULL;
  }
  if (!LLVMIsAConstantFP(element))
    return NULL;
  LLVMBool inexact;
  double exponent = LLVMConstRealGetDouble(element, &inexact);
  if (exponent == 1)
    return x;
  if (exponent == 2)
    return lanes_mul(l, x, x);
  if (exponent == 3)
    return lanes_mul(l, lanes_mul(l, x, x), x);
  if (exponent == 0.5)
    return square_root(l, x);
  if (exponent == -1)
    return lanes_div(l, lanes_const(l, 1.0), x);
  return NULL;
}

val vmath_pow(struct lanes *l, val x, val y) {
  val zero = lanes_const(l, 0.0), one = lanes_const(l, 1.0);
  val a = lanes_abs(l, x);
  val result = power(l, a, y);
  /* 1 to any power, and the log of 1 times infinity. */
  result = lanes_select(l, lanes_eq(l, a, one), one, result);

  val integral = lanes_eq(l, lanes_trunc(l, y), y);
  val half = lanes_mul(l, y, lanes_const(l, 0.5));
  val even = lanes_eq(l, lanes_trunc(l, half), half);
  val odd = lanes_both(l, integral, lanes_not(l, even));
  result = lanes_select(l, odd, lanes_copysign(l, result, x), result);
  val negative =
      lanes_both(l, lanes_lt(l, x, zero), lanes_lt(l, a, lanes_const(l, (double)INFINITY)));
  val undefined = lanes_both(l, negative, lanes_not(l, integral));
  result = lanes_select(l, undefined, lanes_const(l, (double)NAN), result);

  result = lanes_select(l, lanes_is_nan(l, x, y), lanes_add(l, x, y), result);
  val is_one = lanes_either(l, lanes_eq(l, y, zero), lanes_eq(l, x, one));
  return lanes_select(l, is_one, one, result);
}
