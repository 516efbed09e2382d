/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of integer values; see value_range.h. */
#include "passes/value_range.h"

#include "base/checked.h"

/* Larger constants, and longer chains of definitions, are not looked at. */
#define MAX_ELEMENTS 4096
#define MAX_DEPTH 24

void value_ranges_init(struct value_ranges *r, const struct function *f) {
  *r = (struct value_ranges){.f = f};
}

void value_ranges_deinit(struct value_ranges *r) {
  map_deinit(&r->found);
  vec_deinit(&r->ranges);
}

struct range range_of_dtype(enum dtype dtype) {
  unsigned bits = dtype_bits(dtype);
  if (dtype_kind(dtype) == DTYPE_KIND_BOOL)
    return (struct range){0, 1};
  if (!dtype_is_int(dtype) || bits >= 64)
    return RANGE_ALL;
  if (dtype_is_unsigned(dtype))
    return (struct range){0, (INT64_C(1) << bits) - 1};
  return (struct range){-(INT64_C(1) << (bits - 1)), (INT64_C(1) << (bits - 1)) - 1};
}

static bool tracked(enum dtype dtype) { return !dtype_is_float(dtype) && dtype != DTYPE_U64; }

static struct range join(struct range a, struct range b) {
  return (struct range){a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

/* What may wrap is anything. */
static struct range within(enum dtype dtype, struct range r) {
  struct range all = range_of_dtype(dtype);
  return r.lo < all.lo || r.hi > all.hi ? all : r;
}

/* ---- instructions ---- */

static struct range range_add(struct range a, struct range b) {
  struct range r;
  return i64_add(a.lo, b.lo, &r.lo) && i64_add(a.hi, b.hi, &r.hi) ? r : RANGE_ALL;
}

static struct range range_sub(struct range a, struct range b) {
  struct range r;
  return i64_sub(a.lo, b.hi, &r.lo) && i64_sub(a.hi, b.lo, &r.hi) ? r : RANGE_ALL;
}

static struct range range_mul(struct range a, struct range b) {
  const int64_t xs[2] = {a.lo, a.hi}, ys[2] = {b.lo, b.hi};
  struct range r = {INT64_MAX, INT64_MIN};
  for (int i = 0; i < 4; i++) {
    int64_t p;
    if (!i64_mul(xs[i / 2], ys[i % 2], &p))
      return RANGE_ALL;
    r = join(r, (struct range){p, p});
  }
  return r;
}

static struct range truth(bool known, bool value) {
  return known ? (struct range){value, value} : (struct range){0, 1};
}

static struct range range_less(struct range a, struct range b) {
  return truth(a.hi < b.lo || a.lo >= b.hi, a.hi < b.lo);
}

static struct range range_equal(struct range a, struct range b) {
  bool one = a.lo == a.hi && b.lo == b.hi && a.lo == b.lo;
  return truth(one || a.hi < b.lo || b.hi < a.lo, one);
}

static struct range opposite(struct range r) { return (struct range){1 - r.hi, 1 - r.lo}; }

static struct range range_cast(enum dtype from, enum dtype to, struct range a) {
  if (!tracked(from))
    return range_of_dtype(to);
  if (dtype_kind(to) == DTYPE_KIND_BOOL)
    return opposite(range_equal(a, (struct range){0, 0}));
  return within(to, a);
}

static struct range range_logic(enum scalar_op op, struct range a, struct range b) {
  if (op == SCALAR_AND)
    return (struct range){a.lo & b.lo, a.hi & b.hi};
  if (op == SCALAR_OR)
    return (struct range){a.lo | b.lo, a.hi | b.hi};
  return opposite(range_equal(a, b));
}

struct range range_of_inst(const struct scalar_inst *inst, enum dtype operand_dtype,
                           const struct range *x) {
  enum dtype t = inst->dtype;
  if (!tracked(t))
    return RANGE_ALL;
  if (inst->op == SCALAR_CONST)
    return (struct range){inst->imm.i64, inst->imm.i64};
  if (inst->op == SCALAR_CAST)
    return range_cast(operand_dtype, t, x[0]);
  if (inst->op == SCALAR_SELECT)
    return x[0].lo == x[0].hi ? x[x[0].lo ? 1 : 2] : join(x[1], x[2]);
  if (!tracked(operand_dtype))
    return range_of_dtype(t);
  bool logic = dtype_kind(t) == DTYPE_KIND_BOOL;
  switch (inst->op) {
  case SCALAR_ADD: return within(t, range_add(x[0], x[1]));
  case SCALAR_SUB: return within(t, range_sub(x[0], x[1]));
  case SCALAR_MUL: return within(t, range_mul(x[0], x[1]));
  case SCALAR_NEG: return within(t, range_sub((struct range){0, 0}, x[0]));
  case SCALAR_MAX:
    return (struct range){x[0].lo > x[1].lo ? x[0].lo : x[1].lo,
                          x[0].hi > x[1].hi ? x[0].hi : x[1].hi};
  case SCALAR_MIN:
    return (struct range){x[0].lo < x[1].lo ? x[0].lo : x[1].lo,
                          x[0].hi < x[1].hi ? x[0].hi : x[1].hi};
  case SCALAR_EQ: return range_equal(x[0], x[1]);
  case SCALAR_NE: return opposite(range_equal(x[0], x[1]));
  case SCALAR_LT: return range_less(x[0], x[1]);
  case SCALAR_GT: return range_less(x[1], x[0]);
  case SCALAR_LE: return opposite(range_less(x[1], x[0]));
  case SCALAR_GE: return opposite(range_less(x[0], x[1]));
  case SCALAR_AND:
  case SCALAR_OR:
  case SCALAR_XOR: return logic ? range_logic(inst->op, x[0], x[1]) : range_of_dtype(t);
  case SCALAR_NOT: return logic ? opposite(x[0]) : range_of_dtype(t);
  default: return range_of_dtype(t);
  }
}

/* ---- values ---- */

static struct range find(struct value_ranges *r, value_id v, uint32_t depth);

static struct range range_of_constant(const struct module *m, constant_id id) {
  const struct constant *c = &m->constants.data[id];
  uint64_t n = 1;
  for (uint32_t i = 0; i < c->rank; i++)
    n = n > MAX_ELEMENTS ? n : n * (uint64_t)c->dims[i];
  if (n == 0 || n > MAX_ELEMENTS || !c->data)
    return range_of_dtype(c->dtype);
  struct range all = {INT64_MAX, INT64_MIN};
  for (uint64_t i = 0; i < n; i++) {
    double ignored;
    int64_t x;
    constant_element(c, i, &ignored, &x);
    all = join(all, (struct range){x, x});
  }
  return all;
}

static struct range range_of_dims(const struct value_ranges *r, const struct dims *dims) {
  struct range all = {INT64_MAX, INT64_MIN}, one;
  for (uint32_t i = 0; i < dims->len; i++) {
    dim_bounds(r->f->module->dims, dims->data[i], &one.lo, &one.hi);
    all = join(all, one);
  }
  return dims->len ? all : RANGE_ALL;
}

static struct range range_of_map(struct value_ranges *r, const struct op *op, uint32_t depth) {
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  struct range done[96];
  if (body->len > sizeof done / sizeof *done)
    return range_of_dtype(body->insts[body->len - 1].dtype);
  for (uint32_t i = 0; i < body->len; i++) {
    const struct scalar_inst *inst = &body->insts[i];
    struct range x[3] = {RANGE_ALL, RANGE_ALL, RANGE_ALL};
    enum dtype from = inst->dtype;
    if (inst->op == SCALAR_ARG) {
      done[i] = find(r, op->operands[inst->args[0]], depth + 1);
      continue;
    }
    for (uint32_t k = 0; k < scalar_infos[inst->op].arity; k++) {
      x[k] = done[inst->args[k]];
      from = body->insts[inst->args[k]].dtype;
    }
    done[i] = range_of_inst(inst, from, x);
  }
  return done[body->len - 1];
}

static struct range range_of_iota(const struct value_ranges *r, const struct op *op) {
  const struct iota_attrs *a = OP_ATTRS(iota, op);
  struct range size;
  dim_bounds(r->f->module->dims, a->type->dims[a->axis], &size.lo, &size.hi);
  if (size.hi == INT64_MAX)
    return within(a->type->dtype, (struct range){0, INT64_MAX});
  return within(a->type->dtype, (struct range){0, size.hi > 0 ? size.hi - 1 : 0});
}

static struct range range_of_operands(struct value_ranges *r, const struct op *op, uint32_t n,
                                      uint32_t depth) {
  struct range all = find(r, op->operands[0], depth + 1);
  for (uint32_t i = 1; i < n; i++)
    all = join(all, find(r, op->operands[i], depth + 1));
  return all;
}

static struct range compute(struct value_ranges *r, value_id v, uint32_t depth) {
  const struct op *op = value_def(r->f, v);
  enum dtype dtype = value_type(r->f, v)->dtype;
  if (!op || !tracked(dtype) || depth > MAX_DEPTH)
    return range_of_dtype(dtype);
  switch (op->kind) {
  case OP_CONST: return range_of_constant(r->f->module, OP_ATTRS(const, op)->value);
  case OP_DIMS: return range_of_dims(r, &OP_ATTRS(dims, op)->dims);
  case OP_IOTA: return range_of_iota(r, op);
  case OP_MAP: return range_of_map(r, op, depth);
  case OP_RESHAPE:
  case OP_TRANSPOSE:
  case OP_BROADCAST:
  case OP_SLICE: return range_of_operands(r, op, 1, depth);
  case OP_PAD:
  case OP_CONCAT: return range_of_operands(r, op, op->n_operands, depth);
  case OP_GATHER:
    return OP_ATTRS(gather, op)->mode == OUT_OF_RANGE_FILL ? range_of_dtype(dtype)
                                                           : range_of_operands(r, op, 1, depth);
  case OP_REDUCE: {
    enum combiner kind = OP_ATTRS(reduce, op)->kind;
    bool kept =
        (kind == COMBINER_AND || kind == COMBINER_OR) && dtype_kind(dtype) == DTYPE_KIND_BOOL;
    return kept ? (struct range){0, 1} : range_of_dtype(dtype);
  }
  default: return range_of_dtype(dtype);
  }
}

static struct range find(struct value_ranges *r, value_id v, uint32_t depth) {
  uint64_t place;
  if (map_get(&r->found, v, &place))
    return r->ranges.data[place];
  struct range range = compute(r, v, depth);
  if (depth <= MAX_DEPTH) { /* what gave up at the limit may do better when asked alone */
    map_put(&r->found, v, r->ranges.len);
    vec_push(&r->ranges, range);
  }
  return range;
}

struct range value_range(struct value_ranges *r, value_id v) { return find(r, v, 0); }
