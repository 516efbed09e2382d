/* SPDX-License-Identifier: Apache-2.0 */
/* recognise_attention: softmax(scale * q k^T + bias) v, as exporters spell it out, becomes
 * `attention`.
 *
 *     %s = contract %q, %k  (over d)
 *     %a = map %s, %mask { add(mul($0, 0.125), $1) }
 *     %m = reduce %a max ;  %e = exp(%a - %m)             =>   attention %q, %k, %v, %mask
 *     %p = %e / reduce %e sum                                    { scale = 0.125, has_bias = true }
 *     %r = contract %p, %v  (over t)
 *
 * It begins at the last contract and walks back. Between the softmax and the first contract it
 * takes scales, casts, additions (biases, masks), tanh soft caps, selects that put a very negative
 * number where a mask is off, and reshapes that split or merge batch and heads. Scales on q and k
 * are taken too, and keys and values that repeat each head for a group of query heads are read
 * without the repeat. A mask that is causal in positions, with or without a window, is recognised
 * as such; any other stays a bias, so that a row without keys is as in the source (uniform for a
 * finite mask).
 *
 * Not recognised: probabilities that something else reads too; more than two batch dims; masks by
 * select with a number above -1e30 (a row that is all masked would differ); products for which
 * different precisions were asked.
 *
 * Changes values within rounding: scale and softmax are in f32, products are not rounded in
 * between. A row where every score is -inf gives 0, as sources that guard the softmax's NaN do; one
 * that does not guard gives NaN there.
 *
 * Requires: simplify before (scalars in bodies). Preserves: shapes; values within rounding. */
#include <math.h>
#include <string.h>

#include "passes/affine.h"
#include "passes/attention_parts.h"
#include "passes/pass.h"
#include "passes/pattern.h"
#include "passes/precision/precision_rules.h"

#define VERY_NEGATIVE (-1e30)

/* ---- the softmax ---- */

static bool is_last_axis(const struct function *f, const struct op *reduce) {
  struct ints axes = OP_ATTRS(reduce, reduce)->axes;
  return axes.len == 1 && axes.data[0] + 1 == value_type(f, reduce->operands[0])->rank;
}

static const struct op *reduce_of(const struct function *f, value_id v, enum combiner kind) {
  const struct op *op = def_of_kind(f, v, OP_REDUCE);
  return op && OP_ATTRS(reduce, op)->kind == kind && is_last_axis(f, op) ? op : NULL;
}

/* A map that is one cast: its operand, else v itself. */
static value_id behind_cast(const struct function *f, value_id v) {
  value_id x;
  const struct op *op = def_of_kind(f, v, OP_MAP);
  bool cast = map_is(op, SCALAR_CAST, &x) && dtype_is_float(value_type(f, x)->dtype) &&
              dtype_is_float(value_type(f, v)->dtype);
  return cast ? x : v;
}

/* select(isnan(x), 0, x) => x */
static value_id behind_guard(const struct function *f, value_id v) {
  const struct op *op = def_of_kind(f, v, OP_MAP);
  if (!op || op->n_operands != 2)
    return v;
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  const struct scalar_inst *s = &body->insts[body->len - 1];
  if (s->op != SCALAR_SELECT || body->len != 4)
    return v;
  const struct scalar_inst *c = &body->insts[s->args[0]], *zero = &body->insts[s->args[1]];
  const struct scalar_inst *x = &body->insts[s->args[2]];
  value_id tested;
  if (c->op != SCALAR_ARG || x->op != SCALAR_ARG || zero->op != SCALAR_CONST || zero->imm.f64 != 0)
    return v;
  value_id value = op->operands[x->args[0]];
  return map_is(value_def(f, op->operands[c->args[0]]), SCALAR_ISNAN, &tested) && tested == value
             ? value
             : v;
}

/* The scores of a softmax over the last dim, or VALUE_NONE. */
static value_id softmax_scores(const struct function *f, value_id p) {
  value_id div[2], sub[2], e;
  if (!map_is(value_def(f, behind_cast(f, behind_guard(f, behind_cast(f, p)))), SCALAR_DIV, div))
    return VALUE_NONE;
  const struct op *sum = reduce_of(f, div[1], COMBINER_SUM);
  if (!sum || sum->operands[0] != div[0] || !map_is(value_def(f, div[0]), SCALAR_EXP, &e) ||
      !map_is(value_def(f, e), SCALAR_SUB, sub))
    return VALUE_NONE;
  const struct op *max = reduce_of(f, sub[1], COMBINER_MAX);
  return max && max->operands[0] == sub[0] ? sub[0] : VALUE_NONE;
}

/* ---- from the scores to the first contract ---- */

/* One map as a function of one operand and a number: x op c. */
static bool map_with_literal(const struct function *f, value_id v, enum scalar_op scalar,
                             value_id *out_x, double *out_c) {
  const struct op *op = def_of_kind(f, v, OP_MAP);
  if (!op || op->n_operands != 1)
    return false;
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  const struct scalar_inst *last = &body->insts[body->len - 1];
  if (last->op != scalar || body->len != 3)
    return false;
  const struct scalar_inst *a = &body->insts[last->args[0]], *b = &body->insts[last->args[1]];
  if (a->op == SCALAR_CONST && scalar != SCALAR_DIV) {
    const struct scalar_inst *t = a;
    a = b;
    b = t;
  }
  *out_x = op->operands[0];
  *out_c = b->imm.f64;
  return a->op == SCALAR_ARG && b->op == SCALAR_CONST && dtype_is_float(b->dtype) &&
         isfinite(b->imm.f64);
}

