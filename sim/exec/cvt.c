/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions. Source: PTX ISA, cvt; IEEE 754-2019 for formats and roundings. */
#include "sim/exec/cvt.h"
#include "sim/exec/decode.h"

#include <math.h>

struct format {
  int mantissa, least, most; /* stored bits; exponents of the smallest and largest normal */
};
static const struct format *format_of(enum ptx_type t) {
  static const struct format f16 = {10, -14, 15}, bf16 = {7, -126, 127}, f32 = {23, -126, 127},
                             tf32 = {10, -126, 127}, f64 = {52, -1022, 1023}, e4m3 = {3, -6, 8},
                             e5m2 = {2, -14, 15};
  return t == TYPE_f16    ? &f16
         : t == TYPE_e4m3 ? &e4m3
         : t == TYPE_e5m2 ? &e5m2
         : t == TYPE_bf16 ? &bf16
         : t == TYPE_f32  ? &f32
         : t == TYPE_tf32 ? &tf32
                          : &f64;
}

double float_decode(enum ptx_type t, uint64_t bits) {
  union {
    uint32_t u;
    float f;
  } x;
  union {
    uint64_t u;
    double d;
  } y;
  switch (t) {
  case TYPE_bf16: x.u = (uint32_t)(bits & 0xffff) << 16; return (double)x.f;
  case TYPE_f16: {
    uint32_t exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double v = exponent == 31 ? (mantissa ? (double)NAN : (double)INFINITY)
               : exponent     ? ldexp(1024 + mantissa, (int)exponent - 25)
                              : ldexp(mantissa, -24);
    return bits & 0x8000 ? -v : v;
  }
  case TYPE_e5m2: return float_decode(TYPE_f16, (bits & 255) << 8);
  case TYPE_e4m3: {
    uint32_t exponent = bits >> 3 & 15, mantissa = bits & 7;
    double v = (bits & 127) == 127 ? (double)NAN
               : exponent          ? ldexp(8 + mantissa, (int)exponent - 10)
                                   : ldexp(mantissa, -9);
    return bits & 0x80 ? -v : v;
  }
  case TYPE_f64: y.u = bits; return y.d;
  default: x.u = (uint32_t)bits; return (double)x.f;
  }
}

static double round_integral(double v, enum rounding mode) {
  switch (mode) {
  case ROUND_ZERO: return trunc(v);
  case ROUND_DOWN: return floor(v);
  case ROUND_UP: return ceil(v);
  case ROUND_AWAY: return round(v);
  default: return nearbyint(v);
  }
}

/* No infinities: what is too large becomes the largest, as every conversion to it saturates. */
static uint64_t encode_e4m3(double value) {
  uint64_t sign = signbit(value) ? 0x80 : 0;
  if (isnan(value))
    return 0x7f;
  if (fabs(value) > 448)
    return sign | 0x7e;
  int e;
  frexp(value, &e);
  e = value == 0 || e - 1 < -6 ? -6 : e - 1;
  uint64_t code = ((uint64_t)(e + 6) << 3) + (uint64_t)fabs(nearbyint(ldexp(value, 3 - e)));
  return sign | (code > 0x7e ? 0x7e : code);
}

uint64_t float_encode(enum ptx_type t, double value, enum rounding mode) {
  const struct format *f = format_of(t);
  union {
    uint64_t u;
    double d;
  } y = {.d = value};
  if (t == TYPE_f64)
    return isnan(value) ? UINT64_C(0x7fffffffffffffff) : y.u;
  int shift = t == TYPE_tf32 ? 13 : 0; /* tf32 lies in the upper bits of an f32 */
  int exponents = f->most == 15 ? 5 : 8;
  if (t == TYPE_e4m3)
    return encode_e4m3(value);
  uint64_t sign = (y.u >> 63) << (f->mantissa + exponents);
  uint64_t infinity = (uint64_t)(2 * f->most + 1) << f->mantissa;
  if (isnan(value))
    return ((infinity << 1 | ((UINT64_C(1) << (f->mantissa + 1)) - 1)) &
            ((UINT64_C(1) << (f->mantissa + exponents)) - 1))
           << shift;
  if (isinf(value))
    return (sign | infinity) << shift;
  int e;
  frexp(value, &e);
  e = value == 0 || e - 1 < f->least ? f->least : e - 1;
  double units = fabs(round_integral(ldexp(value, f->mantissa - e), mode));
  uint64_t code = ((uint64_t)(e - f->least) << f->mantissa) + (uint64_t)units; /* carries into e */
  if (code >= infinity) {
    bool inward =
        mode == ROUND_ZERO || (mode == ROUND_DOWN && value > 0) || (mode == ROUND_UP && value < 0);
    code = infinity - inward;
  }
  return (sign | code) << shift;
}

