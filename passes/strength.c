/* SPDX-License-Identifier: Apache-2.0 */
/* strength: cheaper scalar functions within rounding.
 *
 *     map %x { pow($0, 3.0) }       =>   map %x { mul(mul($0, $0), $0) }
 *     map %x { div($0, 24.0) }      =>   map %x { mul($0, 0.041666668) }
 *
 * Powers that are small integers, a half, or their reciprocals; quotients by a number whose
 * reciprocal is a normal float, unless what reads them steps (rounding, a cast to integers, a
 * comparison), where an ulp may be a whole step: quantisation stays as it is written. A power of
 * 0.5 gives inf for -inf and 0 for -0, which a square root does not: a select and a sum see to
 * that.
 *
 * Changes values by an ulp or so. Requires: simplify before (literals in bodies). Preserves:
 * shapes; values within rounding. */
#include <math.h>

#include "passes/pass.h"
#include "passes/rewrite.h"

#define NOTHING UINT32_MAX

static bool literal_of(const struct body_builder *s, uint32_t i, double *out) {
  const struct scalar_inst *inst = &s->insts[i];
  *out = inst->imm.f64;
  return inst->op == SCALAR_CONST && dtype_is_float(inst->dtype) && isfinite(inst->imm.f64);
}

/* x ^ n by squaring, 1 <= n <= 8. */
static uint32_t power(struct body_builder *s, uint32_t x, uint32_t n) {
  uint32_t half = n > 1 ? power(s, x, n / 2) : x;
  if (n == 1)
    return x;
  uint32_t square = body_op(s, SCALAR_MUL, half, half, 0);
  return n % 2 ? body_op(s, SCALAR_MUL, square, x, 0) : square;
}

/* pow(x, 0.5) */
static uint32_t root(struct body_builder *s, uint32_t x) {
  enum dtype t = s->insts[x].dtype;
  uint32_t lowest = body_f64(s, t, -INFINITY), most = body_f64(s, t, INFINITY),
           zero = body_f64(s, t, 0);
  uint32_t is_lowest = body_op(s, SCALAR_EQ, x, lowest, 0);
  uint32_t r = body_op(s, SCALAR_SQRT, body_op(s, SCALAR_ADD, x, zero, 0), 0, 0);
  return body_op(s, SCALAR_SELECT, is_lowest, most, r);
}

/* pow(x, c) => products, a root, their reciprocal */
static uint32_t cheaper_pow(struct body_builder *s, uint32_t x, double c) {
  double n = fabs(c);
  uint32_t r = NOTHING;
  if (n == 0.5)
    r = root(s, x);
  else if (n >= 1 && n <= 8 && n == floor(n))
    r = power(s, x, (uint32_t)n);
  if (r == NOTHING || c > 0)
    return r;
  return body_op(s, SCALAR_DIV, body_f64(s, s->insts[x].dtype, 1), r, 0);
}

/* x / c => x * (1 / c) */
static uint32_t cheaper_div(struct body_builder *s, uint32_t x, double c) {
  double inverse = scalar_literal_f64(s->insts[x].dtype, 1 / c);
  if (c == 0 || !isnormal((float)inverse) || !isnormal((float)c))
    return NOTHING;
  return body_op(s, SCALAR_MUL, x, body_f64(s, s->insts[x].dtype, inverse), 0);
}

static uint32_t cheaper(struct body_builder *s, enum scalar_op op, uint32_t x, uint32_t y) {
  double c;
  if (!dtype_is_float(s->insts[x].dtype) || !literal_of(s, y, &c))
    return NOTHING;
  if (op == SCALAR_POW)
    return cheaper_pow(s, x, c);
  return op == SCALAR_DIV ? cheaper_div(s, x, c) : NOTHING;
}

struct strength {
  struct uses uses;
  uint32_t n_values;
};

