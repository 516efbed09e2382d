/* SPDX-License-Identifier: Apache-2.0 */
/* Scalar operations as LLVM IR, for one element or W; the semantics are scalar.def's. */
#include <assert.h>

#include "base/mem.h"
#include "codegen/convert.h"
#include "codegen/emit.h"

static LLVMValueRef splat_const(LLVMValueRef c, uint32_t width) {
  if (width == 1)
    return c;
  LLVMValueRef lanes[64];
  for (uint32_t i = 0; i < width; i++)
    lanes[i] = c;
  return LLVMConstVector(lanes, width);
}

LLVMValueRef emit_literal(struct emit *e, enum dtype dtype, double f, int64_t i, uint32_t width) {
  LLVMTypeRef t = emit_type(e, dtype, 1);
  if (dtype_is_float(dtype))
    return splat_const(LLVMConstReal(t, f), width);
  return splat_const(LLVMConstInt(t, (unsigned long long)i, true), width);
}

static LLVMValueRef int_const(LLVMValueRef like, int64_t x) {
  LLVMTypeRef t = LLVMTypeOf(like);
  bool vector = LLVMGetTypeKind(t) == LLVMVectorTypeKind;
  LLVMTypeRef element = vector ? LLVMGetElementType(t) : t;
  LLVMValueRef c = LLVMConstInt(element, (unsigned long long)x, true);
  return splat_const(c, vector ? LLVMGetVectorSize(t) : 1);
}

/* ---- casts ---- */

/* A 64-bit integer with what a double cannot hold gathered in the last bit that it can (rounding to
 * odd), so that a rounding to a narrower format afterwards is the only one. */
static LLVMValueRef int_to_odd(struct emit *e, LLVMValueRef x, bool is_signed) {
  LLVMValueRef size = x, low = int_const(x, 0x7ff);
  if (is_signed) {
    LLVMValueRef negative = LLVMBuildICmp(e->b, LLVMIntSLT, x, int_const(x, 0), "");
    size = LLVMBuildSelect(e->b, negative, LLVMBuildNeg(e->b, x, ""), x, "");
  }
  LLVMValueRef lost = LLVMBuildAnd(e->b, x, low, "");
  LLVMValueRef any = LLVMBuildICmp(e->b, LLVMIntNE, lost, int_const(x, 0), "");
  LLVMValueRef odd = LLVMBuildSelect(e->b, any, int_const(x, 0x800), int_const(x, 0), "");
  odd = LLVMBuildOr(e->b, LLVMBuildXor(e->b, x, lost, ""), odd, "");
  LLVMValueRef large = LLVMBuildICmp(e->b, LLVMIntUGE, size, int_const(x, INT64_C(1) << 53), "");
  return LLVMBuildSelect(e->b, large, odd, x, "");
}

/* To a format of two bytes or one, rounded once: through f64 where f32 would round too. */
static LLVMValueRef int_to_narrow(struct emit *e, LLVMValueRef x, enum dtype from) {
  LLVMTypeRef element = dtype_bits(from) <= 16 ? e->f32 : e->f64;
  if (dtype_bits(from) == 64)
    x = int_to_odd(e, x, dtype_is_signed(from));
  return convert_int_to_float(e->b, x, dtype_is_signed(from), element);
}

static LLVMValueRef cast_to_float(struct emit *e, LLVMValueRef x, enum dtype from, enum dtype to,
                                  enum cast_mode mode, uint32_t width) {
  LLVMTypeRef element = emit_type(e, to, 1);
  if (dtype_is_float(from)) {
    enum dtype compute = dtype_compute(to);
    /* A narrow type is rounded to once, from the wider register. */
    if (compute == to || dtype_compute(from) != DTYPE_F64)
      x = convert_float_to_float(e->b, x, element);
  } else if (from == DTYPE_BOOL) {
    x = LLVMBuildUIToFP(e->b, x, emit_type(e, to, width), "");
  } else if (dtype_compute(to) != to) {
    x = int_to_narrow(e, x, from);
  } else {
    x = convert_int_to_float(e->b, x, dtype_is_signed(from), element);
  }
  return emit_round_mode(e, to, x, mode, width);
}

