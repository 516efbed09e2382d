/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs of a run, from --input, --random-inputs and --shape.
 *
 *   name=@file.npy   name=@file.pb   what the file says
 *   name=@file.f32   any other name: plain bytes of the input's type. Its shape is the engine's;
 * one unknown dim follows from the size of the file name=random      floats in [-1, 1), integers of
 * 32 bits and more 0 or 1, small ones over their whole range; name=random:lo..hi sets the range
 *   name=zeros
 *
 * Unknown dims of random and zero inputs are what other inputs say, else --shape, else their lower
 * bound (at least 1). The numbers depend on the seed and the input's name only. */
#ifndef SINTER_CLI_RUN_INPUTS_H
#define SINTER_CLI_RUN_INPUTS_H

#include "cli/options.h"
#include "sinter/runtime.h"

struct run_inputs {
  uint32_t n;
  sinter_tensor *tensors; /* in the engine's order; data owned here */
};

/* Errors: E0802, E0803, those of file readers; all problems at once. On failure nothing is held. */
status run_inputs_make(const struct options *o, const sinter_engine *engine, uint32_t entry,
                       struct arena *arena, struct diags *d, struct run_inputs *out);
void run_inputs_deinit(struct run_inputs *inputs);

#endif
