/* SPDX-License-Identifier: Apache-2.0 */
/* integer_products: products of dequantized integers become products of the integers.
 *
 *     %1 = map %x { f32($0) }            (i16)
 *     %2 = map %1 { mul($0, 0.02) }               %5 = contract %x, %w, dtype = i32
 *     %3 = map %w { f32($0) }            (i16)    %6 = map %5 { f32($0) }
 *     %4 = map %3, %s { mul($0, $1) }      =>     %7 = map %s { mul($0, 0.02) }       (constant)
 *     %5 = contract %2, %4, dtype = f32           %8 = map %6, %7 { mul($0, $1) }
 *
 * What DequantizeLinear leaves before a contract or conv: x has one scale, w is made of constants
 * and has one, or one per column (out-channel). Integers of 16 bits are half the memory and are
 * multiplied two at a time. Zero points are in x and w already, so that a conv's padding is 0 in
 * both forms.
 *
 * The sum of integers must fit: |x| |w| k < 2^31, by the ranges of the values and a known k. It is
 * exact then, so the result is nearer to the real one than sums of f32 are. Changes values within
 * rounding: before, each operand and each addition was rounded; now the sum is, once, and the
 * product of the scales. Products of few numbers (depth-wise) stay; so do operands that are wider.
 *
 * Requires: simplify before; fold after, which makes f32 of small constant weights. Preserves:
 * shapes; values within rounding. */
#include <math.h>
#include <string.h>

#include "passes/pass.h"
#include "passes/pattern.h"
#include "passes/rewrite.h"
#include "passes/value_range.h"

#define LEAST_K 16
#define MAX_VIEWS 4

/* literal * scale * f32(x), behind views. */
struct dequantized {
  value_id x, scale; /* VALUE_NONE: 1 */
  double literal;
  uint32_t n_views;
  op_id views[MAX_VIEWS]; /* the outermost first */
};

struct integer_products {
  struct value_ranges ranges;
};

/* v = f32(x) of an integer of at most 16 bits. */
static bool read_integer(const struct function *f, value_id v, value_id *out_x) {
  const struct op *op = def_of_kind(f, v, OP_MAP);
  if (!op || op->n_operands != 1 || value_type(f, v)->dtype != DTYPE_F32 ||
      !map_is(op, SCALAR_CAST, out_x))
    return false;
  enum dtype from = value_type(f, *out_x)->dtype;
  return from == DTYPE_I8 || from == DTYPE_U8 || from == DTYPE_I16;
}

static bool read_product(const struct function *f, const struct op *map, struct dequantized *d) {
  const struct scalar_body *body = OP_ATTRS(map, map)->body;
  const struct scalar_inst *last = &body->insts[body->len - 1];
  if (body->len != 3 || last->op != SCALAR_MUL || last->dtype != DTYPE_F32)
    return false;
  for (uint32_t i = 0; i < 2; i++) {
    const struct scalar_inst *a = &body->insts[last->args[i]], *b = &body->insts[last->args[1 - i]];
    if (a->op != SCALAR_ARG || !read_integer(f, map->operands[a->args[0]], &d->x) ||
        !type_same_dims(value_type(f, d->x), value_type(f, map->results[0])))
      continue;
    if (b->op == SCALAR_CONST) {
      d->literal = b->imm.f64;
      return true;
    }
    d->scale = b->op == SCALAR_ARG ? map->operands[b->args[0]] : VALUE_NONE;
    return d->scale != VALUE_NONE;
  }
  return false;
}

static bool read_dequantized(const struct function *f, value_id v, struct dequantized *d) {
  *d = (struct dequantized){.scale = VALUE_NONE, .literal = 1};
  for (;;) {
    const struct op *op = value_def(f, v);
    if (!op || (op->kind != OP_RESHAPE && op->kind != OP_TRANSPOSE))
      return op && op->kind == OP_MAP && read_product(f, op, d);
    if (d->n_views == MAX_VIEWS)
      return false;
    d->views[d->n_views++] = function_value(f, v)->def;
    v = op->operands[0];
  }
}

/* v under the same views. */
static value_id under_views(struct rewriter *w, const struct dequantized *d, value_id v) {
  for (uint32_t i = d->n_views; i-- > 0;) {
    const struct op view = *function_op(w->f, d->views[i]);
    v = build_op1(&w->b, view.kind, &v, 1, view.attrs);
  }
  return v;
}

/* The scales of w, with their views: the only dim that is not 1 may be `axis`. */
static bool scales_fit(struct rewriter *w, struct dequantized *d, uint32_t rank, uint32_t axis) {
  if (d->scale == VALUE_NONE)
    return true;
  const struct type *type = value_type(w->f, d->scale);
  if (type->rank == 0)
    return true;
  for (uint32_t i = 0; i < d->n_views; i++) {
    if (function_op(w->f, d->views[i])->kind != OP_TRANSPOSE)
      return false;
  }
  if (type->rank != rank || !is_made_of_constants(w->f, d->scale, true))
    return false;
  d->scale = under_views(w, d, d->scale);
  type = value_type(w->f, d->scale);
  for (uint32_t i = 0; i < rank; i++) {
    if (i != axis && !dim_is_one(w->dims, type->dims[i]))
      return false;
  }
  return true;
}

