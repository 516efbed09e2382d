/* SPDX-License-Identifier: Apache-2.0 */
/* Scalar bodies: the table of scalar operations, writing bodies down, their types, normal form and
 * interning. */
#include "base/hash.h"
#include "base/str.h"
#include "ir/graph.h"

#include <math.h>
#include <string.h>

#define RESULT_SAME false
#define RESULT_BOOL true

const struct scalar_info scalar_infos[SCALAR_OP_COUNT] = {
    [SCALAR_ARG] = {"arg", 0, 0, false, SCALAR_OPERANDS_ANY},
    [SCALAR_CONST] = {"const", 0, 0, false, SCALAR_OPERANDS_ANY},
    [SCALAR_CAST] = {"cast", 1, 1, false, SCALAR_OPERANDS_ANY},
#define SCALAR(E, text, arity, operands, result, cost)                                             \
  [SCALAR_##E] = {#text, arity, cost, RESULT_##result, SCALAR_OPERANDS_##operands},
#include "ir/scalar.def"
#undef SCALAR
};

int64_t scalar_literal_i64(enum dtype dtype, int64_t x) {
  unsigned bits = dtype_bits(dtype);
  if (dtype_kind(dtype) == DTYPE_KIND_BOOL)
    return x != 0;
  if (bits == 0 || bits >= 64)
    return x;
  uint64_t low = (uint64_t)x & ((UINT64_C(1) << bits) - 1);
  if (dtype_is_signed(dtype) && low >> (bits - 1))
    low |= ~UINT64_C(0) << bits;
  return (int64_t)low;
}

double scalar_literal_f64(enum dtype dtype, double x) {
  if (isnan(x))
    return (double)NAN;
  return dtype_compute(dtype) == DTYPE_F32 ? (double)(float)x : x;
}

/* ---- writing a body down ---- */

void body_init(struct body_builder *s, uint32_t n_args) {
  s->n_args = n_args;
  s->len = 0;
  s->overflow = false;
}

static uint32_t body_add(struct body_builder *s, const struct scalar_inst *inst) {
  if (s->len == sizeof s->insts / sizeof *s->insts) {
    s->overflow = true;
    return 0;
  }
  s->insts[s->len] = *inst;
  return s->len++;
}

uint32_t body_arg(struct body_builder *s, uint32_t i, enum dtype dtype) {
  return body_add(s, &(struct scalar_inst){.op = SCALAR_ARG, .dtype = dtype, .args = {i}});
}

uint32_t body_i64(struct body_builder *s, enum dtype dtype, int64_t x) {
  if (dtype_is_float(dtype))
    return body_f64(s, dtype, (double)x);
  return body_add(s, &(struct scalar_inst){.op = SCALAR_CONST,
                                           .dtype = dtype,
                                           .imm.i64 = scalar_literal_i64(dtype, x)});
}

/* To an integer dtype as a cast does: towards zero, NaN to 0, saturating at i64. */
static int64_t f64_to_i64(double x) {
  if (isnan(x))
    return 0;
  if (x >= 0x1p63)
    return INT64_MAX;
  return x < -0x1p63 ? INT64_MIN : (int64_t)x;
}

uint32_t body_f64(struct body_builder *s, enum dtype dtype, double x) {
  if (!dtype_is_float(dtype))
    return body_i64(s, dtype, f64_to_i64(x));
  return body_add(s, &(struct scalar_inst){.op = SCALAR_CONST,
                                           .dtype = dtype,
                                           .imm.f64 = scalar_literal_f64(dtype, x)});
}

uint32_t body_cast(struct body_builder *s, uint32_t x, enum dtype dtype, enum cast_mode mode) {
  if (x < s->len && s->insts[x].dtype == dtype && mode == CAST_DEFAULT)
    return x;
  return body_add(
      s, &(struct scalar_inst){.op = SCALAR_CAST, .dtype = dtype, .args = {x}, .mode = mode});
}

uint32_t body_op(struct body_builder *s, enum scalar_op op, uint32_t x, uint32_t y, uint32_t z) {
  const uint32_t args[3] = {x, y, z};
  struct scalar_inst inst = {.op = op};
  for (uint32_t i = 0; i < scalar_infos[op].arity; i++) {
    if (args[i] >= s->len)
      s->overflow = true;
    else
      inst.args[i] = args[i];
  }
  if (s->overflow)
    return 0;
  inst.dtype = scalar_infos[op].result_bool ? DTYPE_BOOL
               : op == SCALAR_SELECT        ? s->insts[y].dtype
                                            : s->insts[x].dtype;
  return body_add(s, &inst);
}

/* ---- types ---- */

static bool operand_allowed(enum scalar_operands kind, enum dtype t) {
  bool is_bool = dtype_kind(t) == DTYPE_KIND_BOOL;
  switch (kind) {
  case SCALAR_OPERANDS_NUM: return dtype_is_float(t) || dtype_is_int(t);
  case SCALAR_OPERANDS_FLT: return dtype_is_float(t);
  case SCALAR_OPERANDS_INT: return dtype_is_int(t);
  case SCALAR_OPERANDS_LOG: return is_bool;
  case SCALAR_OPERANDS_BIT: return dtype_is_int(t) || is_bool;
  case SCALAR_OPERANDS_ANY: return t != DTYPE_STRING;
  case SCALAR_OPERANDS_ALL: return true;
  }
  return false;
}

static bool check_cast(const struct scalar_inst *inst, struct strbuf *why) {
  bool f8 = dtype_is_float(inst->dtype) && dtype_bits(inst->dtype) == 8;
  bool e8m0 = inst->dtype == DTYPE_F8E8M0;
  bool fits = inst->mode == CAST_DEFAULT || (inst->mode == CAST_NO_SATURATE && f8) ||
              ((inst->mode == CAST_UP || inst->mode == CAST_DOWN) && e8m0);
  if (!fits)
    strbuf_printf(why, "a cast to %s does not take that mode", dtype_name(inst->dtype));
  return fits;
}

static bool check_args(const struct scalar_body *body, const struct scalar_inst *inst,
                       struct strbuf *why) {
  const struct scalar_info *info = &scalar_infos[inst->op];
  uint32_t first = inst->op == SCALAR_SELECT ? 1 : 0;
  if (first && body->insts[inst->args[0]].dtype != DTYPE_BOOL) {
    strbuf_append_c(why, "the condition of select is not bool");
    return false;
  }
  enum dtype dtype = body->insts[inst->args[first]].dtype;
  for (uint32_t i = first; i < info->arity; i++) {
    enum dtype other = body->insts[inst->args[i]].dtype;
    if (other != dtype) {
      strbuf_printf(why, "%s of %s and %s", info->name, dtype_name(dtype), dtype_name(other));
      return false;
    }
  }
  if (!operand_allowed(info->operands, dtype)) {
    strbuf_printf(why, "%s does not take %s", info->name, dtype_name(dtype));
    return false;
  }
  enum dtype result = info->result_bool ? DTYPE_BOOL : dtype;
  if (inst->op != SCALAR_CAST && inst->dtype != result) {
    strbuf_printf(why, "%s of %s gives %s, not %s", info->name, dtype_name(dtype),
                  dtype_name(result), dtype_name(inst->dtype));
    return false;
  }
  return inst->op != SCALAR_CAST || check_cast(inst, why);
}

static bool check_inst(const struct scalar_body *body, uint32_t i, struct strbuf *why) {
  const struct scalar_inst *inst = &body->insts[i];
  if ((unsigned)inst->op >= SCALAR_OP_COUNT || (unsigned)inst->dtype >= DTYPE_COUNT ||
      (inst->dtype == DTYPE_STRING && inst->op != SCALAR_ARG && inst->op != SCALAR_SELECT)) {
    strbuf_printf(why, "instruction %u is not one", i);
    return false;
  }
  if (inst->op == SCALAR_ARG) {
    if (inst->args[0] < body->n_args)
      return true;
    strbuf_printf(why, "$%u of %u operands", inst->args[0], body->n_args);
    return false;
  }
  for (uint32_t k = 0; k < scalar_infos[inst->op].arity; k++) {
    if (inst->args[k] >= i) {
      strbuf_printf(why, "instruction %u uses a later one", i);
      return false;
    }
  }
  return inst->op == SCALAR_CONST || check_args(body, inst, why);
}

bool scalar_body_check(const struct scalar_body *body, struct strbuf *why) {
  if (!body || body->len == 0) {
    strbuf_append_c(why, "no scalar body, or one that is not well-typed or too long");
    return false;
  }
  for (uint32_t i = 0; i < body->len; i++) {
    if (!check_inst(body, i, why))
      return false;
  }
  return true;
}

/* ---- normal form ---- */

struct normalizer {
  const struct scalar_inst *from;
  struct scalar_inst *to;
  uint32_t *number; /* per old instruction: its new number + 1 */
  uint32_t len;
};

static uint32_t normal_add(struct normalizer *n, const struct scalar_inst *inst) {
  for (uint32_t i = 0; i < n->len; i++) {
    if (!memcmp(&n->to[i], inst, sizeof *inst))
      return i;
  }
  n->to[n->len] = *inst;
  return n->len++;
}

/* Depth is bounded by the operands-before-users order and the length of a body builder. */
static uint32_t normal_visit(struct normalizer *n, uint32_t i) {
  if (n->number[i])
    return n->number[i] - 1;
  const struct scalar_inst *from = &n->from[i];
  struct scalar_inst inst = {.op = from->op, .dtype = from->dtype};
  if (from->op == SCALAR_ARG)
    inst.args[0] = from->args[0];
  else if (from->op == SCALAR_CONST)
    inst.imm = from->imm;
  else if (from->op == SCALAR_CAST)
    inst.mode = from->mode;
  for (uint32_t k = 0; k < scalar_infos[from->op].arity; k++)
    inst.args[k] = normal_visit(n, from->args[k]);
  uint32_t to = normal_add(n, &inst);
  n->number[i] = to + 1;
  return to;
}

static const struct scalar_body *body_find_or_add(struct module *m, const struct scalar_inst *insts,
                                                  uint32_t len, uint32_t n_args) {
  uint64_t key = hash_bytes(insts, len * sizeof *insts, n_args), number;
  for (; map_get(&m->body_index, key, &number); key++) {
    const struct scalar_body *old = m->bodies.data[number];
    if (old->len == len && old->n_args == n_args && !memcmp(old->insts, insts, len * sizeof *insts))
      return old;
  }
  struct scalar_body *body = ARENA_NEW(&m->arena, struct scalar_body);
  body->n_args = n_args;
  body->len = len;
  body->insts = arena_memdup(&m->arena, insts, len * sizeof *insts);
  map_put(&m->body_index, key, m->bodies.len);
  vec_push(&m->bodies, body);
  return body;
}

const struct scalar_body *scalar_body_intern(struct module *m, const struct scalar_body *body) {
  struct strbuf why = {0};
  bool sound = scalar_body_check(body, &why);
  strbuf_deinit(&why);
  if (!sound)
    return NULL;
  struct arena scratch = {0};
  struct normalizer n = {.from = body->insts,
                         .to = ARENA_ARRAY(&scratch, struct scalar_inst, body->len),
                         .number = ARENA_ARRAY(&scratch, uint32_t, body->len)};
  normal_visit(&n, body->len - 1);
  const struct scalar_body *result = body_find_or_add(m, n.to, n.len, body->n_args);
  arena_deinit(&scratch);
  return result;
}

const struct scalar_body *body_finish(struct body_builder *s, struct module *m) {
  if (s->overflow)
    return NULL;
  return scalar_body_intern(
      m, &(struct scalar_body){.n_args = s->n_args, .len = s->len, .insts = s->insts});
}
