/* SPDX-License-Identifier: Apache-2.0 */
/* Work that another simulated library gives to a stream, through cuSinterSubmit. */
#ifndef SINTER_SIM_CUDA_SIM_WORK_H
#define SINTER_SIM_CUDA_SIM_WORK_H

#include "sim/cuda/cuda_types.h"

#include <stdbool.h>

/* `begin` makes the state of one run, when the work is submitted: once for a stream, at every
 * launch for a graph. `poll` is whether the run is done, and sets *result to its CUresult. */
struct sim_work {
  void *(*begin)(void *data);
  bool (*poll)(void *run, int *result);
  void (*end)(void *run);
  void (*release)(void *data); /* no run will begin any more */
};

/* Takes `data` over, also when it fails. */
CUresult cuSinterSubmit(CUstream s, const struct sim_work *work, void *data);
/* Success if a range is memory that kernels of the current device may use. */
CUresult cuSinterReachable(CUdeviceptr address, size_t bytes);
/* The work will write there. */
void cuSinterWritten(CUdeviceptr address, size_t bytes);
/* Tries all streams, for libraries whose work others' progress completes. */
void cuSinterAdvance(void);

#endif
