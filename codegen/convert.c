/* SPDX-License-Identifier: Apache-2.0 */
/* The conversions as integer arithmetic on the bits of a float; where the processor has an
 * instruction (f16), through that. */
#include "codegen/convert.h"

#include <math.h>
#include <string.h>

#include "codegen/vmath/lanes.h"

#define QUIET_NAN_F32 0x7FC00000u

struct conversion {
  struct vmath vmath;
  struct lanes l; /* the float side */
  const struct softfloat_format *format;
};

static void start(struct conversion *c, struct target *target, LLVMBuilderRef b,
                  enum softfloat_kind kind, LLVMTypeRef like) {
  val function = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b));
  vmath_init(&c->vmath, target, LLVMGetGlobalParent(function));
  lanes_init(&c->l, &c->vmath, b, like);
  c->format = softfloat_format(kind);
}

static LLVMTypeRef with_element(LLVMTypeRef like, LLVMTypeRef element) {
  return LLVMGetTypeKind(like) == LLVMVectorTypeKind
             ? LLVMVectorType(element, LLVMGetVectorSize(like))
             : element;
}

static val greater(struct lanes *l, val a, uint64_t b) {
  return LLVMBuildICmp(l->b, LLVMIntSGT, a, lanes_iconst(l, b), "");
}

static val equal(struct lanes *l, val a, uint64_t b) { return lanes_ieq(l, a, lanes_iconst(l, b)); }

static val choose(struct lanes *l, val condition, uint64_t a, val b) {
  return lanes_select(l, condition, lanes_iconst(l, a), b);
}

/* ---- Decoding: code -> f32 bits ---- */

static val decode_e8m0(struct lanes *l, val code) {
  val bits = choose(l, equal(l, code, 0), 0x00400000, lanes_shl(l, code, 23));
  return choose(l, equal(l, code, 0xFF), QUIET_NAN_F32, bits);
}

/* Subnormal codes go through the integer to float conversion, so that nothing is a denormal float.
 */
static val decode_magnitude(struct conversion *c, val magnitude) {
  struct lanes *l = &c->l;
  const struct softfloat_format *f = c->format;
  unsigned shift = 23u - f->man_bits;
  uint64_t rebias = (uint64_t)(127 - f->bias) << 23;
  val normal = lanes_iadd(l, lanes_shl(l, magnitude, shift), lanes_iconst(l, rebias));
  val as_float = LLVMBuildSIToFP(l->b, magnitude, l->type, "");
  double unit = ldexp(1.0, 1 - f->bias - f->man_bits);
  val subnormal = lanes_to_bits(l, lanes_mul(l, as_float, lanes_const(l, unit)));
  uint64_t least_normal = UINT64_C(1) << f->man_bits;
  val bits = lanes_select(l, greater(l, magnitude, least_normal - 1), normal, subnormal);
  if (f->specials == SOFTFLOAT_IEEE)
    bits = lanes_select(l, greater(l, magnitude, f->max_code),
                        lanes_or(l, normal, lanes_iconst(l, 0x7F800000)), bits);
  if (f->specials == SOFTFLOAT_FN)
    bits = choose(l, equal(l, magnitude, f->nan_code), QUIET_NAN_F32, bits);
  return bits;
}

static val decode_bits(struct conversion *c, val code) {
  struct lanes *l = &c->l;
  const struct softfloat_format *f = c->format;
  uint64_t sign = UINT64_C(1) << (f->bits - 1);
  val magnitude = lanes_and(l, code, lanes_iconst(l, sign - 1));
  val bits = decode_magnitude(c, magnitude);
  val sign_bit = lanes_shl(l, lanes_and(l, code, lanes_iconst(l, sign)), 32u - f->bits);
  bits = lanes_or(l, bits, sign_bit);
  if (f->specials == SOFTFLOAT_FNUZ)
    bits = choose(l, equal(l, code, f->nan_code), QUIET_NAN_F32, bits);
  return bits;
}

LLVMValueRef convert_decode(struct target *target, LLVMBuilderRef builder, enum softfloat_kind kind,
                            LLVMValueRef code) {
  struct conversion c;
  LLVMContextRef context = target_context(target);
  LLVMTypeRef type = with_element(LLVMTypeOf(code), LLVMFloatTypeInContext(context));
  start(&c, target, builder, kind, type);
  if (kind == SOFTFLOAT_F16 && target_isa(target)->f16c) {
    LLVMTypeRef half = with_element(type, LLVMHalfTypeInContext(context));
    return LLVMBuildFPExt(builder, LLVMBuildBitCast(builder, code, half, ""), type, "");
  }
  val wide = LLVMBuildZExt(builder, code, c.l.integers, "");
  val bits = kind == SOFTFLOAT_BF16     ? lanes_shl(&c.l, wide, 16)
             : kind == SOFTFLOAT_F8E8M0 ? decode_e8m0(&c.l, wide)
                                        : decode_bits(&c, wide);
  return lanes_from_bits(&c.l, bits);
}

