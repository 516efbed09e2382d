/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu as a device: host memory, mapped code, launches on the thread pool. */
#include "runtime/drivers/driver.h"

#include "base/checked.h"
#include "base/mem.h"
#include "runtime/drivers/cpu/cpu_target.h"
#include "runtime/drivers/cpu/thread_pool.h"
#include "runtime/engine_format.h"
#include "runtime/fault.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

struct device {
  uint32_t threads;
  uint64_t memory_limit, memory_held; /* bytes */
  struct driver_buffer scratch;
  uint64_t scratch_stride; /* bytes per thread */
};

struct driver_module {
  struct code_mapping code;
  kernel_function **kernels; /* per row of the manifest */
};

/* --- Device --- */

static uint32_t usable_cpus(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set))
    return 1;
  int n = CPU_COUNT(&set);
  return n < 1 ? 1 : (uint32_t)n;
}

static status cpu_device_create(const struct driver_options *options, struct device **out_device) {
  uint32_t threads = options->threads ? options->threads : usable_cpus();
  uint32_t devices = options->count ? options->count : 1;
  if (threads > THREAD_POOL_MOST)
    threads = THREAD_POOL_MOST;
  threads = threads > devices ? threads / devices : 1;
  struct device *device = mem_try_calloc(1, sizeof *device);
  if (!device)
    return fault_no_memory("a device", sizeof *device);
  device->threads = threads;
  device->memory_limit = options->memory_limit ? options->memory_limit : PTRDIFF_MAX;
  status s = thread_pool_acquire((threads - 1) * devices + 1);
  if (s) {
    mem_free(device);
    return s;
  }
  *out_device = device;
  return STATUS_OK;
}

static uint32_t cpu_thread_count(const struct device *device) { return device->threads; }

static uint64_t cpu_scratch_bytes(const struct device *device) { return device->scratch.bytes; }

/* --- Memory --- */

/* From here on memory comes from the system in whole pages, huge ones if it likes. */
#define MAPPED_BYTES ((uint64_t)1 << 20)
#define ALIGNMENT 64u

/* Where the block that a small buffer lies in begins: noted in front of the data. */
static void *block_of(uint8_t *data) {
  void *block;
  memcpy(&block, data - sizeof block, sizeof block);
  return block;
}

