/* SPDX-License-Identifier: Apache-2.0 */
/* Which function goes where: in place or as a helper, in its own precision or in f64. */
#include "codegen/vmath/vmath.h"

#include <stdio.h>

#include "codegen/convert.h"
#include "codegen/vmath/functions.h"

/* How lanes of f32 are computed. */
enum f32_way {
  OWN,    /* in f32 */
  WIDENED /* in f64 with short polynomials, then rounded: accurate, and fast enough for what is rare
             in models */
};

struct row {
  const char *name;
  unsigned arity;
  enum f32_way f32;
  bool in_place_f32, in_place_f64;
  val (*unary)(struct lanes *, val);
  val (*binary)(struct lanes *, val, val);
};

/* In place: what is short, has no slow path, and sits in the inner loops of softmax, GELU and their
 * like. */
static const struct row rows[VMATH_COUNT] = {
    [VMATH_acos] = {"acos", 1, WIDENED, false, false, vmath_acos, NULL},
    [VMATH_acosh] = {"acosh", 1, WIDENED, false, false, vmath_acosh, NULL},
    [VMATH_asin] = {"asin", 1, WIDENED, false, false, vmath_asin, NULL},
    [VMATH_asinh] = {"asinh", 1, WIDENED, false, false, vmath_asinh, NULL},
    [VMATH_atan] = {"atan", 1, WIDENED, false, false, vmath_atan, NULL},
    [VMATH_atanh] = {"atanh", 1, WIDENED, false, false, vmath_atanh, NULL},
    [VMATH_cos] = {"cos", 1, WIDENED, false, false, vmath_cos, NULL},
    [VMATH_cosh] = {"cosh", 1, WIDENED, false, false, vmath_cosh, NULL},
    [VMATH_erf] = {"erf", 1, OWN, true, false, vmath_erf, NULL},
    [VMATH_exp] = {"exp", 1, OWN, true, true, vmath_exp, NULL},
    [VMATH_exp2] = {"exp2", 1, OWN, true, true, vmath_exp2, NULL},
    [VMATH_expm1] = {"expm1", 1, WIDENED, false, false, vmath_expm1, NULL},
    [VMATH_fmod] = {"fmod", 2, OWN, true, true, NULL, vmath_fmod},
    [VMATH_log] = {"log", 1, OWN, true, true, vmath_log, NULL},
    [VMATH_log1p] = {"log1p", 1, OWN, true, false, vmath_log1p, NULL},
    [VMATH_log2] = {"log2", 1, WIDENED, false, true, vmath_log2, NULL},
    [VMATH_pow] = {"pow", 2, WIDENED, false, false, NULL, vmath_pow},
    [VMATH_sigmoid] = {"sigmoid", 1, OWN, true, true, vmath_sigmoid, NULL},
    [VMATH_sin] = {"sin", 1, WIDENED, false, false, vmath_sin, NULL},
    [VMATH_sinh] = {"sinh", 1, WIDENED, false, false, vmath_sinh, NULL},
    [VMATH_tan] = {"tan", 1, WIDENED, false, false, vmath_tan, NULL},
    [VMATH_tanh] = {"tanh", 1, OWN, true, false, vmath_tanh, NULL},
};

void vmath_init(struct vmath *vmath, struct target *target, LLVMModuleRef module) {
  *vmath = (struct vmath){.target = target, .module = module};
}

const char *vmath_name(enum vmath_fn fn) { return rows[fn].name; }
unsigned vmath_arity(enum vmath_fn fn) { return rows[fn].arity; }

val vmath_helper(struct vmath *vmath, const char *name, LLVMTypeRef type, bool *out_new) {
  val function = LLVMGetNamedFunction(vmath->module, name);
  *out_new = !function;
  if (!function)
    function = target_helper_create(vmath->target, vmath->module, name, type);
  return function;
}

