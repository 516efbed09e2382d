/* SPDX-License-Identifier: Apache-2.0 */
/* Affine values; see affine.h. */
#include "passes/affine.h"

#include "passes/pattern.h"

/* Longer chains of definitions, and larger constants, are not looked at. */
#define MAX_DEPTH 32
#define MAX_ELEMENTS 65536

static const struct affine unknown = {0};

void affines_init(struct affines *a, const struct function *f) {
  *a = (struct affines){.f = f, .dims = f->module->dims};
  value_ranges_init(&a->ranges, f);
}

void affines_deinit(struct affines *a) {
  value_ranges_deinit(&a->ranges);
  map_deinit(&a->found);
  vec_deinit(&a->list);
}

static struct affine find(struct affines *a, value_id v, uint32_t depth);

static struct affine uniform(struct affines *a, dim base) {
  struct affine r = {.known = base != DIM_NONE, .base = base};
  for (uint32_t i = 0; i < IR_MAX_RANK; i++)
    r.stride[i] = dim_const(a->dims, 0);
  return r;
}

static bool is_zero(const struct affines *a, dim d) { return dim_is_const_value(a->dims, d, 0); }

static bool strideless(const struct affines *a, const struct affine *x) {
  for (uint32_t i = 0; i < IR_MAX_RANK; i++) {
    if (!is_zero(a, x->stride[i]))
      return false;
  }
  return true;
}

/* x + factor * y */
static struct affine combine(struct affines *a, const struct affine *x, const struct affine *y,
                             dim factor) {
  struct affine r = {.known = x->known && y->known};
  if (!r.known)
    return unknown;
  r.base = dim_add(a->dims, x->base, dim_mul(a->dims, y->base, factor));
  r.known = r.base != DIM_NONE;
  for (uint32_t i = 0; i < IR_MAX_RANK; i++) {
    r.stride[i] = dim_add(a->dims, x->stride[i], dim_mul(a->dims, y->stride[i], factor));
    r.known &= r.stride[i] != DIM_NONE;
  }
  return r;
}

static struct affine product(struct affines *a, const struct affine *x, const struct affine *y) {
  if (!x->known || !y->known)
    return unknown;
  struct affine zero = uniform(a, dim_const(a->dims, 0));
  if (strideless(a, x))
    return combine(a, &zero, y, x->base);
  return strideless(a, y) ? combine(a, &zero, x, y->base) : unknown;
}

/* ---- maps ---- */

/* Operand i of a map, seen from the map's indices. */
static struct affine of_operand(struct affines *a, const struct op *map, uint32_t i,
                                uint32_t depth) {
  const struct type *x = value_type(a->f, map->operands[i]);
  const struct type *y = value_type(a->f, map->results[0]);
  for (uint32_t d = 0; d < x->rank; d++) {
    if (!dim_is_one(a->dims, x->dims[d]) && !dim_known_eq(a->dims, x->dims[d], y->dims[d]))
      return unknown;
  }
  return find(a, map->operands[i], depth + 1);
}

/* One instruction, from those of its operands. */
static struct affine of_inst(struct affines *a, const struct op *map,
                             const struct scalar_inst *inst, const struct affine *done,
                             uint32_t depth) {
  const struct affine *x = &done[inst->args[0]], *y = &done[inst->args[1]];
  struct affine zero = uniform(a, dim_const(a->dims, 0));
  if (inst->dtype != DTYPE_I64)
    return unknown;
  switch (inst->op) {
  case SCALAR_ARG: return of_operand(a, map, inst->args[0], depth);
  case SCALAR_CONST: return uniform(a, dim_const(a->dims, inst->imm.i64));
  case SCALAR_ADD: return combine(a, x, y, dim_const(a->dims, 1));
  case SCALAR_SUB: return combine(a, x, y, dim_const(a->dims, -1));
  case SCALAR_NEG: return combine(a, &zero, x, dim_const(a->dims, -1));
  case SCALAR_MUL: return product(a, x, y);
  default: return unknown;
  }
}

#define MAX_BODY 96

static struct affine of_map(struct affines *a, const struct op *map, uint32_t last,
                            uint32_t depth) {
  const struct scalar_body *body = OP_ATTRS(map, map)->body;
  struct affine done[MAX_BODY];
  if (last >= MAX_BODY || body->insts[last].dtype != DTYPE_I64)
    return unknown;
  for (uint32_t i = 0; i <= last; i++)
    done[i] = of_inst(a, map, &body->insts[i], done, depth);
  return done[last];
}

struct affine affine_of_inst(struct affines *a, const struct op *map, uint32_t i) {
  return of_map(a, map, i, 0);
}

/* ---- other ops ---- */

static int64_t element(const struct constant *c, uint64_t i) {
  double ignored;
  int64_t x;
  constant_element(c, i, &ignored, &x);
  return x;
}