double fma_to_odd(double a, double b, double c) {
  double p = a * b, s = p + c; /* p is exact for the short formats that ask */
  double back = s - p, error = (p - (s - back)) + (c - back);
  union {
    uint64_t u;
    double d;
  } y = {.d = s};
  if (error != 0 && isfinite(s) && !(y.u & 1)) {
    if ((error > 0) == (s > 0))
      y.u++;
    else
      y.u--;
  }
  return y.d;
}

/* cvt. */

static uint64_t int_limit(enum ptx_type t, bool low) {
  uint32_t bits = ptx_type_bytes(t) * 8;
  bool is_signed = ptx_type_class(t) == CLASS_SIGNED;
  if (low)
    return is_signed ? UINT64_MAX << (bits - 1) : 0;
  return is_signed ? (UINT64_C(1) << (bits - 1)) - 1 : UINT64_MAX >> (64 - bits);
}

/* NaN gives 0, except 64-bit results of f32 and f64: their sign bit alone (PTX ISA, cvt). */
static uint64_t float_to_int(double v, enum ptx_type t, enum rounding mode) {
  if (isnan(v))
    return ptx_type_bytes(t) == 8 ? UINT64_C(1) << 63 : 0;
  v = round_integral(v, mode);
  bool is_signed = ptx_type_class(t) == CLASS_SIGNED;
  double low = is_signed ? (double)(int64_t)int_limit(t, true) : 0;
  double beyond = ldexp(1, (int)ptx_type_bytes(t) * 8 - is_signed);
  if (v < low)
    return int_limit(t, true);
  if (v >= beyond)
    return int_limit(t, false);
  return is_signed ? (uint64_t)(int64_t)v : (uint64_t)v;
}

/* To odd in 53 bits, so that the rounding that follows is the only one. */
static double int_to_double(uint64_t v, bool is_signed, enum ptx_type to, enum rounding mode) {
  bool negative = is_signed && (int64_t)v < 0;
  uint64_t m = negative ? -v : v;
  int drop = m ? 64 - __builtin_clzll(m) - 53 : 0;
  if (drop > 0) {
    uint64_t rest = m & ((UINT64_C(1) << drop) - 1), half = UINT64_C(1) << (drop - 1);
    m >>= drop;
    if (to != TYPE_f64)
      m |= rest != 0;
    else if (mode == ROUND_NEAREST)
      m += rest > half || (rest == half && (m & 1));
    else
      m += rest && mode == (negative ? ROUND_DOWN : ROUND_UP);
  } else {
    drop = 0;
  }
  double d = ldexp((double)m, drop);
  return negative ? -d : d;
}

static uint64_t int_to_int(uint64_t v, enum ptx_type from, enum ptx_type to, bool saturate) {
  if (!saturate)
    return v;
  bool is_signed = ptx_type_class(from) == CLASS_SIGNED;
  if (ptx_type_class(to) == CLASS_SIGNED) {
    int64_t low = (int64_t)int_limit(to, true), high = (int64_t)int_limit(to, false);
    if (!is_signed)
      return v > (uint64_t)high ? (uint64_t)high : v;
    return (int64_t)v < low ? (uint64_t)low : (int64_t)v > high ? (uint64_t)high : v;
  }
  if (is_signed && (int64_t)v < 0)
    return 0;
  uint64_t high = int_limit(to, false);
  return v > high ? high : v;
}

/* The source's bits, sign-extended if its type is signed. */
static uint64_t read_typed(struct warp *w, const struct operand *o, uint32_t l, enum ptx_type t) {
  uint64_t v = lane_get(w, o, l);
  uint32_t bits = ptx_type_bytes(t) * 8;
  if (bits < 64) {
    v &= (UINT64_C(1) << bits) - 1;
    if (ptx_type_class(t) == CLASS_SIGNED && (v >> (bits - 1) & 1))
      v |= UINT64_MAX << bits;
  }
  return v;
}

static double adjust(const struct inst *i, double v, enum ptx_type from, enum ptx_type to) {
  if (i->ftz && fabs(v) < 0x1p-126 && (from == TYPE_f32 || to == TYPE_f32))
    v = copysign(0, v);
  if (i->integral)
    v = round_integral(v, (enum rounding)i->rounding);
  if (i->sat)
    v = isnan(v) ? 0 : v < 0 ? 0 : v > 1 ? 1 : v;
  if (i->relu && v < 0)
    v = 0;
  return v;
}

