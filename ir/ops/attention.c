/* SPDX-License-Identifier: Apache-2.0 */
/* attention: softmax(scores of q and k, biased and masked) times v. */
#include "base/checked.h"
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
  const struct type *q = op_operand(op, 0), *v = op_operand(op, 2);
  dim dims[4] = {q->dims[0], q->dims[1], q->dims[2], v->dims[3]};
  *out_n_types = 1;
  return op_make_type(why, op_dim_table(op), q->dtype, dims, 4, out_types);
}

/* Sizes, and the operands behind the first three. */
struct attention_plan {
  const struct attention_attrs *attrs;
  int64_t b, h, g, s, t, d, e;
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
                   T *row, union scalar *out) {                                                    \
    T most = -(T)INFINITY, total = 0;                                                              \
    for (int64_t j = 0; j < p->t; j++) {                                                           \
      scores[j] = name##_score(p, b, h, i, j, q, k + j * p->d);                                    \
      most = scores[j] > most || scores[j] != scores[j] ? scores[j] : most;                        \
    }                                                                                              \
    for (int64_t c = 0; c < p->e; c++)                                                             \
      row[c] = 0;                                                                                  \
    if (most != -(T)INFINITY) {                                                                    \
      for (int64_t j = 0; j < p->t; j++) {                                                         \
        scores[j] = (T)exp((double)(scores[j] - most));                                            \
        total += scores[j];                                                                        \
      }                                                                                            \
      for (int64_t j = 0; j < p->t; j++) {                                                         \
        T weight = scores[j] / total;                                                              \
        for (int64_t c = 0; weight != 0 && c < p->e; c++)                                          \
          row[c] += weight * (T)v[j * p->e + c].f64;                                               \
      }                                                                                            \
    }                                                                                              \
    for (int64_t c = 0; c < p->e; c++)                                                             \
      out[c].f64 = row[c];                                                                         \
  }
DEFINE_ATTEND(attend_f32, float)
DEFINE_ATTEND(attend_f64, double)

static status eval(struct interp *in, const struct op *op) {
  struct attention_plan p;
  const union scalar *q = tensor_slots(interp_operand(in, op, 0));
  const union scalar *k = tensor_slots(interp_operand(in, op, 1));
  const union scalar *v = tensor_slots(interp_operand(in, op, 2));
  struct tensor *t = interp_result(in, op, 0);
  status st = t ? make_plan(in, op, &p) : in->failure;
  if (!st)
    st = interp_check_dims(in, op, t, (int64_t[]){p.b, p.h, p.s, p.e}, false);
  if (st || t->count == 0)
    return st;
  bool f32 = interp_in_f32(in, t->dtype);
  double *scores = interp_scratch(in, op, (uint64_t)p.t, sizeof *scores);
  double *row = interp_scratch(in, op, (uint64_t)p.e, sizeof *row);
  if (!scores || !row)
    return in->failure;
  union scalar *out = t->data;
  for (int64_t b = 0; b < p.b; b++)
    for (int64_t h = 0; h < p.h; h++) {
      int64_t kv = b * p.g + h / (p.h / p.g);
      const union scalar *kh = k + kv * p.t * p.d, *vh = v + kv * p.t * p.e;
      for (int64_t i = 0; i < p.s; i++, q += p.d, out += p.e) {
        if (f32)
          attend_f32(&p, b, h, i, q, kh, vh, (float *)scores, (float *)row, out);
        else
          attend_f64(&p, b, h, i, q, kh, vh, scores, row, out);
      }
    }
  interp_settle(in, t);
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

const struct op_hooks attention_hooks = {
    .infer = infer,
    .eval = eval,
    .flops = flops,
};
