/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, and the integer products. */
#include "frontend/onnx/import_quantize.h"

#include "frontend/onnx/import_build.h"
#include "frontend/onnx/import_linear.h"
#include "frontend/onnx/import_window.h"

/* ---- scales ---- */

/* Repeats each entry along `axis` block_size times, cut to the size of the tensor. */
static value_id expand_blocks(struct import_node *n, value_id x, uint32_t axis, int64_t block_size,
                              dim size) {
  if (x == VALUE_NONE)
    return x;
  struct type type = *import_value_type(n, x);
  dim dims[IR_MAX_RANK + 1], blocks = type.dims[axis];
  if (type.rank == IR_MAX_RANK) {
    import_unsupported(n, "blocks of a tensor of rank %u", type.rank);
    return VALUE_NONE;
  }
  for (uint32_t i = 0; i <= type.rank; i++)
    dims[i] = i <= axis ? type.dims[i] : i == axis + 1 ? dim_const(n->dims, 1) : type.dims[i - 1];
  value_id v = build_reshape(n->b, x, dims, type.rank + 1);
  dims[axis + 1] = dim_const(n->dims, block_size);
  v = build_broadcast(n->b, v, dims, type.rank + 1);
  type.dims[axis] = dim_mul(n->dims, blocks, dims[axis + 1]);
  v = build_reshape(n->b, v, type.dims, type.rank);
  return build_slice_axis(n->b, v, axis, dim_const(n->dims, 0), size);
}

/* A scale or zero point in a shape that broadcasts. */
static bool spread(struct import_node *n, const struct type *type, uint32_t operand, int64_t axis,
                   int64_t block_size, value_id *out) {
  const struct type *own = import_type(n, operand);
  value_id v = import_in(n, operand);
  uint32_t at;
  if (dim_is_const_value(n->dims, type_elements(n->dims, own), 1)) {
    *out = build_reshape(n->b, v, NULL, 0);
    return true;
  }
  if (!import_axis(n, axis, type->rank, &at))
    return false;
  if (own->rank == 1) {
    *out = import_along_axis(n, v, type->rank, at);
    return true;
  }
  if (own->rank == type->rank && block_size > 0) {
    *out = expand_blocks(n, v, at, block_size, type->dims[at]);
    return *out != VALUE_NONE;
  }
  import_invalid(n, "a scale or zero point of rank %u for a tensor of rank %u", own->rank,
                 type->rank);
  return false;
}

bool import_quantization(struct import_node *n, const struct type *type, uint32_t scale_operand,
                         uint32_t zero_operand, int64_t axis, int64_t block_size,
                         struct quantization *out) {
  *out = (struct quantization){0};
  return spread(n, type, scale_operand, axis, block_size, &out->scale) &&
         (!import_has(n, zero_operand) ||
          spread(n, type, zero_operand, axis, block_size, &out->zero));
}

/* ---- the two maps ---- */

value_id import_quantize(struct import_node *n, value_id x, const struct quantization *q,
                         enum dtype work, enum dtype to, enum cast_mode mode) {
  value_id y =
      build_binary(n->b, SCALAR_DIV, build_cast(n->b, x, work), build_cast(n->b, q->scale, work));
  if (dtype_is_int(to))
    y = build_unary(n->b, SCALAR_ROUND, y);
  if (q->zero != VALUE_NONE)
    y = build_binary(n->b, SCALAR_ADD, y, build_cast(n->b, q->zero, work));
  return build_cast_mode(n->b, y, to, mode);
}

value_id import_less_zero(struct import_node *n, value_id x, value_id zero) {
  if (x == VALUE_NONE)
    return x;
  enum dtype own = import_value_type(n, x)->dtype;
  enum dtype wide = dtype_bits(own) <= 8 ? DTYPE_I16 : DTYPE_I32;
  x = build_cast(n->b, x, wide);
  return zero == VALUE_NONE ? x : build_binary(n->b, SCALAR_SUB, x, build_cast(n->b, zero, wide));
}

value_id import_dequantize(struct import_node *n, value_id x, const struct quantization *q,
                           enum dtype to) {
  if (x == VALUE_NONE)
    return x;
  enum dtype work = to == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
  bool integer = dtype_is_int(import_value_type(n, x)->dtype);
  if (integer)
    x = import_less_zero(n, x, q->zero);
  x = build_cast(n->b, x, work);
  if (!integer && q->zero != VALUE_NONE)
    x = build_binary(n->b, SCALAR_SUB, x, build_cast(n->b, q->zero, work));
  x = build_binary(n->b, SCALAR_MUL, x, build_cast(n->b, q->scale, work));
  return build_cast(n->b, x, to);
}

