/* SPDX-License-Identifier: Apache-2.0 */
/* Floating-point arithmetic. f32 and f64 use the host's, under its rounding mode; f16 and bf16 go
 * through double with one rounding. Approximations are correctly rounded: better than hardware's,
 * whose results lie within the errors that the PTX ISA states. */
#include "sim/exec/cvt.h"
#include "sim/exec/decode.h"

#include <fenv.h>
#include <math.h>

static float flush(float v, bool ftz) { return ftz && fabsf(v) < 0x1p-126f ? copysignf(0, v) : v; }
static double flush_short(double v, enum ptx_type t) {
  return fabs(v) < (t == TYPE_f16 ? 0x1p-14 : 0x1p-126) ? copysign(0, v) : v;
}
/* The NaN that arithmetic in f32 gives. */
static float canonical_nan(void) {
  union {
    uint32_t u;
    float f;
  } x = {UINT32_C(0x7fffffff)};
  return x.f;
}
static float finish(float v, const struct inst *i) {
  v = flush(v, i->ftz);
  v = v != v ? canonical_nan() : v;
  if (i->sat)
    v = !(v > 0) ? 0 : v > 1 ? 1 : v;
  if (i->relu)
    v = v < 0 ? 0 : v;
  return v;
}

static void rounded(struct warp *w, const struct inst *i, uint32_t mask) {
  static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD, FE_TONEAREST};
  fesetround(modes[i->rounding]);
  i->inner(w, i, mask);
  fesetround(FE_TONEAREST);
}
exec_fn bind_rounded(struct binding *b, exec_fn fn) {
  if (!fn || b->inst->rounding == ROUND_NEAREST)
    return fn;
  b->inst->inner = fn;
  return rounded;
}

/* PTX's min and max: the other operand where one is NaN, NaN under .NaN; -0 is below +0. */
static double lesser(double a, double b, bool nan) {
  if (isnan(a) || isnan(b))
    return nan ? (double)NAN : isnan(a) ? b : a;
  return a == b ? (signbit(a) ? a : b) : a < b ? a : b;
}
static double greater(double a, double b, bool nan) { return -lesser(-a, -b, nan); }

#define FLOATS(name, f32_expression, f64_expression)                                               \
  __attribute__((unused)) static void name##_f32(struct warp *w, const struct inst *i,             \
                                                 uint32_t mask) {                                  \
    float *d = lanes(w, &i->op[0]);                                                                \
    const float *pa = lanes(w, &i->op[1]), *pb = lanes(w, &i->op[i->count > 2 ? 2 : 1]);           \
    const float *pc = lanes(w, &i->op[i->count > 3 ? 3 : 1]);                                      \
    for (uint32_t l = 0; l < 32; l++) {                                                            \
      float a = flush(pa[l], i->ftz), b = flush(pb[l], i->ftz), c = flush(pc[l], i->ftz);          \
      (void)b, (void)c;                                                                            \
      d[l] = mask >> l & 1 ? finish(f32_expression, i) : d[l];                                     \
    }                                                                                              \
  }                                                                                                \
  __attribute__((unused)) static void name##_f64(struct warp *w, const struct inst *i,             \
                                                 uint32_t mask) {                                  \
    double *d = lanes(w, &i->op[0]);                                                               \
    const double *pa = lanes(w, &i->op[1]), *pb = lanes(w, &i->op[i->count > 2 ? 2 : 1]);          \
    const double *pc = lanes(w, &i->op[i->count > 3 ? 3 : 1]);                                     \
    for (uint32_t l = 0; l < 32; l++) {                                                            \
      double a = pa[l], b = pb[l], c = pc[l];                                                      \
      (void)b, (void)c;                                                                            \
      d[l] = mask >> l & 1 ? (f64_expression) : d[l];                                              \
    }                                                                                              \
  }                                                                                                \
  /* one or two short floats in each register */                                                   \
  __attribute__((unused)) static void name##_short(struct warp *w, const struct inst *i,           \
                                                   uint32_t mask) {                                \
    enum ptx_type t = i->type == TYPE_f16 || i->type == TYPE_f16x2 ? TYPE_f16 : TYPE_bf16;         \
    EACH_LANE(l, mask) {                                                                           \
      uint64_t r = 0;                                                                              \
      for (uint32_t k = 0; k < i->op[0].width * 8u; k += 16) {                                     \
        double a = float_decode(t, lane_get(w, &i->op[1], l) >> k);                                \
        double b = i->count > 2 ? float_decode(t, lane_get(w, &i->op[2], l) >> k) : 0;             \
        double c = i->count > 3 ? float_decode(t, lane_get(w, &i->op[3], l) >> k) : 0;             \
        if (i->ftz)                                                                                \
          a = flush_short(a, t), b = flush_short(b, t), c = flush_short(c, t);                     \
        (void)b, (void)c;                                                                          \
        double v = name##_wide(a, b, c, i);                                                        \
        if (i->ftz)                                                                                \
          v = flush_short(v, t);                                                                   \
        if (i->sat)                                                                                \
          v = !(v > 0) ? 0 : v > 1 ? 1 : v;                                                        \
        if (i->relu)                                                                               \
          v = v < 0 ? 0 : v;                                                                       \
        r |= (float_encode(t, v, ROUND_NEAREST) & 0xffff) << k;                                    \
      }                                                                                            \
      lane_set(w, &i->op[0], l, r);                                                                \
    }                                                                                              \
  }
