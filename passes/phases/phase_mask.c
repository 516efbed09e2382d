/* SPDX-License-Identifier: Apache-2.0 */
/* Masks read as positions; see phase_mask.h. */
#include "passes/phases/phase_mask.h"

#include "passes/pattern.h"

#define MAX_DEPTH 24
#define VERY_NEGATIVE (-1e30)

/* ---- all ones ---- */

static bool inst_ones(const struct phase_mask *m, const struct op *map, uint32_t i, uint32_t depth);

static bool value_ones(const struct phase_mask *m, value_id v, uint32_t depth) {
  if (v == m->ones)
    return true;
  const struct op *op = value_def(m->f, v);
  if (!op || depth > MAX_DEPTH)
    return false;
  switch (op->kind) {
  case OP_RESHAPE:
  case OP_TRANSPOSE:
  case OP_BROADCAST:
  case OP_SLICE: return value_ones(m, op->operands[0], depth + 1);
  case OP_GATHER:
    return OP_ATTRS(gather, op)->mode != OUT_OF_RANGE_FILL &&
           value_ones(m, op->operands[0], depth + 1);
  case OP_MAP: return inst_ones(m, op, OP_ATTRS(map, op)->body->len - 1, depth + 1);
  default: return false;
  }
}

static bool is_number(const struct scalar_inst *i, double x) {
  return i->op == SCALAR_CONST &&
         (dtype_is_float(i->dtype) ? i->imm.f64 == x : (double)i->imm.i64 == x);
}

/* Casts, comparisons with 0 and 1, products and conjunctions of ones. */
static bool inst_ones(const struct phase_mask *m, const struct op *map, uint32_t i,
                      uint32_t depth) {
  const struct scalar_body *body = OP_ATTRS(map, map)->body;
  const struct scalar_inst *inst = &body->insts[i];
  if (depth > MAX_DEPTH)
    return false;
  switch (inst->op) {
  case SCALAR_ARG: return value_ones(m, map->operands[inst->args[0]], depth + 1);
  case SCALAR_CONST: return is_number(inst, 1);
  case SCALAR_CAST: return inst_ones(m, map, inst->args[0], depth + 1);
  case SCALAR_AND:
  case SCALAR_MUL:
  case SCALAR_EQ:
    return inst_ones(m, map, inst->args[0], depth + 1) &&
           inst_ones(m, map, inst->args[1], depth + 1);
  case SCALAR_NE:
  case SCALAR_GT:
    return is_number(&body->insts[inst->args[1]], 0) && inst_ones(m, map, inst->args[0], depth + 1);
  default: return false;
  }
}

bool phase_mask_ones(const struct phase_mask *m, value_id v) {
  return m->ones != VALUE_NONE && value_ones(m, v, 0);
}

/* ---- positions ---- */

static dim known(const struct phase_mask *m, dim d) {
  return d == DIM_NONE ? d : dim_substitute(m->f->module->dims, d, m->by_symbol);
}

/* d = base + i_factor * i + j_factor * j must be <= 0. Query i has position past + i, key j
 * position j: j - i - past <= 0 is causal, i + past - j - (window - 1) <= 0 a window. */
static bool read_bound(const struct phase_mask *m, dim base, dim i_factor, dim j_factor,
                       struct phase_sight *s) {
  struct dim_table *t = m->f->module->dims;
  base = known(m, base);
  if (base == DIM_NONE)
    return false;
  if (dim_is_const_value(t, j_factor, 1) && dim_is_const_value(t, i_factor, -1)) {
    s->causal = true;
    return dim_known_eq(t, base, dim_neg(t, m->past));
  }
  int64_t window;
  dim size = dim_add(t, dim_sub(t, m->past, base), dim_const(t, 1));
  if (!dim_is_const_value(t, j_factor, -1) || !dim_is_const_value(t, i_factor, 1) ||
      !dim_is_const(t, size, &window) || window < 1)
    return false;
  s->window = s->window && s->window < window ? s->window : window;
  return true;
}

