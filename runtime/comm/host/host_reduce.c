/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Combining the elements of several ranks, in the order of the ranks: the first is taken, each next
 * one is combined with what is there. Floats of 16 bits accumulate in f32 and are rounded once, at
 * the end; integers wrap. What max and min do is what ir/scalar.def says: NaN wins, +0 is above -0.
 */
#include "runtime/comm/host/host_state.h"

#include "base/softfloat.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define AT_ONCE 512u

static inline float max_f32(float x, float y) {
  if (isnan(x) || isnan(y))
    return x + y;
  return x == y ? (signbit(x) ? y : x) : x > y ? x : y;
}

static inline float min_f32(float x, float y) {
  if (isnan(x) || isnan(y))
    return x + y;
  return x == y ? (signbit(x) ? x : y) : x < y ? x : y;
}

static inline double max_f64(double x, double y) {
  if (isnan(x) || isnan(y))
    return x + y;
  return x == y ? (signbit(x) ? y : x) : x > y ? x : y;
}

static inline double min_f64(double x, double y) {
  if (isnan(x) || isnan(y))
    return x + y;
  return x == y ? (signbit(x) ? x : y) : x < y ? x : y;
}

/* Loops over n elements of an accumulator and one more source: one function per type. WIDE is the
 * type that sums and products are taken in. */
#define COMBINE(name, T, WIDE, MAX, MIN)                                                           \
  static void combine_##name(T *acc, const T *x, size_t n, Engine__Reduction reduction) {          \
    switch (reduction) {                                                                           \
    case ENGINE__REDUCTION__MAX:                                                                   \
      for (size_t i = 0; i < n; i++)                                                               \
        acc[i] = MAX(acc[i], x[i]);                                                                \
      break;                                                                                       \
    case ENGINE__REDUCTION__MIN:                                                                   \
      for (size_t i = 0; i < n; i++)                                                               \
        acc[i] = MIN(acc[i], x[i]);                                                                \
      break;                                                                                       \
    case ENGINE__REDUCTION__PROD:                                                                  \
      for (size_t i = 0; i < n; i++)                                                               \
        acc[i] = (T)((WIDE)acc[i] * (WIDE)x[i]);                                                   \
      break;                                                                                       \
    default:                                                                                       \
      for (size_t i = 0; i < n; i++)                                                               \
        acc[i] = (T)((WIDE)acc[i] + (WIDE)x[i]);                                                   \
    }                                                                                              \
  }

#define LARGER(x, y) ((x) > (y) ? (x) : (y))
#define SMALLER(x, y) ((x) < (y) ? (x) : (y))

COMBINE(f32, float, float, max_f32, min_f32)
COMBINE(f64, double, double, max_f64, min_f64)
COMBINE(i64, int64_t, uint64_t, LARGER, SMALLER)
COMBINE(u64, uint64_t, uint64_t, LARGER, SMALLER)
COMBINE(i32, int32_t, uint32_t, LARGER, SMALLER)
COMBINE(u32, uint32_t, uint32_t, LARGER, SMALLER)
COMBINE(i16, int16_t, uint32_t, LARGER, SMALLER)
COMBINE(u16, uint16_t, uint32_t, LARGER, SMALLER)
COMBINE(i8, int8_t, uint32_t, LARGER, SMALLER)
COMBINE(u8, uint8_t, uint32_t, LARGER, SMALLER)

/* ---- 16-bit floats ---- */

static void load_f16(float *to, const uint8_t *from, size_t n, enum softfloat_kind kind) {
  const uint16_t *codes = (const uint16_t *)(const void *)from;
  for (size_t i = 0; i < n; i++)
    to[i] = (float)softfloat_decode(kind, codes[i]);
}

static void load_bf16(float *to, const uint8_t *from, size_t n) {
  const uint16_t *codes = (const uint16_t *)(const void *)from;
  for (size_t i = 0; i < n; i++) {
    uint32_t bits = (uint32_t)codes[i] << 16;
    memcpy(&to[i], &bits, sizeof bits);
  }
}

static void load_half(float *to, const uint8_t *from, size_t n, enum dtype dtype) {
  if (dtype == DTYPE_BF16)
    load_bf16(to, from, n);
  else
    load_f16(to, from, n, SOFTFLOAT_F16);
}

static void reduce_half(enum dtype dtype, Engine__Reduction reduction, uint8_t *dst,
                        const uint8_t *const *sources, uint32_t n, uint64_t at, size_t count) {
  enum softfloat_kind kind = dtype == DTYPE_BF16 ? SOFTFLOAT_BF16 : SOFTFLOAT_F16;
  float acc[AT_ONCE], x[AT_ONCE];
  uint16_t *out = (uint16_t *)(void *)dst + at;
  load_half(acc, sources[0] + at * 2, count, dtype);
  for (uint32_t k = 1; k < n; k++) {
    load_half(x, sources[k] + at * 2, count, dtype);
    combine_f32(acc, x, count, reduction);
  }
  for (size_t i = 0; i < count; i++)
    out[i] = softfloat_encode(kind, acc[i], false, SOFTFLOAT_ROUND_NEAREST);
}

/* ---- all types ---- */

static void combine(enum dtype dtype, Engine__Reduction reduction, void *acc, const uint8_t *x,
                    size_t n) {
  const void *from = x;
  switch (dtype) {
  case DTYPE_F32: combine_f32(acc, from, n, reduction); break;
  case DTYPE_F64: combine_f64(acc, from, n, reduction); break;
  case DTYPE_I64: combine_i64(acc, from, n, reduction); break;
  case DTYPE_U64: combine_u64(acc, from, n, reduction); break;
  case DTYPE_I32: combine_i32(acc, from, n, reduction); break;
  case DTYPE_U32: combine_u32(acc, from, n, reduction); break;
  case DTYPE_I16: combine_i16(acc, from, n, reduction); break;
  case DTYPE_U16: combine_u16(acc, from, n, reduction); break;
  case DTYPE_I8: combine_i8(acc, from, n, reduction); break;
  default: /* u8 and bool */ combine_u8(acc, from, n, reduction);
  }
}

static void reduce(enum dtype dtype, Engine__Reduction reduction, uint8_t *dst,
                   const uint8_t *const *sources, uint32_t n, uint64_t first, uint64_t end) {
  _Alignas(HOST_LINE) uint64_t acc[AT_ONCE];
  unsigned size = dtype_unpacked_bytes(dtype);
  for (uint64_t at = first; at < end; at += AT_ONCE) {
    size_t count = end - at < AT_ONCE ? (size_t)(end - at) : AT_ONCE;
    if (dtype == DTYPE_F16 || dtype == DTYPE_BF16) {
      reduce_half(dtype, reduction, dst, sources, n, at, count);
      continue;
    }
    memcpy(acc, sources[0] + at * size, count * size);
    for (uint32_t k = 1; k < n; k++)
      combine(dtype, reduction, acc, sources[k] + at * size, count);
    memcpy(dst + at * size, acc, count * size);
  }
}

void host_reduce(enum dtype dtype, Engine__Reduction reduction, uint8_t *dst,
                 const uint8_t *const *sources, uint32_t n, uint64_t first, uint64_t end) {
#if defined(__x86_64__)
  unsigned caller_csr = _mm_getcsr();
  _mm_setcsr(0x1f80); /* round to nearest, keep denormals, whatever the caller's program prefers */
#endif
  reduce(dtype, reduction, dst, sources, n, first, end);
#if defined(__x86_64__)
  _mm_setcsr(caller_csr);
#endif
}
