/* SPDX-License-Identifier: Apache-2.0 */
/* gather: elements of data at given indices. */
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
    if (!inside &&
        (a->mode == OUT_OF_RANGE_ERROR || (a->mode == OUT_OF_RANGE_CLAMP && !data->count)))
      return interp_fail(in, op, DIAG_E0610, "index %" PRId64 " is out of range", bad);
    if (inside || a->mode == OUT_OF_RANGE_CLAMP)
      strided_copy(to, dense, tensor_slots(data) + offset, w.rest_strides, w.rest_dims,
                   w.rest_rank);
    to += piece;
  } while (index_next(w.index, w.dims, w.rank));
  if (a->mode == OUT_OF_RANGE_FILL)
    interp_settle(in, t); /* f8e8m0 has no zero */
  return STATUS_OK;
}

const struct op_hooks gather_hooks = {
    .infer = infer,
    .eval = eval,
};