static bool read_comparison(const struct phase_mask *m, const struct op *map,
                            const struct scalar_inst *inst, struct phase_sight *s) {
  struct dim_table *t = m->f->module->dims;
  bool swapped = inst->op == SCALAR_GE || inst->op == SCALAR_GT;
  bool strict = inst->op == SCALAR_LT || inst->op == SCALAR_GT;
  struct affine a = affine_of_inst(m->affines, map, inst->args[swapped]);
  struct affine b = affine_of_inst(m->affines, map, inst->args[!swapped]);
  uint32_t rank = value_type(m->f, map->results[0])->rank;
  if (!a.known || !b.known || rank < 2)
    return false;
  for (uint32_t i = 0; i + 2 < rank; i++)
    if (!dim_known_eq(t, a.stride[i], b.stride[i]))
      return false;
  dim base = dim_add(t, dim_sub(t, a.base, b.base), dim_const(t, strict));
  return read_bound(m, base, dim_sub(t, a.stride[rank - 2], b.stride[rank - 2]),
                    dim_sub(t, a.stride[rank - 1], b.stride[rank - 1]), s);
}

/* The last two dims stay under views that move 1s only. */
static value_id behind_ones(const struct phase_mask *m, value_id v) {
  const struct op *op;
  while ((op = def_of_kind(m->f, v, OP_RESHAPE)) != NULL) {
    const struct type *to = value_type(m->f, v), *from = value_type(m->f, op->operands[0]);
    if (from->rank < 2 || to->rank < 2 ||
        !dims_known_eq(m->f->module->dims, from->dims + from->rank - 2, to->dims + to->rank - 2, 2))
      break;
    v = op->operands[0];
  }
  return v;
}

static bool read_inst(const struct phase_mask *m, const struct op *map, uint32_t i,
                      struct phase_sight *s, uint32_t depth) {
  const struct scalar_inst *inst = &OP_ATTRS(map, map)->body->insts[i];
  if (depth > MAX_DEPTH)
    return false;
  if (inst_ones(m, map, i, depth + 1))
    return true;
  switch (inst->op) {
  case SCALAR_AND:
    return read_inst(m, map, inst->args[0], s, depth + 1) &&
           read_inst(m, map, inst->args[1], s, depth + 1);
  case SCALAR_LE:
  case SCALAR_LT:
  case SCALAR_GE:
  case SCALAR_GT: return read_comparison(m, map, inst, s);
  case SCALAR_ARG: {
    value_id v = behind_ones(m, map->operands[inst->args[0]]);
    const struct op *op = def_of_kind(m->f, v, OP_MAP);
    return op && read_inst(m, op, OP_ATTRS(map, op)->body->len - 1, s, depth + 1);
  }
  default: return false;
  }
}

/* select(mask, 0, very negative) */
static bool read_bias(const struct phase_mask *m, value_id bias, struct phase_sight *s) {
  const struct op *op = def_of_kind(m->f, behind_ones(m, bias), OP_MAP);
  if (!op)
    return false;
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  const struct scalar_inst *last = &body->insts[body->len - 1];
  if (last->op != SCALAR_SELECT)
    return false;
  const struct scalar_inst *off = &body->insts[last->args[2]];
  return is_number(&body->insts[last->args[1]], 0) && off->op == SCALAR_CONST &&
         off->imm.f64 <= VERY_NEGATIVE && read_inst(m, op, last->args[0], s, 0);
}

/* Without positions as operands, query i is at i + keys - queries. */
static bool read_implicit(const struct phase_mask *m, const struct op *op) {
  struct dim_table *t = m->f->module->dims;
  dim keys = value_type(m->f, op->operands[1])->dims[2],
      queries = value_type(m->f, op->operands[0])->dims[2];
  dim first = known(m, dim_sub(t, keys, queries));
  return first != DIM_NONE && dim_known_eq(t, first, m->past);
}

bool phase_mask_read(const struct phase_mask *m, const struct op *op, struct phase_sight *out) {
  const struct attention_attrs *a = OP_ATTRS(attention, op);
  *out = (struct phase_sight){.causal = a->causal, .window = a->window};
  if (a->has_pos || ((a->causal || a->window) && !read_implicit(m, op)))
    return false;
  return (!a->has_bias || read_bias(m, op->operands[3], out)) && out->causal;
}
