/* SPDX-License-Identifier: Apache-2.0 */
/* bitcast: the same bits read as another dtype. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  enum dtype dtype = VIEW_ATTRS(bitcast, op)->dtype;
  const struct type *x = op_operand(op, 0);
  if ((unsigned)dtype >= DTYPE_COUNT || dtype == DTYPE_STRING || x->dtype == DTYPE_STRING)
    return op_refuse(why, "bitcast takes and makes numbers");
  if (dtype_bits(dtype) != dtype_bits(x->dtype))
    return op_refuse(why, "%s and %s differ in width", dtype_name(x->dtype), dtype_name(dtype));
  /* A bool byte is 0 or 1; other bits would break what reads it. */
  if (dtype == DTYPE_BOOL && x->dtype != DTYPE_BOOL)
    return op_refuse(why, "bitcast does not make bool");
  *out_n_types = 1;
  return op_make_type(why, op_dim_table(op), dtype, x->dims, x->rank, out_types);
}

static status eval(struct interp *in, const struct op *op) {
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *t = interp_result(in, op, 0);
  status s = t ? interp_check_dims(in, op, x, t->dims, false) : in->failure;
  if (s)
    return s;
  const union scalar *from = x->data;
  union scalar *to = t->data;
  bool from_field = in->mode == INTERP_FIELD && dtype_is_float(x->dtype);
  bool to_field = in->mode == INTERP_FIELD && dtype_is_float(t->dtype);
  for (int64_t i = 0; (from_field || to_field) && i < t->count; i++) {
    int64_t image = field_hash((uint64_t)x->dtype, from[i].i64, (int64_t)t->dtype, 0);
    to[i].i64 = to_field ? image : scalar_literal_i64(t->dtype, image);
  }
  for (int64_t i = 0; !from_field && !to_field && i < t->count; i++)
    to[i] = scalar_from_bits(t->dtype, scalar_to_bits(x->dtype, from[i]));
  return STATUS_OK;
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  factors_same_dims(f, op, UINT32_MAX, out);
}

const struct op_hooks bitcast_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
