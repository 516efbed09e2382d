/* SPDX-License-Identifier: Apache-2.0 */
/* gather: elements of data at given indices. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct gather_attrs *a = VIEW_ATTRS(gather, op);
  const struct type *data = op_operand(op, 0);
  dim dims[2 * IR_MAX_RANK];
  uint32_t rank, index_rank;
  if (!op_indexed_dims(op, why, data, &a->axes, 1, dims, &rank, &index_rank))
    return false;
  *out_n_types = 1;
  return op_make_type(why, op_dim_table(op), data->dtype, dims, rank, out_types);
}

static status check_result(struct interp *in, const struct op *op, const struct index_walk *w,
                           const struct tensor *t) {
  int64_t dims[2 * IR_MAX_RANK];
  memcpy(dims, w->dims, w->rank * sizeof *dims);
  memcpy(dims + w->rank, w->rest_dims, w->rest_rank * sizeof *dims);
  return interp_check_dims(in, op, t, dims, false);
}

static status eval(struct interp *in, const struct op *op) {
  const struct gather_attrs *a = OP_ATTRS(gather, op);
  const struct tensor *data = interp_operand(in, op, 0);
  struct index_walk w;
  struct tensor *t = interp_result(in, op, 0);
  status s = t ? index_walk_init(in, op, &a->axes, data, 1, &w) : in->failure;
  if (!s)
    s = check_result(in, op, &w, t);
  if (s || t->count == 0)
    return s;
  int64_t dense[IR_MAX_RANK], piece = 1;
  strides_of(w.rest_dims, w.rest_rank, dense);
  for (uint32_t d = 0; d < w.rest_rank; d++)
    piece *= w.rest_dims[d];
  union scalar *to = t->data;
  do {
    int64_t offset, bad;
    bool inside = index_walk_offset(&w, &offset, &bad);
    if (!inside && (a->mode == OUT_OF_RANGE_ERROR ||
                    (a->mode == OUT_OF_RANGE_CLAMP && !in->rank && !data->count)))
      return interp_fail(in, op, DIAG_E0610, "index %" PRId64 " is out of range", bad);
    if (offset >= 0 && (inside || a->mode == OUT_OF_RANGE_CLAMP))
      strided_copy(to, dense, tensor_slots(data) + offset, w.rest_strides, w.rest_dims,
                   w.rest_rank);
    to += piece;
  } while (index_next(w.index, w.dims, w.rank));
  if (a->mode == OUT_OF_RANGE_FILL)
    interp_settle(in, t); /* f8e8m0 has no zero */
  return STATUS_OK;
}

/* Index dims and columns of the table are parallel. A rank with a part of the rows gives 0 for
 * indices of the others, so that the sum is the gather. */
static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct gather_attrs *a = OP_ATTRS(gather, op);
  const struct type *data = value_type(f, op->operands[0]);
  const struct type *result = value_type(f, op->results[0]);
  uint32_t indexed = 0, at = value_type(f, op->operands[1])->rank;
  for (uint32_t d = 0; d < at; d++) {
    struct factor *x = factor_add(out, "index", result->dims[d]);
    bool known = true;
    for (uint32_t i = 1; known && i < op->n_operands; i++)
      known = factor_broadcast(f, op, x, i, d, result->dims[d]);
    factor_result(x, 0, d);
    x->index = d;
    if (!known)
      factor_drop(out);
  }
  for (uint32_t i = 0; i < a->axes.len; i++)
    indexed |= 1u << a->axes.data[i];
  for (uint32_t d = 0; d < data->rank; d++) {
    if (indexed >> d & 1)
      continue;
    struct factor *x = factor_add(out, "column", data->dims[d]);
    factor_operand(x, 0, d);
    factor_result(x, 0, at++);
  }
  if (!dtype_is_number(data->dtype) || data->dtype == DTYPE_F8E8M0)
    return;
  for (uint32_t i = 0; i < a->axes.len; i++) {
    uint32_t d = (uint32_t)a->axes.data[i];
    factor_operand(factor_add_contracted(out, "row", data->dims[d], PARTIAL_SUM), 0, d);
  }
}

const struct op_hooks gather_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
