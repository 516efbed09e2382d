/* SPDX-License-Identifier: Apache-2.0 */
/* Random scalar bodies: a tree of operations grown from the result down. */
#include "ir/random_build.h"

struct body_gen {
  struct random_gen *g;
  struct body_builder s;
  const enum dtype *dtypes;
  uint32_t n;
  uint32_t made[96]; /* by instruction: reused at times, so that trees share */
  uint32_t n_made;
};

static uint32_t grow(struct body_gen *b, enum dtype dtype, uint32_t depth);

static bool is_bool(enum dtype t) { return t == DTYPE_BOOL; }

static uint32_t literal(struct body_gen *b, enum dtype dtype) {
  struct random_gen *g = b->g;
  /* One call a statement: the order of operands' evaluation is the compiler's. */
  double part = random_chance(g, 50) ? 8 : 10;
  if (dtype_is_float(dtype))
    return body_f64(&b->s, dtype, (double)random_range(g, -40, 40) / part);
  return body_i64(&b->s, dtype, is_bool(dtype) ? random_range(g, 0, 1) : random_range(g, -9, 99));
}

/* An operand of that dtype, cast to it where there is none of it; or a literal. */
static uint32_t leaf(struct body_gen *b, enum dtype dtype) {
  if (b->n == 0 || random_chance(b->g, 25))
    return literal(b, dtype);
  uint32_t i = random_below(b->g, b->n);
  for (uint32_t tries = 0; tries < b->n && b->dtypes[i] != dtype; tries++)
    i = (i + 1) % b->n;
  uint32_t arg = body_arg(&b->s, i, b->dtypes[i]);
  return body_cast(&b->s, arg, dtype, CAST_DEFAULT);
}

static bool takes(const struct scalar_info *info, enum dtype t) {
  switch ((enum scalar_operands)info->operands) {
  case SCALAR_OPERANDS_NUM: return random_is_number(t);
  case SCALAR_OPERANDS_FLT: return dtype_is_float(t);
  case SCALAR_OPERANDS_INT: return dtype_is_int(t);
  case SCALAR_OPERANDS_LOG: return is_bool(t);
  case SCALAR_OPERANDS_BIT: return dtype_is_int(t) || is_bool(t);
  case SCALAR_OPERANDS_ANY:
  case SCALAR_OPERANDS_ALL: return true;
  }
  return false;
}

static bool is_inexact(enum scalar_op op) {
  return op == SCALAR_POW || (op >= SCALAR_EXP && op <= SCALAR_ATANH);
}

/* One inexact operation. */
static uint32_t inexact(struct body_gen *b) {
  struct random_gen *g = b->g;
  uint32_t i = random_below(g, SCALAR_ATANH - SCALAR_EXP + 2);
  enum scalar_op op = i ? (enum scalar_op)(SCALAR_EXP + i - 1) : SCALAR_POW;
  enum dtype dtype = random_dtype(g, random_is_float);
  uint32_t x = leaf(b, dtype), y = scalar_infos[op].arity > 1 ? leaf(b, dtype) : 0;
  return body_op(&b->s, op, x, y, 0);
}

static uint32_t operation(struct body_gen *b, enum dtype dtype, uint32_t depth) {
  struct random_gen *g = b->g;
  enum scalar_op op = (enum scalar_op)random_range(g, SCALAR_CAST + 1, SCALAR_OP_COUNT - 1);
  const struct scalar_info *info = &scalar_infos[op];
  enum dtype operand = dtype;
  if (op == SCALAR_SELECT) {
    uint32_t c = grow(b, DTYPE_BOOL, depth + 1);
    uint32_t yes = grow(b, dtype, depth + 1);
    uint32_t no = grow(b, dtype, depth + 1);
    return body_op(&b->s, op, c, yes, no);
  }
  if (info->result_bool) {
    if (!is_bool(dtype))
      return grow(b, dtype, depth + 1);
    operand = random_dtype(g, NULL);
  }
  if (!takes(info, operand) || (b->g->options->exact_bodies && is_inexact(op)))
    return grow(b, dtype, depth + 1);
  uint32_t x = grow(b, operand, depth + 1);
  uint32_t y = info->arity > 1 ? grow(b, operand, depth + 1) : 0;
  return body_op(&b->s, op, x, y, 0);
}

static uint32_t grow(struct body_gen *b, enum dtype dtype, uint32_t depth) {
  for (uint32_t i = 0; b->n_made && i < 2; i++) {
    uint32_t old = b->made[random_below(b->g, b->n_made)];
    if (b->s.insts[old].dtype == dtype && random_chance(b->g, 25))
      return old;
  }
  if (depth > 3 || b->s.len > 40)
    return leaf(b, dtype);
  uint32_t x = operation(b, dtype, depth);
  if (!b->s.overflow && b->n_made < 96)
    b->made[b->n_made++] = x;
  return x;
}

const struct scalar_body *random_body(struct random_gen *g, const enum dtype *dtypes, uint32_t n) {
  for (;;) {
    struct body_gen b = {.g = g, .dtypes = dtypes, .n = n};
    body_init(&b.s, n);
    uint32_t result = g->options->exact_bodies && random_chance(g, 20)
                          ? inexact(&b)
                          : grow(&b, random_dtype(g, NULL), 0);
    b.s.len = b.s.overflow ? b.s.len : result + 1;
    const struct scalar_body *body = body_finish(&b.s, g->m);
    if (body)
      return body;
  }
}
