/* SPDX-License-Identifier: Apache-2.0 */
/* What GPUs there are and what runs on them, for `sinter devices` and `sinter doctor`. */
#ifndef SINTER_RUNTIME_CUDA_PROBE_H
#define SINTER_RUNTIME_CUDA_PROBE_H

#include "runtime/drivers/cuda/cuda_api.h"

struct gpu_info {
  char name[96];
  int capability; /* 90: compute capability 9.0 */
  int multiprocessors;
  uint64_t memory; /* bytes */
};

/* The driver's version (12040: 12.4) and the number of GPUs. Errors: E0722. */
status cuda_probe(const struct cuda_api *api, int *out_version, uint32_t *out_count);
/* GPU number `index`. Errors: E0722. */
status cuda_describe(const struct cuda_api *api, uint32_t index, struct gpu_info *out);

/* Whether a GPU reaches another one's memory. Errors: E0722. */
status cuda_peers(const struct cuda_api *api, uint32_t from, uint32_t to, bool *out_reaches);

#endif
