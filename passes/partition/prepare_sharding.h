/* SPDX-License-Identifier: Apache-2.0 */
/* What a function needs before its ops can be split, and what of that is not needed after. */
#ifndef SINTER_PASSES_PREPARE_SHARDING_H
#define SINTER_PASSES_PREPARE_SHARDING_H

#include "ir/graph.h"

/* Gives every attention its positions as operands, where it is causal or has a window, and the lse
 * of its rows, so that queries and keys are factors. Ops get other ids. Values stay the same. */
status prepare_sharding(struct function *f, struct diags *diags);

/* After apply_sharding: drops positions that say what attention takes them to be without, where
 * neither queries nor keys are split, and an lse that nobody reads. */
status finish_sharding(struct function *f, struct diags *diags);

#endif
