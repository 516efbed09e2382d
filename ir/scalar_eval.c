/* SPDX-License-Identifier: Apache-2.0 */
/* Scalar operations over blocks of slots. */
#include "ir/scalar_eval.h"

#include "ir/field.h"

#include <assert.h>
#include <math.h>

/* ---- rounding and casts ---- */

enum softfloat_kind softfloat_kind_of(enum dtype t) {
  static_assert((int)DTYPE_F4E2M1 - (int)DTYPE_F16 == SOFTFLOAT_F4E2M1, "the same order");
  return (enum softfloat_kind)(t - DTYPE_F16);
}

static double round_small(enum dtype t, double x, bool saturate, enum softfloat_round round) {
  enum softfloat_kind kind = softfloat_kind_of(t);
  return softfloat_decode(kind, softfloat_encode(kind, x, saturate, round));
}

double scalar_round(enum dtype dtype, double x) {
  if (dtype == DTYPE_F64)
    return x;
  if (dtype == DTYPE_F32)
    return (double)(float)x;
  if (dtype == DTYPE_F8E5M2 && isinf(x))
    return x;
  return round_small(dtype, x, dtype_bits(dtype) == 8, SOFTFLOAT_ROUND_NEAREST);
}

static double cast_float(enum interp_mode mode, double x, enum dtype to, enum cast_mode cast) {
  bool quantised = dtype_bits(to) <= 8;
  if (to == DTYPE_F64 || (mode == INTERP_EXACT && !quantised))
    return x;
  if (to == DTYPE_F32)
    return (double)(float)x;
  enum softfloat_round round = cast == CAST_UP     ? SOFTFLOAT_ROUND_UP
                               : cast == CAST_DOWN ? SOFTFLOAT_ROUND_DOWN
                                                   : SOFTFLOAT_ROUND_NEAREST;
  return round_small(to, x, quantised && cast != CAST_NO_SATURATE, round);
}

static int64_t float_to_int(double x, enum dtype to) {
  if (isnan(x))
    return 0;
  int bits = (int)dtype_bits(to);
  if (dtype_is_signed(to)) {
    double limit = ldexp(1.0, bits - 1);
    if (x >= limit)
      return (int64_t)(UINT64_MAX >> (65 - bits));
    return x <= -limit ? (int64_t)-limit : (int64_t)x;
  }
  if (x >= ldexp(1.0, bits))
    return (int64_t)(UINT64_MAX >> (64 - bits));
  return x <= 0 ? 0 : (int64_t)(uint64_t)x;
}

/* To a double whose last bit is set where bits were lost (rounding to odd), so that a rounding to a
 * format with at least two bits less gives what a direct conversion would. */
static double int_to_odd(int64_t x, bool is_unsigned) {
  bool negative = !is_unsigned && x < 0;
  uint64_t magnitude = negative ? 0 - (uint64_t)x : (uint64_t)x;
  if (magnitude >> 53 == 0)
    return negative ? -(double)magnitude : (double)magnitude;
  int shift = 11 - __builtin_clzll(magnitude);
  uint64_t kept = magnitude >> shift;
  kept |= (kept << shift) != magnitude;
  double y = ldexp((double)kept, shift);
  return negative ? -y : y;
}

static double int_to_float(enum interp_mode mode, int64_t x, bool is_unsigned, enum dtype to,
                           enum cast_mode cast) {
  if (to == DTYPE_F64 || (mode == INTERP_EXACT && dtype_bits(to) > 8))
    return is_unsigned ? (double)(uint64_t)x : (double)x;
  return cast_float(mode, int_to_odd(x, is_unsigned), to, cast);
}

