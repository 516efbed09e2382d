/* SPDX-License-Identifier: Apache-2.0 */
/* Operators whose results have a size that depends on data, and TopK. */
#include "frontend/onnx/import_util.h"

#include <string.h>

/* The count that an op found, as a fresh symbol of at most `most`. */
static dim bind_count(struct import_node *n, value_id count, dim most) {
  int64_t lo, hi;
  if (count == VALUE_NONE)
    return DIM_NONE;
  dim_bounds(n->dims, most, &lo, &hi);
  dim symbol = dim_fresh(n->dims, "count", 0, hi < 0 ? 0 : hi);
  build_symbol(n->b, count, 0, symbol);
  return symbol;
}

static value_id first_rows(struct import_node *n, value_id x, uint32_t axis, dim count) {
  return count == DIM_NONE ? VALUE_NONE
                           : build_slice_axis(n->b, x, axis, dim_const(n->dims, 0), count);
}

/* Whether x repeats one known element that is not zero. */
static bool is_filled(struct import_node *n, value_id x) {
  int64_t known;
  for (;;) {
    const struct op *op = value_def(n->f, x);
    if (dim_is_const_value(n->dims, type_elements(n->dims, value_type(n->f, x)), 1))
      break;
    if (!op || (op->kind != OP_BROADCAST && op->kind != OP_RESHAPE && op->kind != OP_TRANSPOSE))
      return false;
    x = op->operands[0];
  }
  value_id one = build_cast(n->b, build_reshape(n->b, x, NULL, 0), DTYPE_BOOL);
  return dim_is_const(n->dims, import_value_dim(n, one, 0), &known) && known;
}

/* All coordinates of a type, i64 [rank, elements]. Exporters write ranges as those of the non-zero
 * elements of a tensor of ones. */
static value_id all_coordinates(struct import_node *n, const struct type *type) {
  struct builder *b = n->b;
  value_id rows[IR_MAX_RANK];
  dim shape[2] = {dim_const(n->dims, 1), type_elements(n->dims, type)}, stride = shape[0];
  for (uint32_t i = type->rank; i-- > 0;) {
    value_id place = build_iota(b, DTYPE_I64, shape, 2, 1);
    if (i + 1 < type->rank)
      place = value_div(b, place, import_dim_scalar(n, stride, DTYPE_I64));
    if (i > 0)
      place = build_binary(b, SCALAR_MOD, place, import_dim_scalar(n, type->dims[i], DTYPE_I64));
    rows[i] = place;
    stride = dim_mul(n->dims, stride, type->dims[i]);
  }
  return build_concat(b, rows, type->rank, 0);
}

value_id import_nonzero_of(struct import_node *n, value_id x) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  const struct type type = *value_type(n->f, x);
  if (type.rank > 0 && is_filled(n, x))
    return all_coordinates(n, &type);
  op_id op = build_op(n->b, OP_NONZERO, &x, 1, NULL, 0, NULL);
  dim most = type_elements(n->dims, value_type(n->f, x));
  return first_rows(n, op_result(n->f, op, 0), 1, bind_count(n, op_result(n->f, op, 1), most));
}

void import_nonzero(struct import_node *n) {
  if (import_arity(n, 1, 1, 1))
    import_out(n, 0, import_nonzero_of(n, import_in(n, 0)));
}

/* The condition may be shorter than the axis, never longer. */
void import_compress(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 0);
  bool flat = !import_attr_has(n, "axis");
  uint32_t at = 0;
  if (!import_arity(n, 2, 2, 1) || (!flat && !import_axis(n, axis, import_rank(n, 0), &at)))
    return;
  if (import_rank(n, 1) != 1) {
    import_invalid(n, "its condition has rank %u, not 1", import_rank(n, 1));
    return;
  }
  value_id x = import_in(n, 0), places = import_nonzero_of(n, import_in(n, 1));
  dim elements = type_elements(n->dims, import_type(n, 0));
  if (flat)
    x = build_reshape(n->b, x, &elements, 1);
  if (places == VALUE_NONE)
    return;
  dim count = value_type(n->f, places)->dims[1];
  places = build_reshape(n->b, places, &count, 1);
  import_out(n, 0, import_gather_axis(n, x, places, at, OUT_OF_RANGE_ERROR));
}

