/* SPDX-License-Identifier: Apache-2.0 */
/* The small floating-point formats of ONNX, bit for bit: decode to double, encode from double with
 * one rounding.
 *
 * Every value of every format here is a double exactly, so "convert f32 to f8" is
 * softfloat_encode(kind, (double)x, ...): widening to double first changes nothing, and there is no
 * double rounding. Pure functions, safe from any thread, no allocation.
 *
 * Sources: IEEE 754-2019 (f16); ONNX technical notes "Float stored in 8 bits" and "Float stored in
 * 4 bits"; ONNX Cast-19..25; OCP Microscaling Formats 1.0 (e8m0, e2m1). */
#ifndef SINTER_BASE_SOFTFLOAT_H
#define SINTER_BASE_SOFTFLOAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"

enum softfloat_kind {
  SOFTFLOAT_F16,        /* s1 e5 m10, bias 15, inf and NaN */
  SOFTFLOAT_BF16,       /* s1 e8 m7, bias 127, inf and NaN */
  SOFTFLOAT_F8E4M3FN,   /* s1 e4 m3, bias 7, no inf, NaN = S.1111.111, max 448 */
  SOFTFLOAT_F8E4M3FNUZ, /* s1 e4 m3, bias 8, no inf, no -0, NaN = 0x80, max 240 */
  SOFTFLOAT_F8E5M2,     /* s1 e5 m2, bias 15, inf and NaN, max 57344 */
  SOFTFLOAT_F8E5M2FNUZ, /* s1 e5 m2, bias 16, no inf, no -0, NaN = 0x80, max 57344 */
  SOFTFLOAT_F8E8M0,     /* unsigned power of two 2^(bits-127), NaN = 0xFF, no zero */
  SOFTFLOAT_F4E2M1,     /* s1 e2 m1, bias 1, finite only, max 6; the low four bits of the code */
  SOFTFLOAT_KINDS
};

/* Cast's `round_mode`, which only e8m0 reads. */
enum softfloat_round {
  SOFTFLOAT_ROUND_UP,      /* away from zero: the next power of two (ONNX's default) */
  SOFTFLOAT_ROUND_DOWN,    /* towards zero */
  SOFTFLOAT_ROUND_NEAREST, /* to nearest, ties up */
};

/* What the codes beyond the finite ones mean. */
enum softfloat_specials {
  SOFTFLOAT_IEEE,   /* top exponent: inf, then NaNs */
  SOFTFLOAT_FN,     /* the all-ones code is NaN */
  SOFTFLOAT_FNUZ,   /* the code of -0 is NaN */
  SOFTFLOAT_FINITE, /* none */
};

/* For those who generate code for a format. */
struct softfloat_format {
  uint8_t bits;      /* of a code */
  uint8_t man_bits;  /* stored significand bits */
  uint8_t specials;  /* enum softfloat_specials */
  int16_t bias;      /* of the exponent */
  uint16_t max_code; /* magnitude code of the largest finite value */
  uint16_t nan_code; /* the NaN we write, without a sign */
};
const struct softfloat_format *softfloat_format(enum softfloat_kind kind);

/* The kind of an element type; false for those that are none (f32, f64, integers). */
bool softfloat_from_dtype(enum dtype dtype, enum softfloat_kind *out_kind);

/* Width of a code in bits: 16, 8 or 4. */
uint32_t softfloat_bits(enum softfloat_kind kind);

/* The largest finite value. */
double softfloat_max(enum softfloat_kind kind);

/* The value of the code `bits`; bits above softfloat_bits(kind) are ignored. NaN codes give a quiet
 * NaN of the code's sign (the FNUZ NaN: positive). */
double softfloat_decode(enum softfloat_kind kind, uint16_t bits);

/* The code nearest to `value`, ties to even.
 *
 * Overflow means that the rounded value is above the largest finite one, or that `value` is
 * infinite. Then, for the kinds with a sign: saturate:   the largest finite value of that sign;
 *   !saturate:  inf where the kind has one, else NaN. f4e2m1 has neither and always saturates.
 * ONNX's Cast to f16 and bf16 is !saturate. NaN gives NaN (sign kept where the kind can), for
 * f4e2m1 it gives 6. FNUZ has one zero.
 *
 * f8e8m0 takes the magnitude, rounds it by `round`, and gives 0x00 (2^-127) for everything at or
 * below 2^-127, zero included. NaN and inf give NaN. A finite value that rounds past 2^127 gives
 * 2^127 if `saturate`, else NaN. `round` is ignored for the other kinds. */
uint16_t softfloat_encode(enum softfloat_kind kind, double value, bool saturate,
                          enum softfloat_round round);

/* softfloat_decode of softfloat_encode without saturation: `value` as the kind would hold it (bf16
 * arithmetic in an interpreter). */
double softfloat_round_to(enum softfloat_kind kind, double value);

#endif
