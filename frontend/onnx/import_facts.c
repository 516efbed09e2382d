/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of single elements of values while importing: the dim expressions that travel
 * through the small integer tensors of Shape, Gather, Concat, Reshape chains.
 *
 * The analysis looks back from an element through the ops that define it, one element at a time, so
 * that a look at one entry of a large tensor costs little. It works on the IR, not on ONNX:
 * importers get it for free. In bind mode an integer element that nothing is known of becomes a
 * symbol at the place where its value is defined; arithmetic on it stays an expression of that
 * symbol. */
#include "frontend/onnx/import_internal.h"

#include "base/softfloat.h"

#include <math.h>
#include <string.h>

static const struct fact unknown = {FACT_UNKNOWN, 0, 0, 0, 0, 0};

static struct fact fact_dim(dim d) {
  return d == DIM_NONE ? unknown : (struct fact){.kind = FACT_DIM, .d = d};
}
static struct fact fact_int(struct importer *im, int64_t x) {
  return fact_dim(dim_const(im->module->dims, x));
}
static struct fact fact_float(double f) { return (struct fact){.kind = FACT_FLOAT, .f = f}; }

static bool fact_is_int(struct importer *im, struct fact f, int64_t *out) {
  return f.kind == FACT_DIM && dim_is_const(im->module->dims, f.d, out);
}

/* ---- constants ---- */

static double constant_float(const struct constant *c, uint64_t i, bool *known) {
  const char *p = c->data;
  double d;
  float f;
  uint16_t h;
  *known = true;
  switch (c->dtype) {
  case DTYPE_F64: memcpy(&d, p + i * 8, 8); return d;
  case DTYPE_F32: memcpy(&f, p + i * 4, 4); return (double)f;
  case DTYPE_F16:
  case DTYPE_BF16:
    memcpy(&h, p + i * 2, 2);
    return softfloat_decode(c->dtype == DTYPE_F16 ? SOFTFLOAT_F16 : SOFTFLOAT_BF16, h);
  default: *known = false; return 0;
  }
}

static int64_t constant_int(const struct constant *c, uint64_t i) {
  const uint8_t *p = c->data;
  unsigned bits = dtype_bits(c->dtype);
  uint64_t x = 0;
  if (bits >= 8)
    memcpy(&x, p + i * (bits / 8), bits / 8);
  else
    x = p[i * bits / 8] >> (i * bits % 8) & ((1u << bits) - 1);
  if (dtype_is_signed(c->dtype) && bits < 64 && x >> (bits - 1) & 1)
    x |= ~UINT64_C(0) << bits;
  return (int64_t)x;
}

static struct fact constant_fact(struct importer *im, const struct constant *c, int64_t element) {
  if (!c->data || c->dtype == DTYPE_STRING)
    return unknown;
  if (dtype_is_float(c->dtype)) {
    bool known;
    double f = constant_float(c, (uint64_t)element, &known);
    return known ? fact_float(f) : unknown;
  }
  int64_t x = constant_int(c, (uint64_t)element);
  return c->dtype == DTYPE_U64 && x < 0 ? unknown : fact_int(im, x);
}

/* ---- scalar ops ---- */

/* A dim as a value of an integer dtype: unknown if it may wrap. Shapes are taken to fit 32 bits
 * where a model computes them so. */
static struct fact fit(struct importer *im, enum dtype dtype, dim d) {
  if (d == DIM_NONE || !(dtype_is_int(dtype) || dtype == DTYPE_BOOL))
    return unknown;
  int64_t lo, hi;
  unsigned bits = dtype_bits(dtype);
  dim_bounds(im->module->dims, d, &lo, &hi);
  if (dtype_is_signed(dtype)) {
    int64_t most = bits == 64 ? INT64_MAX : (INT64_C(1) << (bits - 1)) - 1;
    bool wide = bits >= 32 && !dim_is_const(im->module->dims, d, NULL);
    return wide || (lo >= -most - 1 && hi <= most) ? fact_dim(d) : unknown;
  }
  int64_t most = bits >= 63 ? INT64_MAX : (INT64_C(1) << bits) - 1;
  if (lo >= 0 && (hi <= most || (bits >= 32 && !dim_is_const(im->module->dims, d, NULL))))
    return fact_dim(d);
  return unknown;
}

