/* SPDX-License-Identifier: Apache-2.0 */
/* nonzero: coordinates of the elements that are not zero. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (x->dtype == DTYPE_STRING)
    return op_refuse(why, "nonzero does not take strings");
  dim dims[2] = {dim_const(t, x->rank), type_elements(t, x)};
  *out_n_types = 2;
  return op_make_type(why, t, DTYPE_I64, dims, 2, out_types) &&
         op_make_type(why, t, DTYPE_I64, NULL, 0, out_types + 1);
}

static status eval(struct interp *in, const struct op *op) {
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *t = interp_result(in, op, 0);
  struct tensor *count = t ? interp_result(in, op, 1) : NULL;
  status s =
      count ? interp_check_dims(in, op, t, (int64_t[]){x->rank, x->count}, false) : in->failure;
  if (s || x->count == 0)
    return s;
  int64_t index[IR_MAX_RANK] = {0}, found = 0, at = 0;
  bool is_float = dtype_is_float(interp_order_dtype(in, x->dtype));
  do {
    bool hit = is_float ? x->f64[at] != 0 : x->i64[at] != 0;
    at++;
    if (!hit)
      continue;
    for (uint32_t d = 0; d < x->rank; d++)
      t->i64[d * x->count + found] = index[d];
    found++;
  } while (index_next(index, x->dims, x->rank));
  count->i64[0] = found;
  return STATUS_OK;
}

const struct op_hooks nonzero_hooks = {
    .infer = infer,
    .eval = eval,
};
