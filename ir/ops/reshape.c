/* SPDX-License-Identifier: Apache-2.0 */
/* reshape: the same elements in row-major order under other dims. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct dims *dims = &VIEW_ATTRS(reshape, op)->dims;
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (!op_make_type(why, t, x->dtype, dims->data, dims->len, out_types))
    return false;
  *out_n_types = 1;
  if (dim_known_ne(t, type_elements(t, x), type_elements(t, out_types)))
    return op_refuse(why, "the number of elements changes");
  return true;
}

static status eval(struct interp *in, const struct op *op) {
  return interp_alias(in, op, 0, interp_operand(in, op, 0));
}

const struct op_hooks reshape_hooks = {
    .infer = infer,
    .eval = eval,
};
