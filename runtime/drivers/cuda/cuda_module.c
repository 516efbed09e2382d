/* SPDX-License-Identifier: Apache-2.0 */
/* An engine's code for a GPU: which of its targets, and the modules and functions of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/drivers/cuda/cuda_device.h"
#include "runtime/fault.h"

/* 90 of "sm_90" and "sm_90a"; 0 for another name. `out_exact`: made for this capability only. */
static int capability_of(const char *target, bool *out_exact) {
  char *end;
  if (strncmp(target, "sm_", 3) != 0)
    return 0;
  long n = strtol(target + 3, &end, 10);
  *out_exact = strcmp(end, "a") == 0;
  return n > 0 && n < 1000 && (*out_exact || !*end) ? (int)n : 0;
}

/* The highest capability that the GPU has: PTX runs on later ones, that of an "a" only on its own.
 */
static status choose_target(const struct device *device, const struct plan *plan,
                            uint32_t *out_target) {
  int best = -1;
  for (size_t i = 0; i < plan->manifest->n_targets; i++) {
    bool exact;
    int needs = capability_of(plan_string(plan, plan->manifest->targets[i]->name), &exact);
    bool runs = needs && (exact ? needs == device->capability : needs <= device->capability);
    if (!runs || 2 * needs + exact <= best)
      continue;
    best = 2 * needs + exact;
    *out_target = (uint32_t)i;
  }
  if (best >= 0)
    return STATUS_OK;
  return fault_report(DIAG_E0723, NULL, "compile with --target for this GPU",
                      "the engine has no code for a GPU of compute capability %d.%d",
                      device->capability / 10, device->capability % 10);
}

static status load_text(struct device *device, const char *text, cuda_module **out_module) {
  char log[1024] = "";
  int names[] = {CUDA_JIT_ERROR_LOG, CUDA_JIT_ERROR_LOG_BYTES};
  void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
  int result = device->api->module_load(out_module, text, 2, names, values);
  if (result == CUDA_SUCCESS)
    return STATUS_OK;
  if (result == CUDA_OUT_OF_MEMORY)
    return cuda_fail(device->api, result, "loading code");
  const char *name = NULL;
  device->api->error_name(result, &name);
  return fault_report(DIAG_E0724, NULL, "a newer driver, or an engine for an older GPU",
                      "the driver refuses the engine's code: %s %s", name ? name : "", log);
}

/* The text at an offset of the section; NULL where it does not end inside. */
static const char *text_at(const struct engine_file *file, const struct engine_section *section,
                           uint64_t offset) {
  if (offset >= section->bytes)
    return NULL;
  const char *text = (const char *)engine_file_bytes(file, section) + offset;
  return memchr(text, '\0', section->bytes - offset) ? text : NULL;
}

/* More than 48 KiB is given only to those that said so before. */
static status allow_shared(struct device *device, const struct plan *plan,
                           const Engine__Kernel *kernel, cuda_function *function) {
  int bytes = (int)kernel->shared_bytes;
  if (!bytes)
    return STATUS_OK;
  const char *name = plan_string(plan, kernel->name);
  if (bytes > device->most_shared)
    return fault_report(DIAG_E0723, NULL, "compile with --target for this GPU",
                        "kernel '%s' needs %d B of shared memory; a block of this GPU has %d B",
                        name, bytes, device->most_shared);
  int result = device->api->function_set(function, CUDA_FUNCTION_MOST_DYNAMIC, bytes);
  return result == CUDA_SUCCESS ? STATUS_OK : cuda_fail(device->api, result, name);
}

/* Kernels of one text stand next to each other, so the module before is asked first. */
static status load_kernels(struct device *device, const struct engine_file *file,
                           const struct plan *plan, uint32_t target, struct driver_module *module) {
  const Engine__Manifest *m = plan->manifest;
  const struct engine_section *section = &file->sections[m->targets[target]->section];
  uint64_t before = UINT64_MAX;
  for (size_t i = 0; i < m->n_kernels; i++) {
    uint64_t offset = m->kernels[i]->code_offsets[target];
    if (offset != before) {
      const char *text = text_at(file, section, offset);
      if (!text)
        return fault_report(DIAG_E0724, file->path, NULL, "the code of kernel %zu has no end", i);
      status st = load_text(device, text, &module->modules[module->module_count]);
      if (st)
        return st;
      module->module_count++;
      before = offset;
    }
    int result = device->api->module_function(&module->functions[i],
                                              module->modules[module->module_count - 1],
                                              plan_string(plan, m->kernels[i]->name));
    if (result != CUDA_SUCCESS)
      return cuda_fail(device->api, result, plan_string(plan, m->kernels[i]->name));
    status st = allow_shared(device, plan, m->kernels[i], module->functions[i]);
    if (st)
      return st;
  }
  return STATUS_OK;
}

status cuda_module_create(struct device *device, const struct engine_file *file,
                          const struct plan *plan, struct driver_module **out_module,
                          uint32_t *out_target) {
  size_t n = plan->manifest->n_kernels;
  struct driver_module *module = mem_try_calloc(1, sizeof *module);
  if (!module)
    return fault_no_memory("a module", sizeof *module);
  *out_target = 0;
  module->plan = plan;
  status st = STATUS_OK;
  if (n) {
    module->modules = mem_try_calloc(n, sizeof(cuda_module *));
    module->functions = mem_try_calloc(n, sizeof(cuda_function *));
    if (!module->modules || !module->functions)
      st = fault_no_memory("the kernel table", 2 * n * sizeof(void *));
    if (!st)
      st = choose_target(device, plan, out_target);
    if (!st)
      st = load_kernels(device, file, plan, *out_target, module);
  }
  if (st)
    cuda_module_destroy(device, module);
  else
    *out_module = module;
  return st;
}

void cuda_module_destroy(struct device *device, struct driver_module *module) {
  for (uint32_t i = 0; i < module->module_count; i++)
    device->api->module_unload(module->modules[i]);
  mem_free(module->modules);
  mem_free(module->functions);
  mem_free(module);
}
