/* SPDX-License-Identifier: Apache-2.0 */
/* Which operand of a kernel its result may be written over. */
#ifndef SINTER_CODEGEN_IN_PLACE_H
#define SINTER_CODEGEN_IN_PLACE_H

#include "ir/graph.h"

/* True where every element of operand `i` is read only to compute the element of the single result
 * at the same place, and both have the same size: then the result may have the operand's storage.
 */
bool in_place_allowed(const struct function *f, const struct op *fused, uint32_t i);

#endif
