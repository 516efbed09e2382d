/* SPDX-License-Identifier: Apache-2.0 */
/* From the parts of an attention to the op; see recognise_attention.c. */
#include "passes/attention_parts.h"

#include <math.h>
#include <string.h>

#include "passes/pattern.h"

void parts_init(struct parts *p, struct rewriter *w, struct affines *a, const struct op *pv,
                uint32_t p_side) {
  *p = (struct parts){.w = w, .affines = a, .pv = pv, .p_side = p_side, .factor = 1};
}

bool parts_add_bias(struct parts *p, value_id v) {
  if (p->n_biases == MAX_BIASES || !dtype_is_float(value_type(p->w->f, v)->dtype))
    return false;
  p->biases[p->n_biases++] = (struct bias_part){.value = v, .factor = p->factor};
  return true;
}

bool parts_add_mask(struct parts *p, value_id mask, bool keep_where_true, double low) {
  if (p->n_biases == MAX_BIASES)
    return false;
  p->biases[p->n_biases++] = (struct bias_part){
      .value = mask, .factor = 1, .is_mask = true, .keep_where_true = keep_where_true, .low = low};
  return true;
}

/* Scores [b, h, s, t] tell how batch and heads part where a contract has them as one. */
static void note_heads(struct parts *p, const struct type *type) {
  if (type->rank != 4 || p->has_heads)
    return;
  p->has_heads = true;
  p->batch = type->dims[0];
  p->heads = type->dims[1];
}

/* The last two dims stay. */
bool parts_note_view(struct parts *p, value_id v) {
  const struct type *to = value_type(p->w->f, v);
  const struct type *from = value_type(p->w->f, value_def(p->w->f, v)->operands[0]);
  if (from->rank < 2 || to->rank < 2 || to->rank > 4 || from->rank > 4 ||
      !dims_known_eq(p->w->dims, from->dims + from->rank - 2, to->dims + to->rank - 2, 2))
    return false;
  note_heads(p, to);
  note_heads(p, from);
  return true;
}

/* ---- operands of contracts ---- */

/* A contract's operand with its axes named: batch, then the free one, then the contracted one. */
struct matrix {
  value_id value;
  uint32_t n_batch;
  int64_t perm[IR_MAX_RANK];
};

static bool matrix_of(const struct function *f, const struct op *contract, uint32_t side,
                      struct matrix *m) {
  const struct contract_attrs *a = OP_ATTRS(contract, contract);
  struct ints batch = side ? a->rhs_batch : a->lhs_batch, k = side ? a->rhs_k : a->lhs_k;
  uint32_t rank = value_type(f, contract->operands[side])->rank, used = 0;
  if (batch.len > 2 || k.len != 1 || rank != batch.len + 2)
    return false;
  m->value = contract->operands[side];
  m->n_batch = batch.len;
  for (uint32_t i = 0; i < batch.len; i++) {
    m->perm[i] = batch.data[i];
    used |= 1u << batch.data[i];
  }
  used |= 1u << k.data[0];
  for (uint32_t i = 0; i < rank; i++) {
    if (!(used >> i & 1))
      m->perm[batch.len] = i;
  }
  m->perm[batch.len + 1] = k.data[0];
  return true;
}

/* The scale of a map over the whole operand is a scale of the scores. */
static void peel_scale(struct parts *p, struct matrix *m) {
  const struct op *op = def_of_kind(p->w->f, m->value, OP_MAP);
  if (!op || op->n_operands != 1)
    return;
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  const struct scalar_inst *last = &body->insts[body->len - 1];
  if (body->len != 3 || (last->op != SCALAR_MUL && last->op != SCALAR_DIV))
    return;
  const struct scalar_inst *x = &body->insts[last->args[0]], *c = &body->insts[last->args[1]];
  if (x->op != SCALAR_ARG && last->op == SCALAR_MUL) {
    const struct scalar_inst *t = x;
    x = c;
    c = t;
  }
  if (x->op != SCALAR_ARG || c->op != SCALAR_CONST || !dtype_is_float(c->dtype) ||
      !isfinite(c->imm.f64) || c->imm.f64 == 0)
    return;
  p->factor = last->op == SCALAR_MUL ? p->factor * c->imm.f64 : p->factor / c->imm.f64;
  m->value = op->operands[0];
}

