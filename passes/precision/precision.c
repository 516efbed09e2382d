/* SPDX-License-Identifier: Apache-2.0 */
/* precision: products of f32 become products of fewer bits, as --precision asks.
 *
 *                                                    %x1 = map %x { bf16($0) }
 *     %y = contract %x, %w, dtype = f32        =>    %1 = contract %x1, %w.bf16, dtype = bf16
 *     %z = map %y { max($0, 0.0) }                   %z = map %1 { max($0, 0.0) }     (bf16)
 *
 * f16, bf16: what products (contract, conv, attention) read is rounded to the dtype, sums are f32,
 * and the result is rounded once; so values between ops, weights, and what ranks exchange are half
 * the bytes. tf32: what they read is rounded to tf32 (scalar `tf32`) and stays f32, and `tf32 =
 * true` allows tensor cores to take it; on targets without them the same numbers are multiplied as
 * f32, so results differ in the order of sums only. What else is rounded is said in precision.def
 * and precision_plan.h: maps and views follow, norms, softmax, exponentials and sums stay f32, the
 * model's inputs and outputs keep their dtypes, a product that gives an output is not rounded;
 * states, which no caller sees, are kept as asked for. Left alone: outer products and integers as
 * floats (positions, whose low bits would go), weights of few bits (quantized models), and other
 * dtypes than f32 that the model itself uses.
 *
 * Constant weights are rounded here, whatever their size; those left in the model's files
 * (`reference`) by a map, which the pass `once` makes a step of a session's beginning.
 *
 * f16 holds up to 65504, and loses bits below 2^-14: activations beyond become infinite, as in any
 * mixed f16. Weights that do not fit keep their product in f32; activations cannot be known here:
 * bf16 has f32's range, and a pattern of --precision takes single nodes out.
 *
 * Changes values: that is what it is for. Nothing happens unless precision was asked for.
 *
 * Requires: attention recognised (its scores and softmax are f32 inside), numbers of constants in
 * place. Preserves: shapes, and types of entries. */
#include <math.h>
#include <string.h>

#include "base/softfloat.h"
#include "passes/pass.h"
#include "passes/pattern.h"
#include "passes/precision/precision_plan.h"
#include "passes/precision/precision_report.h"
#include "passes/precision/precision_states.h"
#include "passes/rewrite.h"

struct precision_pass {
  const struct precision_plan *plan;
  struct map *constants; /* number of a constant and precision: of the rounded one */
};

