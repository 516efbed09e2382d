/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor maps, with the rules of the driver's documentation: each broken one is named on stderr. */
#include "sim/cuda/sim_driver.h"
#include "sim/exec/tensor_map.h"

static CUresult refuse(const char *why) {
  fprintf(stderr, "sim: error: tensor map: %s\n", why);
  return CUDA_ERROR_INVALID_VALUE;
}

static CUresult common(struct tensor_map *m, unsigned type, unsigned rank, const void *address,
                       const uint64_t *dims, const uint64_t *strides, const uint32_t *steps,
                       int interleave, int swizzle, int promotion, int fill) {
  *m = (struct tensor_map){.address = (uint64_t)(uintptr_t)address,
                           .type = (uint8_t)type,
                           .rank = (uint8_t)rank,
                           .swizzle = (uint8_t)swizzle,
                           .nan_fill = fill == 1,
                           .magic = TENSOR_MAP_MAGIC};
  uint32_t element = tensor_type_bytes(type);
  if (!element)
    return refuse("the element type is none that there is");
  if (rank < 1 || rank > 5)
    return refuse("there are 1 to 5 dimensions");
  if (interleave) {
    fprintf(stderr, "sim: error: tensor map: interleaved layouts are not simulated\n");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  if (!address || m->address % 16)
    return refuse("the global address is not aligned to 16 bytes");
  if (!dims || !steps || (rank > 1 && !strides))
    return refuse("sizes, strides or element strides are missing");
  if (swizzle < 0 || swizzle > 3 || promotion < 0 || promotion > 3 || fill < 0 || fill > 1)
    return refuse("swizzle, promotion or fill is out of range");
  if (fill && type < 6)
    return refuse("a fill with NaN needs a floating-point type");
  for (unsigned k = 0; k < rank; k++) {
    if (!dims[k] || dims[k] > UINT64_C(1) << 32)
      return refuse("a dimension is 0 or larger than 2^32");
    if (!steps[k] || steps[k] > 8)
      return refuse("element strides are 1 to 8");
    m->dims[k] = dims[k];
    m->steps[k] = k ? (uint8_t)steps[k] : 1; /* without interleave the first has no effect */
  }
  for (unsigned k = 0; k + 1 < rank; k++) {
    if (strides[k] % 16 || strides[k] >= UINT64_C(1) << 40)
      return refuse("a global stride is no multiple of 16 below 2^40");
    uint64_t least = k ? dims[k] * strides[k - 1] : dims[0] * element;
    if (strides[k] < least)
      return refuse("a global stride is smaller than the dimension that it steps over");
    m->strides[k] = strides[k];
  }
  return CUDA_SUCCESS;
}

static CUresult check_inner(unsigned swizzle, uint64_t bytes) {
  static const uint32_t most[] = {UINT32_MAX, 32, 64, 128};
  if (bytes % 16)
    return refuse("the innermost dimension of the box is no multiple of 16 bytes");
  if (bytes > most[swizzle])
    return refuse("the innermost dimension of the box is larger than the swizzle's span");
  return CUDA_SUCCESS;
}

DECLARE(cuTensorMapEncodeTiled,
        (CUtensorMap * map, unsigned type, unsigned rank, void *address, const uint64_t *dims,
         const uint64_t *strides, const uint32_t *box, const uint32_t *steps, int interleave,
         int swizzle, int promotion, int fill)) {
  struct tensor_map m;
  NEED(map);
  if ((uintptr_t)map % 64)
    return refuse("the map itself is not aligned to 64 bytes");
  CUresult r =
      common(&m, type, rank, address, dims, strides, steps, interleave, swizzle, promotion, fill);
  if (r)
    return r;
  if (!box)
    return refuse("the box is missing");
  for (unsigned k = 0; k < rank; k++) {
    if (!box[k] || box[k] > 256)
      return refuse("a dimension of the box is 0 or larger than 256");
    m.box[k] = (uint16_t)box[k];
  }
  r = check_inner((unsigned)swizzle, (uint64_t)box[0] * tensor_type_bytes(type));
  if (r)
    return r;
  memset(map, 0, sizeof *map);
  memcpy(map, &m, sizeof m);
  return CUDA_SUCCESS;
}

DECLARE(cuTensorMapEncodeIm2col,
        (CUtensorMap * map, unsigned type, unsigned rank, void *address, const uint64_t *dims,
         const uint64_t *strides, const int *lower, const int *upper, unsigned channels,
         unsigned pixels, const uint32_t *steps, int interleave, int swizzle, int promotion,
         int fill)) {
  struct tensor_map m;
  NEED(map && lower && upper);
  if ((uintptr_t)map % 64)
    return refuse("the map itself is not aligned to 64 bytes");
  CUresult r =
      common(&m, type, rank, address, dims, strides, steps, interleave, swizzle, promotion, fill);
  if (r)
    return r;
  if (rank < 3)
    return refuse("im2col needs 3 to 5 dimensions");
  if (!channels || channels > 256 || !pixels || pixels > 1024)
    return refuse("im2col takes 1 to 256 channels of 1 to 1024 pixels");
  int limit = rank == 3 ? 32768 : rank == 4 ? 128 : 16;
  for (unsigned k = 0; k < rank - 2; k++) {
    if (lower[k] < -limit || lower[k] >= limit || upper[k] < -limit || upper[k] >= limit)
      return refuse("a corner of the bounding box is out of range");
    m.lower[k] = (int16_t)lower[k];
    m.upper[k] = (int16_t)upper[k];
    if ((int64_t)m.dims[k + 1] + upper[k] <= lower[k])
      return refuse("the bounding box is empty");
  }
  m.im2col = 1;
  m.box[0] = (uint16_t)channels;
  m.box[1] = (uint16_t)pixels;
  r = check_inner((unsigned)swizzle, (uint64_t)channels * tensor_type_bytes(type));
  if (r)
    return r;
  memset(map, 0, sizeof *map);
  memcpy(map, &m, sizeof m);
  return CUDA_SUCCESS;
}
DECLARE(cuTensorMapReplaceAddress, (CUtensorMap * map, void *address)) {
  struct tensor_map m;
  NEED(map);
  memcpy(&m, map, sizeof m);
  if (m.magic != TENSOR_MAP_MAGIC || (uintptr_t)address % 16)
    return refuse("no map, or an address that is not aligned to 16 bytes");
  m.address = (uint64_t)(uintptr_t)address;
  memcpy(map, &m, sizeof m);
  return CUDA_SUCCESS;
}
