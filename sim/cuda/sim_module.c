/* SPDX-License-Identifier: Apache-2.0 */
/* Modules, libraries, functions, occupancy. */
#include "sim/cuda/sim_image.h"

static CUresult load(const void *image, size_t size, unsigned count, const int *options,
                     void **values, struct sim_module **out) {
  char *text;
  size_t n;
  struct program *p = NULL;
  CUresult r = image_text(image, size, &text, &n);
  if (r)
    return r;
  r = image_program(text, n, count, options, values, &p);
  mem_free(text);
  if (r)
    return r;
  *out = mem_calloc(1, sizeof **out);
  (*out)->program = p;
  p->owner = *out;
  return CUDA_SUCCESS;
}

DECLARE(cuModuleLoadDataEx,
        (CUmodule * module, const void *image, unsigned count, int *options, void **values)) {
  NEED_CONTEXT();
  NEED(module && image && (!count || (options && values)));
  return load(image, image_size(image), count, options, values, module);
}
DECLARE(cuModuleLoadData, (CUmodule * module, const void *image)) {
  return cuModuleLoadDataEx(module, image, 0, NULL, NULL);
}
DECLARE(cuModuleLoadFatBinary, (CUmodule * module, const void *image)) {
  return cuModuleLoadData(module, image);
}
DECLARE(cuModuleLoad, (CUmodule * module, const char *path)) {
  NEED_CONTEXT();
  NEED(module && path);
  char *text;
  size_t n;
  CUresult r = image_read(path, &text, &n);
  if (r)
    return r;
  r = load(text, n, 0, NULL, NULL, module);
  mem_free(text);
  return r;
}
DECLARE(cuModuleUnload, (CUmodule module)) {
  if (!module)
    return CUDA_ERROR_INVALID_HANDLE;
  if (current)
    context_wait(current);
  program_unload(module->program);
  mem_free(module);
  return CUDA_SUCCESS;
}
DECLARE(cuModuleGetLoadingMode, (int *mode)) {
  NEED(mode);
  *mode = 1;
  return CUDA_SUCCESS;
}
DECLARE(cuModuleGetFunction, (CUfunction * function, CUmodule module, const char *name)) {
  NEED(function && module && name);
  struct function *f = program_function(module->program, name);
  if (!f || !f->entry)
    return CUDA_ERROR_NOT_FOUND;
  *function = f;
  return CUDA_SUCCESS;
}
DECLARE(cuModuleGetFunctionCount, (unsigned *count, CUmodule module)) {
  NEED(count && module);
  *count = 0;
  for (uint32_t k = 0; k < module->program->function_count; k++)
    *count += module->program->functions[k].entry;
  return CUDA_SUCCESS;
}
DECLARE(cuModuleEnumerateFunctions, (CUfunction * functions, unsigned count, CUmodule module)) {
  NEED(functions && module);
  unsigned n = 0;
  for (uint32_t k = 0; k < module->program->function_count && n < count; k++)
    if (module->program->functions[k].entry)
      functions[n++] = &module->program->functions[k];
  return CUDA_SUCCESS;
}
DECLARE(cuModuleGetGlobal_v2,
        (CUdeviceptr * address, size_t *bytes, CUmodule module, const char *name)) {
  uint64_t index;
  NEED(module && name);
  if (!strmap_get_c(&module->program->symbol_map, name, &index) ||
      module->program->symbols.data[index].space == SPACE_SHARED)
    return CUDA_ERROR_NOT_FOUND;
  if (address)
    *address = module->program->symbols.data[index].address;
  if (bytes)
    *bytes = module->program->symbols.data[index].size;
  return CUDA_SUCCESS;
}

/* Libraries are modules of the device that was current when they were loaded. */

