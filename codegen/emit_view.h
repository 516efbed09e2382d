/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the emitter: how points and values go back through views and indexed ops (emit_view.c),
 * and memory (emit_memory.c). */
#ifndef SINTER_CODEGEN_EMIT_VIEW_H
#define SINTER_CODEGEN_EMIT_VIEW_H

#include "codegen/emit.h"

/* The operand's point for a broadcasting reader: coordinates are the reader's, 0 where the dim
 * is 1. */
void point_broadcast(struct emit *e, const struct type *operand, const struct type *reader,
                     const struct point *p, struct point *out);
/* reshape, transpose, broadcast, slice: where the result's point lies in the operand. */
void point_through_view(struct emit *e, const struct op *op, const struct point *p,
                        struct point *out);

LLVMValueRef emit_bitcast(struct emit *e, const struct op *op, const struct point *p);
LLVMValueRef emit_pad(struct emit *e, const struct op *op, const struct point *p);
LLVMValueRef emit_concat(struct emit *e, const struct op *op, const struct point *p);
LLVMValueRef emit_gather(struct emit *e, const struct op *op, const struct point *p);
LLVMValueRef emit_random(struct emit *e, const struct op *op, const struct point *p);

/* c * scale + offset. */
struct coord coord_affine(struct emit *e, const struct coord *c, int64_t scale, LLVMValueRef offset,
                          uint32_t width);
/* i1: all lanes of an affine coordinate are in [lo, hi); NULL hi: no upper test. */
LLVMValueRef coord_in_range(struct emit *e, const struct coord *c, LLVMValueRef lo, LLVMValueRef hi,
                            uint32_t width);

/* The row-major index over `n` >= 1 dims, and back. Lanes stay affine where that is provable. */
struct coord coord_linearize(struct emit *e, const struct coord *c, const dim *dims, uint32_t n,
                             uint32_t width);
void coord_delinearize(struct emit *e, struct coord x, const dim *dims, uint32_t n, uint32_t width,
                       struct coord *out);

/* Lane `lane` of a point, as a point of width 1. */
struct point point_lane(struct emit *e, const struct point *p, uint32_t lane);
/* One value lane by lane: the scalar form W times. */
LLVMValueRef emit_by_lanes(struct emit *e, value_id v, const struct point *p);

/* Whether the value is stored packed: constants and entry-point inputs of sub-byte dtypes. */
bool emit_is_packed(const struct function *f, value_id v);
/* Elements in compute dtype in a row-major buffer at `base`. */
LLVMValueRef emit_load_row(struct emit *e, LLVMValueRef base, enum dtype dtype, const dim *dims,
                           const struct point *p);
void emit_store_row(struct emit *e, LLVMValueRef base, enum dtype dtype, const dim *dims,
                    const struct point *p, LLVMValueRef x);
#endif
