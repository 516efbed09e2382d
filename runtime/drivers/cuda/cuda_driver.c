/* SPDX-License-Identifier: Apache-2.0 */
/* An NVIDIA GPU as a device, real or simulated: memory of the driver, one stream in order. */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "runtime/drivers/cuda/cuda_device.h"
#include "runtime/engine_format.h"
#include "runtime/fault.h"

static uint64_t address_of(const void *p) { return (uint64_t)(uintptr_t)p; }

/* --- Device --- */

static void cuda_device_destroy(struct device *device);

static int attribute(const struct device *device, int which, int handle) {
  int value = 0;
  return device->api->device_attribute(&value, which, handle) == CUDA_SUCCESS ? value : 0;
}

static status open_context(struct device *device, uint32_t index) {
  const struct cuda_api *api = device->api;
  int count = 0, handle;
  int result = api->device_count(&count);
  if (result != CUDA_SUCCESS && result != CUDA_NO_DEVICE)
    return cuda_fail(api, result, "counting GPUs");
  if (index >= (uint32_t)count)
    return fault_report(DIAG_E0721, NULL, NULL, "there is no GPU %u; there are %d", index, count);
  result = api->device_get(&handle, (int)index);
  if (result == CUDA_SUCCESS)
    result = api->context_retain(&device->context, handle);
  if (result != CUDA_SUCCESS)
    return cuda_device_fail(device, result, "opening the GPU");
  device->ordinal = handle;
  device->capability = 10 * attribute(device, CUDA_CAPABILITY_MAJOR, handle) +
                       attribute(device, CUDA_CAPABILITY_MINOR, handle);
  device->multiprocessors = attribute(device, CUDA_MULTIPROCESSORS, handle);
  device->most_shared = attribute(device, CUDA_MOST_SHARED, handle);
  CUDA_TRY(device, "making a stream", stream_create(&device->stream, CUDA_STREAM_NON_BLOCKING));
  return STATUS_OK;
}

static status create(const struct cuda_api *api, const struct driver_options *options,
                     bool simulated, struct device **out_device) {
  struct device *device = mem_try_calloc(1, sizeof *device);
  if (!device)
    return fault_no_memory("a device", sizeof *device);
  device->api = api;
  device->takes_cubins = !simulated;
  device->memory_limit = options->memory_limit ? options->memory_limit : INT64_MAX;
  status st = open_context(device, options->index);
  /* NCCL cannot register a pool's memory when its calls are recorded. */
  device->pools = !st && options->count == 1 && api->memory_alloc_async && api->memory_free_async &&
                  attribute(device, CUDA_MEMORY_POOLS, device->ordinal);
  if (st)
    cuda_device_destroy(device);
  else
    *out_device = device;
  return st;
}

static status cuda_device_create(const struct driver_options *options, struct device **out_device) {
  const struct cuda_api *api;
  status st = cuda_api_load(&api);
  return st ? st : create(api, options, false, out_device);
}

static status sim_device_create(const struct driver_options *options, struct device **out_device) {
  const struct cuda_api *api;
  status st = cuda_api_load_simulated(options->count, &api);
  return st ? st : create(api, options, true, out_device);
}

static uint32_t cuda_thread_count(const struct device *device) {
  (void)device;
  return 1;
}

static uint64_t cuda_scratch_bytes(const struct device *device) { return device->scratch.bytes; }

/* --- Memory --- */

static void cuda_buffer_release(struct device *device, struct driver_buffer *buffer) {
  if (buffer->data && device->api->context_set(device->context) == CUDA_SUCCESS) {
    if (device->pools)
      device->api->memory_free_async(address_of(buffer->data), device->stream);
    else
      device->api->memory_free(address_of(buffer->data));
  }
  device->memory_held -= buffer->bytes;
  *buffer = (struct driver_buffer){0};
}

static void cuda_device_destroy(struct device *device) {
  if (device->context) {
    cuda_buffer_release(device, &device->scratch);
    if (device->mark)
      device->api->event_destroy(device->mark);
    for (int i = 0; i < 2; i++)
      if (device->timing[i])
        device->api->event_destroy(device->timing[i]);
    if (device->stream)
      device->api->stream_destroy(device->stream);
    device->api->context_release(device->ordinal);
  }
  mem_free(device);
}

static status cuda_copy(struct device *device, void *dst, const void *src, uint64_t bytes);

static status allocate(struct device *device, uint64_t bytes, uint64_t *out_address) {
  if (device->recording)
    return fault_report(DIAG_E0722, NULL, NULL, "memory cannot grow while a graph is recorded");
  if (device->pools)
    CUDA_TRY(device, "reserving memory", memory_alloc_async(out_address, bytes, device->stream));
  else
    CUDA_TRY(device, "reserving memory", memory_alloc(out_address, bytes));
  device->moves++;
  return STATUS_OK;
}

