/* SPDX-License-Identifier: Apache-2.0 */
/* asin, acos, atan: a polynomial near zero, and identities that lead there. */
#include "codegen/vmath/functions.h"

#include "codegen/vmath/coefficients.h"

/* Each constant in two doubles. */
#define PI_HI 0x1.921fb54442d18p1
#define PI_LO 0x1.1a62633145c07p-53
#define PI_2_HI 0x1.921fb54442d18p0
#define PI_2_LO 0x1.1a62633145c07p-54
#define PI_4_HI 0x1.921fb54442d18p-1
#define PI_4_LO 0x1.1a62633145c07p-55

/* For |x| >= 1/2: z = (1 - |x|) / 2, s = sqrt z, and asin(s) = s + rest. Below, s = |x|. */
struct arc {
  val a, is_small, s, rest;
};

static struct arc reduce(struct lanes *l, val x) {
  struct arc out = {.a = lanes_abs(l, x)};
  val half = lanes_const(l, 0.5);
  out.is_small = lanes_lt(l, out.a, half);
  val z = lanes_select(l, out.is_small, lanes_mul(l, x, x),
                       lanes_mul(l, lanes_sub(l, lanes_const(l, 1.0), out.a), half));
  out.s = lanes_select(l, out.is_small, out.a, lanes_sqrt(l, z));
  out.rest = lanes_mul(l, lanes_mul(l, out.s, z), LANES_POLY_DN(l, z, POLY_ASIN));
  return out;
}

/* asin a = pi/2 - 2 asin s */
val vmath_asin(struct lanes *l, val x) {
  struct arc r = reduce(l, x);
  val two = lanes_const(l, 2.0);
  val twice = lanes_fma(l, r.s, two, lanes_fma(l, r.rest, two, lanes_const(l, -PI_2_LO)));
  val large = lanes_sub(l, lanes_const(l, PI_2_HI), twice);
  val result = lanes_select(l, r.is_small, lanes_add(l, r.s, r.rest), large);
  return lanes_copysign(l, result, x);
}

/* pi/2 - asin x near zero; 2 asin s on the right, pi - 2 asin s on the left. */
val vmath_acos(struct lanes *l, val x) {
  struct arc r = reduce(l, x);
  val two = lanes_const(l, 2.0), zero = lanes_const(l, 0.0);
  val rest = lanes_copysign(l, r.rest, x);
  val middle = lanes_sub(l, lanes_const(l, PI_2_HI),
                         lanes_add(l, x, lanes_sub(l, rest, lanes_const(l, PI_2_LO))));
  val right = lanes_mul(l, lanes_add(l, r.s, r.rest), two);
  val left = lanes_sub(l, lanes_const(l, PI_HI),
                       lanes_fma(l, r.s, two, lanes_fma(l, r.rest, two, lanes_const(l, -PI_LO))));
  val large = lanes_select(l, lanes_lt(l, x, zero), left, right);
  return lanes_select(l, r.is_small, middle, large);
}

/* atan a = pi/2 + atan(-1/a) = pi/4 + atan((a - 1) / (a + 1)), for the argument that is below
 * tan(pi/8). */
val vmath_atan(struct lanes *l, val x) {
  val a = lanes_abs(l, x), one = lanes_const(l, 1.0), zero = lanes_const(l, 0.0);
  val is_large = lanes_lt(l, lanes_const(l, 2.414213562373095), a);
  val is_middle = lanes_lt(l, lanes_const(l, 0.41421356237309503), a);
  val over = lanes_select(l, is_middle, lanes_sub(l, a, one), a);
  val under = lanes_select(l, is_middle, lanes_add(l, a, one), one);
  over = lanes_select(l, is_large, lanes_const(l, -1.0), over);
  under = lanes_select(l, is_large, a, under);
  val t = lanes_div(l, over, under);
  val z = lanes_mul(l, t, t);
  val base = lanes_select(l, is_middle, lanes_const(l, PI_4_HI), zero);
  base = lanes_select(l, is_large, lanes_const(l, PI_2_HI), base);
  val low = lanes_select(l, is_middle, lanes_const(l, PI_4_LO), zero);
  low = lanes_select(l, is_large, lanes_const(l, PI_2_LO), low);
  val rest = lanes_fma(l, lanes_mul(l, t, z), LANES_POLY_DN(l, z, POLY_ATAN), low);
  return lanes_copysign(l, lanes_add(l, base, lanes_add(l, t, rest)), x);
}
