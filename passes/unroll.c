/* SPDX-License-Identifier: Apache-2.0 */
/* unroll: control flow whose way is known goes.
 *
 *     %c = const true                           loop of 2 with a small body
 *     %0 = if %c region { yield %a }     =>       =>  the body, twice
 *          region { yield %b }
 *     return %0         (return %a)
 *
 * An `if` on a constant is the branch taken; where the branches differ in a dim, its symbol is the
 * branch's dim from here on. A loop with a constant number of iterations and a condition that stays
 * true is its body that often: once, or up to 8 times where that is at most 64 ops; not where the
 * body binds symbols, holds more loops, or changes the shape of what it carries.
 *
 * Requires: simplify before (constants as such). Preserves: values bit by bit. */
#include <string.h>

#include "passes/pass.h"
#include "passes/pattern.h"
#include "passes/rewrite.h"
#include "passes/substitute.h"

#define MAX_TRIPS 8
#define MAX_OPS 64

/* Copies the ops of a region to where the builder is; map leads from its values to the copies. */
static bool copy_ops(struct rewriter *w, region_id region, value_id *map) {
  uint32_t failures = w->b.failures;
  uint32_t n = w->f->regions.data[region].ops.len;
  for (uint32_t i = 0; i < n; i++)
    op_clone(&w->b, w->f, w->f->regions.data[region].ops.data[i], map);
  return w->b.failures == failures;
}

static value_id copy_of(const struct rewriter *w, region_id region, uint32_t result,
                        const value_id *map) {
  value_id v = w->f->regions.data[region].results.data[result];
  return map[v] == VALUE_NONE ? v : map[v];
}

/* ---- if ---- */

/* Dims of the result that are symbols of their own become the branch's. */
static bool adopt_dims(struct rewriter *w, value_id result, value_id taken) {
  const struct type want = *value_type(w->f, result), have = *value_type(w->f, taken);
  for (uint32_t i = 0; i < want.rank; i++) {
    uint32_t symbol;
    dim now = value_type(w->f, result)->dims[i];
    if (dim_known_eq(w->dims, now, have.dims[i]))
      continue;
    if (!dim_symbol_of(w->dims, now, &symbol) || dim_uses_symbol(w->dims, have.dims[i], symbol) ||
        !function_substitute(w->f, symbol, have.dims[i], OP_ID_NONE))
      return false;
  }
  return true;
}

static enum rewrite take_branch(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  double ignored;
  int64_t condition;
  if (!value_literal(w->f, op.operands[0], &ignored, &condition))
    return NO_MATCH;
  region_id taken = op.regions[condition ? 0 : 1];
  for (uint32_t i = 0; i < op.n_results; i++) {
    if (!adopt_dims(w, op.results[i], w->f->regions.data[taken].results.data[i]))
      return NO_MATCH;
  }
  struct arena scratch = {0};
  value_id *map = ARENA_ARRAY(&scratch, value_id, w->f->values.len);
  bool sound = copy_ops(w, taken, map);
  for (uint32_t i = 0; i < op.n_results && sound; i++)
    sound = rewrite_result(w, id, i, copy_of(w, taken, i, map));
  arena_deinit(&scratch);
  return sound ? REPLACED : NO_MATCH;
}

/* ---- loop ---- */

static bool is_true(const struct function *f, value_id v) {
  double ignored;
  int64_t x;
  return value_literal(f, v, &ignored, &x) && x;
}

/* Ops of the body, or UINT32_MAX where it cannot be copied several times. */
static uint32_t body_size(const struct function *f, region_id region) {
  const struct region *r = &f->regions.data[region];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    if (op->n_regions || op->kind == OP_SYMBOL || op->kind == OP_RANDOM)
      return UINT32_MAX;
  }
  return r->ops.len;
}