static LLVMValueRef cast_to_int(struct emit *e, LLVMValueRef x, enum dtype from, enum dtype to,
                                uint32_t width) {
  LLVMTypeRef type = emit_type(e, to, width);
  if (dtype_is_float(from)) {
    x = convert_float_to_int(e->b, x, dtype_bits(to), dtype_is_signed(to));
    return LLVMBuildIntCast2(e->b, x, type, dtype_is_signed(to), "");
  }
  x = LLVMBuildIntCast2(e->b, x, type, dtype_is_signed(from), "");
  return emit_round_to(e, to, x, width);
}

LLVMValueRef emit_cast(struct emit *e, LLVMValueRef x, enum dtype from, enum dtype to,
                       enum cast_mode mode, uint32_t width) {
  if (from == to)
    return x;
  if (dtype_is_float(to))
    return cast_to_float(e, x, from, to, mode, width);
  if (to != DTYPE_BOOL)
    return cast_to_int(e, x, from, to, width);
  LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(x));
  if (dtype_is_float(from))
    return LLVMBuildFCmp(e->b, LLVMRealUNE, x, zero, "");
  return LLVMBuildICmp(e->b, LLVMIntNE, x, zero, "");
}

/* ---- integer arithmetic ---- */

/* x / 0 = 0, INT_MIN / -1 = INT_MIN: the divisor is replaced by 1 where it would trap. */
static LLVMValueRef int_divide(struct emit *e, bool is_signed, bool remainder, LLVMValueRef x,
                               LLVMValueRef y) {
  LLVMValueRef zero = int_const(y, 0), one = int_const(y, 1);
  LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntEQ, y, zero, "");
  LLVMValueRef r;
  if (is_signed) {
    LLVMValueRef negates = LLVMBuildICmp(e->b, LLVMIntEQ, y, int_const(y, -1), "");
    LLVMValueRef safe = LLVMBuildSelect(e->b, LLVMBuildOr(e->b, none, negates, ""), one, y, "");
    r = remainder ? LLVMBuildSRem(e->b, x, safe, "") : LLVMBuildSDiv(e->b, x, safe, "");
    if (!remainder)
      r = LLVMBuildSelect(e->b, negates, LLVMBuildNeg(e->b, x, ""), r, "");
  } else {
    LLVMValueRef safe = LLVMBuildSelect(e->b, none, one, y, "");
    r = remainder ? LLVMBuildURem(e->b, x, safe, "") : LLVMBuildUDiv(e->b, x, safe, "");
  }
  return LLVMBuildSelect(e->b, none, zero, r, "");
}

/* The remainder with the divisor's sign. */
static LLVMValueRef int_mod(struct emit *e, bool is_signed, LLVMValueRef x, LLVMValueRef y) {
  LLVMValueRef r = int_divide(e, is_signed, true, x, y);
  if (!is_signed)
    return r;
  LLVMValueRef zero = int_const(r, 0);
  LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntNE, r, zero, "");
  LLVMValueRef differ = LLVMBuildICmp(e->b, LLVMIntSLT, LLVMBuildXor(e->b, r, y, ""), zero, "");
  LLVMValueRef fix = LLVMBuildAnd(e->b, some, differ, "");
  return LLVMBuildSelect(e->b, fix, LLVMBuildAdd(e->b, r, y, ""), r, "");
}

/* By squaring, in a loop over the exponent's bits; a negative exponent gives 0 except for 1 and -1.
 */
static LLVMValueRef int_pow(struct emit *e, bool is_signed, LLVMValueRef x, LLVMValueRef y,
                            uint32_t width) {
  LLVMTypeRef t = LLVMTypeOf(x);
  LLVMTypeRef element = width == 1 ? t : LLVMGetElementType(t);
  LLVMValueRef one = int_const(x, 1), zero = int_const(x, 0);
  LLVMValueRef init[3] = {one, x, y};
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, LLVMGetIntTypeWidth(element)), 1, 3, init);
  LLVMValueRef odd =
      LLVMBuildICmp(e->b, LLVMIntNE, LLVMBuildAnd(e->b, l.carried[2], one, ""), zero, "");
  LLVMValueRef product = LLVMBuildMul(e->b, l.carried[0], l.carried[1], "");
  LLVMValueRef next[3] = {
      LLVMBuildSelect(e->b, odd, product, l.carried[0], ""),
      LLVMBuildMul(e->b, l.carried[1], l.carried[1], ""),
      LLVMBuildLShr(e->b, l.carried[2], one, ""),
  };
  emit_loop_end(e, &l, next);
  if (!is_signed)
    return l.carried[0];
  LLVMValueRef unit = LLVMBuildOr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, x, one, ""),
                                  LLVMBuildICmp(e->b, LLVMIntEQ, x, int_const(x, -1), ""), "");
  LLVMValueRef negative = LLVMBuildICmp(e->b, LLVMIntSLT, y, zero, "");
  LLVMValueRef none = LLVMBuildAnd(e->b, negative, LLVMBuildNot(e->b, unit, ""), "");
  return LLVMBuildSelect(e->b, none, zero, l.carried[0], "");
}