static struct fact truth(struct importer *im, bool known_true, bool known_false) {
  return known_true ? fact_int(im, 1) : known_false ? fact_int(im, 0) : unknown;
}

static struct fact compare_dims(struct importer *im, enum scalar_op op, dim a, dim b) {
  struct dim_table *t = im->module->dims;
  switch (op) {
  case SCALAR_EQ: return truth(im, dim_known_eq(t, a, b), dim_known_ne(t, a, b));
  case SCALAR_NE: return truth(im, dim_known_ne(t, a, b), dim_known_eq(t, a, b));
  case SCALAR_LT: return truth(im, dim_known_lt(t, a, b), dim_known_le(t, b, a));
  case SCALAR_LE: return truth(im, dim_known_le(t, a, b), dim_known_lt(t, b, a));
  case SCALAR_GT: return truth(im, dim_known_lt(t, b, a), dim_known_le(t, a, b));
  case SCALAR_GE: return truth(im, dim_known_le(t, b, a), dim_known_lt(t, a, b));
  default: return unknown;
  }
}

static bool both_nonnegative(struct dim_table *t, dim a, dim b) {
  dim zero = dim_const(t, 0);
  return dim_known_le(t, zero, a) && dim_known_le(t, zero, b);
}

static dim int_pow(struct dim_table *t, dim base, dim exponent) {
  int64_t n;
  if (!dim_is_const(t, exponent, &n) || n < 0 || n > 64)
    return DIM_NONE;
  dim d = dim_const(t, 1);
  for (int64_t i = 0; i < n; i++)
    d = dim_mul(t, d, base);
  return d;
}

static dim divide_trunc(struct dim_table *t, dim a, dim b) {
  int64_t x, y;
  if (both_nonnegative(t, a, b))
    return dim_floordiv(t, a, b);
  if (!dim_is_const(t, a, &x) || !dim_is_const(t, b, &y))
    return DIM_NONE;
  return dim_const(t, y == 0 ? 0 : x == INT64_MIN && y == -1 ? x : x / y);
}

static dim unary_dim(struct dim_table *t, enum scalar_op op, dim a) {
  dim zero = dim_const(t, 0);
  switch (op) {
  case SCALAR_NEG: return dim_neg(t, a);
  case SCALAR_ABS: return dim_known_le(t, zero, a) ? a : dim_max(t, a, dim_neg(t, a));
  case SCALAR_SIGN: return dim_min(t, dim_const(t, 1), dim_max(t, dim_const(t, -1), a));
  default: return DIM_NONE;
  }
}

static dim binary_dim(struct dim_table *t, enum scalar_op op, dim a, dim b) {
  switch (op) {
  case SCALAR_ADD: return dim_add(t, a, b);
  case SCALAR_SUB: return dim_sub(t, a, b);
  case SCALAR_MUL: return dim_mul(t, a, b);
  case SCALAR_DIV: return divide_trunc(t, a, b);
  case SCALAR_MOD: return dim_mod(t, a, b);
  case SCALAR_REM: return both_nonnegative(t, a, b) ? dim_mod(t, a, b) : DIM_NONE;
  case SCALAR_POW: return int_pow(t, a, b);
  case SCALAR_MAX: return dim_max(t, a, b);
  case SCALAR_MIN: return dim_min(t, a, b);
  default: return DIM_NONE;
  }
}

/* Logic decides where one operand alone does. */
static struct fact logic(struct importer *im, enum scalar_op op, struct fact a, struct fact b) {
  int64_t x = -1, y = -1;
  bool kx = fact_is_int(im, a, &x), ky = fact_is_int(im, b, &y);
  switch (op) {
  case SCALAR_NOT: return kx ? fact_int(im, !x) : unknown;
  case SCALAR_AND: return truth(im, kx && ky && x && y, (kx && !x) || (ky && !y));
  case SCALAR_OR: return truth(im, (kx && x) || (ky && y), kx && ky && !x && !y);
  case SCALAR_XOR:
  case SCALAR_NE: return kx && ky ? fact_int(im, x != y) : unknown;
  case SCALAR_EQ: return kx && ky ? fact_int(im, x == y) : unknown;
  default: return unknown;
  }
}

