/* SPDX-License-Identifier: Apache-2.0 */
/* Operators of com.microsoft that an onnxruntime optimizer makes of others: normalizations with
 * what goes before them, products with what goes after them. Source: onnxruntime's
 * ContribOperators.md. */
#include "frontend/onnx/import_activation.h"
#include "frontend/onnx/import_build.h"
#include "frontend/onnx/import_linear.h"
#include "frontend/onnx/import_quantize.h"

#include <string.h>

static value_id add_present(struct import_node *n, value_id x, uint32_t operand) {
  return import_has(n, operand) ? build_binary(n->b, SCALAR_ADD, x, import_in(n, operand)) : x;
}

/* ---- normalizations ---- */

static struct ints last_axis(struct import_node *n) {
  uint32_t rank = import_rank(n, 0);
  return import_range(n, rank ? rank - 1 : 0, rank);
}

/* y * gamma + beta in the dtype of operand 0; operands beyond the count are absent. */
static value_id scale_shift(struct import_node *n, value_id y, uint32_t gamma, uint32_t beta) {
  enum dtype work = dtype_compute(import_dtype(n, 0));
  if (import_has(n, gamma))
    y = build_binary(n->b, SCALAR_MUL, y, build_cast(n->b, import_in(n, gamma), work));
  if (import_has(n, beta))
    y = build_binary(n->b, SCALAR_ADD, y, build_cast(n->b, import_in(n, beta), work));
  return build_cast(n->b, y, import_dtype(n, 0));
}

enum { NO_OPERAND = UINT16_MAX };

void import_simplified_layer_norm(struct import_node *n) {
  double epsilon = import_attr_float(n, "epsilon", 1e-5);
  int64_t given = import_attr_int(n, "axis", -1);
  uint32_t axis;
  value_id inverse;
  import_attr_ignore(n, "stash_type"); /* statistics are in f32 at least */
  if (!import_arity(n, 2, 2, 2) || !import_axis(n, given, import_rank(n, 0), &axis))
    return;
  value_id x = build_cast(n->b, import_in(n, 0), dtype_compute(import_dtype(n, 0)));
  struct ints axes = import_range(n, axis, import_rank(n, 0));
  value_id y = import_rms_normalize(n, x, axes, epsilon, &inverse);
  import_out(n, 0, scale_shift(n, y, 1, NO_OPERAND));
  import_out(n, 1, inverse);
}

/* arg 0: input, skip, gamma, beta, bias; arg 1: input, skip, gamma, bias, and no mean is taken off.
 */
void import_skip_layer_norm(struct import_node *n) {
  bool simplified = n->arg == 1;
  double epsilon = import_attr_float(n, "epsilon", 1e-12);
  if (!import_arity(n, 3, simplified ? 4 : 5, 4))
    return;
  value_id mean = VALUE_NONE, inverse, y;
  enum dtype work = dtype_compute(import_dtype(n, 0));
  value_id sum = build_cast(n->b, import_in(n, 0), work);
  sum = build_binary(n->b, SCALAR_ADD, sum, build_cast(n->b, import_in(n, 1), work));
  uint32_t bias = simplified ? 3 : 4;
  if (import_has(n, bias))
    sum = build_binary(n->b, SCALAR_ADD, sum, build_cast(n->b, import_in(n, bias), work));
  if (simplified)
    y = import_rms_normalize(n, sum, last_axis(n), epsilon, &inverse);
  else
    y = import_normalize(n, sum, last_axis(n), epsilon, &mean, &inverse);
  import_out(n, 0, scale_shift(n, y, 2, simplified ? NO_OPERAND : 3));
  if (import_wants(n, 1) && simplified)
    import_unsupported(n, "its mean as an output");
  import_out(n, 1, mean);
  import_out(n, 2, inverse);
  import_out(n, 3, build_cast(n->b, sum, import_dtype(n, 0)));
}

static value_id embedding(struct import_node *n, uint32_t table, value_id index) {
  int64_t axis = 0;
  return build_gather(n->b, import_in(n, table), &index, &axis, 1, OUT_OF_RANGE_ERROR);
}

/* How many entries of each row of the mask (operand 7) are set: i32 [batch]. */
static value_id mask_lengths(struct import_node *n) {
  dim batch = import_dim(n, 0, 0);
  int64_t axis = 1;
  if (!import_has(n, 7))
    return build_broadcast_to(n->b, build_scalar_i64(n->b, DTYPE_I32, 0), &batch, 1);
  value_id ones =
      build_cast(n->b, build_binary_i64(n->b, SCALAR_EQ, import_in(n, 7), 1), DTYPE_I32);
  return build_squeeze(n->b, build_reduce(n->b, ones, &axis, 1, COMBINER_SUM), &axis, 1);
}

