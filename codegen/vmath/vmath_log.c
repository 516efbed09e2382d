/* SPDX-License-Identifier: Apache-2.0 */
/* Logarithms and what is made of them.
 *
 *     log x = e ln 2 + log(1 + f),  x = 2^e (1 + f),  1 + f in [sqrt(1/2), sqrt(2))
 *     s = f / (2 + f),  log(1 + f) = 2 atanh(s) = 2 s + s z R(z),  z = s^2
 *
 * The sum is taken as f - (f^2/2 - s (f^2/2 + z R)), which keeps f exact and corrects it by
 * something small (W. J. Cody's arrangement). f32 lanes use a polynomial in f instead: no division.
 */
#include "codegen/vmath/functions.h"

#include <math.h>

#include "codegen/vmath/coefficients.h"

#define LN2_HI 0x1.62e42fefap-1
#define LN2_LO 0x1.cf79abc9e3b3ap-40
#define LN2_HI_F 0x1.62e4p-1
#define LN2_LO_F 0x1.7f7d1cp-20
#define LN2 0x1.62e42fefa39efp-1
#define LOG2_E 0x1.71547652b82fep0
#define LOG2_E_LO 0x1.777d0ffda0d24p-56

void vmath_split(struct lanes *l, val x, val *out_f, val *out_e) {
  unsigned width = lanes_significand_bits(l), bias = lanes_bias(l);
  /* Denormals become normal first. Narrow lanes hold floats, which are normal doubles. */
  val denormal = NULL;
  if (!l->narrow) {
    denormal = lanes_lt(l, x, lanes_const(l, l->f64 ? 0x1p-1022 : 0x1p-126));
    val scaled = lanes_mul(l, x, lanes_const(l, l->f64 ? 0x1p54 : 0x1p25));
    x = lanes_select(l, denormal, scaled, x);
  }
  uint64_t root_half = l->f64 ? UINT64_C(0x3FE6A09E667F3BCD) : 0x3F3504F3;
  uint64_t one = (uint64_t)bias << width;
  val bits = lanes_to_bits(l, x);
  val k = lanes_lshr(l, lanes_iadd(l, bits, lanes_iconst(l, one - root_half)), width);
  val m = lanes_isub(l, bits, lanes_shl(l, lanes_isub(l, k, lanes_iconst(l, bias)), width));
  *out_f = lanes_sub(l, lanes_from_bits(l, m), lanes_const(l, 1.0));
  /* k is small and positive: put it below the point of 2^52 or 2^23. */
  val base = lanes_const(l, l->f64 ? 0x1p52 : 0x1p23);
  val biased = lanes_from_bits(l, lanes_or(l, k, lanes_to_bits(l, base)));
  val offset = lanes_const(l, (l->f64 ? 0x1p52 : 0x1p23) + bias);
  if (denormal)
    offset = lanes_select(l, denormal,
                          lanes_const(l, l->f64 ? 0x1p52 + 1023 + 54 : 0x1p23 + 127 + 25), offset);
  *out_e = lanes_sub(l, biased, offset);
}

/* log(1 + f) + c + e * ln 2 for small c. */
static val log_sum(struct lanes *l, val f, val e, val c) {
  val s = lanes_div(l, f, lanes_add(l, f, lanes_const(l, 2.0)));
  val z = lanes_mul(l, s, s);
  val r = lanes_mul(l, z, LANES_POLY_DN(l, z, POLY_LOG));
  val half_square = lanes_mul(l, lanes_mul(l, f, f), lanes_const(l, 0.5));
  val low = c;
  if (e)
    low = c ? lanes_fma(l, e, lanes_const(l, LN2_LO), c) : lanes_mul(l, e, lanes_const(l, LN2_LO));
  val inner = lanes_mul(l, s, lanes_add(l, half_square, r));
  if (low)
    inner = lanes_add(l, inner, low);
  val sum = lanes_sub(l, f, lanes_sub(l, half_square, inner));
  return e ? lanes_fma(l, e, lanes_const(l, LN2_HI), sum) : sum;
}

/* The same in f32; c may be NULL. */
static val log_float(struct lanes *l, val f, val e, val c) {
  val square = lanes_mul(l, f, f);
  val cubic = lanes_mul(l, lanes_mul(l, f, square), LANES_POLY_F(l, f, POLY_LOG1F_F));
  val low = lanes_fma(l, e, lanes_const(l, LN2_LO_F), cubic);
  if (c)
    low = lanes_add(l, low, c);
  val rest = lanes_fma(l, square, lanes_const(l, -0.5), low);
  return lanes_fma(l, e, lanes_const(l, LN2_HI_F), lanes_add(l, f, rest));
}