/* ---- Encoding: f32 or f64 bits -> code ---- */

static uint64_t infinity_bits(const struct lanes *l) {
  return (uint64_t)(2 * lanes_bias(l) + 1) << lanes_significand_bits(l);
}

static val encode_e8m0(struct lanes *l, val magnitude, bool saturate, enum softfloat_round round) {
  val exponent = lanes_lshr(l, magnitude, 52);
  val code = lanes_isub(l, exponent, lanes_iconst(l, 1023 - 127));
  val below = LLVMBuildICmp(l->b, LLVMIntSLT, code, lanes_iconst(l, 0), "");
  if (round != SOFTFLOAT_ROUND_DOWN) {
    /* A carry of the fraction's top bit, or of any bit, is the rounding. */
    uint64_t carry = round == SOFTFLOAT_ROUND_NEAREST ? UINT64_C(1) << 51 : (UINT64_C(1) << 52) - 1;
    val rounded = lanes_lshr(l, lanes_iadd(l, magnitude, lanes_iconst(l, carry)), 52);
    code = lanes_isub(l, rounded, lanes_iconst(l, 1023 - 127));
  }
  code = choose(l, below, 0, code);
  code = choose(l, greater(l, code, 0xFE), saturate ? 0xFE : 0xFF, code);
  return choose(l, greater(l, magnitude, infinity_bits(l) - 1), 0xFF, code);
}

/* The magnitude code, growing past max_code with the value. Normal results: rebias, then round at
 * the cut by adding half a unit, less one bit unless the kept part is odd. Subnormal ones: adding a
 * power of two whose last place is the format's unit makes the processor round. */
static val encode_magnitude(struct conversion *c, val magnitude) {
  struct lanes *l = &c->l;
  const struct softfloat_format *f = c->format;
  unsigned width = lanes_significand_bits(l), cut = width - f->man_bits;
  int bias = (int)lanes_bias(l);
  val shifted = magnitude;
  if (bias != f->bias)
    shifted = lanes_isub(l, magnitude, lanes_iconst(l, (uint64_t)(bias - f->bias) << width));
  val odd = lanes_and(l, lanes_lshr(l, shifted, cut), lanes_iconst(l, 1));
  val half = lanes_iconst(l, (UINT64_C(1) << (cut - 1)) - 1);
  val code = lanes_lshr(l, lanes_iadd(l, lanes_iadd(l, shifted, half), odd), cut);
  if (bias == f->bias)
    return code;
  double power = ldexp(1.0, 1 - f->bias - f->man_bits + (int)width);
  val aligned = lanes_add(l, lanes_from_bits(l, magnitude), lanes_const(l, power));
  val base = lanes_to_bits(l, lanes_const(l, power));
  val subnormal = lanes_isub(l, lanes_to_bits(l, aligned), base);
  uint64_t least_normal = (uint64_t)(bias + 1 - f->bias) << width;
  return lanes_select(l, greater(l, magnitude, least_normal - 1), code, subnormal);
}

static val encode_bits(struct conversion *c, val bits, bool saturate) {
  struct lanes *l = &c->l;
  const struct softfloat_format *f = c->format;
  unsigned top = l->f64 ? 63 : 31;
  val magnitude = lanes_and(l, bits, lanes_iconst(l, (UINT64_C(1) << top) - 1));
  val sign = lanes_shl(l, lanes_lshr(l, bits, top), f->bits - 1u);
  val code = encode_magnitude(c, magnitude);
  uint64_t over = saturate || f->specials == SOFTFLOAT_FINITE ? f->max_code
                  : f->specials == SOFTFLOAT_IEEE             ? f->max_code + 1u
                                                              : f->nan_code;
  code = choose(l, greater(l, code, f->max_code), over, code);
  val is_nan = greater(l, magnitude, infinity_bits(l));
  code = choose(l, is_nan, f->nan_code, code);
  if (f->specials == SOFTFLOAT_FINITE)
    sign = choose(l, is_nan, 0, sign);
  if (f->specials == SOFTFLOAT_FNUZ)
    sign = choose(l, equal(l, code, 0), 0, sign);
  return lanes_or(l, code, sign);
}

