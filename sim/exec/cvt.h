/* SPDX-License-Identifier: Apache-2.0 */
/* Small floats to and from the host's, and one rounding from double to any format and mode. */
#ifndef SINTER_SIM_EXEC_CVT_H
#define SINTER_SIM_EXEC_CVT_H

#include "sim/exec/simt.h"

/* The value of a float type's bits, as a double exactly. TYPE_tf32 reads as f32. */
double float_decode(enum ptx_type t, uint64_t bits);
/* The bits of `value` in a float type, rounded once. Too large gives infinity or the largest finite
 * value, as the mode says; NaN gives the type's canonical one. */
uint64_t float_encode(enum ptx_type t, double value, enum rounding mode);
/* a * b + c, rounded to odd: a later rounding to a shorter format is then the only one. */
double fma_to_odd(double a, double b, double c);

#endif
