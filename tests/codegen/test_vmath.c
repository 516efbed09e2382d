/* SPDX-License-Identifier: Apache-2.0 */
/* The emitted math functions against libm: f32 over a stride through all bit patterns beside
 * double, f64 over random ones beside long double, on every target that runs here. The bounds are
 * those of vmath.def. */
#include "codegen/vmath/vmath.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/jit.h"

enum { F32_STRIDE = 16411, F64_SAMPLES = 60000, CHUNK = 4096, MAX_LANES = 16 };

static const double bounds[VMATH_COUNT][2] = {
#define VMATH(name, arity, ulp32, ulp64) [VMATH_##name] = {ulp32, ulp64},
#include "codegen/vmath/vmath.def"
#undef VMATH
};

/* ---- Kernels: out[i] = f(x[i], y[i]) over `count` vectors ---- */

static const unsigned lane_counts[] = {0, 4, 8, 16};
struct shape {
  enum vmath_fn fn;
  bool f64;
  unsigned lanes;
};

static struct shape shape_of(uint32_t index) {
  return (struct shape){.fn = index / 8, .f64 = index % 8 >= 4, .lanes = lane_counts[index % 4]};
}

static void kernel_name(char out[64], struct shape s) {
  snprintf(out, 64, "%s.%s.%u", vmath_name(s.fn), s.f64 ? "f64" : "f32", s.lanes);
}

static LLVMValueRef load(LLVMBuilderRef b, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef i) {
  LLVMValueRef v = LLVMBuildLoad2(b, type, LLVMBuildGEP2(b, type, base, &i, 1, ""), "");
  LLVMSetAlignment(v, 4);
  return v;
}

static status build(void *user, uint32_t index, struct target *target, LLVMModuleRef module,
                    struct diags *diags) {
  (void)user, (void)diags;
  struct shape s = shape_of(index);
  LLVMContextRef c = target_context(target);
  LLVMTypeRef element = s.f64 ? LLVMDoubleTypeInContext(c) : LLVMFloatTypeInContext(c);
  LLVMTypeRef type = s.lanes ? LLVMVectorType(element, s.lanes) : element;
  LLVMTypeRef i64 = LLVMInt64TypeInContext(c), pointer = LLVMPointerTypeInContext(c, 0);
  LLVMTypeRef parameters[] = {pointer, pointer, pointer, i64};
  char name[64];
  kernel_name(name, s);
  LLVMValueRef f = target_function_create(
      target, module, name, LLVMFunctionType(LLVMVoidTypeInContext(c), parameters, 4, false));
  LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(c, f, "entry");
  LLVMBasicBlockRef loop = LLVMAppendBasicBlockInContext(c, f, "loop");
  LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(c, f, "done");
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  LLVMPositionBuilderAtEnd(b, entry);
  LLVMBuildBr(b, loop);
  LLVMPositionBuilderAtEnd(b, loop);
  LLVMValueRef i = LLVMBuildPhi(b, i64, ""), zero = LLVMConstInt(i64, 0, false);
  LLVMValueRef args[] = {load(b, type, LLVMGetParam(f, 0), i),
                         load(b, type, LLVMGetParam(f, 1), i)};
  struct vmath vmath;
  vmath_init(&vmath, target, module);
  LLVMValueRef result = vmath_emit(&vmath, b, s.fn, args);
  LLVMValueRef store =
      LLVMBuildStore(b, result, LLVMBuildGEP2(b, type, LLVMGetParam(f, 2), &i, 1, ""));
  LLVMSetAlignment(store, 4);
  LLVMValueRef next = LLVMBuildAdd(b, i, LLVMConstInt(i64, 1, false), "");
  LLVMAddIncoming(i, (LLVMValueRef[]){zero, next}, (LLVMBasicBlockRef[]){entry, loop}, 2);
  LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntULT, next, LLVMGetParam(f, 3), ""), loop, done);
  LLVMPositionBuilderAtEnd(b, done);
  LLVMBuildRetVoid(b);
  LLVMDisposeBuilder(b);
  return STATUS_OK;
}

typedef void (*kernel)(const void *x, const void *y, void *out, int64_t count);

static kernel find(const struct jit *jit, enum vmath_fn fn, bool f64, unsigned lanes) {
  char name[64];
  kernel_name(name, (struct shape){fn, f64, lanes});
  return (kernel)jit_function(jit, name);
}

/* ---- pow by a constant: index = exponent * 2 + f64, as "pow.<exponent>.<bits>" ---- */

static const double exponents[] = {1, 2, 3, 0.5, -1, 2.5};
enum { EXPONENTS = sizeof exponents / sizeof *exponents };