/* ---- QuantizeLinear, DequantizeLinear ---- */

void import_quantize_linear(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 1), block = import_attr_int(n, "block_size", 0);
  bool saturate = import_attr_int(n, "saturate", 1) != 0;
  int64_t has_dtype = import_attr_int(n, "output_dtype", 0);
  int64_t has_precision = import_attr_int(n, "precision", 0);
  struct quantization q;
  if (!import_arity(n, 2, 3, 1) ||
      !import_quantization(n, import_type(n, 0), 1, 2, axis, block, &q))
    return;
  enum dtype to = import_has(n, 2) ? import_dtype(n, 2)
                  : has_dtype      ? import_attr_dtype(n, "output_dtype", DTYPE_U8)
                                   : DTYPE_U8;
  enum dtype precision = has_precision ? import_attr_dtype(n, "precision", DTYPE_F32) : DTYPE_F32;
  enum dtype work =
      precision == DTYPE_F64 || import_dtype(n, 0) == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
  bool f8 = dtype_is_float(to) && dtype_bits(to) == 8;
  enum cast_mode mode = f8 && !saturate ? CAST_NO_SATURATE : CAST_DEFAULT;
  import_out(n, 0, import_quantize(n, import_in(n, 0), &q, work, to, mode));
}

void import_dequantize_linear(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 1), block = import_attr_int(n, "block_size", 0);
  int64_t has_dtype = import_attr_int(n, "output_dtype", 0);
  struct quantization q;
  if (!import_arity(n, 2, 3, 1) ||
      !import_quantization(n, import_type(n, 0), 1, 2, axis, block, &q))
    return;
  enum dtype to = has_dtype ? import_attr_dtype(n, "output_dtype", DTYPE_F32) : import_dtype(n, 1);
  import_out(n, 0, import_dequantize(n, import_in(n, 0), &q, to));
}

void import_dynamic_range(struct import_node *n, value_id x, struct ints axes,
                          struct quantization *out) {
  struct builder *b = n->b;
  value_id zero = build_scalar_f64(b, DTYPE_F32, 0);
  value_id max = build_binary(b, SCALAR_MAX, import_reduce(n, x, axes, COMBINER_MAX), zero);
  value_id min = build_binary(b, SCALAR_MIN, import_reduce(n, x, axes, COMBINER_MIN), zero);
  value_id scale = build_binary_f64(b, SCALAR_DIV, build_binary(b, SCALAR_SUB, max, min), 255);
  scale = build_select(b, build_binary(b, SCALAR_EQ, scale, zero),
                       build_scalar_f64(b, DTYPE_F32, 1), scale);
  value_id low = build_unary(b, SCALAR_NEG, build_binary(b, SCALAR_DIV, min, scale));
  *out = (struct quantization){scale, build_cast(b, build_unary(b, SCALAR_ROUND, low), DTYPE_U8)};
}

void import_dynamic_quantize(struct import_node *n) {
  struct quantization q;
  if (!import_arity(n, 1, 1, 3))
    return;
  value_id x = import_in(n, 0);
  import_dynamic_range(n, x, import_range(n, 0, import_rank(n, 0)), &q);
  q.scale = build_reshape(n->b, q.scale, NULL, 0);
  q.zero = build_reshape(n->b, q.zero, NULL, 0);
  import_out(n, 0, import_quantize(n, x, &q, DTYPE_F32, DTYPE_U8, CAST_DEFAULT));
  import_out(n, 1, q.scale);
  import_out(n, 2, q.zero);
}

/* ---- products ---- */

/* A zero point or scale per row of the left matrix: [M] stands for [M, 1]. */
static value_id per_row(struct import_node *n, uint32_t operand) {
  value_id v = import_in(n, operand);
  int64_t last = 1;
  if (v == VALUE_NONE)
    return v;
  const struct type *type = import_type(n, operand);
  if (dim_is_const_value(n->dims, type_elements(n->dims, type), 1))
    return build_reshape(n->b, v, NULL, 0);
  return type->rank == 1 ? build_unsqueeze(n->b, v, &last, 1) : v;
}

static value_id per_column(struct import_node *n, uint32_t operand) {
  value_id v = import_in(n, operand);
  if (v != VALUE_NONE &&
      dim_is_const_value(n->dims, type_elements(n->dims, import_type(n, operand)), 1))
    return build_reshape(n->b, v, NULL, 0);
  return v;
}

