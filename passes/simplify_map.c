/* SPDX-License-Identifier: Apache-2.0 */
/* simplify: maps. */
#include "ir/literal.h"
#include "ir/scalar_eval.h"
#include "passes/body_simplify.h"
#include "passes/pattern.h"
#include "passes/simplify_rules.h"

#include <math.h>
#include <string.h>

#define MAX_OPERANDS 32

/* A map on the way to a simpler one. */
struct mapping {
  struct rewriter *w;
  op_id id;
  struct type type; /* of the result */
  uint32_t n;
  value_id operands[MAX_OPERANDS];
  const struct scalar_body *body;
};

static bool is_read(const struct scalar_body *body, uint32_t i) {
  for (uint32_t k = 0; k < body->len; k++) {
    if (body->insts[k].op == SCALAR_ARG && body->insts[k].args[0] == i)
      return true;
  }
  return false;
}

/* map %x, %c { add($0, $1) } where %c is one number => map %x { add($0, 3) }, and what follows from
 * ranges. */
static void take_literals(struct mapping *m) {
  struct body_argument arguments[MAX_OPERANDS];
  struct rewriter *w = m->w;
  for (uint32_t i = 0; i < m->n; i++) {
    struct body_argument *a = &arguments[i];
    memset(a, 0, sizeof *a);
    a->literal = value_literal(w->f, m->operands[i], &a->f64, &a->i64);
    a->range = value_range(&simplify_of(w)->affines.ranges, m->operands[i]);
  }
  m->body = body_simplify(w->f->module, m->body, arguments);
}

/* map %x, %x { add($0, $1) } => map %x { add($0, $0) }; what is not read goes. */
static bool drop_operands(struct mapping *m) {
  uint32_t number[MAX_OPERANDS], n = 0;
  for (uint32_t i = 0; i < m->n; i++) {
    uint32_t k = 0;
    while (k < n && m->operands[k] != m->operands[i])
      k++;
    number[i] = k;
    if (k == n && is_read(m->body, i))
      m->operands[n++] = m->operands[i];
  }
  const struct scalar_body *body =
      n == m->n ? m->body : body_renumber(m->w->f->module, m->body, number, n);
  m->n = n;
  m->body = body;
  return body != NULL;
}

/* Whether result dim d is that of some operand. */
static bool covered(const struct mapping *m, uint32_t d) {
  struct dim_table *t = m->w->dims;
  if (dim_is_one(t, m->type.dims[d]))
    return true;
  for (uint32_t i = 0; i < m->n; i++) {
    if (dim_known_eq(t, value_type(m->w->f, m->operands[i])->dims[d], m->type.dims[d]))
      return true;
  }
  return false;
}

/* map (broadcast %x), %y => map %x, %y where the others give the dims, else broadcast (map %x, %y)
 */
static void take_broadcasts(struct mapping *m) {
  for (uint32_t i = 0; i < m->n; i++) {
    const struct op *op = def_of_kind(m->w->f, m->operands[i], OP_BROADCAST);
    if (op)
      m->operands[i] = op->operands[0];
  }
}

static value_id scalar_of(struct mapping *m, bool is_constant) {
  const struct scalar_inst *inst = &m->body->insts[m->body->len - 1];
  struct map_attrs attrs = {.body = m->body};
  dim ones[IR_MAX_RANK];
  for (uint32_t i = 0; i < m->type.rank; i++)
    ones[i] = dim_const(m->w->dims, 1);
  value_id v = !is_constant ? build_op1(&m->w->b, OP_MAP, NULL, 0, &attrs)
               : dtype_is_float(inst->dtype)
                   ? build_scalar_f64(&m->w->b, inst->dtype, inst->imm.f64)
                   : build_scalar_i64(&m->w->b, inst->dtype, inst->imm.i64);
  return build_reshape(&m->w->b, v, ones, m->type.rank);
}

/* Whether a constant holds the literal as the map's end would round it. */
static bool is_plain_literal(const struct scalar_inst *inst) {
  if (inst->op != SCALAR_CONST)
    return false;
  if (!dtype_is_float(inst->dtype) || dtype_bits(inst->dtype) > 8)
    return true;
  double held = literal_f64(inst->dtype, literal_bits_f64(inst->dtype, inst->imm.f64));
  double rounded = scalar_round(inst->dtype, inst->imm.f64);
  return held == rounded || (isnan(held) && isnan(rounded));
}

/* The value without the broadcast that it may need. */
static value_id build_core(struct mapping *m) {
  const struct scalar_inst *last = &m->body->insts[m->body->len - 1];
  struct map_attrs attrs = {.body = m->body};
  if (is_plain_literal(last) || m->n == 0)
    return scalar_of(m, is_plain_literal(last));
  if (last->op == SCALAR_ARG)
    return m->operands[last->args[0]];
  return build_op1(&m->w->b, OP_MAP, m->operands, m->n, &attrs);
}

static enum rewrite build_mapping(struct mapping *m) {
  value_id v = build_core(m);
  bool whole = true;
  for (uint32_t d = 0; d < m->type.rank; d++)
    whole &= covered(m, d);
  /* A dim that is max(a, b) at run time is given by both. */
  if (v != VALUE_NONE && (!whole || !dims_known_eq(m->w->dims, value_type(m->w->f, v)->dims,
                                                   m->type.dims, m->type.rank)))
    v = build_broadcast(&m->w->b, v, m->type.dims, m->type.rank);
  return rewrite_with(m->w, m->id, v);
}

enum rewrite simplify_map(struct rewriter *w, op_id id) {
  const struct op *op = function_op(w->f, id);
  struct mapping m = {.w = w, .id = id, .n = op->n_operands, .body = OP_ATTRS(map, op)->body};
  if (m.n > MAX_OPERANDS)
    return NO_MATCH;
  m.type = *value_type(w->f, op->results[0]);
  memcpy(m.operands, op->operands, m.n * sizeof *m.operands);
  take_literals(&m);
  take_broadcasts(&m);
  if (!drop_operands(&m))
    return NO_MATCH;
  if (m.body == OP_ATTRS(map, op)->body && m.n == op->n_operands &&
      !memcmp(m.operands, op->operands, m.n * sizeof *m.operands))
    return NO_MATCH;
  return build_mapping(&m);
}
