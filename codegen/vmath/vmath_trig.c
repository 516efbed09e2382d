/* SPDX-License-Identifier: Apache-2.0 */
/* sin, cos, tan.
 *
 *     x = q pi/2 + r,  |r| <= pi/4;  the quadrant q mod 4 picks +-sin r or +-cos r
 *
 * Up to LIMIT the multiple of pi/2 is subtracted in parts whose products with q are exact (Cody and
 * Waite). If a lane is larger, all lanes take a second way: x times 2/pi modulo 4 in integers of
 * 192 bits, from as many bits of 2/pi as matter (Payne and Hanek). */
#include "codegen/vmath/functions.h"

#include <math.h>
#include <string.h>

#include "codegen/vmath/coefficients.h"

#define TWO_OVER_PI_D 0x1.45f306dc9c883p-1
#define PI_OVER_2 0x1.921fb54442d18p0
/* The largest argument of the first way: q stays below 2^30, or 2^28 in narrow lanes. */
#define LIMIT 0x1p30
#define LIMIT_NARROW 0x1p28

struct reduced {
  val r, low; /* r + low; low is NULL in narrow lanes */
  val quadrant;
};

/* pi/2 in parts of 23 bits and a rest. */
static const double pio2_23[4] = {0x1.921fb4p0, 0x1.4442dp-24, 0x1.846988p-48,
                                  0x1.8cc51701b839ap-72};
/* In parts of 25 bits and a rest. */
static const double pio2_25[3] = {0x1.921fb5p0, 0x1.110b46p-26, 0x1.1a62633145c07p-54};

static struct reduced reduce_narrow(struct lanes *l, val x) {
  struct reduced out = {0};
  val q = lanes_round_product(l, x, TWO_OVER_PI_D, &out.quadrant);
  out.r = x;
  for (int i = 0; i < 3; i++)
    out.r = lanes_fnma(l, q, lanes_const(l, pio2_25[i]), out.r);
  return out;
}

static struct reduced reduce_wide(struct lanes *l, val x) {
  struct reduced out = {0};
  val q = lanes_round_product(l, x, TWO_OVER_PI_D, &out.quadrant);
  val t = lanes_sub(l, x, lanes_mul(l, q, lanes_const(l, pio2_23[0])));
  struct pair second = lanes_two_sum(l, t, lanes_mul(l, q, lanes_const(l, -pio2_23[1])));
  struct pair third = lanes_two_sum(l, second.hi, lanes_mul(l, q, lanes_const(l, -pio2_23[2])));
  val low = lanes_fnma(l, q, lanes_const(l, pio2_23[3]), lanes_add(l, second.lo, third.lo));
  struct pair sum = lanes_two_sum(l, third.hi, low);
  out.r = sum.hi;
  out.low = sum.lo;
  return out;
}

/* ---- Payne and Hanek, one lane ---- */

static val table_of_two_over_pi(struct vmath *vmath) {
  LLVMContextRef c = target_context(vmath->target);
  val global = LLVMGetNamedGlobal(vmath->module, "vmath.two_over_pi");
  if (global)
    return global;
  val words[COUNT_OF(TWO_OVER_PI)];
  LLVMTypeRef i64 = LLVMInt64TypeInContext(c);
  for (unsigned i = 0; i < COUNT_OF(words); i++)
    words[i] = LLVMConstInt(i64, TWO_OVER_PI[i], false);
  val table = LLVMConstArray2(i64, words, COUNT_OF(words));
  global = LLVMAddGlobal(vmath->module, LLVMTypeOf(table), "vmath.two_over_pi");
  LLVMSetInitializer(global, table);
  LLVMSetGlobalConstant(global, true);
  LLVMSetLinkage(global, LLVMPrivateLinkage);
  return global;
}

