/* SPDX-License-Identifier: Apache-2.0 */
/* topk: the first k of each row in sorted order. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

#include <stdlib.h>

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct topk_attrs *a = VIEW_ATTRS(topk, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (!dtype_is_number(x->dtype))
    return op_refuse(why, "topk does not take %s", dtype_name(x->dtype));
  if (!op_check_axis(why, a->axis, x->rank))
    return false;
  if (dim_known_lt(t, x->dims[a->axis], a->k))
    return op_refuse(why, "k is above the dim of the axis");
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++)
    dims[i] = i == (uint32_t)a->axis ? a->k : x->dims[i];
  *out_n_types = 2;
  return op_make_type(why, t, x->dtype, dims, x->rank, out_types) &&
         op_make_type(why, t, DTYPE_I64, dims, x->rank, out_types + 1);
}

struct candidate {
  union scalar value;
  int64_t index;
};
struct order {
  enum dtype dtype;
  bool descending;
};

static int compare(const void *a, const void *b, void *user) {
  const struct candidate *x = a, *y = b;
  const struct order *o = user;
  int c = slot_compare(o->dtype, x->value, y->value);
  if (c == 0)
    return (x->index > y->index) - (x->index < y->index);
  return o->descending ? -c : c;
}

static status eval(struct interp *in, const struct op *op) {
  const struct topk_attrs *a = OP_ATTRS(topk, op);
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *values = interp_result(in, op, 0);
  struct tensor *indices = values ? interp_result(in, op, 1) : NULL;
  if (!indices)
    return in->failure;
  struct axis_split s = split_at(x->dims, x->rank, a->axis);
  int64_t k = values->dims[a->axis], dims[IR_MAX_RANK];
  memcpy(dims, x->dims, sizeof dims);
  dims[a->axis] = k;
  status failed = interp_check_dims(in, op, values, dims, false);
  struct shard_part part;
  if (!interp_part(in, op, op->operands[0], (uint32_t)a->axis, &part))
    return in->failure;
  bool whole = part.parts == 1;
  if (!failed && whole && k > s.n)
    failed = interp_fail(in, op, DIAG_E0620, "k is %" PRId64 " of %" PRId64, k, s.n);
  struct candidate *row = failed ? NULL : interp_scratch(in, op, (uint64_t)s.n, sizeof *row);
  if (!row)
    return in->failure;
  struct order order = {interp_order_dtype(in, x->dtype), a->descending};
  union scalar none = interp_identity(in, a->descending ? COMBINER_MAX : COMBINER_MIN, x->dtype);
  for (int64_t i = 0; k > 0 && i < s.outer * s.inner; i++) {
    const union scalar *from = tensor_slots(x) + i / s.inner * s.n * s.inner + i % s.inner;
    for (int64_t j = 0; j < s.n; j++)
      row[j] = (struct candidate){from[j * s.inner], j};
    qsort_r(row, (size_t)s.n, sizeof *row, compare, &order);
    int64_t at = i / s.inner * k * s.inner + i % s.inner;
    for (int64_t j = s.n; j < k; j++) {
      tensor_slots(values)[at + j * s.inner] = none;
      indices->i64[at + j * s.inner] = INT64_MAX;
    }
    for (int64_t j = 0; j < k && j < s.n; j++) {
      tensor_slots(values)[at + j * s.inner] = row[j].value;
      indices->i64[at + j * s.inner] = shard_part_global(&part, row[j].index);
    }
  }
  return STATUS_OK;
}

/* Candidates of a part of the axis merge by value, then by global index. */
static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct topk_attrs *a = OP_ATTRS(topk, op);
  uint32_t axis = (uint32_t)a->axis;
  factors_same_dims(f, op, ~(1u << axis), out);
  factor_operand(factor_add_contracted(out, "reduced", value_type(f, op->operands[0])->dims[axis],
                                       a->descending ? PARTIAL_TOPK : PARTIAL_BOTTOMK),
                 0, axis);
}

const struct op_hooks topk_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
