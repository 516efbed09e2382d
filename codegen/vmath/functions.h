/* SPDX-License-Identifier: Apache-2.0 */
/* Inside vmath: the functions by family, each on lanes of f32, f64, or f64 that will be rounded to
 * f32 ("narrow").
 *
 * What is said of an argument's range holds after the special cases: all functions here give C's
 * results for NaN, infinities, zeros and domain errors unless noted. */
#ifndef SINTER_CODEGEN_VMATH_FUNCTIONS_H
#define SINTER_CODEGEN_VMATH_FUNCTIONS_H

#include "codegen/vmath/lanes.h"

/* vmath_exp.c */
val vmath_exp(struct lanes *l, val x);
val vmath_exp2(struct lanes *l, val x);
val vmath_expm1(struct lanes *l, val x); /* f64 only */
val vmath_sigmoid(struct lanes *l, val x);
val vmath_tanh(struct lanes *l, val x);
val vmath_sinh(struct lanes *l, val x); /* f64 only, as all below unless noted */
val vmath_cosh(struct lanes *l, val x);
/* exp(x) where the result is a normal number: no clamping, one scaling. */
val vmath_exp_normal(struct lanes *l, val x);
/* 2^(hi + lo), hi clamped, |lo| below an ulp of hi. */
val vmath_exp2_pair(struct lanes *l, val hi, val lo);

/* vmath_log.c */
val vmath_log(struct lanes *l, val x);   /* f32 and f64 */
val vmath_log1p(struct lanes *l, val x); /* f32 and f64 */
val vmath_log2(struct lanes *l, val x);
val vmath_asinh(struct lanes *l, val x);
val vmath_acosh(struct lanes *l, val x);
val vmath_atanh(struct lanes *l, val x);
/* x = 2^e * m with m in [sqrt(1/2), sqrt(2)): f = m - 1 (exact) and e. x must be positive and
 * finite. */
void vmath_split(struct lanes *l, val x, val *out_f, val *out_e);

/* vmath_trig.c */
val vmath_sin(struct lanes *l, val x);
val vmath_cos(struct lanes *l, val x);
val vmath_tan(struct lanes *l, val x);

/* vmath_arc.c */
val vmath_asin(struct lanes *l, val x);
val vmath_acos(struct lanes *l, val x);
val vmath_atan(struct lanes *l, val x);

/* vmath_erf.c; f32 and f64 */
val vmath_erf(struct lanes *l, val x);

/* vmath_pow.c */
val vmath_pow(struct lanes *l, val x, val y);
/* In f32 too: pow by a constant 1, 2, 3, 0.5 or -1, in a few instructions; NULL for other y. */
val vmath_pow_constant(struct lanes *l, val x, val y);

/* vmath_fmod.c; f32 and f64 */
val vmath_fmod(struct lanes *l, val x, val y);

/* vmath.c: the internal function `name` of this module, and whether it is new, that is, without a
 * body. */
val vmath_helper(struct vmath *vmath, const char *name, LLVMTypeRef type, bool *out_new);

#endif
