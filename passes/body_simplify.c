/* SPDX-License-Identifier: Apache-2.0 */
/* Rules on single instructions, each above its function; an instruction sees what its operands have
 * become. Float rules hold for -0, infinities and NaN, and for dtypes below f32, which compute in
 * f32 and round where the body ends.
 *
 * Not done because a bit may change: x + 0.0 (of -0), x * 0.0, x - x, x / c for a c that is no
 * power of two, any re-association. */
#include "passes/body_simplify.h"

#include <math.h>
#include <string.h>

#include "ir/scalar_eval.h"

#define NOTHING UINT32_MAX

struct simplifier {
  struct body_builder out;
  struct range ranges[96]; /* by instruction of out */
  const struct body_argument *arguments;
};

/* An instruction about to be added: operands are numbers in out. */
struct view {
  struct simplifier *s;
  struct scalar_inst inst;
};

static const struct scalar_inst *operand(const struct view *v, uint32_t i) {
  return &v->s->out.insts[v->inst.args[i]];
}

static bool is_literal(const struct view *v, uint32_t i) {
  return operand(v, i)->op == SCALAR_CONST;
}

static bool is_int_literal(const struct view *v, uint32_t i, int64_t x) {
  const struct scalar_inst *o = operand(v, i);
  return o->op == SCALAR_CONST && !dtype_is_float(o->dtype) && o->imm.i64 == x;
}

/* By bits, so that 0 is not -0. */
static bool is_float_literal(const struct view *v, uint32_t i, double x) {
  const struct scalar_inst *o = operand(v, i);
  return o->op == SCALAR_CONST && dtype_is_float(o->dtype) && !memcmp(&o->imm.f64, &x, sizeof x);
}

static bool is_literal_of(const struct view *v, uint32_t i, int64_t x) {
  return is_int_literal(v, i, x) || is_float_literal(v, i, (double)x);
}

static bool same(const struct view *v, uint32_t i, uint32_t k) {
  return v->inst.args[i] == v->inst.args[k];
}

/* Whether the value is one that its dtype can hold, not one that will be rounded at the end. */
static bool is_settled(const struct scalar_inst *inst) {
  return !dtype_is_float(inst->dtype) || dtype_compute(inst->dtype) == inst->dtype ||
         inst->op == SCALAR_ARG || inst->op == SCALAR_CAST;
}

static uint32_t add(struct simplifier *s, const struct scalar_inst *inst);

static uint32_t add_int(struct view *v, enum dtype dtype, int64_t x) {
  struct scalar_inst inst = {.op = SCALAR_CONST, .dtype = dtype};
  inst.imm.i64 = scalar_literal_i64(dtype, x);
  return add(v->s, &inst);
}

/* ---- arithmetic ---- */

/* x + 0 => x (ints)   x + -0.0 => x   and mirrored */
static uint32_t rule_add(struct view *v) {
  for (uint32_t i = 0; i < 2; i++) {
    if (is_int_literal(v, i, 0) || is_float_literal(v, i, -0.0))
      return v->inst.args[1 - i];
  }
  return NOTHING;
}

/* x - 0 => x   x - x => 0 (ints) */
static uint32_t rule_sub(struct view *v) {
  if (is_int_literal(v, 1, 0) || is_float_literal(v, 1, 0.0))
    return v->inst.args[0];
  if (same(v, 0, 1) && !dtype_is_float(v->inst.dtype))
    return add_int(v, v->inst.dtype, 0);
  return NOTHING;
}

/* x * 1 => x   x * 0 => 0 (ints)   x * -1 => neg x   and mirrored */
static uint32_t rule_mul(struct view *v) {
  for (uint32_t i = 0; i < 2; i++) {
    if (is_literal_of(v, i, 1))
      return v->inst.args[1 - i];
    if (is_int_literal(v, i, 0))
      return v->inst.args[i];
    if (is_float_literal(v, i, -1.0))
      return add(v->s, &(struct scalar_inst){.op = SCALAR_NEG,
                                             .dtype = v->inst.dtype,
                                             .args = {v->inst.args[1 - i]}});
  }
  return NOTHING;
}

