/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and contexts. */
#include "sim/cuda/sim_driver.h"

int device_count = -1;
_Thread_local CUcontext current;
static struct sim_context primaries[MAX_DEVICES];
static _Thread_local VEC(CUcontext) stack;
static uint64_t context_ids = MAX_DEVICES;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_device(CUdevice d) { return d >= 0 && d < device_count; }
#define NEED_DEVICE(d)                                                                             \
  do {                                                                                             \
    if (device_count < 0)                                                                          \
      return CUDA_ERROR_NOT_INITIALIZED;                                                           \
    if (!is_device(d))                                                                             \
      return CUDA_ERROR_INVALID_DEVICE;                                                            \
  } while (0)

static void begin(struct sim_context *c, int device, uint64_t id) {
  c->device = device;
  c->id = id;
  c->sticky = CUDA_SUCCESS;
  c->limits[0] = 1024;
  c->limits[1] = 1 << 20;
  c->limits[2] = 8 << 20;
  if (!c->legacy) {
    c->legacy = stream_create(c, 0, 0);
    c->legacy->legacy = true;
  }
}

CUcontext context_primary(int device) { return &primaries[device]; }

DECLARE(cuInit, (unsigned flags)) {
  NEED(!flags);
  pthread_mutex_lock(&lock);
  if (device_count < 0) {
    const char *text = getenv("SINTER_SIM_DEVICES");
    long n = text ? strtol(text, NULL, 10) : 1;
    int count = n < 0 ? 0 : n > MAX_DEVICES ? MAX_DEVICES : (int)n;
    for (int k = 0; k < count; k++) {
      primaries[k].primary = true;
      begin(&primaries[k], k, (uint64_t)k + 1);
    }
    device_count = count;
  }
  pthread_mutex_unlock(&lock);
  return device_count ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}
DECLARE(cuDriverGetVersion, (int *version)) {
  NEED(version);
  *version = 13000;
  return CUDA_SUCCESS;
}

DECLARE(cuDeviceGetCount, (int *count)) {
  if (device_count < 0)
    return CUDA_ERROR_NOT_INITIALIZED;
  NEED(count);
  *count = device_count;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGet, (CUdevice * device, int ordinal)) {
  NEED_DEVICE(ordinal);
  NEED(device);
  *device = ordinal;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGetName, (char *name, int size, CUdevice device)) {
  NEED_DEVICE(device);
  NEED(name && size > 0);
  snprintf(name, (size_t)size, "Sinter simulated sm_90a");
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceTotalMem_v2, (size_t *bytes, CUdevice device)) {
  NEED_DEVICE(device);
  NEED(bytes);
  *bytes = DEVICE_MEMORY;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGetUuid_v2, (unsigned char *uuid, CUdevice device)) {
  NEED_DEVICE(device);
  NEED(uuid);
  memcpy(uuid, "sinter-sim-gpu-", 15);
  uuid[15] = (unsigned char)device;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGetUuid, (unsigned char *uuid, CUdevice device)) {
  return cuDeviceGetUuid_v2(uuid, device);
}
DECLARE(cuDeviceGetPCIBusId, (char *id, int size, CUdevice device)) {
  NEED_DEVICE(device);
  NEED(id && size > 0);
  snprintf(id, (size_t)size, "0000:%02X:00.0", device + 1);
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGetByPCIBusId, (CUdevice * device, const char *id)) {
  unsigned domain, bus;
  if (!id || !device || sscanf(id, "%x:%x", &domain, &bus) != 2 || !bus || !is_device((int)bus - 1))
    return CUDA_ERROR_INVALID_VALUE;
  *device = (int)bus - 1;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceComputeCapability, (int *major, int *minor, CUdevice device)) {
  NEED_DEVICE(device);
  NEED(major && minor);
  *major = 9, *minor = 0;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGetAttribute, (int *value, int attribute, CUdevice device)) {
  NEED_DEVICE(device);
  NEED(value);
  switch (attribute) {
#define CUATTRIBUTE(number, v)                                                                     \
  case number: *value = v; return CUDA_SUCCESS;
#include "sim/cuda/cuda_attributes.def"
#undef CUATTRIBUTE
  default:
    *value = 0;
    return attribute > 0 && attribute < 160 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  }
}
DECLARE(cuDeviceGetProperties, (int *properties, CUdevice device)) {
  static const int attributes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
  NEED_DEVICE(device);
  NEED(properties);
  for (size_t k = 0; k < sizeof attributes / sizeof *attributes; k++)
    cuDeviceGetAttribute(&properties[k], attributes[k], device);
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGetExecAffinitySupport, (int *supported, int type, CUdevice device)) {
  (void)type;
  NEED_DEVICE(device);
  NEED(supported);
  *supported = 0;
  return CUDA_SUCCESS;
}

