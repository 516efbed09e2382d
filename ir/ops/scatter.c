/* SPDX-License-Identifier: Apache-2.0 */
/* scatter: updates combined into data at given indices. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct scatter_attrs *a = VIEW_ATTRS(scatter, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *data = op_operand(op, 0);
  struct type updates;
  dim dims[2 * IR_MAX_RANK];
  uint32_t rank, index_rank;
  if (combiner_is_arg(a->kind))
    return op_refuse(why, "scatter does not take %s",
                     keyword_text(KEYWORD_KIND_combiner, (int)a->kind));
  if ((a->kind != COMBINER_NONE && !op_check_combiner(why, a->kind, data->dtype)) ||
      !op_indexed_dims(op, why, data, &a->axes, 2, dims, &rank, &index_rank) ||
      !op_make_type(why, t, data->dtype, dims, rank, &updates) ||
      !op_check_same_type(why, t, "updates", op_operand(op, 1), &updates))
    return false;
  *out_n_types = 1;
  return op_make_type(why, t, data->dtype, data->dims, data->rank, out_types);
}

/* Combines (or stores) the box of updates at `from` into the data at `to`. */
static void update_box(const struct interp *in, const struct index_walk *w, enum combiner kind,
                       enum dtype dtype, union scalar *to, const union scalar *from) {
  int64_t index[IR_MAX_RANK] = {0};
  enum arithmetic how = interp_arithmetic(in, dtype);
  do {
    int64_t at = 0;
    for (uint32_t d = 0; d < w->rest_rank; d++)
      at += index[d] * w->rest_strides[d];
    union scalar x = *from++;
    if (kind != COMBINER_NONE)
      x = accumulate(how, kind, dtype, to[at], x);
    if (dtype_is_float(dtype))
      x.f64 = interp_round(in, dtype, x.f64);
    to[at] = x;
  } while (index_next(index, w->rest_dims, w->rest_rank));
}

static status check_updates(struct interp *in, const struct op *op, const struct index_walk *w) {
  int64_t dims[2 * IR_MAX_RANK];
  memcpy(dims, w->dims, w->rank * sizeof *dims);
  memcpy(dims + w->rank, w->rest_dims, w->rest_rank * sizeof *dims);
  return interp_check_dims(in, op, interp_operand(in, op, 1), dims, false);
}

static status eval(struct interp *in, const struct op *op) {
  const struct scatter_attrs *a = OP_ATTRS(scatter, op);
  const struct tensor *data = interp_operand(in, op, 0), *updates = interp_operand(in, op, 1);
  struct index_walk w;
  struct tensor *t = interp_result(in, op, 0);
  status s = t ? interp_check_dims(in, op, data, t->dims, false) : in->failure;
  if (!s)
    s = index_walk_init(in, op, &a->axes, data, 2, &w);
  if (!s)
    s = check_updates(in, op, &w);
  if (s)
    return s;
  if (t->count > 0)
    memcpy(t->data, data->data, (size_t)t->count * sizeof(union scalar));
  if (updates->count == 0)
    return STATUS_OK;
  int64_t piece = 1;
  for (uint32_t d = 0; d < w.rest_rank; d++)
    piece *= w.rest_dims[d];
  const union scalar *from = updates->data;
  do {
    int64_t offset, bad;
    if (!index_walk_offset(&w, &offset, &bad))
      return interp_fail(in, op, DIAG_E0610, "index %" PRId64 " is out of range", bad);
    if (offset >= 0)
      update_box(in, &w, a->kind, t->dtype, tensor_slots(t) + offset, from);
    from += piece;
  } while (index_next(w.index, w.dims, w.rank));
  return STATUS_OK;
}

/* Dims of the data that are not indexed. */
static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct scatter_attrs *a = OP_ATTRS(scatter, op);
  const struct type *data = value_type(f, op->operands[0]);
  uint32_t indexed = 0, at = value_type(f, op->operands[2])->rank;
  for (uint32_t i = 0; i < a->axes.len; i++)
    indexed |= 1u << a->axes.data[i];
  for (uint32_t d = 0; d < data->rank; d++) {
    if (indexed >> d & 1)
      continue;
    struct factor *x = factor_add(out, "column", data->dims[d]);
    factor_operand(x, 0, d);
    factor_operand(x, 1, at++);
    factor_result(x, 0, d);
  }
}

const struct op_hooks scatter_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
