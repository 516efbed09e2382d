/* SPDX-License-Identifier: Apache-2.0 */
/* Meshes and shardings: exactly which elements of a value each rank holds (DESIGN: Shardings).
 * Types refer to shardings by id; both are interned in their module. */
#ifndef SINTER_IR_SHARDING_H
#define SINTER_IR_SHARDING_H

#include "ir/graph.h"

#define MESH_MAX_AXES 6
#define SHARDING_MAX_AXES_PER_DIM 4

struct mesh_axis {
  const char *name; /* interned */
  int64_t size;
};
/* Axes from the outermost; rank number = row-major position. Text: mesh [cp=2, tp=4]. */
struct mesh {
  uint32_t n_axes;
  struct mesh_axis axes[MESH_MAX_AXES];
};

/* An axis, or a part of it: with sub_size > 0 the part of that size whose inner neighbours make up
 * `sub_stride` ranks (tp:2 is the outer half of tp=4: size 2, stride 2; tp/2:2 the inner: size 2,
 * stride 1). */
struct axis_ref {
  uint32_t axis;                /* in the mesh */
  int64_t sub_size, sub_stride; /* 0, 0: the whole axis */
};

enum split_order {
  SPLIT_BLOCK,  /* rank r holds granules [r n/k, (r+1) n/k), the first n mod k ranks one more */
  SPLIT_ZIGZAG, /* 2k chunks, rank r holds chunks r and 2k-1-r */
  SPLIT_INTERLEAVED, /* blocks of `block` elements dealt round-robin */
};

/* How one dim is split. n_axes = 0: not split. */
struct dim_split {
  uint32_t n_axes;
  struct axis_ref axes[SHARDING_MAX_AXES_PER_DIM]; /* outer first */
  int64_t granule; /* never cut inside this many elements; 1 by default */
  enum split_order order;
  int64_t block; /* of SPLIT_INTERLEAVED, a multiple of granule */
};

struct partial {
  enum partial_kind kind; /* NONE: whole over the axes not named */
  uint32_t n_axes;
  struct axis_ref axes[MESH_MAX_AXES];
};

struct sharding {
  uint32_t mesh; /* into module.meshes */
  uint32_t rank;
  struct dim_split dims[IR_MAX_RANK];
  struct partial partial;
};

/* Interns; equal contents give equal ids. Fields beyond the counts must be zero. */
uint32_t module_add_mesh(struct module *m, const struct mesh *mesh);
sharding_id module_add_sharding(struct module *m, const struct sharding *s);
/* f32[batch, 4096] @ {-, tp*64} partial(sum, cp): the part from '@' on. */
void sharding_print(const struct module *m, sharding_id s, struct strbuf *out);

/* The word for a kind of partial, and the kind of a word (-1: none). */
const char *partial_text(enum partial_kind kind);
int partial_find(const char *text);

#endif
