/* SPDX-License-Identifier: Apache-2.0 */
/* The emitter: LLVM IR for the value of any graph value at any point, shared by every target.
 *
 * A schedule owns the loops (CPU) or the grid (GPU) and asks, at its leaves, for W lanes of a value
 * along one line of its index space. The emitter walks back through views, maps, gathers and iotas
 * to loads of the kernel's buffers, so any chain of them fuses into any schedule without a list of
 * patterns. Roots (reduce, contract, conv, window, attention) can be emitted at a point as well, as
 * plain loops: that is the slow, always-correct schedule of every root.
 *
 * Values live in registers in their compute dtype: floats below f32 as f32, sub-byte ints as i8,
 * bool as i1. The rounding to the logical dtype happens where a map, reduce or contract ends, so
 * fusion never changes a bit of a result. */
#ifndef SINTER_CODEGEN_EMIT_H
#define SINTER_CODEGEN_EMIT_H

#include <llvm-c/Core.h>

#include "codegen/kernel.h"
#include "codegen/vmath/vmath.h"
#include "ir/graph.h"

/* One index: the same for all lanes (stride 0), base + lane * stride, or any vector of i64. */
struct coord {
  LLVMValueRef base;  /* i64; NULL where `lanes` is set */
  LLVMValueRef lanes; /* <W x i64>, or NULL */
  int64_t stride;
  int64_t align; /* base is known to be a multiple of this; 0: base is zero */
};

/* W places in the index space of one value. */
struct point {
  uint32_t rank;
  uint32_t width;
  struct coord c[IR_MAX_RANK];
};

struct emit_memo {
  value_id value;
  struct point point;
  LLVMValueRef result;
};

/* A value computed by the schedule itself: a fixed register wherever it is asked for. */
struct emit_bound {
  value_id value;
  LLVMValueRef scalar; /* NULL: see cache */
  LLVMValueRef cache;  /* pointer to a row of elements in compute dtype, indexed by `cache_dim` */
  uint32_t cache_rank_from; /* first dim of the row: the row-major offset over dims from here on */
};

struct emit {
  LLVMContextRef context;
  LLVMModuleRef module;
  LLVMBuilderRef b;
  LLVMValueRef fn;
  LLVMBasicBlockRef entry; /* argument loads, dims and strides go here; ends without terminator */
  LLVMBuilderRef entry_builder;
  struct vmath *math;
  const struct function *f;
  const struct op *fused;
  struct kernel *kernel;
  LLVMValueRef args, first, last, scratch; /* the ABI's parameters */
  uint32_t vector_bytes;
  uint32_t base_align; /* bytes that all buffers are known to be aligned to; 0: as their elements */
  LLVMValueRef
      lane; /* i64: this thread's place in the block that computes a tile; NULL: there is none */

  VEC(struct emit_memo) memo;
  VEC(struct emit_bound) bound;
  VEC(LLVMValueRef) dim_values; /* by kernel->dims index; NULL, or beyond its end: not loaded */
  LLVMValueRef *buffers;        /* by buffer number */
  LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr;
};

/* ---- values ---- */

/* The value at the point: a scalar for width 1, else a vector, in the compute dtype. */
LLVMValueRef emit_value(struct emit *e, value_id v, const struct point *p);
/* The schedule itself has the value of v at p: x answers where an epilogue asks for it. Coordinates
 * of dims of size 1 become 0 in p, which is how readers ask for them. */
void emit_know(struct emit *e, value_id v, struct point *p, LLVMValueRef x);
/* The second result of an arg-reduction at the point of the first; i64. */
/* Stores `x` (compute dtype, already rounded) to an output buffer at the point. */
void emit_store(struct emit *e, uint32_t buffer, const struct type *type, const struct point *p,
                LLVMValueRef x);
void emit_bind_scalar(struct emit *e, value_id v, LLVMValueRef x);
LLVMValueRef emit_dim(struct emit *e, dim d);
LLVMValueRef emit_i64(struct emit *e, int64_t x);
LLVMTypeRef emit_type(struct emit *e, enum dtype dtype, uint32_t width);
LLVMTypeRef emit_acc_type(struct emit *e, enum dtype dtype, uint32_t width);
/* Zero-filled constant, splat of a scalar. */
LLVMValueRef emit_splat(struct emit *e, LLVMValueRef scalar, uint32_t width);
LLVMValueRef emit_lane(struct emit *e, LLVMValueRef x, uint32_t width, uint32_t lane);
/* The coordinate as a vector (scalar for width 1). */
LLVMValueRef coord_vector(struct emit *e, const struct coord *c, uint32_t width);
struct coord coord_uniform(struct emit *e, LLVMValueRef base);
struct coord coord_zero(struct emit *e);
bool point_is_uniform(const struct point *p);
/* The session's error word becomes provenance + 1 of that op of the region where `bad` (i1,
 * scalar): an argument of each launch, since equal regions of several nodes share the code. */