static uint8_t *memory_get(uint64_t bytes) {
  if (bytes >= MAPPED_BYTES) {
    void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
      return NULL;
    madvise(p, (size_t)bytes, MADV_HUGEPAGE);
    return p;
  }
  void *block = mem_try_alloc((size_t)bytes + ALIGNMENT + sizeof block);
  if (!block)
    return NULL;
  uintptr_t data = ((uintptr_t)block + sizeof block + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
  memcpy((void *)(data - sizeof block), &block, sizeof block);
  return (uint8_t *)data;
}

static void memory_put(uint8_t *data, uint64_t bytes) {
  if (!data)
    return;
  if (bytes >= MAPPED_BYTES)
    munmap(data, (size_t)bytes);
  else
    mem_free(block_of(data));
}

static void cpu_buffer_release(struct device *device, struct driver_buffer *buffer) {
  memory_put(buffer->data, buffer->bytes);
  device->memory_held -= buffer->bytes;
  *buffer = (struct driver_buffer){0};
}

static status no_memory(const struct device *device, uint64_t bytes) {
  return fault_report(DIAG_E0615, NULL, NULL,
                      "out of memory: %llu B more than the %llu B the session holds",
                      (unsigned long long)bytes, (unsigned long long)device->memory_held);
}

static status cpu_buffer_reserve(struct device *device, struct driver_buffer *buffer,
                                 uint64_t bytes, bool keep) {
  if (buffer->data && bytes <= buffer->bytes)
    return STATUS_OK;
  uint64_t rounded;
  if (!u64_align(bytes ? bytes : 1, bytes >= MAPPED_BYTES ? ENGINE_PAGE : ALIGNMENT, &rounded) ||
      rounded > device->memory_limit - device->memory_held)
    return no_memory(device, bytes);
  if (!keep) /* never hold two where one is wanted */
    cpu_buffer_release(device, buffer);
  uint8_t *data = memory_get(rounded);
  if (!data)
    return no_memory(device, bytes);
  if (keep && buffer->data) {
    memcpy(data, buffer->data, (size_t)buffer->bytes);
    cpu_buffer_release(device, buffer);
  }
  device->memory_held += rounded;
  *buffer = (struct driver_buffer){data, rounded};
  return STATUS_OK;
}

static void cpu_device_destroy(struct device *device) {
  cpu_buffer_release(device, &device->scratch);
  thread_pool_release();
  mem_free(device);
}

/* --- Code --- */

/* The target that the environment asks for, for tests and comparisons. */
static status wanted_target(const struct engine_file *file, const struct plan *plan,
                            const char *wanted, uint32_t *out_target) {
  const char *missing = "";
  for (uint32_t i = 0; i < plan->manifest->n_targets; i++) {
    if (strcmp(plan_string(plan, plan->manifest->targets[i]->name), wanted) != 0)
      continue;
    *out_target = i;
    return cpu_target_runs(wanted, cpu_target_features(), &missing)
               ? STATUS_OK
               : fault_report(DIAG_E0508, file->path, "unset SINTER_CPU_TARGET",
                              "this processor does not run '%s': it lacks '%s'", wanted, missing);
  }
  return fault_report(DIAG_E0508, file->path, "unset SINTER_CPU_TARGET",
                      "the engine has no code for '%s' among its %zu targets", wanted,
                      plan->manifest->n_targets);
}

/* Targets are listed from the least to the most demanding: the last that runs is the best. */
static status choose_target(const struct engine_file *file, const struct plan *plan,
                            uint32_t *out_target) {
  unsigned long long features = cpu_target_features();
  const char *missing = "", *wanted = getenv("SINTER_CPU_TARGET");
  if (wanted && *wanted)
    return wanted_target(file, plan, wanted, out_target);
  for (size_t i = plan->manifest->n_targets; i-- > 0;) {
    if (cpu_target_runs(plan_string(plan, plan->manifest->targets[i]->name), features, &missing)) {
      *out_target = (uint32_t)i;
      return STATUS_OK;
    }
  }
  const char *first =
      plan->manifest->n_targets ? plan_string(plan, plan->manifest->targets[0]->name) : "none";
  return fault_report(DIAG_E0508, file->path, "compile with --target for this processor",
                      "the engine's code (%s) needs '%s'; this processor is of level %s", first,
                      missing, cpu_target_best(features));
}

static void cpu_module_unload(struct device *device, struct driver_module *module) {
  (void)device;
  engine_file_unmap_code(&module->code);
  mem_free(module->kernels);
  mem_free(module);
}

static status load_kernels(struct driver_module *module, const struct engine_file *file,
                           const struct plan *plan, uint32_t target) {
  const Engine__Manifest *m = plan->manifest;
  module->kernels = mem_try_calloc(m->n_kernels, sizeof *module->kernels);
  if (!module->kernels)
    return fault_no_memory("the kernel table", m->n_kernels * sizeof *module->kernels);
  status s =
      engine_file_map_code(file, &file->sections[m->targets[target]->section], &module->code);
  if (s)
    return s;
  for (size_t i = 0; i < m->n_kernels; i++) {
    uintptr_t address =
        (uintptr_t)module->code.base + (uintptr_t)m->kernels[i]->code_offsets[target];
    module->kernels[i] = (kernel_function *)address;
  }
  return STATUS_OK;
}

static status cpu_module_load(struct device *device, const struct engine_file *file,
                              const struct plan *plan, struct driver_module **out_module,
                              uint32_t *out_target) {
  struct driver_module *module = mem_try_calloc(1, sizeof *module);
  if (!module)
    return fault_no_memory("a module", sizeof *module);
  *out_target = 0;
  status s = STATUS_OK;
  if (plan->manifest->n_kernels) {
    s = choose_target(file, plan, out_target);
    if (!s)
      s = load_kernels(module, file, plan, *out_target);
  }
  if (s)
    cpu_module_unload(device, module);
  else
    *out_module = module;
  return s;
}

/* --- Work --- */

struct job {
  kernel_function *kernel;
  const uint64_t *args;
  uint8_t *scratch;
  uint64_t stride;
};

static void run_tiles(void *context, uint32_t first, uint32_t last, uint32_t slot) {
  const struct job *job = context;
  job->kernel(job->args, first, last, job->scratch + slot * job->stride);
}

/* Waking a thread costs some microseconds: not worth it for less work than this. */
#define LEAST_PARALLEL_WORK 16384u

static bool worth_threads(const struct driver_launch *launch) {
  uint64_t work = launch->flops / 4;
  if (work < launch->traffic)
    work = launch->traffic;
  return work >= LEAST_PARALLEL_WORK;
}

static status reserve_scratch(struct device *device, uint64_t bytes) {
  uint64_t stride, total;
  if (bytes <= device->scratch_stride)
    return STATUS_OK;
  if (!u64_align(bytes, 2 * ALIGNMENT, &stride) || !u64_mul(stride, device->threads, &total))
    return fault_no_memory("scratch", bytes);
  status s = cpu_buffer_reserve(device, &device->scratch, total, false);
  device->scratch_stride = s ? 0 : stride;
  return s;
}

/* Chunks are a fixed part of the grid: small enough to balance, large enough to be few. */
static uint32_t grain_of(uint32_t tiles, uint32_t threads) {
  uint32_t grain = tiles / (threads * 4);
  return grain ? grain : 1;
}

static status cpu_launch(struct device *device, struct driver_module *module,
                         const struct driver_launch *launch) {
  status s = reserve_scratch(device, launch->scratch_bytes);
  if (s)
    return s;
  struct job job = {module->kernels[launch->kernel], launch->args, device->scratch.data,
                    device->scratch_stride};
#if defined(__x86_64__)
  unsigned caller_csr = _mm_getcsr();
  _mm_setcsr(0x1f80); /* round to nearest, keep denormals, whatever the caller's program prefers */
#endif
  if (launch->serial || !worth_threads(launch))
    run_tiles(&job, 0, launch->tiles, 0);
  else
    thread_pool_run(run_tiles, &job, launch->tiles, grain_of(launch->tiles, device->threads),
                    device->threads);
#if defined(__x86_64__)
  _mm_setcsr(caller_csr);
#endif
  return STATUS_OK;
}

static status cpu_copy(struct device *device, void *dst, const void *src, uint64_t bytes) {
  (void)device;
  if (bytes)
    memmove(dst, src, (size_t)bytes);
  return STATUS_OK;
}

static status cpu_fill(struct device *device, void *dst, uint8_t byte, uint64_t bytes) {
  (void)device;
  if (bytes)
    memset(dst, byte, (size_t)bytes);
  return STATUS_OK;
}

static status cpu_unpack(struct device *device, uint8_t *dst, const uint8_t *src, uint64_t elements,
                         enum dtype dtype) {
  (void)device;
  unsigned bits = dtype_bits(dtype), per_byte = 8 / bits;
  for (uint64_t i = 0; i < elements; i++) {
    unsigned raw = src[i / per_byte] >> (i % per_byte * bits) & ((1u << bits) - 1);
    if (dtype_is_signed(dtype) && raw >> (bits - 1))
      raw |= 0xffu << bits;
    dst[i] = (uint8_t)raw;
  }
  return STATUS_OK;
}

static status cpu_pack(struct device *device, uint8_t *dst, const uint8_t *src, uint64_t elements,
                       enum dtype dtype) {
  (void)device;
  unsigned bits = dtype_bits(dtype), per_byte = 8 / bits;
  for (uint64_t i = 0; i < elements; i += per_byte) {
    unsigned byte = 0;
    for (uint64_t k = i; k < elements && k < i + per_byte; k++)
      byte |= (src[k] & ((1u << bits) - 1)) << ((k - i) * bits);
    dst[i / per_byte] = (uint8_t)byte;
  }
  return STATUS_OK;
}

static status cpu_wait(struct device *device) {
  (void)device;
  return STATUS_OK;
}

const struct driver cpu_driver = {
    .name = "cpu",
    .device_create = cpu_device_create,
    .device_destroy = cpu_device_destroy,
    .thread_count = cpu_thread_count,
    .scratch_bytes = cpu_scratch_bytes,
    .buffer_reserve = cpu_buffer_reserve,
    .buffer_release = cpu_buffer_release,
    .module_load = cpu_module_load,
    .module_unload = cpu_module_unload,
    .launch = cpu_launch,
    .copy = cpu_copy,
    .fill = cpu_fill,
    .unpack = cpu_unpack,
    .pack = cpu_pack,
    .read = cpu_copy,
    .write = cpu_copy,
    .wait = cpu_wait,
};
