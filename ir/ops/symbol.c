/* SPDX-License-Identifier: Apache-2.0 */
/* symbol: binds a symbol to an element of a tensor. */
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

const struct op_hooks symbol_hooks = {
    .infer = infer,
};
