#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes codegen/vmath/coefficients.h: polynomials for the emitted math functions.

    python3 tools/fit_polynomials.py > codegen/vmath/coefficients.h      (needs mpmath)

Each row says: the function g to approximate, its interval, and by how much an error of g weighs in the final result. The degree is the
smallest one for which the weighted error of the Chebyshev interpolant, with its coefficients rounded to the target format, stays below the
tolerance. Chebyshev interpolation is within a fraction of a bit of minimax for such smooth functions.
"""
import struct
from mpmath import mp, mpf, chebyfit, polyval, exp, log, sin, cos, tanh, sinh, asin, atan, erf, erfc, sqrt, pi, ln

mp.dps = 60


def ratio_at_zero(g, limit):
    """g, but with its limit where the formula is 0/0."""
    return lambda x: limit if abs(x) < mpf(10) ** -30 else g(x)


LN2 = ln(2)
ROWS = [
    # name, g, lower, upper, weight of an absolute error of g in the relative error of the result
    ("EXP", ratio_at_zero(lambda r: (exp(r) - 1 - r) / r**2, mpf(1) / 2), -LN2 * mpf("0.501"), LN2 * mpf("0.501"), lambda r: r**2 / exp(r)),
    ("EXP2", ratio_at_zero(lambda r: (mpf(2) ** r - 1) / r, LN2), mpf("-0.501"), mpf("0.501"), lambda r: r / mpf(2) ** r),
    ("LOG", ratio_at_zero(lambda z: (log((1 + sqrt(z)) / (1 - sqrt(z))) - 2 * sqrt(z)) / (z * sqrt(z)), mpf(2) / 3), mpf(0), mpf("0.02945"), lambda z: z / 2),
    ("SIN", ratio_at_zero(lambda z: (sin(sqrt(z)) - sqrt(z)) / (z * sqrt(z)), -mpf(1) / 6), mpf(0), (pi / 4 * mpf("1.001")) ** 2, lambda z: z),
    ("COS", ratio_at_zero(lambda z: (cos(sqrt(z)) - 1 + z / 2) / z**2, mpf(1) / 24), mpf(0), (pi / 4 * mpf("1.001")) ** 2, lambda z: z**2 / cos(sqrt(z))),
    ("ASIN", ratio_at_zero(lambda z: (asin(sqrt(z)) - sqrt(z)) / (z * sqrt(z)), mpf(1) / 6), mpf(0), mpf("0.2501"), lambda z: z),
    ("ATAN", ratio_at_zero(lambda z: (atan(sqrt(z)) - sqrt(z)) / (z * sqrt(z)), -mpf(1) / 3), mpf(0), mpf("0.1717"), lambda z: z),
    ("SINH", ratio_at_zero(lambda z: (sinh(sqrt(z)) - sqrt(z)) / (z * sqrt(z)), mpf(1) / 6), mpf(0), mpf("1.001"), lambda z: z),
    ("ERF", ratio_at_zero(lambda z: erf(sqrt(z)) / sqrt(z) - 1, 2 / sqrt(pi) - 1), mpf(0), mpf("1.001"), lambda z: mpf(1)),
]
# erf(x) = 1 - exp(-x^2) g(u) for x in [1, 6], u = 1/(x + 2), g = exp(x^2) erfc(x).
def erfcx_u(u):
    x = 1 / u - 2
    return exp(x * x) * erfc(x)
ERFCX = ("ERFCX", erfcx_u, mpf(1) / 8, mpf(1) / 3, lambda u: exp(-(1 / u - 2) ** 2))
# pow keeps 2/3 of the logarithm's series in two doubles; this is what follows, good to 2^-66 of the logarithm.
def log_rest(z):
    s = sqrt(z)
    return ((log((1 + s) / (1 - s)) - 2 * s) / (z * s) - mpf(2) / 3) / z
LOGPOW = ("LOGPOW", ratio_at_zero(log_rest, mpf(2) / 5), mpf(0), mpf("0.02945"), lambda z: z**2 / 2)
ERFC_MIDDLE = mpf("2.464844")
# f32 only: the pieces that vectors of floats evaluate without widening.
def log_cubic(f):
    return (log(1 + f) - f + f**2 / 2) / f**3
FLOAT_ROWS = [
    ("LOG1F", ratio_at_zero(log_cubic, mpf(1) / 3), sqrt(mpf(1) / 2) - mpf("1.001"), sqrt(mpf(2)) - mpf("0.999"), lambda f: f**2),
    ("TANH", ratio_at_zero(lambda z: (tanh(sqrt(z)) - sqrt(z)) / (z * sqrt(z)), -mpf(1) / 3), mpf(0), mpf("0.3910"), lambda z: z),
    # erfc about the middle of [1, 3.93]; from there on erf rounds to 1.
    ("ERFC", lambda u: erfc(u + ERFC_MIDDLE), mpf("-1.466"), mpf("1.466"), lambda u: mpf(1)),
]


def round_double(x):
    return mpf(float(x))


def round_float(x):
    return mpf(struct.unpack("f", struct.pack("f", float(x)))[0])


def fit(row, rounding, tolerance):
    name, g, low, high, weight = row
    for degree in range(2, 30):
        coefficients = [rounding(c) for c in chebyfit(g, [low, high], degree + 1)]
        worst = mpf(0)
        for i in range(301):
            x = low + (high - low) * i / 300
            worst = max(worst, abs((polyval(coefficients, x) - g(x)) * weight(x)))
        if worst < tolerance:
            return coefficients, worst
    raise SystemExit(f"{name}: no degree reaches {tolerance}")


def literal(c, suffix):
    if suffix:
        return f"{float(c).hex()}f"
    return float(c).hex()


def emit(row, suffix, rounding, tolerance, ctype, note):
    coefficients, worst = fit(row, rounding, tolerance)
    bits = float(-log(worst, 2))
    print(f"/* {note}degree {len(coefficients) - 1}, error 2^-{bits:.1f} */")
    print(f"static const {ctype} POLY_{row[0]}{suffix}[] = {{")
    for c in coefficients:
        print(f"    {literal(c, ctype == 'float')},")
    print("};")


print("""/* SPDX-License-Identifier: Apache-2.0 */
/* Written by tools/fit_polynomials.py; that script says what each polynomial approximates. Highest degree first.
 * _D: for f64 results; _N: f64 arithmetic for an f32 result; _F: f32 arithmetic. */
#ifndef SINTER_CODEGEN_VMATH_COEFFICIENTS_H
#define SINTER_CODEGEN_VMATH_COEFFICIENTS_H

#include <stdint.h>
""")
for row in ROWS + [ERFCX]:
    emit(row, "_D", round_double, mpf(2) ** -55, "double", "")
    if row[0] not in ("ERF", "ERFCX"):
        emit(row, "_N", round_double, mpf(2) ** -31, "double", "")
emit(LOGPOW, "_D", round_double, mpf(2) ** -66, "double", "")
for row in [r for r in ROWS if r[0] in ("EXP", "EXP2", "ERF")] + FLOAT_ROWS:
    emit(row, "_F", round_float, mpf(2) ** -25, "float", "")
mp.dps = 500
bits = int(2 / pi * mpf(2) ** 1408)
print("/* A zero word, then the first 1408 bits of 2/pi, most significant word first. */")
print("static const uint64_t TWO_OVER_PI[] = {\n    0,")
for i in range(22):
    print(f"    UINT64_C(0x{(bits >> (64 * (21 - i))) & (2**64 - 1):016x}),")
print("};")
print("\n#endif")
