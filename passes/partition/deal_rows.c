/* SPDX-License-Identifier: Apache-2.0 */
/* Batch rows of states, dealt; see deal_rows.h. */
#include "passes/partition/deal_rows.h"

#include "base/str.h"
#include "ir/sharding_form.h"

#include <string.h>

static bool is_block(enum split_order order, int64_t granule) {
  return order == SPLIT_BLOCK && granule <= 1;
}

static bool fits(const struct function *f, const struct op *op, const struct factor_list *factors,
                 uint32_t mesh, const struct op_split *s, struct arena *arena) {
  struct strbuf why = {0};
  sharding_id *operands = ARENA_ARRAY(arena, sharding_id, op->n_operands + 1);
  sharding_id *results = ARENA_ARRAY(arena, sharding_id, op->n_results + 1);
  bool ok = op_split_shardings(f, op, factors, mesh, s, operands, results, &why);
  strbuf_deinit(&why);
  return ok;
}

static void deal_op(const struct function *f, const struct op *op,
                    const struct factor_list *factors, dim batch, uint32_t mesh,
                    struct arena *arena, struct op_split *s) {
  for (uint32_t i = 0; i < s->n; i++) {
    struct factor_split *x = &s->splits[i];
    if (factors->factors.data[x->factor].extent != batch || !is_block(x->order, x->granule))
      continue;
    x->order = SPLIT_INTERLEAVED;
    x->granule = x->block = 1;
    if (fits(f, op, factors, mesh, s, arena))
      continue;
    memmove(x, x + 1, (--s->n - i) * sizeof *x);
    i--;
  }
}

static const sharding_id *deal_ports(struct function *f, const value_id *ports, uint32_t n,
                                     const sharding_id *shardings, dim batch, struct arena *arena) {
  sharding_id *dealt = ARENA_ARRAY(arena, sharding_id, n + 1);
  for (uint32_t i = 0; i < n; i++) {
    const struct type *type = value_type(f, ports[i]);
    dealt[i] = shardings[i];
    if (!shardings[i])
      continue;
    struct sharding s = *f->module->shardings.data[shardings[i]];
    for (uint32_t d = 0; d < type->rank; d++) {
      if (!s.dims[d].n_axes || type->dims[d] != batch ||
          !is_block(s.dims[d].order, s.dims[d].granule))
        continue;
      s.dims[d].order = SPLIT_INTERLEAVED;
      s.dims[d].granule = s.dims[d].block = 1;
    }
    dealt[i] = module_shard(f->module, type, &s);
  }
  return dealt;
}

void deal_rows(struct function *f, dim batch, struct arena *arena, struct assignment *a) {
  const struct region *body = &f->regions.data[0];
  struct factor_list factors = {0};
  if (dim_is_const(f->module->dims, batch, NULL))
    return;
  for (op_id id = 1; id < a->n_ops && id < f->ops.len; id++) {
    const struct op *op = function_op(f, id);
    if (op->kind == OP_NONE || !a->ops[id].n)
      continue;
    factors_of(f, op, arena, &factors);
    deal_op(f, op, &factors, batch, a->mesh, arena, &a->ops[id]);
  }
  vec_deinit(&factors.factors);
  if (a->params)
    a->params = deal_ports(f, body->params.data, body->params.len, a->params, batch, arena);
  if (a->results)
    a->results = deal_ports(f, body->results.data, body->results.len, a->results, batch, arena);
}