static status cuda_buffer_reserve(struct device *device, struct driver_buffer *buffer,
                                  uint64_t bytes, bool keep) {
  uint64_t rounded, address;
  if (buffer->data && bytes <= buffer->bytes)
    return STATUS_OK;
  if (!u64_align(bytes ? bytes : 1, 256, &rounded) ||
      rounded > device->memory_limit - device->memory_held)
    return fault_report(DIAG_E0615, NULL, NULL,
                        "out of memory: %llu B more than the %llu B the session holds",
                        (unsigned long long)bytes, (unsigned long long)device->memory_held);
  if (!keep)
    cuda_buffer_release(device, buffer);
  status st = allocate(device, rounded, &address);
  if (st)
    return st;
  struct driver_buffer larger = {(uint8_t *)(uintptr_t)address, rounded};
  device->memory_held += rounded;
  st = keep && buffer->data ? cuda_copy(device, larger.data, buffer->data, buffer->bytes)
                            : STATUS_OK;
  if (st) {
    cuda_buffer_release(device, &larger);
    return st;
  }
  cuda_buffer_release(device, buffer);
  *buffer = larger;
  return STATUS_OK;
}

static uint64_t cuda_moves(const struct device *device) { return device->moves; }

/* A copy from or to memory that the driver does not know makes the host wait inside of it, where
 * nothing could end that: what is before it in the stream is waited for here. */
static status settle(struct device *device) {
  return device->watch ? cuda_device_wait(device) : STATUS_OK;
}

static status cuda_read(struct device *device, void *host, const void *src, uint64_t bytes) {
  status st = settle(device);
  if (st)
    return st;
  if (bytes)
    CUDA_TRY(device, "reading memory", copy_to_host(host, address_of(src), bytes, device->stream));
  return cuda_device_wait(device);
}

static status cuda_write(struct device *device, void *dst, const void *host, uint64_t bytes) {
  status st = settle(device);
  if (st)
    return st;
  if (bytes)
    CUDA_TRY(device, "writing memory",
             copy_to_device(address_of(dst), host, bytes, device->stream));
  return cuda_device_wait(device);
}

/* The driver leaves copies between overlapping ranges undefined: those go by way of another place.
 */
static status cuda_copy(struct device *device, void *dst, const void *src, uint64_t bytes) {
  uint64_t to = address_of(dst), from = address_of(src);
  if (!bytes || to == from)
    return STATUS_OK;
  if (to < from + bytes && from < to + bytes) {
    struct driver_buffer between = {0};
    status st = cuda_buffer_reserve(device, &between, bytes, false);
    if (!st)
      st = cuda_copy(device, between.data, src, bytes);
    if (!st)
      st = cuda_copy(device, dst, between.data, bytes);
    if (!st)
      st = cuda_device_wait(device);
    cuda_buffer_release(device, &between);
    return st;
  }
  CUDA_TRY(device, "copying memory", copy_on_device(to, from, bytes, device->stream));
  return STATUS_OK;
}

static status cuda_fill(struct device *device, void *dst, uint8_t byte, uint64_t bytes) {
  if (bytes)
    CUDA_TRY(device, "filling memory", fill(address_of(dst), byte, bytes, device->stream));
  return STATUS_OK;
}

/* Packed elements are rearranged on the host. */
static status repack(struct device *device, uint8_t *dst, uint64_t dst_bytes, const uint8_t *src,
                     uint64_t src_bytes, uint64_t elements, enum dtype dtype, bool pack) {
  uint8_t *from = mem_try_alloc(src_bytes + 1), *to = mem_try_alloc(dst_bytes + 1);
  status st = from && to ? cuda_read(device, from, src, src_bytes)
                         : fault_no_memory("packed elements", src_bytes + dst_bytes);
  if (!st && pack)
    st = cpu_driver.pack(NULL, to, from, elements, dtype);
  else if (!st)
    st = cpu_driver.unpack(NULL, to, from, elements, dtype);
  if (!st)
    st = cuda_write(device, dst, to, dst_bytes);
  mem_free(from);
  mem_free(to);
  return st;
}

static uint64_t packed_bytes(uint64_t elements, enum dtype dtype) {
  uint64_t per_byte = 8 / dtype_bits(dtype);
  return elements / per_byte + (elements % per_byte != 0);
}

static status cuda_unpack(struct device *device, uint8_t *dst, const uint8_t *src,
                          uint64_t elements, enum dtype dtype) {
  return repack(device, dst, elements, src, packed_bytes(elements, dtype), elements, dtype, false);
}

static status cuda_pack(struct device *device, uint8_t *dst, const uint8_t *src, uint64_t elements,
                        enum dtype dtype) {
  return repack(device, dst, packed_bytes(elements, dtype), src, elements, elements, dtype, true);
}

/* --- Work --- */

/* Scratch of a launch: with more per tile in work, fewer are in work. */
#define MOST_SCRATCH ((uint64_t)256 << 20)
#define MOST_BLOCKS 65536u