/* 64 bits of 2/pi from bit `position` on, plus 64 * word. */
static val window(LLVMBuilderRef b, struct vmath *vmath, val position, unsigned word) {
  LLVMTypeRef i64 = LLVMTypeOf(position);
  val table = table_of_two_over_pi(vmath), pieces[3];
  val index = LLVMBuildLShr(b, position, LLVMConstInt(i64, 6, false), "");
  for (unsigned i = 0; i < 2; i++) {
    val at = LLVMBuildAdd(b, index, LLVMConstInt(i64, word + i, false), "");
    pieces[i] = LLVMBuildLoad2(b, i64, LLVMBuildInBoundsGEP2(b, i64, table, &at, 1, ""), "");
  }
  pieces[2] = LLVMBuildAnd(b, position, LLVMConstInt(i64, 63, false), "");
  unsigned id = LLVMLookupIntrinsicID("llvm.fshl", 9);
  return LLVMBuildCall2(b, LLVMIntrinsicGetType(LLVMGetTypeContext(i64), id, &i64, 1),
                        LLVMGetIntrinsicDeclaration(vmath->module, id, &i64, 1), pieces, 3, "");
}

/* With x = m 2^E and F the bits of 2/pi from weight 2^(2 - E) on, read as a fraction: x 2/pi = 4 m
 * F modulo 4. Of the product's 128 bits after the point two are the quadrant; the rest, as a signed
 * number, is r 2/pi. Returns r; *out_quadrant as i64. */
static val payne_hanek(struct vmath *vmath, LLVMBuilderRef b, val x, val *out_quadrant) {
  LLVMContextRef c = target_context(vmath->target);
  LLVMTypeRef i64 = LLVMInt64TypeInContext(c), i128 = LLVMInt128TypeInContext(c);
  LLVMTypeRef f64 = LLVMDoubleTypeInContext(c);
#define I64(n) LLVMConstInt(i64, (uint64_t)(n), false)
#define WIDE(n) LLVMConstInt(i128, (uint64_t)(n), false)
  val bits = LLVMBuildBitCast(b, x, i64, "");
  val exponent = LLVMBuildAnd(b, LLVMBuildLShr(b, bits, I64(52), ""), I64(0x7FF), "");
  /* Lanes that need no help come here too, beside one that does: keep inside of the table. */
  val is_small = LLVMBuildICmp(b, LLVMIntULT, exponent, I64(1023), "");
  exponent = LLVMBuildSelect(b, is_small, I64(1023), exponent, "");
  val m = LLVMBuildAnd(b, bits, I64((UINT64_C(1) << 52) - 1), "");
  m = LLVMBuildZExt(b, LLVMBuildOr(b, m, I64(UINT64_C(1) << 52), ""), i128, "");
  /* E = exponent - 1075; the table begins 64 bits early. */
  val position = LLVMBuildSub(b, exponent, I64(1075 + 2 - 64), "");
  val product[3];
  for (unsigned i = 0; i < 3; i++)
    product[i] = LLVMBuildMul(b, m, LLVMBuildZExt(b, window(b, vmath, position, i), i128, ""), "");
  val carry = LLVMBuildLShr(b, product[2], WIDE(64), "");
  val sum = LLVMBuildAdd(b, product[1], carry, "");
  sum = LLVMBuildAdd(b, sum, LLVMBuildShl(b, product[0], WIDE(64), ""), "");

  val high = LLVMBuildTrunc(b, LLVMBuildLShr(b, sum, WIDE(64), ""), i64, "");
  val round = LLVMBuildAnd(b, LLVMBuildLShr(b, high, I64(61), ""), I64(1), "");
  val quadrant = LLVMBuildAdd(b, LLVMBuildLShr(b, high, I64(62), ""), round, "");
  val fraction = LLVMBuildShl(b, sum, WIDE(2), "");
  val upper = LLVMBuildTrunc(b, LLVMBuildLShr(b, fraction, WIDE(64), ""), i64, "");
  val lower = LLVMBuildTrunc(b, fraction, i64, "");
  lower = LLVMBuildFMul(b, LLVMBuildUIToFP(b, lower, f64, ""), LLVMConstReal(f64, 0x1p-64), "");
  /* The upper word's last bits may not fit a double: they go with the lower word. */
  val rest = LLVMBuildAnd(b, upper, I64(2047), "");
  lower = LLVMBuildFAdd(b, lower, LLVMBuildSIToFP(b, rest, f64, ""), "");
  upper = LLVMBuildSIToFP(b, LLVMBuildSub(b, upper, rest, ""), f64, "");
  val r = LLVMBuildFMul(b, LLVMBuildFAdd(b, upper, lower, ""),
                        LLVMConstReal(f64, PI_OVER_2 * 0x1p-64), "");
  val negative = LLVMBuildICmp(b, LLVMIntSLT, bits, I64(0), "");
  *out_quadrant = LLVMBuildSelect(b, negative, LLVMBuildNeg(b, quadrant, ""), quadrant, "");
  return LLVMBuildSelect(b, negative, LLVMBuildFNeg(b, r, ""), r, "");
#undef I64
#undef WIDE
}

