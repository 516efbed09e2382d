/* SPDX-License-Identifier: Apache-2.0 */
/* attention: softmax(scores of q and k, biased and masked) times v. */
#include "base/checked.h"
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

#include <math.h>

/* Operand i may be read at an index of `dims`: each of its dims is that one or 1. */
static bool check_broadcasts(const struct op_view *op, struct strbuf *why, uint32_t i,
                             const dim *dims, uint32_t rank) {
  struct dim_table *t = op_dim_table(op);
  if (!op_check_rank(op, why, i, rank))
    return false;
  for (uint32_t d = 0; d < rank; d++) {
    dim has = op_operand(op, i)->dims[d];
    if (dim_known_ne(t, has, dims[d]) && dim_known_ne(t, has, dim_const(t, 1)))
      return op_refuse(why, "dim %u of operand %u is neither 1 nor the attention's", d, i);
  }
  return true;
}

static bool check_qkv(const struct op_view *op, struct strbuf *why) {
  struct dim_table *t = op_dim_table(op);
  const struct type *q = op_operand(op, 0), *k = op_operand(op, 1), *v = op_operand(op, 2);
  if (!dtype_is_float(q->dtype))
    return op_refuse(why, "operand 0 is %s, not a float", dtype_name(q->dtype));
  if (!op_check_rank(op, why, 0, 4) || !op_check_operand(op, why, 1, q->dtype, 4) ||
      !op_check_operand(op, why, 2, q->dtype, 4))
    return false;
  if (dim_known_ne(t, q->dims[0], k->dims[0]) || dim_known_ne(t, k->dims[0], v->dims[0]))
    return op_refuse(why, "the batch of q, k and v differs");
  if (dim_known_ne(t, k->dims[1], v->dims[1]))
    return op_refuse(why, "the heads of k and v differ");
  if (dim_known_ne(t, q->dims[3], k->dims[3]))
    return op_refuse(why, "the head size of q and k differs");
  if (dim_known_ne(t, k->dims[2], v->dims[2]))
    return op_refuse(why, "the length of k and v differs");
  int64_t heads, groups;
  if (dim_is_const(t, q->dims[1], &heads) && dim_is_const(t, k->dims[1], &groups) &&
      (groups < 1 ? heads != 0 : heads % groups != 0))
    return op_refuse(why, "%lld heads of k do not divide %lld of q", (long long)groups,
                     (long long)heads);
  return true;
}

static bool check_extras(const struct op_view *op, struct strbuf *why) {
  const struct attention_attrs *a = VIEW_ATTRS(attention, op);
  const struct type *q = op_operand(op, 0), *k = op_operand(op, 1);
  uint32_t next = 3;
  if (a->has_bias) {
    dim scores[4] = {q->dims[0], q->dims[1], q->dims[2], k->dims[2]};
    enum dtype bias = op_operand(op, next)->dtype;
    if (!dtype_is_float(bias))
      return op_refuse(why, "the bias is %s, not a float", dtype_name(bias));
    if (!check_broadcasts(op, why, next++, scores, 4))
      return false;
  }
  if (!a->has_pos)
    return true;
  dim q_dims[2] = {q->dims[0], q->dims[2]}, k_dims[2] = {q->dims[0], k->dims[2]};
  return op_check_operand(op, why, next, DTYPE_I64, 2) &&
         op_check_operand(op, why, next + 1, DTYPE_I64, 2) &&
         check_broadcasts(op, why, next, q_dims, 2) &&
         check_broadcasts(op, why, next + 1, k_dims, 2);
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct attention_attrs *a = VIEW_ATTRS(attention, op);
  uint32_t wanted = 3u + a->has_bias + 2u * a->has_pos;
  if (op->n_operands != wanted)
    return op_refuse(why, "has %u operands, not %u", op->n_operands, wanted);
  if (!check_qkv(op, why) || !check_extras(op, why))
    return false;
  if (a->parts < 0 || a->parts > UINT16_MAX || (a->parts && !a->lse))
    return op_refuse(why, "%lld parts, %s lse", (long long)a->parts, a->lse ? "with" : "without");
  struct dim_table *t = op_dim_table(op);
  const struct type *q = op_operand(op, 0), *v = op_operand(op, 2);
  dim dims[5] = {dim_const(t, a->parts), q->dims[0], q->dims[1], q->dims[2], v->dims[3]};
  uint32_t first = a->parts == 0;
  enum dtype wide = dtype_compute(q->dtype);
  *out_n_types = a->lse ? 2 : 1;
  return op_make_type(why, t, a->parts ? wide : q->dtype, dims + first, 5 - first, out_types) &&
         (!a->lse || op_make_type(why, t, wide, dims + first, 4 - first, out_types + 1));
}

