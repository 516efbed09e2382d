/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: allocation, pools, the host's, copies and fills, virtual addresses. */
#include "sim/cuda/sim_driver.h"

#include <sys/mman.h>
#include <unistd.h>

enum { GRANULARITY = 2 << 20 };
static struct sim_pool pools[MAX_DEVICES];
static struct sim_pool *pool_of_device[MAX_DEVICES];

static CUresult allocate(CUdeviceptr *address, size_t bytes, enum allocation_kind kind) {
  NEED_CONTEXT();
  NEED(address && bytes);
  *address = device_alloc((uint32_t)current->device, bytes, kind, NULL);
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
DECLARE(cuMemAlloc_v2, (CUdeviceptr * address, size_t bytes)) {
  return allocate(address, bytes, ALLOCATION_DEVICE);
}
DECLARE(cuMemAllocManaged, (CUdeviceptr * address, size_t bytes, unsigned flags)) {
  NEED(flags == 1 || flags == 2);
  return allocate(address, bytes, ALLOCATION_MANAGED);
}
DECLARE(cuMemAllocPitch_v2,
        (CUdeviceptr * address, size_t *pitch, size_t width, size_t height, unsigned element)) {
  NEED(pitch && (element == 4 || element == 8 || element == 16));
  NEED(width && height && width < SIZE_MAX / 2 && height < SIZE_MAX / (2 * (width + 512)));
  *pitch = (width + 511) / 512 * 512;
  return allocate(address, *pitch * height, ALLOCATION_DEVICE);
}
DECLARE(cuMemFree_v2, (CUdeviceptr address)) {
  NEED_CONTEXT();
  if (!address)
    return CUDA_SUCCESS;
  CUresult r = capture_allows_waiting();
  r = r ? r : context_wait(current);
  struct allocation a;
  if (!device_find(address, &a) || a.address != address || a.kind == ALLOCATION_MODULE ||
      a.kind == ALLOCATION_CONST || a.kind == ALLOCATION_MAPPED || a.kind == ALLOCATION_OPENED)
    return CUDA_ERROR_INVALID_VALUE;
  return r ? r : device_free(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuMemGetInfo_v2, (size_t *available, size_t *total)) {
  NEED_CONTEXT();
  NEED(available && total);
  *available = DEVICE_MEMORY - device_used((uint32_t)current->device);
  *total = DEVICE_MEMORY;
  return CUDA_SUCCESS;
}
DECLARE(cuMemGetAddressRange_v2, (CUdeviceptr * base, size_t *bytes, CUdeviceptr address)) {
  struct allocation a;
  NEED_CONTEXT();
  if (!device_find(address, &a) || a.freed || address - a.address >= a.size)
    return CUDA_ERROR_NOT_FOUND;
  if (base)
    *base = a.address;
  if (bytes)
    *bytes = a.size;
  return CUDA_SUCCESS;
}

/* The host's. */

DECLARE(cuMemHostAlloc, (void **p, size_t bytes, unsigned flags)) {
  CUdeviceptr address;
  NEED(p && flags < 8);
  CUresult r = allocate(&address, bytes, ALLOCATION_PINNED);
  *p = r ? NULL : P(address);
  return r;
}
DECLARE(cuMemAllocHost_v2, (void **p, size_t bytes)) { return cuMemHostAlloc(p, bytes, 0); }
DECLARE(cuMemFreeHost, (void *p)) {
  struct allocation a;
  NEED_CONTEXT();
  if (!p)
    return CUDA_SUCCESS;
  if (!device_find((uint64_t)(uintptr_t)p, &a) || a.address != (uint64_t)(uintptr_t)p ||
      a.kind != ALLOCATION_PINNED)
    return CUDA_ERROR_INVALID_VALUE;
  context_wait(current);
  return device_free(a.address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuMemHostRegister_v2, (void *p, size_t bytes, unsigned flags)) {
  (void)flags;
  NEED_CONTEXT();
  NEED(p && bytes);
  return device_register_host((uint32_t)current->device, p, bytes)
             ? CUDA_SUCCESS
             : CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
}
DECLARE(cuMemHostUnregister, (void *p)) {
  struct allocation a;
  uint64_t address = (uint64_t)(uintptr_t)p;
  NEED_CONTEXT();
  if (!device_find(address, &a) || a.address != address || a.kind != ALLOCATION_HOST)
    return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  context_wait(current);
  device_free(address);
  return CUDA_SUCCESS;
}
DECLARE(cuMemHostGetDevicePointer_v2, (CUdeviceptr * address, void *p, unsigned flags)) {
  NEED_CONTEXT();
  NEED(address && !flags && device_valid((uint64_t)(uintptr_t)p, 1));
  *address = (uint64_t)(uintptr_t)p;
  return CUDA_SUCCESS;
}
DECLARE(cuMemHostGetFlags, (unsigned *flags, void *p)) {
  NEED_CONTEXT();
  NEED(flags && device_valid((uint64_t)(uintptr_t)p, 1));
  *flags = 0;
  return CUDA_SUCCESS;
}

DECLARE(cuPointerGetAttribute, (void *out, int attribute, CUdeviceptr address)) {
  struct allocation a;
  NEED_CONTEXT();
  NEED(out);
  if (!device_find(address, &a) || a.freed || address - a.address >= a.size)
    return CUDA_ERROR_INVALID_VALUE;
  bool host = a.kind == ALLOCATION_HOST || a.kind == ALLOCATION_PINNED;
  switch (attribute) {
  case 1: *(CUcontext *)out = context_primary((int)a.device); return CUDA_SUCCESS;
  case 2: *(unsigned *)out = host ? MEMORY_HOST : MEMORY_DEVICE; return CUDA_SUCCESS;
  case 3: *(CUdeviceptr *)out = address; return CUDA_SUCCESS;
  case 4:
    if (!host && a.kind != ALLOCATION_MANAGED)
      return CUDA_ERROR_INVALID_VALUE;
    *(void **)out = P(address);
    return CUDA_SUCCESS;
  case 7: *(unsigned long long *)out = a.address; return CUDA_SUCCESS;
  case 8: *(int *)out = a.kind == ALLOCATION_MANAGED; return CUDA_SUCCESS;
  case 9: *(int *)out = (int)a.device; return CUDA_SUCCESS;
  case 11: *(CUdeviceptr *)out = a.address; return CUDA_SUCCESS;
  case 12: *(size_t *)out = a.size; return CUDA_SUCCESS;
  case 13: *(int *)out = 1; return CUDA_SUCCESS;
  case 6:                                          /* synchronous memory operations */
  case 14:                                         /* handle types that export it */
  case 18:                                         /* size and base of a mapping: none */
  case 19: memset(out, 0, 4); return CUDA_SUCCESS; /* hardware decompression */
  case 10: *(int *)out = a.kind == ALLOCATION_DEVICE; return CUDA_SUCCESS;
  case 16: *(int *)out = 3; return CUDA_SUCCESS; /* read and write */
  default:
    return attribute > 0 && attribute < 24 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
  }
}
DECLARE(cuPointerGetAttributes, (unsigned n, int *attributes, void **out, CUdeviceptr address)) {
  NEED(attributes && out);
  for (unsigned k = 0; k < n; k++)
    if (cuPointerGetAttribute(out[k], attributes[k], address))
      memset(out[k], 0, 4);
  return CUDA_SUCCESS;
}
DECLARE(cuMemAdvise, (CUdeviceptr a, size_t n, int advice, CUdevice device)) {
  (void)advice, (void)device;
  NEED_CONTEXT();
  return device_valid(a, n) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuMemPrefetchAsync, (CUdeviceptr a, size_t n, CUdevice device, CUstream s)) {
  (void)device, (void)s;
  NEED_CONTEXT();
  return device_valid(a, n) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* Pools: bookkeeping over the same memory. */

DECLARE(cuDeviceGetDefaultMemPool, (CUmemoryPool * pool, CUdevice device)) {
  NEED(pool);
  if (device < 0 || device >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  pools[device].device = device;
  *pool = &pools[device];
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGetMemPool, (CUmemoryPool * pool, CUdevice device)) {
  CUresult r = cuDeviceGetDefaultMemPool(pool, device);
  if (!r && pool_of_device[device])
    *pool = pool_of_device[device];
  return r;
}
DECLARE(cuDeviceSetMemPool, (CUdevice device, CUmemoryPool pool)) {
  if (device < 0 || device >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  NEED(pool && pool->device == device);
  pool_of_device[device] = pool;
  return CUDA_SUCCESS;
}
DECLARE(cuMemPoolCreate, (CUmemoryPool * pool, const CUmemPoolProps *props)) {
  NEED(pool && props && props->type == 1);
  if (props->location.type != 1 || props->location.id < 0 || props->location.id >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  *pool = mem_calloc(1, sizeof **pool);
  (*pool)->device = props->location.id;
  (*pool)->most = props->most;
  return CUDA_SUCCESS;
}
DECLARE(cuMemPoolDestroy, (CUmemoryPool pool)) {
  NEED(pool && (pool < pools || pool >= pools + MAX_DEVICES));
  for (int k = 0; k < MAX_DEVICES; k++)
    if (pool_of_device[k] == pool)
      pool_of_device[k] = NULL;
  mem_free(pool);
  return CUDA_SUCCESS;
}
DECLARE(cuMemPoolTrimTo, (CUmemoryPool pool, size_t bytes)) {
  (void)bytes;
  NEED(pool);
  return CUDA_SUCCESS;
}
DECLARE(cuMemPoolSetAttribute, (CUmemoryPool pool, int attribute, void *value)) {
  NEED(pool && value && attribute >= 1 && attribute <= 8);
  if (attribute == 4)
    pool->threshold = *(const uint64_t *)value;
  if (attribute == 6 || attribute == 8)
    pool->high = pool->used;
  return CUDA_SUCCESS;
}
DECLARE(cuMemPoolGetAttribute, (CUmemoryPool pool, int attribute, void *value)) {
  NEED(pool && value && attribute >= 1 && attribute <= 8);
  if (attribute < 4)
    *(int *)value = 1;
  else
    *(uint64_t *)value = attribute == 4                     ? pool->threshold
                         : attribute == 6 || attribute == 8 ? pool->high
                                                            : pool->used;
  return CUDA_SUCCESS;
}
DECLARE(cuMemPoolSetAccess, (CUmemoryPool pool, const CUmemAccessDesc *map, size_t count)) {
  NEED(pool && map);
  for (size_t k = 0; k < count; k++)
    if (map[k].location.id != pool->device && map[k].location.id >= 0 &&
        map[k].location.id < device_count)
      device_allow_peer((uint32_t)map[k].location.id, (uint32_t)pool->device, map[k].flags != 0);
  return CUDA_SUCCESS;
}
DECLARE(cuMemPoolGetAccess, (int *flags, CUmemoryPool pool, CUmemLocation *location)) {
  struct allocation a = {.kind = ALLOCATION_DEVICE};
  NEED(flags && pool && location);
  a.device = (uint32_t)pool->device;
  *flags = device_reachable((uint32_t)location->id, &a) ? 3 : 0;
  return CUDA_SUCCESS;
}

static CUresult submit_memory(CUstream s, enum op_kind kind, CUdeviceptr address) {
  struct sim_stream *stream = stream_of(s);
  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  struct op *o = op_create(kind, current);
  o->address = address;
  return stream_submit(stream, o);
}
DECLARE(cuMemAllocFromPoolAsync,
        (CUdeviceptr * address, size_t bytes, CUmemoryPool pool, CUstream s)) {
  NEED_CONTEXT();
  NEED(pool && address && bytes);
  if (pool->most && pool->used + bytes > pool->most)
    return CUDA_ERROR_OUT_OF_MEMORY;
  *address = device_alloc((uint32_t)pool->device, bytes, ALLOCATION_DEVICE, NULL);
  if (!*address)
    return CUDA_ERROR_OUT_OF_MEMORY;
  pool->used += bytes;
  pool->high = pool->used > pool->high ? pool->used : pool->high;
  struct sim_stream *stream = stream_of(s);
  if (stream && stream->capture)
    device_suspend(*address); /* until the graph runs */
  return submit_memory(s, OP_ALLOC, *address);
}
DECLARE(cuMemAllocAsync, (CUdeviceptr * address, size_t bytes, CUstream s)) {
  CUmemoryPool pool;
  NEED_CONTEXT();
  cuDeviceGetMemPool(&pool, current->device);
  return cuMemAllocFromPoolAsync(address, bytes, pool, s);
}
DECLARE(cuMemFreeAsync, (CUdeviceptr address, CUstream s)) {
  struct allocation a;
  NEED_CONTEXT();
  if (!address)
    return CUDA_SUCCESS;
  struct sim_stream *stream = stream_of(s);
  bool capturing = stream && stream->capture;
  if (!device_find(address, &a) || a.address != address || (a.freed && !capturing))
    return CUDA_ERROR_INVALID_VALUE;
  struct sim_pool *pool = pool_of_device[a.device] ? pool_of_device[a.device] : &pools[a.device];
  pool->used -= pool->used < a.size ? pool->used : a.size;
  return submit_memory(s, OP_FREE, address);
}

/* Copies. Those that wait are made in the default stream. */

static CUresult copy_now(struct op *o) {
  CUresult r = legacy_wait();
  if (r) {
    op_release(o);
    return r;
  }
  struct sim_stream *s = stream_of(NULL);
  r = stream_submit(s, o);
  CUresult waited = stream_wait(s);
  return r ? r : waited;
}
static CUresult copy_on(CUstream s, struct op *o) {
  struct sim_stream *stream = stream_of(s);
  if (stream)
    return stream_submit(stream, o);
  op_release(o);
  return CUDA_ERROR_INVALID_HANDLE;
}
static CUresult line(unsigned to_type, CUdeviceptr to, unsigned from_type, CUdeviceptr from,
                     size_t n, struct op **out) {
  NEED_CONTEXT();
  CUDA_MEMCPY3D c = {.from = {.type = from_type, .device = from, .host = P(from)},
                     .to = {.type = to_type, .device = to, .host = P(to)},
                     .width = n,
                     .height = 1,
                     .depth = 1};
  return op_of_copy(&c, out);
}
#define COPY(name, to_type, from_type, To, From)                                                   \
  DECLARE(name##_v2, (To to, From from, size_t n)) {                                               \
    struct op *o = NULL;                                                                           \
    CUresult r =                                                                                   \
        line(to_type, (CUdeviceptr)(uintptr_t)to, from_type, (CUdeviceptr)(uintptr_t)from, n, &o); \
    return r ? r : copy_now(o);                                                                    \
  }                                                                                                \
  DECLARE(name##Async_v2, (To to, From from, size_t n, CUstream s)) {                              \
    struct op *o = NULL;                                                                           \
    CUresult r =                                                                                   \
        line(to_type, (CUdeviceptr)(uintptr_t)to, from_type, (CUdeviceptr)(uintptr_t)from, n, &o); \
    return r ? r : copy_on(s, o);                                                                  \
  }
COPY(cuMemcpyHtoD, MEMORY_DEVICE, MEMORY_HOST, CUdeviceptr, const void *)
COPY(cuMemcpyDtoH, MEMORY_HOST, MEMORY_DEVICE, void *, CUdeviceptr)
COPY(cuMemcpyDtoD, MEMORY_DEVICE, MEMORY_DEVICE, CUdeviceptr, CUdeviceptr)

DECLARE(cuMemcpy, (CUdeviceptr to, CUdeviceptr from, size_t n)) {
  struct op *o = NULL;
  CUresult r = line(MEMORY_UNIFIED, to, MEMORY_UNIFIED, from, n, &o);
  return r ? r : copy_now(o);
}
DECLARE(cuMemcpyAsync, (CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s)) {
  struct op *o = NULL;
  CUresult r = line(MEMORY_UNIFIED, to, MEMORY_UNIFIED, from, n, &o);
  return r ? r : copy_on(s, o);
}
DECLARE(cuMemcpyPeer, (CUdeviceptr to, CUcontext tc, CUdeviceptr from, CUcontext fc, size_t n)) {
  NEED(tc && fc);
  return cuMemcpyDtoD_v2(to, from, n);
}
DECLARE(cuMemcpyPeerAsync,
        (CUdeviceptr to, CUcontext tc, CUdeviceptr from, CUcontext fc, size_t n, CUstream s)) {
  NEED(tc && fc);
  return cuMemcpyDtoDAsync_v2(to, from, n, s);
}

static CUDA_MEMCPY3D widened(const CUDA_MEMCPY2D *c) {
  CUDA_MEMCPY3D w = {.width = c->width, .height = c->height, .depth = 1};
  w.from = (sim_copy_side){.x = c->from.x,
                           .y = c->from.y,
                           .type = c->from.type,
                           .host = c->from.host,
                           .device = c->from.device,
                           .pitch = c->from.pitch};
  w.to = (sim_copy_side){.x = c->to.x,
                         .y = c->to.y,
                         .type = c->to.type,
                         .host = c->to.host,
                         .device = c->to.device,
                         .pitch = c->to.pitch};
  return w;
}
DECLARE(cuMemcpy3D_v2, (const CUDA_MEMCPY3D *c)) {
  struct op *o = NULL;
  NEED_CONTEXT();
  NEED(c);
  CUresult r = op_of_copy(c, &o);
  return r ? r : copy_now(o);
}
DECLARE(cuMemcpy3DAsync_v2, (const CUDA_MEMCPY3D *c, CUstream s)) {
  struct op *o = NULL;
  NEED_CONTEXT();
  NEED(c);
  CUresult r = op_of_copy(c, &o);
  return r ? r : copy_on(s, o);
}
DECLARE(cuMemcpy2D_v2, (const CUDA_MEMCPY2D *c)) {
  NEED(c);
  CUDA_MEMCPY3D w = widened(c);
  return cuMemcpy3D_v2(&w);
}
DECLARE(cuMemcpy2DUnaligned_v2, (const CUDA_MEMCPY2D *c)) { return cuMemcpy2D_v2(c); }
DECLARE(cuMemcpy2DAsync_v2, (const CUDA_MEMCPY2D *c, CUstream s)) {
  NEED(c);
  CUDA_MEMCPY3D w = widened(c);
  return cuMemcpy3DAsync_v2(&w, s);
}

static CUresult fill(CUdeviceptr to, size_t pitch, unsigned value, unsigned element, size_t width,
                     size_t height, bool now, CUstream s) {
  struct op *o = NULL;
  NEED_CONTEXT();
  CUresult r = op_of_set(to, pitch, value, element, width, height, &o);
  return r ? r : now ? copy_now(o) : copy_on(s, o);
}
#define FILL(bits, T)                                                                              \
  DECLARE(cuMemsetD##bits##_v2, (CUdeviceptr to, T value, size_t n)) {                             \
    return fill(to, 0, value, bits / 8, n, 1, true, NULL);                                         \
  }                                                                                                \
  DECLARE(cuMemsetD##bits##Async, (CUdeviceptr to, T value, size_t n, CUstream s)) {               \
    return fill(to, 0, value, bits / 8, n, 1, false, s);                                           \
  }                                                                                                \
  DECLARE(cuMemsetD2D##bits##_v2, (CUdeviceptr to, size_t pitch, T value, size_t w, size_t h)) {   \
    return fill(to, pitch, value, bits / 8, w, h, true, NULL);                                     \
  }                                                                                                \
  DECLARE(cuMemsetD2D##bits##Async,                                                                \
          (CUdeviceptr to, size_t pitch, T value, size_t w, size_t h, CUstream s)) {               \
    return fill(to, pitch, value, bits / 8, w, h, false, s);                                       \
  }
FILL(8, unsigned char)
FILL(16, unsigned short)
FILL(32, unsigned)

/* Virtual addresses: memory is a file of the host's, mapped where it is wanted. */

struct physical {
  int file;
  size_t size;
  CUmemAllocationProp prop;
  uint32_t references;
};
static struct physical *physical_of(CUmemGenericAllocationHandle h) { return P(h); }
static void physical_release(struct physical *p) {
  if (__atomic_sub_fetch(&p->references, 1, __ATOMIC_ACQ_REL))
    return;
  close(p->file);
  mem_free(p);
}
static VEC(struct mapped {
  CUdeviceptr address;
  size_t size;
  struct physical *physical;
}) mappings;
static pthread_mutex_t mapping_lock = PTHREAD_MUTEX_INITIALIZER;

DECLARE(cuMemGetAllocationGranularity,
        (size_t *granularity, const CUmemAllocationProp *prop, int option)) {
  NEED(granularity && prop && option >= 0 && option < 2);
  *granularity = GRANULARITY;
  return CUDA_SUCCESS;
}
DECLARE(cuMemAddressReserve,
        (CUdeviceptr * address, size_t size, size_t align, CUdeviceptr wanted, uint64_t flags)) {
  (void)wanted;
  NEED(address && size && !(size % GRANULARITY) && !flags && !(align & (align - 1)));
  *address = device_reserve(size, align > GRANULARITY ? align : GRANULARITY);
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
DECLARE(cuMemAddressFree, (CUdeviceptr address, size_t size)) {
  NEED(address && size); /* addresses are not used again */
  return CUDA_SUCCESS;
}
DECLARE(cuMemCreate, (CUmemGenericAllocationHandle * handle, size_t size,
                      const CUmemAllocationProp *prop, uint64_t flags)) {
  NEED(handle && prop && size && !(size % GRANULARITY) && !flags && prop->type == 1);
  if (prop->location.type != 1 || prop->location.id < 0 || prop->location.id >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  int file = memfd_create("sinter-sim", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, (off_t)size)) {
    if (file >= 0)
      close(file);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  struct physical *p = mem_alloc(sizeof *p);
  *p = (struct physical){file, size, *prop, 1};
  *handle = (uint64_t)(uintptr_t)p;
  return CUDA_SUCCESS;
}
DECLARE(cuMemRelease, (CUmemGenericAllocationHandle handle)) {
  NEED(handle);
  physical_release(physical_of(handle));
  return CUDA_SUCCESS;
}
DECLARE(cuMemMap, (CUdeviceptr address, size_t size, size_t offset,
                   CUmemGenericAllocationHandle handle, uint64_t flags)) {
  struct physical *p = physical_of(handle);
  NEED(p && size && !(size % GRANULARITY) && !(offset % GRANULARITY) && !flags);
  NEED(offset <= p->size && size <= p->size - offset && !(address % GRANULARITY));
  if (!device_map(address, size, p->file, offset, (uint32_t)p->prop.location.id))
    return CUDA_ERROR_INVALID_VALUE;
  __atomic_add_fetch(&p->references, 1, __ATOMIC_RELAXED);
  pthread_mutex_lock(&mapping_lock);
  vec_push(&mappings, ((struct mapped){address, size, p}));
  pthread_mutex_unlock(&mapping_lock);
  return CUDA_SUCCESS;
}
DECLARE(cuMemUnmap, (CUdeviceptr address, size_t size)) {
  if (!device_unmap(address, size))
    return CUDA_ERROR_INVALID_VALUE;
  pthread_mutex_lock(&mapping_lock);
  for (uint32_t k = 0; k < mappings.len;) {
    struct mapped *m = &mappings.data[k];
    if (m->address < address || m->address >= address + size) {
      k++;
      continue;
    }
    physical_release(m->physical);
    *m = vec_last(&mappings);
    (void)vec_pop(&mappings);
  }
  if (!mappings.len)
    vec_deinit(&mappings);
  pthread_mutex_unlock(&mapping_lock);
  return CUDA_SUCCESS;
}
DECLARE(cuMemSetAccess,
        (CUdeviceptr address, size_t size, const CUmemAccessDesc *all, size_t count)) {
  NEED(all);
  for (size_t k = 0; k < count; k++) {
    if (all[k].location.id < 0 || all[k].location.id >= device_count)
      return CUDA_ERROR_INVALID_DEVICE;
    if (!device_set_access(address, size, (uint32_t)all[k].location.id, all[k].flags & 1,
                           all[k].flags == 3))
      return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}
DECLARE(cuMemGetAccess, (uint64_t *flags, const CUmemLocation *location, CUdeviceptr address)) {
  struct allocation a;
  NEED(flags && location);
  if (!device_find(address, &a) || a.freed)
    return CUDA_ERROR_INVALID_VALUE;
  *flags = !device_reachable((uint32_t)location->id, &a) ? 0 : a.readonly ? 1 : 3;
  return CUDA_SUCCESS;
}
DECLARE(cuMemGetAllocationPropertiesFromHandle,
        (CUmemAllocationProp * prop, CUmemGenericAllocationHandle handle)) {
  NEED(prop && handle);
  *prop = physical_of(handle)->prop;
  return CUDA_SUCCESS;
}
DECLARE(cuMemRetainAllocationHandle, (CUmemGenericAllocationHandle * handle, void *address)) {
  NEED(handle);
  *handle = 0;
  pthread_mutex_lock(&mapping_lock);
  for (uint32_t k = 0; k < mappings.len; k++)
    if ((uint64_t)(uintptr_t)address - mappings.data[k].address < mappings.data[k].size) {
      __atomic_add_fetch(&mappings.data[k].physical->references, 1, __ATOMIC_RELAXED);
      *handle = (uint64_t)(uintptr_t)mappings.data[k].physical;
    }
  pthread_mutex_unlock(&mapping_lock);
  return *handle ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuMemExportToShareableHandle,
        (void *out, CUmemGenericAllocationHandle handle, int type, uint64_t flags)) {
  NEED(out && handle && type == 1 && !flags);
  *(int *)out = dup(physical_of(handle)->file);
  return *(int *)out < 0 ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}
DECLARE(cuMemImportFromShareableHandle,
        (CUmemGenericAllocationHandle * handle, void *os_handle, int type)) {
  NEED(handle && type == 1);
  int file = dup((int)(intptr_t)os_handle);
  off_t size = file < 0 ? -1 : lseek(file, 0, SEEK_END);
  if (size <= 0) {
    if (file >= 0)
      close(file);
    return CUDA_ERROR_INVALID_VALUE;
  }
  struct physical *p = mem_alloc(sizeof *p);
  *p = (struct physical){.file = file, .size = (size_t)size, .references = 1};
  p->prop = (CUmemAllocationProp){.type = 1, .handle_types = 1, .location = {1, 0}};
  *handle = (uint64_t)(uintptr_t)p;
  return CUDA_SUCCESS;
}
