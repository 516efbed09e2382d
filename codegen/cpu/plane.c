/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles of sliding windows; see plane.h. */
#include "codegen/cpu/plane.h"

#include "codegen/cpu/micro.h"
#include "codegen/index_math.h"
#include "codegen/schedule.h"

#define MAX_TAPS 1024
#define MAX_STEP 4096

/* ---- geometry ---- */

static bool small_window(const struct plane *p) {
  for (uint32_t i = 0; i < 2; i++) {
    if (p->size[i] < 1 || p->size[i] > MAX_TAPS)
      return false;
    if (p->dilation[i] > MAX_STEP || p->stride[i] > MAX_STEP)
      return false;
  }
  return p->size[0] * p->size[1] <= MAX_TAPS;
}

bool plane_of_conv(const struct kernel *k, const struct op *op, dim one, dim zero,
                   struct plane *out) {
  const struct conv_attrs *a = OP_ATTRS(conv, op);
  const struct type *x = value_type(k->function, op->operands[0]);
  const struct type *w = value_type(k->function, op->operands[1]);
  const struct type *y = value_type(k->function, op->results[0]);
  *out = (struct plane){.axes = x->rank - 2};
  if (out->axes < 1 || out->axes > 2)
    return false;
  for (uint32_t i = 0; i < 2; i++) {
    bool there = i + out->axes >= 2;
    uint32_t from = there ? i + out->axes - 2 : 0;
    out->in[i] = there ? x->dims[2 + from] : one;
    out->out[i] = there ? y->dims[2 + from] : one;
    out->low[i] = there ? a->low.data[from] : zero;
    out->stride[i] = there ? a->stride.data[from] : 1;
    out->dilation[i] = there ? a->dilation.data[from] : 1;
    out->size[i] = 1;
    if (there && !dim_is_const(k->function->module->dims, w->dims[2 + from], &out->size[i]))
      return false;
  }
  return small_window(out);
}

/* Spatial dims from `first` on; the two others may not be windowed. */
static bool plane_of_dims(const struct kernel *k, const struct op *op, dim one, dim zero,
                          uint32_t first, struct plane *out) {
  const struct window_attrs *a = OP_ATTRS(window, op);
  const struct dim_table *t = k->function->module->dims;
  const struct type *x = value_type(k->function, op->operands[0]);
  const struct type *y = value_type(k->function, op->results[0]);
  *out = (struct plane){.axes = x->rank - 2};
  if (x->rank < 3 || x->rank > 4)
    return false;
  for (uint32_t i = 0; i < x->rank; i++) {
    if (i >= first && i < first + out->axes)
      continue;
    if (a->size.data[i] != 1 || a->stride.data[i] != 1 || x->dims[i] != y->dims[i] ||
        !dim_is_const_value(t, a->low.data[i], 0))
      return false;
  }
  for (uint32_t i = 0; i < 2; i++) {
    bool there = i + out->axes >= 2;
    uint32_t from = there ? first + i + out->axes - 2 : 0;
    out->in[i] = there ? x->dims[from] : one;
    out->out[i] = there ? y->dims[from] : one;
    out->low[i] = there ? a->low.data[from] : zero;
    out->size[i] = there ? a->size.data[from] : 1;
    out->stride[i] = there ? a->stride.data[from] : 1;
    out->dilation[i] = there ? a->dilation.data[from] : 1;
  }
  return small_window(out);
}

bool plane_of_window(const struct kernel *k, const struct op *op, dim one, dim zero,
                     struct plane *out) {
  return plane_of_dims(k, op, one, zero, 2, out);
}

bool plane_of_window_last(const struct kernel *k, const struct op *op, dim one, dim zero,
                          struct plane *out) {
  return plane_of_dims(k, op, one, zero, 1, out);
}

static dim tile_width(struct dim_table *t, const struct plane *p) {
  return dim_max(t, dim_const(t, 1), dim_min(t, p->out[1], dim_const(t, p->most)));
}

static dim tile_rows(struct dim_table *t, const struct plane *p) {
  dim fit = dim_floordiv(t, dim_const(t, p->most), tile_width(t, p));
  return dim_max(t, dim_const(t, 1), dim_min(t, p->out[0], fit));
}

