/* SPDX-License-Identifier: Apache-2.0 */
/* What the builder's files share. */
#ifndef SINTER_IR_BUILD_H
#define SINTER_IR_BUILD_H

#include "ir/graph.h"

static inline struct dim_table *builder_dims(const struct builder *b) {
  return b->function->module->dims;
}
static inline const struct type *builder_type(const struct builder *b, value_id v) {
  return value_type(b->function, v);
}
/* Reports a rank above the limit; true where it is within. */
bool builder_rank_allowed(struct builder *b, uint32_t rank);

#endif
