/* SPDX-License-Identifier: Apache-2.0 */
/* `random` as LLVM IR: the generator of base/philox.h, lane by lane, keyed by the element's
 * row-major index, so that the numbers depend on neither the schedule nor the number of threads. */
#include "base/philox.h"
#include "codegen/convert.h"
#include "codegen/emit_view.h"

static LLVMValueRef u64_const(struct emit *e, uint64_t x, uint32_t width) {
  return emit_literal(e, DTYPE_U64, 0, (int64_t)x, width);
}

static LLVMValueRef low_word(struct emit *e, LLVMValueRef x, uint32_t width) {
  return LLVMBuildAnd(e->b, x, u64_const(e, UINT32_MAX, width), "");
}

static LLVMValueRef high_word(struct emit *e, LLVMValueRef x, uint32_t width) {
  return LLVMBuildLShr(e->b, x, u64_const(e, 32, width), "");
}

/* Words are kept in 64-bit lanes with the upper half zero. */
static void rounds(struct emit *e, LLVMValueRef w[4], LLVMValueRef seed, uint32_t width) {
  LLVMValueRef key[2] = {low_word(e, seed, width), high_word(e, seed, width)};
  LLVMValueRef m0 = u64_const(e, PHILOX_MULTIPLIER_0, width);
  LLVMValueRef m1 = u64_const(e, PHILOX_MULTIPLIER_1, width);
  for (int i = 0; i < PHILOX_ROUNDS; i++) {
    LLVMValueRef p0 = LLVMBuildMul(e->b, m0, w[0], ""), p1 = LLVMBuildMul(e->b, m1, w[2], "");
    LLVMValueRef x = LLVMBuildXor(e->b, high_word(e, p1, width), w[1], "");
    LLVMValueRef y = LLVMBuildXor(e->b, high_word(e, p0, width), w[3], "");
    w[0] = LLVMBuildXor(e->b, x, key[0], "");
    w[1] = low_word(e, p1, width);
    w[2] = LLVMBuildXor(e->b, y, key[1], "");
    w[3] = low_word(e, p0, width);
    key[0] = low_word(e, LLVMBuildAdd(e->b, key[0], u64_const(e, PHILOX_WEYL_0, width), ""), width);
    key[1] = low_word(e, LLVMBuildAdd(e->b, key[1], u64_const(e, PHILOX_WEYL_1, width), ""), width);
  }
}

static LLVMValueRef f64_const(struct emit *e, double x, uint32_t width) {
  return emit_literal(e, DTYPE_F64, x, 0, width);
}

static LLVMValueRef to_f64(struct emit *e, LLVMValueRef x) {
  return convert_int_to_float(e->b, x, false, e->f64);
}

/* [0, 1) with as many bits as the dtype holds. */
static LLVMValueRef uniform(struct emit *e, LLVMValueRef w[4], enum dtype dtype, uint32_t width) {
  unsigned bits = philox_uniform_bits(dtype);
  LLVMValueRef both = LLVMBuildShl(e->b, w[0], u64_const(e, 32, width), "");
  both = LLVMBuildOr(e->b, both, w[1], "");
  both = LLVMBuildLShr(e->b, both, u64_const(e, 64 - bits, width), "");
  return LLVMBuildFMul(e->b, to_f64(e, both), f64_const(e, __builtin_ldexp(1, -(int)bits), width),
                       "");
}

static LLVMValueRef normal(struct emit *e, LLVMValueRef w[4], uint32_t width) {
  LLVMValueRef scale = f64_const(e, 0x1p-32, width);
  LLVMValueRef u = LLVMBuildFAdd(e->b, to_f64(e, w[0]), f64_const(e, 0.5, width), "");
  u = LLVMBuildFMul(e->b, u, scale, "");
  LLVMValueRef angle = LLVMBuildFMul(e->b, to_f64(e, w[1]), scale, "");
  angle = LLVMBuildFMul(e->b, angle, f64_const(e, 6.283185307179586476925, width), "");
  LLVMValueRef log = vmath_emit(e->math, e->b, VMATH_log, &u);
  LLVMValueRef radius = LLVMBuildFMul(e->b, log, f64_const(e, -2, width), "");
  radius = vmath_sqrt(e->math, e->b, radius);
  return LLVMBuildFMul(e->b, radius, vmath_emit(e->math, e->b, VMATH_cos, &angle), "");
}

LLVMValueRef emit_random(struct emit *e, const struct op *op, const struct point *p) {
  const struct random_attrs *a = OP_ATTRS(random, op);
  const struct type *type = a->type;
  uint32_t width = p->width;
  LLVMValueRef index = u64_const(e, 0, width);
  for (uint32_t i = 0; i < type->rank; i++) {
    LLVMValueRef n = emit_splat(e, emit_dim(e, type->dims[i]), width);
    index =
        LLVMBuildAdd(e->b, LLVMBuildMul(e->b, index, n, ""), coord_vector(e, &p->c[i], width), "");
  }
  struct point none = {.rank = 0, .width = 1};
  LLVMValueRef seed = op->n_operands ? emit_value(e, op->operands[0], &none) : emit_i64(e, a->seed);
  LLVMValueRef zero = u64_const(e, 0, width);
  LLVMValueRef w[4] = {low_word(e, index, width), high_word(e, index, width), zero, zero};
  rounds(e, w, emit_splat(e, seed, width), width);
  LLVMValueRef x =
      a->kind == RANDOM_KIND_NORMAL ? normal(e, w, width) : uniform(e, w, type->dtype, width);
  return emit_cast(e, x, DTYPE_F64, type->dtype, CAST_DEFAULT, width);
}
