/* SPDX-License-Identifier: Apache-2.0 */
/* Random inputs for a function, for tests that run it. */
#ifndef SINTER_IR_RANDOM_INPUTS_H
#define SINTER_IR_RANDOM_INPUTS_H

#include "ir/interp.h"

/* One tensor per parameter into out_inputs, all in `arena`: symbols get values within their bounds
 * (mostly at most 3 above the lower one), floats are multiples of 1/8 in -4 .. 4, ints -5 .. 5 or
 * 0 .. 5. The same seed gives the same inputs. False where a dim does not evaluate to a size. */
bool random_inputs(const struct function *f, uint64_t seed, struct arena *arena,
                   struct tensor **out_inputs);

#endif
