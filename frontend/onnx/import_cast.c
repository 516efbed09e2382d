/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the element type. */
#include "frontend/onnx/import_node.h"
#include "frontend/onnx/import_string.h"

#include <string.h>

static bool is_f8(enum dtype dtype) { return dtype_is_float(dtype) && dtype_bits(dtype) == 8; }

/* The attributes only matter for 8-bit floats; f8e8m0 has its own rounding. */
static enum cast_mode cast_mode_of(struct import_node *n, enum dtype to) {
  bool saturate = import_attr_int(n, "saturate", 1) != 0;
  const char *round = import_attr_string(n, "round_mode", "up");
  if (to == DTYPE_F8E8M0)
    return !strcmp(round, "up") ? CAST_UP : !strcmp(round, "down") ? CAST_DOWN : CAST_DEFAULT;
  return is_f8(to) && !saturate ? CAST_NO_SATURATE : CAST_DEFAULT;
}

/* Floats become sub-byte integers by way of i32: the high bits are dropped, as between integers.
 * NaN becomes -0 in f4e2m1, which has none. */
static value_id cast_value(struct import_node *n, value_id x, enum dtype from, enum dtype to) {
  if (from == DTYPE_STRING || to == DTYPE_STRING)
    return import_cast_string(n, x, from, to);
  if (dtype_is_float(from) && dtype_is_int(to) && dtype_is_sub_byte(to))
    x = build_cast(n->b, x, DTYPE_I32);
  if (dtype_is_float(from) && from != DTYPE_F4E2M1 && to == DTYPE_F4E2M1) {
    x = build_cast(n->b, x, DTYPE_F32);
    value_id zero = build_scalar_f64(n->b, DTYPE_F32, -0.0);
    x = build_select(n->b, build_unary(n->b, SCALAR_ISNAN, x), zero, x);
  }
  return build_cast_mode(n->b, x, to, cast_mode_of(n, to));
}

void import_cast(struct import_node *n) {
  enum dtype to = import_attr_dtype(n, "to", DTYPE_F32);
  if (!import_attr_has(n, "to"))
    import_fail(n, DIAG_E0143, "attribute 'to' is missing");
  if (!n->failed && import_arity(n, 1, 1, 1))
    import_out(n, 0, cast_value(n, import_in(n, 0), import_dtype(n, 0), to));
}

void import_cast_like(struct import_node *n) {
  if (!import_arity(n, 2, 2, 1))
    return;
  enum dtype to = import_dtype(n, 1);
  import_out(n, 0, cast_value(n, import_in(n, 0), import_dtype(n, 0), to));
}

void import_bit_cast(struct import_node *n) {
  enum dtype to = import_attr_dtype(n, "to", DTYPE_F32);
  if (n->failed || !import_arity(n, 1, 1, 1))
    return;
  if (dtype_bits(to) != dtype_bits(import_dtype(n, 0)))
    import_invalid(n, "%s and %s differ in width", dtype_name(import_dtype(n, 0)), dtype_name(to));
  else
    import_out(n, 0, build_bitcast(n->b, import_in(n, 0), to));
}
