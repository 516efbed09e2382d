/* SPDX-License-Identifier: Apache-2.0 */
/* Math functions as LLVM IR, for scalars and vectors of float and double, with no call out of the
 * module.
 *
 * Semantics: C's (Annex F) for every special case: NaN, infinities, signed zeros, denormals; pow
 * and fmod exactly as pow(3) and fmod(3). sigmoid(x) = 1/(1 + exp(-x)) without overflow, down to
 * its denormal tail. Errors per function: vmath.def. sin, cos and tan reduce any argument, however
 * large.
 *
 * The functions assume the default floating-point environment (round to nearest, denormals on) and
 * raise flags as they please. A fused multiply-add is used where the target has one and the sum is
 * rounded twice elsewhere: the stated errors hold for both, equal bits across targets do not. There
 * are no fast-math flags.
 *
 * Small functions are emitted in place. Big ones, and those with a slow path, become one internal
 * function per (function, type) and module, made at its first use and called after that. Both ways
 * the caller sees one value. */
#ifndef SINTER_CODEGEN_VMATH_VMATH_H
#define SINTER_CODEGEN_VMATH_VMATH_H

#include <llvm-c/Core.h>

#include "codegen/target.h"

enum vmath_fn {
#define VMATH(name, arity, ulp32, ulp64) VMATH_##name,
#include "codegen/vmath/vmath.def"
#undef VMATH
  VMATH_COUNT
};

/* One per module, on the stack of whoever builds it. Nothing to deinit. */
struct vmath {
  struct target *target;
  LLVMModuleRef module;
};

void vmath_init(struct vmath *vmath, struct target *target, LLVMModuleRef module);

/* "exp"; and how many arguments it takes. */
const char *vmath_name(enum vmath_fn fn);
unsigned vmath_arity(enum vmath_fn fn);

/* The function applied to `args` (vmath_arity of them, all of one type: float, double or a fixed
 * vector of either). Emits at the builder's position; the block that the builder is in does not
 * change. pow by a constant 1, 2, 3, 0.5 or -1 becomes a few instructions. */
LLVMValueRef vmath_emit(struct vmath *vmath, LLVMBuilderRef builder, enum vmath_fn fn,
                        LLVMValueRef *args);

/* The operations that are one instruction on every target we have: no helper, no table. `x` as
 * above. rint is to nearest even. */
LLVMValueRef vmath_sqrt(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x);
LLVMValueRef vmath_floor(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x);
LLVMValueRef vmath_ceil(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x);
LLVMValueRef vmath_trunc(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x);
LLVMValueRef vmath_rint(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x);
LLVMValueRef vmath_fabs(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x);
LLVMValueRef vmath_copysign(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef magnitude,
                            LLVMValueRef sign);

/* a * b + c: fused (one rounding) where the target has FMA, otherwise a product and a sum. */
LLVMValueRef vmath_mul_add(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef a,
                           LLVMValueRef b, LLVMValueRef c);

#endif
