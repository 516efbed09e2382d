/* SPDX-License-Identifier: Apache-2.0 */
/* Thin wrappers of LLVM's builder; the only lore is in rounding by a magic constant and in pairs.
 */
#include "codegen/vmath/lanes.h"

#include <string.h>

static LLVMTypeRef widen(const struct lanes *l, LLVMTypeRef element) {
  return l->count ? LLVMVectorType(element, l->count) : element;
}

static void set_types(struct lanes *l) {
  LLVMContextRef c = l->context;
  l->element = l->f64 ? LLVMDoubleTypeInContext(c) : LLVMFloatTypeInContext(c);
  l->integer = l->f64 ? LLVMInt64TypeInContext(c) : LLVMInt32TypeInContext(c);
  l->type = widen(l, l->element);
  l->integers = widen(l, l->integer);
  l->bits = widen(l, LLVMInt1TypeInContext(c));
}

void lanes_init(struct lanes *l, struct vmath *vmath, LLVMBuilderRef b, LLVMTypeRef like) {
  bool vector = LLVMGetTypeKind(like) == LLVMVectorTypeKind;
  LLVMTypeRef element = vector ? LLVMGetElementType(like) : like;
  *l = (struct lanes){.vmath = vmath,
                      .context = target_context(vmath->target),
                      .b = b,
                      .count = vector ? LLVMGetVectorSize(like) : 0,
                      .f64 = LLVMGetTypeKind(element) == LLVMDoubleTypeKind,
                      .fma = target_isa(vmath->target)->fma};
  set_types(l);
}

void lanes_init_narrow(struct lanes *l, const struct lanes *from) {
  *l = *from;
  l->f64 = l->narrow = true;
  set_types(l);
}

val lanes_splat(struct lanes *l, val element) {
  if (!l->count)
    return element;
  val all[64];
  unsigned n = l->count < COUNT_OF(all) ? l->count : COUNT_OF(all);
  if (LLVMIsConstant(element) && l->count <= COUNT_OF(all)) {
    for (unsigned i = 0; i < n; i++)
      all[i] = element;
    return LLVMConstVector(all, n);
  }
  LLVMTypeRef i32 = LLVMInt32TypeInContext(l->context);
  val first =
      LLVMBuildInsertElement(l->b, LLVMGetPoison(LLVMVectorType(LLVMTypeOf(element), l->count)),
                             element, LLVMConstInt(i32, 0, false), "");
  return LLVMBuildShuffleVector(l->b, first, first, LLVMConstNull(LLVMVectorType(i32, l->count)),
                                "");
}

val lanes_const(struct lanes *l, double x) { return lanes_splat(l, LLVMConstReal(l->element, x)); }
val lanes_iconst(struct lanes *l, uint64_t x) {
  return lanes_splat(l, LLVMConstInt(l->integer, x, false));
}

val lanes_add(struct lanes *l, val a, val b) { return LLVMBuildFAdd(l->b, a, b, ""); }
val lanes_sub(struct lanes *l, val a, val b) { return LLVMBuildFSub(l->b, a, b, ""); }
val lanes_mul(struct lanes *l, val a, val b) { return LLVMBuildFMul(l->b, a, b, ""); }
val lanes_div(struct lanes *l, val a, val b) { return LLVMBuildFDiv(l->b, a, b, ""); }
val lanes_neg(struct lanes *l, val a) { return LLVMBuildFNeg(l->b, a, ""); }

val lanes_intrinsic(struct lanes *l, const char *name, val *args, unsigned n) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  LLVMTypeRef type = LLVMIntrinsicGetType(l->context, id, &l->type, 1);
  val function = LLVMGetIntrinsicDeclaration(l->vmath->module, id, &l->type, 1);
  return LLVMBuildCall2(l->b, type, function, args, n, "");
}