/* Sizes, and the operands behind the first three. */
struct attention_plan {
  const struct attention_attrs *attrs;
  int64_t b, h, g, s, t, d, e;
  int64_t lo, hi;                            /* the keys of a part */
  const struct tensor *bias, *q_pos, *k_pos; /* NULL where there are none */
  int64_t bias_strides[IR_MAX_RANK], q_strides[IR_MAX_RANK], k_strides[IR_MAX_RANK];
};

static status make_plan(struct interp *in, const struct op *op, struct attention_plan *p) {
  const struct attention_attrs *a = OP_ATTRS(attention, op);
  const struct tensor *q = interp_operand(in, op, 0), *k = interp_operand(in, op, 1);
  const struct tensor *v = interp_operand(in, op, 2);
  *p = (struct attention_plan){.attrs = a,
                               .b = q->dims[0],
                               .h = q->dims[1],
                               .g = k->dims[1],
                               .s = q->dims[2],
                               .t = k->dims[2],
                               .d = q->dims[3],
                               .e = v->dims[3]};
  status st = interp_check_dims(in, op, k, (int64_t[]){p->b, p->g, p->t, p->d}, false);
  if (!st)
    st = interp_check_dims(in, op, v, (int64_t[]){p->b, p->g, p->t, p->e}, false);
  if (!st && (p->g == 0 ? p->h != 0 : p->h % p->g != 0))
    st = interp_fail(in, op, DIAG_E0620, "%" PRId64 " heads of k do not divide %" PRId64 " of q",
                     p->g, p->h);
  uint32_t next = 3;
  if (!st && a->has_bias) {
    p->bias = interp_operand(in, op, next++);
    strides_broadcast(p->bias, p->bias_strides);
    st = interp_check_dims(in, op, p->bias, (int64_t[]){p->b, p->h, p->s, p->t}, true);
  }
  if (!st && a->has_pos) {
    p->q_pos = interp_operand(in, op, next);
    p->k_pos = interp_operand(in, op, next + 1);
    strides_broadcast(p->q_pos, p->q_strides);
    strides_broadcast(p->k_pos, p->k_strides);
    st = interp_check_dims(in, op, p->q_pos, (int64_t[]){p->b, p->s}, true);
    if (!st)
      st = interp_check_dims(in, op, p->k_pos, (int64_t[]){p->b, p->t}, true);
  }
  return st;
}

/* Whether query row i of batch entry b sees key j. */
static bool key_visible(const struct attention_plan *p, int64_t b, int64_t i, int64_t j) {
  int64_t q = i + p->t - p->s, k = j, distance;
  if (p->q_pos) {
    q = p->q_pos->i64[b * p->q_strides[0] + i * p->q_strides[1]];
    k = p->k_pos->i64[b * p->k_strides[0] + j * p->k_strides[1]];
  }
  if (p->attrs->causal && k > q)
    return false;
  if (p->attrs->window <= 0)
    return true;
  return i64_sub(q, k, &distance) ? distance < p->attrs->window : q < k;
}