/* Operands: ids, segments, word, position and segment tables, gamma, beta, mask, positions. */
void import_embed_layer_norm(struct import_node *n) {
  double epsilon = import_attr_float(n, "epsilon", 1e-12);
  import_attr_ignore(n, "mask_index_type");
  if (!import_arity(n, 1, 9, 3))
    return;
  for (uint32_t i = 0; i < 7; i++)
    if (!import_has(n, i) && i != 1 && i != 4) {
      import_fail(n, DIAG_E0144, "operand %u is missing", i);
      return;
    }
  if (import_rank(n, 0) != 2) {
    import_invalid(n, "its ids have rank %u, not 2", import_rank(n, 0));
    return;
  }
  dim row[2] = {dim_const(n->dims, 1), import_dim(n, 0, 1)};
  value_id position = import_has(n, 8) ? import_in(n, 8) : build_iota(n->b, DTYPE_I64, row, 2, 1);
  value_id sum =
      build_binary(n->b, SCALAR_ADD, embedding(n, 2, import_in(n, 0)), embedding(n, 3, position));
  if (import_has(n, 1) && import_has(n, 4))
    sum = build_binary(n->b, SCALAR_ADD, sum, embedding(n, 4, import_in(n, 1)));
  if (sum == VALUE_NONE)
    return;
  enum dtype dtype = import_value_type(n, sum)->dtype, work = dtype_compute(dtype);
  value_id y =
      import_normalize(n, build_cast(n->b, sum, work), import_range(n, 2, 3), epsilon, NULL, NULL);
  y = build_binary(n->b, SCALAR_MUL, y, build_cast(n->b, import_in(n, 5), work));
  y = build_binary(n->b, SCALAR_ADD, y, build_cast(n->b, import_in(n, 6), work));
  import_out(n, 0, build_cast(n->b, y, dtype));
  if (import_wants(n, 1))
    import_out(n, 1, mask_lengths(n));
  import_out(n, 2, sum);
}

/* ---- activations ---- */

void import_bias_gelu(struct import_node *n) {
  if (import_arity(n, 1, 2, 1))
    import_out(n, 0,
               import_build_activation(n->b, add_present(n, import_in(n, 0), 1),
                                       (enum activation)n->arg, 0, 0));
}

void import_quick_gelu(struct import_node *n) {
  double alpha = import_attr_float(n, "alpha", 1.702);
  if (import_arity(n, 1, 1, 1))
    import_out(n, 0, import_build_activation(n->b, import_in(n, 0), ACTIVATION_SWISH, alpha, 0));
}

/* ---- products ---- */

/* Conv, then a sum with operand 3, then an activation with its parameters in a list. */
void import_fused_conv(struct import_node *n) {
  const float *params;
  uint32_t n_params;
  const char *name = import_attr_string(n, "activation", "");
  import_attr_floats(n, "activation_params", &params, &n_params);
  import_conv(n);
  if (n->failed || !n->outputs[0])
    return;
  value_id y = add_present(n, import_value_id(n, n->outputs[0]), 3);
  if (!strcmp(name, "Clip")) {
    if (n_params == 2) {
      y = build_binary_f64(n->b, SCALAR_MAX, y, (double)params[0]);
      y = build_binary_f64(n->b, SCALAR_MIN, y, (double)params[1]);
    } else {
      import_invalid(n, "a Clip with %u parameters", n_params);
    }
  } else if (name[0] && !import_named_activation(n, name, n_params > 0 ? (double)params[0] : 0,
                                                 n_params > 1 ? (double)params[1] : 0, &y)) {
    return;
  }
  import_out(n, 0, y);
}

void import_fused_gemm(struct import_node *n) {
  const char *name = import_attr_string(n, "activation", "");
  double alpha = import_attr_float(n, "activation_alpha", !strcmp(name, "LeakyRelu") ? 0.01 : 1);
  double beta = import_attr_float(n, "activation_beta", 0);
  import_attr_ignore(n, "activation_gamma");
  import_gemm(n);
  if (n->failed || !n->outputs[0])
    return;
  value_id y = import_value_id(n, n->outputs[0]);
  if (!name[0] || import_named_activation(n, name, alpha, beta, &y))
    import_out(n, 0, y);
}