val lanes_abs(struct lanes *l, val a) { return lanes_intrinsic(l, "llvm.fabs", &a, 1); }
val lanes_sqrt(struct lanes *l, val a) { return lanes_intrinsic(l, "llvm.sqrt", &a, 1); }
val lanes_trunc(struct lanes *l, val a) { return lanes_intrinsic(l, "llvm.trunc", &a, 1); }
val lanes_copysign(struct lanes *l, val magnitude, val sign) {
  return lanes_intrinsic(l, "llvm.copysign", (val[]){magnitude, sign}, 2);
}

val lanes_fma(struct lanes *l, val a, val b, val c) {
  if (l->fma)
    return lanes_intrinsic(l, "llvm.fma", (val[]){a, b, c}, 3);
  return lanes_add(l, lanes_mul(l, a, b), c);
}

val lanes_fnma(struct lanes *l, val a, val b, val c) {
  if (l->fma)
    return lanes_fma(l, lanes_neg(l, a), b, c);
  return lanes_sub(l, c, lanes_mul(l, a, b));
}

val lanes_poly(struct lanes *l, val x, const double *coefficients, unsigned n) {
  val sum = lanes_const(l, coefficients[0]);
  for (unsigned i = 1; i < n; i++)
    sum = lanes_fma(l, sum, x, lanes_const(l, coefficients[i]));
  return sum;
}

val lanes_poly_float(struct lanes *l, val x, const float *coefficients, unsigned n) {
  val sum = lanes_const(l, (double)coefficients[0]);
  for (unsigned i = 1; i < n; i++)
    sum = lanes_fma(l, sum, x, lanes_const(l, (double)coefficients[i]));
  return sum;
}

val lanes_to_bits(struct lanes *l, val a) { return LLVMBuildBitCast(l->b, a, l->integers, ""); }
val lanes_from_bits(struct lanes *l, val a) { return LLVMBuildBitCast(l->b, a, l->type, ""); }
val lanes_iadd(struct lanes *l, val a, val b) { return LLVMBuildAdd(l->b, a, b, ""); }
val lanes_isub(struct lanes *l, val a, val b) { return LLVMBuildSub(l->b, a, b, ""); }
val lanes_and(struct lanes *l, val a, val b) { return LLVMBuildAnd(l->b, a, b, ""); }
val lanes_or(struct lanes *l, val a, val b) { return LLVMBuildOr(l->b, a, b, ""); }
val lanes_xor(struct lanes *l, val a, val b) { return LLVMBuildXor(l->b, a, b, ""); }
val lanes_shl(struct lanes *l, val a, unsigned n) {
  return LLVMBuildShl(l->b, a, lanes_iconst(l, n), "");
}
val lanes_lshr(struct lanes *l, val a, unsigned n) {
  return LLVMBuildLShr(l->b, a, lanes_iconst(l, n), "");
}

val lanes_lt(struct lanes *l, val a, val b) { return LLVMBuildFCmp(l->b, LLVMRealOLT, a, b, ""); }
val lanes_le(struct lanes *l, val a, val b) { return LLVMBuildFCmp(l->b, LLVMRealOLE, a, b, ""); }
val lanes_eq(struct lanes *l, val a, val b) { return LLVMBuildFCmp(l->b, LLVMRealOEQ, a, b, ""); }
val lanes_is_nan(struct lanes *l, val a, val b) {
  return LLVMBuildFCmp(l->b, LLVMRealUNO, a, b, "");
}
val lanes_ieq(struct lanes *l, val a, val b) { return LLVMBuildICmp(l->b, LLVMIntEQ, a, b, ""); }
val lanes_both(struct lanes *l, val a, val b) { return LLVMBuildAnd(l->b, a, b, ""); }
val lanes_either(struct lanes *l, val a, val b) { return LLVMBuildOr(l->b, a, b, ""); }
val lanes_not(struct lanes *l, val a) { return LLVMBuildNot(l->b, a, ""); }
val lanes_select(struct lanes *l, val condition, val a, val b) {
  return LLVMBuildSelect(l->b, condition, a, b, "");
}
val lanes_at_most(struct lanes *l, val x, val bound) {
  return lanes_select(l, lanes_lt(l, bound, x), bound, x);
}
val lanes_at_least(struct lanes *l, val x, val bound) {
  return lanes_select(l, lanes_lt(l, x, bound), bound, x);
}

