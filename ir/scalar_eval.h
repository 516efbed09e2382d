/* SPDX-License-Identifier: Apache-2.0 */
/* What scalar bodies mean, as plain C (DESIGN: Numerics).
 *
 * Values are held as the interpreter's tensors hold them: floats as f64, ints and bools as i64, u64
 * bit-cast. In typed mode every instruction of a float dtype below f64 gives an f32 (double with
 * one rounding to float after it, which for + - * / sqrt is the f32 operation itself and for the
 * others its correctly rounded value but for rare last-bit cases); a cast rounds to its dtype. In
 * exact mode floats stay f64, and only casts to the quantised formats (8 bits and less) round, as
 * casts to integers do. */
#ifndef SINTER_IR_SCALAR_EVAL_H
#define SINTER_IR_SCALAR_EVAL_H

#include "base/softfloat.h"
#include "ir/interp.h"

union scalar {
  double f64;
  int64_t i64;
};

/* Elements that scalar_block_eval takes at once. */
#define SCALAR_BLOCK 128

/* One operand of a block: element i is data[i * stride], in the dtype's slot. */
struct scalar_source {
  const union scalar *data;
  int64_t stride;
};
/* Evaluates n <= SCALAR_BLOCK elements. `scratch` has body->len * SCALAR_BLOCK slots. The result is
 * rounded to its dtype as the end of a map is. */
void scalar_block_eval(enum interp_mode mode, const struct scalar_body *body,
                       const struct scalar_source *args, uint32_t n, union scalar *scratch,
                       union scalar *out);

/* One instruction on given operand values; not SCALAR_ARG. operand_dtype is that of the last
 * operand. For folding inside bodies. */
union scalar scalar_inst_eval(enum interp_mode mode, const struct scalar_inst *inst,
                              enum dtype operand_dtype, const union scalar *operands);

/* A value as a slot of another dtype holds it after a cast. */
union scalar scalar_cast(enum interp_mode mode, union scalar x, enum dtype from, enum dtype to,
                         enum cast_mode cast);

/* Rounded to a float dtype as the end of a primitive rounds: to nearest even; f8 overflow saturates
 * but infinities stay where the format has them. */
double scalar_round(enum dtype dtype, double x);

/* Between a slot and the bits of a dtype that is not a string, in the low bits of a word. Floats
 * are rounded on the way. */
uint64_t scalar_to_bits(enum dtype dtype, union scalar x);
union scalar scalar_from_bits(enum dtype dtype, uint64_t bits);
/* The small format of a float dtype below f32. */
enum softfloat_kind softfloat_kind_of(enum dtype dtype);

/* The combination of two elements of a dtype by a combiner that is not NONE or an arg kind. Floats
 * combine in f64; the caller rounds. */
union scalar scalar_combine(enum combiner kind, enum dtype dtype, union scalar a, union scalar b);
/* x with scalar_combine(identity, x) == x: 0, 1, the least and the greatest value, all ones. */
union scalar scalar_identity(enum combiner kind, enum dtype dtype);

#endif
