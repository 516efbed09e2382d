/* SPDX-License-Identifier: Apache-2.0 */
/* What code generation takes for granted of functions, as pass `fuse` leaves them. Text IR and
 * lists of passes come from outside, so it is checked. */
#ifndef SINTER_CODEGEN_KERNEL_CHECK_H
#define SINTER_CODEGEN_KERNEL_CHECK_H

#include "base/diag.h"
#include "ir/graph.h"

/* Outside of fused regions stand only steps of a plan; inside of them only what is computed, of
 * values of the region; and a region holds the op that its class names. E0301. */
status kernel_check(const struct function *f, struct diags *diags);

#endif
