/* SPDX-License-Identifier: Apache-2.0 */
/* Emitted conversions against base/softfloat: every code decoded, every f32 exponent and every
 * rounding boundary encoded; integers against C with 128-bit arithmetic. On every target that runs
 * here, as vectors and as scalars. */
#include "codegen/convert.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/jit.h"

/* ---- One kernel per conversion: void f(const void *in, void *out, int64 vectors) ---- */

enum direction { DECODE, ENCODE, TO_INT, TO_FLOAT };
struct job {
  enum direction direction;
  unsigned lanes; /* 0: scalar */
  bool f64;       /* the float side */
  enum softfloat_kind kind;
  bool saturate;
  enum softfloat_round round;
  unsigned bits; /* the integer side */
  bool is_signed;
};
enum { MAX_JOBS = 512 };
static struct job jobs[MAX_JOBS];
static uint32_t job_count;

static void add_job(struct job job) {
  static const unsigned lanes[] = {0, 8};
  for (unsigned i = 0; i < 2; i++) {
    job.lanes = lanes[i];
    assert_true(job_count < MAX_JOBS);
    jobs[job_count++] = job;
  }
}

static int list_jobs(void **unused) {
  (void)unused;
  for (int kind = 0; kind < SOFTFLOAT_KINDS; kind++) {
    add_job((struct job){.direction = DECODE, .kind = kind});
    for (int i = 0; i < 4; i++)
      for (int round = 0; round < (kind == SOFTFLOAT_F8E8M0 ? 3 : 1); round++)
        add_job((struct job){
            .direction = ENCODE, .kind = kind, .f64 = i & 1, .saturate = i & 2, .round = round});
  }
  for (unsigned bits = 8; bits <= 64; bits *= 2)
    for (int i = 0; i < 4; i++)
      for (int direction = TO_INT; direction <= TO_FLOAT; direction++)
        add_job(
            (struct job){.direction = direction, .f64 = i & 1, .bits = bits, .is_signed = i & 2});
  return 0;
}

static LLVMTypeRef in_lanes(LLVMTypeRef element, unsigned lanes) {
  return lanes ? LLVMVectorType(element, lanes) : element;
}

static LLVMValueRef convert(const struct job *job, struct target *target, LLVMBuilderRef b,
                            LLVMValueRef in) {
  LLVMContextRef c = target_context(target);
  LLVMTypeRef f = job->f64 ? LLVMDoubleTypeInContext(c) : LLVMFloatTypeInContext(c);
  switch (job->direction) {
  case DECODE: return convert_decode(target, b, job->kind, in);
  case ENCODE: return convert_encode(target, b, job->kind, in, job->saturate, job->round);
  case TO_INT: return convert_float_to_int(b, in, job->bits, job->is_signed);
  case TO_FLOAT: return convert_int_to_float(b, in, job->is_signed, f);
  }
  abort();
}

static LLVMTypeRef input_element(const struct job *job, LLVMContextRef c) {
  if (job->direction == DECODE)
    return LLVMIntTypeInContext(c, softfloat_bits(job->kind) == 16 ? 16 : 8);
  if (job->direction == TO_FLOAT)
    return LLVMIntTypeInContext(c, job->bits);
  return job->f64 ? LLVMDoubleTypeInContext(c) : LLVMFloatTypeInContext(c);
}

static status build(void *user, uint32_t index, struct target *target, LLVMModuleRef module,
                    struct diags *diags) {
  (void)user, (void)diags;
  const struct job *job = &jobs[index];
  LLVMContextRef c = target_context(target);
  LLVMTypeRef i64 = LLVMInt64TypeInContext(c), pointer = LLVMPointerTypeInContext(c, 0);
  LLVMTypeRef parameters[] = {pointer, pointer, i64};
  char name[32];
  snprintf(name, sizeof name, "job.%u", index);
  LLVMValueRef f = target_function_create(
      target, module, name, LLVMFunctionType(LLVMVoidTypeInContext(c), parameters, 3, false));
  LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(c, f, "");
  LLVMBasicBlockRef loop = LLVMAppendBasicBlockInContext(c, f, "");
  LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(c, f, "");
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  LLVMPositionBuilderAtEnd(b, entry);
  LLVMBuildBr(b, loop);
  LLVMPositionBuilderAtEnd(b, loop);
  LLVMValueRef i = LLVMBuildPhi(b, i64, ""), zero = LLVMConstInt(i64, 0, false);
  LLVMTypeRef in_type = in_lanes(input_element(job, c), job->lanes);
  LLVMValueRef in =
      LLVMBuildLoad2(b, in_type, LLVMBuildGEP2(b, in_type, LLVMGetParam(f, 0), &i, 1, ""), "");
  LLVMSetAlignment(in, 1);
  LLVMValueRef out = convert(job, target, b, in);
  LLVMTypeRef out_type = LLVMTypeOf(out);
  LLVMValueRef store =
      LLVMBuildStore(b, out, LLVMBuildGEP2(b, out_type, LLVMGetParam(f, 1), &i, 1, ""));
  LLVMSetAlignment(store, 1);
  LLVMValueRef next = LLVMBuildAdd(b, i, LLVMConstInt(i64, 1, false), "");
  LLVMAddIncoming(i, (LLVMValueRef[]){zero, next}, (LLVMBasicBlockRef[]){entry, loop}, 2);
  LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntULT, next, LLVMGetParam(f, 2), ""), loop, done);
  LLVMPositionBuilderAtEnd(b, done);
  LLVMBuildRetVoid(b);
  LLVMDisposeBuilder(b);
  return STATUS_OK;
}