static LLVMValueRef int_shift(struct emit *e, enum scalar_op op, bool is_signed, LLVMValueRef x,
                              LLVMValueRef y, unsigned bits) {
  LLVMValueRef limit = int_const(y, bits);
  LLVMValueRef over = LLVMBuildICmp(e->b, LLVMIntUGE, y, limit, "");
  LLVMValueRef safe = LLVMBuildSelect(e->b, over, int_const(y, 0), y, "");
  if (op == SCALAR_SHL) {
    return LLVMBuildSelect(e->b, over, int_const(x, 0), LLVMBuildShl(e->b, x, safe, ""), "");
  }
  if (!is_signed) {
    return LLVMBuildSelect(e->b, over, int_const(x, 0), LLVMBuildLShr(e->b, x, safe, ""), "");
  }
  safe = LLVMBuildSelect(e->b, over, int_const(y, bits - 1), y, "");
  return LLVMBuildAShr(e->b, x, safe, "");
}

static LLVMValueRef int_op(struct emit *e, enum scalar_op op, enum dtype dtype, LLVMValueRef *a,
                           uint32_t width) {
  bool is_signed = dtype_is_signed(dtype);
  LLVMBuilderRef b = e->b;
  LLVMIntPredicate less = is_signed ? LLVMIntSLT : LLVMIntULT;
  switch (op) {
  case SCALAR_ADD: return LLVMBuildAdd(b, a[0], a[1], "");
  case SCALAR_SUB: return LLVMBuildSub(b, a[0], a[1], "");
  case SCALAR_MUL: return LLVMBuildMul(b, a[0], a[1], "");
  case SCALAR_DIV: return int_divide(e, is_signed, false, a[0], a[1]);
  case SCALAR_REM: return int_divide(e, is_signed, true, a[0], a[1]);
  case SCALAR_MOD: return int_mod(e, is_signed, a[0], a[1]);
  case SCALAR_POW: return int_pow(e, is_signed, a[0], a[1], width);
  case SCALAR_MAX:
    return LLVMBuildSelect(b, LLVMBuildICmp(b, less, a[0], a[1], ""), a[1], a[0], "");
  case SCALAR_MIN:
    return LLVMBuildSelect(b, LLVMBuildICmp(b, less, a[1], a[0], ""), a[1], a[0], "");
  case SCALAR_NEG: return LLVMBuildNeg(b, a[0], "");
  case SCALAR_ABS: {
    if (!is_signed)
      return a[0];
    LLVMValueRef negative = LLVMBuildICmp(b, LLVMIntSLT, a[0], int_const(a[0], 0), "");
    return LLVMBuildSelect(b, negative, LLVMBuildNeg(b, a[0], ""), a[0], "");
  }
  case SCALAR_SIGN: {
    LLVMValueRef zero = int_const(a[0], 0), one = int_const(a[0], 1);
    LLVMValueRef some = LLVMBuildICmp(b, LLVMIntNE, a[0], zero, "");
    LLVMValueRef x = LLVMBuildSelect(b, some, one, zero, "");
    if (!is_signed)
      return x;
    LLVMValueRef negative = LLVMBuildICmp(b, LLVMIntSLT, a[0], zero, "");
    return LLVMBuildSelect(b, negative, int_const(a[0], -1), x, "");
  }
  case SCALAR_AND: return LLVMBuildAnd(b, a[0], a[1], "");
  case SCALAR_OR: return LLVMBuildOr(b, a[0], a[1], "");
  case SCALAR_XOR: return LLVMBuildXor(b, a[0], a[1], "");
  case SCALAR_NOT: return LLVMBuildNot(b, a[0], "");
  case SCALAR_SHL:
  case SCALAR_SHR: return int_shift(e, op, is_signed, a[0], a[1], dtype_bits(dtype));
  case SCALAR_EQ: return LLVMBuildICmp(b, LLVMIntEQ, a[0], a[1], "");
  case SCALAR_NE: return LLVMBuildICmp(b, LLVMIntNE, a[0], a[1], "");
  case SCALAR_LT: return LLVMBuildICmp(b, less, a[0], a[1], "");
  case SCALAR_GT: return LLVMBuildICmp(b, less, a[1], a[0], "");
  case SCALAR_LE: return LLVMBuildNot(b, LLVMBuildICmp(b, less, a[1], a[0], ""), "");
  case SCALAR_GE: return LLVMBuildNot(b, LLVMBuildICmp(b, less, a[0], a[1], ""), "");
  case SCALAR_SELECT: return LLVMBuildSelect(b, a[0], a[1], a[2], "");
  default: assert(!"not an integer operation"); return a[0];
  }
}

