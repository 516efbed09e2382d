/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products: MatMul, Gemm. */
#include "frontend/onnx/import_linear.h"

#include "frontend/onnx/import_build.h"

#include <string.h>

static dim broadcast_dim(struct import_node *n, dim a, dim b) {
  if (dim_is_const_value(n->dims, a, 1) || dim_known_eq(n->dims, a, b))
    return b;
  if (dim_is_const_value(n->dims, b, 1))
    return a;
  if (dim_is_const(n->dims, a, NULL) && dim_is_const(n->dims, b, NULL))
    return DIM_NONE;
  build_check(n->b, a, RELATION_BROADCAST, b, "dims do not broadcast");
  /* A constant other than 1 decides. */
  if (dim_is_const(n->dims, a, NULL))
    return a;
  return dim_is_const(n->dims, b, NULL) ? b : dim_max(n->dims, a, b);
}

bool import_broadcast_dims(struct import_node *n, const dim *a, uint32_t rank_a, const dim *b,
                           uint32_t rank_b, dim *out, uint32_t *out_rank) {
  uint32_t rank = rank_a > rank_b ? rank_a : rank_b;
  dim one = dim_const(n->dims, 1);
  for (uint32_t i = 0; i < rank; i++) {
    dim x = i + rank_a >= rank ? a[i + rank_a - rank] : one;
    dim y = i + rank_b >= rank ? b[i + rank_b - rank] : one;
    out[i] = broadcast_dim(n, x, y);
    if (out[i] == DIM_NONE)
      return false;
  }
  *out_rank = rank;
  return true;
}

/* Gives x the batch dims, keeping its last two. */
static value_id with_batch(struct import_node *n, value_id x, const dim *batch, uint32_t rank) {
  dim dims[IR_MAX_RANK];
  const struct type *type = import_value_type(n, x);
  if (rank + 2 > IR_MAX_RANK)
    return VALUE_NONE;
  memcpy(dims, batch, rank * sizeof *dims);
  memcpy(dims + rank, type->dims + type->rank - 2, 2 * sizeof *dims);
  return build_broadcast_to(n->b, x, dims, rank + 2);
}

/* Both of rank 2 or more. A plain matrix on the right takes all dims of the left as rows. */
static value_id matrix_product(struct import_node *n, value_id lhs, value_id rhs,
                               enum dtype dtype) {
  const struct type *l = import_value_type(n, lhs), *r = import_value_type(n, rhs);
  if (r->rank == 2) {
    int64_t lhs_k = l->rank - 1, rhs_k = 0;
    struct contract_attrs attrs = {.lhs_k = {&lhs_k, 1}, .rhs_k = {&rhs_k, 1}, .dtype = dtype};
    return build_contract(n->b, lhs, rhs, &attrs);
  }
  dim batch[IR_MAX_RANK];
  uint32_t rank;
  if (!import_broadcast_dims(n, l->dims, l->rank - 2, r->dims, r->rank - 2, batch, &rank)) {
    import_invalid(n, "the batch dims of its operands do not broadcast");
    return VALUE_NONE;
  }
  lhs = with_batch(n, lhs, batch, rank);
  rhs = with_batch(n, rhs, batch, rank);
  return build_matmul(n->b, lhs, rhs, dtype);
}

value_id import_build_matmul(struct import_node *n, value_id lhs, value_id rhs, enum dtype dtype) {
  if (lhs == VALUE_NONE || rhs == VALUE_NONE)
    return VALUE_NONE;
  uint32_t l = value_type(n->f, lhs)->rank, r = value_type(n->f, rhs)->rank;
  if (l == 0 || r == 0) {
    import_invalid(n, "it has a scalar operand");
    return VALUE_NONE;
  }
  int64_t front = 0, back = 1;
  if (l == 1)
    lhs = build_unsqueeze(n->b, lhs, &front, 1);
  if (r == 1)
    rhs = build_unsqueeze(n->b, rhs, &back, 1);
  if (lhs == VALUE_NONE || rhs == VALUE_NONE)
    return VALUE_NONE;
  value_id y = matrix_product(n, lhs, rhs, dtype);
  if (y == VALUE_NONE || (l > 1 && r > 1))
    return y;
  uint32_t rank = value_type(n->f, y)->rank, drop = 0;
  int64_t axes[2];
  if (l == 1)
    axes[drop++] = rank - 2;
  if (r == 1)
    axes[drop++] = rank - 1;
  return build_squeeze(n->b, y, axes, drop);
}

void import_matmul(struct import_node *n) {
  if (import_arity(n, 2, 2, 1))
    import_out(n, 0, import_build_matmul(n, import_in(n, 0), import_in(n, 1), import_dtype(n, 0)));
}

/* x * factor; in f64 for an integer x. */
static value_id scaled(struct import_node *n, value_id x, double factor, enum dtype dtype) {
  if (factor == 1)
    return x;
  if (dtype_is_float(dtype))
    return build_binary_f64(n->b, SCALAR_MUL, x, factor);
  x = build_binary_f64(n->b, SCALAR_MUL, build_cast(n->b, x, DTYPE_F64), factor);
  return build_cast(n->b, x, dtype);
}

void import_gemm(struct import_node *n) {
  double alpha = import_attr_float(n, "alpha", 1), beta = import_attr_float(n, "beta", 1);
  int64_t lhs_k = import_attr_int(n, "transA", 0) ? 0 : 1;
  int64_t rhs_k = import_attr_int(n, "transB", 0) ? 1 : 0;
  import_attr_ignore(n, "broadcast"); /* opset 6: what later ones always do */
  if (!import_arity(n, 2, 3, 1))
    return;
  if (import_rank(n, 0) != 2 || import_rank(n, 1) != 2) {
    import_invalid(n, "its operands have ranks %u and %u, not 2", import_rank(n, 0),
                   import_rank(n, 1));
    return;
  }
  /* Floats below f32 are rounded once, at the end. */
  enum dtype dtype = import_dtype(n, 0), work = dtype_compute(dtype);
  struct contract_attrs attrs = {.lhs_k = {&lhs_k, 1}, .rhs_k = {&rhs_k, 1}, .dtype = work};
  value_id y = build_contract(n->b, import_in(n, 0), import_in(n, 1), &attrs);
  y = scaled(n, y, alpha, work);
  if (import_has(n, 2) && beta != 0) {
    value_id c = build_cast(n->b, import_in(n, 2), work);
    y = build_binary(n->b, SCALAR_ADD, y, scaled(n, c, beta, work));
  }
  import_out(n, 0, build_cast(n->b, y, dtype));
}