/* [b, h, a, c] in that order; one batch dim is split as the scores were, or is heads of one batch.
 */
static value_id as_four(struct parts *p, const struct matrix *m) {
  struct rewriter *w = p->w;
  value_id v = build_transpose(&w->b, m->value, m->perm);
  if (m->n_batch == 2 || v == VALUE_NONE)
    return v;
  const struct type type = *value_type(w->f, v);
  dim one = dim_const(w->dims, 1);
  dim dims[4] = {one, m->n_batch ? type.dims[0] : one, type.dims[type.rank - 2],
                 type.dims[type.rank - 1]};
  if (m->n_batch && p->has_heads) {
    if (!dim_known_eq(w->dims, dim_mul(w->dims, p->batch, p->heads), type.dims[0]))
      return VALUE_NONE;
    dims[0] = p->batch;
    dims[1] = p->heads;
  }
  return build_reshape(&w->b, v, dims, 4);
}

/* Heads that are repeated for the query heads of a group, seen through the views in between:
 *
 *     reshape (broadcast (reshape %x : [b, g, 1, t, d]) : [b, g, r, t, d]) : [b, g * r, t, d]  =>
 * %x
 *
 * v has the heads at dim 1. */
static value_id behind_repeat(struct parts *p, value_id v) {
  struct rewriter *w = p->w;
  const struct op *merge = def_of_kind(w->f, v, OP_RESHAPE);
  const struct op *repeat = merge ? def_of_kind(w->f, merge->operands[0], OP_BROADCAST) : NULL;
  if (!repeat)
    return v;
  const struct type from = *value_type(w->f, repeat->operands[0]);
  const struct type wide = *value_type(w->f, repeat->results[0]);
  const struct type to = *value_type(w->f, v);
  if (wide.rank != 5 || to.rank != 4 || !dim_is_one(w->dims, from.dims[2]) ||
      !dim_known_eq(w->dims, dim_mul(w->dims, wide.dims[1], wide.dims[2]), to.dims[1]))
    return v;
  dim dims[4] = {from.dims[0], from.dims[1], from.dims[3], from.dims[4]};
  const dim kept[4] = {wide.dims[0], wide.dims[1], wide.dims[3], wide.dims[4]};
  const dim around[3] = {to.dims[0], to.dims[2], to.dims[3]},
            inside[3] = {dims[0], dims[2], dims[3]};
  if (!dims_known_eq(w->dims, dims, kept, 4) || !dims_known_eq(w->dims, around, inside, 3))
    return v;
  return build_reshape(&w->b, repeat->operands[0], dims, 4);
}

/* Looks for the repeat below a last transpose of the two inner dims, and puts that back. */
static value_id kv_heads(struct parts *p, const struct matrix *m) {
  bool in_order = true;
  for (uint32_t i = 0; i < m->n_batch; i++)
    in_order &= m->perm[i] == i;
  if (!in_order || m->n_batch != 2)
    return as_four(p, m);
  struct matrix plain = *m;
  const struct op *t = def_of_kind(p->w->f, m->value, OP_TRANSPOSE);
  if (t && OP_ATTRS(transpose, t)->perm.data[0] == 0 && OP_ATTRS(transpose, t)->perm.data[1] == 1) {
    for (uint32_t i = 0; i < 4; i++)
      plain.perm[i] = OP_ATTRS(transpose, t)->perm.data[m->perm[i]];
    plain.value = t->operands[0];
  }
  value_id v = behind_repeat(p, plain.value);
  if (v == plain.value)
    return as_four(p, m);
  plain.value = v;
  return as_four(p, &plain);
}

/* ---- biases ---- */

