/* SPDX-License-Identifier: Apache-2.0 */
/* What a module may be loaded from, and the logs that a compiler would write. */
#ifndef SINTER_SIM_CUDA_SIM_IMAGE_H
#define SINTER_SIM_CUDA_SIM_IMAGE_H

#include "sim/cuda/sim_driver.h"

/* The PTX that an image of at most `size` bytes is or holds, with a zero behind it; the caller's,
 * by mem_free. CUDA_ERROR_NO_BINARY_FOR_GPU if it holds none, said on stderr; _INVALID_IMAGE if it
 * cannot be read. */
CUresult image_text(const void *image, size_t size, char **out, size_t *out_size);
/* How many bytes an image has that was given as a pointer alone; SIZE_MAX if itself says so. */
size_t image_size(const void *image);
/* A file as a whole; the caller's. */
CUresult image_read(const char *path, char **out, size_t *out_size);
/* The program of a text, one at a time. What is wrong with it goes to stderr and, with the rest, to
 * the log buffers among the options of a just-in-time compiler (CUjit_option); then
 * CUDA_ERROR_INVALID_PTX. */
CUresult image_program(const char *text, size_t n, unsigned count, const int *options,
                       void **values, struct program **out);

#endif