/* Knuth. */
struct pair lanes_two_sum(struct lanes *l, val a, val b) {
  val hi = lanes_add(l, a, b);
  val b_part = lanes_sub(l, hi, a);
  val a_part = lanes_sub(l, hi, b_part);
  return (struct pair){hi, lanes_add(l, lanes_sub(l, a, a_part), lanes_sub(l, b, b_part))};
}

/* Dekker. */
struct pair lanes_fast_sum(struct lanes *l, val a, val b) {
  val hi = lanes_add(l, a, b);
  return (struct pair){hi, lanes_sub(l, b, lanes_sub(l, hi, a))};
}

/* The upper half of the significand, by Veltkamp's multiplication. */
static val upper_half(struct lanes *l, val a) {
  val scaled = lanes_mul(l, a, lanes_const(l, l->f64 ? 0x1p27 + 1 : 0x1p12 + 1));
  return lanes_sub(l, scaled, lanes_sub(l, scaled, a));
}

struct pair lanes_two_product(struct lanes *l, val a, val b) {
  val hi = lanes_mul(l, a, b);
  if (l->fma)
    return (struct pair){hi, lanes_fma(l, a, b, lanes_neg(l, hi))};
  val a1 = upper_half(l, a), b1 = upper_half(l, b);
  val a2 = lanes_sub(l, a, a1), b2 = lanes_sub(l, b, b1);
  val lo = lanes_sub(l, lanes_mul(l, a1, b1), hi);
  lo = lanes_add(l, lo, lanes_mul(l, a1, b2));
  lo = lanes_add(l, lo, lanes_mul(l, a2, b1));
  return (struct pair){hi, lanes_add(l, lo, lanes_mul(l, a2, b2))};
}

unsigned lanes_significand_bits(const struct lanes *l) { return l->f64 ? 52 : 23; }
unsigned lanes_bias(const struct lanes *l) { return l->f64 ? 1023 : 127; }

val lanes_pow2(struct lanes *l, val n) {
  val biased = lanes_iadd(l, n, lanes_iconst(l, lanes_bias(l)));
  return lanes_from_bits(l, lanes_shl(l, biased, lanes_significand_bits(l)));
}

/* Adding 1.5 * 2^significand leaves no bits for a fraction: the sum's low bits are the integer, in
 * two's complement. Unlike conversion instructions this exists for vectors of doubles. */
static val round_sum(struct lanes *l, val sum, val magic, val *out_bits) {
  *out_bits = lanes_to_bits(l, sum);
  return lanes_sub(l, sum, magic);
}

static val magic(struct lanes *l) { return lanes_const(l, l->f64 ? 0x1.8p52 : 0x1.8p23); }

val lanes_round(struct lanes *l, val x, val *out_bits) {
  return round_sum(l, lanes_add(l, x, magic(l)), magic(l), out_bits);
}

val lanes_round_product(struct lanes *l, val x, double factor, val *out_bits) {
  return round_sum(l, lanes_fma(l, x, lanes_const(l, factor), magic(l)), magic(l), out_bits);
}

val lanes_get(struct lanes *l, val a, unsigned i) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(l->context);
  return l->count ? LLVMBuildExtractElement(l->b, a, LLVMConstInt(i32, i, false), "") : a;
}

val lanes_set(struct lanes *l, val a, val element, unsigned i) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(l->context);
  return l->count ? LLVMBuildInsertElement(l->b, a, element, LLVMConstInt(i32, i, false), "")
                  : element;
}
