/* SPDX-License-Identifier: Apache-2.0 */
/* Speed of the emitted math functions beside libmvec and libm, in nanoseconds per element, in one
 * run.
 *
 *     bench_vmath [function]
 *
 * Each function maps an array that fits the first cache, with the target "native". Best of several
 * rounds. libmvec (AVX2 entry points) is looked up when the program runs and may be absent. */
#include <dlfcn.h>
#include <immintrin.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/vmath/vmath.h"

#include "base/clock.h"
#include "tests/support/jit.h"

enum { COUNT = 2048, REPEATS = 400, ROUNDS = 7 };

static float x32[COUNT], y32[COUNT], out32[COUNT];
static double x64[COUNT], y64[COUNT], out64[COUNT];

struct item {
  enum vmath_fn fn;
  double low, high; /* of the arguments */
  double (*libm)(double);
  float (*libmf)(float);
};

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static float sigmoidf(float x) { return 1 / (1 + expf(-x)); }

static const struct item items[] = {
    {VMATH_exp, -10, 10, exp, expf},           {VMATH_exp2, -10, 10, exp2, exp2f},
    {VMATH_tanh, -4, 4, tanh, tanhf},          {VMATH_erf, -3, 3, erf, erff},
    {VMATH_sigmoid, -8, 8, sigmoid, sigmoidf}, {VMATH_log, 0.01, 100, log, logf},
    {VMATH_log1p, 0, 10, log1p, log1pf},       {VMATH_log2, 0.01, 100, log2, log2f},
    {VMATH_expm1, -4, 4, expm1, expm1f},       {VMATH_sin, -100, 100, sin, sinf},
    {VMATH_cos, -100, 100, cos, cosf},         {VMATH_tan, -100, 100, tan, tanf},
    {VMATH_asin, -1, 1, asin, asinf},          {VMATH_acos, -1, 1, acos, acosf},
    {VMATH_atan, -10, 10, atan, atanf},        {VMATH_sinh, -4, 4, sinh, sinhf},
    {VMATH_cosh, -4, 4, cosh, coshf},          {VMATH_asinh, -10, 10, asinh, asinhf},
    {VMATH_acosh, 1, 10, acosh, acoshf},       {VMATH_atanh, -1, 1, atanh, atanhf},
    {VMATH_pow, 0.01, 10, NULL, NULL},         {VMATH_fmod, -100, 100, NULL, NULL},
};
enum { ITEMS = sizeof items / sizeof *items };

/* ---- Our kernels ---- */

static unsigned lanes_of(const struct target_isa *isa, bool f64) {
  return isa->vector_bytes / (f64 ? 8 : 4);
}

static LLVMValueRef element_pointer(LLVMBuilderRef b, LLVMTypeRef type, LLVMValueRef base,
                                    LLVMValueRef i) {
  return LLVMBuildGEP2(b, type, base, &i, 1, "");
}

/* void f(const T *x, const T *y, T *out, i64 vectors) */
static status build(void *user, uint32_t index, struct target *target, LLVMModuleRef module,
                    struct diags *diags) {
  (void)user, (void)diags;
  const struct item *item = &items[index / 2];
  bool f64 = index % 2;
  LLVMContextRef c = target_context(target);
  LLVMTypeRef type = LLVMVectorType(f64 ? LLVMDoubleTypeInContext(c) : LLVMFloatTypeInContext(c),
                                    lanes_of(target_isa(target), f64));
  LLVMTypeRef i64 = LLVMInt64TypeInContext(c), pointer = LLVMPointerTypeInContext(c, 0);
  LLVMTypeRef parameters[] = {pointer, pointer, pointer, i64};
  char name[32];
  snprintf(name, sizeof name, "%s.%d", vmath_name(item->fn), f64 ? 64 : 32);
  LLVMValueRef f = target_function_create(
      target, module, name, LLVMFunctionType(LLVMVoidTypeInContext(c), parameters, 4, false));
  LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(c, f, "");
  LLVMBasicBlockRef loop = LLVMAppendBasicBlockInContext(c, f, "");
  LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(c, f, "");
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  LLVMPositionBuilderAtEnd(b, entry);
  LLVMBuildBr(b, loop);
  LLVMPositionBuilderAtEnd(b, loop);
  LLVMValueRef i = LLVMBuildPhi(b, i64, ""), args[2];
  for (unsigned k = 0; k < vmath_arity(item->fn); k++) {
    args[k] = LLVMBuildLoad2(b, type, element_pointer(b, type, LLVMGetParam(f, k), i), "");
    LLVMSetAlignment(args[k], 4);
  }
  struct vmath vmath;
  vmath_init(&vmath, target, module);
  LLVMValueRef result = vmath_emit(&vmath, b, item->fn, args);
  LLVMSetAlignment(LLVMBuildStore(b, result, element_pointer(b, type, LLVMGetParam(f, 2), i)), 4);
  LLVMValueRef next = LLVMBuildAdd(b, i, LLVMConstInt(i64, 1, false), "");
  LLVMAddIncoming(i, (LLVMValueRef[]){LLVMConstInt(i64, 0, false), next},
                  (LLVMBasicBlockRef[]){entry, loop}, 2);
  LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntULT, next, LLVMGetParam(f, 3), ""), loop, done);
  LLVMPositionBuilderAtEnd(b, done);
  LLVMBuildRetVoid(b);
  LLVMDisposeBuilder(b);
  return STATUS_OK;
}

