/* SPDX-License-Identifier: Apache-2.0 */
/* The exponential family.
 *
 *     e^x = 2^n e^r,  n = round(x / ln 2),  r = x - n ln 2 in two steps,  e^r = 1 + r + r^2 P(r)
 *
 * 2^n is applied as two factors where the result may leave the normal range, so that overflow and
 * gradual underflow round once. */
#include "codegen/vmath/functions.h"

#include <math.h>
#include <stddef.h>

#include "codegen/vmath/coefficients.h"

#define LOG2_E 0x1.71547652b82fep0
/* ln 2 in two parts; the first has trailing zeros enough for n times it to be exact. */
#define LN2_HI 0x1.62e42fefap-1
#define LN2_LO 0x1.cf79abc9e3b3ap-40
#define LN2_HI_F 0x1.62e4p-1
#define LN2_LO_F 0x1.7f7d1cp-20

/* x = n ln 2 + r; the low bits of *out_bits are n. */
static val reduce(struct lanes *l, val x, val *out_bits) {
  val n = lanes_round_product(l, x, LOG2_E, out_bits);
  val r = lanes_fnma(l, n, lanes_const(l, l->f64 ? LN2_HI : LN2_HI_F), x);
  return lanes_fnma(l, n, lanes_const(l, l->f64 ? LN2_LO : LN2_LO_F), r);
}

/* (e^r - 1 - r), for |r| <= ln(2)/2. */
static val tail(struct lanes *l, val r) {
  val p = l->f64 ? LANES_POLY_DN(l, r, POLY_EXP) : LANES_POLY_F(l, r, POLY_EXP_F);
  return lanes_mul(l, lanes_mul(l, r, r), p);
}

static val exp_reduced(struct lanes *l, val r) {
  return lanes_add(l, lanes_add(l, r, tail(l, r)), lanes_const(l, 1.0));
}

/* floor(n / 2) of the n in the low bits. */
static val half_of(struct lanes *l, val bits) {
  if (!l->f64) {
    val n = lanes_isub(l, bits, lanes_iconst(l, 0x4B400000));
    return LLVMBuildAShr(l->b, n, lanes_iconst(l, 1), "");
  }
  /* Without arithmetic shifts, which vectors of i64 lack before AVX-512. */
  val positive = lanes_and(l, lanes_iadd(l, bits, lanes_iconst(l, 4096)), lanes_iconst(l, 0x1FFF));
  return lanes_isub(l, lanes_lshr(l, positive, 1), lanes_iconst(l, 2048));
}

/* p * 2^n, n from twice the normal range. */
static val scale(struct lanes *l, val p, val bits) {
  val first = half_of(l, bits);
  val second = lanes_isub(l, bits, first);
  return lanes_mul(l, lanes_mul(l, p, lanes_pow2(l, first)), lanes_pow2(l, second));
}

static val clamp(struct lanes *l, val x, double low, double high) {
  return lanes_at_most(l, lanes_at_least(l, x, lanes_const(l, low)), lanes_const(l, high));
}

/* e^x * 2^bias; bias is -1 or 0. */
static val exp_biased(struct lanes *l, val x, int bias) {
  x = l->f64 ? clamp(l, x, -746.0, 712.0) : clamp(l, x, -104.0, 90.0);
  val bits;
  val r = reduce(l, x, &bits);
  if (bias)
    bits = lanes_isub(l, bits, lanes_iconst(l, 1));
  return scale(l, exp_reduced(l, r), bits);
}

val vmath_exp(struct lanes *l, val x) { return exp_biased(l, x, 0); }

val vmath_exp_normal(struct lanes *l, val x) {
  val bits;
  val r = reduce(l, x, &bits);
  return lanes_mul(l, exp_reduced(l, r), lanes_pow2(l, bits));
}

val vmath_exp2_pair(struct lanes *l, val hi, val lo) {
  hi = l->f64 ? clamp(l, hi, -1100.0, 1100.0) : clamp(l, hi, -160.0, 130.0);
  val bits;
  val r = lanes_sub(l, hi, lanes_round(l, hi, &bits));
  if (lo)
    r = lanes_add(l, r, lo);
  val p = l->f64 ? LANES_POLY_DN(l, r, POLY_EXP2) : LANES_POLY_F(l, r, POLY_EXP2_F);
  return scale(l, lanes_fma(l, p, r, lanes_const(l, 1.0)), bits);
}

