/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds of symbols that the model itself implies: a size is never negative, so where one is
 * samples / 20 - 1, no run has fewer than 20 samples. Said once as a bound of the symbol, this
 * spares checks, and the max(0, ...) in all sizes that depend on it. */
#include "frontend/onnx/import_internal.h"

/* Whether d, of that symbol alone, never falls as it grows. */
static bool rises(struct dim_table *t, dim d, uint32_t symbol) {
  dim a, b;
  int64_t k;
  uint32_t s;
  switch (dim_kind(t, d)) {
  case DIM_KIND_CONST: return true;
  case DIM_KIND_SYMBOL: return dim_symbol_of(t, d, &s) && s == symbol;
  case DIM_KIND_ADD:
  case DIM_KIND_MIN:
  case DIM_KIND_MAX:
    return dim_operands(t, d, &a, &b) && rises(t, a, symbol) && rises(t, b, symbol);
  case DIM_KIND_MUL:
    return dim_operands(t, d, &a, &b) &&
           ((dim_is_const(t, a, &k) && k >= 0 && rises(t, b, symbol)) ||
            (dim_is_const(t, b, &k) && k >= 0 && rises(t, a, symbol)));
  case DIM_KIND_FLOORDIV:
    return dim_operands(t, d, &a, &b) && dim_is_const(t, b, &k) && k > 0 && rises(t, a, symbol);
  default: return false;
  }
}

static bool only_symbol(struct dim_table *t, dim d, uint32_t *out) {
  uint32_t count = 0;
  for (uint32_t s = 0; s < dim_symbol_count(t); s++) {
    if (!dim_uses_symbol(t, d, s))
      continue;
    *out = s;
    count++;
  }
  return count == 1;
}

static bool is_size_at(struct dim_table *t, dim d, uint32_t symbol, int64_t *values, int64_t x) {
  int64_t value;
  values[symbol] = x;
  return dim_eval(t, d, values, &value) && value >= 0;
}

bool import_narrow_size(struct import_node *n, dim d) {
  enum { MOST = 1 << 30 };
  struct dim_table *t = n->dims;
  int64_t lo, hi, none = -1;
  uint32_t symbol;
  dim_bounds(t, d, &lo, &hi);
  if (d == DIM_NONE || lo >= 0)
    return true;
  if (n->b->region != 0 || !only_symbol(t, d, &symbol) || !rises(t, d, symbol))
    return false;
  int64_t from = dim_symbol_lo(t, symbol), to = dim_symbol_hi(t, symbol);
  to = to > MOST ? MOST : to;
  int64_t *values = ARENA_ARRAY(import_arena(n), int64_t, dim_symbol_count(t));
  if (from < none || from > to || !is_size_at(t, d, symbol, values, to))
    return false;
  for (none = from - 1; to - none > 1;) {
    int64_t middle = none + (to - none) / 2;
    if (is_size_at(t, d, symbol, values, middle))
      to = middle;
    else
      none = middle;
  }
  dim_symbol(t, dim_symbol_name(t, symbol), to, dim_symbol_hi(t, symbol));
  dim_bounds(t, d, &lo, &hi);
  return lo >= 0;
}
