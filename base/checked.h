/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on sizes that come from outside. Each returns false on overflow and then leaves
 * *out unspecified. */
#ifndef SINTER_BASE_CHECKED_H
#define SINTER_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool size_mul(size_t a, size_t b, size_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}
static inline bool size_add(size_t a, size_t b, size_t *out) {
  return !__builtin_add_overflow(a, b, out);
}
static inline bool u64_mul(uint64_t a, uint64_t b, uint64_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}
static inline bool u64_add(uint64_t a, uint64_t b, uint64_t *out) {
  return !__builtin_add_overflow(a, b, out);
}
static inline bool i64_mul(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}
static inline bool i64_add(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_add_overflow(a, b, out);
}
static inline bool i64_sub(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_sub_overflow(a, b, out);
}

/* Elements of a shape; 1 for rank 0, 0 if any dim is 0. False if a dim is negative or the product
 * of the dims that are not 0 passes INT64_MAX. dims may be NULL when n is 0. */
bool shape_elements(const int64_t *dims, size_t n, int64_t *out);

/* Bytes of a dense shape of `bits`-wide elements, the last byte rounded up (ONNX's packing of
 * sub-byte types). False as shape_elements, or if the bytes pass INT64_MAX. */
bool shape_bytes(const int64_t *dims, size_t n, uint32_t bits, uint64_t *out);

/* Whether [offset, offset + length) lies in a file or buffer of `size` bytes. */
static inline bool range_inside(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

/* value rounded up to a power-of-two alignment. */
static inline bool u64_align(uint64_t value, uint64_t alignment, uint64_t *out) {
  if (__builtin_add_overflow(value, alignment - 1, out))
    return false;
  *out &= ~(alignment - 1);
  return true;
}

#endif
