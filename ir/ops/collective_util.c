/* SPDX-License-Identifier: Apache-2.0 */
/* Type rule and evaluation of the collectives. */
#include "ir/ops/collective_util.h"

#include "ir/sharding.h"

bool collective_infer(const struct op_view *op, struct strbuf *why, const struct ints *axes,
                      struct type *out_types, uint32_t *out_n_types) {
  if (axes->len == 0)
    return op_refuse(why, "names no axes");
  if (!op_check_axes(why, "axes", axes, MESH_MAX_AXES, NULL))
    return false;
  *out_n_types = op->n_operands;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct type *x = op_operand(op, i);
    if (x->dtype == DTYPE_STRING)
      return op_refuse(why, "does not take strings");
    if (!op_make_type(why, op_dim_table(op), x->dtype, x->dims, x->rank, out_types + i))
      return false;
  }
  return true;
}

bool collective_check_dim(const struct op_view *op, struct strbuf *why, int64_t d) {
  return op_check_axis(why, d, op_operand(op, 0)->rank);
}

status collective_eval(struct interp *in, const struct op *op) {
  if (!in->rank || !in->rank->collective)
    return interp_fail(in, op, DIAG_E0622, "a collective needs all ranks of a mesh");
  return in->rank->collective(in->rank, in, op);
}
