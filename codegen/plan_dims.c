/* SPDX-License-Identifier: Apache-2.0 */
/* The plan writer: sizes and relations as expressions of the manifest. */
#include "codegen/plan_writer.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "ir/sharding.h"

/* The number of a coordinate's axis in the mesh. */
static uint32_t axis_of(struct plan_writer *w, uint32_t coord) {
  const struct dim_table *t = w->m->dims;
  for (uint32_t i = 0; w->mesh && i < w->mesh->n_axes; i++) {
    if (!strcmp(w->mesh->axes[i].name, dim_coord_name(t, coord)) &&
        w->mesh->axes[i].size == dim_coord_size(t, coord))
      return i;
  }
  w->failed = true;
  return 0;
}

uint32_t plan_expr(struct plan_writer *w, dim d) {
  struct dim_table *t = w->m->dims;
  if (d >= w->n_expr) {
    uint32_t n = d + 64;
    w->expr = mem_realloc(w->expr, n * sizeof *w->expr);
    memset(w->expr + w->n_expr, 0, (n - w->n_expr) * sizeof *w->expr);
    w->n_expr = n;
  }
  if (w->expr[d])
    return w->expr[d] - 1;
  if (d == DIM_NONE) {
    w->failed = true;
    return 0;
  }
  int64_t value = 0;
  uint32_t leaf, row;
  dim a, b;
  if (dim_is_const(t, d, &value)) {
    row = manifest_build_const(w->b, value);
  } else if (dim_symbol_of(t, d, &leaf)) {
    row = manifest_build_symbol_expr(w->b, plan_symbol_row(leaf));
  } else if (dim_coord_of(t, d, &leaf)) {
    row = manifest_build_expr(w->b, EXPR_COORD, axis_of(w, leaf), 0, dim_coord_size(t, leaf));
  } else {
    bool binary = dim_operands(t, d, &a, &b);
    assert(binary);
    (void)binary;
    uint32_t x = plan_expr(w, a), y = plan_expr(w, b);
    row = manifest_build_expr(w->b, (enum expr_op)dim_kind(t, d), x, y, 0);
  }
  w->expr[d] = row + 1;
  return row;
}

uint32_t plan_product(struct plan_writer *w, const dim *dims, uint32_t n, int64_t factor) {
  struct dim_table *t = w->m->dims;
  uint32_t row = 0;
  bool none = true;
  for (uint32_t i = 0; i < n; i++) {
    int64_t value;
    if (dim_is_const(t, dims[i], &value) && !__builtin_mul_overflow(factor, value, &value)) {
      factor = value;
      continue;
    }
    uint32_t x = plan_expr(w, dims[i]);
    row = none ? x : manifest_build_expr(w->b, EXPR_MUL, row, x, 0);
    none = false;
  }
  if (none)
    return manifest_build_const(w->b, factor);
  if (factor == 1)
    return row;
  return manifest_build_expr(w->b, EXPR_MUL, row, manifest_build_const(w->b, factor), 0);
}

uint32_t plan_elements(struct plan_writer *w, const struct type *type) {
  return plan_product(w, type->dims, type->rank, 1);
}

uint32_t plan_value_bytes(struct plan_writer *w, const struct type *type) {
  return plan_product(w, type->dims, type->rank, dtype_unpacked_bytes(type->dtype));
}

uint32_t plan_packed_bytes(struct plan_writer *w, const struct type *type) {
  if (!dtype_is_sub_byte(type->dtype))
    return plan_value_bytes(w, type);
  uint32_t per_byte = 8 / dtype_bits(type->dtype);
  uint32_t up = manifest_build_expr(w->b, EXPR_ADD, plan_elements(w, type),
                                    manifest_build_const(w->b, per_byte - 1), 0);
  return manifest_build_expr(w->b, EXPR_FLOORDIV, up, manifest_build_const(w->b, per_byte), 0);
}

void plan_relate(struct plan_writer *w, dim lhs, enum relation relation, dim rhs, uint32_t *out_a,
                 Engine__Relation *out_relation, uint32_t *out_b) {
  struct dim_table *t = w->m->dims;
  dim one = dim_const(t, 1), zero = dim_const(t, 0);
  *out_relation = relation == RELATION_LE   ? ENGINE__RELATION__LE
                  : relation == RELATION_LT ? ENGINE__RELATION__LT
                                            : ENGINE__RELATION__EQ;
  if (relation == RELATION_BROADCAST) {
    /* a = b, or one of them is 1 and the other not 0:
     * (a - b) * (((a - 1) * (b - 1))^2 + (1 - min(a, b, 1))) = 0. */
    dim a_1 = dim_sub(t, lhs, one), b_1 = dim_sub(t, rhs, one);
    dim units[4] = {a_1, b_1, a_1, b_1};
    dim empty = dim_sub(t, one, dim_min(t, dim_min(t, lhs, rhs), one));
    uint32_t either =
        manifest_build_expr(w->b, EXPR_ADD, plan_product(w, units, 4, 1), plan_expr(w, empty), 0);
    uint32_t differ = plan_expr(w, dim_sub(t, lhs, rhs));
    *out_a = manifest_build_expr(w->b, EXPR_MUL, differ, either, 0);
    *out_b = plan_expr(w, zero);
    return;
  }
  if (relation == RELATION_DIVIDES) {
    lhs = dim_mod(t, rhs, lhs);
    rhs = zero;
  }
  *out_a = plan_expr(w, lhs);
  *out_b = plan_expr(w, rhs);
}
