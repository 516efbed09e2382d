/* SPDX-License-Identifier: Apache-2.0 */
/* Type rule and evaluation of the collectives. */
#include "ir/ops/collective_util.h"

bool collective_infer_types(const struct op_view *op, struct strbuf *why, struct type *out_types,
                            uint32_t *out_n_types) {
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

/* Whole axes are named once. Of parts, size and stride are both given or both 0; how they lie in
 * the axis is for the mesh to say. */
static bool check_axes(struct strbuf *why, const struct collective_attrs *a) {
  if (a->axes.len == 0)
    return op_refuse(why, "names no axes");
  if (a->axes.len > MESH_MAX_AXES)
    return op_refuse(why, "names %u axes, more than %d", a->axes.len, MESH_MAX_AXES);
  if (a->parts.len == 0)
    return op_check_axes(why, "axes", &a->axes, MESH_MAX_AXES, NULL);
  if (!op_check_len(why, "parts", a->parts.len, 2 * a->axes.len) ||
      !op_check_ints(why, "parts", &a->parts, 0))
    return false;
  for (uint32_t i = 0; i < a->axes.len; i++) {
    if (!op_check_axis(why, a->axes.data[i], MESH_MAX_AXES))
      return false;
    if ((a->parts.data[2 * i] == 0) != (a->parts.data[2 * i + 1] == 0))
      return op_refuse(why, "part %u has a size and no stride, or a stride and no size", i);
  }
  return true;
}

bool collective_infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                      uint32_t *out_n_types) {
  return check_axes(why, op->attrs) && collective_infer_types(op, why, out_types, out_n_types);
}

uint32_t collective_axes(const struct op *op, struct axis_ref out[MESH_MAX_AXES]) {
  const struct collective_attrs *a = op->attrs;
  for (uint32_t i = 0; i < a->axes.len; i++) {
    out[i] = (struct axis_ref){.axis = (uint32_t)a->axes.data[i]};
    if (a->parts.len) {
      out[i].sub_size = a->parts.data[2 * i];
      out[i].sub_stride = a->parts.data[2 * i + 1];
    }
  }
  return a->axes.len;
}

bool collective_check_dim(const struct op_view *op, struct strbuf *why, int64_t d) {
  return op_check_axis(why, d, op_operand(op, 0)->rank);
}

status collective_eval(struct interp *in, const struct op *op) {
  if (!in->rank || !in->rank->collective)
    return interp_fail(in, op, DIAG_E0622, "a collective needs all ranks of a mesh");
  return in->rank->collective(in->rank, in, op);
}
