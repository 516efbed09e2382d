/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that fill a tensor by a rule: one value, a range, a triangle, a diagonal. */
#include "frontend/onnx/import_util.h"

void import_constant_of_shape(struct import_node *n) {
  const Onnx__TensorProto *value = import_attr_tensor(n, "value");
  struct dims shape;
  if (!import_arity(n, 1, 1, 1) || !import_dims_or_symbols(n, 0, "the shape", &shape))
    return;
  value_id fill = value ? build_reshape(n->b, import_tensor_const(n, value), NULL, 0)
                        : build_scalar_f64(n->b, DTYPE_F32, 0);
  dim *dims = ARENA_ARRAY(import_arena(n), dim, shape.len);
  for (uint32_t i = 0; i < shape.len; i++)
    dims[i] = import_size(n, shape.data[i]);
  import_out(n, 0, build_broadcast_to(n->b, fill, dims, shape.len));
}

/* ---- Range ---- */

/* The number of elements where it is not one of dims: ceil((limit - start) / delta). */
static dim range_count(struct import_node *n, value_id start, value_id limit, value_id delta) {
  struct builder *b = n->b;
  start = build_cast(b, start, DTYPE_F64);
  limit = build_cast(b, limit, DTYPE_F64);
  value_id count = value_div(b, value_sub(b, limit, start), build_cast(b, delta, DTYPE_F64));
  count = build_cast(b, build_unary(b, SCALAR_CEIL, count), DTYPE_I64);
  return import_value_symbol(n, build_binary_i64(b, SCALAR_MAX, count, 0), 0);
}

void import_range_op(struct import_node *n) {
  if (!import_arity(n, 3, 3, 1))
    return;
  enum dtype dtype = import_dtype(n, 0);
  struct builder *b = n->b;
  value_id part[3];
  dim d[3], count;
  for (uint32_t i = 0; i < 3; i++)
    part[i] = import_scalar(n, i, dtype);
  if (dtype_is_float(dtype)) {
    count = range_count(n, part[0], part[1], part[2]);
  } else {
    for (uint32_t i = 0; i < 3; i++)
      d[i] = import_value_symbol(n, part[i], 0);
    count = import_dim_steps(n, d[0], d[1], d[2]);
  }
  if (count == DIM_NONE) {
    import_unsupported(n, "its length cannot be expressed");
    return;
  }
  count = import_size(n, count);
  value_id x = build_iota(b, dtype, &count, 1, 0);
  import_out(n, 0, value_add(b, value_mul(b, x, part[2]), part[0]));
}

/* ---- masks ---- */

/* Column minus row over the last two dims. */
static value_id diagonal_of(struct import_node *n, const struct type *type) {
  uint32_t rank = type->rank;
  value_id row = import_axis_iota(n, DTYPE_I64, 2, 0, type->dims[rank - 2]);
  value_id column = import_axis_iota(n, DTYPE_I64, 2, 1, type->dims[rank - 1]);
  return value_sub(n->b, column, row);
}

void import_trilu(struct import_node *n) {
  bool upper = import_attr_int(n, "upper", 1) != 0;
  if (!import_arity(n, 1, 2, 1))
    return;
  const struct type type = *import_type(n, 0);
  if (type.rank < 2) {
    import_invalid(n, "its operand has rank %u", type.rank);
    return;
  }
  value_id k =
      import_has(n, 1) ? import_scalar(n, 1, DTYPE_I64) : build_scalar_i64(n->b, DTYPE_I64, 0);
  value_id kept = build_binary(n->b, upper ? SCALAR_GE : SCALAR_LE, diagonal_of(n, &type), k);
  value_id zero = build_scalar_i64(n->b, type.dtype, 0);
  import_out(n, 0, build_select(n->b, kept, import_in(n, 0), zero));
}

void import_eye_like(struct import_node *n) {
  int64_t k = import_attr_int(n, "k", 0);
  if (!import_arity(n, 1, 1, 1))
    return;
  const struct type type = *import_type(n, 0);
  enum dtype dtype = import_attr_dtype(n, "dtype", type.dtype);
  if (n->failed)
    return;
  if (type.rank != 2) {
    import_invalid(n, "its operand has rank %u, not 2", type.rank);
    return;
  }
  value_id one = build_binary_i64(n->b, SCALAR_EQ, diagonal_of(n, &type), k);
  import_out(n, 0, build_cast(n->b, one, dtype));
}
