/* SPDX-License-Identifier: Apache-2.0 */
/* update: rows written into a state, from a place of its own in each batch row. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool check_rows(const struct op_view *op, struct strbuf *why, uint32_t operand, dim batch) {
  if (!op_check_operand(op, why, operand, DTYPE_I64, 1))
    return false;
  if (op_dim_merge(op_dim_table(op), op_operand(op, operand)->dims[0], batch) == DIM_NONE)
    return op_refuse(why, "operand %u has another number of rows than the data", operand);
  return true;
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct update_attrs *a = VIEW_ATTRS(update, op);
  const struct type *data = op_operand(op, 0), *rows = op_operand(op, 1);
  if (!op_check_axis(why, a->axis, data->rank))
    return false;
  if (a->axis == 0)
    return op_refuse(why, "update cannot write along the batch dim");
  if (rows->rank != data->rank)
    return op_refuse(why, "the rows have rank %u, not %u", rows->rank, data->rank);
  struct type wanted = *data;
  wanted.dims[a->axis] = rows->dims[a->axis];
  if (!op_check_same_type(why, op_dim_table(op), "rows", rows, &wanted) ||
      !check_rows(op, why, 2, data->dims[0]) ||
      (op->n_operands > 3 && !check_rows(op, why, 3, data->dims[0])))
    return false;
  *out_n_types = 1;
  return op_make_type(why, op_dim_table(op), data->dtype, data->dims, data->rank, out_types);
}

struct rows {
  struct tensor *to;
  const struct tensor *from;
  int64_t outer, inner; /* around the axis, within one batch row */
  int64_t axis;
  struct shard_part part; /* of the axis that this rank holds */
};

/* The first n rows of batch row b, from row `start` of the whole on. */
static status write_rows(struct interp *in, const struct op *op, const struct rows *r, int64_t b,
                         int64_t start, int64_t n) {
  int64_t held = r->to->dims[r->axis], given = r->from->dims[r->axis];
  for (int64_t i = 0; i < n; i++) {
    int64_t at, local;
    if (__builtin_add_overflow(start, i, &at) || at < 0 || at >= r->part.n)
      return interp_fail(in, op, DIAG_E0610,
                         "row %" PRId64 " of batch row %" PRId64 " is out of range", at, b);
    if (!shard_part_local(&r->part, at, &local))
      continue;
    for (int64_t o = 0; o < r->outer; o++)
      memcpy(tensor_slots(r->to) + ((b * r->outer + o) * held + local) * r->inner,
             tensor_slots(r->from) + ((b * r->outer + o) * given + i) * r->inner,
             (size_t)r->inner * sizeof(union scalar));
  }
  return STATUS_OK;
}

static status eval(struct interp *in, const struct op *op) {
  int64_t axis = OP_ATTRS(update, op)->axis;
  const struct tensor *data = interp_operand(in, op, 0), *from = interp_operand(in, op, 1);
  const struct tensor *start = interp_operand(in, op, 2);
  const struct tensor *count = op->n_operands > 3 ? interp_operand(in, op, 3) : NULL;
  struct tensor *t = interp_result(in, op, 0);
  struct rows r = {.to = t, .from = from, .outer = 1, .axis = axis};
  int64_t dims[IR_MAX_RANK];
  status s = t ? interp_check_dims(in, op, data, t->dims, false) : in->failure;
  if (s)
    return s;
  memcpy(dims, t->dims, t->rank * sizeof *dims);
  dims[axis] = from->dims[axis];
  s = interp_check_dims(in, op, from, dims, false);
  if (!s)
    s = interp_check_dims(in, op, start, t->dims, false);
  if (!s && count)
    s = interp_check_dims(in, op, count, t->dims, false);
  if (s || !interp_part(in, op, op->results[0], (uint32_t)axis, &r.part))
    return s ? s : in->failure;
  if (t->count > 0)
    memcpy(t->data, data->data, (size_t)t->count * sizeof(union scalar));
  for (int64_t d = 1; d < axis; d++)
    r.outer *= t->dims[d];
  r.inner = split_at(t->dims, t->rank, axis).inner;
  for (int64_t b = 0; b < t->dims[0] && !s; b++) {
    int64_t n = from->dims[axis];
    if (count && count->i64[b] < n)
      n = count->i64[b];
    s = write_rows(in, op, &r, b, start->i64[b], n);
  }
  return s;
}

/* Batch and what lies beside the rows are parallel; so are the state's rows, of which each rank
 * writes those that it holds. */
static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct type *data = value_type(f, op->operands[0]);
  int64_t axis = OP_ATTRS(update, op)->axis;
  for (uint32_t d = 0; d < data->rank; d++) {
    struct factor *x = factor_add(out,
                                  d == 0      ? "batch"
                                  : d == axis ? "row"
                                              : "column",
                                  data->dims[d]);
    x->index = d;
    factor_operand(x, 0, d);
    factor_result(x, 0, d);
    if (d != axis)
      factor_operand(x, 1, d);
    for (uint32_t i = 2; d == 0 && i < op->n_operands; i++)
      factor_operand(x, i, 0);
  }
}

const struct op_hooks update_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