/* Whether the body has steps, so that a small difference may become a large one. */
static bool has_steps(const struct scalar_body *body) {
  for (uint32_t i = 0; i < body->len; i++) {
    const struct scalar_inst *inst = &body->insts[i];
    switch (inst->op) {
    case SCALAR_FLOOR:
    case SCALAR_CEIL:
    case SCALAR_ROUND:
    case SCALAR_TRUNC:
    case SCALAR_TF32:
    case SCALAR_SIGN:
    case SCALAR_MOD:
    case SCALAR_REM: return true;
    case SCALAR_CAST:
      if (!dtype_is_float(inst->dtype))
        return true;
      break;
    default:
      if (scalar_infos[inst->op].result_bool)
        return true;
    }
  }
  return false;
}

static bool is_stepped(const struct rewriter *w, const struct op *map) {
  const struct strength *s = w->user;
  value_id v = map->results[0];
  if (has_steps(OP_ATTRS(map, map)->body) || v >= s->n_values)
    return true;
  for (uint32_t i = s->uses.start[v]; i < s->uses.start[v + 1]; i++) {
    op_id user = s->uses.ops[i];
    if (user != OP_ID_NONE && function_op(w->f, user)->kind == OP_MAP &&
        has_steps(OP_ATTRS(map, function_op(w->f, user))->body))
      return true;
  }
  return false;
}

static uint32_t copy_inst(struct body_builder *s, const struct scalar_inst *from,
                          const uint32_t *number, bool stepped) {
  uint32_t args[3] = {0, 0, 0};
  for (uint32_t k = 0; k < scalar_infos[from->op].arity; k++)
    args[k] = number[from->args[k]];
  switch (from->op) {
  case SCALAR_ARG: return body_arg(s, from->args[0], from->dtype);
  case SCALAR_CONST:
    return dtype_is_float(from->dtype) ? body_f64(s, from->dtype, from->imm.f64)
                                       : body_i64(s, from->dtype, from->imm.i64);
  case SCALAR_CAST: return body_cast(s, args[0], from->dtype, from->mode);
  default: break;
  }
  bool candidate = from->op == SCALAR_POW || (from->op == SCALAR_DIV && !stepped);
  uint32_t r = candidate ? cheaper(s, from->op, args[0], args[1]) : NOTHING;
  return r != NOTHING ? r : body_op(s, from->op, args[0], args[1], args[2]);
}

static bool is_candidate(const struct scalar_body *body) {
  for (uint32_t i = 0; i < body->len; i++) {
    if (body->insts[i].op == SCALAR_POW || body->insts[i].op == SCALAR_DIV)
      return body->len <= 48;
  }
  return false;
}

static enum rewrite reduce_strength(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  struct body_builder s;
  uint32_t number[48], last = 0;
  if (op.kind != OP_MAP || !is_candidate(OP_ATTRS(map, &op)->body))
    return NO_MATCH;
  const struct scalar_body *body = OP_ATTRS(map, &op)->body;
  bool stepped = is_stepped(w, &op);
  body_init(&s, body->n_args);
  for (uint32_t i = 0; i < body->len; i++)
    number[i] = last = copy_inst(&s, &body->insts[i], number, stepped);
  s.len = s.overflow ? s.len : last + 1; /* the result is the last */
  struct map_attrs attrs = {.body = body_finish(&s, w->f->module)};
  if (!attrs.body || attrs.body == body)
    return NO_MATCH;
  return rewrite_with(w, id, build_op1(&w->b, OP_MAP, op.operands, op.n_operands, &attrs));
}

status pass_strength(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->functions.len && st == STATUS_OK; i++) {
    struct function *f = ctx->module->functions.data[i];
    struct strength s = {.n_values = f->values.len};
    uses_build(f, ctx->scratch, &s.uses);
    rewrite_function(f, ctx->diags, &(struct rewrite_options){.rule = reduce_strength, .user = &s},
                     &st);
  }
  return st;
}
