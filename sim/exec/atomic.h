/* SPDX-License-Identifier: Apache-2.0 */
/* What one atomic operation does; also for reductions of bulk copies. */
#ifndef SINTER_SIM_EXEC_ATOMIC_H
#define SINTER_SIM_EXEC_ATOMIC_H

#include "sim/exec/decode.h"

/* The new bits where `old` lies; operation is an enum modifier, c of cas alone. */
uint64_t atomic_combine(enum ptx_type t, uint16_t operation, uint64_t old, uint64_t b, uint64_t c);
/* Combines in memory at p, which is aligned; returns the old bits. */
uint64_t atomic_apply(const struct inst *i, uint8_t *p, uint64_t b, uint64_t c);

#endif