static void run(const struct jit *jit, uint32_t index, const void *in, void *out, size_t count) {
  char name[32];
  snprintf(name, sizeof name, "job.%u", index);
  void (*kernel)(const void *, void *, int64_t) =
      (void (*)(const void *, void *, int64_t))jit_function(jit, name);
  unsigned lanes = jobs[index].lanes ? jobs[index].lanes : 1;
  kernel(in, out, (int64_t)(count / lanes));
}

/* ---- Inputs ---- */

enum { CAPACITY = 1 << 20 };
static uint64_t input[CAPACITY], output[CAPACITY];
static double numbers[CAPACITY];
static size_t number_count;

static void number(double x) {
  if (number_count < CAPACITY)
    numbers[number_count++] = x;
}

static uint64_t next_random(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state ^ (*state >> 31);
}

static void around(double x) {
  const double near[] = {x, nextafter(x, HUGE_VAL), nextafter(x, -HUGE_VAL)};
  for (int i = 0; i < 3; i++) {
    number(near[i]);
    number(-near[i]);
    number((double)nextafterf((float)near[i], (float)HUGE_VAL));
    number((double)nextafterf((float)near[i], -(float)HUGE_VAL));
  }
}

/* Values and midpoints of all 8-bit codes and some 16-bit ones, powers of two, and bit patterns of
 * every f32 exponent. */
static void list_numbers(void) {
  uint64_t state = 1;
  number_count = 0;
  for (int kind = 0; kind < SOFTFLOAT_KINDS; kind++) {
    uint32_t step = softfloat_bits(kind) == 16 ? 131 : 1;
    for (uint32_t code = 0; code + 1 < 1u << softfloat_bits(kind); code += step) {
      double a = softfloat_decode(kind, (uint16_t)code);
      double b = softfloat_decode(kind, (uint16_t)(code + 1));
      around(a);
      around((a + b) / 2);
    }
  }
  for (int e = -1080; e < 1024; e++) {
    around(ldexp(1, e));
    around(ldexp(1.5, e));
  }
  for (int i = -300; i <= 300; i++)
    number(i / 2.0);
  for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 30011) {
    uint32_t pattern = (uint32_t)bits;
    float x;
    memcpy(&x, &pattern, sizeof x);
    number((double)x);
  }
  while (number_count % 8 || number_count < 400000) {
    uint64_t bits = next_random(&state);
    if (number_count % 2)
      bits = (bits & ~(UINT64_C(0x7FF) << 52)) | ((1023 - 40 + (bits >> 52) % 110) << 52);
    double x;
    memcpy(&x, &bits, sizeof x);
    number(x);
  }
}

static void fill_floats(bool f64) {
  if (f64) {
    memcpy(input, numbers, number_count * sizeof(double));
    return;
  }
  for (size_t i = 0; i < number_count; i++)
    ((float *)input)[i] = (float)numbers[i];
}

static double float_input(const struct job *job, size_t i) {
  return job->f64 ? ((const double *)input)[i] : (double)((const float *)input)[i];
}

/* ---- Checks ---- */

