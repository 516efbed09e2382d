/* SPDX-License-Identifier: Apache-2.0 */
/* Adagrad, Adam and Momentum of ai.onnx.preview.training: one update of each of several tensors.
 * Operands: the rate R, the count T, then all tensors X, all gradients, all of each kind of state.
 */
#include "frontend/onnx/import_util.h"

#include <string.h>

/* x * s, or nothing where s is 0; then y + that. */
static value_id plus_scaled(struct import_node *n, value_id y, value_id x, double s) {
  return s == 0 ? y : value_add(n->b, y, build_binary_f64(n->b, SCALAR_MUL, x, s));
}

/* How many tensors there are; 0 after a report. The states that each has are n->arg. */
static uint32_t tensors_of(struct import_node *n) {
  uint32_t each = 2 + (uint32_t)n->arg, count = n->n_inputs > 2 ? (n->n_inputs - 2) / each : 0;
  if (!import_arity(n, 2 + each, UINT32_MAX, count * (each - 1)))
    return 0;
  if ((n->n_inputs - 2) % each) {
    import_fail(n, DIAG_E0144, "it has %u operands, not %u for each tensor", n->n_inputs, each);
    return 0;
  }
  for (uint32_t i = 0; i < n->n_inputs; i++)
    if (!import_has(n, i) || !dtype_is_float(import_dtype(n, i < 2 ? 0 : i))) {
      import_fail(n, DIAG_E0144, "operand %u is missing, or is no float", i);
      return 0;
    }
  return count;
}

static value_id positive_count(struct import_node *n) {
  return build_binary_i64(n->b, SCALAR_GT, import_scalar(n, 1, DTYPE_I64), 0);
}

void import_adagrad(struct import_node *n) {
  double norm = import_attr_float(n, "norm_coefficient", 0);
  double decay = import_attr_float(n, "decay_factor", 0);
  double epsilon = import_attr_float(n, "epsilon", 1e-6);
  uint32_t count = tensors_of(n);
  struct builder *b = n->b;
  for (uint32_t i = 0; i < count; i++) {
    enum dtype dtype = import_dtype(n, 2 + i);
    value_id x = import_in(n, 2 + i), g = import_in(n, 2 + count + i);
    value_id t = import_scalar(n, 1, dtype);
    value_id slow = build_binary_f64(b, SCALAR_ADD, build_binary_f64(b, SCALAR_MUL, t, decay), 1);
    value_id rate = value_div(b, import_scalar(n, 0, dtype), slow);
    g = plus_scaled(n, g, x, norm);
    value_id h = value_add(b, import_in(n, 2 + 2 * count + i), value_mul(b, g, g));
    value_id root = build_binary_f64(b, SCALAR_ADD, build_unary(b, SCALAR_SQRT, h), epsilon);
    import_out(n, i, value_sub(b, x, value_div(b, value_mul(b, rate, g), root)));
    import_out(n, count + i, h);
  }
}

/* R sqrt(1 - beta^T) / (1 - alpha^T), or R in the first update. */
static value_id adam_rate(struct import_node *n, enum dtype dtype, double alpha, double beta) {
  struct builder *b = n->b;
  value_id t = import_scalar(n, 1, DTYPE_F64), rate = import_scalar(n, 0, DTYPE_F64), left[2];
  for (int i = 0; i < 2; i++) {
    value_id power =
        build_binary(b, SCALAR_POW, build_scalar_f64(b, DTYPE_F64, i ? beta : alpha), t);
    left[i] = value_sub(b, build_scalar_f64(b, DTYPE_F64, 1), power);
  }
  value_id later = value_div(b, value_mul(b, rate, build_unary(b, SCALAR_SQRT, left[1])), left[0]);
  return build_cast(b, build_select(b, positive_count(n), later, rate), dtype);
}

void import_adam(struct import_node *n) {
  double alpha = import_attr_float(n, "alpha", 0.9), beta = import_attr_float(n, "beta", 0.999);
  double norm = import_attr_float(n, "norm_coefficient", 0);
  double post = import_attr_float(n, "norm_coefficient_post", 0);
  double epsilon = import_attr_float(n, "epsilon", 1e-6);
  uint32_t count = tensors_of(n);
  struct builder *b = n->b;
  for (uint32_t i = 0; i < count; i++) {
    value_id x = import_in(n, 2 + i), g = import_in(n, 2 + count + i);
    value_id v = import_in(n, 2 + 2 * count + i), h = import_in(n, 2 + 3 * count + i);
    value_id rate = adam_rate(n, import_dtype(n, 2 + i), alpha, beta);
    g = plus_scaled(n, g, x, norm);
    v = plus_scaled(n, build_binary_f64(b, SCALAR_MUL, v, alpha), g, 1 - alpha);
    h = plus_scaled(n, build_binary_f64(b, SCALAR_MUL, h, beta), value_mul(b, g, g), 1 - beta);
    value_id root = build_binary_f64(b, SCALAR_ADD, build_unary(b, SCALAR_SQRT, h), epsilon);
    x = value_sub(b, x, value_div(b, value_mul(b, rate, v), root));
    import_out(n, i, post == 0 ? x : build_binary_f64(b, SCALAR_MUL, x, 1 - post));
    import_out(n, count + i, v);
    import_out(n, 2 * count + i, h);
  }
}

void import_momentum(struct import_node *n) {
  double alpha = import_attr_float(n, "alpha", 0), beta = import_attr_float(n, "beta", 1);
  double norm = import_attr_float(n, "norm_coefficient", 0);
  const char *mode = import_attr_string(n, "mode", "standard");
  bool nesterov = !strcmp(mode, "nesterov");
  uint32_t count = tensors_of(n);
  struct builder *b = n->b;
  if (!nesterov && strcmp(mode, "standard")) {
    import_invalid(n, "mode is '%s'", mode);
    return;
  }
  for (uint32_t i = 0; i < count; i++) {
    enum dtype dtype = import_dtype(n, 2 + i);
    value_id x = import_in(n, 2 + i), g = import_in(n, 2 + count + i);
    value_id v = import_in(n, 2 + 2 * count + i), rate = import_scalar(n, 0, dtype);
    value_id factor = build_select(b, positive_count(n), build_scalar_f64(b, dtype, beta),
                                   build_scalar_f64(b, dtype, 1));
    g = plus_scaled(n, g, x, norm);
    v = value_add(b, build_binary_f64(b, SCALAR_MUL, v, alpha), value_mul(b, factor, g));
    value_id way = nesterov ? plus_scaled(n, g, v, alpha) : v;
    import_out(n, i, value_sub(b, x, value_mul(b, rate, way)));
    import_out(n, count + i, v);
  }
}
