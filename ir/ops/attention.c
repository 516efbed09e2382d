/* SPDX-License-Identifier: Apache-2.0 */
/* attention: softmax(scores of q and k, biased and masked) times v. */
#include "ir/ops/op_util.h"

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

const struct op_hooks attention_hooks = {
    .infer = infer,
};