static double float_unary(enum scalar_op op, double x) {
  switch (op) {
  case SCALAR_NEG: return -x;
  case SCALAR_ABS: return fabs(x);
  case SCALAR_FLOOR: return floor(x);
  case SCALAR_CEIL: return ceil(x);
  case SCALAR_ROUND: return nearbyint(x);
  case SCALAR_TRUNC: return trunc(x);
  case SCALAR_SQRT: return sqrt(x);
  default: return NAN;
  }
}

static double float_binary(enum scalar_op op, double x, double y) {
  switch (op) {
  case SCALAR_ADD: return x + y;
  case SCALAR_SUB: return x - y;
  case SCALAR_MUL: return x * y;
  case SCALAR_DIV: return x / y;
  case SCALAR_MAX: return fmax(x, y);
  case SCALAR_MIN: return fmin(x, y);
  case SCALAR_POW: return pow(x, y);
  default: return NAN;
  }
}

/* Constants of f64 and f32; a NaN counts as "not known", which is safe. */
static struct fact float_constant(enum dtype dtype, double x) {
  if (isnan(x) || (dtype != DTYPE_F32 && dtype != DTYPE_F64))
    return unknown;
  return fact_float(dtype == DTYPE_F32 ? (double)(float)x : x);
}

/* x as p / q with q a power of two. */
static bool as_ratio(double x, int64_t *p, int64_t *q) {
  for (*q = 1; *q <= 1 << 16; *q *= 2) {
    double scaled = x * (double)*q;
    if (scaled == floor(scaled) && fabs(scaled) < 1e9) {
      *p = (int64_t)scaled;
      return true;
    }
  }
  return false;
}

/* d * num / den by a constant, if that is exact in floats too. */
static struct fact scale_ratio(struct fact r, enum scalar_op op, double by) {
  int64_t p, q;
  if (by == 0 || !as_ratio(by, &p, &q) || p <= 0)
    return unknown;
  if (op == SCALAR_DIV) {
    int64_t swap = p;
    p = q, q = swap;
  } else if (op != SCALAR_MUL) {
    return unknown;
  }
  if (__builtin_mul_overflow(r.num, p, &r.num) || __builtin_mul_overflow(r.den, q, &r.den))
    return unknown;
  return r;
}

static dim ratio_floor(struct dim_table *t, struct fact r) {
  return dim_floordiv(t, dim_mul(t, r.d, dim_const(t, r.num)), dim_const(t, r.den));
}

static struct fact float_op(struct importer *im, const struct scalar_inst *inst, struct fact a,
                            struct fact b, uint32_t arity) {
  struct dim_table *t = im->module->dims;
  if (a.kind == FACT_FLOAT && arity == 1)
    return float_constant(inst->dtype, float_unary(inst->op, a.f));
  if (a.kind == FACT_FLOAT && b.kind == FACT_FLOAT)
    return float_constant(inst->dtype, float_binary(inst->op, a.f, b.f));
  if (a.kind == FACT_RATIO && b.kind == FACT_FLOAT)
    return scale_ratio(a, inst->op, b.f);
  if (a.kind == FACT_FLOAT && b.kind == FACT_RATIO && inst->op == SCALAR_MUL)
    return scale_ratio(b, inst->op, a.f);
  if (a.kind != FACT_RATIO || arity != 1)
    return unknown;
  struct fact r = {.kind = FACT_RATIO, .num = 1, .den = 1};
  if (inst->op == SCALAR_FLOOR)
    r.d = ratio_floor(t, a);
  else if (inst->op == SCALAR_CEIL)
    r.d = dim_ceildiv(t, dim_mul(t, a.d, dim_const(t, a.num)), dim_const(t, a.den));
  return r.d == DIM_NONE ? unknown : r;
}