LLVMValueRef convert_encode(struct target *target, LLVMBuilderRef builder, enum softfloat_kind kind,
                            LLVMValueRef value, bool saturate, enum softfloat_round round) {
  struct conversion c;
  LLVMContextRef context = target_context(target);
  LLVMTypeRef type = LLVMTypeOf(value);
  start(&c, target, builder, kind, type);
  LLVMTypeRef codes =
      with_element(type, LLVMIntTypeInContext(context, c.format->bits == 16 ? 16 : 8));
  if (kind == SOFTFLOAT_F16 && target_isa(target)->f16c && !c.l.f64 && !saturate) {
    LLVMTypeRef half = with_element(type, LLVMHalfTypeInContext(context));
    return LLVMBuildBitCast(builder, LLVMBuildFPTrunc(builder, value, half, ""), codes, "");
  }
  if (kind == SOFTFLOAT_F8E8M0) {
    /* As double every float is normal, which 2^-127 is not. */
    struct lanes wide = c.l;
    if (!c.l.f64) {
      lanes_init_narrow(&wide, &c.l);
      value = convert_widen(builder, value, wide.type);
    }
    val magnitude = lanes_to_bits(&wide, lanes_abs(&wide, value));
    return LLVMBuildTrunc(builder, encode_e8m0(&wide, magnitude, saturate, round), codes, "");
  }
  return LLVMBuildTrunc(builder, encode_bits(&c, lanes_to_bits(&c.l, value), saturate), codes, "");
}

/* ---- Integers ---- */

LLVMValueRef convert_float_to_int(LLVMBuilderRef builder, LLVMValueRef value, unsigned bits,
                                  bool is_signed) {
  const char *name = is_signed ? "llvm.fptosi.sat" : "llvm.fptoui.sat";
  LLVMTypeRef type = LLVMTypeOf(value);
  LLVMContextRef context = LLVMGetTypeContext(type);
  LLVMTypeRef types[] = {with_element(type, LLVMIntTypeInContext(context, bits)), type};
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  val function = LLVMGetBasicBlockParent(LLVMGetInsertBlock(builder));
  LLVMModuleRef module = LLVMGetGlobalParent(function);
  return LLVMBuildCall2(builder, LLVMIntrinsicGetType(context, id, types, 2),
                        LLVMGetIntrinsicDeclaration(module, id, types, 2), &value, 1, "");
}

LLVMValueRef convert_int_to_float(LLVMBuilderRef builder, LLVMValueRef value, bool is_signed,
                                  LLVMTypeRef element) {
  LLVMTypeRef type = with_element(LLVMTypeOf(value), element);
  return is_signed ? LLVMBuildSIToFP(builder, value, type, "")
                   : LLVMBuildUIToFP(builder, value, type, "");
}

static LLVMTypeRef element_of(LLVMTypeRef type) {
  return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

LLVMValueRef convert_widen(LLVMBuilderRef builder, LLVMValueRef value, LLVMTypeRef type) {
  LLVMModuleRef module = LLVMGetGlobalParent(LLVMGetBasicBlockParent(LLVMGetInsertBlock(builder)));
  if (LLVMGetTypeKind(type) != LLVMVectorTypeKind || strncmp(LLVMGetTarget(module), "nvptx", 5))
    return LLVMBuildFPExt(builder, value, type, "");
  LLVMTypeRef i32 = LLVMInt32TypeInContext(LLVMGetTypeContext(type));
  val wide = LLVMGetPoison(type);
  for (unsigned i = 0; i < LLVMGetVectorSize(type); i++) {
    val lane = LLVMBuildExtractElement(builder, value, LLVMConstInt(i32, i, false), "");
    lane = LLVMBuildFPExt(builder, lane, LLVMGetElementType(type), "");
    wide = LLVMBuildInsertElement(builder, wide, lane, LLVMConstInt(i32, i, false), "");
  }
  return wide;
}

LLVMValueRef convert_float_to_float(LLVMBuilderRef builder, LLVMValueRef value,
                                    LLVMTypeRef element) {
  LLVMTypeRef from = LLVMTypeOf(value);
  if (LLVMGetTypeKind(element_of(from)) == LLVMGetTypeKind(element))
    return value;
  LLVMTypeRef to = with_element(from, element);
  bool wider = LLVMGetTypeKind(element) == LLVMDoubleTypeKind;
  return wider ? convert_widen(builder, value, to) : LLVMBuildFPCast(builder, value, to, "");
}
