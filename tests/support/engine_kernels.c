/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels for hand-made engines. They are compiled into a section of their own, whose bytes become
 * an engine's code section: so they must not call anything, nor use constants that the compiler
 * keeps elsewhere. Slot 0 of args is the error word; buffers and dims follow in the order given at
 * each.
 */
#include "tests/support/engine_maker.h"

#include <stddef.h>

#if defined(__clang__)
#define PLAIN_CODE                                                                                 \
  __attribute__((section("engine_code"), used, noinline,                                           \
                 no_sanitize("address", "undefined", "thread")))
#else
#define PLAIN_CODE                                                                                 \
  __attribute__((section("engine_code"), used, noinline,                                           \
                 no_sanitize("address", "undefined", "thread"), optimize("O1")))
#endif

#define POINTER(i, type) ((volatile type *)(uintptr_t)args[i])
#define DIM(i) ((int64_t)args[i])

/* out[i] = a[i] + b[i], `tile` elements a tile. Buffers a, b, out; dims n, tile. */
PLAIN_CODE static void add_f32(const uint64_t *args, uint32_t first, uint32_t last, void *scratch) {
  (void)scratch;
  int64_t n = DIM(4), tile = DIM(5);
  for (int64_t i = first * tile; i < last * tile && i < n; i++)
    POINTER(3, float)[i] = POINTER(1, float)[i] + POINTER(2, float)[i];
}

/* The same of integers. */
PLAIN_CODE static void add_i64(const uint64_t *args, uint32_t first, uint32_t last, void *scratch) {
  (void)scratch;
  int64_t n = DIM(4), tile = DIM(5);
  for (int64_t i = first * tile; i < last * tile && i < n; i++)
    POINTER(3, int64_t)[i] = POINTER(1, int64_t)[i] + POINTER(2, int64_t)[i];
}

/* out[0..n) = in, out[n] = n. Buffers in, out; dims n. */
PLAIN_CODE static void append_i64(const uint64_t *args, uint32_t first, uint32_t last,
                                  void *scratch) {
  (void)first, (void)last, (void)scratch;
  for (int64_t i = 0; i < DIM(3); i++)
    POINTER(2, int64_t)[i] = POINTER(1, int64_t)[i];
  POINTER(2, int64_t)[DIM(3)] = DIM(3);
}

/* out[i] = table[index[i]], clamped, an index out of range being noted. Buffers table, index, out;
 * dims rows, n, provenance. */
PLAIN_CODE static void gather_i64(const uint64_t *args, uint32_t first, uint32_t last,
                                  void *scratch) {
  (void)first, (void)last, (void)scratch;
  for (int64_t i = 0; i < DIM(5); i++) {
    int64_t index = POINTER(2, int64_t)[i];
    if (index < 0 || index >= DIM(4)) {
      *POINTER(0, int64_t) = DIM(6) + 1;
      index = 0;
    }
    POINTER(3, int64_t)[i] = POINTER(1, int64_t)[index];
  }
}

/* out[i] = i, one element a tile. Buffers out; dims n. */
PLAIN_CODE static void iota_i64(const uint64_t *args, uint32_t first, uint32_t last,
                                void *scratch) {
  (void)scratch;
  for (int64_t i = first; i < last && i < DIM(2); i++)
    POINTER(1, int64_t)[i] = i;
}

/* out = in < limit, a bool. Buffers in, out; dims limit. */
PLAIN_CODE static void less_i64(const uint64_t *args, uint32_t first, uint32_t last,
                                void *scratch) {
  (void)first, (void)last, (void)scratch;
  *POINTER(2, uint8_t) = *POINTER(1, int64_t) < DIM(3);
}

/* out = sum of in. Buffers in, out; dims n. */
PLAIN_CODE static void sum_i64(const uint64_t *args, uint32_t first, uint32_t last, void *scratch) {
  (void)first, (void)last, (void)scratch;
  int64_t sum = 0;
  for (int64_t i = 0; i < DIM(3); i++)
    sum += POINTER(1, int64_t)[i];
  *POINTER(2, int64_t) = sum;
}

/* out[tile] = sum of in[tile * width ..), by way of scratch. Buffers in, out; dims n, width; 8 *
 * width B of scratch. */
PLAIN_CODE static void thread_sum_i64(const uint64_t *args, uint32_t first, uint32_t last,
                                      void *scratch) {
  int64_t n = DIM(3), width = DIM(4);
  volatile int64_t *own = scratch;
  for (int64_t tile = first; tile < last; tile++) {
    int64_t sum = 0;
    for (int64_t i = 0; i < width; i++)
      own[i] = tile * width + i < n ? POINTER(1, int64_t)[tile * width + i] : 0;
    for (int64_t i = 0; i < width; i++)
      sum += own[i];
    POINTER(2, int64_t)[tile] = sum;
  }
}

extern const uint8_t __start_engine_code[], __stop_engine_code[];

const struct engine_kernel engine_kernels[ENGINE_KERNEL_COUNT] = {
#define ENGINE_KERNEL(name, buffers, dims) {#name, buffers, dims, name},
#include "tests/support/engine_kernel.def"
#undef ENGINE_KERNEL
};

const uint8_t *engine_kernels_code(size_t *out_bytes) {
  *out_bytes = (size_t)(__stop_engine_code - __start_engine_code);
  return __start_engine_code;
}
