/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the element type. */
#include "frontend/onnx/import_node.h"

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

void import_cast(struct import_node *n) {
  enum dtype to = import_attr_dtype(n, "to", DTYPE_F32);
  enum cast_mode mode = cast_mode_of(n, to);
  if (!import_attr_has(n, "to"))
    import_fail(n, DIAG_E0143, "attribute 'to' is missing");
  if (!n->failed && import_arity(n, 1, 1, 1))
    import_out(n, 0, build_cast_mode(n->b, import_in(n, 0), to, mode));
}

void import_cast_like(struct import_node *n) {
  if (!import_arity(n, 2, 2, 1))
    return;
  enum dtype to = import_dtype(n, 1);
  import_out(n, 0, build_cast_mode(n->b, import_in(n, 0), to, cast_mode_of(n, to)));
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
