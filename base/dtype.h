/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: the enum and the facts of each, expanded from dtype.def. */
#ifndef SINTER_BASE_DTYPE_H
#define SINTER_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
#define DTYPE(E, text, bits, kind, onnx, llvm, nccl) DTYPE_##E,
#include "base/dtype.def"
#undef DTYPE
  DTYPE_COUNT
};

enum dtype_kind {
  DTYPE_KIND_FLOAT,
  DTYPE_KIND_SINT,
  DTYPE_KIND_UINT,
  DTYPE_KIND_BOOL,
  DTYPE_KIND_STRING,
};

struct dtype_info {
  const char *name;
  uint8_t bits;
  uint8_t kind; /* enum dtype_kind */
  uint8_t onnx;
  int8_t nccl;
};

extern const struct dtype_info dtype_infos[DTYPE_COUNT];

static inline const char *dtype_name(enum dtype t) { return dtype_infos[t].name; }
static inline unsigned dtype_bits(enum dtype t) { return dtype_infos[t].bits; }
static inline enum dtype_kind dtype_kind(enum dtype t) {
  return (enum dtype_kind)dtype_infos[t].kind;
}
static inline bool dtype_is_float(enum dtype t) { return dtype_kind(t) == DTYPE_KIND_FLOAT; }
static inline bool dtype_is_signed(enum dtype t) { return dtype_kind(t) == DTYPE_KIND_SINT; }
static inline bool dtype_is_unsigned(enum dtype t) { return dtype_kind(t) == DTYPE_KIND_UINT; }
static inline bool dtype_is_int(enum dtype t) { return dtype_is_signed(t) || dtype_is_unsigned(t); }

/* Bytes of one element where elements are not packed: computed values keep sub-byte types one per
 * byte, strings as numbers. */
static inline unsigned dtype_unpacked_bytes(enum dtype t) { return (dtype_bits(t) + 7) / 8; }

/* True where an element is less than a byte, so that packed storage differs from unpacked. */
static inline bool dtype_is_sub_byte(enum dtype t) {
  return dtype_bits(t) > 0 && dtype_bits(t) < 8;
}

/* The dtype that scalar code computes in: f32 for the floats below it, itself otherwise. */
static inline enum dtype dtype_compute(enum dtype t) {
  return dtype_is_float(t) && dtype_bits(t) < 32 ? DTYPE_F32 : t;
}

/* By text name or by ONNX code; false where there is none. */
bool dtype_from_name(const char *name, size_t len, enum dtype *out_dtype);
bool dtype_from_onnx(int32_t code, enum dtype *out_dtype);

#endif
