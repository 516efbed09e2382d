/* SPDX-License-Identifier: Apache-2.0 */
/* erf: x (1 + P(x^2)) below 1, 1 - erfc(x) above.
 *
 * f64: erfc(x) = e^(-x^2) g(1 / (x + 2)) with a polynomial g. f32: erfc itself is one, since only
 * its absolute error matters; an exponential would cost more than its many terms. */
#include "codegen/vmath/functions.h"

#include "codegen/vmath/coefficients.h"

static val erfc_double(struct lanes *l, val a) {
  a = lanes_at_most(l, a, lanes_const(l, 6.0));
  val one = lanes_const(l, 1.0);
  val u = lanes_div(l, one, lanes_add(l, a, lanes_const(l, 2.0)));
  val gauss = vmath_exp_normal(l, lanes_neg(l, lanes_mul(l, a, a)));
  return lanes_mul(l, gauss, LANES_POLY(l, u, POLY_ERFCX_D));
}

/* The polynomial is in the distance from the middle of [1, 3.93]. */
static val erfc_float(struct lanes *l, val a) {
  a = lanes_at_most(l, a, lanes_const(l, 3.93));
  return LANES_POLY_F(l, lanes_sub(l, a, lanes_const(l, 2.464844)), POLY_ERFC_F);
}

val vmath_erf(struct lanes *l, val x) {
  val a = lanes_abs(l, x), one = lanes_const(l, 1.0);
  val z = lanes_mul(l, x, x);
  val p = l->f64 ? LANES_POLY(l, z, POLY_ERF_D) : LANES_POLY_F(l, z, POLY_ERF_F);
  val small = lanes_fma(l, x, p, x);
  val erfc = l->f64 ? erfc_double(l, a) : erfc_float(l, a);
  val large = lanes_copysign(l, lanes_sub(l, one, erfc), x);
  return lanes_select(l, lanes_lt(l, a, one), small, large);
}
