/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes that convolutions and pools share. */
#include "frontend/onnx/import_window.h"

#include <inttypes.h>
#include <string.h>

static bool read_ints(struct import_node *n, const char *name, uint32_t len, int64_t least,
                      int64_t otherwise, int64_t *out) {
  struct ints given;
  for (uint32_t i = 0; i < len; i++)
    out[i] = otherwise;
  if (!import_attr_ints(n, name, &given) || given.len == 0)
    return !n->failed;
  if (given.len != len) {
    import_invalid(n, "'%s' has %u entries where %u are due", name, given.len, len);
    return false;
  }
  for (uint32_t i = 0; i < len; i++) {
    out[i] = given.data[i];
    if (out[i] < least || out[i] > INT32_MAX) {
      import_invalid(n, "'%s' has the entry %" PRId64, name, out[i]);
      return false;
    }
  }
  return true;
}

static bool read_kernel(struct import_node *n, const dim *kernel, struct import_window *w) {
  int64_t shape[IR_MAX_RANK];
  if (!read_ints(n, "kernel_shape", w->n, 1, 0, shape))
    return false;
  for (uint32_t i = 0; i < w->n; i++) {
    dim given = dim_const(n->dims, shape[i]);
    if (!shape[i] && !kernel) {
      import_fail(n, DIAG_E0143, "attribute 'kernel_shape' is missing");
      return false;
    }
    w->kernel[i] = kernel ? kernel[i] : given;
    if (kernel && shape[i] && dim_known_ne(n->dims, kernel[i], given)) {
      import_invalid(n, "'kernel_shape' differs from the weight's shape");
      return false;
    }
  }
  return true;
}

static bool read_pad_mode(struct import_node *n, enum import_pad_mode *out) {
  static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
  const char *mode = import_attr_string(n, "auto_pad", "NOTSET");
  for (int i = 0; i < 4; i++)
    if (!strcmp(mode, names[i])) {
      *out = (enum import_pad_mode)i;
      return true;
    }
  if (!mode[0])
    return *out = PAD_EXPLICIT, true;
  import_invalid(n, "auto_pad is '%s'", mode);
  return false;
}

bool import_window_read(struct import_node *n, const dim *kernel, struct import_window *out) {
  uint32_t rank = import_rank(n, 0);
  int64_t pads[2 * IR_MAX_RANK];
  *out = (struct import_window){0};
  if (rank < 3) {
    import_invalid(n, "its operand has rank %u, below 3", rank);
    return false;
  }
  out->n = rank - 2;
  if (!read_ints(n, "strides", out->n, 1, 1, out->stride) ||
      !read_ints(n, "dilations", out->n, 1, 1, out->dilation) ||
      !read_ints(n, "pads", 2 * out->n, 0, 0, pads) || !read_kernel(n, kernel, out) ||
      !read_pad_mode(n, &out->mode))
    return false;
  for (uint32_t i = 0; i < out->n; i++) {
    bool given = out->mode == PAD_EXPLICIT;
    out->low[i] = dim_const(n->dims, given ? pads[i] : 0);
    out->high[i] = dim_const(n->dims, given ? pads[out->n + i] : 0);
  }
  return true;
}

dim import_window_reach(struct import_node *n, const struct import_window *w, uint32_t i) {
  dim one = dim_const(n->dims, 1);
  dim steps =
      dim_mul(n->dims, dim_sub(n->dims, w->kernel[i], one), dim_const(n->dims, w->dilation[i]));
  return dim_add(n->dims, steps, one);
}

void import_window_split(struct import_node *n, struct import_window *w, uint32_t i, dim total,
                         bool upper) {
  dim half = dim_floordiv(n->dims, total, dim_const(n->dims, 2));
  dim rest = dim_sub(n->dims, total, half);
  w->low[i] = upper ? half : rest;
  w->high[i] = upper ? rest : half;
}

void import_window_auto_pad(struct import_node *n, const dim *spatial, struct import_window *w) {
  struct dim_table *t = n->dims;
  if (w->mode != PAD_SAME_UPPER && w->mode != PAD_SAME_LOWER)
    return;
  for (uint32_t i = 0; i < w->n; i++) {
    dim stride = dim_const(t, w->stride[i]);
    dim steps = dim_sub(t, dim_ceildiv(t, spatial[i], stride), dim_const(t, 1));
    dim covered = dim_add(t, dim_mul(t, steps, stride), import_window_reach(n, w, i));
    dim total = dim_max(t, dim_const(t, 0), dim_sub(t, covered, spatial[i]));
    import_window_split(n, w, i, total, w->mode == PAD_SAME_UPPER);
  }
}