dim plane_tiles(struct dim_table *t, const struct plane *p) {
  dim across = dim_ceildiv(t, p->out[1], tile_width(t, p));
  return dim_mul(t, across, dim_ceildiv(t, p->out[0], tile_rows(t, p)));
}

/* Rows that no tap meets are not copied: with one tap, only those of a result are. */
static int64_t row_step(const struct plane *p) { return p->size[0] == 1 ? p->stride[0] : 1; }

/* Elements (rows) of the copy under n results. */
static dim reach(struct dim_table *t, const struct plane *p, uint32_t axis, dim n) {
  if (axis == 0 && p->size[0] == 1)
    return n;
  dim steps = dim_mul(t, dim_sub(t, n, dim_const(t, 1)), dim_const(t, p->stride[axis]));
  return dim_add(t, steps, dim_const(t, (p->size[axis] - 1) * p->dilation[axis] + 1));
}

dim plane_scratch(struct dim_table *t, const struct plane *p, int64_t channels) {
  dim one = dim_mul(t, reach(t, p, 0, tile_rows(t, p)), reach(t, p, 1, tile_width(t, p)));
  /* Strided reads and vectors that run over. */
  int64_t slack = 64 * (p->stride[1] < 8 ? p->stride[1] : 8) + 64;
  return dim_add(t, dim_mul(t, one, dim_const(t, channels)), dim_const(t, slack));
}

int64_t plane_copy_size(const struct dim_table *t, const struct plane *p) {
  int64_t h, w;
  if (!dim_is_const(t, p->out[0], &h) || !dim_is_const(t, p->out[1], &w))
    return 0;
  if (h < 1 || w < 1)
    return 0;
  if (w > p->most)
    w = p->most;
  if (h > p->most / w)
    h = p->most / w;
  int64_t rows =
      p->size[0] == 1 ? h : (h - 1) * p->stride[0] + (p->size[0] - 1) * p->dilation[0] + 1;
  return rows * ((w - 1) * p->stride[1] + (p->size[1] - 1) * p->dilation[1] + 1);
}

int64_t plane_known_tiles(const struct dim_table *t, const struct plane *p) {
  int64_t h, w;
  if (!dim_is_const(t, p->out[0], &h) || !dim_is_const(t, p->out[1], &w) || h < 1 || w < 1 ||
      h > 65536 || w > 65536)
    return 0;
  int64_t tw = w < p->most ? w : p->most, tr = h < p->most / tw ? h : p->most / tw;
  return (w + tw - 1) / tw * ((h + tr - 1) / tr);
}

bool plane_ends_in(const struct dim_table *t, const struct plane *p, int64_t n, int64_t most) {
  int64_t h, w;
  if (!dim_is_const(t, p->out[0], &h) || !dim_is_const(t, p->out[1], &w) || h < 1 || w < 1)
    return false;
  int64_t tw = w < p->most ? w : p->most, tr = h < p->most / tw ? h : p->most / tw;
  int64_t sizes[3] = {tr * tw, h % tr * tw, w % tw}; /* whole; the last rows; the end of a row */
  for (uint32_t i = 0; i < 3; i++) {
    if (sizes[i] % n >= 1 && sizes[i] % n <= most)
      return true;
  }
  return false;
}

static LLVMValueRef reach_of(struct emit *e, const struct plane *p, uint32_t axis, LLVMValueRef n) {
  if (axis == 0 && p->size[0] == 1)
    return n;
  LLVMValueRef steps = index_scale(e, index_sub(e, n, emit_i64(e, 1)), p->stride[axis]);
  return index_add(e, steps, emit_i64(e, (p->size[axis] - 1) * p->dilation[axis] + 1));
}

