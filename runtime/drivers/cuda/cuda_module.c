/* SPDX-License-Identifier: Apache-2.0 */
/* An engine's code for a GPU: which of its targets, and the modules and functions of it. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/log.h"
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

/* 0: it does not run there. */
static uint32_t worth_of(const char *name, bool cubin, int capability) {
  bool exact;
  int needs = capability_of(name, &exact);
  bool runs = needs && (exact ? needs == capability : needs <= capability);
  if (cubin)
    runs = runs && needs / 10 == capability / 10;
  return runs ? 10000u * cubin + 2u * (uint32_t)needs + exact : 0;
}

bool cuda_next_target(const struct plan *plan, int capability, bool cubins, uint32_t *worth,
                      uint32_t *out_target) {
  const Engine__Manifest *m = plan->manifest;
  uint32_t best = 0;
  for (size_t i = 0; i < m->n_targets; i++) {
    bool cubin = m->targets[i]->form == ENGINE__CODE_FORM__CUBIN;
    uint32_t here = worth_of(plan_string(plan, m->targets[i]->name), cubin, capability);
    if ((cubin && !cubins) || here <= best || here >= *worth)
      continue;
    best = here;
    *out_target = (uint32_t)i;
  }
  *worth = best;
  return best != 0;
}

static status load_image(struct device *device, const void *image, cuda_module **out_module) {
  char log[1024] = "";
  int names[] = {CUDA_JIT_ERROR_LOG, CUDA_JIT_ERROR_LOG_BYTES};
  void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
  int result = device->api->module_load(out_module, image, 2, names, values);
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
static const void *text_at(const uint8_t *at, uint64_t bytes) {
  return memchr(at, '\0', bytes) ? at : NULL;
}

/* The cubin there, an ELF file whose tables end inside; NULL for anything else. */
static const void *cubin_at(const uint8_t *at, uint64_t bytes) {
  Elf64_Ehdr h;
  uint64_t end;
  if (bytes < sizeof h)
    return NULL;
  memcpy(&h, at, sizeof h);
  if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 ||
      !u64_add(h.e_shoff, (uint64_t)h.e_shnum * h.e_shentsize, &end) || end > bytes ||
      !u64_add(h.e_phoff, (uint64_t)h.e_phnum * h.e_phentsize, &end) || end > bytes)
    return NULL;
  for (uint64_t i = 0; i < h.e_shnum && h.e_shentsize >= sizeof(Elf64_Shdr); i++) {
    Elf64_Shdr s;
    memcpy(&s, at + h.e_shoff + i * h.e_shentsize, sizeof s);
    if (s.sh_type != SHT_NOBITS && (!u64_add(s.sh_offset, s.sh_size, &end) || end > bytes))
      return NULL;
  }
  return at;
}

static const void *image_at(const struct engine_file *file, const struct engine_section *section,
                            uint64_t offset, bool cubin) {
  if (offset >= section->bytes)
    return NULL;
  const uint8_t *at = (const uint8_t *)engine_file_bytes(file, section) + offset;
  return cubin ? cubin_at(at, section->bytes - offset) : text_at(at, section->bytes - offset);
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
  bool cubin = m->targets[target]->form == ENGINE__CODE_FORM__CUBIN;
  uint64_t before = UINT64_MAX;
  for (size_t i = 0; i < m->n_kernels; i++) {
    uint64_t offset = m->kernels[i]->code_offsets[target];
    if (offset != before) {
      const void *image = image_at(file, section, offset, cubin);
      if (!image)
        return fault_report(DIAG_E0724, file->path, NULL, "the code of kernel %zu is damaged", i);
      status st = load_image(device, image, &module->modules[module->module_count]);
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

static void unload_all(struct device *device, struct driver_module *module) {
  for (uint32_t i = 0; i < module->module_count; i++)
    device->api->module_unload(module->modules[i]);
  module->module_count = 0;
}

/* The best code that the driver takes: an older one may not know a cubin, but the PTX beside it. */
static status load_best(struct device *device, const struct engine_file *file,
                        const struct plan *plan, struct driver_module *module,
                        uint32_t *out_target) {
  uint32_t worth = UINT32_MAX;
  status st = STATUS_OK;
  while (cuda_next_target(plan, device->capability, device->takes_cubins, &worth, out_target)) {
    const Engine__Target *target = plan->manifest->targets[*out_target];
    bool cubin = target->form == ENGINE__CODE_FORM__CUBIN;
    fault_clear();
    st = load_kernels(device, file, plan, *out_target, module);
    LOG("runtime.cuda", 1, "%s for %s: %s", cubin ? "cubin" : "PTX",
        plan_string(plan, target->name), st ? fault_text() : "loaded");
    if (!st || !cubin || device->dead || st == STATUS_RESOURCES)
      return st;
    unload_all(device, module);
  }
  if (st)
    return st;
  return fault_report(DIAG_E0723, NULL, "compile with --target for this GPU",
                      "the engine has no code for a GPU of compute capability %d.%d",
                      device->capability / 10, device->capability % 10);
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
      st = load_best(device, file, plan, module, out_target);
  }
  if (st)
    cuda_module_destroy(device, module);
  else
    *out_module = module;
  return st;
}

void cuda_module_destroy(struct device *device, struct driver_module *module) {
  unload_all(device, module);
  mem_free(module->modules);
  mem_free(module->functions);
  mem_free(module);
}