#define WIDE(name, expression)                                                                     \
  static double name##_wide(double a, double b, double c, const struct inst *i) {                  \
    (void)a, (void)b, (void)c, (void)i;                                                            \
    return expression;                                                                             \
  }

WIDE(add, fma_to_odd(a, 1, b))
WIDE(sub, fma_to_odd(a, 1, -b))
WIDE(mul, a *b)
WIDE(fma, fma_to_odd(a, b, c))
WIDE(div, a / b)
WIDE(min, lesser(a, b, i->abs))
WIDE(max, greater(a, b, i->abs))
WIDE(abs, fabs(a))
WIDE(neg, -a)
WIDE(sqrt, sqrt(a))
WIDE(rsqrt, 1 / sqrt(a))
WIDE(rcp, 1 / a)
WIDE(ex2, exp2(a))
WIDE(lg2, log2(a))
WIDE(sin, sin(a))
WIDE(cos, cos(a))
WIDE(tanh, tanh(a))
FLOATS(add, a + b, a + b)
FLOATS(sub, a - b, a - b)
FLOATS(mul, a *b, a *b)
FLOATS(fma, __builtin_fmaf(a, b, c), __builtin_fma(a, b, c))
FLOATS(div, a / b, a / b)
FLOATS(min, (float)lesser((double)a, (double)b, i->abs), lesser(a, b, i->abs))
FLOATS(max, (float)greater((double)a, (double)b, i->abs), greater(a, b, i->abs))
FLOATS(abs, fabsf(a), fabs(a))
FLOATS(neg, -a, -a)
FLOATS(sqrt, sqrtf(a), sqrt(a))
FLOATS(rsqrt, (float)(1 / sqrt((double)a)), 1 / sqrt(a))
FLOATS(rcp, 1 / a, 1 / a)
FLOATS(ex2, exp2f(a), exp2(a))
FLOATS(lg2, log2f(a), log2(a))
FLOATS(sin, sinf(a), sin(a))
FLOATS(cos, cosf(a), cos(a))
FLOATS(tanh, tanhf(a), tanh(a))

static exec_fn choose(struct binding *b, exec_fn f32, exec_fn f64, exec_fn narrow) {
  if (b->type_count != 1)
    return NULL;
  switch (b->types[0]) {
  case TYPE_f32: return bind_rounded(b, f32);
  case TYPE_f64:
    return b->inst->sat || (b->inst->ftz && !has(b, MOD_approx)) ? NULL : bind_rounded(b, f64);
  case TYPE_f16:
  case TYPE_f16x2:
  case TYPE_bf16:
  case TYPE_bf16x2: return b->inst->rounding == ROUND_NEAREST ? narrow : NULL;
  default: return NULL;
  }
}
#define CHOOSE(b, name) choose(b, name##_f32, name##_f64, name##_short)

