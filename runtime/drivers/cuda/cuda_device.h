/* SPDX-License-Identifier: Apache-2.0 */
/* What cuda_driver.c and cuda_module.c share. */
#ifndef SINTER_RUNTIME_CUDA_DEVICE_H
#define SINTER_RUNTIME_CUDA_DEVICE_H

#include "runtime/drivers/cuda/cuda_api.h"
#include "runtime/drivers/driver.h"

struct device {
  const struct cuda_api *api;
  int ordinal;
  int capability; /* 90: compute capability 9.0 */
  int multiprocessors;
  cuda_context *context;
  cuda_stream *stream;
  struct driver_buffer scratch;
  uint64_t memory_limit, memory_held; /* bytes */
};

struct driver_module {
  cuda_module **modules; /* one per text of the code section that a kernel names */
  uint32_t module_count;
  cuda_function **functions; /* per row of the manifest */
  const struct plan *plan;   /* the engine's */
};

/* --- cuda_module.c --- */

/* As in struct driver. Errors: E0723 no code for this GPU, E0724 the driver refuses it. */
status cuda_module_create(struct device *device, const struct engine_file *file,
                          const struct plan *plan, struct driver_module **out_module,
                          uint32_t *out_target);
void cuda_module_destroy(struct device *device, struct driver_module *module);

#endif