/* x as [n, m] with the axis first. */
static value_id rows_of(struct import_node *n, value_id x, uint32_t axis) {
  uint32_t rank = value_type(n->f, x)->rank;
  int64_t perm[IR_MAX_RANK] = {axis};
  for (uint32_t i = 0, k = 1; i < rank; i++)
    if (i != axis)
      perm[k++] = i;
  x = build_transpose(n->b, x, perm);
  if (x == VALUE_NONE)
    return VALUE_NONE;
  dim dims[2] = {value_type(n->f, x)->dims[0], import_dims_between(n, x, 1, rank)};
  return build_reshape(n->b, x, dims, 2);
}

void import_unique(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 0);
  bool flat = !import_attr_has(n, "axis");
  struct unique_attrs attrs = {.sorted = import_attr_int(n, "sorted", 1) != 0};
  uint32_t at = 0;
  if (!import_arity(n, 1, 1, 4) || (!flat && !import_axis(n, axis, import_rank(n, 0), &at)))
    return;
  value_id x = import_in(n, 0), rows;
  dim elements = type_elements(n->dims, import_type(n, 0));
  if (flat)
    x = build_reshape(n->b, x, &elements, 1);
  rows = x == VALUE_NONE ? x : rows_of(n, x, at);
  if (rows == VALUE_NONE)
    return;
  dim most = value_type(n->f, rows)->dims[0];
  op_id op = build_op(n->b, OP_UNIQUE, &rows, 1, NULL, 0, &attrs);
  dim count = bind_count(n, op_result(n->f, op, 3), most);
  value_id first = first_rows(n, op_result(n->f, op, 0), 0, count);
  import_out(n, 0, import_gather_axis(n, x, first, at, OUT_OF_RANGE_ERROR));
  if (import_wants(n, 1))
    import_out(n, 1, first);
  if (import_wants(n, 2))
    import_out(n, 2, op_result(n->f, op, 1));
  if (import_wants(n, 3))
    import_out(n, 3, first_rows(n, op_result(n->f, op, 2), 0, count));
}

void import_nms(struct import_node *n) {
  struct nms_attrs attrs = {.center = import_attr_int(n, "center_point_box", 0) != 0};
  if (!import_arity(n, 2, 5, 1))
    return;
  struct builder *b = n->b;
  value_id operands[5] = {build_cast(b, import_in(n, 0), DTYPE_F32),
                          build_cast(b, import_in(n, 1), DTYPE_F32)};
  operands[2] =
      import_has(n, 2) ? import_scalar(n, 2, DTYPE_I64) : build_scalar_i64(b, DTYPE_I64, 0);
  operands[3] =
      import_has(n, 3) ? import_scalar(n, 3, DTYPE_F32) : build_scalar_f64(b, DTYPE_F32, 0);
  operands[4] = import_has(n, 4) ? import_scalar(n, 4, DTYPE_F32)
                                 : build_scalar_f64(b, DTYPE_F32, -__builtin_inf());
  op_id op = build_op(b, OP_NMS, operands, 5, NULL, 0, &attrs);
  dim most = type_elements(n->dims, import_type(n, 1));
  dim count = bind_count(n, op_result(n->f, op, 1), most);
  import_out(n, 0, first_rows(n, op_result(n->f, op, 0), 0, count));
}

void import_top_k(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", -1), k_attr = import_attr_int(n, "k", -1);
  struct topk_attrs attrs = {.descending = import_attr_int(n, "largest", 1) != 0};
  import_attr_ignore(n, "sorted"); /* in order is one of the orders that 0 allows */
  bool old = n->opset < 10;
  uint32_t at;
  if (!import_arity(n, old ? 1 : 2, old ? 1 : 2, 2) ||
      !import_axis(n, axis, import_rank(n, 0), &at))
    return;
  if (old)
    attrs.k = dim_const(n->dims, k_attr);
  else if (!import_dim_or_symbol(n, 1, "k", &attrs.k))
    return;
  attrs.axis = at;
  attrs.k = import_size(n, attrs.k);
  if (!dim_known_lt(n->dims, import_dim(n, 0, at), attrs.k))
    build_check(n->b, attrs.k, RELATION_LE, import_dim(n, 0, at), "k is above the dim of the axis");
  value_id x = import_in(n, 0);
  op_id op = build_op(n->b, OP_TOPK, &x, 1, NULL, 0, &attrs);
  if (import_wants(n, 0))
    import_out(n, 0, op_result(n->f, op, 0));
  if (import_wants(n, 1))
    import_out(n, 1, op_result(n->f, op, 1));
}