/* A row of the result, in T throughout; scores holds t numbers. */
#define DEFINE_ATTEND(name, T)                                                                     \
  static T name##_score(const struct attention_plan *p, int64_t b, int64_t h, int64_t i,           \
                        int64_t j, const union scalar *q, const union scalar *k) {                 \
    T sum = 0;                                                                                     \
    for (int64_t c = 0; c < p->d; c++)                                                             \
      sum += (T)q[c].f64 * (T)k[c].f64;                                                            \
    sum *= (T)p->attrs->scale;                                                                     \
    if (p->attrs->softcap > 0) {                                                                   \
      T cap = (T)p->attrs->softcap;                                                                \
      sum = cap * (T)tanh((double)(sum / cap));                                                    \
    }                                                                                              \
    const int64_t *s = p->bias_strides;                                                            \
    if (p->bias)                                                                                   \
      sum += (T)p->bias->f64[b * s[0] + h * s[1] + i * s[2] + j * s[3]];                           \
    return key_visible(p, b, i, j) ? sum : -(T)INFINITY;                                           \
  }                                                                                                \
  static void name(const struct attention_plan *p, int64_t b, int64_t h, int64_t i,                \
                   const union scalar *q, const union scalar *k, const union scalar *v, T *scores, \
                   T *row, union scalar *out, union scalar *lse) {                                 \
    T most = -(T)INFINITY, total = 0;                                                              \
    for (int64_t j = p->lo; j < p->hi; j++) {                                                      \
      scores[j] = name##_score(p, b, h, i, j, q, k + j * p->d);                                    \
      most = scores[j] > most || scores[j] != scores[j] ? scores[j] : most;                        \
    }                                                                                              \
    for (int64_t c = 0; c < p->e; c++)                                                             \
      row[c] = 0;                                                                                  \
    if (most != -(T)INFINITY) {                                                                    \
      for (int64_t j = p->lo; j < p->hi; j++) {                                                    \
        scores[j] = (T)exp((double)(scores[j] - most));                                            \
        total += scores[j];                                                                        \
      }                                                                                            \
      for (int64_t j = p->lo; j < p->hi; j++) {                                                    \
        T weight = scores[j] / total;                                                              \
        for (int64_t c = 0; weight != 0 && c < p->e; c++)                                          \
          row[c] += weight * (T)v[j * p->e + c].f64;                                               \
      }                                                                                            \
    }                                                                                              \
    for (int64_t c = 0; c < p->e; c++)                                                             \
      out[c].f64 = row[c];                                                                         \
    lse->f64 = total == 0 ? (double)most : (double)most + log((double)total);                      \
  }
DEFINE_ATTEND(attend_f32, float)
DEFINE_ATTEND(attend_f64, double)

/* The exact domain: a key weighs a hash of its score, and the sum of weights stands for its
 * logarithm. */
static void attend_field(const struct attention_plan *p, int64_t b, int64_t h, int64_t i,
                         const union scalar *q, const union scalar *k, const union scalar *v,
                         union scalar *out, union scalar *lse) {
  int64_t scale = field_from_f64(p->attrs->scale), cap = field_from_f64(p->attrs->softcap);
  const int64_t *s = p->bias_strides;
  int64_t total = 0;
  for (int64_t c = 0; c < p->e; c++)
    out[c].i64 = 0;
  for (int64_t j = p->lo; j < p->hi; j++) {
    int64_t score = 0;
    if (!key_visible(p, b, i, j))
      continue;
    for (int64_t c = 0; c < p->d; c++)
      score = field_add(score, field_mul(q[c].i64, k[j * p->d + c].i64));
    score = field_mul(score, scale);
    if (p->attrs->softcap > 0)
      score = field_hash(SCALAR_TANH, score, cap, 0);
    if (p->bias)
      score = field_add(score, p->bias->i64[b * s[0] + h * s[1] + i * s[2] + j * s[3]]);
    int64_t weight = field_hash(SCALAR_EXP, score, 0, 0);
    total = field_add(total, weight);
    for (int64_t c = 0; c < p->e; c++)
      out[c].i64 = field_add(out[c].i64, field_mul(weight, v[j * p->e + c].i64));
  }
  lse->i64 = total;
  int64_t inverse = field_div(1, total);
  for (int64_t c = 0; c < p->e; c++)
    out[c].i64 = field_mul(out[c].i64, inverse);
}

/* What rows are computed from and to, and room for one. */
struct rows {
  const union scalar *q, *k, *v;
  union scalar *out, *lse; /* of the next row; lse may be NULL */
  double *scores, *row;
  bool f32;
};

