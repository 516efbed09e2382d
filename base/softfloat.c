/* SPDX-License-Identifier: Apache-2.0 */
/* One table row per format, one encoder and one decoder for all of them but e8m0, which has no sign
 * and no significand. */
#include "base/softfloat.h"

#include <math.h>
#include <string.h>

static const struct softfloat_format formats[SOFTFLOAT_KINDS] = {
    [SOFTFLOAT_F16] = {16, 10, SOFTFLOAT_IEEE, 15, 0x7BFF, 0x7E00},
    [SOFTFLOAT_BF16] = {16, 7, SOFTFLOAT_IEEE, 127, 0x7F7F, 0x7FC0},
    [SOFTFLOAT_F8E4M3FN] = {8, 3, SOFTFLOAT_FN, 7, 0x7E, 0x7F},
    [SOFTFLOAT_F8E4M3FNUZ] = {8, 3, SOFTFLOAT_FNUZ, 8, 0x7F, 0x80},
    [SOFTFLOAT_F8E5M2] = {8, 2, SOFTFLOAT_IEEE, 15, 0x7B, 0x7E},
    [SOFTFLOAT_F8E5M2FNUZ] = {8, 2, SOFTFLOAT_FNUZ, 16, 0x7F, 0x80},
    [SOFTFLOAT_F8E8M0] = {8, 0, SOFTFLOAT_FINITE, 127, 0xFE, 0xFF},
    [SOFTFLOAT_F4E2M1] = {4, 1, SOFTFLOAT_FINITE, 1, 0x7, 0x7},
};

static uint16_t sign_mask(const struct softfloat_format *f) {
  return (uint16_t)(1u << (f->bits - 1));
}

const struct softfloat_format *softfloat_format(enum softfloat_kind kind) { return &formats[kind]; }

uint32_t softfloat_bits(enum softfloat_kind kind) { return formats[kind].bits; }

double softfloat_max(enum softfloat_kind kind) {
  return softfloat_decode(kind, formats[kind].max_code);
}

static double decode_e8m0(uint16_t bits) {
  uint32_t code = bits & 0xFF;
  return code == 0xFF ? (double)NAN : ldexp(1.0, (int)code - 127);
}

static double decode_magnitude(const struct softfloat_format *f, uint16_t code) {
  if (code > f->max_code)
    return f->specials == SOFTFLOAT_IEEE && code == f->max_code + 1 ? (double)INFINITY
                                                                    : (double)NAN;
  int exponent = code >> f->man_bits;
  int significand = code & ((1 << f->man_bits) - 1);
  if (exponent != 0)
    significand += 1 << f->man_bits;
  else
    exponent = 1;
  return ldexp(significand, exponent - f->bias - f->man_bits);
}

double softfloat_decode(enum softfloat_kind kind, uint16_t bits) {
  const struct softfloat_format *f = &formats[kind];
  if (kind == SOFTFLOAT_F8E8M0)
    return decode_e8m0(bits);
  uint16_t sign = sign_mask(f);
  uint16_t code = (uint16_t)(bits & (2u * sign - 1));
  if (f->specials == SOFTFLOAT_FNUZ && code == f->nan_code)
    return (double)NAN;
  double magnitude = decode_magnitude(f, (uint16_t)(code & (sign - 1u)));
  return code & sign ? -magnitude : magnitude;
}

/* `sig` * 2^-shift to nearest, ties to even; sig < 2^53. */
static uint64_t shift_right_even(uint64_t sig, int shift) {
  if (shift > 54)
    return 0;
  uint64_t half = UINT64_C(1) << (shift - 1);
  uint64_t down = sig >> shift;
  uint64_t rest = sig & (2 * half - 1);
  return down + (rest > half || (rest == half && (down & 1)));
}

/* The magnitude code before any look at overflow; it grows past max_code as the value does. A carry
 * out of the significand runs into the exponent field, which is what rounding up to the next binade
 * means. */
static uint32_t encode_finite(const struct softfloat_format *f, uint64_t magnitude) {
  int exponent = (int)(magnitude >> 52);
  uint64_t sig = magnitude & ((UINT64_C(1) << 52) - 1);
  if (exponent != 0)
    sig |= UINT64_C(1) << 52;
  else
    exponent = 1;
  exponent -= 1023;
  int min_exponent = 1 - f->bias;
  int above = exponent > min_exponent ? exponent - min_exponent : 0;
  int shift = 52 - f->man_bits + (min_exponent + above - exponent);
  return ((uint32_t)above << f->man_bits) + (uint32_t)shift_right_even(sig, shift);
}

static uint16_t encode_e8m0(uint64_t magnitude, bool saturate, enum softfloat_round round) {
  int code = (int)(magnitude >> 52) - 1023 + 127;
  uint64_t fraction = magnitude & ((UINT64_C(1) << 52) - 1);
  if (magnitude >> 52 == 0x7FF)
    return 0xFF;
  if (code < 0)
    return 0;
  bool up = round == SOFTFLOAT_ROUND_UP ? fraction != 0
                                        : round == SOFTFLOAT_ROUND_NEAREST && fraction >> 51 != 0;
  code += up;
  if (code > 0xFE)
    return saturate ? 0xFE : 0xFF;
  return (uint16_t)code;
}

uint16_t softfloat_encode(enum softfloat_kind kind, double value, bool saturate,
                          enum softfloat_round round) {
  const struct softfloat_format *f = &formats[kind];
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint64_t magnitude = bits & (UINT64_MAX >> 1);
  if (kind == SOFTFLOAT_F8E8M0)
    return encode_e8m0(magnitude, saturate, round);

  const uint64_t infinity = UINT64_C(0x7FF) << 52;
  bool fnuz = f->specials == SOFTFLOAT_FNUZ;
  uint16_t sign = bits >> 63 ? sign_mask(f) : 0;
  uint16_t nan =
      (uint16_t)(fnuz || f->specials == SOFTFLOAT_FINITE ? f->nan_code : (f->nan_code | sign));
  if (magnitude > infinity)
    return nan;
  uint32_t code = magnitude == infinity ? UINT32_MAX : encode_finite(f, magnitude);
  if (code > f->max_code) {
    if (saturate || f->specials == SOFTFLOAT_FINITE)
      code = f->max_code;
    else if (f->specials == SOFTFLOAT_IEEE)
      code = f->max_code + 1u;
    else
      return nan;
  }
  return fnuz && code == 0 ? 0 : (uint16_t)(sign | code);
}

double softfloat_round_to(enum softfloat_kind kind, double value) {
  return softfloat_decode(kind, softfloat_encode(kind, value, false, SOFTFLOAT_ROUND_UP));
}

bool softfloat_from_dtype(enum dtype dtype, enum softfloat_kind *out_kind) {
  switch (dtype) {
  case DTYPE_F16: *out_kind = SOFTFLOAT_F16; return true;
  case DTYPE_BF16: *out_kind = SOFTFLOAT_BF16; return true;
  case DTYPE_F8E4M3FN: *out_kind = SOFTFLOAT_F8E4M3FN; return true;
  case DTYPE_F8E4M3FNUZ: *out_kind = SOFTFLOAT_F8E4M3FNUZ; return true;
  case DTYPE_F8E5M2: *out_kind = SOFTFLOAT_F8E5M2; return true;
  case DTYPE_F8E5M2FNUZ: *out_kind = SOFTFLOAT_F8E5M2FNUZ; return true;
  case DTYPE_F8E8M0: *out_kind = SOFTFLOAT_F8E8M0; return true;
  case DTYPE_F4E2M1: *out_kind = SOFTFLOAT_F4E2M1; return true;
  default: return false;
  }
}