static value_id swap_last(struct import_node *n, value_id x) {
  uint32_t rank = x == VALUE_NONE ? 0 : import_value_type(n, x)->rank;
  int64_t perm[IR_MAX_RANK];
  if (rank < 2)
    return x;
  for (uint32_t i = 0; i < rank; i++)
    perm[i] = i;
  perm[rank - 2] = rank - 1;
  perm[rank - 1] = rank - 2;
  return build_transpose(n->b, x, perm);
}

void import_fused_matmul(struct import_node *n) {
  double alpha = import_attr_float(n, "alpha", 1);
  bool trans_a = import_attr_int(n, "transA", 0), trans_b = import_attr_int(n, "transB", 0);
  bool batch = import_attr_int(n, "transBatchA", 0) || import_attr_int(n, "transBatchB", 0);
  import_attr_ignore(n, "transBatchB");
  if (!import_arity(n, 2, 2, 1))
    return;
  if (batch) {
    import_unsupported(n, "transposed batch dims");
    return;
  }
  value_id a = import_in(n, 0), b = import_in(n, 1);
  enum dtype dtype = import_dtype(n, 0), work = dtype_compute(dtype);
  value_id y =
      import_build_matmul(n, trans_a ? swap_last(n, a) : a, trans_b ? swap_last(n, b) : b, work);
  y = alpha == 1 ? y : build_binary_f64(n->b, SCALAR_MUL, y, alpha);
  import_out(n, 0, build_cast(n->b, y, dtype));
}

/* ---- on quantized values ---- */

/* x, scale, zero at three operands from `first`. */
static value_id dequantized(struct import_node *n, uint32_t first) {
  struct quantization q;
  if (!import_quantization(n, import_type(n, first), first + 1, first + 2, 0, 0, &q))
    return VALUE_NONE;
  return import_dequantize(n, import_in(n, first), &q, DTYPE_F32);
}

void import_qlinear_binary(struct import_node *n) {
  struct quantization q;
  if (!import_arity(n, 7, 8, 1))
    return;
  value_id y = build_binary(n->b, (enum scalar_op)n->arg, dequantized(n, 0), dequantized(n, 3));
  if (!n->failed && import_quantization(n, import_type(n, 0), 6, 7, 0, 0, &q))
    import_out(n, 0, import_quantize(n, y, &q, DTYPE_F32, import_dtype(n, 0), CAST_DEFAULT));
}

/* Operands: a, scale, zero, b, scale, zero, c (i32), y's scale and zero. Scales of b may be per
 * column. Without y's scale the result is f32. */
void import_qgemm(struct import_node *n) {
  double alpha = import_attr_float(n, "alpha", 1);
  int64_t lhs_k = import_attr_int(n, "transA", 0) ? 0 : 1;
  int64_t rhs_k = import_attr_int(n, "transB", 0) ? 1 : 0;
  struct quantization a, b, y;
  if (!import_arity(n, 6, 9, 1))
    return;
  if (import_rank(n, 0) != 2 || import_rank(n, 3) != 2) {
    import_invalid(n, "its operands are not matrices");
    return;
  }
  if (!import_quantization(n, import_type(n, 0), 1, 2, 0, 0, &a) ||
      !import_quantization(n, import_type(n, 3), 4, 5, 1 - rhs_k, 0, &b))
    return;
  struct contract_attrs attrs = {.lhs_k = {&lhs_k, 1}, .rhs_k = {&rhs_k, 1}, .dtype = DTYPE_I32};
  value_id sum = build_contract(n->b, import_less_zero(n, import_in(n, 0), a.zero),
                                import_less_zero(n, import_in(n, 3), b.zero), &attrs);
  sum = build_cast(n->b, add_present(n, sum, 6), DTYPE_F32);
  value_id scale_b = import_in(n, 4);
  if (dim_is_const_value(n->dims, type_elements(n->dims, import_type(n, 4)), 1))
    scale_b = b.scale;
  value_id factor = build_binary(n->b, SCALAR_MUL, a.scale, scale_b);
  if (alpha != 1)
    factor = build_binary_f64(n->b, SCALAR_MUL, factor, alpha);
  value_id out = build_binary(n->b, SCALAR_MUL, sum, factor);
  if (!import_has(n, 7)) {
    import_out(n, 0, out);
    return;
  }
  enum dtype to = import_has(n, 8) ? import_dtype(n, 8) : import_dtype(n, 0);
  if (import_quantization(n, import_type(n, 0), 7, 8, 0, 0, &y))
    import_out(n, 0, import_quantize(n, out, &y, DTYPE_F32, to, CAST_DEFAULT));
}

