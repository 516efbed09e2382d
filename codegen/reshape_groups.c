/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of a reshape; see reshape_groups.h. */
#include "codegen/reshape_groups.h"

#include <assert.h>

/* The dims that are not 1, and their axes. */
static uint32_t without_ones(const struct dim_table *t, const struct type *type, dim *out_dims,
                             uint32_t *out_axes) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < type->rank; i++) {
    if (dim_is_const_value(t, type->dims[i], 1))
      continue;
    out_axes[n] = i;
    out_dims[n++] = type->dims[i];
  }
  return n;
}

/* The least numbers of leading dims of a and b that have equal products; everything if none is
 * found. */
static struct reshape_group match_group(struct dim_table *t, const dim *a, uint32_t na,
                                        const dim *b, uint32_t nb) {
  dim pa[IR_MAX_RANK + 1], pb[IR_MAX_RANK + 1];
  pa[0] = pb[0] = dim_const(t, 1);
  for (uint32_t i = 0; i < na; i++)
    pa[i + 1] = dim_mul(t, pa[i], a[i]);
  for (uint32_t i = 0; i < nb; i++)
    pb[i + 1] = dim_mul(t, pb[i], b[i]);
  for (uint32_t sum = 2; sum <= na + nb; sum++) {
    for (uint32_t i = 1; i < sum && i <= na; i++) {
      uint32_t j = sum - i;
      if (j <= nb && pa[i] != DIM_NONE && pa[i] == pb[j])
        return (struct reshape_group){i, j};
    }
  }
  return (struct reshape_group){na, nb};
}

static void add(struct reshape_table *table, const struct function *f, const struct op *op) {
  struct dim_table *t = f->module->dims;
  struct reshape_groups found = {.result = op->results[0]};
  dim a[IR_MAX_RANK], b[IR_MAX_RANK];
  uint32_t na = without_ones(t, value_type(f, op->results[0]), a, found.result_axes);
  uint32_t nb = without_ones(t, value_type(f, op->operands[0]), b, found.operand_axes);
  for (uint32_t i = 0, j = 0; i < na && j < nb;) {
    struct reshape_group g = match_group(t, a + i, na - i, b + j, nb - j);
    found.groups[found.n++] = g;
    i += g.n_result;
    j += g.n_operand;
  }
  vec_push(&table->items, found);
}

void reshape_table_fill(struct reshape_table *table, const struct function *f, region_id region) {
  const struct region *r = &f->regions.data[region];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    if (op->kind == OP_RESHAPE)
      add(table, f, op);
    for (uint32_t k = 0; k < op->n_regions; k++)
      reshape_table_fill(table, f, op->regions[k]);
  }
}

void reshape_table_deinit(struct reshape_table *table) { vec_deinit(&table->items); }

const struct reshape_groups *reshape_groups_of(const struct reshape_table *table, value_id result) {
  for (uint32_t i = 0; i < table->items.len; i++)
    if (table->items.data[i].result == result)
      return &table->items.data[i];
  assert(!"a reshape of another kernel");
  return NULL;
}
