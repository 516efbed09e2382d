/* SPDX-License-Identifier: Apache-2.0 */
/* The register-blocked micro-kernel that contraction, convolution and attention share.
 *
 * It adds lhs [rows][steps] times rhs [steps][panels x columns] to a block of sums. rhs is read 64
 * bytes of sums (a panel) at a time; a few rows times a panel are kept in registers, so one step is
 * one broadcast per row, one load per vector and one fused multiply-add per pair of them. */
#ifndef SINTER_CODEGEN_CPU_MICRO_H
#define SINTER_CODEGEN_CPU_MICRO_H

#include "codegen/emit.h"

/* Rows beyond `rows` that a call may write to `sums`; nothing is read of lhs beyond its last row.
 */
#define MICRO_SPARE_ROWS 12

/* Rows of a panel of lhs: every block's rows divide it. */
#define MICRO_LHS_PANEL 12

/* Lhs of a convolution: blocks of MICRO_CHANNELS channels, [block][place][channel]. A row is a
 * result, at some place of the plane; a step is a channel and a row of the window, and its taps
 * follow one after the other in rhs. */
#define MICRO_CHANNELS 16
#define MICRO_TAPS 9
struct micro_taps {
  LLVMValueRef offsets;            /* i64 by row of lhs: elements to its place */
  LLVMValueRef block;              /* elements from block to block of channels */
  uint32_t rows;                   /* of the window */
  uint32_t columns;                /* of the window, at most MICRO_TAPS */
  LLVMValueRef row;                /* elements from row to row of the window */
  LLVMValueRef column[MICRO_TAPS]; /* elements to each column of it */
};

struct micro {
  enum dtype acc;
  uint32_t width;               /* lanes of a vector of sums */
  uint32_t columns;             /* of a panel: 64 bytes of sums */
  LLVMValueRef lhs, lhs_stride; /* of dtype acc, rows of k; elements from row to row */
  LLVMValueRef lhs_step;        /* from step to step; NULL: 1 */
  /* Not NULL: lhs is panels of MICRO_LHS_PANEL rows, [panel][k][row], the last one filled up; the
   * two above are not used. */
  LLVMValueRef lhs_panel_stride;
  const struct micro_taps *taps; /* not NULL: lhs is a plane under a window; nor are they used */
  /* acc is i32, and its elements in lhs and rhs are pairs of i16: steps are of two products. rhs
   * may be stored as pairs of 8 bits (rhs_dtype). */
  bool pairs;
  LLVMValueRef rhs; /* column 0 at step 0 */
  enum dtype rhs_dtype;
  LLVMValueRef panel_stride, k_stride; /* elements of rhs from panel to panel, from step to step */
  /* A power of two: rhs comes from far away, and the next panel is fetched while one is multiplied,
   * by so many blocks of rows. 0: it is not. */
  uint32_t ahead;
  LLVMValueRef sums, sums_stride; /* of dtype acc, [rows][panels * columns] */
  LLVMValueRef rows, panels, steps;
  LLVMValueRef half;  /* i64, 1: after the panels, half a one more; 0: not; NULL: never */
  LLVMValueRef first; /* i1: sums are set, else added to */
  int64_t most_rows;  /* where a bound of `rows` is known to the compiler; else 0 */
};

/* The width and columns for sums of this dtype; everything else 0. */
void micro_init(const struct emit *e, struct micro *m, enum dtype acc);
/* Whether a panel is several vectors, so that half of one saves something. */
/* Whether products of these are exact in pairs of 16 bits. */
bool micro_takes_pairs(enum dtype lhs, enum dtype rhs);
bool micro_has_half(const struct micro *m);
void micro_multiply(struct emit *e, const struct micro *m);
/* `width` vectors of as many lanes, a power of two up to MICRO_SQUARE: rows become columns. */
#define MICRO_SQUARE 8
void micro_turn(struct emit *e, LLVMValueRef *x, uint32_t width);
/* to[j][i] = from[i][j] for i < rows, j < columns; strides in elements, from row to row. By vectors
 * both ways where whole blocks are left. */
void micro_transpose(struct emit *e, enum dtype dtype, LLVMValueRef from, LLVMValueRef from_stride,
                     LLVMValueRef to, LLVMValueRef to_stride, LLVMValueRef rows,
                     LLVMValueRef columns);

/* ---- small arithmetic of CPU schedules; see codegen/index_math.h for the rest ---- */

/* a rounded down to a multiple of a power of two. */
LLVMValueRef micro_whole(struct emit *e, LLVMValueRef a, uint32_t power);
/* Element `index` of an array of the dtype (of sums) at `base`; and its loads and stores. */
LLVMValueRef micro_at(struct emit *e, enum dtype acc, LLVMValueRef base, LLVMValueRef index);
LLVMValueRef micro_load(struct emit *e, enum dtype acc, LLVMValueRef at, uint32_t width);
void micro_store(struct emit *e, enum dtype acc, LLVMValueRef at, LLVMValueRef x);

#endif