/* x / 1 => x   x / 2^k => x * 2^-k (floats: both round the same number) */
static uint32_t rule_div(struct view *v) {
  int exponent;
  if (is_literal_of(v, 1, 1))
    return v->inst.args[0];
  if (!dtype_is_float(v->inst.dtype) || !is_literal(v, 1))
    return NOTHING;
  double c = operand(v, 1)->imm.f64;
  /* The reciprocal must be a normal number of f32, which computes for what is below it. */
  if (fabs(frexp(c, &exponent)) != 0.5 || exponent < -120 || exponent > 120)
    return NOTHING;
  struct scalar_inst inverse = {.op = SCALAR_CONST, .dtype = v->inst.dtype, .imm.f64 = 1 / c};
  struct scalar_inst mul = {.op = SCALAR_MUL, .dtype = v->inst.dtype, .args = {v->inst.args[0]}};
  mul.args[1] = add(v->s, &inverse);
  return add(v->s, &mul);
}

/* pow(x, 1) => x   pow(x, 2) => x * x (the square of an f32 is exact in the f64 that pow rounds) */
static uint32_t rule_pow(struct view *v) {
  if (is_literal_of(v, 1, 1))
    return v->inst.args[0];
  if (!is_literal_of(v, 1, 2))
    return NOTHING;
  uint32_t x = v->inst.args[0];
  return add(v->s, &(struct scalar_inst){.op = SCALAR_MUL, .dtype = v->inst.dtype, .args = {x, x}});
}

/* neg neg x => x   not not x => x */
static uint32_t rule_involution(struct view *v) {
  return operand(v, 0)->op == v->inst.op ? operand(v, 0)->args[0] : NOTHING;
}

/* abs abs x => abs x   floor floor x => floor x   and the like */
static uint32_t rule_idempotent(struct view *v) {
  return operand(v, 0)->op == v->inst.op ? v->inst.args[0] : NOTHING;
}

/* max(x, x) => x   min(x, x) => x */
static uint32_t rule_extreme(struct view *v) { return same(v, 0, 1) ? v->inst.args[0] : NOTHING; }

/* ---- logic ---- */

/* x & x => x   x & true => x   x & false => false   x | x => x   x | false => x   x | true => true
 */
static uint32_t rule_and_or(struct view *v) {
  int64_t all =
      dtype_kind(v->inst.dtype) == DTYPE_KIND_BOOL ? 1 : scalar_literal_i64(v->inst.dtype, -1);
  int64_t neutral = v->inst.op == SCALAR_AND ? all : 0, absorbing = all - neutral;
  if (same(v, 0, 1))
    return v->inst.args[0];
  for (uint32_t i = 0; i < 2; i++) {
    if (is_int_literal(v, i, neutral))
      return v->inst.args[1 - i];
    if (is_int_literal(v, i, absorbing))
      return v->inst.args[i];
  }
  return NOTHING;
}

/* x == x => true (not floats)   x <= x   x >= x;   x != x => false   x < x   x > x */
static uint32_t rule_compare(struct view *v) {
  if (!same(v, 0, 1) || dtype_is_float(operand(v, 0)->dtype))
    return NOTHING;
  bool holds = v->inst.op == SCALAR_EQ || v->inst.op == SCALAR_LE || v->inst.op == SCALAR_GE;
  return add_int(v, DTYPE_BOOL, holds);
}

/* select(c, x, x) => x   select(true, x, y) => x   select(not c, x, y) => select(c, y, x)
 * select(c, true, false) => c   select(c, false, true) => not c */
static uint32_t rule_select(struct view *v) {
  const uint32_t *args = v->inst.args;
  if (same(v, 1, 2))
    return args[1];
  if (is_literal(v, 0))
    return operand(v, 0)->imm.i64 ? args[1] : args[2];
  if (operand(v, 0)->op == SCALAR_NOT)
    return add(v->s, &(struct scalar_inst){.op = SCALAR_SELECT,
                                           .dtype = v->inst.dtype,
                                           .args = {operand(v, 0)->args[0], args[2], args[1]}});
  if (dtype_kind(v->inst.dtype) != DTYPE_KIND_BOOL || !is_literal(v, 1) || !is_literal(v, 2))
    return NOTHING;
  if (operand(v, 1)->imm.i64)
    return args[0];
  return add(v->s, &(struct scalar_inst){.op = SCALAR_NOT, .dtype = DTYPE_BOOL, .args = {args[0]}});
}

/* ---- casts ---- */

/* Bits of the significand, counting the leading one. */
static int precision(enum dtype t) {
  switch (t) {
  case DTYPE_F64: return 53;
  case DTYPE_F32: return 24;
  case DTYPE_F16: return 11;
  case DTYPE_BF16: return 8;
  default: return 0;
  }
}

