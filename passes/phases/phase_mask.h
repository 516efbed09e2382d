/* SPDX-License-Identifier: Apache-2.0 */
/* What a decoder's mask says, once it is known that the mask it was given is all ones. */
#ifndef SINTER_PASSES_PHASE_MASK_H
#define SINTER_PASSES_PHASE_MASK_H

#include "passes/affine.h"

struct phase_mask {
  const struct function *f;
  struct affines *affines;
  value_id ones;        /* the mask that is given; VALUE_NONE */
  const dim *by_symbol; /* what symbols stand for, in dim_substitute's form */
  dim past;             /* position of the first query */
};

/* Which keys a query sees: those up to it, and of them the last `window` (0: all). */
struct phase_sight {
  bool causal;
  int64_t window;
};

/* Whether every element of v is true (or 1) because the mask's are. */
bool phase_mask_ones(const struct phase_mask *m, value_id v);
/* Whether an attention's mask or bias is of that form, and nothing else. Key j has position j,
 * query i position past + i. */
bool phase_mask_read(const struct phase_mask *m, const struct op *attention,
                     struct phase_sight *out);

#endif
