/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise operators that are one scalar op, or a few: arithmetic, comparison, logic, bits. */
#include "frontend/onnx/import_node.h"

#include <string.h>

void import_unary(struct import_node *n) {
  if (import_arity(n, 1, 1, 1))
    import_out(n, 0, build_unary(n->b, (enum scalar_op)n->arg, import_in(n, 0)));
}

/* Opset 6 and below broadcast by attributes. */
static bool broadcasts_by_attributes(struct import_node *n) {
  if (!import_attr_has(n, "broadcast") && !import_attr_has(n, "axis"))
    return false;
  import_unsupported(n, "broadcasting by attributes, as before opset 7");
  return true;
}

void import_binary(struct import_node *n) {
  if (!import_arity(n, 2, 2, 1) || broadcasts_by_attributes(n))
    return;
  import_out(n, 0, build_binary(n->b, (enum scalar_op)n->arg, import_in(n, 0), import_in(n, 1)));
}

static value_id combine_all(struct import_node *n, enum scalar_op op) {
  value_id v = import_in(n, 0);
  for (uint32_t i = 1; i < n->n_inputs; i++)
    v = build_binary(n->b, op, v, import_in(n, i));
  return v;
}

static bool variadic_arity(struct import_node *n) {
  return import_arity(n, 1, UINT32_MAX, 1) && import_arity(n, n->n_inputs, UINT32_MAX, 1);
}

void import_variadic(struct import_node *n) {
  if (variadic_arity(n))
    import_out(n, 0, combine_all(n, (enum scalar_op)n->arg));
}

void import_mean(struct import_node *n) {
  if (variadic_arity(n))
    import_out(n, 0, build_binary_f64(n->b, SCALAR_DIV, combine_all(n, SCALAR_ADD), n->n_inputs));
}

void import_mod(struct import_node *n) {
  bool c_like = import_attr_int(n, "fmod", 0) != 0;
  if (import_arity(n, 2, 2, 1))
    import_out(
        n, 0,
        build_binary(n->b, c_like ? SCALAR_REM : SCALAR_MOD, import_in(n, 0), import_in(n, 1)));
}

/* The result has the base's type. An integer to a float power is a float power, cut off. */
void import_pow(struct import_node *n) {
  if (!import_arity(n, 2, 2, 1) || broadcasts_by_attributes(n))
    return;
  enum dtype base = import_dtype(n, 0), exponent = import_dtype(n, 1);
  enum dtype work = dtype_is_float(base) || !dtype_is_float(exponent) ? base : DTYPE_F64;
  value_id x = build_cast(n->b, import_in(n, 0), work);
  value_id y = build_cast(n->b, import_in(n, 1), work);
  import_out(n, 0, build_cast(n->b, build_binary(n->b, SCALAR_POW, x, y), base));
}

void import_bit_shift(struct import_node *n) {
  const char *direction = import_attr_string(n, "direction", "");
  bool left = !strcmp(direction, "LEFT");
  if (!import_arity(n, 2, 2, 1))
    return;
  if (!left && strcmp(direction, "RIGHT")) {
    import_invalid(n, "direction must be LEFT or RIGHT");
    return;
  }
  import_out(n, 0,
             build_binary(n->b, left ? SCALAR_SHL : SCALAR_SHR, import_in(n, 0), import_in(n, 1)));
}

void import_reciprocal(struct import_node *n) {
  if (!import_arity(n, 1, 1, 1))
    return;
  value_id one = build_scalar_f64(n->b, import_dtype(n, 0), 1);
  import_out(n, 0, build_binary(n->b, SCALAR_DIV, one, import_in(n, 0)));
}

/* The upper bound wins where the bounds cross. */
void import_clip(struct import_node *n) {
  if (!import_arity(n, 1, 3, 1))
    return;
  value_id x = import_in(n, 0);
  enum dtype dtype = import_dtype(n, 0);
  if (n->opset < 11) {
    double lo = import_attr_float(n, "min", -3.4028234663852886e38);
    double hi = import_attr_float(n, "max", 3.4028234663852886e38);
    x = build_binary(n->b, SCALAR_MAX, x, build_scalar_f64(n->b, dtype, lo));
    x = build_binary(n->b, SCALAR_MIN, x, build_scalar_f64(n->b, dtype, hi));
  } else {
    if (import_has(n, 1))
      x = build_binary(n->b, SCALAR_MAX, x, import_in(n, 1));
    if (import_has(n, 2))
      x = build_binary(n->b, SCALAR_MIN, x, import_in(n, 2));
  }
  import_out(n, 0, x);
}

void import_is_inf(struct import_node *n) {
  bool positive = import_attr_int(n, "detect_positive", 1) != 0;
  bool negative = import_attr_int(n, "detect_negative", 1) != 0;
  if (!import_arity(n, 1, 1, 1))
    return;
  value_id x = import_in(n, 0), inf = build_unary(n->b, SCALAR_ISINF, x);
  if (!positive)
    inf = build_binary(n->b, SCALAR_AND, inf, build_binary_f64(n->b, SCALAR_LT, x, 0));
  if (!negative)
    inf = build_binary(n->b, SCALAR_AND, inf, build_binary_f64(n->b, SCALAR_GT, x, 0));
  import_out(n, 0, inf);
}

void import_where_op(struct import_node *n) {
  if (import_arity(n, 3, 3, 1))
    import_out(n, 0, build_select(n->b, import_in(n, 0), import_in(n, 1), import_in(n, 2)));
}
