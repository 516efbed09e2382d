/* SPDX-License-Identifier: Apache-2.0 */
/* Hand-made engines for the runtime's tests: manifest rows by manifest_build, code by
 * engine_kernels.c. */
#ifndef SINTER_TESTS_ENGINE_MAKER_H
#define SINTER_TESTS_ENGINE_MAKER_H

#include "base/arena.h"
#include "base/dtype.h"
#include "codegen/manifest_build.h"
#include "include/sinter/runtime.h"
#include "runtime/engine_format.h"

#include <stddef.h>
#include <stdint.h>

enum engine_kernel_id {
#define ENGINE_KERNEL(name, buffers, dims) KERNEL_##name,
#include "tests/support/engine_kernel.def"
#undef ENGINE_KERNEL
  ENGINE_KERNEL_COUNT
};

struct engine_kernel {
  const char *name;
  uint32_t buffers, dims;
  kernel_function *function;
};
extern const struct engine_kernel engine_kernels[ENGINE_KERNEL_COUNT];
const uint8_t *engine_kernels_code(size_t *out_bytes);

struct engine_maker {
  struct arena arena;
  struct manifest_build build;
  uint8_t weights[4096];
  size_t weight_bytes;
  const char *target; /* of the code section; "x86-64" */
  int without_code;
  int for_gpu; /* the code is PTX */
};

/* With all kernels as rows, in the order of enum engine_kernel_id, unless without_code. */
void engine_maker_init(struct engine_maker *e, int without_code);
/* Makes it an engine for GPUs: of the kernels add_i64 and thread_sum_i64 (with a width of 1) work
 * there.
 */
void engine_maker_for_gpu(struct engine_maker *e);
void engine_maker_deinit(struct engine_maker *e);

/* Ids of expressions. */
uint32_t engine_const(struct engine_maker *e, int64_t value);
uint32_t engine_times(struct engine_maker *e, uint32_t expr, int64_t factor);
uint32_t engine_plus(struct engine_maker *e, uint32_t expr, int64_t addend);

/* A value of one dim, its bytes being dim * element size. index and phase as the storage needs
 * them; ARENA lives in [first, last]. */
uint32_t engine_value(struct engine_maker *e, Engine__Storage storage, uint32_t index,
                      uint32_t phase, enum dtype dtype, uint32_t dim, uint32_t first,
                      uint32_t last);

/* A constant of one dim and the value that shows it. */
uint32_t engine_constant(struct engine_maker *e, const char *name, enum dtype dtype,
                         const void *data, int64_t n);

/* Ports of one dim, with a value each. */
uint32_t engine_input(struct engine_maker *e, uint32_t entry, const char *name, enum dtype dtype,
                      uint32_t dim);
uint32_t engine_output(struct engine_maker *e, uint32_t entry, uint32_t phase, const char *name,
                       enum dtype dtype, uint32_t dim);

/* A launch of one of engine_kernels over `tiles` (an expression); counts come from the kernel. */
Engine__Launch *engine_launch(struct engine_maker *e, uint32_t block, enum engine_kernel_id kernel,
                              const uint32_t *buffers, const uint32_t *dims, uint32_t tiles);

/* Writes the file; aborts the test on failure. */
void engine_maker_write(struct engine_maker *e, const char *path);

/* The file's bytes, 64-byte aligned; freed with free(). */
uint8_t *engine_maker_bytes(struct engine_maker *e, size_t *out_bytes);

/* Bytes opened as an engine; the bytes must outlive it. Aborts the test on failure. */
sinter_engine *engine_maker_open(const uint8_t *bytes, size_t n);

/* A path below the build folder that no other process uses. */
void engine_maker_path(char *path, size_t n, const char *name);

/* A tensor of one dim. */
sinter_tensor engine_tensor(sinter_dtype dtype, int64_t n, void *data, uint64_t bytes);

#endif
