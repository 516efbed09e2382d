/* SPDX-License-Identifier: Apache-2.0 */
/* fold_affine: constant scales behind a product go into its weights, constant shifts become one.
 *
 *     %1 = conv %x, %w                              %w2 = map %w, %s { mul($0, $1) }   (constant)
 *     %2 = map %1, %mean { sub($0, $1) }      =>    %1 = conv %x, %w2
 *     %3 = map %2, %s { mul($0, $1) }               %2 = map %1, %b { add($0, $1) }
 *     %4 = map %3, %shift { add($0, $1) }
 *
 * What a batch normalization is at inference, behind a conv or a contract with constant weights.
 * The numbers are per output channel, or one. Folding the maps of constants is left to fold.
 *
 * Changes values within rounding: products are rounded with the scale in them, and the sign of a
 * zero may change where 0.0 was added. Only f32 and f64: a half's weights would lose what the scale
 * adds.
 *
 * Requires: simplify before. Preserves: shapes; values within rounding. */
#include "passes/pass.h"
#include "passes/pattern.h"
#include "passes/rewrite.h"

#include <string.h>

struct fold_affine {
  struct uses uses;
  uint32_t n_values;
};

/* y = x op c with a constant c, which is a value of x's rank or (VALUE_NONE) a literal. */
struct step {
  enum scalar_op op; /* ADD, SUB, MUL */
  value_id x, c;
  double literal;
};

static bool read_step(const struct function *f, value_id v, struct step *s) {
  const struct op *op = def_of_kind(f, v, OP_MAP);
  if (!op)
    return false;
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  const struct scalar_inst *last = &body->insts[body->len - 1];
  if (body->len != 3 ||
      (last->op != SCALAR_ADD && last->op != SCALAR_SUB && last->op != SCALAR_MUL) ||
      (last->dtype != DTYPE_F32 && last->dtype != DTYPE_F64))
    return false;
  const struct scalar_inst *a = &body->insts[last->args[0]], *b = &body->insts[last->args[1]];
  *s = (struct step){.op = last->op, .c = VALUE_NONE};
  if (a->op == SCALAR_ARG && b->op == SCALAR_ARG) {
    value_id x = op->operands[a->args[0]], c = op->operands[b->args[0]];
    if (!is_made_of_constants(f, c, false) && last->op != SCALAR_SUB) {
      value_id t = x;
      x = c;
      c = t;
    }
    s->x = x;
    s->c = c;
    return is_made_of_constants(f, c, false) && !is_made_of_constants(f, x, false);
  }
  if (a->op == SCALAR_CONST && last->op != SCALAR_SUB) {
    const struct scalar_inst *t = a;
    a = b;
    b = t;
  }
  s->x = op->operands[0];
  s->literal = b->imm.f64;
  return a->op == SCALAR_ARG && b->op == SCALAR_CONST;
}

/* What this pass built has one reader. */
static bool used_once(const struct rewriter *w, value_id v) {
  const struct fold_affine *s = w->user;
  return v >= s->n_values || uses_count(&s->uses, v) == 1;
}

/* ---- products ---- */

/* A product with constant weights: where its out-channels are. */
struct product {
  struct op op;
  uint32_t weight_axis, result_axis;
};

static bool read_product(const struct rewriter *w, value_id v, struct product *p) {
  const struct op *op = value_def(w->f, v);
  if (!op || (op->kind != OP_CONV && op->kind != OP_CONTRACT) || !used_once(w, v) ||
      !is_made_of_constants(w->f, op->operands[1], false))
    return false;
  const struct type *weights = value_type(w->f, op->operands[1]), *result = value_type(w->f, v);
  if (weights->dtype != result->dtype || value_type(w->f, op->operands[0])->dtype != result->dtype)
    return false;
  *p = (struct product){.op = *op, .weight_axis = 0, .result_axis = 1};
  if (op->kind == OP_CONV)
    return true;
  const struct contract_attrs *a = OP_ATTRS(contract, op);
  if (a->rhs_batch.len || a->rhs_k.len != 1 || weights->rank != 2)
    return false;
  p->weight_axis = a->rhs_k.data[0] == 0 ? 1 : 0;
  p->result_axis = result->rank - 1;
  return true;
}

/* Whether a constant of the result's rank has one number per out-channel, or one. */
static bool per_channel(const struct rewriter *w, const struct type *c, uint32_t axis) {
  for (uint32_t i = 0; i < c->rank; i++) {
    if (i != axis && !dim_is_one(w->dims, c->dims[i]))
      return false;
  }
  return true;
}