/* Whether every value of dtype a is one of dtype b, and casts carry it over. */
static bool holds_all(enum dtype a, enum dtype b) {
  int bits = (int)dtype_bits(a);
  if (a == b)
    return true;
  if (dtype_kind(a) == DTYPE_KIND_BOOL)
    return dtype_is_int(b) || precision(b) > 0;
  if (dtype_is_float(a))
    return b == DTYPE_F64 || (b == DTYPE_F32 && bits <= 16);
  if (dtype_is_float(b))
    return precision(b) >= (dtype_is_signed(a) ? bits - 1 : bits) && !(b == DTYPE_F16 && bits > 15);
  if (dtype_is_signed(a))
    return dtype_is_signed(b) && (int)dtype_bits(b) > bits;
  return dtype_is_int(b) && (int)dtype_bits(b) > bits;
}

/* to(mid(x)) => to(x) where mid holds all of x and the last cast sees the same number. An int that
 * went through a float saturates where one that did not wraps. */
static bool middle_is_idle(const struct scalar_inst *x, enum dtype mid, enum dtype to) {
  if (!holds_all(x->dtype, mid))
    return false;
  bool int_by_float = !dtype_is_float(x->dtype) && dtype_is_float(mid) && dtype_is_int(to);
  return !int_by_float || holds_all(x->dtype, to);
}

/* t(x: t) => x   to(mid(x)) => to(x) */
static uint32_t rule_cast(struct view *v) {
  const struct scalar_inst *x = operand(v, 0);
  if (x->dtype == v->inst.dtype && v->inst.mode == CAST_DEFAULT && is_settled(x))
    return v->inst.args[0];
  if (x->op != SCALAR_CAST || x->mode != CAST_DEFAULT)
    return NOTHING;
  const struct scalar_inst *inner = &v->s->out.insts[x->args[0]];
  if (!is_settled(inner) || !middle_is_idle(inner, x->dtype, v->inst.dtype))
    return NOTHING;
  struct scalar_inst cast = v->inst;
  cast.args[0] = x->args[0];
  return add(v->s, &cast);
}

/* ---- all of them ---- */

static uint32_t apply_rules(struct view *v) {
  switch (v->inst.op) {
  case SCALAR_ADD: return rule_add(v);
  case SCALAR_SUB: return rule_sub(v);
  case SCALAR_MUL: return rule_mul(v);
  case SCALAR_DIV: return rule_div(v);
  case SCALAR_POW: return rule_pow(v);
  case SCALAR_NEG:
  case SCALAR_NOT: return rule_involution(v);
  case SCALAR_ABS:
  case SCALAR_FLOOR:
  case SCALAR_CEIL:
  case SCALAR_ROUND:
  case SCALAR_TRUNC:
  case SCALAR_TF32:
  case SCALAR_SIGN: return rule_idempotent(v);
  case SCALAR_MAX:
  case SCALAR_MIN: return rule_extreme(v);
  case SCALAR_AND:
  case SCALAR_OR: return rule_and_or(v);
  case SCALAR_EQ:
  case SCALAR_NE:
  case SCALAR_LT:
  case SCALAR_LE:
  case SCALAR_GT:
  case SCALAR_GE: return rule_compare(v);
  case SCALAR_SELECT: return rule_select(v);
  case SCALAR_CAST: return rule_cast(v);
  default: return NOTHING;
  }
}

/* op(literals) => literal. Where a float is not settled the rounding that is still to come would be
 * lost on it, but literals are held as f32 just as computed values are. */
static uint32_t fold_literals(struct view *v) {
  uint32_t arity = scalar_infos[v->inst.op].arity;
  union scalar x[3];
  enum dtype from = v->inst.dtype;
  for (uint32_t i = 0; i < arity; i++) {
    if (!is_literal(v, i))
      return NOTHING;
    from = operand(v, i)->dtype;
    if (dtype_is_float(from))
      x[i].f64 = operand(v, i)->imm.f64;
    else
      x[i].i64 = operand(v, i)->imm.i64;
  }
  union scalar y = scalar_inst_eval(INTERP_TYPED, &v->inst, from, x);
  struct scalar_inst inst = {.op = SCALAR_CONST, .dtype = v->inst.dtype};
  if (dtype_is_float(inst.dtype))
    inst.imm.f64 = scalar_literal_f64(inst.dtype, y.f64);
  else
    inst.imm.i64 = y.i64;
  return add(v->s, &inst);
}

