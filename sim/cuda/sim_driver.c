/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA driver's functions over the simulator. Work runs when it is submitted, so streams are in
 * order by nature and events have happened when they are recorded. A fault stays with its context,
 * as on hardware: every later call in it returns the same error. Symbols are those of libcuda.so.1;
 * the signatures are the documented ones. */
#include "sim/cuda/cuda_types.h"
#include "sim/exec/device.h"
#include "sim/exec/simt.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_DEVICES = 64 };
struct sim_context {
  int device;
  int sticky;
};
struct sim_module {
  struct program *program;
};
struct sim_stream {
  int unused;
};
struct sim_event {
  double seconds;
  bool recorded;
};

static struct sim_context contexts[MAX_DEVICES];
static int device_count = -1;
static _Thread_local CUcontext current;
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

#define API __attribute__((visibility("default"))) CUresult
#define DECLARE(name, parameters)                                                                  \
  API name parameters;                                                                             \
  API name parameters

/* The current context works. */
#define NEED_CONTEXT()                                                                             \
  do {                                                                                             \
    if (device_count < 0)                                                                          \
      return CUDA_ERROR_NOT_INITIALIZED;                                                           \
    if (!current)                                                                                  \
      return CUDA_ERROR_INVALID_CONTEXT;                                                           \
    if (current->sticky)                                                                           \
      return current->sticky;                                                                      \
  } while (0)

DECLARE(cuInit, (unsigned flags)) {
  if (flags)
    return CUDA_ERROR_INVALID_VALUE;
  const char *text = getenv("SINTER_SIM_DEVICES");
  long n = text ? strtol(text, NULL, 10) : 1;
  device_count = n < 0 ? 0 : n > MAX_DEVICES ? MAX_DEVICES : (int)n;
  for (int k = 0; k < device_count; k++)
    contexts[k].device = k;
  return device_count ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}
DECLARE(cuDriverGetVersion, (int *version)) {
  if (!version)
    return CUDA_ERROR_INVALID_VALUE;
  *version = 12080;
  return CUDA_SUCCESS;
}

/* Devices. */