union scalar scalar_cast(enum interp_mode mode, union scalar x, enum dtype from, enum dtype to,
                         enum cast_mode cast) {
  union scalar y;
  if (mode == INTERP_FIELD && (dtype_is_float(from) || dtype_is_float(to))) {
    y.i64 = field_cast(x.i64, from, to, cast);
  } else if (dtype_is_float(from)) {
    if (dtype_is_float(to))
      y.f64 = cast_float(mode, x.f64, to, cast);
    else if (to == DTYPE_BOOL)
      y.i64 = x.f64 != 0;
    else
      y.i64 = float_to_int(x.f64, to);
  } else if (dtype_is_float(to)) {
    y.f64 = int_to_float(mode, x.i64, dtype_is_unsigned(from), to, cast);
  } else {
    y.i64 = scalar_literal_i64(to, x.i64);
  }
  return y;
}

/* ---- floats ---- */

/* IEEE 754-2019 maximum and minimum: NaN propagates, +0 is above -0. */
static double float_max(double x, double y) {
  if (isnan(x) || isnan(y))
    return x + y;
  if (x == y)
    return signbit(x) ? y : x;
  return x > y ? x : y;
}

static double float_min(double x, double y) {
  if (isnan(x) || isnan(y))
    return x + y;
  if (x == y)
    return signbit(x) ? x : y;
  return x < y ? x : y;
}

static double float_mod(double x, double y) {
  double r = fmod(x, y);
  if (r == 0)
    return copysign(r, y);
  return (r < 0) != (y < 0) ? r + y : r;
}

static double float_sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }

static double tf32_of_f64(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits = (bits + (UINT64_C(1) << 41)) & ~((UINT64_C(1) << 42) - 1);
  if (!isnan(x))
    memcpy(&x, &bits, sizeof bits);
  return x;
}

/* Of what is an f32. */
static double tf32_of_f32(double x) {
  float y = (float)x;
  uint32_t bits;
  memcpy(&bits, &y, sizeof bits);
  bits = (bits + (1u << 12)) & ~((1u << 13) - 1);
  if (!isnan(y))
    memcpy(&y, &bits, sizeof bits);
  return (double)y;
}

static double float_sigmoid(double x) { return 1 / (1 + exp(-x)); }

#define EACH(field, expression)                                                                    \
  for (uint32_t i = 0; i < n; i++)                                                                 \
    d[i].field = (expression);                                                                     \
  return
#define X a[i].f64
#define Y b[i].f64

static void eval_float(enum scalar_op op, bool f32, const union scalar *a, const union scalar *b,
                       uint32_t n, union scalar *d) {
  switch (op) {
  case SCALAR_ADD: EACH(f64, X + Y);
  case SCALAR_SUB: EACH(f64, X - Y);
  case SCALAR_MUL: EACH(f64, X * Y);
  case SCALAR_DIV: EACH(f64, X / Y);
  case SCALAR_MOD: EACH(f64, float_mod(X, Y));
  case SCALAR_REM: EACH(f64, fmod(X, Y));
  case SCALAR_POW: EACH(f64, pow(X, Y));
  case SCALAR_MAX: EACH(f64, float_max(X, Y));
  case SCALAR_MIN: EACH(f64, float_min(X, Y));
  case SCALAR_NEG: EACH(f64, -X);
  case SCALAR_ABS: EACH(f64, fabs(X));
  case SCALAR_SIGN: EACH(f64, float_sign(X));
  case SCALAR_FLOOR: EACH(f64, floor(X));
  case SCALAR_CEIL: EACH(f64, ceil(X));
  case SCALAR_ROUND: EACH(f64, rint(X));
  case SCALAR_TRUNC: EACH(f64, trunc(X));
  case SCALAR_TF32: EACH(f64, f32 ? tf32_of_f32(X) : tf32_of_f64(X));
  case SCALAR_SQRT: EACH(f64, sqrt(X));
  case SCALAR_EXP: EACH(f64, exp(X));
  case SCALAR_LOG: EACH(f64, log(X));
  case SCALAR_LOG1P: EACH(f64, log1p(X));
  case SCALAR_EXPM1: EACH(f64, expm1(X));
  case SCALAR_SIGMOID: EACH(f64, float_sigmoid(X));
  case SCALAR_ERF: EACH(f64, erf(X));
  case SCALAR_SIN: EACH(f64, sin(X));
  case SCALAR_COS: EACH(f64, cos(X));
  case SCALAR_TAN: EACH(f64, tan(X));
  case SCALAR_ASIN: EACH(f64, asin(X));
  case SCALAR_ACOS: EACH(f64, acos(X));
  case SCALAR_ATAN: EACH(f64, atan(X));
  case SCALAR_ATAN2: EACH(f64, atan2(X, Y));
  case SCALAR_SINH: EACH(f64, sinh(X));
  case SCALAR_COSH: EACH(f64, cosh(X));
  case SCALAR_TANH: EACH(f64, tanh(X));
  case SCALAR_ASINH: EACH(f64, asinh(X));
  case SCALAR_ACOSH: EACH(f64, acosh(X));
  case SCALAR_ATANH: EACH(f64, atanh(X));
  case SCALAR_ISNAN: EACH(i64, isnan(X) != 0);
  case SCALAR_ISINF: EACH(i64, isinf(X) != 0);
  case SCALAR_EQ: EACH(i64, X == Y);
  case SCALAR_NE: EACH(i64, X != Y);
  case SCALAR_LT: EACH(i64, X < Y);
  case SCALAR_LE: EACH(i64, X <= Y);
  case SCALAR_GT: EACH(i64, X > Y);
  case SCALAR_GE: EACH(i64, X >= Y);
  default: assert(!"a scalar operation on floats");
  }
}

