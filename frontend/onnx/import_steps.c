/* SPDX-License-Identifier: Apache-2.0 */
/* A loop of a known number of steps. */
#include "frontend/onnx/import_steps.h"

#include "frontend/onnx/import_build.h"

#include <string.h>

/* The body; false if a value failed. */
static bool build_body(struct import_node *n, region_id body, const struct type *types,
                       uint32_t carried, uint32_t stacked, import_step_fn *build, void *user,
                       value_id *results) {
  struct type number = type_make(DTYPE_I64, NULL, 0);
  value_id params[IMPORT_MAX_CARRIED], step = region_add_param(n->f, body, &number, NULL);
  for (uint32_t i = 0; i < carried; i++)
    params[i] = region_add_param(n->f, body, &types[i], NULL);
  region_id outer = n->b->region;
  n->b->region = body;
  results[0] = build_scalar_i64(n->b, DTYPE_BOOL, 1);
  build(n, user, step, params, results + 1);
  n->b->region = outer;
  bool sound = !n->failed;
  for (uint32_t i = 0; sound && i <= carried + stacked; i++)
    sound = results[i] != VALUE_NONE;
  return sound;
}

void import_steps(struct import_node *n, dim steps, const value_id *initial, uint32_t carried,
                  uint32_t stacked, import_step_fn *build, void *user, value_id *out_results) {
  struct type types[IMPORT_MAX_CARRIED];
  value_id operands[2 + IMPORT_MAX_CARRIED], results[1 + IMPORT_MAX_CARRIED];
  memcpy(operands + 2, initial, carried * sizeof *initial); /* the caller may reuse the list */
  memset(out_results, 0, (carried + stacked) * sizeof *out_results);
  for (uint32_t i = 0; i < carried; i++) {
    if (operands[2 + i] == VALUE_NONE)
      return;
    types[i] = *import_value_type(n, operands[2 + i]);
  }
  region_id body = region_create(n->f);
  if (!build_body(n, body, types, carried, stacked, build, user, results))
    return;
  for (uint32_t i = carried; i < carried + stacked; i++) {
    const struct type *one = import_value_type(n, results[1 + i]);
    dim dims[IR_MAX_RANK + 1] = {steps};
    memcpy(dims + 1, one->dims, one->rank * sizeof *dims);
    types[i] = type_make(one->dtype, dims, one->rank + 1);
  }
  for (uint32_t i = 0; i <= carried + stacked; i++)
    vec_push(&function_region(n->f, body)->results, results[i]);
  operands[0] = import_dim_scalar(n, steps, DTYPE_I64);
  operands[1] = build_scalar_i64(n->b, DTYPE_BOOL, 1);
  struct loop_attrs attrs = {
      .types = {types, carried + stacked}, .trip = import_fresh_dim(n, "trip"), .carried = carried};
  op_id op = build_op(n->b, OP_LOOP, operands, 2 + carried, &body, 1, &attrs);
  for (uint32_t i = 0; i < carried + stacked; i++)
    out_results[i] = op_result(n->f, op, i);
}
