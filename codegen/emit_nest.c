/* SPDX-License-Identifier: Apache-2.0 */
/* Loop nests of the emitter; see emit_nest.h. */
#include "codegen/emit_nest.h"

#include <string.h>

uint32_t nest_width(const struct emit *e, dim d, enum dtype widest) {
  uint32_t bytes = dtype_unpacked_bytes(widest);
  uint32_t width = e->vector_bytes / (bytes < 4 ? 4 : bytes);
  int64_t n;
  if (!dim_is_const(e->f->module->dims, d, &n))
    return width;
  while (width > 1 && (int64_t)width > n)
    width /= 2;
  return width;
}

static void at_vector(const struct nest *n, struct point *q, LLVMValueRef index) {
  q->width = n->width;
  q->c[n->axes[n->n_axes - 1]] = (struct coord){.base = index, .stride = 1, .align = n->width};
}

/* As many vectors of [0, size) as the streams take, into *vector; returns where they end. */
static LLVMValueRef stream_loop(struct emit *e, const struct nest *n, struct point *q,
                                LLVMValueRef size, LLVMValueRef *vector) {
  uint32_t step = n->width * n->streams;
  LLVMValueRef acc[NEST_MAX_STREAMS] = {*vector}, next[NEST_MAX_STREAMS];
  LLVMValueRef end = LLVMBuildAnd(e->b, size, emit_i64(e, -(int64_t)step), "");
  struct emit_loop l;
  for (uint32_t s = 1; s < n->streams; s++)
    acc[s] = n->neutral;
  emit_loop_begin(e, &l, emit_i64(e, 0), end, step, n->streams, acc);
  for (uint32_t s = 0; s < n->streams; s++) {
    at_vector(n, q, LLVMBuildAdd(e->b, l.index, emit_i64(e, (int64_t)s * n->width), ""));
    n->body(e, n->user, q, &l.carried[s], &next[s]);
  }
  emit_loop_end(e, &l, next);
  *vector = l.carried[0];
  for (uint32_t s = 1; s < n->streams; s++)
    *vector = n->merge(e, n->user, *vector, l.carried[s]);
  return end;
}

static void last_loop(struct emit *e, const struct nest *n, struct point *q, LLVMValueRef *scalar,
                      LLVMValueRef *vector) {
  uint32_t axis = n->axes[n->n_axes - 1];
  LLVMValueRef size = emit_dim(e, n->dims[axis]), whole = n->lane ? n->lane : emit_i64(e, 0);
  LLVMValueRef next[NEST_MAX_CARRIED];
  struct emit_loop l;
  if (n->width > 1) {
    LLVMValueRef from = emit_i64(e, 0);
    if (n->streams > 1)
      from = stream_loop(e, n, q, size, vector);
    whole = LLVMBuildAnd(e->b, size, emit_i64(e, -(int64_t)n->width), "");
    emit_loop_begin(e, &l, from, whole, n->width, n->n_carried, vector);
    at_vector(n, q, l.index);
    n->body(e, n->user, q, l.carried, next);
    emit_loop_end(e, &l, next);
    memcpy(vector, l.carried, n->n_carried * sizeof *vector);
  }
  emit_loop_begin(e, &l, whole, size, n->lane ? n->lanes : 1, n->n_carried, scalar);
  q->width = 1;
  q->c[axis] = coord_uniform(e, l.index);
  n->body(e, n->user, q, l.carried, next);
  emit_loop_end(e, &l, next);
  memcpy(scalar, l.carried, n->n_carried * sizeof *scalar);
}

void emit_nest(struct emit *e, const struct nest *n, const struct point *p, LLVMValueRef *scalar,
               LLVMValueRef *vector) {
  struct point q = *p;
  q.width = 1;
  if (!n->n_axes) {
    LLVMValueRef next[NEST_MAX_CARRIED];
    n->body(e, n->user, &q, scalar, next);
    if (n->n_carried)
      memcpy(scalar, next, n->n_carried * sizeof *scalar);
    return;
  }
  struct emit_loop loops[IR_MAX_RANK];
  LLVMValueRef acc[2 * NEST_MAX_CARRIED];
  const uint32_t c = n->n_carried, all = n->width > 1 ? 2 * c : c;
  if (c)
    memcpy(acc, scalar, c * sizeof *acc);
  if (c && n->width > 1)
    memcpy(acc + c, vector, c * sizeof *acc);
  for (uint32_t i = 0; i + 1 < n->n_axes; i++) {
    LLVMValueRef size = emit_dim(e, n->dims[n->axes[i]]);
    emit_loop_begin(e, &loops[i], emit_i64(e, 0), size, 1, all, acc);
    if (c)
      memcpy(acc, loops[i].carried, all * sizeof *acc);
    q.c[n->axes[i]] = coord_uniform(e, loops[i].index);
  }
  last_loop(e, n, &q, acc, acc + c);
  for (uint32_t i = n->n_axes - 1; i-- > 0;) {
    emit_loop_end(e, &loops[i], acc);
    if (c)
      memcpy(acc, loops[i].carried, all * sizeof *acc);
  }
  if (c)
    memcpy(scalar, acc, c * sizeof *acc);
  if (c && n->width > 1)
    memcpy(vector, acc + c, c * sizeof *acc);
}
