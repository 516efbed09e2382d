/* SPDX-License-Identifier: Apache-2.0 */
/* simplify: local rules that make graphs smaller without changing a bit.
 *
 *     %1 = reshape %c : f32[1, 1]             %2 = map %x { mul($0, 0.5) }
 *     %2 = map %x, %1 { mul($0, $1) }    =>
 *     %3 = transpose %2 { perm = [0, 1] }     (%3 is %2)
 *
 * Exporters write every scalar as a tensor, every negative index as a select, every shape as a
 * chain of integer ops. Rules, each above its function, take that apart:
 *
 *   simplify_map.c     operands that are one number go into the body; bodies are simplified;
 * repeats of an operand, broadcasts and unread operands go simplify_view.c    views that do
 * nothing, views of views simplify_gather.c  gathers at evenly spaced indices are slices
 *   simplify_shape.c   small integer tensors that are dim expressions become `dims`
 *
 * Rules keep type and value; those on floats hold for -0, infinities and NaN. They go downhill:
 * views move towards readers that can absorb them (a broadcast towards the map that reads it),
 * never back. An index that is out of range is an error as before, but may be told by a `check`.
 *
 * Requires: nothing. Preserves: values bit by bit. */
#include "passes/pass.h"
#include "passes/pattern.h"
#include "passes/simplify_rules.h"

bool simplify_used_once(const struct rewriter *w, value_id v) {
  const struct simplify *s = simplify_of(w);
  return v < s->n_values && uses_count(&s->uses, v) == 1;
}

/* reduce over dims of 1 => the operand; a dim of 1 among others is no axis */
static enum rewrite simplify_reduce(struct rewriter *w, op_id id) {
  const struct op *op = function_op(w->f, id);
  const struct reduce_attrs *a = OP_ATTRS(reduce, op);
  const struct type *x = value_type(w->f, op->operands[0]);
  int64_t axes[IR_MAX_RANK];
  uint32_t n = 0;
  if (op->n_results != 1 || a->kind == COMBINER_ARGMAX || a->kind == COMBINER_ARGMIN)
    return NO_MATCH;
  /* A sum of one f16 or of -0 keeps its bits only where nothing is added to it. */
  for (uint32_t i = 0; i < a->axes.len; i++) {
    if (!dim_is_one(w->dims, x->dims[a->axes.data[i]]))
      axes[n++] = a->axes.data[i];
  }
  if (n == a->axes.len || (n == 0 && a->kind == COMBINER_SUM && dtype_is_float(x->dtype)))
    return NO_MATCH;
  return rewrite_with(w, id, build_reduce(&w->b, op->operands[0], axes, n, a->kind));
}

/* check of what is known by now => nothing */
static enum rewrite simplify_check(struct rewriter *w, op_id id) {
  const struct check_attrs *a = OP_ATTRS(check, function_op(w->f, id));
  return relation_known(w->dims, a->lhs, a->relation, a->rhs) ? REPLACED : NO_MATCH;
}

static enum rewrite simplify_op(struct rewriter *w, op_id id) {
  enum rewrite r = simplify_shape(w, id);
  if (r != NO_MATCH)
    return r;
  switch (function_op(w->f, id)->kind) {
  case OP_MAP: return simplify_map(w, id);
  case OP_RESHAPE:
  case OP_TRANSPOSE:
  case OP_BROADCAST:
  case OP_SLICE:
  case OP_PAD:
  case OP_CONCAT:
  case OP_BITCAST: return simplify_view(w, id);
  case OP_GATHER: return simplify_gather(w, id);
  case OP_REDUCE: return simplify_reduce(w, id);
  case OP_CONTRACT: return simplify_contract(w, id);
  case OP_CHECK: return simplify_check(w, id);
  default: return NO_MATCH;
  }
}

static status simplify_function(struct pass_context *ctx, struct function *f) {
  struct simplify s;
  status st;
  affines_init(&s.affines, f);
  uses_build(f, ctx->scratch, &s.uses);
  s.n_values = f->values.len;
  rewrite_function(f, ctx->diags, &(struct rewrite_options){.rule = simplify_op, .user = &s}, &st);
  affines_deinit(&s.affines);
  return st;
}

status pass_simplify(struct pass_context *ctx) {
  for (uint32_t i = 0; i < ctx->module->functions.len; i++) {
    status st = simplify_function(ctx, ctx->module->functions.data[i]);
    if (st != STATUS_OK)
      return st;
  }
  return STATUS_OK;
}