/* { double r, i64 quadrant } vmath.payne_hanek(double x), for |x| >= 2^20 or so. Infinities and NaN
 * give something. */
static val payne_hanek_helper(struct vmath *vmath, LLVMTypeRef *out_type) {
  LLVMContextRef c = target_context(vmath->target);
  LLVMTypeRef f64 = LLVMDoubleTypeInContext(c);
  LLVMTypeRef fields[] = {f64, LLVMInt64TypeInContext(c)};
  LLVMTypeRef result = LLVMStructTypeInContext(c, fields, 2, false);
  *out_type = LLVMFunctionType(result, &f64, 1, false);
  bool is_new;
  val function = vmath_helper(vmath, "vmath.payne_hanek", *out_type, &is_new);
  if (!is_new)
    return function;
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(c, function, ""));
  val quadrant;
  val r = payne_hanek(vmath, b, LLVMGetParam(function, 0), &quadrant);
  val both = LLVMBuildInsertValue(b, LLVMGetPoison(result), r, 0, "");
  LLVMBuildRet(b, LLVMBuildInsertValue(b, both, quadrant, 1, ""));
  LLVMDisposeBuilder(b);
  return function;
}

/* ---- All lanes ---- */

static struct reduced reduce_huge(struct lanes *l, val x, val is_huge, struct reduced near) {
  LLVMTypeRef type;
  val function = payne_hanek_helper(l->vmath, &type);
  val r = lanes_const(l, 0.0), quadrant = lanes_iconst(l, 0);
  for (unsigned i = 0; i < (l->count ? l->count : 1); i++) {
    val lane = lanes_get(l, x, i);
    val both = LLVMBuildCall2(l->b, type, function, &lane, 1, "");
    r = lanes_set(l, r, LLVMBuildExtractValue(l->b, both, 0, ""), i);
    quadrant = lanes_set(l, quadrant, LLVMBuildExtractValue(l->b, both, 1, ""), i);
  }
  near.r = lanes_select(l, is_huge, r, near.r);
  near.quadrant = lanes_select(l, is_huge, quadrant, near.quadrant);
  if (near.low)
    near.low = lanes_select(l, is_huge, lanes_const(l, 0.0), near.low);
  return near;
}

static val any(struct lanes *l, val mask) {
  if (!l->count)
    return mask;
  val bits = LLVMBuildBitCast(l->b, mask, LLVMIntTypeInContext(l->context, l->count), "");
  return LLVMBuildIsNotNull(l->b, bits, "");
}

static val join(struct lanes *l, val a, LLVMBasicBlockRef from_a, val b, LLVMBasicBlockRef from_b) {
  val phi = LLVMBuildPhi(l->b, LLVMTypeOf(a), "");
  LLVMAddIncoming(phi, (val[]){a, b}, (LLVMBasicBlockRef[]){from_a, from_b}, 2);
  return phi;
}