DECLARE(cuLibraryLoadData, (CUlibrary * library, const void *image, int *jit, void **jit_values,
                            unsigned jit_count, int *options, void **values, unsigned count)) {
  (void)options, (void)values, (void)count;
  return cuModuleLoadDataEx(library, image, jit_count, jit, jit_values);
}
DECLARE(cuLibraryLoadFromFile, (CUlibrary * library, const char *path, int *jit, void **jit_values,
                                unsigned jit_count, int *options, void **values, unsigned count)) {
  (void)jit, (void)jit_values, (void)jit_count, (void)options, (void)values, (void)count;
  return cuModuleLoad(library, path);
}
DECLARE(cuLibraryUnload, (CUlibrary library)) { return cuModuleUnload(library); }
DECLARE(cuLibraryGetKernel, (CUkernel * kernel, CUlibrary library, const char *name)) {
  return cuModuleGetFunction(kernel, library, name);
}
DECLARE(cuLibraryGetKernelCount, (unsigned *count, CUlibrary library)) {
  return cuModuleGetFunctionCount(count, library);
}
DECLARE(cuLibraryEnumerateKernels, (CUkernel * kernels, unsigned count, CUlibrary library)) {
  return cuModuleEnumerateFunctions(kernels, count, library);
}
DECLARE(cuLibraryGetModule, (CUmodule * module, CUlibrary library)) {
  NEED(module && library);
  *module = library;
  return CUDA_SUCCESS;
}
DECLARE(cuLibraryGetGlobal,
        (CUdeviceptr * address, size_t *bytes, CUlibrary library, const char *name)) {
  return cuModuleGetGlobal_v2(address, bytes, library, name);
}
DECLARE(cuFuncGetModule, (CUmodule * module, CUfunction f)) {
  NEED(module && f);
  *module = f->program->owner;
  return CUDA_SUCCESS;
}
DECLARE(cuKernelGetLibrary, (CUlibrary * library, CUkernel k)) {
  return cuFuncGetModule(library, k);
}
DECLARE(cuLibraryGetManaged,
        (CUdeviceptr * address, size_t *bytes, CUlibrary library, const char *name)) {
  uint64_t index;
  NEED(library && name);
  return strmap_get_c(&library->program->symbol_map, name, &index) &&
                 library->program->symbols.data[index].managed
             ? cuModuleGetGlobal_v2(address, bytes, library, name)
             : CUDA_ERROR_NOT_FOUND;
}
DECLARE(cuKernelSetCacheConfig, (CUkernel k, int config, CUdevice device)) {
  (void)device;
  return !k                         ? CUDA_ERROR_INVALID_HANDLE
         : config < 0 || config > 3 ? CUDA_ERROR_INVALID_VALUE
                                    : CUDA_SUCCESS;
}
DECLARE(cuFuncSetSharedMemConfig, (CUfunction f, int config)) {
  return cuKernelSetCacheConfig(f, config, 0);
}
DECLARE(cuKernelGetFunction, (CUfunction * function, CUkernel kernel)) {
  NEED(function && kernel);
  *function = kernel;
  return CUDA_SUCCESS;
}

/* Functions. */

static int threads_of(const struct function *f) {
  const uint32_t *m = f->source->maximum[0] ? f->source->maximum : f->source->required;
  uint64_t n = m[0] ? (uint64_t)m[0] * m[1] * m[2] : 1024;
  return n > 1024 ? 1024 : (int)n;
}

DECLARE(cuFuncGetAttribute, (int *value, int attribute, CUfunction f)) {
  NEED(value);
  if (!f)
    return CUDA_ERROR_INVALID_HANDLE;
  switch (attribute) {
  case 0: *value = threads_of(f); return CUDA_SUCCESS;
  case 1: *value = (int)f->shared_bytes; return CUDA_SUCCESS;
  case 3: *value = (int)f->local_bytes; return CUDA_SUCCESS;
  case 4:
    *value = 32; /* there is no register allocation */
    return CUDA_SUCCESS;
  case 5:
  case 6: *value = 90; return CUDA_SUCCESS;
  case 8: *value = f->attribute_dynamic; return CUDA_SUCCESS;
  case 9: *value = -1; return CUDA_SUCCESS;
  case 11:
  case 12:
  case 13: *value = (int)f->source->cluster[attribute - 11]; return CUDA_SUCCESS;
  case 14: *value = f->large_clusters; return CUDA_SUCCESS;
  default:
    *value = 0;
    return attribute >= 0 && attribute < 16 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  }
}
DECLARE(cuFuncSetAttribute, (CUfunction f, int attribute, int value)) {
  if (!f)
    return CUDA_ERROR_INVALID_HANDLE;
  switch (attribute) {
  case 8: /* the limit of dynamic shared memory */
    NEED(value >= 0 && (uint32_t)value + f->shared_bytes <= 232448);
    f->attribute_dynamic = value;
    return CUDA_SUCCESS;
  case 9: NEED(value >= -1 && value <= 100); return CUDA_SUCCESS;
  case 14: f->large_clusters = value != 0; return CUDA_SUCCESS;
  case 10:
  case 15: return CUDA_SUCCESS;
  default: return CUDA_ERROR_INVALID_VALUE;
  }
}
DECLARE(cuKernelGetAttribute, (int *value, int attribute, CUkernel k, CUdevice device)) {
  (void)device;
  return cuFuncGetAttribute(value, attribute, k);
}
DECLARE(cuKernelSetAttribute, (int attribute, int value, CUkernel k, CUdevice device)) {
  (void)device;
  return cuFuncSetAttribute(k, attribute, value);
}
DECLARE(cuFuncSetCacheConfig, (CUfunction f, int config)) {
  return !f                         ? CUDA_ERROR_INVALID_HANDLE
         : config < 0 || config > 3 ? CUDA_ERROR_INVALID_VALUE
                                    : CUDA_SUCCESS;
}
DECLARE(cuFuncGetName, (const char **name, CUfunction f)) {
  NEED(name && f);
  *name = f->name;
  return CUDA_SUCCESS;
}
DECLARE(cuKernelGetName, (const char **name, CUkernel k)) { return cuFuncGetName(name, k); }
DECLARE(cuFuncGetParamInfo, (CUfunction f, size_t index, size_t *offset, size_t *size)) {
  NEED(f && offset && index < f->params.len);
  *offset = f->params.data[index].offset;
  if (size)
    *size = f->params.data[index].size;
  return CUDA_SUCCESS;
}
DECLARE(cuKernelGetParamInfo, (CUkernel k, size_t index, size_t *offset, size_t *size)) {
  return cuFuncGetParamInfo(k, index, offset, size);
}
DECLARE(cuFuncIsLoaded, (int *state, CUfunction f)) {
  NEED(state && f);
  *state = 1;
  return CUDA_SUCCESS;
}
DECLARE(cuFuncLoad, (CUfunction f)) { return f ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; }

