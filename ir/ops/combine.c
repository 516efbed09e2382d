/* SPDX-License-Identifier: Apache-2.0 */
/* combine: gathered tuples merged. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"
#include "ir/rank_merge.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct combine_attrs *a = VIEW_ATTRS(combine, op);
  const struct type *x = op_operand(op, 0), *y = op_operand(op, 1);
  struct dim_table *t = op_dim_table(op);
  bool softmax = a->kind == PARTIAL_SOFTMAX;
  if (partial_tuple(a->kind) != 2)
    return op_refuse(why, "'%s' is no tuple", partial_text(a->kind));
  if (x->rank < 1 || y->rank + softmax != x->rank || (softmax && y->rank < 1))
    return op_refuse(why, "the operands' ranks do not fit");
  if (softmax ? !dtype_is_float(x->dtype) || y->dtype != dtype_compute(x->dtype)
              : !dtype_is_number(x->dtype) || y->dtype != DTYPE_I64)
    return op_refuse(why, "the operands' dtypes are not those of '%s'", partial_text(a->kind));
  for (uint32_t i = 0; i < y->rank; i++)
    if (dim_known_ne(t, x->dims[i], y->dims[i]))
      return op_refuse(why, "the operands' dims differ");
  bool rows = a->kind == PARTIAL_TOPK || a->kind == PARTIAL_BOTTOMK;
  if (rows ? a->axis < 0 || a->axis >= x->rank - 1 : a->axis != 0)
    return op_refuse(why, "'axis' is no dim of the result");
  *out_n_types = 2;
  return op_make_type(why, t, x->dtype, x->dims + 1, x->rank - 1, out_types) &&
         op_make_type(why, t, y->dtype, y->dims + 1, y->rank - 1, out_types + 1);
}

/* Entry i of the first dim, sharing memory. */
static struct tensor *entry(struct interp *in, const struct tensor *x, int64_t i) {
  struct tensor *t = ARENA_NEW(in->arena, struct tensor);
  t->dtype = x->dtype;
  t->rank = x->rank - 1;
  memcpy(t->dims, x->dims + 1, t->rank * sizeof *t->dims);
  t->count = x->dims[0] ? x->count / x->dims[0] : 0;
  t->i64 = x->i64 + i * t->count;
  return t;
}

static status eval(struct interp *in, const struct op *op) {
  const struct combine_attrs *a = OP_ATTRS(combine, op);
  const struct tensor *x[2] = {interp_operand(in, op, 0), interp_operand(in, op, 1)};
  int64_t n = x[0]->dims[0];
  if (n < 1 || n > UINT16_MAX || x[1]->dims[0] != n)
    return interp_fail(in, op, DIAG_E0620, "there are %" PRId64 " and %" PRId64 " entries", n,
                       x[1]->dims[0]);
  struct tensor *(*parts)[2] = arena_alloc_array(in->arena, (size_t)n, sizeof *parts), *merged[2];
  for (int64_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < 2; k++)
      parts[i][k] = entry(in, x[k], i);
  if (!rank_merge(in->mode, a->kind, (uint32_t)a->axis, (struct tensor *const(*)[2])parts,
                  (uint32_t)n, in->arena, merged))
    return interp_fail(in, op, DIAG_E0620, "the operands are no tuples that merge");
  for (uint32_t k = 0; k < 2; k++)
    interp_set_result(in, op, k, merged[k]);
  return STATUS_OK;
}

const struct op_hooks combine_hooks = {
    .infer = infer,
    .eval = eval,
};