/* ---- rounding values ---- */

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static uint16_t bf16_of(float x) {
  uint32_t bits = bits_of(x);
  if (isnan(x))
    return softfloat_encode(SOFTFLOAT_BF16, (double)x, false, SOFTFLOAT_ROUND_NEAREST);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void round_data(const char *from, char *to, uint64_t n, enum precision p) {
  for (uint64_t i = 0; i < n; i++) {
    float x;
    memcpy(&x, from + i * sizeof x, sizeof x);
    if (p == PRECISION_TF32) {
      uint32_t bits = isnan(x) ? bits_of(x) : (bits_of(x) + (1u << 12)) & ~((1u << 13) - 1);
      memcpy(to + i * sizeof bits, &bits, sizeof bits);
      continue;
    }
    uint16_t half = p == PRECISION_BF16 ? bf16_of(x)
                                        : softfloat_encode(SOFTFLOAT_F16, (double)x, false,
                                                           SOFTFLOAT_ROUND_NEAREST);
    memcpy(to + i * sizeof half, &half, sizeof half);
  }
}

static constant_id rounded_constant(struct rewriter *w, constant_id id, enum precision p) {
  struct precision_pass *s = w->user;
  struct module *m = w->f->module;
  uint64_t key = (uint64_t)id * PRECISION_COUNT + p, known;
  if (map_get(s->constants, key, &known))
    return (constant_id)known;
  struct constant c = m->constants.data[id];
  uint64_t n = constant_count(&c);
  const char *from = c.data;
  c.dtype = precision_dtype(p);
  c.bytes = n * dtype_bits(c.dtype) / 8;
  char *to = arena_alloc(&m->arena, c.bytes);
  round_data(from, to, n, p);
  c.data = to;
  c.file = NULL;
  c.offset = 0;
  constant_id rounded = module_add_constant(m, &c);
  map_put(s->constants, key, rounded);
  return rounded;
}

static bool is_rounded(const struct rewriter *w, value_id v, enum precision p) {
  const struct op *op = value_def(w->f, v);
  if (p != PRECISION_TF32)
    return value_type(w->f, v)->dtype == precision_dtype(p);
  if (!op || op->kind != OP_MAP)
    return false;
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  return body->insts[body->len - 1].op == SCALAR_TF32;
}

/* v, of f32, rounded; through views, so that weights are found behind them, and values that are
 * rounded already. */
static value_id rounded(struct rewriter *w, value_id v, enum precision p) {
  value_id x;
  const struct op *op = value_def(w->f, v);
  if (value_type(w->f, v)->dtype != DTYPE_F32 || is_rounded(w, v, p))
    return v;
  if (map_is(op, SCALAR_CAST, &x) && is_rounded(w, x, p) && op->n_operands == 1 &&
      type_same_dims(value_type(w->f, x), value_type(w->f, v)))
    return x;
  if (op && op->kind == OP_CONST) {
    constant_id id = OP_ATTRS(const, op)->value;
    const struct constant *c = &w->f->module->constants.data[id];
    if (!c->reference && (c->data || !c->bytes))
      return build_const(&w->b, rounded_constant(w, id, p));
  }
  if (op && (op->kind == OP_RESHAPE || op->kind == OP_TRANSPOSE || op->kind == OP_BROADCAST)) {
    const struct op view = *op;
    value_id below = rounded(w, view.operands[0], p);
    return build_op1(&w->b, view.kind, &below, 1, view.attrs);
  }
  return p == PRECISION_TF32 ? build_unary(&w->b, SCALAR_TF32, v)
                             : build_cast(&w->b, v, precision_dtype(p));
}

/* ---- ops ---- */

static enum rewrite rewrite_product(struct rewriter *w, op_id id, enum precision p,
                                    enum dtype kept) {
  const struct op op = *function_op(w->f, id);
  value_id operands[8];
  uint32_t n = op.kind == OP_ATTENTION ? 3 : 2;
  enum dtype result = kept != DTYPE_F32 ? kept : DTYPE_F32;
  for (uint32_t i = 0; i < op.n_operands; i++)
    operands[i] = i < n ? rounded(w, op.operands[i], p) : op.operands[i];
  op_id built;
  if (op.kind == OP_CONTRACT) {
    struct contract_attrs a = *OP_ATTRS(contract, &op);
    a.dtype = result;
    a.tf32 = p == PRECISION_TF32;
    built = build_op(&w->b, op.kind, operands, op.n_operands, NULL, 0, &a);
  } else if (op.kind == OP_CONV) {
    struct conv_attrs a = *OP_ATTRS(conv, &op);
    a.dtype = result;
    a.tf32 = p == PRECISION_TF32;
    built = build_op(&w->b, op.kind, operands, op.n_operands, NULL, 0, &a);
  } else {
    built = build_op(&w->b, op.kind, operands, op.n_operands, NULL, 0, op.attrs);
  }
  value_id y = op_result(w->f, built, 0);
  if (op.n_results > 1 && !rewrite_result(w, id, 1, op_result(w->f, built, 1)))
    return NO_MATCH;
  return rewrite_with(w, id, y == VALUE_NONE ? y : build_cast(&w->b, y, DTYPE_F32));
}

/* The body over arguments of their own dtypes, its result rounded. False where it has no room. */
static const struct scalar_body *rounded_body(struct rewriter *w, const struct scalar_body *body,
                                              const value_id *operands, enum dtype to) {
  struct body_builder s;
  uint32_t number[96];
  if (body->len > sizeof number / sizeof *number)
    return NULL;
  body_init(&s, body->n_args);
  for (uint32_t i = 0; i < body->len; i++) {
    const struct scalar_inst *inst = &body->insts[i];
    if (inst->op == SCALAR_ARG) {
      enum dtype from = value_type(w->f, operands[inst->args[0]])->dtype;
      number[i] = body_arg(&s, inst->args[0], from);
      if (from != inst->dtype)
        number[i] = body_cast(&s, number[i], inst->dtype, CAST_DEFAULT);
    } else if (inst->op == SCALAR_CONST) {
      number[i] = dtype_is_float(inst->dtype) ? body_f64(&s, inst->dtype, inst->imm.f64)
                                              : body_i64(&s, inst->dtype, inst->imm.i64);
    } else if (inst->op == SCALAR_CAST) {
      number[i] = body_cast(&s, number[inst->args[0]], inst->dtype, inst->mode);
    } else {
      uint32_t a[3] = {0}, arity = scalar_infos[inst->op].arity;
      for (uint32_t k = 0; k < arity; k++)
        a[k] = number[inst->args[k]];
      number[i] = body_op(&s, inst->op, a[0], a[1], a[2]);
    }
  }
  body_cast(&s, number[body->len - 1], to, CAST_DEFAULT);
  return body_finish(&s, w->f->module);
}

/* f32 of a value of fewer bits is read as that value. */
static value_id without_cast(const struct rewriter *w, value_id v) {
  value_id x;
  const struct op *op = def_of_kind(w->f, v, OP_MAP);
  if (!op || op->n_operands != 1 || !map_is(op, SCALAR_CAST, &x) ||
      !type_same_dims(value_type(w->f, x), value_type(w->f, v)))
    return v;
  enum dtype from = value_type(w->f, x)->dtype;
  return from == DTYPE_F16 || from == DTYPE_BF16 ? x : v;
}

static value_id rounded_map(struct rewriter *w, const struct op *op, enum dtype kept) {
  value_id *operands = mem_alloc((op->n_operands + 1u) * sizeof *operands);
  for (uint32_t i = 0; i < op->n_operands; i++)
    operands[i] = without_cast(w, op->operands[i]);
  const struct scalar_body *body = rounded_body(w, OP_ATTRS(map, op)->body, operands, kept);
  struct map_attrs attrs = {.body = body};
  value_id v = body ? build_op1(&w->b, OP_MAP, operands, op->n_operands, &attrs) : VALUE_NONE;
  mem_free(operands);
  return v;
}

/* An op that has the dtype of its operands. */
static value_id rounded_follower(struct rewriter *w, const struct op *op, enum dtype kept) {
  value_id *operands = mem_alloc((op->n_operands + 1u) * sizeof *operands);
  for (uint32_t i = 0; i < op->n_operands; i++)
    operands[i] = op->kind == OP_GATHER && i
                      ? op->operands[i]
                      : rounded(w, op->operands[i], precision_of_dtype(kept));
  value_id v = build_op1(&w->b, op->kind, operands, op->n_operands, op->attrs);
  mem_free(operands);
  return v;
}

/* Of a state in fewer bits, new rows too. */
static enum rewrite rewrite_update(struct rewriter *w, op_id id, enum precision p) {
  const struct op op = *function_op(w->f, id);
  value_id operands[4];
  for (uint32_t i = 0; i < op.n_operands; i++)
    operands[i] = i == 1 ? rounded(w, op.operands[i], p) : op.operands[i];
  value_id v = build_op1(&w->b, op.kind, operands, op.n_operands, op.attrs);
  return rewrite_with(w, id, v == VALUE_NONE ? v : build_cast(&w->b, v, DTYPE_F32));
}

/* Asked for by name of an op that would be f32: what it reads is rounded, and what it gives. */
static enum rewrite rewrite_named(struct rewriter *w, op_id id, enum precision p) {
  const struct op op = *function_op(w->f, id);
  value_id *operands = mem_alloc((op.n_operands + 1u) * sizeof *operands);
  for (uint32_t i = 0; i < op.n_operands; i++) {
    operands[i] = op.operands[i];
    if (value_type(w->f, operands[i])->dtype == DTYPE_F32)
      operands[i] = build_cast(&w->b, rounded(w, operands[i], p), DTYPE_F32);
  }
  value_id v = build_op1(&w->b, op.kind, operands, op.n_operands, op.attrs);
  mem_free(operands);
  if (v != VALUE_NONE)
    v = build_cast(&w->b, build_cast(&w->b, v, precision_dtype(p)), DTYPE_F32);
  return rewrite_with(w, id, v);
}

static enum rewrite rewrite_op(struct rewriter *w, op_id id) {
  const struct precision_pass *s = w->user;
  const struct op op = *function_op(w->f, id);
  if (id >= s->plan->n_ops || !op.n_results)
    return NO_MATCH;
  const struct precision_choice *c = &s->plan->choices[id];
  enum dtype kept = s->plan->kept[op.results[0]];
  if (c->policy == POLICY_MULTIPLY)
    return c->to == PRECISION_F32 ? NO_MATCH : rewrite_product(w, id, c->to, kept);
  if (c->rounded)
    return op.kind == OP_UPDATE && value_type(w->f, op.operands[0])->dtype != DTYPE_F32
               ? rewrite_update(w, id, c->to)
               : rewrite_named(w, id, c->to);
  if (kept == DTYPE_F32)
    return NO_MATCH;
  value_id v = op.kind == OP_MAP ? rounded_map(w, &op, kept) : rounded_follower(w, &op, kept);
  return rewrite_with(w, id, v == VALUE_NONE ? v : build_cast(&w->b, v, DTYPE_F32));
}

/* ---- the pass ---- */

static void report_function(struct precision_report *report, const struct precision_plan *plan) {
  const struct function *f = plan->f;
  precision_report_begin(report);
  for (op_id id = 1; id < plan->n_ops; id++) {
    const struct op *op = function_op(f, id);
    const struct precision_choice *c = &plan->choices[id];
    if (op->kind == OP_NONE || !c->why || (op_infos[op->kind].flags & OP_FLAG_VIEW))
      continue;
    const struct provenance *node = &f->module->provenance.data[op->provenance];
    enum dtype type = value_type(f, op->results[0])->dtype, kept = plan->kept[op->results[0]];
    struct precision_row row = {.node = node->node ? node->node : "",
                                .operator_name = node->op ? node->op : "",
                                .index = op->provenance ? node->index : -1,
                                .op = op_infos[op->kind].name,
                                .product = c->policy == POLICY_MULTIPLY,
                                .computed = c->to,
                                .kept = kept != DTYPE_F32 ? kept : type,
                                .why = c->why};
    precision_report_add(report, &row);
  }
}

status pass_precision(struct pass_context *ctx) {
  struct module *m = ctx->module;
  struct map constants = {0};
  status st = STATUS_OK;
  if (!ctx->precision)
    return STATUS_OK;
  precision_rules_check(ctx->precision, m, ctx->diags);
  precision_states_begin(m, ctx->precision);
  for (uint32_t i = 0; i < m->functions.len && st == STATUS_OK; i++) {
    struct function *f = m->functions.data[i];
    struct precision_plan plan;
    bool across_ranks = ctx->parallel || ctx->machine || m->annotated_mesh;
    precision_plan_make(f, ctx->precision, across_ranks, ctx->scratch, &plan);
    if (ctx->precision_report)
      report_function(ctx->precision_report, &plan);
    struct precision_pass s = {.plan = &plan, .constants = &constants};
    rewrite_function(f, ctx->diags, &(struct rewrite_options){.rule = rewrite_op, .user = &s}, &st);
  }
  precision_states_end(m);
  map_deinit(&constants);
  return st;
}