/* What .satfinite makes of a result: the largest finite value instead of infinity. */
static uint64_t largest_finite(enum ptx_type t, uint64_t bits) {
  double v = float_decode(t, bits);
  if (!isinf(v))
    return bits;
  const struct format *f = format_of(t);
  return float_encode(t, copysign(ldexp(2 - ldexp(1, -f->mantissa), f->most), v), ROUND_ZERO);
}

static void cvt(struct warp *w, const struct inst *i, uint32_t mask) {
  enum ptx_type to = (enum ptx_type)i->type, from = (enum ptx_type)i->source_type;
  bool float_to = ptx_type_class(to) == CLASS_FLOAT,
       float_from = ptx_type_class(from) == CLASS_FLOAT;
  enum rounding mode = (enum rounding)i->rounding;
  EACH_LANE(l, mask) {
    uint64_t v = read_typed(w, &i->op[1], l, from), r;
    if (float_from && float_to) {
      double x = adjust(i, float_decode(from, v), from, to);
      bool same = from == to && isnan(x) && !i->sat;
      r = same ? v : float_encode(to, x, i->integral ? ROUND_NEAREST : mode);
      if (i->operation)
        r = largest_finite(to, r);
      if (i->ftz && to == TYPE_f32 && !(r >> 23 & 255))
        r &= UINT32_C(1) << 31;
    } else if (float_from) {
      double x = float_decode(from, v);
      r = float_to_int(i->ftz && from == TYPE_f32 && fabs(x) < 0x1p-126 ? 0 : x, to, mode);
      if (from == TYPE_f16 || from == TYPE_bf16 ? isnan(x) : false)
        r = 0;
    } else if (float_to) {
      double x = int_to_double(v, ptx_type_class(from) == CLASS_SIGNED, to, mode);
      r = float_encode(to, i->sat ? adjust(i, x, from, to) : x, mode);
    } else {
      r = int_to_int(v, from, to, i->sat);
      uint32_t bits = ptx_type_bytes(to) * 8;
      if (bits < 64) {
        r &= (UINT64_C(1) << bits) - 1;
        if (ptx_type_class(to) == CLASS_SIGNED && (r >> (bits - 1) & 1))
          r |= UINT64_MAX << bits;
      }
    }
    lane_set(w, &i->op[0], l, r);
  }
}

/* Pairs of 8-bit floats from and to pairs of wider ones; the first operand goes up. */
static void cvt_small(struct warp *w, const struct inst *i, uint32_t mask) {
  enum ptx_type to = i->type == TYPE_e4m3x2 ? TYPE_e4m3 : TYPE_e5m2;
  EACH_LANE(l, mask) {
    uint64_t r = 0, pair = lane_get(w, &i->op[1], l);
    for (uint32_t k = 0; k < 2; k++) {
      double v = i->source_type == TYPE_f32 ? float_decode(TYPE_f32, lane_get(w, &i->op[1 + k], l))
                                            : float_decode(TYPE_f16, pair >> (k ? 0 : 16) & 0xffff);
      v = i->relu && v < 0 ? 0 : v;
      r = r << 8 | largest_finite(to, float_encode(to, v, ROUND_NEAREST));
    }
    lane_set(w, &i->op[0], l, r);
  }
}
static void cvt_from_small(struct warp *w, const struct inst *i, uint32_t mask) {
  enum ptx_type from = i->source_type == TYPE_e4m3x2 ? TYPE_e4m3 : TYPE_e5m2;
  EACH_LANE(l, mask) {
    uint64_t r = 0, pair = lane_get(w, &i->op[1], l);
    for (uint32_t k = 0; k < 2; k++) {
      double v = float_decode(from, pair >> (k ? 0 : 8) & 255);
      r = r << 16 | float_encode(TYPE_f16, i->relu && v < 0 ? 0 : v, ROUND_NEAREST);
    }
    lane_set(w, &i->op[0], l, r);
  }
}

