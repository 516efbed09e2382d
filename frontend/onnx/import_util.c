/* SPDX-License-Identifier: Apache-2.0 */
/* Small builders that importers of shapes, indices and coordinates share. */
#include "frontend/onnx/import_util.h"

#include "frontend/onnx/import_internal.h"

#include <string.h>

value_id import_axis_iota(struct import_node *n, enum dtype dtype, uint32_t rank, uint32_t axis,
                          dim size) {
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < rank && i < IR_MAX_RANK; i++)
    dims[i] = i == axis ? size : dim_const(n->dims, 1);
  return build_iota(n->b, dtype, dims, rank, axis);
}

value_id import_scalar(struct import_node *n, uint32_t i, enum dtype dtype) {
  return build_cast(n->b, build_reshape(n->b, import_in(n, i), NULL, 0), dtype);
}

value_id import_wrap_index(struct import_node *n, value_id index, dim size) {
  if (index == VALUE_NONE)
    return VALUE_NONE;
  enum dtype dtype = value_type(n->f, index)->dtype;
  index = build_cast(n->b, index, DTYPE_I64);
  if (!dtype_is_signed(dtype))
    return index;
  value_id negative = build_binary_i64(n->b, SCALAR_LT, index, 0);
  value_id wrapped = value_add(n->b, index, import_dim_scalar(n, size, DTYPE_I64));
  return build_select(n->b, negative, wrapped, index);
}

value_id import_gather_axis(struct import_node *n, value_id data, value_id index, uint32_t axis,
                            enum out_of_range mode) {
  if (data == VALUE_NONE || index == VALUE_NONE)
    return VALUE_NONE;
  int64_t axes = axis, perm[2 * IR_MAX_RANK];
  uint32_t k = 0, index_rank = value_type(n->f, index)->rank;
  uint32_t rank = value_type(n->f, data)->rank + index_rank - 1;
  for (uint32_t i = 0; i < axis; i++)
    perm[k++] = index_rank + i;
  for (uint32_t i = 0; i < index_rank; i++)
    perm[k++] = i;
  while (k < rank) {
    perm[k] = k;
    k++;
  }
  return build_transpose(n->b, build_gather(n->b, data, &index, &axes, 1, mode), perm);
}

dim import_named_dim(struct import_node *n, dim d) {
  int64_t lo, hi;
  uint64_t key = (uint64_t)d << 32 | n->b->region, everywhere = (uint64_t)d << 32, symbol;
  if (d == DIM_NONE || dim_size(n->dims, d) == 1)
    return d;
  if (map_get(&n->im->dim_names, key, &symbol) || map_get(&n->im->dim_names, everywhere, &symbol))
    return (dim)symbol;
  dim_bounds(n->dims, d, &lo, &hi);
  symbol = dim_fresh(n->dims, "d", lo, hi);
  build_symbol(n->b, build_dims(n->b, &d, 1), 0, (dim)symbol);
  map_put(&n->im->dim_names, key, symbol);
  return (dim)symbol;
}

dim import_short_dim(struct import_node *n, dim d) {
  return dim_size(n->dims, d) > IMPORT_LONG_DIM ? import_named_dim(n, d) : d;
}

dim import_product(struct import_node *n, const dim *dims, uint32_t count) {
  dim d = dim_const(n->dims, 1);
  for (uint32_t i = 0; i < count; i++) {
    dim more = dim_mul(n->dims, d, dims[i]);
    if (more == DIM_NONE) {
      d = import_named_dim(n, d);
      more = dim_mul(n->dims, d, import_named_dim(n, dims[i]));
    }
    d = more;
  }
  return d;
}

dim import_elements(struct import_node *n, const struct type *type) {
  return import_product(n, type->dims, type->rank);
}

bool import_dim_is_free(struct import_node *n, dim d) {
  int64_t lo, hi;
  uint32_t symbol;
  dim_bounds(n->dims, d, &lo, &hi);
  return lo == DIM_UNBOUNDED_LO && dim_symbol_of(n->dims, d, &symbol);
}

dim import_dim_clamp(struct import_node *n, dim d, dim lo, dim hi) {
  return dim_min(n->dims, dim_max(n->dims, d, lo), hi);
}

/* Both are written so that no value of d overflows. */
dim import_dim_not_negative(struct import_node *n, dim d) {
  dim sign = dim_max(n->dims, dim_min(n->dims, d, dim_const(n->dims, 0)), dim_const(n->dims, -1));
  return dim_add(n->dims, sign, dim_const(n->dims, 1));
}

dim import_dim_equals(struct import_node *n, dim d, dim other) {
  dim one = dim_const(n->dims, 1), near = dim_max(n->dims, d, dim_sub(n->dims, other, one));
  near = dim_sub(n->dims, dim_min(n->dims, near, dim_add(n->dims, other, one)), other);
  return dim_sub(n->dims, one, dim_max(n->dims, near, dim_neg(n->dims, near)));
}

dim import_dim_steps(struct import_node *n, dim start, dim limit, dim step) {
  dim steps = dim_neg(n->dims, dim_floordiv(n->dims, dim_sub(n->dims, start, limit), step));
  return dim_max(n->dims, steps, dim_const(n->dims, 0));
}

dim *import_dims_of(struct import_node *n, value_id v) {
  const struct type *type = value_type(n->f, v);
  return arena_memdup(import_arena(n), type->dims, sizeof type->dims);
}

dim import_dims_between(struct import_node *n, value_id v, uint32_t first, uint32_t last) {
  const struct type type = *value_type(n->f, v);
  return import_product(n, type.dims + first, last - first);
}
