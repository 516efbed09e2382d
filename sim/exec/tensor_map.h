/* SPDX-License-Identifier: Apache-2.0 */
/* The 128 bytes of a tensor map: opaque to programs, made by cuTensorMapEncode*, read by copies. */
#ifndef SINTER_SIM_EXEC_TENSOR_MAP_H
#define SINTER_SIM_EXEC_TENSOR_MAP_H

#include <stdint.h>

#define TENSOR_MAP_MAGIC UINT32_C(0x50414d54)

enum tensor_swizzle { SWIZZLE_NONE, SWIZZLE_32, SWIZZLE_64, SWIZZLE_128 };

struct tensor_map {
  uint64_t address;
  uint64_t dims[5];    /* elements, innermost first */
  uint64_t strides[4]; /* bytes, of dims 1 and up */
  uint16_t box[5];     /* elements; im2col: channels, pixels */
  uint8_t steps[5];    /* element strides */
  uint8_t type;        /* CUtensorMapDataType */
  uint8_t rank, swizzle, nan_fill, im2col;
  int16_t lower[3], upper[3]; /* im2col: corners of the bounding box, of W, H, D */
  uint32_t magic;
};
_Static_assert(sizeof(struct tensor_map) <= 128, "the size is part of the driver's interface");

/* Bytes of an element of a CUtensorMapDataType; 0 if there is none. */
static inline uint32_t tensor_type_bytes(uint32_t type) {
  static const uint8_t bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  return type < sizeof bytes ? bytes[type] : 0;
}

#endif