/* ---- float arithmetic ---- */

static LLVMValueRef float_extreme(struct emit *e, LLVMRealPredicate wins, LLVMValueRef x,
                                  LLVMValueRef y) {
  /* The comparison fails where either is NaN and picks y; a NaN in x is put back. */
  LLVMValueRef r = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, wins, x, y, ""), x, y, "");
  /* Kept from being one selection by two comparisons: the first is an instruction of x86. */
  if (!LLVMIsConstant(x) && !LLVMIsConstant(y) && target_isa(e->math->target)->kind == TARGET_CPU)
    r = LLVMBuildFreeze(e->b, r, "");
  return LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealUNO, x, x, ""), x, r, "");
}

static LLVMValueRef float_mod(struct emit *e, LLVMValueRef x, LLVMValueRef y) {
  LLVMValueRef args[2] = {x, y};
  LLVMValueRef r = vmath_emit(e->math, e->b, VMATH_fmod, args);
  LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(x));
  LLVMValueRef some = LLVMBuildFCmp(e->b, LLVMRealONE, r, zero, "");
  LLVMValueRef r_negative = LLVMBuildFCmp(e->b, LLVMRealOLT, r, zero, "");
  LLVMValueRef y_negative = LLVMBuildFCmp(e->b, LLVMRealOLT, y, zero, "");
  LLVMValueRef fix = LLVMBuildAnd(e->b, some, LLVMBuildXor(e->b, r_negative, y_negative, ""), "");
  return LLVMBuildSelect(e->b, fix, LLVMBuildFAdd(e->b, r, y, ""), r, "");
}

static LLVMValueRef float_const_like(LLVMValueRef like, double x) {
  LLVMTypeRef t = LLVMTypeOf(like);
  bool vector = LLVMGetTypeKind(t) == LLVMVectorTypeKind;
  LLVMValueRef c = LLVMConstReal(vector ? LLVMGetElementType(t) : t, x);
  return splat_const(c, vector ? LLVMGetVectorSize(t) : 1);
}

static LLVMValueRef float_sign(struct emit *e, LLVMValueRef x) {
  LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(x));
  LLVMValueRef signed_one = vmath_copysign(e->math, e->b, float_const_like(x, 1.0), x);
  LLVMValueRef some = LLVMBuildFCmp(e->b, LLVMRealONE, x, zero, "");
  return LLVMBuildSelect(e->b, some, signed_one, x, ""); /* 0 and NaN stay */
}

/* The low bits of the mantissa are rounded by an addition to the whole. */
static LLVMValueRef float_tf32(struct emit *e, LLVMValueRef x) {
  LLVMTypeRef t = LLVMTypeOf(x);
  unsigned width = LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetVectorSize(t) : 1;
  bool f64 = LLVMGetTypeKind(width > 1 ? LLVMGetElementType(t) : t) == LLVMDoubleTypeKind;
  LLVMTypeRef integer = f64 ? e->i64 : e->i32;
  uint64_t half = UINT64_C(1) << (f64 ? 41 : 12);
  LLVMValueRef bits =
      LLVMBuildBitCast(e->b, x, width > 1 ? LLVMVectorType(integer, width) : integer, "");
  bits = LLVMBuildAdd(e->b, bits, splat_const(LLVMConstInt(integer, half, false), width), "");
  bits = LLVMBuildAnd(e->b, bits, splat_const(LLVMConstInt(integer, ~(2 * half - 1), false), width),
                      "");
  LLVMValueRef nan = LLVMBuildFCmp(e->b, LLVMRealUNO, x, x, "");
  return LLVMBuildSelect(e->b, nan, x, LLVMBuildBitCast(e->b, bits, t, ""), "");
}