static status build_constant_pow(void *user, uint32_t index, struct target *target,
                                 LLVMModuleRef module, struct diags *diags) {
  (void)user, (void)diags;
  LLVMContextRef c = target_context(target);
  bool f64 = index % 2;
  LLVMTypeRef element = f64 ? LLVMDoubleTypeInContext(c) : LLVMFloatTypeInContext(c);
  LLVMTypeRef type = LLVMVectorType(element, 4), pointer = LLVMPointerTypeInContext(c, 0);
  LLVMTypeRef parameters[] = {pointer, pointer};
  char name[32];
  snprintf(name, sizeof name, "pow.%u", index);
  LLVMValueRef f = target_function_create(
      target, module, name, LLVMFunctionType(LLVMVoidTypeInContext(c), parameters, 2, false));
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(c, f, ""));
  LLVMValueRef y = LLVMConstReal(element, exponents[index / 2]);
  LLVMValueRef args[] = {
      load(b, type, LLVMGetParam(f, 0), LLVMConstInt(LLVMInt64TypeInContext(c), 0, 0)),
      LLVMConstVector((LLVMValueRef[]){y, y, y, y}, 4)};
  struct vmath vmath;
  vmath_init(&vmath, target, module);
  LLVMValueRef store =
      LLVMBuildStore(b, vmath_emit(&vmath, b, VMATH_pow, args), LLVMGetParam(f, 1));
  LLVMSetAlignment(store, 4);
  LLVMBuildRetVoid(b);
  LLVMDisposeBuilder(b);
  /* Only the exponent that is not in the list may need the big function. */
  bool is_big = LLVMGetNamedFunction(module, f64 ? "vmath.pow.f64x4" : "vmath.pow.f32x4") != NULL;
  return is_big == (exponents[index / 2] == 2.5) ? STATUS_OK : STATUS_INTERNAL;
}

/* ---- References ---- */