static struct affine of_constant(struct affines *a, const struct constant *c) {
  uint64_t n = constant_count(c), step = 1;
  if (n == 0 || n > MAX_ELEMENTS)
    return unknown;
  int64_t base = element(c, 0), stride[IR_MAX_RANK] = {0};
  struct affine r = uniform(a, dim_const(a->dims, base));
  for (uint32_t d = c->rank; d-- > 0;) {
    stride[d] = c->dims[d] > 1 ? (int64_t)((uint64_t)element(c, step) - (uint64_t)base) : 0;
    r.stride[d] = dim_const(a->dims, stride[d]);
    step *= (uint64_t)c->dims[d];
  }
  for (uint64_t i = 0; i < n; i++) {
    uint64_t rest = i, want = (uint64_t)base;
    for (uint32_t d = c->rank; d-- > 0;) {
      want += (uint64_t)stride[d] * (rest % (uint64_t)c->dims[d]);
      rest /= (uint64_t)c->dims[d];
    }
    if (want != (uint64_t)element(c, i))
      return unknown;
  }
  return r;
}

static struct affine of_dims(struct affines *a, const struct dims *dims) {
  return dims->len == 1 ? uniform(a, dims->data[0]) : unknown;
}

static struct affine of_reshape(struct affines *a, const struct op *op, uint32_t depth) {
  const struct type *to = value_type(a->f, op->results[0]);
  int64_t axis[IR_MAX_RANK];
  struct affine x = find(a, op->operands[0], depth + 1);
  if (!x.known || strideless(a, &x))
    return x;
  if (!reshape_moves_ones(a->dims, value_type(a->f, op->operands[0]), to, axis))
    return unknown;
  struct affine r = uniform(a, x.base);
  for (uint32_t i = 0; i < to->rank; i++) {
    if (axis[i] >= 0)
      r.stride[i] = x.stride[axis[i]];
  }
  return r;
}

static struct affine of_transpose(struct affines *a, const struct op *op, uint32_t depth) {
  struct affine x = find(a, op->operands[0], depth + 1), r = x;
  for (uint32_t i = 0; x.known && i < OP_ATTRS(transpose, op)->perm.len; i++)
    r.stride[i] = x.stride[OP_ATTRS(transpose, op)->perm.data[i]];
  return r;
}

static struct affine of_slice(struct affines *a, const struct op *op, uint32_t depth) {
  const struct slice_attrs *s = OP_ATTRS(slice, op);
  struct affine x = find(a, op->operands[0], depth + 1), r = x;
  for (uint32_t i = 0; x.known && i < s->start.len; i++) {
    r.base = dim_add(a->dims, r.base, dim_mul(a->dims, s->start.data[i], x.stride[i]));
    r.stride[i] = dim_mul(a->dims, x.stride[i], dim_const(a->dims, s->step.data[i]));
    r.known &= r.base != DIM_NONE && r.stride[i] != DIM_NONE;
  }
  return r.known ? r : unknown;
}

/* Where a dim may be 1 or the result's, an index of the result is no index of the operand. */
static struct affine of_broadcast(struct affines *a, const struct op *op, uint32_t depth) {
  const struct type *x = value_type(a->f, op->operands[0]), *y = value_type(a->f, op->results[0]);
  for (uint32_t d = 0; d < x->rank; d++) {
    if (!dim_is_one(a->dims, x->dims[d]) && !dim_known_eq(a->dims, x->dims[d], y->dims[d]))
      return unknown;
  }
  return find(a, op->operands[0], depth + 1);
}

static struct affine of_iota(struct affines *a, const struct op *op) {
  const struct iota_attrs *i = OP_ATTRS(iota, op);
  struct affine r = uniform(a, dim_const(a->dims, 0));
  r.stride[i->axis] = dim_const(a->dims, 1);
  return r;
}

static struct affine compute(struct affines *a, value_id v, uint32_t depth) {
  const struct op *op = value_def(a->f, v);
  if (!op || value_type(a->f, v)->dtype != DTYPE_I64 || depth > MAX_DEPTH)
    return unknown;
  switch (op->kind) {
  case OP_CONST: return of_constant(a, &a->f->module->constants.data[OP_ATTRS(const, op)->value]);
  case OP_DIMS: return of_dims(a, &OP_ATTRS(dims, op)->dims);
  case OP_IOTA: return of_iota(a, op);
  case OP_MAP: return of_map(a, op, OP_ATTRS(map, op)->body->len - 1, depth);
  case OP_RESHAPE: return of_reshape(a, op, depth);
  case OP_TRANSPOSE: return of_transpose(a, op, depth);
  case OP_SLICE: return of_slice(a, op, depth);
  case OP_BROADCAST: return of_broadcast(a, op, depth);
  default: return unknown;
  }
}

/* An index into a dim of 1 is 0, so its stride says nothing. */
static void settle(struct affines *a, value_id v, struct affine *x) {
  const struct type *type = value_type(a->f, v);
  for (uint32_t i = 0; x->known && i < IR_MAX_RANK; i++) {
    if (i >= type->rank || dim_is_one(a->dims, type->dims[i]))
      x->stride[i] = dim_const(a->dims, 0);
  }
}

static struct affine find(struct affines *a, value_id v, uint32_t depth) {
  uint64_t place;
  if (map_get(&a->found, v, &place))
    return a->list.data[place];
  struct affine x = compute(a, v, depth);
  settle(a, v, &x);
  if (depth <= MAX_DEPTH) {
    map_put(&a->found, v, a->list.len);
    vec_push(&a->list, x);
  }
  return x;
}

struct affine affine_of(struct affines *a, value_id v) { return find(a, v, 0); }

bool affine_uniform(struct affines *a, value_id v, dim *out_dim) {
  struct affine x = affine_of(a, v);
  *out_dim = x.base;
  return x.known && strideless(a, &x);
}