/* [b|1, h|1, s|1, t|1] for scores of those dims; VALUE_NONE where it is something else. */
static value_id bias_as_four(struct parts *p, value_id v, const dim *scores) {
  struct rewriter *w = p->w;
  const struct type type = *value_type(w->f, v);
  dim one = dim_const(w->dims, 1), dims[4] = {one, one, one, one};
  if (type.rank > 4 || type.rank < 1)
    return VALUE_NONE;
  for (uint32_t i = 0; i < type.rank; i++)
    dims[4 - type.rank + i] = type.dims[i];
  if (type.rank == 3 && p->has_heads && !dim_is_one(w->dims, type.dims[0])) {
    dims[0] = p->batch; /* batch and heads as one */
    dims[1] = p->heads;
    if (!dim_known_eq(w->dims, dim_mul(w->dims, p->batch, p->heads), type.dims[0]))
      return VALUE_NONE;
  }
  for (uint32_t i = 0; i < 4; i++) {
    if (!dim_is_one(w->dims, dims[i]) && !dim_known_eq(w->dims, dims[i], scores[i]))
      return VALUE_NONE;
  }
  return build_reshape(&w->b, v, dims, 4);
}

/* select(mask, 0, low), or the other way round. */
static value_id mask_to_bias(struct parts *p, const struct bias_part *part, enum dtype dtype) {
  struct body_builder s;
  body_init(&s, 1);
  uint32_t mask = body_arg(&s, 0, DTYPE_BOOL);
  uint32_t zero = body_f64(&s, dtype, 0), low = body_f64(&s, dtype, part->low);
  body_op(&s, SCALAR_SELECT, mask, part->keep_where_true ? zero : low,
          part->keep_where_true ? low : zero);
  return build_map(&p->w->b, &part->value, 1, body_finish(&s, p->w->f->module));
}

static value_id bias_value(struct parts *p, const struct bias_part *part, enum dtype dtype) {
  if (part->is_mask)
    return mask_to_bias(p, part, dtype);
  return part->factor == 1 ? part->value
                           : build_binary_f64(&p->w->b, SCALAR_MUL, part->value, part->factor);
}

/* ---- causal masks ---- */

/* What a comparison of positions asks of query i and key j. */
struct causality {
  bool causal;
  int64_t window; /* 0: none */
};

/* d = base + i_factor * i + j_factor * j must be <= 0. With key positions j and query positions
 * i + t - s: j - i + base <= 0 is causal for base = s - t; i - j + base <= 0 is a window. */
static bool read_bound(struct parts *p, dim base, dim i_factor, dim j_factor, const dim *scores,
                       struct causality *c) {
  struct dim_table *t = p->w->dims;
  dim offset = dim_sub(t, scores[3], scores[2]);
  if (dim_is_const_value(t, j_factor, 1) && dim_is_const_value(t, i_factor, -1)) {
    c->causal = true;
    return dim_known_eq(t, base, dim_neg(t, offset));
  }
  int64_t window;
  if (!dim_is_const_value(t, j_factor, -1) || !dim_is_const_value(t, i_factor, 1) ||
      !dim_is_const(t, dim_add(t, dim_sub(t, offset, base), dim_const(t, 1)), &window) ||
      window < 1)
    return false;
  c->window = c->window && c->window < window ? c->window : window;
  return true;
}

static bool read_comparison(struct parts *p, const struct op *map, const struct scalar_inst *inst,
                            const dim *scores, struct causality *c) {
  struct dim_table *t = p->w->dims;
  struct affine a = affine_of_inst(p->affines, map, inst->args[0]);
  struct affine b = affine_of_inst(p->affines, map, inst->args[1]);
  uint32_t rank = value_type(p->w->f, map->results[0])->rank;
  bool swapped = inst->op == SCALAR_GE || inst->op == SCALAR_GT;
  bool strict = inst->op == SCALAR_LT || inst->op == SCALAR_GT;
  if (!a.known || !b.known || rank < 2)
    return false;
  if (swapped) {
    struct affine x = a;
    a = b;
    b = x;
  }
  for (uint32_t i = 0; i + 2 < rank; i++) {
    if (!dim_known_eq(t, a.stride[i], b.stride[i]))
      return false;
  }
  dim base = dim_add(t, dim_sub(t, a.base, b.base), dim_const(t, strict));
  return read_bound(p, base, dim_sub(t, a.stride[rank - 2], b.stride[rank - 2]),
                    dim_sub(t, a.stride[rank - 1], b.stride[rank - 1]), scores, c);
}