/* Blocks, threads of a block, and how many there are of those that take tiles and have scratch. */
struct grid {
  uint32_t blocks, threads;
  uint64_t workers;
};

static struct grid grid_of(const struct driver_launch *launch, uint32_t block_threads) {
  struct grid g = {1, block_threads ? block_threads : 1, 1};
  uint64_t workers = launch->serial ? 1 : launch->tiles;
  if (launch->scratch_bytes && workers > MOST_SCRATCH / launch->scratch_bytes)
    workers = MOST_SCRATCH / launch->scratch_bytes;
  if (workers <= 1)
    return g;
  if (!block_threads)
    g.threads = workers < GPU_THREADS_PER_BLOCK ? (uint32_t)workers : GPU_THREADS_PER_BLOCK;
  uint64_t per_block = block_threads ? 1 : g.threads;
  uint64_t blocks = workers / per_block;
  if (!launch->scratch_bytes)
    blocks += workers % per_block != 0;
  g.blocks = blocks < MOST_BLOCKS ? (uint32_t)blocks : MOST_BLOCKS;
  g.workers = g.blocks * per_block;
  return g;
}

static status cuda_launch(struct device *device, struct driver_module *module,
                          const struct driver_launch *launch) {
  const Engine__Kernel *kernel = module->plan->manifest->kernels[launch->kernel];
  struct grid g = grid_of(launch, kernel->block_threads);
  uint64_t stride = 0, total;
  if (launch->scratch_bytes) {
    if (!u64_align(launch->scratch_bytes, 64, &stride) || !u64_mul(stride, g.workers, &total))
      return fault_no_memory("scratch", launch->scratch_bytes);
    status st = cuda_buffer_reserve(device, &device->scratch, total, false);
    if (st)
      return st;
  }
  status st = cuda_device_make_room(device);
  if (st)
    return st;
  uint64_t scratch = address_of(device->scratch.data);
  uint32_t tiles = launch->tiles;
  void *parameters[] = {(void *)(uintptr_t)launch->args, &tiles, &scratch, &stride};
  CUDA_TRY(device, "launching a kernel",
           launch(module->functions[launch->kernel], g.blocks, 1, 1, g.threads, 1, 1,
                  kernel->shared_bytes, device->stream, parameters, NULL));
  return STATUS_OK;
}

/* The GPU's own clock: what the host takes to launch and to wait is not in it. */
static status cuda_launch_timed(struct device *device, struct driver_module *module,
                                const struct driver_launch *launch, uint64_t *out_ns) {
  float ms = 0;
  for (int i = 0; i < 2; i++)
    if (!device->timing[i])
      CUDA_TRY(device, "making an event", event_create(&device->timing[i], 0));
  CUDA_TRY(device, "timing a kernel", event_record(device->timing[0], device->stream));
  status st = cuda_launch(device, module, launch);
  if (st)
    return st;
  CUDA_TRY(device, "timing a kernel", event_record(device->timing[1], device->stream));
  st = cuda_device_wait(device);
  if (st)
    return st;
  CUDA_TRY(device, "timing a kernel", event_elapsed(&ms, device->timing[0], device->timing[1]));
  *out_ns = ms > 0 ? (uint64_t)((double)ms * 1e6) : 0;
  return STATUS_OK;
}

#define DRIVER(called, creates, by_number)                                                         \
  {                                                                                                \
      .name = called,                                                                              \
      .numbered = by_number,                                                                       \
      .discrete = true,                                                                            \
      .device_create = creates,                                                                    \
      .device_destroy = cuda_device_destroy,                                                       \
      .thread_count = cuda_thread_count,                                                           \
      .scratch_bytes = cuda_scratch_bytes,                                                         \
      .buffer_reserve = cuda_buffer_reserve,                                                       \
      .buffer_release = cuda_buffer_release,                                                       \
      .module_load = cuda_module_create,                                                           \
      .module_unload = cuda_module_destroy,                                                        \
      .launch_timed = cuda_launch_timed,                                                           \
      .launch = cuda_launch,                                                                       \
      .copy = cuda_copy,                                                                           \
      .fill = cuda_fill,                                                                           \
      .unpack = cuda_unpack,                                                                       \
      .pack = cuda_pack,                                                                           \
      .read = cuda_read,                                                                           \
      .write = cuda_write,                                                                         \
      .wait = cuda_device_wait,                                                                    \
      .moves = cuda_moves,                                                                         \
      .lost = cuda_device_lost,                                                                    \
      .record = cuda_record,                                                                       \
      .record_end = cuda_record_end,                                                               \
      .replay = cuda_replay,                                                                       \
      .recording_destroy = cuda_recording_destroy,                                                 \
  }

const struct driver cuda_driver = DRIVER("cuda", cuda_device_create, true);
const struct driver sim_driver = DRIVER("sim", sim_device_create, false);
