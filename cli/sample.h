/* SPDX-License-Identifier: Apache-2.0 */
/* The next token from logits. */
#ifndef SINTER_CLI_SAMPLE_H
#define SINTER_CLI_SAMPLE_H

#include "sinter/runtime.h"

#include <stdint.h>

struct sampler {
  double temperature; /* 0: the greatest logit, of equals the first */
  uint64_t top_k;     /* of the greatest so many; 0: of all */
  double top_p;       /* of the fewest whose probabilities make this; 1: of all */
  uint64_t seed;
};

/* Row `row` of logits [batch, n] of any float type, n >= 1. `draw` numbers the draws of a seed: the
 * same seed, draw and logits give the same token. NaN counts as the least. */
int64_t sample_token(const struct sampler *s, const sinter_tensor *logits, int64_t row,
                     uint64_t draw);

#endif
