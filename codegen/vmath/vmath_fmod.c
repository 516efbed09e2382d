/* SPDX-License-Identifier: Apache-2.0 */
/* fmod, exactly: long division of the significands, as many quotient bits at a time as fit a 64-bit
 * division.
 *
 *     x = mx 2^ex, y = my 2^ey, ex >= ey:  (mx 2^(ex - ey)) mod my,  by r <- (r 2^k) mod my
 *
 * One lane at a time: there is no vector division of integers. */
#include "codegen/vmath/functions.h"

#include <math.h>

struct division {
  LLVMContextRef c;
  LLVMBuilderRef b;
  LLVMTypeRef i64;
  val function;
  unsigned width; /* bits of the stored significand */
};

static val constant(struct division *d, uint64_t x) { return LLVMConstInt(d->i64, x, false); }

/* The exponent (1 for denormals) and the integer significand of a magnitude's bits. */
static void decompose(struct division *d, val bits, val *out_exponent, val *out_m) {
  val exponent = LLVMBuildLShr(d->b, bits, constant(d, d->width), "");
  val stored = LLVMBuildAnd(d->b, bits, constant(d, (UINT64_C(1) << d->width) - 1), "");
  val denormal = LLVMBuildICmp(d->b, LLVMIntEQ, exponent, constant(d, 0), "");
  val implied = LLVMBuildOr(d->b, stored, constant(d, UINT64_C(1) << d->width), "");
  *out_m = LLVMBuildSelect(d->b, denormal, stored, implied, "");
  *out_exponent = LLVMBuildSelect(d->b, denormal, constant(d, 1), exponent, "");
}

static LLVMBasicBlockRef block(struct division *d) {
  return LLVMAppendBasicBlockInContext(d->c, d->function, "");
}

/* (m 2^left) mod my, for m, my < 2^(width + 1). Leaves the builder in a new block. */
static val long_division(struct division *d, val m, val my, val left) {
  LLVMBasicBlockRef entry = LLVMGetInsertBlock(d->b), loop = block(d), done = block(d);
  val first = LLVMBuildURem(d->b, m, my, "");
  val at_once = constant(d, 63 - d->width);
  val none = LLVMBuildICmp(d->b, LLVMIntEQ, left, constant(d, 0), "");
  LLVMBuildCondBr(d->b, none, done, loop);

  LLVMPositionBuilderAtEnd(d->b, loop);
  val r = LLVMBuildPhi(d->b, d->i64, ""), todo = LLVMBuildPhi(d->b, d->i64, "");
  val few = LLVMBuildICmp(d->b, LLVMIntULT, todo, at_once, "");
  val step = LLVMBuildSelect(d->b, few, todo, at_once, "");
  val next = LLVMBuildURem(d->b, LLVMBuildShl(d->b, r, step, ""), my, "");
  val rest = LLVMBuildSub(d->b, todo, step, "");
  LLVMAddIncoming(r, (val[]){first, next}, (LLVMBasicBlockRef[]){entry, loop}, 2);
  LLVMAddIncoming(todo, (val[]){left, rest}, (LLVMBasicBlockRef[]){entry, loop}, 2);
  val more = LLVMBuildICmp(d->b, LLVMIntNE, rest, constant(d, 0), "");
  LLVMBuildCondBr(d->b, more, loop, done);

  LLVMPositionBuilderAtEnd(d->b, done);
  val result = LLVMBuildPhi(d->b, d->i64, "");
  LLVMAddIncoming(result, (val[]){first, next}, (LLVMBasicBlockRef[]){entry, loop}, 2);
  return result;
}

static val magnitude_bits(struct division *d, struct lanes *l, val x) {
  val bits = LLVMBuildZExt(d->b, lanes_to_bits(l, lanes_abs(l, x)), d->i64, "");
  return bits;
}

/* Finite x, y with |x| >= |y| > 0. */
static val remainder_of(struct division *d, struct lanes *l, val x, val y) {
  val ex, ey, mx, my;
  decompose(d, magnitude_bits(d, l, x), &ex, &mx);
  decompose(d, magnitude_bits(d, l, y), &ey, &my);
  val r = long_division(d, mx, my, LLVMBuildSub(d->b, ex, ey, ""));
  /* r 2^(ey - bias - width), which is exact, in two factors that are normal numbers. */
  val result = LLVMBuildSIToFP(d->b, r, l->type, "");
  result = lanes_mul(l, result, lanes_const(l, ldexp(1.0, -(int)d->width)));
  val scale =
      LLVMBuildTrunc(d->b, LLVMBuildShl(d->b, ey, constant(d, d->width), ""), l->integers, "");
  return lanes_mul(l, result, lanes_from_bits(l, scale));
}

static void build_body(struct lanes *l, val function) {
  struct division d = {.c = l->context,
                       .b = l->b,
                       .i64 = LLVMInt64TypeInContext(l->context),
                       .function = function,
                       .width = lanes_significand_bits(l)};
  val x = LLVMGetParam(function, 0), y = LLVMGetParam(function, 1);
  LLVMBasicBlockRef entry = block(&d), divide = block(&d), special = block(&d);
  LLVMPositionBuilderAtEnd(d.b, entry);
  val ax = lanes_abs(l, x), ay = lanes_abs(l, y), infinity = lanes_const(l, (double)INFINITY);
  val finite = lanes_both(l, lanes_lt(l, ax, infinity), lanes_le(l, ay, ax));
  LLVMBuildCondBr(d.b, lanes_both(l, finite, lanes_lt(l, lanes_const(l, 0.0), ay)), divide,
                  special);

  LLVMPositionBuilderAtEnd(d.b, divide);
  LLVMBuildRet(d.b, lanes_copysign(l, remainder_of(&d, l, x, y), x));

  /* x itself where |x| < |y|; else NaN: x infinite, y zero, or one of them NaN. */
  LLVMPositionBuilderAtEnd(d.b, special);
  val keeps = lanes_lt(l, ax, ay);
  LLVMBuildRet(d.b, lanes_select(l, keeps, x, lanes_const(l, (double)NAN)));
}

val vmath_fmod(struct lanes *l, val x, val y) {
  LLVMTypeRef type =
      LLVMFunctionType(l->element, (LLVMTypeRef[]){l->element, l->element}, 2, false);
  bool is_new;
  val function =
      vmath_helper(l->vmath, l->f64 ? "vmath.fmod.f64.lane" : "vmath.fmod.f32.lane", type, &is_new);
  if (is_new) {
    struct lanes one;
    LLVMBuilderRef b = LLVMCreateBuilderInContext(l->context);
    lanes_init(&one, l->vmath, b, l->element);
    build_body(&one, function);
    LLVMDisposeBuilder(b);
  }
  val result = x;
  for (unsigned i = 0; i < (l->count ? l->count : 1); i++) {
    val args[] = {lanes_get(l, x, i), lanes_get(l, y, i)};
    result = lanes_set(l, result, LLVMBuildCall2(l->b, type, function, args, 2, ""), i);
  }
  return result;
}