/* ---- Timing ---- */

typedef void (*kernel)(const void *, const void *, void *, int64_t);
struct subject {
  kernel ours;
  void *mvec; /* or NULL */
  const struct item *item;
  bool f64;
  int64_t vectors;
};

static void run_ours(const struct subject *s) {
  if (s->f64)
    s->ours(x64, y64, out64, s->vectors);
  else
    s->ours(x32, y32, out32, s->vectors);
}

__attribute__((target("avx2"))) static void run_mvec(const struct subject *s) {
  if (s->f64) {
    __m256d (*f)(__m256d) = (__m256d(*)(__m256d))s->mvec;
    for (int i = 0; i < COUNT; i += 4)
      _mm256_storeu_pd(out64 + i, f(_mm256_loadu_pd(x64 + i)));
  } else {
    __m256 (*f)(__m256) = (__m256(*)(__m256))s->mvec;
    for (int i = 0; i < COUNT; i += 8)
      _mm256_storeu_ps(out32 + i, f(_mm256_loadu_ps(x32 + i)));
  }
}

static void run_libm(const struct subject *s) {
  for (int i = 0; i < COUNT && s->f64; i++)
    out64[i] = s->item->libm              ? s->item->libm(x64[i])
               : s->item->fn == VMATH_pow ? pow(x64[i], y64[i])
                                          : fmod(x64[i], y64[i]);
  for (int i = 0; i < COUNT && !s->f64; i++)
    out32[i] = s->item->libmf             ? s->item->libmf(x32[i])
               : s->item->fn == VMATH_pow ? powf(x32[i], y32[i])
                                          : fmodf(x32[i], y32[i]);
}

static double time_of(void (*run)(const struct subject *), const struct subject *s) {
  double best = HUGE_VAL;
  for (int round = 0; round < ROUNDS; round++) {
    double start = (double)clock_now_ns();
    for (int k = 0; k < REPEATS; k++)
      run(s);
    best = fmin(best, ((double)clock_now_ns() - start) / ((double)REPEATS * COUNT));
  }
  return best;
}

static void fill(const struct item *item) {
  for (int i = 0; i < COUNT; i++) {
    x64[i] = item->low + (item->high - item->low) * ((i * 7919 + 13) % COUNT + 0.5) / COUNT;
    y64[i] = -3 + 6.0 * ((i * 104729 + 5) % COUNT + 0.5) / COUNT;
    x32[i] = (float)x64[i];
    y32[i] = (float)y64[i];
  }
}

static void *find_mvec(void *library, const char *name, bool f64) {
  char symbol[64];
  snprintf(symbol, sizeof symbol, "_ZGVdN%dv_%s%s", f64 ? 4 : 8, name, f64 ? "" : "f");
  return library ? dlsym(library, symbol) : NULL;
}

int main(int argc, char **argv) {
  struct target_isa isa;
  if (target_isa_resolve(NULL, "native", &isa) != STATUS_OK)
    return 3;
  struct jit jit;
  jit_open(&jit,
           &(struct assemble_options){.isa = &isa, .build = build, .kernel_count = ITEMS * 2});
  void *library = isa.avx2 ? dlopen("libmvec.so.1", RTLD_NOW) : NULL;
  printf("%s, %u-byte vectors; ns per element\n", isa.cpu, isa.vector_bytes);
  printf("%-8s %-4s %8s %8s %8s\n", "", "", "ours", "libmvec", "libm");
  for (uint32_t index = 0; index < ITEMS * 2; index++) {
    const struct item *item = &items[index / 2];
    struct subject s = {.item = item, .f64 = index % 2};
    const char *name = vmath_name(item->fn);
    if (argc > 1 && strcmp(argv[1], name) != 0)
      continue;
    char symbol[32];
    snprintf(symbol, sizeof symbol, "%s.%d", name, s.f64 ? 64 : 32);
    s.ours = (kernel)jit_function(&jit, symbol);
    s.vectors = COUNT / lanes_of(&isa, s.f64);
    s.mvec = find_mvec(library, name, s.f64);
    fill(item);
    printf("%-8s f%-3d %8.3f", name, s.f64 ? 64 : 32, time_of(run_ours, &s));
    if (s.mvec)
      printf(" %8.3f", time_of(run_mvec, &s));
    else
      printf(" %8s", "-");
    printf(" %8.3f\n", time_of(run_libm, &s));
  }
  jit_close(&jit);
  return 0;
}