void emit_error_if(struct emit *e, LLVMValueRef bad, const struct op *op);

/* Row-major point of a linear index over dims; width 1. */
void emit_delinearize(struct emit *e, LLVMValueRef linear, const dim *dims, uint32_t rank,
                      struct coord *out);
LLVMValueRef emit_product(struct emit *e, const dim *dims, uint32_t n);

/* ---- control ---- */

#define EMIT_MAX_CARRIED 136
struct emit_loop {
  LLVMBasicBlockRef before, body, exit;
  LLVMValueRef index; /* i64 */
  LLVMValueRef hi, step;
  uint32_t n;
  LLVMValueRef carried[EMIT_MAX_CARRIED]; /* phis in the body; after loop_end: the final values */
  LLVMValueRef init[EMIT_MAX_CARRIED];
  uint32_t memo_mark;
};
/* for (index = lo; index < hi; index += step), guarded; values carried from `init`. */
void emit_loop_begin(struct emit *e, struct emit_loop *l, LLVMValueRef lo, LLVMValueRef hi,
                     int64_t step, uint32_t n, const LLVMValueRef *init);
void emit_loop_end(struct emit *e, struct emit_loop *l, const LLVMValueRef *next);

struct emit_if {
  LLVMBasicBlockRef then_block, else_block, merge, then_end;
  LLVMValueRef then_value;
  uint32_t memo_mark;
};
/* if (c) A else B, each giving one value (or none: NULL). */
void emit_if_begin(struct emit *e, struct emit_if *s, LLVMValueRef c);
void emit_if_else(struct emit *e, struct emit_if *s, LLVMValueRef value);
LLVMValueRef emit_if_end(struct emit *e, struct emit_if *s, LLVMValueRef value);

/* ---- parts in other files ---- */

/* emit_scalar.c: a scalar body; args and result in compute dtypes, rounded at the end to `dtype`.
 */
LLVMValueRef emit_body(struct emit *e, const struct scalar_body *body, const LLVMValueRef *args,
                       uint32_t width);
LLVMValueRef emit_scalar_op(struct emit *e, enum scalar_op op, enum dtype dtype, LLVMValueRef *args,
                            uint32_t width);
LLVMValueRef emit_cast(struct emit *e, LLVMValueRef x, enum dtype from, enum dtype to,
                       enum cast_mode mode, uint32_t width);
/* As the dtype would hold it: the rounding where a map, reduce or contract ends. */
LLVMValueRef emit_round_to(struct emit *e, enum dtype dtype, LLVMValueRef x, uint32_t width);
LLVMValueRef emit_round_mode(struct emit *e, enum dtype dtype, LLVMValueRef x, enum cast_mode mode,
                             uint32_t width);
LLVMValueRef emit_literal(struct emit *e, enum dtype dtype, double f, int64_t i, uint32_t width);

/* emit_memory.c: raw element(s) of a buffer, decoded; and back. */
LLVMValueRef emit_load(struct emit *e, uint32_t buffer, const struct type *type, bool packed,
                       const struct point *p);

/* Where the lanes of v at the point lie one after the other in a buffer of the kernel, as v's
 * dtype; NULL where they do not, or v is computed. The place is a multiple of *out_align elements
 * behind the buffer's address; 0: it is that address. */
LLVMValueRef emit_address(struct emit *e, value_id v, const struct point *p, uint32_t *out_buffer,
                          int64_t *out_align);
/* i1: all buffers of the kernel begin at multiples of so many bytes, a power of two. */
LLVMValueRef emit_are_aligned(struct emit *e, uint32_t bytes);
/* The bits that a buffer of this dtype holds of x, which is a value of it in the compute dtype. */
LLVMValueRef emit_encode(struct emit *e, enum dtype dtype, LLVMValueRef x, uint32_t width);

/* emit_root.c: a root at a point of its result, as loops. `result` picks one of several. */
LLVMValueRef emit_root(struct emit *e, const struct op *op, uint32_t result, const struct point *p);
/* The keys of an attention's part: *lo to *hi, nothing where *hi is no more than *lo. */
void emit_attention_part(struct emit *e, const struct op *op, LLVMValueRef part, LLVMValueRef *lo,
                         LLVMValueRef *hi);
LLVMValueRef emit_identity(struct emit *e, enum combiner kind, enum dtype dtype, uint32_t width);
/* The position that an arg-reduction found: 0 where there was no element (`at` is below 0 then). */
LLVMValueRef emit_arg_position(struct emit *e, LLVMValueRef at);
LLVMValueRef emit_combine(struct emit *e, enum combiner kind, enum dtype dtype, LLVMValueRef a,
                          LLVMValueRef b, uint32_t width);
/* Lanes of a vector combined in a fixed tree. */
LLVMValueRef emit_horizontal(struct emit *e, enum combiner kind, enum dtype dtype, LLVMValueRef x,
                             uint32_t width);

#endif