/* The quadrants of atan2 from atan, with the IEEE cases of zeros and infinities. */
static LLVMValueRef float_atan2(struct emit *e, LLVMValueRef y, LLVMValueRef x) {
  const double pi = 0x1.921fb54442d18p+1;
  LLVMBuilderRef b = e->b;
  LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(x));
  LLVMValueRef ay = vmath_fabs(e->math, b, y), ax = vmath_fabs(e->math, b, x);
  LLVMValueRef steep = LLVMBuildFCmp(b, LLVMRealOGT, ay, ax, "");
  LLVMValueRef num = LLVMBuildSelect(b, steep, ax, ay, "");
  LLVMValueRef den = LLVMBuildSelect(b, steep, ay, ax, "");
  LLVMValueRef ratio = LLVMBuildFDiv(b, num, den, "");
  LLVMValueRef both_zero = LLVMBuildFCmp(b, LLVMRealOEQ, den, zero, "");
  ratio = LLVMBuildSelect(b, both_zero, zero, ratio, "");
  LLVMValueRef inf = float_const_like(x, __builtin_inf());
  LLVMValueRef both_inf = LLVMBuildFCmp(b, LLVMRealOEQ, num, inf, "");
  ratio = LLVMBuildSelect(b, both_inf, float_const_like(x, 1.0), ratio, "");
  LLVMValueRef r = vmath_emit(e->math, b, VMATH_atan, &ratio);
  r = LLVMBuildSelect(b, steep, LLVMBuildFSub(b, float_const_like(x, pi / 2), r, ""), r, "");
  LLVMValueRef x_sign = vmath_copysign(e->math, b, float_const_like(x, 1.0), x);
  LLVMValueRef behind = LLVMBuildFCmp(b, LLVMRealOLT, x_sign, zero, "");
  r = LLVMBuildSelect(b, behind, LLVMBuildFSub(b, float_const_like(x, pi), r, ""), r, "");
  r = vmath_copysign(e->math, b, r, y);
  LLVMValueRef nan = LLVMBuildFCmp(b, LLVMRealUNO, x, y, "");
  return LLVMBuildSelect(b, nan, LLVMBuildFAdd(b, x, y, ""), r, "");
}

static LLVMValueRef float_op(struct emit *e, enum scalar_op op, LLVMValueRef *a) {
  LLVMBuilderRef b = e->b;
  struct vmath *m = e->math;
  switch (op) {
  case SCALAR_ADD: return LLVMBuildFAdd(b, a[0], a[1], "");
  case SCALAR_SUB: return LLVMBuildFSub(b, a[0], a[1], "");
  case SCALAR_MUL: return LLVMBuildFMul(b, a[0], a[1], "");
  case SCALAR_DIV: return LLVMBuildFDiv(b, a[0], a[1], "");
  case SCALAR_MOD: return float_mod(e, a[0], a[1]);
  case SCALAR_REM: return vmath_emit(m, b, VMATH_fmod, a);
  case SCALAR_POW: return vmath_emit(m, b, VMATH_pow, a);
  case SCALAR_MAX: return float_extreme(e, LLVMRealOGT, a[0], a[1]);
  case SCALAR_MIN: return float_extreme(e, LLVMRealOLT, a[0], a[1]);
  case SCALAR_NEG: return LLVMBuildFNeg(b, a[0], "");
  case SCALAR_ABS: return vmath_fabs(m, b, a[0]);
  case SCALAR_SIGN: return float_sign(e, a[0]);
  case SCALAR_FLOOR: return vmath_floor(m, b, a[0]);
  case SCALAR_CEIL: return vmath_ceil(m, b, a[0]);
  case SCALAR_ROUND: return vmath_rint(m, b, a[0]);
  case SCALAR_TRUNC: return vmath_trunc(m, b, a[0]);
  case SCALAR_TF32: return float_tf32(e, a[0]);
  case SCALAR_SQRT: return vmath_sqrt(m, b, a[0]);
  case SCALAR_EXP: return vmath_emit(m, b, VMATH_exp, a);
  case SCALAR_LOG: return vmath_emit(m, b, VMATH_log, a);
  case SCALAR_LOG1P: return vmath_emit(m, b, VMATH_log1p, a);
  case SCALAR_EXPM1: return vmath_emit(m, b, VMATH_expm1, a);
  case SCALAR_SIGMOID: return vmath_emit(m, b, VMATH_sigmoid, a);
  case SCALAR_ERF: return vmath_emit(m, b, VMATH_erf, a);
  case SCALAR_SIN: return vmath_emit(m, b, VMATH_sin, a);
  case SCALAR_COS: return vmath_emit(m, b, VMATH_cos, a);
  case SCALAR_TAN: return vmath_emit(m, b, VMATH_tan, a);
  case SCALAR_ASIN: return vmath_emit(m, b, VMATH_asin, a);
  case SCALAR_ACOS: return vmath_emit(m, b, VMATH_acos, a);
  case SCALAR_ATAN: return vmath_emit(m, b, VMATH_atan, a);
  case SCALAR_ATAN2: return float_atan2(e, a[0], a[1]);
  case SCALAR_SINH: return vmath_emit(m, b, VMATH_sinh, a);
  case SCALAR_COSH: return vmath_emit(m, b, VMATH_cosh, a);
  case SCALAR_TANH: return vmath_emit(m, b, VMATH_tanh, a);
  case SCALAR_ASINH: return vmath_emit(m, b, VMATH_asinh, a);
  case SCALAR_ACOSH: return vmath_emit(m, b, VMATH_acosh, a);
  case SCALAR_ATANH: return vmath_emit(m, b, VMATH_atanh, a);
  case SCALAR_ISNAN: return LLVMBuildFCmp(b, LLVMRealUNO, a[0], a[0], "");
  case SCALAR_ISINF:
    return LLVMBuildFCmp(b, LLVMRealOEQ, vmath_fabs(m, b, a[0]),
                         float_const_like(a[0], __builtin_inf()), "");
  case SCALAR_EQ: return LLVMBuildFCmp(b, LLVMRealOEQ, a[0], a[1], "");
  case SCALAR_NE: return LLVMBuildFCmp(b, LLVMRealUNE, a[0], a[1], "");
  case SCALAR_LT: return LLVMBuildFCmp(b, LLVMRealOLT, a[0], a[1], "");
  case SCALAR_LE: return LLVMBuildFCmp(b, LLVMRealOLE, a[0], a[1], "");
  case SCALAR_GT: return LLVMBuildFCmp(b, LLVMRealOGT, a[0], a[1], "");
  case SCALAR_GE: return LLVMBuildFCmp(b, LLVMRealOGE, a[0], a[1], "");
  case SCALAR_SELECT: return LLVMBuildSelect(b, a[0], a[1], a[2], "");
  default: assert(!"not a float operation"); return a[0];
  }
}

