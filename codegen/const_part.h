/* SPDX-License-Identifier: Apache-2.0 */
/* Constants taken apart: the shards that ranks hold, as constants of their own. Parts are numbered
 * row-major over the split dims' places, so equal shards have one number. */
#ifndef SINTER_CODEGEN_CONST_PART_H
#define SINTER_CODEGEN_CONST_PART_H

#include "ir/graph.h"

/* How many distinct parts a type with a sharding has, and the number of this rank's, an expression
 * of its coordinates. */
uint32_t const_part_count(const struct module *m, const struct type *whole);
dim const_part_number(const struct module *m, const struct type *whole);

/* Part number `part` of a constant of that type: dims and bytes, no data. */
void const_part_shape(const struct module *m, constant_id id, const struct type *whole,
                      uint32_t part, struct constant *out);
/* The same with data, in memory that the caller frees (mem_free). */
void const_part_take(const struct module *m, constant_id id, const struct type *whole,
                     uint32_t part, struct constant *out);

/* Whether the parts lie in the constant's data one after the other, all of a size. */
bool const_part_contiguous(const struct module *m, constant_id id, const struct type *whole);

#endif