static bool take_scale(struct parts *p, value_id v, value_id *out_x) {
  double c;
  if (map_with_literal(p->w->f, v, SCALAR_MUL, out_x, &c)) {
    p->factor *= c;
    return c != 0;
  }
  if (map_with_literal(p->w->f, v, SCALAR_DIV, out_x, &c) && c != 0) {
    p->factor /= c;
    return true;
  }
  return false;
}

/* factor * tanh(x): the factor is the cap. */
static bool take_cap(struct parts *p, value_id v, value_id *out_x) {
  if (p->softcap > 0 || !(p->factor > 0) || !map_is(value_def(p->w->f, v), SCALAR_TANH, out_x))
    return false;
  p->softcap = p->factor;
  return true;
}

/* select(mask, x, low) or select(mask, low, x): the same as adding select(mask, 0, low). */
static bool take_select(struct parts *p, value_id v, value_id *out_x) {
  const struct op *op = def_of_kind(p->w->f, v, OP_MAP);
  if (!op || op->n_operands != 2 || p->softcap > 0 || !(p->factor > 0))
    return false;
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  const struct scalar_inst *s = &body->insts[body->len - 1];
  if (s->op != SCALAR_SELECT || body->len != 4)
    return false;
  const struct scalar_inst *arm[2] = {&body->insts[s->args[1]], &body->insts[s->args[2]]};
  const struct scalar_inst *c = &body->insts[s->args[0]];
  uint32_t low = arm[0]->op == SCALAR_CONST ? 0 : 1;
  if (c->op != SCALAR_ARG || arm[low]->op != SCALAR_CONST || arm[1 - low]->op != SCALAR_ARG ||
      !(arm[low]->imm.f64 <= VERY_NEGATIVE))
    return false;
  *out_x = op->operands[arm[1 - low]->args[0]];
  return parts_add_mask(p, op->operands[c->args[0]], low == 1, arm[low]->imm.f64);
}

static bool walk_scores(struct parts *p, value_id v, uint32_t depth);

/* a + b, where one side leads to the contract and the other is a bias. */
static bool take_sum(struct parts *p, value_id v, uint32_t depth) {
  value_id args[2];
  if (p->softcap > 0 || !map_is(value_def(p->w->f, v), SCALAR_ADD, args))
    return false;
  for (uint32_t i = 0; i < 2; i++) {
    struct parts before = *p;
    if (parts_add_bias(p, args[1 - i]) && walk_scores(p, args[i], depth + 1))
      return true;
    *p = before;
  }
  return false;
}

/* The contract of q and k. Every step takes one op away from the scores. */
static bool walk_scores(struct parts *p, value_id v, uint32_t depth) {
  const struct function *f = p->w->f;
  value_id x;
  double c;
  for (; depth < 16; depth++) {
    const struct op *op = value_def(f, v);
    if (!op)
      return false;
    if (op->kind == OP_CONTRACT)
      return parts_take_scores(p, v);
    if (op->kind == OP_RESHAPE) {
      if (!parts_note_view(p, v))
        return false;
      v = op->operands[0];
      continue;
    }
    if (behind_cast(f, v) != v)
      v = behind_cast(f, v);
    else if (map_with_literal(f, v, SCALAR_ADD, &x, &c)) /* softmax does not see a shift */
      v = p->softcap > 0 ? VALUE_NONE : x;
    else if (take_scale(p, v, &x) || take_cap(p, v, &x) || take_select(p, v, &x))
      v = x;
    else
      return take_sum(p, v, depth);
    if (v == VALUE_NONE)
      return false;
  }
  return false;
}

/* ---- the pass ---- */

struct recognise {
  const struct precision_rules *precision; /* NULL: none asked for */
  struct uses uses;
  uint32_t n_values;
  struct affines affines;
};

static bool used_once(const struct recognise *r, value_id v) {
  return v < r->n_values && uses_count(&r->uses, v) == 1;
}

/* One op has one precision: products that are ruled apart stay two. */
static bool ruled_apart(const struct recognise *r, const struct function *f, const struct op *pv,
                        value_id scores) {
  const struct provenance *nodes = f->module->provenance.data;
  return r->precision &&
         precision_of_node(r->precision, &nodes[pv->provenance], NULL) !=
             precision_of_node(r->precision, &nodes[value_def(f, scores)->provenance], NULL);
}

static enum rewrite recognise(struct rewriter *w, op_id id) {
  struct recognise *r = w->user;
  const struct op pv = *function_op(w->f, id);
  if (pv.kind != OP_CONTRACT)
    return NO_MATCH;
  for (uint32_t side = 0; side < 2; side++) {
    struct parts p;
    value_id scores = softmax_scores(w->f, pv.operands[side]);
    if (scores == VALUE_NONE || !used_once(r, pv.operands[side]))
      continue;
    parts_init(&p, w, &r->affines, &pv, side);
    if (walk_scores(&p, scores, 0) && !ruled_apart(r, w->f, &pv, p.scores))
      return rewrite_with(w, id, parts_build(&p));
  }
  return NO_MATCH;
}

status pass_recognise_attention(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->functions.len && st == STATUS_OK; i++) {
    struct function *f = ctx->module->functions.data[i];
    struct recognise r = {.precision = ctx->precision, .n_values = f->values.len};
    uses_build(f, ctx->scratch, &r.uses);
    affines_init(&r.affines, f);
    rewrite_function(f, ctx->diags, &(struct rewrite_options){.rule = recognise, .user = &r}, &st);
    affines_deinit(&r.affines);
  }
  return st;
}