/* Changes the builder's block: these functions are helpers always. */
static struct reduced reduce(struct lanes *l, val x) {
  struct reduced near = l->narrow ? reduce_narrow(l, x) : reduce_wide(l, x);
  val limit = lanes_const(l, l->narrow ? LIMIT_NARROW : LIMIT);
  val is_huge = lanes_lt(l, limit, lanes_abs(l, x));
  LLVMBasicBlockRef entry = LLVMGetInsertBlock(l->b);
  val function = LLVMGetBasicBlockParent(entry);
  LLVMBasicBlockRef huge = LLVMAppendBasicBlockInContext(l->context, function, "huge");
  LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(l->context, function, "");
  LLVMBuildCondBr(l->b, any(l, is_huge), huge, done);
  LLVMPositionBuilderAtEnd(l->b, huge);
  struct reduced far = reduce_huge(l, x, is_huge, near);
  LLVMBuildBr(l->b, done);
  LLVMPositionBuilderAtEnd(l->b, done);
  struct reduced out = {.r = join(l, near.r, entry, far.r, huge),
                        .quadrant = join(l, near.quadrant, entry, far.quadrant, huge)};
  if (near.low)
    out.low = join(l, near.low, entry, far.low, huge);
  /* Infinity and NaN: x - x. */
  val finite = lanes_lt(l, lanes_abs(l, x), lanes_const(l, (double)INFINITY));
  out.r = lanes_select(l, finite, out.r, lanes_const(l, (double)NAN));
  return out;
}

static val sin_poly(struct lanes *l, const struct reduced *a) {
  val z = lanes_mul(l, a->r, a->r);
  val cubic = lanes_mul(l, lanes_mul(l, a->r, z), LANES_POLY_DN(l, z, POLY_SIN));
  if (a->low) /* sin(r + low) = sin r + low cos r */
    cubic =
        lanes_add(l, cubic, lanes_fnma(l, lanes_mul(l, z, lanes_const(l, 0.5)), a->low, a->low));
  return lanes_add(l, a->r, cubic);
}

static val cos_poly(struct lanes *l, const struct reduced *a) {
  val z = lanes_mul(l, a->r, a->r), one = lanes_const(l, 1.0);
  val half = lanes_mul(l, z, lanes_const(l, 0.5));
  val rest = lanes_mul(l, lanes_mul(l, z, z), LANES_POLY_DN(l, z, POLY_COS));
  if (a->low) /* cos(r + low) = cos r - low sin r */
    rest = lanes_fnma(l, a->r, a->low, rest);
  /* 1 - half loses bits that come back here. */
  val w = lanes_sub(l, one, half);
  val lost = lanes_sub(l, lanes_sub(l, one, w), half);
  return lanes_add(l, w, lanes_add(l, lost, rest));
}

static val is_odd(struct lanes *l, val quadrant) {
  return lanes_ieq(l, lanes_and(l, quadrant, lanes_iconst(l, 1)), lanes_iconst(l, 1));
}

/* The sign bit of x, moved from bit 1 of the quadrant. */
static val flip_by_bit1(struct lanes *l, val x, val quadrant) {
  val bit = lanes_and(l, quadrant, lanes_iconst(l, 2));
  return lanes_from_bits(l, lanes_xor(l, lanes_to_bits(l, x), lanes_shl(l, bit, 62)));
}

/* sin(x + quarter turns). */
static val sin_turned(struct lanes *l, val x, unsigned quarters) {
  struct reduced a = reduce(l, x);
  val quadrant = quarters ? lanes_iadd(l, a.quadrant, lanes_iconst(l, quarters)) : a.quadrant;
  val value = lanes_select(l, is_odd(l, quadrant), cos_poly(l, &a), sin_poly(l, &a));
  return flip_by_bit1(l, value, quadrant);
}

static val keep_zero(struct lanes *l, val x, val result) {
  return lanes_select(l, lanes_eq(l, x, lanes_const(l, 0.0)), x, result);
}

val vmath_sin(struct lanes *l, val x) { return keep_zero(l, x, sin_turned(l, x, 0)); }
val vmath_cos(struct lanes *l, val x) { return sin_turned(l, x, 1); }

val vmath_tan(struct lanes *l, val x) {
  struct reduced a = reduce(l, x);
  val s = sin_poly(l, &a), c = cos_poly(l, &a), odd = is_odd(l, a.quadrant);
  val numerator = lanes_select(l, odd, lanes_neg(l, c), s);
  return keep_zero(l, x, lanes_div(l, numerator, lanes_select(l, odd, s, c)));
}
