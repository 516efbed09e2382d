/* SPDX-License-Identifier: Apache-2.0 */
/* Newer forms of calls on memory: by location instead of by device, several at once, and what is
 * known of ranges. Advice and prefetching move nothing: all memory is the host's. */
#include "sim/cuda/sim_driver.h"

static CUresult ranges_valid(const CUdeviceptr *addresses, const size_t *sizes, size_t count) {
  NEED_CONTEXT();
  NEED(addresses && sizes && count);
  for (size_t k = 0; k < count; k++)
    NEED(device_valid(addresses[k], sizes[k]));
  return CUDA_SUCCESS;
}
DECLARE(cuMemAdvise_v2, (CUdeviceptr a, size_t n, int advice, CUmemLocation location)) {
  (void)advice, (void)location;
  return ranges_valid(&a, &n, 1);
}
DECLARE(cuMemPrefetchAsync_v2,
        (CUdeviceptr a, size_t n, CUmemLocation location, unsigned flags, CUstream s)) {
  (void)location, (void)s;
  NEED(!flags);
  return ranges_valid(&a, &n, 1);
}
DECLARE(cuMemPrefetchBatchAsync,
        (CUdeviceptr * a, size_t *sizes, size_t count, CUmemLocation *locations, size_t *indices,
         size_t location_count, unsigned long long flags, CUstream s)) {
  (void)s;
  NEED(locations && indices && location_count && !flags);
  return ranges_valid(a, sizes, count);
}
DECLARE(cuMemDiscardBatchAsync,
        (CUdeviceptr * a, size_t *sizes, size_t count, unsigned long long flags, CUstream s)) {
  (void)s;
  NEED(!flags);
  return ranges_valid(a, sizes, count);
}
DECLARE(cuMemDiscardAndPrefetchBatchAsync,
        (CUdeviceptr * a, size_t *sizes, size_t count, CUmemLocation *locations, size_t *indices,
         size_t location_count, unsigned long long flags, CUstream s)) {
  return cuMemPrefetchBatchAsync(a, sizes, count, locations, indices, location_count, flags, s);
}
DECLARE(cuStreamAttachMemAsync, (CUstream s, CUdeviceptr a, size_t n, unsigned flags)) {
  (void)s, (void)flags;
  n = n ? n : 1;
  return ranges_valid(&a, &n, 1);
}

/* What nobody advised: no preferred place, none that it was brought to. */
DECLARE(cuMemRangeGetAttribute, (void *data, size_t size, int attribute, CUdeviceptr a, size_t n)) {
  enum { NO_DEVICE = -2 };
  CUresult r = ranges_valid(&a, &n, 1);
  NEED(data && size >= 4 && !(size % 4) && attribute >= 1 && attribute <= 8);
  int *out = data;
  for (size_t k = 0; k < size / 4; k++)
    out[k] = attribute >= 2 && attribute <= 4 ? NO_DEVICE : 0;
  return r;
}
DECLARE(cuMemRangeGetAttributes,
        (void **data, size_t *sizes, int *attributes, size_t count, CUdeviceptr a, size_t n)) {
  NEED(data && sizes && attributes && count);
  CUresult r = CUDA_SUCCESS;
  for (size_t k = 0; k < count && !r; k++)
    r = cuMemRangeGetAttribute(data[k], sizes[k], attributes[k], a, n);
  return r;
}
DECLARE(cuPointerSetAttribute, (const void *value, int attribute, CUdeviceptr a)) {
  size_t one = 1;
  NEED(value && attribute == 6); /* operations on it are synchronous as they are */
  return ranges_valid(&a, &one, 1);
}