/* `result` for positive finite x; the logarithm's values elsewhere. */
static val with_specials(struct lanes *l, val x, val result) {
  val zero = lanes_const(l, 0.0), infinity = lanes_const(l, (double)INFINITY);
  val outside = lanes_select(l, lanes_eq(l, x, zero), lanes_const(l, -(double)INFINITY),
                             lanes_const(l, (double)NAN));
  result = lanes_select(l, lanes_lt(l, zero, x), result, outside);
  return lanes_select(l, lanes_eq(l, x, infinity), infinity, result);
}

val vmath_log(struct lanes *l, val x) {
  val f, e;
  vmath_split(l, x, &f, &e);
  return with_specials(l, x, l->f64 ? log_sum(l, f, e, NULL) : log_float(l, f, e, NULL));
}

val vmath_log2(struct lanes *l, val x) {
  val f, e;
  vmath_split(l, x, &f, &e);
  val log1 = log_sum(l, f, NULL, NULL);
  val low = lanes_mul(l, log1, lanes_const(l, LOG2_E_LO));
  val fraction = lanes_fma(l, log1, lanes_const(l, LOG2_E), low);
  return with_specials(l, x, lanes_add(l, e, fraction));
}

/* log(x + c), c an error of x far below its last place, plus ln 2 where `twice`. x positive and
 * finite, c and twice may be NULL. */
static val log_corrected(struct lanes *l, val x, val c, val twice) {
  val f, e;
  vmath_split(l, x, &f, &e);
  if (twice)
    e = lanes_select(l, twice, lanes_add(l, e, lanes_const(l, 1.0)), e);
  return log_sum(l, f, e, c ? lanes_div(l, c, x) : NULL);
}

static val log1p_float(struct lanes *l, val sum, val rest) {
  val f, e;
  vmath_split(l, sum, &f, &e);
  return log_float(l, f, e, lanes_div(l, rest, sum));
}

val vmath_log1p(struct lanes *l, val x) {
  struct pair w = lanes_two_sum(l, lanes_const(l, 1.0), x);
  val result = l->f64 ? log_corrected(l, w.hi, w.lo, NULL) : log1p_float(l, w.hi, w.lo);
  /* w is 0 below the domain's edge, infinite or NaN where x is. */
  val special = with_specials(l, w.hi, result);
  return lanes_select(l, lanes_eq(l, x, lanes_const(l, 0.0)), x, special);
}

#define LARGE 0x1p28 /* from here on 1 does not matter beside the square */

/* log(1 + t), or log(2 big) where big is LARGE at least; t and big positive. */
static val log1p_or_log2x(struct lanes *l, val t, val big) {
  val is_large = lanes_le(l, lanes_const(l, LARGE), big);
  struct pair w = lanes_two_sum(l, lanes_const(l, 1.0), t);
  val x = lanes_select(l, is_large, big, w.hi);
  val c = lanes_select(l, is_large, lanes_const(l, 0.0), w.lo);
  return log_corrected(l, x, c, is_large);
}

/* log1p(a + a^2 / (1 + sqrt(1 + a^2))) */
val vmath_asinh(struct lanes *l, val x) {
  val a = lanes_abs(l, x), one = lanes_const(l, 1.0);
  val square = lanes_mul(l, a, a);
  val root = lanes_sqrt(l, lanes_add(l, one, square));
  val t = lanes_add(l, a, lanes_div(l, square, lanes_add(l, one, root)));
  val result = lanes_copysign(l, log1p_or_log2x(l, t, a), x);
  val keeps = lanes_either(l, lanes_lt(l, a, lanes_const(l, 0x1p-28)),
                           lanes_not(l, lanes_lt(l, a, lanes_const(l, (double)INFINITY))));
  return lanes_select(l, keeps, x, result);
}

/* t = x - 1: log1p(t + sqrt(2 t + t^2)) */
val vmath_acosh(struct lanes *l, val x) {
  val t = lanes_sub(l, x, lanes_const(l, 1.0));
  val under = lanes_fma(l, t, t, lanes_add(l, t, t));
  val result = log1p_or_log2x(l, lanes_add(l, t, lanes_sqrt(l, under)), x);
  val inside = lanes_le(l, lanes_const(l, 1.0), x);
  val finite = lanes_lt(l, x, lanes_const(l, (double)INFINITY));
  val special = lanes_select(l, inside, x, lanes_const(l, (double)NAN));
  return lanes_select(l, lanes_both(l, inside, finite), result, special);
}

/* log1p(2 a / (1 - a)) / 2; beyond 1 the argument is below -2, outside of log1p's domain. */
val vmath_atanh(struct lanes *l, val x) {
  val a = lanes_abs(l, x);
  val t = lanes_div(l, lanes_add(l, a, a), lanes_sub(l, lanes_const(l, 1.0), a));
  val half = lanes_mul(l, vmath_log1p(l, t), lanes_const(l, 0.5));
  return lanes_copysign(l, half, x);
}