/* Without a cast from 8 bits to 16: products take both. */
static value_id narrowest(const struct function *f, value_id v) {
  const struct op *op = def_of_kind(f, v, OP_MAP);
  value_id x;
  if (!op || op->n_operands != 1 || value_type(f, v)->dtype != DTYPE_I16 ||
      !map_is(op, SCALAR_CAST, &x) || !type_same_dims(value_type(f, v), value_type(f, x)))
    return v;
  enum dtype from = value_type(f, x)->dtype;
  return from == DTYPE_I8 || from == DTYPE_U8 ? x : v;
}

static double most(struct integer_products *s, value_id v) {
  struct range r = value_range(&s->ranges, v);
  return fmax(fabs((double)r.lo), fabs((double)r.hi));
}

/* A product: where its columns are in w and in the result, and how many numbers it sums. */
struct product {
  struct op op;
  uint32_t weight_axis, result_axis;
  int64_t k;
};

static bool times(const struct dim_table *t, int64_t *k, dim d) {
  int64_t n;
  return dim_is_const(t, d, &n) && n > 0 && n <= INT32_MAX && !__builtin_mul_overflow(*k, n, k);
}

static bool read_root(struct rewriter *w, const struct op *op, struct product *p) {
  const struct type *weights = value_type(w->f, op->operands[1]);
  *p = (struct product){.op = *op, .k = 1};
  if (op->kind == OP_CONV) {
    p->result_axis = 1;
    for (uint32_t i = 1; i < weights->rank; i++) {
      if (!times(w->dims, &p->k, weights->dims[i]))
        return false;
    }
    return OP_ATTRS(conv, op)->dtype == DTYPE_F32 && !dim_is_one(w->dims, weights->dims[1]);
  }
  const struct contract_attrs *a = OP_ATTRS(contract, op);
  if (a->dtype != DTYPE_F32 || a->rhs_batch.len || a->rhs_k.len + 1 != weights->rank)
    return false;
  uint32_t k_axes = 0;
  for (uint32_t i = 0; i < a->rhs_k.len; i++) {
    k_axes |= 1u << a->rhs_k.data[i];
    if (!times(w->dims, &p->k, weights->dims[a->rhs_k.data[i]]))
      return false;
  }
  while (k_axes >> p->weight_axis & 1)
    p->weight_axis++;
  p->result_axis = value_type(w->f, op->results[0])->rank - 1;
  return true;
}

/* sum * (scale of x * scales of w) */
static value_id scaled(struct rewriter *w, const struct product *p, const struct dequantized *x,
                       const struct dequantized *y, value_id sum) {
  value_id v = build_cast(&w->b, sum, DTYPE_F32), s = y->scale;
  if (s == VALUE_NONE)
    return build_binary_f64(&w->b, SCALAR_MUL, v, (float)x->literal * (float)y->literal);
  s = build_binary_f64(&w->b, SCALAR_MUL, s, x->literal);
  const struct type type = *value_type(w->f, s);
  if (type.rank) {
    dim dims[IR_MAX_RANK];
    uint32_t rank = value_type(w->f, v)->rank;
    for (uint32_t i = 0; i < rank; i++)
      dims[i] = i == p->result_axis ? type.dims[p->weight_axis] : dim_const(w->dims, 1);
    s = build_reshape(&w->b, s, dims, rank);
  }
  return build_binary(&w->b, SCALAR_MUL, v, s);
}

static enum rewrite multiply_integers(struct rewriter *w, op_id id) {
  const struct op *op = function_op(w->f, id);
  struct product p;
  struct dequantized x, y;
  if ((op->kind != OP_CONTRACT && op->kind != OP_CONV) ||
      !read_dequantized(w->f, op->operands[0], &x) || x.scale != VALUE_NONE ||
      !read_dequantized(w->f, op->operands[1], &y) || !is_made_of_constants(w->f, y.x, true) ||
      !read_root(w, op, &p) || p.k < LEAST_K ||
      most(w->user, x.x) * most(w->user, y.x) * (double)p.k >= 0x1p31)
    return NO_MATCH;
  uint32_t rank = value_type(w->f, p.op.operands[1])->rank;
  if (!scales_fit(w, &y, rank, p.weight_axis))
    return NO_MATCH;
  value_id operands[2] = {under_views(w, &x, narrowest(w->f, x.x)),
                          under_views(w, &y, narrowest(w->f, y.x))};
  value_id sum;
  if (p.op.kind == OP_CONV) {
    struct conv_attrs attrs = *OP_ATTRS(conv, &p.op);
    attrs.dtype = DTYPE_I32;
    sum = build_op1(&w->b, OP_CONV, operands, 2, &attrs);
  } else {
    struct contract_attrs attrs = *OP_ATTRS(contract, &p.op);
    attrs.dtype = DTYPE_I32;
    sum = build_contract(&w->b, operands[0], operands[1], &attrs);
  }
  return rewrite_with(w, id, scaled(w, &p, &x, &y, sum));
}

status pass_integer_products(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->functions.len && st == STATUS_OK; i++) {
    struct function *f = ctx->module->functions.data[i];
    struct integer_products s;
    value_ranges_init(&s.ranges, f);
    rewrite_function(f, ctx->diags,
                     &(struct rewrite_options){.rule = multiply_integers, .user = &s}, &st);
    value_ranges_deinit(&s.ranges);
  }
  return st;
}
