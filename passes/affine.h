/* SPDX-License-Identifier: Apache-2.0 */
/* Integer values that are an affine function of their own indices:
 *
 *     value[i0, i1, ...] = base + stride[0] * i0 + stride[1] * i1 + ...
 *
 * with dim expressions for base and strides. What exporters make of Range, Expand and arithmetic on
 * positions is of this kind: such indices are slices, and comparing two of them is a causal mask.
 */
#ifndef SINTER_PASSES_AFFINE_H
#define SINTER_PASSES_AFFINE_H

#include "passes/value_range.h"

struct affine {
  bool known;
  dim base;
  dim stride[IR_MAX_RANK]; /* 0 where the dim is 1 */
};

/* Remembers what it found; values must keep their definitions while it lives. */
struct affines {
  const struct function *f;
  struct dim_table *dims;
  struct value_ranges ranges;
  struct map found; /* value -> place in list */
  VEC(struct affine) list;
};

void affines_init(struct affines *a, const struct function *f);
void affines_deinit(struct affines *a);
/* i64 values only; else, and where the definition is of another kind, known is false. */
struct affine affine_of(struct affines *a, value_id v);
/* Whether all elements are *out_dim. */
bool affine_uniform(struct affines *a, value_id v, dim *out_dim);
/* Instruction i of a map's body as a function of the map's indices. */
struct affine affine_of_inst(struct affines *a, const struct op *map, uint32_t i);

#endif