static val compute(const struct row *row, struct lanes *l, val *args) {
  if (l->f64 || row->f32 == OWN)
    return row->unary ? row->unary(l, args[0]) : row->binary(l, args[0], args[1]);
  struct lanes wide;
  lanes_init_narrow(&wide, l);
  val widened[2];
  for (unsigned i = 0; i < row->arity; i++)
    widened[i] = convert_widen(l->b, args[i], wide.type);
  val result =
      row->unary ? row->unary(&wide, widened[0]) : row->binary(&wide, widened[0], widened[1]);
  return LLVMBuildFPTrunc(l->b, result, l->type, "");
}

/* "vmath.sin.f32x8" */
static void helper_name(char *out, size_t size, const struct row *row, const struct lanes *l) {
  const char *element = l->f64 ? "f64" : "f32";
  if (l->count)
    snprintf(out, size, "vmath.%s.%sx%u", row->name, element, l->count);
  else
    snprintf(out, size, "vmath.%s.%s", row->name, element);
}

static void build_helper(struct vmath *vmath, const struct row *row, val function,
                         LLVMTypeRef type) {
  LLVMContextRef context = target_context(vmath->target);
  LLVMBuilderRef b = LLVMCreateBuilderInContext(context);
  LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(context, function, ""));
  struct lanes l;
  lanes_init(&l, vmath, b, type);
  val args[2];
  LLVMGetParams(function, args);
  LLVMBuildRet(b, compute(row, &l, args));
  LLVMDisposeBuilder(b);
}

LLVMValueRef vmath_emit(struct vmath *vmath, LLVMBuilderRef builder, enum vmath_fn fn,
                        LLVMValueRef *args) {
  const struct row *row = &rows[fn];
  struct lanes l;
  lanes_init(&l, vmath, builder, LLVMTypeOf(args[0]));
  val simple = fn == VMATH_pow ? vmath_pow_constant(&l, args[0], args[1]) : NULL;
  if (simple)
    return simple;
  if (l.f64 ? row->in_place_f64 : row->in_place_f32)
    return compute(row, &l, args);
  LLVMTypeRef type = LLVMFunctionType(l.type, (LLVMTypeRef[]){l.type, l.type}, row->arity, false);
  char name[64];
  helper_name(name, sizeof name, row, &l);
  bool is_new;
  val function = vmath_helper(vmath, name, type, &is_new);
  if (is_new)
    build_helper(vmath, row, function, l.type);
  return LLVMBuildCall2(builder, type, function, args, row->arity, "");
}

static val unary_intrinsic(struct vmath *vmath, LLVMBuilderRef b, const char *name, val x) {
  struct lanes l;
  lanes_init(&l, vmath, b, LLVMTypeOf(x));
  return lanes_intrinsic(&l, name, &x, 1);
}

LLVMValueRef vmath_sqrt(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x) {
  return unary_intrinsic(vmath, builder, "llvm.sqrt", x);
}
LLVMValueRef vmath_floor(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x) {
  return unary_intrinsic(vmath, builder, "llvm.floor", x);
}
LLVMValueRef vmath_ceil(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x) {
  return unary_intrinsic(vmath, builder, "llvm.ceil", x);
}
LLVMValueRef vmath_trunc(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x) {
  return unary_intrinsic(vmath, builder, "llvm.trunc", x);
}
LLVMValueRef vmath_rint(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x) {
  return unary_intrinsic(vmath, builder, "llvm.rint", x);
}
LLVMValueRef vmath_fabs(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef x) {
  return unary_intrinsic(vmath, builder, "llvm.fabs", x);
}
LLVMValueRef vmath_copysign(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef magnitude,
                            LLVMValueRef sign) {
  struct lanes l;
  lanes_init(&l, vmath, builder, LLVMTypeOf(magnitude));
  return lanes_copysign(&l, magnitude, sign);
}
LLVMValueRef vmath_mul_add(struct vmath *vmath, LLVMBuilderRef builder, LLVMValueRef a,
                           LLVMValueRef b, LLVMValueRef c) {
  struct lanes l;
  lanes_init(&l, vmath, builder, LLVMTypeOf(a));
  return lanes_fma(&l, a, b, c);
}