exec_fn bind_float_add(struct binding *b);
exec_fn bind_float_sub(struct binding *b);
exec_fn bind_float_mul(struct binding *b);
exec_fn bind_float_div(struct binding *b);
exec_fn bind_float_min(struct binding *b);
exec_fn bind_float_max(struct binding *b);
exec_fn bind_float_abs(struct binding *b);
exec_fn bind_float_neg(struct binding *b);
exec_fn bind_float_add(struct binding *b) { return CHOOSE(b, add); }
exec_fn bind_float_sub(struct binding *b) { return CHOOSE(b, sub); }
exec_fn bind_float_mul(struct binding *b) { return CHOOSE(b, mul); }
exec_fn bind_float_div(struct binding *b) { return choose(b, div_f32, div_f64, NULL); }
/* max.xorsign.abs: of the magnitudes, with the product's sign. */
static void extreme_xorsign(struct warp *w, const struct inst *i, uint32_t mask) {
  enum ptx_type t = i->type == TYPE_f16x2    ? TYPE_f16
                    : i->type == TYPE_bf16x2 ? TYPE_bf16
                                             : (enum ptx_type)i->type;
  uint32_t bits = ptx_type_bytes(t) * 8;
  EACH_LANE(l, mask) {
    uint64_t r = 0;
    for (uint32_t k = 0; k < i->op[0].width * 8u; k += bits) {
      double a = float_decode(t, lane_get(w, &i->op[1], l) >> k),
             b = float_decode(t, lane_get(w, &i->op[2], l) >> k);
      double v =
          i->operation ? greater(fabs(a), fabs(b), i->abs) : lesser(fabs(a), fabs(b), i->abs);
      v = signbit(a) != signbit(b) ? -v : v;
      r |= (float_encode(t, v, ROUND_NEAREST) & ((UINT64_C(1) << bits) - 1)) << k;
    }
    lane_set(w, &i->op[0], l, r);
  }
}
static exec_fn extreme(struct binding *b, exec_fn fn) {
  if (has(b, MOD_xorsign)) {
    b->inst->operation = b->inst->opcode[1] == 'a';
    fn = has(b, MOD_abs) && b->types[0] != TYPE_f64 && fn ? extreme_xorsign : NULL;
  }
  b->inst->abs = has(b, MOD_nan);
  return b->inst->count == 3 ? fn : NULL;
}
exec_fn bind_float_min(struct binding *b) { return extreme(b, CHOOSE(b, min)); }
exec_fn bind_float_max(struct binding *b) { return extreme(b, CHOOSE(b, max)); }
exec_fn bind_float_abs(struct binding *b) { return CHOOSE(b, abs); }
exec_fn bind_float_neg(struct binding *b) { return CHOOSE(b, neg); }
exec_fn bind_fma(struct binding *b) { return CHOOSE(b, fma); }
exec_fn bind_sqrt(struct binding *b) { return choose(b, sqrt_f32, sqrt_f64, NULL); }
exec_fn bind_rsqrt(struct binding *b) { return choose(b, rsqrt_f32, rsqrt_f64, NULL); }
exec_fn bind_rcp(struct binding *b) { return choose(b, rcp_f32, rcp_f64, NULL); }
exec_fn bind_ex2(struct binding *b) { return choose(b, ex2_f32, NULL, ex2_short); }
exec_fn bind_lg2(struct binding *b) { return choose(b, lg2_f32, NULL, NULL); }
exec_fn bind_sin(struct binding *b) { return choose(b, sin_f32, NULL, NULL); }
exec_fn bind_cos(struct binding *b) { return choose(b, cos_f32, NULL, NULL); }
exec_fn bind_tanh(struct binding *b) { return choose(b, tanh_f32, NULL, tanh_short); }

static void copysign_any(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t bits = i->op[0].width * 8u;
  EACH_LANE(l, mask) {
    uint64_t top = UINT64_C(1) << (bits - 1);
    lane_set(w, &i->op[0], l,
             (lane_get(w, &i->op[1], l) & top) | (lane_get(w, &i->op[2], l) & ~top));
  }
}
exec_fn bind_copysign(struct binding *b) {
  return b->type_count == 1 && (b->types[0] == TYPE_f32 || b->types[0] == TYPE_f64) ? copysign_any
                                                                                    : NULL;
}

static bool compare_one(double a, double b, uint8_t how) {
  bool unordered = isnan(a) || isnan(b);
  switch (how) {
  case MOD_eq: return a == b;
  case MOD_ne: return !unordered && a != b;
  case MOD_lt: return a < b;
  case MOD_le: return a <= b;
  case MOD_gt: return a > b;
  case MOD_ge: return a >= b;
  case MOD_equ: return unordered || a == b;
  case MOD_neu: return unordered || a != b;
  case MOD_ltu: return unordered || a < b;
  case MOD_leu: return unordered || a <= b;
  case MOD_gtu: return unordered || a > b;
  case MOD_geu: return unordered || a >= b;
  case MOD_num: return !unordered;
  default: return unordered;
  }
}
/* One half of packed operands, or scalars at half 0. */
uint32_t compare_float(struct warp *w, const struct inst *i, uint32_t half);
uint32_t compare_float(struct warp *w, const struct inst *i, uint32_t half) {
  enum ptx_type t = i->type == TYPE_f16x2    ? TYPE_f16
                    : i->type == TYPE_bf16x2 ? TYPE_bf16
                                             : (enum ptx_type)i->type;
  uint32_t r = 0;
  for (uint32_t l = 0; l < 32; l++) {
    double a = float_decode(t, lane_get(w, &i->op[i->aux[0]], l) >> 16 * half),
           b = float_decode(t, lane_get(w, &i->op[i->aux[0] + 1], l) >> 16 * half);
    if (i->ftz && t == TYPE_f32)
      a = (double)flush((float)a, true), b = (double)flush((float)b, true);
    r |= (uint32_t)compare_one(a, b, i->compare) << l;
  }
  return r;
}
