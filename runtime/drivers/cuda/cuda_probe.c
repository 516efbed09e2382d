/* SPDX-License-Identifier: Apache-2.0 */
/* Looking without running anything; see cuda_probe.h. */
#include "runtime/drivers/cuda/cuda_probe.h"

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

status cuda_peers(const struct cuda_api *api, uint32_t from, uint32_t to, bool *out_reaches) {
  int a, b, can = 0;
  int result = api->device_get(&a, (int)from);
  if (result == CUDA_SUCCESS)
    result = api->device_get(&b, (int)to);
  if (result == CUDA_SUCCESS)
    result = api->can_access_peer(&can, a, b);
  *out_reaches = can != 0;
  return result == CUDA_SUCCESS ? STATUS_OK : cuda_fail(api, result, "asking for peers");
}
