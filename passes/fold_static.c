/* SPDX-License-Identifier: Apache-2.0 */
/* fold_static: what depends on no input, positions included, is computed once and for all.
 *
 *     %0 = iota : f32[64, 1]
 *     %1 = map %0, %w { sin(mul($0, $1)) } : f32[64, 32]     =>     %1 = const @c : f32[64, 32]
 *
 * fold looks at ops on constants one by one and leaves alone what is cheaper to make than to load:
 * positions, broadcasts. Here whole subgraphs of such ops are evaluated (by the interpreter, in
 * typed mode, in one go), and those values become constants that something else reads, that took
 * more than a few operations per element, and that have at most 1 MiB: tables of sines, window
 * masks, transform matrices.
 *
 * What fails stays for the run to report. Not in the bodies of loops and branches.
 *
 * Requires: recognise_attention before, which reads masks as positions. Preserves: values bit by
 * bit. */
#include <string.h>

#include "ir/interp.h"
#include "passes/pass.h"
#include "passes/pattern.h"
#include "passes/rewrite.h"

#define MAX_BYTES (UINT64_C(1) << 20)
#define MAX_ELEMENTS (1 << 18)
/* Elements that all of a function's static values may have together, and the work of one op. */
#define BUDGET (UINT64_C(1) << 24)
#define MAX_FLOPS 50000000
/* Scalar operations per element above which a table is worth its place. */
#define FEW 8
#define MUCH 1000

struct fold_static {
  struct interp in;
  uint32_t *work; /* by value: scalar operations per element, what it is made of included */
  struct uses uses;
  uint32_t n_values;
};

static uint32_t body_cost(const struct scalar_body *body) {
  uint32_t cost = 0;
  for (uint32_t i = 0; i < body->len; i++)
    cost += scalar_infos[body->insts[i].op].cost;
  return cost;
}

static uint32_t own_work(const struct op *op) {
  switch (op->kind) {
  case OP_CONST:
  case OP_IOTA:
  case OP_DIMS:
  case OP_RESHAPE:
  case OP_TRANSPOSE:
  case OP_BROADCAST:
  case OP_SLICE:
  case OP_BITCAST: return 0;
  case OP_MAP: return body_cost(OP_ATTRS(map, op)->body);
  default: return MUCH;
  }
}

static bool is_small_constant(const struct function *f, value_id v) {
  const struct op *op = def_of_kind(f, v, OP_CONST);
  if (!op)
    return false;
  const struct constant *c = &f->module->constants.data[OP_ATTRS(const, op)->value];
  uint64_t n = constant_count(c);
  return n > 0 && n <= MAX_ELEMENTS && dtype_kind(c->dtype) != DTYPE_KIND_STRING;
}

/* Whether the op can be evaluated: static types, operands that were, not too much work. */
static bool can_evaluate(struct fold_static *s, const struct op *op) {
  const struct function *f = s->in.function;
  struct dim_table *t = f->module->dims;
  int64_t n, flops;
  if (!op_is_static(op->kind))
    return false;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    if (!s->in.values[op->operands[i]] && !is_small_constant(f, op->operands[i]))
      return false;
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    const struct type *type = value_type(f, op->results[i]);
    if (dtype_kind(type->dtype) == DTYPE_KIND_STRING ||
        !dim_is_const(t, type_elements(t, type), &n) || n < 1 || n > MAX_ELEMENTS)
      return false;
  }
  if (!op_infos[op->kind].hooks->flops)
    return true;
  return dim_is_const(t, op_infos[op->kind].hooks->flops(f, op), &flops) && flops <= MAX_FLOPS;
}

static void evaluate(struct fold_static *s, const struct op *op) {
  uint32_t work = own_work(op);
  for (uint32_t i = 0; i < op->n_operands; i++) { /* constants, at their first reader */
    const struct op *def = value_def(s->in.function, op->operands[i]);
    if (!s->in.values[op->operands[i]] && op_infos[OP_CONST].hooks->eval(&s->in, def) != STATUS_OK)
      return;
  }
  if (op_infos[op->kind].hooks->eval(&s->in, op) != STATUS_OK) {
    for (uint32_t i = 0; i < op->n_results; i++)
      s->in.values[op->results[i]] = NULL;
    return;
  }
  for (uint32_t i = 0; i < op->n_operands; i++) {
    uint32_t w = s->work[op->operands[i]];
    work = w > work ? w + (work < MUCH ? work : 0) : work + (w < MUCH ? w : 0);
  }
  for (uint32_t i = 0; i < op->n_results; i++)
    s->work[op->results[i]] = work;
  arena_reset(&s->in.scratch);
}

static void evaluate_all(struct fold_static *s) {
  const struct function *f = s->in.function;
  const struct region *body = &f->regions.data[0];
  s->in.budget = BUDGET;
  for (uint32_t i = 0; i < body->ops.len; i++) {
    const struct op *op = function_op(f, body->ops.data[i]);
    if (op->kind != OP_CONST && can_evaluate(s, op))
      evaluate(s, op);
  }
}

/* Something reads it that is not static itself, or a broadcast, which is never a table. */
static bool is_read(const struct fold_static *s, value_id v) {
  const struct function *f = s->in.function;
  for (uint32_t i = s->uses.start[v]; i < s->uses.start[v + 1]; i++) {
    op_id user = s->uses.ops[i];
    if (user == OP_ID_NONE)
      return true;
    const struct op *op = function_op(f, user);
    if (op->n_results == 0 || op->kind == OP_BROADCAST || op->results[0] >= s->n_values ||
        !s->in.values[op->results[0]])
      return true;
  }
  return false;
}

static value_id as_constant(struct rewriter *w, const struct tensor *t) {
  struct arena arena = {0};
  uint64_t bytes;
  const void *data = tensor_to_bytes(&arena, t, &bytes);
  value_id v = bytes <= MAX_BYTES ? build_const_data(&w->b, t->dtype, t->dims, t->rank, data, bytes)
                                  : VALUE_NONE;
  arena_deinit(&arena);
  return v;
}

static enum rewrite replace(struct rewriter *w, op_id id) {
  struct fold_static *s = w->user;
  const struct op op = *function_op(w->f, id);
  enum rewrite done = NO_MATCH;
  if (op.n_results == 0 || op.kind == OP_BROADCAST || op.results[0] >= s->n_values ||
      !s->in.values[op.results[0]])
    return NO_MATCH;
  for (uint32_t i = 0; i < op.n_results; i++) {
    if (s->work[op.results[i]] <= FEW || !is_read(s, op.results[i]))
      continue;
    if (rewrite_result(w, id, i, as_constant(w, s->in.values[op.results[i]])))
      done = REPLACED;
  }
  return done;
}

static status fold_function(struct pass_context *ctx, struct function *f) {
  struct arena arena = {0};
  struct diags ignored = {0};
  struct fold_static s = {.n_values = f->values.len};
  status st;
  interp_init(&s.in, f, INTERP_TYPED, &arena, &ignored);
  s.work = ARENA_ARRAY(&arena, uint32_t, f->values.len);
  uses_build(f, ctx->scratch, &s.uses);
  evaluate_all(&s);
  rewrite_function(f, ctx->diags, &(struct rewrite_options){.rule = replace, .user = &s}, &st);
  interp_deinit(&s.in);
  diags_deinit(&ignored);
  arena_deinit(&arena);
  return st;
}

status pass_fold_static(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->functions.len && st == STATUS_OK; i++)
    st = fold_function(ctx, ctx->module->functions.data[i]);
  return st;
}