/* Instruction i of a map of bools: nothing but comparisons of positions, joined by and. */
static bool read_inst(struct parts *p, const struct op *map, uint32_t i, const dim *scores,
                      struct causality *c, uint32_t depth) {
  const struct scalar_inst *inst = &OP_ATTRS(map, map)->body->insts[i];
  if (depth > 16)
    return false;
  switch (inst->op) {
  case SCALAR_AND:
    return read_inst(p, map, inst->args[0], scores, c, depth + 1) &&
           read_inst(p, map, inst->args[1], scores, c, depth + 1);
  case SCALAR_LE:
  case SCALAR_LT:
  case SCALAR_GE:
  case SCALAR_GT: return read_comparison(p, map, inst, scores, c);
  case SCALAR_ARG: {
    /* Views that move 1s only keep the last two dims where they are. */
    value_id v = map->operands[inst->args[0]];
    const struct op *op = value_def(p->w->f, v);
    for (; op && op->kind == OP_RESHAPE; op = value_def(p->w->f, v)) {
      const struct type *to = value_type(p->w->f, v), *from = value_type(p->w->f, op->operands[0]);
      if (from->rank < 2 ||
          !dims_known_eq(p->w->dims, from->dims + from->rank - 2, to->dims + to->rank - 2, 2))
        return false;
      v = op->operands[0];
    }
    return op && op->kind == OP_MAP &&
           read_inst(p, op, OP_ATTRS(map, op)->body->len - 1, scores, c, depth + 1);
  }
  default: return false;
  }
}

/* Whether a bias is a mask of positions and nothing more, so that every row keeps its own key. */
static bool read_causal(struct parts *p, const struct bias_part *part, const dim *scores,
                        struct causality *c) {
  const struct op *op;
  value_id v = part->value;
  uint32_t last;
  while ((op = def_of_kind(p->w->f, v, OP_RESHAPE)) != NULL)
    v = op->operands[0];
  op = def_of_kind(p->w->f, v, OP_MAP);
  if (!op || value_type(p->w->f, v)->rank < 2 ||
      !dims_known_eq(p->w->dims, value_type(p->w->f, v)->dims + value_type(p->w->f, v)->rank - 2,
                     scores + 2, 2))
    return false;
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  last = body->len - 1;
  if (part->is_mask && !part->keep_where_true)
    return false;
  if (!part->is_mask) {
    const struct scalar_inst *s = &body->insts[last];
    if (s->op != SCALAR_SELECT)
      return false;
    const struct scalar_inst *on = &body->insts[s->args[1]], *off = &body->insts[s->args[2]];
    if (on->op != SCALAR_CONST || on->imm.f64 != 0 || off->op != SCALAR_CONST ||
        !(off->imm.f64 <= -1e30))
      return false;
    last = s->args[0];
  }
  struct causality found = *c;
  if (!read_inst(p, op, last, scores, &found, 0))
    return false;
  *c = found;
  return true;
}

/* ---- the op ---- */

bool parts_take_scores(struct parts *p, value_id v) {
  const struct op *op = value_def(p->w->f, v);
  note_heads(p, value_type(p->w->f, v));
  p->scores = v;
  return dtype_is_float(OP_ATTRS(contract, op)->dtype);
}

/* Which operand of the first contract is q: the one whose free dim comes first in the result. The
 * probabilities' rows must be its rows. */
