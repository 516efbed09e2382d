/* SPDX-License-Identifier: Apache-2.0 */
/* Linear quantization: q = saturate(round(x / scale) + zero point), x = (q - zero point) * scale.
 *
 * Scale and zero point have one element, or one per place along an axis, or (blocks) one per run of
 * places along it. A zero point of VALUE_NONE is 0. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_QUANTIZE_H
#define SINTER_FRONTEND_ONNX_IMPORT_QUANTIZE_H

#include "frontend/onnx/import_node.h"

struct quantization {
  value_id scale, zero; /* in a shape that broadcasts to the tensor's */
};

/* The scale and zero operands (the latter may be absent) for a tensor of `type`; the axis counts
 * where the scale has one dim, block_size where it has the tensor's rank. False if their shapes do
 * not fit, which is reported. */
bool import_quantization(struct import_node *n, const struct type *type, uint32_t scale_operand,
                         uint32_t zero_operand, int64_t axis, int64_t block_size,
                         struct quantization *out);

/* x is divided in `work`, a float dtype of at least 32 bits. */
value_id import_quantize(struct import_node *n, value_id x, const struct quantization *q,
                         enum dtype work, enum dtype to, enum cast_mode mode);
value_id import_dequantize(struct import_node *n, value_id x, const struct quantization *q,
                           enum dtype to);

/* The range of x (f32) over axes, made to hold 0, in 255 steps: a u8 quantization whose scale and
 * zero point have those dims as 1. */
void import_dynamic_range(struct import_node *n, value_id x, struct ints axes,
                          struct quantization *out);

/* x less its zero point, exactly: i16 for 8 bits and less, else i32. */
value_id import_less_zero(struct import_node *n, value_id x, value_id zero);

/* A constant operand's bytes as packed elements of `dtype` in rows of whole bytes: [rows, per row].
 * Fails the node for what is no constant of bytes, or of another size. */
value_id import_packed_rows(struct import_node *n, uint32_t operand, enum dtype dtype, int64_t rows,
                            int64_t per_row);

#endif