static bool same(double a, double b) {
  return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

static void check_decode(const struct jit *jit, uint32_t index) {
  const struct job *job = &jobs[index];
  bool wide = softfloat_bits(job->kind) == 16;
  uint32_t count = wide ? 1 << 16 : 256;
  for (uint32_t code = 0; code < count; code++) {
    if (wide)
      ((uint16_t *)input)[code] = (uint16_t)code;
    else
      ((uint8_t *)input)[code] = (uint8_t)code;
  }
  run(jit, index, input, output, count);
  for (uint32_t code = 0; code < count; code++) {
    double want = softfloat_decode(job->kind, (uint16_t)code);
    double got = (double)((float *)output)[code];
    if (!same(got, want))
      fail_msg("kind %d, %u lanes: code 0x%x gives %a, want %a", job->kind, job->lanes, code, got,
               want);
  }
}

static void check_encode(const struct jit *jit, uint32_t index) {
  const struct job *job = &jobs[index];
  bool wide = softfloat_bits(job->kind) == 16;
  fill_floats(job->f64);
  run(jit, index, input, output, number_count);
  for (size_t i = 0; i < number_count; i++) {
    double x = float_input(job, i);
    uint16_t want = softfloat_encode(job->kind, x, job->saturate, job->round);
    uint16_t got = wide ? ((uint16_t *)output)[i] : ((uint8_t *)output)[i];
    if (got != want && !(isnan(x) && isnan(softfloat_decode(job->kind, got))))
      fail_msg("kind %d, f%d, %u lanes, saturate %d, round %d: %a gives 0x%x, want 0x%x", job->kind,
               job->f64 ? 64 : 32, job->lanes, job->saturate, job->round, x, got, want);
  }
}

static uint64_t clamp_to_int(double x, unsigned bits, bool is_signed) {
  double low = is_signed ? -ldexp(1, (int)bits - 1) : 0, high = ldexp(1, (int)bits - is_signed);
  uint64_t mask = UINT64_MAX >> (64 - bits);
  if (isnan(x))
    return 0;
  if (x <= low)
    return is_signed ? UINT64_C(1) << (bits - 1) : 0;
  if (x >= high)
    return is_signed ? mask >> 1 : mask;
  return is_signed ? (uint64_t)(int64_t)x & mask : (uint64_t)x;
}

static uint64_t integer_at(const void *p, unsigned bits, size_t i) {
  uint64_t x = 0;
  memcpy(&x, (const char *)p + i * (bits / 8), bits / 8);
  return x;
}

static void check_to_int(const struct jit *jit, uint32_t index) {
  const struct job *job = &jobs[index];
  fill_floats(job->f64);
  run(jit, index, input, output, number_count);
  for (size_t i = 0; i < number_count; i++) {
    double x = float_input(job, i);
    uint64_t want = clamp_to_int(x, job->bits, job->is_signed);
    uint64_t got = integer_at(output, job->bits, i);
    if (got != want)
      fail_msg("f%d to %c%u, %u lanes: %a gives 0x%lx, want 0x%lx", job->f64 ? 64 : 32,
               "ui"[job->is_signed], job -> bits, job -> lanes, x, got, want);
  }
}

/* To nearest even with `digits` bits, by integers alone. */
static double round_integer(uint64_t magnitude, int digits) {
  int length = magnitude ? 64 - __builtin_clzll(magnitude) : 0;
  int cut = length - digits;
  if (cut <= 0)
    return (double)magnitude;
  uint64_t kept = magnitude >> cut, rest = magnitude << (64 - cut), half = UINT64_C(1) << 63;
  kept += rest > half || (rest == half && (kept & 1));
  return ldexp((double)kept, cut);
}

static void check_to_float(const struct jit *jit, uint32_t index) {
  const struct job *job = &jobs[index];
  uint64_t state = 5;
  enum { COUNT = 40000 };
  for (size_t i = 0; i < COUNT; i++) {
    uint64_t x = next_random(&state) >> (next_random(&state) % 64);
    if (i % 3 == 0) /* near a midpoint */
      x = (UINT64_C(1) << (i % 64)) + (UINT64_C(1) << ((i / 64) % 64)) + (i % 5) - 2;
    memcpy((char *)input + i * (job->bits / 8), &x, job->bits / 8);
  }
  run(jit, index, input, output, COUNT);
  for (size_t i = 0; i < COUNT; i++) {
    uint64_t x = integer_at(input, job->bits, i);
    bool negative = job->is_signed && x >> (job->bits - 1);
    uint64_t magnitude = negative ? (UINT64_MAX >> (64 - job->bits)) - x + 1 : x;
    double want = round_integer(magnitude, job->f64 ? 53 : 24) * (negative ? -1 : 1);
    double got = job->f64 ? ((double *)output)[i] : (double)((float *)output)[i];
    if (got != want)
      fail_msg("%c%u to f%d, %u lanes: 0x%lx gives %a, want %a", "ui"[job->is_signed], job -> bits,
               job -> f64 ? 64 : 32, job -> lanes, x, got, want);
  }
}

static void check_target(const char *name) {
  struct target_isa isa;
  assert_int_equal(target_isa_resolve(NULL, name, &isa), STATUS_OK);
  struct jit jit;
  jit_open(&jit,
           &(struct assemble_options){.isa = &isa, .build = build, .kernel_count = job_count});
  static void (*const checks[])(const struct jit *, uint32_t) = {[DECODE] = check_decode,
                                                                 [ENCODE] = check_encode,
                                                                 [TO_INT] = check_to_int,
                                                                 [TO_FLOAT] = check_to_float};
  list_numbers();
  for (uint32_t i = 0; i < job_count && target_isa_runs_here(&isa); i++)
    checks[jobs[i].direction](&jit, i);
  jit_close(&jit);
}

static void v2_converts(void **unused) {
  (void)unused;
  check_target("x86-64-v2");
}

static void v3_converts(void **unused) {
  (void)unused;
  check_target("x86-64-v3");
}

static void v4_converts(void **unused) {
  (void)unused;
  check_target("x86-64-v4");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(v2_converts),
      cmocka_unit_test(v3_converts),
      cmocka_unit_test(v4_converts),
  };
  return cmocka_run_group_tests(tests, list_jobs, NULL);
}