static bool take_operands(struct parts *p, struct matrix *q, struct matrix *k, struct matrix *v) {
  const struct op *qk = value_def(p->w->f, p->scores);
  const struct function *f = p->w->f;
  struct matrix probabilities;
  if (!matrix_of(f, qk, 0, q) || !matrix_of(f, qk, 1, k) ||
      !matrix_of(f, p->pv, p->p_side, &probabilities) || !matrix_of(f, p->pv, 1 - p->p_side, v))
    return false;
  /* The probabilities are read as they lie: batch, s, t. */
  for (uint32_t i = 0; i < probabilities.n_batch + 2; i++) {
    if (probabilities.perm[i] != i)
      return false;
  }
  /* v is named by its free dim, then t; attention wants t before it. */
  int64_t free = v->perm[v->n_batch];
  v->perm[v->n_batch] = v->perm[v->n_batch + 1];
  v->perm[v->n_batch + 1] = free;
  return true;
}

/* The sum of the biases that are no causal mask; VALUE_NONE where there are none. */
static bool collect_biases(struct parts *p, const dim *scores, enum dtype dtype, value_id *out_bias,
                           struct causality *out_c) {
  struct rewriter *w = p->w;
  bool alone = p->n_biases == 1;
  *out_bias = VALUE_NONE;
  *out_c = (struct causality){0};
  for (uint32_t i = 0; i < p->n_biases; i++) {
    struct causality c = {0};
    if (alone && p->biases[i].factor > 0 && read_causal(p, &p->biases[i], scores, &c) && c.causal) {
      *out_c = c;
      continue;
    }
    value_id bias = bias_as_four(p, bias_value(p, &p->biases[i], dtype), scores);
    if (bias == VALUE_NONE)
      return false;
    *out_bias = *out_bias == VALUE_NONE ? bias : build_binary(&w->b, SCALAR_ADD, *out_bias, bias);
  }
  return true;
}

/* [b, h, s, e] in the shape of the last contract's result. */
static value_id as_result(struct parts *p, value_id v) {
  struct rewriter *w = p->w;
  const struct type to = *value_type(w->f, p->pv->results[0]);
  if (p->p_side == 1)
    v = build_transpose(&w->b, v, (const int64_t[]){0, 1, 3, 2});
  return build_reshape(&w->b, v, to.dims, to.rank);
}

value_id parts_build(struct parts *p) {
  struct rewriter *w = p->w;
  struct matrix q, k, v;
  struct causality c;
  value_id bias;
  if (!take_operands(p, &q, &k, &v))
    return VALUE_NONE;
  double outer = p->factor;
  peel_scale(p, &q);
  peel_scale(p, &k);
  enum dtype dtype = value_type(w->f, q.value)->dtype;
  enum dtype scores_dtype = value_type(w->f, p->scores)->dtype;
  if (value_type(w->f, k.value)->dtype != dtype || value_type(w->f, v.value)->dtype != dtype ||
      value_type(w->f, p->pv->results[0])->dtype != dtype || !isfinite(p->factor) || outer == 0)
    return VALUE_NONE;
  value_id operands[4] = {as_four(p, &q), kv_heads(p, &k), kv_heads(p, &v)};
  if (operands[0] == VALUE_NONE || operands[1] == VALUE_NONE || operands[2] == VALUE_NONE)
    return VALUE_NONE;
  const struct type qt = *value_type(w->f, operands[0]), kt = *value_type(w->f, operands[1]);
  const struct type vt = *value_type(w->f, operands[2]);
  /* Both read by the same groups, or one of them repeated while the other is not. */
  if (!dim_known_eq(w->dims, kt.dims[1], vt.dims[1])) {
    operands[1] = as_four(p, &k);
    operands[2] = as_four(p, &v);
  }
  const dim scores[4] = {qt.dims[0], qt.dims[1], qt.dims[2], kt.dims[2]};
  if (operands[1] == VALUE_NONE || operands[2] == VALUE_NONE ||
      !collect_biases(p, scores, scores_dtype, &bias, &c))
    return VALUE_NONE;
  struct attention_attrs attrs = {.scale = p->factor,
                                  .softcap = p->softcap,
                                  .causal = c.causal,
                                  .window = c.window,
                                  .has_bias = bias != VALUE_NONE};
  operands[3] = bias;
  return as_result(p, build_op1(&w->b, OP_ATTENTION, operands, 3 + attrs.has_bias, &attrs));
}
