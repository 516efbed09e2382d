/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of values; see pattern.h. */
#include "passes/pattern.h"

#include <string.h>

#define MAX_SPLAT 4096

const struct op *def_of_kind(const struct function *f, value_id v, enum op_kind kind) {
  const struct op *op = value_def(f, v);
  return op && op->kind == kind ? op : NULL;
}

value_id behind_views(const struct function *f, value_id v) {
  for (;;) {
    const struct op *op = value_def(f, v);
    if (!op || (op->kind != OP_RESHAPE && op->kind != OP_BROADCAST && op->kind != OP_TRANSPOSE &&
                op->kind != OP_SLICE))
      return v;
    v = op->operands[0];
  }
}

uint64_t constant_count(const struct constant *c) {
  uint64_t n = 1;
  for (uint32_t i = 0; i < c->rank; i++)
    n *= (uint64_t)c->dims[i];
  return c->data || n == 0 ? n : 0;
}

static bool is_splat(const struct constant *c, uint64_t n) {
  uint64_t width = dtype_bits(c->dtype) / 8;
  const char *data = c->data;
  if (n == 1)
    return true;
  return width && !memcmp(data, data + width, (n - 1) * width);
}

bool value_literal(const struct function *f, value_id v, double *out_f, int64_t *out_i) {
  const struct op *op = def_of_kind(f, behind_views(f, v), OP_CONST);
  if (!op)
    return false;
  const struct constant *c = &f->module->constants.data[OP_ATTRS(const, op)->value];
  uint64_t n = constant_count(c);
  if (c->reference && n > 1) /* stays unread */
    return false;
  if (n == 0 || n > MAX_SPLAT || dtype_kind(c->dtype) == DTYPE_KIND_STRING || !is_splat(c, n))
    return false;
  constant_element(c, 0, out_f, out_i);
  return true;
}

bool value_is_literal_f64(const struct function *f, value_id v, double x) {
  double have;
  int64_t ignored;
  return dtype_is_float(value_type(f, v)->dtype) && value_literal(f, v, &have, &ignored) &&
         have == x;
}

const struct constant *value_constant(const struct function *f, value_id v) {
  for (const struct op *op = value_def(f, v); op; op = value_def(f, op->operands[0])) {
    if (op->kind == OP_CONST)
      return &f->module->constants.data[OP_ATTRS(const, op)->value];
    if (op->kind != OP_RESHAPE)
      return NULL;
  }
  return NULL;
}

bool dims_known_eq(struct dim_table *t, const dim *a, const dim *b, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    if (!dim_known_eq(t, a[i], b[i]))
      return false;
  }
  return true;
}

bool dim_is_one(const struct dim_table *t, dim d) { return dim_is_const_value(t, d, 1); }

bool reshape_moves_ones(struct dim_table *t, const struct type *from, const struct type *to,
                        int64_t *out_axis) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < to->rank; i++) {
    out_axis[i] = -1;
    /* A 1 stands for a 1 where there is one, so that it keeps its place. */
    if (dim_is_one(t, to->dims[i])) {
      if (at < from->rank && dim_is_one(t, from->dims[at]))
        out_axis[i] = at++;
      continue;
    }
    while (at < from->rank && dim_is_one(t, from->dims[at]))
      at++;
    if (at == from->rank || !dim_known_eq(t, from->dims[at], to->dims[i]))
      return false;
    out_axis[i] = at++;
  }
  while (at < from->rank && dim_is_one(t, from->dims[at]))
    at++;
  return at == from->rank;
}

bool reshape_merges(struct dim_table *t, const struct type *from, const struct type *to,
                    uint32_t *out_start) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < to->rank; i++) {
    out_start[i] = at;
    dim product = dim_const(t, 1);
    while (at < from->rank) {
      /* A group takes a dim of 1 only at its start or where it needs what follows. */
      if (at > out_start[i] && dim_known_eq(t, product, to->dims[i]))
        break;
      product = dim_mul(t, product, from->dims[at++]);
    }
    if (!dim_known_eq(t, product, to->dims[i]))
      return false;
  }
  /* 1s at the end belong to the last group. */
  for (; at < from->rank; at++) {
    if (!to->rank || !dim_is_one(t, from->dims[at]))
      return false;
  }
  out_start[to->rank] = from->rank;
  return true;
}

/* Chains of ops on constants are short: fold leaves only those that are too large for it. */
#define MOST_STEPS 8

static bool made_of_constants(const struct function *f, value_id v, bool turned, uint32_t depth) {
  const struct op *op = value_def(f, v);
  if (!op || depth > MOST_STEPS)
    return false;
  if (op->kind == OP_CONST)
    return true;
  if (op->kind != OP_MAP && op->kind != OP_RESHAPE && !(turned && op->kind == OP_TRANSPOSE))
    return false;
  for (uint32_t i = 0; i < op->n_operands; i++)
    if (!made_of_constants(f, op->operands[i], turned, depth + 1))
      return false;
  return op->n_operands > 0;
}

bool is_made_of_constants(const struct function *f, value_id v, bool turned) {
  return made_of_constants(f, v, turned, 0);
}

bool map_is(const struct op *op, enum scalar_op scalar, value_id *out_args) {
  if (!op || op->kind != OP_MAP)
    return false;
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  const struct scalar_inst *last = &body->insts[body->len - 1];
  if (last->op != scalar)
    return false;
  uint32_t arity = scalar_infos[scalar].arity;
  for (uint32_t i = 0; i < arity; i++) {
    const struct scalar_inst *arg = &body->insts[last->args[i]];
    if (arg->op != SCALAR_ARG)
      return false;
    out_args[i] = op->operands[arg->args[0]];
  }
  return true;
}