/* Whether what is carried keeps one static type. */
static bool carries_static(const struct function *f, const struct op *op) {
  const struct region *r = &f->regions.data[op->regions[0]];
  int64_t dims[IR_MAX_RANK];
  for (uint32_t i = 1; i < r->params.len; i++) {
    const struct type *type = value_type(f, r->params.data[i]);
    if (!type_static_dims(f->module->dims, type, dims) ||
        !type_same_shape(type, value_type(f, op->operands[1 + i])) ||
        !type_same_shape(type, value_type(f, r->results.data[i])))
      return false;
  }
  for (uint32_t i = r->params.len; i < r->results.len; i++) {
    if (!type_static_dims(f->module->dims, value_type(f, r->results.data[i]), dims))
      return false;
  }
  return true;
}

static bool trips_of(const struct function *f, const struct op *op, int64_t *out_trips) {
  const struct region *r = &f->regions.data[op->regions[0]];
  double ignored;
  if (!is_true(f, op->operands[1]) || !value_literal(f, op->operands[0], &ignored, out_trips) ||
      *out_trips < 1 || *out_trips > MAX_TRIPS || !carries_static(f, op))
    return false;
  uint32_t size = body_size(f, op->regions[0]);
  bool goes_on = is_true(f, r->results.data[0]);
  return size != UINT32_MAX && (*out_trips == 1 || (goes_on && size * *out_trips <= MAX_OPS));
}

/* x with a first dim of 1. */
static value_id stack_one(struct rewriter *w, value_id x) {
  return build_unsqueeze(&w->b, x, (const int64_t[]){0}, 1);
}

/* The number of iterations, as a dim, is known from here on. */
static bool adopt_trips(struct rewriter *w, const struct op *op, int64_t trips) {
  uint32_t symbol;
  dim trip = OP_ATTRS(loop, op)->trip;
  if (trip == DIM_NONE || !dim_symbol_of(w->dims, trip, &symbol))
    return true;
  return function_substitute(w->f, symbol, dim_const(w->dims, trips), OP_ID_NONE);
}

static enum rewrite unroll_loop(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  const region_id body = op.regions[0];
  int64_t trips;
  if (!trips_of(w->f, &op, &trips) || !adopt_trips(w, &op, trips))
    return NO_MATCH;
  uint32_t carried = op.n_operands - 2, n = w->f->values.len, outputs = op.n_results - carried;
  struct arena scratch = {0};
  value_id *state = ARENA_ARRAY(&scratch, value_id, carried + 1u);
  value_id *rows = ARENA_ARRAY(&scratch, value_id, outputs * (uint32_t)trips + 1u);
  memcpy(state, op.operands + 2, carried * sizeof *state);
  bool sound = true;
  for (int64_t t = 0; t < trips && sound; t++) {
    value_id *map = ARENA_ARRAY(&scratch, value_id, n);
    map[w->f->regions.data[body].params.data[0]] = build_scalar_i64(&w->b, DTYPE_I64, t);
    for (uint32_t i = 0; i < carried; i++)
      map[w->f->regions.data[body].params.data[1 + i]] = state[i];
    sound = copy_ops(w, body, map);
    for (uint32_t i = 0; i < carried; i++)
      state[i] = copy_of(w, body, 1 + i, map);
    for (uint32_t i = 0; i < outputs; i++)
      rows[i * trips + t] = stack_one(w, copy_of(w, body, 1 + carried + i, map));
  }
  for (uint32_t i = 0; i < carried && sound; i++)
    sound = rewrite_result(w, id, i, state[i]);
  for (uint32_t i = 0; i < outputs && sound; i++)
    sound = rewrite_result(w, id, carried + i,
                           build_concat(&w->b, rows + i * trips, (uint32_t)trips, 0));
  arena_deinit(&scratch);
  return sound ? REPLACED : NO_MATCH;
}

/* ---- the pass ---- */

static enum rewrite unroll(struct rewriter *w, op_id id) {
  switch (function_op(w->f, id)->kind) {
  case OP_IF: return take_branch(w, id);
  case OP_LOOP: return unroll_loop(w, id);
  default: return NO_MATCH;
  }
}

status pass_unroll(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->functions.len && st == STATUS_OK; i++)
    rewrite_function(ctx->module->functions.data[i], ctx->diags,
                     &(struct rewrite_options){.rule = unroll}, &st);
  return st;
}