static CUresult device_of(const CUmemLocation *location, int type, CUdevice *out) {
  NEED(location && type >= 1);
  if (location->type != 1 || type != 1) {
    fprintf(stderr, "sim: error: memory pools of other places than devices are not simulated\n");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  *out = location->id;
  return CUDA_SUCCESS;
}
DECLARE(cuMemGetDefaultMemPool, (CUmemoryPool * pool, CUmemLocation *location, int type)) {
  CUdevice d;
  CUresult r = device_of(location, type, &d);
  return r ? r : cuDeviceGetDefaultMemPool(pool, d);
}
DECLARE(cuMemGetMemPool, (CUmemoryPool * pool, CUmemLocation *location, int type)) {
  CUdevice d;
  CUresult r = device_of(location, type, &d);
  return r ? r : cuDeviceGetMemPool(pool, d);
}
DECLARE(cuMemSetMemPool, (CUmemLocation * location, int type, CUmemoryPool pool)) {
  CUdevice d;
  CUresult r = device_of(location, type, &d);
  return r ? r : cuDeviceSetMemPool(d, pool);
}

/* Copies. */

DECLARE(cuMemcpyBatchAsync_v2,
        (CUdeviceptr * to, CUdeviceptr *from, size_t *sizes, size_t count, void *attributes,
         size_t *indices, size_t attribute_count, CUstream s)) {
  (void)attributes, (void)indices, (void)attribute_count;
  NEED(to && from && sizes && count);
  CUresult r = CUDA_SUCCESS;
  for (size_t k = 0; k < count && !r; k++)
    r = cuMemcpyAsync(to[k], from[k], sizes[k], s);
  return r;
}
DECLARE(cuMemcpyBatchAsync,
        (CUdeviceptr * to, CUdeviceptr *from, size_t *sizes, size_t count, void *attributes,
         size_t *indices, size_t attribute_count, size_t *failed, CUstream s)) {
  if (failed)
    *failed = SIZE_MAX;
  return cuMemcpyBatchAsync_v2(to, from, sizes, count, attributes, indices, attribute_count, s);
}

struct operand3d {
  int type; /* 1: a pointer; 2: an array */
  CUdeviceptr address;
  size_t row, height; /* bytes of a row here, rows of a layer; 0: as copied */
  CUmemLocation hint;
};
struct copy3d {
  struct operand3d from, to;
  size_t width, height, depth;
  int order;
  unsigned flags;
};
static sim_copy_side side_of(const struct operand3d *o, const struct copy3d *c) {
  return (sim_copy_side){.type = MEMORY_UNIFIED,
                         .device = o->address,
                         .pitch = o->row ? o->row : c->width,
                         .height = o->height ? o->height : c->height};
}
DECLARE(cuMemcpy3DBatchAsync_v2,
        (size_t count, const struct copy3d *all, unsigned long long flags, CUstream s)) {
  NEED(count && all && !flags);
  CUresult r = CUDA_SUCCESS;
  for (size_t k = 0; k < count && !r; k++) {
    if (all[k].from.type != 1 || all[k].to.type != 1) {
      fprintf(stderr, "sim: error: arrays are not simulated\n");
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    CUDA_MEMCPY3D c = {.from = side_of(&all[k].from, &all[k]),
                       .to = side_of(&all[k].to, &all[k]),
                       .width = all[k].width,
                       .height = all[k].height,
                       .depth = all[k].depth};
    r = cuMemcpy3DAsync_v2(&c, s);
  }
  return r;
}
DECLARE(cuMemcpy3DBatchAsync, (size_t count, const struct copy3d *all, size_t *failed,
                               unsigned long long flags, CUstream s)) {
  if (failed)
    *failed = SIZE_MAX;
  return cuMemcpy3DBatchAsync_v2(count, all, flags, s);
}

/* As CUDA_MEMCPY3D with contexts where that has a reserved word. */
DECLARE(cuMemcpy3DPeer, (const CUDA_MEMCPY3D *c)) { return cuMemcpy3D_v2(c); }
DECLARE(cuMemcpy3DPeerAsync, (const CUDA_MEMCPY3D *c, CUstream s)) {
  return cuMemcpy3DAsync_v2(c, s);
}