static struct fact cast_fact(struct importer *im, enum dtype to, struct fact a) {
  struct dim_table *t = im->module->dims;
  int64_t x;
  if (to == DTYPE_BOOL) {
    if (a.kind == FACT_FLOAT)
      return fact_int(im, a.f != 0);
    return a.kind == FACT_DIM ? compare_dims(im, SCALAR_NE, a.d, dim_const(t, 0)) : unknown;
  }
  if (dtype_is_float(to)) {
    if (a.kind == FACT_FLOAT)
      return float_constant(to, a.f);
    if (fact_is_int(im, a, &x))
      return float_constant(to, (double)x);
    if (a.kind == FACT_DIM && (to == DTYPE_F32 || to == DTYPE_F64))
      return (struct fact){.kind = FACT_RATIO, .d = a.d, .num = 1, .den = 1};
    return a.kind == FACT_RATIO && to == DTYPE_F64 ? a : unknown;
  }
  if (a.kind == FACT_FLOAT && fabs(a.f) < 9e15)
    return fit(im, to, dim_const(t, (int64_t)a.f));
  if (a.kind == FACT_DIM)
    return fit(im, to, a.d);
  if (a.kind == FACT_RATIO && (a.den == 1 || dim_known_le(t, dim_const(t, 0), a.d)))
    return fit(im, to, ratio_floor(t, a));
  return unknown;
}

static struct fact scalar_fact(struct importer *im, const struct scalar_inst *inst, struct fact a,
                               struct fact b, struct fact c) {
  struct dim_table *t = im->module->dims;
  uint32_t arity = scalar_infos[inst->op].arity;
  int64_t x;
  if (inst->op == SCALAR_SELECT) {
    if (fact_is_int(im, a, &x))
      return x ? b : c;
    return b.kind == FACT_DIM && c.kind == FACT_DIM && b.d == c.d ? b : unknown;
  }
  bool bool_result = inst->dtype == DTYPE_BOOL;
  if (a.kind == FACT_DIM && b.kind == FACT_DIM && arity == 2 && bool_result) {
    struct fact f = compare_dims(im, inst->op, a.d, b.d);
    return f.kind ? f : logic(im, inst->op, a, b);
  }
  if (bool_result && a.kind == FACT_FLOAT && b.kind == FACT_FLOAT && arity == 2) {
    bool lt = a.f < b.f, eq = a.f == b.f;
    switch (inst->op) {
    case SCALAR_EQ: return fact_int(im, eq);
    case SCALAR_NE: return fact_int(im, !eq);
    case SCALAR_LT: return fact_int(im, lt);
    case SCALAR_LE: return fact_int(im, lt || eq);
    case SCALAR_GT: return fact_int(im, !lt && !eq);
    case SCALAR_GE: return fact_int(im, !lt);
    default: return unknown;
    }
  }
  if (bool_result)
    return logic(im, inst->op, a, b);
  if (dtype_is_float(inst->dtype))
    return float_op(im, inst, a, b, arity);
  if (a.kind == FACT_DIM && arity == 1)
    return fit(im, inst->dtype, unary_dim(t, inst->op, a.d));
  if (a.kind == FACT_DIM && b.kind == FACT_DIM && arity == 2)
    return fit(im, inst->dtype, binary_dim(t, inst->op, a.d, b.d));
  return unknown;
}

/* ---- elements ---- */

static bool static_dims(struct importer *im, value_id v, int64_t *dims) {
  return type_static_dims(im->module->dims, value_type(im->function, v), dims);
}

static void unravel(int64_t element, const int64_t *dims, uint32_t rank, int64_t *at) {
  for (uint32_t i = rank; i-- > 0;) {
    at[i] = dims[i] ? element % dims[i] : 0;
    element = dims[i] ? element / dims[i] : 0;
  }
}

static int64_t ravel(const int64_t *at, const int64_t *dims, uint32_t rank) {
  int64_t element = 0;
  for (uint32_t i = 0; i < rank; i++)
    element = element * dims[i] + at[i];
  return element;
}

/* The element of an operand that a numpy broadcast reads at `at`. */
static int64_t broadcast_element(const int64_t *at, const int64_t *dims, uint32_t rank) {
  int64_t element = 0;
  for (uint32_t i = 0; i < rank; i++)
    element = element * dims[i] + (dims[i] == 1 ? 0 : at[i]);
  return element;
}