LLVMValueRef plane_tile_init(struct emit *e, struct plane_tile *t, const struct plane *p,
                             LLVMValueRef number) {
  LLVMValueRef one = emit_i64(e, 1), most = emit_i64(e, p->most);
  LLVMValueRef oh = emit_dim(e, p->out[0]), ow = emit_dim(e, p->out[1]);
  t->p = p;
  t->tw = index_max(e, one, index_min(e, ow, most));
  LLVMValueRef fit = LLVMBuildUDiv(e->b, most, t->tw, "");
  LLVMValueRef tr = index_max(e, one, index_min(e, oh, fit));
  LLVMValueRef up = index_add(e, ow, index_sub(e, t->tw, one));
  LLVMValueRef across = LLVMBuildUDiv(e->b, up, t->tw, "");
  up = index_add(e, oh, index_sub(e, tr, one));
  LLVMValueRef down = LLVMBuildUDiv(e->b, up, tr, "");
  t->x0 = index_mul(e, LLVMBuildURem(e->b, number, across, ""), t->tw);
  number = LLVMBuildUDiv(e->b, number, across, "");
  t->y0 = index_mul(e, LLVMBuildURem(e->b, number, down, ""), tr);
  t->columns = index_min(e, index_sub(e, ow, t->x0), t->tw);
  t->rows = index_min(e, index_sub(e, oh, t->y0), tr);
  t->elements = index_mul(e, t->rows, t->columns);
  t->in_rows = reach_of(e, p, 0, t->rows);
  t->pitch = reach_of(e, p, 1, t->tw);
  t->channel = index_mul(e, t->in_rows, t->pitch);
  return LLVMBuildUDiv(e->b, number, down, "");
}

void plane_taps_inside(struct emit *e, const struct plane *p, uint32_t axis, LLVMValueRef at,
                       LLVMValueRef *out_lo, LLVMValueRef *out_hi) {
  LLVMValueRef zero = emit_i64(e, 0), size = emit_i64(e, p->size[axis]);
  LLVMValueRef step = emit_i64(e, p->dilation[axis]), less = emit_i64(e, p->dilation[axis] - 1);
  /* Of the input at tap 0; tap i is i steps further. */
  LLVMValueRef first = index_sub(e, index_scale(e, at, p->stride[axis]), emit_dim(e, p->low[axis]));
  LLVMValueRef before = index_max(e, index_sub(e, zero, first), zero);
  LLVMValueRef room = index_max(e, index_sub(e, emit_dim(e, p->in[axis]), first), zero);
  LLVMValueRef lo = LLVMBuildUDiv(e->b, index_add(e, before, less), step, "");
  LLVMValueRef hi = LLVMBuildUDiv(e->b, index_add(e, room, less), step, "");
  *out_hi = index_min(e, hi, size);
  *out_lo = index_min(e, lo, *out_hi);
}

/* ---- the copy ---- */

struct copy {
  const struct plane_tile *t;
  LLVMValueRef fill;
  plane_read read;
  void *user;
  LLVMValueRef c, y, x_start, to; /* of one row: input coordinates; its place */
};

/* May run over `hi` by a vector: what comes after is written later. */
static void fill_row(struct emit *e, const struct copy *c, LLVMValueRef lo, LLVMValueRef hi) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, c->t->width, 0, NULL);
  micro_store(e, c->t->acc, micro_at(e, c->t->acc, c->to, l.index),
              emit_splat(e, c->fill, c->t->width));
  emit_loop_end(e, &l, NULL);
}

/* Whole vectors of [lo, hi); returns where they end. */
static LLVMValueRef copy_span(struct emit *e, const struct copy *c, LLVMValueRef lo,
                              LLVMValueRef hi, uint32_t width) {
  LLVMValueRef end = hi;
  if (width > 1)
    end = index_add(e, lo, micro_whole(e, index_sub(e, hi, lo), width));
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, end, width, 0, NULL);
  struct coord x = {.base = index_add(e, c->x_start, l.index), .stride = width > 1, .align = 1};
  LLVMValueRef value = c->read(e, c->user, c->c, c->y, x, width);
  micro_store(e, c->t->acc, micro_at(e, c->t->acc, c->to, l.index), value);
  emit_loop_end(e, &l, NULL);
  return end;
}

void plane_row(struct emit *e, const struct plane_tile *t, LLVMValueRef row, LLVMValueRef *out_y,
               LLVMValueRef *out_x, LLVMValueRef *out_lo, LLVMValueRef *out_hi) {
  const struct plane *p = t->p;
  LLVMValueRef zero = emit_i64(e, 0), width = emit_dim(e, p->in[1]);
  LLVMValueRef y =
      index_add(e, index_scale(e, t->y0, p->stride[0]), index_scale(e, row, row_step(p)));
  *out_y = y = index_sub(e, y, emit_dim(e, p->low[0]));
  LLVMValueRef x = index_sub(e, index_scale(e, t->x0, p->stride[1]), emit_dim(e, p->low[1]));
  *out_x = x;
  LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntULT, y, emit_dim(e, p->in[0]), "");
  LLVMValueRef lo = index_min(e, index_max(e, index_sub(e, zero, x), zero), t->pitch);
  LLVMValueRef hi = index_max(e, index_min(e, index_sub(e, width, x), t->pitch), lo);
  *out_lo = LLVMBuildSelect(e->b, inside, lo, t->pitch, "");
  *out_hi = LLVMBuildSelect(e->b, inside, hi, t->pitch, "");
}

