/* SPDX-License-Identifier: Apache-2.0 */
/* symbol: binds a symbol to an element of a tensor. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  (void)out_types;
  const struct symbol_attrs *a = VIEW_ATTRS(symbol, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  uint32_t symbol;
  if (!dim_symbol_of(t, a->symbol, &symbol))
    return op_refuse(why, "'symbol' is not a symbol");
  if (!dtype_is_int(x->dtype))
    return op_refuse(why, "operand 0 is %s, not integer", dtype_name(x->dtype));
  if (a->index < 0 || dim_known_le(t, type_elements(t, x), dim_const(t, a->index)))
    return op_refuse(why, "the operand has no element %lld", (long long)a->index);
  *out_n_types = 0;
  return true;
}

static status eval(struct interp *in, const struct op *op) {
  const struct symbol_attrs *a = OP_ATTRS(symbol, op);
  const struct tensor *x = interp_operand(in, op, 0);
  uint32_t symbol;
  if (a->index >= x->count)
    return interp_fail(in, op, DIAG_E0610, "the operand has %" PRId64 " elements", x->count);
  int64_t value = x->i64[a->index];
  if (x->dtype == DTYPE_U64 && value < 0)
    value = INT64_MAX;
  if (!dim_symbol_of(in->function->module->dims, a->symbol, &symbol))
    return interp_fail(in, op, DIAG_E0622, "there is no symbol to bind");
  return interp_bind(in, op, symbol, value);
}

const struct op_hooks symbol_hooks = {
    .infer = infer,
    .eval = eval,
};