struct look {
  struct importer *im;
  const struct op *op;
  bool bind;
  uint32_t rank;                /* of the result */
  int64_t dims[IR_MAX_RANK];    /* of the result */
  int64_t at[IR_MAX_RANK];      /* coordinates of the element in it */
  int64_t operand[IR_MAX_RANK]; /* dims of operand 0 */
};

static struct fact operand_at(struct look *l, const int64_t *at) {
  uint32_t rank = value_type(l->im->function, l->op->operands[0])->rank;
  return import_fact(l->im, l->op->operands[0], ravel(at, l->operand, rank), l->bind);
}

static struct fact look_transpose(struct look *l) {
  const struct transpose_attrs *a = OP_ATTRS(transpose, l->op);
  int64_t at[IR_MAX_RANK] = {0};
  for (uint32_t i = 0; i < l->rank; i++)
    at[a->perm.data[i]] = l->at[i];
  return operand_at(l, at);
}

static struct fact look_broadcast(struct look *l) {
  return import_fact(l->im, l->op->operands[0], broadcast_element(l->at, l->operand, l->rank),
                     l->bind);
}

static struct fact look_slice(struct look *l) {
  const struct slice_attrs *a = OP_ATTRS(slice, l->op);
  int64_t at[IR_MAX_RANK];
  for (uint32_t i = 0; i < l->rank; i++) {
    int64_t start, step = i < a->step.len ? a->step.data[i] : 1;
    if (!dim_is_const(l->im->module->dims, a->start.data[i], &start))
      return unknown;
    at[i] = start + l->at[i] * step;
    if (at[i] < 0 || at[i] >= l->operand[i])
      return unknown;
  }
  return operand_at(l, at);
}

static struct fact look_pad(struct look *l) {
  const struct pad_attrs *a = OP_ATTRS(pad, l->op);
  int64_t at[IR_MAX_RANK];
  for (uint32_t i = 0; i < l->rank; i++) {
    int64_t low;
    if (!dim_is_const(l->im->module->dims, a->low.data[i], &low) ||
        (i < a->interior.len && a->interior.data[i]))
      return unknown;
    at[i] = l->at[i] - low;
    if (at[i] < 0 || at[i] >= l->operand[i])
      return import_fact(l->im, l->op->operands[1], 0, l->bind);
  }
  return operand_at(l, at);
}

static struct fact look_concat(struct look *l) {
  uint32_t axis = (uint32_t)OP_ATTRS(concat, l->op)->axis;
  for (uint32_t i = 0; i < l->op->n_operands; i++) {
    int64_t dims[IR_MAX_RANK];
    if (!static_dims(l->im, l->op->operands[i], dims))
      return unknown;
    if (l->at[axis] < dims[axis])
      return import_fact(l->im, l->op->operands[i], ravel(l->at, dims, l->rank), l->bind);
    l->at[axis] -= dims[axis];
  }
  return unknown;
}

static struct fact look_gather(struct look *l) {
  const struct gather_attrs *a = OP_ATTRS(gather, l->op);
  const struct function *f = l->im->function;
  uint32_t data_rank = value_type(f, l->op->operands[0])->rank;
  uint32_t index_rank = value_type(f, l->op->operands[1])->rank;
  bool indexed[IR_MAX_RANK] = {0};
  int64_t at[IR_MAX_RANK] = {0};
  for (uint32_t i = 0; i < a->axes.len; i++) {
    int64_t dims[IR_MAX_RANK], index;
    uint32_t axis = (uint32_t)a->axes.data[i];
    value_id v = l->op->operands[1 + i];
    if (!static_dims(l->im, v, dims))
      return unknown;
    struct fact x = import_fact(l->im, v, broadcast_element(l->at, dims, index_rank), false);
    if (!fact_is_int(l->im, x, &index) || index < 0 || index >= l->operand[axis])
      return unknown;
    at[axis] = index;
    indexed[axis] = true;
  }
  for (uint32_t i = 0, k = index_rank; i < data_rank; i++)
    if (!indexed[i])
      at[i] = l->at[k++];
  return operand_at(l, at);
}

