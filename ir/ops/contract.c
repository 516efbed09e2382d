/* SPDX-License-Identifier: Apache-2.0 */
/* contract: batched matrix product over any dims. */
#include "ir/ops/op_util.h"

/* The dims that lhs[i] and rhs[i] pair up must be able to agree; merged[i] is the better known. */
static bool pair_dims(const struct op_view *op, struct strbuf *why, const char *what,
                      const struct ints *lhs, const struct ints *rhs, dim *merged) {
  for (uint32_t i = 0; i < lhs->len; i++) {
    merged[i] = op_dim_merge(op_dim_table(op), op_operand(op, 0)->dims[lhs->data[i]],
                             op_operand(op, 1)->dims[rhs->data[i]]);
    if (merged[i] == DIM_NONE)
      return op_refuse(why, "%s dim %u differs between the operands", what, i);
  }
  return true;
}

static bool check_lists(struct strbuf *why, const char *side, const struct ints *batch,
                        const struct ints *k, uint32_t rank, uint32_t *out_mask) {
  uint32_t batch_mask, k_mask;
  if (!op_check_axes(why, side, batch, rank, &batch_mask) ||
      !op_check_axes(why, side, k, rank, &k_mask))
    return false;
  if (batch_mask & k_mask)
    return op_refuse(why, "%s has a dim that is batch and contracted", side);
  *out_mask = batch_mask | k_mask;
  return true;
}

/* The dims of operand i that are neither batch nor contracted. */
static uint32_t free_dims(const struct type *x, uint32_t mask, dim *out) {
  uint32_t n = 0;
  for (uint32_t d = 0; d < x->rank; d++)
    if (!(mask >> d & 1))
      out[n++] = x->dims[d];
  return n;
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct contract_attrs *a = VIEW_ATTRS(contract, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *lhs = op_operand(op, 0), *rhs = op_operand(op, 1);
  uint32_t lhs_mask, rhs_mask;
  dim dims[3 * IR_MAX_RANK], k[IR_MAX_RANK];
  if (!op_check_product_dtypes(why, lhs->dtype, rhs->dtype, a->dtype) ||
      !op_check_len(why, "rhs_batch", a->rhs_batch.len, a->lhs_batch.len) ||
      !op_check_len(why, "rhs_k", a->rhs_k.len, a->lhs_k.len) ||
      !check_lists(why, "lhs", &a->lhs_batch, &a->lhs_k, lhs->rank, &lhs_mask) ||
      !check_lists(why, "rhs", &a->rhs_batch, &a->rhs_k, rhs->rank, &rhs_mask) ||
      !pair_dims(op, why, "batch", &a->lhs_batch, &a->rhs_batch, dims) ||
      !pair_dims(op, why, "contracted", &a->lhs_k, &a->rhs_k, k))
    return false;
  uint32_t rank = a->lhs_batch.len;
  rank += free_dims(lhs, lhs_mask, dims + rank);
  rank += free_dims(rhs, rhs_mask, dims + rank);
  *out_n_types = 1;
  return op_make_type(why, t, a->dtype, dims, rank, out_types);
}

const struct op_hooks contract_hooks = {
    .infer = infer,
};