/* x op c as a map. */
static value_id apply(struct rewriter *w, enum scalar_op op, value_id x, const struct step *s) {
  return s->c == VALUE_NONE ? build_binary_f64(&w->b, op, x, s->literal)
                            : build_binary(&w->b, op, x, s->c);
}

/* conv(x, w) * s => conv(x, w * s) */
static value_id scale_weights(struct rewriter *w, const struct product *p, const struct step *s) {
  struct step scale = *s;
  if (s->c != VALUE_NONE) {
    const struct type c = *value_type(w->f, s->c);
    if (!per_channel(w, &c, p->result_axis))
      return VALUE_NONE;
    uint32_t rank = value_type(w->f, p->op.operands[1])->rank;
    dim dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
      dims[i] = i == p->weight_axis ? c.dims[p->result_axis] : dim_const(w->dims, 1);
    scale.c = build_reshape(&w->b, s->c, dims, rank);
  }
  value_id operands[2] = {p->op.operands[0], apply(w, SCALAR_MUL, p->op.operands[1], &scale)};
  return build_op1(&w->b, p->op.kind, operands, 2, p->op.attrs);
}

/* ---- steps behind products ---- */

/* (x + c) * s => x * s + c * s   where x is a product that takes the scale */
static value_id distribute(struct rewriter *w, const struct step *inner, const struct step *outer) {
  value_id x = apply(w, SCALAR_MUL, inner->x, outer);
  if (inner->c == VALUE_NONE && outer->c == VALUE_NONE)
    return build_binary_f64(&w->b, inner->op, x, inner->literal * outer->literal);
  value_id c = inner->c != VALUE_NONE
                   ? apply(w, SCALAR_MUL, inner->c, outer)
                   : build_binary_f64(&w->b, SCALAR_MUL, outer->c, inner->literal);
  return build_binary(&w->b, inner->op, x, c);
}

/* (x + a) + b => x + (a + b), each of the two either sign */
static value_id join_shifts(struct rewriter *w, const struct step *inner,
                            const struct step *outer) {
  bool minus = inner->op == SCALAR_SUB, same = inner->op == outer->op;
  if (inner->c == VALUE_NONE && outer->c == VALUE_NONE) {
    double a = minus ? -inner->literal : inner->literal;
    double b = outer->op == SCALAR_SUB ? -outer->literal : outer->literal;
    return build_binary_f64(&w->b, SCALAR_ADD, inner->x, a + b);
  }
  struct step a = *inner;
  if (a.c == VALUE_NONE)
    return VALUE_NONE;
  value_id sum = apply(w, same ? SCALAR_ADD : SCALAR_SUB, a.c, outer);
  return build_binary(&w->b, inner->op, inner->x, sum);
}

static bool same_shape_of_constant(const struct rewriter *w, const struct step *a,
                                   const struct step *b) {
  if (a->c == VALUE_NONE || b->c == VALUE_NONE)
    return true;
  const struct type *x = value_type(w->f, a->c), *y = value_type(w->f, b->c);
  return x->rank == y->rank && dims_known_eq(w->dims, x->dims, y->dims, x->rank);
}

static enum rewrite fold_step(struct rewriter *w, op_id id) {
  struct step outer, inner;
  struct product p;
  const struct op *op = function_op(w->f, id);
  if (op->kind != OP_MAP || !read_step(w->f, op->results[0], &outer))
    return NO_MATCH;
  if (outer.op == SCALAR_ADD && outer.c == VALUE_NONE && outer.literal == 0)
    return rewrite_with(w, id, outer.x);
  if (outer.op == SCALAR_MUL && read_product(w, outer.x, &p))
    return rewrite_with(w, id, scale_weights(w, &p, &outer));
  if (!read_step(w->f, outer.x, &inner) || inner.op == SCALAR_MUL || !used_once(w, outer.x) ||
      !read_product(w, inner.x, &p) || !same_shape_of_constant(w, &inner, &outer))
    return NO_MATCH;
  return rewrite_with(w, id,
                      outer.op == SCALAR_MUL ? distribute(w, &inner, &outer)
                                             : join_shifts(w, &inner, &outer));
}

status pass_fold_affine(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->functions.len && st == STATUS_OK; i++) {
    struct function *f = ctx->module->functions.data[i];
    struct fold_affine s = {.n_values = f->values.len};
    uses_build(f, ctx->scratch, &s.uses);
    rewrite_function(f, ctx->diags, &(struct rewrite_options){.rule = fold_step, .user = &s}, &st);
  }
  return st;
}