/* All rows, of the keys from p->lo to p->hi. */
static void attend_part(const struct interp *in, const struct attention_plan *p, struct rows *r) {
  const union scalar *q = r->q;
  for (int64_t b = 0; b < p->b; b++)
    for (int64_t h = 0; h < p->h; h++) {
      int64_t kv = b * p->g + h / (p->h / p->g);
      const union scalar *k = r->k + kv * p->t * p->d, *v = r->v + kv * p->t * p->e;
      for (int64_t i = 0; i < p->s; i++, q += p->d, r->out += p->e) {
        union scalar unread, *lse = r->lse ? r->lse++ : &unread;
        if (in->mode == INTERP_FIELD)
          attend_field(p, b, h, i, q, k, v, r->out, lse);
        else if (r->f32)
          attend_f32(p, b, h, i, q, k, v, (float *)r->scores, (float *)r->row, r->out, lse);
        else
          attend_f64(p, b, h, i, q, k, v, r->scores, r->row, r->out, lse);
      }
    }
}

/* `dims` begins with the parts, which a result of all keys has no dim for. */
static status check_result(struct interp *in, const struct op *op, const struct tensor *x,
                           const int64_t *dims, uint32_t rank) {
  bool parts = OP_ATTRS(attention, op)->parts > 0;
  if (x->rank != rank + parts)
    return interp_fail(in, op, DIAG_E0620, "a result has %u dims", x->rank);
  return interp_check_dims(in, op, x, dims + !parts, false);
}

static status eval(struct interp *in, const struct op *op) {
  struct attention_plan p;
  struct tensor *t = interp_result(in, op, 0), *lse = NULL;
  status st = t ? make_plan(in, op, &p) : in->failure;
  if (!st)
    st = check_result(in, op, t, (int64_t[]){p.attrs->parts, p.b, p.h, p.s, p.e}, 4);
  if (!st && op->n_results > 1) {
    lse = interp_result(in, op, 1);
    st = lse ? check_result(in, op, lse, (int64_t[]){p.attrs->parts, p.b, p.h, p.s}, 3)
             : in->failure;
  }
  if (st || (t->count == 0 && !(lse && lse->count)))
    return st;
  struct rows r = {.q = tensor_slots(interp_operand(in, op, 0)),
                   .k = tensor_slots(interp_operand(in, op, 1)),
                   .v = tensor_slots(interp_operand(in, op, 2)),
                   .out = t->data,
                   .lse = lse ? lse->data : NULL,
                   .scores = interp_scratch(in, op, (uint64_t)p.t, sizeof *r.scores),
                   .row = interp_scratch(in, op, (uint64_t)p.e, sizeof *r.row),
                   .f32 = interp_in_f32(in, t->dtype)};
  if (!r.scores || !r.row)
    return in->failure;
  int64_t parts = p.attrs->parts ? p.attrs->parts : 1, blocks = ceil_div(p.t, ATTENTION_PART_KEYS);
  int64_t keys = p.attrs->parts ? ATTENTION_PART_KEYS * ceil_div(blocks, parts) : p.t;
  for (int64_t i = 0; i < parts; i++) {
    p.lo = i * keys < p.t ? i * keys : p.t;
    p.hi = p.t - p.lo < keys ? p.t : p.lo + keys;
    attend_part(in, &p, &r);
  }
  interp_settle(in, t);
  if (lse)
    interp_settle(in, lse);
  return STATUS_OK;
}

static dim flops(const struct function *f, const struct op *op) {
  /* Two products per (query, key), and about eight operations of softmax. */
  struct dim_table *t = f->module->dims;
  const struct type *q = value_type(f, op->operands[0]), *v = value_type(f, op->operands[2]);
  dim pairs = dim_mul(t, dim_product(t, q->dims, 3), v->dims[2]);
  dim widths = dim_add(t, q->dims[3], v->dims[3]);
  return dim_mul(t, pairs, dim_add(t, dim_mul(t, dim_const(t, 2), widths), dim_const(t, 8)));
}

static void map_dim(struct factor *x, uint32_t operand, uint32_t d, int64_t outer,
                    int64_t granule) {
  x->operands[operand] = (struct factor_map){(uint8_t)d, outer, granule};
}