val vmath_exp2(struct lanes *l, val x) { return vmath_exp2_pair(l, x, NULL); }

/* 2^n (e^r - 1) + (2^n - 1), with half of 2^n so that the largest results do not overflow on the
 * way. */
val vmath_expm1(struct lanes *l, val x) {
  val bits;
  val r = reduce(l, clamp(l, x, -40.0, 712.0), &bits);
  val half = lanes_pow2(l, lanes_isub(l, bits, lanes_iconst(l, 1)));
  val rest = lanes_sub(l, half, lanes_const(l, 0.5));
  val m = lanes_add(l, r, tail(l, r));
  val result = lanes_mul(l, lanes_fma(l, half, m, rest), lanes_const(l, 2.0));
  /* Beyond the double range n is out of the range of one factor. */
  val huge = lanes_lt(l, lanes_const(l, 709.79), x);
  result = lanes_select(l, huge, lanes_const(l, (double)INFINITY), result);
  return lanes_select(l, lanes_eq(l, x, lanes_const(l, 0.0)), x, result);
}

/* e^-|x| / (1 + e^-|x|) on the left, 1 / (1 + e^-|x|) on the right. */
val vmath_sigmoid(struct lanes *l, val x) {
  val one = lanes_const(l, 1.0);
  val e = vmath_exp(l, lanes_neg(l, lanes_abs(l, x)));
  val numerator = lanes_select(l, lanes_lt(l, x, lanes_const(l, 0.0)), e, one);
  return lanes_div(l, numerator, lanes_add(l, one, e));
}

/* Below 5/8 an odd polynomial; above, 1 - 2 / (e^2|x| + 1). */
static val tanh_float(struct lanes *l, val x) {
  val a = lanes_abs(l, x);
  val z = lanes_mul(l, x, x);
  val small = lanes_fma(l, lanes_mul(l, x, z), LANES_POLY_F(l, z, POLY_TANH_F), x);
  val doubled = lanes_mul(l, lanes_at_most(l, a, lanes_const(l, 10.0)), lanes_const(l, 2.0));
  val one = lanes_const(l, 1.0);
  val e = lanes_add(l, vmath_exp_normal(l, doubled), one);
  val large = lanes_sub(l, one, lanes_div(l, lanes_const(l, 2.0), e));
  val is_small = lanes_lt(l, a, lanes_const(l, 0.625));
  /* The polynomial's sign is right but for -0. */
  return lanes_copysign(l, lanes_select(l, is_small, small, large), x);
}

val vmath_tanh(struct lanes *l, val x) {
  if (!l->f64)
    return tanh_float(l, x);
  val a = lanes_at_most(l, lanes_abs(l, x), lanes_const(l, 22.0));
  val t = vmath_expm1(l, lanes_mul(l, a, lanes_const(l, 2.0)));
  return lanes_copysign(l, lanes_div(l, t, lanes_add(l, t, lanes_const(l, 2.0))), x);
}

/* e^|x| / 2, and a quarter of its reciprocal: e^-|x| / 2. */
static struct pair half_exponentials(struct lanes *l, val a) {
  val e = exp_biased(l, a, -1);
  return (struct pair){e, lanes_div(l, lanes_const(l, 0.25), e)};
}

val vmath_sinh(struct lanes *l, val x) {
  val a = lanes_abs(l, x);
  val z = lanes_mul(l, x, x);
  val small = lanes_fma(l, lanes_mul(l, x, z), LANES_POLY_DN(l, z, POLY_SINH), x);
  struct pair e = half_exponentials(l, a);
  val large = lanes_copysign(l, lanes_sub(l, e.hi, e.lo), x);
  return lanes_select(l, lanes_lt(l, a, lanes_const(l, 1.0)), small, large);
}

val vmath_cosh(struct lanes *l, val x) {
  struct pair e = half_exponentials(l, lanes_abs(l, x));
  return lanes_add(l, e.hi, e.lo);
}