/* `dtype` is that of the operands (of select: of its last two). */
LLVMValueRef emit_scalar_op(struct emit *e, enum scalar_op op, enum dtype dtype, LLVMValueRef *args,
                            uint32_t width) {
  if (dtype_is_float(dtype))
    return float_op(e, op, args);
  LLVMValueRef x = int_op(e, op, dtype, args, width);
  /* One element of less than a byte lives in eight bits: wrap after each step. */
  bool same = op != SCALAR_EQ && op != SCALAR_NE && op != SCALAR_LT && op != SCALAR_LE &&
              op != SCALAR_GT && op != SCALAR_GE;
  return same ? emit_round_to(e, dtype, x, width) : x;
}

static LLVMValueRef emit_inst(struct emit *e, const struct scalar_body *body, uint32_t i,
                              const LLVMValueRef *args, const LLVMValueRef *done, uint32_t width) {
  const struct scalar_inst *s = &body->insts[i];
  switch (s->op) {
  case SCALAR_ARG: return args[s->args[0]];
  case SCALAR_CONST: return emit_literal(e, s->dtype, s->imm.f64, s->imm.i64, width);
  case SCALAR_CAST:
    return emit_cast(e, done[s->args[0]], body->insts[s->args[0]].dtype, s->dtype, s->mode, width);
  default: {
    LLVMValueRef a[3] = {0};
    uint32_t arity = scalar_infos[s->op].arity;
    for (uint32_t j = 0; j < arity; j++)
      a[j] = done[s->args[j]];
    enum dtype of = body->insts[s->args[arity == 3 ? 1 : 0]].dtype;
    return emit_scalar_op(e, s->op, of, a, width);
  }
  }
}

LLVMValueRef emit_body(struct emit *e, const struct scalar_body *body, const LLVMValueRef *args,
                       uint32_t width) {
  LLVMValueRef *done = mem_alloc((body->len + 1) * sizeof *done);
  for (uint32_t i = 0; i < body->len; i++)
    done[i] = emit_inst(e, body, i, args, done, width);
  LLVMValueRef result = done[body->len - 1];
  mem_free(done);
  return result;
}