static void map_results(const struct op *op, struct factor *x, uint32_t d, int64_t outer,
                        int64_t granule) {
  for (uint32_t i = 0; i < op->n_results; i++)
    x->results[i] = (struct factor_map){(uint8_t)d, outer, granule};
}

/* Maps dim d of the bias (score_dim of it) and of the positions, where they do not broadcast over
 * it. False where that is not known. */
static bool map_extras(const struct function *f, const struct op *op, struct factor *x,
                       uint32_t bias_dim, dim bias_size, int q_pos_dim, int k_pos_dim, dim size) {
  const struct attention_attrs *a = OP_ATTRS(attention, op);
  bool known = !a->has_bias || factor_broadcast(f, op, x, 3, bias_dim, bias_size);
  uint32_t pos = 3u + a->has_bias;
  if (known && a->has_pos && q_pos_dim >= 0)
    known = factor_broadcast(f, op, x, pos, (uint32_t)q_pos_dim, size);
  if (known && a->has_pos && k_pos_dim >= 0)
    known = factor_broadcast(f, op, x, pos + 1, (uint32_t)k_pos_dim, size);
  return known;
}

static void batch_factor(const struct function *f, const struct op *op, struct factor_list *out) {
  dim b = value_type(f, op->operands[0])->dims[0];
  struct factor *x = factor_add(out, "batch", b);
  for (uint32_t i = 0; i < 3; i++)
    factor_operand(x, i, 0);
  map_results(op, x, 0, 1, 1);
  if (!map_extras(f, op, x, 0, b, 0, 0, b))
    factor_drop(out);
}

/* Heads of k and v, and the query heads of one of them. */
static void head_factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct type *q = value_type(f, op->operands[0]);
  dim g = value_type(f, op->operands[1])->dims[1];
  struct dim_table *t = f->module->dims;
  int64_t heads, groups;
  if (!dim_is_const(t, q->dims[1], &heads) || !dim_is_const(t, g, &groups) || groups < 1 ||
      heads % groups)
    return;
  for (uint32_t inner = 0; inner < 2; inner++) {
    int64_t outer = inner ? groups : 1, granule = inner ? 1 : heads / groups;
    struct factor *x =
        factor_add(out, inner ? "query_head" : "head", inner ? dim_const(t, heads / groups) : g);
    map_dim(x, 0, 1, outer, granule);
    map_results(op, x, 1, outer, granule);
    for (uint32_t i = 1; !inner && i < 3; i++)
      factor_operand(x, i, 1);
    if (!map_extras(f, op, x, 1, q->dims[1], -1, -1, g)) {
      factor_drop(out);
      continue;
    }
    if (OP_ATTRS(attention, op)->has_bias && x->operands[3].dim != FACTOR_WHOLE)
      map_dim(x, 3, 1, outer, granule);
  }
}

/* Query and key positions. Masks are by position, which a part of the queries or keys knows only
 * from operands. Keys are contracted, which takes the result that says the weight of each row. */
static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct attention_attrs *a = OP_ATTRS(attention, op);
  if (a->parts) /* the splitting of keys on one device: ranks have been split before */
    return;
  dim s = value_type(f, op->operands[0])->dims[2], t = value_type(f, op->operands[1])->dims[2];
  dim e = value_type(f, op->operands[2])->dims[3];
  batch_factor(f, op, out);
  head_factors(f, op, out);
  if (a->has_pos || (!a->causal && a->window <= 0)) {
    struct factor *x = factor_add(out, "query", s);
    factor_operand(x, 0, 2);
    map_results(op, x, 2, 1, 1);
    if (!map_extras(f, op, x, 2, s, 1, -1, s))
      factor_drop(out);
    if (a->lse) {
      x = factor_add_contracted(out, "key", t, PARTIAL_SOFTMAX);
      factor_operand(x, 1, 2);
      factor_operand(x, 2, 2);
      if (!map_extras(f, op, x, 3, t, -1, 1, t))
        factor_drop(out);
    }
  }
  struct factor *x = factor_add(out, "value", e);
  factor_operand(x, 2, 3);
  factor_result(x, 0, 3);
}

const struct op_hooks attention_hooks = {
    .infer = infer,
    .eval = eval,
    .flops = flops,
    .factors = factors,
};