static struct range range_in(const struct view *v) {
  struct range x[3] = {RANGE_ALL, RANGE_ALL, RANGE_ALL};
  enum dtype from = v->inst.dtype;
  if (v->inst.op == SCALAR_ARG)
    return v->s->arguments[v->inst.args[0]].range;
  for (uint32_t i = 0; i < scalar_infos[v->inst.op].arity; i++) {
    x[i] = v->s->ranges[v->inst.args[i]];
    from = operand(v, i)->dtype;
  }
  return range_of_inst(&v->inst, from, x);
}

/* Adds the instruction or finds what does as well. */
static uint32_t add(struct simplifier *s, const struct scalar_inst *inst) {
  struct view v = {s, *inst};
  bool leaf = inst->op == SCALAR_ARG || inst->op == SCALAR_CONST;
  uint32_t found = leaf ? NOTHING : fold_literals(&v);
  if (found == NOTHING && !leaf)
    found = apply_rules(&v);
  if (found != NOTHING)
    return found;
  struct range range = range_in(&v);
  bool whole = !dtype_is_float(inst->dtype) && inst->dtype != DTYPE_U64;
  if (whole && inst->op != SCALAR_CONST && range.lo == range.hi)
    return add_int(&v, inst->dtype, range.lo);
  for (uint32_t i = 0; i < s->out.len; i++) { /* repeated ones, so that `same` sees them */
    if (!memcmp(&s->out.insts[i], inst, sizeof *inst))
      return i;
  }
  if (s->out.len == sizeof s->out.insts / sizeof *s->out.insts) {
    s->out.overflow = true;
    return 0;
  }
  s->out.insts[s->out.len] = *inst;
  s->ranges[s->out.len] = range;
  return s->out.len++;
}

static uint32_t add_argument(struct simplifier *s, const struct scalar_inst *inst) {
  const struct body_argument *a = &s->arguments[inst->args[0]];
  if (!a->literal)
    return add(s, inst);
  struct scalar_inst literal = {.op = SCALAR_CONST, .dtype = inst->dtype};
  if (dtype_is_float(inst->dtype))
    literal.imm.f64 = scalar_literal_f64(inst->dtype, a->f64);
  else
    literal.imm.i64 = scalar_literal_i64(inst->dtype, a->i64);
  return add(s, &literal);
}

/* The result must be the last instruction. */
static const struct scalar_body *finish(struct simplifier *s, struct module *m, uint32_t result) {
  if (s->out.overflow)
    return NULL;
  s->out.len = result + 1;
  return body_finish(&s->out, m);
}

const struct scalar_body *body_simplify(struct module *m, const struct scalar_body *body,
                                        const struct body_argument *arguments) {
  struct simplifier s = {.arguments = arguments};
  uint32_t number[96], last = 0;
  if (body->len > sizeof number / sizeof *number)
    return body;
  body_init(&s.out, body->n_args);
  for (uint32_t i = 0; i < body->len; i++) {
    const struct scalar_inst *from = &body->insts[i];
    struct scalar_inst inst;
    memset(&inst, 0, sizeof inst);
    inst.op = from->op;
    inst.dtype = from->dtype;
    inst.mode = from->mode;
    if (from->op == SCALAR_CONST)
      inst.imm = from->imm;
    if (from->op == SCALAR_ARG)
      inst.args[0] = from->args[0];
    for (uint32_t k = 0; k < scalar_infos[from->op].arity; k++)
      inst.args[k] = number[from->args[k]];
    number[i] = last = from->op == SCALAR_ARG ? add_argument(&s, &inst) : add(&s, &inst);
  }
  const struct scalar_body *simple = finish(&s, m, last);
  return simple ? simple : body;
}

const struct scalar_body *body_renumber(struct module *m, const struct scalar_body *body,
                                        const uint32_t *number, uint32_t n) {
  struct body_builder out;
  body_init(&out, n);
  if (body->len > sizeof out.insts / sizeof *out.insts)
    return NULL;
  memcpy(out.insts, body->insts, body->len * sizeof *body->insts);
  out.len = body->len;
  for (uint32_t i = 0; i < out.len; i++) {
    if (out.insts[i].op == SCALAR_ARG)
      out.insts[i].args[0] = number[out.insts[i].args[0]];
  }
  return body_finish(&out, m);
}