/* cvt.pack: two s32, saturated, below what the third operand holds. */
static void cvt_integers(struct warp *w, const struct inst *i, uint32_t mask) {
  enum ptx_type t = (enum ptx_type)i->type;
  bool is_signed = ptx_type_class(t) == CLASS_SIGNED;
  uint32_t bits = t == TYPE_s4 || t == TYPE_u4 ? 4 : ptx_type_bytes(t) * 8;
  int64_t least = is_signed ? -(INT64_C(1) << (bits - 1)) : 0;
  int64_t most = (INT64_C(1) << (bits - is_signed)) - 1;
  EACH_LANE(l, mask) {
    uint64_t r = i->count > 3 ? lane_get(w, &i->op[3], l) : 0;
    for (uint32_t k = 1; k <= 2; k++) {
      int64_t v = (int32_t)lane_get(w, &i->op[k], l);
      v = v < least ? least : v > most ? most : v;
      r = r << bits | ((uint64_t)v & ((UINT64_C(1) << bits) - 1));
    }
    lane_set(w, &i->op[0], l, r & UINT32_MAX);
  }
}
exec_fn bind_cvt_pack(struct binding *b) {
  uint32_t bytes = b->type_count ? ptx_type_bytes(b->types[0]) : 0;
  bool wide = bytes == 2 && b->inst->count == 3;
  return has(b, MOD_sat) && b->type_count >= 2 && (wide || (bytes == 1 && b->inst->count == 4))
             ? cvt_integers
             : NULL;
}

/* Two floats into the halves of a word: the first operand goes up. */
static void cvt_pack(struct warp *w, const struct inst *i, uint32_t mask) {
  enum ptx_type part = i->type == TYPE_f16x2 ? TYPE_f16 : TYPE_bf16;
  enum rounding mode = (enum rounding)i->rounding;
  EACH_LANE(l, mask) {
    uint64_t r = 0;
    for (uint32_t k = 1; k <= 2; k++) {
      double v = adjust(i, float_decode(TYPE_f32, lane_get(w, &i->op[k], l)), TYPE_f32, part);
      uint64_t bits = float_encode(part, v, mode);
      r = r << 16 | (i->operation ? largest_finite(part, bits) : bits);
    }
    lane_set(w, &i->op[0], l, r);
  }
}

static void bf16_to_f32(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t *d = lanes(w, &i->op[0]);
  const uint16_t *a = lanes(w, &i->op[1]);
  for (uint32_t l = 0; l < 32; l++)
    d[l] = mask >> l & 1 ? (uint32_t)a[l] << 16 : d[l];
}
static void widen_u32(struct warp *w, const struct inst *i, uint32_t mask) {
  uint64_t *d = lanes(w, &i->op[0]);
  const uint32_t *a = lanes(w, &i->op[1]);
  for (uint32_t l = 0; l < 32; l++)
    d[l] = mask >> l & 1 ? a[l] : d[l];
}
static void widen_s32(struct warp *w, const struct inst *i, uint32_t mask) {
  int64_t *d = lanes(w, &i->op[0]);
  const int32_t *a = lanes(w, &i->op[1]);
  for (uint32_t l = 0; l < 32; l++)
    d[l] = mask >> l & 1 ? a[l] : d[l];
}

exec_fn bind_cvt(struct binding *b) {
  if (b->type_count != 2)
    return NULL;
  b->inst->operation = has(b, MOD_satfinite);
  enum ptx_type to = b->types[0], from = b->types[1];
  bool small_to = to == TYPE_e4m3x2 || to == TYPE_e5m2x2;
  if (small_to)
    return b->inst->count == (from == TYPE_f32 ? 3 : 2) && has(b, MOD_satfinite) &&
                   (from == TYPE_f32 || from == TYPE_f16x2)
               ? cvt_small
               : NULL;
  if (from == TYPE_e4m3x2 || from == TYPE_e5m2x2)
    return to == TYPE_f16x2 && b->inst->count == 2 ? cvt_from_small : NULL;
  if (b->inst->count == 3)
    return (to == TYPE_f16x2 || to == TYPE_bf16x2) && from == TYPE_f32 ? cvt_pack : NULL;
  enum ptx_class x = ptx_type_class(to), y = ptx_type_class(from);
  if (x == CLASS_PRED || y == CLASS_PRED || x == CLASS_PACKED || y == CLASS_PACKED ||
      x == CLASS_BITS || y == CLASS_BITS || from == TYPE_tf32 ||
      (b->inst->operation && x != CLASS_FLOAT))
    return NULL;
  bool plain = b->inst->op[0].width == ptx_type_bytes(to) &&
               b->inst->op[1].width == ptx_type_bytes(from) && !b->inst->sat;
  if (plain && from == TYPE_bf16 && to == TYPE_f32 && !b->inst->ftz && !b->inst->relu)
    return bf16_to_f32;
  if (plain && ptx_type_bytes(to) == 8 && x != CLASS_FLOAT &&
      (from == TYPE_u32 || from == TYPE_s32))
    return from == TYPE_u32 ? widen_u32 : widen_s32;
  return cvt;
}
