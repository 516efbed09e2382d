/* SPDX-License-Identifier: Apache-2.0 */
/* Sliding windows over the last two dims, as convolution and pooling see them: tiles of the result,
 * and the part of the input under a tile, copied into scratch with its borders filled in, so that
 * what reads it needs no test of borders.
 *
 * One spatial dim is the case of a height of 1. A tile is TW columns by TR rows of the result, at
 * most `most` elements: whole rows where they fit, else part of one. So its elements are neighbours
 * in a result stored in row-major order, either way. */
#ifndef SINTER_CODEGEN_CPU_PLANE_H
#define SINTER_CODEGEN_CPU_PLANE_H

#include "codegen/emit.h"
#include "codegen/kernel.h"

struct plane {
  uint32_t axes;                           /* spatial dims: 1 or 2 */
  uint32_t most;                           /* elements of a tile at most */
  dim in[2], out[2], low[2];               /* height, width */
  int64_t size[2], stride[2], dilation[2]; /* of the window */
};

/* The planes of a convolution and of a window op; all but `most`. False where there are not one or
 * two spatial dims, or the window's size is not known or large. `one` and `zero` are dims. */
bool plane_of_conv(const struct kernel *k, const struct op *op, dim one, dim zero,
                   struct plane *out);
bool plane_of_window(const struct kernel *k, const struct op *op, dim one, dim zero,
                     struct plane *out);
/* The same of a window over [batch, spatial..., channels]. */
bool plane_of_window_last(const struct kernel *k, const struct op *op, dim one, dim zero,
                          struct plane *out);

/* Serial: dims of the grid (tiles, one factor); the scratch elements that the copies of `channels`
 * need. DIM_NONE where the dims do not say it. */
dim plane_tiles(struct dim_table *t, const struct plane *p);
dim plane_scratch(struct dim_table *t, const struct plane *p, int64_t channels);

/* The tiles, where the dims are known; else 0. */
int64_t plane_known_tiles(const struct dim_table *t, const struct plane *p);

/* Elements of one channel's copy, where the dims are known; else 0. */
int64_t plane_copy_size(const struct dim_table *t, const struct plane *p);

/* Whether the dims are known and some tile's elements leave 1 .. `most` when divided by n. */
bool plane_ends_in(const struct dim_table *t, const struct plane *p, int64_t n, int64_t most);

struct plane_tile {
  const struct plane *p;
  enum dtype acc;                /* of the copy */
  uint32_t width;                /* lanes */
  LLVMValueRef tw;               /* columns of every tile but the last of a row */
  LLVMValueRef y0, x0;           /* of the result */
  LLVMValueRef rows, columns;    /* of this tile */
  LLVMValueRef elements;         /* rows * columns */
  LLVMValueRef in_rows, pitch;   /* of one channel's copy; rows of this tile only */
  LLVMValueRef scratch, channel; /* the copy; elements from channel to channel */
};
/* Emits the geometry of tile `number` (which is consumed: returns number div tiles). */
LLVMValueRef plane_tile_init(struct emit *e, struct plane_tile *t, const struct plane *p,
                             LLVMValueRef number);

/* Row `row` of the copy: the row of the input, the input's column at place 0 (either may lie
 * outside), and the places [lo, hi) of the row that lie inside. */
void plane_row(struct emit *e, const struct plane_tile *t, LLVMValueRef row, LLVMValueRef *out_y,
               LLVMValueRef *out_x, LLVMValueRef *out_lo, LLVMValueRef *out_hi);

/* The taps [lo, hi) along an axis that lie inside for result `at` of it; lo <= hi. */
void plane_taps_inside(struct emit *e, const struct plane *p, uint32_t axis, LLVMValueRef at,
                       LLVMValueRef *out_lo, LLVMValueRef *out_hi);

/* W elements of the input (in `acc`) at row y and column x of channel c: all inside. */
typedef LLVMValueRef (*plane_read)(struct emit *e, void *user, LLVMValueRef c, LLVMValueRef y,
                                   struct coord x, uint32_t width);
/* Copies channels [0, channels); `fill` (a scalar of `acc`) lies outside. May write up to a vector
 * beyond the last element. */
void plane_copy(struct emit *e, const struct plane_tile *t, LLVMValueRef channels,
                LLVMValueRef fill, plane_read read, void *user);

/* W lanes of the copy for neighbouring results: channel c, row `y` of the tile, column x and on,
 * under tap (ty, tx) of the window. Lanes beyond the tile hold anything. */
LLVMValueRef plane_load(struct emit *e, const struct plane_tile *t, LLVMValueRef c, LLVMValueRef y,
                        LLVMValueRef x, LLVMValueRef ty, LLVMValueRef tx);
/* The same in two steps: where (row 0's column 0 of) a tap begins, and lanes from there. */
LLVMValueRef plane_at(struct emit *e, const struct plane_tile *t, LLVMValueRef c, LLVMValueRef y,
                      LLVMValueRef ty, LLVMValueRef tx);
LLVMValueRef plane_lanes(struct emit *e, const struct plane_tile *t, LLVMValueRef at,
                         LLVMValueRef x);

/* Whether a type has the dims of `full` from dim `from` on, or ones: a linear index along them all,
 * in one coordinate (the others 0), reads the same element. */
bool type_is_flat(const struct dim_table *t, const struct type *type, const struct type *full,
                  uint32_t from);
/* The dim whose coordinate holds that index: the last one that is not 1 (there, coordinates are 0).
 */
uint32_t type_flat_axis(const struct dim_table *t, const struct type *type, uint32_t from);
/* Whether every value of the region behind `root` (its result, and maps over it) has, from dim
 * `from` on, either the dims of the result or ones: then these dims may be walked as one. */
bool plane_is_flat(const struct kernel *k, const struct op *root, uint32_t from);

/* Stores all results of the tile from its sums: `sums` + row * stride + j for result channel
 * `outer` + row, with the root's value read back as `from` and cast to `to`. p0 has the coordinates
 * of the dims before the channel. */
struct plane_finish {
  const struct op *root;
  enum dtype from, to;
  bool flat;
  struct coord batch;   /* coordinate 0 */
  LLVMValueRef channel; /* coordinate 1 of row 0 */
  LLVMValueRef sums, stride, rows;
};
void plane_finish(struct emit *e, const struct plane_tile *t, const struct plane_finish *f);

#endif
