/* SPDX-License-Identifier: Apache-2.0 */
/* Loops of any body. Which dims of what they carry change is found by trying: the body is imported
 * with the first types; if it gives other dims, it is taken back and imported again with symbols in
 * their places. */
#include "frontend/onnx/import_repeat.h"

#include "frontend/onnx/import_util.h"

/* ---- regions ---- */

bool import_dim_is_local(struct import_node *n, dim d, uint32_t symbols) {
  for (uint32_t s = symbols; s < dim_symbol_count(n->dims); s++)
    if (dim_uses_symbol(n->dims, d, s))
      return true;
  return false;
}

void import_region_results(struct import_node *n, region_id r, const value_id *ids, uint32_t len) {
  for (uint32_t i = 0; i < len; i++)
    vec_push(&function_region(n->f, r)->results, ids[i]);
}

void import_region_discard(struct function *f, region_id r) {
  vec_clear(&function_region(f, r)->results);
  while (function_region(f, r)->ops.len)
    function_erase_op(f, vec_last(&function_region(f, r)->ops));
}

/* ---- the loop ---- */

/* Makes symbols of the dims that an iteration changed. True if there were any. */
static bool widen(struct repeat *l, const value_id *results) {
  struct import_node *n = l->n;
  uint32_t before = l->changing, symbol;
  for (uint32_t i = 0; i < l->carried; i++) {
    struct type *param = &l->params[i];
    const struct type *first = value_type(n->f, l->initial[i]);
    const struct type *result = value_type(n->f, results[i]);
    if (param->dtype != result->dtype) {
      import_invalid(n, "carried value %u is %s and becomes %s", i, dtype_name(param->dtype),
                     dtype_name(result->dtype));
      return false;
    }
    if (param->rank != result->rank) {
      l->rank_changes = true;
      return false;
    }
    for (uint32_t d = 0; d < param->rank; d++) {
      bool free =
          dim_symbol_of(n->dims, param->dims[d], &symbol) && param->dims[d] != first->dims[d];
      if (free || dim_known_eq(n->dims, param->dims[d], result->dims[d]))
        continue;
      param->dims[d] = import_fresh_dim(n, "carried");
      l->changing++;
    }
  }
  return l->changing != before;
}

/* The body with the present types of params; results go to `out`. */
static bool import_body(struct repeat *l, region_id *out_region, value_id *out) {
  struct import_node *n = l->n;
  region_id outer = n->b->region, r = region_create(n->f);
  struct type number = type_make(DTYPE_I64, NULL, 0);
  value_id iteration = region_add_param(n->f, r, &number, NULL);
  value_id *params = ARENA_ARRAY(import_arena(n), value_id, l->carried);
  for (uint32_t i = 0; i < l->carried; i++)
    params[i] = region_add_param(n->f, r, &l->params[i], NULL);
  n->b->region = r;
  bool sound = l->step(l, iteration, params, out);
  n->b->region = outer;
  for (uint32_t i = 0; sound && i < 1 + l->carried + l->stacked; i++)
    sound = out[i] != VALUE_NONE;
  *out_region = r;
  return sound;
}

static void result_types(struct repeat *l, const value_id *results, uint32_t symbols, dim trips,
                         struct type *types) {
  struct import_node *n = l->n;
  for (uint32_t i = 0; i < l->carried; i++) {
    types[i] = l->params[i];
    for (uint32_t d = 0; d < types[i].rank; d++)
      if (import_dim_is_local(n, types[i].dims[d], symbols))
        types[i].dims[d] = import_fresh_dim(n, "carried");
  }
  for (uint32_t i = l->carried; i < l->carried + l->stacked; i++) {
    const struct type one = *value_type(n->f, results[1 + i]);
    dim dims[IR_MAX_RANK + 1] = {trips};
    for (uint32_t d = 0; d < one.rank; d++)
      dims[d + 1] =
          import_dim_is_local(n, one.dims[d], symbols) ? import_fresh_dim(n, "step") : one.dims[d];
    types[i] = type_make(one.dtype, dims, one.rank + 1);
  }
}

void import_repeat_times(struct repeat *l, dim trips) {
  l->most = import_dim_scalar(l->n, trips, DTYPE_I64);
  l->go_on = build_scalar_i64(l->n->b, DTYPE_BOOL, 1);
  l->trips = trips;
}

bool import_repeat(struct repeat *l, value_id *out_results) {
  struct import_node *n = l->n;
  struct arena *arena = import_arena(n);
  uint32_t symbols = dim_symbol_count(n->dims), total = l->carried + l->stacked;
  value_id *results = ARENA_ARRAY(arena, value_id, total + 1);
  region_id body;
  int64_t known;
  l->params = ARENA_ARRAY(arena, struct type, l->carried);
  for (uint32_t i = 0; i < l->carried; i++) {
    if (l->initial[i] == VALUE_NONE)
      return false;
    l->params[i] = *value_type(n->f, l->initial[i]);
  }
  for (;;) {
    if (!import_body(l, &body, results))
      return false;
    bool again = widen(l, results + 1);
    if (again || l->rank_changes)
      import_region_discard(n->f, body);
    if (l->rank_changes || n->failed)
      return false;
    if (!again)
      break;
  }
  bool endless = dim_is_const(n->dims, import_value_dim(n, results[0], 0), &known) && known;
  dim trip = import_fresh_dim(n, "trip");
  struct type *types = ARENA_ARRAY(arena, struct type, total);
  result_types(l, results, symbols, endless && l->trips != DIM_NONE ? l->trips : trip, types);
  import_region_results(n, body, results, total + 1);
  value_id *operands = ARENA_ARRAY(arena, value_id, l->carried + 2);
  operands[0] = l->most;
  operands[1] = l->go_on;
  for (uint32_t i = 0; i < l->carried; i++)
    operands[2 + i] = l->initial[i];
  struct loop_attrs attrs = {.types = {types, total}, .trip = trip, .carried = l->carried};
  op_id op = build_op(n->b, OP_LOOP, operands, l->carried + 2, &body, 1, &attrs);
  for (uint32_t i = 0; i < total; i++)
    out_results[i] = op_result(n->f, op, i);
  return op != OP_ID_NONE;
}