static long double sigmoidl(long double x) { return 1 / (1 + expl(-x)); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

#define REFERENCE(name)                                                                            \
  case VMATH_##name: return name(x)
static double reference(enum vmath_fn fn, double x, double y) {
  switch (fn) {
    REFERENCE(acos);
    REFERENCE(acosh);
    REFERENCE(asin);
    REFERENCE(asinh);
    REFERENCE(atan);
    REFERENCE(atanh);
    REFERENCE(cos);
    REFERENCE(cosh);
    REFERENCE(erf);
    REFERENCE(exp);
    REFERENCE(exp2);
    REFERENCE(expm1);
    REFERENCE(log);
    REFERENCE(log1p);
    REFERENCE(log2);
    REFERENCE(sigmoid);
    REFERENCE(sin);
    REFERENCE(sinh);
    REFERENCE(tan);
    REFERENCE(tanh);
  case VMATH_fmod: return fmod(x, y);
  case VMATH_pow: return pow(x, y);
  case VMATH_COUNT: break;
  }
  abort();
}
#undef REFERENCE

#define REFERENCE(name)                                                                            \
  case VMATH_##name: return name##l(x)
static long double reference_long(enum vmath_fn fn, long double x, long double y) {
  switch (fn) {
    REFERENCE(acos);
    REFERENCE(acosh);
    REFERENCE(asin);
    REFERENCE(asinh);
    REFERENCE(atan);
    REFERENCE(atanh);
    REFERENCE(cos);
    REFERENCE(cosh);
    REFERENCE(erf);
    REFERENCE(exp);
    REFERENCE(exp2);
    REFERENCE(expm1);
    REFERENCE(log);
    REFERENCE(log1p);
    REFERENCE(log2);
    REFERENCE(sigmoid);
    REFERENCE(sin);
    REFERENCE(sinh);
    REFERENCE(tan);
    REFERENCE(tanh);
  case VMATH_fmod: return fmodl(x, y);
  case VMATH_pow: return powl(x, y);
  case VMATH_COUNT: break;
  }
  abort();
}
#undef REFERENCE

/* ---- Errors in ulp ---- */

/* |got - want| in units of the last place of a format with `digits` bits and minimum exponent
 * `least` of a unit. An infinite result counts as the first power of two that is too large, so that
 * "just overflows" is a small error. */
static double ulps(long double got, long double want, int digits, int least, int most) {
  if (isnan(want) || isnan(got))
    return isnan(want) && isnan(got) ? 0 : HUGE_VAL;
  if (want == 0 && got == 0)
    return signbit(want) == signbit(got) ? 0 : HUGE_VAL;
  long double edge = ldexpl(1, most);
  if (fabsl(want) > edge)
    want = copysignl(edge, want);
  if (isinf(got))
    got = copysignl(edge, got);
  if (got == want)
    return 0;
  if (want == 0)
    return HUGE_VAL;
  int exponent = ilogbl(want) - digits + 1;
  return (double)ldexpl(fabsl(got - want), -(exponent > least ? exponent : least));
}

struct worst {
  double error, x, y, got, want;
};

static void note(struct worst *w, double error, double x, double y, double got, long double want) {
  if (error > w->error)
    *w = (struct worst){error, x, y, got, (double)want};
}

static void judge(const char *target, enum vmath_fn fn, bool f64, unsigned lanes,
                  const struct worst *w) {
  bool report = getenv("SINTER_TEST_VERBOSE") != NULL;
  if (report)
    print_message("%-10s %-8s %s x%-2u %6.3f ulp at %a, %a\n", target, vmath_name(fn),
                  f64 ? "f64" : "f32", lanes, w->error, w->x, w->y);
  if (w->error > bounds[fn][f64])
    print_error("%s: %s %s, %u lanes: %g ulp at %a, %a: %a, want %a\n", target, vmath_name(fn),
                f64 ? "f64" : "f32", lanes, w->error, w->x, w->y, w->got, w->want);
}

/* ---- Inputs ---- */

static uint64_t next_random(uint64_t *state) {
  *state += UINT64_C(0x9E3779B97F4A7C15);
  uint64_t z = *state;
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

static double from_bits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static float float_from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Half of the numbers anything, half of them near where functions do something. */
static double interesting(uint64_t *state) {
  uint64_t r = next_random(state);
  double x = from_bits(next_random(state));
  double unit = ldexp((double)(next_random(state) >> 11), -52) - 1;
  switch (r % 8) {
  case 0: return unit * 20;
  case 1: return unit * 800;
  case 2: return unit * 1.5;
  case 3: return 1 + unit * 0x1p-8;
  case 4: return ldexp(unit, (int)(r >> 8 & 63) - 32);
  case 5: return (double)((int)(r >> 8 & 63) - 32) / 2;
  default: return x;
  }
}

static const double specials[] = {0.0,
                                  -0.0,
                                  1.0,
                                  -1.0,
                                  0.5,
                                  -0.5,
                                  2.0,
                                  -2.0,
                                  3.0,
                                  -3.0,
                                  1e30,
                                  -1e30,
                                  1e300,
                                  -1e300,
                                  4.9406564584124654e-324,
                                  -1e-310,
                                  0x1p-149,
                                  -0x1p-149,
                                  0x1p-126,
                                  0x1.fffffep127,
                                  -0x1.fffffep127,
                                  88.72284,
                                  -87.33655,
                                  -103.97,
                                  709.79,
                                  -745.2,
                                  0x1p24,
                                  0x1p24 + 1,
                                  0x1p53,
                                  0x1p53 + 1,
                                  HUGE_VAL,
                                  -HUGE_VAL,
                                  (double)NAN};
enum { SPECIALS = sizeof specials / sizeof *specials };

/* ---- Checks ---- */

static struct worst check_f32(const struct jit *jit, enum vmath_fn fn, unsigned lanes) {
  static float x[CHUNK], y[CHUNK], out[CHUNK];
  struct worst w = {0};
  kernel k = find(jit, fn, false, lanes);
  bool binary = vmath_arity(fn) == 2;
  uint64_t bits = 0, state = fn, special = 0;
  while (bits <= UINT32_MAX) {
    uint32_t n = 0;
    for (; n < CHUNK; n++) {
      bool is_special = special < (binary ? SPECIALS * SPECIALS : SPECIALS);
      x[n] = is_special ? (float)specials[special % SPECIALS] : float_from_bits((uint32_t)bits);
      y[n] =
          is_special ? (float)specials[special / SPECIALS % SPECIALS] : (float)interesting(&state);
      if (is_special)
        special++;
      else
        bits += F32_STRIDE;
    }
    k(x, y, out, CHUNK / (lanes ? lanes : 1));
    for (uint32_t i = 0; i < n; i++) {
      double want = reference(fn, (double)x[i], (double)y[i]);
      note(&w, ulps((long double)out[i], (long double)want, 24, -149, 128), (double)x[i],
           (double)y[i], (double)out[i], (long double)want);
    }
  }
  return w;
}

static struct worst check_f64(const struct jit *jit, enum vmath_fn fn, unsigned lanes) {
  static double x[CHUNK], y[CHUNK], out[CHUNK];
  struct worst w = {0};
  kernel k = find(jit, fn, true, lanes);
  bool binary = vmath_arity(fn) == 2;
  uint64_t state = 77, special = 0;
  for (uint32_t done = 0; done < F64_SAMPLES; done += CHUNK) {
    for (uint32_t n = 0; n < CHUNK; n++, special++) {
      bool is_special = special < (binary ? SPECIALS * SPECIALS : SPECIALS);
      x[n] = is_special ? specials[special % SPECIALS] : interesting(&state);
      y[n] = is_special ? specials[special / SPECIALS % SPECIALS] : interesting(&state);
    }
    k(x, y, out, CHUNK / (lanes ? lanes : 1));
    for (uint32_t i = 0; i < CHUNK; i++) {
      long double want = reference_long(fn, (long double)x[i], (long double)y[i]);
      note(&w, ulps((long double)out[i], want, 53, -1074, 1024), x[i], y[i], out[i], want);
    }
  }
  return w;
}

static int check_target(const char *name) {
  struct target_isa isa;
  assert_int_equal(target_isa_resolve(NULL, name, &isa), STATUS_OK);
  if (!target_isa_runs_here(&isa))
    return 0;
  struct jit jit;
  jit_open(&jit, &(struct assemble_options){
                     .isa = &isa, .build = build, .kernel_count = VMATH_COUNT * 8});
  int failures = 0;
  for (enum vmath_fn fn = 0; fn < VMATH_COUNT; fn++) {
    for (unsigned i = 0; i < 4; i++) {
      /* The odd shapes differ from the natural one in splitting only: one of them each. */
      if (i != 2 && i != fn % 4)
        continue;
      struct worst w = check_f32(&jit, fn, lane_counts[i]);
      judge(name, fn, false, lane_counts[i], &w);
      failures += w.error > bounds[fn][0];
      w = check_f64(&jit, fn, lane_counts[i]);
      judge(name, fn, true, lane_counts[i], &w);
      failures += w.error > bounds[fn][1];
    }
  }
  jit_close(&jit);
  return failures;
}

static void v2_is_accurate(void **unused) {
  (void)unused;
  assert_int_equal(check_target("x86-64-v2"), 0);
}

static void v3_is_accurate(void **unused) {
  (void)unused;
  assert_int_equal(check_target("x86-64-v3"), 0);
}

static void v4_is_accurate(void **unused) {
  (void)unused;
  assert_int_equal(check_target("x86-64-v4"), 0);
}

static void check_constant_pow(const struct jit *jit, uint32_t index, double x) {
  char name[32];
  snprintf(name, sizeof name, "pow.%u", index);
  void (*f)(const void *, void *) = (void (*)(const void *, void *))jit_function(jit, name);
  double y = exponents[index / 2], in64[4] = {x, x, x, x}, out64[4], error;
  float in32[4] = {(float)x, (float)x, (float)x, (float)x}, out32[4];
  if (index % 2) {
    f(in64, out64);
    error = ulps((long double)out64[3], powl((long double)x, (long double)y), 53, -1074, 1024);
  } else {
    f(in32, out32);
    error = ulps((long double)out32[3], (long double)pow((double)in32[3], y), 24, -149, 128);
  }
  if (error > 1.6)
    fail_msg("pow(%a, %g), f%d: %g ulp", x, y, index % 2 ? 64 : 32, error);
}

static void constant_exponents_are_accurate(void **unused) {
  (void)unused;
  struct target_isa isa;
  assert_int_equal(target_isa_resolve(NULL, "native", &isa), STATUS_OK);
  struct jit jit;
  jit_open(&jit, &(struct assemble_options){.isa = &isa,
                                            .build = build_constant_pow,
                                            .kernel_count = EXPONENTS * 2,
                                            .kernels_per_module = 1});
  uint64_t state = 3;
  for (uint32_t index = 0; index < EXPONENTS * 2; index++) {
    for (int i = 0; i < SPECIALS; i++)
      check_constant_pow(&jit, index, specials[i]);
    for (int i = 0; i < 2000; i++)
      check_constant_pow(&jit, index, interesting(&state));
  }
  jit_close(&jit);
}

/* Even where it does not run here, v4 must compile and link without calling out. */
static void v4_compiles(void **unused) {
  (void)unused;
  struct target_isa isa;
  assert_int_equal(target_isa_resolve(NULL, "x86-64-v4", &isa), STATUS_OK);
  struct jit jit;
  jit_open(&jit, &(struct assemble_options){
                     .isa = &isa, .build = build, .kernel_count = VMATH_COUNT * 8});
  jit_close(&jit);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(v2_is_accurate),
      cmocka_unit_test(v3_is_accurate),
      cmocka_unit_test(v4_is_accurate),
      cmocka_unit_test(v4_compiles),
      cmocka_unit_test(constant_exponents_are_accurate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