void import_matmul_integer(struct import_node *n) {
  if (!import_arity(n, 2, 4, 1))
    return;
  value_id a = import_less_zero(n, import_in(n, 0), per_row(n, 2));
  value_id b = import_less_zero(n, import_in(n, 1), per_column(n, 3));
  import_out(n, 0, import_build_matmul(n, a, b, DTYPE_I32));
}

/* An integer sum times both scales, quantized anew. */
static value_id requantize(struct import_node *n, value_id sum, value_id scale_a, value_id scale_b,
                           uint32_t y_scale, uint32_t y_zero) {
  struct builder *b = n->b;
  value_id factor = build_binary(b, SCALAR_MUL, build_cast(b, scale_a, DTYPE_F32),
                                 build_cast(b, scale_b, DTYPE_F32));
  value_id y = build_binary(b, SCALAR_MUL, build_cast(b, sum, DTYPE_F32), factor);
  struct quantization q = {per_column(n, y_scale), per_column(n, y_zero)};
  enum dtype to = import_has(n, y_zero) ? import_dtype(n, y_zero) : import_dtype(n, 0);
  return import_quantize(n, y, &q, DTYPE_F32, to, CAST_DEFAULT);
}

void import_qlinear_matmul(struct import_node *n) {
  if (!import_arity(n, 8, 8, 1))
    return;
  value_id a = import_less_zero(n, import_in(n, 0), per_row(n, 2));
  value_id b = import_less_zero(n, import_in(n, 3), per_column(n, 5));
  value_id sum = import_build_matmul(n, a, b, DTYPE_I32);
  import_out(n, 0, requantize(n, sum, per_row(n, 1), per_column(n, 4), 6, 7));
}

/* Operands: x, its scale and zero, w, its scale and zero, y's scale and zero, bias (i32). */
void import_qlinear_conv(struct import_node *n) {
  struct import_window w;
  int64_t groups = import_attr_int(n, "group", 1);
  if (!import_arity(n, 8, 9, 1))
    return;
  uint32_t rank = import_rank(n, 0);
  if (import_rank(n, 3) != rank || groups < 1) {
    import_invalid(n, "operand and weight have ranks %u and %u, or groups are wrong", rank,
                   import_rank(n, 3));
    return;
  }
  if (!import_window_read(n, &import_type(n, 3)->dims[2], &w))
    return;
  import_window_auto_pad(n, &import_type(n, 0)->dims[2], &w);
  struct quantization weight;
  if (!import_quantization(n, import_type(n, 3), 4, 5, 0, 0, &weight))
    return;
  value_id operands[2] = {import_less_zero(n, import_in(n, 0), per_column(n, 2)),
                          import_less_zero(n, import_in(n, 3), weight.zero)};
  struct conv_attrs attrs = {.stride = {w.stride, w.n},
                             .dilation = {w.dilation, w.n},
                             .low = {w.low, w.n},
                             .high = {w.high, w.n},
                             .groups = groups,
                             .dtype = DTYPE_I32};
  value_id sum = build_op1(n->b, OP_CONV, operands, 2, &attrs);
  if (import_has(n, 8))
    sum = build_binary(n->b, SCALAR_ADD, sum, import_along_axis(n, import_in(n, 8), rank, 1));
  value_id scale = per_column(n, 4);
  if (scale != VALUE_NONE && import_value_type(n, scale)->rank == 1)
    scale = import_along_axis(n, scale, rank, 1);
  import_out(n, 0, requantize(n, sum, per_column(n, 1), scale, 6, 7));
}

value_id import_packed_rows(struct import_node *n, uint32_t operand, enum dtype dtype, int64_t rows,
                            int64_t per_row) {
  const struct constant *c = import_constant(n, operand);
  if (!c || c->dtype != DTYPE_U8) {
    import_unsupported(n, "packed weights that are no constant of bytes");
    return VALUE_NONE;
  }
  struct constant packed = *c;
  int64_t bits;
  packed.dtype = dtype;
  packed.rank = 2;
  packed.dims[0] = rows;
  packed.dims[1] = per_row;
  if (__builtin_mul_overflow(rows, per_row, &bits) ||
      __builtin_mul_overflow(bits, (int64_t)dtype_bits(dtype), &bits) ||
      (uint64_t)bits / 8 != c->bytes || bits % 8) {
    import_invalid(n, "operand %u has %llu bytes, which do not fit the attributes", operand,
                   (unsigned long long)c->bytes);
    return VALUE_NONE;
  }
  return build_const(n->b, module_add_constant(n->f->module, &packed));
}