struct n_bits {
  int64_t k, n, bits, block, blocks;
  enum dtype dtype;
};

static bool read_n_bits(struct import_node *n, struct n_bits *m) {
  m->k = import_attr_int(n, "K", 0);
  m->n = import_attr_int(n, "N", 0);
  m->bits = import_attr_int(n, "bits", 4);
  m->block = import_attr_int(n, "block_size", 0);
  import_attr_ignore(n, "accuracy_level"); /* what a kernel may round its operands to */
  import_attr_ignore(n, "weight_prepacked");
  bool sound = m->k > 0 && m->n > 0 && m->k < INT32_MAX && m->n < INT32_MAX && m->block >= 8 &&
               m->block <= 65536 && (m->bits == 2 || m->bits == 4 || m->bits == 8);
  if (!sound) {
    import_invalid(n, "its attributes K, N, bits or block_size are out of range");
    return false;
  }
  m->blocks = (m->k + m->block - 1) / m->block;
  m->dtype = m->bits == 8 ? DTYPE_U8 : m->bits == 4 ? DTYPE_U4 : DTYPE_U2;
  return true;
}

/* Zero points: packed like the weights, or in the dtype of the scales; [n, blocks, 1]. */
static value_id n_bits_zero(struct import_node *n, const struct n_bits *m, enum dtype work) {
  dim dims[3] = {dim_const(n->dims, m->n), dim_const(n->dims, m->blocks), dim_const(n->dims, 1)};
  if (!import_has(n, 3))
    return build_scalar_f64(n->b, work, (double)(1 << (m->bits - 1)));
  value_id zero = import_in(n, 3);
  if (import_dtype(n, 3) == DTYPE_U8) {
    int64_t per_row = (m->blocks * m->bits + 7) / 8 * 8 / m->bits;
    zero = import_packed_rows(n, 3, m->dtype, m->n, per_row);
    zero = build_slice_axis(n->b, zero, 1, dim_const(n->dims, 0), dims[1]);
  }
  return build_reshape(n->b, build_cast(n->b, zero, work), dims, 3);
}

/* y = a * transpose(dequantized b): a [..., K], b [N, blocks, bytes], scales [N, blocks]. */
void import_matmul_n_bits(struct import_node *n) {
  struct n_bits m;
  if (!read_n_bits(n, &m) || !import_arity(n, 3, 6, 1))
    return;
  if (import_has(n, 4)) {
    import_unsupported(n, "a group index per row");
    return;
  }
  enum dtype dtype = import_dtype(n, 0), work = dtype_compute(dtype);
  dim blocks[3] = {dim_const(n->dims, m.n), dim_const(n->dims, m.blocks),
                   dim_const(n->dims, m.block)};
  dim scales[3] = {blocks[0], blocks[1], dim_const(n->dims, 1)};
  dim rows[2] = {blocks[0], dim_const(n->dims, m.blocks * m.block)};
  value_id w = import_packed_rows(n, 1, m.dtype, m.n, m.blocks * m.block);
  w = build_cast(n->b, build_reshape(n->b, w, blocks, 3), work);
  w = build_binary(n->b, SCALAR_SUB, w, n_bits_zero(n, &m, work));
  value_id scale = build_reshape(n->b, build_cast(n->b, import_in(n, 2), work), scales, 3);
  w = build_reshape(n->b, build_binary(n->b, SCALAR_MUL, w, scale), rows, 2);
  w = build_slice_axis(n->b, w, 1, dim_const(n->dims, 0), dim_const(n->dims, m.k));
  uint32_t rank = import_rank(n, 0);
  int64_t lhs_k = (int64_t)rank - 1, rhs_k = 1;
  if (rank == 0) {
    import_invalid(n, "its operand is a scalar");
    return;
  }
  struct contract_attrs attrs = {.lhs_k = {&lhs_k, 1}, .rhs_k = {&rhs_k, 1}, .dtype = work};
  value_id y = build_contract(n->b, build_cast(n->b, import_in(n, 0), work), w, &attrs);
  if (import_has(n, 5))
    y = build_binary(n->b, SCALAR_ADD, y, build_cast(n->b, import_in(n, 5), work));
  import_out(n, 0, build_cast(n->b, y, dtype));
}