/* Whether a body keeps its sense on symbols, so that binding its operands is better than binding
 * its result. */
static bool body_is_polynomial(const struct scalar_body *body) {
  for (uint32_t i = 0; i < body->len; i++) {
    enum scalar_op op = body->insts[i].op;
    bool plain = op == SCALAR_ARG || op == SCALAR_CONST || op == SCALAR_CAST || op == SCALAR_ADD ||
                 op == SCALAR_SUB || op == SCALAR_MUL || op == SCALAR_NEG;
    if (!plain || !dtype_is_signed(body->insts[i].dtype) || dtype_bits(body->insts[i].dtype) < 32)
      return false;
  }
  return true;
}

static struct fact look_map(struct look *l) {
  const struct scalar_body *body = OP_ATTRS(map, l->op)->body;
  bool bind = l->bind && body_is_polynomial(body);
  struct fact facts[96];
  if (body->len > 96)
    return unknown;
  for (uint32_t i = 0; i < body->len; i++) {
    const struct scalar_inst *inst = &body->insts[i];
    int64_t dims[IR_MAX_RANK];
    facts[i] = unknown;
    if (inst->op == SCALAR_ARG) {
      value_id v = l->op->operands[inst->args[0]];
      if (static_dims(l->im, v, dims))
        facts[i] = import_fact(l->im, v, broadcast_element(l->at, dims, l->rank), bind);
    } else if (inst->op == SCALAR_CONST) {
      facts[i] =
          dtype_is_float(inst->dtype) ? fact_float(inst->imm.f64) : fact_int(l->im, inst->imm.i64);
    } else if (inst->op == SCALAR_CAST) {
      facts[i] = cast_fact(l->im, inst->dtype, facts[inst->args[0]]);
    } else {
      uint32_t arity = scalar_infos[inst->op].arity;
      facts[i] =
          scalar_fact(l->im, inst, facts[inst->args[0]], arity > 1 ? facts[inst->args[1]] : unknown,
                      arity > 2 ? facts[inst->args[2]] : unknown);
    }
  }
  return body->len ? facts[body->len - 1] : unknown;
}

static enum scalar_op combiner_op(enum combiner kind) {
  switch (kind) {
  case COMBINER_SUM: return SCALAR_ADD;
  case COMBINER_PROD: return SCALAR_MUL;
  case COMBINER_MAX: return SCALAR_MAX;
  case COMBINER_MIN: return SCALAR_MIN;
  case COMBINER_AND: return SCALAR_AND;
  case COMBINER_OR: return SCALAR_OR;
  default: return SCALAR_ARG;
  }
}

static struct fact look_reduce(struct look *l) {
  const struct reduce_attrs *a = OP_ATTRS(reduce, l->op);
  enum dtype dtype = value_type(l->im->function, l->op->operands[0])->dtype;
  struct scalar_inst inst = {.op = combiner_op(a->kind), .dtype = dtype};
  int64_t count = 1, extent[IR_MAX_RANK];
  for (uint32_t i = 0; i < l->rank; i++)
    extent[i] = 1;
  for (uint32_t i = 0; i < a->axes.len; i++) {
    extent[a->axes.data[i]] = l->operand[a->axes.data[i]];
    if (__builtin_mul_overflow(count, extent[a->axes.data[i]], &count) || count > IMPORT_MAX_LIST)
      return unknown;
  }
  bool exact =
      !dtype_is_float(dtype) || count == 1 || a->kind == COMBINER_MAX || a->kind == COMBINER_MIN;
  if (inst.op == SCALAR_ARG || !exact || (dtype_is_float(dtype) && count == 0))
    return unknown;
  struct fact sum = count                      ? unknown
                    : a->kind == COMBINER_SUM  ? fact_int(l->im, 0)
                    : a->kind == COMBINER_PROD ? fact_int(l->im, 1)
                                               : unknown;
  for (int64_t i = 0; i < count; i++) {
    int64_t at[IR_MAX_RANK];
    unravel(i, extent, l->rank, at);
    for (uint32_t j = 0; j < l->rank; j++)
      at[j] += extent[j] == 1 ? l->at[j] : 0;
    struct fact x = import_fact(l->im, l->op->operands[0], ravel(at, l->operand, l->rank), false);
    sum = i == 0 ? x : scalar_fact(l->im, &inst, sum, x, unknown);
    if (sum.kind == FACT_UNKNOWN)
      return unknown;
  }
  return sum;
}