/* Occupancy: threads and shared memory of a multiprocessor; registers are not known. */

static int blocks_of(const struct function *f, int threads, size_t dynamic) {
  uint64_t shared = f->shared_bytes + dynamic + 1024;
  int by_threads = 2048 / ((threads + 31) / 32 * 32), by_shared = (int)(233472 / shared);
  int n = by_threads < by_shared ? by_threads : by_shared;
  return n > 32 ? 32 : n;
}
DECLARE(cuOccupancyMaxActiveBlocksPerMultiprocessor,
        (int *blocks, CUfunction f, int threads, size_t dynamic)) {
  NEED(blocks && f && threads > 0);
  *blocks = threads > threads_of(f) || dynamic > 232448 ? 0 : blocks_of(f, threads, dynamic);
  return CUDA_SUCCESS;
}
DECLARE(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags,
        (int *blocks, CUfunction f, int threads, size_t dynamic, unsigned flags)) {
  NEED(flags < 2);
  return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, f, threads, dynamic);
}
DECLARE(cuOccupancyMaxPotentialBlockSize, (int *grid, int *block, CUfunction f,
                                           size_t (*dynamic_of)(int), size_t dynamic, int limit)) {
  NEED(grid && block && f);
  int best = 0;
  for (int n = 32; n <= threads_of(f) && (!limit || n <= limit); n += 32) {
    int blocks = blocks_of(f, n, dynamic_of ? dynamic_of(n) : dynamic);
    if (blocks * n >= best && blocks) {
      best = blocks * n;
      *block = n;
      *grid = blocks * 132;
    }
  }
  return best ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuOccupancyMaxPotentialBlockSizeWithFlags,
        (int *grid, int *block, CUfunction f, size_t (*dynamic_of)(int), size_t dynamic, int limit,
         unsigned flags)) {
  NEED(flags < 2);
  return cuOccupancyMaxPotentialBlockSize(grid, block, f, dynamic_of, dynamic, limit);
}
DECLARE(cuOccupancyAvailableDynamicSMemPerBlock,
        (size_t *bytes, CUfunction f, int blocks, int threads)) {
  NEED(bytes && f && blocks > 0 && threads > 0);
  size_t each = 233472u / (unsigned)blocks, taken = f->shared_bytes + 1024u;
  *bytes = each > taken ? each - taken : 0;
  return CUDA_SUCCESS;
}
DECLARE(cuOccupancyMaxPotentialClusterSize, (int *size, CUfunction f, const CUlaunchConfig *c)) {
  NEED(size && f && c);
  *size = f->large_clusters ? 16 : 8;
  return CUDA_SUCCESS;
}
DECLARE(cuOccupancyMaxActiveClusters, (int *clusters, CUfunction f, const CUlaunchConfig *c)) {
  NEED(clusters && f && c);
  uint64_t size = 1;
  for (unsigned k = 0; k < c->attribute_count; k++)
    if (c->attributes[k].id == ATTRIBUTE_CLUSTER)
      size = (uint64_t)c->attributes[k].value.cluster.x * c->attributes[k].value.cluster.y *
             c->attributes[k].value.cluster.z;
  int threads = (int)(c->block[0] * c->block[1] * c->block[2]);
  NEED(size && threads > 0);
  *clusters = (int)((uint64_t)blocks_of(f, threads, c->shared_bytes) * 132 / size);
  return CUDA_SUCCESS;
}
