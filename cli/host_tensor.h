/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors in host memory, as the runtime's API takes them: elements as numbers, files, summaries.
 */
#ifndef SINTER_CLI_HOST_TENSOR_H
#define SINTER_CLI_HOST_TENSOR_H

#include "base/diag.h"
#include "base/dtype.h"
#include "base/json.h"
#include "base/str.h"
#include "sinter/runtime.h"

#include <stdbool.h>

/* Elements of dims; the tensor's dims must be sound. */
uint64_t host_tensor_elements(const sinter_tensor *t);
/* False for numbers that are no type of ours. */
bool host_tensor_dtype(const sinter_tensor *t, enum dtype *out);

/* One element as a number; f64 holds all but the largest 64-bit integers exactly. Memory need not
 * be aligned. Not for strings. */
double host_tensor_get(const sinter_tensor *t, uint64_t i);
/* The integer or bool itself (u64: its bits). */
int64_t host_tensor_get_i64(const sinter_tensor *t, uint64_t i);
/* Rounds to the type; integers wrap. */
void host_tensor_set(sinter_tensor *t, uint64_t i, double x);

/* Zeroed memory for dtype[dims], owned by the caller (host_tensor_free). E0901 if it is too much.
 */
status host_tensor_alloc(sinter_dtype dtype, uint32_t rank, const int64_t *dims, struct diags *d,
                         sinter_tensor *out);
void host_tensor_free(sinter_tensor *t);

struct onnx_tensor;
/* A copy, strings with their bytes in the same block. E0802 for too many dims, E0901. */
status host_tensor_from_onnx(const struct onnx_tensor *from, struct diags *d, sinter_tensor *out);

enum host_format { HOST_NPY, HOST_PB, HOST_RAW };
/* By the file's extension: .npy, .pb, anything else raw. */
enum host_format host_format_of(const char *path);

/* Reads a file of a format other than raw. Errors: those of the readers. */
status host_tensor_read(const char *path, struct diags *d, sinter_tensor *out);
/* The plain bytes of dtype[dims]. */
status host_tensor_read_raw(const char *path, sinter_dtype dtype, uint32_t rank,
                            const int64_t *dims, struct diags *d, sinter_tensor *out);
/* Writes atomically, in the format of the name. `name` is kept where the format has a place. */
status host_tensor_write(const char *path, const char *name, const sinter_tensor *t,
                         struct diags *d);

/* "f32[2,10]" */
void host_tensor_describe(const sinter_tensor *t, struct strbuf *out);

struct host_summary {
  double min, max, mean; /* of the finite elements; 0 if there are none */
  uint64_t nans, infinities;
};
void host_tensor_summarize(const sinter_tensor *t, struct host_summary *out);

/* Moves the thread's sinter_last_error to d, as a diagnostic of its own code; returns s. */
status runtime_error_to_diags(sinter_status s, struct diags *d);

#endif
