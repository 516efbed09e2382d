/* SPDX-License-Identifier: Apache-2.0 */
/* Types of values: construction, comparison, sizes, text. */
#include "base/str.h"
#include "ir/sharding.h"

#include <string.h>

bool type_equal(const struct type *a, const struct type *b) {
  return type_same_shape(a, b) && a->sharding == b->sharding;
}

bool type_same_shape(const struct type *a, const struct type *b) {
  return a->dtype == b->dtype && type_same_dims(a, b);
}

bool type_same_dims(const struct type *a, const struct type *b) {
  return a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims);
}

struct type type_make(enum dtype dtype, const dim *dims, uint32_t rank) {
  struct type type = {.dtype = dtype, .rank = rank <= IR_MAX_RANK ? rank : IR_MAX_RANK};
  if (rank && rank <= IR_MAX_RANK)
    memcpy(type.dims, dims, rank * sizeof *dims);
  return type;
}

dim type_elements(struct dim_table *t, const struct type *type) {
  return dim_product(t, type->dims, type->rank);
}

bool type_static_dims(const struct dim_table *t, const struct type *type, int64_t *out_dims) {
  for (uint32_t i = 0; i < type->rank; i++) {
    if (!dim_is_const(t, type->dims[i], &out_dims[i]))
      return false;
  }
  return true;
}

bool relation_known(struct dim_table *t, dim lhs, enum relation relation, dim rhs) {
  int64_t divisor;
  switch (relation) {
  case RELATION_EQ: return dim_known_eq(t, lhs, rhs);
  case RELATION_LE: return dim_known_le(t, lhs, rhs);
  case RELATION_LT: return dim_known_lt(t, lhs, rhs);
  case RELATION_BROADCAST:
    return dim_known_eq(t, lhs, rhs) ||
           (dim_is_const_value(t, lhs, 1) && dim_known_positive(t, rhs)) ||
           (dim_is_const_value(t, rhs, 1) && dim_known_positive(t, lhs));
  case RELATION_DIVIDES:
    return dim_is_const(t, lhs, &divisor) && dim_known_divides(t, divisor, rhs);
  }
  return false;
}

void type_print(const struct module *m, const struct type *type, struct strbuf *out) {
  strbuf_printf(out, "%s[", dtype_name(type->dtype));
  for (uint32_t i = 0; i < type->rank; i++) {
    if (i)
      strbuf_append_c(out, ", ");
    dim_print(m->dims, type->dims[i], out);
  }
  strbuf_char(out, ']');
  if (type->sharding) {
    strbuf_char(out, ' ');
    sharding_print(m, type->sharding, out);
  }
}
