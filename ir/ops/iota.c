/* SPDX-License-Identifier: Apache-2.0 */
/* iota: the index along one axis. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"
#include "ir/shard_index.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct iota_attrs *a = VIEW_ATTRS(iota, op);
  if (!op_check_type(why, op_dim_table(op), a->type) || !op_check_axis(why, a->axis, a->type->rank))
    return false;
  if (!dtype_is_number(a->type->dtype))
    return op_refuse(why, "iota does not make %s", dtype_name(a->type->dtype));
  *out_types = *a->type;
  *out_n_types = 1;
  return true;
}

static status eval(struct interp *in, const struct op *op) {
  struct tensor *t = interp_result(in, op, 0);
  if (!t)
    return in->failure;
  struct axis_split s = split_at(t->dims, t->rank, OP_ATTRS(iota, op)->axis);
  union scalar *to = t->data;
  struct shard_part part;
  if (!interp_part(in, op, op->results[0], (uint32_t)OP_ATTRS(iota, op)->axis, &part))
    return in->failure;
  if (t->count == 0)
    return STATUS_OK;
  for (int64_t o = 0; o < s.outer; o++)
    for (int64_t i = 0; i < s.n; i++) {
      union scalar x = scalar_cast(in->mode, (union scalar){.i64 = shard_part_global(&part, i)},
                                   DTYPE_I64, t->dtype, CAST_DEFAULT);
      for (int64_t k = 0; k < s.inner; k++)
        *to++ = x;
    }
  return STATUS_OK;
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  factors_same_dims(f, op, UINT32_MAX, out);
}

const struct op_hooks iota_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
