/* SPDX-License-Identifier: Apache-2.0 */
/* Written by tools/fit_polynomials.py; that script says what each polynomial approximates. Highest
 * degree first. _D: for f64 results; _N: f64 arithmetic for an f32 result; _F: f32 arithmetic. */
#ifndef SINTER_CODEGEN_VMATH_COEFFICIENTS_H
#define SINTER_CODEGEN_VMATH_COEFFICIENTS_H

#include <stdint.h>

/* degree 9, error 2^-55.7 */
static const double POLY_EXP_D[] = {
    0x1.af39789bfd689p-26, 0x1.28922d8c8d4fbp-22, 0x1.71de0d573888bp-19, 0x1.a019b87f7a6e9p-16,
    0x1.a01a01a7da98dp-13, 0x1.6c16c178b0646p-10, 0x1.1111111110996p-7,  0x1.5555555553d05p-5,
    0x1.5555555555556p-3,  0x1.0000000000001p-1,
};
/* degree 5, error 2^-32.1 */
static const double POLY_EXP_N[] = {
    0x1.a125f5d7bffa3p-13, 0x1.6d44495324111p-10, 0x1.1110e09443985p-7,
    0x1.5554e832b2aa3p-5,  0x1.5555555a8800bp-3,  0x1.0000000bb319ap-1,
};
/* degree 10, error 2^-55.0 */
static const double POLY_EXP2_D[] = {
    0x1.e9d50e594c8e7p-32, 0x1.e6077e86b0792p-28, 0x1.b524fa5dd26a3p-24, 0x1.62bfd3d797fd1p-20,
    0x1.ffcbfc673a9fdp-17, 0x1.43091309a4687p-13, 0x1.5d87fe78a5220p-10, 0x1.3b2ab6fba1d12p-7,
    0x1.c6b08d704a0c2p-5,  0x1.ebfbdff82c599p-3,  0x1.62e42fefa39efp-1,
};
/* degree 6, error 2^-33.1 */
static const double POLY_EXP2_N[] = {
    0x1.00a645ec3373dp-16, 0x1.44413f0666543p-13, 0x1.5d879de8126f4p-10, 0x1.3b2a1a3178a01p-7,
    0x1.c6b08d8887c96p-5,  0x1.ebfbe046e529dp-3,  0x1.62e42fefa39efp-1,
};
/* degree 6, error 2^-57.6 */
static const double POLY_LOG_D[] = {
    0x1.2b5b5fb2eac92p-3, 0x1.39fe208c33457p-3, 0x1.7462b69705382p-3, 0x1.c71c62debf86bp-3,
    0x1.2492492df6947p-2, 0x1.99999999952b2p-2, 0x1.5555555555558p-1,
};
/* degree 3, error 2^-35.8 */
static const double POLY_LOG_N[] = {
    0x1.ddd171deebc70p-3,
    0x1.245c3741a2940p-2,
    0x1.9999eb792e453p-2,
    0x1.5555554bae5e4p-1,
};
/* degree 5, error 2^-55.6 */
static const double POLY_SIN_D[] = {
    0x1.5e098556d302ep-33,  -0x1.ae60069e53ef1p-26, 0x1.71de379252004p-19,
    -0x1.a01a019e80693p-13, 0x1.1111111110ba5p-7,   -0x1.5555555555555p-3,
};
/* degree 3, error 2^-35.7 */
static const double POLY_SIN_N[] = {
    0x1.6dbbee1f24647p-19,
    -0x1.a013a11619d1bp-13,
    0x1.11110dea5e8c0p-7,
    -0x1.555555545c0f8p-3,
};
/* degree 5, error 2^-59.5 */
static const double POLY_COS_D[] = {
    -0x1.907c0e63adbb6p-37, 0x1.1eeb66b683028p-29,  -0x1.27e4fa15bd814p-22,
    0x1.a01a019f4d0edp-16,  -0x1.6c16c16c16960p-10, 0x1.5555555555555p-5,
};
/* degree 3, error 2^-39.5 */
static const double POLY_COS_N[] = {
    -0x1.2522e6d930e5bp-22,
    0x1.a015c02820885p-16,
    -0x1.6c16bf51b0df9p-10,
    0x1.555555550225fp-5,
};
/* degree 12, error 2^-57.3 */
static const double POLY_ASIN_D[] = {
    0x1.d78189767524ep-6, -0x1.e7a24f548c99fp-7, 0x1.1d661531b222ep-6, 0x1.653a8f8cfd43cp-8,
    0x1.524ea8b3aad31p-7, 0x1.78246f32d075cp-7,  0x1.c9cf3759fd8ffp-7, 0x1.1c4d343fa57f6p-6,
    0x1.6e8bb1d89492bp-6, 0x1.f1c71c1d4aa0dp-6,  0x1.6db6db6e3292ep-5, 0x1.3333333332ec4p-4,
    0x1.5555555555556p-3,
};
/* degree 6, error 2^-33.9 */
static const double POLY_ASIN_N[] = {
    0x1.fbaa70c46e293p-6, 0x1.5a41fba7de28bp-7, 0x1.82e318947cfa5p-6, 0x1.efed0c67f5d24p-6,
    0x1.6dc0f61ccc6c3p-5, 0x1.33331ec1202bdp-4, 0x1.5555555c06d99p-3,
};
/* degree 10, error 2^-57.0 */
static const double POLY_ATAN_D[] = {
    -0x1.3a03a36923274p-6, 0x1.414ff0b841a9cp-5, -0x1.a09318ec93cebp-5, 0x1.dfe50abb518e4p-5,
    -0x1.10fa65570f9fep-4, 0x1.3b1261b89f530p-4, -0x1.745d0b1a496d3p-4, 0x1.c71c7184e2ef2p-4,
    -0x1.24924924358fep-3, 0x1.9999999999341p-3, -0x1.5555555555555p-2,
};
/* degree 5, error 2^-33.5 */
static const double POLY_ATAN_N[] = {
    0x1.9d6be5d80b19ap-5,  -0x1.613e3a8298cd0p-4, 0x1.c57add395c647p-4,
    -0x1.248a1195783c9p-3, 0x1.99997af919310p-3,  -0x1.5555554c010f2p-2,
};
/* degree 6, error 2^-56.4 */
static const double POLY_SINH_D[] = {
    0x1.b413a2632a732p-41, 0x1.611caf3d7bfe1p-33, 0x1.ae646102f8d4bp-26, 0x1.71de3a4e0d67dp-19,
    0x1.a01a01a01eed5p-13, 0x1.11111111110fdp-7,  0x1.5555555555555p-3,
};
/* degree 3, error 2^-32.2 */
static const double POLY_SINH_N[] = {
    0x1.78a8cec214455p-19,
    0x1.a008f6f8d1850p-13,
    0x1.11111eba74453p-7,
    0x1.5555554e7e8a8p-3,
};
/* degree 11, error 2^-55.9 */
static const double POLY_ERF_D[] = {
    -0x1.ac641bc040b16p-31, 0x1.d75aba73d5ca8p-27, -0x1.5c10c8957465dp-23, 0x1.b981799c363d2p-20,
    -0x1.f4ca7a42278fdp-17, 0x1.f9a2bdb8fcb67p-14, -0x1.c02db0604590bp-11, 0x1.565bccfa1cce7p-8,
    -0x1.b82ce31202513p-6,  0x1.ce2f21a040f20p-4,  -0x1.812746b0379c0p-2,  0x1.06eba8214db68p-3,
};
/* degree 14, error 2^-56.4 */
static const double POLY_ERFCX_D[] = {
    0x1.06de90fce20e3p+10, -0x1.db4a380864d43p+11, 0x1.7fd3eb69b9152p+12, -0x1.677beeb9077d4p+12,
    0x1.a837046bf6150p+11, -0x1.4637da8270982p+10, 0x1.640682e54e569p+8,  -0x1.581816b53d9a0p+6,
    0x1.8f0441e18093fp+3,  0x1.1ce8cceee0799p+0,   0x1.7b872be925988p+1,  0x1.f70cbc11fe46fp+0,
    0x1.20fa627a1aef8p+0,  0x1.20dbd3ad45fd5p-1,   0x1.5ccce7983ea5ap-23,
};
/* degree 7, error 2^-66.3 */
static const double POLY_LOGPOW_D[] = {
    0x1.e032e4d8436a1p-4, 0x1.df7c5bc7c7563p-4, 0x1.1118c9ee5b8a4p-3, 0x1.3b1395c881220p-3,
    0x1.745d177aad02ap-3, 0x1.c71c71c6ea871p-3, 0x1.2492492492522p-2, 0x1.999999999999ap-2,
};
/* degree 4, error 2^-26.5 */
static const float POLY_EXP_F[] = {
    0x1.6d11fe0000000p-10f, 0x1.120c620000000p-7f, 0x1.5555180000000p-5f,
    0x1.5554dc0000000p-3f,  0x1.0000000000000p-1f,
};
/* degree 5, error 2^-26.7 */
static const float POLY_EXP2_F[] = {
    0x1.44149a0000000p-13f, 0x1.5f0a1c0000000p-10f, 0x1.3b2a520000000p-7f,
    0x1.c6af6a0000000p-5f,  0x1.ebfbe00000000p-3f,  0x1.62e4300000000p-1f,
};
/* degree 6, error 2^-27.4 */
static const float POLY_ERF_F[] = {
    0x1.4a33360000000p-14f, -0x1.a444580000000p-11f, 0x1.5410e00000000p-8f, -0x1.b7fa8c0000000p-6f,
    0x1.ce2d0e0000000p-4f,  -0x1.81273e0000000p-2f,  0x1.06eba80000000p-3f,
};
/* degree 7, error 2^-25.8 */
static const float POLY_LOG1F_F[] = {
    -0x1.4410d40000000p-4f, 0x1.02cbd60000000p-3f, -0x1.0a44040000000p-3f, 0x1.23158c0000000p-3f,
    -0x1.54ce740000000p-3f, 0x1.999f420000000p-3f, -0x1.0000d20000000p-2f, 0x1.5555540000000p-2f,
};
/* degree 4, error 2^-25.9 */
static const float POLY_TANH_F[] = {
    -0x1.8f6b1e0000000p-8f, 0x1.57fe940000000p-6f,  -0x1.b924ea0000000p-5f,
    0x1.110e1a0000000p-3f,  -0x1.5555520000000p-2f,
};
/* degree 14, error 2^-26.9 */
static const float POLY_ERFC_F[] = {
    -0x1.1fb9460000000p-20f, -0x1.1ecf0c0000000p-23f, 0x1.2006560000000p-16f,
    -0x1.9187960000000p-16f, -0x1.41aebc0000000p-14f, 0x1.36e8440000000p-12f,
    -0x1.682a6e0000000p-12f, -0x1.f097cc0000000p-12f, 0x1.7ef5b80000000p-9f,
    -0x1.b802040000000p-8f,  0x1.3f80540000000p-7f,   -0x1.3bf36a0000000p-7f,
    0x1.a2f9640000000p-8f,   -0x1.53f3220000000p-9f,  0x1.013c6a0000000p-11f,
};
/* A zero word, then the first 1408 bits of 2/pi, most significant word first. */
static const uint64_t TWO_OVER_PI[] = {
    0,
    UINT64_C(0xa2f9836e4e441529),
    UINT64_C(0xfc2757d1f534ddc0),
    UINT64_C(0xdb6295993c439041),
    UINT64_C(0xfe5163abdebbc561),
    UINT64_C(0xb7246e3a424dd2e0),
    UINT64_C(0x06492eea09d1921c),
    UINT64_C(0xfe1deb1cb129a73e),
    UINT64_C(0xe88235f52ebb4484),
    UINT64_C(0xe99c7026b45f7e41),
    UINT64_C(0x3991d639835339f4),
    UINT64_C(0x9c845f8bbdf9283b),
    UINT64_C(0x1ff897ffde05980f),
    UINT64_C(0xef2f118b5a0a6d1f),
    UINT64_C(0x6d367ecf27cb09b7),
    UINT64_C(0x4f463f669e5fea2d),
    UINT64_C(0x7527bac7ebe5f17b),
    UINT64_C(0x3d0739f78a5292ea),
    UINT64_C(0x6bfb5fb11f8d5d08),
    UINT64_C(0x56033046fc7b6bab),
    UINT64_C(0xf0cfbc209af4361d),
    UINT64_C(0xa9e391615ee61b08),
    UINT64_C(0x6599855f14a06840),
};

#endif