static struct fact look(struct look *l) {
  struct importer *im = l->im;
  switch (l->op->kind) {
  case OP_TRANSPOSE: return look_transpose(l);
  case OP_BROADCAST: return look_broadcast(l);
  case OP_SLICE: return look_slice(l);
  case OP_PAD: return look_pad(l);
  case OP_CONCAT: return look_concat(l);
  case OP_GATHER: return look_gather(l);
  case OP_MAP: return look_map(l);
  case OP_REDUCE: return look_reduce(l);
  case OP_IOTA: {
    const struct iota_attrs *a = OP_ATTRS(iota, l->op);
    int64_t x = l->at[a->axis];
    return dtype_is_float(a->type->dtype) ? fact_float((double)x) : fact_int(im, x);
  }
  default: return unknown;
  }
}

static struct fact derive(struct importer *im, value_id v, int64_t element, bool bind) {
  const struct op *def = value_def(im->function, v);
  if (!def || function_value(im->function, v)->index != 0)
    return unknown;
  const struct op copy = *def, *op = &copy; /* binding symbols adds ops, which moves the table */
  switch (op->kind) {
  case OP_CONST:
    return constant_fact(im, &im->module->constants.data[OP_ATTRS(const, op)->value], element);
  case OP_DIMS: return fact_dim(OP_ATTRS(dims, op)->dims.data[element]);
  case OP_RESHAPE: return import_fact(im, op->operands[0], element, bind);
  default: break;
  }
  struct look l = {.im = im, .op = op, .bind = bind, .rank = value_type(im->function, v)->rank};
  if (!static_dims(im, v, l.dims) ||
      (op->n_operands && !static_dims(im, op->operands[0], l.operand)))
    return unknown;
  unravel(element, l.dims, l.rank, l.at);
  return look(&l);
}

/* The symbol op goes to the end of the region that defines the value, where all later code, inner
 * regions included, can rely on it. */
static struct fact bind_symbol(struct importer *im, value_id v, int64_t element) {
  struct builder *b = &im->builder;
  dim symbol = dim_fresh(im->module->dims, "n", DIM_UNBOUNDED_LO, DIM_UNBOUNDED_HI);
  region_id region = b->region;
  b->region = function_value(im->function, v)->region;
  build_symbol(b, v, element, symbol);
  b->region = region;
  im->symbols_bound++;
  return fact_dim(symbol);
}

static void remember(struct importer *im, uint64_t key, struct fact f) {
  uint64_t slot;
  f.generation = im->symbols_bound;
  if (map_get(&im->facts, key, &slot)) {
    im->fact_list.data[slot] = f;
    return;
  }
  map_put(&im->facts, key, im->fact_list.len);
  vec_push(&im->fact_list, f);
}

struct fact import_fact(struct importer *im, value_id v, int64_t element, bool bind) {
  uint64_t key = (uint64_t)v << 32 | (uint64_t)element, slot;
  if (v == VALUE_NONE || element < 0 || element > UINT32_MAX)
    return unknown;
  if (map_get(&im->facts, key, &slot)) {
    struct fact f = im->fact_list.data[slot];
    if (f.kind != FACT_UNKNOWN || (!bind && f.generation == im->symbols_bound))
      return f;
  }
  if (im->fact_depth >= IMPORT_FACT_DEPTH || im->fact_steps >= IMPORT_MAX_FACTS)
    return unknown;
  im->fact_steps++;
  im->fact_depth++;
  struct fact f = derive(im, v, element, bind);
  im->fact_depth--;
  enum dtype dtype = value_type(im->function, v)->dtype;
  if (f.kind == FACT_UNKNOWN && bind && dtype_is_int(dtype))
    f = bind_symbol(im, v, element);
  remember(im, key, f);
  return f;
}
