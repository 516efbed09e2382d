/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory that several processes of a host use (cuIpc*): a handle names an open file of the
 * process that shares, which others open through /proc. */
#include "sim/cuda/sim_driver.h"

#include <fcntl.h>
#include <unistd.h>

static const char magic[] = "sinter";
/* CUipcMemHandle: 64 bytes. */
typedef struct {
  char magic[8];
  uint64_t offset, size;
  int pid, file, device, pad[7];
} sim_ipc_handle;
_Static_assert(sizeof(sim_ipc_handle) == 64, "as wide as the interface's");

DECLARE(cuIpcGetMemHandle, (sim_ipc_handle * handle, CUdeviceptr address)) {
  struct allocation a;
  int file;
  uint64_t offset;
  NEED_CONTEXT();
  NEED(handle && device_find(address, &a) && !a.freed && address - a.address < a.size);
  CUresult r = context_wait(current); /* nobody writes while it moves */
  if (r)
    return r;
  if (a.kind != ALLOCATION_DEVICE)
    return CUDA_ERROR_INVALID_VALUE;
  if (!device_share(a.address, &file, &offset))
    return CUDA_ERROR_OUT_OF_MEMORY;
  *handle = (sim_ipc_handle){.offset = offset,
                             .size = a.size,
                             .pid = (int)getpid(),
                             .file = file,
                             .device = (int)a.device};
  memcpy(handle->magic, magic, sizeof magic);
  return CUDA_SUCCESS;
}
DECLARE(cuIpcOpenMemHandle_v2, (CUdeviceptr * address, sim_ipc_handle handle, unsigned flags)) {
  char path[64];
  NEED_CONTEXT();
  NEED(address && flags <= 1 && !memcmp(handle.magic, magic, sizeof magic));
  NEED(handle.size && handle.size <= DEVICE_MEMORY && handle.offset <= DEVICE_MEMORY);
  if (handle.pid == (int)getpid())
    return CUDA_ERROR_INVALID_CONTEXT;
  if (handle.device < 0 || handle.device >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  snprintf(path, sizeof path, "/proc/%d/fd/%d", handle.pid, handle.file);
  int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0)
    return CUDA_ERROR_INVALID_HANDLE;
  *address = device_open(file, handle.offset, handle.size, (uint32_t)handle.device);
  close(file);
  if (*address && handle.device != current->device) /* opening allows peers (LAZY_ENABLE) */
    device_allow_peer((uint32_t)current->device, (uint32_t)handle.device, true);
  return *address ? CUDA_SUCCESS : CUDA_ERROR_MAP_FAILED;
}
/* An older program's: the handle lies on the stack, where no words are handed on. */
DECLARE(cuIpcOpenMemHandle, (CUdeviceptr * address, sim_ipc_handle handle, unsigned flags)) {
  return cuIpcOpenMemHandle_v2(address, handle, flags);
}
DECLARE(cuIpcCloseMemHandle, (CUdeviceptr address)) {
  NEED_CONTEXT();
  CUresult r = context_wait(current);
  return r ? r : device_close(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
