/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes that convolutions and pools share: kernel, strides, dilations, padding. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_WINDOW_H
#define SINTER_FRONTEND_ONNX_IMPORT_WINDOW_H

#include "frontend/onnx/import_node.h"

enum import_pad_mode { PAD_EXPLICIT, PAD_SAME_UPPER, PAD_SAME_LOWER, PAD_VALID };

/* One entry per spatial dim; n is rank - 2. */
struct import_window {
  uint32_t n;
  enum import_pad_mode mode;
  dim kernel[IR_MAX_RANK];
  int64_t stride[IR_MAX_RANK], dilation[IR_MAX_RANK];
  dim low[IR_MAX_RANK], high[IR_MAX_RANK]; /* padding */
};

/* Reads strides, dilations, pads, auto_pad for operand 0, of rank >= 3. The kernel is that of
 * attribute kernel_shape, which must agree with `kernel` (n dims) where that is given; NULL: the
 * attribute is required. SAME_* pads are left to import_window_same. Fails the node where the
 * attributes are wrong. */
bool import_window_read(struct import_node *n, const dim *kernel, struct import_window *out);

/* Sets low and high for SAME_UPPER, SAME_LOWER and VALID from the operand's spatial dims. */
void import_window_auto_pad(struct import_node *n, const dim *spatial, struct import_window *w);

/* Divides `total` >= 0 padding of dim i between the ends; the odd one goes to the high end if
 * `upper`. */
void import_window_split(struct import_node *n, struct import_window *w, uint32_t i, dim total,
                         bool upper);

/* (kernel - 1) * dilation + 1 */
dim import_window_reach(struct import_node *n, const struct import_window *w, uint32_t i);

#endif
