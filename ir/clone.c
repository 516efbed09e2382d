/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of ops with their regions, and of functions. */
#include "ir/graph.h"

#include "base/mem.h"

/* Within one function, a value that is not mapped stands for itself. */
static value_id mapped(const struct builder *b, const struct function *from, const value_id *map,
                       value_id v) {
  return map[v] == VALUE_NONE && from == b->function ? v : map[v];
}

static region_id clone_region(struct builder *b, const struct function *from, region_id id,
                              value_id *map) {
  region_id to = region_create(b->function);
  for (uint32_t i = 0; i < from->regions.data[id].params.len; i++) {
    value_id param = from->regions.data[id].params.data[i];
    struct value v = from->values.data[param];
    map[param] = region_add_param(b->function, to, &v.type, v.name);
  }
  struct builder inner = *b;
  inner.region = to;
  /* By index: with `from` the builder's own function, its tables move as it grows. */
  uint32_t n_ops = from->regions.data[id].ops.len;
  for (uint32_t i = 0; i < n_ops; i++)
    op_clone(&inner, from, from->regions.data[id].ops.data[i], map);
  b->failures = inner.failures;
  for (uint32_t i = 0; i < from->regions.data[id].results.len; i++) {
    value_id result = mapped(b, from, map, from->regions.data[id].results.data[i]);
    vec_push(&b->function->regions.data[to].results, result);
  }
  return to;
}

op_id op_clone(struct builder *b, const struct function *from, op_id id, value_id *map) {
  const struct op op = from->ops.data[id];
  struct arena scratch = {0};
  value_id *operands = ARENA_ARRAY(&scratch, value_id, op.n_operands);
  region_id *regions = ARENA_ARRAY(&scratch, region_id, op.n_regions);
  for (uint32_t i = 0; i < op.n_operands; i++)
    operands[i] = mapped(b, from, map, op.operands[i]);
  for (uint32_t i = 0; i < op.n_regions; i++)
    regions[i] = clone_region(b, from, op.regions[i], map);
  uint32_t provenance = b->provenance;
  b->provenance = op.provenance;
  op_id copy = build_op(b, op.kind, operands, op.n_operands, regions, op.n_regions, op.attrs);
  b->provenance = provenance;
  for (uint32_t i = 0; i < op.n_results; i++) {
    value_id v = op_result(b->function, copy, i);
    map[op.results[i]] = v;
    if (v == VALUE_NONE)
      continue;
    b->function->values.data[v].type.sharding = from->values.data[op.results[i]].type.sharding;
    value_set_name(b->function, v, from->values.data[op.results[i]].name);
  }
  arena_deinit(&scratch);
  return copy;
}

static value_id clone_param(struct function *to, const struct function *from, value_id param) {
  const struct value v = from->values.data[param];
  return region_add_param(to, 0, &v.type, v.name);
}

struct function *function_clone(const struct function *from, struct diags *diags) {
  struct function *to = function_create(from->module, from->name);
  struct builder b;
  builder_init(&b, to, 0, diags);
  value_id *map = mem_calloc(from->values.len, sizeof *map);
  const struct region *body = &from->regions.data[0];
  for (uint32_t i = 0; i < body->params.len; i++)
    map[body->params.data[i]] = clone_param(to, from, body->params.data[i]);
  for (uint32_t i = 0; i < body->ops.len; i++)
    op_clone(&b, from, body->ops.data[i], map);
  for (uint32_t i = 0; i < body->results.len; i++)
    vec_push(&function_region(to, 0)->results, map[body->results.data[i]]);
  for (uint32_t i = 0; i < from->where.len; i++)
    vec_push(&to->where, from->where.data[i]);
  mem_free(map);
  return b.failures ? NULL : to;
}