/* Contexts. */

DECLARE(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device)) {
  NEED_DEVICE(device);
  NEED(context);
  __atomic_add_fetch(&primaries[device].retained, 1, __ATOMIC_RELAXED);
  *context = &primaries[device];
  return CUDA_SUCCESS;
}
DECLARE(cuDevicePrimaryCtxRelease_v2, (CUdevice device)) {
  NEED_DEVICE(device);
  if (primaries[device].retained)
    __atomic_sub_fetch(&primaries[device].retained, 1, __ATOMIC_RELAXED);
  return CUDA_SUCCESS;
}
DECLARE(cuDevicePrimaryCtxReset_v2, (CUdevice device)) {
  NEED_DEVICE(device);
  begin(&primaries[device], device, (uint64_t)device + 1);
  return CUDA_SUCCESS;
}
DECLARE(cuDevicePrimaryCtxSetFlags_v2, (CUdevice device, unsigned flags)) {
  NEED_DEVICE(device);
  primaries[device].flags = flags;
  return CUDA_SUCCESS;
}
DECLARE(cuDevicePrimaryCtxGetState, (CUdevice device, unsigned *flags, int *active)) {
  NEED_DEVICE(device);
  NEED(flags && active);
  *flags = primaries[device].flags;
  *active = primaries[device].retained != 0;
  return CUDA_SUCCESS;
}

DECLARE(cuCtxCreate_v2, (CUcontext * context, unsigned flags, CUdevice device)) {
  NEED_DEVICE(device);
  NEED(context);
  struct sim_context *c = mem_calloc(1, sizeof *c);
  begin(c, device, __atomic_add_fetch(&context_ids, 1, __ATOMIC_RELAXED));
  c->flags = flags;
  vec_push(&stack, current);
  *context = current = c;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxCreate_v3,
        (CUcontext * context, void *affinity, int count, unsigned flags, CUdevice device)) {
  (void)affinity;
  return count ? CUDA_ERROR_NOT_SUPPORTED : cuCtxCreate_v2(context, flags, device);
}
DECLARE(cuCtxCreate_v4, (CUcontext * context, void *parameters, unsigned flags, CUdevice device)) {
  (void)parameters;
  return cuCtxCreate_v2(context, flags, device);
}
DECLARE(cuCtxDestroy_v2, (CUcontext context)) {
  if (!context || context->primary || context->destroyed)
    return CUDA_ERROR_INVALID_CONTEXT;
  context_wait(context);
  context->destroyed = true; /* handles that are left must still be told apart */
  context->legacy->destroyed = true;
  if (current == context)
    current = stack.len ? vec_pop(&stack) : NULL;
  if (!stack.len)
    vec_deinit(&stack);
  return CUDA_SUCCESS;
}
DECLARE(cuCtxPushCurrent_v2, (CUcontext context)) {
  if (!context)
    return CUDA_ERROR_INVALID_CONTEXT;
  vec_push(&stack, current);
  current = context;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxPopCurrent_v2, (CUcontext * context)) {
  if (!current)
    return CUDA_ERROR_INVALID_CONTEXT;
  if (context)
    *context = current;
  current = stack.len ? vec_pop(&stack) : NULL;
  if (!stack.len)
    vec_deinit(&stack);
  return CUDA_SUCCESS;
}
DECLARE(cuCtxSetCurrent, (CUcontext context)) {
  current = context;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetCurrent, (CUcontext * context)) {
  NEED(context);
  *context = current;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetDevice, (CUdevice * device)) {
  NEED(device);
  if (!current)
    return CUDA_ERROR_INVALID_CONTEXT;
  *device = current->device;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetDevice_v2, (CUdevice * device, CUcontext context)) {
  NEED(device && context);
  *device = context->device;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetId, (CUcontext context, unsigned long long *id)) {
  context = context ? context : current;
  NEED(id && context);
  *id = context->id;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetFlags, (unsigned *flags)) {
  NEED_CONTEXT();
  NEED(flags);
  *flags = current->flags;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxSetFlags, (unsigned flags)) {
  NEED_CONTEXT();
  current->flags = flags;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetApiVersion, (CUcontext context, unsigned *version)) {
  (void)context;
  NEED(version);
  *version = 3020;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxSynchronize, (void)) {
  NEED_CONTEXT();
  CUresult r = capture_allows_waiting();
  return r ? r : context_wait(current);
}
DECLARE(cuCtxSynchronize_v2, (CUcontext context)) {
  NEED_CONTEXT();
  if (!context || context->destroyed)
    return CUDA_ERROR_INVALID_CONTEXT;
  CUresult r = capture_allows_waiting();
  return r ? r : context_wait(context);
}
DECLARE(cuCtxSetLimit, (int limit, size_t value)) {
  NEED_CONTEXT();
  if (limit < 0 || limit > 6)
    return CUDA_ERROR_UNSUPPORTED_LIMIT;
  if (limit == 0 && value > 512 << 10)
    return CUDA_ERROR_INVALID_VALUE;
  current->limits[limit] = value;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetLimit, (size_t *value, int limit)) {
  NEED_CONTEXT();
  NEED(value);
  if (limit < 0 || limit > 6)
    return CUDA_ERROR_UNSUPPORTED_LIMIT;
  *value = current->limits[limit];
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetCacheConfig, (int *config)) {
  NEED_CONTEXT();
  NEED(config);
  *config = 0;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxSetCacheConfig, (int config)) {
  NEED_CONTEXT();
  NEED(config >= 0 && config < 4);
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetStreamPriorityRange, (int *least, int *greatest)) {
  NEED_CONTEXT();
  if (least)
    *least = 0;
  if (greatest)
    *greatest = -5;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetSharedMemConfig, (int *config)) {
  NEED_CONTEXT();
  NEED(config);
  *config = 1; /* banks of four bytes, the only ones */
  return CUDA_SUCCESS;
}
DECLARE(cuCtxSetSharedMemConfig, (int config)) {
  NEED_CONTEXT();
  NEED(config >= 0 && config < 3);
  return CUDA_SUCCESS;
}
DECLARE(cuCtxAttach, (CUcontext * context, unsigned flags)) {
  NEED_CONTEXT();
  NEED(context && !flags);
  *context = current;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxDetach, (CUcontext context)) {
  return context && context == current ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}
