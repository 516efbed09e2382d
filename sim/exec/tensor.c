/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/exec/tensor.h"

uint32_t element_bits(enum ptx_type t) {
  return t == TYPE_b1 ? 1 : t == TYPE_s4 || t == TYPE_u4 ? 4 : ptx_type_bytes(t) * 8;
}
bool element_is_integer(enum ptx_type t) {
  return t == TYPE_s8 || t == TYPE_u8 || t == TYPE_s4 || t == TYPE_u4 || t == TYPE_b1;
}

int32_t element_integer(enum ptx_type t, uint32_t bits) {
  switch (t) {
  case TYPE_s8: return (int8_t)bits;
  case TYPE_u8: return (uint8_t)bits;
  case TYPE_s4: return (int32_t)(bits << 28) >> 28;
  case TYPE_u4: return (int32_t)(bits & 15);
  default: return (int32_t)(bits & 1);
  }
}

static float bits_float(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}

float element_float(enum ptx_type t, uint32_t bits) {
  switch (t) {
  case TYPE_bf16: return bits_float(bits << 16);
  case TYPE_tf32: return bits_float(bits & UINT32_C(0xffffe000));
  case TYPE_f16: {
    uint32_t sign = (bits & 0x8000) << 16, rest = bits & 0x7fff;
    if (rest >= 0x7c00)
      return bits_float(sign | 0x7f800000 | (rest & 1023) << 13);
    if (rest >= 0x400)
      return bits_float(sign | ((rest << 13) + (112u << 23)));
    float v = (float)rest * 0x1p-24f;
    return sign ? -v : v;
  }
  default: return (float)float_decode(t, bits);
  }
}

/* Four rows by sixteen columns at a time, in registers. */
typedef float vector_f32 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t vector_s32 __attribute__((vector_size(32), aligned(4), may_alias));

#define PRODUCT(name, T, V, attributes)                                                            \
  attributes static void name(T *acc, const T *a, const T *b, uint32_t m, uint32_t n,              \
                              uint32_t k) {                                                        \
    for (uint32_t i = 0; i + 4 <= m; i += 4)                                                       \
      for (uint32_t j = 0; j < n; j += 8) {                                                        \
        V sum[4];                                                                                  \
        for (uint32_t r = 0; r < 4; r++)                                                           \
          sum[r] = *(const V *)(const void *)&acc[(i + r) * n + j];                                \
        for (uint32_t x = 0; x < k; x++) {                                                         \
          V v = *(const V *)(const void *)&b[x * n + j];                                           \
          for (uint32_t r = 0; r < 4; r++)                                                         \
            sum[r] += a[(i + r) * k + x] * v;                                                      \
        }                                                                                          \
        for (uint32_t r = 0; r < 4; r++)                                                           \
          *(V *)(void *)&acc[(i + r) * n + j] = sum[r];                                            \
      }                                                                                            \
  }

#pragma GCC diagnostic ignored "-Wpsabi"
PRODUCT(product_any, float, vector_f32, )
PRODUCT(product_integer_any, int32_t, vector_s32, )
#if defined __x86_64__
PRODUCT(product_avx2, float, vector_f32, __attribute__((target("avx2,fma"))))
PRODUCT(product_integer_avx2, int32_t, vector_s32, __attribute__((target("avx2"))))
#endif

void product_f32(float *acc, const float *a, const float *b, uint32_t m, uint32_t n, uint32_t k) {
#if defined __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    product_avx2(acc, a, b, m, n, k);
    return;
  }
#endif
  product_any(acc, a, b, m, n, k);
}
void product_s32(int32_t *acc, const int32_t *a, const int32_t *b, uint32_t m, uint32_t n,
                 uint32_t k) {
#if defined __x86_64__
  if (__builtin_cpu_supports("avx2")) {
    product_integer_avx2(acc, a, b, m, n, k);
    return;
  }
#endif
  product_integer_any(acc, a, b, m, n, k);
}
