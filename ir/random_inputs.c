/* SPDX-License-Identifier: Apache-2.0 */
/* Random inputs: a value for every symbol, then elements. */
#include "ir/random_inputs.h"

#include "base/hash.h"
#include "ir/literal.h"

static uint64_t next(uint64_t *state) { return *state = hash_combine(*state, 1); }

static int64_t in_range(uint64_t *state, int64_t lo, int64_t hi) {
  return lo + (int64_t)(next(state) % (uint64_t)(hi - lo + 1));
}

static int64_t symbol_value(struct dim_table *t, uint32_t symbol, uint64_t *state) {
  int64_t lo = dim_symbol_lo(t, symbol), hi = dim_symbol_hi(t, symbol);
  if (lo < 0)
    lo = hi < 0 ? hi : 0;
  bool large = hi - lo > 3 && hi - lo <= 64 && in_range(state, 0, 2) == 0;
  return in_range(state, lo, hi - lo > 3 && !large ? lo + 3 : hi);
}

static void fill(struct tensor *x, uint64_t *state) {
  for (int64_t i = 0; i < x->count; i++) {
    if (dtype_is_float(x->dtype)) {
      double value = (double)in_range(state, -32, 32) / 8;
      x->f64[i] = literal_f64(x->dtype, literal_bits_f64(x->dtype, value));
    } else {
      bool sign = dtype_is_signed(x->dtype);
      x->i64[i] = scalar_literal_i64(x->dtype, in_range(state, sign ? -5 : 0, 5));
    }
  }
}

bool random_inputs(const struct function *f, uint64_t seed, struct arena *arena,
                   struct tensor **out_inputs) {
  struct dim_table *t = f->module->dims;
  uint64_t state = hash_combine(seed, 0);
  int64_t *symbols = ARENA_ARRAY(arena, int64_t, dim_symbol_count(t));
  for (uint32_t i = 0; i < dim_symbol_count(t); i++)
    symbols[i] = symbol_value(t, i, &state);
  const struct region *body = &f->regions.data[0];
  for (uint32_t i = 0; i < body->params.len; i++) {
    const struct type *type = value_type(f, body->params.data[i]);
    int64_t dims[IR_MAX_RANK];
    for (uint32_t k = 0; k < type->rank; k++) {
      if (!dim_eval(t, type->dims[k], symbols, &dims[k]))
        return false;
    }
    out_inputs[i] = tensor_create(arena, type->dtype, dims, type->rank);
    if (!out_inputs[i])
      return false;
    fill(out_inputs[i], &state);
  }
  return true;
}