static void copy_row(struct emit *e, struct copy *c, LLVMValueRef row) {
  const struct plane_tile *t = c->t;
  LLVMValueRef zero = emit_i64(e, 0), lo, hi;
  plane_row(e, t, row, &c->y, &c->x_start, &lo, &hi);
  fill_row(e, c, zero, lo);
  if (t->width > 1)
    lo = copy_span(e, c, lo, hi, t->width);
  if (t->width > 4)
    lo = copy_span(e, c, lo, hi, 4);
  lo = copy_span(e, c, lo, hi, 1);
  fill_row(e, c, hi, t->pitch);
}

void plane_copy(struct emit *e, const struct plane_tile *t, LLVMValueRef channels,
                LLVMValueRef fill, plane_read read, void *user) {
  struct copy c = {.t = t, .fill = fill, .read = read, .user = user};
  struct emit_loop lc, lr;
  emit_loop_begin(e, &lc, emit_i64(e, 0), channels, 1, 0, NULL);
  c.c = lc.index;
  emit_loop_begin(e, &lr, emit_i64(e, 0), t->in_rows, 1, 0, NULL);
  LLVMValueRef at =
      index_add(e, index_mul(e, lc.index, t->channel), index_mul(e, lr.index, t->pitch));
  c.to = micro_at(e, t->acc, t->scratch, at);
  copy_row(e, &c, lr.index);
  emit_loop_end(e, &lr, NULL);
  emit_loop_end(e, &lc, NULL);
}

/* ---- reading the copy ---- */

LLVMValueRef plane_at(struct emit *e, const struct plane_tile *t, LLVMValueRef c, LLVMValueRef y,
                      LLVMValueRef ty, LLVMValueRef tx) {
  const struct plane *p = t->p;
  LLVMValueRef row = index_scale(e, y, p->stride[0] / row_step(p));
  row = index_add(e, row, index_scale(e, ty, p->dilation[0]));
  LLVMValueRef at = index_add(e, index_mul(e, c, t->channel), index_mul(e, row, t->pitch));
  at = index_add(e, at, index_scale(e, tx, p->dilation[1]));
  return micro_at(e, t->acc, t->scratch, at);
}

/* Every second element of two vectors. */
static LLVMValueRef load_even(struct emit *e, const struct plane_tile *t, LLVMValueRef at) {
  LLVMValueRef a = micro_load(e, t->acc, at, t->width);
  LLVMValueRef b = micro_load(e, t->acc, micro_at(e, t->acc, at, emit_i64(e, t->width)), t->width);
  LLVMValueRef lanes[64];
  for (uint32_t i = 0; i < t->width; i++)
    lanes[i] = LLVMConstInt(e->i32, 2 * i, false);
  return LLVMBuildShuffleVector(e->b, a, b, LLVMConstVector(lanes, t->width), "");
}

LLVMValueRef plane_lanes(struct emit *e, const struct plane_tile *t, LLVMValueRef at,
                         LLVMValueRef x) {
  int64_t step = t->p->stride[1];
  at = micro_at(e, t->acc, at, index_scale(e, x, step));
  if (step == 1 || t->width == 1)
    return micro_load(e, t->acc, at, t->width);
  if (step == 2)
    return load_even(e, t, at);
  LLVMValueRef v = LLVMGetPoison(emit_type(e, t->acc, t->width));
  for (uint32_t i = 0; i < t->width; i++) {
    LLVMValueRef y = micro_load(e, t->acc, micro_at(e, t->acc, at, emit_i64(e, i * step)), 1);
    v = LLVMBuildInsertElement(e->b, v, y, emit_i64(e, i), "");
  }
  return v;
}

LLVMValueRef plane_load(struct emit *e, const struct plane_tile *t, LLVMValueRef c, LLVMValueRef y,
                        LLVMValueRef x, LLVMValueRef ty, LLVMValueRef tx) {
  return plane_lanes(e, t, plane_at(e, t, c, y, ty, tx), x);
}

