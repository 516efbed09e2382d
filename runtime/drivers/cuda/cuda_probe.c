/* SPDX-License-Identifier: Apache-2.0 */
/* Looking without running anything; see cuda_probe.h. */
#include "runtime/drivers/cuda/cuda_probe.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

status cuda_probe(const struct cuda_api *api, int *out_version, uint32_t *out_count) {
  int count = 0;
  *out_count = 0;
  int result = api->driver_version(out_version);
  if (result == CUDA_SUCCESS)
    result = api->device_count(&count);
  if (result == CUDA_NO_DEVICE)
    return STATUS_OK;
  if (result != CUDA_SUCCESS)
    return cuda_fail(api, result, "counting GPUs");
  *out_count = (uint32_t)count;
  return STATUS_OK;
}

status cuda_describe(const struct cuda_api *api, uint32_t index, struct gpu_info *out) {
  int device, major = 0, minor = 0;
  size_t memory = 0;
  *out = (struct gpu_info){0};
  int result = api->device_get(&device, (int)index);
  if (result == CUDA_SUCCESS)
    result = api->device_name(out->name, sizeof out->name, device);
  if (result == CUDA_SUCCESS)
    result = api->device_memory(&memory, device);
  if (result == CUDA_SUCCESS)
    result = api->device_attribute(&major, CUDA_CAPABILITY_MAJOR, device);
  if (result == CUDA_SUCCESS)
    result = api->device_attribute(&minor, CUDA_CAPABILITY_MINOR, device);
  if (result == CUDA_SUCCESS)
    result = api->device_attribute(&out->multiprocessors, CUDA_MULTIPROCESSORS, device);
  out->memory = memory;
  out->capability = 10 * major + minor;
  return result == CUDA_SUCCESS ? STATUS_OK : cuda_fail(api, result, "describing a GPU");
}

bool nccl_probe(int *out_version, char *out_problem, size_t n) {
  void *handle = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  int (*version)(int *);
  if (!handle) {
    snprintf(out_problem, n, "%s", dlerror());
    return false;
  }
  void *symbol = dlsym(handle, "ncclGetVersion");
  memcpy(&version, &symbol, sizeof version);
  bool known = version && version(out_version) == 0;
  if (!known)
    snprintf(out_problem, n, "libnccl.so.2 does not tell its version");
  dlclose(handle);
  return known;
}