DECLARE(cuDeviceGetCount, (int *count)) {
  if (device_count < 0)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (!count)
    return CUDA_ERROR_INVALID_VALUE;
  *count = device_count;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGet, (CUdevice * device, int ordinal)) {
  if (device_count < 0)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (ordinal < 0 || ordinal >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGetName, (char *name, int size, CUdevice device)) {
  if (device < 0 || device >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  if (size > 0)
    snprintf(name, (size_t)size, "Sinter simulated sm_90a");
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceTotalMem_v2, (size_t * bytes, CUdevice device)) {
  if (device < 0 || device >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  *bytes = DEVICE_MEMORY;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceGetAttribute, (int *value, int attribute, CUdevice device)) {
  if (device < 0 || device >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  switch (attribute) {
#define CUATTRIBUTE(number, v)                                                                     \
  case number:                                                                                     \
    *value = v;                                                                                    \
    return CUDA_SUCCESS;
#include "sim/cuda/cuda_attributes.def"
#undef CUATTRIBUTE
  default:
    *value = 0;
    return attribute > 0 && attribute < 160 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  }
}

/* Contexts: the primary one of each device. */

DECLARE(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device)) {
  if (device < 0 || device >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  *context = &contexts[device];
  return CUDA_SUCCESS;
}
DECLARE(cuDevicePrimaryCtxRelease_v2, (CUdevice device)) {
  return device < 0 || device >= device_count ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
}
DECLARE(cuDevicePrimaryCtxReset_v2, (CUdevice device)) {
  if (device < 0 || device >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  contexts[device].sticky = CUDA_SUCCESS;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxSetCurrent, (CUcontext context)) {
  current = context;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetCurrent, (CUcontext * context)) {
  *context = current;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxGetDevice, (CUdevice * device)) {
  if (!current)
    return CUDA_ERROR_INVALID_CONTEXT;
  *device = current->device;
  return CUDA_SUCCESS;
}
DECLARE(cuCtxSynchronize, (void)) {
  NEED_CONTEXT();
  return CUDA_SUCCESS;
}

/* Modules. */

static size_t image_size(const char *text) { return strlen(text); }

DECLARE(cuModuleLoadData, (CUmodule * module, const void *image)) {
  NEED_CONTEXT();
  if (!module || !image)
    return CUDA_ERROR_INVALID_VALUE;
  const uint8_t *magic = image;
  bool elf = !memcmp(magic, "\177ELF", 4), fat = magic[0] == 0x50 && magic[1] == 0xed;
  if (elf || fat) {
    fprintf(stderr, "sim: error: the image is a %s: only PTX text can be simulated\n",
            elf ? "cubin" : "fat binary");
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  struct diags d = {0};
  struct program *p;
  pthread_mutex_lock(&loading);
  status st = program_load(image, image_size(image), (uint32_t)current->device, &d, &p);
  pthread_mutex_unlock(&loading);
  if (st)
    diags_print(&d, stderr);
  diags_deinit(&d);
  if (st)
    return CUDA_ERROR_INVALID_PTX;
  struct sim_module *made = mem_alloc(sizeof *made);
  made->program = p;
  *module = made;
  return CUDA_SUCCESS;
}
DECLARE(cuModuleLoadDataEx,
        (CUmodule * module, const void *image, unsigned count, int *options, void **values)) {
  (void)count, (void)options,
      (void)values; /* tuning of a compiler that is not there; logs go to stderr */
  return cuModuleLoadData(module, image);
}
DECLARE(cuModuleUnload, (CUmodule module)) {
  if (!module)
    return CUDA_ERROR_INVALID_HANDLE;
  program_unload(module->program);
  mem_free(module);
  return CUDA_SUCCESS;
}
DECLARE(cuModuleGetFunction, (CUfunction * function, CUmodule module, const char *name)) {
  if (!module || !name)
    return CUDA_ERROR_INVALID_VALUE;
  struct function *f = program_function(module->program, name);
  if (!f || !f->entry)
    return CUDA_ERROR_NOT_FOUND;
  *function = f;
  return CUDA_SUCCESS;
}
DECLARE(cuModuleGetGlobal_v2,
        (CUdeviceptr * address, size_t *bytes, CUmodule module, const char *name)) {
  uint64_t index;
  if (!module || !name)
    return CUDA_ERROR_INVALID_VALUE;
  if (!strmap_get_c(&module->program->symbol_map, name, &index) ||
      module->program->symbols.data[index].space == SPACE_SHARED)
    return CUDA_ERROR_NOT_FOUND;
  if (address)
    *address = module->program->symbols.data[index].address;
  if (bytes)
    *bytes = module->program->symbols.data[index].size;
  return CUDA_SUCCESS;
}
DECLARE(cuFuncSetAttribute, (CUfunction function, int attribute, int value)) {
  if (!function || value < 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (attribute == 8) { /* the limit of dynamic shared memory */
    if (value > 232448)
      return CUDA_ERROR_INVALID_VALUE;
    function->attribute_dynamic = value;
  }
  return attribute == 8 || attribute == 9 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

/* Memory. */

DECLARE(cuMemAlloc_v2, (CUdeviceptr * address, size_t bytes)) {
  NEED_CONTEXT();
  if (!address || !bytes)
    return CUDA_ERROR_INVALID_VALUE;
  *address = device_alloc((uint32_t)current->device, bytes, ALLOCATION_DEVICE, NULL);
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
DECLARE(cuMemFree_v2, (CUdeviceptr address)) {
  NEED_CONTEXT();
  return !address || device_free(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuMemAllocAsync, (CUdeviceptr * address, size_t bytes, CUstream stream)) {
  (void)stream;
  return cuMemAlloc_v2(address, bytes);
}
DECLARE(cuMemFreeAsync, (CUdeviceptr address, CUstream stream)) {
  (void)stream;
  return cuMemFree_v2(address);
}
DECLARE(cuMemGetInfo_v2, (size_t * available, size_t *total)) {
  NEED_CONTEXT();
  *available = DEVICE_MEMORY - device_used((uint32_t)current->device);
  *total = DEVICE_MEMORY;
  return CUDA_SUCCESS;
}

static CUresult copy(void *to, const void *from, size_t bytes, bool device_to, bool device_from) {
  NEED_CONTEXT();
  if (!bytes)
    return CUDA_SUCCESS;
  if ((device_to && !device_valid((uint64_t)(uintptr_t)to, bytes)) ||
      (device_from && !device_valid((uint64_t)(uintptr_t)from, bytes))) {
    fprintf(stderr, "sim: error: a copy of %zu bytes leaves its allocation\n", bytes);
    return CUDA_ERROR_INVALID_VALUE;
  }
  memmove(to, from, bytes);
  return CUDA_SUCCESS;
}
#define P(address) ((void *)(uintptr_t)(address))
DECLARE(cuMemcpyHtoD_v2, (CUdeviceptr to, const void *from, size_t n)) {
  return copy(P(to), from, n, true, false);
}
DECLARE(cuMemcpyDtoH_v2, (void *to, CUdeviceptr from, size_t n)) {
  return copy(to, P(from), n, false, true);
}
DECLARE(cuMemcpyDtoD_v2, (CUdeviceptr to, CUdeviceptr from, size_t n)) {
  return copy(P(to), P(from), n, true, true);
}
DECLARE(cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t n, CUstream s)) {
  (void)s;
  return cuMemcpyHtoD_v2(to, from, n);
}
DECLARE(cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t n, CUstream s)) {
  (void)s;
  return cuMemcpyDtoH_v2(to, from, n);
}
DECLARE(cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s)) {
  (void)s;
  return cuMemcpyDtoD_v2(to, from, n);
}
DECLARE(cuMemsetD8_v2, (CUdeviceptr to, unsigned char value, size_t n)) {
  NEED_CONTEXT();
  if (n && !device_valid(to, n))
    return CUDA_ERROR_INVALID_VALUE;
  if (n)
    memset(P(to), value, n);
  return CUDA_SUCCESS;
}
DECLARE(cuMemsetD32_v2, (CUdeviceptr to, unsigned value, size_t n)) {
  NEED_CONTEXT();
  if (n > SIZE_MAX / 4 || to % 4 || (n && !device_valid(to, 4 * n)))
    return CUDA_ERROR_INVALID_VALUE;
  for (size_t k = 0; k < n; k++)
    ((uint32_t *)P(to))[k] = value;
  return CUDA_SUCCESS;
}
DECLARE(cuMemsetD8Async, (CUdeviceptr to, unsigned char value, size_t n, CUstream s)) {
  (void)s;
  return cuMemsetD8_v2(to, value, n);
}
DECLARE(cuMemsetD32Async, (CUdeviceptr to, unsigned value, size_t n, CUstream s)) {
  (void)s;
  return cuMemsetD32_v2(to, value, n);
}

/* Streams and events. */

DECLARE(cuStreamCreate, (CUstream * stream, unsigned flags)) {
  (void)flags;
  NEED_CONTEXT();
  *stream = mem_calloc(1, sizeof **stream);
  return CUDA_SUCCESS;
}
DECLARE(cuStreamDestroy_v2, (CUstream stream)) {
  mem_free(stream);
  return CUDA_SUCCESS;
}
DECLARE(cuStreamSynchronize, (CUstream stream)) {
  (void)stream;
  NEED_CONTEXT();
  return CUDA_SUCCESS;
}
DECLARE(cuStreamQuery, (CUstream stream)) { return cuStreamSynchronize(stream); }
DECLARE(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags)) {
  (void)flags;
  return event ? cuStreamSynchronize(stream) : CUDA_ERROR_INVALID_HANDLE;
}
DECLARE(cuEventCreate, (CUevent * event, unsigned flags)) {
  (void)flags;
  NEED_CONTEXT();
  *event = mem_calloc(1, sizeof **event);
  return CUDA_SUCCESS;
}
DECLARE(cuEventDestroy_v2, (CUevent event)) {
  mem_free(event);
  return CUDA_SUCCESS;
}
DECLARE(cuEventRecord, (CUevent event, CUstream stream)) {
  (void)stream;
  NEED_CONTEXT();
  if (!event)
    return CUDA_ERROR_INVALID_HANDLE;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  event->seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
  event->recorded = true;
  return CUDA_SUCCESS;
}
DECLARE(cuEventSynchronize, (CUevent event)) {
  NEED_CONTEXT();
  return event ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
DECLARE(cuEventQuery, (CUevent event)) { return cuEventSynchronize(event); }
DECLARE(cuEventElapsedTime, (float *milliseconds, CUevent begin, CUevent end)) {
  if (!begin || !end || !begin->recorded || !end->recorded)
    return CUDA_ERROR_INVALID_HANDLE;
  *milliseconds = (float)(1e3 * (end->seconds - begin->seconds));
  return CUDA_SUCCESS;
}

/* Launches. */

DECLARE(cuLaunchKernel,
        (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
         unsigned shared, CUstream stream, void **params, void **extra)) {
  (void)stream;
  NEED_CONTEXT();
  if (!f)
    return CUDA_ERROR_INVALID_HANDLE;
  if (f->param_bytes && !params) {
    fprintf(stderr, "sim: error: launch of '%s' without kernel parameters%s\n", f->name,
            extra ? ": parameters in `extra` are not simulated" : "");
    return extra ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
  }
  struct launch l = {.program = f->program,
                     .kernel = f,
                     .grid = {gx, gy, gz},
                     .block = {bx, by, bz},
                     .dynamic_shared = shared,
                     .device = (uint32_t)current->device};
  l.params = aligned_alloc(64, (f->param_bytes + 127u) & ~63u);
  if (!l.params)
    return CUDA_ERROR_OUT_OF_MEMORY;
  for (uint32_t k = 0; k < f->params.len; k++)
    memcpy(l.params + f->params.data[k].offset, params[k], f->params.data[k].size);
  enum fault fault = launch_run(&l);
  free(l.params);
  if (fault >= FAULT_ILLEGAL_ADDRESS && fault != FAULT_COOPERATIVE_TOO_LARGE &&
      fault != FAULT_LAUNCH_RESOURCES)
    current->sticky = (int)fault;
  return (CUresult)fault;
}
DECLARE(cuLaunchKernelEx, (const CUlaunchConfig *c, CUfunction f, void **params, void **extra)) {
  if (!c)
    return CUDA_ERROR_INVALID_VALUE;
  if (c->attribute_count) {
    fprintf(stderr, "sim: error: launch attributes are not simulated\n");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  return cuLaunchKernel(f, c->grid[0], c->grid[1], c->grid[2], c->block[0], c->block[1],
                        c->block[2], c->shared_bytes, c->stream, params, extra);
}

/* Errors and symbols. */

static const struct {
  int number;
  const char *name, *text;
} errors[] = {
#define CUERROR(number, name, text) {number, name, text},
#include "sim/cuda/cuda_errors.def"
#undef CUERROR
};
DECLARE(cuGetErrorName, (CUresult error, const char **name)) {
  *name = NULL;
  for (size_t k = 0; k < sizeof errors / sizeof *errors; k++)
    if (errors[k].number == error)
      *name = errors[k].name;
  return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuGetErrorString, (CUresult error, const char **text)) {
  *text = NULL;
  for (size_t k = 0; k < sizeof errors / sizeof *errors; k++)
    if (errors[k].number == error)
      *text = errors[k].text;
  return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API cuGetProcAddress_v2(const char *symbol, void **address, int version, uint64_t flags,
                        int *found);
static const struct {
  const char *name;
  void *address;
} symbols[] = {
#define CUSYMBOL(name, exported) {#name, (void *)exported},
#include "sim/cuda/cuda_symbols.def"
#undef CUSYMBOL
};
API cuGetProcAddress_v2(const char *symbol, void **address, int version, uint64_t flags,
                        int *found) {
  (void)version, (void)flags;
  if (!symbol || !address)
    return CUDA_ERROR_INVALID_VALUE;
  *address = NULL;
  for (size_t k = 0; k < sizeof symbols / sizeof *symbols; k++)
    if (!strcmp(symbols[k].name, symbol))
      *address = symbols[k].address;
  if (found)
    *found = *address ? 0 : 1;
  return *address ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
DECLARE(cuGetProcAddress, (const char *symbol, void **address, int version, uint64_t flags)) {
  return cuGetProcAddress_v2(symbol, address, version, flags, NULL);
}
