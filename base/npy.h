/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays in files: NumPy's .npy (format versions 1 to 3) and raw little-endian bytes.
 *
 * Read and written are C-ordered little-endian arrays of bool, i8..i64, u8..u64, f16, f32, f64.
 * bf16 has no NumPy type: it is stored as ml_dtypes stores it, as two-byte void. Other layouts are
 * refused with a hint. Source: NumPy's "NPY format" (numpy.lib.format). */
#ifndef SINTER_BASE_NPY_H
#define SINTER_BASE_NPY_H

#include "base/diag.h"
#include "base/dtype.h"
#include "base/status.h"

#include <stdint.h>

enum { NPY_RANK_MAX = 32 };

struct npy_array {
  enum dtype dtype;
  uint32_t rank;
  int64_t dims[NPY_RANK_MAX];
  uint64_t bytes;
  void *data;  /* 16-byte aligned */
  char *owned; /* what data points into */
};

/* Reads a .npy file of at most `limit` bytes. The caller deinits *out.
 * Errors: E0903, E0904, E0906 from reading; E0907 (malformed, or a layout we do not read). */
status npy_read(const char *path, uint64_t limit, struct diags *d, struct npy_array *out);

/* The same from memory that is copied; `name` is for messages. */
status npy_parse(const char *name, const void *bytes, size_t size, struct diags *d,
                 struct npy_array *out);

/* Reads a file of exactly the bytes of dtype[dims] (sub-byte types packed). Errors: as npy_read. */
status npy_read_raw(const char *path, enum dtype dtype, uint32_t rank, const int64_t *dims,
                    struct diags *d, struct npy_array *out);

void npy_deinit(struct npy_array *array);

/* Writes atomically. E0907 for dtypes that .npy cannot hold; E0905. */
status npy_write(const char *path, enum dtype dtype, uint32_t rank, const int64_t *dims,
                 const void *data, struct diags *d);

#endif