DECLARE(cuCtxResetPersistingL2Cache, (void)) {
  NEED_CONTEXT();
  return CUDA_SUCCESS;
}

/* Peers: every device reaches every other once it was enabled. */

static bool peer_enabled[MAX_DEVICES][MAX_DEVICES];

DECLARE(cuDeviceCanAccessPeer, (int *can, CUdevice device, CUdevice peer)) {
  NEED_DEVICE(device);
  NEED_DEVICE(peer);
  NEED(can);
  *can = device != peer;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGetP2PAttribute, (int *value, int attribute, CUdevice device, CUdevice peer)) {
  NEED_DEVICE(device);
  NEED_DEVICE(peer);
  NEED(value && attribute >= 1 && attribute <= 4 && device != peer);
  *value = 1;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxEnablePeerAccess, (CUcontext peer, unsigned flags)) {
  NEED_CONTEXT();
  NEED(!flags);
  if (!peer || peer->device == current->device)
    return CUDA_ERROR_INVALID_DEVICE;
  if (peer_enabled[current->device][peer->device])
    return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
  peer_enabled[current->device][peer->device] = true;
  device_allow_peer((uint32_t)current->device, (uint32_t)peer->device, true);
  return CUDA_SUCCESS;
}
DECLARE(cuCtxDisablePeerAccess, (CUcontext peer)) {
  NEED_CONTEXT();
  if (!peer || !peer_enabled[current->device][peer->device])
    return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
  peer_enabled[current->device][peer->device] = false;
  device_allow_peer((uint32_t)current->device, (uint32_t)peer->device, false);
  return CUDA_SUCCESS;
}

/* Errors and symbols. */

static const struct {
  int number;
  const char *name, *text;
} errors[] = {
#define CUERROR(number, name, text) {number, #name, text},
#include "sim/cuda/cuda_errors.def"
#undef CUERROR
};
DECLARE(cuGetErrorName, (CUresult error, const char **name)) {
  NEED(name);
  *name = NULL;
  for (size_t k = 0; k < sizeof errors / sizeof *errors; k++)
    if (errors[k].number == error)
      *name = errors[k].name;
  return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuGetErrorString, (CUresult error, const char **text)) {
  NEED(text);
  *text = NULL;
  for (size_t k = 0; k < sizeof errors / sizeof *errors; k++)
    if (errors[k].number == error)
      *text = errors[k].text;
  return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

DECLARE(cuGetExportTable, (const void **table, const void *id)) {
  (void)id;
  NEED(table);
  *table = NULL;
  return CUDA_ERROR_NOT_FOUND;
}
DECLARE(cuFlushGPUDirectRDMAWrites, (int target, int scope)) {
  (void)target, (void)scope;
  NEED_CONTEXT();
  return CUDA_SUCCESS;
}
DECLARE(cuProfilerStart, (void)) { return CUDA_SUCCESS; }
DECLARE(cuProfilerStop, (void)) { return CUDA_SUCCESS; }