/* ---- the end of a tile ---- */

bool type_is_flat(const struct dim_table *t, const struct type *type, const struct type *full,
                  uint32_t from) {
  bool same = true, ones = true;
  for (uint32_t i = from; i < full->rank; i++) {
    same &= type->dims[i] == full->dims[i];
    ones &= dim_is_const_value(t, type->dims[i], 1);
  }
  return type->rank == full->rank && (same || ones);
}

uint32_t type_flat_axis(const struct dim_table *t, const struct type *type, uint32_t from) {
  for (uint32_t i = type->rank; i-- > from;) {
    if (!dim_is_const_value(t, type->dims[i], 1))
      return i;
  }
  return type->rank - 1;
}

bool plane_is_flat(const struct kernel *k, const struct op *root, uint32_t from) {
  const struct function *f = k->function;
  const struct region *r = &f->regions.data[kernel_op(k)->regions[0]];
  const struct type *full = value_type(f, root->results[0]);
  const struct dim_table *t = f->module->dims;
  bool after = false;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    after |= op == root;
    if (op == root || op->kind == OP_CONST)
      continue;
    if (op->kind != OP_MAP || !type_is_flat(t, value_type(f, op->results[0]), full, from))
      return false;
    for (uint32_t j = 0; j < op->n_operands; j++) {
      if (!type_is_flat(t, value_type(f, op->operands[j]), full, from))
        return false;
    }
  }
  return after;
}

static void finish_span(struct emit *e, const struct plane_finish *f, struct point *p,
                        LLVMValueRef row, LLVMValueRef sums, LLVMValueRef x0, LLVMValueRef lo,
                        LLVMValueRef hi, uint32_t width) {
  const struct type *type = value_type(e->f, f->root->results[0]);
  uint32_t axis = f->flat ? type_flat_axis(e->f->module->dims, type, 2) : p->rank - 1;
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  p->width = width;
  p->c[1] = coord_uniform(e, index_add(e, f->channel, row));
  p->c[axis] = (struct coord){.base = index_add(e, x0, l.index), .stride = width > 1, .align = 1};
  LLVMValueRef x = micro_load(e, f->from, micro_at(e, f->from, sums, l.index), width);
  x = emit_cast(e, x, f->from, f->to, CAST_DEFAULT, width);
  emit_know(e, f->root->results[0], p, x);
  kernel_store_results(e, p);
  emit_loop_end(e, &l, NULL);
}

static void finish_row(struct emit *e, const struct plane_tile *t, const struct plane_finish *f,
                       struct point *p, LLVMValueRef row, LLVMValueRef sums, LLVMValueRef x0,
                       LLVMValueRef n) {
  LLVMValueRef whole = micro_whole(e, n, t->width);
  finish_span(e, f, p, row, sums, x0, emit_i64(e, 0), whole, t->width);
  if (t->width > 1)
    finish_span(e, f, p, row, sums, x0, whole, n, 1);
}

void plane_finish(struct emit *e, const struct plane_tile *t, const struct plane_finish *f) {
  struct point p = {.rank = value_type(e->f, f->root->results[0])->rank};
  p.c[0] = f->batch;
  for (uint32_t i = 2; i < p.rank; i++)
    p.c[i] = coord_zero(e);
  struct emit_loop l, lr;
  emit_loop_begin(e, &l, emit_i64(e, 0), f->rows, 1, 0, NULL);
  LLVMValueRef sums = micro_at(e, f->from, f->sums, index_mul(e, l.index, f->stride));
  if (f->flat) {
    LLVMValueRef start = index_mul(e, t->y0, emit_dim(e, t->p->out[1]));
    finish_row(e, t, f, &p, l.index, sums, index_add(e, start, t->x0), t->elements);
  } else {
    emit_loop_begin(e, &lr, emit_i64(e, 0), t->rows, 1, 0, NULL);
    if (p.rank == 4)
      p.c[2] = coord_uniform(e, index_add(e, t->y0, lr.index));
    LLVMValueRef from = micro_at(e, f->from, sums, index_mul(e, lr.index, t->columns));
    finish_row(e, t, f, &p, l.index, from, t->x0, t->columns);
    emit_loop_end(e, &lr, NULL);
  }
  emit_loop_end(e, &l, NULL);
}