#undef X
#undef Y

/* ---- integers and bool ---- */

static int64_t int_div(int64_t x, int64_t y, bool u) {
  if (y == 0)
    return 0;
  if (u)
    return (int64_t)((uint64_t)x / (uint64_t)y);
  return y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y;
}

static int64_t int_rem(int64_t x, int64_t y, bool u) {
  if (y == 0 || (!u && y == -1))
    return 0;
  return u ? (int64_t)((uint64_t)x % (uint64_t)y) : x % y;
}

static int64_t int_mod(int64_t x, int64_t y, bool u) {
  int64_t r = int_rem(x, y, u);
  return !u && r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static int64_t int_pow(int64_t x, int64_t y, bool u) {
  if (!u && y < 0)
    return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
  uint64_t result = 1, base = (uint64_t)x;
  for (uint64_t e = (uint64_t)y; e; e >>= 1, base *= base)
    if (e & 1)
      result *= base;
  return (int64_t)result;
}

static bool int_less(int64_t x, int64_t y, bool u) { return u ? (uint64_t)x < (uint64_t)y : x < y; }

static int64_t int_shl(int64_t x, int64_t y, unsigned bits) {
  return (uint64_t)y >= bits ? 0 : (int64_t)((uint64_t)x << y);
}

static int64_t int_shr(int64_t x, int64_t y, unsigned bits, bool u) {
  if ((uint64_t)y >= bits)
    return !u && x < 0 ? -1 : 0;
  return u ? (int64_t)((uint64_t)x >> y) : x >> y;
}

#define X a[i].i64
#define Y b[i].i64
#define UX (uint64_t)a[i].i64
#define UY (uint64_t)b[i].i64

/* Results of arithmetic are not yet wrapped to the dtype. */
static void eval_int(enum scalar_op op, enum dtype dtype, const union scalar *a,
                     const union scalar *b, uint32_t n, union scalar *d) {
  bool u = !dtype_is_signed(dtype);
  unsigned bits = dtype_bits(dtype);
  switch (op) {
  case SCALAR_ADD: EACH(i64, (int64_t)(UX + UY));
  case SCALAR_SUB: EACH(i64, (int64_t)(UX - UY));
  case SCALAR_MUL: EACH(i64, (int64_t)(UX * UY));
  case SCALAR_DIV: EACH(i64, int_div(X, Y, u));
  case SCALAR_MOD: EACH(i64, int_mod(X, Y, u));
  case SCALAR_REM: EACH(i64, int_rem(X, Y, u));
  case SCALAR_POW: EACH(i64, int_pow(X, Y, u));
  case SCALAR_MAX: EACH(i64, int_less(X, Y, u) ? Y : X);
  case SCALAR_MIN: EACH(i64, int_less(Y, X, u) ? Y : X);
  case SCALAR_NEG: EACH(i64, (int64_t)(0 - UX));
  case SCALAR_ABS: EACH(i64, !u && X < 0 ? (int64_t)(0 - UX) : X);
  case SCALAR_SIGN: EACH(i64, X == 0 ? 0 : !u && X < 0 ? -1 : 1);
  case SCALAR_EQ: EACH(i64, X == Y);
  case SCALAR_NE: EACH(i64, X != Y);
  case SCALAR_LT: EACH(i64, int_less(X, Y, u));
  case SCALAR_LE: EACH(i64, !int_less(Y, X, u));
  case SCALAR_GT: EACH(i64, int_less(Y, X, u));
  case SCALAR_GE: EACH(i64, !int_less(X, Y, u));
  case SCALAR_AND: EACH(i64, X & Y);
  case SCALAR_OR: EACH(i64, X | Y);
  case SCALAR_XOR: EACH(i64, X ^ Y);
  case SCALAR_NOT: EACH(i64, dtype == DTYPE_BOOL ? !X : ~X);
  case SCALAR_SHL: EACH(i64, int_shl(X, Y, bits));
  case SCALAR_SHR: EACH(i64, int_shr(X, Y, bits, u));
  default: assert(!"a scalar operation on integers");
  }
}

#undef X
#undef Y
#undef UX
#undef UY
#undef EACH

/* ---- instructions ---- */

/* What an instruction's result is once it has its dtype. */
static void settle(enum interp_mode mode, enum dtype dtype, uint32_t n, union scalar *d) {
  if (dtype_is_float(dtype)) {
    if (mode == INTERP_TYPED && dtype != DTYPE_F64)
      for (uint32_t i = 0; i < n; i++)
        d[i].f64 = (double)(float)d[i].f64;
  } else if (dtype_bits(dtype) < 64) {
    for (uint32_t i = 0; i < n; i++)
      d[i].i64 = scalar_literal_i64(dtype, d[i].i64);
  }
}

static void eval_field(enum scalar_op op, const union scalar *a, const union scalar *b, uint32_t n,
                       union scalar *d) {
  for (uint32_t i = 0; i < n; i++)
    d[i].i64 = field_scalar(op, a[i].i64, b ? b[i].i64 : 0);
}

static void eval_inst(enum interp_mode mode, const struct scalar_inst *inst, enum dtype from,
                      const union scalar *const *args, uint32_t n, union scalar *d) {
  switch (inst->op) {
  case SCALAR_CONST:
    for (uint32_t i = 0; i < n; i++) {
      if (dtype_is_float(inst->dtype) && mode == INTERP_FIELD)
        d[i].i64 = field_from_f64(inst->imm.f64);
      else if (dtype_is_float(inst->dtype))
        d[i].f64 = inst->imm.f64;
      else
        d[i].i64 = inst->imm.i64;
    }
    break;
  case SCALAR_CAST:
    for (uint32_t i = 0; i < n; i++)
      d[i] = scalar_cast(mode, args[0][i], from, inst->dtype, inst->mode);
    return;
  case SCALAR_SELECT:
    for (uint32_t i = 0; i < n; i++)
      d[i] = args[0][i].i64 ? args[1][i] : args[2][i];
    return;
  default:
    if (dtype_is_float(from) && mode == INTERP_FIELD)
      eval_field(inst->op, args[0], args[1], n, d);
    else if (dtype_is_float(from))
      eval_float(inst->op, mode == INTERP_TYPED && from != DTYPE_F64, args[0], args[1], n, d);
    else
      eval_int(inst->op, from, args[0], args[1], n, d);
    if (scalar_infos[inst->op].result_bool)
      return;
  }
  settle(mode, inst->dtype, n, d);
}

union scalar scalar_inst_eval(enum interp_mode mode, const struct scalar_inst *inst,
                              enum dtype operand_dtype, const union scalar *operands) {
  const union scalar *args[3] = {operands, operands + 1, operands + 2};
  union scalar result;
  eval_inst(mode, inst, operand_dtype, args, 1, &result);
  return result;
}

static void read_source(const struct scalar_source *s, uint32_t n, union scalar *d) {
  for (uint32_t i = 0; i < n; i++)
    d[i] = s->data[i * s->stride];
}

void scalar_block_eval(enum interp_mode mode, const struct scalar_body *body,
                       const struct scalar_source *args, uint32_t n, union scalar *scratch,
                       union scalar *out) {
  for (uint32_t k = 0; k < body->len; k++) {
    const struct scalar_inst *inst = &body->insts[k];
    union scalar *d = scratch + (size_t)k * SCALAR_BLOCK;
    if (inst->op == SCALAR_ARG) {
      read_source(&args[inst->args[0]], n, d);
      continue;
    }
    const union scalar *operands[3] = {NULL, NULL, NULL};
    enum dtype from = inst->dtype;
    for (uint32_t i = 0; i < scalar_infos[inst->op].arity; i++) {
      operands[i] = scratch + (size_t)inst->args[i] * SCALAR_BLOCK;
      from = body->insts[inst->args[i]].dtype;
    }
    eval_inst(mode, inst, from, operands, n, d);
  }
  const struct scalar_inst *last = &body->insts[body->len - 1];
  const union scalar *result = scratch + (size_t)(body->len - 1) * SCALAR_BLOCK;
  bool round = mode == INTERP_TYPED && dtype_is_float(last->dtype) && dtype_bits(last->dtype) < 32;
  for (uint32_t i = 0; i < n; i++) {
    if (round)
      out[i].f64 = scalar_round(last->dtype, result[i].f64);
    else
      out[i] = result[i];
  }
}

/* ---- combiners ---- */

static const enum scalar_op combiner_ops[] = {
    [COMBINER_SUM] = SCALAR_ADD, [COMBINER_PROD] = SCALAR_MUL, [COMBINER_MAX] = SCALAR_MAX,
    [COMBINER_MIN] = SCALAR_MIN, [COMBINER_AND] = SCALAR_AND,  [COMBINER_OR] = SCALAR_OR,
    [COMBINER_XOR] = SCALAR_XOR,
};

union scalar scalar_combine(enum combiner kind, enum dtype dtype, union scalar a, union scalar b) {
  union scalar d;
  if (dtype_is_float(dtype)) {
    eval_float(combiner_ops[kind], false, &a, &b, 1, &d);
  } else {
    eval_int(combiner_ops[kind], dtype, &a, &b, 1, &d);
    d.i64 = scalar_literal_i64(dtype, d.i64);
  }
  return d;
}

static int64_t int_extreme(enum dtype dtype, bool greatest) {
  unsigned bits = dtype_bits(dtype);
  if (dtype == DTYPE_BOOL)
    return greatest;
  if (!dtype_is_signed(dtype))
    return greatest ? (int64_t)(UINT64_MAX >> (64 - bits)) : 0;
  int64_t most = (int64_t)(UINT64_MAX >> (65 - bits));
  return greatest ? most : -most - 1;
}

union scalar scalar_identity(enum combiner kind, enum dtype dtype) {
  bool is_float = dtype_is_float(dtype);
  union scalar d = {.i64 = 0};
  switch (kind) {
  case COMBINER_PROD:
    if (is_float)
      d.f64 = 1;
    else
      d.i64 = 1;
    break;
  case COMBINER_MAX:
  case COMBINER_ARGMAX:
  case COMBINER_MIN:
  case COMBINER_ARGMIN: {
    bool greatest = kind == COMBINER_MIN || kind == COMBINER_ARGMIN;
    if (is_float)
      d.f64 = greatest ? (double)INFINITY : -(double)INFINITY;
    else
      d.i64 = int_extreme(dtype, greatest);
    break;
  }
  case COMBINER_AND: d.i64 = scalar_literal_i64(dtype, -1); break;
  case COMBINER_NONE:
  case COMBINER_SUM:
  case COMBINER_OR:
  case COMBINER_XOR:
    if (is_float)
      d.f64 = 0;
    break;
  }
  return d;
}
